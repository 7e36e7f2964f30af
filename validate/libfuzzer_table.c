// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libFuzzer on what libnpheap reads and did not write: the shared table, which
 * every member of the heap's group can fill with anything, between any two
 * calls.  (It parses nothing else; keys and sizes come as numbers.)
 *
 * The kernel is a fake one here, in place of uapi.c, and tells the truth.  What
 * has to hold whatever is in the table: no access goes outside of it, each call
 * ends, and an attachment is one that the kernel made for that key.
 *
 * The input is a list of steps of 11 bytes: what, key, word, and 8 of a value.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

/* The rest says yes, or that there is nothing. */
#define SAYS(result, name, ...)						\
int npheap_uapi_##name(__VA_ARGS__)					\
{									\
	return result;							\
}

#pragma GCC diagnostic ignored "-Wunused-parameter"
SAYS(0, lock, int fd, uint64_t key)
SAYS(-EPERM, unlock, int fd, uint64_t key)
SAYS(0, delete, int fd, uint64_t key)
SAYS(-EBUSY, lock_args, int fd, const struct npheap_lock_args *args)
SAYS(0, consistent, int fd, uint64_t key)
SAYS(0, break, int fd, uint64_t key)
SAYS(0, event, int fd, struct npheap_event *args)
SAYS(-ETIMEDOUT, wait, int fd, const struct npheap_event *args)
SAYS(0, notify, int fd, const struct npheap_event *args)
SAYS(-EMFILE, watch, int fd, uint32_t flags)
SAYS(-ENOENT, watch_set, int fd, uint64_t key, uint32_t events)
SAYS(0, create, int fd, const struct npheap_create *args)
SAYS(0, create_many, int fd, const struct npheap_create_many *args)
SAYS(0, resize, int fd, const struct npheap_resize *args)
SAYS(0, punch, int fd, const struct npheap_punch *args)
SAYS(0, seal, int fd, const struct npheap_seal *args)
SAYS(-ENOENT, stat, int fd, struct npheap_stat *args)
SAYS(-ENOMEM, map, int fd, uint64_t key, uint64_t size, int prot, void **addr)
SAYS(0, unmap, void *addr, size_t size)

int npheap_uapi_size(int fd, uint64_t key, uint64_t *size)
{
	*size = 0;
	return 0;
}

/* ----------------------------------------------------------------- steps -- */

static struct npheap *heap;
static struct npheap_ref refs[KEYS];
static const struct npheap_mapping *mappings[KEYS];

static void expect(bool holds)
{
	if (!holds)
		abort();
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

static void acquire(unsigned int key, uint64_t flags)
{
	int rc = npheap_acquire_with(heap, key, flags & 1 ? NPHEAP_TRY : 0, 0);

	expect(!rc || rc == -EBUSY);
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

static void use_table(const struct step *step, unsigned int key, uint64_t value)
{
	uint64_t told;

	switch (step->what % 14) {
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
	case 7:
		return acquire(key, value);
	case 8:
		npheap_release(heap, key);
		return;
	case 9:
		npheap_ref_acquire_with(&refs[key], NPHEAP_TRY, 0);
		npheap_ref_release(&refs[key]);
		return;
	case 10:
		return size_of(key);
	case 11:
		expect(!npheap_event(heap, key, &told) && !(told & 1));
		expect(!npheap_notify(heap, key, 1));
		return;
	case 12:
		return detach(key);
	default:
		return attach(key, value & 1);
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
