/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel hands items, each a number and some bytes, from producer
 * processes to consumer processes.  Every item reaches one consumer.
 *
 * Three families of transports implement it.  A stream (pipe, Unix socket)
 * copies the bytes through the kernel and has a connection for each pair of
 * producer and consumer.  Messages (POSIX and System V queues, Unix sockets that
 * keep messages apart) are copied, too, and each consumer has a queue.  A store
 * (npheap, POSIX shm, files on tmpfs) puts each item into an object of its own,
 * which the producer makes and the consumer finds by name; a small ring says
 * which are ready.
 *
 * The interface favours nobody: the producer fills a buffer and the consumer
 * reads one, and where these lie in shared memory no byte is copied.
 *
 * Calls return negative errno values.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stddef.h>
#include <stdint.h>

/** The most workers on each side of a channel. */
#define CHANNEL_WORKERS 16

/** struct item - what a consumer receives; valid until the release. */
struct item {
	uint64_t number;
	size_t size;
	const void *bytes;
};

/** What a process does with the channel that it inherited. */
enum role { ROLE_KEEPER, ROLE_PRODUCER, ROLE_CONSUMER };

/** struct geometry - what a transport must know to set itself up. */
struct geometry {
	unsigned int producers;
	unsigned int consumers;
	uint64_t items;
	size_t max_size;
};

/** struct channel - the caller's part, and what its transport makes of it */
struct channel {
	struct geometry geometry;
	void *state;
};

/**
 * struct transport - one way to hand items over
 * @name: what the command line calls it
 * @create: before the workers are forked; leaves nothing where it fails
 * @destroy: when the workers are gone, in whatever state they left the
 *	channel; nothing of it stays in the system
 * @join: in each process after the fork, once; workers count from 0
 * @begin: a buffer of @size bytes for the producer to fill, or NULL and errno
 * @commit: hand the buffer over as item @number
 * @receive: wait for an item; 1, or 0 where no more will come
 * @release: the consumer is done with the item that it received last
 * @leave: in each process that joined, when all of them are done; or NULL where
 *	their end is enough
 */
struct transport {
	const char *name;
	int (*create)(struct channel *channel);
	void (*destroy)(struct channel *channel);
	int (*join)(struct channel *channel, enum role role,
		    unsigned int worker);
	void *(*begin)(struct channel *channel, size_t size);
	int (*commit)(struct channel *channel, uint64_t number, size_t size);
	int (*receive)(struct channel *channel, struct item *item);
	int (*release)(struct channel *channel);
	void (*leave)(struct channel *channel);
};

extern const struct transport transport_npheap, transport_npheap_pool;
extern const struct transport transport_npheap_event, transport_npheap_ioctl;
extern const struct transport transport_shm, transport_shm_pool;
extern const struct transport transport_futex, transport_eventfd;
extern const struct transport transport_pipe, transport_vmsplice;
extern const struct transport transport_unix, transport_seqpacket;
extern const struct transport transport_mq, transport_msg, transport_tmpfs;

/** Every transport, npheap first; ends with NULL. */
extern const struct transport *const transports[];

/** The transport of that name, or NULL. */
const struct transport *transport_named(const char *name);

#endif
