// SPDX-License-Identifier: MIT
/*
 * An object is memory like any other: mutexes and conditions of the C library
 * work inside of it, between processes.
 *
 *	$ ./condition
 *	the parent says 42
 */
#include <errno.h>
#include <npheap.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY 1005

struct shared {
	int ready;		/* the two below are initialised */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int number;
};

static struct npheap *heap;

static void check(int err, const char *what)
{
	if (err) {
		fprintf(stderr, "%s: %s\n", what, strerror(-err));
		exit(1);
	}
}

static void initialise(struct shared *shared)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->mutex, &mutex);
	pthread_condattr_init(&cond);
	pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&shared->changed, &cond);
	shared->ready = 1;
}

/*
 * Whoever comes first initialises it.  The key's lock needs no initialisation,
 * so it is what decides who that is; -EOWNERDEAD would say that somebody died
 * while doing so, and then it is simply done again.
 */
static struct shared *open_shared(void)
{
	struct shared *shared;
	void *addr;
	int err;

	check(npheap_map(heap, KEY, sizeof(*shared), &addr), "npheap_map");
	shared = addr;
	err = npheap_acquire(heap, KEY);
	if (err == -EOWNERDEAD)
		err = npheap_consistent(heap, KEY);
	check(err, "npheap_acquire");
	if (!shared->ready)
		initialise(shared);
	check(npheap_release(heap, KEY), "npheap_release");
	return shared;
}

static void tell(int number)
{
	struct shared *shared = open_shared();

	pthread_mutex_lock(&shared->mutex);
	shared->number = number;
	pthread_cond_signal(&shared->changed);
	pthread_mutex_unlock(&shared->mutex);
}

static void listen(void)
{
	struct shared *shared = open_shared();

	pthread_mutex_lock(&shared->mutex);
	while (shared->number == 0)
		pthread_cond_wait(&shared->changed, &shared->mutex);
	printf("the parent says %d\n", shared->number);
	pthread_mutex_unlock(&shared->mutex);
}

int main(void)
{
	check(npheap_open(NULL, 0, &heap), "npheap_open");
	if (fork() == 0) {
		listen();
		return 0;
	}
	tell(42);
	wait(NULL);
	return -npheap_remove(heap, KEY);
}
