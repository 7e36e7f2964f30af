// SPDX-License-Identifier: GPL-2.0-or-later
/* What a second processor adds, where nobody uses what another does. */
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <npheap.h>

#include "memory.h"

#define ROUNDS 15
#define SLICE_MS 60
#define MOST 2

/* Far from 0, which other measurements use. */
#define NAME(me) (100 + (me))
#define LOCK_KEY(me) (0x5ca1e00ULL + (me) * 1024)

/* One step of the work of process @me. */
struct work {
	const char *what;
	const char *system;
	void (*step)(int me);
	const struct memory *memory;
};

static const struct work *work;
static volatile char *object;

struct stage {
	_Atomic int ready;
	_Atomic int stop;
	double rate[MOST];
};

static struct stage *stage;

static void compute(int me)
{
	uint64_t n = 1000;

	(void)me;
	while (n) {
		__asm__ volatile("" : "+r"(n));
		n--;
	}
}

static void lock_and_write(int me)
{
	check(!npheap_lock(dev, LOCK_KEY(me)), "npheap_lock");
	object[0]++;
	check(!npheap_unlock(dev, LOCK_KEY(me)), "npheap_unlock");
}

static void attach_and_detach(int me)
{
	char *p = work->memory->attach(NAME(me), page);

	touch(p, page);
	detach(p, page);
}

static void create_and_delete(int me)
{
	char *p = work->memory->create(NAME(me), page);

	touch(p, page);
	detach(p, page);
	work->memory->remove(NAME(me));
}

static const struct work works[] = {
	{ "computing", "none", compute, NULL },
	{ "lock+write+unlock", "npheap", lock_and_write, NULL },
	{ "attach+detach", "shm", attach_and_detach, &by_shm },
	{ "attach+detach", "npheap", attach_and_detach, &by_heap },
	{ "create+delete", "shm", create_and_delete, &by_shm },
	{ "create+delete", "npheap", create_and_delete, &by_heap },
};

#define WORKS (sizeof(works) / sizeof(works[0]))

static void prepare(int me)
{
	if (work->step == lock_and_write)
		object = npheap_alloc(dev, LOCK_KEY(me), page);
	if (work->step == attach_and_detach)
		detach(work->memory->create(NAME(me), page), page);
}

static void clean_up(int me)
{
	if (work->step == lock_and_write)
		npheap_delete(dev, LOCK_KEY(me));
	if (work->step == attach_and_detach)
		work->memory->remove(NAME(me));
}

static void run(void *arg)
{
	int me = *(int *)arg;
	uint64_t began, steps = 0;

	prepare(me);
	work->step(me);
	atomic_fetch_add(&stage->ready, 1);
	while (!atomic_load(&stage->stop))
		if (atomic_load(&stage->ready) > MOST)
			break;
	began = now_ns();
	while (!atomic_load(&stage->stop)) {
		work->step(me);
		steps++;
	}
	stage->rate[me] = steps * 1e9 / (now_ns() - began);
	clean_up(me);
}

static void sleep_ms(long ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

/* Steps a second of @n processes together. */
static double throughput(int n)
{
	int numbers[MOST];
	pid_t pids[MOST];
	double sum = 0;
	int i;

	atomic_store(&stage->ready, 0);
	atomic_store(&stage->stop, 0);
	for (i = 0; i < n; i++) {
		numbers[i] = i;
		pids[i] = start(run, &numbers[i], i);
	}
	while (atomic_load(&stage->ready) < n)
		sleep_ms(1);
	atomic_store(&stage->ready, MOST + 1);
	sleep_ms(SLICE_MS);
	atomic_store(&stage->stop, 1);
	for (i = 0; i < n; i++) {
		finish(pids[i], 0);
		sum += stage->rate[i];
	}
	return sum;
}

/* All take turns, so that what else the machine does hits all alike. */
void measure_scaling(void)
{
	double one[WORKS][ROUNDS], ratio[WORKS][ROUNDS];
	size_t w;
	int i;

	suite = "memory-scaling";
	unit = "steps/s";
	check(sysconf(_SC_NPROCESSORS_ONLN) >= MOST, "two processors");
	stage = shared_memory(sizeof(*stage));
	print_head();
	for (i = 0; i < ROUNDS; i++) {
		for (w = 0; w < WORKS; w++) {
			work = &works[w];
			one[w][i] = throughput(1);
			ratio[w][i] = throughput(MOST) / one[w][i];
		}
	}
	for (w = 0; w < WORKS; w++)
		print_row(works[w].what, works[w].system,
			  median(one[w], ROUNDS), median(ratio[w], ROUNDS),
			  "one process");
}
