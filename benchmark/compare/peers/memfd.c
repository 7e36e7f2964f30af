// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memfd_create(2).  It has no names: who shares it gets the descriptor, by
 * inheritance or over a socket, which is not counted here.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"
#include "compare/peers.h"

#define NAMES 16

static int files[NAMES];

static char *map(unsigned int name, size_t size, int flags)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		       files[name], 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

static char *create(unsigned int name, size_t size)
{
	errno = ENOSPC;
	check(name < NAMES, "names of memfd");
	files[name] = memfd_create("npheap-compare", MFD_CLOEXEC);
	check(files[name] >= 0, "memfd_create");
	check(!ftruncate(files[name], size), "ftruncate");
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

static void remove_name(unsigned int name)
{
	close(files[name]);
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
	.create = create,
	.attach = attach_populate,
	.detach = memory_unmap,
	.remove = remove_name,
};
