// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * As many threads as asked for, all of them alive at the same time, count under
 * the locks of the same few keys.
 */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "torture.h"

#define SHARED_KEYS 64
#define ROUNDS 2
#define SMALL_STACK 65536

/* So long may it take until each has done its rounds. */
#define LIMIT_MS (30 * 60 * 1000LL)

struct many {
	uint64_t key;
	unsigned int threads;
	struct gate go;
	struct gate leave;
	_Atomic uint32_t ready;
	_Atomic uint32_t done;
	_Atomic uint32_t failed;
};

static struct many *many;

/* An object's first word counts who was there. */
static int count_in(uint64_t key)
{
	uint64_t *counter;
	int wrong;

	if (npheap_lock(dev, key))
		return -errno;
	counter = npheap_alloc(dev, key, page);
	if (counter == MAP_FAILED)
		return -errno;
	++*counter;
	wrong = npheap_getsize(dev, key) != (long)page;
	munmap(counter, page);
	if (npheap_unlock(dev, key))
		return -errno;
	return wrong ? -EIO : 0;
}

static void *be_one_of_many(void *arg)
{
	uint32_t number = many->ready++;
	int i, rc;

	gate_wait(&many->go, 1);
	for (i = 0; i < ROUNDS; i++) {
		rc = count_in(many->key + (number + i) % SHARED_KEYS);
		if (rc && !many->failed++)
			printf("# many: %s\n", strerror(-rc));
	}
	many->done++;
	gate_wait(&many->leave, 1);
	return arg;
}

static int host(void *arg)
{
	unsigned int count = (uintptr_t)arg, i;
	pthread_t *threads = calloc(count, sizeof(*threads));
	pthread_attr_t attr;

	child_check(threads);
	pthread_attr_init(&attr);
	child_check(!pthread_attr_setstacksize(&attr, SMALL_STACK));
	for (i = 0; i < count; i++) {
		errno = pthread_create(&threads[i], &attr, be_one_of_many,
				       NULL);
		child_check(!errno);
	}
	for (i = 0; i < count; i++)
		child_check(!pthread_join(threads[i], NULL));
	free(threads);
	return 0;
}

/* The kernel's defaults are for fewer. */
static void raise_limits(void)
{
	write_text("/proc/sys/kernel/pid_max", "4194304");
	write_text("/proc/sys/kernel/threads-max", "200000");
	write_text("/proc/sys/vm/max_map_count", "1000000");
}

static int await(_Atomic uint32_t *counter, const pid_t *pids,
		 unsigned int processes)
{
	long long limit = now_ms() + LIMIT_MS;
	unsigned int i;

	while (*counter < many->threads) {
		sleep_ms(50);
		for (i = 0; i < processes; i++)
			if (has_ended(pids[i]))
				return -1;
		if (now_ms() > limit)
			return -1;
	}
	return 0;
}

/* "0.00 0.00 0.00 1/30123 4711": threads of the whole machine. */
static unsigned int threads_alive(void)
{
	FILE *file = fopen("/proc/loadavg", "re");
	unsigned int all = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%*s %*s %*s %*u/%u", &all) != 1)
		all = 0;
	fclose(file);
	return all;
}

static int check_counts(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < SHARED_KEYS; i++) {
		uint64_t *counter = npheap_alloc(dev, many->key + i, page);

		if (counter == MAP_FAILED)
			return -1;
		sum += *counter;
		munmap(counter, page);
		npheap_delete(dev, many->key + i);
	}
	printf("# many: counted %llu of %llu\n", (unsigned long long)sum,
	       (unsigned long long)many->threads * ROUNDS);
	return sum == (uint64_t)many->threads * ROUNDS ? 0 : -1;
}

static int reap_all(const pid_t *pids, unsigned int processes)
{
	unsigned int i;
	int rc = 0, status;

	for (i = 0; i < processes; i++) {
		if (waitpid(pids[i], &status, 0) != pids[i])
			status = -1;
		rc |= status;
	}
	return rc;
}

int many_run(unsigned int processes, unsigned int threads)
{
	struct leftovers before = leftovers_now();
	long long start = now_ms(), memory = available_bytes();
	pid_t pids[CROWD_PROCESSES];
	unsigned int i, others = threads_alive();
	int rc;

	raise_limits();
	many = mmap(NULL, sizeof(*many), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (many == MAP_FAILED)
		return perror("many"), 1;
	many->key = test_key();
	/* Each process has as many as the others. */
	many->threads = threads / processes * processes;
	for (i = 0; i < processes; i++)
		pids[i] = spawn(host, (void *)(uintptr_t)(threads / processes));
	rc = await(&many->ready, pids, processes);
	printf("# many: %u threads are there after %lld ms\n",
	       threads_alive() - others, now_ms() - start);
	gate_add(&many->go, 1);
	if (!rc)
		rc = await(&many->done, pids, processes);
	printf("# many: done after %lld ms; %u alive, %lld MiB less available\n",
	       now_ms() - start, threads_alive() - others,
	       (memory - available_bytes()) >> 20);
	if (threads_alive() - others < many->threads)
		rc = -1;
	gate_add(&many->leave, 1);
	rc |= reap_all(pids, processes);
	rc |= many->failed;
	rc |= check_counts();
	munmap(many, sizeof(*many));
	return rc || !leftovers_are(before);
}
