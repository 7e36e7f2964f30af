// SPDX-License-Identifier: LGPL-2.1-or-later
/* The device's side of the library: the only place that talks to the kernel. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "internal.h"

/*
 * Asked for once.  Handlers and constructors may come first; two that come at
 * the same time both ask, and are told the same.
 */
static long page_size(void)
{
	static long size;
	long known = __atomic_load_n(&size, __ATOMIC_RELAXED);

	if (!known) {
		known = sysconf(_SC_PAGESIZE);
		__atomic_store_n(&size, known, __ATOMIC_RELAXED);
	}
	return known;
}

/* The kernel takes keys as byte offsets, which a large key must not wrap. */
static int key_to_offset(uint64_t key, int64_t *offset)
{
	if (key > NPHEAP_KEY_MAX)
		return -EOVERFLOW;
	if (__builtin_mul_overflow(key, page_size(), offset))
		return -EOVERFLOW;
	return 0;
}

/* Leaves errno alone: what fails here may be tried in another way. */
static int request_count(int fd, unsigned long number, void *args)
{
	int saved = errno;
	int rc = ioctl(fd, number, args);

	if (rc >= 0)
		return rc;
	rc = -errno;
	errno = saved;
	return rc;
}

static int request(int fd, unsigned long number, void *args)
{
	int rc = request_count(fd, number, args);

	return rc < 0 ? rc : 0;
}

static int command(int fd, unsigned long number, uint64_t key, uint64_t *size)
{
	struct npheap_cmd cmd = { 0 };
	int64_t offset;
	int rc;

	rc = key_to_offset(key, &offset);
	if (rc)
		return rc;
	cmd.offset = offset;
	rc = request(fd, number, &cmd);
	if (rc)
		return rc;
	/* The return value of the ioctl cannot carry sizes above INT_MAX. */
	if (size)
		*size = cmd.size;
	return 0;
}

/*
 * mmap(2) allocates a new object while it holds the address space, which for
 * one of this size stops the other threads of the process for long.
 */
#define LARGE_OBJECT (2ULL << 20)

/* Whatever comes of it, mmap finds, makes or refuses the object. */
static void create_large(int fd, uint64_t key, uint64_t size)
{
	struct npheap_create args = { .key = key, .size = size };

	if (size >= LARGE_OBJECT)
		npheap_uapi_create(fd, &args);
}

int npheap_uapi_map(int fd, uint64_t key, uint64_t size, int prot, void **addr)
{
	int64_t offset;
	void *p;
	int rc;

	rc = key_to_offset(key, &offset);
	if (rc)
		return rc;
	/* mmap(2) on 32 bits carries a page offset, and so a key, of 32 bits. */
	if (sizeof(long) < sizeof(key) && key > UINT32_MAX)
		return -EOVERFLOW;
	/* No such mapping can exist, and rounding it up to pages may wrap. */
	if (size > PTRDIFF_MAX)
		return -ENOMEM;
	if (prot & PROT_WRITE)
		create_large(fd, key, size);
	p = mmap(NULL, size, prot, MAP_SHARED, fd, offset);
	if (p == MAP_FAILED)
		return -errno;
	*addr = p;
	return 0;
}

int npheap_uapi_unmap(void *addr, size_t size)
{
	return munmap(addr, size) ? -errno : 0;
}

int npheap_uapi_size(int fd, uint64_t key, uint64_t *size)
{
	return command(fd, NPHEAP_IOCTL_GETSIZE, key, size);
}

int npheap_uapi_delete(int fd, uint64_t key)
{
	return command(fd, NPHEAP_IOCTL_DELETE, key, NULL);
}

int npheap_uapi_lock(int fd, uint64_t key)
{
	return command(fd, NPHEAP_IOCTL_LOCK, key, NULL);
}

int npheap_uapi_unlock(int fd, uint64_t key)
{
	return command(fd, NPHEAP_IOCTL_UNLOCK, key, NULL);
}

int npheap_uapi_create(int fd, const struct npheap_create *args)
{
	return request(fd, NPHEAP_IOC_CREATE, (void *)args);
}

int npheap_uapi_create_many(int fd, const struct npheap_create_many *args)
{
	return request_count(fd, NPHEAP_IOC_CREATE_MANY, (void *)args);
}

int npheap_uapi_resize(int fd, const struct npheap_resize *args)
{
	return request(fd, NPHEAP_IOC_RESIZE, (void *)args);
}

int npheap_uapi_punch(int fd, const struct npheap_punch *args)
{
	return request(fd, NPHEAP_IOC_PUNCH, (void *)args);
}

int npheap_uapi_seal(int fd, const struct npheap_seal *args)
{
	return request(fd, NPHEAP_IOC_SEAL, (void *)args);
}

int npheap_uapi_stat(int fd, struct npheap_stat *args)
{
	return request(fd, NPHEAP_IOC_STAT, args);
}

int npheap_uapi_join(int fd, struct npheap_join *join)
{
	return request(fd, NPHEAP_IOC_JOIN, join);
}

int npheap_uapi_bind(int fd, struct npheap_bind *bind)
{
	return request(fd, NPHEAP_IOC_BIND, bind);
}

int npheap_uapi_lock_args(int fd, const struct npheap_lock_args *args)
{
	return request(fd, NPHEAP_IOC_LOCK, (void *)args);
}

int npheap_uapi_consistent(int fd, uint64_t key)
{
	return request(fd, NPHEAP_IOC_CONSISTENT, &key);
}

int npheap_uapi_break(int fd, uint64_t key)
{
	return request(fd, NPHEAP_IOC_BREAK, &key);
}

int npheap_uapi_wait(int fd, const struct npheap_event *args)
{
	return request(fd, NPHEAP_IOC_WAIT, (void *)args);
}

int npheap_uapi_notify(int fd, const struct npheap_event *args)
{
	return request(fd, NPHEAP_IOC_NOTIFY, (void *)args);
}

int npheap_uapi_event(int fd, struct npheap_event *args)
{
	return request(fd, NPHEAP_IOC_EVENT, args);
}

int npheap_uapi_watch(int fd, uint32_t flags)
{
	return request_count(fd, NPHEAP_IOC_WATCH, &flags);
}

int npheap_uapi_watch_set(int fd, uint64_t key, uint32_t events)
{
	struct npheap_watch_key args = { .key = key, .events = events };

	return request(fd, NPHEAP_IOC_WATCH_SET, &args);
}

int npheap_uapi_attach(int fd, struct npheap_attach *args)
{
	return request(fd, NPHEAP_IOC_ATTACH, args);
}

int npheap_uapi_detach(int fd, const struct npheap_attach *args)
{
	struct npheap_attach copy = *args;

	/* What ATTACH was asked for does not matter any more. */
	copy.size = 0;
	return request(fd, NPHEAP_IOC_DETACH, &copy);
}
