/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a thread knows: its number as an owner, and where the records of keys
 * are in the table that the kernel shares (npheap/npheap.h).
 *
 * All of that is checked at every use: the first against the epoch, the second
 * by the generation in the very word that is swapped.  So none of it needs to
 * be told when it becomes wrong, and no thread waits for another here.
 *
 * A signal handler may interrupt any of this and use the same session.  While
 * a session is being written the handler's calls go by ioctl; and who only
 * reads takes copies, checks after that whose they are, and uses the copies.
 */
#ifndef NPHEAP_SESSION_H
#define NPHEAP_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "internal.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* A descriptor has the place of its number, modulo this. */
#define SESSIONS 4

/*
 * Keys whose records a session remembers, a power of two.  Each has two places to
 * be at, as two of 64 keys that hash at random often have the same first one.
 */
#define BINDINGS_SHIFT 12
#define BINDINGS (1u << BINDINGS_SHIFT)

/*
 * Where the record of a key is.  @tag is the key plus 1, so that zeroed memory
 * holds none; @unlocked is the record's word when nobody has the lock.  For a
 * record that is not in the table there is one on which every swap fails, and
 * @unlocked is the number of calls to be made by ioctl.  @written: the number of
 * the write that made it.
 */
struct binding {
	uint64_t tag;
	struct npheap_record *record;
	uint64_t unlocked;
	uint64_t written;
} __attribute__((aligned(32)));

/* Of its size in bytes. */
#define BINDING_SHIFT 5
_Static_assert(sizeof(struct binding) == 1 << BINDING_SHIFT,
	       "a place is found by its offset");

/* Attachments that a session remembers; a power of two. */
#define ATTACHED_SHIFT 8
#define ATTACHED (1u << ATTACHED_SHIFT)

/* An attachment (attach.c) of a key, and which of its uses is meant. */
struct attached {
	uint64_t tag;
	struct attachment *attachment;
	uint64_t serial;
};

/*
 * A thread's use of a descriptor.  @writing: see above.  @spins: how many looks
 * at a lock that is held seem to be worth it.  @writes: of bindings.
 */
struct session {
	int fd;
	bool writing;
	uint32_t owner;
	uint64_t epoch;
	const struct npheap_epoch *epoch_now;
	struct npheap_record *table;
	uint32_t slots;
	int spins;
	uint64_t writes;
	/* The two places of a key are in one cache line. */
	struct binding bindings[BINDINGS]
		__attribute__((aligned(2 * sizeof(struct binding))));
	struct attached attached[ATTACHED];
};

/* So many looks at most; 0 where there is one processor. */
extern int npheap_max_spins;
/* No other thread of this process ever has this number; 0 is nobody. */
extern __thread uint64_t npheap_thread
	__attribute__((tls_model("initial-exec")));
/*
 * What is written between these is written whole, as far as a handler in the
 * same thread can tell: it leaves a session alone that is being written.
 */
static inline void write_begin(struct session *s)
{
	s->writing = true;
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void write_end(struct session *s)
{
	atomic_signal_fence(memory_order_seq_cst);
	s->writing = false;
}

extern __thread struct session *npheap_sessions[SESSIONS]
	__attribute__((tls_model("initial-exec")));

/* The session, where it still holds. */
static inline struct session *session_known(int fd)
{
	struct session *s = npheap_sessions[(unsigned int)fd % SESSIONS];

	if (likely(s && s->fd == fd &&
		   __atomic_load_n(&s->epoch_now->epoch, __ATOMIC_ACQUIRE) ==
		   s->epoch))
		return s;
	return NULL;
}

/* Multiplicative hashing: Knuth, TAOCP 3, 6.4; 2^64 / golden ratio. */
static inline uint64_t hash_of(uint64_t key, unsigned int bits)
{
	return key * 0x9e3779b97f4a7c15 >> (64 - bits);
}

/* The first place of a key.  By its offset, as gcc 12 shifts an index twice. */
static inline struct binding *binding_place(struct session *s, uint64_t key)
{
	size_t offset = hash_of(key, BINDINGS_SHIFT + BINDING_SHIFT) &
			-sizeof(struct binding);

	return (struct binding *)((char *)s->bindings + offset);
}

/* The second, which is the first of others. */
static inline struct binding *binding_beside(struct binding *b)
{
	return (struct binding *)((uintptr_t)b ^ sizeof(*b));
}

static inline struct attached *attached_place(struct session *s, uint64_t key)
{
	return &s->attached[hash_of(key, ATTACHED_SHIFT)];
}

static inline uint64_t session_unmapped(const struct session *s)
{
	return __atomic_load_n(&s->epoch_now->unmapped, __ATOMIC_ACQUIRE);
}

/* A copy of a binding, with the number to put into the word. */
struct target {
	struct npheap_record *record;
	uint64_t unlocked;
	uint64_t owner;
};

static inline bool binding_copy(const struct binding *b,
				const struct session *s, uint64_t key,
				struct target *t)
{
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

static inline bool binding_known(struct session *s, uint64_t key,
				 struct target *t)
{
	struct binding *b = binding_place(s, key);

	return likely(binding_copy(b, s, key, t)) ||
	       binding_copy(binding_beside(b), s, key, t);
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

/* What is known of the key at its first place, where the session still holds. */
static inline bool known(int fd, uint64_t key, struct target *t)
{
	struct session *s = session_known(fd);

	return likely(s) && binding_copy(binding_place(s, key), s, key, t);
}

/*
 * Finds out what is not known at the first place.  False where the table is of no help: the ioctl
 * then does the work, or says what is wrong.
 */
bool npheap_learn(int fd, uint64_t key, struct target *t);

#endif
