// SPDX-License-Identifier: GPL-2.0-or-later
/* What faults.cocci has to flag, line by line, and nothing else. */

int copies_while_faults_wait(struct npheap_object *obj, u64 __user *argp)
{
	int err;

	filemap_invalidate_lock(obj->inode.i_mapping);
	err = put_user(obj->size, argp);		/* flagged */
	filemap_invalidate_unlock(obj->inode.i_mapping);
	return err ?: put_user(obj->size, argp);
}

void maps_and_waits(struct npheap_heap *heap, struct npheap_object *obj)
{
	mutex_lock(&heap->deleted_mutex);
	vm_munmap(0, obj->size);			/* flagged */
	wait_var_event(&obj->state, obj->state);	/* flagged */
	mutex_unlock(&heap->deleted_mutex);
	mutex_lock(&heap->evict_mutex);
	heap->spare = kzalloc(8, GFP_KERNEL_ACCOUNT);
	mutex_unlock(&heap->evict_mutex);
}

void allocates(struct npheap_heap *heap)
{
	down_read(&heap->fill_sem);
	heap->spare = kzalloc(8, GFP_KERNEL_ACCOUNT);	/* flagged */
	heap->other = kzalloc(8, GFP_NOWAIT);
	up_read(&heap->fill_sem);
}

/* Where the lock was not to be had there is none. */
int copies_if_it_got_the_lock(struct npheap_object *obj, u64 __user *argp)
{
	int err;

	if (!filemap_invalidate_trylock_shared(obj->inode.i_mapping))
		return put_user(0, argp);
	err = put_user(obj->size, argp);		/* flagged */
	filemap_invalidate_unlock_shared(obj->inode.i_mapping);
	return err ?: put_user(obj->size, argp);
}

int allocates_unless_killed(struct npheap_object *obj)
{
	if (down_write_killable(&obj->heap->fill_sem))
		return -EINTR;
	obj->heap->spare = kzalloc(8, GFP_KERNEL_ACCOUNT); /* flagged */
	up_write(&obj->heap->fill_sem);
	obj->heap->other = kzalloc(8, GFP_KERNEL_ACCOUNT);
	return 0;
}

int maps_unless_killed(struct npheap_heap *heap, struct mm_struct *mm)
{
	if (mutex_lock_killable(&heap->deleted_mutex))
		return -EINTR;
	vm_munmap(0, PAGE_SIZE);			/* flagged */
	mutex_unlock(&heap->deleted_mutex);
	if (mmap_write_lock_killable(mm))
		return -EINTR;
	heap->spare = kzalloc(8, GFP_KERNEL_ACCOUNT);	/* flagged */
	mmap_write_unlock(mm);
	return 0;
}
