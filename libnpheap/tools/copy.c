// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * npheap put, get, cat: objects to files and back, under the lock.
 *
 * Pages of an object are touched by read(2) and write(2) only.  Where one is
 * not there, because somebody made the object smaller or a sparse one got no
 * memory, that is EFAULT and not SIGBUS.
 */
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
#include <time.h>
#include <unistd.h>

#include "tool.h"

/* How much goes at once, between two looks at the clock. */
#define CHUNK (4u << 20)

/* ------------------------------------------------------------- progress -- */

/**
 * struct progress - a bar on the terminal, once it takes long
 * @done: bytes so far
 * @total: of so many
 * @next: when it is drawn next, in ns; 0: never
 * @drawn: it was
 */
struct progress {
	uint64_t done;
	uint64_t total;
	uint64_t next;
	bool drawn;
};

static void progress_begin(struct progress *progress, uint64_t total)
{
	*progress = (struct progress){ .total = total };
	if (isatty(STDERR_FILENO))
		progress->next = clock_ns(CLOCK_MONOTONIC) + 500000000;
}

static void progress_add(struct progress *progress, uint64_t bytes)
{
	static const char bar[] = "########################################";
	char done[SIZE_TEXT], total[SIZE_TEXT];
	uint64_t now;
	int width;

	progress->done += bytes;
	if (!progress->next)
		return;
	now = clock_ns(CLOCK_MONOTONIC);
	if (now < progress->next)
		return;
	progress->next = now + 100000000;
	progress->drawn = true;
	width = (double)progress->done / progress->total * 40;
	fprintf(stderr, "\r[%-40.*s] %3d%% %s of %s ", width, bar,
		(int)((double)progress->done / progress->total * 100),
		human_size(progress->done, done),
		human_size(progress->total, total));
}

static void progress_end(const struct progress *progress)
{
	if (progress->drawn)
		fprintf(stderr, "\r\033[K");
}

/* ---------------------------------------------------------- source of put -- */

/**
 * struct source - what put stores
 * @fd: a file that has holes, and can be read at any place
 * @start: where in it
 * @size: how much, in bytes
 */
struct source {
	int fd;
	off_t start;
	uint64_t size;
};

static ssize_t read_retry(int fd, void *buffer, size_t size)
{
	ssize_t n;

	do {
		n = read(fd, buffer, size);
	} while (n < 0 && errno == EINTR);
	return n;
}

static int write_all(int fd, const char *data, size_t size)
{
	ssize_t n;

	for (; size; data += n, size -= n) {
		n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -1;
	}
	return 0;
}

/* What cannot tell its size, as a pipe, is read to its end first. */
static void spool(struct source *source)
{
	int fd = memfd_create("npheap-put", MFD_CLOEXEC);
	char *buffer = xmalloc(1 << 20);
	ssize_t n;

	if (fd < 0)
		err(EXIT_FAILURE, "cannot keep the input");
	source->start = 0;
	source->size = 0;
	while ((n = read_retry(source->fd, buffer, 1 << 20)) > 0) {
		if (write_all(fd, buffer, n))
			err(EXIT_FAILURE, "cannot keep the input");
		source->size += n;
	}
	if (n < 0)
		err(EXIT_FAILURE, "cannot read the input");
	free(buffer);
	source->fd = fd;
}

static void open_source(struct source *source, const char *path)
{
	struct stat st;
	off_t end;

	source->fd = STDIN_FILENO;
	if (path && strcmp(path, "-"))
		source->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (source->fd < 0 || fstat(source->fd, &st))
		err(EXIT_FAILURE, "cannot open %s", path ? path : "-");
	source->start = lseek(source->fd, 0, SEEK_CUR);
	end = lseek(source->fd, 0, SEEK_END);
	/* Files of /proc and the like have size 0, whatever is in them. */
	if (source->start < 0 || end <= source->start ||
	    !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
		if (source->start >= 0)
			lseek(source->fd, source->start, SEEK_SET);
		spool(source);
	} else {
		source->size = end - source->start;
	}
	if (!source->size)
		errx(EXIT_FAILURE, "the input is empty, and an object is not");
}

/*
 * The data that comes next from @at on; false: none.  A file system without
 * holes says that all is data.
 */
static bool next_data(const struct source *source, uint64_t at,
		      uint64_t *begin, uint64_t *end)
{
	off_t data, hole;

	if (at >= source->size)
		return false;
	*begin = at;
	*end = source->size;
	data = lseek(source->fd, source->start + at, SEEK_DATA);
	if (data < 0)
		return errno != ENXIO;
	hole = lseek(source->fd, data, SEEK_HOLE);
	*begin = data - source->start;
	if (hole >= 0 && (uint64_t)(hole - source->start) < source->size)
		*end = hole - source->start;
	return *begin < source->size;
}

static bool has_holes(const struct source *source)
{
	uint64_t begin, end;

	return !next_data(source, 0, &begin, &end) || begin > 0 ||
	       end < source->size;
}

/* ------------------------------------------------------------------- put -- */

/**
 * struct put - the options
 * @replace: delete an object that there is
 * @sparse: let a new object be sparse
 * @max_size: of a new object, in bytes; 0: its size
 */
struct put {
	struct key_lock lock;
	struct source source;
	bool replace;
	bool sparse;
	uint64_t max_size;
};

static uint64_t round_up(uint64_t size)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

/* 0, or a negative errno; @fresh: nothing but zeroes is in it. */
static int make_room(struct put *put, bool *fresh)
{
	struct npheap *heap = put->lock.heap;
	uint64_t key = put->lock.key, size = round_up(put->source.size);
	struct npheap_stat stat;
	int rc = npheap_stat(heap, key, &stat);

	*fresh = rc == -ENOENT;
	if (!rc && put->replace) {
		*fresh = true;
		rc = npheap_remove(heap, key);
		if (rc)
			return rc;
	}
	if (*fresh) {
		put->sparse |= has_holes(&put->source);
		return npheap_create(heap, key, size, put->max_size,
				     put->sparse ? NPHEAP_CREATE_SPARSE : 0);
	}
	if (rc || stat.size == size)
		return rc;
	return npheap_resize(heap, key, size, 0);
}

static int read_into(int fd, off_t at, char *addr, uint64_t size,
		     struct progress *progress)
{
	ssize_t n;

	for (; size; addr += n, at += n, size -= n) {
		n = pread(fd, addr, size < CHUNK ? size : CHUNK, at);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -errno;
		else if (!n)
			return -ENODATA;
		progress_add(progress, n);
	}
	return 0;
}

/*
 * Zeroes, in a part of an object that others may map: where the memory cannot
 * be given back it is written.
 */
static int clear(struct put *put, char *addr, uint64_t from, uint64_t to,
		 struct progress *progress)
{
	uint64_t page = sysconf(_SC_PAGESIZE), first = round_up(from);
	uint64_t last = to / page * page;
	int rc, zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	if (zero < 0)
		return -errno;
	if (first < last && !npheap_punch(put->lock.heap, put->lock.key, first,
					  last - first, 0)) {
		progress_add(progress, last - first);
		rc = read_into(zero, 0, addr + from, first - from, progress);
		from = last;
	} else {
		rc = 0;
	}
	if (!rc)
		rc = read_into(zero, 0, addr + from, to - from, progress);
	close(zero);
	return rc;
}

static int fill(struct put *put, char *addr, bool fresh)
{
	uint64_t at, begin, end, size = round_up(put->source.size);
	struct progress progress;
	int rc = 0;

	progress_begin(&progress, size);
	for (at = 0; !rc && next_data(&put->source, at, &begin, &end);
	     at = end) {
		if (!fresh && begin > at)
			rc = clear(put, addr, at, begin, &progress);
		if (!rc)
			rc = read_into(put->source.fd,
				       put->source.start + begin, addr + begin,
				       end - begin, &progress);
	}
	if (!rc && !fresh && at < size)
		rc = clear(put, addr, at, size, &progress);
	progress_end(&progress);
	/* What is cut off a file looks like a hole. */
	if (!rc && lseek(put->source.fd, 0, SEEK_END) <
		   put->source.start + (off_t)put->source.size)
		rc = -ENODATA;
	return rc;
}

/* What happened to the source, or to the object under us. */
static const char *explain_put(int rc)
{
	switch (-rc) {
	case ENODATA:
		return "the file became shorter while it was read";
	case EFAULT:
		return "the object became smaller, or there was no memory for a page of it";
	case EBUSY:
		return "another process maps what would be cut off; see --replace";
	case EFBIG:
		return "above the size that the object may grow to; see --replace";
	case EPERM:
		return "the object is sealed; see --replace";
	case EEXIST:
		return "somebody else created the object at this moment";
	default:
		return explain(rc);
	}
}

static int put_object(struct put *put)
{
	const struct npheap_mapping *mapping;
	unsigned long long key = put->lock.key;
	bool fresh;
	int rc;

	if (take_lock(&put->lock))
		return EXIT_FAILURE;
	rc = make_room(put, &fresh);
	if (rc) {
		warnx("key %llu: %s", key, explain_put(rc));
		drop_lock(&put->lock, false);
		return EXIT_FAILURE;
	}
	rc = npheap_attach(put->lock.heap, put->lock.key, 0, &mapping);
	if (!rc)
		rc = fill(put, mapping->addr, fresh);
	if (rc) {
		/* The lock goes with this process: the next holder is told. */
		warnx("key %llu: %s; the object is half written", key,
		      explain_put(rc));
		return EXIT_FAILURE;
	}
	npheap_detach(put->lock.heap, mapping);
	drop_lock(&put->lock, true);
	npheap_notify(put->lock.heap, put->lock.key, UINT32_MAX);
	return EXIT_SUCCESS;
}

enum { OPT_NO_LOCK = 0x200 };

/* The options of locks that put, get and cat have in common. */
static bool lock_option(struct key_lock *lock, int option,
			const char *argument)
{
	if (option == 'n')
		lock->flags |= NPHEAP_TRY;
	else if (option == 'w')
		lock->deadline = parse_deadline(argument);
	else
		return false;
	return true;
}

#define LOCK_LONG_OPTIONS						\
	{ "nonblock", no_argument, NULL, 'n' },				\
	{ "nb", no_argument, NULL, 'n' },				\
	{ "timeout", required_argument, NULL, 'w' },			\
	{ "wait", required_argument, NULL, 'w' }

int cmd_put(int argc, char **argv)
{
	static const struct option options[] = {
		LOCK_LONG_OPTIONS,
		{ "replace", no_argument, NULL, 'r' },
		{ "sparse", no_argument, NULL, 'S' },
		{ "max-size", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct put put = { .lock.deadline = NPHEAP_FOREVER };
	int c, status;

	while ((c = getopt_long(argc, argv, "nw:rSm:h", options, NULL)) != -1) {
		if (c == 'h')
			print_help();
		if (c == 'r')
			put.replace = true;
		else if (c == 'S')
			put.sparse = true;
		else if (c == 'm')
			put.max_size = parse_size(optarg);
		else if (!lock_option(&put.lock, c, optarg))
			return EXIT_USAGE;
	}
	if (argc - optind < 1 || argc - optind > 2)
		usage_error("put takes a key and a file");
	put.lock.key = parse_key(argv[optind]);
	open_source(&put.source, argv[optind + 1]);
	if (put.max_size && put.max_size < put.source.size)
		usage_error("--max-size is less than the size of the file");
	put.lock.heap = open_heap(0);
	status = put_object(&put);
	npheap_close(put.lock.heap);
	return status;
}

/* ------------------------------------------------------------ target of get -- */

/**
 * struct target - where get stores
 * @fd: the file
 * @path: of it; NULL: standard output
 * @holes: it can have holes
 * @temporary: its name until it is whole; empty: it was opened as it is
 */
struct target {
	int fd;
	const char *path;
	bool holes;
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
 * A regular file is replaced when its content is whole; a device, a pipe or a
 * link is written to as it is.
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
		target->fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		if (target->fd < 0)
			err(EXIT_FAILURE, "cannot open %s", path);
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
	if (fchown(target->fd, st.st_uid, st.st_gid) || fchmod(target->fd, mode))
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
	int first = get_options(&get, argc, argv, "nw:s:h"), rc;

	if (argc - first < 1 || argc - first > 2)
		usage_error("get takes a key and a file");
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
	int first = get_options(&get, argc, argv, "nw:h");
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
