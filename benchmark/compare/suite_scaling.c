// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a second processor adds, where nobody uses what another does: how many
 * times the steps of one process two of them make, each with names of its own.
 * "none" only computes: that is what the machine has to give.
 */
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "compare/peers.h"
#include "compare/suites.h"

#define SLICE_MS 60
#define MOST 2

/* Far from those of other suites. */
#define NAME(me) (12 + (me))

struct stage {
	_Atomic int ready;
	_Atomic int go;
	_Atomic int stop;
	double rate[MOST];
};

static struct stage *stage;

/* One step of the work of process @me. */
struct work {
	const char *name;
	const char *system;
	void (*step)(const struct work *work, int me);
	const struct memory *memory;
	int finds;
};

static void compute(const struct work *work, int me)
{
	uint64_t n = 1000;

	(void)work;
	(void)me;
	while (n) {
		__asm__ volatile("" : "+r"(n));
		n--;
	}
}

static void visit(const struct work *work, int me)
{
	volatile char *p = work->memory->attach(NAME(me), page);

	*p = 1;
	work->memory->detach((char *)p, page);
}

static void live(const struct work *work, int me)
{
	volatile char *p = work->memory->create(NAME(me), page);

	*p = 1;
	work->memory->detach((char *)p, page);
	work->memory->remove(NAME(me));
}

#define SYSTEMS 3

static const struct work works[][SYSTEMS] = {
	{
		{ "attach-to-detach", "none", compute, NULL, 0 },
		{ "attach-to-detach", "shm", visit, &memory_shm, 1 },
		{ "attach-to-detach", "npheap", visit, &memory_npheap, 1 },
	}, {
		{ "create-to-delete", "none", compute, NULL, 0 },
		{ "create-to-delete", "shm", live, &memory_shm, 0 },
		{ "create-to-delete", "npheap", live, &memory_npheap, 0 },
	},
};

struct worker {
	const struct work *work;
	int me;
};

static void run_worker(void *arg)
{
	const struct worker *worker = arg;
	const struct work *work = worker->work;
	uint64_t began, steps = 0;

	if (work->finds)
		work->memory->detach(work->memory->create(NAME(worker->me),
							  page), page);
	work->step(work, worker->me);
	atomic_fetch_add(&stage->ready, 1);
	while (!atomic_load(&stage->go))
		;
	began = now_ns();
	while (!atomic_load(&stage->stop)) {
		work->step(work, worker->me);
		steps++;
	}
	stage->rate[worker->me] = steps * 1e9 / (now_ns() - began);
	if (work->finds)
		work->memory->remove(NAME(worker->me));
}

static void sleep_ms(long ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

/* Steps a second of all processes together. */
static double throughput(const struct work *work, int processes)
{
	struct worker workers[MOST];
	double sum = 0;
	int i;

	stage->ready = 0;
	stage->go = 0;
	stage->stop = 0;
	for (i = 0; i < processes; i++) {
		workers[i] = (struct worker){ work, i };
		start(run_worker, &workers[i], i);
	}
	while (stage->ready < processes)
		sleep_ms(1);
	stage->go = 1;
	sleep_ms(SLICE_MS);
	stage->stop = 1;
	finish_all(processes);
	for (i = 0; i < processes; i++)
		sum += stage->rate[i];
	return sum;
}

/* One right after the other, as the machine is not the same all the time. */
static double two_to_one(struct bench *b, unsigned int n)
{
	double one = throughput(b->by, 1);

	(void)n;
	return throughput(b->by, MOST) / one;
}

static int open_memory(struct bench *b)
{
	const struct work *work = b->by;

	return work->memory && work->memory->open ? work->memory->open() : 0;
}

static void table(const struct work *work)
{
	struct bench benches[SYSTEMS];
	int i;

	for (i = 0; i < SYSTEMS; i++)
		benches[i] = (struct bench){
			.name = work[i].name,
			.system = work[i].system,
			.processes = MOST,
			.by = &work[i],
			.setup = open_memory,
			.run = two_to_one,
			.loops = 1,
			.value = "scaling",
			.unit = "times",
		};
	compare(benches, SYSTEMS);
}

/* Of two processors at the same time, which a machine that counts has not. */
static void run(void)
{
	size_t i;

	if (instructions || sysconf(_SC_NPROCESSORS_ONLN) < MOST)
		return;
	if (!stage)
		stage = shared_memory(sizeof(*stage));
	for (i = 0; i < sizeof(works) / sizeof(works[0]); i++)
		table(works[i]);
}

const struct suite suite_scaling = {
	.name = "scaling",
	.about = "two processes to one, on two processors (time only)",
	.run = run,
};
