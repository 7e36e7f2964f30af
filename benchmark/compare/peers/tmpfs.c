// SPDX-License-Identifier: GPL-2.0-or-later
/* Files on tmpfs: the system's, and one of our own mounted with huge=always. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "measure.h"
#include "undo.h"
#include "compare/peers.h"

#define TEMPLATE "/tmp/npheap-compare.XXXXXX"

static char top[] = TEMPLATE;
static int made, mounted;

/* Mounted once, and until the program ends. */
static int join(void)
{
	if (mounted)
		return 0;
	if (!made++) {
		check(!!mkdtemp(top), top);
		undo_mount(top);
	}
	/* Each table asks again where it failed. */
	if (mount("tmpfs", top, "tmpfs", 0, "huge=always"))
		return -errno;
	mounted = 1;
	return 0;
}

/* Of any directory. */
struct path {
	char text[64];
};

static struct path path_in(const char *directory, unsigned int name)
{
	struct path path;

	snprintf(path.text, sizeof(path.text), "%s/npheap-compare-file-%u",
		 directory, name);
	return path;
}

static char *create_in(const char *directory, unsigned int name, size_t size)
{
	int fd = open(path_in(directory, name).text,
		      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	check(fd >= 0, directory);
	check(!ftruncate(fd, size), "ftruncate");
	return memory_map(fd, size, 0);
}

static char *attach_in(const char *directory, unsigned int name, size_t size)
{
	int fd = open(path_in(directory, name).text, O_RDWR | O_CLOEXEC);

	check(fd >= 0, directory);
	return memory_map(fd, size, 0);
}

static void remove_in(const char *directory, unsigned int name)
{
	check(!unlink(path_in(directory, name).text), "unlink");
}

static size_t size_in(const char *directory, unsigned int name)
{
	struct stat st;

	return stat(path_in(directory, name).text, &st) ? 0 : st.st_size;
}

#define FILES_IN(label, directory)					\
static char *label##_create(unsigned int name, size_t size)		\
{									\
	return create_in(directory, name, size);			\
}									\
									\
static char *label##_attach(unsigned int name, size_t size)		\
{									\
	return attach_in(directory, name, size);			\
}									\
									\
static void label##_remove(unsigned int name)				\
{									\
	remove_in(directory, name);					\
}									\
									\
static size_t label##_size(unsigned int name)				\
{									\
	return size_in(directory, name);				\
}

FILES_IN(huge, top)
FILES_IN(plain, "/dev/shm")

const struct memory memory_tmpfs_huge = {
	.name = "tmpfs-huge",
	.open = join,
	.create = huge_create,
	.attach = huge_attach,
	.detach = memory_unmap,
	.remove = huge_remove,
	.size = huge_size,
};

const struct memory memory_tmpfs = {
	.name = "tmpfs",
	.create = plain_create,
	.attach = plain_attach,
	.detach = memory_unmap,
	.remove = plain_remove,
	.size = plain_size,
};
