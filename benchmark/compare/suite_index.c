// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The index: what a call costs that looks an object up, where there are many,
 * and what memory the kernel needs for each.  "size" is how many there are.
 *
 * Objects are made step by step, and nobody touches their memory.  Each step
 * looks at some of them, chosen at random, again and again; the library, which
 * remembers keys that it has seen, has seen these.  A million objects need a
 * machine of 5 GiB, ten million about 13: in less they are left out.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "compare/machine.h"
#include "compare/peers.h"
#include "compare/suites.h"

static const unsigned long steps[] = { 1000, 10000, 100000, 1000000, 10000000 };

#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* Making and removing so many files by name takes minutes. */
#define MOST_FILES 1000000UL
/* As long does taking so many locks once, so that each has a record. */
#define MOST_LOCKS 1000000UL

enum { ATTACH, GETSIZE, LOCK, CALLS };

/* The peer of the ratios first. */
static struct system {
	const struct index *by;
	/* Whose objects it looks at; NULL: its own. */
	struct system *owner;
	unsigned long objects;
	/* Bytes that the kernel took as they were made. */
	double bytes;
	/* What a call took where there were few, and where there are many. */
	double few[CALLS], many[CALLS];
} systems[] = {
	{ .by = &index_tmpfs },
	{ .by = &index_npheap },
	{ .by = &index_npheap_ioctl, .owner = &systems[1] },
	{ .by = &index_sysv },
};

#define SYSTEMS (sizeof(systems) / sizeof(systems[0]))

static struct system *owner_of(struct system *system)
{
	return system->owner ? system->owner : system;
}

/* ------------------------------------------------------------ kernel memory */

/*
 * All memory that is neither free nor the contents of a file or a process: so
 * whatever the kernel takes, by whichever allocator.
 */
static double kernel_memory_now(void)
{
	return machine_memory("MemTotal") - machine_memory("MemFree") -
	       machine_memory("Buffers") - machine_memory("Cached") -
	       machine_memory("AnonPages");
}

/* When it has done what it put off: it frees objects later than it deletes. */
static double kernel_memory(void)
{
	struct timespec rest = { .tv_nsec = 200000000 };
	double before, now = kernel_memory_now();
	int quiet = 0, tries = 0;

	while (quiet < 3 && tries++ < 100) {
		nanosleep(&rest, NULL);
		before = now;
		now = kernel_memory_now();
		quiet = before - now < 256 * 1024 ? quiet + 1 : 0;
	}
	return now;
}

/* ------------------------------------------------------------- step by step */

/* What any of them takes for an object is less. */
#define ROOM 1024.0

static int grow(struct system *system, unsigned long to)
{
	double before;
	int err;

	if (system->objects >= to)
		return 0;
	if (system->by == &index_tmpfs && to > MOST_FILES)
		return -ENODATA;
	err = system->by->open(to);
	if (!err)
		err = machine_has_room((to - system->objects) * ROOM);
	if (err)
		return err;
	before = kernel_memory();
	system->by->grow(system->objects, to);
	system->objects = to;
	system->bytes += kernel_memory() - before;
	return 0;
}

static int have_objects(struct bench *b)
{
	struct system *system = b->state;

	return grow(owner_of(system), b->size);
}

/* -------------------------------------------------------------------- calls */

/* The library remembers about as many. */
#define PICKS 64

static unsigned long picks[PICKS];
static unsigned int next;

static unsigned long pick(void)
{
	return picks[next++ % PICKS];
}

static const struct index *index_of(const struct bench *b)
{
	return b->by;
}

static void attach(struct bench *b)
{
	index_of(b)->detach(index_of(b)->attach(pick()));
}

static void getsize(struct bench *b)
{
	index_of(b)->getsize(pick());
}

static void lock(struct bench *b)
{
	index_of(b)->lock(pick());
}

static void choose_picks(unsigned long n)
{
	size_t i;

	for (i = 0; i < PICKS; i++)
		picks[i] = random_number() % n;
}

/* The first time that the library hears of a key is another thing. */
static int see_picks(struct bench *b)
{
	int err = have_objects(b);
	size_t i;

	for (i = 0; !err && i < PICKS; i++)
		b->op(b);
	return err;
}

/* Different in each object, and not what is in new memory. */
static uint64_t tag_of(unsigned long i)
{
	return ~spread_key(i);
}

static int tag_picks(struct bench *b)
{
	const struct index *index = index_of(b);
	int err = have_objects(b);
	uint64_t *p;
	size_t i;

	for (i = 0; !err && i < PICKS; i++) {
		if (index->give)
			index->give(picks[i]);
		p = index->attach(picks[i]);
		*p = tag_of(picks[i]);
		index->detach(p);
	}
	return err ? err : see_picks(b);
}

/* Beside what is measured: which objects were found in the same way? */
static void check_tags(struct bench *b)
{
	const struct index *index = index_of(b);
	uint64_t *p;
	size_t i;

	for (i = 0; i < PICKS; i++) {
		p = index->attach(picks[i]);
		errno = EBADMSG;
		check(*p == tag_of(picks[i]), b->system);
		index->detach(p);
	}
}

/* And each object has had its lock taken, so there is a record for each. */
static int have_locks(struct bench *b)
{
	static unsigned long locked;
	int err = have_objects(b);

	if (err)
		return err;
	for (; locked < b->size && locked < MOST_LOCKS; locked++)
		index_npheap.lock(locked);
	return see_picks(b);
}

/* What the kernel puts off while it maps takes so many to even out. */
#define ATTACHES 1500

static const struct call {
	const char *name, *growth;
	void (*op)(struct bench *b);
	int (*setup)(struct bench *b);
	void (*teardown)(struct bench *b);
	unsigned int loops;
} calls[CALLS] = {
	[ATTACH] = { "attach", "attach-growth", attach, tag_picks, check_tags,
		     ATTACHES },
	[GETSIZE] = { "getsize", "getsize-growth", getsize, see_picks, NULL, 0 },
	[LOCK] = { "lock", "lock-growth", lock, have_locks, NULL, 0 },
};

static int has_call(const struct index *by, int call)
{
	return call != LOCK || by->lock;
}

static void measure_call(int c, unsigned long n)
{
	struct bench benches[SYSTEMS] = { 0 };
	size_t i, used = 0;

	choose_picks(c == LOCK && n > MOST_LOCKS ? MOST_LOCKS : n);
	for (i = 0; i < SYSTEMS; i++) {
		if (!has_call(systems[i].by, c))
			continue;
		systems[i].many[c] = 0;
		benches[used++] = (struct bench){
			.name = calls[c].name,
			.system = systems[i].by->name,
			.by = systems[i].by,
			.size = n,
			.setup = calls[c].setup,
			.op = calls[c].op,
			.teardown = calls[c].teardown,
			.loops = calls[c].loops,
			.result = n == steps[0] ? &systems[i].few[c] :
						  &systems[i].many[c],
			.state = &systems[i],
		};
	}
	compare(benches, used);
}

/* ------------------------------------------------------------------- growth */

static int current_call;

static int was_measured(struct bench *b)
{
	const struct system *system = b->state;

	return system->few[current_call] && system->many[current_call] ?
		       0 : -ENODATA;
}

static double growth(struct bench *b, unsigned int n)
{
	const struct system *system = b->state;

	(void)n;
	return system->many[current_call] / system->few[current_call];
}

/* ------------------------------------------------------------------- memory */

static double memory_of_one(struct bench *b, unsigned int n)
{
	const struct system *system = b->state;

	(void)n;
	return system->bytes / system->objects;
}

static int has_objects(struct bench *b)
{
	const struct system *system = b->state;

	return system->objects ? 0 : -ENODATA;
}

/* What one leaves, on average, when all are gone. */
static double remove_all(struct bench *b, unsigned int n)
{
	struct system *system = b->state;
	double before = kernel_memory(), left;

	(void)n;
	system->by->shrink(system->objects);
	left = system->bytes - (before - kernel_memory());
	left /= system->objects;
	system->objects = 0;
	system->bytes = 0;
	return left;
}

/* -------------------------------------------------------------- lock records */

#define RECORDS 100000UL

static double bytes_of_record, bytes_left;

/* What a process says and is told that holds them all. */
struct talk {
	int says[2], told[2];
};

static void say(int pipe[2])
{
	check(write(pipe[1], "", 1) == 1, "pipe");
}

static void hear(int pipe[2])
{
	char byte;

	check(read(pipe[0], &byte, 1) == 1, "pipe");
}

/* Held, for what is not in use may be taken back. */
static void hold_locks(void *arg)
{
	struct talk *talk = arg;
	unsigned long i;

	for (i = 0; i < RECORDS; i++)
		lock_npheap_handle.lock(i);
	say(talk->says);
	hear(talk->told);
	for (i = 0; i < RECORDS; i++)
		lock_npheap_handle.unlock(i);
}

static pid_t start_holding(struct talk *talk)
{
	pid_t pid;

	check(!pipe(talk->says) && !pipe(talk->told), "pipe");
	pid = start(hold_locks, talk, -1);
	/* Or its end would not be noticed. */
	close(talk->says[1]);
	close(talk->told[0]);
	hear(talk->says);
	return pid;
}

static void end_holding(struct talk *talk, pid_t pid)
{
	say(talk->told);
	finish(pid, 0);
	close(talk->says[0]);
	close(talk->told[1]);
}

/* Before there are records of other keys, which these would drive out. */
static int measure_records(struct bench *b)
{
	uint64_t held;
	struct talk talk;
	double before;
	int err;
	pid_t pid;

	(void)b;
	if (bytes_of_record)
		return 0;
	err = index_npheap.open(RECORDS);
	if (!err)
		err = lock_npheap_handle.open(RECORDS);
	if (err)
		return err;
	held = heap_counter("locks_held");
	before = kernel_memory();
	pid = start_holding(&talk);
	await_heap_counter("locks_held", held + RECORDS);
	bytes_of_record = (kernel_memory() - before) / RECORDS;
	end_holding(&talk, pid);
	bytes_left = (kernel_memory() - before) / RECORDS;
	return 0;
}

static double memory_of_record(struct bench *b, unsigned int n)
{
	(void)b;
	(void)n;
	return bytes_of_record;
}

static double left_of_record(struct bench *b, unsigned int n)
{
	(void)b;
	(void)n;
	return bytes_left;
}

static void compare_records(void)
{
	struct bench records = {
		.name = "lock-memory", .system = index_npheap.name,
		.size = RECORDS, .setup = measure_records,
		.run = memory_of_record, .rounds = 1,
		.value = "kernel-memory", .unit = "bytes",
	};
	struct bench left = records;

	compare(&records, 1);
	left.name = "lock-memory-left";
	left.run = left_of_record;
	compare(&left, 1);
}

/* ------------------------------------------------------------------- limits */

static double most_objects(struct bench *b, unsigned int n)
{
	(void)n;
	return index_of(b)->most();
}

static int open_index(struct bench *b)
{
	return index_of(b)->open(steps[0]);
}

/* ---------------------------------------------------------------------- all */

static int has_own_objects(const struct system *system)
{
	return !system->owner;
}

static int has_a_limit(const struct system *system)
{
	return !!system->by->most;
}

static int has_current_call(const struct system *system)
{
	return has_call(system->by, current_call);
}

/* A table of what run() knows, which is no time, of some systems. */
static void compare_values(const struct bench *how,
			   int (*of)(const struct system *system))
{
	struct bench benches[SYSTEMS];
	size_t i, n = 0;

	for (i = 0; i < SYSTEMS; i++) {
		if (!of(&systems[i]))
			continue;
		benches[n] = *how;
		benches[n].system = systems[i].by->name;
		benches[n].by = systems[i].by;
		benches[n].rounds = 1;
		benches[n++].state = &systems[i];
	}
	compare(benches, n);
}

static void compare_step(unsigned long n)
{
	int c;

	compare_values(&(struct bench){ .name = "memory", .size = n,
					.setup = have_objects,
					.run = memory_of_one,
					.value = "kernel-memory",
					.unit = "bytes" }, has_own_objects);
	for (c = 0; c < CALLS; c++)
		measure_call(c, n);
}

static void compare_growth(unsigned long n)
{
	for (current_call = 0; current_call < CALLS; current_call++)
		compare_values(&(struct bench){
				       .name = calls[current_call].growth,
				       .size = n, .setup = was_measured,
				       .run = growth, .value = "to-1000",
				       .unit = "ratio" },
			       has_current_call);
}

static void compare_limit(void)
{
	compare_values(&(struct bench){ .name = "most", .setup = open_index,
					.run = most_objects, .value = "objects",
					.unit = "objects" }, has_a_limit);
}

static void compare_what_is_left(void)
{
	compare_values(&(struct bench){ .name = "memory-left",
					.setup = has_objects, .run = remove_all,
					.value = "kernel-memory",
					.unit = "bytes" }, has_own_objects);
}

/* Where it was not asked for what is left. */
static void clean_up(void)
{
	size_t i;

	for (i = 0; i < SYSTEMS; i++)
		if (systems[i].objects)
			systems[i].by->shrink(systems[i].objects);
}

static void run(void)
{
	size_t i;

	compare_records();
	for (i = 0; i < STEPS; i++) {
		compare_step(steps[i]);
		if (i)
			compare_growth(steps[i]);
	}
	compare_limit();
	compare_what_is_left();
	clean_up();
}

const struct suite suite_index = {
	.name = "index",
	.about = "a lookup among 1,000 to 10,000,000 objects, and their memory",
	.run = run,
};
