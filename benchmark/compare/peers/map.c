// SPDX-License-Identifier: GPL-2.0-or-later
/* What all memory of files has in common. */
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"
#include "compare/peers.h"

char *memory_map(int fd, size_t size, int flags)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		       fd, 0);

	check(p != MAP_FAILED, "mmap");
	close(fd);
	return p;
}

void memory_unmap(char *p, size_t size)
{
	check(!munmap(p, size), "munmap");
}

unsigned int own_name(unsigned int name)
{
	static unsigned int first;

	/* Not a system call each time: this is a part of what is measured. */
	if (!first)
		first = (unsigned int)getpid() << 10;
	return first + name;
}
