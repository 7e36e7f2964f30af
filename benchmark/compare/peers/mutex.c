// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mutexes of the C library in shared memory.  The robust one is the base that
 * the other locks are compared to.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "measure.h"
#include "compare/peers.h"

#define ROBUST 1
#define INHERIT 2

/* Each on a cache line of its own, as the records of a heap are. */
struct padded {
	pthread_mutex_t mutex;
} __attribute__((aligned(64)));

struct mutexes {
	struct padded *at;
	unsigned int n;
};

static void make(pthread_mutex_t *mutex, int how)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (how & ROBUST)
		pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (how & INHERIT)
		pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	errno = pthread_mutex_init(mutex, &attr);
	check(!errno, "pthread_mutex_init");
	pthread_mutexattr_destroy(&attr);
}

static int make_all(struct mutexes *all, unsigned int n, int how)
{
	unsigned int i;

	all->at = shared_memory(n * sizeof(*all->at));
	all->n = n;
	for (i = 0; i < n; i++)
		make(&all->at[i].mutex, how);
	return 0;
}

static void drop_all(struct mutexes *all)
{
	munmap(all->at, all->n * sizeof(*all->at));
}

static int settle(pthread_mutex_t *mutex, int err)
{
	if (!err || err == EBUSY)
		return err;
	errno = err;
	check(err == EOWNERDEAD, "pthread_mutex_lock");
	errno = pthread_mutex_consistent(mutex);
	check(!errno, "pthread_mutex_consistent");
	return EOWNERDEAD;
}

static inline int take(pthread_mutex_t *mutex)
{
	int err = pthread_mutex_lock(mutex);

	return err ? settle(mutex, err) : 0;
}

static inline void give_back(pthread_mutex_t *mutex)
{
	if (pthread_mutex_unlock(mutex))
		die("pthread_mutex_unlock");
}

#define MUTEX(label, how, what, when_it_ends)				\
static struct mutexes label##_all;					\
									\
static int label##_open(unsigned int n)					\
{									\
	return make_all(&label##_all, n, how);				\
}									\
									\
static void label##_close(void)						\
{									\
	drop_all(&label##_all);						\
}									\
									\
static int label##_lock(unsigned int i)					\
{									\
	return take(&label##_all.at[i].mutex);				\
}									\
									\
static int label##_attempt(unsigned int i)				\
{									\
	pthread_mutex_t *mutex = &label##_all.at[i].mutex;		\
									\
	return settle(mutex, pthread_mutex_trylock(mutex));		\
}									\
									\
static void label##_unlock(unsigned int i)				\
{									\
	give_back(&label##_all.at[i].mutex);				\
}									\
									\
static void label##_pair(void)						\
{									\
	take(&label##_all.at[0].mutex);					\
	give_back(&label##_all.at[0].mutex);				\
}									\
									\
const struct lock lock_##label = {					\
	.name = what,							\
	.end = when_it_ends,						\
	.open = label##_open,						\
	.close = label##_close,						\
	.lock = label##_lock,						\
	.attempt = label##_attempt,					\
	.unlock = label##_unlock,					\
	.pair = label##_pair,						\
}

MUTEX(robust, ROBUST, "robust-mutex", LOCK_TELLS);
MUTEX(mutex, 0, "mutex", LOCK_STAYS);
MUTEX(pi, INHERIT, "pi-mutex", LOCK_STAYS);
MUTEX(robust_pi, ROBUST | INHERIT, "robust-pi-mutex", LOCK_TELLS);
