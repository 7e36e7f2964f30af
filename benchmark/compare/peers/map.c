// SPDX-License-Identifier: GPL-2.0-or-later
/* What all memory of files has in common. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

char *memory_map_found(int fd, size_t *size, size_t wanted)
{
	struct stat st;

	*size = 0;
	if (fd < 0) {
		check(errno == ENOENT, "open");
		return NULL;
	}
	check(!fstat(fd, &st), "fstat");
	*size = st.st_size;
	if (!wanted || *size == wanted)
		return memory_map(fd, *size, 0);
	close(fd);
	return NULL;
}

int memory_removed(int result, const char *what)
{
	if (!result)
		return 0;
	check(errno == ENOENT, what);
	return -ENOENT;
}

void memory_unmap(char *p, size_t size)
{
	check(!munmap(p, size), "munmap");
}

static unsigned int first_name;

void own_names_from(unsigned int first)
{
	first_name = first;
}

unsigned int own_name(unsigned int name)
{
	return first_name + name;
}
