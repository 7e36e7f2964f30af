// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Attachments: an object is mapped once in a process, and counted from then on.
 *
 * The process keeps a table of them, which a mutex protects.  Each thread also
 * remembers, by key, the attachment that it used last, and takes a reference of
 * that without the mutex: serial number and count are one word, so a reference
 * can be taken only of what is in use and is what the thread remembers.
 * Attachments are used again, but their memory is never given back.
 *
 * Whether an attachment is still that of its key's object, the key's record
 * tells; whether it is still mapped, the epoch page does (see npheap/npheap.h).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/types.h>

#include "session.h"

/* Of an attachment's state: the count, and above it the serial number. */
#define REFS_BITS 24
#define REFS ((1ULL << REFS_BITS) - 1)

/*
 * @public: what the caller sees; the first member
 * @state: serial number and count
 * @object: the number of the object
 * @number: by which the kernel knows the attachment
 * @unmapped: the process's word at which it was seen to be mapped
 * @device: the heap
 * @writable: or not
 * @next: in the table, or of those that are not in use
 */
struct attachment {
	struct npheap_mapping public;
	_Atomic uint64_t state;
	_Atomic uint64_t object;
	_Atomic uint64_t unmapped;
	uint64_t number;
	dev_t device;
	bool writable;
	struct attachment *next;
};

#define BUCKETS_SHIFT 12

/*
 * Under the mutex nothing is allocated: an allocator may take locks of its own
 * when the process forks, as this file does.
 */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct attachment *table[1 << BUCKETS_SHIFT];
static struct attachment *unused;
static uint64_t serials;

/* A child has all attachments, and no thread that is changing the table. */
static void table_lock(void)
{
	pthread_mutex_lock(&mutex);
}

static void table_unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

static __attribute__((constructor)) void survive_forks(void)
{
	pthread_atfork(table_lock, table_unlock, table_unlock);
}

/* ------------------------------------------------------------ references -- */

static bool take_if(struct attachment *a, uint64_t serial)
{
	uint64_t state = atomic_load(&a->state);

	do {
		if (state >> REFS_BITS != serial || !(state & REFS) ||
		    (state & REFS) == REFS)
			return false;
	} while (!atomic_compare_exchange_weak(&a->state, &state, state + 1));
	return true;
}

/* Of one that is in the table, whose mutex is held: its serial stays. */
static bool take(struct attachment *a)
{
	return take_if(a, atomic_load(&a->state) >> REFS_BITS);
}

/* False where it is the last one. */
static bool put_unless_last(struct attachment *a)
{
	uint64_t state = atomic_load(&a->state);

	do {
		if ((state & REFS) <= 1)
			return false;
	} while (!atomic_compare_exchange_weak(&a->state, &state, state - 1));
	return true;
}

/* With the table's mutex held.  False where it is not the last one. */
static bool put_last(struct attachment *a)
{
	uint64_t state = atomic_load(&a->state);

	serials++;
	do {
		if ((state & REFS) != 1)
			return false;
	} while (!atomic_compare_exchange_weak(&a->state, &state,
					       serials << REFS_BITS));
	return true;
}

/* ------------------------------------------------------------ warm attach -- */

static void remember(int fd, struct attachment *a)
{
	struct session *s = session_known(fd);
	struct attached *place;

	if (!s || s->writing)
		return;
	place = attached_place(s, a->public.key);
	write_begin(s);
	place->tag = 0;
	atomic_signal_fence(memory_order_seq_cst);
	place->attachment = a;
	place->serial = atomic_load(&a->state) >> REFS_BITS;
	atomic_signal_fence(memory_order_seq_cst);
	place->tag = a->public.key + 1;
	write_end(s);
}

/* With a reference that nobody but the caller knows of. */
static inline struct attachment *take_remembered(struct session *s,
						 uint64_t key)
{
	const struct attached *place = attached_place(s, key);
	struct attachment *a = place->attachment;
	uint64_t serial;

	atomic_signal_fence(memory_order_seq_cst);
	serial = place->serial;
	atomic_signal_fence(memory_order_seq_cst);
	if (likely(place->tag == key + 1) && likely(take_if(a, serial)))
		return a;
	return NULL;
}

static inline bool is_current(const struct attachment *a,
			      const struct session *s, const struct target *t)
{
	return likely(__atomic_load_n(&t->record->object, __ATOMIC_ACQUIRE) ==
		      atomic_load_explicit(&a->object, memory_order_relaxed)) &&
	       likely(!target_is_over(t)) &&
	       likely(session_unmapped(s) ==
		      atomic_load_explicit(&a->unmapped, memory_order_relaxed));
}

static void put(int fd, struct attachment *a);

static inline struct attachment *attach_warm(int fd, uint64_t key)
{
	struct session *s = session_known(fd);
	struct attachment *a;
	struct target t;

	if (unlikely(!s) || unlikely(!binding_known(s, key, &t)))
		return NULL;
	a = take_remembered(s, key);
	if (unlikely(!a))
		return NULL;
	if (likely(is_current(a, s, &t)))
		return a;
	put(fd, a);
	return NULL;
}

/* -------------------------------------------- the table, under its mutex -- */

static struct attachment **table_place(dev_t device, uint64_t key)
{
	return &table[hash_of(key + device, BUCKETS_SHIFT)];
}

static struct attachment *table_find(dev_t device, bool writable, uint64_t key)
{
	struct attachment *a = *table_place(device, key);

	while (a && (a->public.key != key || a->device != device ||
		     a->writable != writable))
		a = a->next;
	return a;
}

/* It may have been removed before. */
static void table_remove(struct attachment *a)
{
	struct attachment **place = table_place(a->device, a->public.key);

	while (*place && *place != a)
		place = &(*place)->next;
	if (!*place)
		return;
	*place = a->next;
	a->next = NULL;
}

/* Who has a reference keeps it, but nobody gets another one. */
static void table_retire(struct attachment *a)
{
	uint64_t state = atomic_load(&a->state);

	table_remove(a);
	serials++;
	while (!atomic_compare_exchange_weak(&a->state, &state,
					     serials << REFS_BITS |
					     (state & REFS)))
		;
}

static void table_insert(struct attachment *a)
{
	struct attachment **place = table_place(a->device, a->public.key);

	a->next = *place;
	*place = a;
}

/* One that is not in use, or what it can be made of; NULL: no memory. */
static struct attachment *attachment_new(void)
{
	struct attachment *a;

	table_lock();
	a = unused;
	if (a)
		unused = a->next;
	table_unlock();
	return a ? a : calloc(1, sizeof(*a));
}

static void attachment_free(struct attachment *a)
{
	a->next = unused;
	unused = a;
}

/* ------------------------------------------------------- attach and detach -- */

static struct npheap_attach args_of(const struct attachment *a)
{
	return (struct npheap_attach){
		.key = a->public.key,
		.addr = (uintptr_t)a->public.addr,
		.length = a->public.size,
		.object = atomic_load(&a->object),
		.number = a->number,
	};
}

/* Gives a reference back, and with the last one the mapping. */
static void put(int fd, struct attachment *a)
{
	struct npheap_attach args;

	if (likely(put_unless_last(a)))
		return;
	table_lock();
	while (!put_last(a))
		/* Of one that is given back too often there is no reference. */
		if (put_unless_last(a) || !(atomic_load(&a->state) & REFS)) {
			table_unlock();
			return;
		}
	table_remove(a);
	args = args_of(a);
	attachment_free(a);
	table_unlock();
	/* The kernel knows whether it still is what is mapped there. */
	npheap_uapi_detach(fd, &args);
}

/* What the kernel said is mapped. */
struct answer {
	int fd;
	dev_t device;
	bool writable;
	uint64_t unmapped;
	struct npheap_attach args;
};

static void fill(struct attachment *a, const struct answer *answer)
{
	a->public.addr = (void *)(uintptr_t)answer->args.addr;
	a->public.size = answer->args.length;
	a->public.key = answer->args.key;
	a->device = answer->device;
	a->writable = answer->writable;
	a->number = answer->args.number;
	atomic_store(&a->object, answer->args.object);
	atomic_store(&a->unmapped, answer->unmapped);
	atomic_store(&a->state, ++serials << REFS_BITS | 1);
}

/*
 * Another thread may have attached the same object at the same time, and then
 * that is returned; or a newer one, whose number is larger, and then this one
 * is only the caller's.  @new is filled and returned else.
 */
static struct attachment *insert(const struct answer *answer,
				 struct attachment *new)
{
	struct attachment *a = table_find(answer->device, answer->writable,
					  answer->args.key);

	if (a && atomic_load(&a->object) == answer->args.object && take(a))
		return a;
	fill(new, answer);
	if (a && atomic_load(&a->object) > answer->args.object)
		return new;
	if (a)
		table_retire(a);
	table_insert(new);
	return new;
}

static int attach_new(const struct answer *answer, struct attachment **a)
{
	struct attachment *new = attachment_new();

	*a = NULL;
	if (new) {
		table_lock();
		*a = insert(answer, new);
		if (*a != new)
			attachment_free(new);
		table_unlock();
	}
	if (*a != new || !new)
		npheap_uapi_detach(answer->fd, &answer->args);
	return *a ? 0 : -ENOMEM;
}

/* @known is not where it was, or no more the key's object. */
static void give_up(struct attachment *known)
{
	table_lock();
	table_retire(known);
	table_unlock();
}

static struct attachment *take_known(const struct answer *answer)
{
	struct attachment *a;

	table_lock();
	a = table_find(answer->device, answer->writable, answer->args.key);
	if (a && !take(a))
		a = NULL;
	table_unlock();
	return a;
}

static uint64_t unmapped_now(int fd)
{
	const struct session *s = session_known(fd);

	return s ? session_unmapped(s) : 0;
}

/* Attached, and nothing happened to it, as far as the thread can tell. */
static bool is_known(int fd, struct attachment *known)
{
	uint64_t key = known->public.key;
	struct session *s;
	struct target t;

	if (!npheap_learn(fd, key, &t))
		return false;
	s = session_known(fd);
	return s && is_current(known, s, &t);
}

/* Asks the kernel whether it still is where it was, or to map it. */
static int ask(struct answer *answer, const struct attachment *known,
	       uint64_t size)
{
	struct target t;

	/* So that it is warm the next time. */
	npheap_learn(answer->fd, answer->args.key, &t);
	if (known)
		answer->args = args_of(known);
	answer->args.size = size;
	/* Before the kernel looks: what is unmapped after that is seen. */
	answer->unmapped = unmapped_now(answer->fd);
	return npheap_uapi_attach(answer->fd, &answer->args);
}

static bool is_there(const struct answer *answer, struct attachment *known)
{
	if (answer->args.number != known->number)
		return false;
	atomic_store(&known->unmapped, answer->unmapped);
	return true;
}

static int attach_slowly(struct npheap *heap, uint64_t key, uint64_t size,
			 struct attachment **a)
{
	struct answer answer = {
		.fd = npheap_fd(heap),
		.writable = npheap_is_writable(heap),
		.device = npheap_device(heap),
		.args = { .key = key },
	};
	struct attachment *known = take_known(&answer);
	int rc;

	*a = known;
	if (known && is_known(answer.fd, known))
		return 0;
	rc = ask(&answer, known, size);
	if (!rc && known && is_there(&answer, known))
		return 0;
	if (known) {
		if (!rc)
			give_up(known);
		put(answer.fd, known);
	}
	return rc ? rc : attach_new(&answer, a);
}

NPHEAP_API int npheap_attach(struct npheap *heap, uint64_t key, uint64_t size,
			     const struct npheap_mapping **mapping)
{
	struct attachment *a = attach_warm(npheap_fd(heap), key);
	int rc;

	if (likely(a)) {
		*mapping = &a->public;
		return 0;
	}
	rc = attach_slowly(heap, key, size, &a);
	if (rc)
		return rc;
	remember(npheap_fd(heap), a);
	*mapping = &a->public;
	return 0;
}

NPHEAP_API void npheap_detach(struct npheap *heap,
			      const struct npheap_mapping *mapping)
{
	if (mapping)
		put(npheap_fd(heap), (struct attachment *)mapping);
}
