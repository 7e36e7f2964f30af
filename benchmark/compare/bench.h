/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The harness: one operation, as several systems do it, in one table.
 *
 * A suite hands compare() the same case once for each system, the peer that the
 * ratios are to first.  All are set up and warmed up; then they are measured in
 * turn, again and again, so that whatever else the machine does hits all alike;
 * and the first of them twice a turn, so that a row of its own, "again", shows
 * how far two measurements of the same thing are apart.
 *
 * Whatever fails or comes out wrong ends the program: a figure is printed of
 * work that was done, or not at all.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "measure.h"

/**
 * struct bench - a case as one system does it
 * @name: the case, as it is printed
 * @system: the system, as it is printed
 * @size: bytes that an operation is about; 0 where that has no meaning
 * @processes: how many take part; 0 is 1
 * @by: the system
 * @setup: once, before everything: 0, or -errno where the machine does not have
 *	this system, which is then left out with a word; -ENODATA: without one
 * @op: one operation; or
 * @run: @n of them, by processes that it starts; returns what they took, as
 *	stamp() counts
 * @prepare: before each @op, not measured; or NULL
 * @undo: after each @op, not measured; or NULL
 * @teardown: once, at the end; or NULL
 * @loops: operations in one round; 0: as many as make it long enough
 * @rounds: repetitions; 0: what the mode has; 1: as @value, of something that is
 *	the same however often one looks: no warm-up, and no second look.  That
 *	of the first of a table counts
 * @copies: count the payload that pipes, sockets, queues and eventfds copy; there must be no @prepare and @undo
 * @value: of its own kind: what @run returns is no time, and printed as it is,
 *	under this metric, in @unit
 * @unit: see @value
 * @partly: what @run measures is only a part of what it does, so no system
 *	calls, faults and bytes are counted
 * @result: where the median is stored; or NULL
 * @samples: what sample() was given, for percentiles; the harness's
 * @n_samples: how many; the harness's
 * @state: the suite's own
 */
struct bench {
	const char *name;
	const char *system;
	uint64_t size;
	unsigned int processes;
	const void *by;
	int (*setup)(struct bench *b);
	void (*op)(struct bench *b);
	double (*run)(struct bench *b, unsigned int n);
	void (*prepare)(struct bench *b);
	void (*undo)(struct bench *b);
	void (*teardown)(struct bench *b);
	unsigned int loops;
	unsigned int rounds;
	int copies;
	const char *value;
	const char *unit;
	int partly;
	double *result;
	double *samples;
	size_t n_samples;
	void *state;
};

/** The most systems in one table, and repetitions. */
#define BENCHES 32
#define MOST_ROUNDS 99

/** compare() - measure @benches in turn, and print their rows; @n of them */
void compare(struct bench *benches, size_t n);

/**
 * sample() - what a single operation took, from within @run
 *
 * A bench that says so gets a row for the median; for the 90th percentile where
 * there are 20 samples, and for the 99th where there are 200.
 */
void sample(struct bench *b, double took);

/** random_number() - the same sequence in each run of the program */
uint64_t random_number(void);

/** The mode: instructions are counted, and there is one processor. */
extern int instructions;

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** Bytes in a page. */
extern size_t page;

/** struct suite - the tables that belong together */
struct suite {
	const char *name;
	const char *about;
	void (*run)(void);
};

/**
 * bench_all() - print the head of the file, and run suites
 * @suites: ends with NULL
 *
 * Return: an exit status.
 */
int bench_all(const struct suite *const *suites);

/** struct options - what the command line says */
extern struct options {
	int list;		/* print the cases, and measure nothing */
	unsigned int rounds;	/* repetitions; 0: what the mode has */
	int broken;		/* also what has to fail */
	char **only;		/* patterns of SUITE/CASE/SIZE; NULL: all */
	int no_payload;		/* do not count it: to set probes takes long */
	const char *system;	/* pattern of systems beside the first; NULL: all */
} options;

#endif
