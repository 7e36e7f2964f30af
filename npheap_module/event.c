// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: each key counts its notifications, and threads sleep until a count
 * changes.
 *
 * The count is in the record that user space shares, in steps of 2.  Bit 0 is
 * set while somebody wants to be told, and makes those who notify come here;
 * where it is not set they count by themselves.
 */
#include "record.h"
#include "trace.h"

#include <linux/sched/signal.h>

/**
 * struct npheap_sleeper - a thread that waits for a notification
 * @node: in the lock's sleeper_list until it is woken
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

/* Sets bit 0, unless the event is another than @expected. */
static bool event_arm_at(struct npheap_lock *rec, u64 expected)
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

/* Counts, and sets bit 0 to what it has to be. */
static void event_step(struct npheap_lock *rec, u64 step)
{
	u64 old = READ_ONCE(rec->shared->event);
	u64 armed = !list_empty(&rec->sleeper_list) || rec->armed;

	for (int i = 0; i < NPHEAP_MAX_TRIES; i++)
		if (event_swap(rec, &old, ((old & ~1ULL) + step) | armed))
			return;
	/* Nobody who keeps to the protocol changes it that often. */
	xchg(&rec->shared->event, ((old & ~1ULL) + step) | armed);
}

/**
 * npheap_event_settle() - set bit 0 to whether somebody wants to be told
 * @rec: the record, locked
 *
 * Context: Any that may take a spinlock.
 */
void npheap_event_settle(struct npheap_lock *rec)
{
	event_step(rec, 0);
}

static void sleeper_wake(struct npheap_lock *rec,
			 struct npheap_sleeper *sleeper)
{
	list_del_init(&sleeper->node);
	WRITE_ONCE(sleeper->woken, true);
	/* It takes rec->lock before its stack goes away. */
	npheap_rec_wake(rec, sleeper->task);
}

/*
 * Called with rec->lock held, which it lets go of now and then.  Those who
 * come after the count may be woken for nothing, but others are not made to
 * wait for it.
 */
static unsigned int event_wake(struct npheap_lock *rec, unsigned int count)
{
	unsigned int woken = 0;

	count = min(count, rec->sleepers);
	while (woken < count && !list_empty(&rec->sleeper_list)) {
		sleeper_wake(rec, list_first_entry(&rec->sleeper_list,
						   struct npheap_sleeper,
						   node));
		if (++woken % NPHEAP_BATCH == 0)
			npheap_rec_breathe(rec);
	}
	return woken;
}

/**
 * npheap_event_read() - the event of a key
 * @heap: the heap
 * @key: the key
 * @event: where to store it
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error of npheap_rec_get().
 */
int npheap_event_read(struct npheap_heap *heap, u64 key, u64 *event)
{
	struct npheap_owner *owner = npheap_owner_get(heap);
	struct npheap_lock *rec;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	rec = npheap_rec_bind(owner, key);
	if (IS_ERR(rec))
		return PTR_ERR(rec);
	*event = READ_ONCE(rec->shared->event) & ~1ULL;
	npheap_rec_unlock(rec);
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
 * Return: 0, -ETIMEDOUT, -ERESTARTNOINTR for a signal, or an error of
 * npheap_rec_get().
 */
int npheap_event_wait(struct npheap_heap *heap, u64 key, u64 expected,
		      u64 timeout)
{
	struct npheap_sleeper sleeper = { .task = current };
	struct npheap_lock *rec = npheap_rec_get(heap, key);

	if (IS_ERR(rec))
		return PTR_ERR(rec);
	if (!event_arm_at(rec, expected)) {
		npheap_rec_put(rec);
		return 0;
	}
	list_add_tail(&sleeper.node, &rec->sleeper_list);
	rec->sleepers++;
	npheap_rec_unlock(rec);
	npheap_point();
	npheap_sleep(timeout, &sleeper.woken);
	npheap_point();
	npheap_rec_lock(rec);
	rec->sleepers--;
	list_del(&sleeper.node);
	/* A notification for one must not end with one that is dying. */
	if (sleeper.woken && fatal_signal_pending(current))
		event_wake(rec, 1);
	npheap_event_settle(rec);
	npheap_rec_put(rec);
	if (sleeper.woken)
		return 0;
	return npheap_timed_out(timeout) ? -ETIMEDOUT : -ERESTARTNOINTR;
}

/**
 * npheap_event_notify() - count an event, and wake who waits for it
 * @heap: the heap
 * @key: the key
 * @count: how many to wake at most, besides all who watch the key
 *
 * Context: Process context, may sleep.
 * Return: how many were woken.
 */
int npheap_event_notify(struct npheap_heap *heap, u64 key, u32 count)
{
	struct npheap_lock *rec;
	unsigned int woken;

	npheap_point();
	rec = npheap_rec_find(heap, key);
	/* Whoever saw an event of this key will find a larger one. */
	if (!rec)
		return 0;
	event_step(rec, 2);
	npheap_point();
	woken = event_wake(rec, count);
	npheap_count(heap, notifies);
	trace_npheap_notify(key, woken);
	npheap_watch_tell(rec, NPHEAP_WATCH_NOTIFY);
	npheap_event_settle(rec);
	npheap_rec_put(rec);
	npheap_point();
	return min_t(unsigned int, woken, INT_MAX);
}
