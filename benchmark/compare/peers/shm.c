// SPDX-License-Identifier: GPL-2.0-or-later
/* POSIX shared memory, the base that the others are compared to. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hex.h"
#include "measure.h"
#include "compare/peers.h"

static const char *path_of(unsigned int name)
{
	static char path[] = "/npheap-compare-" HEX_32;

	hex_put(path + sizeof(path) - 1, own_name(name));
	return path;
}

static int find_file(unsigned int name)
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

static char *create_populate(unsigned int name, size_t size)
{
	return memory_map(create_file(name, size), size, MAP_POPULATE);
}

static void make(unsigned int first, unsigned int n, size_t size)
{
	for (; n--; first++)
		close(create_file(first, size));
}

static char *attach(unsigned int name, size_t size)
{
	return memory_map(find_file(name), size, 0);
}

static char *attach_populate(unsigned int name, size_t size)
{
	return memory_map(find_file(name), size, MAP_POPULATE);
}

static char *find(unsigned int name, size_t *size, size_t wanted)
{
	return memory_map_found(shm_open(path_of(name), O_RDWR, 0600), size,
				wanted);
}

static int remove_name(unsigned int name)
{
	return memory_removed(shm_unlink(path_of(name)), "shm_unlink");
}

const struct memory memory_shm = {
	.name = "shm",
	.create = create,
	.attach = attach,
	.detach = memory_unmap,
	.remove = remove_name,
	.find = find,
	.make = make,
};

const struct memory memory_shm_populate = {
	.name = "shm-populate",
	.create = create_populate,
	.attach = attach_populate,
	.detach = memory_unmap,
	.remove = remove_name,
};
