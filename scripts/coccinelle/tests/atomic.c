// SPDX-License-Identifier: GPL-2.0-or-later
/* What atomic.cocci has to flag, line by line, and nothing else. */

int copies_under_a_spinlock(struct heap *heap, void __user *argp)
{
	spin_lock(&heap->process_lock);
	if (copy_from_user(heap, argp, 8))	/* flagged */
		heap->bad = true;
	spin_unlock(&heap->process_lock);
	return copy_to_user(argp, heap, 8);
}

void allocates_under_a_spinlock(struct heap *heap)
{
	spin_lock(&heap->user_lock);
	heap->user = kzalloc(8, GFP_ATOMIC);
	if (!heap->user)
		heap->user = kzalloc(8, GFP_KERNEL_ACCOUNT);	/* flagged */
	spin_unlock(&heap->user_lock);
	heap->other = kzalloc(8, GFP_KERNEL_ACCOUNT);
}

void waits_under_rcu(struct heap *heap, struct npheap_object *obj)
{
	rcu_read_lock();
	mutex_lock(&heap->evict_mutex);		/* flagged */
	npheap_object_put(obj);			/* flagged */
	xa_store(&heap->slots, 1, obj, GFP_KERNEL | __GFP_NOWARN);	/* flagged */
	rcu_read_unlock();
	npheap_object_put(obj);
}

int sleeps_with_a_record(struct heap *heap, u64 key, u64 __user *argp)
{
	struct npheap_lock *rec = npheap_rec_get(heap, key);

	if (IS_ERR(rec))
		return put_user(key, argp);
	rec->spare = kmalloc(8, GFP_KERNEL);	/* flagged */
	cond_resched();				/* flagged */
	npheap_rec_put(rec);
	return put_user(key, argp);
}

int copies_with_a_record(struct heap *heap, u64 key, u64 __user *argp)
{
	struct npheap_lock *rec = npheap_rec_find(heap, key);
	int err = 0;

	if (!rec)
		return -ENOENT;
	if (rec->marked)
		err = put_user(key, argp);	/* flagged */
	npheap_rec_unlock(rec);
	return err;
}

void sleeps_where_the_lock_is_asserted(struct npheap_lock *rec)
{
	lockdep_assert_held(&rec->lock);
	rec->readers++;
	npheap_rec_breathe(rec);
	fsleep(1000);				/* flagged */
}
