/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kinds of objects that a store is made of share with the channel over
 * them: channel_store.c says how that works.
 */
#ifndef CHANNEL_STORE_H
#define CHANNEL_STORE_H

#include <npheap.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gate.h"

#define MAX_SLOTS 64

struct slot {
	alignas(64) struct gate empty;
	struct gate full;
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
	pid_t keeper;			/* these two make the names unique */
	unsigned int serial;
	struct npheap *heap;		/* npheap's */
	char *memory;			/* of all slots, from before the fork */
	char *buffer;			/* tmpfs's: what is written and read */

	/* a worker's: the slot and the object that it has at hand */
	unsigned int at;
	size_t size;
	void *bytes;
	void *kept[MAX_SLOTS];		/* a pool's mappings */
};

/**
 * struct store_calls - one kind of object; all work on slot @at, size @size
 * @gate: how its users wait
 * @keeps: a slot's object is the same all the time, whoever makes or finds it
 * @open, @close: in the keeper: the ring
 * @make: a new object's bytes, NULL and errno on failure
 * @publish: the bytes are complete
 * @find: an existing object's bytes, NULL and errno on failure
 * @leave: the bytes that @find gave, and the item, are no longer needed
 * @remove: in the keeper: the object, if it still exists, goes
 */
struct store_calls {
	const struct gate_kind *gate;
	bool keeps;
	int (*open)(struct store *store);
	void (*close)(struct store *store);
	void *(*make)(struct store *store);
	int (*publish)(struct store *store);
	void *(*find)(struct store *store);
	int (*leave)(struct store *store);
	void (*remove)(struct store *store);
};

/* Some calls have nothing to do. */
int store_nothing(struct store *store);

/** store_size() - of the object for an item: none is empty */
size_t store_size(size_t item_size);

/**
 * store_keep() - a pool's object, which is as large as the largest item
 * @map: used the first time
 */
void *store_keep(struct store *store, void *(*map)(struct store *store));

/** anonymous_map() - memory that children share; NULL and errno */
void *anonymous_map(size_t size);

/* A ring in such memory. */
int anonymous_open(struct store *store);
void anonymous_close(struct store *store);

/** store_gate_key() - the key of a slot's gate: 0 and 1 are the first slot's */
uint64_t store_gate_key(const struct store *store, unsigned int i);

extern const struct store_calls heap_calls, heap_pool_calls;
extern const struct store_calls heap_event_calls, heap_ioctl_calls;
extern const struct store_calls shm_calls, shm_pool_calls, file_calls;
extern const struct store_calls futex_calls, eventfd_calls;

#endif
