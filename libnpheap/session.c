// SPDX-License-Identifier: LGPL-2.1-or-later
/* Joining heaps and finding records: what takes system calls. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "session.h"

/* Less than 2 us where a look takes longest: 140 cycles, on Intel's Skylake. */
#define MAX_SPINS 40

/* Where the table was of no help, so many calls go by before a new attempt. */
#define CALLS_BY_IOCTL 64

/* No epoch is this, nor the number of a thread that has joined. */
#define NEVER UINT64_MAX

/* Nothing that a thread knows is like its word, so every use of it fails. */
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

__thread uint64_t npheap_thread = NEVER;
__thread struct session *npheap_sessions[SESSIONS];
static __thread struct refusal refusals[SESSIONS]
	__attribute__((tls_model("initial-exec")));
int npheap_max_spins;
static pthread_key_t at_exit;
static bool at_exit_works;

static void free_sessions(void *unused)
{
	(void)unused;
	for (int i = 0; i < SESSIONS; i++) {
		struct session *s = npheap_sessions[i];

		npheap_sessions[i] = NULL;
		if (s)
			munmap(s, sizeof(*s));
	}
}

/*
 * Not at the first use, which may be a handler's, and before all constructors
 * that may lock.  As one of the first 32 keys it needs no memory in a thread;
 * who loads the library after many others had better not let a handler be the
 * first to lock in a thread.
 */
static __attribute__((constructor(101))) void begin(void)
{
	at_exit_works = !pthread_key_create(&at_exit, free_sessions);
	/* On a single one, whoever holds a lock cannot give it back meanwhile. */
	npheap_max_spins = get_nprocs() > 1 ? MAX_SPINS : 0;
}

static const struct npheap_epoch no_epoch;

/*
 * Not malloc(), which a handler must not call; mmap() is a system call.  None
 * where nobody would free it.
 */
static struct session *session_new(void)
{
	struct session *s;

	if (!at_exit_works || pthread_setspecific(at_exit, npheap_sessions))
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

static void number_thread(void)
{
	static uint64_t threads;

	if (npheap_thread == NEVER)
		npheap_thread = __atomic_add_fetch(&threads, 1,
						   __ATOMIC_RELAXED);
}

static void session_forget(struct session *s)
{
	memset(s->bindings, 0, sizeof(s->bindings));
	memset(s->attached, 0, sizeof(s->attached));
}

/* What was known under another number, the kernel does not know of this. */
static void session_fill(struct session *s, int fd,
			 const struct npheap_join *join)
{
	struct npheap_record *table = (void *)(uintptr_t)join->table_addr;

	if (s->owner && (s->owner != join->owner || s->table != table ||
			 !s->epoch_now->epoch))
		session_forget(s);
	s->fd = fd;
	s->owner = join->owner;
	s->table = table;
	s->slots = join->slots;
	s->epoch_now = (const void *)(uintptr_t)join->epoch_addr;
}

static bool was_refused(int fd)
{
	struct refusal *r = &refusals[fd % SESSIONS];
	unsigned int left = r->calls_by_ioctl;

	if (r->fd != fd || !left)
		return false;
	/* Not counted down: a handler may have done so, too. */
	r->calls_by_ioctl = left - 1;
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
	struct session **place = &npheap_sessions[fd % SESSIONS];
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
	number_thread();
	write_begin(*place);
	(*place)->epoch = NEVER;
	atomic_signal_fence(memory_order_seq_cst);
	session_fill(*place, fd, &join);
	atomic_signal_fence(memory_order_seq_cst);
	(*place)->epoch = join.epoch;
	write_end(*place);
	return *place;
}

/* Whoever interrupts this finds no key in @b, or the one with its binding. */
static void binding_put(struct binding *b, const struct binding *new)
{
	b->tag = 0;
	atomic_signal_fence(memory_order_seq_cst);
	b->record = new->record;
	b->unlocked = new->unlocked;
	b->written = new->written;
	atomic_signal_fence(memory_order_seq_cst);
	b->tag = new->tag;
}

/* At its first place; what is there goes to the second, if that is older. */
static void binding_write(struct session *s, uint64_t key,
			  const struct target *t)
{
	struct binding new = { key + 1, t->record, t->unlocked, 0 };
	struct binding *b = binding_place(s, key);
	struct binding *beside = binding_beside(b);

	write_begin(s);
	new.written = ++s->writes;
	if (b->tag != new.tag &&
	    (beside->tag == new.tag || b->written > beside->written))
		binding_put(beside, b);
	binding_put(b, &new);
	write_end(s);
}

/* From its second place, where it was found, to the first one. */
static void binding_promote(struct session *s, uint64_t key)
{
	struct binding *b = binding_place(s, key);
	struct binding *beside = binding_beside(b);
	struct binding first;

	if (b->tag == key + 1 || s->writing)
		return;
	write_begin(s);
	if (beside->tag == key + 1) {
		first = *b;
		binding_put(b, beside);
		b->written = ++s->writes;
		binding_put(beside, &first);
	}
	write_end(s);
}

static bool binding_ask(struct session *s, uint64_t key, struct target *t)
{
	struct npheap_bind bind = { .key = key };

	if (s->writing || npheap_uapi_bind(s->fd, &bind))
		return false;
	/* A handler may have forked, and this be the child, whom nobody told. */
	if (session_known(s->fd) != s)
		return false;
	*t = (struct target){ &out_of_reach, CALLS_BY_IOCTL, s->owner };
	if (bind.slot < s->slots) {
		t->record = &s->table[bind.slot];
		t->unlocked = NPHEAP_WORD_GENERATION(bind.generation);
	}
	binding_write(s, key, t);
	return t->record != &out_of_reach;
}

/*
 * The record is not in the table, or was not lately.  A handler may have counted
 * down, too, and put another binding here, so only what was looked at is.
 */
static bool binding_is_out_of_reach(struct session *s, uint64_t key,
				    const struct target *t)
{
	struct binding *b = binding_place(s, key);
	uint64_t left = t->unlocked;

	if (t->record != &out_of_reach || !left)
		return false;
	if (b->tag != key + 1)
		b = binding_beside(b);
	__atomic_compare_exchange_n(&b->unlocked, &left, left - 1, false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return true;
}

bool npheap_learn(int fd, uint64_t key, struct target *t)
{
	struct session *s = fd < 0 ? NULL : session_known(fd);

	if (!s && fd >= 0)
		s = session_join(fd);
	if (!s || key > NPHEAP_KEY_MAX)
		return false;
	if (binding_known(s, key, t)) {
		if (!target_is_over(t)) {
			binding_promote(s, key);
			return true;
		}
		if (binding_is_out_of_reach(s, key, t))
			return false;
	}
	return binding_ask(s, key, t);
}
