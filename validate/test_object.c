// SPDX-License-Identifier: GPL-2.0-or-later
/* Objects: how they come to be, how they are found, and how they go. */
#include <stdatomic.h>
#include <sys/syscall.h>

#include "object.h"

#define MIB (1UL << 20)
#define GIB (1ULL << 30)

/* mmap as the kernel sees it: any offset, no check by the library. */
static long raw_mmap(uint64_t offset, size_t size)
{
	return syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       dev, offset);
}

static void assert_garbage(const struct npheap_cmd *cmd, uint64_t offset)
{
	struct npheap_cmd expected = garbage_cmd(offset);

	assert_memory_equal(cmd, &expected, sizeof(expected));
}

/* --------------------------------------------------------------- creation */

static void object_is_zero_filled(void **state)
{
	size_t size = 3 * page;
	uint64_t key = test_key();
	char *p = npheap_alloc(dev, key, size);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_true(is_filled(p, 0, size));
	assert_int_equal(npheap_getsize(dev, key), size);
	drop(p, size, key);
}

static void object_size_is_rounded_up(void **state)
{
	const size_t sizes[] = { 1, page - 1, page, page + 1, 2 * page };
	const size_t pages[] = { 1, 1, 1, 2, 2 };
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		uint64_t key = test_key();
		char *p = npheap_alloc(dev, key, sizes[i]);

		assert_ptr_not_equal(p, MAP_FAILED);
		assert_int_equal(npheap_getsize(dev, key), pages[i] * page);
		p[pages[i] * page - 1] = 1;
		drop(p, sizes[i], key);
	}
}

static void object_of_no_size_is_refused(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	assert_errno(npheap_alloc(dev, key, 0), EINVAL);
	assert_errno(raw_mmap(key * page, 0), EINVAL);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_usage(before);
}

/* Sizes that no address space holds, and whose sum with an offset wraps. */
static void object_of_absurd_size_is_refused(void **state)
{
	const uint64_t sizes[] = { 1ULL << 47, 1ULL << 51, 1ULL << 63,
				   UINT64_MAX - page + 1, UINT64_MAX };
	struct usage before = usage_now();
	uint64_t key = test_key();
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_errno(npheap_alloc(dev, key, sizes[i]), ENOMEM);
		assert_ptr_equal(npheap_alloc(dev, NPHEAP_KEY_MAX, sizes[i]),
				 MAP_FAILED);
	}
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_int_equal(npheap_getsize(dev, NPHEAP_KEY_MAX), 0);
	assert_usage(before);
}

static void object_longer_alloc_keeps_the_size(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 2 * page);
	char *q = npheap_alloc(dev, key, 9 * page);

	(void)state;
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_int_equal(npheap_getsize(dev, key), 2 * page);
	q[2 * page - 1] = 7;
	assert_int_equal(p[2 * page - 1], 7);
	unmap(q, 9 * page);
	drop(p, 2 * page, key);
}

static void object_shorter_alloc_keeps_the_size(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 5 * page);
	char *q = npheap_alloc(dev, key, 1);

	(void)state;
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_int_equal(npheap_getsize(dev, key), 5 * page);
	q[page - 1] = 7;
	assert_int_equal(p[page - 1], 7);
	unmap(q, page);
	assert_int_equal(npheap_getsize(dev, key), 5 * page);
	drop(p, 5 * page, key);
}

static void object_each_alloc_is_a_new_mapping(void **state)
{
	uint64_t key = test_key();
	char *p[3];
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		p[i] = map_key(key, page);
	assert_ptr_not_equal(p[0], p[1]);
	assert_ptr_not_equal(p[0], p[2]);
	assert_ptr_not_equal(p[1], p[2]);
	p[0][0] = 1;
	unmap(p[0], page);
	assert_int_equal(p[1][0], 1);
	p[1][0] = 2;
	unmap(p[1], page);
	assert_int_equal(p[2][0], 2);
	drop(p[2], page, key);
}

/*
 * Old programs map all the time and never unmap.  It is thousands of times
 * where that is quick: debug kernels take their time.
 */
static void object_is_mapped_thousands_of_times(void **state)
{
	enum { TIMES = 2000, ENOUGH = 200 };
	struct usage before = usage_now();
	long long limit = now_ms() + 1000;
	uint64_t key = test_key();
	static char *p[TIMES];
	int n;

	(void)state;
	for (n = 0; n < ENOUGH || (n < TIMES && now_ms() < limit); n++)
		p[n] = map_key(key, page);
	p[0][5] = 42;
	assert_int_equal(heap_stat("bytes"), before.bytes + (long long)page);
	while (n--) {
		assert_int_equal(p[n][5], 42);
		unmap(p[n], page);
	}
	assert_int_equal(npheap_getsize(dev, key), page);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_usage(before);
}

/* ------------------------------------------------------------------- keys */

static void object_keys_reach_from_end_to_end(void **state)
{
	const uint64_t keys[] = { 0, 1, UINT32_MAX, 1ULL << 32, 1ULL << 50,
				  NPHEAP_KEY_MAX - 1, NPHEAP_KEY_MAX };
	uint64_t *p[7];
	int i;

	(void)state;
	for (i = 0; i < 7; i++) {
		p[i] = npheap_alloc(dev, keys[i], page);
		assert_ptr_not_equal(p[i], MAP_FAILED);
		assert_int_equal(*p[i], 0);
		*p[i] = keys[i] + 1;
	}
	for (i = 0; i < 7; i++) {
		assert_int_equal(*p[i], keys[i] + 1);
		assert_int_equal(npheap_getsize(dev, keys[i]), page);
		drop(p[i], page, keys[i]);
		assert_int_equal(npheap_getsize(dev, keys[i]), 0);
	}
}

/* Page offsets with the sign bit: never another key's object. */
static void object_key_too_large_for_mmap(void **state)
{
	const uint64_t keys[] = { 1ULL << 51, (1ULL << 51) + 1,
				  (1ULL << 52) - 2, (1ULL << 52) - 1 };
	struct usage before = usage_now();
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		assert_errno(raw_mmap(keys[i] * page, page), EOVERFLOW);
		assert_errno(raw_mmap(keys[i] * page, 64 * page), EOVERFLOW);
	}
	assert_usage(before);
}

/* The library must not cut keys that do not fit into an offset. */
static void object_key_too_large_for_library(void **state)
{
	const uint64_t keys[] = { 1ULL << 51, 1ULL << 52, (1ULL << 52) + 5,
				  1ULL << 63, UINT64_MAX };
	char *zero = map_key(0, page);
	char *five = map_key(5, page);
	struct usage before = usage_now();
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_errno(npheap_alloc(dev, keys[i], page), EOVERFLOW);
		assert_errno(npheap_getsize(dev, keys[i]), EOVERFLOW);
		assert_errno(npheap_delete(dev, keys[i]), EOVERFLOW);
		assert_errno(npheap_lock(dev, keys[i]), EOVERFLOW);
		assert_errno(npheap_unlock(dev, keys[i]), EOVERFLOW);
	}
	assert_usage(before);
	assert_int_equal(npheap_getsize(dev, 0), page);
	drop(zero, page, 0);
	drop(five, page, 5);
}

static void object_key_too_large_for_ioctl(void **state)
{
	const unsigned long requests[] = {
		NPHEAP_IOCTL_LOCK, NPHEAP_IOCTL_UNLOCK, NPHEAP_IOCTL_DELETE,
		NPHEAP_IOCTL_GETSIZE,
	};
	char *zero = map_key(0, page);
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct npheap_cmd cmd = garbage_cmd(1ULL << 63);

		assert_errno(ioctl(dev, requests[i], &cmd), EOVERFLOW);
		assert_garbage(&cmd, 1ULL << 63);
		cmd = garbage_cmd(-page);
		assert_errno(ioctl(dev, requests[i], &cmd), EOVERFLOW);
		assert_garbage(&cmd, -page);
	}
	assert_int_equal(npheap_getsize(dev, 0), page);
	drop(zero, page, 0);
}

static void object_offset_inside_a_page_is_refused(void **state)
{
	const unsigned long requests[] = {
		NPHEAP_IOCTL_LOCK, NPHEAP_IOCTL_UNLOCK, NPHEAP_IOCTL_DELETE,
		NPHEAP_IOCTL_GETSIZE,
	};
	uint64_t key = test_key();
	char *p = map_key(key, page);
	uint64_t offset = key * page + 1;
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct npheap_cmd cmd = garbage_cmd(offset);

		assert_errno(ioctl(dev, requests[i], &cmd), EINVAL);
		assert_garbage(&cmd, offset);
	}
	assert_errno(raw_mmap(offset, page), EINVAL);
	assert_int_equal(npheap_getsize(dev, key), page);
	drop(p, page, key);
}

static void object_keys_differ_above_32_bits(void **state)
{
	uint64_t low = test_key();
	const uint64_t keys[] = { low, low + (1ULL << 32), low + (1ULL << 40),
				  low + (1ULL << 44), low + (1ULL << 50) };
	char *p[5];
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		p[i] = map_key(keys[i], (i + 1) * page);
		assert_int_equal(p[i][0], 0);
		p[i][0] = i + 1;
	}
	for (i = 0; i < 5; i++) {
		assert_int_equal(p[i][0], i + 1);
		assert_int_equal(npheap_getsize(dev, keys[i]), (i + 1) * page);
	}
	assert_int_equal(npheap_delete(dev, keys[1]), 0);
	assert_int_equal(npheap_getsize(dev, keys[0]), page);
	for (i = 0; i < 5; i++)
		drop(p[i], (i + 1) * page, keys[i]);
}

/* Its page offset plus its pages is more than a signed offset can carry. */
static void object_of_many_pages_at_the_last_key(void **state)
{
	size_t size = 2 * MIB + page;
	char *zero = map_key(0, page);
	char *p = map_key(NPHEAP_KEY_MAX, size);

	(void)state;
	assert_true(is_filled(p, 0, size));
	memset(p, 9, size);
	assert_true(is_filled(zero, 0, page));
	assert_int_equal(npheap_getsize(dev, NPHEAP_KEY_MAX), size);
	drop(p, size, NPHEAP_KEY_MAX);
	drop(zero, page, 0);
}

/* ---------------------------------------------------------------- getsize */

static void object_getsize_of_nothing_is_zero(void **state)
{
	uint64_t key = test_key();
	struct npheap_cmd expected = garbage_cmd(key * page);
	struct npheap_cmd cmd = expected;

	(void)state;
	expected.size = 0;
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd), 0);
	assert_memory_equal(&cmd, &expected, sizeof(cmd));
	assert_int_equal(npheap_getsize(dev, key), 0);
}

static void object_getsize_fills_in_the_size(void **state)
{
	uint64_t key = test_key();
	struct npheap_cmd expected = garbage_cmd(key * page);
	struct npheap_cmd cmd = expected;
	char *p = map_key(key, 7 * page);

	(void)state;
	expected.size = 7 * page;
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd), 7 * page);
	assert_memory_equal(&cmd, &expected, sizeof(cmd));
	drop(p, 7 * page, key);
}

/* An object that this machine may not have the memory for. */
static char *map_huge(uint64_t key, uint64_t size)
{
	long long limit = heap_stat("max_bytes");
	void *p;

	heap_set("max_bytes", heap_stat("bytes") + (long long)size);
	p = npheap_alloc(dev, key, size);
	heap_set("max_bytes", limit);
	if (p != MAP_FAILED)
		return p;
	printf("# no memory for an object of %llu MiB\n",
	       (unsigned long long)(size / MIB));
	skip();
	/* cmocka does not declare that it does not come back. */
	abort();
}

/* The ioctl's return value saturates; the size in the structure does not. */
static void object_of_two_gib(void **state)
{
	uint64_t size = 2 * GIB;
	uint64_t key = test_key();
	struct npheap_cmd cmd = garbage_cmd(key * page);
	char *p = map_huge(key, size);

	(void)state;
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd), INT32_MAX);
	assert_int_equal(cmd.size, size);
	assert_int_equal(npheap_getsize(dev, key), size);
	p[size - 1] = 1;
	drop(p, size, key);
}

/* Its size has all of its low 32 bits but one page's clear. */
static void object_above_four_gib(void **state)
{
	uint64_t size = 4 * GIB + page;
	uint64_t key = test_key();
	char *p = map_huge(key, size);

	(void)state;
	assert_int_equal(npheap_getsize(dev, key), size);
	p[0] = 1;
	assert_int_equal(p[4 * GIB], 0);
	p[4 * GIB] = 2;
	assert_int_equal(p[0], 1);
	drop(p, size, key);
}

/* ----------------------------------------------------------------- delete */

static void object_delete_of_nothing_is_zero(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	struct npheap_cmd cmd = garbage_cmd(key * page);

	(void)state;
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_DELETE, &cmd), 0);
	assert_garbage(&cmd, key * page);
	assert_usage(before);
}

/* The return value is 0 and not the size, as some old modules had it. */
static void object_delete_returns_zero(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	struct npheap_cmd cmd = garbage_cmd(key * page);

	(void)state;
	unmap(map_key(key, 4 * page), 4 * page);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_DELETE, &cmd), 0);
	assert_garbage(&cmd, key * page);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_usage(before);
}

static void object_delete_keeps_mapped_pages(void **state)
{
	size_t size = 4 * page;
	uint64_t key = test_key();
	char *old = map_key(key, size);
	char *new;

	(void)state;
	memset(old, 'o', 2 * page);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_true(is_filled(old, 'o', 2 * page));
	/* Pages that were never touched are there, too. */
	assert_true(is_filled(old + 2 * page, 0, 2 * page));
	new = map_key(key, page);
	assert_int_equal(npheap_getsize(dev, key), page);
	assert_true(is_filled(new, 0, page));
	memset(new, 'n', page);
	memset(old, 'x', size);
	assert_true(is_filled(new, 'n', page));
	unmap(old, size);
	assert_true(is_filled(new, 'n', page));
	drop(new, page, key);
}

/* A new object of a new key must not find what another one left in memory. */
static void object_never_shows_old_contents(void **state)
{
	size_t size = 2 * MIB + 3 * page;
	int round;

	(void)state;
	for (round = 0; round < 4; round++) {
		uint64_t key = test_key();
		char *p = map_key(key, size);

		assert_true(is_filled(p, 0, size));
		memset(p, 0xee, size);
		drop(p, size, key);
	}
}

static void object_recreated_is_zeroed(void **state)
{
	uint64_t key = test_key();
	int round;

	(void)state;
	for (round = 1; round < 20; round++) {
		size_t size = round * page;
		char *p = map_key(key, size);

		assert_true(is_filled(p, 0, size));
		assert_int_equal(npheap_getsize(dev, key), size);
		memset(p, 0xee, size);
		drop(p, size, key);
	}
}

/* --------------------------------------------------------------- lifetime */

#define FORTUNE "written by a process that is gone"

static int leave_object(void *arg)
{
	char *p = map_key(*(uint64_t *)arg, 2 * page);

	strcpy(p + page, FORTUNE);
	return 0;
}

static int leave_object_and_crash(void *arg)
{
	leave_object(arg);
	raise(SIGKILL);
	return 0;
}

static void assert_left(uint64_t key)
{
	char *p;

	assert_int_equal(npheap_getsize(dev, key), 2 * page);
	p = map_key(key, page * 2);
	assert_string_equal(p + page, FORTUNE);
	drop(p, page * 2, key);
}

static void object_outlives_exit(void **state)
{
	uint64_t key = test_key();

	(void)state;
	expect_exit(spawn(leave_object, &key), 0);
	assert_left(key);
}

static void object_outlives_sigkill(void **state)
{
	uint64_t key = test_key();

	(void)state;
	expect_death(leave_object_and_crash, &key, SIGKILL);
	assert_left(key);
}

static int close_device(void *arg)
{
	(void)arg;
	return close(dev);
}

static void object_device_survives_a_childs_close(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);

	(void)state;
	p[0] = 1;
	expect_exit(spawn(close_device, NULL), 0);
	assert_int_equal(p[0], 1);
	assert_int_equal(npheap_getsize(dev, key), page);
	drop(p, page, key);
}

static int reopen_and_find(void *arg)
{
	uint64_t key = *(uint64_t *)arg;
	char *p;

	close(dev);
	dev = open(NPHEAP_DEVICE, O_RDWR);
	child_check(dev >= 0);
	p = npheap_alloc(dev, key, page);
	child_check(p != MAP_FAILED);
	return p[0];
}

static void object_is_found_by_another_descriptor(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);

	(void)state;
	p[0] = 33;
	expect_exit(spawn(reopen_and_find, &key), 33);
	drop(p, page, key);
}

/* ------------------------------------------------------------------ races */

enum { RACERS = 8, ROUNDS = 5 };

struct race {
	struct gate *ready;
	struct gate *start;
	uint64_t key;
	size_t size;
};

/* Counts itself in at the start, and out at the end, of what it finds. */
static int race_create(void *arg)
{
	const struct race *race = arg;
	atomic_uint *p;

	gate_add(race->ready, 1);
	gate_wait(race->start, 1);
	p = npheap_alloc(dev, race->key, race->size);
	child_check(p != MAP_FAILED);
	atomic_fetch_add(p, 1);
	atomic_fetch_add(p + race->size / sizeof(*p) - 1, 1);
	return 0;
}

/* All of them see one zero-filled object, which one of them created. */
static void race_once(size_t size)
{
	struct race race = { gate_new(), gate_new(), test_key(), size };
	long long creates = heap_stat("creates");
	pid_t pids[RACERS];
	unsigned int *p;
	int i;

	for (i = 0; i < RACERS; i++)
		pids[i] = spawn(race_create, &race);
	gate_wait(race.ready, RACERS);
	gate_add(race.start, 1);
	for (i = 0; i < RACERS; i++)
		expect_exit(pids[i], 0);
	assert_int_equal(heap_stat("creates"), creates + 1);
	p = map_key(race.key, size);
	assert_int_equal(p[0], RACERS);
	assert_int_equal(p[size / sizeof(*p) - 1], RACERS);
	drop(p, size, race.key);
	munmap(race.ready, sizeof(*race.ready));
	munmap(race.start, sizeof(*race.start));
}

static void object_racing_creators_make_one(void **state)
{
	struct usage before = usage_now();
	int round;

	(void)state;
	for (round = 0; round < ROUNDS; round++)
		race_once(page);
	assert_usage(before);
}

/* Here the others have to wait while the first one allocates. */
static void object_racing_creators_wait_for_the_memory(void **state)
{
	struct usage before = usage_now();
	int round;

	(void)state;
	for (round = 0; round < 2; round++)
		race_once(8 * MIB);
	assert_usage(before);
}

enum { CHURN = 120, CHURN_KEYS = 3 };

struct churn {
	struct gate *start;
	uint64_t key;
	int deleter;
};

/* What it maps is new or was stamped by one like it for the same key. */
static void churn_map(uint64_t key)
{
	uint64_t *p = npheap_alloc(dev, key, 2 * page);

	child_check(p != MAP_FAILED);
	child_check(*p == 0 || *p == key);
	*p = key;
	child_check(p[page / 8] == 0 || p[page / 8] == ~key);
	p[page / 8] = ~key;
	child_check(munmap(p, 2 * page) == 0);
}

static int churn(void *arg)
{
	const struct churn *churn = arg;
	int i;

	gate_wait(churn->start, 1);
	for (i = 0; i < CHURN; i++) {
		uint64_t key = churn->key + i % CHURN_KEYS;
		long size = npheap_getsize(dev, key);

		child_check(size == 0 || size == (long)(2 * page));
		if (churn->deleter)
			child_check(npheap_delete(dev, key) == 0);
		else
			churn_map(key);
	}
	return 0;
}

/* Lookup against delete, without a lock: nothing lost, nothing leaked. */
static void object_races_with_its_deletion(void **state)
{
	struct usage before = usage_now();
	struct churn churners[2] = {
		{ .start = gate_new(), .key = test_key(), .deleter = 0 },
	};
	pid_t pids[6];
	int i;

	(void)state;
	churners[1] = churners[0];
	churners[1].deleter = 1;
	for (i = 0; i < 6; i++)
		pids[i] = spawn(churn, &churners[i % 2]);
	gate_add(churners[0].start, 1);
	for (i = 0; i < 6; i++)
		expect_exit(pids[i], 0);
	for (i = 0; i < CHURN_KEYS; i++)
		assert_int_equal(npheap_delete(dev, churners[0].key + i), 0);
	assert_usage(before);
}

/* ------------------------------------------------------------------ index */

/* Spreads numbers over all keys, each on another one. */
static uint64_t scattered(uint64_t i)
{
	return (i * 0x9e3779b97f4a7c15ULL + 12345) & NPHEAP_KEY_MAX;
}

static void create_scattered(uint64_t i)
{
	uint64_t *p = map_key(scattered(i), page);

	*p = i;
	unmap(p, page);
}

static void delete_scattered(int count)
{
	int i;

	for (i = 0; i < count; i++)
		assert_int_equal(npheap_delete(dev, scattered(i)), 0);
}

static void object_keys_may_be_scattered(void **state)
{
	enum { COUNT = 120 };
	struct usage before = usage_now();
	int i;

	(void)state;
	for (i = 0; i < COUNT; i++)
		create_scattered(i);
	for (i = 0; i < COUNT; i++) {
		uint64_t *p = map_key(scattered(i), page);

		assert_int_equal(*p, i);
		unmap(p, page);
	}
	assert_int_equal(heap_stat("objects"), before.objects + COUNT);
	delete_scattered(COUNT);
	assert_usage(before);
}

/* The best of some, as other things go on in the machine. */
static long long lookup_ms(int objects)
{
	long long best = INT64_MAX;
	int round, i;

	for (round = 0; round < 3; round++) {
		long long began = now_ms();

		for (i = 0; i < 4000; i++)
			assert_int_equal(size_by_ioctl(scattered(i % objects)),
					 page);
		if (now_ms() - began < best)
			best = now_ms() - began;
	}
	return best;
}

/* A list, or a tree that is none any more, of so many objects would show. */
static void object_lookup_does_not_grow_with_objects(void **state)
{
	enum { FEW = 50, ENOUGH = 400, MANY = 3200 };
	long long limit = now_ms() + 1000, few = 0, many;
	int n;

	(void)state;
	for (n = 0; n < ENOUGH || (n < MANY && now_ms() < limit); n++) {
		if (n == FEW)
			few = lookup_ms(FEW);
		create_scattered(n);
	}
	many = lookup_ms(n);
	printf("# 4000 lookups: %lld ms of %d objects, %lld ms of %d\n", few,
	       FEW, many, n);
	delete_scattered(n);
	assert_true(many < 5 * few + 10);
}

/* ----------------------------------------------------------------- errors */

static void object_unknown_commands_are_refused(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);
	unsigned int nr;

	(void)state;
	for (nr = 0; nr < 256; nr++) {
		struct npheap_cmd cmd = garbage_cmd(key * page);

		/* The four commands, and those of later versions. */
		if ((nr >= 0x43 && nr <= 0x46) || (nr >= 0xc0 && nr <= 0xdf))
			continue;
		assert_errno(ioctl(dev, _IOWR('N', nr, struct npheap_cmd),
				   &cmd), ENOTTY);
		assert_garbage(&cmd, key * page);
	}
	/* The right number with the wrong size, direction or letter. */
	assert_errno(ioctl(dev, _IOWR('N', 0x45, int), p), ENOTTY);
	assert_errno(ioctl(dev, _IO('N', 0x45), p), ENOTTY);
	assert_errno(ioctl(dev, _IOWR('M', 0x45, struct npheap_cmd), p),
		     ENOTTY);
	assert_int_equal(npheap_getsize(dev, key), page);
	drop(p, page, key);
}

/* User space's pointers are not the kernel's to follow. */
static void object_bad_pointers_are_refused(void **state)
{
	void *const bad[] = { NULL, (void *)8, (void *)-4096UL,
			      (void *)0xffff888000000000UL };
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		assert_errno(ioctl(dev, NPHEAP_IOCTL_LOCK, bad[i]), EFAULT);
		assert_errno(ioctl(dev, NPHEAP_IOCTL_UNLOCK, bad[i]), EFAULT);
		assert_errno(ioctl(dev, NPHEAP_IOCTL_DELETE, bad[i]), EFAULT);
		assert_errno(ioctl(dev, NPHEAP_IOCTL_GETSIZE, bad[i]), EFAULT);
	}
}

static void object_getsize_into_readonly_memory(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);
	struct npheap_cmd *cmd = mmap(NULL, page, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	*cmd = garbage_cmd(key * page);
	mprotect(cmd, page, PROT_READ);
	assert_errno(ioctl(dev, NPHEAP_IOCTL_GETSIZE, cmd), EFAULT);
	assert_garbage(cmd, key * page);
	/* It is not written to by those that have no result. */
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_DELETE, cmd), 0);
	assert_int_equal(npheap_getsize(dev, key), 0);
	unmap(cmd, page);
	unmap(p, page);
}

static void object_readonly_descriptor_only_looks(void **state)
{
	int fd = open(NPHEAP_DEVICE, O_RDONLY);
	uint64_t key = test_key();
	char *p = map_key(key, page);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(npheap_getsize(fd, key), page);
	assert_errno(npheap_delete(fd, key), EBADF);
	assert_errno(npheap_lock(fd, key), EBADF);
	assert_errno(npheap_unlock(fd, key), EBADF);
	assert_int_equal(npheap_getsize(dev, key), page);
	drop(p, page, key);
	close(fd);
}

static void object_calls_on_a_closed_descriptor(void **state)
{
	uint64_t key = test_key();
	int fd = dup(dev);

	(void)state;
	close(fd);
	assert_errno(npheap_alloc(fd, key, page), EBADF);
	assert_errno(npheap_getsize(fd, key), EBADF);
	assert_errno(npheap_delete(fd, key), EBADF);
	assert_int_equal(npheap_getsize(dev, key), 0);
}

/* The device itself is no file to read: its contents are the objects. */
static void object_device_has_no_bytes(void **state)
{
	char byte = 'x';

	(void)state;
	assert_errno(read(dev, &byte, 1), EINVAL);
	assert_errno(write(dev, &byte, 1), EINVAL);
	assert_int_equal(byte, 'x');
	assert_errno(ftruncate(dev, 0), EINVAL);
}

/* ----------------------------------------------------------------- handle */

static void object_handle_errors_are_negative(void **state)
{
	struct npheap *poison = (struct npheap *)0xa5a5, *heap = poison;

	(void)state;
	assert_int_equal(npheap_open(NULL, 2, &heap), -EINVAL);
	assert_int_equal(npheap_open(NULL, ~0u, &heap), -EINVAL);
	assert_int_equal(npheap_open("/dev/missing", 0, &heap), -ENOENT);
	assert_int_equal(npheap_open("/dev/null", 0, &heap), -ENOTTY);
	assert_int_equal(npheap_open("/proc/version", NPHEAP_RDONLY, &heap),
			 -ENOTTY);
	assert_ptr_equal(heap, poison);
	npheap_close(NULL);
}

static void object_handle_finds_what_the_classic_made(void **state)
{
	uint64_t key = test_key(), size = 0xa5a5;
	char *p = map_key(key, 3 * page);
	struct npheap *heap = open_heap(0);
	void *q = NULL;

	(void)state;
	p[0] = 4;
	assert_int_equal(npheap_map(heap, key, page, &q), 0);
	assert_int_equal(*(char *)q, 4);
	assert_int_equal(npheap_size(heap, key, &size), 0);
	assert_int_equal(size, 3 * page);
	assert_int_equal(npheap_remove(heap, key), 0);
	size = 0xa5a5;
	assert_int_equal(npheap_size(heap, key, &size), -ENOENT);
	assert_int_equal(size, 0xa5a5);
	assert_int_equal(npheap_unmap(q, page), 0);
	npheap_close(heap);
	unmap(p, 3 * page);
}

static void object_handle_map_errors(void **state)
{
	struct usage before = usage_now();
	void *poison = (void *)0xa5a5, *p = poison;
	uint64_t key = test_key(), size = 0xa5a5;
	struct npheap *heap;

	(void)state;
	assert_int_equal(npheap_open(NPHEAP_DEVICE, 0, &heap), 0);
	assert_int_equal(npheap_map(heap, key, 0, &p), -EINVAL);
	assert_int_equal(npheap_map(heap, 1ULL << 51, page, &p), -EOVERFLOW);
	assert_int_equal(npheap_map(heap, key, SIZE_MAX, &p), -ENOMEM);
	assert_int_equal(npheap_size(heap, 1ULL << 51, &size), -EOVERFLOW);
	assert_int_equal(npheap_remove(heap, 1ULL << 51), -EOVERFLOW);
	assert_int_equal(npheap_unmap((void *)1, page), -EINVAL);
	assert_ptr_equal(p, poison);
	assert_int_equal(size, 0xa5a5);
	npheap_close(heap);
	assert_usage(before);
}

static void object_handle_readonly(void **state)
{
	uint64_t key = test_key();
	struct npheap *heap = open_heap(NPHEAP_RDONLY);
	void *poison = (void *)0xa5a5, *p = poison;

	(void)state;
	assert_int_equal(npheap_map(heap, key, page, &p), -ENOENT);
	assert_ptr_equal(p, poison);
	assert_int_equal(npheap_getsize(dev, key), 0);
	unmap(map_key(key, page), page);
	assert_int_equal(npheap_map(heap, key, page, &p), 0);
	assert_int_equal(*(char *)p, 0);
	assert_int_equal(npheap_remove(heap, key), -EBADF);
	npheap_close(heap);
	drop(p, page, key);
}

static int open_as_nobody(void *arg)
{
	struct npheap *heap;

	(void)arg;
	child_check(setgid(65534) == 0 && setuid(65534) == 0);
	return -npheap_open(NULL, NPHEAP_RDONLY, &heap);
}

/* The mode of the device is no weaker than the module says it is. */
static void object_device_is_not_for_everybody(void **state)
{
	(void)state;
	expect_exit(spawn(open_as_nobody, NULL), EACCES);
}

/* ----------------------------------------------------------------- 32 bit */

#ifdef __x86_64__

/* The structure as a 32-bit program has it, and what its commands are. */
struct cmd32 {
	uint64_t op;
	uint64_t offset;
	uint64_t size;
	uint32_t data;
} __attribute__((packed));

#define CMD32(nr) _IOWR('N', nr, struct cmd32)

static long ioctl32(unsigned int request, struct cmd32 *cmd)
{
	return syscall32(54, dev, request, (long)cmd);
}

/* The old mmap of i386 takes its arguments in memory. */
static char *mmap32(uint64_t key, void *scratch)
{
	uint32_t *args = scratch;

	args[0] = 0;
	args[1] = page;
	args[2] = PROT_READ | PROT_WRITE;
	args[3] = MAP_SHARED;
	args[4] = dev;
	args[5] = key * page;
	return (char *)(uintptr_t)(uint32_t)syscall32(90, (long)args, 0, 0);
}

/* An object made, measured and deleted by system calls of 32 bits. */
static void object_serves_32_bit_callers(void **state)
{
	struct cmd32 *cmd, expected;
	uint64_t key = 77;
	char *p;

	(void)state;
	need_syscall32();
	cmd = mmap(NULL, page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	p = mmap32(key, cmd + 1);
	assert_int_equal(npheap_getsize(dev, key), page);
	p[0] = 1;
	memset(&expected, 0xa5, sizeof(expected));
	expected.offset = key * page;
	*cmd = expected;
	expected.size = page;
	assert_int_equal(ioctl32(CMD32(0x46), cmd), page);
	assert_memory_equal(cmd, &expected, sizeof(expected));
	assert_int_equal(ioctl32(CMD32(0x43), cmd), 0);
	assert_int_equal(ioctl32(CMD32(0x43), cmd), -EDEADLK);
	assert_int_equal(ioctl32(CMD32(0x44), cmd), 0);
	assert_int_equal(ioctl32(CMD32(0x44), cmd), -EPERM);
	assert_int_equal(ioctl32(CMD32(0x47), cmd), -ENOTTY);
	assert_int_equal(ioctl32(CMD32(0x45), cmd), 0);
	assert_memory_equal(cmd, &expected, sizeof(expected));
	assert_int_equal(npheap_getsize(dev, key), 0);
	unmap(p, page);
	unmap(cmd, page);
}

#endif

static const struct CMUnitTest object_tests[] = {
	TEST(object_is_zero_filled),
	TEST(object_size_is_rounded_up),
	TEST(object_of_no_size_is_refused),
	TEST(object_of_absurd_size_is_refused),
	TEST(object_longer_alloc_keeps_the_size),
	TEST(object_shorter_alloc_keeps_the_size),
	TEST(object_each_alloc_is_a_new_mapping),
	TEST(object_is_mapped_thousands_of_times),
	TEST(object_keys_reach_from_end_to_end),
	TEST(object_key_too_large_for_mmap),
	TEST(object_key_too_large_for_library),
	TEST(object_key_too_large_for_ioctl),
	TEST(object_offset_inside_a_page_is_refused),
	TEST(object_keys_differ_above_32_bits),
	TEST(object_of_many_pages_at_the_last_key),
	TEST(object_getsize_of_nothing_is_zero),
	TEST(object_getsize_fills_in_the_size),
	TEST(object_of_two_gib),
	TEST(object_above_four_gib),
	TEST(object_delete_of_nothing_is_zero),
	TEST(object_delete_returns_zero),
	TEST(object_delete_keeps_mapped_pages),
	TEST(object_never_shows_old_contents),
	TEST(object_recreated_is_zeroed),
	TEST(object_outlives_exit),
	TEST(object_outlives_sigkill),
	TEST(object_device_survives_a_childs_close),
	TEST(object_is_found_by_another_descriptor),
	TEST(object_racing_creators_make_one),
	TEST(object_racing_creators_wait_for_the_memory),
	TEST(object_races_with_its_deletion),
	TEST(object_keys_may_be_scattered),
	TEST(object_lookup_does_not_grow_with_objects),
	TEST(object_unknown_commands_are_refused),
	TEST(object_bad_pointers_are_refused),
	TEST(object_getsize_into_readonly_memory),
	TEST(object_readonly_descriptor_only_looks),
	TEST(object_calls_on_a_closed_descriptor),
	TEST(object_device_has_no_bytes),
	TEST(object_handle_errors_are_negative),
	TEST(object_handle_finds_what_the_classic_made),
	TEST(object_handle_map_errors),
	TEST(object_handle_readonly),
	TEST(object_device_is_not_for_everybody),
#ifdef __x86_64__
	TEST(object_serves_32_bit_callers),
#endif
};

int main(void)
{
	return test_main(object_tests);
}
