// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LD_PRELOAD this, and what a program maps of anonymous memory is mapped of
 * objects of the heap: each has a key of its own, which is deleted at once, so
 * that the memory goes with the last mapping, as anonymous memory does.  That is
 * how programs that know nothing of the heap are made to exercise its mappings.
 *
 * What the heap has no word for (huge page flags, stacks, executable memory, more
 * than LARGEST) and what the C library maps for itself is left as it is.
 */
/* Which would rename mmap. */
#undef _FILE_OFFSET_BITS

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <npheap.h>

#define LARGEST ((size_t)64 << 20)

/* Processes number theirs apart, and a child goes on from its maker's. */
static uint64_t next_key(void)
{
	static uint32_t count;

	return (uint64_t)getpid() << 28 |
	       (__atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) & 0xfffffff);
}

static void *map(void *addr, size_t length, int prot, int flags, int fd,
		 off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

static void *map_object(void *addr, size_t length, int prot, int flags)
{
	uint64_t key = next_key();
	int dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC), error;
	void *mapped;

	if (dev < 0)
		return MAP_FAILED;
	mapped = map(addr, length, prot, flags & ~MAP_ANONYMOUS, dev,
		     key * sysconf(_SC_PAGESIZE));
	error = errno == ENOSPC ? ENOMEM : errno;
	npheap_delete(dev, key);
	close(dev);
	errno = error;
	return mapped;
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (!(flags & MAP_ANONYMOUS) || prot & PROT_EXEC || length > LARGEST ||
	    flags & (MAP_HUGETLB | MAP_GROWSDOWN | MAP_STACK))
		return map(addr, length, prot, flags, fd, offset);
	return map_object(addr, length, prot, flags);
}

void *mmap64(void *addr, size_t length, int prot, int flags, int fd,
	     off_t offset)
{
	return mmap(addr, length, prot, flags, fd, offset);
}
