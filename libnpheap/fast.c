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
 * A signal handler may interrupt any of this and use the same session.  It
 * finds it valid or not at all: what makes it valid is written last.
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

/* No epoch is this. */
#define NEVER UINT64_MAX

/*
 * Where the record of a key is.  @tag is the key plus 1, so that zeroed memory
 * holds none; @unlocked is the record's word when nobody has the lock.
 */
struct binding {
	uint64_t tag;
	struct npheap_record *record;
	uint64_t unlocked;
};

/* A thread's use of a descriptor. */
struct session {
	int fd;
	uint32_t owner;
	uint64_t epoch;
	const uint64_t *epoch_now;
	struct npheap_record *table;
	uint32_t slots;
	struct binding bindings[BINDINGS];
};

static __thread struct session *sessions[SESSIONS]
	__attribute__((tls_model("initial-exec")));
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;

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

static void make_key(void)
{
	pthread_key_create(&at_exit, free_sessions);
}

static const uint64_t no_epoch;

/* Not malloc(), which a handler must not call; mmap() is a system call. */
static struct session *session_new(void)
{
	struct session *s;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return NULL;
	s->fd = -1;
	s->epoch = NEVER;
	s->epoch_now = &no_epoch;
	pthread_once(&once, make_key);
	pthread_setspecific(at_exit, s);
	return s;
}

/* What was known under another number, the kernel does not know of this. */
static void session_fill(struct session *s, int fd,
			 const struct npheap_join *join)
{
	struct npheap_record *table = (void *)(uintptr_t)join->table_addr;

	if (s->owner && (s->owner != join->owner || s->table != table))
		memset(s->bindings, 0, sizeof(s->bindings));
	s->fd = fd;
	s->owner = join->owner;
	s->table = table;
	s->slots = join->slots;
	s->epoch_now = (const uint64_t *)(uintptr_t)join->epoch_addr;
}

/* NULL where the descriptor is of no heap, or not open for writing. */
static struct session *session_join(int fd)
{
	struct session **place = &sessions[fd % SESSIONS];
	struct npheap_join join;

	if (npheap_uapi_join(fd, &join))
		return NULL;
	if (!*place)
		*place = session_new();
	if (!*place)
		return NULL;
	(*place)->epoch = NEVER;
	atomic_signal_fence(memory_order_seq_cst);
	session_fill(*place, fd, &join);
	atomic_signal_fence(memory_order_seq_cst);
	(*place)->epoch = join.epoch;
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

static inline struct binding *binding_known(struct session *s, uint64_t key)
{
	struct binding *b = binding_place(s, key);

	/* A key out of range must not come out as the tag of no key. */
	return likely(b->tag == key + 1 && b->tag) ? b : NULL;
}

/* Swaps the word: @old and @new are what it has besides the generation. */
static inline bool binding_swap(struct binding *b, uint64_t old, uint64_t new)
{
	__u64 word = b->unlocked | old;

	return __atomic_compare_exchange_n(&b->record->word, &word,
					   b->unlocked | new, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* The record has gone to another key. */
static inline bool binding_is_over(const struct binding *b)
{
	uint64_t word = __atomic_load_n(&b->record->word, __ATOMIC_ACQUIRE);

	return (word ^ b->unlocked) >> 32;
}

static struct binding *binding_ask(struct session *s, uint64_t key)
{
	struct binding *b = binding_place(s, key);
	struct npheap_bind bind = { .key = key };

	if (npheap_uapi_bind(s->fd, &bind) || bind.slot >= s->slots)
		return NULL;
	b->tag = 0;
	atomic_signal_fence(memory_order_seq_cst);
	b->record = &s->table[bind.slot];
	b->unlocked = NPHEAP_WORD_GENERATION(bind.generation);
	atomic_signal_fence(memory_order_seq_cst);
	b->tag = key + 1;
	return b;
}

/*
 * Finds out what is not known.  NULL where the table is of no help: the ioctl
 * then does the work, or says what is wrong.
 */
static struct binding *learn(int fd, uint64_t key, struct session **session)
{
	struct session *s = fd < 0 ? NULL : session_known(fd);
	struct binding *b;

	if (!s && fd >= 0)
		s = session_join(fd);
	if (!s || key > NPHEAP_KEY_MAX)
		return NULL;
	*session = s;
	b = binding_known(s, key);
	return b && !binding_is_over(b) ? b : binding_ask(s, key);
}

/* ----------------------------------------------------------------- calls -- */

static inline bool take_known(int fd, uint64_t key)
{
	struct session *s = session_known(fd);
	struct binding *b = likely(s) ? binding_known(s, key) : NULL;

	return likely(b) && binding_swap(b, 0, s->owner);
}

static bool take_learning(int fd, uint64_t key)
{
	struct session *s;
	struct binding *b = learn(fd, key, &s);

	return b && binding_swap(b, 0, s->owner);
}

static __attribute__((noinline)) int lock_slowly(int fd, uint64_t key)
{
	return take_learning(fd, key) ? 0 : npheap_uapi_lock(fd, key);
}

int npheap_fast_lock(int fd, uint64_t key)
{
	return likely(take_known(fd, key)) ? 0 : lock_slowly(fd, key);
}

int npheap_fast_lock_args(int fd, const struct npheap_lock_args *args)
{
	/* Readers are on the kernel's account. */
	if (!(args->flags & NPHEAP_LOCK_SHARED) &&
	    (take_known(fd, args->key) || take_learning(fd, args->key)))
		return 0;
	return npheap_uapi_lock_args(fd, args);
}

static __attribute__((noinline)) int unlock_slowly(int fd, uint64_t key)
{
	struct session *s;
	struct binding *b = learn(fd, key, &s);

	if (b && binding_swap(b, s->owner, 0))
		return 0;
	return npheap_uapi_unlock(fd, key);
}

int npheap_fast_unlock(int fd, uint64_t key)
{
	struct session *s = session_known(fd);
	struct binding *b = likely(s) ? binding_known(s, key) : NULL;

	if (likely(b) && likely(binding_swap(b, s->owner, 0)))
		return 0;
	return unlock_slowly(fd, key);
}

/* False where the record went to another key while it was read. */
static inline bool size_read(const struct binding *b, uint64_t *size)
{
	if (unlikely(binding_is_over(b)))
		return false;
	*size = __atomic_load_n(&b->record->size, __ATOMIC_ACQUIRE);
	return likely(!binding_is_over(b));
}

int npheap_fast_size(int fd, uint64_t key, uint64_t *size)
{
	struct session *s = session_known(fd);
	struct binding *b = likely(s) ? binding_known(s, key) : NULL;

	if (likely(b) && likely(size_read(b, size)))
		return 0;
	b = learn(fd, key, &s);
	if (b && size_read(b, size))
		return 0;
	return npheap_uapi_size(fd, key, size);
}

/* Bit 0 says that somebody waits, and is no part of the count. */
static inline bool event_read(const struct binding *b, uint64_t *event)
{
	if (unlikely(binding_is_over(b)))
		return false;
	*event = __atomic_load_n(&b->record->event, __ATOMIC_ACQUIRE) & ~1ULL;
	return likely(!binding_is_over(b));
}

/* As event_read(); where the table is of no help, the kernel has the event. */
int npheap_fast_event(int fd, uint64_t key, uint64_t *event)
{
	struct npheap_event args = { .key = key };
	struct session *s = session_known(fd);
	struct binding *b = likely(s) ? binding_known(s, key) : NULL;
	int rc;

	if (likely(b) && likely(event_read(b, event)))
		return 0;
	b = learn(fd, key, &s);
	if (b && event_read(b, event))
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
static inline bool event_count(struct binding *b)
{
	/* Before the word: the event of another key shows in the word, then. */
	__u64 event = __atomic_load_n(&b->record->event, __ATOMIC_ACQUIRE);

	do {
		if (event & 1 || binding_is_over(b))
			return false;
	} while (!__atomic_compare_exchange_n(&b->record->event, &event,
					      event + 2, false,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return true;
}

int npheap_fast_notify(int fd, uint64_t key, uint32_t count)
{
	struct npheap_event args = { .key = key, .count = count };
	struct session *s = session_known(fd);
	struct binding *b = likely(s) ? binding_known(s, key) : NULL;

	if (likely(b) && likely(event_count(b)))
		return 0;
	return npheap_uapi_notify(fd, &args);
}
