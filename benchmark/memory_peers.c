// SPDX-License-Identifier: GPL-2.0-or-later
/* What processes share memory by: objects, and what else there is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <npheap.h>

#include "memory.h"

void touch(char *p, size_t size)
{
	volatile char *byte = p;
	size_t i;

	for (i = 0; i < size; i += page)
		byte[i] = 1;
}

void detach(char *p, size_t size)
{
	check(!munmap(p, size), "munmap");
}

static char *map_file(int fd, size_t size, int flags)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		       fd, 0);

	check(p != MAP_FAILED, "mmap");
	close(fd);
	return p;
}

/* -------------------------------------------------------------- shm_open() */

struct name {
	char text[64];
};

static struct name shm_name(unsigned int name)
{
	struct name result;

	snprintf(result.text, sizeof(result.text), "/npheap-memory-%u", name);
	return result;
}

static int shm_new(unsigned int name, size_t size)
{
	int fd = shm_open(shm_name(name).text, O_RDWR | O_CREAT | O_EXCL, 0600);

	check(fd >= 0, "shm_open");
	check(!ftruncate(fd, size), "ftruncate");
	return fd;
}

void shm_make(unsigned int name, size_t size)
{
	close(shm_new(name, size));
}

static char *shm_create(unsigned int name, size_t size)
{
	return map_file(shm_new(name, size), size, 0);
}

static char *shm_attach(unsigned int name, size_t size)
{
	int fd = shm_open(shm_name(name).text, O_RDWR, 0600);

	check(fd >= 0, "shm_open");
	return map_file(fd, size, 0);
}

static char *shm_attach_populate(unsigned int name, size_t size)
{
	int fd = shm_open(shm_name(name).text, O_RDWR, 0600);

	check(fd >= 0, "shm_open");
	return map_file(fd, size, MAP_POPULATE);
}

static void shm_remove(unsigned int name)
{
	check(!shm_unlink(shm_name(name).text), "shm_unlink");
}

const struct memory by_shm = {
	"shm", shm_create, shm_attach, shm_remove,
};
const struct memory by_shm_populate = {
	"shm-populate", shm_create, shm_attach_populate, shm_remove,
};

/* ------------------------------------------- tmpfs mounted with huge=always */

static char huge_tmpfs[] = "/tmp/npheap-memory.XXXXXX";

int huge_tmpfs_mount(void)
{
	check(mkdtemp(huge_tmpfs) != NULL, huge_tmpfs);
	if (!mount("tmpfs", huge_tmpfs, "tmpfs", 0, "huge=always"))
		return 1;
	fprintf(stderr, "memory: no tmpfs with huge pages: %s\n",
		strerror(errno));
	rmdir(huge_tmpfs);
	return 0;
}

void huge_tmpfs_unmount(void)
{
	umount2(huge_tmpfs, MNT_DETACH);
	rmdir(huge_tmpfs);
}

static struct name huge_name(unsigned int name)
{
	struct name result;

	snprintf(result.text, sizeof(result.text), "%s/%u", huge_tmpfs, name);
	return result;
}

static char *huge_create(unsigned int name, size_t size)
{
	int fd = open(huge_name(name).text, O_RDWR | O_CREAT | O_EXCL, 0600);

	check(fd >= 0, huge_tmpfs);
	check(!ftruncate(fd, size), "ftruncate");
	return map_file(fd, size, 0);
}

static char *huge_attach(unsigned int name, size_t size)
{
	int fd = open(huge_name(name).text, O_RDWR);

	check(fd >= 0, huge_tmpfs);
	return map_file(fd, size, 0);
}

static void huge_remove(unsigned int name)
{
	check(!unlink(huge_name(name).text), "unlink");
}

const struct memory by_huge_tmpfs = {
	"tmpfs-huge", huge_create, huge_attach, huge_remove,
};

/* ----------------------------------------------------------------- objects */


static char *heap_attach(unsigned int name, size_t size)
{
	char *p = npheap_alloc(dev, FIRST_KEY + name, size);

	check(p != MAP_FAILED, "npheap_alloc");
	return p;
}

static void heap_remove(unsigned int name)
{
	check(!npheap_delete(dev, FIRST_KEY + name), "npheap_delete");
}

const struct memory by_heap = {
	"npheap", heap_attach, heap_attach, heap_remove,
};
