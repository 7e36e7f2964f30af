// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The calls of fuzz programs on mappings of objects, on descriptors of the
 * device, and on the process.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fuzz.h"

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

/* -------------------------------------------------------------- mappings -- */

static char *window(const struct fuzz_mapping *m)
{
	return FUZZ_WINDOWS + (m - world.maps) * FUZZ_WINDOW;
}

/* What would replace more than its own window is cut. */
static size_t fitting(uint64_t length, uint64_t flags)
{
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && length > FUZZ_WINDOW)
		return FUZZ_WINDOW;
	return length;
}

static void set_mapping(struct fuzz_mapping *m, char *addr, size_t length)
{
	world.mapped = true;
	m->addr = addr;
	m->length = (length + page - 1) & -page;
}

static long run_mmap(struct fuzz_thread *t, const uint64_t *arg)
{
	struct fuzz_mapping *m = world_mapping(arg[5]);
	size_t length = fitting(arg[2], arg[4]);
	void *p;

	if (m->addr)
		munmap(m->addr, m->length);
	m->addr = NULL;
	p = mmap(window(m), length, arg[3] & 7, arg[4],
		 world_fd(arg[0]), world_offset(arg[1]) & -page);
	if (p == MAP_FAILED)
		return -errno;
	set_mapping(m, p, length);
	fuzz_tell(t, (uintptr_t)p);
	return 0;
}

/* The part of a mapping from its page @first on, as long as @length at most. */
static struct fuzz_mapping part(uint64_t slot, uint64_t first, uint64_t length)
{
	struct fuzz_mapping m = *world_mapping(slot);
	size_t pages = m.length / page;

	if (!m.addr || !pages)
		return (struct fuzz_mapping){ 0 };
	first %= pages;
	m.addr += first * page;
	m.length -= first * page;
	if (length < m.length)
		m.length = length;
	return m;
}

static long run_munmap(struct fuzz_thread *t, const uint64_t *arg)
{
	struct fuzz_mapping *m = world_mapping(arg[0]);
	struct fuzz_mapping p = part(arg[0], arg[1], arg[2]);

	(void)t;
	if (!p.addr)
		return -ENXIO;
	/* What is left behind a hole goes with all windows. */
	if (p.addr == m->addr)
		m->addr = NULL;
	return fuzz_result(munmap(p.addr, p.length));
}

static long run_mremap(struct fuzz_thread *t, const uint64_t *arg)
{
	struct fuzz_mapping *m = world_mapping(arg[0]);
	struct fuzz_mapping old = part(arg[0], arg[1], arg[2]);
	size_t length = fitting(arg[3], MAP_FIXED);
	int flags = arg[4] & 7;
	void *p;

	if (!old.addr)
		return -ENXIO;
	p = mremap(old.addr, old.length, length, flags,
		   window(world_mapping(arg[5])));
	if (p == MAP_FAILED)
		return -errno;
	if (flags & MREMAP_FIXED)
		m = world_mapping(arg[5]);
	set_mapping(m, p, length);
	fuzz_tell(t, (uintptr_t)p);
	return 0;
}

static long run_mprotect(struct fuzz_thread *t, const uint64_t *arg)
{
	struct fuzz_mapping p = part(arg[0], arg[1], arg[2]);

	(void)t;
	if (!p.addr)
		return -ENXIO;
	return fuzz_result(mprotect(p.addr, p.length, arg[3] & 7));
}

static long run_madvise(struct fuzz_thread *t, const uint64_t *arg)
{
	struct fuzz_mapping p = part(arg[0], arg[1], arg[2]);

	(void)t;
	if (!p.addr)
		return -ENXIO;
	/* A poisoned page is gone for good. */
	if (arg[3] == MADV_HWPOISON || arg[3] == MADV_SOFT_OFFLINE)
		return -EINVAL;
	return fuzz_result(madvise(p.addr, p.length, arg[3]));
}

static long run_mlock(struct fuzz_thread *t, const uint64_t *arg)
{
	struct fuzz_mapping p = part(arg[0], arg[1], arg[2]);

	(void)t;
	if (!p.addr)
		return -ENXIO;
	switch (arg[3] % 4) {
	case 0:
		return fuzz_result(mlock(p.addr, p.length));
	case 1:
		return fuzz_result(mlock2(p.addr, p.length, MLOCK_ONFAULT));
	case 2:
		return fuzz_result(munlock(p.addr, p.length));
	default:
		return fuzz_result(msync(p.addr, p.length, MS_SYNC));
	}
}

/* An address in a mapping, or in an attachment. */
static char *address(uint64_t slot, uint64_t first)
{
	const struct npheap_attach *a = &world.attached[slot % FUZZ_MAPPINGS];
	struct fuzz_mapping p = part(slot, first, UINT64_MAX);

	if (p.addr)
		return p.addr;
	if (!a->addr || !a->length)
		return NULL;
	return (char *)a->addr + first % (a->length / page) * page;
}

static long run_load(struct fuzz_thread *t, const uint64_t *arg)
{
	char *p = address(arg[0], arg[1]);

	if (!p)
		return -ENXIO;
	fuzz_tell(t, *(volatile uint64_t *)(p + (arg[2] & (page - 8))));
	return 0;
}

static long run_store(struct fuzz_thread *t, const uint64_t *arg)
{
	char *p = address(arg[0], arg[1]);

	(void)t;
	if (!p)
		return -ENXIO;
	*(volatile uint64_t *)(p + (arg[2] & (page - 8))) = arg[3];
	return 0;
}

/* The kernel itself reads and writes in a mapping. */
static long run_transfer(struct fuzz_thread *t, const uint64_t *arg)
{
	struct iovec far = { address(arg[0], arg[1]), arg[2] };
	char buffer[512];
	struct iovec near = { buffer, sizeof(buffer) };
	unsigned char present[16];

	(void)t;
	if (!far.iov_base)
		return -ENXIO;
	if (far.iov_len > 16 * page)
		far.iov_len = 16 * page;
	switch (arg[3] % 5) {
	case 0:
		return fuzz_result(read(world.zero, far.iov_base, far.iov_len));
	case 1:
		return fuzz_result(process_vm_readv(getpid(), &near, 1, &far, 1,
						    0));
	case 2:
		memset(buffer, 0x5a, sizeof(buffer));
		return fuzz_result(process_vm_writev(getpid(), &near, 1, &far,
						     1, 0));
	case 3:
		return fuzz_result(syscall(SYS_futex, far.iov_base, FUTEX_WAKE,
					   1, NULL, NULL, 0));
	default:
		return fuzz_result(mincore(far.iov_base, far.iov_len, present));
	}
}

/* ----------------------------------------------------------- descriptors -- */

static _Atomic int *opened(uint64_t number)
{
	return &world.fds[5 + number % 3];
}

static long run_open(struct fuzz_thread *t, const uint64_t *arg)
{
	static const int flags[] = {
		O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_NONBLOCK, O_PATH,
	};
	int fd = open(NPHEAP_DEVICE, flags[arg[1] % 5] | O_CLOEXEC);
	int old;

	(void)t;
	if (fd < 0)
		return -errno;
	old = atomic_exchange(opened(arg[0]), fd);
	if (old >= 0)
		close(old);
	return 0;
}

/* A descriptor that stays is closed as often as it is duplicated. */
static long run_close(struct fuzz_thread *t, const uint64_t *arg)
{
	int fd;

	(void)t;
	if (arg[0] >= FUZZ_FDS)
		return -EBADF;
	if (arg[0] < 3)
		fd = dup(world.fds[arg[0]]);
	else
		fd = atomic_exchange(&world.fds[arg[0]], -1);
	return fuzz_result(close(fd));
}

/* ------------------------------------------------------------- processes -- */

static void child_maps(const uint64_t *arg)
{
	struct npheap_join join;
	char *p = address(arg[1], 0);

	ioctl(world.fds[0], NPHEAP_IOC_JOIN, &join);
	if (p)
		*(volatile char *)p = 1;
	raise(SIGKILL);
}

static void child_locks(const uint64_t *arg, uint32_t flags)
{
	struct npheap_lock_args args = {
		.key = world_key(arg[2]), .flags = flags | NPHEAP_LOCK_TRY,
	};

	ioctl(world.fds[0], NPHEAP_IOC_LOCK, &args);
}

static void be_child(const uint64_t *arg)
{
	struct fuzz_mapping *m = world_mapping(arg[1]);

	switch (arg[0] % 6) {
	case 0:
		child_maps(arg);
		break;
	case 1:
		child_locks(arg, 0);
		break;
	case 2:
		child_locks(arg, NPHEAP_LOCK_SHARED);
		break;
	case 3:
		close(world.fds[0]);
		break;
	case 4:
		if (m->addr)
			munmap(m->addr, m->length);
		break;
	default:
		unlock_by_ioctl(world_key(arg[2]));
	}
}

/* Mostly the child has the memory of its parent, which takes less time. */
static long run_fork(struct fuzz_thread *t, const uint64_t *arg)
{
	volatile pid_t pid = arg[3] & 7 ? vfork() : fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		/* Faults shall end it. */
		t->state = FUZZ_OUTSIDE;
		be_child(arg);
		_exit(0);
	}
	t->state = FUZZ_IN_CALL;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* ------------------------------------------------------------- the table -- */

/* clang-format off */
const struct fuzz_type fuzz_memory_types[] = {
	SLOW(mmap, NULL,
	     ERRORS(EACCES, EINVAL, EOVERFLOW, ENOENT, ENFILE, ENOSPC, EDQUOT,
	     ENOMEM, ENODEV, EAGAIN, EEXIST, EOPNOTSUPP, EPERM),
	     KIND_FD, KIND_KEY, KIND_SIZE, KIND_PROTECTION, KIND_MAP_FLAGS,
	     KIND_MAPPING),
	CALL(munmap, "mmap",
	     ERRORS(ENXIO, EINVAL, ENOMEM),
	     KIND_MAPPING, KIND_PAGE, KIND_SIZE),
	CALL(mremap, "mmap",
	     ERRORS(ENXIO, EINVAL, ENOMEM, EAGAIN, EPERM),
	     KIND_MAPPING, KIND_PAGE, KIND_SIZE, KIND_SIZE, KIND_BITS,
	     KIND_MAPPING),
	CALL(mprotect, "mmap",
	     ERRORS(ENXIO, EACCES, EINVAL, ENOMEM),
	     KIND_MAPPING, KIND_PAGE, KIND_SIZE, KIND_PROTECTION),
	CALL(madvise, "mmap",
	     ERRORS(ENXIO, EINVAL, ENOMEM, EPERM, EACCES, EBADF, EAGAIN, EBUSY,
	     EOPNOTSUPP),
	     KIND_MAPPING, KIND_PAGE, KIND_SIZE, KIND_ADVICE),
	CALL(mlock, "mmap",
	     ERRORS(ENXIO, EINVAL, ENOMEM, EAGAIN, EBUSY, EPERM),
	     KIND_MAPPING, KIND_PAGE, KIND_SIZE, KIND_MODE),
	CALL(load, "mmap",
	     ERRORS(ENXIO),
	     KIND_MAPPING, KIND_PAGE, KIND_NUMBER),
	CALL(store, "mmap",
	     ERRORS(ENXIO),
	     KIND_MAPPING, KIND_PAGE, KIND_NUMBER, KIND_NUMBER),
	CALL(transfer, "attach",
	     ERRORS(ENXIO, EINVAL, ENOMEM, EAGAIN),
	     KIND_MAPPING, KIND_PAGE, KIND_SIZE, KIND_MODE),
	CALL(open, NULL,
	     ERRORS(EMFILE, ENFILE),
	     KIND_OPENED, KIND_MODE),
	CALL(close, NULL,
	     ERRORS(EINTR),
	     KIND_FD),
	SLOW(fork, "mmap",
	     ERRORS(EAGAIN, ENOMEM),
	     KIND_MODE, KIND_MAPPING, KIND_KEY, KIND_MODE),
	{ 0 },
};
/* clang-format on */
