// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap get, npheap cat: an object to a file, under the lock. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"

enum { OPT_NO_LOCK = 0x200 };

/* ---------------------------------------------------------------- target -- */

/**
 * struct target - where get stores
 * @fd: the file
 * @path: of it; NULL: standard output
 * @holes: it can have holes
 * @cut: it has content of its own, which goes when there is other
 * @temporary: its name until it is whole; empty: it was opened as it is
 */
struct target {
	int fd;
	const char *path;
	bool holes;
	bool cut;
	char temporary[4096];
};

/* For handlers: what is to be removed if the program is stopped. */
static struct target *unfinished;

static void remove_and_die(int sig)
{
	if (unfinished)
		unlink(unfinished->temporary);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void catch_signals(struct target *target)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };
	struct sigaction action = { .sa_handler = remove_and_die };
	struct sigaction old;
	size_t i;

	unfinished = target;
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigaction(signals[i], NULL, &old) &&
		    old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

/*
 * A regular file of one name is replaced when its content is whole; a device, a
 * pipe, a link, and a file with other names are written to as they are.
 */
static void open_target(struct target *target, const char *path)
{
	mode_t mask = umask(0), mode = 0666 & ~mask;
	struct stat st = { .st_uid = -1, .st_gid = -1 };

	umask(mask);
	target->path = path;
	target->fd = STDOUT_FILENO;
	if (!path || !strcmp(path, "-"))
		return;
	if (lstat(path, &st)) {
		if (errno != ENOENT)
			err(EXIT_FAILURE, "%s", path);
	} else if (S_ISREG(st.st_mode) && st.st_nlink == 1) {
		mode = st.st_mode & 0777;
	} else {
		target->fd = open(path, O_WRONLY | O_CLOEXEC);
		if (target->fd < 0)
			err(EXIT_FAILURE, "cannot open %s", path);
		target->cut = !fstat(target->fd, &st) && S_ISREG(st.st_mode);
		return;
	}
	if (snprintf(target->temporary, sizeof(target->temporary), "%s.XXXXXX",
		     path) >= (int)sizeof(target->temporary))
		errx(EXIT_FAILURE, "%s: the name is too long", path);
	target->fd = mkostemp(target->temporary, O_CLOEXEC);
	if (target->fd < 0)
		err(EXIT_FAILURE, "cannot create a file beside %s", path);
	catch_signals(target);
	/* As it was, as far as that may be. */
	if (fchown(target->fd, st.st_uid, st.st_gid))
		errno = 0;
	if (fchmod(target->fd, mode))
		errno = 0;
	target->holes = true;
}

static int close_target(struct target *target, bool whole)
{
	int rc = 0;

	if (!target->temporary[0])
		return 0;
	if (close(target->fd) || (whole && rename(target->temporary,
						   target->path))) {
		warn("cannot write %s", target->path);
		whole = false;
		rc = -1;
	}
	if (!whole)
		unlink(target->temporary);
	unfinished = NULL;
	return rc;
}

/* ------------------------------------------------------------------- get -- */

/**
 * struct get - the options
 * @locked: take the lock
 * @size: how many bytes; 0: all
 */
struct get {
	struct key_lock lock;
	struct target target;
	bool locked;
	uint64_t size;
};

/* How many bytes from @at on are alike, all there or all missing. */
static uint64_t next_run(char *addr, uint64_t at, uint64_t size, bool sparse,
			 bool *there)
{
	static unsigned char pages[CHUNK / 4096];
	uint64_t page = sysconf(_SC_PAGESIZE);
	uint64_t n = size - at < CHUNK ? size - at : CHUNK;
	size_t i;

	*there = true;
	/* It looks at the page cache, which is what the object's memory is. */
	if (!sparse || mincore(addr + at, n, pages))
		return n;
	*there = pages[0] & 1;
	for (i = 1; i * page < n; i++)
		if ((pages[i] & 1) != *there)
			return i * page;
	return n;
}

static int write_out(int fd, const char *data, uint64_t size)
{
	return write_all(fd, data, size) ? -errno : 0;
}

static int write_hole(const struct target *target, uint64_t size)
{
	static const char zeroes[1 << 16];
	uint64_t n;
	int rc = 0;

	if (target->holes)
		return lseek(target->fd, size, SEEK_CUR) < 0 ? -errno : 0;
	for (; size && !rc; size -= n) {
		n = size < sizeof(zeroes) ? size : sizeof(zeroes);
		rc = write_out(target->fd, zeroes, n);
	}
	return rc;
}

static int copy_out(struct get *get, char *addr, uint64_t size, bool sparse)
{
	struct progress progress;
	uint64_t at, n;
	bool there;
	int rc = 0;

	progress_begin(&progress, size);
	for (at = 0; at < size && !rc; at += n) {
		n = next_run(addr, at, size, sparse, &there);
		rc = there ? write_out(get->target.fd, addr + at, n) :
			     write_hole(&get->target, n);
		progress_add(&progress, n);
	}
	/* A hole in the end is not written. */
	if (!rc && get->target.holes && ftruncate(get->target.fd, size))
		rc = -errno;
	progress_end(&progress);
	return rc;
}

static const char *explain_get(int rc)
{
	if (rc == -EFAULT)
		return "the object became smaller, or there was no memory for a page of it";
	if (rc == -EPIPE || rc == -ENOSPC || rc == -EDQUOT || rc == -EIO ||
	    rc == -EFBIG)
		return strerror(-rc);
	return explain(rc);
}

static int get_locked(struct get *get)
{
	const struct npheap_mapping *mapping;
	struct npheap_stat stat;
	uint64_t size;
	int rc = npheap_stat(get->lock.heap, get->lock.key, &stat);

	if (rc)
		return rc;
	size = get->size ? get->size : stat.size;
	if (size > stat.size) {
		warnx("key %" PRIu64 ": has %" PRIu64 " bytes only",
		      get->lock.key, (uint64_t)stat.size);
		return -ERANGE;
	}
	/* It is mapped as far as it may grow, which is as far as it is now. */
	rc = npheap_attach(get->lock.heap, get->lock.key, 0, &mapping);
	if (rc)
		return rc;
	if (mapping->size < size)
		rc = -EFAULT;
	else if (get->target.cut && ftruncate(get->target.fd, 0))
		rc = -errno;
	else
		rc = copy_out(get, mapping->addr, size,
			      stat.flags & NPHEAP_CREATE_SPARSE);
	npheap_detach(get->lock.heap, mapping);
	return rc;
}

static int get_object(struct get *get)
{
	int rc;

	if (get->locked) {
		get->lock.flags |= NPHEAP_SHARED;
		rc = take_lock(&get->lock);
		if (rc)
			return rc;
	}
	rc = get_locked(get);
	if (rc && rc != -ERANGE)
		warnx("key %" PRIu64 ": %s", get->lock.key, explain_get(rc));
	/* The mark stays: who only read has repaired nothing. */
	if (get->locked)
		drop_lock(&get->lock, false);
	return rc;
}

/* Returns the first argument that is no option. */
static int get_options(struct get *get, int argc, char **argv,
		       const char *letters)
{
	static const struct option options[] = {
		LOCK_LONG_OPTIONS,
		{ "no-lock", no_argument, NULL, OPT_NO_LOCK },
		{ "size", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	get->locked = true;
	get->lock.deadline = NPHEAP_FOREVER;
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (c == 'h')
			print_help();
		if (c == OPT_NO_LOCK)
			get->locked = false;
		else if (c == 's' && strchr(letters, 's'))
			get->size = parse_size(optarg);
		else if (!lock_option(&get->lock, c, optarg))
			usage_error("see the options of this command");
	}
	return optind;
}

int cmd_get(int argc, char **argv)
{
	struct get get = { 0 };
	int first = get_options(&get, argc, argv, LOCK_SHORT_OPTIONS "s:h"), rc;

	if (argc - first < 1 || argc - first > 2)
		usage_error("get takes a key, and a file where that is not standard output");
	get.lock.key = parse_key(argv[first]);
	get.lock.heap = open_heap(get.locked ? 0 : NPHEAP_RDONLY);
	open_target(&get.target, argv[first + 1]);
	rc = get_object(&get);
	if (close_target(&get.target, !rc))
		rc = -EIO;
	npheap_close(get.lock.heap);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int cmd_cat(int argc, char **argv)
{
	struct get get = { .target.fd = STDOUT_FILENO };
	int first = get_options(&get, argc, argv, LOCK_SHORT_OPTIONS "h");
	int status = EXIT_SUCCESS;
	uint64_t *keys;
	size_t count, i;

	keys = parse_keys(argc - first, argv + first, &count);
	get.lock.heap = open_heap(get.locked ? 0 : NPHEAP_RDONLY);
	for (i = 0; i < count; i++) {
		get.lock.key = keys[i];
		if (get_object(&get))
			status = EXIT_FAILURE;
	}
	npheap_close(get.lock.heap);
	free(keys);
	return status;
}
