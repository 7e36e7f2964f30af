// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks: one for each key, held by a thread, handed on in the order of asking.
 *
 * A record is made when a key's lock is first asked for and goes away when
 * nobody holds it or waits for it.
 *
 * A waiter that gets a signal leaves the kernel, so that handlers, job
 * control, debuggers and the freezer work; the system call is then restarted
 * (-ERESTARTNOINTR) and finds its place in the queue kept.  Meanwhile it is
 * absent: an unlock passes over it and hands the lock to the first waiter that
 * is present, because a handler may run for long, and may never return to the
 * call at all.
 */
#include "npheap.h"
#include "trace.h"

#include <linux/freezer.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

/* A thread waits in so many places at most; handlers seldom nest that deep. */
#define NPHEAP_MAX_WAITS 16

/**
 * struct npheap_lock - the lock of a key
 * @node: in heap->locks
 * @heap: where it belongs
 * @key: the key
 * @lock: protects what follows, but for @held_node
 * @holder: who holds it, or NULL
 * @waiters: struct npheap_waiter, first come first
 * @dead: taken out of the table; whoever finds it must look again
 * @held_node: in @holder->held, which only the holder's thread touches
 * @rcu: frees the memory
 */
struct npheap_lock {
	struct rhash_head node;
	struct npheap_heap *heap;
	u64 key;
	spinlock_t lock;	/* see above for what it protects */
	struct npheap_owner *holder;
	struct list_head waiters;
	bool dead;
	struct list_head held_node;
	struct rcu_head rcu;
};

/**
 * struct npheap_waiter - a thread's place in a queue
 * @queue: in @rec->waiters until the lock is granted
 * @owner_node: in @owner->waits
 * @rec: the lock
 * @owner: the thread
 * @present: it is in the kernel and will take what it is granted
 * @granted: it holds the lock; set by the one who gave it back
 */
struct npheap_waiter {
	struct list_head queue;
	struct list_head owner_node;
	struct npheap_lock *rec;
	struct npheap_owner *owner;
	bool present;
	bool granted;
};

const struct rhashtable_params npheap_lock_params = {
	.key_len = sizeof(u64),
	.key_offset = offsetof(struct npheap_lock, key),
	.head_offset = offsetof(struct npheap_lock, node),
	.automatic_shrinking = true,
};

/* --------------------------------------------------------------- records -- */

/*
 * Records pass between functions locked or not, depending on results, which
 * sparse cannot follow.  Lockdep checks these locks; sparse looks away here.
 */
static void rec_lock(struct npheap_lock *rec)
{
#ifndef __CHECKER__
	spin_lock(&rec->lock);
#endif
}

static void rec_unlock(struct npheap_lock *rec)
{
#ifndef __CHECKER__
	spin_unlock(&rec->lock);
#endif
}

/* Returns with the record locked, or NULL where the key has none. */
static struct npheap_lock *rec_find(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec;

	rcu_read_lock();
	do {
		rec = rhashtable_lookup(&heap->locks, &key,
					npheap_lock_params);
		if (!rec)
			break;
		rec_lock(rec);
		if (!rec->dead)
			break;
		rec_unlock(rec);
	} while (true);
	rcu_read_unlock();
	return rec;
}

static struct npheap_lock *rec_new(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec;

	if (!npheap_charge(&heap->nr_locks, 1))
		return ERR_PTR(-ENOSPC);
	rec = kzalloc(sizeof(*rec), GFP_KERNEL_ACCOUNT);
	if (!rec) {
		npheap_uncharge(&heap->nr_locks, 1);
		return ERR_PTR(-ENOMEM);
	}
	rec->heap = heap;
	rec->key = key;
	spin_lock_init(&rec->lock);
	INIT_LIST_HEAD(&rec->waiters);
	INIT_LIST_HEAD(&rec->held_node);
	return rec;
}

/* 0, or -EEXIST where another thread was faster, or -ENOMEM. */
static int rec_insert(struct npheap_heap *heap, struct npheap_lock *rec)
{
	int err = rhashtable_lookup_insert_fast(&heap->locks, &rec->node,
						npheap_lock_params);

	return err && err != -EEXIST ? -ENOMEM : err;
}

/* Returns with the record locked, or an ERR_PTR(). */
static struct npheap_lock *rec_get(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec, *new;
	int err;

	while (!(rec = rec_find(heap, key))) {
		new = rec_new(heap, key);
		if (IS_ERR(new))
			/* Perhaps because another thread was faster. */
			return rec_find(heap, key) ?: new;
		err = rec_insert(heap, new);
		if (!err)
			continue;
		npheap_uncharge(&heap->nr_locks, 1);
		kfree(new);
		if (err != -EEXIST)
			return ERR_PTR(err);
	}
	return rec;
}

/* Unlocks the record, and frees it where nobody holds it or waits for it. */
static void rec_put(struct npheap_lock *rec)
{
	lockdep_assert_held(&rec->lock);
	rec->dead = !rec->holder && list_empty(&rec->waiters);
	if (!rec->dead) {
		rec_unlock(rec);
		return;
	}
	rhashtable_remove_fast(&rec->heap->locks, &rec->node,
			       npheap_lock_params);
	npheap_uncharge(&rec->heap->nr_locks, 1);
	rec_unlock(rec);
	kfree_rcu(rec, rcu);
}

/* ------------------------------------------------------------- ownership -- */

/* Gives the lock to the first waiter that is there to take it. */
static void rec_pass_on(struct npheap_lock *rec)
{
	struct npheap_waiter *waiter;

	lockdep_assert_held(&rec->lock);
	rec->holder = NULL;
	list_for_each_entry(waiter, &rec->waiters, queue) {
		if (!waiter->present)
			continue;
		list_del_init(&waiter->queue);
		rec->holder = waiter->owner;
		WRITE_ONCE(waiter->granted, true);
		/* It takes rec->lock before it can go away. */
		wake_up_process(waiter->owner->task);
		return;
	}
}

/* The calling thread has the lock; its record cannot go away any more. */
static void owner_take(struct npheap_owner *owner, struct npheap_lock *rec)
{
	list_add(&rec->held_node, &owner->held);
	npheap_count(owner->heap, lock_acquires);
	trace_npheap_lock_acquired(rec->key);
}

static void owner_give_back(struct npheap_lock *rec)
{
	lockdep_assert_held(&rec->lock);
	list_del_init(&rec->held_node);
	trace_npheap_lock_released(rec->key);
	rec_pass_on(rec);
	rec_put(rec);
}

/* --------------------------------------------------------------- waiting -- */

static struct npheap_waiter *waiter_find(struct npheap_owner *owner,
					 const struct npheap_lock *rec)
{
	struct npheap_waiter *waiter;

	list_for_each_entry(waiter, &owner->waits, owner_node)
		if (waiter->rec == rec)
			return waiter;
	return NULL;
}

/* It is out of its queue already.  The next wait may use the memory. */
static void waiter_free(struct npheap_waiter *waiter)
{
	struct npheap_owner *owner = waiter->owner;

	list_del(&waiter->owner_node);
	owner->nr_waits--;
	kfree(owner->spare);
	owner->spare = waiter;
}

static void waiter_abandon(struct npheap_waiter *waiter)
{
	struct npheap_lock *rec = waiter->rec;

	rec_lock(rec);
	list_del(&waiter->queue);
	rec_put(rec);
	waiter_free(waiter);
}

/*
 * Memory for a place in a queue.  Calls that were interrupted and never came
 * back, as by siglongjmp(), leave their places behind; where there are too
 * many of them the oldest is given up.
 */
static int waiter_prepare(struct npheap_owner *owner)
{
	if (owner->nr_waits == NPHEAP_MAX_WAITS)
		waiter_abandon(list_first_entry(&owner->waits,
						struct npheap_waiter,
						owner_node));
	if (!owner->spare)
		owner->spare = kmalloc(sizeof(*owner->spare),
				       GFP_KERNEL_ACCOUNT);
	return owner->spare ? 0 : -ENOMEM;
}

/* Takes the last place of the queue, with the memory prepared for it. */
static struct npheap_waiter *waiter_enqueue(struct npheap_owner *owner,
					    struct npheap_lock *rec)
{
	struct npheap_waiter *waiter = owner->spare;

	lockdep_assert_held(&rec->lock);
	owner->spare = NULL;
	*waiter = (struct npheap_waiter){ .rec = rec, .owner = owner };
	list_add_tail(&waiter->queue, &rec->waiters);
	list_add_tail(&waiter->owner_node, &owner->waits);
	owner->nr_waits++;
	npheap_count(rec->heap, lock_contended);
	trace_npheap_lock_contended(rec->key);
	return waiter;
}

static void waiter_sleep(struct npheap_waiter *waiter)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		if (READ_ONCE(waiter->granted) || signal_pending(current))
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
}

/* Called with rec->lock held, returns without it. */
static int waiter_wait(struct npheap_waiter *waiter)
{
	struct npheap_owner *owner = waiter->owner;
	struct npheap_lock *rec = waiter->rec;
	bool granted;

	waiter->present = true;
	rec_unlock(rec);
	waiter_sleep(waiter);
	rec_lock(rec);
	waiter->present = false;
	granted = waiter->granted;
	rec_unlock(rec);
	if (!granted)
		return -ERESTARTNOINTR;
	waiter_free(waiter);
	owner_take(owner, rec);
	return 0;
}

/* The lock is free.  Called with rec->lock held, returns without it. */
static int lock_take(struct npheap_owner *owner, struct npheap_lock *rec)
{
	struct npheap_waiter *waiter = waiter_find(owner, rec);

	rec->holder = owner;
	if (waiter) {
		list_del(&waiter->queue);
		waiter_free(waiter);
	}
	rec_unlock(rec);
	owner_take(owner, rec);
	return 0;
}

/* -EAGAIN: a place in the queue is needed, and no memory prepared for it. */
static int lock_try(struct npheap_owner *owner, u64 key)
{
	struct npheap_lock *rec = rec_get(owner->heap, key);
	struct npheap_waiter *waiter;

	if (IS_ERR(rec))
		return PTR_ERR(rec);
	if (!rec->holder)
		return lock_take(owner, rec);
	if (rec->holder == owner) {
		rec_unlock(rec);
		return -EDEADLK;
	}
	waiter = waiter_find(owner, rec);
	if (!waiter && owner->spare)
		waiter = waiter_enqueue(owner, rec);
	if (waiter)
		return waiter_wait(waiter);
	rec_unlock(rec);
	return -EAGAIN;
}

/**
 * npheap_lock_acquire() - wait until the calling thread holds a key's lock
 * @heap: the heap
 * @key: the key
 *
 * Context: Process context, sleeps; to be returned from a system call.
 * Return: 0, -EDEADLK where the thread holds it already, -ENOSPC, -ENOMEM,
 * or -ERESTARTNOINTR for a signal, after which the call finds its place kept.
 */
int npheap_lock_acquire(struct npheap_heap *heap, u64 key)
{
	struct npheap_owner *owner = npheap_owner_get(heap);
	int err;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	while ((err = lock_try(owner, key)) == -EAGAIN) {
		err = waiter_prepare(owner);
		if (err)
			break;
	}
	return err;
}

/**
 * npheap_lock_release() - give a key's lock back
 * @heap: the heap
 * @key: the key
 *
 * Context: Process context.
 * Return: 0, or -EPERM where the calling thread does not hold it.
 */
int npheap_lock_release(struct npheap_heap *heap, u64 key)
{
	struct npheap_owner *owner = npheap_owner_find(heap);
	struct npheap_lock *rec;

	if (!owner)
		return -EPERM;
	rec = rec_find(heap, key);
	if (!rec)
		return -EPERM;
	if (rec->holder != owner) {
		rec_unlock(rec);
		return -EPERM;
	}
	owner_give_back(rec);
	return 0;
}

/**
 * npheap_lock_abandon() - give back all that a thread holds or waits for
 * @owner: the thread, which is dying or will not come back
 *
 * Context: Process context.
 */
void npheap_lock_abandon(struct npheap_owner *owner)
{
	struct npheap_waiter *waiter, *next_waiter;
	struct npheap_lock *rec, *next;

	list_for_each_entry_safe(waiter, next_waiter, &owner->waits,
				 owner_node)
		waiter_abandon(waiter);
	list_for_each_entry_safe(rec, next, &owner->held, held_node) {
		npheap_count(owner->heap, lock_recovered);
		trace_npheap_owner_death(rec->key);
		rec_lock(rec);
		owner_give_back(rec);
		cond_resched();
	}
}

/**
 * npheap_lock_show() - print a line about a lock
 * @m: the file
 * @rec: the struct npheap_lock, under RCU
 *
 * Context: Any that may take a spinlock.
 */
void npheap_lock_show(struct seq_file *m, struct npheap_lock *rec)
{
	struct list_head *pos;
	unsigned int waiters = 0;
	pid_t holder = 0;

	rec_lock(rec);
	if (rec->holder)
		holder = pid_nr_ns(rec->holder->pid,
				   proc_pid_ns(file_inode(m->file)->i_sb));
	list_for_each(pos, &rec->waiters)
		waiters++;
	if (!rec->dead)
		seq_printf(m, "%llu\t%d\t%u\n", rec->key, holder, waiters);
	rec_unlock(rec);
}
