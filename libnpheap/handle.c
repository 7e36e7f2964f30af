// SPDX-License-Identifier: LGPL-2.1-or-later
/* The calls on a handle: 0 or a negative errno. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

struct npheap {
	int fd;
	int prot;
	dev_t device;
};

/* A file that is no heap knows none of the commands, not even the harmless. */
static int check_heap(int fd)
{
	uint64_t size;

	return npheap_uapi_size(fd, 0, &size) ? -ENOTTY : 0;
}

static int open_heap(const char *path, int mode)
{
	int fd, rc;

	fd = open(path, mode | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = check_heap(fd);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

NPHEAP_API int npheap_open(const char *path, unsigned int flags,
			   struct npheap **heap)
{
	int rdonly = flags & NPHEAP_RDONLY;
	struct npheap *new;
	struct stat st;
	int rc;

	if (flags & ~NPHEAP_RDONLY)
		return -EINVAL;
	new = malloc(sizeof(*new));
	if (!new)
		return -ENOMEM;
	rc = open_heap(path ? path : NPHEAP_DEVICE, rdonly ? O_RDONLY : O_RDWR);
	if (rc < 0) {
		free(new);
		return rc;
	}
	new->fd = rc;
	new->prot = rdonly ? PROT_READ : PROT_READ | PROT_WRITE;
	new->device = fstat(rc, &st) ? 0 : st.st_rdev;
	*heap = new;
	return 0;
}

NPHEAP_API void npheap_close(struct npheap *heap)
{
	int saved = errno;

	if (!heap)
		return;
	close(heap->fd);
	free(heap);
	/* It cannot fail, so it is fit for the error paths of a caller. */
	errno = saved;
}

NPHEAP_API int npheap_fd(const struct npheap *heap)
{
	return heap->fd;
}

dev_t npheap_device(const struct npheap *heap)
{
	return heap->device;
}

int npheap_is_writable(const struct npheap *heap)
{
	return !!(heap->prot & PROT_WRITE);
}

NPHEAP_API int npheap_map(struct npheap *heap, uint64_t key, size_t size,
			  void **addr)
{
	return npheap_uapi_map(heap->fd, key, size, heap->prot, addr);
}

NPHEAP_API int npheap_unmap(void *addr, size_t size)
{
	return npheap_uapi_unmap(addr, size);
}

NPHEAP_API int npheap_size(struct npheap *heap, uint64_t key, uint64_t *size)
{
	uint64_t bytes;
	int rc;

	rc = npheap_fast_size(heap->fd, key, &bytes);
	if (rc)
		return rc;
	if (!bytes)
		return -ENOENT;
	*size = bytes;
	return 0;
}

NPHEAP_API int npheap_remove(struct npheap *heap, uint64_t key)
{
	return npheap_uapi_delete(heap->fd, key);
}

NPHEAP_API int npheap_create(struct npheap *heap, uint64_t key, uint64_t size,
			     uint64_t max_size, unsigned int flags)
{
	struct npheap_create args = {
		.key = key,
		.size = size,
		.max_size = max_size,
		.flags = flags,
	};

	return npheap_uapi_create(heap->fd, &args);
}

NPHEAP_API int npheap_create_many(struct npheap *heap,
				  const struct npheap_create *items,
				  unsigned int count)
{
	struct npheap_create_many args = {
		.items = (uintptr_t)items,
		.count = count,
	};

	return npheap_uapi_create_many(heap->fd, &args);
}

NPHEAP_API int npheap_resize(struct npheap *heap, uint64_t key, uint64_t size,
			     unsigned int flags)
{
	struct npheap_resize args = {
		.key = key,
		.size = size,
		.flags = flags,
	};

	return npheap_uapi_resize(heap->fd, &args);
}

NPHEAP_API int npheap_punch(struct npheap *heap, uint64_t key, uint64_t offset,
			    uint64_t length, unsigned int flags)
{
	struct npheap_punch args = {
		.key = key,
		.offset = offset,
		.length = length,
		.flags = flags,
	};

	return npheap_uapi_punch(heap->fd, &args);
}

NPHEAP_API int npheap_seal(struct npheap *heap, uint64_t key,
			   unsigned int seals)
{
	struct npheap_seal args = { .key = key, .seals = seals };

	return npheap_uapi_seal(heap->fd, &args);
}

NPHEAP_API int npheap_stat(struct npheap *heap, uint64_t key,
			   struct npheap_stat *stat)
{
	struct npheap_stat args = { .key = key };
	int rc;

	rc = npheap_uapi_stat(heap->fd, &args);
	if (!rc)
		*stat = args;
	return rc;
}

NPHEAP_API int npheap_acquire(struct npheap *heap, uint64_t key)
{
	return npheap_fast_lock_with(heap->fd, key, NPHEAP_LOCK_REPORT,
				     NPHEAP_FOREVER);
}

NPHEAP_API int npheap_acquire_with(struct npheap *heap, uint64_t key,
				   unsigned int flags, uint64_t deadline)
{
	if (flags & ~(NPHEAP_TRY | NPHEAP_SHARED))
		return -EINVAL;
	return npheap_fast_lock_with(heap->fd, key, flags | NPHEAP_LOCK_REPORT,
				     deadline);
}

NPHEAP_API int npheap_release(struct npheap *heap, uint64_t key)
{
	return npheap_fast_unlock(heap->fd, key);
}

NPHEAP_API int npheap_consistent(struct npheap *heap, uint64_t key)
{
	return npheap_uapi_consistent(heap->fd, key);
}

NPHEAP_API int npheap_break(struct npheap *heap, uint64_t key)
{
	return npheap_uapi_break(heap->fd, key);
}

NPHEAP_API int npheap_event(struct npheap *heap, uint64_t key, uint64_t *event)
{
	return npheap_fast_event(heap->fd, key, event);
}

NPHEAP_API int npheap_wait(struct npheap *heap, uint64_t key, uint64_t event,
			   uint64_t deadline)
{
	struct npheap_event args = {
		.key = key,
		.event = event,
		.timeout = deadline,
	};

	return npheap_uapi_wait(heap->fd, &args);
}

NPHEAP_API int npheap_notify(struct npheap *heap, uint64_t key,
			     unsigned int count)
{
	return npheap_fast_notify(heap->fd, key, count);
}
