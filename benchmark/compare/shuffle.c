// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a call costs depends on where the kernel's allocators happen to stand:
 * on whether an object goes back to the slab that is in use, on whether a page
 * table gets empty.  Such a state lasts, and another boot has another.  So
 * each measurement is made in many states, and the mean of these repeats.
 */
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "compare/bench.h"
#include "compare/shuffle.h"

#define SLOTS 16

static struct slot {
	int fd;
	char *p;
} slots[SLOTS];

/* A file, its inode and dentry, a mapping, a page, and its page table. */
static void fill(struct slot *slot)
{
	slot->fd = memfd_create("shuffle", MFD_CLOEXEC);
	check(slot->fd >= 0, "memfd_create");
	check(!ftruncate(slot->fd, page), "ftruncate");
	slot->p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, slot->fd,
		       0);
	check(slot->p != MAP_FAILED, "mmap");
	*slot->p = 1;
}

static void empty(struct slot *slot)
{
	munmap(slot->p, page);
	close(slot->fd);
}

void shuffle(void)
{
	uint64_t which = random_number();
	int i;

	for (i = 0; i < SLOTS; i++) {
		if (!(which >> i & 1))
			continue;
		if (slots[i].p)
			empty(&slots[i]);
		slots[i].p = NULL;
	}
	for (i = 0; i < SLOTS; i++)
		if (!slots[i].p && which >> (i + SLOTS) & 1)
			fill(&slots[i]);
}

void rest(void)
{
	struct timespec ts = { .tv_nsec = 20000000 };

	nanosleep(&ts, NULL);
}
