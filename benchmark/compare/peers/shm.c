// SPDX-License-Identifier: GPL-2.0-or-later
/* POSIX shared memory, the base that the others are compared to. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "measure.h"
#include "compare/peers.h"

static const char *path_of(unsigned int name)
{
	static char path[64];

	snprintf(path, sizeof(path), "/npheap-compare-%u", own_name(name));
	return path;
}

static int find(unsigned int name)
{
	int fd = shm_open(path_of(name), O_RDWR, 0600);

	check(fd >= 0, "shm_open");
	return fd;
}

static int create_file(unsigned int name, size_t size)
{
	int fd = shm_open(path_of(name), O_RDWR | O_CREAT | O_EXCL, 0600);

	check(fd >= 0, "shm_open");
	check(!ftruncate(fd, size), "ftruncate");
	return fd;
}

static char *create(unsigned int name, size_t size)
{
	return memory_map(create_file(name, size), size, 0);
}

static void make(unsigned int first, unsigned int n, size_t size)
{
	for (; n--; first++)
		close(create_file(first, size));
}

static char *attach(unsigned int name, size_t size)
{
	return memory_map(find(name), size, 0);
}

static char *attach_populate(unsigned int name, size_t size)
{
	return memory_map(find(name), size, MAP_POPULATE);
}

static void remove_name(unsigned int name)
{
	check(!shm_unlink(path_of(name)), "shm_unlink");
}

static size_t size_of(unsigned int name)
{
	int fd = shm_open(path_of(name), O_RDONLY, 0);
	struct stat st;

	if (fd < 0)
		return 0;
	check(!fstat(fd, &st), "fstat");
	close(fd);
	return st.st_size;
}

const struct memory memory_shm = {
	.name = "shm",
	.create = create,
	.attach = attach,
	.detach = memory_unmap,
	.remove = remove_name,
	.size = size_of,
	.make = make,
};

const struct memory memory_shm_populate = {
	.name = "shm-populate",
	.create = create,
	.attach = attach_populate,
	.detach = memory_unmap,
	.remove = remove_name,
};
