/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What put and get share.
 *
 * Pages of an object are touched by read(2) and write(2) only.  Where one is
 * not there, because somebody made the object smaller or a sparse one got no
 * memory, that is EFAULT and not SIGBUS.
 */
#ifndef NPHEAP_COPY_H
#define NPHEAP_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool.h"

/* How much goes at once, between two looks at the clock. */
#define CHUNK (4u << 20)

/**
 * struct progress - a bar on the terminal, once it takes long
 * @done: bytes so far
 * @total: of so many
 * @next: when it is drawn next, in ns; 0: never
 * @drawn: it was
 */
struct progress {
	uint64_t done;
	uint64_t total;
	uint64_t next;
	bool drawn;
};

void progress_begin(struct progress *progress, uint64_t total);
void progress_add(struct progress *progress, uint64_t bytes);
void progress_end(const struct progress *progress);

/** Writes all of it; 0, or -1 and errno. */
int write_all(int fd, const char *data, size_t size);

/* For getopt_long(); lock_option() takes what it returns. */
#define LOCK_SHORT_OPTIONS "nw:"
#define LOCK_LONG_OPTIONS						\
	{ "nonblock", no_argument, NULL, 'n' },				\
	{ "nb", no_argument, NULL, 'n' },				\
	{ "timeout", required_argument, NULL, 'w' },			\
	{ "wait", required_argument, NULL, 'w' }

/** False where the option is none of a lock's. */
bool lock_option(struct key_lock *lock, int option, const char *argument);

#endif
