// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Locks, sizes and events without system calls, on the table of records that
 * the kernel shares (npheap/npheap.h says how it is to be used).
 */
#include <time.h>

#include "session.h"

static inline bool take_known(int fd, uint64_t key)
{
	struct target t;

	return likely(known(fd, key, &t)) && target_swap(&t, 0, t.owner);
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" : : : "memory");
#endif
}

/*
 * Whoever holds the lock may be about to give it back.  How long to look
 * adapts as glibc's PTHREAD_MUTEX_ADAPTIVE_NP does (pthread_mutex_lock.c).
 * Where somebody waits, the lock will be handed on, and where it is marked or
 * has readers, the kernel has a say: then there is nothing to look for.
 */
static bool take_spinning(struct session *s, const struct target *t)
{
	int limit = s->spins * 2 + 10, n;
	bool taken = false;

	if (limit > npheap_max_spins)
		limit = npheap_max_spins;
	for (n = 0; n < limit && !taken; n++) {
		uint64_t word = __atomic_load_n(&t->record->word,
						__ATOMIC_RELAXED);
		uint64_t more = word ^ t->unlocked;

		if (more & ~NPHEAP_WORD_OWNER || more == t->owner)
			break;
		if (more)
			relax();
		else
			taken = target_swap(t, 0, t->owner);
	}
	s->spins += (n - s->spins) / 8;
	return taken;
}

static bool is_past(uint64_t deadline)
{
	struct timespec now;

	if (deadline == NPHEAP_FOREVER)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec >= deadline;
}

static __attribute__((noinline)) bool take_slowly(int fd, uint64_t key,
						  uint32_t flags,
						  uint64_t deadline)
{
	struct target t;

	if (flags & NPHEAP_LOCK_SHARED || !npheap_learn(fd, key, &t))
		return false;
	if (target_swap(&t, 0, t.owner))
		return true;
	return !(flags & NPHEAP_LOCK_TRY) && npheap_max_spins &&
	       !is_past(deadline) &&
	       take_spinning(npheap_sessions[fd % SESSIONS], &t);
}

static __attribute__((noinline)) int lock_slowly(int fd, uint64_t key)
{
	return take_slowly(fd, key, 0, NPHEAP_FOREVER) ?
		       0 :
		       npheap_uapi_lock(fd, key);
}

int npheap_fast_lock(int fd, uint64_t key)
{
	return likely(take_known(fd, key)) ? 0 : lock_slowly(fd, key);
}

static __attribute__((noinline)) int lock_with_slowly(int fd, uint64_t key,
						      uint32_t flags,
						      uint64_t timeout)
{
	struct npheap_lock_args args = {
		.key = key, .flags = flags, .timeout = timeout,
	};

	if (take_slowly(fd, key, flags, timeout))
		return 0;
	return npheap_uapi_lock_args(fd, &args);
}

int npheap_fast_lock_with(int fd, uint64_t key, uint32_t flags,
			  uint64_t timeout)
{
	/* Readers are on the kernel's account. */
	if (likely(!(flags & NPHEAP_LOCK_SHARED)) && likely(take_known(fd, key)))
		return 0;
	return lock_with_slowly(fd, key, flags, timeout);
}

static __attribute__((noinline)) int unlock_slowly(int fd, uint64_t key)
{
	struct target t;

	if (npheap_learn(fd, key, &t) && target_swap(&t, t.owner, 0))
		return 0;
	return npheap_uapi_unlock(fd, key);
}

int npheap_fast_unlock(int fd, uint64_t key)
{
	struct target t;

	if (likely(known(fd, key, &t)) && likely(target_swap(&t, t.owner, 0)))
		return 0;
	return unlock_slowly(fd, key);
}

/* False where the record went to another key while it was read. */
static inline bool size_read(const struct target *t, uint64_t *size)
{
	uint64_t found;

	if (unlikely(target_is_over(t)))
		return false;
	found = __atomic_load_n(&t->record->size, __ATOMIC_ACQUIRE);
	*size = found;
	return likely(!target_is_over(t));
}

int npheap_fast_size(int fd, uint64_t key, uint64_t *size)
{
	struct target t;

	if (likely(known(fd, key, &t)) && likely(size_read(&t, size)))
		return 0;
	if (npheap_learn(fd, key, &t) && size_read(&t, size))
		return 0;
	return npheap_uapi_size(fd, key, size);
}

/* Bit 0 says that somebody waits, and is no part of the count. */
static inline bool event_read(const struct target *t, uint64_t *event)
{
	if (unlikely(target_is_over(t)))
		return false;
	*event = __atomic_load_n(&t->record->event, __ATOMIC_ACQUIRE) & ~1ULL;
	return likely(!target_is_over(t));
}

/* As event_read(); where the table is of no help, the kernel has the event. */
int npheap_fast_event(int fd, uint64_t key, uint64_t *event)
{
	struct npheap_event args = { .key = key };
	struct target t;
	int rc;

	if (likely(known(fd, key, &t)) && likely(event_read(&t, event)))
		return 0;
	if (npheap_learn(fd, key, &t) && event_read(&t, event))
		return 0;
	rc = npheap_uapi_event(fd, &args);
	if (!rc)
		*event = args.event;
	return rc;
}

/*
 * Counts where nobody waits.  One compare-and-swap, so that there is no
 * moment at which a notification is counted and its waiters are not woken,
 * and in which its maker could die.
 *
 * It says nothing to those who know the key's next record, if it has one.  What
 * the caller wrote may still have been on its way when the word was looked at,
 * and a waiter have missed it; so the word is looked at again, behind all that.
 */
static inline bool event_count(const struct target *t)
{
	/* Before the word: the event of another key shows in the word, then. */
	__u64 event = __atomic_load_n(&t->record->event, __ATOMIC_ACQUIRE);

	do {
		if (event & 1 || target_is_over(t))
			return false;
	} while (!__atomic_compare_exchange_n(&t->record->event, &event,
					      event + 2, false,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !target_is_over(t);
}

static __attribute__((noinline)) int notify_slowly(int fd, uint64_t key,
						   uint32_t count)
{
	struct npheap_event args = { .key = key, .count = count };
	struct target t;

	if (npheap_learn(fd, key, &t) && event_count(&t))
		return 0;
	return npheap_uapi_notify(fd, &args);
}

int npheap_fast_notify(int fd, uint64_t key, uint32_t count)
{
	struct target t;

	if (likely(known(fd, key, &t)) && likely(event_count(&t)))
		return 0;
	return notify_slowly(fd, key, count);
}
