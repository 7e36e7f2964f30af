// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two processes on two processors, one of which waits for what the other has.
 *
 *   hand-off  from just before the holder's unlock to just after the waiter's
 *             lock, which slept until then
 *   death     the same from the holder's last instruction in user space, which
 *             sends itself SIGKILL
 *   killed    the same from just before a third process sends SIGKILL to the
 *             holder, which sleeps: how that one wakes up is in it, too
 *
 * All rows of a table are measured in turn, again and again, and each ratio is
 * the median of the ratios of values from the same turn; so what changes on
 * the machine meanwhile shows in the rows "again", and less in the ratios.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "locks.h"

/* As many rounds, or at least some, where the time is over before. */
#define ROUNDS 15
#define MIN_ROUNDS 3
#define TABLE_SECONDS 60
/* Something hangs, and is not just slow. */
#define ALARM_SECONDS 280

/* What the processes of one measurement share. */
struct stage {
	pthread_barrier_t both;
	volatile pid_t waiter;
	volatile uint64_t began;
	volatile uint64_t ended;
};

static struct stage *stage;

static void stage_new(void)
{
	pthread_barrierattr_t attr;

	memset(stage, 0, sizeof(*stage));
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&stage->both, &attr, 2);
	pthread_barrierattr_destroy(&attr);
}

static void meet(void)
{
	pthread_barrier_wait(&stage->both);
}

/* --------------------------------------------------------------- ping-pong */

#define HOPS 500

/*
 * Hand over hand round a ring of three locks: each of the two always holds
 * the one that the other wants next, so neither gets ahead by itself.
 */
static void climb(const struct kind *kind, int held)
{
	int i, next;

	for (i = 0; i < HOPS; i++) {
		next = (held + 1) % LOCKS;
		kind->lock(next);
		kind->unlock(held);
		held = next;
	}
	kind->unlock(held);
}

static void know_all(const struct kind *kind)
{
	int i;

	for (i = 0; i < LOCKS; i++) {
		kind->lock(i);
		kind->unlock(i);
	}
}

static void climb_from(const struct kind *kind, int held)
{
	know_all(kind);
	meet();
	kind->lock(held);
	meet();
	if (!held)
		stage->began = now_ns();
	climb(kind, held);
	if (held)
		stage->ended = now_ns();
}

static void first_climber(const struct kind *kind)
{
	climb_from(kind, 0);
}

static void second_climber(const struct kind *kind)
{
	climb_from(kind, 1);
}

static double ping_pong(const struct kind *kind)
{
	pid_t first, second;

	stage_new();
	first = start_with(kind, first_climber, 0);
	second = start_with(kind, second_climber, 1);
	finish(first, 0);
	finish(second, 0);
	return (double)(stage->ended - stage->began) / (2 * HOPS);
}

/* -------------------------------------------------------- from one to next */

static void pause_ms(long ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

static int sleeps(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*d (locks) %c", &state) != 1)
		state = 0;
	fclose(file);
	return state == 'S';
}

/* It has nowhere to sleep but in the lock, after the meeting. */
static void hold_until_the_other_waits(const struct kind *kind)
{
	kind->lock(0);
	meet();
	do
		pause_ms(1);
	while (!sleeps(stage->waiter));
	pause_ms(1);
}

static void hold_and_unlock(const struct kind *kind)
{
	hold_until_the_other_waits(kind);
	stage->began = now_ns();
	kind->unlock(0);
}

static void hold_and_die(const struct kind *kind)
{
	pid_t me = getpid();

	hold_until_the_other_waits(kind);
	stage->began = now_ns();
	kill(me, SIGKILL);
}

static void hold_and_be_killed(const struct kind *kind)
{
	kind->lock(0);
	meet();
	for (;;)
		pause();
}

/* Its memory has to be given back, too, page by page. */
#define HEAVY (32 << 20)

static void hold_a_lot_and_die(const struct kind *kind)
{
	volatile char *p = shared_memory(HEAVY);
	size_t i;

	madvise((void *)p, HEAVY, MADV_NOHUGEPAGE);
	for (i = 0; i < HEAVY; i += page)
		p[i] = 1;
	hold_and_die(kind);
}

static void come_next(const struct kind *kind)
{
	know_all(kind);
	stage->waiter = getpid();
	meet();
	kind->lock(0);
	stage->ended = now_ns();
	kind->unlock(0);
}

static double from_one_to_next(void (*holds)(const struct kind *kind),
			       const struct kind *kind, int signal)
{
	pid_t holder, next;

	stage_new();
	next = start_with(kind, come_next, 1);
	while (!sleeps(next))
		pause_ms(1);
	holder = start_with(kind, holds, 0);
	if (holds == hold_and_be_killed) {
		while (!sleeps(holder) || !stage->waiter || !sleeps(next))
			pause_ms(1);
		pause_ms(3);
		stage->began = now_ns();
		kill(holder, SIGKILL);
	}
	finish(holder, signal);
	finish(next, 0);
	return stage->ended - stage->began;
}

static double hand_off(const struct kind *kind)
{
	return from_one_to_next(hold_and_unlock, kind, 0);
}

static double death(const struct kind *kind)
{
	return from_one_to_next(hold_and_die, kind, SIGKILL);
}

static double killed(const struct kind *kind)
{
	return from_one_to_next(hold_and_be_killed, kind, SIGKILL);
}

static double death_of_a_large_process(const struct kind *kind)
{
	return from_one_to_next(hold_a_lot_and_die, kind, SIGKILL);
}

/* ------------------------------------------------------------------ tables */

/* A row: @base is another, that its ratio is to. */
struct row {
	const char *what;
	const char *system;
	const struct kind *kind;
	double (*measure)(const struct kind *kind);
	int base;
	double values[ROUNDS];
};

static int measure_in_turn(struct row *rows, int n)
{
	uint64_t end = now_ns() + TABLE_SECONDS * 1000000000ULL;
	int i, r;

	for (i = 0; i < ROUNDS; i++) {
		if (i >= MIN_ROUNDS && now_ns() > end)
			break;
		for (r = 0; r < n; r++)
			rows[r].values[i] = rows[r].measure(rows[r].kind);
	}
	return i;
}

static void print_rows(struct row *rows, int n, int rounds)
{
	double ratios[ROUNDS], copy[ROUNDS];
	char base[64];
	int i, r;

	for (r = 0; r < n; r++) {
		const struct row *to = &rows[rows[r].base];

		for (i = 0; i < rounds; i++) {
			copy[i] = rows[r].values[i];
			ratios[i] = copy[i] / to->values[i];
		}
		snprintf(base, sizeof(base), "%s %s", to->what, to->system);
		print_row(rows[r].what, rows[r].system, median(copy, rounds),
			  median(ratios, rounds), base);
	}
}

static void measure_table(struct row *rows, int n)
{
	int rounds = measure_in_turn(rows, n);

	print_rows(rows, n, rounds);
	if (rounds < ROUNDS)
		fprintf(stderr, "locks: %d rounds instead of %d in %d s\n",
			rounds, ROUNDS, TABLE_SECONDS);
}

int measure_handoff(void)
{
	struct row hops[] = {
		{ "ping-pong", "robust-mutex", &by_robust, ping_pong, 0, { 0 } },
		{ "ping-pong", "robust-again", &by_robust, ping_pong, 0, { 0 } },
		{ "ping-pong", "npheap", &by_heap, ping_pong, 0, { 0 } },
		{ "ping-pong", "npheap-again", &by_heap, ping_pong, 2, { 0 } },
	};
	struct row ends[] = {
		{ "hand-off", "robust-mutex", &by_robust, hand_off, 0, { 0 } },
		{ "hand-off", "robust-again", &by_robust, hand_off, 0, { 0 } },
		{ "hand-off", "npheap", &by_heap, hand_off, 0, { 0 } },
		{ "hand-off", "npheap-again", &by_heap, hand_off, 2, { 0 } },
		{ "death", "robust-mutex", &by_robust, death, 0, { 0 } },
		{ "death", "npheap", &by_heap, death, 2, { 0 } },
		{ "death", "npheap-again", &by_heap, death, 5, { 0 } },
		{ "death-32MiB", "robust-mutex", &by_robust,
		  death_of_a_large_process, 0, { 0 } },
		{ "death-32MiB", "npheap", &by_heap, death_of_a_large_process,
		  2, { 0 } },
		{ "killed", "robust-mutex", &by_robust, killed, 0, { 0 } },
		{ "killed", "npheap", &by_heap, killed, 2, { 0 } },
	};

	suite = "locks-handoff";
	unit = "ns";
	errno = ENODEV;
	check(sysconf(_SC_NPROCESSORS_ONLN) > 1, "a second processor");
	/* The children die with this process. */
	alarm(ALARM_SECONDS);
	stage = shared_memory(sizeof(*stage));
	kinds_init();
	print_head();
	measure_table(hops, sizeof(hops) / sizeof(hops[0]));
	measure_table(ends, sizeof(ends) / sizeof(ends[0]));
	return 0;
}
