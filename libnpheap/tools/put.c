// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap put: a file to an object, under the lock. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"

/* ---------------------------------------------------------------- source -- */

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
 * @deleted: there was an object, and it is deleted
 */
struct put {
	struct key_lock lock;
	struct source source;
	bool replace;
	bool sparse;
	uint64_t max_size;
	bool deleted;
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
		put->deleted = true;
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

/* A page could not be written: it was cut off, or a sparse object found no room. */
static const char *explain_fault(const struct put *put)
{
	uint64_t size;

	if (npheap_size(put->lock.heap, put->lock.key, &size) ||
	    size < put->source.size)
		return "the object became smaller, or is deleted";
	return "there was no memory for a page of it; see the limits in npheap(4)";
}

/* What happened to the source, or to the object under us. */
static const char *explain_put(const struct put *put, int rc)
{
	switch (-rc) {
	case ENODATA:
		return "the file became shorter while it was read";
	case EFAULT:
		return explain_fault(put);
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
	char size[SIZE_TEXT];
	bool fresh;
	int rc;

	if (take_lock(&put->lock))
		return EXIT_FAILURE;
	rc = make_room(put, &fresh);
	if (rc) {
		warnx("key %llu: no object of %s: %s%s", key,
		      human_size(put->source.size, size), explain_put(put, rc),
		      put->deleted ? "; what was there is deleted" : "");
		drop_lock(&put->lock, false);
		return EXIT_FAILURE;
	}
	rc = npheap_attach(put->lock.heap, put->lock.key, 0, &mapping);
	/* Another of the key, as deletion and creation need no lock. */
	if (!rc && mapping->size < put->source.size)
		rc = -EFAULT;
	if (!rc)
		rc = fill(put, mapping->addr, fresh);
	if (rc) {
		/* The lock goes with this process: the next holder is told. */
		warnx("key %llu: %s; the object is half written, npheap rm %llu deletes it",
		      key, explain_put(put, rc), key);
		return EXIT_FAILURE;
	}
	npheap_detach(put->lock.heap, mapping);
	drop_lock(&put->lock, true);
	npheap_notify(put->lock.heap, put->lock.key, UINT32_MAX);
	return EXIT_SUCCESS;
}

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

	while ((c = getopt_long(argc, argv, LOCK_SHORT_OPTIONS "rSm:h", options, NULL)) != -1) {
		if (c == 'h')
			print_help();
		if (c == 'r')
			put.replace = true;
		else if (c == 'S')
			put.sparse = true;
		else if (c == 'm')
			put.max_size = parse_size(optarg);
		else if (!lock_option(&put.lock, c, optarg))
			bad_option();
	}
	if (argc - optind < 1 || argc - optind > 2)
		usage_error("put takes a key, and a file where that is not standard input");
	put.lock.key = parse_key(argv[optind]);
	open_source(&put.source, argv[optind + 1]);
	if (put.max_size && put.max_size < put.source.size)
		usage_error("--max-size is less than the size of the file");
	put.lock.heap = open_heap(0);
	status = put_object(&put);
	npheap_close(put.lock.heap);
	return status;
}
