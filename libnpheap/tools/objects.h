/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The objects and the locks that there are, as /proc/npheap lists them. */
#ifndef NPHEAP_OBJECTS_H
#define NPHEAP_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NPHEAP_PROC "/proc/npheap/"

/**
 * struct object - a line of /proc/npheap/objects
 *
 * The fields are those of struct npheap_stat.  What this module does not tell
 * is 0.
 */
struct object {
	uint64_t key;
	uint64_t size;
	uint64_t creator;
	uint64_t uid;
	uint64_t resident;
	uint64_t mappings;
	uint64_t generation;
	uint64_t created;
	uint64_t flags;
	uint64_t seals;
	uint64_t max_size;
};

/* One that was told of a death gave the lock back all the same: nobody gets it. */
#define MARK_LOST 2

/**
 * struct key_state - a line of /proc/npheap/locks
 * @marked: a holder died and nobody has settled that; or MARK_LOST
 */
struct key_state {
	uint64_t key;
	uint64_t holder;
	uint64_t waiters;
	uint64_t readers;
	uint64_t marked;
};

/**
 * Reads a table, sorted by key and each key once, into memory that the caller
 * frees; 0, or -1 and errno.
 */
int read_objects(struct object **objects, size_t *count);
int read_locks(struct key_state **locks, size_t *count);

/** The lock of a key, of a table of read_locks(); NULL: it is not in use. */
const struct key_state *find_lock(const struct key_state *locks, size_t count,
				  uint64_t key);

#endif
