// SPDX-License-Identifier: MIT
/*
 * A service that adds up the numbers it is given, one a line, and goes on
 * where it was after kill -9.
 *
 *	$ ./warm_restart
 *	cold start
 *	3
 *	sum 3 of 1
 *	4
 *	sum 7 of 2
 *	Killed				(kill -9, from another terminal)
 *	$ ./warm_restart
 *	warm start after a crash: sum 7 of 2
 *	5
 *	sum 12 of 3
 *
 * No kill can lose a sum that was printed.  End of input ends the service, and a
 * line that says "forget" its state, too.
 */
#include <errno.h>
#include <npheap.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY 1003
/* Another number for each layout of struct state: an old one is not read. */
#define LAYOUT 1

struct sums {
	long long sum;
	long long count;
};

/*
 * Two copies, of which one counts.  A change is made in the other, and becomes
 * the one that counts by a single store: whoever is killed has done all of it
 * or nothing.
 */
struct state {
	atomic_uint layout;	/* 0 in a new object: cold */
	atomic_uint current;
	struct sums copy[2];
};

static struct sums *current(struct state *state)
{
	return &state->copy[atomic_load(&state->current)];
}

static void add(struct state *state, long long number)
{
	unsigned int other = !atomic_load(&state->current);

	state->copy[other] = *current(state);
	state->copy[other].sum += number;
	state->copy[other].count++;
	atomic_store(&state->current, other);
}

static void print(const char *what, struct state *state)
{
	printf("%ssum %lld of %lld\n", what, current(state)->sum,
	       current(state)->count);
}

/* @crashed is what the lock said: the one who had it last did not return it. */
static int start(struct state *state, int crashed)
{
	if (atomic_load(&state->layout) == 0) {
		printf("cold start\n");
		atomic_store(&state->layout, LAYOUT);
	} else if (atomic_load(&state->layout) != LAYOUT) {
		fprintf(stderr, "the state is of another version\n");
		return -1;
	} else {
		print(crashed ? "warm start after a crash: " : "warm start: ",
		      state);
	}
	return 0;
}

/* Returns true if the state shall be forgotten. */
static int serve(struct state *state)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "forget\n"))
			return 1;
		add(state, atoll(line));
		print("", state);
	}
	return 0;
}

/* The lock is held while the service runs: there is one at a time. */
static int claim(struct npheap *heap, int *crashed)
{
	int err = npheap_acquire_with(heap, KEY, NPHEAP_TRY, 0);

	*crashed = err == -EOWNERDEAD;
	if (*crashed)
		err = npheap_consistent(heap, KEY);
	if (err == -EBUSY)
		fprintf(stderr, "the service runs already\n");
	return err;
}

static int run(struct npheap *heap)
{
	void *addr;
	int crashed;

	if (claim(heap, &crashed) ||
	    npheap_map(heap, KEY, sizeof(struct state), &addr) ||
	    start(addr, crashed))
		return 1;
	if (serve(addr))
		npheap_remove(heap, KEY);
	return -npheap_release(heap, KEY);
}

int main(void)
{
	struct npheap *heap;
	int rc;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (npheap_open(NULL, 0, &heap))
		return 1;
	rc = run(heap);
	npheap_close(heap);
	return rc;
}
