// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory of all slots, mapped before the fork: there is nothing to find. */
#include <errno.h>
#include <sys/mman.h>

#include "channel_store.h"

void *anonymous_map(size_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return bytes == MAP_FAILED ? NULL : bytes;
}

int anonymous_open(struct store *store)
{
	store->ring = anonymous_map(sizeof(struct ring));
	return store->ring ? 0 : -errno;
}

void anonymous_close(struct store *store)
{
	munmap(store->ring, sizeof(struct ring));
}

static size_t memory_size(const struct store *store)
{
	return store->slots * store_size(store->max_size);
}

static int memory_open(struct store *store)
{
	int err = anonymous_open(store);

	if (err)
		return err;
	store->memory = anonymous_map(memory_size(store));
	if (store->memory)
		return 0;
	err = -errno;
	anonymous_close(store);
	return err;
}

static void memory_close(struct store *store)
{
	munmap(store->memory, memory_size(store));
	anonymous_close(store);
}

static void *memory_at(struct store *store)
{
	return store->memory + store->at * store_size(store->max_size);
}

static void memory_remove(struct store *store)
{
	(void)store;
}

#define MEMORY_CALLS \
	.keeps = true, \
	.open = memory_open, \
	.close = memory_close, \
	.make = memory_at, \
	.publish = store_nothing, \
	.find = memory_at, \
	.leave = store_nothing, \
	.remove = memory_remove

const struct store_calls futex_calls = {
	.gate = &gate_futex,
	MEMORY_CALLS
};

const struct store_calls eventfd_calls = {
	.gate = &gate_eventfd,
	MEMORY_CALLS
};
