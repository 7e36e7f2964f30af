// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Locks of files: of a byte, by a process (fcntl) or by an open file
 * (fcntl-ofd), and of a whole file (flock).  The files are in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"
#include "compare/peers.h"

static int new_file(void)
{
	int fd = memfd_create("npheap-compare", MFD_CLOEXEC);

	check(fd >= 0, "memfd_create");
	return fd;
}

/* The same file, opened by this process itself. */
static int opened_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	check(fd >= 0, path);
	return fd;
}

static inline void set_byte(int fd, int command, unsigned int i, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = i, .l_len = 1,
	};

	if (fcntl(fd, command, &lock))
		die("fcntl");
}

/* ------------------------------------------------------------ by a process */

static int byte_file;

static int fcntl_open(unsigned int n)
{
	(void)n;
	byte_file = new_file();
	return 0;
}

static void fcntl_close(void)
{
	close(byte_file);
}

static int fcntl_lock(unsigned int i)
{
	set_byte(byte_file, F_SETLKW, i, F_WRLCK);
	return 0;
}

static void fcntl_unlock(unsigned int i)
{
	set_byte(byte_file, F_SETLK, i, F_UNLCK);
}

static void fcntl_pair(void)
{
	fcntl_lock(0);
	fcntl_unlock(0);
}

const struct lock lock_fcntl = {
	.name = "fcntl",
	.end = LOCK_FREED,
	.open = fcntl_open,
	.close = fcntl_close,
	.lock = fcntl_lock,
	.unlock = fcntl_unlock,
	.pair = fcntl_pair,
};

/* --------------------------------------------------------- by an open file */

static int ofd_file;

static int ofd_open(unsigned int n)
{
	(void)n;
	ofd_file = new_file();
	return 0;
}

static void ofd_close(void)
{
	close(ofd_file);
}

static void ofd_join(void)
{
	ofd_file = opened_again(ofd_file);
}

static int ofd_lock(unsigned int i)
{
	set_byte(ofd_file, F_OFD_SETLKW, i, F_WRLCK);
	return 0;
}

static void ofd_unlock(unsigned int i)
{
	set_byte(ofd_file, F_OFD_SETLK, i, F_UNLCK);
}

static void ofd_pair(void)
{
	ofd_lock(0);
	ofd_unlock(0);
}

const struct lock lock_ofd = {
	.name = "fcntl-ofd",
	.end = LOCK_FREED,
	.open = ofd_open,
	.close = ofd_close,
	.join = ofd_join,
	.lock = ofd_lock,
	.unlock = ofd_unlock,
	.pair = ofd_pair,
};

/* ------------------------------------------------------------ of whole files */

#define FILES 16

static int files[FILES];
static unsigned int n_files;

static int flock_open(unsigned int n)
{
	unsigned int i;

	if (n > FILES)
		return -EMFILE;
	n_files = n;
	for (i = 0; i < n; i++)
		files[i] = new_file();
	return 0;
}

static void flock_close(void)
{
	unsigned int i;

	for (i = 0; i < n_files; i++)
		close(files[i]);
}

static void flock_join(void)
{
	unsigned int i;

	for (i = 0; i < n_files; i++)
		files[i] = opened_again(files[i]);
}

static int flock_lock(unsigned int i)
{
	if (flock(files[i], LOCK_EX))
		die("flock");
	return 0;
}

static void flock_unlock(unsigned int i)
{
	if (flock(files[i], LOCK_UN))
		die("flock");
}

static void flock_pair(void)
{
	flock_lock(0);
	flock_unlock(0);
}

const struct lock lock_flock = {
	.name = "flock",
	.end = LOCK_FREED,
	.open = flock_open,
	.close = flock_close,
	.join = flock_join,
	.lock = flock_lock,
	.unlock = flock_unlock,
	.pair = flock_pair,
};
