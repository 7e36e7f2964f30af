// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memfd_create(2).  It has no names: who shares it gets the descriptor, by
 * inheritance or over a socket, which is not counted here.
 */
#include <errno.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"
#include "compare/peers.h"
#include "compare/peers/huge_pages.h"

#define NAMES 16

static int files[NAMES];

static void create_file(unsigned int name, size_t size, unsigned int flags)
{
	errno = ENOSPC;
	check(name < NAMES, "names of memfd");
	files[name] = memfd_create("npheap-compare", MFD_CLOEXEC | flags);
	check(files[name] >= 0, "memfd_create");
	check(!ftruncate(files[name], size), "ftruncate");
}

static char *map(unsigned int name, size_t size, int flags)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		       files[name], 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

static char *create(unsigned int name, size_t size)
{
	create_file(name, size, 0);
	return map(name, size, 0);
}

static char *create_populate(unsigned int name, size_t size)
{
	create_file(name, size, 0);
	return map(name, size, MAP_POPULATE);
}

static char *create_huge(unsigned int name, size_t size)
{
	create_file(name, size, MFD_HUGETLB | MFD_HUGE_2MB);
	return map(name, size, 0);
}

static char *attach(unsigned int name, size_t size)
{
	return map(name, size, 0);
}

static char *attach_populate(unsigned int name, size_t size)
{
	return map(name, size, MAP_POPULATE);
}

static int remove_name(unsigned int name)
{
	return memory_removed(close(files[name]), "close");
}

const struct memory memory_memfd = {
	.name = "memfd",
	.create = create,
	.attach = attach,
	.detach = memory_unmap,
	.remove = remove_name,
};

const struct memory memory_memfd_populate = {
	.name = "memfd-populate",
	.create = create_populate,
	.attach = attach_populate,
	.detach = memory_unmap,
	.remove = remove_name,
};

const struct memory memory_memfd_huge = {
	.name = "memfd-huge",
	.open = huge_pages_reserve,
	.close = huge_pages_give_back,
	.create = create_huge,
	.attach = attach,
	.detach = memory_unmap,
	.remove = remove_name,
};
