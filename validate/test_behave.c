// SPDX-License-Identifier: GPL-2.0-or-later
/* Objects as memory: what the kernel's other calls do with them. */
#include <linux/io_uring.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "object.h"

#define MIB (1UL << 20)
#define HUGE (2 * MIB)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Of @size bytes, but one page longer than its object. */
static char *map_past_the_end(uint64_t key, size_t size)
{
	unmap(map_key(key, size - page), size - page);
	return map_key(key, size);
}

static int in_own_machine(void)
{
	return getenv("NPHEAP_KERNEL") != NULL;
}

static void need_own_machine(void)
{
	if (in_own_machine())
		return;
	printf("# not in a virtual machine of scripts/vm\n");
	skip();
}

static int kernel_is_at_least(int major, int minor)
{
	struct utsname name;
	int a = 0, b = 0;

	uname(&name);
	assert_int_equal(sscanf(name.release, "%d.%d", &a, &b), 2);
	return a > major || (a == major && b >= minor);
}

/* -------------------------------------------------------------- core dumps */

#define CORE_PATTERN "/proc/sys/kernel/core_pattern"
#define CORE "/tmp/npheap-core."

static char core_pattern[256];

static int core_files_begin(void)
{
	int fd = open(CORE_PATTERN, O_RDONLY);

	if (fd < 0)
		return 0;
	if (read(fd, core_pattern, sizeof(core_pattern) - 1) < 1)
		core_pattern[0] = 0;
	close(fd);
	return !write_text(CORE_PATTERN, CORE "%p");
}

/* Also after a failure. */
static int core_files_end(void **state)
{
	if (core_pattern[0])
		write_text(CORE_PATTERN, core_pattern);
	return test_end(state);
}

struct crash {
	char *p;
	const char *filter;
	int advice;
};

static int crash_with(void *arg)
{
	const struct crash *crash = arg;
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	child_check(setrlimit(RLIMIT_CORE, &limit) == 0);
	child_check(write_text("/proc/self/coredump_filter", crash->filter) ==
		    0);
	if (crash->advice)
		child_check(madvise(crash->p, 3 * page, crash->advice) == 0);
	abort();
}

/* Whether a core file has a page of this byte. */
static int core_has(const char *path, int byte)
{
	int fd = open(path, O_RDONLY), found = 0;
	char buffer[4096];

	assert_true(fd >= 0);
	while (!found && read(fd, buffer, sizeof(buffer)) == sizeof(buffer))
		found = is_filled(buffer, byte, sizeof(buffer));
	close(fd);
	return found;
}

static int is_dumped(struct crash crash, int byte)
{
	char path[64];
	pid_t pid = spawn(crash_with, &crash);
	int found;

	expect_signal(pid, SIGABRT);
	snprintf(path, sizeof(path), CORE "%ld", (long)pid);
	found = core_has(path, byte);
	unlink(path);
	return found;
}

/* An object is dumped as a file's shared mapping is: to whoever asks for it. */
static void behave_core_has_the_object_if_asked(void **state)
{
	uint64_t key = test_key();
	char *p = map_past_the_end(key, 3 * page);

	(void)state;
	if (!core_files_begin()) {
		printf("# no core dumps\n");
		drop(p, 3 * page, key);
		skip();
	}
	memset(p, 0xa7, 2 * page);
	assert_true(is_dumped((struct crash){ p, "0x3b", 0 }, 0xa7));
	assert_false(is_dumped((struct crash){ p, "0x33", 0 }, 0xa7));
	assert_false(is_dumped((struct crash){ p, "0x3b", MADV_DONTDUMP },
			       0xa7));
	assert_true(is_filled(p, 0xa7, 2 * page));
	drop(p, 3 * page, key);
}

/* -------------------------------------------------------------- debuggers */

/* A debugger's accesses end where the process's own end. */
static void behave_debugger_stops_at_the_end(void **state)
{
	uint64_t key = test_key();
	char *p = map_past_the_end(key, 2 * page);
	pid_t pid = spawn(be_traced, p);
	char path[64];
	long word = 77;
	int fd;

	(void)state;
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	snprintf(path, sizeof(path), "/proc/%ld/mem", (long)pid);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_errno(ptrace(PTRACE_POKEDATA, pid, p + page, 1L), EIO);
	assert_errno(pread(fd, &word, sizeof(word), (uintptr_t)p + page), EIO);
	assert_errno(pwrite(fd, &word, sizeof(word), (uintptr_t)p + page), EIO);
	assert_int_equal(pwrite(fd, &word, sizeof(word), (uintptr_t)p),
			 sizeof(word));
	assert_int_equal(p[0], 77);
	close(fd);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	expect_exit(pid, 77);
	drop(p, 2 * page, key);
}

static int sleep_for_ever(void *arg)
{
	(void)arg;
	pause();
	return 0;
}

/* What lies before the end is transferred. */
static void behave_process_vm_stops_at_the_end(void **state)
{
	uint64_t key = test_key();
	char *p = map_past_the_end(key, 2 * page);
	pid_t pid = spawn(sleep_for_ever, NULL);
	char buffer[64];
	struct iovec local = { buffer, sizeof(buffer) };
	struct iovec across = { p + page - 32, sizeof(buffer) };
	struct iovec beyond = { p + page, sizeof(buffer) };

	(void)state;
	memset(buffer, 'b', sizeof(buffer));
	assert_errno(process_vm_readv(pid, &local, 1, &beyond, 1, 0), EFAULT);
	assert_errno(process_vm_writev(pid, &local, 1, &beyond, 1, 0), EFAULT);
	assert_in_range(process_vm_writev(pid, &local, 1, &across, 1, 0), 1,
			32);
	assert_int_equal(p[page - 32], 'b');
	kill_and_reap(pid);
	drop(p, 2 * page, key);
}

/* ------------------------------------------------------------ pipes, vfork */

/* A pipe that was given an object's page has the page and no copy. */
static void behave_vmsplice_takes_the_page_itself(void **state)
{
	uint64_t key = test_key();
	char *p = map_past_the_end(key, 3 * page), buffer[64];
	struct iovec iov = { p, 2 * page };
	struct iovec beyond = { p + 2 * page, page };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_errno(vmsplice(fds[1], &beyond, 1, 0), EFAULT);
	assert_int_equal(vmsplice(fds[1], &iov, 1, 0), 2 * page);
	memset(p, 'v', 2 * page);
	assert_int_equal(read(fds[0], buffer, sizeof(buffer)), sizeof(buffer));
	assert_true(is_filled(buffer, 'v', sizeof(buffer)));
	close(fds[0]);
	close(fds[1]);
	assert_true(is_filled(p, 'v', 2 * page));
	drop(p, 3 * page, key);
}

/* A child of vfork works in its parent's mappings until it ends. */
static void behave_vfork_shares_the_mapping(void **state)
{
	uint64_t key = test_key();
	volatile char *p = map_key(key, 2 * page);
	pid_t pid;

	(void)state;
	pid = vfork();
	if (!pid) {
		p[page] = 'c';
		_exit(0);
	}
	assert_true(pid > 0);
	expect_exit(pid, 0);
	assert_int_equal(p[page], 'c');
	p[0] = 'p';
	assert_int_equal(p[0], 'p');
	drop((void *)p, 2 * page, key);
}

/* ----------------------------------------------------------------- placing */

static void behave_fixed_noreplace_replaces_nothing(void **state)
{
	uint64_t key = test_key(), other = test_key();
	char *p = map_key(key, 2 * page);

	(void)state;
	p[page] = 1;
	assert_errno(mmap(p + page, page, PROT_READ, MAP_SHARED |
			  MAP_FIXED_NOREPLACE, dev, other * page), EEXIST);
	assert_int_equal(p[page], 1);
	/* And a refusal creates no object. */
	assert_int_equal(npheap_getsize(dev, other), 0);
	drop(p, 2 * page, key);
}

/* ------------------------------------------------------------------- mlock */

static void behave_map_locked_is_populated_and_counted(void **state)
{
	long before = number_after("/proc/self/status", "VmLck:");
	uint64_t key = test_key();
	size_t pages = 40;
	char *p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_LOCKED, dev, key * page);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(number_after("/proc/self/status", "VmLck:"),
			 before + (long)(pages * page / 1024));
	assert_int_equal(count_present(p, pages), pages);
	drop(p, pages * page, key);
	assert_int_equal(number_after("/proc/self/status", "VmLck:"), before);
}

static int lock_all_future(void *arg)
{
	uint64_t key = *(uint64_t *)arg;
	long before;
	char *p;

	child_check(mlockall(MCL_FUTURE) == 0);
	before = number_after("/proc/self/status", "VmLck:");
	p = npheap_alloc(dev, key, 20 * page);
	child_check(p != MAP_FAILED);
	child_check(number_after("/proc/self/status", "VmLck:") ==
		    before + (long)(20 * page / 1024));
	child_check(count_present(p, 20) == 20);
	return 0;
}

static void behave_mlockall_locks_later_mappings(void **state)
{
	uint64_t key = test_key();

	(void)state;
	expect_exit(spawn(lock_all_future, &key), 0);
	assert_int_equal(npheap_delete(dev, key), 0);
}

static int exceed_memlock(void *arg)
{
	struct rlimit limit = { 4 * page, 4 * page };
	char *p = arg;

	child_check(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	child_check(setgid(65534) == 0 && setuid(65534) == 0);
	child_check(mlock(p, 8 * page) == -1 && errno == ENOMEM);
	child_check(mlock(p, 4 * page) == 0);
	return 0;
}

static void behave_mlock_has_its_limit(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 8 * page);

	(void)state;
	expect_exit(spawn(exceed_memlock, p), 0);
	drop(p, 8 * page, key);
}

/* -------------------------------------------------------------- residency */

/* All of an object is in memory, and nothing is where there is none of it. */
static void behave_mincore_tells_what_is_there(void **state)
{
	uint64_t key = test_key();
	char *p = map_past_the_end(key, 5 * page);
	unsigned char there[5];

	(void)state;
	assert_int_equal(mincore(p, 5 * page, there), 0);
	assert_true(there[0] & there[1] & there[2] & there[3] & 1);
	assert_int_equal(there[4] & 1, 0);
	drop(p, 5 * page, key);
}

/* ---------------------------------------------------------- mapping ahead */

/* At an address that is a multiple of @align, and @offset. */
static char *map_aligned(uint64_t key, size_t size, size_t align,
			 size_t offset)
{
	char *area = mmap(NULL, 2 * align + size, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *p;

	assert_ptr_not_equal(area, MAP_FAILED);
	p = area + (-(uintptr_t)area & (align - 1)) + offset;
	unmap(area, 2 * align + size);
	assert_ptr_equal(mmap(p, size, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED_NOREPLACE, dev,
			      key * page), p);
	return p;
}

static long touch_each(volatile char *p, size_t size, int write)
{
	struct rusage before, after;
	size_t i;

	getrusage(RUSAGE_SELF, &before);
	for (i = 0; i < size; i += page) {
		if (write)
			p[i] = i / page;
		else
			(void)p[i];
	}
	getrusage(RUSAGE_SELF, &after);
	return after.ru_minflt - before.ru_minflt;
}

static void need_huge_pages(void)
{
	if (has_huge_pages())
		return;
	printf("# this kernel has no transparent huge pages\n");
	skip();
}

/* One access maps one huge page, and so does one somewhere else. */
static void behave_lone_access_maps_little(void **state)
{
	size_t size = 8 * HUGE;
	uint64_t key = test_key();
	volatile char *p;

	(void)state;
	need_huge_pages();
	p = map_key(key, size);
	p[0] = 1;
	assert_int_equal(count_present((char *)p, size / page), HUGE / page);
	p[4 * HUGE] = 1;
	assert_int_equal(count_present((char *)p, size / page),
			 2 * HUGE / page);
	drop((char *)p, size, key);
}

/* Who goes through it takes few faults, whether he reads or writes. */
static void behave_going_through_takes_few_faults(void **state)
{
	size_t size = 16 * HUGE;
	uint64_t key = test_key();
	char *p;

	(void)state;
	need_huge_pages();
	p = map_key(key, size);
	assert_in_range(touch_each(p, size, 0), 1, 4);
	unmap(p, size);
	p = map_key(key, size);
	assert_in_range(touch_each(p, size, 1), 1, 4);
	drop(p, size, key);
}

/* Neither past the end of the object nor into what is mapped beside. */
static void check_ahead(size_t pages, size_t align, size_t offset, int write)
{
	size_t i, size = pages * page, longer = size + 3 * HUGE;
	uint64_t key = test_key(), other = test_key();
	char *p, *q;

	unmap(map_key(key, size), size);
	p = map_aligned(key, longer, align, offset);
	q = mmap(p + size + HUGE, HUGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, dev, other * page);
	assert_ptr_equal(q, p + size + HUGE);
	touch_each(p, size, write);
	assert_int_equal(count_present(p, pages), pages);
	assert_int_equal(count_present(p + size, 3 * HUGE / page), 0);
	assert_true(is_filled(q, 0, HUGE));
	for (i = 0; i < pages; i++)
		assert_int_equal(p[i * page], write ? (char)i : 0);
	assert_int_equal(npheap_delete(dev, other), 0);
	drop(p, longer, key);
}

static void behave_mapping_ahead_stops_at_the_end(void **state)
{
	(void)state;
	check_ahead(2 * HUGE / page, HUGE, 0, 1);
	check_ahead(3 * HUGE / page + 5, HUGE, 0, 0);
	check_ahead(3 * HUGE / page + 5, HUGE, 0, 1);
	check_ahead(3 * HUGE / page + 5, HUGE, 3 * page, 1);
}

/* Across the end of a table of huge pages, which is 1 GiB. */
static void behave_mapping_ahead_stops_at_the_tables_end(void **state)
{
	const size_t gib = 1024 * MIB;

	(void)state;
	check_ahead(6 * HUGE / page, gib, gib - 3 * HUGE, 0);
	check_ahead(6 * HUGE / page, gib, gib - 3 * HUGE, 1);
	check_ahead(5 * HUGE / page + 7, gib, gib - 2 * HUGE, 1);
}

/* ---------------------------------------------------------------- direct IO */

/* A RAM disk: direct IO to a file needs a file system that can do it. */
static int open_disk(void)
{
	int fd;

	need_own_machine();
	fd = open("/dev/ram0", O_RDWR | O_DIRECT);
	if (fd < 0 && system("modprobe brd rd_nr=1 2>/dev/null") == 0)
		fd = open("/dev/ram0", O_RDWR | O_DIRECT);
	if (fd < 0) {
		printf("# no RAM disk\n");
		skip();
	}
	return fd;
}

static void check_direct_io(int fd, size_t size, size_t offset, size_t length)
{
	uint64_t key = test_key(), other = test_key();
	char *p = map_key(key, size), *q = map_key(other, size);
	size_t i;

	for (i = 0; i < size; i++)
		p[i] = i / 512 + i / page;
	assert_int_equal(pwrite(fd, p + offset, length, 0), length);
	/* Into pages that this process has not touched. */
	assert_int_equal(pread(fd, q + offset, length, 0), length);
	assert_memory_equal(p + offset, q + offset, length);
	assert_true(!offset || is_filled(q, 0, offset));
	drop(q, size, other);
	drop(p, size, key);
}

static void behave_direct_io_in_both_directions(void **state)
{
	int fd = open_disk();

	(void)state;
	check_direct_io(fd, page, 0, page);
	check_direct_io(fd, 8 * page, 512, 5 * page);
	check_direct_io(fd, 2 * HUGE, HUGE - 3 * page, 6 * page);
	check_direct_io(fd, 2 * HUGE, 0, 2 * HUGE);
	close(fd);
}

static void behave_direct_io_stops_at_the_end(void **state)
{
	int fd = open_disk();
	uint64_t key = test_key();
	char *p = map_past_the_end(key, 2 * page);

	(void)state;
	assert_errno(pread(fd, p + page, page, 0), EFAULT);
	assert_errno(pwrite(fd, p + page, page, 0), EFAULT);
	assert_int_equal(pwrite(fd, p, page, 0), page);
	drop(p, 2 * page, key);
	close(fd);
}

/* ----------------------------------------------------------------- io_uring */

/* The least of a ring: one request at a time. */
struct ring {
	int fd;
	char *queues;
	size_t size;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
};

static int ring_open(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->fd = syscall(SYS_io_uring_setup, 1, &ring->params);
	if (ring->fd < 0)
		return 0;
	assert_true(ring->params.features & IORING_FEAT_SINGLE_MMAP);
	ring->size = ring->params.cq_off.cqes + ring->params.cq_entries *
			     sizeof(struct io_uring_cqe);
	ring->queues = mmap(NULL, ring->size, PROT_READ | PROT_WRITE,
			    MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
			  ring->fd, IORING_OFF_SQES);
	assert_ptr_not_equal(ring->queues, MAP_FAILED);
	assert_ptr_not_equal(ring->sqes, MAP_FAILED);
	return 1;
}

static void ring_close(struct ring *ring)
{
	unmap(ring->queues, ring->size);
	unmap(ring->sqes, page);
	close(ring->fd);
}

static void need_ring(struct ring *ring)
{
	if (ring_open(ring))
		return;
	printf("# io_uring: %s\n", strerror(errno));
	skip();
}

static uint32_t *ring_word(struct ring *ring, uint32_t offset)
{
	return (uint32_t *)(ring->queues + offset);
}

/* The result of one read or write at the start of @fd. */
static int ring_do(struct ring *ring, int opcode, int fd, void *p, size_t size)
{
	const struct io_sqring_offsets *sq = &ring->params.sq_off;
	const struct io_cqring_offsets *cq = &ring->params.cq_off;
	struct io_uring_cqe *cqes = (void *)(ring->queues + cq->cqes);
	uint32_t head = *ring_word(ring, cq->head);

	ring->sqes[0] = (struct io_uring_sqe){ .opcode = opcode,
					       .fd = fd,
					       .addr = (uintptr_t)p,
					       .len = size };
	*ring_word(ring, sq->array) = 0;
	__atomic_add_fetch(ring_word(ring, sq->tail), 1, __ATOMIC_RELEASE);
	assert_int_equal(syscall(SYS_io_uring_enter, ring->fd, 1, 1,
				 IORING_ENTER_GETEVENTS, NULL, 0), 1);
	__atomic_add_fetch(ring_word(ring, cq->head), 1, __ATOMIC_RELEASE);
	return cqes[head & *ring_word(ring, cq->ring_mask)].res;
}

static int scratch_file(void)
{
	int fd = open("/tmp", O_RDWR | O_TMPFILE, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void behave_io_uring_reads_and_writes(void **state)
{
	uint64_t key = test_key();
	struct ring ring;
	int fd;
	char *p;

	(void)state;
	need_ring(&ring);
	fd = scratch_file();
	p = map_past_the_end(key, 5 * page);
	memset(p, 'u', 2 * page);
	assert_int_equal(ring_do(&ring, IORING_OP_WRITE, fd, p, 2 * page),
			 2 * page);
	assert_int_equal(ring_do(&ring, IORING_OP_READ, fd, p + 2 * page,
				 2 * page), 2 * page);
	assert_true(is_filled(p, 'u', 4 * page));
	assert_int_equal(ring_do(&ring, IORING_OP_READ, fd, p + 4 * page,
				 page), -EFAULT);
	close(fd);
	ring_close(&ring);
	drop(p, 5 * page, key);
}

static int ring_register(struct ring *ring, void *p, size_t size)
{
	struct iovec iov = { p, size };

	return syscall(SYS_io_uring_register, ring->fd,
		       IORING_REGISTER_BUFFERS, &iov, 1);
}

/* Registered memory stays what it is when its key and mapping are gone. */
static void check_registered(struct ring *ring, size_t size)
{
	uint64_t key = test_key();
	char *p = map_key(key, size), *q;
	int fd = scratch_file();

	assert_int_equal(ring_register(ring, p, size), 0);
	memset(p, 'r', size);
	assert_int_equal(ring_do(ring, IORING_OP_WRITE_FIXED, fd, p, size),
			 size);
	memset(p, 0, size);
	assert_int_equal(ring_do(ring, IORING_OP_READ_FIXED, fd, p, size),
			 size);
	assert_true(is_filled(p, 'r', size));
	drop(p, size, key);
	q = map_key(key, size);
	memset(q, 'x', size);
	assert_int_equal(ring_do(ring, IORING_OP_WRITE_FIXED, fd, p, size),
			 size);
	assert_int_equal(pread(fd, q, size, 0), size);
	assert_true(is_filled(q, 'r', size));
	assert_int_equal(syscall(SYS_io_uring_register, ring->fd,
				 IORING_UNREGISTER_BUFFERS, NULL, 0), 0);
	drop(q, size, key);
	close(fd);
}

/* Linux 6.1 registers no memory of files but its own. */
static void behave_io_uring_registers_buffers(void **state)
{
	uint64_t key = test_key();
	struct ring ring;
	char *p;

	(void)state;
	need_ring(&ring);
	p = map_key(key, page);
	if (ring_register(&ring, p, page)) {
		assert_int_equal(errno, EOPNOTSUPP);
		assert_false(kernel_is_at_least(6, 12));
		drop(p, page, key);
	} else {
		assert_int_equal(syscall(SYS_io_uring_register, ring.fd,
					 IORING_UNREGISTER_BUFFERS, NULL, 0),
				 0);
		drop(p, page, key);
		check_registered(&ring, 3 * page);
		check_registered(&ring, HUGE);
	}
	ring_close(&ring);
}

#define CORE_TEST(function) \
	cmocka_unit_test_setup_teardown(function, test_begin, core_files_end)

static const struct CMUnitTest behave_tests[] = {
	CORE_TEST(behave_core_has_the_object_if_asked),
	TEST(behave_debugger_stops_at_the_end),
	TEST(behave_process_vm_stops_at_the_end),
	TEST(behave_vmsplice_takes_the_page_itself),
	TEST(behave_vfork_shares_the_mapping),
	TEST(behave_fixed_noreplace_replaces_nothing),
	TEST(behave_map_locked_is_populated_and_counted),
	TEST(behave_mlockall_locks_later_mappings),
	TEST(behave_mlock_has_its_limit),
	TEST(behave_mincore_tells_what_is_there),
	TEST(behave_lone_access_maps_little),
	TEST(behave_going_through_takes_few_faults),
	TEST(behave_mapping_ahead_stops_at_the_end),
	TEST(behave_mapping_ahead_stops_at_the_tables_end),
	TEST(behave_direct_io_in_both_directions),
	TEST(behave_direct_io_stops_at_the_end),
	TEST(behave_io_uring_reads_and_writes),
	TEST(behave_io_uring_registers_buffers),
};

int main(void)
{
	return test_main(behave_tests);
}
