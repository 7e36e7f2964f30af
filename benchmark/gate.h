/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A gate is a semaphore that processes share, by one of the ways in which
 * processes that share memory can wait for each other.
 */
#ifndef GATE_H
#define GATE_H

#include <npheap.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

/**
 * struct gate - in shared memory; which members are in use is its kind's matter
 * @count: how many may pass
 * @sleepers: how many wait, or are about to
 * @fd: an eventfd, from before the processes were forked
 * @key: whose events are waited for
 */
struct gate {
	sem_t sem;
	_Atomic uint32_t count;
	_Atomic uint32_t sleepers;
	int fd;
	uint64_t key;
};

/**
 * struct gate_kind - a way to wait
 * @init: let @count pass at first; @gate->key is set; 0 or -errno
 * @end: what @init made goes; or NULL
 * @wait: until one may pass, and that is the caller; 0 or -errno
 * @post: let one more pass; 0 or -errno
 *
 * @heap is npheap's, and NULL to the others.
 */
struct gate_kind {
	int (*init)(struct gate *gate, unsigned int count);
	void (*end)(struct gate *gate);
	int (*wait)(struct gate *gate, struct npheap *heap);
	int (*post)(struct gate *gate, struct npheap *heap);
};

/** The C library's semaphore. */
extern const struct gate_kind gate_semaphore;
/** futex(2), with a count in shared memory. */
extern const struct gate_kind gate_futex;
/** eventfd(2), for those who have to sleep, with a count in shared memory. */
extern const struct gate_kind gate_eventfd;
/** npheap's events, with a count in shared memory; by library, and by ioctl. */
extern const struct gate_kind gate_event, gate_event_ioctl;

#endif
