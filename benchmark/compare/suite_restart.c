// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Restart: from the start of a new process to the first item that it has read
 * and found right, after its predecessor was killed by SIGKILL.  "size" is how
 * many items there are.
 *
 * Each reader is a program of its own, which is small: what it takes to load all
 * that compare is linked with is not asked here.  memcached keeps nothing when it
 * is killed: it is asked to stop, which is what it needs to find its items again.
 *
 * Where instructions are counted, the time-stamp counter goes on while everybody
 * sleeps, as a client does that waits for its server.  So what is counted is
 * the processor time of the processes, which has a nanosecond for each
 * instruction there; elsewhere it is the time that passes.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compare/machine.h"
#include "compare/peers.h"
#include "compare/reader.h"
#include "compare/suites.h"

static const uint64_t sizes[] = { 1000, 10000, 100000, 1000000 };

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))
/* To see what survives, each is read. */
#define SURVIVORS 10000
/* Where there are many, only one of ten has contents in every store. */
#define STEP 10

/* What a store takes for an item at most, but for an object of its own. */
#define ROOM 512

/* The peer of the ratios first. */
static struct place {
	const struct store *by;
	/* How many items there are now. */
	uint64_t n;
	/* What a restart took with the fewest and the most. */
	double few, many;
} places[] = {
	{ .by = &store_npheap },
	{ .by = &store_npheap_objects },
	{ .by = &store_shm },
	{ .by = &store_sysv },
	{ .by = &store_file_mmap },
	{ .by = &store_file_read },
	{ .by = &store_none },
	/* memcached */
	{ .by = NULL },
};

#define PLACES (sizeof(places) / sizeof(places[0]))
#define STORES (PLACES - 1)

static clockid_t own_clock(void)
{
	return instructions ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
}

/* ----------------------------------------------------------------- readers */

struct reader {
	const struct store *store;
	uint64_t n, from, to;
	int told[2];
};

#define DIGITS 24

static const char *reader_path(void)
{
	static char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path,
				  sizeof(path) - sizeof(READER));

	check(length > 0, "/proc/self/exe");
	while (path[length - 1] != '/')
		length--;
	strcpy(path + length, READER);
	return path;
}

static void exec_reader(void *arg)
{
	const struct reader *r = arg;
	const uint64_t numbers[] = { own_clock(), r->told[1], r->n, r->from,
				     r->to, own_name(0) };
	char text[COUNT(numbers)][DIGITS];
	const char *path = reader_path();
	size_t i;

	for (i = 0; i < COUNT(numbers); i++)
		snprintf(text[i], DIGITS, "%" PRIu64, numbers[i]);
	execl(path, READER, r->store->name, text[0], text[1], text[2], text[3],
	      text[4], text[5], NULL);
	die(path);
}

/* What reading items took a new process, from before it began. */
static struct report restart(const struct reader *how, double *took)
{
	uint64_t began, before, after;
	struct report report;
	struct reader r = *how;
	pid_t pid;

	check(!pipe(r.told), "pipe");
	began = clock_now(own_clock());
	pid = start(exec_reader, &r, -1);
	before = clock_now(own_clock());
	close(r.told[1]);
	check(read(r.told[0], &report, sizeof(report)) == sizeof(report),
	      r.store->name);
	close(r.told[0]);
	after = report.ended;
	*took = instructions ? before - began + after : after - began;
	check(!kill(pid, SIGKILL), r.store->name);
	finish(pid, SIGKILL);
	return report;
}

/* -------------------------------------------------------------- first owner */

struct owner {
	const struct store *store;
	uint64_t n;
	int told[2];
};

static void own(void *arg)
{
	const struct owner *o = arg;

	o->store->fill(o->store, o->n);
	check(write(o->told[1], "", 1) == 1, "pipe");
	for (;;)
		pause();
}

static void fill_and_be_killed(const struct store *store, uint64_t n)
{
	struct owner o = { .store = store, .n = n };
	char byte;
	pid_t pid;

	check(!pipe(o.told), "pipe");
	pid = start(own, &o, -1);
	close(o.told[1]);
	check(read(o.told[0], &byte, 1) == 1, store->name);
	close(o.told[0]);
	check(!kill(pid, SIGKILL), store->name);
	finish(pid, SIGKILL);
}

static void empty(struct place *place)
{
	if (place->n && place->by)
		place->by->remove(place->by, place->n);
	else if (place->n)
		memcached_remove();
	place->n = 0;
}

static int fill_store(struct bench *b)
{
	struct place *place = b->state;
	int err;

	if (place->n == b->size)
		return 0;
	empty(place);
	err = machine_has_room(b->size * ROOM);
	if (!err && place->by->open)
		err = place->by->open(b->size);
	if (err)
		return err;
	fill_and_be_killed(place->by, b->size);
	place->n = b->size;
	return 0;
}

/* --------------------------------------------------------------- memcached */

static pid_t fill_server(uint64_t n)
{
	pid_t pid;
	int fd;

	memcached_remove();
	pid = memcached_start(n);
	fd = memcached_connect(pid);
	memcached_fill(fd, n);
	close(fd);
	return pid;
}

static int fill_memcached(struct bench *b)
{
	struct place *place = b->state;
	int err = memcached_open();

	if (!err)
		err = machine_has_room(b->size * ROOM);
	if (err || place->n == b->size)
		return err;
	memcached_stop(fill_server(b->size));
	place->n = b->size;
	return 0;
}

/* How long its client waits and asks again is not counted as work. */
static double restart_server(uint64_t n, uint64_t i)
{
	uint64_t began, started, connected, ended;
	clockid_t id = own_clock(), its;
	double took;
	pid_t pid;
	int fd;

	began = clock_now(id);
	pid = memcached_start(n);
	started = clock_now(id);
	fd = memcached_connect(pid);
	connected = clock_now(id);
	errno = ENOENT;
	check(memcached_find(fd, i), "an item of memcached");
	ended = clock_now(id);
	took = ended - began;
	if (instructions) {
		check(!clock_getcpuclockid(pid, &its), "clock_getcpuclockid");
		took = started - began + ended - connected + clock_now(its);
	}
	close(fd);
	memcached_stop(pid);
	return took;
}

/* ---------------------------------------------------------- what is measured */

#define MOST_LOOPS 9

static uint64_t any_item(uint64_t n)
{
	return random_number() % (n / STEP) * STEP;
}

static struct reader reader_of_any(const struct bench *b)
{
	const struct place *place = b->state;
	uint64_t i = any_item(b->size);

	return (struct reader){ .store = place->by, .n = b->size, .from = i,
				.to = i + 1 };
}

static void check_report(const struct store *store, struct report report)
{
	errno = ENOENT;
	check(!store->find || report.right == 1, store->name);
}

static double whole_restart(struct bench *b, unsigned int n)
{
	double took[MOST_LOOPS];
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct reader r = reader_of_any(b);

		check_report(r.store, restart(&r, &took[i]));
	}
	return median(took, n);
}

/* Without the start of a process. */
static double first_read(struct bench *b, unsigned int n)
{
	double took[MOST_LOOPS];
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct reader r = reader_of_any(b);
		struct report report = restart(&r, &took[i]);

		check_report(r.store, report);
		took[i] = report.ended - report.began;
	}
	return median(took, n);
}

static double restart_memcached(struct bench *b, unsigned int n)
{
	double took[MOST_LOOPS];
	unsigned int i;

	for (i = 0; i < n; i++)
		took[i] = restart_server(b->size, any_item(b->size));
	return median(took, n);
}

/* --------------------------------------------------------------- survivors */

static double survivors(struct bench *b, unsigned int n)
{
	const struct place *place = b->state;
	struct reader r = { .store = place->by, .n = b->size, .to = b->size };
	double took;

	(void)n;
	return restart(&r, &took).right;
}

static double count_in_server(uint64_t n)
{
	pid_t pid = memcached_start(n);
	int fd = memcached_connect(pid);
	uint64_t i, right = 0;

	for (i = 0; i < n; i++)
		right += memcached_find(fd, i);
	close(fd);
	memcached_kill(pid);
	memcached_remove();
	return right;
}

static int have_memcached(struct bench *b)
{
	(void)b;
	return memcached_open();
}

static double survivors_of_stop(struct bench *b, unsigned int n)
{
	(void)n;
	memcached_stop(fill_server(b->size));
	return count_in_server(b->size);
}

static double survivors_of_kill(struct bench *b, unsigned int n)
{
	(void)n;
	memcached_kill(fill_server(b->size));
	return count_in_server(b->size);
}

/* ------------------------------------------------------------------ growth */

static int was_measured(struct bench *b)
{
	const struct place *place = b->state;

	return place->few && place->many ? 0 : -ENODATA;
}

static double growth(struct bench *b, unsigned int n)
{
	const struct place *place = b->state;

	(void)n;
	return place->many / place->few;
}

/* ------------------------------------------------------------------ tables */

static const char *name_of(const struct place *place)
{
	return place->by ? place->by->name : "memcached-stopped";
}

/* Reloading many takes long, and does not vary. */
static unsigned int loops_for(const struct place *place, uint64_t n)
{
	int reloads = !place->by || place->by == &store_file_read;

	return !reloads ? MOST_LOOPS : n < 100000 ? 5 : 1;
}

/* Not how many system calls there are: a client that waits makes any number. */
static struct bench time_of(const char *name, struct place *place, uint64_t n)
{
	return (struct bench){
		.name = name,
		.system = name_of(place),
		.size = n,
		.setup = place->by ? fill_store : fill_memcached,
		.loops = loops_for(place, n),
		.value = instructions ? "instructions" : "time",
		.unit = instructions ? "instr" : "ns",
		.state = place,
	};
}

static void compare_restarts(uint64_t n)
{
	struct bench benches[PLACES];
	size_t i;

	for (i = 0; i < PLACES; i++) {
		struct place *place = &places[i];

		benches[i] = time_of("restart", place, n);
		benches[i].run = place->by ? whole_restart : restart_memcached;
		place->many = 0;
		benches[i].result = n == sizes[0] ? &place->few : &place->many;
	}
	compare(benches, PLACES);
}

static void compare_first_reads(uint64_t n)
{
	struct bench benches[STORES];
	size_t i, used = 0;

	for (i = 0; i < STORES; i++) {
		if (!places[i].by->find)
			continue;
		benches[used] = time_of("first-read", &places[i], n);
		benches[used++].run = first_read;
	}
	compare(benches, used);
}

static void compare_survivors(void)
{
	const struct bench how = { .name = "survivors", .size = SURVIVORS,
				   .value = "items", .unit = "items",
				   .rounds = 1 };
	struct bench benches[PLACES + 1];
	size_t i, used = 0;

	for (i = 0; i < STORES; i++) {
		if (!places[i].by->find)
			continue;
		benches[used] = how;
		benches[used].system = name_of(&places[i]);
		benches[used].setup = fill_store;
		benches[used].run = survivors;
		benches[used++].state = &places[i];
	}
	for (i = 0; i < 2; i++, used++) {
		benches[used] = how;
		benches[used].setup = have_memcached;
		benches[used].system = i ? "memcached-killed" :
					   "memcached-stopped";
		benches[used].run = i ? survivors_of_kill : survivors_of_stop;
	}
	compare(benches, used);
}

static void compare_growth(uint64_t n)
{
	struct bench benches[PLACES];
	size_t i;

	for (i = 0; i < PLACES; i++)
		benches[i] = (struct bench){
			.name = "restart-growth", .system = name_of(&places[i]),
			.size = n, .setup = was_measured, .run = growth,
			.rounds = 1, .value = "to-1000", .unit = "ratio",
			.state = &places[i],
		};
	compare(benches, PLACES);
}

static void run(void)
{
	size_t i;

	for (i = 0; i < SIZES; i++) {
		compare_restarts(sizes[i]);
		compare_first_reads(sizes[i]);
		if (i)
			compare_growth(sizes[i]);
	}
	compare_survivors();
	for (i = 0; i < PLACES; i++)
		empty(&places[i]);
}

const struct suite suite_restart = {
	.name = "restart",
	.about = "the first item read by a new process, of 1,000 to 1,000,000",
	.run = run,
};
