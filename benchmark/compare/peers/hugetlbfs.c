// SPDX-License-Identifier: GPL-2.0-or-later
/* Files on hugetlbfs, of whole huge pages, that were set aside before. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"
#include "undo.h"
#include "compare/peers.h"

#define TOP "/dev/hugepages"
#define POOL "/proc/sys/vm/nr_hugepages"
#define HUGE (2UL << 20)
/* For the largest size that is measured, and one that is being removed. */
#define PAGES (2 * 64UL * 1024 * 1024 / HUGE)

static unsigned long before;

static unsigned long pool(void)
{
	unsigned long pages = 0;
	FILE *file = fopen(POOL, "re");

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages;
}

static int set_pool(unsigned long pages)
{
	FILE *file = fopen(POOL, "we");

	if (!file)
		return -errno;
	fprintf(file, "%lu", pages);
	return fclose(file) ? -errno : 0;
}

static int reserve(void)
{
	int err;

	if (access(TOP, W_OK))
		return -errno;
	before = pool();
	if (before >= PAGES)
		return 0;
	err = undo_file(POOL);
	if (!err)
		err = set_pool(PAGES);
	if (!err && pool() < PAGES)
		err = -ENOMEM;
	if (err)
		set_pool(before);
	return err;
}

static void give_back(void)
{
	if (before < PAGES)
		set_pool(before);
}

static const char *path_of(unsigned int name)
{
	static char path[64];

	snprintf(path, sizeof(path), TOP "/npheap-compare-%u",
		 own_name(name));
	return path;
}

static size_t round_up(size_t size)
{
	return (size + HUGE - 1) & ~(HUGE - 1);
}

static char *create(unsigned int name, size_t size)
{
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		      0600);

	check(fd >= 0, TOP);
	check(!ftruncate(fd, round_up(size)), "ftruncate");
	return memory_map(fd, round_up(size), 0);
}

static char *attach(unsigned int name, size_t size)
{
	int fd = open(path_of(name), O_RDWR | O_CLOEXEC);

	check(fd >= 0, TOP);
	return memory_map(fd, round_up(size), 0);
}

static void detach(char *p, size_t size)
{
	memory_unmap(p, round_up(size));
}

static void remove_name(unsigned int name)
{
	check(!unlink(path_of(name)), "unlink");
}

const struct memory memory_hugetlbfs = {
	.name = "hugetlbfs",
	.open = reserve,
	.close = give_back,
	.create = create,
	.attach = attach,
	.detach = detach,
	.remove = remove_name,
};
