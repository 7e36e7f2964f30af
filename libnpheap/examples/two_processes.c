// SPDX-License-Identifier: MIT
/*
 * Two processes pass lines through an object, without copying them anywhere
 * else, and sleep while there is nothing to do.
 *
 *	$ ./two_processes one two three
 *	one
 *	two
 *	three
 */
#include <npheap.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY 1002

struct slot {
	atomic_int full;	/* whose turn it is: the reader's, if it is 1 */
	char line[4096 - sizeof(atomic_int)];
};

static struct npheap *heap;
static struct slot *slot;

static void check(int err, const char *what)
{
	if (err) {
		fprintf(stderr, "%s: %s\n", what, strerror(-err));
		exit(1);
	}
}

/*
 * First the event, then the look, then the sleep: what the other does in
 * between changes the event, so that the sleep ends at once.
 */
static void wait_until(int full)
{
	uint64_t event;

	for (;;) {
		check(npheap_event(heap, KEY, &event), "npheap_event");
		if (atomic_load(&slot->full) == full)
			return;
		check(npheap_wait(heap, KEY, event, NPHEAP_FOREVER),
		      "npheap_wait");
	}
}

static void pass_the_turn(int full)
{
	atomic_store(&slot->full, full);
	/* No system call, unless the other sleeps. */
	check(npheap_notify(heap, KEY, 1), "npheap_notify");
}

static void put(const char *line)
{
	wait_until(0);
	snprintf(slot->line, sizeof(slot->line), "%s", line);
	pass_the_turn(1);
}

/* An empty line is the end. */
static void print_all(void)
{
	for (;;) {
		wait_until(1);
		if (!slot->line[0])
			return;
		puts(slot->line);
		pass_the_turn(0);
	}
}

int main(int argc, char **argv)
{
	void *addr;
	int i;

	check(npheap_open(NULL, 0, &heap), "npheap_open");
	check(npheap_create(heap, KEY, sizeof(*slot), 0, 0), "npheap_create");
	check(npheap_map(heap, KEY, sizeof(*slot), &addr), "npheap_map");
	slot = addr;

	/* Any process that knows the key could do what this child does. */
	if (fork() == 0) {
		print_all();
		return 0;
	}
	for (i = 1; i < argc; i++)
		put(argv[i]);
	put("");
	wait(NULL);
	return -npheap_remove(heap, KEY);
}
