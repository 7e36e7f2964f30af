// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process dies that knew many locks and held some or all of them.
 *
 * Its end is measured from its last instruction in user space to the return of
 * waitpid(), when all has to be free, and the end of a process that took one
 * lock and gave it back is subtracted; the rest is divided by the locks that
 * it knew.
 *
 * Then every lock that was held is taken: each has to say at once that its
 * holder died, and those beside it have to say nothing.
 */
#include <errno.h>
#include <signal.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "compare/suite_locks.h"

/* The kernel follows the list of a dead thread's mutexes for so long. */
#define ROBUST_LIST_LIMIT 2048

/* What a dying process knows; of that, it holds every @step-th. */
struct hoard {
	const struct lock *lock;
	unsigned int known;
	unsigned int step;	/* 0: none */
};

static volatile uint64_t *began;

static void die_now(void)
{
	pid_t me = getpid();

	*began = stamp();
	kill(me, SIGKILL);
}

static void hoard_and_die(void *arg)
{
	const struct hoard *h = arg;
	unsigned int i;

	for (i = 0; i < h->known; i++) {
		h->lock->lock(i);
		h->lock->unlock(i);
	}
	for (i = 0; h->step && i < h->known; i += h->step)
		h->lock->lock(i);
	die_now();
}

static double time_of_end(const struct hoard *h)
{
	finish(start(hoard_and_die, (void *)h, -1), SIGKILL);
	return stamp() - *began;
}

static unsigned int held(const struct hoard *h)
{
	return h->step ? h->known / h->step : 0;
}

/* Those that do not come free stay where they are. */
static int was_recovered(const struct lock *lock, unsigned int i)
{
	int rc = lock->attempt(i);

	if (rc != EBUSY)
		lock->unlock(i);
	return rc == EOWNERDEAD;
}

static void check_not_marked(const struct lock *lock, unsigned int i)
{
	errno = EBADMSG;
	check(lock->attempt(i) == 0, "a lock that was not held");
	lock->unlock(i);
}

static unsigned int recover(const struct hoard *h)
{
	unsigned int i, recovered = 0, expected = held(h);

	for (i = 0; h->step && i < h->known; i += h->step) {
		recovered += was_recovered(h->lock, i);
		if (h->step > 1)
			check_not_marked(h->lock, i + 1);
	}
	if (h->lock == &lock_robust && expected > ROBUST_LIST_LIMIT)
		expected = ROBUST_LIST_LIMIT;
	errno = EBADMSG;
	check(recovered == expected, "locks that come free");
	return recovered;
}

/* ------------------------------------------------------------------- benches */

static double end_of(const struct hoard *h, unsigned int *recovered)
{
	double took;

	errno = -h->lock->open(h->known);
	check(!errno, h->lock->name);
	took = time_of_end(h);
	*recovered = recover(h);
	if (h->lock->close)
		h->lock->close();
	return took;
}

/* What a lock costs that there is a death for; glibc's: that came free. */
static double run_end(struct bench *b, unsigned int n)
{
	const struct hoard *h = b->by;
	struct hoard one = { .lock = h->lock, .known = 1 };
	unsigned int recovered;
	double none, took;

	none = end_of(&one, &recovered);
	took = end_of(h, &recovered) - none;
	return took / (h->lock == &lock_robust ? recovered : h->known) * n;
}

static double run_recovered(struct bench *b, unsigned int n)
{
	unsigned int recovered;

	(void)n;
	end_of(b->by, &recovered);
	return recovered;
}

/* Records of as many, and those of the process before that are not free yet. */
static int raise_limits(struct bench *b)
{
	const struct hoard *h = b->by;
	struct sysinfo info;
	int err;

	check(!sysinfo(&info), "sysinfo");
	if (h->known * 1024ULL > (uint64_t)info.freeram * info.mem_unit)
		return -ENOMEM;
	began = began ? began : shared_memory(sizeof(*began));
	err = h->lock->open(1);
	if (err)
		return err;
	if (h->lock->close)
		h->lock->close();
	if (h->lock != &lock_robust)
		raise_limit("max_locks", 4000000);
	return 0;
}

/* Where it takes long: only the first @systems, once. */
static void table(const char *name, unsigned int known, unsigned int rounds,
		  size_t systems)
{
	const struct hoard hoards[] = {
		{ &lock_robust, known / 10, 1 },
		{ &lock_npheap_handle, known, 10 },
		{ &lock_npheap_handle, known / 10, 1 },
		{ &lock_npheap_handle, known, 0 },
	};
	static const char *const names[] = {
		"robust-held", "npheap-tenth-held", "npheap-held",
		"npheap-known",
	};
	struct bench benches[COUNT(hoards)];
	size_t i;

	for (i = 0; i < COUNT(hoards); i++)
		benches[i] = (struct bench){
			.name = name, .system = names[i], .by = &hoards[i],
			.run = run_end, .loops = 1, .partly = 1,
			.rounds = rounds, .setup = raise_limits,
		};
	compare(benches, systems);
}

static void recovered(void)
{
	static const struct hoard robust = { &lock_robust, 100000, 1 };
	static const struct hoard ours = { &lock_npheap_handle, 100000, 1 };
	struct bench benches[] = {
		{ .system = "robust-mutex", .by = &robust },
		{ .system = "npheap", .by = &ours },
	};
	size_t i;

	for (i = 0; i < COUNT(benches); i++) {
		benches[i].name = "death-holding-100000";
		benches[i].setup = raise_limits;
		benches[i].run = run_recovered;
		benches[i].value = "recovered";
		benches[i].unit = "locks";
		benches[i].loops = benches[i].rounds = 1;
	}
	compare(benches, COUNT(benches));
}

void locks_death(void)
{
	table("death-knowing-1000", 1000, 0, 4);
	table("death-knowing-10000", 10000, 0, 4);
	table("death-knowing-100000", 100000, 1, 4);
	recovered();
	/* It takes a minute. */
	table("death-knowing-1000000", 1000000, 1, 2);
}
