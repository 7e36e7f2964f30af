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
 * (-ERESTARTNOINTR) and finds its place in the queue kept: its ticket.
 * Meanwhile it is absent and not in the queue, because a handler may run for
 * long, and may never return to the call at all.
 */
#include "record.h"
#include "trace.h"

#include <linux/freezer.h>
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>

/* A thread waits in so many places at most; handlers seldom nest that deep. */
#define NPHEAP_MAX_WAITS 16

/**
 * struct npheap_waiter - a thread's place in a queue
 * @node: in @rec->queue while it is present and nothing is granted
 * @owner_node: in @owner->waits
 * @rec: the lock
 * @owner: the thread
 * @reader: where it wants the lock together with others: what to hold it by
 * @ticket: its place
 * @granted: it holds the lock; set by the one who gave it back
 */
struct npheap_waiter {
	struct rb_node node;
	struct list_head owner_node;
	struct npheap_lock *rec;
	struct npheap_owner *owner;
	struct npheap_reader *reader;
	u64 ticket;
	bool granted;
};

/**
 * struct npheap_reader - a thread that holds a lock with others
 * @rec: the lock
 * @reign: of the lock when it was taken; another one now: it was broken since
 * @reported: the thread was told that a holder died
 *
 * Found by its thread in place of the generation in npheap_owner.known.
 */
struct npheap_reader {
	struct npheap_lock *rec;
	unsigned long reign;
	bool reported;
};

static bool word_held_by(u64 word, const struct npheap_owner *owner)
{
	return (word & NPHEAP_WORD_OWNER) == owner->id;
}

static bool rec_has_queue(const struct npheap_lock *rec)
{
	return !RB_EMPTY_ROOT(&rec->queue.rb_root);
}

/* What the word has to be, as far as the kernel knows, for this holder. */
static u64 rec_word(const struct npheap_lock *rec, u64 holder)
{
	return npheap_word_free(rec) | holder |
	       (rec->marked ? NPHEAP_WORD_MARKED : 0) |
	       (rec_has_queue(rec) ? NPHEAP_WORD_WAITERS : 0);
}

/* --------------------------------------------------------------- readers -- */

static struct npheap_reader *reader_new(struct npheap_owner *owner,
					struct npheap_lock *rec)
{
	struct npheap_reader *reader = owner->spare_reader;

	owner->spare_reader = NULL;
	*reader = (struct npheap_reader){ .rec = rec };
	return reader;
}

static void reader_grant(struct npheap_reader *reader)
{
	reader->reign = reader->rec->reign;
	reader->rec->readers++;
}

/* The thread knows the record, so there is a place: nothing is allocated. */
static void reader_keep(struct npheap_owner *owner,
			struct npheap_reader *reader)
{
	xa_store(&owner->known, reader->rec->slot, reader, 0);
}

static void reader_free(struct npheap_owner *owner,
			struct npheap_reader *reader)
{
	xa_store(&owner->known, reader->rec->slot,
		 xa_mk_value(reader->rec->generation), 0);
	kfree(reader);
}

/*
 * By what the thread reads.  One that was deposed learns it here, and is none.
 * Called with rec->lock held.
 */
static struct npheap_reader *reader_find(struct npheap_owner *owner,
					 struct npheap_lock *rec)
{
	struct npheap_reader *reader = xa_load(&owner->known, rec->slot);

	if (!reader || xa_is_value(reader))
		return NULL;
	if (reader->reign == rec->reign)
		return reader;
	rec->deposed--;
	reader_free(owner, reader);
	return NULL;
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

static bool waiter_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct npheap_waiter, node)->ticket <
	       rb_entry(b, struct npheap_waiter, node)->ticket;
}

static struct npheap_waiter *rec_first_waiter(const struct npheap_lock *rec)
{
	struct rb_node *node = rb_first_cached(&rec->queue);

	return node ? rb_entry(node, struct npheap_waiter, node) : NULL;
}

/* Its place is gone already.  The next wait may use the memory. */
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

	rb_erase_cached(&waiter->node, &rec->queue);
	rec->waiters--;
	if (waiter->reader)
		reader_grant(waiter->reader);
	WRITE_ONCE(waiter->granted, true);
	/* It takes rec->lock before it can go away. */
	npheap_rec_wake(rec, waiter->owner->task);
}

/*
 * Gives a lock that nobody, or only readers, hold to the first waiter, or to
 * the readers at the head of the queue.  Of many readers each, as it wakes up,
 * calls this again for some more.  The word may not be one that user space can
 * take at the same time: it is the caller's, or says "shared".
 */
static void rec_pass_on(struct npheap_lock *rec)
{
	u64 holder = rec->readers ? NPHEAP_WORD_SHARED : 0;
	struct npheap_waiter *waiter;

	lockdep_assert_held(&rec->lock);
	for (int i = 0; i < NPHEAP_BATCH; i++) {
		waiter = rec_first_waiter(rec);
		if (!waiter || (!waiter->reader && holder))
			break;
		holder = waiter->reader ? NPHEAP_WORD_SHARED :
			 waiter->owner->id;
		waiter_grant(waiter);
		if (!(holder & NPHEAP_WORD_SHARED))
			break;
	}
	xchg(&rec->shared->word, rec_word(rec, holder));
}

/* A waiter went away or absent, or got in: readers behind it may follow. */
static void rec_settle(struct npheap_lock *rec)
{
	if (rec->readers)
		rec_pass_on(rec);
}

/* It is absent. */
static void waiter_abandon(struct npheap_waiter *waiter)
{
	struct npheap_lock *rec = waiter->rec;

	npheap_rec_lock(rec);
	rec->waiters--;
	npheap_rec_put(rec);
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

/* Draws a ticket, with the memory prepared for it. */
static struct npheap_waiter *waiter_new(struct npheap_owner *owner,
					struct npheap_lock *rec, bool shared)
{
	struct npheap_waiter *waiter = owner->spare_waiter;

	lockdep_assert_held(&rec->lock);
	owner->spare_waiter = NULL;
	*waiter = (struct npheap_waiter){
		.rec = rec,
		.owner = owner,
		.ticket = rec->tickets++,
	};
	if (shared)
		waiter->reader = reader_new(owner, rec);
	rec->waiters++;
	list_add_tail(&waiter->owner_node, &owner->waits);
	owner->nr_waits++;
	rec->contended++;
	npheap_count(rec->heap, lock_contended);
	if (trace_npheap_lock_contended_enabled())
		trace_npheap_lock_contended(rec->key,
			npheap_rec_holder(rec, &init_pid_ns));
	return waiter;
}

/* ---------------------------------------------------------------- taking -- */

/* Takes a lock that is free. */
static bool rec_take(struct npheap_lock *rec, struct npheap_owner *owner)
{
	u64 new = rec_word(rec, owner->id);
	u64 old = npheap_word_read(rec);

	for (int i = 0; i < NPHEAP_MAX_TRIES && !npheap_word_held(old); i++)
		if (npheap_word_swap(rec, &old, new))
			return true;
	return false;
}

/* Takes a lock that is free or held by readers, behind whom nobody waits. */
static bool rec_take_shared(struct npheap_lock *rec)
{
	u64 new = rec_word(rec, NPHEAP_WORD_SHARED);
	u64 old = npheap_word_read(rec);

	for (int i = 0; i < NPHEAP_MAX_TRIES; i++) {
		if (old & NPHEAP_WORD_OWNER ||
		    (npheap_word_held(old) && rec_has_queue(rec)))
			return false;
		if (npheap_word_swap(rec, &old, new))
			return true;
	}
	return false;
}

/* Sees to it that unlocking comes here; false where that happened already. */
static bool rec_call_in(struct npheap_lock *rec)
{
	u64 old = npheap_word_read(rec);

	for (int i = 0; i < NPHEAP_MAX_TRIES; i++) {
		if (!npheap_word_held(old))
			return false;
		if (old & NPHEAP_WORD_WAITERS)
			return true;
		if (npheap_word_swap(rec, &old, old | NPHEAP_WORD_WAITERS))
			return true;
	}
	return false;
}

/**
 * npheap_sleep() - sleep until woken, a signal, or a time
 * @timeout: CLOCK_MONOTONIC in ns; U64_MAX: never
 * @woken: what the one who wakes sets before
 *
 * Context: Process context, sleeps.
 */
void npheap_sleep(u64 timeout, const bool *woken)
{
	ktime_t end = min_t(u64, timeout, KTIME_MAX);

	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		if (READ_ONCE(*woken) || signal_pending(current) ||
		    npheap_timed_out(timeout))
			break;
		if (timeout == U64_MAX)
			schedule();
		else
			schedule_hrtimeout(&end, HRTIMER_MODE_ABS);
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

	if (reader) {
		reader->reported = report;
		reader_keep(owner, reader);
	} else if (word_held_by(npheap_word_read(rec), owner)) {
		/* Or it was broken before the one who got it could run. */
		rec->reported = report;
	}
	npheap_count(owner->heap, lock_acquires);
	trace_npheap_lock_acquired(rec->key);
	npheap_rec_unlock(rec);
	npheap_point();
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

	rb_add_cached(&waiter->node, &rec->queue, waiter_before);
	/* Once it is granted only the word, which is user space's, holds it. */
	rec->pins++;
	npheap_rec_unlock(rec);
	npheap_point();
	npheap_sleep(timeout, &waiter->granted);
	npheap_point();
	npheap_rec_lock(rec);
	rec->pins--;
	if (!waiter->granted) {
		rb_erase_cached(&waiter->node, &rec->queue);
		rec_settle(rec);
		npheap_rec_unlock(rec);
		if (!npheap_timed_out(timeout))
			return -ERESTARTNOINTR;
		waiter_abandon(waiter);
		return -ETIMEDOUT;
	}
	if (reader)
		rec_settle(rec);
	waiter_free(waiter);
	/* It may have become so since the wait began. */
	lost = rec->lost;
	err = owner_take(owner, rec, reader, flags);
	if (err != -EOWNERDEAD || !lost)
		return err;
	npheap_lock_release(owner->heap, key);
	return -ENOTRECOVERABLE;
}

/* The lock was taken at once.  Called with rec->lock held. */
static int lock_taken(struct npheap_owner *owner, struct npheap_lock *rec,
		      struct npheap_waiter *waiter, u32 flags)
{
	struct npheap_reader *reader = NULL;

	if (flags & NPHEAP_LOCK_SHARED) {
		reader = reader_new(owner, rec);
		reader_grant(reader);
	}
	if (waiter) {
		rec->waiters--;
		kfree(waiter->reader);
		waiter_free(waiter);
	}
	return owner_take(owner, rec, reader, flags);
}

/* Whether the thread may not even ask.  Called with rec->lock held. */
static int lock_refusal(struct npheap_owner *owner, struct npheap_lock *rec,
			u32 flags)
{
	if (reader_find(owner, rec) ||
	    word_held_by(npheap_word_read(rec), owner))
		return -EDEADLK;
	if (rec->lost && flags & NPHEAP_LOCK_REPORT)
		return -ENOTRECOVERABLE;
	return 0;
}

/*
 * Where user space changes the word all the time, others get at the record now
 * and then.
 */
static int rec_try_later(struct npheap_lock *rec, u64 timeout)
{
	npheap_rec_breathe(rec);
	if (npheap_timed_out(timeout))
		return -ETIMEDOUT;
	return signal_pending(current) ? -ERESTARTNOINTR : 0;
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
		if (shared ? rec_take_shared(rec) : rec_take(rec, owner))
			return lock_taken(owner, rec, waiter, flags);
		if (!(flags & NPHEAP_LOCK_TRY) && rec_call_in(rec)) {
			if (!waiter)
				waiter = waiter_new(owner, rec, shared);
			return waiter_wait(waiter, flags, timeout);
		}
		if (flags & NPHEAP_LOCK_TRY)
			err = -EBUSY;
		else
			err = rec_try_later(rec, timeout) ?:
			      lock_refusal(owner, rec, flags);
	}
	npheap_rec_put(rec);
	/* It was away in a handler, and need not come back any more. */
	if (waiter && (err == -ETIMEDOUT || err == -ENOTRECOVERABLE))
		waiter_abandon(waiter);
	return err;
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
	npheap_point();
	err = owner_prepare(owner);
	if (err)
		return err;
	rec = npheap_rec_bind(owner, key);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	npheap_point();
	return lock_rec(owner, rec, flags, timeout);
}

/* --------------------------------------------------------------- release -- */

/* Called with rec->lock held, returns without it. */
static void reader_release(struct npheap_owner *owner,
			   struct npheap_reader *reader)
{
	struct npheap_lock *rec = reader->rec;

	trace_npheap_lock_released(rec->key);
	if (!--rec->readers)
		rec_pass_on(rec);
	reader_free(owner, reader);
	npheap_rec_put(rec);
}

/* Called with rec->lock held by the exclusive holder, returns without it. */
static void rec_release(struct npheap_lock *rec)
{
	trace_npheap_lock_released(rec->key);
	/* It was told of a death and did not call consistent. */
	if (rec->reported && rec->marked)
		rec->lost = true;
	rec->reported = false;
	npheap_point();
	rec_pass_on(rec);
	npheap_rec_put(rec);
	npheap_point();
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

	npheap_point();
	rec = owner ? npheap_rec_find(heap, key) : NULL;
	if (!rec)
		return -EPERM;
	reader = reader_find(owner, rec);
	if (reader) {
		reader_release(owner, reader);
		return 0;
	}
	if (!word_held_by(npheap_word_read(rec), owner)) {
		npheap_rec_put(rec);
		return -EPERM;
	}
	rec_release(rec);
	return 0;
}

/* What says whether the thread was told of a death; NULL: not the holder. */
static bool *reported_to(struct npheap_owner *owner, struct npheap_lock *rec)
{
	struct npheap_reader *reader = reader_find(owner, rec);

	if (reader)
		return &reader->reported;
	if (word_held_by(npheap_word_read(rec), owner))
		return &rec->reported;
	return NULL;
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
	struct npheap_lock *rec = owner ? npheap_rec_find(heap, key) : NULL;
	bool *reported = rec ? reported_to(owner, rec) : NULL;
	int err = 0;

	if (!reported) {
		err = -EPERM;
	} else if (!*reported) {
		err = -EINVAL;
	} else {
		*reported = false;
		rec->marked = false;
		rec->lost = false;
		xchg(&rec->shared->word,
		     rec_word(rec, rec->readers ? NPHEAP_WORD_SHARED :
						  owner->id));
	}
	if (rec)
		npheap_rec_unlock(rec);
	return err;
}

/* Called with rec->lock held, returns without it. */
static void rec_mark(struct npheap_lock *rec)
{
	rec->marked = true;
	rec->reported = false;
	rec_pass_on(rec);
	npheap_watch_tell(rec, NPHEAP_WATCH_DEATH);
	npheap_rec_put(rec);
}

/**
 * npheap_lock_break() - take a lock from whoever holds it
 * @heap: the heap
 * @key: the key
 *
 * Also what makes a lock usable again after its record was scribbled over.
 *
 * Context: Process context, may sleep.
 */
void npheap_lock_break(struct npheap_heap *heap, u64 key)
{
	struct npheap_lock *rec = npheap_rec_find(heap, key);

	if (!rec)
		return;
	rec->lost = false;
	/* Readers find out by themselves. */
	rec->reign++;
	rec->deposed += rec->readers;
	rec->readers = 0;
	rec_mark(rec);
}

/* ----------------------------------------------------------------- death -- */

/* The thread may have taken the lock under this binding of the slot. */
static void known_abandon(struct npheap_owner *owner, u32 slot, u32 generation)
{
	struct npheap_lock *rec;

	rcu_read_lock();
	rec = npheap_slot_find(owner->heap, slot);
	if (rec)
		npheap_rec_lock(rec);
	rcu_read_unlock();
	if (!rec)
		return;
	if (rec->dead || rec->generation != generation) {
		npheap_rec_unlock(rec);
		return;
	}
	rec->knowers--;
	if (!word_held_by(npheap_word_read(rec), owner)) {
		npheap_rec_put(rec);
		return;
	}
	rec->recovered++;
	npheap_count(owner->heap, lock_recovered);
	trace_npheap_owner_death(rec->key);
	rec_mark(rec);
}

/*
 * Who only read leaves no mark: the data is as it was.  Who was deposed may have
 * taken the lock for itself since.
 */
static void reader_abandon(struct npheap_owner *owner,
			   struct npheap_reader *reader)
{
	struct npheap_lock *rec = reader->rec;
	u32 generation = rec->generation;
	u32 slot = rec->slot;

	npheap_rec_lock(rec);
	reader = reader_find(owner, rec);
	if (!reader) {
		npheap_rec_unlock(rec);
		known_abandon(owner, slot, generation);
		return;
	}
	rec->recovered++;
	npheap_count(owner->heap, lock_recovered);
	rec->knowers--;
	reader_release(owner, reader);
}

/**
 * npheap_lock_abandon() - give back all that a thread holds or waits for
 * @owner: the thread, which is dying or will not come back
 *
 * Takes time in proportion to the number of locks that the thread ever knew.
 * Another call finds nothing left.
 *
 * Context: Process context, may sleep.
 */
void npheap_lock_abandon(struct npheap_owner *owner)
{
	struct npheap_waiter *waiter, *next;
	unsigned long slot;
	void *entry;

	list_for_each_entry_safe(waiter, next, &owner->waits, owner_node) {
		npheap_count(owner->heap, lock_waits_abandoned);
		waiter_abandon(waiter);
	}
	xa_for_each(&owner->known, slot, entry) {
		if (xa_is_value(entry))
			known_abandon(owner, slot, xa_to_value(entry));
		else
			reader_abandon(owner, entry);
		/* One by one: all at once would be with interrupts off. */
		xa_erase(&owner->known, slot);
		cond_resched();
	}
	xa_destroy(&owner->known);
}
