// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer on what libnpheap reads and did not write: the shared table, which
 * every member of the heap's group can fill with anything, between any two
 * calls.  (It parses nothing else; keys and sizes come as numbers.)
 *
 * The kernel is a fake one here, in place of uapi.c: of records, objects and
 * attachments it tells the truth, and what else it answers the input says.  What
 * has to hold whatever is in the table: no access goes outside of it, each call
 * ends, an attachment is one that the kernel made for that key, and the kernel is
 * asked for that key and with these arguments, and its answer told as it was, but
 * where the table itself gives a lock to its caller or takes it back.
 *
 * The input is a list of steps of 11 bytes: what, key, word, and 8 of a value.
 * libfuzzer.corpus has some, one a line in hexadecimal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define SLOTS 4
#define KEYS 8
/* The last keys have records that are not in the table. */
#define SIZE 4096

struct step {
	uint8_t what;
	uint8_t key;
	uint8_t word;
	uint8_t value[8];
};

/* ------------------------------------------------------- the fake kernel -- */

static struct npheap_record *table;
static struct npheap_epoch epochs = { 1, 1 };
static uint32_t generations[KEYS];
static uint64_t objects, attachments;

/* What the kernel mapped for each key last. */
static struct npheap_attach attached[KEYS];
static char memory[KEYS][SIZE];

int npheap_uapi_join(int fd, struct npheap_join *join)
{
	(void)fd;
	*join = (struct npheap_join){
		.epoch_addr = (uintptr_t)&epochs, .epoch = epochs.epoch,
		.table_addr = (uintptr_t)table, .slots = SLOTS, .owner = 1,
	};
	return 0;
}

int npheap_uapi_bind(int fd, struct npheap_bind *bind)
{
	(void)fd;
	bind->slot = bind->key % KEYS;
	bind->generation = generations[bind->key % KEYS];
	return 0;
}

int npheap_uapi_attach(int fd, struct npheap_attach *args)
{
	struct npheap_attach *a = &attached[args->key % KEYS];

	(void)fd;
	if (args->number && args->number == a->number && a->addr) {
		args->object = a->object;
		return 0;
	}
	if (!args->size)
		return -ENOENT;
	args->addr = (uintptr_t)memory[args->key % KEYS];
	args->length = SIZE;
	args->object = ++objects;
	args->number = ++attachments;
	*a = *args;
	return 0;
}

int npheap_uapi_detach(int fd, const struct npheap_attach *args)
{
	struct npheap_attach *a = &attached[args->key % KEYS];

	(void)fd;
	if (args->number != a->number)
		return -EINVAL;
	a->addr = 0;
	return 0;
}

/* The calls that the rest has had, and the last one: what it was asked, and said. */
static struct {
	unsigned int calls;
	uint64_t key;
	uint64_t more;
	int says;
} asked;

static void expect(bool holds)
{
	if (!holds)
		abort();
}

static int ask(uint64_t key, uint64_t more)
{
	asked.calls++;
	asked.key = key;
	asked.more = more;
	return asked.says;
}

/* It says in the record what it did, as the real one does. */
static int set_word(uint64_t key, uint64_t holder, int rc)
{
	if (key < SLOTS && (!rc || rc == -EOWNERDEAD))
		table[key].word = NPHEAP_WORD_GENERATION(generations[key]) |
				  holder;
	return rc;
}

#pragma GCC diagnostic ignored "-Wunused-parameter"
int npheap_uapi_lock(int fd, uint64_t key)
{
	return set_word(key, 1, ask(key, 0));
}

int npheap_uapi_lock_args(int fd, const struct npheap_lock_args *args)
{
	bool shared = args->flags & NPHEAP_LOCK_SHARED;

	expect(!args->reserved && args->flags & NPHEAP_LOCK_REPORT);
	return set_word(args->key, shared ? NPHEAP_WORD_SHARED : 1,
			ask(args->key, args->flags ^ args->timeout));
}

int npheap_uapi_unlock(int fd, uint64_t key)
{
	return set_word(key, 0, ask(key, 0));
}

int npheap_uapi_wait(int fd, const struct npheap_event *args)
{
	expect(!args->count && !args->reserved);
	return ask(args->key, args->event ^ args->timeout);
}

int npheap_uapi_event(int fd, struct npheap_event *args)
{
	expect(!args->event && !args->timeout && !args->count);
	args->event = 2;
	return ask(args->key, 0);
}

int npheap_uapi_notify(int fd, const struct npheap_event *args)
{
	expect(!args->event && !args->timeout && !args->reserved);
	return ask(args->key, args->count);
}

/* A descriptor, of which a read gives as much as it is asked for. */
int npheap_uapi_watch(int fd, uint32_t flags)
{
	int rc = ask(0, flags);

	return rc ?: open("/dev/zero", O_RDONLY | O_CLOEXEC);
}

int npheap_uapi_map(int fd, uint64_t key, uint64_t size, int prot, void **addr)
{
	int rc = ask(key, size);

	expect(prot == (PROT_READ | PROT_WRITE));
	if (!rc)
		*addr = memory[key];
	return rc;
}

int npheap_uapi_unmap(void *addr, size_t size)
{
	return ask(((char (*)[SIZE])addr) - memory, size);
}

#define SAYS(name, key, more, ...)					\
int npheap_uapi_##name(int fd, __VA_ARGS__)				\
{									\
	return ask(key, more);						\
}

SAYS(delete, key, 0, uint64_t key)
SAYS(consistent, key, 0, uint64_t key)
SAYS(break, key, 0, uint64_t key)
SAYS(watch_set, key, events, uint64_t key, uint32_t events)
SAYS(create, args->key, args->size ^ args->max_size ^ args->flags,
     const struct npheap_create *args)
SAYS(create_many, args->items, args->count,
     const struct npheap_create_many *args)
SAYS(resize, args->key, args->size ^ args->flags,
     const struct npheap_resize *args)
SAYS(punch, args->key, args->offset ^ args->length ^ args->flags,
     const struct npheap_punch *args)
SAYS(seal, args->key, args->seals, const struct npheap_seal *args)
SAYS(stat, args->key, 0, struct npheap_stat *args)

int npheap_uapi_size(int fd, uint64_t key, uint64_t *size)
{
	*size = 0;
	return 0;
}

/* ----------------------------------------------------------------- steps -- */

static struct npheap *heap;
static struct npheap_ref refs[KEYS];
static const struct npheap_mapping *mappings[KEYS];

/* The kernel was asked, once, and its answer is the result. */
static void expect_asked(unsigned int calls, uint64_t key, uint64_t more, int rc)
{
	expect(asked.calls == calls + 1);
	expect(asked.key == key && asked.more == more && rc == asked.says);
}

static void detach(unsigned int key)
{
	npheap_detach(heap, mappings[key]);
	mappings[key] = NULL;
}

static void attach(unsigned int key, uint64_t size)
{
	detach(key);
	if (npheap_attach(heap, key, size, &mappings[key]))
		return;
	expect(mappings[key]->addr == memory[key]);
	expect(mappings[key]->size == SIZE && mappings[key]->key == key);
}

static void size_of(unsigned int key)
{
	uint64_t size;
	int rc = npheap_size(heap, key, &size);

	expect(!rc || rc == -ENOENT);
}

/* Perhaps the table was enough: then it says whose the lock is now. */
static void expect_held(unsigned int calls, unsigned int key, uint64_t more,
			uint64_t owner, int rc)
{
	if (asked.calls != calls)
		return expect_asked(calls, key, more, rc);
	expect(!rc && key < SLOTS);
	expect((table[key].word & NPHEAP_WORD_OWNER) == owner);
}

static void acquire(unsigned int key, uint64_t value)
{
	unsigned int calls = asked.calls, flags = value & 3;
	uint64_t deadline = value >> 2;
	int rc = npheap_acquire_with(heap, key, flags, deadline);

	expect(asked.calls != calls || !(flags & NPHEAP_SHARED));
	expect_held(calls, key, (flags | NPHEAP_LOCK_REPORT) ^ deadline, 1, rc);
}

static void acquire_by_reference(unsigned int key, uint64_t value)
{
	unsigned int calls = asked.calls, flags = value & 3;
	uint64_t deadline = value >> 2;
	int rc = npheap_ref_acquire_with(&refs[key], flags, deadline);

	expect_held(calls, key, (flags | NPHEAP_LOCK_REPORT) ^ deadline, 1, rc);
	calls = asked.calls;
	expect_held(calls, key, 0, 0, npheap_ref_release(&refs[key]));
}

static void release(unsigned int key)
{
	unsigned int calls = asked.calls;

	expect_held(calls, key, 0, 0, npheap_release(heap, key));
}

/* As the calls on a handle give it. */
static int classic(long rc)
{
	expect(rc >= -1);
	return rc == -1 ? -errno : 0;
}

static void use_classic(unsigned int key, uint64_t value)
{
	unsigned int calls = asked.calls;
	int fd = npheap_fd(heap);
	void *p;

	switch (value % 5) {
	case 0:
		return expect_held(calls, key, 0, 1,
				   classic(npheap_lock(fd, key)));
	case 1:
		return expect_held(calls, key, 0, 0,
				   classic(npheap_unlock(fd, key)));
	case 2:
		return expect_asked(calls, key, 0,
				    classic(npheap_delete(fd, key)));
	case 3:
		p = npheap_alloc(fd, key, value);
		expect(p == MAP_FAILED ? asked.says : p == memory[key]);
		return expect_asked(calls, key, value, asked.says);
	default:
		/* Rubbish can be above LONG_MAX only where that has 32 bits. */
		npheap_getsize(fd, key);
		return;
	}
}

static void notify(unsigned int key, uint64_t value)
{
	unsigned int calls = asked.calls;
	uint64_t told;
	int rc = npheap_event(heap, key, &told);

	expect(rc || !(told & 1));
	if (asked.calls != calls)
		expect_asked(calls, key, 0, rc);
	calls = asked.calls;
	rc = npheap_notify(heap, key, value);
	if (asked.calls != calls)
		expect_asked(calls, key, (uint32_t)value, rc);
	else
		expect(!rc && key < SLOTS && !(table[key].event & 1));
}

static void watch(unsigned int key, uint64_t value)
{
	unsigned int calls = asked.calls;
	struct npheap_watch_key keys[3];
	int fd = -1, rc = npheap_watch_open(heap, value & 3, &fd);
	size_t got;

	expect_asked(calls, 0, value & 3, rc);
	expect(rc ? fd == -1 : fd >= 0);
	if (rc)
		return;
	rc = npheap_watch_set(fd, key, value & 15);
	expect_asked(calls + 1, key, value & 15, rc);
	expect(!npheap_watch_read(fd, keys, 3, &got) && got == 3);
	close(fd);
}

/* What the library has no part in but to ask. */
static void ask_kernel(unsigned int key, uint64_t value)
{
	unsigned int calls = asked.calls;
	uint32_t half = value;
	struct npheap_create items[2];
	struct npheap_stat stat;
	void *p = NULL;

	switch (value % 11) {
	case 0:
		return expect_asked(calls, key, value,
				    npheap_wait(heap, key, value, 0));
	case 1:
		return expect_asked(calls, key, value,
				    npheap_wait(heap, key, 0, value));
	case 2:
		return expect_asked(calls, key, 0, npheap_consistent(heap, key));
	case 3:
		return expect_asked(calls, key, 0, npheap_break(heap, key));
	case 4:
		return expect_asked(calls, key, value ^ half,
				    npheap_create(heap, key, value, 0, half));
	case 5:
		return expect_asked(calls, (uintptr_t)items, half,
				    npheap_create_many(heap, items, half));
	case 6:
		return expect_asked(calls, key, value ^ half,
				    npheap_resize(heap, key, value, half));
	case 7:
		return expect_asked(calls, key, value ^ 5 ^ half,
				    npheap_punch(heap, key, value, 5, half));
	case 8:
		return expect_asked(calls, key, half,
				    npheap_seal(heap, key, half));
	case 9:
		return expect_asked(calls, key, 0,
				    npheap_stat(heap, key, &stat));
	default:
		expect_asked(calls, key, value,
			     npheap_map(heap, key, value, &p));
		expect(asked.says ? !p : p == memory[key]);
		if (p)
			expect_asked(calls + 1, key, value,
				     npheap_unmap(p, value));
	}
}

/* What the kernel itself does to a record: it goes to another key. */
static void evict(unsigned int key)
{
	generations[key]++;
	if (key < SLOTS)
		table[key].word = NPHEAP_WORD_GENERATION(generations[key]);
}

static void scribble(unsigned int slot, unsigned int word, uint64_t value)
{
	memcpy((char *)&table[slot] + word * sizeof(value), &value,
	       sizeof(value));
}

/* What the kernel may say to any question; mostly yes. */
static int answer(unsigned int n)
{
	static const int answers[] = {
		-EBUSY, -ETIMEDOUT, -EOWNERDEAD, -ENOTRECOVERABLE, -EDEADLK,
		-EPERM, -ENOSPC, -EDQUOT, -ENOMEM, -EINTR, -ENOENT, -EMFILE,
	};
	unsigned int count = sizeof(answers) / sizeof(answers[0]);

	return n % 32 < count ? answers[n % 32] : 0;
}

static void use_table(const struct step *step, unsigned int key, uint64_t value)
{
	asked.says = answer(step->word);
	switch (step->what % 20) {
	case 0 ... 3:
		return scribble(key % SLOTS, step->word % 8, value);
	case 4:
		return evict(key);
	case 5:
		epochs.epoch++;
		return;
	case 6:
		epochs.unmapped++;
		return;
	case 7 ... 8:
		return acquire(key, value);
	case 9:
		return release(key);
	case 10:
		return acquire_by_reference(key, value);
	case 11:
		return size_of(key);
	case 12:
		return notify(key, value);
	case 13:
		return detach(key);
	case 14 ... 15:
		return attach(key, value & 1);
	case 16 ... 17:
		return use_classic(key, value);
	case 18:
		return watch(key, value);
	default:
		return ask_kernel(key, value);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	unsigned int i;

	(void)argc, (void)argv;
	/* Its own memory, so that the sanitizer sees what goes past it. */
	table = calloc(SLOTS, sizeof(*table));
	expect(table && !npheap_open("/dev/null", 0, &heap));
	for (i = 0; i < KEYS; i++)
		refs[i] = (struct npheap_ref)NPHEAP_REF_INIT(heap, i);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct step step;
	uint64_t value;
	unsigned int i;

	for (i = 0; i < KEYS; i++)
		evict(i);
	epochs.epoch++;
	for (; size >= sizeof(step); size -= sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		memcpy(&value, step.value, sizeof(value));
		use_table(&step, step.key % KEYS, value);
		data += sizeof(step);
	}
	for (i = 0; i < KEYS; i++)
		detach(i);
	return 0;
}
