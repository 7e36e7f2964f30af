// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many processes in a closed loop: each takes the lock, adds one to a counter
 * that is not atomic, gives the lock back, and is there again.
 *
 * All wait at the lock before the first one gets it, and none ends before the
 * last one is done, so nothing is measured but turns.  In the end the counter
 * has to be right.
 *
 * On one processor a holder would do all its turns before another even comes.
 * So there it gives the processor away while it holds the lock, once a turn,
 * and all others come and wait.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compare/suite_locks.h"

#define MOST 64

/* Who came and who got the lock, in the order in which it happened. */
#define NOTED_TURNS 30

struct history {
	_Atomic uint32_t length;
	struct {
		volatile uint16_t who;
		volatile uint16_t got;
	} entries[2 * MOST * NOTED_TURNS];
};

/* What the processes share. */
struct crowd {
	pthread_barrier_t all_done;
	_Atomic unsigned int done;
	volatile uint64_t ended;
	volatile uint64_t counter;
	struct history history;
};

static struct crowd *crowd;

/* ------------------------------------------------------------------ a member */

struct member {
	const struct lock *lock;
	unsigned int me;
	unsigned int processes;
	unsigned int turns;
	int noted;
};

static void let_others_come(void)
{
	int i;

	if (instructions || options.broken)
		sched_yield();
	else
		for (i = 0; i < 100; i++)
			__asm__ volatile("" : : : "memory");
}

static void add_one(void)
{
	uint64_t counter = crowd->counter;

	let_others_come();
	crowd->counter = counter + 1;
}

static void note(unsigned int who, int got)
{
	struct history *history = &crowd->history;
	uint32_t i = atomic_fetch_add(&history->length, 1);

	history->entries[i].who = who;
	history->entries[i].got = got;
}

static void take_turns(const struct member *m)
{
	unsigned int i;

	for (i = 0; i < m->turns; i++) {
		m->lock->lock(0);
		add_one();
		m->lock->unlock(0);
	}
}

static void take_noted_turns(const struct member *m)
{
	unsigned int i;

	for (i = 0; i < m->turns; i++) {
		note(m->me, 0);
		m->lock->lock(0);
		note(m->me, 1);
		add_one();
		m->lock->unlock(0);
	}
}

static void take_part(void *arg)
{
	const struct member *m = arg;

	lock_join(m->lock);
	if (m->noted)
		take_noted_turns(m);
	else
		take_turns(m);
	if (atomic_fetch_add(&crowd->done, 1) + 1 == m->processes)
		crowd->ended = stamp();
	pthread_barrier_wait(&crowd->all_done);
}

/* --------------------------------------------------------------- all of them */

static void crowd_new(unsigned int processes)
{
	pthread_barrierattr_t attr;

	if (!crowd)
		crowd = shared_memory(sizeof(*crowd));
	memset(crowd, 0, sizeof(*crowd));
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&crowd->all_done, &attr, processes);
	pthread_barrierattr_destroy(&attr);
}

static void until_all_sleep(const pid_t *pids, unsigned int n)
{
	unsigned int i;

	pause_ms(10 + n);
	for (i = 0; i < n; i++)
		until_sleeps(pids[i]);
}

/* Returns what all turns took. */
static double run_crowd(const struct lock *lock, unsigned int processes,
			unsigned int turns, int noted)
{
	struct member m = {
		.lock = lock, .processes = processes, .turns = turns,
		.noted = noted,
	};
	pid_t pids[MOST];
	uint64_t began;
	unsigned int i;

	crowd_new(processes);
	lock->lock(0);
	for (i = 0; i < processes; i++) {
		m.me = i;
		pids[i] = start(take_part, &m, i);
	}
	until_all_sleep(pids, processes);
	began = stamp();
	lock->unlock(0);
	finish_all(processes);
	errno = EBADMSG;
	check(crowd->counter == (uint64_t)processes * turns, lock->name);
	return crowd->ended - began;
}

/* Those that exclude others. */
static const struct lock *const locks[] = {
	&lock_robust, &lock_npheap_handle, &lock_npheap_ref, &lock_mutex,
	&lock_pi, &lock_semaphore, &lock_semop, &lock_fcntl, &lock_flock,
	&lock_boost_mutex,
	/* Only if it is asked for. */
	&lock_broken,
};

static size_t n_locks(void)
{
	return COUNT(locks) - !options.broken;
}

/* -------------------------------------------------------- what a turn costs */

static double run_contended(struct bench *b, unsigned int n)
{
	return run_crowd(lock_of(b), b->processes, n / b->processes, 0);
}

/*
 * Of time only.  Where one processor counts instructions, a mutex falls into one of
 * several rhythms with the scheduler's slices, and stays there: a turn is a thousand
 * instructions in one boot, and five thousand in the next.
 */
void locks_contended(void)
{
	struct bench how = { .run = run_contended };
	/* So many as outlast a scheduler's slice. */
	const unsigned int all_turns = 8000;
	char name[32];

	if (instructions)
		return;
	for (how.processes = 2; how.processes <= MOST; how.processes *= 2) {
		snprintf(name, sizeof(name), "contended-%u", how.processes);
		how.name = name;
		how.loops = all_turns / how.processes * how.processes;
		lock_table(&how, locks, n_locks());
	}
}

/* ------------------------------------------------------------------ overtaking */

struct overtaking {
	int by_one;
	int by_all;
};

/* What happened to the one that came at entry @i. */
static void count_overtaking(uint32_t i, struct overtaking *worst)
{
	const struct history *history = &crowd->history;
	int me = history->entries[i].who, all = 0;
	int by[MOST] = { 0 }, behind[MOST] = { 0 };

	while (++i < history->length) {
		int who = history->entries[i].who;

		if (!history->entries[i].got) {
			behind[who] = 1;
			continue;
		}
		if (who == me)
			break;
		if (!behind[who])
			continue;
		all++;
		if (++by[who] > worst->by_one)
			worst->by_one = by[who];
	}
	if (all > worst->by_all)
		worst->by_all = all;
}

/*
 * "Came" is what user space notes before it asks, for any kind of lock;
 * validate/test_fair.c looks into the kernel.
 */
static struct overtaking run_noted(const struct bench *b, unsigned int n)
{
	struct overtaking worst = { 0 };
	uint32_t i;

	run_crowd(lock_of(b), b->processes, n / b->processes, 1);
	for (i = 0; i < crowd->history.length; i++)
		if (!crowd->history.entries[i].got)
			count_overtaking(i, &worst);
	return worst;
}

static double run_by_one(struct bench *b, unsigned int n)
{
	return run_noted(b, n).by_one;
}

static double run_by_all(struct bench *b, unsigned int n)
{
	return run_noted(b, n).by_all;
}

/* The worst that happened to anyone in a run. */
void locks_fairness(void)
{
	struct bench how = {
		.name = "overtaken", .processes = MOST, .unit = "times",
		.loops = MOST * NOTED_TURNS, .rounds = 3,
	};

	how.run = run_by_one;
	how.value = "by-the-same";
	lock_table(&how, locks, n_locks());
	how.run = run_by_all;
	how.value = "by-all";
	lock_table(&how, locks, n_locks());
}
