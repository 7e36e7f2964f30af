// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "locks.h"

#define KEY 0x10c60ULL

int dev;
struct npheap *heap;
uint64_t page;

/* ------------------------------------------------------------------- kinds */

void mutex_init(pthread_mutex_t *mutex, int is_robust)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (is_robust)
		pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

/* Each on a cache line of its own, as the records of a heap are. */
struct padded {
	pthread_mutex_t mutex;
} __attribute__((aligned(64)));

static struct padded *robust;

void kinds_init(void)
{
	int i;

	robust = shared_memory(LOCKS * sizeof(*robust));
	for (i = 0; i < LOCKS; i++)
		mutex_init(&robust[i].mutex, 1);
}

static void robust_lock(int i)
{
	if (pthread_mutex_lock(&robust[i].mutex) == EOWNERDEAD)
		pthread_mutex_consistent(&robust[i].mutex);
}

static void robust_unlock(int i)
{
	pthread_mutex_unlock(&robust[i].mutex);
}

static void heap_lock(int i)
{
	if (npheap_acquire(heap, KEY + i) == -EOWNERDEAD)
		npheap_consistent(heap, KEY + i);
}

static void heap_unlock(int i)
{
	npheap_release(heap, KEY + i);
}

const struct kind by_robust = { "robust-mutex", robust_lock, robust_unlock };
const struct kind by_heap = { "npheap", heap_lock, heap_unlock };

/* --------------------------------------------------------------- processes */

struct job {
	void (*body)(const struct kind *kind);
	const struct kind *kind;
};

static void do_job(void *arg)
{
	const struct job *job = arg;

	job->body(job->kind);
}

pid_t start_with(const struct kind *kind,
		 void (*body)(const struct kind *kind), int cpu)
{
	struct job job = { body, kind };

	return start(do_job, &job, cpu);
}
