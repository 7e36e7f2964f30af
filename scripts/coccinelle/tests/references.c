// SPDX-License-Identifier: GPL-2.0-or-later
/* What references.cocci has to flag, line by line, and nothing else. */

int leaves_an_object(struct npheap_heap *heap, u64 key, u64 size)
{
	struct npheap_object *obj;
	int err;

	obj = npheap_object_get(heap, key);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	if (size > obj->max_size)
		return -EFBIG;			/* flagged */
	err = npheap_object_resize(obj, size, false);
	npheap_object_put(obj);
	return err;
}

int leaves_a_record_locked(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec = npheap_rec_get(heap, key);

	if (IS_ERR(rec))
		return PTR_ERR(rec);
	if (!rec->marked)
		return -EINVAL;			/* flagged */
	npheap_rec_unlock(rec);
	return 0;
}

struct file *hands_over(struct npheap_heap *heap, u64 key)
{
	struct npheap_object *obj = npheap_object_get(heap, key);
	struct file *file;

	if (IS_ERR(obj))
		return ERR_CAST(obj);
	file = npheap_object_file(obj);
	if (IS_ERR(file))
		return file;			/* flagged */
	npheap_object_put(obj);
	return file;
}

void forgets_a_file(struct npheap_object *obj)
{
	struct file *file = npheap_object_file(obj);	/* flagged */

	if (IS_ERR(file))
		return;
	file->f_mode |= FMODE_NOCMTIME;
}

void keeps_it_for_later(struct npheap_heap *heap, struct npheap_owner *owner)
{
	struct npheap_process *process = process_get(heap);

	if (IS_ERR(process))
		return;
	owner->process = process;
}
