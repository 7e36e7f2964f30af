// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The loop of the classic benchmark: processes take one object after the other
 * under its lock, and store something of random size there, get what is there,
 * or delete it.
 *
 * A table that they share says what has to be in each object; so each get is
 * checked to the last byte, and in the end all objects are.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "content.h"
#include "compare/peers.h"
#include "compare/suites.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define OBJECTS 16
#define MAX_SIZE 8192
#define MAX_PROCESSES 4
/* Steps of all processes together. */
#define STEPS 2000

/* The peer of the ratios first. */
static const struct system {
	const char *name;
	const struct memory *memory;
	const struct lock *lock;
} systems[] = {
	{ "shm+robust-mutex", &memory_shm, &lock_robust },
	{ "sysv+semop-undo", &memory_sysv, &lock_semop },
	{ "tmpfs+flock", &memory_tmpfs, &lock_flock },
	{ "npheap", &memory_npheap, &lock_npheap },
	{ "npheap-ioctl", &memory_npheap_ioctl, &lock_npheap_ioctl },
};

/* What has to be in an object; its lock protects it. */
struct entry {
	uint64_t number;		/* of the content */
	size_t length;			/* 0: there is no object */
};

/* What the processes of a run share. */
struct stage {
	pthread_barrier_t line;
	_Atomic uint64_t start;		/* stamp: the last to be ready */
	_Atomic uint64_t finish;	/* stamp: the last to be done */
	struct entry entries[OBJECTS];
};

struct worker {
	const struct bench *b;
	unsigned int steps;
	uint64_t random;
	uint64_t number;		/* of what it stores next */
};

static struct stage *stage;

static const struct system *system_of(const struct bench *b)
{
	return b->by;
}

/* splitmix64: any seed will do, and neighbouring seeds give unlike numbers. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static size_t whole_pages(size_t size)
{
	return (size + page - 1) / page * page;
}

static void verify(const struct bench *b, const char *bytes,
		   const struct entry *entry)
{
	errno = EBADMSG;
	check(!content_check(entry->number, bytes, entry->length), b->system);
}

/* -------------------------------------------------------------------- steps */

static char *make_room(const struct memory *memory, unsigned int key,
		       size_t length)
{
	size_t size, wanted = whole_pages(length);
	char *bytes = memory->find(key, &size, wanted);

	if (bytes)
		return bytes;
	if (size)
		memory->remove(key);
	return memory->create(key, wanted);
}

static void store(struct worker *w, unsigned int key)
{
	const struct memory *memory = system_of(w->b)->memory;
	struct entry *entry = &stage->entries[key];
	size_t size;
	char *bytes;

	entry->number = w->number++;
	entry->length = 1 + next_random(&w->random) % MAX_SIZE;
	size = whole_pages(entry->length);
	bytes = make_room(memory, key, entry->length);
	content_fill(entry->number, bytes, entry->length);
	memset(bytes + entry->length, 0, size - entry->length);
	memory->detach(bytes, size);
}

static void get(const struct bench *b, unsigned int key)
{
	const struct memory *memory = system_of(b)->memory;
	const struct entry *entry = &stage->entries[key];
	size_t size;
	char *bytes = memory->find(key, &size, 0);

	errno = EBADMSG;
	check(size == whole_pages(entry->length), b->system);
	if (!size)
		return;
	verify(b, bytes, entry);
	memory->detach(bytes, size);
}

static void drop(const struct bench *b, unsigned int key)
{
	system_of(b)->memory->remove(key);
	stage->entries[key].length = 0;
}

static void step(struct worker *w, unsigned int key)
{
	const struct lock *lock = system_of(w->b)->lock;
	/* Most gets shall find something. */
	char op = "SSSSGGGD"[next_random(&w->random) % 8];

	lock->lock(key);
	switch (op) {
	case 'S':
		store(w, key);
		break;
	case 'G':
		get(w->b, key);
		break;
	default:
		drop(w->b, key);
	}
	lock->unlock(key);
}

/* A round starts at a random key, or the workers would queue up in step. */
static void take_steps(struct worker *w)
{
	unsigned int i, key = 0;

	for (i = 0; i < w->steps; i++) {
		if (i % OBJECTS == 0)
			key = next_random(&w->random) % OBJECTS;
		step(w, key++ % OBJECTS);
	}
}

/* ---------------------------------------------------------- what is measured */

static void raise_to(_Atomic uint64_t *latest, uint64_t value)
{
	uint64_t old = atomic_load(latest);

	while (old < value &&
	       !atomic_compare_exchange_weak(latest, &old, value))
		;
}

static void work(void *arg)
{
	struct worker *w = arg;
	const struct lock *lock = system_of(w->b)->lock;

	if (lock->join)
		lock->join();
	raise_to(&stage->start, stamp());
	pthread_barrier_wait(&stage->line);
	take_steps(w);
	raise_to(&stage->finish, stamp());
}

static void set_stage(unsigned int processes)
{
	pthread_barrierattr_t shared;

	memset(stage, 0, sizeof(*stage));
	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&stage->line, &shared, processes);
}

static void verify_all(const struct bench *b)
{
	unsigned int key;

	for (key = 0; key < OBJECTS; key++)
		get(b, key);
}

static void delete_all(const struct bench *b)
{
	unsigned int key;

	for (key = 0; key < OBJECTS; key++)
		drop(b, key);
}

static double take_all_steps(struct bench *b, unsigned int n)
{
	struct worker workers[MAX_PROCESSES];
	unsigned int i;

	set_stage(b->processes);
	/* Also what a run that failed has left. */
	delete_all(b);
	for (i = 0; i < b->processes; i++) {
		workers[i] = (struct worker) {
			.b = b,
			.steps = (n + i) / b->processes,
			.random = i,
			.number = (uint64_t)i << 32,
		};
		start(work, &workers[i], i);
	}
	finish_all(b->processes);
	verify_all(b);
	delete_all(b);
	return stage->finish - stage->start;
}

/* ------------------------------------------------------------------- tables */

static int set_up(struct bench *b)
{
	const struct system *system = system_of(b);
	int err = system->memory->open ? system->memory->open() : 0;

	return err ? err : system->lock->open(OBJECTS);
}

static void tear_down(struct bench *b)
{
	const struct system *system = system_of(b);

	if (system->lock->close)
		system->lock->close();
	if (system->memory->close)
		system->memory->close();
}

static void run(void)
{
	struct bench benches[COUNT(systems)];
	unsigned int processes;
	size_t i;

	if (!stage)
		stage = shared_memory(sizeof(*stage));
	for (processes = 1; processes <= MAX_PROCESSES; processes *= 2) {
		for (i = 0; i < COUNT(systems); i++)
			benches[i] = (struct bench) {
				.name = "step",
				.system = systems[i].name,
				.size = MAX_SIZE,
				.processes = processes,
				.by = &systems[i],
				.setup = set_up,
				.run = take_all_steps,
				.teardown = tear_down,
				.loops = STEPS,
				.copies = 1,
			};
		compare(benches, COUNT(systems));
	}
}

const struct suite suite_classic = {
	.name = "classic",
	.about = "the classic benchmark's loop: store, get, delete under locks",
	.run = run,
};
