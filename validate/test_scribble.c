// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process that may write the shared table fills it with rubbish: nothing
 * breaks but the locks in it, and all waits can be ended.
 *
 * "test_scribble PATTERN" runs the tests that match.
 */
#include <sched.h>
#include <stdatomic.h>

#include "scene.h"

#define VICTIMS 8
#define PATTERN 0x5a5a5a5a5a5a5a5aULL

static uint64_t random_word(uint64_t *seed)
{
	/* xorshift64: Marsaglia, Xorshift RNGs, 2003. */
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static sigjmp_buf no_page;

static void on_sigbus(int sig)
{
	siglongjmp(no_page, sig);
}

/* How many bytes of the table have memory behind them. */
static size_t table_bytes(const struct npheap_join *j)
{
	volatile size_t bytes = 0;

	signal(SIGBUS, on_sigbus);
	if (!sigsetjmp(no_page, 1))
		for (; bytes < j->slots * sizeof(struct npheap_record);
		     bytes += page)
			(void)*(volatile char *)(uintptr_t)(j->table_addr +
							    bytes);
	signal(SIGBUS, SIG_DFL);
	return bytes;
}

static int scribble(void *arg)
{
	uint64_t seed = 88172645463325252ULL, *words;
	struct npheap_join j;
	size_t count, i;

	(void)arg;
	join(&j);
	count = table_bytes(&j) / sizeof(uint64_t);
	child_check(count >= page / sizeof(uint64_t));
	words = (uint64_t *)(uintptr_t)j.table_addr;
	gate_add(&scene->started, 1);
	for (;;) {
		for (i = 0; i < count; i++) {
			uint64_t word = random_word(&seed);

			/* Half of them with the generation that is there. */
			if (word & 1 << 20)
				word = (words[i] & ~0xffffffffULL) |
				       (word & 0x700000ff);
			((volatile uint64_t *)words)[i] = word;
		}
	}
	return 0;
}

/* Whatever they get, they come back. */
static int live_with_it(void *arg)
{
	unsigned int seed = getpid();
	uint64_t event, key, ignored;

	(void)arg;
	gate_add(&scene->started, 1);
	while (!scene->stop) {
		key = scene->key + rand_r(&seed) % VICTIMS;
		if (!take_until(key, rand_r(&seed) % 4 ? 0 : NPHEAP_SHARED, 3))
			sched_yield();
		npheap_release(heap, key);
		npheap_consistent(heap, key);
		npheap_release(heap, key);
		npheap_event(heap, key, &event);
		npheap_wait(heap, key, event, in_ms(2));
		npheap_notify(heap, key, 1);
		npheap_size(heap, key, &ignored);
		atomic_fetch_add(&scene->count, 1);
	}
	return 0;
}

static int wait_forever(void *arg)
{
	uint64_t event;

	(void)arg;
	gate_add(&scene->started, 1);
	for (;;) {
		npheap_lock(dev, scene->key);
		npheap_unlock(dev, scene->key);
		npheap_event(heap, scene->key, &event);
		npheap_wait(heap, scene->key, event, in_ms(50));
	}
	return 0;
}

static void check_pattern(const volatile uint64_t *data, size_t words)
{
	size_t i;

	for (i = 0; i < words; i++)
		assert_int_equal(data[i], PATTERN);
}

static int all_is_well(void *arg)
{
	int i, rc;

	(void)arg;
	for (i = 0; i < VICTIMS; i++) {
		rc = take_until(scene->key + i, 0, 5000);
		child_check(rc == -EOWNERDEAD);
		child_check(!npheap_consistent(heap, scene->key + i));
		child_check(!npheap_release(heap, scene->key + i));
		child_check(!npheap_lock(dev, scene->key + i));
		child_check(raw_try(scene->key + i) == EDEADLK);
		child_check(!npheap_unlock(dev, scene->key + i));
	}
	return 0;
}

static void scribbler_breaks_nothing_but_locks(void **state)
{
	size_t i, size = 4 * page;
	uint64_t *data;
	pid_t scribbler, waiter, pids[3];

	(void)state;
	scene_new();
	data = map_key(scene->key, size);
	for (i = 0; i < size / 8; i++)
		data[i] = PATTERN;
	for (i = 0; i < VICTIMS; i++)
		warm(scene->key + i);
	scribbler = start(scribble, NULL);
	for (i = 0; i < 3; i++)
		pids[i] = start(live_with_it, NULL);
	waiter = start(wait_forever, NULL);
	sleep_ms(999);
	sleep_ms(999);
	/* A thread that is told to end can be in any wait. */
	kill_and_reap(waiter);
	scene->stop = 1;
	for (i = 0; i < 3; i++)
		expect_exit(pids[i], 0);
	printf("# %llu rounds beside it\n", (unsigned long long)scene->count);
	assert_true(scene->count > 0);
	kill_and_reap(scribbler);
	check_pattern(data, size / 8);
	for (i = 0; i < VICTIMS; i++)
		assert_int_equal(npheap_break(heap, scene->key + i), 0);
	expect_exit(spawn(all_is_well, NULL), 0);
	for (i = 0; i < VICTIMS; i++)
		assert_int_equal(elsewhere(scene->key + i), 0);
	munmap(data, size);
	assert_int_equal(npheap_remove(heap, scene->key), 0);
	scene_free();
}

static int read_for_a_while(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	scene->result = -take_until(scene->key, NPHEAP_SHARED, 300);
	return 0;
}

static int read_for_ever(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	npheap_acquire_with(heap, scene->key, NPHEAP_SHARED, NPHEAP_FOREVER);
	pause();
	return 0;
}

static int write_for_a_while(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	scene->results[0] = -take_until(scene->key, 0, 3000);
	return 0;
}

/* A writer waits, and the word says that the lock is free. */
static void scribbled_free_a_reader_can_still_time_out(void **state)
{
	struct npheap_record *record;
	pid_t writer, reader;
	uint64_t before;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	record = record_of(scene->key);
	writer = start_asleep(write_for_a_while, NULL);
	__atomic_and_fetch(&record->word, ~0xffffffffULL, __ATOMIC_SEQ_CST);
	before = now_ns();
	reader = start(read_for_a_while, NULL);
	expect_exit(reader, 0);
	/* Not only when the writer gave up. */
	assert_true(now_ns() - before < 2000 * NS_PER_MS);
	assert_true(scene->result == 0 || scene->result == ETIMEDOUT);
	reader = start(read_for_ever, NULL);
	sleep_ms(100);
	kill_and_reap(reader);
	assert_true(now_ns() - before < 2500 * NS_PER_MS);
	expect_exit(writer, 0);
	assert_int_equal(npheap_break(heap, scene->key), 0);
	settle(scene->key);
	scene_free();
}

/* No thread of a test has such a number. */
#define NOBODY (NPHEAP_WORD_OWNER - 1)

static void scribble_holder(struct npheap_record *record, uint64_t holder)
{
	record->word = (record->word & ~0xffffffffULL) | holder;
}

/* Readers of the table of locks look for the owner that the word names. */
static void scribbled_owner_is_nobody(void **state)
{
	struct npheap_record *record;
	char line[128];

	(void)state;
	scene_new();
	warm(scene->key);
	record = record_of(scene->key);
	scribble_holder(record, NOBODY);
	snprintf(line, sizeof(line), "%llu\t",
		 (unsigned long long)scene->key);
	assert_int_equal(number_after("/proc/npheap/locks", line), 0);
	assert_int_equal(raw_try(scene->key), EBUSY);
	assert_int_equal(raw_unlock(scene->key), EPERM);
	assert_int_equal(npheap_break(heap, scene->key), 0);
	settle(scene->key);
	scene_free();
}

/* The queue is the kernel's, and the next word from it says again who waits. */
static void scribbled_away_waiters_get_it_all_the_same(void **state)
{
	struct npheap_record *record;
	pid_t pids[3];
	int i;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	record = record_of(scene->key);
	for (i = 0; i < 3; i++)
		pids[i] = start_asleep(wait_for_it, NULL);
	__atomic_and_fetch(&record->word, ~NPHEAP_WORD_WAITERS,
			   __ATOMIC_SEQ_CST);
	assert_int_equal(raw_unlock(scene->key), 0);
	for (i = 0; i < 3; i++)
		expect_exit(pids[i], 0);
	assert_free(scene->key);
	scene_free();
}

static int scribble_and_exit(void *arg)
{
	(void)arg;
	warm(scene->key);
	scribble_holder(record_of(scene->key), NOBODY);
	return 0;
}

/* What only the dead knew is not kept for what is written there. */
static void scribbled_records_go_away(void **state)
{
	long long locks;

	(void)state;
	scene_new();
	locks = heap_stat("locks");
	expect_exit(spawn(scribble_and_exit, NULL), 0);
	assert_int_equal(heap_stat("locks"), locks);
	assert_int_equal(raw_try(scene->key), 0);
	assert_int_equal(raw_unlock(scene->key), 0);
	scene_free();
}

static int wait_for_the_event(void *arg)
{
	struct npheap_event args = {
		.key = scene->key, .event = scene->event, .timeout = UINT64_MAX,
	};

	(void)arg;
	gate_add(&scene->started, 1);
	return ioctl(dev, NPHEAP_IOC_WAIT, &args) ? errno : 0;
}

/* Who sleeps is in the kernel's list; the event's bit only spares calls. */
static void scribbled_event_still_wakes(void **state)
{
	struct npheap_event args = { .count = 1 };
	struct npheap_record *record;
	pid_t pid;

	(void)state;
	scene_new();
	args.key = scene->key;
	record = record_of(scene->key);
	assert_int_equal(npheap_event(heap, scene->key, &scene->event), 0);
	pid = start_asleep(wait_for_the_event, NULL);
	__atomic_and_fetch(&record->event, ~1ULL, __ATOMIC_SEQ_CST);
	assert_int_equal(ioctl(dev, NPHEAP_IOC_NOTIFY, &args), 1);
	expect_exit(pid, 0);
	scene_free();
}

static int bind_once(void *arg)
{
	struct npheap_bind *bind = arg;

	return ioctl(dev, NPHEAP_IOC_BIND, bind) ? errno : 0;
}

/* Or what somebody remembers of an earlier key would be true of a later one. */
static void scribbled_generation_does_not_come_back(void **state)
{
	struct npheap_bind *bind = share(sizeof(*bind));
	struct npheap_record *records;
	struct npheap_join result;
	uint32_t slot, generation;

	(void)state;
	scene_new();
	join(&result);
	records = (struct npheap_record *)(uintptr_t)result.table_addr;
	bind->key = scene->key;
	expect_exit(spawn(bind_once, bind), 0);
	slot = bind->slot;
	generation = bind->generation;
	records[slot].word = 0;
	expect_exit(spawn(bind_once, bind), 0);
	assert_int_equal(bind->slot, slot);
	assert_int_equal(bind->generation, generation + 1);
	scene_free();
	munmap(bind, sizeof(*bind));
}

static const struct CMUnitTest tests[] = {
	TEST(scribbler_breaks_nothing_but_locks),
	TEST(scribbled_free_a_reader_can_still_time_out),
	TEST(scribbled_owner_is_nobody),
	TEST(scribbled_away_waiters_get_it_all_the_same),
	TEST(scribbled_records_go_away),
	TEST(scribbled_event_still_wakes),
	TEST(scribbled_generation_does_not_come_back),
};

int main(int argc, char **argv)
{
	test_choose(argc, argv);
	return test_main(tests);
}
