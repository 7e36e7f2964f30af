/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random operations, checked.
 *
 *   torture.c         options, and what is done in which order
 *   torture_model.c   what a heap is, in plain arrays
 *   torture_ops.c     the table of operations: each on the heap and on the model
 *   torture_single.c  sequences of them; a sequence that fails is made shorter
 *   torture_log.c     what each thread of the crowd did last
 *   torture_crowd.c   many threads and processes, and kills: what always holds
 *   torture_many.c    30,000 threads at the same time
 *   torture_history.c histories for linear.c
 */
#ifndef NPHEAP_TORTURE_H
#define NPHEAP_TORTURE_H

#include <stdbool.h>

#include "dice.h"
#include "object.h"

/* ----------------------------------------------------- single (a sequence) -- */

/** So many keys, mappings, and pages of an object at most. */
#define KEYS 5
#define SLOTS 8
#define MAX_PAGES 24

/** An operation: which, and what it is given.  Any numbers are valid. */
struct op {
	uint8_t what;
	uint8_t key;
	uint8_t slot;
	uint8_t mode;
	uint32_t a;
	uint32_t b;
};

/**
 * struct operation - an entry of the table
 * @name: in replays
 * @weight: how often it is chosen, relative to the others
 * @run: does it on the heap: 0, a value, or a negative errno
 * @model: does it on the model: what @run has to return
 */
struct operation {
	const char *name;
	unsigned int weight;
	long (*run)(const struct op *op);
	long (*model)(const struct op *op);
};

/** The last one has no name. */
extern const struct operation operations[];

/** The keys of the sequence that runs begin here. */
extern uint64_t first_key;

/** Makes an empty model, and what the process needs besides. */
void model_new(void);
void operations_begin(void);

/** So long is a sequence, each of them in a process of its own. */
#define SEQUENCE 1000

/**
 * Runs sequences for so many operations or milliseconds, what ends first.  Each
 * one is in the directory @out, if there is one, before it runs.
 */
int single_run(uint64_t seed, uint64_t operations, long long ms,
	       const char *out);

/** Runs what @path lists; 0 if all of it is as the model says. */
int single_replay(const char *path);

/** How many operations were checked. */
extern uint64_t single_checked;

/* ------------------------------------------------------------------ others -- */

/** What a mode did, for the last line. */
struct crowd_result {
	uint64_t operations;
	uint64_t kills;
};

/** Processes at most, and threads of each. */
#define CROWD_PROCESSES 16
#define CROWD_THREADS 16

int crowd_run(uint64_t seed, unsigned int processes, unsigned int threads,
	      uint64_t operations, long long ms, struct crowd_result *result);
int many_run(unsigned int processes, unsigned int threads);

struct history_result {
	uint64_t operations;
	uint64_t histories;
	uint64_t kills;
};

int history_run(uint64_t seed, long long ms, struct history_result *result);

#endif
