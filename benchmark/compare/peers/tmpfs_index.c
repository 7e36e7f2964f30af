// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many files on tmpfs, which is what POSIX shared memory is; on a tmpfs of our
 * own, as that of /dev/shm allows only so many.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hex.h"
#include "measure.h"
#include "undo.h"
#include "compare/peers.h"

#define TOP "/tmp/npheap-index.XXXXXX"

static char top[] = TOP;
static int mounted;

static int join(unsigned long most)
{
	static int made;

	(void)most;
	if (mounted)
		return 0;
	if (!made++) {
		check(!!mkdtemp(top), top);
		undo_mount(top);
	}
	if (mount("tmpfs", top, "tmpfs", 0, "nr_inodes=0"))
		return -errno;
	mounted = 1;
	return 0;
}

static const char *path_of(unsigned long i)
{
	static char path[] = TOP "/" HEX_32;

	memcpy(path, top, strlen(top));
	hex_put(path + sizeof(path) - 1, i);
	return path;
}

static size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* No size: it is not touched, and to give it one costs twice what it costs. */
static void grow(unsigned long from, unsigned long to)
{
	for (; from < to; from++)
		check(!mknod(path_of(from), S_IFREG | 0600, 0), "mknod");
}

static void give(unsigned long i)
{
	check(!truncate(path_of(i), page_size()), top);
}

static void *attach(unsigned long i)
{
	int fd = open(path_of(i), O_RDWR | O_CLOEXEC);

	check(fd >= 0, top);
	return memory_map(fd, page_size(), 0);
}

static void detach(void *p)
{
	memory_unmap(p, page_size());
}

static void getsize(unsigned long i)
{
	struct stat st;

	check(!stat(path_of(i), &st), top);
}

/* All at once, which is the cheapest way. */
static void shrink(unsigned long n)
{
	(void)n;
	check(!umount(top), top);
	mounted = 0;
}

const struct index index_tmpfs = {
	.name = "tmpfs",
	.open = join,
	.grow = grow,
	.give = give,
	.attach = attach,
	.detach = detach,
	.getsize = getsize,
	.shrink = shrink,
};
