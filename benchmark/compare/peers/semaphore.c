// SPDX-License-Identifier: GPL-2.0-or-later
/* POSIX semaphores in shared memory, and one that is used wrongly. */
#include <semaphore.h>
#include <sys/mman.h>

#include "measure.h"
#include "compare/peers.h"

/* Each on a cache line of its own. */
struct padded {
	sem_t semaphore;
} __attribute__((aligned(64)));

static struct padded *all;
static unsigned int count;

static int open_all(unsigned int n)
{
	unsigned int i;

	count = n;
	all = shared_memory(n * sizeof(*all));
	for (i = 0; i < n; i++)
		check(!sem_init(&all[i].semaphore, 1, 1), "sem_init");
	return 0;
}

static void close_all(void)
{
	munmap(all, count * sizeof(*all));
}

static int down(unsigned int i)
{
	if (sem_wait(&all[i].semaphore))
		die("sem_wait");
	return 0;
}

static void up(unsigned int i)
{
	if (sem_post(&all[i].semaphore))
		die("sem_post");
}

static void pair(void)
{
	down(0);
	up(0);
}

const struct lock lock_semaphore = {
	.name = "semaphore",
	.open = open_all,
	.close = close_all,
	.lock = down,
	.unlock = up,
	.pair = pair,
};

/* --------------------------------------------------------------------- wrong */

static void up_twice(unsigned int i)
{
	up(i);
	up(i);
}

static void broken_pair(void)
{
	down(0);
	up_twice(0);
}

/* Lets one in at first, and one more at each unlock. */
const struct lock lock_broken = {
	.name = "broken",
	.open = open_all,
	.close = close_all,
	.lock = down,
	.unlock = up_twice,
	.pair = broken_pair,
};
