// SPDX-License-Identifier: GPL-2.0-or-later
/* Objects of npheap, and what is waited for by its events. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel_store.h"

/* npheap: the keeper's pid sets the keys apart, far from what people use. */

static uint64_t ring_key(const struct store *store)
{
	return 1ULL << 50 | (uint64_t)store->serial << 40 |
	       (uint64_t)store->keeper << 8;
}

static uint64_t object_key(const struct store *store)
{
	return ring_key(store) + 1 + store->at;
}

/* Behind the objects': two a slot. */
uint64_t store_gate_key(const struct store *store, unsigned int i)
{
	return ring_key(store) + 1 + MAX_SLOTS + i;
}

static int heap_open(struct store *store)
{
	void *ring;
	int err;

	err = npheap_open(NULL, 0, &store->heap);
	if (err)
		return err;
	err = npheap_map(store->heap, ring_key(store), sizeof(struct ring),
			 &ring);
	if (err)
		npheap_close(store->heap);
	else
		store->ring = ring;
	return err;
}

static void heap_close(struct store *store)
{
	npheap_unmap(store->ring, sizeof(struct ring));
	npheap_remove(store->heap, ring_key(store));
	npheap_close(store->heap);
}

static void *heap_map(struct store *store)
{
	void *bytes;
	int err;

	err = npheap_map(store->heap, object_key(store), store->size, &bytes);
	if (err) {
		errno = -err;
		return NULL;
	}
	return bytes;
}

static int heap_unmap(struct store *store)
{
	return npheap_unmap(store->bytes, store->size);
}

static int heap_leave(struct store *store)
{
	int err = heap_unmap(store);

	return err ? err : npheap_remove(store->heap, object_key(store));
}

static void heap_remove(struct store *store)
{
	npheap_remove(store->heap, object_key(store));
}

static void *heap_keep(struct store *store)
{
	return store_keep(store, heap_map);
}

const struct store_calls heap_calls = {
	.gate = &gate_semaphore,
	.open = heap_open,
	.close = heap_close,
	.make = heap_map,
	.publish = heap_unmap,
	.find = heap_map,
	.leave = heap_leave,
	.remove = heap_remove,
};

#define HEAP_POOL_CALLS \
	.keeps = true, \
	.open = heap_open, \
	.close = heap_close, \
	.make = heap_keep, \
	.publish = store_nothing, \
	.find = heap_keep, \
	.leave = store_nothing, \
	.remove = heap_remove

const struct store_calls heap_pool_calls = {
	.gate = &gate_semaphore,
	HEAP_POOL_CALLS
};

const struct store_calls heap_event_calls = {
	.gate = &gate_event,
	HEAP_POOL_CALLS
};

/* npheap without its library's fast paths */

static void *heap_map_raw(struct store *store)
{
	void *bytes = mmap(NULL, store->size, PROT_READ | PROT_WRITE,
			   MAP_SHARED, npheap_fd(store->heap),
			   (off_t)(object_key(store) * sysconf(_SC_PAGESIZE)));

	return bytes == MAP_FAILED ? NULL : bytes;
}

static void *heap_keep_raw(struct store *store)
{
	return store_keep(store, heap_map_raw);
}

static void heap_remove_raw(struct store *store)
{
	struct npheap_cmd cmd = {
		.offset = object_key(store) * sysconf(_SC_PAGESIZE),
	};

	ioctl(npheap_fd(store->heap), NPHEAP_IOCTL_DELETE, &cmd);
}

const struct store_calls heap_ioctl_calls = {
	.gate = &gate_event_ioctl,
	.keeps = true,
	.open = heap_open,
	.close = heap_close,
	.make = heap_keep_raw,
	.publish = store_nothing,
	.find = heap_keep_raw,
	.leave = store_nothing,
	.remove = heap_remove_raw,
};
