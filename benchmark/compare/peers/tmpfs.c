// SPDX-License-Identifier: GPL-2.0-or-later
/* Files on tmpfs: the system's, and one of our own mounted with huge=always. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "hex.h"
#include "measure.h"
#include "undo.h"
#include "compare/peers.h"

#define TEMPLATE "/tmp/npheap-compare.XXXXXX"
#define FILE_NAME "/npheap-compare-file-" HEX_32

static char top[] = TEMPLATE;
static int made, mounted;

/* Where files are; the number in their name is still to come. */
static char huge_path[] = TEMPLATE FILE_NAME;
static char plain_path[] = "/dev/shm" FILE_NAME;

/* Mounted once, and until the program ends. */
static int join(void)
{
	if (mounted)
		return 0;
	if (!made++) {
		check(!!mkdtemp(top), top);
		memcpy(huge_path, top, strlen(top));
		undo_mount(top);
	}
	/* Each table asks again where it failed. */
	if (mount("tmpfs", top, "tmpfs", 0, "huge=always"))
		return -errno;
	mounted = 1;
	return 0;
}

/* Of any directory: @path is all but the number, and room for that. */
static const char *path_of(char *path, unsigned int name)
{
	hex_put(path + strlen(path), own_name(name));
	return path;
}

static char *create_in(char *path, unsigned int name, size_t size, int flags)
{
	int fd = open(path_of(path, name),
		      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	check(fd >= 0, path);
	check(!ftruncate(fd, size), "ftruncate");
	return memory_map(fd, size, flags);
}

static char *attach_in(char *path, unsigned int name, size_t size, int flags)
{
	int fd = open(path_of(path, name), O_RDWR | O_CLOEXEC);

	check(fd >= 0, path);
	return memory_map(fd, size, flags);
}

#define MAPPED_FILES(label, path, flags)				\
static char *label##_create(unsigned int name, size_t size)		\
{									\
	return create_in(path, name, size, flags);			\
}									\
									\
static char *label##_attach(unsigned int name, size_t size)		\
{									\
	return attach_in(path, name, size, flags);			\
}

MAPPED_FILES(plain, plain_path, 0)
MAPPED_FILES(huge, huge_path, 0)
MAPPED_FILES(populate, huge_path, MAP_POPULATE)

static int huge_remove(unsigned int name)
{
	return memory_removed(unlink(path_of(huge_path, name)), "unlink");
}

static int plain_remove(unsigned int name)
{
	return memory_removed(unlink(path_of(plain_path, name)), "unlink");
}

static char *plain_find(unsigned int name, size_t *size, size_t wanted)
{
	return memory_map_found(open(path_of(plain_path, name),
				     O_RDWR | O_CLOEXEC), size, wanted);
}

const struct memory memory_tmpfs_huge = {
	.name = "tmpfs-huge",
	.open = join,
	.create = huge_create,
	.attach = huge_attach,
	.detach = memory_unmap,
	.remove = huge_remove,
};

const struct memory memory_tmpfs_huge_populate = {
	.name = "tmpfs-huge-populate",
	.open = join,
	.create = populate_create,
	.attach = populate_attach,
	.detach = memory_unmap,
	.remove = huge_remove,
};

const struct memory memory_tmpfs = {
	.name = "tmpfs",
	.create = plain_create,
	.attach = plain_attach,
	.detach = memory_unmap,
	.remove = plain_remove,
	.find = plain_find,
};
