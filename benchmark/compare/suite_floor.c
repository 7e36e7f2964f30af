// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the kernel's own parts cost, which no system can do without: whatever
 * maps memory and touches it has paid this.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compare/suites.h"

static int file;

static int open_file(struct bench *b)
{
	(void)b;
	file = memfd_create("floor", MFD_CLOEXEC);
	check(file >= 0, "memfd_create");
	check(!ftruncate(file, page), "ftruncate");
	return 0;
}

static void close_file(struct bench *b)
{
	(void)b;
	close(file);
}

static void empty_call(struct bench *b)
{
	(void)b;
	syscall(SYS_getppid);
}

static void open_and_close(struct bench *b)
{
	(void)b;
	close(open("/dev/null", O_RDWR | O_CLOEXEC));
}

static volatile char *map(void)
{
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

static void map_and_unmap(struct bench *b)
{
	(void)b;
	munmap((void *)map(), page);
}

static void map_touch_and_unmap(struct bench *b)
{
	volatile char *p = map();

	(void)b;
	*p = 1;
	munmap((void *)p, page);
}

static const struct bench floors[] = {
	{ .name = "system-call", .op = empty_call },
	{ .name = "open+close", .op = open_and_close },
	{ .name = "mmap+munmap", .op = map_and_unmap },
	{ .name = "mmap+touch+munmap", .op = map_touch_and_unmap },
};

static void run(void)
{
	size_t i;

	for (i = 0; i < sizeof(floors) / sizeof(floors[0]); i++) {
		struct bench b = floors[i];

		b.system = "kernel";
		b.setup = open_file;
		b.teardown = close_file;
		compare(&b, 1);
	}
}

const struct suite suite_floor = {
	.name = "floor",
	.about = "what the kernel's own parts cost, of an open file",
	.run = run,
};
