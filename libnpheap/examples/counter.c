// SPDX-License-Identifier: MIT
/*
 * Processes count together, and some are killed while they do.  The lock comes
 * free when its holder dies, and the next one is told, so that it can repair
 * what it finds: the count is right in the end.
 *
 *	$ ./counter
 *	4000 counted by 4 processes; 3 died at it, 3 repairs
 */
#include <errno.h>
#include <npheap.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY 1004
#define WORKERS 4
#define VICTIMS 3
#define ROUNDS 1000

/* Outside of the lock @tens * 10 + @ones is the count, and @undo is unused. */
struct counter {
	long tens;
	long ones;
	long repairs;
	struct {
		volatile int valid;
		long tens;
		long ones;
	} undo;
};

static struct npheap *heap;
static struct counter *counter;

static void check(int err, const char *what)
{
	if (err) {
		fprintf(stderr, "%s: %s\n", what, strerror(-err));
		exit(1);
	}
}

/* A holder died; what it had begun is undone. */
static void repair(void)
{
	if (counter->undo.valid) {
		counter->tens = counter->undo.tens;
		counter->ones = counter->undo.ones;
		counter->undo.valid = 0;
	}
	counter->repairs++;
}

static void lock(void)
{
	int err = npheap_acquire(heap, KEY);

	if (err == -EOWNERDEAD) {
		repair();
		/* Only now: if this process died before, the next is told. */
		err = npheap_consistent(heap, KEY);
	}
	check(err, "npheap_acquire");
}

static void unlock(void)
{
	check(npheap_release(heap, KEY), "npheap_release");
}

/*
 * What was there is noted first, and the note is valid only while it is whole.
 * The fences keep the compiler from changing the order; all that a process has
 * written is there when the next one has the lock.
 */
static void count(int die)
{
	counter->undo.tens = counter->tens;
	counter->undo.ones = counter->ones;
	atomic_signal_fence(memory_order_seq_cst);
	counter->undo.valid = 1;
	atomic_signal_fence(memory_order_seq_cst);
	counter->ones = (counter->ones + 1) % 10;
	if (die)
		raise(SIGKILL);
	counter->tens += counter->ones == 0;
	atomic_signal_fence(memory_order_seq_cst);
	counter->undo.valid = 0;
}

static void work(int rounds, int die)
{
	while (rounds--) {
		lock();
		count(die);
		unlock();
	}
}

static void start(int rounds, int die)
{
	if (fork() == 0) {
		work(rounds, die);
		exit(0);
	}
}

int main(void)
{
	void *addr;
	int i;

	check(npheap_open(NULL, 0, &heap), "npheap_open");
	check(npheap_create(heap, KEY, sizeof(*counter), 0, 0),
	      "npheap_create");
	check(npheap_map(heap, KEY, sizeof(*counter), &addr), "npheap_map");
	counter = addr;

	for (i = 0; i < WORKERS; i++)
		start(ROUNDS, 0);
	for (i = 0; i < VICTIMS; i++)
		start(1, 1);
	while (wait(NULL) > 0)
		;
	lock();		/* the last to die may have left work to do */
	unlock();
	printf("%ld counted by %d processes; %d died at it, %ld repairs\n",
	       counter->tens * 10 + counter->ones, WORKERS, VICTIMS,
	       counter->repairs);
	return -npheap_remove(heap, KEY);
}
