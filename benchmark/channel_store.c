// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Channels over objects that processes share: npheap, POSIX shm, files on tmpfs,
 * and memory from before the fork.
 *
 * An item is an object of its own, made for it by the producer and removed by
 * the consumer.  A ring of slots limits how many exist at a time; the objects
 * are named by slot.  A slot has two gates, one for each side to wait on, and
 * tickets spread the workers over the slots without a lock.
 *
 * A pool keeps the objects instead: each worker maps and touches all of them when
 * it joins, and items follow one another in the same memory.
 *
 * The ring of npheap is an object too: semaphores in objects are shared between
 * processes like any others, and so are the counts that its own events go with.
 * The ring of the rest is anonymous memory from before the fork, the cheapest
 * they could have.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel.h"
#include "channel_store.h"

#define IN_FLIGHT ((size_t)16 << 20)	/* bytes in objects at a time */
#define CHANNELS 16			/* of a process, at a time */

static void *fail(int error)
{
	errno = error;
	return NULL;
}

int store_nothing(struct store *store)
{
	(void)store;
	return 0;
}

size_t store_size(size_t item_size)
{
	return item_size ? item_size : 1;
}

void *store_keep(struct store *store, void *(*map)(struct store *))
{
	void **kept = &store->kept[store->at];

	store->size = store_size(store->max_size);
	if (!*kept)
		*kept = map(store);
	return *kept;
}

/* As many as IN_FLIGHT allows, but two for each worker of the larger side. */
static unsigned int slot_count(const struct geometry *geometry)
{
	size_t fitting = IN_FLIGHT / store_size(geometry->max_size);
	unsigned int needed = geometry->producers > geometry->consumers ?
			      geometry->producers : geometry->consumers;

	if (fitting < 2 * needed)
		return 2 * needed;
	return fitting < MAX_SLOTS ? (unsigned int)fitting : MAX_SLOTS;
}

static struct gate *gate_at(struct store *store, unsigned int i)
{
	struct slot *slot = &store->ring->slots[i / 2];

	return i % 2 ? &slot->full : &slot->empty;
}

static void end_gates(struct store *store, unsigned int count)
{
	while (store->calls->gate->end && count--)
		store->calls->gate->end(gate_at(store, count));
}

static int init_gates(struct store *store)
{
	int err;

	for (unsigned int i = 0; i < 2 * store->slots; i++) {
		struct gate *gate = gate_at(store, i);

		gate->key = store_gate_key(store, i);
		/* All slots are empty. */
		err = store->calls->gate->init(gate, i % 2 ? 0 : 1);
		if (err) {
			end_gates(store, i);
			return err;
		}
	}
	return 0;
}

static int open_store(struct store *store)
{
	int err = store->calls->open(store);

	if (err)
		return err;
	err = init_gates(store);
	if (err)
		store->calls->close(store);
	return err;
}

static int store_create(struct channel *channel,
			const struct store_calls *calls)
{
	static unsigned int channels;
	struct store *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return -ENOMEM;
	store->calls = calls;
	store->keeper = getpid();
	store->serial = channels++ % CHANNELS;
	store->max_size = channel->geometry.max_size;
	store->slots = slot_count(&channel->geometry);
	err = open_store(store);
	if (err) {
		free(store);
		return err;
	}
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

static int npheap_event_create(struct channel *channel)
{
	return store_create(channel, &heap_event_calls);
}

static int npheap_ioctl_create(struct channel *channel)
{
	return store_create(channel, &heap_ioctl_calls);
}

static int shm_create(struct channel *channel)
{
	return store_create(channel, &shm_calls);
}

static int shm_pool_create(struct channel *channel)
{
	return store_create(channel, &shm_pool_calls);
}

static int futex_create(struct channel *channel)
{
	return store_create(channel, &futex_calls);
}

static int eventfd_create(struct channel *channel)
{
	return store_create(channel, &eventfd_calls);
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
	end_gates(store, 2 * store->slots);
	store->calls->close(store);
	free(store->buffer);
	free(store);
}

/* Maps all pages that @bytes lie in, and leaves them as they are. */
static int touch(char *bytes, size_t size)
{
	size_t inside = (uintptr_t)bytes % sysconf(_SC_PAGESIZE);

	return madvise(bytes - inside, size + inside, MADV_POPULATE_WRITE) ?
		       -errno : 0;
}

/* Before its first item: no page shall be new to a worker behind that. */
static int touch_all(struct store *store)
{
	void *bytes;
	int err = 0;

	store->size = store_size(store->max_size);
	for (store->at = 0; store->at < store->slots && !err; store->at++) {
		bytes = store->calls->make(store);
		err = bytes ? touch(bytes, store->size) : -errno;
	}
	return err;
}

static int store_join(struct channel *channel, enum role role,
		      unsigned int worker)
{
	struct store *store = channel->state;

	(void)worker;
	if (role == ROLE_KEEPER)
		return 0;
	if (store->calls->keeps)
		return touch_all(store);
	if (store->calls != &file_calls)
		return 0;
	store->buffer = malloc(store_size(store->max_size));
	return store->buffer ? 0 : -ENOMEM;
}

static struct slot *take_slot(struct store *store, uint64_t ticket)
{
	store->at = (unsigned int)(ticket % store->slots);
	return &store->ring->slots[store->at];
}

static int wait_for(struct store *store, struct gate *gate)
{
	return store->calls->gate->wait(gate, store->heap);
}

static int post(struct store *store, struct gate *gate)
{
	return store->calls->gate->post(gate, store->heap);
}

static void *store_begin(struct channel *channel, size_t size)
{
	struct store *store = channel->state;
	uint64_t ticket = atomic_fetch_add(&store->ring->put, 1);
	int err = wait_for(store, &take_slot(store, ticket)->empty);

	if (err)
		return fail(-err);
	store->size = store_size(size);
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
	return post(store, &slot->full);
}

static int store_receive(struct channel *channel, struct item *item)
{
	struct store *store = channel->state;
	uint64_t ticket = atomic_fetch_add(&store->ring->got, 1);
	struct slot *slot = take_slot(store, ticket);
	int err;

	if (ticket >= channel->geometry.items)
		return 0;
	err = wait_for(store, &slot->full);
	if (err)
		return err;
	store->size = store_size(slot->size);
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

	return err ? err : post(store, &store->ring->slots[store->at].empty);
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

const struct transport transport_npheap_event = {
	.name = "npheap-event",
	.create = npheap_event_create,
	STORE_CALLS
};

const struct transport transport_npheap_ioctl = {
	.name = "npheap-ioctl",
	.create = npheap_ioctl_create,
	STORE_CALLS
};

const struct transport transport_futex = {
	.name = "futex",
	.create = futex_create,
	STORE_CALLS
};

const struct transport transport_eventfd = {
	.name = "eventfd",
	.create = eventfd_create,
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
