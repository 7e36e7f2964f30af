/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lock records from the inside, for the files that work on them: record.c,
 * lock.c, event.c and watch.c.
 */
#ifndef NPHEAP_RECORD_H
#define NPHEAP_RECORD_H

#include "npheap.h"

#include <linux/ktime.h>
#include <linux/sched/task.h>

/* User space may change a word between any two looks at it. */
#define NPHEAP_MAX_TRIES 64

/* So many threads are woken at most while a record is locked. */
#define NPHEAP_BATCH 64

/* The word of a lock that nobody holds and nothing is to be said of. */
static inline u64 npheap_word_free(const struct npheap_lock *rec)
{
	return NPHEAP_WORD_GENERATION(rec->generation);
}

static inline bool npheap_word_held(u64 word)
{
	return word & (NPHEAP_WORD_OWNER | NPHEAP_WORD_SHARED);
}

static inline u64 npheap_word_read(const struct npheap_lock *rec)
{
	return READ_ONCE(rec->shared->word);
}

static inline bool npheap_word_swap(struct npheap_lock *rec, u64 *old, u64 new)
{
	u64 found = cmpxchg(&rec->shared->word, *old, new);
	bool same = found == *old;

	*old = found;
	return same;
}

/*
 * Records pass between functions locked or not, depending on results, which
 * sparse cannot follow.  Lockdep checks these locks; sparse looks away here.
 */
static inline void npheap_rec_lock(struct npheap_lock *rec)
{
#ifndef __CHECKER__
	spin_lock(&rec->lock);
#endif
}

static inline void npheap_rec_unlock(struct npheap_lock *rec)
{
	struct task_struct *woken = rec->woken;

	rec->woken = NULL;
#ifndef __CHECKER__
	spin_unlock(&rec->lock);
#endif
	if (woken) {
		wake_up_process(woken);
		put_task_struct(woken);
	}
}

/*
 * Wakes a thread that waits at a locked record; the first one only after the
 * record is unlocked.  On another processor it would run at once, and spin on
 * rec->lock; or, if processors are virtual, displace the one that has it.
 */
static inline void npheap_rec_wake(struct npheap_lock *rec,
				   struct task_struct *task)
{
	if (rec->woken)
		wake_up_process(task);
	else
		rec->woken = get_task_struct(task);
}

/* Lets others get at a locked record, which stays where it is meanwhile. */
static inline void npheap_rec_breathe(struct npheap_lock *rec)
{
	rec->pins++;
	npheap_rec_unlock(rec);
	cond_resched();
	npheap_rec_lock(rec);
	rec->pins--;
}

static inline bool npheap_timed_out(u64 timeout)
{
	return timeout != U64_MAX && ktime_get_ns() >= timeout;
}

/* record.c */
struct npheap_lock *npheap_rec_find(struct npheap_heap *heap, u64 key);
struct npheap_lock *npheap_rec_get(struct npheap_heap *heap, u64 key);
struct npheap_lock *npheap_rec_bind(struct npheap_owner *owner, u64 key);
void npheap_rec_put(struct npheap_lock *rec);
pid_t npheap_rec_holder(struct npheap_lock *rec, struct pid_namespace *ns);

/* lock.c */
void npheap_sleep(u64 timeout, const bool *woken);

/* event.c */
void npheap_event_settle(struct npheap_lock *rec);

/* watch.c */
void npheap_watch_tell(struct npheap_lock *rec, u32 events);

#endif
