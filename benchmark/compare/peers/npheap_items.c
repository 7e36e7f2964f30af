// SPDX-License-Identifier: GPL-2.0-or-later
/* A store: NP-Heap with an object for each item, found by the item's key. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <npheap.h>

#include "measure.h"
#include "compare/machine.h"
#include "compare/peers.h"

#define BATCH 1000UL
/* What an object needs in the kernel, besides its page. */
#define ROOM 1024
/* So many are written, evenly spread, and the others created: enough to read. */
#define WRITTEN 100000UL

static struct npheap *heap;
static size_t page;

static void join(const struct store *store, uint64_t n)
{
	(void)store;
	(void)n;
	page = sysconf(_SC_PAGESIZE);
	errno = -npheap_open(NULL, 0, &heap);
	check(!errno, NPHEAP_DEVICE);
}

static int open_heap(uint64_t n)
{
	int err;

	page = sysconf(_SC_PAGESIZE);
	err = machine_has_room(n * (page + ROOM));
	if (!err && !heap)
		err = npheap_open(NULL, 0, &heap);
	if (err)
		return err;
	err = raise_limit("max_objects", 2 * n);
	return err ? err : raise_limit("max_bytes", 2 * n * page);
}

static void create(uint64_t n)
{
	static struct npheap_create objects[BATCH];
	uint64_t i, batch, from;

	for (from = 0; from < n; from += batch) {
		batch = n - from < BATCH ? n - from : BATCH;
		for (i = 0; i < batch; i++)
			objects[i] = (struct npheap_create){
				.key = item_key(from + i),
				.size = page,
			};
		errno = ENOSPC;
		check(npheap_create_many(heap, objects, batch) == (int)batch,
		      "npheap_create_many");
	}
}

static void *map(uint64_t key)
{
	void *p;

	errno = -npheap_map(heap, key, page, &p);
	check(!errno, "npheap_map");
	return p;
}

static void fill(const struct store *store, uint64_t n)
{
	uint64_t i, step = n > WRITTEN ? n / WRITTEN : 1;

	(void)store;
	create(n);
	for (i = 0; i < n; i += step) {
		void *p = map(item_key(i));

		item_fill(p, i);
		npheap_unmap(p, page);
	}
}

/*
 * Mapped until the next, as by one who looks at one after the other.  What is
 * missing would be created, and be found wrong, as it is all zeroes.
 */
static const struct item *find(uint64_t key)
{
	static void *mapped;

	if (mapped)
		npheap_unmap(mapped, page);
	mapped = map(key);
	return mapped;
}

static void remove_all(const struct store *store, uint64_t n)
{
	uint64_t i;

	(void)store;
	for (i = 0; i < n; i++)
		npheap_remove(heap, item_key(i));
}

const struct store store_npheap_objects = {
	.name = "npheap-objects",
	.open = open_heap,
	.fill = fill,
	.load = join,
	.find = find,
	.remove = remove_all,
};
