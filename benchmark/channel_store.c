// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Channels over named objects: npheap, POSIX shm, and files on tmpfs.
 *
 * An item is an object of its own, made for it by the producer and removed by
 * the consumer.  A ring of slots limits how many exist at a time; the objects
 * are named by slot.  A slot has two semaphores, one for each side to wait
 * on, and tickets spread the workers over the slots without a lock.
 *
 * A pool keeps the objects instead: each worker maps each of them once, and
 * items follow one another in the same memory.
 *
 * The ring of npheap is an object too: semaphores in objects are shared
 * between processes like any others.  The ring of the rest is anonymous
 * memory from before the fork, the cheapest they could have.
 */
#include <errno.h>
#include <fcntl.h>
#include <npheap.h>
#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel.h"

#define IN_FLIGHT ((size_t)64 << 20)	/* bytes in objects at a time */
#define MAX_SLOTS 64

struct slot {
	alignas(64) sem_t empty;
	sem_t full;
	uint64_t number;
	size_t size;
};

struct ring {
	alignas(64) _Atomic uint64_t put;
	alignas(64) _Atomic uint64_t got;
	struct slot slots[MAX_SLOTS];
};

struct store {
	const struct store_calls *calls;
	struct ring *ring;
	unsigned int slots;
	size_t max_size;
	pid_t keeper;			/* makes the names unique */
	struct npheap *heap;		/* npheap's */
	char *buffer;			/* tmpfs's: what is written and read */

	/* a worker's: the slot and the object that it has at hand */
	unsigned int at;
	size_t size;
	void *bytes;
	void *kept[MAX_SLOTS];		/* a pool's mappings */
};

/**
 * struct store_calls - one kind of object; all work on slot @at, size @size
 * @open, @close: in the keeper: the ring
 * @make: a new object's bytes, NULL and errno on failure
 * @publish: the bytes are complete
 * @find: an existing object's bytes, NULL and errno on failure
 * @leave: the bytes that @find gave, and the item, are no longer needed
 * @remove: in the keeper: the object, if it still exists, goes
 */
struct store_calls {
	int (*open)(struct store *store);
	void (*close)(struct store *store);
	void *(*make)(struct store *store);
	int (*publish)(struct store *store);
	void *(*find)(struct store *store);
	int (*leave)(struct store *store);
	void (*remove)(struct store *store);
};

static void *fail(int error)
{
	errno = error;
	return NULL;
}

static int nothing(struct store *store)
{
	(void)store;
	return 0;
}

/* No object is empty. */
static size_t object_size(size_t item_size)
{
	return item_size ? item_size : 1;
}

/* A pool's objects are as large as the largest item. */
static void *keep(struct store *store, void *(*map)(struct store *))
{
	void **kept = &store->kept[store->at];

	store->size = object_size(store->max_size);
	if (!*kept)
		*kept = map(store);
	return *kept;
}

/* npheap: the keeper's pid sets the keys apart, far from what people use. */

static uint64_t ring_key(const struct store *store)
{
	return 1ULL << 50 | (uint64_t)store->keeper << 8;
}

static uint64_t object_key(const struct store *store)
{
	return ring_key(store) + 1 + store->at;
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
	return err ? fail(-err) : bytes;
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
	return keep(store, heap_map);
}

static const struct store_calls heap_calls = {
	.open = heap_open,
	.close = heap_close,
	.make = heap_map,
	.publish = heap_unmap,
	.find = heap_map,
	.leave = heap_leave,
	.remove = heap_remove,
};

static const struct store_calls heap_pool_calls = {
	.open = heap_open,
	.close = heap_close,
	.make = heap_keep,
	.publish = nothing,
	.find = heap_keep,
	.leave = nothing,
	.remove = heap_remove,
};

/* What POSIX shm and tmpfs have in common. */

struct name {
	char text[64];
};

static int anonymous_open(struct store *store)
{
	void *ring = mmap(NULL, sizeof(struct ring), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (ring == MAP_FAILED)
		return -errno;
	store->ring = ring;
	return 0;
}

static void anonymous_close(struct store *store)
{
	munmap(store->ring, sizeof(struct ring));
}

static int close_keeping(int fd, int result)
{
	int error = errno;

	close(fd);
	errno = error;
	return result;
}

/* POSIX shm, by the steps of shm_overview(7) */

static struct name shm_name(const struct store *store)
{
	struct name name;

	snprintf(name.text, sizeof(name.text), "/npheap-pass-shm-%d-%u",
		 (int)store->keeper, store->at);
	return name;
}

static void *shm_map(struct store *store, int protection, int fd)
{
	void *bytes = mmap(NULL, store->size, protection, MAP_SHARED, fd, 0);

	close_keeping(fd, 0);
	return bytes == MAP_FAILED ? NULL : bytes;
}

static void *shm_make(struct store *store)
{
	int fd = shm_open(shm_name(store).text, O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)store->size)) {
		close_keeping(fd, 0);
		return NULL;
	}
	return shm_map(store, PROT_READ | PROT_WRITE, fd);
}

static void *shm_find(struct store *store)
{
	int fd = shm_open(shm_name(store).text, O_RDONLY, 0);

	return fd < 0 ? NULL : shm_map(store, PROT_READ, fd);
}

static int shm_unmap(struct store *store)
{
	return munmap(store->bytes, store->size) ? -errno : 0;
}

static int shm_leave(struct store *store)
{
	int err = shm_unmap(store);

	if (!err && shm_unlink(shm_name(store).text))
		err = -errno;
	return err;
}

static void shm_remove(struct store *store)
{
	shm_unlink(shm_name(store).text);
}

static void *shm_keep_made(struct store *store)
{
	return keep(store, shm_make);
}

static void *shm_keep_found(struct store *store)
{
	return keep(store, shm_find);
}

static const struct store_calls shm_calls = {
	.open = anonymous_open,
	.close = anonymous_close,
	.make = shm_make,
	.publish = shm_unmap,
	.find = shm_find,
	.leave = shm_leave,
	.remove = shm_remove,
};

static const struct store_calls shm_pool_calls = {
	.open = anonymous_open,
	.close = anonymous_close,
	.make = shm_keep_made,
	.publish = nothing,
	.find = shm_keep_found,
	.leave = nothing,
	.remove = shm_remove,
};

/* Files on tmpfs, with write(2) and read(2), each as large as the item */

static struct name file_name(const struct store *store)
{
	struct name name;

	snprintf(name.text, sizeof(name.text),
		 "/dev/shm/npheap-pass-file-%d-%u", (int)store->keeper,
		 store->at);
	return name;
}

static void *file_make(struct store *store)
{
	return store->buffer;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	for (ssize_t n; size; size -= (size_t)n, bytes += n) {
		n = write(fd, bytes, size);
		if (n < 0)
			return -errno;
	}
	return 0;
}

static int read_all(int fd, char *bytes, size_t size)
{
	for (ssize_t n; size; size -= (size_t)n, bytes += n) {
		n = read(fd, bytes, size);
		if (n <= 0)
			return n ? -errno : -EPIPE;
	}
	return 0;
}

static int file_publish(struct store *store)
{
	int fd = open(file_name(store).text, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return -errno;
	return close_keeping(fd, write_all(fd, store->bytes, store->size));
}

static void *file_find(struct store *store)
{
	int fd = open(file_name(store).text, O_RDONLY);
	int err;

	if (fd < 0)
		return NULL;
	err = close_keeping(fd, read_all(fd, store->buffer, store->size));
	return err ? fail(-err) : store->buffer;
}

static int file_leave(struct store *store)
{
	return unlink(file_name(store).text) ? -errno : 0;
}

static void file_remove(struct store *store)
{
	unlink(file_name(store).text);
}

static const struct store_calls file_calls = {
	.open = anonymous_open,
	.close = anonymous_close,
	.make = file_make,
	.publish = file_publish,
	.find = file_find,
	.leave = file_leave,
	.remove = file_remove,
};

/* The channel over any of them */

/* As many as IN_FLIGHT allows, but one for each worker of the larger side. */
static unsigned int slot_count(const struct geometry *geometry)
{
	size_t fitting = IN_FLIGHT / object_size(geometry->max_size);
	unsigned int needed = geometry->producers > geometry->consumers ?
			      geometry->producers : geometry->consumers;

	if (fitting < needed)
		return needed;
	return fitting < MAX_SLOTS ? (unsigned int)fitting : MAX_SLOTS;
}

static void ring_init(struct store *store)
{
	for (unsigned int i = 0; i < store->slots; i++) {
		sem_init(&store->ring->slots[i].empty, 1, 1);
		sem_init(&store->ring->slots[i].full, 1, 0);
	}
}

static int store_create(struct channel *channel,
			const struct store_calls *calls)
{
	struct store *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return -ENOMEM;
	store->calls = calls;
	store->keeper = getpid();
	store->max_size = channel->geometry.max_size;
	store->slots = slot_count(&channel->geometry);
	err = calls->open(store);
	if (err) {
		free(store);
		return err;
	}
	ring_init(store);
	channel->state = store;
	return 0;
}

static int npheap_channel_create(struct channel *channel)
{
	return store_create(channel, &heap_calls);
}

static int npheap_pool_create(struct channel *channel)
{
	return store_create(channel, &heap_pool_calls);
}

static int shm_create(struct channel *channel)
{
	return store_create(channel, &shm_calls);
}

static int shm_pool_create(struct channel *channel)
{
	return store_create(channel, &shm_pool_calls);
}

static int tmpfs_create(struct channel *channel)
{
	return store_create(channel, &file_calls);
}

static void store_destroy(struct channel *channel)
{
	struct store *store = channel->state;

	/* After a failure objects may be left; mostly there are none. */
	for (store->at = 0; store->at < store->slots; store->at++)
		store->calls->remove(store);
	store->calls->close(store);
	free(store->buffer);
	free(store);
}

static int store_join(struct channel *channel, enum role role,
		      unsigned int worker)
{
	struct store *store = channel->state;

	(void)worker;
	if (role == ROLE_KEEPER || store->calls != &file_calls)
		return 0;
	store->buffer = malloc(object_size(store->max_size));
	return store->buffer ? 0 : -ENOMEM;
}

static struct slot *take_slot(struct store *store, uint64_t ticket)
{
	store->at = (unsigned int)(ticket % store->slots);
	return &store->ring->slots[store->at];
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem))
		;			/* EINTR */
}

static void *store_begin(struct channel *channel, size_t size)
{
	struct store *store = channel->state;
	uint64_t ticket = atomic_fetch_add(&store->ring->put, 1);

	wait_for(&take_slot(store, ticket)->empty);
	store->size = object_size(size);
	store->bytes = store->calls->make(store);
	return store->bytes;
}

static int store_commit(struct channel *channel, uint64_t number, size_t size)
{
	struct store *store = channel->state;
	struct slot *slot = &store->ring->slots[store->at];
	int err = store->calls->publish(store);

	if (err)
		return err;
	slot->number = number;
	slot->size = size;
	sem_post(&slot->full);
	return 0;
}

static int store_receive(struct channel *channel, struct item *item)
{
	struct store *store = channel->state;
	uint64_t ticket = atomic_fetch_add(&store->ring->got, 1);
	struct slot *slot = take_slot(store, ticket);

	if (ticket >= channel->geometry.items)
		return 0;
	wait_for(&slot->full);
	store->size = object_size(slot->size);
	store->bytes = store->calls->find(store);
	item->number = slot->number;
	item->size = slot->size;
	item->bytes = store->bytes;
	return store->bytes ? 1 : -errno;
}

static int store_release(struct channel *channel)
{
	struct store *store = channel->state;
	int err = store->calls->leave(store);

	if (!err)
		sem_post(&store->ring->slots[store->at].empty);
	return err;
}

#define STORE_CALLS \
	.destroy = store_destroy, \
	.join = store_join, \
	.begin = store_begin, \
	.commit = store_commit, \
	.receive = store_receive, \
	.release = store_release

const struct transport transport_npheap = {
	.name = "npheap",
	.create = npheap_channel_create,
	STORE_CALLS
};

const struct transport transport_npheap_pool = {
	.name = "npheap-pool",
	.create = npheap_pool_create,
	STORE_CALLS
};

const struct transport transport_shm_pool = {
	.name = "shm-pool",
	.create = shm_pool_create,
	STORE_CALLS
};

const struct transport transport_shm = {
	.name = "shm",
	.create = shm_create,
	STORE_CALLS
};

const struct transport transport_tmpfs = {
	.name = "tmpfs",
	.create = tmpfs_create,
	STORE_CALLS
};
