/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests that kill a process at a certain point share: the operations
 * at which it is killed, the others that want the same lock meanwhile, and the
 * judgement of whether they go on.
 *
 * The same is done to glibc's robust mutex, for comparison: there it is
 * counted and printed, and decides nothing.
 */
#ifndef NPHEAP_KILL_H
#define NPHEAP_KILL_H

#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

/* So long may it take until another process has the lock. */
#define DEADLINE_MS 10000

#define NS_PER_MS 1000000ULL

/* In an object: two counters that differ only inside of the lock. */
struct ledger {
	volatile uint64_t begun;
	volatile uint64_t ended;
	pthread_mutex_t mutex;
};

enum job { JOB_LOCK, JOB_WAIT };

/* What the processes of a test share besides. */
struct scene {
	struct gate victim_ready;
	struct gate victim_may_go;
	/* The victim is: 0 before the operation, 1 in it, 2 behind it. */
	volatile int phase;
	volatile enum job job;
	volatile uint64_t event;
	struct gate ordered;
	struct gate started;
	struct gate done;
	_Atomic int rival_result;
	_Atomic int rival_was_told;
	_Atomic int broken;
};

struct kind {
	const char *name;
	long long deadline_ms;
	/* 0, EOWNERDEAD (and settled), or what went wrong. */
	int (*take)(long long ms);
	int (*try)(void);
	int (*release)(void);
};

extern const struct kind by_heap, by_peer;

/* Who else is there when the victim is stepped. */
enum around {
	ALONE,
	HELD,		/* another holds the lock */
	WAITED_FOR,	/* another waits for the victim's lock */
	WATCHED,	/* another waits for a notification */
};

struct plan {
	const char *id;
	const char *name;
	const struct kind *kind;
	void (*before)(void);
	void (*body)(void);
	enum around around;
	/* It sleeps, and goes on when let_go() was called. */
	int sleeps;
};

/* All operations of npheap; the last one has no name. */
extern const struct plan plans[];

extern struct npheap *heap;
extern struct scene *scene;
extern struct ledger *ledger;
extern uint64_t key;
extern const struct plan *plan;

/* What victims do. */
void know_it(void);
void hold_it(void);
void do_lock(void);
void do_unlock(void);
void peer_know_it(void);
void peer_hold_it(void);
void do_peer_lock(void);
void do_peer_unlock(void);

/** A new key, and a rival for it. */
void scene_new(void);
void scene_free(void);

/** Makes others want what the plan says they do. */
void surround(void);

/** Lets the victim of a plan that sleeps go on. */
void let_go(void);

struct tally {
	unsigned long points;
	unsigned long recovered;
	unsigned long told;
};

/**
 * The victim is dead: counts in @tally whether everybody else goes on; @locks
 * is how many were in use before it started.
 */
void judge(struct tally *tally, unsigned long point, long long locks);

/** Runs @test with each plan as its state, and then the @count @others. */
int run_plans(const char *prefix, CMUnitTestFunction test,
	      const struct CMUnitTest *others, size_t count);

#endif
