// SPDX-License-Identifier: GPL-2.0-or-later
/* libnpheap: each call of both sets, and each of their errors. */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/stat.h>

#include "test.h"

#define POISON ((void *)0x5a5a5a5a)
#define TOO_LARGE (NPHEAP_KEY_MAX + 1)

/* Keys that must be refused and never cut down to another key. */
static const uint64_t bad_keys[] = {
	TOO_LARGE, 1ULL << 52, 1ULL << 63, UINT64_MAX, UINT64_MAX / 4096 + 2,
};

#define NR_BAD_KEYS (sizeof(bad_keys) / sizeof(bad_keys[0]))

/* -------------------------------------------------------- open and close -- */

static void assert_open_fails(const char *path, unsigned int flags,
			      int expected)
{
	struct npheap *heap = POISON;

	assert_int_equal(npheap_open(path, flags, &heap), expected);
	assert_ptr_equal(heap, POISON);
}

static void library_open_tells_why_it_fails(void **state)
{
	(void)state;
	assert_open_fails("/nonexistent", 0, -ENOENT);
	assert_open_fails("", 0, -ENOENT);
	assert_open_fails("/dev/npheap/x", 0, -ENOTDIR);
	assert_open_fails("/tmp", 0, -EISDIR);
}

static void library_open_of_another_file_is_enotty(void **state)
{
	(void)state;
	assert_open_fails("/dev/null", 0, -ENOTTY);
	assert_open_fails("/dev/zero", NPHEAP_RDONLY, -ENOTTY);
	assert_open_fails("/proc/self/exe", NPHEAP_RDONLY, -ENOTTY);
	assert_open_fails("/tmp", NPHEAP_RDONLY, -ENOTTY);
}

static void library_open_with_unknown_flags_is_einval(void **state)
{
	unsigned int bit;

	(void)state;
	for (bit = 1; bit < 32; bit++) {
		assert_open_fails(NULL, 1u << bit, -EINVAL);
		assert_open_fails(NULL, 1u << bit | NPHEAP_RDONLY, -EINVAL);
	}
}

static int open_unprivileged(void *arg)
{
	struct npheap *heap = POISON;

	(void)arg;
	child_check(!setgid(65534) && !setuid(65534));
	child_check(npheap_open(NULL, 0, &heap) == -EACCES);
	child_check(npheap_open(NULL, NPHEAP_RDONLY, &heap) == -EACCES);
	child_check(heap == POISON);
	return 0;
}

static void library_open_without_permission_is_eacces(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(NPHEAP_DEVICE, &st), 0);
	if (st.st_mode & 0007) {
		printf("# somebody has opened the device to everybody\n");
		skip();
	}
	expect_exit(spawn(open_unprivileged, NULL), 0);
}

/* A failed open leaves no descriptor behind. */
static void library_open_failure_leaks_nothing(void **state)
{
	int before = dup(dev), after, i;
	struct npheap *heap;

	(void)state;
	close(before);
	for (i = 0; i < 10; i++)
		npheap_open("/dev/null", 0, &heap);
	after = dup(dev);
	close(after);
	assert_int_equal(after, before);
}

static void library_open_takes_a_path(void **state)
{
	struct npheap *heap = NULL;

	(void)state;
	assert_int_equal(npheap_open(NPHEAP_DEVICE, 0, &heap), 0);
	assert_int_equal(npheap_remove(heap, test_key()), 0);
	npheap_close(heap);
}

static void library_fd_is_closed_on_exec(void **state)
{
	struct npheap *heap = open_heap(0);
	int flags = fcntl(npheap_fd(heap), F_GETFD);

	(void)state;
	assert_true(flags >= 0);
	assert_true(flags & FD_CLOEXEC);
	npheap_close(heap);
}

static void library_fd_is_what_was_opened(void **state)
{
	struct npheap *heap = open_heap(0);
	struct npheap *reader = open_heap(NPHEAP_RDONLY);

	(void)state;
	assert_int_equal(fcntl(npheap_fd(heap), F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(fcntl(npheap_fd(reader), F_GETFL) & O_ACCMODE,
			 O_RDONLY);
	assert_int_equal(npheap_getsize(npheap_fd(heap), test_key()), 0);
	npheap_close(reader);
	npheap_close(heap);
}

static void library_close_closes_and_keeps_errno(void **state)
{
	struct npheap *heap = open_heap(0);
	int fd = npheap_fd(heap);

	(void)state;
	errno = ERANGE;
	npheap_close(heap);
	assert_int_equal(errno, ERANGE);
	assert_errno(fcntl(fd, F_GETFD), EBADF);
	errno = ERANGE;
	npheap_close(NULL);
	assert_int_equal(errno, ERANGE);
}

/* Mappings stay, and so do locks. */
static void library_close_drops_nothing(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t key = test_key();
	void *p = POISON;

	(void)state;
	assert_int_equal(npheap_map(heap, key, page, &p), 0);
	assert_int_equal(npheap_acquire(heap, key), 0);
	npheap_close(heap);
	strcpy(p, "still here");
	assert_errno(npheap_lock(dev, key), EDEADLK);
	assert_int_equal(npheap_unlock(dev, key), 0);
	assert_int_equal(npheap_unmap(p, page), 0);
	assert_int_equal(npheap_delete(dev, key), 0);
}

static int use_inherited_handle(void *arg)
{
	struct npheap *heap = ((void **)arg)[0];
	uint64_t key = *(uint64_t *)((void **)arg)[1];

	child_check(!npheap_acquire(heap, key));
	child_check(!npheap_release(heap, key));
	npheap_close(heap);
	return 0;
}

static void library_handle_works_in_a_child(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t key = test_key();
	void *args[] = { heap, &key };

	(void)state;
	expect_exit(spawn(use_inherited_handle, args), 0);
	assert_int_equal(npheap_acquire(heap, key), 0);
	assert_int_equal(npheap_release(heap, key), 0);
	npheap_close(heap);
}

/* --------------------------------------------------------- the new calls -- */

static void library_map_size_remove(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t size = 0, key = test_key();
	void *p = POISON, *again = POISON;

	(void)state;
	assert_int_equal(npheap_map(heap, key, page + 1, &p), 0);
	assert_int_equal(npheap_size(heap, key, &size), 0);
	assert_int_equal(size, 2 * page);
	assert_int_equal(npheap_map(heap, key, page, &again), 0);
	assert_ptr_not_equal(p, again);
	strcpy(p, "shared");
	assert_string_equal(again, "shared");
	assert_int_equal(npheap_unmap(again, page), 0);
	assert_int_equal(npheap_unmap(p, page + 1), 0);
	assert_int_equal(npheap_remove(heap, key), 0);
	assert_int_equal(npheap_remove(heap, key), 0);
	assert_int_equal(npheap_size(heap, key, &size), -ENOENT);
	npheap_close(heap);
}

static void library_size_of_nothing_leaves_the_result_alone(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t size = 0x5a5a5a5a5a5a5a5a;

	(void)state;
	assert_int_equal(npheap_size(heap, test_key(), &size), -ENOENT);
	assert_true(size == 0x5a5a5a5a5a5a5a5a);
	npheap_close(heap);
}

static void assert_map_fails(struct npheap *heap, uint64_t key, size_t size,
			     int expected)
{
	long long objects = heap_stat("objects");
	void *p = POISON;

	assert_int_equal(npheap_map(heap, key, size, &p), expected);
	assert_ptr_equal(p, POISON);
	assert_int_equal(heap_stat("objects"), objects);
}

static void library_map_errors(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t key = test_key();

	(void)state;
	assert_map_fails(heap, key, 0, -EINVAL);
	assert_map_fails(heap, key, SIZE_MAX, -ENOMEM);
	assert_map_fails(heap, key, SIZE_MAX - page, -ENOMEM);
	assert_map_fails(heap, key, heap_stat("max_bytes") + page, -ENOSPC);
	npheap_close(heap);
}

static void library_map_over_the_limit_of_objects_is_enospc(void **state)
{
	struct npheap *heap = open_heap(0);
	long long limit = heap_stat("max_objects");

	(void)state;
	heap_set("max_objects", heap_stat("objects"));
	assert_map_fails(heap, test_key(), page, -ENOSPC);
	heap_set("max_objects", limit);
	npheap_close(heap);
}

static void library_unmap_errors(void **state)
{
	(void)state;
	assert_int_equal(npheap_unmap((void *)1, page), -EINVAL);
	assert_int_equal(npheap_unmap((void *)page, 0), -EINVAL);
}

static void library_keys_do_not_overflow(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t size = 0x5a5a5a5a;
	long long locks = locks_in_use();
	size_t i;

	(void)state;
	for (i = 0; i < NR_BAD_KEYS; i++) {
		assert_map_fails(heap, bad_keys[i], page, -EOVERFLOW);
		assert_int_equal(npheap_size(heap, bad_keys[i], &size),
				 -EOVERFLOW);
		assert_int_equal(npheap_remove(heap, bad_keys[i]), -EOVERFLOW);
		assert_int_equal(npheap_acquire(heap, bad_keys[i]), -EOVERFLOW);
		assert_int_equal(npheap_release(heap, bad_keys[i]), -EOVERFLOW);
	}
	assert_int_equal(size, 0x5a5a5a5a);
	assert_int_equal(locks_in_use(), locks);
	npheap_close(heap);
}

static void library_acquire_and_release(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t key = test_key();

	(void)state;
	assert_int_equal(npheap_release(heap, key), -EPERM);
	assert_int_equal(npheap_acquire(heap, key), 0);
	assert_int_equal(npheap_acquire(heap, key), -EDEADLK);
	assert_int_equal(npheap_release(heap, key), 0);
	assert_int_equal(npheap_release(heap, key), -EPERM);
	npheap_close(heap);
}

static void library_acquire_over_the_limit_is_enospc(void **state)
{
	struct npheap *heap = open_heap(0);
	long long limit = heap_stat("max_locks");

	(void)state;
	heap_set("max_locks", locks_not_idle());
	assert_int_equal(npheap_acquire(heap, test_key()), -ENOSPC);
	heap_set("max_locks", limit);
	npheap_close(heap);
}

static int write_to_arg(void *arg)
{
	*(volatile char *)arg = 1;
	return 0;
}

static void library_read_only_handle_reads(void **state)
{
	struct npheap *reader = open_heap(NPHEAP_RDONLY);
	uint64_t size = 0, key = test_key();
	char *writable = map_key(key, page);
	void *p = POISON;

	(void)state;
	strcpy(writable, "read me");
	assert_int_equal(npheap_map(reader, key, page, &p), 0);
	assert_string_equal(p, "read me");
	expect_death(write_to_arg, p, SIGSEGV);
	assert_int_equal(npheap_size(reader, key, &size), 0);
	assert_int_equal(size, page);
	assert_int_equal(npheap_unmap(p, page), 0);
	munmap(writable, page);
	npheap_delete(dev, key);
	npheap_close(reader);
}

static void library_read_only_handle_changes_nothing(void **state)
{
	struct npheap *reader = open_heap(NPHEAP_RDONLY);
	uint64_t key = test_key();

	(void)state;
	assert_map_fails(reader, key, page, -ENOENT);
	munmap(map_key(key, page), page);
	assert_int_equal(npheap_remove(reader, key), -EBADF);
	assert_int_equal(npheap_getsize(dev, key), page);
	assert_int_equal(npheap_acquire(reader, key), -EBADF);
	assert_int_equal(npheap_lock(dev, key), 0);
	assert_int_equal(npheap_release(reader, key), -EBADF);
	assert_int_equal(npheap_unlock(dev, key), 0);
	assert_int_equal(npheap_delete(dev, key), 0);
	npheap_close(reader);
}

/* -------------------------------------------------------- the classic calls */

static void assert_alloc_fails(int fd, uint64_t key, uint64_t size,
			       int expected)
{
	long long objects = heap_stat("objects");

	errno = 0;
	assert_ptr_equal(npheap_alloc(fd, key, size), MAP_FAILED);
	assert_int_equal(errno, expected);
	assert_int_equal(heap_stat("objects"), objects);
}

static void classic_alloc_getsize_delete(void **state)
{
	uint64_t key = test_key();
	char *p = npheap_alloc(dev, key, page + 1);
	size_t i;

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	for (i = 0; i < 2 * page; i++)
		assert_int_equal(p[i], 0);
	assert_int_equal(npheap_getsize(dev, key), 2 * page);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_int_equal(npheap_delete(dev, key), 0);
	munmap(p, 2 * page);
}

static void classic_alloc_errors(void **state)
{
	uint64_t key = test_key();
	int reader = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_alloc_fails(dev, key, 0, EINVAL);
	assert_alloc_fails(dev, key, UINT64_MAX, ENOMEM);
	assert_alloc_fails(dev, key, heap_stat("max_bytes") + page, ENOSPC);
	assert_alloc_fails(reader, key, page, EACCES);
	assert_alloc_fails(-1, key, page, EBADF);
	close(reader);
}

static void classic_keys_do_not_overflow(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NR_BAD_KEYS; i++) {
		assert_alloc_fails(dev, bad_keys[i], page, EOVERFLOW);
		assert_errno(npheap_lock(dev, bad_keys[i]), EOVERFLOW);
		assert_errno(npheap_unlock(dev, bad_keys[i]), EOVERFLOW);
		assert_errno(npheap_delete(dev, bad_keys[i]), EOVERFLOW);
		assert_errno(npheap_getsize(dev, bad_keys[i]), EOVERFLOW);
	}
}

static void classic_lock_and_unlock(void **state)
{
	uint64_t key = test_key();

	(void)state;
	assert_errno(npheap_unlock(dev, key), EPERM);
	assert_int_equal(npheap_lock(dev, key), 0);
	assert_errno(npheap_lock(dev, key), EDEADLK);
	assert_int_equal(npheap_unlock(dev, key), 0);
	assert_errno(npheap_unlock(dev, key), EPERM);
}

static void assert_all_fail(int fd, int expected)
{
	uint64_t key = test_key();

	assert_errno(npheap_lock(fd, key), expected);
	assert_errno(npheap_unlock(fd, key), expected);
	assert_errno(npheap_delete(fd, key), expected);
	assert_errno(npheap_getsize(fd, key), expected);
}

static void classic_calls_on_another_file(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_all_fail(null, ENOTTY);
	close(null);
	assert_all_fail(-1, EBADF);
	assert_all_fail(null, EBADF);
}

/* Success leaves errno alone, as programs that test it late rely on. */
static void classic_success_keeps_errno(void **state)
{
	uint64_t key = test_key();

	(void)state;
	errno = ERANGE;
	assert_int_equal(npheap_lock(dev, key), 0);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_int_equal(npheap_unlock(dev, key), 0);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(errno, ERANGE);
}

static void both_sets_work_on_the_same_heap(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t size = 0, key = test_key();
	char *p = npheap_alloc(npheap_fd(heap), key, page);
	void *again = POISON;

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	strcpy(p, "classic");
	assert_int_equal(npheap_map(heap, key, page, &again), 0);
	assert_string_equal(again, "classic");
	assert_int_equal(npheap_lock(dev, key), 0);
	assert_int_equal(npheap_acquire(heap, key), -EDEADLK);
	assert_int_equal(npheap_release(heap, key), 0);
	assert_int_equal(npheap_remove(heap, key), 0);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_int_equal(npheap_size(heap, key, &size), -ENOENT);
	npheap_unmap(again, page);
	munmap(p, page);
	npheap_close(heap);
}

static int page_size_asked;

/*
 * Stands before the C library's, and counts.  ThreadSanitizer calls it before it
 * could follow it.
 */
__attribute__((no_sanitize("thread")))
long sysconf(int name)
{
	long (*next)(int name) = dlsym(RTLD_NEXT, "sysconf");

	page_size_asked += name == _SC_PAGESIZE;
	return next(name);
}

static void both_sets_know_the_page_size(void **state)
{
	struct npheap *heap = open_heap(0);
	uint64_t key = test_key();
	int i;

	(void)state;
	assert_int_equal(npheap_getsize(dev, key), 0);
	page_size_asked = 0;
	for (i = 0; i < 10; i++) {
		assert_errno(npheap_unlock(dev, key), EPERM);
		assert_int_equal(npheap_release(heap, key), -EPERM);
		assert_int_equal(npheap_delete(dev, key), 0);
		munmap(map_key(key, page), page);
	}
	assert_int_equal(page_size_asked, 0);
	assert_int_equal(npheap_delete(dev, key), 0);
	npheap_close(heap);
}

static void *lock_in_thread(void *key)
{
	assert_int_equal(npheap_lock(dev, *(uint64_t *)key), 0);
	assert_int_equal(npheap_unlock(dev, *(uint64_t *)key), 0);
	return NULL;
}

static void lock_in_threads(uint64_t key, int count)
{
	pthread_t thread;

	while (count--) {
		assert_int_equal(pthread_create(&thread, NULL, lock_in_thread,
						&key), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
}

static void both_sets_leave_nothing_of_a_thread(void **state)
{
	uint64_t key = test_key();
	long long pages;

	(void)state;
	/* The C library keeps a stack. */
	lock_in_threads(key, 4);
	pages = read_number("/proc/self/statm");
	lock_in_threads(key, 40);
	assert_int_equal(read_number("/proc/self/statm"), pages);
}

/* Both ends of the range are keys like any other. */
static void both_sets_take_the_first_and_the_last_key(void **state)
{
	static const uint64_t keys[] = { 0, NPHEAP_KEY_MAX };
	struct npheap *heap = open_heap(0);
	uint64_t size;
	void *p;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		p = npheap_alloc(dev, keys[i], page);
		assert_ptr_not_equal(p, MAP_FAILED);
		assert_int_equal(npheap_size(heap, keys[i], &size), 0);
		assert_int_equal(size, page);
		assert_int_equal(npheap_getsize(dev, keys[i]), page);
		assert_int_equal(npheap_remove(heap, keys[i]), 0);
		munmap(p, page);
	}
	npheap_close(heap);
}

/* --------------------------------------------------------- large objects -- */

static void assert_size_is_told(struct npheap *heap, uint64_t key,
				uint64_t size)
{
	uint64_t told = 0;

	assert_true(npheap_getsize(dev, key) == (long)size);
	assert_int_equal(npheap_size(heap, key, &told), 0);
	assert_true(told == size);
}

/* More than the return value of an ioctl can carry. */
static void both_sets_tell_sizes_above_2_gib(void **state)
{
	uint64_t size = (2ULL << 30) + page;
	long long limit = heap_stat("max_bytes");
	struct npheap *heap = open_heap(0);
	uint64_t key = test_key();

	(void)state;
	if (available_bytes() < (long long)(size + size / 4)) {
		printf("# needs 2.5 GiB of free memory\n");
		npheap_close(heap);
		skip();
	}
	heap_set("max_bytes", heap_stat("bytes") + (long long)size);
	munmap(map_key(key, size), size);
	assert_size_is_told(heap, key, size);
	assert_int_equal(npheap_delete(dev, key), 0);
	heap_set("max_bytes", limit);
	npheap_close(heap);
}

static const struct CMUnitTest tests[] = {
	TEST(library_open_tells_why_it_fails),
	TEST(library_open_of_another_file_is_enotty),
	TEST(library_open_with_unknown_flags_is_einval),
	TEST(library_open_without_permission_is_eacces),
	TEST(library_open_failure_leaks_nothing),
	TEST(library_open_takes_a_path),
	TEST(library_fd_is_closed_on_exec),
	TEST(library_fd_is_what_was_opened),
	TEST(library_close_closes_and_keeps_errno),
	TEST(library_close_drops_nothing),
	TEST(library_handle_works_in_a_child),
	TEST(library_map_size_remove),
	TEST(library_size_of_nothing_leaves_the_result_alone),
	TEST(library_map_errors),
	TEST(library_map_over_the_limit_of_objects_is_enospc),
	TEST(library_unmap_errors),
	TEST(library_keys_do_not_overflow),
	TEST(library_acquire_and_release),
	TEST(library_acquire_over_the_limit_is_enospc),
	TEST(library_read_only_handle_reads),
	TEST(library_read_only_handle_changes_nothing),
	TEST(classic_alloc_getsize_delete),
	TEST(classic_alloc_errors),
	TEST(classic_keys_do_not_overflow),
	TEST(classic_lock_and_unlock),
	TEST(classic_calls_on_another_file),
	TEST(classic_success_keeps_errno),
	TEST(both_sets_work_on_the_same_heap),
	TEST(both_sets_know_the_page_size),
	TEST(both_sets_leave_nothing_of_a_thread),
	TEST(both_sets_take_the_first_and_the_last_key),
	TEST(both_sets_tell_sizes_above_2_gib),
};

int main(void)
{
	return test_main(tests);
}
