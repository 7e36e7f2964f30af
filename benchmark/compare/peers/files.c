// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A store: a file to which each item is appended as it is stored, so that it
 * survives its process; and is read from one end to the other by the next,
 * which indexes what it finds.  On tmpfs: no disk is faster.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "hex.h"
#include "measure.h"
#include "compare/peers.h"

static const struct item *items;
static struct hash *hash;

static const char *own_path(void)
{
	static char path[] = "/dev/shm/npheap-compare-items-" HEX_32;

	hex_put(path + sizeof(path) - 1, own_name(0));
	return path;
}

static void fill(const struct store *store, uint64_t n)
{
	int fd = open(own_path(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		      0600);
	struct item item;
	uint64_t i;

	(void)store;
	check(fd >= 0, own_path());
	for (i = 0; i < n; i++) {
		item_fill(&item, i);
		check(write(fd, &item, sizeof(item)) == sizeof(item), "write");
	}
	close(fd);
}

static int open_file(void)
{
	int fd = open(own_path(), O_RDONLY | O_CLOEXEC);

	check(fd >= 0, own_path());
	return fd;
}

static void index_all(uint64_t n)
{
	uint64_t i;

	hash = calloc(1, hash_size(n));
	check(!!hash, "memory");
	hash_init(hash, n);
	for (i = 0; i < n; i++)
		hash_add(hash, items[i].key, i);
}

static void load_by_read(const struct store *store, uint64_t n)
{
	size_t size = n * sizeof(struct item), done = 0;
	char *p = malloc(size);
	int fd = open_file();
	ssize_t got;

	(void)store;
	check(!!p, "memory");
	for (; done < size; done += got) {
		got = read(fd, p + done, size - done);
		check(got > 0, "read");
	}
	close(fd);
	items = (struct item *)p;
	index_all(n);
}

static const struct item *find(uint64_t key)
{
	return hash_find(hash, items, key);
}

static void remove_file(const struct store *store, uint64_t n)
{
	(void)store;
	(void)n;
	check(!unlink(own_path()), own_path());
}

const struct store store_file_read = {
	.name = "file-read",
	.fill = fill,
	.load = load_by_read,
	.find = find,
	.remove = remove_file,
};
