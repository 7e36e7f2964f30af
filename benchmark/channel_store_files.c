// SPDX-License-Identifier: GPL-2.0-or-later
/* Objects that are files: POSIX shm, and files on tmpfs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hex.h"
#include "channel_store.h"

#define NUMBERS "-" HEX_32 "-" HEX_32 "-" HEX_32

struct name {
	char text[64];
};

/* @text ends in room for what tells one slot's name from all others. */
static struct name name_of(const struct store *store, const char *text)
{
	size_t length = strlen(text);
	struct name name;
	char *end;

	memcpy(name.text, text, length + 1);
	end = hex_put(name.text + length, store->at);
	end = hex_put(end - 1, store->serial);
	hex_put(end - 1, (uint32_t)store->keeper);
	return name;
}

static int close_keeping(int fd, int result)
{
	int error = errno;

	close(fd);
	errno = error;
	return result;
}

/* POSIX shm, by the steps of shm_overview(7) */

static struct name shm_name(const struct store *store)
{
	return name_of(store, "/npheap-pass-shm" NUMBERS);
}

static void *shm_map(struct store *store, int protection, int fd)
{
	void *bytes = mmap(NULL, store->size, protection, MAP_SHARED, fd, 0);

	close_keeping(fd, 0);
	return bytes == MAP_FAILED ? NULL : bytes;
}

static void *shm_make(struct store *store)
{
	int fd = shm_open(shm_name(store).text, O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)store->size)) {
		close_keeping(fd, 0);
		return NULL;
	}
	return shm_map(store, PROT_READ | PROT_WRITE, fd);
}

static void *shm_find(struct store *store)
{
	int fd = shm_open(shm_name(store).text, O_RDONLY, 0);

	return fd < 0 ? NULL : shm_map(store, PROT_READ, fd);
}

static int shm_unmap(struct store *store)
{
	return munmap(store->bytes, store->size) ? -errno : 0;
}

static int shm_leave(struct store *store)
{
	int err = shm_unmap(store);

	if (!err && shm_unlink(shm_name(store).text))
		err = -errno;
	return err;
}

static void shm_remove(struct store *store)
{
	shm_unlink(shm_name(store).text);
}

static void *shm_keep(struct store *store)
{
	return store_keep(store, shm_make);
}

const struct store_calls shm_calls = {
	.gate = &gate_semaphore,
	.open = anonymous_open,
	.close = anonymous_close,
	.make = shm_make,
	.publish = shm_unmap,
	.find = shm_find,
	.leave = shm_leave,
	.remove = shm_remove,
};

const struct store_calls shm_pool_calls = {
	.gate = &gate_semaphore,
	.keeps = true,
	.open = anonymous_open,
	.close = anonymous_close,
	.make = shm_keep,
	.publish = store_nothing,
	.find = shm_keep,
	.leave = store_nothing,
	.remove = shm_remove,
};

/* Files on tmpfs, with write(2) and read(2), each as large as the item */

static struct name file_name(const struct store *store)
{
	return name_of(store, "/dev/shm/npheap-pass-file" NUMBERS);
}

static void *file_make(struct store *store)
{
	return store->buffer;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	for (ssize_t n; size; size -= (size_t)n, bytes += n) {
		n = write(fd, bytes, size);
		if (n < 0)
			return -errno;
	}
	return 0;
}

static int read_all(int fd, char *bytes, size_t size)
{
	for (ssize_t n; size; size -= (size_t)n, bytes += n) {
		n = read(fd, bytes, size);
		if (n <= 0)
			return n ? -errno : -EPIPE;
	}
	return 0;
}

static int file_publish(struct store *store)
{
	int fd = open(file_name(store).text, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return -errno;
	return close_keeping(fd, write_all(fd, store->bytes, store->size));
}

static void *file_find(struct store *store)
{
	int fd = open(file_name(store).text, O_RDONLY);
	int err;

	if (fd < 0)
		return NULL;
	err = close_keeping(fd, read_all(fd, store->buffer, store->size));
	if (err) {
		errno = -err;
		return NULL;
	}
	return store->buffer;
}

static int file_leave(struct store *store)
{
	return unlink(file_name(store).text) ? -errno : 0;
}

static void file_remove(struct store *store)
{
	unlink(file_name(store).text);
}

const struct store_calls file_calls = {
	.gate = &gate_semaphore,
	.open = anonymous_open,
	.close = anonymous_close,
	.make = file_make,
	.publish = file_publish,
	.find = file_find,
	.leave = file_leave,
	.remove = file_remove,
};
