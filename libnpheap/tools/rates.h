/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events by key and thread, counted by the kernel: histograms of the module's
 * tracepoints, in an instance of tracefs of our own.
 */
#ifndef NPHEAP_RATES_H
#define NPHEAP_RATES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum rate_event { RATE_FAULTS, RATE_MAPS, RATE_LOCKS, RATE_WAITS, RATE_EVENTS };

/**
 * struct rate - what a thread did with a key since the last look
 * @key: the key
 * @tid: the thread
 * @count: so many of each event
 */
struct rate {
	uint64_t key;
	pid_t tid;
	uint64_t count[RATE_EVENTS];
};

/** Begins to count; NULL, or why that cannot be. */
const char *rates_begin(void);

/** What happened since the last call, by key; freed by the next call. */
size_t rates_read(const struct rate **rates);

/** Ends it.  May be called at any time. */
void rates_end(void);

/** The directory of one whose process is gone, or NULL. */
const char *find_stale_rates(void);

#endif
