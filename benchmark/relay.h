/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A relay runs one job, items that producer processes make and consumer
 * processes check, over one channel, and times it.
 */
#ifndef RELAY_H
#define RELAY_H

#include "channel.h"

/**
 * struct job - the work, the same for every transport
 * @geometry: how many processes and items, and the largest item
 * @warm_up: so many of the items come first, and are not timed: the first pages
 *	of everything are touched then
 * @size: how long item @number is
 * @fill: write item @number; 0 or -errno
 * @check: read item @number and judge it; 0 or -errno
 * @data: the callbacks' own
 */
struct job {
	struct geometry geometry;
	uint64_t warm_up;
	size_t (*size)(const struct job *job, uint64_t number);
	int (*fill)(const struct job *job, uint64_t number, void *bytes,
		    size_t size);
	int (*check)(const struct job *job, uint64_t number, const void *bytes,
		     size_t size);
	void *data;
};

/**
 * struct outcome - what a relay found
 * @bytes: in all items together
 * @seconds: from the moment when the last process was ready, and the warm-up
 *	over, to the moment when the last consumer had checked its last item; as
 *	stamp() counts, so in instructions / 1e9 where choose_clock() chose those
 */
struct outcome {
	uint64_t bytes;
	double seconds;
};

/**
 * relay_run() - run a job over a transport
 *
 * Succeeds only where every item arrived once and passed its check.  Says
 * on standard error what went wrong.
 *
 * Return: 0 or -errno, -EBADMSG for items lost, doubled or changed.
 */
int relay_run(const struct transport *transport, const struct job *job,
	      struct outcome *outcome);

/** seconds_now() - CLOCK_MONOTONIC */
double seconds_now(void);

#endif
