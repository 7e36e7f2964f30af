// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The job itself: a tree of files in a heap.
 *
 * A directory object under a well-known key says which key each file has;
 * each file has an object, which begins with its state.  State and bytes are
 * written only under the lock of the file's key.  A producer that dies there
 * leaves the state at HALF and the lock free: the next to take the lock is told
 * that a holder died, does the work again, and says that all is well.
 */
#include <errno.h>
#include <npheap.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crew.h"
#include "demo.h"
#include "progress.h"
#include "relay.h"

#define DIRECTORY_KEY (0x64656d6fULL << 20)	/* "demo" */

enum state { NONE, HALF, COMPLETE };

struct object {
	uint64_t state;
	unsigned char bytes[];
};

struct entry {
	uint64_t key;
	uint64_t size;
	uint64_t name;			/* from the directory's start */
};

struct directory {
	uint64_t count;
	uint64_t fatal;			/* the file whose producer is killed */
	_Atomic uint64_t next;		/* file that nobody has begun */
	_Atomic uint64_t complete;
	_Atomic uint64_t taken_over;
	pid_t victim;
	pid_t heir;
	struct entry entries[];		/* sorted by name; the names follow */
};

/* What a worker works with. */
struct shift {
	const struct tree *tree;
	struct npheap *heap;
	struct directory *directory;
	size_t directory_size;
	unsigned int workers;
	struct sum *sums;		/* consumers': where results go */
	_Atomic uint64_t *summed;
};

static uint64_t file_key(size_t index)
{
	return DIRECTORY_KEY + 1 + index;
}

static int complain(const char *what, int err)
{
	fprintf(stderr, "demo: %s: %s\n", what, strerror(-err));
	return err;
}

void *shared_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int sha256(const void *bytes, size_t size, struct sum *sum)
{
	if (!EVP_Digest(bytes, size, sum->bytes, NULL, EVP_sha256(), NULL))
		return -EIO;
	return 0;
}

/* The directory */

static size_t directory_size(const struct tree *tree)
{
	size_t size = sizeof(struct directory) +
		      tree->count * sizeof(struct entry);

	for (size_t i = 0; i < tree->count; i++)
		size += strlen(tree->files[i].name) + 1;
	return size;
}

/* The file in the middle, or the next that can be half written. */
static uint64_t choose_fatal(const struct tree *tree)
{
	size_t middle = tree->count / 2;

	for (size_t i = 0; i < tree->count; i++) {
		size_t at = (middle + i) % tree->count;

		if (tree->files[at].size > 1)
			return at;
	}
	return middle;
}

static void fill_directory(struct directory *directory,
			   const struct tree *tree)
{
	char *name = (char *)&directory->entries[tree->count];

	directory->count = tree->count;
	directory->fatal = choose_fatal(tree);
	for (size_t i = 0; i < tree->count; i++) {
		directory->entries[i] = (struct entry) {
			.key = file_key(i),
			.size = tree->files[i].size,
			.name = (uint64_t)(name - (char *)directory),
		};
		name = stpcpy(name, tree->files[i].name) + 1;
	}
}

static const char *entry_name(const struct directory *directory,
			      const struct entry *entry)
{
	return (const char *)directory + entry->name;
}

static const struct entry *look_up(const struct directory *directory,
				   const char *name)
{
	uint64_t low = 0, high = directory->count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		const struct entry *entry = &directory->entries[middle];
		int order = strcmp(name, entry_name(directory, entry));

		if (!order)
			return entry;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Producers */

/* Half of the bytes are in the object, and the lock is held. */
static void die_half_way(struct shift *shift, uint64_t index, void *bytes)
{
	const struct entry *entry = &shift->directory->entries[index];

	shift->directory->victim = getpid();
	tree_read(shift->tree, index, bytes, entry->size / 2);
	kill(getpid(), SIGKILL);
}

static int fill_object(struct shift *shift, uint64_t index,
		       struct object *object, bool first)
{
	struct directory *directory = shift->directory;
	int err;

	if (object->state == COMPLETE)
		return 0;
	if (object->state == HALF) {
		directory->heir = getpid();
		atomic_fetch_add(&directory->taken_over, 1);
	}
	object->state = HALF;
	if (first && index == directory->fatal)
		die_half_way(shift, index, object->bytes);
	err = tree_read(shift->tree, index, object->bytes,
			directory->entries[index].size);
	if (err)
		return err;
	object->state = COMPLETE;
	atomic_fetch_add(&directory->complete, 1);
	return 0;
}

static int load_locked(struct shift *shift, uint64_t index, bool first)
{
	const struct entry *entry = &shift->directory->entries[index];
	size_t size = sizeof(struct object) + entry->size;
	void *object;
	int err;

	err = npheap_map(shift->heap, entry->key, size, &object);
	if (err)
		return err;
	err = fill_object(shift, index, object, first);
	npheap_unmap(object, size);
	return err;
}

static int load(struct shift *shift, uint64_t index, bool first)
{
	uint64_t key = shift->directory->entries[index].key;
	bool died;
	int err;

	err = npheap_acquire(shift->heap, key);
	died = err == -EOWNERDEAD;
	if (err && !died)
		return complain("lock", err);
	err = load_locked(shift, index, first);
	if (!err && died)
		err = npheap_consistent(shift->heap, key);
	npheap_release(shift->heap, key);
	return err ? complain("load", err) : 0;
}

/* First what nobody has begun, then whatever somebody left unfinished. */
static int produce(void *arg, unsigned int worker)
{
	struct shift *shift = arg;
	struct directory *directory = shift->directory;
	uint64_t index;
	int err = 0;

	(void)worker;
	while (!err) {
		index = atomic_fetch_add(&directory->next, 1);
		if (index >= directory->count)
			break;
		err = load(shift, index, true);
	}
	for (index = 0; index < directory->count && !err; index++)
		err = load(shift, index, false);
	return err;
}

static void load_tick(void *arg)
{
	struct shift *shift = arg;

	progress("load", shift->directory->complete, shift->tree->count);
}

static void tell(const struct shift *shift, const struct crew *crew,
		 struct story *story)
{
	const struct directory *directory = shift->directory;

	story->killed = crew->killed;
	story->taken_over = (unsigned int)directory->taken_over;
	story->victim = directory->victim;
	story->heir = directory->heir;
	story->file = shift->tree->files[directory->fatal].name;
}

static int run_crew(struct crew *crew, struct shift *shift,
		    int (*work)(void *, unsigned int), void (*tick)(void *))
{
	int err = 0;

	for (unsigned int i = 0; i < shift->workers && !err; i++)
		err = crew_add(crew, work, shift, i);
	if (!err)
		return crew_wait(crew, tick, shift);
	crew_stop(crew);
	return err;
}

static int load_all(struct shift *shift, struct story *story)
{
	struct crew crew = { .may_be_killed = 1 };
	double start = seconds_now();
	int err;

	fill_directory(shift->directory, shift->tree);
	err = run_crew(&crew, shift, produce, load_tick);
	story->load_seconds = seconds_now() - start;
	tell(shift, &crew, story);
	if (!err && shift->directory->complete != shift->tree->count)
		err = -ENODATA;
	return err;
}

int heap_load(const struct tree *tree, unsigned int producers,
	      struct story *story)
{
	struct shift shift = { .tree = tree, .workers = producers };
	size_t size = directory_size(tree);
	void *directory;
	int err;

	err = npheap_open(NULL, 0, &shift.heap);
	if (err)
		return complain(NPHEAP_DEVICE, err);
	err = npheap_map(shift.heap, DIRECTORY_KEY, size, &directory);
	if (!err) {
		shift.directory = directory;
		err = load_all(&shift, story);
		npheap_unmap(directory, size);
	}
	npheap_close(shift.heap);
	return err;
}

/* Consumers: they map for reading only, and know nothing but the names. */

static int open_directory(struct shift *shift)
{
	uint64_t size;
	void *directory;
	int err;

	err = npheap_open(NULL, NPHEAP_RDONLY, &shift->heap);
	if (!err)
		err = npheap_size(shift->heap, DIRECTORY_KEY, &size);
	if (!err)
		err = npheap_map(shift->heap, DIRECTORY_KEY, size, &directory);
	if (!err)
		shift->directory = directory;
	return err;
}

static int sum_entry(struct shift *shift, const struct entry *entry,
		     struct sum *sum)
{
	size_t size = sizeof(struct object) + entry->size;
	const struct object *object;
	void *memory;
	int err;

	err = npheap_map(shift->heap, entry->key, size, &memory);
	if (err)
		return err;
	object = memory;
	err = object->state == COMPLETE ?
	      sha256(object->bytes, entry->size, sum) : -ENODATA;
	npheap_unmap(memory, size);
	return err;
}

static int consume(void *arg, unsigned int worker)
{
	struct shift shift = *(struct shift *)arg;
	int err = open_directory(&shift);

	if (err)
		return complain("directory", err);
	for (size_t i = worker; i < shift.tree->count; i += shift.workers) {
		const char *name = shift.tree->files[i].name;
		const struct entry *entry = look_up(shift.directory, name);

		err = entry ? sum_entry(&shift, entry, &shift.sums[i]) :
			      -ENOENT;
		if (err)
			return complain(name, err);
		atomic_fetch_add(shift.summed, 1);
	}
	return 0;
}

static void sum_tick(void *arg)
{
	struct shift *shift = arg;

	progress("find and hash", *shift->summed, shift->tree->count);
}

int heap_sum(const struct tree *tree, unsigned int consumers,
	     struct sum *sums, struct story *story)
{
	struct shift shift = {
		.tree = tree, .workers = consumers, .sums = sums,
		.summed = shared_alloc(sizeof(*shift.summed)),
	};
	struct crew crew = { 0 };
	double start = seconds_now();
	int err;

	if (!shift.summed)
		return -errno;
	err = run_crew(&crew, &shift, consume, sum_tick);
	story->find_seconds = seconds_now() - start;
	munmap((void *)shift.summed, sizeof(*shift.summed));
	return err;
}

void heap_clear(const struct tree *tree)
{
	struct npheap *heap;

	if (npheap_open(NULL, 0, &heap))
		return;
	npheap_remove(heap, DIRECTORY_KEY);
	for (size_t i = 0; i < tree->count; i++)
		npheap_remove(heap, file_key(i));
	npheap_close(heap);
}
