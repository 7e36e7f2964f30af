// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process dies that knew many locks and held a tenth of them.
 *
 * Its end is timed from its last instruction in user space to the return of
 * waitpid(), when all has to be free, and the end of a process that knew next
 * to nothing is subtracted.  For comparison two others: one that knew as many
 * and held none, and one that knew only those that it held.  (Of many locks
 * that nobody holds the kernel keeps the records of 65,536; the others cost
 * less than a tenth.)
 *
 * Then every lock that was held is taken: each has to come with EOWNERDEAD, at
 * once, and those beside them without.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "locks.h"

#define KEY (1ULL << 40)
#define TENTH 10
#define LIMIT_FILE "/sys/class/misc/npheap/max_locks"

static const uint64_t sizes[] = { 1000, 10000, 100000, 1000000 };

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* What a dying process gets to know, and of that, every @step-th it holds. */
struct hoard {
	uint64_t first;
	uint64_t known;
	uint64_t held;
	uint64_t step;
	volatile uint64_t began;
};

static struct hoard *hoard;

/* ------------------------------------------------------------------ npheap */

static void check_call(int err, int expected, const char *what)
{
	errno = err ? -err : EINVAL;
	check(err == expected, what);
}

static void die_now(void)
{
	pid_t me = getpid();

	hoard->began = stamp();
	kill(me, SIGKILL);
}

static void hoard_and_die(const struct kind *kind)
{
	uint64_t key;

	(void)kind;
	for (key = hoard->first; key < hoard->first + hoard->known; key++) {
		check_call(npheap_acquire(heap, key), 0, "acquire");
		check_call(npheap_release(heap, key), 0, "release");
	}
	for (key = hoard->first; key < hoard->first + hoard->held * hoard->step;
	     key += hoard->step)
		check_call(npheap_acquire(heap, key), 0, "acquire");
	die_now();
}

/* From its last instruction to the end of waitpid(). */
static double time_of_death(void (*body)(const struct kind *kind))
{
	pid_t pid = start_with(NULL, body, -1);

	finish(pid, SIGKILL);
	return stamp() - hoard->began;
}

static double time_of_hoarder(uint64_t known, uint64_t held)
{
	/* Keys of its own, so that it finds no records. */
	hoard->first += hoard->known;
	hoard->known = known;
	hoard->held = held;
	hoard->step = held ? known / held : 0;
	return time_of_death(hoard_and_die);
}

static int try_lock(uint64_t key)
{
	return npheap_acquire_with(heap, key, NPHEAP_TRY, NPHEAP_FOREVER);
}

static void take_one_not_held(uint64_t key)
{
	check_call(try_lock(key), 0, "a lock that was not held");
	check_call(npheap_release(heap, key), 0, "release");
}

/* All that were held have come free, and say so. */
static uint64_t take_all(void)
{
	uint64_t key = hoard->first, recovered = 0, i;

	for (i = 0; i < hoard->held; i++, key += hoard->step) {
		recovered += try_lock(key) == -EOWNERDEAD;
		check_call(npheap_consistent(heap, key), 0, "consistent");
		check_call(npheap_release(heap, key), 0, "release");
		if (hoard->step > 1)
			take_one_not_held(key + 1);
	}
	errno = EDEADLK;
	check(recovered == hoard->held, "locks that were not recovered");
	return recovered;
}

static void measure_size(uint64_t size)
{
	uint64_t held = size / TENTH, recovered;
	double none, idle, alone, both;
	char what[32];

	/* The first end of all has more to do than the second. */
	time_of_hoarder(1, 0);
	none = time_of_hoarder(1, 0);
	idle = time_of_hoarder(size, 0) - none;
	alone = time_of_hoarder(held, held) - none;
	take_all();
	both = time_of_hoarder(size, held) - none;
	recovered = take_all();
	snprintf(what, sizeof(what), "%llu", (unsigned long long)size);
	print_row(what, "end", both, both / none, "knowing one");
	print_row(what, "a-lock-known", both / size, 1, "");
	print_row(what, "known-none-held", idle / size, idle / both,
		  "a-lock-known");
	print_row(what, "a-lock-held-alone", alone / held,
		  alone / held * size / both, "a-lock-known");
	print_row(what, "recovered", recovered, (double)recovered / held,
		  "held");
}

/* ------------------------------------------------------------------ robust */

static pthread_mutex_t *mutexes;

static void hoard_mutexes_and_die(const struct kind *kind)
{
	uint64_t i;

	(void)kind;
	for (i = 0; i < hoard->held; i++)
		check(!pthread_mutex_lock(&mutexes[i]), "pthread_mutex_lock");
	die_now();
}

/* The kernel follows the list of a dead thread for so long and no longer. */
static void measure_robust(uint64_t held)
{
	uint64_t i, recovered = 0;
	double took;

	mutexes = shared_memory(held * sizeof(*mutexes));
	for (i = 0; i < held; i++)
		mutex_init(&mutexes[i], 1);
	hoard->held = held;
	took = time_of_death(hoard_mutexes_and_die);
	for (i = 0; i < held; i++)
		recovered += pthread_mutex_trylock(&mutexes[i]) == EOWNERDEAD;
	print_row("robust-mutex", "end", took, 1, "");
	print_row("robust-mutex", "a-lock-recovered", took / recovered, 1, "");
	print_row("robust-mutex", "recovered", recovered,
		  (double)recovered / held, "held");
	munmap(mutexes, held * sizeof(*mutexes));
}

int measure_death(void)
{
	size_t i;

	suite = "locks-death";
	hoard = shared_memory(sizeof(*hoard));
	hoard->first = KEY;
	raise_limit("max_locks", 3 * sizes[SIZES - 1]);
	print_head();
	for (i = 0; i < SIZES; i++)
		measure_size(sizes[i]);
	measure_robust(sizes[SIZES - 1] / TENTH);
	return 0;
}
