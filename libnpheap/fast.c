// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Locks, sizes and events without system calls, on the table of records that
 * the kernel shares (npheap/npheap.h says how it is to be used).
 *
 * Each thread keeps for itself what it knows: its number as an owner, and
 * where the records of keys are.  All of that is checked at every use: the
 * first against the epoch, the second by the generation in the very word that
 * is swapped.  So none of it needs to be told when it becomes wrong, and no
 * thread waits for another here.
 *
 * A signal handler may interrupt any of this and use the same session.  While
 * a session is being written the handler's calls go by ioctl; and who only
 * reads takes copies, checks after that whose they are, and uses the copies.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* So many descriptors of heaps may a thread use in turn without a joining. */
#define SESSIONS 4

/* Keys whose records a session remembers; a power of two. */
#define BINDINGS_SHIFT 12
#define BINDINGS (1u << BINDINGS_SHIFT)

/* Where the table was of no help, so many calls go by before a new attempt. */
#define CALLS_BY_IOCTL 64

/* No epoch is this. */
#define NEVER UINT64_MAX

/*
 * Where the record of a key is.  @tag is the key plus 1, so that zeroed memory
 * holds none; @unlocked is the record's word when nobody has the lock.  Where
 * the record is not in the table, @record is &out_of_reach for so many calls.
 */
struct binding {
	uint64_t tag;
	struct npheap_record *record;
	uint64_t unlocked;
	uint64_t calls_by_ioctl;
};

/* Its generation is none that a binding has, so every use of it fails. */
static struct npheap_record out_of_reach = { .word = UINT64_MAX };

/*
 * A descriptor that was refused a joining.  Where this is wrong, because the
 * number was reused, a fork came, or a handler and its caller both wrote, some
 * calls are made that need not be, and nothing else.
 */
struct refusal {
	int fd;
	unsigned int calls_by_ioctl;
};

/* A thread's use of a descriptor.  @writing: see above. */
struct session {
	int fd;
	bool writing;
	uint32_t owner;
	uint64_t epoch;
	const uint64_t *epoch_now;
	struct npheap_record *table;
	uint32_t slots;
	struct binding bindings[BINDINGS];
};

static __thread struct session *sessions[SESSIONS]
	__attribute__((tls_model("initial-exec")));
static __thread struct refusal refusals[SESSIONS]
	__attribute__((tls_model("initial-exec")));
static pthread_key_t at_exit;
static bool at_exit_works;

/* -------------------------------------------------------------- sessions -- */

static void free_sessions(void *unused)
{
	(void)unused;
	for (int i = 0; i < SESSIONS; i++) {
		struct session *s = sessions[i];

		sessions[i] = NULL;
		if (s)
			munmap(s, sizeof(*s));
	}
}

/*
 * Not at the first use, which may be a handler's, and before all constructors
 * that may lock.  As one of the first keys it needs no memory in a thread.
 */
static __attribute__((constructor(101))) void make_key(void)
{
	at_exit_works = !pthread_key_create(&at_exit, free_sessions);
}

static const uint64_t no_epoch;

/*
 * Not malloc(), which a handler must not call; mmap() is a system call.  None
 * where nobody would free it.
 */
static struct session *session_new(void)
{
	struct session *s;

	if (!at_exit_works || pthread_setspecific(at_exit, sessions))
		return NULL;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return NULL;
	s->fd = -1;
	s->epoch = NEVER;
	s->epoch_now = &no_epoch;
	return s;
}

/* What was known under another number, the kernel does not know of this. */
static void session_fill(struct session *s, int fd,
			 const struct npheap_join *join)
{
	struct npheap_record *table = (void *)(uintptr_t)join->table_addr;

	if (s->owner && (s->owner != join->owner || s->table != table ||
			 !*s->epoch_now))
		memset(s->bindings, 0, sizeof(s->bindings));
	s->fd = fd;
	s->owner = join->owner;
	s->table = table;
	s->slots = join->slots;
	s->epoch_now = (const uint64_t *)(uintptr_t)join->epoch_addr;
}

static bool was_refused(int fd)
{
	struct refusal *r = &refusals[fd % SESSIONS];

	if (r->fd != fd || !r->calls_by_ioctl)
		return false;
	r->calls_by_ioctl--;
	return true;
}

static struct session *session_refused(int fd)
{
	refusals[fd % SESSIONS] = (struct refusal){ fd, CALLS_BY_IOCTL };
	return NULL;
}

/* NULL where the descriptor is of no heap, or not open for writing. */
static struct session *session_join(int fd)
{
	struct session **place = &sessions[fd % SESSIONS];
	struct npheap_join join;

	if (was_refused(fd))
		return NULL;
	if (!*place)
		*place = session_new();
	if (!*place)
		return session_refused(fd);
	if ((*place)->writing)
		return NULL;
	if (npheap_uapi_join(fd, &join))
		return session_refused(fd);
	(*place)->writing = true;
	(*place)->epoch = NEVER;
	atomic_signal_fence(memory_order_seq_cst);
	session_fill(*place, fd, &join);
	atomic_signal_fence(memory_order_seq_cst);
	(*place)->epoch = join.epoch;
	(*place)->writing = false;
	return *place;
}

/* The session, where it still holds. */
static inline struct session *session_known(int fd)
{
	struct session *s = sessions[(unsigned int)fd % SESSIONS];

	if (likely(s && s->fd == fd &&
		   __atomic_load_n(s->epoch_now, __ATOMIC_ACQUIRE) == s->epoch))
		return s;
	return NULL;
}

/* -------------------------------------------------------------- bindings -- */

static inline struct binding *binding_place(struct session *s, uint64_t key)
{
	/* Multiplicative hashing: Knuth, TAOCP 3, 6.4; 2^64 / golden ratio. */
	return &s->bindings[key * 0x9e3779b97f4a7c15 >> (64 - BINDINGS_SHIFT)];
}

/* A copy of a binding, with the number to put into the word. */
struct target {
	struct npheap_record *record;
	uint64_t unlocked;
	uint64_t owner;
};

static inline bool binding_known(struct session *s, uint64_t key,
				 struct target *t)
{
	const struct binding *b = binding_place(s, key);

	t->record = b->record;
	atomic_signal_fence(memory_order_seq_cst);
	t->unlocked = b->unlocked;
	t->owner = s->owner;
	atomic_signal_fence(memory_order_seq_cst);
	/* A key out of range must not come out as the tag of no key. */
	return likely(b->tag == key + 1 && b->tag) &&
	       /* A handler may have found the same key elsewhere. */
	       likely(b->record == t->record);
}

/* Swaps the word: @old and @new are what it has besides the generation. */
static inline bool target_swap(const struct target *t, uint64_t old,
			       uint64_t new)
{
	__u64 word = t->unlocked | old;

	return __atomic_compare_exchange_n(&t->record->word, &word,
					   t->unlocked | new, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* The record has gone to another key. */
static inline bool target_is_over(const struct target *t)
{
	uint64_t word = __atomic_load_n(&t->record->word, __ATOMIC_ACQUIRE);

	return (word ^ t->unlocked) >> 32;
}

static void binding_write(struct session *s, uint64_t key,
			  const struct target *t)
{
	struct binding *b = binding_place(s, key);

	s->writing = true;
	b->tag = 0;
	atomic_signal_fence(memory_order_seq_cst);
	b->record = t->record;
	b->unlocked = t->unlocked;
	b->calls_by_ioctl = CALLS_BY_IOCTL;
	atomic_signal_fence(memory_order_seq_cst);
	b->tag = key + 1;
	s->writing = false;
}

static bool binding_ask(struct session *s, uint64_t key, struct target *t)
{
	struct npheap_bind bind = { .key = key };

	if (s->writing || npheap_uapi_bind(s->fd, &bind))
		return false;
	*t = (struct target){ &out_of_reach, 0, s->owner };
	if (bind.slot < s->slots) {
		t->record = &s->table[bind.slot];
		t->unlocked = NPHEAP_WORD_GENERATION(bind.generation);
	}
	binding_write(s, key, t);
	return t->record != &out_of_reach;
}

/* The record is not in the table, or was not lately. */
static bool binding_is_out_of_reach(struct session *s, uint64_t key,
				    const struct target *t)
{
	struct binding *b = binding_place(s, key);

	if (t->record != &out_of_reach || !b->calls_by_ioctl)
		return false;
	b->calls_by_ioctl--;
	return true;
}

/* What is known of the key, where the session still holds. */
static inline bool known(int fd, uint64_t key, struct target *t)
{
	struct session *s = session_known(fd);

	return likely(s) && binding_known(s, key, t);
}

/*
 * Finds out what is not known.  False where the table is of no help: the ioctl
 * then does the work, or says what is wrong.
 */
static bool learn(int fd, uint64_t key, struct target *t)
{
	struct session *s = fd < 0 ? NULL : session_known(fd);

	if (!s && fd >= 0)
		s = session_join(fd);
	if (!s || key > NPHEAP_KEY_MAX)
		return false;
	if (binding_known(s, key, t)) {
		if (!target_is_over(t))
			return true;
		if (binding_is_out_of_reach(s, key, t))
			return false;
	}
	return binding_ask(s, key, t);
}

/* ----------------------------------------------------------------- calls -- */

static inline bool take_known(int fd, uint64_t key)
{
	struct target t;

	return likely(known(fd, key, &t)) && target_swap(&t, 0, t.owner);
}

static __attribute__((noinline)) bool take_learning(int fd, uint64_t key)
{
	struct target t;

	return learn(fd, key, &t) && target_swap(&t, 0, t.owner);
}

static __attribute__((noinline)) int lock_slowly(int fd, uint64_t key)
{
	return take_learning(fd, key) ? 0 : npheap_uapi_lock(fd, key);
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

	if (!(flags & NPHEAP_LOCK_SHARED) && take_learning(fd, key))
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

	if (learn(fd, key, &t) && target_swap(&t, t.owner, 0))
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
	if (learn(fd, key, &t) && size_read(&t, size))
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
	if (learn(fd, key, &t) && event_read(&t, event))
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
	return true;
}

static __attribute__((noinline)) int notify_slowly(int fd, uint64_t key,
						   uint32_t count)
{
	struct npheap_event args = { .key = key, .count = count };
	struct target t;

	if (learn(fd, key, &t) && event_count(&t))
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
