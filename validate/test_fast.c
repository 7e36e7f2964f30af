// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Locks and sizes by the table that the kernel shares: that the warm path
 * takes no system call and excludes those that do, that records which go to
 * other keys are noticed, and what may be done to the table's mappings.
 *
 * "test_fast PATTERN" runs the tests that match.
 */
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "scene.h"

/* ------------------------------------------------------ no system calls -- */

static int classic_pair(void)
{
	return npheap_lock(dev, scene->key) || npheap_unlock(dev, scene->key);
}

static int handle_pair(void)
{
	return npheap_acquire(heap, scene->key) ||
	       npheap_release(heap, scene->key);
}

static int try_pair(void)
{
	return try(scene->key) || npheap_release(heap, scene->key);
}

static int timed_pair(void)
{
	return npheap_acquire_with(heap, scene->key, 0, 1) ||
	       npheap_release(heap, scene->key);
}

static int classic_size(void)
{
	return npheap_getsize(dev, scene->key) != (long)page;
}

static int handle_size(void)
{
	uint64_t size = 0;

	return npheap_size(heap, scene->key, &size) || size != page;
}

NO_SYSTEM_CALL(classic_pair)
NO_SYSTEM_CALL(handle_pair)
NO_SYSTEM_CALL(try_pair)
NO_SYSTEM_CALL(timed_pair)
NO_SYSTEM_CALL(classic_size)
NO_SYSTEM_CALL(handle_size)

/* ---------------------------------------------------------------- mixing -- */

#define MIXED_PROCESSES 5

struct ledger {
	volatile uint64_t begun;
	volatile uint64_t ended;
};

static struct ledger *ledger;

static int mixed_take(int how)
{
	switch (how) {
	case 0:
		return lock(scene->key);
	case 1:
		return npheap_acquire(heap, scene->key);
	case 2:
		return lock_by_ioctl(scene->key);
	case 3:
		return raw_lock(scene->key, 0);
	default:
		return take_until(scene->key, 0, 60000);
	}
}

static int mixed_give(int how)
{
	return how & 1 ? raw_unlock(scene->key) : unlock(scene->key);
}

static int mixed_user(void *arg)
{
	int how = (intptr_t)arg;
	uint64_t n = 0;

	gate_wait(&scene->go, 1);
	while (!scene->stop) {
		uint64_t begun;

		child_check(!mixed_take(how));
		begun = ledger->begun;
		ledger->begun = begun + 1;
		if (n++ % 16 == 0)
			sched_yield();
		child_check(ledger->ended == begun);
		ledger->ended = begun + 1;
		child_check(!mixed_give(n % 2 ? how : how + 1));
	}
	atomic_fetch_add(&scene->count, n);
	return 0;
}

static void library_and_ioctls_exclude_each_other(void **state)
{
	pid_t pids[MIXED_PROCESSES];
	int i;

	(void)state;
	scene_new();
	ledger = map_key(scene->key, page);
	for (i = 0; i < MIXED_PROCESSES; i++)
		pids[i] = spawn(mixed_user, (void *)(intptr_t)i);
	gate_add(&scene->go, 1);
	sleep_ms(999);
	sleep_ms(999);
	scene->stop = 1;
	for (i = 0; i < MIXED_PROCESSES; i++)
		expect_exit(pids[i], 0);
	assert_int_equal(ledger->begun, scene->count);
	assert_int_equal(ledger->ended, scene->count);
	printf("# %llu times\n", (unsigned long long)scene->count);
	munmap(ledger, page);
	assert_int_equal(npheap_remove(heap, scene->key), 0);
	scene_free();
}

/* --------------------------------------------------------------- records -- */

#define OURS 64
#define THEIRS 400
/* More than fit beside ours, so that they have to get records of ours. */
#define HELD (2 * OURS)

static uint32_t slot_of(uint64_t key)
{
	struct npheap_bind bind = { .key = key };

	assert_int_equal(ioctl(dev, NPHEAP_IOC_BIND, &bind), 0);
	return bind.slot;
}

/* The other process: on each step of "go" it does something to its keys. */
static int take_records(void *arg)
{
	uint64_t ours = scene->key, theirs = scene->key + 1000;
	int i;

	(void)arg;
	/* 1: so many others that our records have to go. */
	gate_wait(&scene->go, 1);
	for (i = 0; i < THEIRS; i++) {
		child_check(!raw_lock(theirs + i, 0));
		child_check(!raw_unlock(theirs + i));
	}
	for (i = 0; i < HELD; i++) {
		struct npheap_bind bind = { .key = theirs + i };

		child_check(!raw_lock(theirs + i, 0));
		child_check(!ioctl(dev, NPHEAP_IOC_BIND, &bind));
		scene->results[i] = bind.slot;
	}
	gate_add(&scene->done, 1);
	/* 2: they have tried to disturb us. */
	gate_wait(&scene->go, 2);
	for (i = 0; i < HELD; i++) {
		child_check(raw_try(theirs + i) == EDEADLK);
		child_check(!raw_unlock(theirs + i));
	}
	gate_add(&scene->done, 1);
	/* 3: they hold theirs, and nothing but theirs. */
	gate_wait(&scene->go, 3);
	for (i = 0; i < OURS; i++)
		child_check(raw_try(ours + i) == EBUSY);
	for (i = 0; i < THEIRS; i++) {
		child_check(!raw_try(theirs + i));
		child_check(!raw_unlock(theirs + i));
	}
	gate_add(&scene->done, 1);
	/* 4: they gave them back. */
	gate_wait(&scene->go, 4);
	for (i = 0; i < OURS; i++) {
		child_check(!raw_try(ours + i));
		child_check(!raw_unlock(ours + i));
	}
	return 0;
}

static void stale_record_takes_and_releases_nothing(void **state)
{
	uint32_t slots[OURS];
	int i, j, reused = 0;
	pid_t pid;

	(void)state;
	scene_new();
	limit_locks(locks_not_idle() + HELD + 8);
	for (i = 0; i < OURS; i++) {
		warm(scene->key + i);
		slots[i] = slot_of(scene->key + i);
	}
	pid = spawn(take_records, NULL);
	gate_add(&scene->go, 1);
	gate_wait(&scene->done, 1);
	for (i = 0; i < OURS; i++)
		for (j = 0; j < HELD; j++)
			reused += (uint32_t)scene->results[j] == slots[i];
	printf("# %d records went to keys that are held\n", reused);
	assert_true(reused > OURS / 2);
	/* All of these are known, to the library, in records of others. */
	for (i = 0; i < OURS; i++) {
		assert_errno(unlock(scene->key + i), EPERM);
		assert_int_equal(npheap_release(heap, scene->key + i), -EPERM);
		assert_int_equal(npheap_notify(heap, scene->key + i, 1), 0);
		assert_int_equal(npheap_getsize(dev, scene->key + i), 0);
	}
	gate_add(&scene->go, 1);
	gate_wait(&scene->done, 2);
	for (i = 0; i < OURS; i++)
		assert_int_equal(lock(scene->key + i), 0);
	gate_add(&scene->go, 1);
	gate_wait(&scene->done, 3);
	for (i = 0; i < OURS; i++)
		assert_int_equal(unlock(scene->key + i), 0);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	unlimit_locks();
	scene_free();
}

#define CROWD 3
#define CROWD_KEYS 256

/* Each takes keys of which no two can have a record at the same time. */
static int crowd(void *arg)
{
	volatile uint64_t *counts = arg;
	unsigned int seed = getpid();

	while (!scene->stop) {
		int i = rand_r(&seed) % CROWD_KEYS;

		child_check(!lock(scene->key + i));
		counts[i]++;
		child_check(!unlock(scene->key + i));
		atomic_fetch_add(&scene->count, 1);
	}
	return 0;
}

static void records_come_and_go_under_load(void **state)
{
	size_t size = CROWD_KEYS * sizeof(uint64_t);
	uint64_t *counts, sum = 0;
	pid_t pids[CROWD];
	int i;

	(void)state;
	scene_new();
	counts = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Others' records that cannot go are those in use. */
	limit_locks(locks_not_idle() + 3 * CROWD);
	for (i = 0; i < CROWD; i++)
		pids[i] = spawn(crowd, counts);
	sleep_ms(999);
	sleep_ms(999);
	scene->stop = 1;
	for (i = 0; i < CROWD; i++)
		expect_exit(pids[i], 0);
	for (i = 0; i < CROWD_KEYS; i++)
		sum += counts[i];
	assert_int_equal(sum, scene->count);
	printf("# %llu times\n", (unsigned long long)sum);
	unlimit_locks();
	munmap(counts, size);
	scene_free();
}

/* ----------------------------------------------------------------- sizes -- */

static int change_object(void *arg)
{
	uint64_t i;
	void *p;

	(void)arg;
	for (i = 1; i <= 20; i++) {
		gate_wait(&scene->go, 2 * i - 1);
		p = mmap(NULL, i * page, PROT_READ | PROT_WRITE, MAP_SHARED,
			 dev, scene->key * page);
		child_check(p != MAP_FAILED);
		munmap(p, i * page);
		gate_add(&scene->done, 1);
		gate_wait(&scene->go, 2 * i);
		child_check(!npheap_delete(dev, scene->key));
		gate_add(&scene->done, 1);
	}
	return 0;
}

static void size_follows_what_others_do(void **state)
{
	uint64_t i, size = 77;
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(npheap_getsize(dev, scene->key), 0);
	pid = spawn(change_object, NULL);
	for (i = 1; i <= 20; i++) {
		gate_add(&scene->go, 1);
		gate_wait(&scene->done, 2 * i - 1);
		assert_int_equal(npheap_getsize(dev, scene->key), i * page);
		assert_int_equal(npheap_size(heap, scene->key, &size), 0);
		assert_int_equal(size, i * page);
		gate_add(&scene->go, 1);
		gate_wait(&scene->done, 2 * i);
		assert_int_equal(npheap_getsize(dev, scene->key), 0);
		assert_int_equal(npheap_size(heap, scene->key, &size), -ENOENT);
		assert_int_equal(size, i * page);
	}
	expect_exit(pid, 0);
	scene_free();
}

/* A record made by one that only waits knows the size, too. */
static void size_of_a_key_that_had_a_record_before_it_was_known(void **state)
{
	uint64_t event;
	void *p;

	(void)state;
	scene_new();
	p = map_key(scene->key, 3 * page);
	assert_int_equal(npheap_wait(heap, scene->key, 0, 0), 0);
	assert_int_equal(npheap_event(heap, scene->key, &event), 0);
	assert_int_equal(npheap_getsize(dev, scene->key), 3 * page);
	munmap(p, 3 * page);
	assert_int_equal(npheap_remove(heap, scene->key), 0);
	assert_int_equal(npheap_getsize(dev, scene->key), 0);
	scene_free();
}

/* ------------------------------------------------------------ many locks -- */

struct many {
	uint64_t known;
	uint64_t held;
};

static int know_and_hold(void *arg)
{
	const struct many *many = arg;
	uint64_t i;

	for (i = 0; i < many->known; i++) {
		child_check(!lock(scene->key + i));
		if (i >= many->held)
			child_check(!unlock(scene->key + i));
	}
	gate_add(&scene->started, 1);
	pause();
	return 0;
}

/* Nanoseconds of a death, for each lock that was known. */
static uint64_t death_of_many(struct many *many)
{
	long long recovered = heap_stat("lock_recovered");
	uint64_t ns, i;
	pid_t pid;

	pid = start(know_and_hold, many);
	ns = now_ns();
	kill_and_reap(pid);
	ns = now_ns() - ns;
	assert_int_equal(heap_stat("lock_recovered") - recovered, many->held);
	assert_int_equal(locks_in_use(), 0);
	for (i = 0; i < many->held; i++) {
		assert_int_equal(try(scene->key + i), -EOWNERDEAD);
		assert_int_equal(npheap_consistent(heap, scene->key + i), 0);
		assert_int_equal(npheap_release(heap, scene->key + i), 0);
	}
	return ns / many->known;
}

static uint64_t ns_of_a_new_key(void)
{
	uint64_t before = now_ns();
	int i;

	for (i = 0; i < 2000; i++)
		warm(scene->key + (1 << 19) + i);
	return (now_ns() - before) / 2000;
}

static void death_of_one_that_knows_a_million(void **state)
{
	struct many few = { 250000, 25000 }, many = { 1000000, 100000 };
	uint64_t ns_few, ns_many, ns;

	(void)state;
	scene_new();
	limit_locks(2000000);
	/* A tenth, and a hundredth, where it would take too long. */
	for (ns = ns_of_a_new_key(); ns * many.known > 7000 * NS_PER_MS &&
	     many.known > 10000; many.known /= 10) {
		many.held /= 10;
		few.known /= 10;
		few.held /= 10;
	}
	ns_few = death_of_many(&few);
	scene->key = test_key();
	ns_many = death_of_many(&many);
	printf("# %llu held of %llu known: %llu ns a known lock; "
	       "%llu of %llu: %llu ns\n",
	       (unsigned long long)few.held, (unsigned long long)few.known,
	       (unsigned long long)ns_few, (unsigned long long)many.held,
	       (unsigned long long)many.known, (unsigned long long)ns_many);
	assert_true(ns_many <= 3 * ns_few + 1000);
	unlimit_locks();
	scene_free();
}

/* -------------------------------------------------------------- mappings -- */

static int raw_pair(void)
{
	return lock_by_ioctl(scene->key) || unlock_by_ioctl(scene->key);
}

static int open_map_file(uint64_t addr, uint64_t size)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx",
		 (unsigned long long)addr, (unsigned long long)(addr + size));
	return open(path, O_RDWR | O_CLOEXEC);
}

static int write_epoch(void *arg)
{
	struct npheap_join j;

	(void)arg;
	join(&j);
	*(volatile uint64_t *)(uintptr_t)j.epoch_addr = 1;
	return 0;
}

static int make_epoch_writable(void *arg)
{
	struct npheap_join j;
	int mem = open("/proc/self/mem", O_RDWR);
	uint64_t value = 1;
	void *addr;
	int fd;

	(void)arg;
	join(&j);
	addr = (void *)(uintptr_t)j.epoch_addr;
	child_check(*(volatile uint64_t *)addr == j.epoch);
	child_check(mprotect(addr, page, PROT_READ | PROT_WRITE) == -1 &&
		    errno == EACCES);
	child_check(mprotect(addr, page, PROT_READ | PROT_EXEC) == -1 &&
		    errno == EACCES);
	child_check(mprotect((void *)(uintptr_t)j.table_addr, page,
			     PROT_READ | PROT_EXEC) == -1 && errno == EACCES);
	child_check(mem >= 0);
	child_check(pwrite(mem, &value, 8, j.epoch_addr) == -1);
	fd = open_map_file(j.epoch_addr, page);
	if (fd >= 0)
		child_check(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, 0) == MAP_FAILED);
	child_check(*(volatile uint64_t *)addr == j.epoch);
	/* By way of the table, which is writable and of the same file. */
	child_check(syscall(SYS_remap_file_pages, j.table_addr, page, 0, 0, 0));
	child_check(*(volatile uint64_t *)addr == j.epoch);
	return 0;
}

static void epoch_cannot_be_written(void **state)
{
	(void)state;
	scene_new();
	expect_death(write_epoch, NULL, SIGSEGV);
	expect_exit(spawn(make_epoch_writable, NULL), 0);
	scene_free();
}

static int read_at(void *arg)
{
	return *(volatile uint64_t *)arg == 0 ? 0 : 1;
}

static void table_is_not_inherited(void **state)
{
	struct npheap_join j;
	void *table;

	(void)state;
	scene_new();
	join(&j);
	table = (void *)(uintptr_t)j.table_addr;
	assert_int_equal(record_of(scene->key)->reserved[0], 0);
	expect_death(read_at, table, SIGSEGV);
	/* Though the program may have asked for it. */
	madvise(table, page, MADV_DOFORK);
	expect_death(read_at, table, SIGSEGV);
	/* The epoch is a page of zeroes there. */
	assert_int_not_equal(*(uint64_t *)(uintptr_t)j.epoch_addr, 0);
	expect_exit(spawn(read_at, (void *)(uintptr_t)j.epoch_addr), 0);
	warm(scene->key);
	scene_free();
}

static int remap(void *arg)
{
	struct npheap_join j;
	size_t size;
	void *p;

	(void)arg;
	child_check(!lock(scene->key));
	child_check(!unlock(scene->key));
	join(&j);
	size = j.slots * sizeof(struct npheap_record);
	/* They do not grow. */
	child_check(mremap((void *)(uintptr_t)j.epoch_addr, page, 2 * page,
			   MREMAP_MAYMOVE) == MAP_FAILED);
	child_check(mremap((void *)(uintptr_t)j.table_addr, size, size + page,
			   MREMAP_MAYMOVE) == MAP_FAILED);
	child_check(!lock(scene->key));
	child_check(!unlock(scene->key));
	/* Moved elsewhere they are of no use, and do no harm. */
	p = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = mremap((void *)(uintptr_t)j.epoch_addr, page, page,
		   MREMAP_MAYMOVE | MREMAP_FIXED, p);
	if (p != MAP_FAILED) {
		child_check(mprotect(p, page, PROT_READ | PROT_WRITE) == -1);
		child_check(*(volatile uint64_t *)p == j.epoch);
	}
	p = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = mremap((void *)(uintptr_t)j.table_addr, page, page,
		   MREMAP_MAYMOVE | MREMAP_FIXED, p);
	if (p != MAP_FAILED)
		*(volatile uint64_t *)((char *)p + page - 8) = 0;
	child_check(!raw_pair());
	return 0;
}

static int unmap(void *arg)
{
	struct npheap_join j;
	int i;

	(void)arg;
	child_check(!lock(scene->key));
	join(&j);
	child_check(!munmap((void *)(uintptr_t)j.epoch_addr, page));
	child_check(!munmap((void *)(uintptr_t)j.table_addr,
			    j.slots * sizeof(struct npheap_record)));
	child_check(!unlock_by_ioctl(scene->key));
	for (i = 0; i < 100; i++)
		child_check(!raw_pair());
	/* What it holds when it dies is free, as ever. */
	child_check(!lock_by_ioctl(scene->key));
	return 0;
}

static void mappings_may_be_moved_or_unmapped(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn(remap, NULL), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	expect_exit(spawn(unmap, NULL), 0);
	assert_recovered();
	scene_free();
}

static const struct CMUnitTest tests[] = {
	TEST(classic_pair_takes_no_system_call),
	TEST(handle_pair_takes_no_system_call),
	TEST(try_pair_takes_no_system_call),
	TEST(timed_pair_takes_no_system_call),
	TEST(classic_size_takes_no_system_call),
	TEST(handle_size_takes_no_system_call),
	TEST(library_and_ioctls_exclude_each_other),
	TEST(stale_record_takes_and_releases_nothing),
	TEST(records_come_and_go_under_load),
	TEST(size_follows_what_others_do),
	TEST(size_of_a_key_that_had_a_record_before_it_was_known),
	TEST(death_of_one_that_knows_a_million),
	TEST(epoch_cannot_be_written),
	TEST(table_is_not_inherited),
	TEST(mappings_may_be_moved_or_unmapped),
};

int main(int argc, char **argv)
{
	test_choose(argc, argv);
	return test_main(tests);
}
