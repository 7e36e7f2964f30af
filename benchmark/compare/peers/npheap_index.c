// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many objects of NP-Heap: sparse ones, as only what finds them counts here.
 * Both systems look at the same objects.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <npheap.h>

#include "measure.h"
#include "undo.h"
#include "compare/peers.h"

#define BATCH 1000UL
/* Beside the objects that are measured, there may be others. */
#define OTHERS 1000

static int dev = -1;
static struct npheap *heap;
static size_t page;

static int join(unsigned long most)
{
	int err;

	if (dev < 0) {
		page = sysconf(_SC_PAGESIZE);
		dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
		if (dev < 0)
			return -errno;
		err = npheap_open(NULL, 0, &heap);
		if (err)
			return err;
	}
	err = raise_limit("max_objects", most + OTHERS);
	if (!err)
		err = raise_limit("max_locks", most + OTHERS);
	if (!err)
		err = raise_limit("max_sparse_bytes", (most + OTHERS) * page);
	return err;
}

/* Also in a process that never joined. */
static void remove_up_to(const char *number)
{
	unsigned long i, n = strtoul(number, NULL, 10);

	if (dev < 0)
		dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	for (i = 0; dev >= 0 && i < n; i++)
		npheap_delete(dev, spread_key(i));
}

static void grow(unsigned long from, unsigned long to)
{
	static struct npheap_create items[BATCH];
	unsigned long i, n;
	int made;

	undo_later(remove_up_to, decimal(to));
	for (; from < to; from += n) {
		n = to - from < BATCH ? to - from : BATCH;
		for (i = 0; i < n; i++)
			items[i] = (struct npheap_create){
				.key = spread_key(from + i),
				.size = page,
				.flags = NPHEAP_CREATE_SPARSE,
			};
		made = npheap_create_many(heap, items, n);
		errno = made < 0 ? -made : ENOSPC;
		check(made == (int)n, "npheap_create_many");
	}
}

static void shrink(unsigned long n)
{
	undo_now(remove_up_to, decimal(n));
}

/* -------------------------------------------------------------- the library */

static void *attach(unsigned long i)
{
	void *p;

	errno = -npheap_map(heap, spread_key(i), page, &p);
	check(!errno, "npheap_map");
	return p;
}

static void detach(void *p)
{
	npheap_unmap(p, page);
}

static void getsize(unsigned long i)
{
	uint64_t size;

	errno = -npheap_size(heap, spread_key(i), &size);
	check(!errno && size == page, "npheap_size");
}

static void lock(unsigned long i)
{
	errno = -npheap_acquire(heap, spread_key(i));
	check(!errno, "npheap_acquire");
	errno = -npheap_release(heap, spread_key(i));
	check(!errno, "npheap_release");
}

const struct index index_npheap = {
	.name = "npheap",
	.open = join,
	.grow = grow,
	.attach = attach,
	.detach = detach,
	.getsize = getsize,
	.lock = lock,
	.shrink = shrink,
};

/* ------------------------------------------------------------ without library */

static struct npheap_cmd command(unsigned long number, unsigned long i)
{
	struct npheap_cmd cmd = { .offset = spread_key(i) * page };

	check(ioctl(dev, number, &cmd) >= 0, NPHEAP_DEVICE);
	return cmd;
}

static void *attach_by_mmap(unsigned long i)
{
	char *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, dev,
		       spread_key(i) * page);

	check(p != MAP_FAILED, NPHEAP_DEVICE);
	return p;
}

static void detach_by_munmap(void *p)
{
	memory_unmap(p, page);
}

static void getsize_by_ioctl(unsigned long i)
{
	struct npheap_cmd cmd = command(NPHEAP_IOCTL_GETSIZE, i);

	errno = ENOENT;
	check(cmd.size == page, NPHEAP_DEVICE);
}

static void lock_by_ioctl(unsigned long i)
{
	command(NPHEAP_IOCTL_LOCK, i);
	command(NPHEAP_IOCTL_UNLOCK, i);
}

const struct index index_npheap_ioctl = {
	.name = "npheap-ioctl",
	.open = join,
	.attach = attach_by_mmap,
	.detach = detach_by_munmap,
	.getsize = getsize_by_ioctl,
	.lock = lock_by_ioctl,
};
