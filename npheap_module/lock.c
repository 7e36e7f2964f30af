// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks: one for each key, held by a thread, handed on in the order of asking.
 *
 * Who holds a lock is written in the word of its record, which user space can
 * change as well as the kernel, so everything here goes by compare-and-swap.
 * What user space cannot be trusted with, the queue and the mark of a dead
 * holder, is in struct npheap_lock; the flags in the word only see to it that
 * user space comes here.  docs/locking.md has the protocol and its proof.
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
#include <linux/hrtimer.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

/* A thread waits in so many places at most; handlers seldom nest that deep. */
#define NPHEAP_MAX_WAITS 16

/* Records that nobody uses are kept up to this number, for who may return. */
#define NPHEAP_IDLE_LOCKS 65536
#define NPHEAP_EVICT_SCAN 4

/* User space may change a word between any two looks at it. */
#define NPHEAP_MAX_TRIES 64

/**
 * struct npheap_waiter - a thread's place in a queue
 * @queue: in @rec->waiters until the lock is granted
 * @owner_node: in @owner->waits
 * @rec: the lock
 * @owner: the thread
 * @reader: where it wants the lock together with others: what to hold it by
 * @present: it is in the kernel and will take what it is granted
 * @granted: it holds the lock; set by the one who gave it back
 */
struct npheap_waiter {
	struct list_head queue;
	struct list_head owner_node;
	struct npheap_lock *rec;
	struct npheap_owner *owner;
	struct npheap_reader *reader;
	bool present;
	bool granted;
};

/**
 * struct npheap_reader - a thread that holds a lock with others
 * @rec_node: in @rec->readers or @rec->deposed
 * @owner_node: in @owner->reads
 * @rec: the lock
 * @deposed: the lock was taken from it, which it does not know yet
 */
struct npheap_reader {
	struct list_head rec_node;
	struct list_head owner_node;
	struct npheap_lock *rec;
	bool deposed;
};

const struct rhashtable_params npheap_lock_params = {
	.key_len = sizeof(u64),
	.key_offset = offsetof(struct npheap_lock, key),
	.head_offset = offsetof(struct npheap_lock, node),
	.automatic_shrinking = true,
};

/* ---------------------------------------------------------------- words -- */

/* The word of a lock that nobody holds and nothing is to be said of. */
static u64 word_free(const struct npheap_lock *rec)
{
	return NPHEAP_WORD_GENERATION(rec->generation);
}

static u64 word_read(const struct npheap_lock *rec)
{
	return READ_ONCE(rec->shared->word);
}

static bool word_swap(struct npheap_lock *rec, u64 *old, u64 new)
{
	u64 found = cmpxchg(&rec->shared->word, *old, new);
	bool same = found == *old;

	*old = found;
	return same;
}

static bool word_held(u64 word)
{
	return word & (NPHEAP_WORD_OWNER | NPHEAP_WORD_SHARED);
}

static bool word_held_by(u64 word, const struct npheap_owner *owner)
{
	return (word & NPHEAP_WORD_OWNER) == owner->id;
}

/* What the flags of the word have to be, as far as the kernel knows. */
static u64 word_flags(const struct npheap_lock *rec)
{
	const struct npheap_waiter *waiter;
	u64 flags = rec->marked ? NPHEAP_WORD_MARKED : 0;

	list_for_each_entry(waiter, &rec->waiters, queue)
		if (waiter->present)
			return flags | NPHEAP_WORD_WAITERS;
	return flags;
}

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

static bool rec_idle(const struct npheap_lock *rec)
{
	return !rec->pins && !rec->marked && !rec->lost &&
	       list_empty(&rec->waiters) &&
	       list_empty(&rec->readers) && list_empty(&rec->deposed) &&
	       list_empty(&rec->sleepers);
}

static void rec_uncharge(struct npheap_lock *rec)
{
	npheap_uncharge(rec->heap, rec->user, NPHEAP_LOCKS, 1);
	npheap_user_put(rec->heap, rec->user);
}

/*
 * Ends the binding of the record to its key, unless it is in use.  A thread
 * that knows it may be taking it at this very moment, so that is for the
 * compare-and-swap to tell; where no thread does, the word says nothing true.
 * On success the record is unlocked and gone.
 */
static bool rec_evict(struct npheap_lock *rec)
{
	u64 old = word_free(rec);
	u64 next = NPHEAP_WORD_GENERATION(rec->generation + 1);

	lockdep_assert_held(&rec->lock);
	if (!rec_idle(rec))
		return false;
	if (!rec->knowers)
		xchg(&rec->shared->word, next);
	else if (!word_swap(rec, &old, next))
		return false;
	rec->dead = true;
	rhashtable_remove_fast(&rec->heap->locks, &rec->node,
			       npheap_lock_params);
	npheap_slot_free(rec->heap, rec);
	rec_uncharge(rec);
	rec_unlock(rec);
	kfree_rcu(rec, rcu);
	return true;
}

/* Unlocks the record, and frees it where no living thread knows it. */
static void rec_put(struct npheap_lock *rec)
{
	if (rec->knowers || !rec_evict(rec))
		rec_unlock(rec);
}

/*
 * Looks at @count records, going round, and frees what is not in use, only of
 * @user where that is not NULL.  Returns whether it freed any.
 */
static bool evict_some(struct npheap_heap *heap, const struct npheap_user *user,
		       u64 count)
{
	unsigned long index = READ_ONCE(heap->clock_hand);
	struct npheap_lock *rec;
	bool freed = false;

	while (count--) {
		rcu_read_lock();
		rec = xa_find(&heap->slots, &index, ULONG_MAX, XA_PRESENT);
		if (rec) {
			rec_lock(rec);
			if (!rec->dead && (!user || rec->user == user) &&
			    rec_evict(rec))
				freed = true;
			else
				rec_unlock(rec);
		}
		rcu_read_unlock();
		index = rec ? index + 1 : 0;
		cond_resched();
		if (fatal_signal_pending(current))
			break;
	}
	WRITE_ONCE(heap->clock_hand, index);
	return freed;
}

static u64 lock_usage(struct npheap_heap *heap)
{
	return atomic64_read(&heap->counters[NPHEAP_LOCKS].usage);
}

static int lock_charge(struct npheap_heap *heap, struct npheap_user *user)
{
	int err;

	if (lock_usage(heap) >= NPHEAP_IDLE_LOCKS)
		evict_some(heap, NULL, NPHEAP_EVICT_SCAN);
	/*
	 * Only where all are in use is the limit reached.  A search may find
	 * nothing because another, at the same time, took it all.
	 */
	do {
		err = npheap_charge(heap, user, NPHEAP_LOCKS, 1);
	} while (err && evict_some(heap, err == -EDQUOT ? user : NULL,
				   lock_usage(heap) + 1));
	return err ? npheap_charge(heap, user, NPHEAP_LOCKS, 1) : 0;
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

static void rec_init(struct npheap_lock *rec)
{
	spin_lock_init(&rec->lock);
	INIT_LIST_HEAD(&rec->waiters);
	INIT_LIST_HEAD(&rec->readers);
	INIT_LIST_HEAD(&rec->deposed);
	INIT_LIST_HEAD(&rec->sleepers);
	/* Above all that was ever counted under this key or any other. */
	WRITE_ONCE(rec->shared->event, ktime_get_mono_fast_ns() << 1);
	WRITE_ONCE(rec->shared->size, 0);
	xchg(&rec->shared->word, word_free(rec));
}

static struct npheap_lock *rec_new(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec = kzalloc(sizeof(*rec), GFP_KERNEL_ACCOUNT);
	int err = -ENOMEM;

	if (!rec)
		return ERR_PTR(-ENOMEM);
	rec->heap = heap;
	rec->key = key;
	rec->user = npheap_user_get(heap);
	if (!rec->user)
		goto free;
	err = lock_charge(heap, rec->user);
	if (err)
		goto put_user;
	err = npheap_slot_alloc(heap, rec);
	if (err)
		goto uncharge;
	rec_init(rec);
	return rec;

uncharge:
	npheap_uncharge(heap, rec->user, NPHEAP_LOCKS, 1);
put_user:
	npheap_user_put(heap, rec->user);
free:
	kfree(rec);
	return ERR_PTR(err);
}

/*
 * 0, or -EEXIST where another thread was faster, or -ENOMEM.  The slot comes
 * first, as a thread that finds the key must find the slot when it dies; and
 * all under the record's lock, so that nobody evicts what is half there.
 */
static int rec_insert(struct npheap_heap *heap, struct npheap_lock *rec)
{
	int err;

	rec_lock(rec);
	npheap_slot_publish(heap, rec);
	err = rhashtable_lookup_insert_fast(&heap->locks, &rec->node,
					    npheap_lock_params);
	if (err) {
		rec->dead = true;
		npheap_slot_free(heap, rec);
		rec_uncharge(rec);
	}
	rec_unlock(rec);
	if (!err)
		return 0;
	kfree_rcu(rec, rcu);
	return err == -EEXIST ? err : -ENOMEM;
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
		if (err && err != -EEXIST)
			return ERR_PTR(err);
	}
	return rec;
}

static bool owner_knows(struct npheap_owner *owner,
			const struct npheap_lock *rec)
{
	void *entry = xa_load(&owner->known, rec->slot);

	return entry && xa_to_value(entry) == rec->generation;
}

/*
 * rec_get(), and notes that the thread knows the record: it may take the lock
 * by itself from now on, and so its death has to look there.
 */
static struct npheap_lock *rec_bind(struct npheap_owner *owner, u64 key)
{
	struct npheap_lock *rec;
	u32 slot;
	int err;

	for (;;) {
		rec = rec_get(owner->heap, key);
		if (IS_ERR(rec) || owner_knows(owner, rec))
			return rec;
		slot = rec->slot;
		/* Nothing may be allocated while the record is locked ... */
		if (xa_load(&owner->known, slot) || slot == owner->reserved)
			break;
		rec_unlock(rec);
		err = xa_reserve(&owner->known, slot, GFP_KERNEL_ACCOUNT);
		if (err)
			return ERR_PTR(err);
		owner->reserved = slot;
	}
	/* ... so there is a place for this. */
	xa_store(&owner->known, slot, xa_mk_value(rec->generation), 0);
	owner->reserved = NPHEAP_NO_SLOT;
	rec->knowers++;
	WRITE_ONCE(rec->shared->size, npheap_object_size(rec->heap, key));
	return rec;
}

/* ----------------------------------------------------------------- queue -- */

static struct npheap_waiter *waiter_find(struct npheap_owner *owner,
					 const struct npheap_lock *rec,
					 bool shared)
{
	struct npheap_waiter *waiter;

	list_for_each_entry(waiter, &owner->waits, owner_node)
		if (waiter->rec == rec && !!waiter->reader == shared)
			return waiter;
	return NULL;
}

static struct npheap_reader *reader_find(struct npheap_owner *owner,
					 const struct npheap_lock *rec)
{
	struct npheap_reader *reader;

	list_for_each_entry(reader, &owner->reads, owner_node)
		if (reader->rec == rec)
			return reader;
	return NULL;
}

/* It is out of its queue already.  The next wait may use the memory. */
static void waiter_free(struct npheap_waiter *waiter)
{
	struct npheap_owner *owner = waiter->owner;

	list_del(&waiter->owner_node);
	owner->nr_waits--;
	kfree(owner->spare_waiter);
	owner->spare_waiter = waiter;
}

/* A waiter for shared mode brought a reader along, which now counts. */
static void waiter_grant(struct npheap_waiter *waiter)
{
	struct npheap_lock *rec = waiter->rec;

	list_del_init(&waiter->queue);
	if (waiter->reader)
		list_add_tail(&waiter->reader->rec_node, &rec->readers);
	WRITE_ONCE(waiter->granted, true);
	/* It takes rec->lock before it can go away. */
	wake_up_process(waiter->owner->task);
}

/*
 * Gives a lock that nobody, or only readers, hold to the first waiter that is
 * there to take it, or to all readers at the head of the queue.  The word may
 * not be one that user space can take at the same time: it is the caller's,
 * or says "shared".
 */
static void rec_pass_on(struct npheap_lock *rec)
{
	struct npheap_waiter *waiter, *next;
	u64 holder = list_empty(&rec->readers) ? 0 : NPHEAP_WORD_SHARED;

	lockdep_assert_held(&rec->lock);
	list_for_each_entry_safe(waiter, next, &rec->waiters, queue) {
		if (!waiter->present)
			continue;
		if (!waiter->reader && holder)
			break;
		holder = waiter->reader ? NPHEAP_WORD_SHARED :
			 waiter->owner->id;
		waiter_grant(waiter);
		if (!waiter->reader)
			break;
	}
	xchg(&rec->shared->word, word_free(rec) | holder | word_flags(rec));
}

/* A waiter went away or absent: readers behind it may get in now. */
static void rec_settle(struct npheap_lock *rec)
{
	if (!list_empty(&rec->readers))
		rec_pass_on(rec);
}

static void waiter_abandon(struct npheap_waiter *waiter)
{
	struct npheap_lock *rec = waiter->rec;

	rec_lock(rec);
	list_del(&waiter->queue);
	rec_settle(rec);
	rec_put(rec);
	kfree(waiter->reader);
	waiter_free(waiter);
}

/*
 * Memory for a place in a queue, and for a reader.  Calls that were
 * interrupted and never came back, as by siglongjmp(), leave their places
 * behind; where there are too many of them the oldest is given up.
 */
static int owner_prepare(struct npheap_owner *owner)
{
	if (owner->nr_waits == NPHEAP_MAX_WAITS)
		waiter_abandon(list_first_entry(&owner->waits,
						struct npheap_waiter,
						owner_node));
	if (!owner->spare_waiter)
		owner->spare_waiter = kmalloc(sizeof(*owner->spare_waiter),
					      GFP_KERNEL_ACCOUNT);
	if (!owner->spare_reader)
		owner->spare_reader = kmalloc(sizeof(*owner->spare_reader),
					      GFP_KERNEL_ACCOUNT);
	return owner->spare_waiter && owner->spare_reader ? 0 : -ENOMEM;
}

static struct npheap_reader *reader_take(struct npheap_owner *owner,
					 struct npheap_lock *rec)
{
	struct npheap_reader *reader = owner->spare_reader;

	owner->spare_reader = NULL;
	reader->rec = rec;
	reader->deposed = false;
	return reader;
}

/* Takes the last place of the queue, with the memory prepared for it. */
static struct npheap_waiter *waiter_enqueue(struct npheap_owner *owner,
					    struct npheap_lock *rec,
					    bool shared)
{
	struct npheap_waiter *waiter = owner->spare_waiter;

	lockdep_assert_held(&rec->lock);
	owner->spare_waiter = NULL;
	*waiter = (struct npheap_waiter){ .rec = rec, .owner = owner };
	if (shared)
		waiter->reader = reader_take(owner, rec);
	list_add_tail(&waiter->queue, &rec->waiters);
	list_add_tail(&waiter->owner_node, &owner->waits);
	owner->nr_waits++;
	npheap_count(rec->heap, lock_contended);
	trace_npheap_lock_contended(rec->key);
	return waiter;
}

/* ---------------------------------------------------------------- taking -- */

/* Takes a lock that is free. */
static bool rec_take(struct npheap_lock *rec, struct npheap_owner *owner)
{
	u64 new = word_free(rec) | owner->id | word_flags(rec);
	u64 old = word_read(rec);

	for (int i = 0; i < NPHEAP_MAX_TRIES && !word_held(old); i++)
		if (word_swap(rec, &old, new))
			return true;
	return false;
}

static bool rec_has_queue(const struct npheap_lock *rec)
{
	return word_flags(rec) & NPHEAP_WORD_WAITERS;
}

/* Takes a lock that is free or held by readers, behind whom nobody waits. */
static bool rec_take_shared(struct npheap_lock *rec,
			    struct npheap_owner *owner)
{
	u64 new = word_free(rec) | NPHEAP_WORD_SHARED | word_flags(rec);
	u64 old = word_read(rec);

	for (int i = 0; i < NPHEAP_MAX_TRIES; i++) {
		if (old & NPHEAP_WORD_OWNER ||
		    (word_held(old) && rec_has_queue(rec)))
			return false;
		if (word_swap(rec, &old, new))
			return true;
	}
	return false;
}

/* Sees to it that unlocking comes here; false where that happened already. */
static bool rec_call_in(struct npheap_lock *rec)
{
	u64 old = word_read(rec);

	for (int i = 0; i < NPHEAP_MAX_TRIES; i++) {
		if (!word_held(old))
			return false;
		if (old & NPHEAP_WORD_WAITERS)
			return true;
		if (word_swap(rec, &old, old | NPHEAP_WORD_WAITERS))
			return true;
	}
	return false;
}

/*
 * Where user space changes the word all the time, others get at the record now
 * and then.  Called with rec->lock held, as it is on return.
 */
static int rec_breathe(struct npheap_lock *rec)
{
	rec->pins++;
	rec_unlock(rec);
	cond_resched();
	rec_lock(rec);
	rec->pins--;
	return signal_pending(current) ? -ERESTARTNOINTR : 0;
}

static bool lock_timed_out(u64 timeout)
{
	return timeout != U64_MAX && ktime_get_ns() >= timeout;
}

static void lock_sleep(u64 timeout)
{
	ktime_t end = min_t(u64, timeout, KTIME_MAX);

	if (timeout == U64_MAX)
		schedule();
	else
		schedule_hrtimeout(&end, HRTIMER_MODE_ABS);
}

static void waiter_sleep(struct npheap_waiter *waiter, u64 timeout)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		if (READ_ONCE(waiter->granted) || signal_pending(current) ||
		    lock_timed_out(timeout))
			break;
		lock_sleep(timeout);
	}
	__set_current_state(TASK_RUNNING);
}

/*
 * The calling thread has the lock, and learns whether a holder before it died
 * if it asked for that.  Called with rec->lock held, returns without it.
 */
static int owner_take(struct npheap_owner *owner, struct npheap_lock *rec,
		      struct npheap_reader *reader, u32 flags)
{
	bool report = rec->marked && flags & NPHEAP_LOCK_REPORT;

	if (reader)
		list_add(&reader->owner_node, &owner->reads);
	else
		rec->reported = report;
	npheap_count(owner->heap, lock_acquires);
	trace_npheap_lock_acquired(rec->key);
	rec_unlock(rec);
	return report ? -EOWNERDEAD : 0;
}

/* Called with rec->lock held, returns without it. */
static int waiter_wait(struct npheap_waiter *waiter, u32 flags, u64 timeout)
{
	struct npheap_reader *reader = waiter->reader;
	struct npheap_owner *owner = waiter->owner;
	struct npheap_lock *rec = waiter->rec;
	u64 key = rec->key;
	bool lost;
	int err;

	waiter->present = true;
	rec->pins++;
	rec_unlock(rec);
	waiter_sleep(waiter, timeout);
	rec_lock(rec);
	rec->pins--;
	/* It may have become so since the wait began. */
	lost = rec->lost;
	waiter->present = false;
	if (waiter->granted) {
		waiter_free(waiter);
		err = owner_take(owner, rec, reader, flags);
		if (err != -EOWNERDEAD || !lost)
			return err;
		npheap_lock_release(owner->heap, key);
		return -ENOTRECOVERABLE;
	}
	rec_settle(rec);
	if (!lock_timed_out(timeout)) {
		rec_unlock(rec);
		return -ERESTARTNOINTR;
	}
	rec_unlock(rec);
	waiter_abandon(waiter);
	return -ETIMEDOUT;
}

/* The lock was taken at once.  Called with rec->lock held. */
static int lock_taken(struct npheap_owner *owner, struct npheap_lock *rec,
		      struct npheap_waiter *waiter, u32 flags)
{
	struct npheap_reader *reader = NULL;

	if (flags & NPHEAP_LOCK_SHARED) {
		reader = reader_take(owner, rec);
		list_add_tail(&reader->rec_node, &rec->readers);
	}
	if (waiter) {
		list_del(&waiter->queue);
		kfree(waiter->reader);
		waiter_free(waiter);
	}
	return owner_take(owner, rec, reader, flags);
}

static int lock_refusal(struct npheap_owner *owner, struct npheap_lock *rec,
			u32 flags)
{
	if (word_held_by(word_read(rec), owner) || reader_find(owner, rec))
		return -EDEADLK;
	if (rec->lost && flags & NPHEAP_LOCK_REPORT)
		return -ENOTRECOVERABLE;
	return 0;
}

/*
 * Called with rec->lock held, returns without it.  The owner has memory for a
 * waiter and a reader.
 */
static int lock_rec(struct npheap_owner *owner, struct npheap_lock *rec,
		    u32 flags, u64 timeout)
{
	bool shared = flags & NPHEAP_LOCK_SHARED;
	struct npheap_waiter *waiter = waiter_find(owner, rec, shared);
	int err = lock_refusal(owner, rec, flags);

	while (!err) {
		if (shared ? rec_take_shared(rec, owner) : rec_take(rec, owner))
			return lock_taken(owner, rec, waiter, flags);
		if (flags & NPHEAP_LOCK_TRY)
			err = -EBUSY;
		else if (rec_call_in(rec))
			break;
		else
			err = rec_breathe(rec);
	}
	if (err) {
		rec_put(rec);
		return err;
	}
	if (!waiter)
		waiter = waiter_enqueue(owner, rec, shared);
	return waiter_wait(waiter, flags, timeout);
}

/**
 * npheap_lock_acquire() - wait until the calling thread holds a key's lock
 * @heap: the heap
 * @key: the key
 * @flags: NPHEAP_LOCK_*
 * @timeout: when to give up, CLOCK_MONOTONIC in ns; U64_MAX: never
 *
 * Context: Process context, sleeps; to be returned from a system call.
 * Return: 0; -EDEADLK where the thread holds it already; -EBUSY or -ETIMEDOUT;
 * -EOWNERDEAD (it is held now) or -ENOTRECOVERABLE; -ENOSPC, -ENOMEM; or
 * -ERESTARTNOINTR for a signal, after which the call finds its place kept.
 */
int npheap_lock_acquire(struct npheap_heap *heap, u64 key, u32 flags,
			u64 timeout)
{
	struct npheap_owner *owner = npheap_owner_get(heap);
	struct npheap_lock *rec;
	int err;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	err = owner_prepare(owner);
	if (err)
		return err;
	rec = rec_bind(owner, key);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	return lock_rec(owner, rec, flags, timeout);
}

/**
 * npheap_lock_bind() - tell a thread where a key's record is
 * @heap: the heap
 * @bind: the key, and the answer
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOSPC or -ENOMEM.
 */
int npheap_lock_bind(struct npheap_heap *heap, struct npheap_bind *bind)
{
	struct npheap_owner *owner = npheap_owner_get(heap);
	struct npheap_lock *rec;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	rec = rec_bind(owner, bind->key);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	bind->slot = rec->slot;
	bind->generation = rec->generation;
	rec_unlock(rec);
	return 0;
}

/* --------------------------------------------------------------- release -- */

/* Called with rec->lock held, returns without it. */
static int reader_release(struct npheap_reader *reader)
{
	struct npheap_lock *rec = reader->rec;
	bool deposed = reader->deposed;

	list_del(&reader->rec_node);
	list_del(&reader->owner_node);
	kfree(reader);
	if (!deposed) {
		trace_npheap_lock_released(rec->key);
		if (list_empty(&rec->readers))
			rec_pass_on(rec);
	}
	rec_put(rec);
	return deposed ? -EPERM : 0;
}

/* Called with rec->lock held by the exclusive holder, returns without it. */
static void rec_release(struct npheap_lock *rec)
{
	trace_npheap_lock_released(rec->key);
	/* It was told of a death and did not call consistent. */
	if (rec->reported && rec->marked)
		rec->lost = true;
	rec->reported = false;
	rec_pass_on(rec);
	rec_put(rec);
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
	struct npheap_reader *reader;
	struct npheap_lock *rec;

	rec = owner ? rec_find(heap, key) : NULL;
	if (!rec)
		return -EPERM;
	reader = reader_find(owner, rec);
	if (reader)
		return reader_release(reader);
	if (!word_held_by(word_read(rec), owner)) {
		rec_unlock(rec);
		return -EPERM;
	}
	rec_release(rec);
	return 0;
}

/**
 * npheap_lock_consistent() - settle that an earlier holder died
 * @heap: the heap
 * @key: a key whose lock the calling thread holds
 *
 * Context: Process context.
 * Return: 0, -EPERM where it does not hold it, -EINVAL where nobody died.
 */
int npheap_lock_consistent(struct npheap_heap *heap, u64 key)
{
	struct npheap_owner *owner = npheap_owner_find(heap);
	struct npheap_lock *rec = owner ? rec_find(heap, key) : NULL;
	int err = 0;

	if (!rec)
		return -EPERM;
	if (!word_held_by(word_read(rec), owner)) {
		err = -EPERM;
	} else if (!rec->reported) {
		err = -EINVAL;
	} else {
		rec->reported = false;
		rec->marked = false;
		rec->lost = false;
		xchg(&rec->shared->word, word_free(rec) | owner->id |
					 word_flags(rec));
	}
	rec_unlock(rec);
	return err;
}

/**
 * npheap_lock_break() - take a lock from whoever holds it
 * @heap: the heap
 * @key: the key
 *
 * Also what makes a lock usable again after its record was scribbled over.
 *
 * Context: Process context.
 */
void npheap_lock_break(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec = rec_find(heap, key);
	struct npheap_reader *reader;

	if (!rec)
		return;
	rec->marked = true;
	rec->reported = false;
	rec->lost = false;
	/* They belong to threads that are not here to be told. */
	list_for_each_entry(reader, &rec->readers, rec_node)
		reader->deposed = true;
	list_splice_init(&rec->readers, &rec->deposed);
	rec_pass_on(rec);
	rec_put(rec);
}

/* ----------------------------------------------------------------- death -- */

/* The thread may have taken the lock under this binding of the slot. */
static void known_abandon(struct npheap_owner *owner, u32 slot, u32 generation)
{
	struct npheap_lock *rec;

	rcu_read_lock();
	rec = npheap_slot_find(owner->heap, slot);
	if (rec)
		rec_lock(rec);
	rcu_read_unlock();
	if (!rec)
		return;
	if (rec->dead || rec->generation != generation) {
		rec_unlock(rec);
		return;
	}
	rec->knowers--;
	if (word_held_by(word_read(rec), owner)) {
		npheap_count(owner->heap, lock_recovered);
		trace_npheap_owner_death(rec->key);
		rec->marked = true;
		rec->reported = false;
		rec_pass_on(rec);
	}
	rec_put(rec);
}

static void reads_abandon(struct npheap_owner *owner)
{
	struct npheap_reader *reader, *next;

	list_for_each_entry_safe(reader, next, &owner->reads, owner_node) {
		npheap_count(owner->heap, lock_recovered);
		rec_lock(reader->rec);
		reader_release(reader);
	}
}

/**
 * npheap_lock_abandon() - give back all that a thread holds or waits for
 * @owner: the thread, which is dying or will not come back
 *
 * Takes time in proportion to the number of locks that the thread ever knew.
 *
 * Context: Process context, may sleep.
 */
void npheap_lock_abandon(struct npheap_owner *owner)
{
	struct npheap_waiter *waiter, *next;
	unsigned long slot;
	void *entry;

	list_for_each_entry_safe(waiter, next, &owner->waits, owner_node)
		waiter_abandon(waiter);
	reads_abandon(owner);
	xa_for_each(&owner->known, slot, entry) {
		known_abandon(owner, slot, xa_to_value(entry));
		cond_resched();
	}
	xa_destroy(&owner->known);
	kfree(owner->spare_waiter);
	kfree(owner->spare_reader);
}

/* ---------------------------------------------------------------- others -- */

static void lock_free(void *rec, void *unused)
{
	rec_uncharge(rec);
	kfree(rec);
}

/**
 * npheap_lock_destroy() - free all lock records
 * @heap: a heap that no thread uses; some records may be marked
 *
 * Context: Process context, may sleep.
 */
void npheap_lock_destroy(struct npheap_heap *heap)
{
	rhashtable_free_and_destroy(&heap->locks, lock_free, NULL);
}

/**
 * npheap_lock_resized() - an object came, went, or has another size
 * @heap: the heap
 * @key: its key
 *
 * Context: Process context.
 */
void npheap_lock_resized(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec = rec_find(heap, key);

	if (!rec)
		return;
	WRITE_ONCE(rec->shared->size, npheap_object_size(heap, key));
	rec_unlock(rec);
}

static pid_t rec_holder(struct npheap_lock *rec, struct pid_namespace *ns)
{
	struct npheap_owner *owner;
	pid_t pid = 0;

	rcu_read_lock();
	owner = xa_load(&rec->heap->owner_ids,
			word_read(rec) & NPHEAP_WORD_OWNER);
	if (owner)
		pid = pid_nr_ns(owner->pid, ns);
	rcu_read_unlock();
	return pid;
}

/**
 * npheap_lock_show() - print a line about a lock
 * @m: the file
 * @rec: the lock, under RCU
 *
 * Context: Any that may take a spinlock.
 */
void npheap_lock_show(struct seq_file *m, struct npheap_lock *rec)
{
	struct list_head *pos;
	unsigned int waiters = 0, readers = 0;

	rec_lock(rec);
	list_for_each(pos, &rec->waiters)
		waiters++;
	list_for_each(pos, &rec->readers)
		readers++;
	/* What is kept for who may return is of no interest. */
	if (!rec->dead && !(rec_idle(rec) && word_read(rec) == word_free(rec)))
		seq_printf(m, "%llu\t%d\t%u\t%u\t%d\n", rec->key,
			   rec_holder(rec, proc_pid_ns(file_inode(m->file)->i_sb)),
			   waiters, readers, rec->marked);
	rec_unlock(rec);
}

/* ---------------------------------------------------------------- events -- */

/**
 * struct npheap_sleeper - a thread that waits for a notification
 * @node: in the lock's sleepers until it is woken
 * @task: the thread
 * @woken: by a notification
 */
struct npheap_sleeper {
	struct list_head node;
	struct task_struct *task;
	bool woken;
};

static bool event_swap(struct npheap_lock *rec, u64 *old, u64 new)
{
	u64 found = cmpxchg(&rec->shared->event, *old, new);
	bool same = found == *old;

	*old = found;
	return same;
}

/* Bit 0 makes those who notify come here. */
static bool event_arm(struct npheap_lock *rec, u64 expected)
{
	u64 old = READ_ONCE(rec->shared->event);

	for (int i = 0; i < NPHEAP_MAX_TRIES; i++) {
		if ((old ^ expected) & ~1ULL)
			return false;
		if (event_swap(rec, &old, old | 1))
			return true;
	}
	return false;
}

static void event_disarm(struct npheap_lock *rec, u64 step)
{
	u64 old = READ_ONCE(rec->shared->event);
	u64 armed = !list_empty(&rec->sleepers);

	for (int i = 0; i < NPHEAP_MAX_TRIES; i++)
		if (event_swap(rec, &old, ((old & ~1ULL) + step) | armed))
			return;
	/* Nobody who keeps to the protocol changes it that often. */
	xchg(&rec->shared->event, ((old & ~1ULL) + step) | armed);
}

static unsigned int event_wake(struct npheap_lock *rec, unsigned int count)
{
	struct npheap_sleeper *sleeper, *next;
	unsigned int woken = 0;

	list_for_each_entry_safe(sleeper, next, &rec->sleepers, node) {
		if (woken == count)
			break;
		list_del_init(&sleeper->node);
		WRITE_ONCE(sleeper->woken, true);
		/* It takes rec->lock before its stack goes away. */
		wake_up_process(sleeper->task);
		woken++;
	}
	return woken;
}

static void sleeper_sleep(struct npheap_sleeper *sleeper, u64 timeout)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		if (READ_ONCE(sleeper->woken) || signal_pending(current) ||
		    lock_timed_out(timeout))
			break;
		lock_sleep(timeout);
	}
	__set_current_state(TASK_RUNNING);
}

/**
 * npheap_event_read() - the event of a key
 * @heap: the heap
 * @key: the key
 * @event: where to store it
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOSPC or -ENOMEM.
 */
int npheap_event_read(struct npheap_heap *heap, u64 key, u64 *event)
{
	struct npheap_owner *owner = npheap_owner_get(heap);
	struct npheap_lock *rec;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	rec = rec_bind(owner, key);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	*event = READ_ONCE(rec->shared->event) & ~1ULL;
	rec_unlock(rec);
	return 0;
}

/**
 * npheap_event_wait() - sleep until a key is notified
 * @heap: the heap
 * @key: the key
 * @expected: its event, as the caller saw it; another value ends the wait
 * @timeout: when to give up, CLOCK_MONOTONIC in ns; U64_MAX: never
 *
 * Context: Process context, sleeps; to be returned from a system call.
 * Return: 0, -ETIMEDOUT, -ENOSPC, -ENOMEM, or -ERESTARTNOINTR for a signal.
 */
int npheap_event_wait(struct npheap_heap *heap, u64 key, u64 expected,
		      u64 timeout)
{
	struct npheap_sleeper sleeper = { .task = current };
	struct npheap_lock *rec = rec_get(heap, key);

	if (IS_ERR(rec))
		return PTR_ERR(rec);
	if (!event_arm(rec, expected)) {
		rec_put(rec);
		return 0;
	}
	list_add_tail(&sleeper.node, &rec->sleepers);
	rec->pins++;
	rec_unlock(rec);
	sleeper_sleep(&sleeper, timeout);
	rec_lock(rec);
	rec->pins--;
	list_del(&sleeper.node);
	/* A notification for one must not end with one that is dying. */
	if (sleeper.woken && fatal_signal_pending(current))
		event_wake(rec, 1);
	event_disarm(rec, 0);
	rec_put(rec);
	if (sleeper.woken)
		return 0;
	return lock_timed_out(timeout) ? -ETIMEDOUT : -ERESTARTNOINTR;
}

/**
 * npheap_event_notify() - count an event, and wake who waits for it
 * @heap: the heap
 * @key: the key
 * @count: how many to wake at most
 *
 * Context: Process context.
 * Return: how many were woken.
 */
int npheap_event_notify(struct npheap_heap *heap, u64 key, u32 count)
{
	struct npheap_lock *rec = rec_find(heap, key);
	unsigned int woken;

	/* Whoever saw an event of this key will find a larger one. */
	if (!rec)
		return 0;
	woken = event_wake(rec, count);
	event_disarm(rec, 2);
	rec_unlock(rec);
	return min_t(unsigned int, woken, INT_MAX);
}
