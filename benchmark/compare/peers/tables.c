// SPDX-License-Identifier: GPL-2.0-or-later
/* Stores: one table of items, in any memory that outlives its processes. */
#include "measure.h"
#include "compare/peers.h"

/* A name that no other suite has. */
#define NAME 1000

static const struct items *table;

static void fill(const struct store *store, uint64_t n)
{
	char *p = store->memory->create(NAME, items_size(n));

	items_fill(items_init(p, n), n);
}

static void load(const struct store *store, uint64_t n)
{
	const struct memory *memory = store->memory;

	check(!memory->open || !memory->open(), memory->name);
	table = (struct items *)memory->attach(NAME, items_size(n));
}

static const struct item *find(uint64_t key)
{
	return items_find(table, key);
}

static void remove_table(const struct store *store, uint64_t n)
{
	(void)n;
	store->memory->remove(NAME);
}

static int open_heap(uint64_t n)
{
	int err = memory_npheap.open();

	return err ? err : raise_limit("max_bytes", 2 * items_size(n));
}

const struct store store_npheap = {
	.name = "npheap",
	.memory = &memory_npheap,
	.open = open_heap,
	.fill = fill,
	.load = load,
	.find = find,
	.remove = remove_table,
};

const struct store store_shm = {
	.name = "shm",
	.memory = &memory_shm,
	.fill = fill,
	.load = load,
	.find = find,
	.remove = remove_table,
};

const struct store store_sysv = {
	.name = "sysv",
	.memory = &memory_sysv,
	.fill = fill,
	.load = load,
	.find = find,
	.remove = remove_table,
};

const struct store store_file_mmap = {
	.name = "file-mmap",
	.memory = &memory_tmpfs,
	.fill = fill,
	.load = load,
	.find = find,
	.remove = remove_table,
};
