// SPDX-License-Identifier: GPL-2.0-or-later
/* Creation in a call of its own, and sparse objects. */
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "object.h"

#define MIB (1ULL << 20)
#define SPARSE NPHEAP_CREATE_SPARSE

/* The limit as it was before the first test. */
static long long max_bytes;

static struct npheap_create item(uint64_t key, uint64_t size, uint32_t flags)
{
	return (struct npheap_create){
		.key = key,
		.size = size,
		.flags = flags,
	};
}

static int create(uint64_t key, uint64_t size, uint32_t flags)
{
	struct npheap_create args = item(key, size, flags);

	return ioctl(dev, NPHEAP_IOC_CREATE, &args);
}

static int create_many(const struct npheap_create *items, uint32_t count)
{
	struct npheap_create_many args = {
		.items = (uintptr_t)items,
		.count = count,
	};

	return ioctl(dev, NPHEAP_IOC_CREATE_MANY, &args);
}

/* --------------------------------------------------------------- creation */

static void create_gives_zeroes_of_that_size(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	size_t i;
	char *p;

	(void)state;
	assert_int_equal(create(key, 2 * page + 1, 0), 0);
	assert_int_equal(size_by_ioctl(key), 3 * page);
	assert_more(before, 3 * page, 0, 1, 0);
	p = map_key(key, 3 * page);
	for (i = 0; i < 3 * page; i++)
		assert_int_equal(p[i], 0);
	p[3 * page - 1] = 1;
	unmap(p, 3 * page);
	delete(key);
	assert_usage(before);
}

static void create_is_exclusive(void **state)
{
	uint64_t key = test_key();

	(void)state;
	assert_int_equal(create(key, page, 0), 0);
	assert_errno(create(key, page, 0), EEXIST);
	assert_errno(create(key, 7 * page, SPARSE), EEXIST);
	assert_int_equal(size_by_ioctl(key), page);
	delete(key);
	assert_int_equal(create(key, 2 * page, 0), 0);
	delete(key);
	unmap(map_key(key, page), page);
	assert_errno(create(key, page, 0), EEXIST);
	delete(key);
}

static void assert_rejected(struct npheap_create args, int reason)
{
	struct npheap_create_many many = {
		.items = (uintptr_t)&args,
		.count = 1,
	};
	struct usage before = usage_now();

	assert_errno(ioctl(dev, NPHEAP_IOC_CREATE, &args), reason);
	assert_errno(ioctl(dev, NPHEAP_IOC_CREATE_MANY, &many), reason);
	assert_usage(before);
}

static void create_checks_its_arguments(void **state)
{
	struct npheap_create args, good = item(test_key(), page, 0);

	(void)state;
	args = good, args.size = 0;
	assert_rejected(args, EINVAL);
	args = good, args.flags = 2;
	assert_rejected(args, EINVAL);
	args = good, args.flags = 1U << 31;
	assert_rejected(args, EINVAL);
	args = good, args.reserved = 1;
	assert_rejected(args, EINVAL);
	args = good, args.max_size = page - 1;
	assert_rejected(args, EINVAL);
	args = good, args.key = NPHEAP_KEY_MAX + 1;
	assert_rejected(args, EOVERFLOW);
	args = good, args.size = UINT64_MAX;
	assert_rejected(args, EFBIG);
	args = good, args.max_size = UINT64_MAX;
	assert_rejected(args, EFBIG);
	/* The last size that a file can have, which no memory can. */
	args = good, args.size = INT64_MAX & -page;
	assert_rejected(args, ENOSPC);
	args = good, args.size = (INT64_MAX & -page) + 1;
	assert_rejected(args, EFBIG);
	args = good, args.max_size = INT64_MAX & -page;
	assert_int_equal(ioctl(dev, NPHEAP_IOC_CREATE, &args), 0);
	delete(good.key);
}

static void create_needs_memory_and_a_descriptor_to_write(void **state)
{
	struct npheap_create args = item(test_key(), page, 0);
	struct npheap_create_many many = { .items = 8, .count = 1 };
	int fd = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_errno(ioctl(fd, NPHEAP_IOC_CREATE, &args), EBADF);
	assert_errno(ioctl(fd, NPHEAP_IOC_CREATE_MANY, &many), EBADF);
	close(fd);
	assert_errno(ioctl(dev, NPHEAP_IOC_CREATE, NULL), EFAULT);
	assert_errno(ioctl(dev, NPHEAP_IOC_CREATE_MANY, NULL), EFAULT);
	assert_errno(ioctl(dev, NPHEAP_IOC_CREATE_MANY, &many), EFAULT);
	many.items = UINT64_MAX - 7;
	assert_errno(ioctl(dev, NPHEAP_IOC_CREATE_MANY, &many), EFAULT);
	many.reserved = 1;
	assert_errno(ioctl(dev, NPHEAP_IOC_CREATE_MANY, &many), EINVAL);
	many.reserved = 0;
	many.count = 1U << 31;
	assert_errno(ioctl(dev, NPHEAP_IOC_CREATE_MANY, &many), EINVAL);
	many.count = 0;
	assert_int_equal(ioctl(dev, NPHEAP_IOC_CREATE_MANY, &many), 0);
	assert_int_equal(size_by_ioctl(args.key), 0);
}

static void create_meets_the_limits(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	heap_set("max_bytes", before.bytes + 4 * page);
	assert_errno(create(key, 5 * page, 0), ENOSPC);
	assert_int_equal(create(key, 4 * page, 0), 0);
	assert_errno(create(key + 1, page, 0), ENOSPC);
	assert_more(before, 4 * page, 0, 1, 0);
	delete(key);
	heap_set("max_objects", before.objects);
	assert_errno(create(key, page, 0), ENOSPC);
	assert_errno(create(key, page, SPARSE), ENOSPC);
	heap_set("max_bytes", INT64_MAX);
	heap_set("max_objects", before.objects + 1);
	assert_errno(create(key, 1ULL << 45, 0), ENOMEM);
	assert_usage(before);
}

static void create_many_goes_in_order_and_counts(void **state)
{
	struct usage before = usage_now();
	struct npheap_create items[10];
	uint64_t key = test_key();
	int i;

	(void)state;
	for (i = 0; i < 10; i++)
		items[i] = item(key + i, (i + 1) * page, i & 1 ? SPARSE : 0);
	assert_int_equal(create(key + 7, page, 0), 0);
	assert_int_equal(create_many(items, 10), 7);
	for (i = 0; i < 7; i++)
		assert_int_equal(size_by_ioctl(key + i), (i + 1) * page);
	assert_int_equal(size_by_ioctl(key + 8), 0);
	/* Goes on behind the one that failed. */
	assert_errno(create_many(items + 7, 3), EEXIST);
	assert_int_equal(create_many(items + 8, 2), 2);
	for (i = 0; i < 10; i++)
		delete(key + i);
	items[3].flags = UINT32_MAX;
	assert_int_equal(create_many(items, 10), 3);
	for (i = 0; i < 3; i++)
		delete(key + i);
	assert_usage(before);
}

/* An array that ends at memory that is not there. */
static void create_many_ends_where_its_array_does(void **state)
{
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct npheap_create *items;
	uint64_t key = test_key();

	(void)state;
	assert_true(p != MAP_FAILED);
	unmap(p + page, page);
	items = (struct npheap_create *)(p + page) - 2;
	items[0] = item(key, page, 0);
	items[1] = item(key + 1, page, 0);
	assert_int_equal(create_many(items, 3), 2);
	assert_int_equal(size_by_ioctl(key + 1), page);
	assert_errno(create_many(items + 2, 1), EFAULT);
	delete(key);
	delete(key + 1);
	unmap(p, page);
}

/* ------------------------------------------------------------------ races */

enum { RACERS = 4, ROUNDS = 200 };

struct race {
	struct gate *ready;
	struct gate *start;
	_Atomic uint32_t *created;
	uint64_t key;
	size_t size;
};

/*
 * Half of them by mmap, which finds or creates, half by CREATE; in the next round
 * the other way round, as the same one may always be woken first.
 */
static int race_creator(struct race *race, int number)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t key = race->key + i;

		gate_add(race->ready, 1);
		gate_wait(race->start, i + 1);
		if ((number + i) & 1) {
			char *p = map_key(key, race->size);

			child_check(p[race->size - 1] == 0);
			child_check(munmap(p, race->size) == 0);
		} else if (create(key, race->size, 0) == 0) {
			atomic_fetch_add(&race->created[i], 1);
		} else {
			child_check(errno == EEXIST);
			child_check(size_by_ioctl(key) == (long)race->size);
		}
	}
	return 0;
}

struct racer {
	struct race *race;
	int number;
};

static int race_creator_child(void *arg)
{
	const struct racer *racer = arg;

	return race_creator(racer->race, racer->number);
}

static void create_races_make_one_object(void **state)
{
	struct usage before = usage_now();
	long long creates = heap_stat("creates");
	struct race race = { gate_new(), gate_new(), NULL, test_key(),
			     16 * page };
	pid_t pids[RACERS];
	int i, by_ioctl = 0;

	(void)state;
	race.created = mmap(NULL, ROUNDS * sizeof(*race.created),
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	assert_true((void *)race.created != MAP_FAILED);
	for (i = 0; i < RACERS; i++) {
		struct racer racer = { &race, i };

		pids[i] = spawn(race_creator_child, &racer);
	}
	for (i = 0; i < ROUNDS; i++) {
		gate_wait(race.ready, (i + 1) * RACERS);
		gate_add(race.start, 1);
	}
	for (i = 0; i < RACERS; i++)
		expect_exit(pids[i], 0);
	assert_int_equal(heap_stat("creates") - creates, ROUNDS);
	for (i = 0; i < ROUNDS; i++) {
		assert_true(atomic_load(&race.created[i]) <= 1);
		by_ioctl += atomic_load(&race.created[i]);
		delete(race.key + i);
	}
	printf("# %d of %d by CREATE\n", by_ioctl, ROUNDS);
	assert_in_range(by_ioctl, 1, ROUNDS - 1);
	assert_usage(before);
}

static int create_large(void *arg)
{
	const struct race *race = arg;

	gate_add(race->ready, 1);
	create(race->key, race->size, 0);
	pause();
	return 0;
}

static void create_that_is_killed_leaves_nothing(void **state)
{
	struct usage before = usage_now();
	struct race race = { .ready = gate_new(), .key = test_key() };
	int i, complete = 0;

	(void)state;
	race.size = (max_bytes - before.bytes) / 2 & -page;
	for (i = 0; i < 6; i++) {
		pid_t pid = spawn(create_large, &race);

		gate_wait(race.ready, i + 1);
		while (heap_stat("bytes") == before.bytes)
			;
		usleep(i * 500);
		kill_and_reap(pid);
		if (size_by_ioctl(race.key)) {
			complete++;
			delete(race.key);
		}
		assert_usage(before);
	}
	printf("# %d of 6 objects were complete\n", complete);
	assert_true(complete < 6);
}

enum { MANY = 20000 };

static int create_many_large(void *arg)
{
	const struct race *race = arg;
	struct npheap_create *items = malloc(MANY * sizeof(*items));
	int i;

	child_check(items);
	for (i = 0; i < MANY; i++)
		items[i] = item(race->key + i, page, SPARSE);
	gate_add(race->ready, 1);
	create_many(items, MANY);
	pause();
	return 0;
}

/* The kill ends it between two of them, and what was created stays whole. */
static void create_many_can_be_killed(void **state)
{
	struct usage before = usage_now();
	struct race race = { .ready = gate_new(), .key = test_key() };
	pid_t pid = spawn(create_many_large, &race);
	long long created;
	int i;

	(void)state;
	gate_wait(race.ready, 1);
	while (heap_stat("objects") < before.objects + 10)
		;
	kill_and_reap(pid);
	created = heap_stat("objects") - before.objects;
	printf("# %lld of %d were created\n", created, MANY);
	assert_true(created < MANY);
	assert_more(before, 0, 0, created, created * (long long)page);
	for (i = 0; i < created; i++) {
		assert_int_equal(size_by_ioctl(race.key + i), page);
		delete(race.key + i);
	}
	assert_usage(before);
}

static int map_without_files(void *arg)
{
	const struct race *race = arg;

	child_check(setresuid(65534, 65534, 65534) == 0);
	gate_add(race->ready, 1);
	gate_wait(race->start, 1);
	child_check(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, dev,
			 race->key * page) == MAP_FAILED);
	child_check(errno == ENFILE);
	return 0;
}

/* The first mapping needs a file; without one there is no object either. */
static void object_without_a_file_is_not_left_behind(void **state)
{
	static const char path[] = "/proc/sys/fs/file-max";
	struct usage before = usage_now();
	struct race race = { .ready = gate_new(), .start = gate_new(),
			     .key = test_key() };
	long long max = read_number(path);
	pid_t pid = spawn(map_without_files, &race);
	char text[32];
	int status;

	(void)state;
	gate_wait(race.ready, 1);
	assert_int_equal(write_text(path, "0"), 0);
	gate_add(race.start, 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	snprintf(text, sizeof(text), "%lld", max);
	assert_int_equal(write_text(path, text), 0);
	assert_int_equal(status, 0);
	assert_int_equal(size_by_ioctl(race.key), 0);
	assert_usage(before);
}

/* ----------------------------------------------------------------- sparse */

static void sparse_objects_have_no_memory_at_first(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	size_t size = 1ULL << 30;
	volatile char *p;

	(void)state;
	assert_int_equal(create(key, size, SPARSE), 0);
	assert_int_equal(size_by_ioctl(key), size);
	assert_more(before, 0, 0, 1, size);
	p = map_key(key, size);
	assert_more(before, 0, 0, 1, size);
	p[size / 2] = 1;
	assert_more(before, page, 0, 1, size);
	/* A read is a touch, too. */
	assert_int_equal(p[size - 1], 0);
	assert_more(before, 2 * page, 0, 1, size);
	p[size / 2 + 1] = 2;
	assert_more(before, 2 * page, 0, 1, size);
	delete(key);
	assert_more(before, 2 * page, 2 * page, 1, size);
	unmap((void *)p, size);
	assert_usage(before);
}

/* All of it: whatever folios it came in, they make the object and no more. */
static void sparse_objects_fill_up_to_their_size(void **state)
{
	struct usage before = usage_now();
	size_t i, size = 5 * MIB + 3 * page;
	long long faults = heap_stat("faults");
	uint64_t key = test_key();
	char *p;

	(void)state;
	assert_int_equal(create(key, size, SPARSE), 0);
	p = map_key(key, size);
	for (i = 0; i < size; i += page) {
		assert_int_equal(p[i], 0);
		p[i] = i / page % 127 + 1;
	}
	assert_more(before, size, 0, 1, size);
	printf("# %lld faults for %zu pages\n", heap_stat("faults") - faults,
	       size / page);
	for (i = 0; i < size; i += page)
		assert_int_equal(p[i], i / page % 127 + 1);
	unmap(p, size);
	p = map_key(key, size);
	for (i = 0; i < size; i += page)
		assert_int_equal(p[i], i / page % 127 + 1);
	unmap(p, size);
	delete(key);
	assert_usage(before);
}

/* Pages touched apart from each other come one by one. */
static void sparse_objects_take_what_is_touched(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	size_t i, size = 64 * MIB, step = 16 * page;
	char *p;

	(void)state;
	assert_int_equal(create(key, size, SPARSE), 0);
	p = map_key(key, size);
	for (i = 0; i < size; i += step)
		p[i] = 1;
	assert_more(before, size / step * page, 0, 1, size);
	/* From the last to the first, so that none continues another. */
	for (i = size; i; i -= page)
		p[i - page] = 1;
	assert_more(before, size, 0, 1, size);
	unmap(p, size);
	delete(key);
	assert_usage(before);
}

struct access {
	volatile char *addr;
	enum how how;
};

static int touch_it(void *arg)
{
	const struct access *access = arg;

	return touch(access->addr, access->how);
}

/* Another process, which has not touched it before, gets this signal, or 0. */
static void expect_touch(volatile char *addr, enum how how, int sig)
{
	struct access access = { addr, how };

	expect_exit(spawn(touch_it, &access), sig);
}

/* To the last page; and what failed can succeed later. */
static void sparse_objects_get_sigbus_at_the_limit(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	size_t size = 64 * page;
	char *p;
	int i;

	(void)state;
	heap_set("max_bytes", before.bytes + 13 * page);
	assert_int_equal(create(key, size, SPARSE), 0);
	p = map_key(key, size);
	for (i = 0; i < 13; i++)
		p[i * page] = 1;
	assert_more(before, 13 * page, 0, 1, size);
	expect_touch(p + 13 * page, WRITE, SIGBUS);
	expect_touch(p + 13 * page, READ, SIGBUS);
	expect_touch(p + 63 * page, READ, SIGBUS);
	expect_touch(p + 12 * page, WRITE, 0);
	assert_more(before, 13 * page, 0, 1, size);
	heap_set("max_bytes", before.bytes + 14 * page);
	expect_touch(p + 13 * page, WRITE, 0);
	expect_touch(p + 14 * page, WRITE, SIGBUS);
	assert_more(before, 14 * page, 0, 1, size);
	unmap(p, size);
	delete(key);
	assert_usage(before);
}

static void sparse_objects_end_where_they_end(void **state)
{
	uint64_t key = test_key();
	size_t size = 3 * page;
	char *p;

	(void)state;
	assert_int_equal(create(key, size, SPARSE), 0);
	p = map_key(key, 4 * MIB);
	expect_touch(p + size, READ, SIGBUS);
	expect_touch(p + size, WRITE, SIGBUS);
	expect_touch(p + 2 * MIB, WRITE, SIGBUS);
	expect_touch(p + size - 1, WRITE, 0);
	unmap(p, 4 * MIB);
	delete(key);
}

static void sparse_bytes_have_a_limit(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	heap_set("max_sparse_bytes", before.sparse + 10 * page);
	assert_errno(create(key, 11 * page, SPARSE), ENOSPC);
	assert_int_equal(create(key, 6 * page, SPARSE), 0);
	assert_errno(create(key + 1, 5 * page, SPARSE), ENOSPC);
	assert_int_equal(create(key + 1, 4 * page, SPARSE), 0);
	/* Others do not count there. */
	assert_int_equal(create(key + 2, 4 * page, 0), 0);
	assert_more(before, 4 * page, 0, 3, 10 * page);
	delete(key);
	delete(key + 1);
	delete(key + 2);
	assert_usage(before);
}

/* Memory that comes after the deletion is a deleted object's from the start. */
static void sparse_objects_grow_after_their_deletion(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	char *p;

	(void)state;
	assert_int_equal(create(key, 32 * page, SPARSE), 0);
	p = map_key(key, 32 * page);
	p[0] = 1;
	delete(key);
	assert_more(before, page, page, 1, 32 * page);
	p[16 * page] = 1;
	p[24 * page] = 1;
	assert_more(before, 3 * page, 3 * page, 1, 32 * page);
	unmap(p, 32 * page);
	assert_usage(before);
}

static void sparse_objects_come_of_noreserve(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	char *p;

	(void)state;
	p = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE, dev, key * page);
	assert_true(p != MAP_FAILED);
	assert_more(before, 0, 0, 1, 8 * MIB);
	p[0] = 1;
	assert_more(before, page, 0, 1, 8 * MIB);
	unmap(p, 8 * MIB);
	delete(key);
	/* It says how to create, and nothing about an object that exists. */
	assert_int_equal(create(key, 4 * page, 0), 0);
	p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE, dev, key * page);
	assert_true(p != MAP_FAILED);
	assert_more(before, 4 * page, 0, 1, 0);
	unmap(p, 4 * page);
	delete(key);
	assert_usage(before);
}

static void sparse_objects_are_snapshot_and_shared(void **state)
{
	uint64_t key = test_key();
	char *shared, *private;

	(void)state;
	assert_int_equal(create(key, 16 * page, SPARSE), 0);
	shared = map_key(key, 16 * page);
	private = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		       dev, key * page);
	assert_true(private != MAP_FAILED);
	private[0] = 1;
	assert_int_equal(shared[0], 0);
	shared[page] = 2;
	assert_int_equal(private[page], 2);
	expect_touch(shared + 2 * page, WRITE, 0);
	assert_int_equal(private[2 * page], 1);
	unmap(shared, 16 * page);
	unmap(private, 16 * page);
	delete(key);
}

/* @gates: all are ready; all may go, or are to stop */
struct rivals {
	uint64_t key;
	struct gate *gates;
};

#define TOUCHERS 6

static int touch_together(void *arg)
{
	const struct rivals *rivals = arg;
	volatile char *p = npheap_alloc(dev, rivals->key, page);

	child_check(p != MAP_FAILED);
	gate_add(&rivals->gates[0], 1);
	gate_wait(&rivals->gates[1], 1);
	p[0] = 1;
	return 0;
}

/* There is room for one page, and who comes second finds it there. */
static void sparse_faults_share_the_last_page(void **state)
{
	struct usage before = usage_now();
	struct rivals rivals = { test_key(), NULL };
	pid_t pids[TOUCHERS];
	int round, i;

	(void)state;
	heap_set("max_bytes", before.bytes + page);
	for (round = 0; round < 40; round++) {
		rivals.gates = gate_new();
		assert_int_equal(create(rivals.key, page, SPARSE), 0);
		for (i = 0; i < TOUCHERS; i++)
			pids[i] = spawn(touch_together, &rivals);
		gate_wait(&rivals.gates[0], TOUCHERS);
		gate_add(&rivals.gates[1], 1);
		for (i = 0; i < TOUCHERS; i++)
			expect_exit(pids[i], 0);
		delete(rivals.key);
		munmap(rivals.gates, page);
	}
	assert_usage(before);
}

struct filler {
	struct gate *start;
	char *addr;
	size_t size;
};

/* Each adds to every page, so that one that came twice is found out. */
static int fill_object(void *arg)
{
	const struct filler *filler = arg;
	size_t i;

	gate_wait(filler->start, 1);
	for (i = 0; i < filler->size; i += page)
		atomic_fetch_add((_Atomic char *)(filler->addr + i), 1);
	return 0;
}

static void sparse_faults_race(void **state)
{
	struct usage before = usage_now();
	struct filler filler = { .size = 16 * MIB };
	uint64_t key = test_key();
	pid_t pids[RACERS];
	size_t j;
	int i, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		filler.start = gate_new();
		assert_int_equal(create(key, filler.size, SPARSE), 0);
		filler.addr = map_key(key, filler.size);
		for (i = 0; i < RACERS; i++)
			pids[i] = spawn(fill_object, &filler);
		gate_add(filler.start, 1);
		for (i = 0; i < RACERS; i++)
			expect_exit(pids[i], 0);
		assert_more(before, filler.size, 0, 1, filler.size);
		for (j = 0; j < filler.size; j += page)
			assert_int_equal(filler.addr[j], RACERS);
		delete(key);
		unmap(filler.addr, filler.size);
		assert_usage(before);
	}
}

static int fill_as_member(void *arg)
{
	const struct filler *filler = arg;
	size_t i;

	child_check(enter_group() == 0);
	for (i = 0; i < filler->size; i += page)
		filler->addr[i] = 1;
	return 0;
}

/* Where a cgroup has no more, it is SIGBUS too, and no OOM killer. */
static void sparse_faults_never_call_the_oom_killer(void **state)
{
	struct usage before = usage_now();
	struct filler filler = { .size = 32 * MIB };
	uint64_t key = test_key();

	(void)state;
	need_group();
	assert_int_equal(write_text(GROUP "/memory.max", "16M"), 0);
	assert_int_equal(create(key, filler.size, SPARSE), 0);
	filler.addr = map_key(key, filler.size);
	expect_death(fill_as_member, &filler, SIGBUS);
	assert_int_equal(number_after(GROUP "/memory.events", "oom_kill "), 0);
	assert_true(heap_stat("bytes") - before.bytes < (long long)(16 * MIB));
	assert_true(heap_stat("bytes") - before.bytes > (long long)(8 * MIB));
	unmap(filler.addr, filler.size);
	delete(key);
	assert_usage(before);
	assert_int_equal(rmdir(GROUP), 0);
}

/* ------------------------------------------------------------------ users */

/* Runs as a user that has nothing yet; the limits are set by the parent. */
static int become_user(void)
{
	return setresuid(4321, 4321, 4321);
}

static int create_as_user(void *arg)
{
	uint64_t key = *(uint64_t *)arg;
	char *p;

	child_check(become_user() == 0);
	child_check(create(key, 5 * page, 0) == -1 && errno == EDQUOT);
	child_check(create(key, 3 * page, 0) == 0);
	child_check(create(key + 1, 2 * page, 0) == -1 && errno == EDQUOT);
	child_check(npheap_alloc(dev, key + 1, 2 * page) == MAP_FAILED);
	child_check(errno == EDQUOT);
	child_check(create(key + 1, 7 * page, SPARSE) == -1 &&
		    errno == EDQUOT);
	child_check(create(key + 1, 6 * page, SPARSE) == 0);
	child_check(create(key + 2, page, SPARSE) == -1 && errno == EDQUOT);
	p = npheap_alloc(dev, key + 1, 6 * page);
	child_check(p != MAP_FAILED);
	p[0] = 1;
	/* What its object has is the fourth page; the next is SIGBUS. */
	p[2 * page] = 1;
	return 0;
}

static void users_have_limits_of_their_own(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	char *p;

	(void)state;
	heap_set("max_user_bytes", 4 * page);
	heap_set("max_user_sparse_bytes", 6 * page);
	heap_set("max_user_objects", before.objects + 100);
	expect_death(create_as_user, &key, SIGBUS);
	assert_more(before, 4 * page, 0, 2, 6 * page);
	/* It is charged to who created it, whoever touches it. */
	p = map_key(key + 1, 6 * page);
	expect_touch(p + 4 * page, WRITE, SIGBUS);
	/* Another user is not hindered. */
	assert_int_equal(create(key + 2, 2 * page, SPARSE), 0);
	/* Nor this one, after it was given more. */
	heap_set("max_user_bytes", 5 * page);
	expect_touch(p + 4 * page, WRITE, 0);
	assert_more(before, 5 * page, 0, 3, 8 * page);
	unmap(p, 6 * page);
	delete(key);
	delete(key + 1);
	delete(key + 2);
	assert_usage(before);
}

/* Always more than the user may have, and just what the heap has left. */
static int ask_for_too_much(void *arg)
{
	const struct rivals *rivals = arg;

	child_check(become_user() == 0);
	gate_add(&rivals->gates[0], 1);
	while (!atomic_load(&rivals->gates[1].value))
		child_check(create(rivals->key, 60 * page, 0) == -1 &&
			    errno == EDQUOT);
	return 0;
}

/* Who has no room takes none from others, not even for a moment. */
static void users_without_room_hinder_nobody(void **state)
{
	struct rivals rivals = { test_key(), gate_new() };
	struct usage before = usage_now();
	pid_t pids[2];
	int i;

	(void)state;
	heap_set("max_bytes", before.bytes + 64 * page);
	heap_set("max_user_bytes", before.bytes + 40 * page);
	for (i = 0; i < 2; i++)
		pids[i] = spawn(ask_for_too_much, &rivals);
	gate_wait(&rivals.gates[0], 2);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(create(rivals.key + 1, 30 * page, 0), 0);
		delete(rivals.key + 1);
	}
	gate_add(&rivals.gates[1], 1);
	for (i = 0; i < 2; i++)
		expect_exit(pids[i], 0);
	assert_usage(before);
}

static int create_too_many(void *arg)
{
	uint64_t key = *(uint64_t *)arg;

	child_check(become_user() == 0);
	child_check(create(key, page, 0) == 0);
	child_check(create(key + 1, page, SPARSE) == 0);
	child_check(create(key + 2, page, 0) == -1 && errno == EDQUOT);
	child_check(npheap_delete(dev, key) == 0);
	child_check(create(key + 2, page, 0) == 0);
	child_check(npheap_delete(dev, key + 1) == 0);
	child_check(npheap_delete(dev, key + 2) == 0);
	return 0;
}

struct attempts {
	uint64_t key;
	int count;
	int error;
};

static int create_as_another(void *arg)
{
	const struct attempts *attempts = arg;
	int i;

	child_check(become_user() == 0);
	for (i = 0; i < attempts->count; i++) {
		int rc = create(attempts->key, page, 0);

		child_check(attempts->error ? rc == -1 &&
			    errno == attempts->error : rc == 0);
	}
	return 0;
}

/* What the heap has no room for is nothing of the user's. */
static void users_are_not_charged_for_what_is_refused(void **state)
{
	struct attempts first = { test_key(), 1, 0 };
	struct attempts refused = { first.key + 1, 10, ENOSPC };
	struct attempts second = { first.key + 1, 1, 0 };
	struct usage before = usage_now();

	(void)state;
	heap_set("max_user_objects", 2);
	/* Somebody who has nothing is forgotten, and all charges with that. */
	expect_exit(spawn(create_as_another, &first), 0);
	heap_set("max_objects", before.objects + 1);
	expect_exit(spawn(create_as_another, &refused), 0);
	heap_set("max_objects", before.objects + 2);
	expect_exit(spawn(create_as_another, &second), 0);
	delete(first.key);
	delete(second.key);
	assert_usage(before);
}

static void users_have_limits_of_objects(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	heap_set("max_user_objects", 2);
	expect_exit(spawn(create_too_many, &key), 0);
	assert_usage(before);
	/* Where the heap's is met, that is what is told. */
	heap_set("max_objects", before.objects);
	assert_errno(create(key, page, 0), ENOSPC);
}

static int lock_too_many(void *arg)
{
	uint64_t key = *(uint64_t *)arg;

	child_check(become_user() == 0);
	child_check(lock_by_ioctl(key) == 0);
	child_check(lock_by_ioctl(key + 1) == 0);
	child_check(lock_by_ioctl(key + 2) == -1 && errno == EDQUOT);
	/* An idle record makes room. */
	child_check(unlock_by_ioctl(key) == 0);
	child_check(lock_by_ioctl(key + 2) == 0);
	child_check(unlock_by_ioctl(key + 1) == 0);
	child_check(unlock_by_ioctl(key + 2) == 0);
	return 0;
}

static void users_have_limits_of_locks(void **state)
{
	uint64_t key = test_key();

	(void)state;
	heap_set("max_user_locks", 2);
	expect_exit(spawn(lock_too_many, &key), 0);
	assert_int_equal(locks_in_use(), 0);
}

/* By default a user may have all, however much that is. */
static void users_have_the_limits_of_the_heap(void **state)
{
	long long limit = heap_stat("max_bytes");

	(void)state;
	assert_int_equal(heap_stat("max_user_bytes"), limit);
	heap_set("max_bytes", limit + page);
	assert_int_equal(heap_stat("max_user_bytes"), limit + page);
	heap_set("max_bytes", limit - page);
	assert_int_equal(heap_stat("max_user_bytes"), limit - page);
	assert_int_equal(heap_stat("max_user_locks"), heap_stat("max_locks"));
	assert_int_equal(heap_write("max_user_bytes", -1), -EINVAL);
	assert_int_equal(write_text("/sys/class/misc/npheap/max_user_bytes",
				    "9223372036854775808"), -ERANGE);
}

/* ---------------------------------------------------------------- library */

static void library_creates_objects(void **state)
{
	struct usage before = usage_now();
	struct npheap_create items[3];
	uint64_t key = test_key();
	struct npheap *heap;
	int i;

	(void)state;
	assert_int_equal(npheap_open(NULL, 0, &heap), 0);
	assert_int_equal(npheap_create(heap, key, page + 1, 0, 0), 0);
	assert_more(before, 2 * page, 0, 1, 0);
	assert_int_equal(npheap_create(heap, key, page, 0, 0), -EEXIST);
	assert_int_equal(npheap_create(heap, key + 1, 0, 0, 0), -EINVAL);
	assert_int_equal(npheap_create(heap, key + 1, 2 * page, page, 0),
			 -EINVAL);
	assert_int_equal(npheap_create(heap, key + 1, page, 0, 4), -EINVAL);
	assert_int_equal(npheap_create(heap, UINT64_MAX, page, 0, 0),
			 -EOVERFLOW);
	assert_int_equal(npheap_create(heap, key + 1, UINT64_MAX, 0, 0),
			 -EFBIG);
	delete(key);
	for (i = 0; i < 3; i++)
		items[i] = item(key + i, page, SPARSE);
	assert_int_equal(npheap_create_many(heap, items, 2), 2);
	assert_int_equal(npheap_create_many(heap, items + 1, 2), -EEXIST);
	assert_int_equal(npheap_create_many(heap, items + 2, 1), 1);
	assert_int_equal(npheap_create_many(heap, NULL, 1), -EFAULT);
	for (i = 0; i < 3; i++)
		delete(key + i);
	npheap_close(heap);
	assert_usage(before);
}

struct mapper {
	struct gate *stop;
	uint64_t key;
};

/* The large object is made, found or lost to a deleter; it is always mapped. */
static int map_large(void *arg)
{
	const struct mapper *mapper = arg;
	int rounds = 0;

	while (!atomic_load(&mapper->stop->value)) {
		char *p = npheap_alloc(dev, mapper->key, 4 * MIB);

		child_check(p != MAP_FAILED);
		p[0] = 1;
		p[4 * MIB - 1] = 1;
		child_check(munmap(p, 4 * MIB) == 0);
		if (++rounds % 3 == 0)
			child_check(npheap_delete(dev, mapper->key) == 0);
	}
	return 0;
}

static void library_maps_large_objects_in_any_case(void **state)
{
	struct usage before = usage_now();
	struct mapper mapper = { gate_new(), test_key() };
	pid_t pids[RACERS];
	int i;

	(void)state;
	for (i = 0; i < RACERS; i++)
		pids[i] = spawn(map_large, &mapper);
	usleep(1500000);
	gate_add(mapper.stop, 1);
	for (i = 0; i < RACERS; i++)
		expect_exit(pids[i], 0);
	delete(mapper.key);
	assert_usage(before);
}

struct crowd {
	_Atomic int done;
	uint64_t key;
	size_t size;
};

static void *alloc_in_a_thread(void *arg)
{
	struct crowd *crowd = arg;
	void *p = npheap_alloc(dev, crowd->key, crowd->size);

	atomic_store(&crowd->done, p == MAP_FAILED ? -1 : 1);
	return p;
}

/* Each needs mmap_lock.  With it held in between, there would be one or two. */
static void library_does_not_stop_other_threads(void **state)
{
	struct usage before = usage_now();
	struct crowd crowd = { .key = test_key() };
	pthread_t thread;
	int maps = 0;
	void *p;

	(void)state;
	crowd.size = (max_bytes - before.bytes) / 2 & -page;
	assert_int_equal(pthread_create(&thread, NULL, alloc_in_a_thread,
					&crowd), 0);
	while (heap_stat("bytes") == before.bytes)
		;
	while (!size_by_ioctl(crowd.key) && !atomic_load(&crowd.done)) {
		p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
		assert_true(p != MAP_FAILED);
		unmap(p, page);
		maps++;
	}
	assert_int_equal(pthread_join(thread, &p), 0);
	assert_int_equal(atomic_load(&crowd.done), 1);
	printf("# %d mappings while %zu MiB were allocated\n", maps,
	       crowd.size >> 20);
	assert_true(maps > 10);
	unmap(p, crowd.size);
	delete(crowd.key);
	assert_usage(before);
}

/* ------------------------------------------------------------------ sizes */

/* What a slab has for each of its objects. */
static size_t slab_share(const char *name)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	unsigned int per_slab, pages, size = 0;
	char line[256], cache[64];

	assert_non_null(file);
	while (!size && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %*u %*u %u %u %u", cache, &size,
			   &per_slab, &pages) != 4 || strcmp(cache, name))
			size = 0;
	fclose(file);
	assert_true(size > 0);
	return pages * page / per_slab;
}

/* What the kernel needs for an object that nobody maps. */
static void create_needs_little_kernel_memory(void **state)
{
	size_t object = slab_share("npheap_object");
	size_t inode = slab_share("inode_cache");

	(void)state;
	printf("# %zu bytes, of an inode %zu\n", object, inode);
	assert_true(object - inode <= 128);
	/* Where locks are larger, as for real time, so are inodes. */
	if (inode > 700)
		return;
	/* The index has two to three pointers for each. */
	assert_true(object + 24 <= 768);
}

/* How many of a cache's objects are in use. */
static long long slab_used(const char *name)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[256], cache[64];
	long long used = -1, found;

	assert_non_null(file);
	while (used < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %lld", cache, &found) == 2 &&
		    !strcmp(cache, name))
			used = found;
	fclose(file);
	return used;
}

#define THOUSANDS 3

static void create_and_delete_all(uint64_t key)
{
	static struct npheap_create items[1000];
	int i, n;

	for (n = 0; n < THOUSANDS; n++) {
		for (i = 0; i < 1000; i++)
			items[i] = item(key + n * 1000 + i, 2 * page,
					i % 2 ? SPARSE : 0);
		assert_int_equal(create_many(items, 1000), 1000);
		for (i = 0; i < 1000; i++)
			assert_int_equal(lock_by_ioctl(items[i].key) ||
					 unlock_by_ioctl(items[i].key), 0);
	}
	for (i = 0; i < THOUSANDS * 1000; i++)
		delete(key + i);
}

/* Inodes are freed after a grace period, and slabs are kept for a while. */
static void assert_caches_become(long long objects)
{
	long long limit = now_ms() + 20000;

	do {
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		write_text("/sys/kernel/slab/npheap_object/shrink", "1");
		usleep(50000);
	} while (slab_used("npheap_object") != objects && now_ms() < limit);
	assert_int_equal(slab_used("npheap_object"), objects);
}

/* What is deleted is gone, with all that it needed. */
static void delete_all_gives_everything_back(void **state)
{
	struct usage before = usage_now();
	long long memory = 0, objects;
	uint64_t key = test_key();
	int round;

	(void)state;
	write_text("/sys/kernel/slab/npheap_object/shrink", "1");
	create_and_delete_all(key);
	assert_caches_become(objects = 2 + before.objects);
	for (round = 0; round < 3; round++) {
		if (!round)
			memory = memory_left();
		create_and_delete_all(key);
		assert_usage(before);
		assert_caches_become(objects);
	}
	memory -= memory_left();
	printf("# %lld KiB less after three rounds\n", memory / 1024);
	/* KASAN keeps freed memory for a while: up to a part of RAM. */
	if (access("/sys/kernel/debug/kmemleak", F_OK))
		assert_true(memory < (long long)(4 * MIB));
}

static const struct CMUnitTest create_tests[] = {
	TEST(create_gives_zeroes_of_that_size),
	TEST(create_is_exclusive),
	TEST(create_checks_its_arguments),
	TEST(create_needs_memory_and_a_descriptor_to_write),
	LIMIT_TEST(create_meets_the_limits),
	TEST(create_many_goes_in_order_and_counts),
	TEST(create_many_ends_where_its_array_does),
	TEST(create_races_make_one_object),
	TEST(create_that_is_killed_leaves_nothing),
	TEST(create_many_can_be_killed),
	TEST(object_without_a_file_is_not_left_behind),
	TEST(sparse_objects_have_no_memory_at_first),
	TEST(sparse_objects_fill_up_to_their_size),
	TEST(sparse_objects_take_what_is_touched),
	LIMIT_TEST(sparse_objects_get_sigbus_at_the_limit),
	TEST(sparse_objects_end_where_they_end),
	LIMIT_TEST(sparse_bytes_have_a_limit),
	TEST(sparse_objects_grow_after_their_deletion),
	TEST(sparse_objects_come_of_noreserve),
	TEST(sparse_objects_are_snapshot_and_shared),
	TEST(sparse_faults_race),
	LIMIT_TEST(sparse_faults_share_the_last_page),
	TEST(sparse_faults_never_call_the_oom_killer),
	LIMIT_TEST(users_have_limits_of_their_own),
	LIMIT_TEST(users_without_room_hinder_nobody),
	LIMIT_TEST(users_are_not_charged_for_what_is_refused),
	LIMIT_TEST(users_have_limits_of_objects),
	LIMIT_TEST(users_have_limits_of_locks),
	LIMIT_TEST(users_have_the_limits_of_the_heap),
	TEST(library_creates_objects),
	TEST(library_maps_large_objects_in_any_case),
	TEST(library_does_not_stop_other_threads),
	TEST(create_needs_little_kernel_memory),
	TEST(delete_all_gives_everything_back),
};

int main(void)
{
	limits_keep();
	max_bytes = heap_stat("max_bytes");
	return test_main(create_tests);
}
