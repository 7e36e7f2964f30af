// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory of NP-Heap by its library, and by its system calls alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"
#include "compare/peers.h"
#include "compare/peers/npheap.h"

/* The names of the comparison are keys from here on. */
#define FIRST_KEY 0x3e3000000ULL

int heap_fd = -1;
struct npheap *heap;

static uint64_t key_of(unsigned int name)
{
	return FIRST_KEY + own_name(name);
}

int heap_join(void)
{
	if (heap)
		return 0;
	heap_fd = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	if (heap_fd < 0)
		return -errno;
	return npheap_open(NULL, 0, &heap);
}

/* ----------------------------------------------------------------- classic */

static char *alloc(unsigned int name, size_t size)
{
	char *p = npheap_alloc(heap_fd, key_of(name), size);

	check(p != MAP_FAILED, "npheap_alloc");
	return p;
}

/* It does not say whether there was one. */
static int delete(unsigned int name)
{
	check(!npheap_delete(heap_fd, key_of(name)), "npheap_delete");
	return 0;
}

static char *find(unsigned int name, size_t *size, size_t wanted)
{
	long found = npheap_getsize(heap_fd, key_of(name));

	check(found >= 0, "npheap_getsize");
	*size = found;
	return found && (!wanted || *size == wanted) ? alloc(name, *size) :
						       NULL;
}

static void make(unsigned int first, unsigned int n, size_t size)
{
	struct npheap_create *items = calloc(n, sizeof(*items));
	unsigned int i;

	if (!items)
		die("memory");
	for (i = 0; i < n; i++)
		items[i] = (struct npheap_create){
			.key = key_of(first + i),
			.size = size,
			.flags = NPHEAP_CREATE_SPARSE,
		};
	check(npheap_create_many(heap, items, n) == (int)n,
	      "npheap_create_many");
	free(items);
}

const struct memory memory_npheap = {
	.name = "npheap",
	.open = heap_join,
	.create = alloc,
	.attach = alloc,
	.detach = memory_unmap,
	.remove = delete,
	.find = find,
	.make = make,
};

/* ---------------------------------------------------------- mapped only once */

static const struct npheap_mapping *attached;

static char *attach(unsigned int name, size_t size)
{
	errno = -npheap_attach(heap, key_of(name), size, &attached);
	check(!errno, "npheap_attach");
	return attached->addr;
}

static void detach(char *p, size_t size)
{
	(void)p;
	(void)size;
	npheap_detach(heap, attached);
}

static int remove_name(unsigned int name)
{
	int err = npheap_remove(heap, key_of(name));

	errno = -err;
	check(!err || err == -ENOENT, "npheap_remove");
	return err;
}

const struct memory memory_npheap_attach = {
	.name = "npheap-attach",
	.open = heap_join,
	.create = attach,
	.attach = attach,
	.detach = detach,
	.remove = remove_name,
};

/* ------------------------------------------------------------ without library */

static char *map_with(unsigned int name, size_t size, int flags)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		       heap_fd, key_of(name) * sysconf(_SC_PAGESIZE));

	check(p != MAP_FAILED, NPHEAP_DEVICE);
	return p;
}

static char *map(unsigned int name, size_t size)
{
	return map_with(name, size, 0);
}

static char *map_populate(unsigned int name, size_t size)
{
	return map_with(name, size, MAP_POPULATE);
}

static struct npheap_cmd command(unsigned long number, unsigned int name)
{
	struct npheap_cmd cmd = {
		.offset = key_of(name) * sysconf(_SC_PAGESIZE),
	};

	check(ioctl(heap_fd, number, &cmd) >= 0, NPHEAP_DEVICE);
	return cmd;
}

static int delete_by_ioctl(unsigned int name)
{
	command(NPHEAP_IOCTL_DELETE, name);
	return 0;
}

static char *find_by_ioctl(unsigned int name, size_t *size, size_t wanted)
{
	*size = command(NPHEAP_IOCTL_GETSIZE, name).size;
	return *size && (!wanted || *size == wanted) ? map(name, *size) : NULL;
}

const struct memory memory_npheap_ioctl = {
	.name = "npheap-ioctl",
	.open = heap_join,
	.create = map,
	.attach = map,
	.detach = memory_unmap,
	.remove = delete_by_ioctl,
	.find = find_by_ioctl,
};

const struct memory memory_npheap_populate = {
	.name = "npheap-populate",
	.open = heap_join,
	.create = map_populate,
	.attach = map_populate,
	.detach = memory_unmap,
	.remove = delete_by_ioctl,
};
