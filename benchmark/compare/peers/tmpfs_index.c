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

#include "measure.h"
#include "undo.h"
#include "compare/peers.h"

#define DIGITS 8

static char top[] = "/tmp/npheap-index.XXXXXX";
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

/* Not by snprintf(), which would be a good part of what is measured. */
static const char *path_of(unsigned long i)
{
	static char path[sizeof(top) + 1 + DIGITS];
	char *p = path + sizeof(top) + DIGITS;

	if (!path[0]) {
		memcpy(path, top, sizeof(top));
		path[sizeof(top) - 1] = '/';
	}
	while (p > path + sizeof(top)) {
		*--p = "0123456789abcdef"[i & 15];
		i >>= 4;
	}
	return path;
}

/* No size: it is not touched, and to give it one costs twice what it costs. */
static void grow(unsigned long from, unsigned long to)
{
	for (; from < to; from++)
		check(!mknod(path_of(from), S_IFREG | 0600, 0), "mknod");
}

static void attach(unsigned long i)
{
	size_t size = sysconf(_SC_PAGESIZE);
	int fd = open(path_of(i), O_RDWR | O_CLOEXEC);

	check(fd >= 0, top);
	memory_unmap(memory_map(fd, size, 0), size);
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
	.attach = attach,
	.getsize = getsize,
	.shrink = shrink,
};
