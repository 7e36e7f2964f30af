// SPDX-License-Identifier: MIT
/*
 * An object outlives the processes that use it.
 *
 *	$ ./hello
 *	run 1, the first
 *	$ ./hello
 *	run 2; process 4711 was here before
 *	$ ./hello bye
 */
#include <npheap.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY 1001

struct visits {
	long count;
	long last;
};

static void say(const struct visits *visits)
{
	if (visits->count == 1)
		printf("run 1, the first\n");
	else
		printf("run %ld; process %ld was here before\n",
		       visits->count, visits->last);
}

int main(int argc, char **argv)
{
	struct npheap *heap;
	struct visits *visits;
	void *addr;
	int err;

	err = npheap_open(NULL, 0, &heap);		/* /dev/npheap */
	if (err) {
		fprintf(stderr, "npheap_open: %s\n", strerror(-err));
		return 1;
	}
	if (argc > 1 && !strcmp(argv[1], "bye")) {
		err = npheap_remove(heap, KEY);
		npheap_close(heap);
		return -err;
	}

	/* Finds the object, or creates it, zero-filled. */
	err = npheap_map(heap, KEY, sizeof(*visits), &addr);
	if (err) {
		fprintf(stderr, "npheap_map: %s\n", strerror(-err));
		npheap_close(heap);
		return 1;
	}
	visits = addr;
	visits->count++;
	say(visits);
	visits->last = getpid();

	/* Leaves no more than the mapping: the object stays. */
	npheap_unmap(addr, sizeof(*visits));
	npheap_close(heap);
	return 0;
}
