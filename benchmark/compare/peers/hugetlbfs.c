// SPDX-License-Identifier: GPL-2.0-or-later
/* Files on hugetlbfs, of whole huge pages, that were set aside before. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hex.h"
#include "measure.h"
#include "compare/peers.h"
#include "compare/peers/huge_pages.h"

#define TOP "/dev/hugepages"

static int reserve(void)
{
	return access(TOP, W_OK) ? -errno : huge_pages_reserve();
}

static const char *path_of(unsigned int name)
{
	static char path[] = TOP "/npheap-compare-" HEX_32;

	hex_put(path + sizeof(path) - 1, own_name(name));
	return path;
}

static size_t round_up(size_t size)
{
	return (size + HUGE_PAGE - 1) & -HUGE_PAGE;
}

static int create_file(unsigned int name, size_t size)
{
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		      0600);

	check(fd >= 0, TOP);
	check(!ftruncate(fd, round_up(size)), "ftruncate");
	return fd;
}

static int find_file(unsigned int name)
{
	int fd = open(path_of(name), O_RDWR | O_CLOEXEC);

	check(fd >= 0, TOP);
	return fd;
}

static char *create(unsigned int name, size_t size)
{
	return memory_map(create_file(name, size), round_up(size), 0);
}

static char *create_populate(unsigned int name, size_t size)
{
	return memory_map(create_file(name, size), round_up(size),
			  MAP_POPULATE);
}

static char *attach(unsigned int name, size_t size)
{
	return memory_map(find_file(name), round_up(size), 0);
}

static char *attach_populate(unsigned int name, size_t size)
{
	return memory_map(find_file(name), round_up(size), MAP_POPULATE);
}

static void detach(char *p, size_t size)
{
	memory_unmap(p, round_up(size));
}

static int remove_name(unsigned int name)
{
	return memory_removed(unlink(path_of(name)), "unlink");
}

const struct memory memory_hugetlbfs = {
	.name = "hugetlbfs",
	.open = reserve,
	.close = huge_pages_give_back,
	.create = create,
	.attach = attach,
	.detach = detach,
	.remove = remove_name,
};

const struct memory memory_hugetlbfs_populate = {
	.name = "hugetlbfs-populate",
	.open = reserve,
	.close = huge_pages_give_back,
	.create = create_populate,
	.attach = attach_populate,
	.detach = detach,
	.remove = remove_name,
};
