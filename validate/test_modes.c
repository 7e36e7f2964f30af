// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ways to take a lock: to try, until a deadline, shared with other
 * readers; and the requests that are refused.
 *
 * "test_modes PATTERN" runs the tests that match.
 */
#include <pthread.h>
#include <sched.h>

#include "scene.h"

/* ------------------------------------------------------------ try, timed -- */

static void try_of_a_held_lock_is_ebusy(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	pid = start(hold, NULL);
	assert_int_equal(try(scene->key), -EBUSY);
	assert_int_equal(try_shared(scene->key), -EBUSY);
	assert_int_equal(npheap_acquire_with(heap, scene->key, NPHEAP_TRY, 0),
			 -EBUSY);
	assert_int_equal(raw_try(scene->key), EBUSY);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_int_equal(try(scene->key), 0);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static void assert_times_out(unsigned int flags, uint64_t deadline)
{
	uint64_t before = now_ns();

	assert_int_equal(npheap_acquire_with(heap, scene->key, flags, deadline),
			 -ETIMEDOUT);
	assert_true(now_ns() >= deadline);
	/* One that is over already is no reason to wait. */
	if (deadline < before)
		assert_true(now_ns() - before < 2000 * NS_PER_MS);
}

static void deadline_ends_a_wait(void **state)
{
	long long locks = locks_in_use();
	pid_t pid;
	int i;

	(void)state;
	scene_new();
	pid = start(hold, NULL);
	for (i = 1; i <= 64; i *= 4) {
		assert_times_out(0, in_ms(i));
		assert_times_out(NPHEAP_SHARED, in_ms(i));
	}
	assert_times_out(0, 0);
	assert_times_out(0, 1);
	assert_times_out(NPHEAP_SHARED, 0);
	assert_times_out(0, now_ns());
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	/* No place in the queue was left behind. */
	assert_int_equal(locks_in_use(), locks);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static void deadline_does_not_matter_to_a_free_lock(void **state)
{
	const uint64_t deadlines[] = { 0, 1, INT64_MAX, UINT64_MAX - 1 };
	size_t i;

	(void)state;
	scene_new();
	for (i = 0; i < 4; i++) {
		assert_int_equal(npheap_acquire_with(heap, scene->key, 0,
						     deadlines[i]), 0);
		assert_mine(scene->key);
		assert_int_equal(npheap_release(heap, scene->key), 0);
		assert_int_equal(npheap_acquire_with(heap, scene->key,
						     NPHEAP_SHARED,
						     deadlines[i]), 0);
		assert_int_equal(npheap_release(heap, scene->key), 0);
	}
	scene_free();
}

static int take_late(void *arg)
{
	gate_add(&scene->started, 1);
	child_check(!npheap_acquire_with(heap, scene->key, 0,
					 *(uint64_t *)arg));
	child_check(!npheap_release(heap, scene->key));
	return 0;
}

static void deadline_far_away_waits(void **state)
{
	uint64_t deadlines[] = { UINT64_MAX - 1, 1ULL << 63, INT64_MAX };
	pid_t pid;
	size_t i;

	(void)state;
	scene_new();
	for (i = 0; i < 3; i++) {
		assert_int_equal(lock(scene->key), 0);
		pid = start_asleep(take_late, &deadlines[i]);
		assert_int_equal(unlock(scene->key), 0);
		expect_exit(pid, 0);
	}
	scene_free();
}

/* ---------------------------------------------------------------- shared -- */

static int take_exclusive(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	child_check(!npheap_acquire(heap, scene->key));
	gate_add(&scene->done, 1);
	gate_wait(&scene->go, 1);
	child_check(!npheap_release(heap, scene->key));
	return 0;
}

static int take_shared(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	child_check(!npheap_acquire_with(heap, scene->key, NPHEAP_SHARED,
					 NPHEAP_FOREVER));
	gate_add(&scene->done, 1);
	gate_wait(&scene->go, 1);
	child_check(!npheap_release(heap, scene->key));
	return 0;
}

static void readers_hold_it_together(void **state)
{
	pid_t reader;

	(void)state;
	scene_new();
	reader = start(hold_shared, NULL);
	assert_int_equal(try_shared(scene->key), 0);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	gate_add(&scene->go, 1);
	expect_exit(reader, 0);
	/* One of two gave it back. */
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static void readers_exclude_writers_and_the_other_way_round(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	pid = start(hold_shared, NULL);
	assert_int_equal(try(scene->key), -EBUSY);
	assert_int_equal(take_until(scene->key, 0, 20), -ETIMEDOUT);
	assert_int_equal(raw_try(scene->key), EBUSY);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_int_equal(try(scene->key), 0);
	scene->go.value = 0;
	pid = start_asleep(take_shared, NULL);
	assert_int_equal(scene->done.value, 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	gate_wait(&scene->done, 1);
	assert_int_equal(try(scene->key), -EBUSY);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	scene_free();
}

static void readers_get_in_together(void **state)
{
	pid_t pids[3];
	int i;

	(void)state;
	scene_new();
	assert_int_equal(npheap_acquire(heap, scene->key), 0);
	for (i = 0; i < 3; i++)
		pids[i] = start_asleep(take_shared, NULL);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	/* None of them lets go before all are in. */
	gate_wait(&scene->done, 3);
	gate_add(&scene->go, 1);
	for (i = 0; i < 3; i++)
		expect_exit(pids[i], 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static int reader_is_busy(void *arg)
{
	(void)arg;
	child_check(try_shared(scene->key) == -EBUSY);
	child_check(take_until(scene->key, NPHEAP_SHARED, 20) == -ETIMEDOUT);
	return 0;
}

static void reader_does_not_get_past_a_writer_that_waits(void **state)
{
	pid_t writer;

	(void)state;
	scene_new();
	assert_int_equal(try_shared(scene->key), 0);
	writer = start_asleep(take_exclusive, NULL);
	assert_int_equal(scene->done.value, 0);
	expect_exit(spawn(reader_is_busy, NULL), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	gate_wait(&scene->done, 1);
	assert_int_equal(try_shared(scene->key), -EBUSY);
	gate_add(&scene->go, 1);
	expect_exit(writer, 0);
	scene_free();
}

static int give_up_writing(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	child_check(take_until(scene->key, 0, 400) == -ETIMEDOUT);
	return 0;
}

/* When the writer gives up, those behind it have nothing to wait for. */
static void reader_gets_in_when_the_writer_before_it_gives_up(void **state)
{
	pid_t writer, reader;

	(void)state;
	scene_new();
	assert_int_equal(try_shared(scene->key), 0);
	writer = start_asleep(give_up_writing, NULL);
	expect_exit(spawn(reader_is_busy, NULL), 0);
	reader = start(take_shared, NULL);
	gate_wait(&scene->done, 1);
	expect_exit(writer, 0);
	gate_add(&scene->go, 1);
	expect_exit(reader, 0);
	/* And when it is killed. */
	scene->go.value = 0;
	writer = start_asleep(take_exclusive, NULL);
	expect_exit(spawn(reader_is_busy, NULL), 0);
	reader = start_asleep(take_shared, NULL);
	assert_int_equal(scene->done.value, 1);
	kill_and_reap(writer);
	gate_wait(&scene->done, 2);
	gate_add(&scene->go, 1);
	expect_exit(reader, 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

/* The lock came free while it was in a handler, and nobody kept it for it. */
static void reader_that_comes_back_takes_it(void **state)
{
	long long abandoned = heap_stat("lock_waits_abandoned");
	pid_t reader;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	reader = start_asleep(wait_with_a_handler,
			      (void *)(uintptr_t)NPHEAP_SHARED);
	call_away(reader);
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	gate_add(&scene->go, 1);
	expect_exit(reader, 0);
	assert_int_equal(scene->result, 0);
	assert_int_equal(heap_stat("lock_waits_abandoned"), abandoned);
	scene_free();
}

static int read_all_the_time(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	while (!scene->stop) {
		child_check(!npheap_acquire_with(heap, scene->key,
						 NPHEAP_SHARED,
						 NPHEAP_FOREVER));
		sched_yield();
		child_check(!npheap_release(heap, scene->key));
	}
	return 0;
}

static void writer_does_not_starve(void **state)
{
	pid_t pids[3];
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 3; i++)
		pids[i] = start(read_all_the_time, NULL);
	for (i = 0; i < 20; i++) {
		assert_int_equal(take_until(scene->key, 0, 10000), 0);
		assert_int_equal(npheap_release(heap, scene->key), 0);
	}
	scene->stop = 1;
	for (i = 0; i < 3; i++)
		expect_exit(pids[i], 0);
	scene_free();
}

static void reader_death_frees(void **state)
{
	long long recovered = heap_stat("lock_recovered");
	pid_t pid;
	int rc;

	(void)state;
	scene_new();
	pid = start(hold_shared, NULL);
	assert_int_equal(try_shared(scene->key), 0);
	kill_and_reap(pid);
	assert_int_equal(heap_stat("lock_recovered"), recovered + 1);
	/* The other reader holds it still. */
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	pid = start(hold_shared, NULL);
	kill_and_reap(pid);
	rc = try(scene->key);
	assert_true(rc == 0 || rc == -EOWNERDEAD);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

/* More than the kernel wakes at a time; a writer waits behind all of them. */
static void crowd_of_readers_gets_in_together(void **state)
{
	enum { CROWD = 150 };
	long long queued, limit = now_ms() + TEST_SECONDS / 2 * 1000;
	pid_t pids[CROWD], writer;
	int i;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	queued = heap_stat("lock_contended") + CROWD;
	for (i = 0; i < CROWD; i++)
		pids[i] = start(take_shared, NULL);
	/* Not merely asleep: one that came after the writer would wait for it. */
	while (heap_stat("lock_contended") < queued && now_ms() < limit)
		sleep_ms(10);
	assert_int_equal(heap_stat("lock_contended"), queued);
	writer = start_asleep(wait_and_report, NULL);
	assert_int_equal(unlock(scene->key), 0);
	gate_wait(&scene->done, CROWD);
	assert_int_equal(scene->result, -1);
	gate_add(&scene->go, 1);
	for (i = 0; i < CROWD; i++)
		expect_exit(pids[i], 0);
	expect_exit(writer, 0);
	assert_int_equal(scene->result, 0);
	assert_int_equal(locks_in_use(), 0);
	scene_free();
}

/* -------------------------------------------------------- wrong requests -- */

static void assert_deadlk_in_all_ways(void)
{
	assert_int_equal(npheap_acquire(heap, scene->key), -EDEADLK);
	assert_int_equal(try(scene->key), -EDEADLK);
	assert_int_equal(try_shared(scene->key), -EDEADLK);
	assert_int_equal(take_until(scene->key, 0, 0), -EDEADLK);
	assert_int_equal(take_until(scene->key, NPHEAP_SHARED, 100), -EDEADLK);
	assert_errno(lock(scene->key), EDEADLK);
	assert_errno(lock_by_ioctl(scene->key), EDEADLK);
	assert_int_equal(raw_lock(scene->key, 0), EDEADLK);
	assert_int_equal(raw_lock(scene->key, NPHEAP_LOCK_SHARED), EDEADLK);
}

static void lock_twice_is_edeadlk(void **state)
{
	(void)state;
	scene_new();
	warm(scene->key);
	assert_int_equal(lock(scene->key), 0);
	assert_deadlk_in_all_ways();
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(npheap_acquire(heap, scene->key), 0);
	assert_deadlk_in_all_ways();
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(lock_by_ioctl(scene->key), 0);
	assert_deadlk_in_all_ways();
	assert_int_equal(unlock_by_ioctl(scene->key), 0);
	assert_int_equal(try_shared(scene->key), 0);
	assert_deadlk_in_all_ways();
	assert_int_equal(unlock(scene->key), 0);
	/* None of them was counted as a second hold. */
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static void *release_in_thread(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)(npheap_release(heap, scene->key) == -EPERM &&
				  unlock(scene->key) == -1 && errno == EPERM &&
				  raw_unlock(scene->key) == EPERM);
}

static int release_in_child(void *arg)
{
	return release_in_thread(arg) ? 0 : 1;
}

static void assert_release_is_for_the_holder(void)
{
	pthread_t id;
	void *result;

	expect_exit(spawn(release_in_child, NULL), 0);
	assert_int_equal(pthread_create(&id, NULL, release_in_thread, NULL), 0);
	pthread_join(id, &result);
	assert_non_null(result);
	assert_int_equal(elsewhere(scene->key), EBUSY);
}

static void release_by_another_is_eperm(void **state)
{
	(void)state;
	scene_new();
	assert_non_null(release_in_thread(NULL));
	warm(scene->key);
	assert_non_null(release_in_thread(NULL));
	assert_int_equal(npheap_consistent(heap, scene->key), -EPERM);
	assert_int_equal(lock(scene->key), 0);
	assert_release_is_for_the_holder();
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(try_shared(scene->key), 0);
	assert_release_is_for_the_holder();
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static void unknown_flags_are_einval(void **state)
{
	struct npheap_lock_args args;
	unsigned int bit;

	(void)state;
	scene_new();
	for (bit = 4; bit; bit <<= 1) {
		assert_int_equal(npheap_acquire_with(heap, scene->key, bit,
						     NPHEAP_FOREVER), -EINVAL);
		assert_int_equal(npheap_acquire_with(heap, scene->key,
						     bit | NPHEAP_TRY, 0),
				 -EINVAL);
		if (bit > NPHEAP_LOCK_REPORT)
			assert_int_equal(raw_lock(scene->key, bit), EINVAL);
	}
	args = (struct npheap_lock_args){ .key = scene->key, .reserved = 1 };
	assert_errno(ioctl(dev, NPHEAP_IOC_LOCK, &args), EINVAL);
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
	assert_int_equal(npheap_acquire(heap, NPHEAP_KEY_MAX + 1), -EOVERFLOW);
	assert_int_equal(npheap_acquire(heap, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(npheap_release(heap, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(npheap_break(heap, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(npheap_consistent(heap, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(npheap_notify(heap, UINT64_MAX, 1), -EOVERFLOW);
	assert_errno(lock(UINT64_MAX), EOVERFLOW);
	assert_errno(npheap_getsize(dev, UINT64_MAX), EOVERFLOW);
	scene_free();
}

static void read_only_handle_locks_nothing(void **state)
{
	struct npheap *reader;

	(void)state;
	scene_new();
	reader = open_heap(NPHEAP_RDONLY);
	assert_int_equal(npheap_acquire(reader, scene->key), -EBADF);
	assert_int_equal(npheap_acquire_with(reader, scene->key, NPHEAP_SHARED,
					     0), -EBADF);
	assert_int_equal(npheap_release(reader, scene->key), -EBADF);
	assert_int_equal(npheap_break(reader, scene->key), -EBADF);
	assert_int_equal(npheap_notify(reader, scene->key, 1), -EBADF);
	/* Also where another descriptor has made all of it known. */
	warm(scene->key);
	assert_int_equal(npheap_acquire(reader, scene->key), -EBADF);
	npheap_close(reader);
	scene_free();
}

/* Who may read may also wait until there is something new to read. */
static void read_only_handle_waits(void **state)
{
	struct npheap *reader;
	uint64_t event, later;

	(void)state;
	scene_new();
	reader = open_heap(NPHEAP_RDONLY);
	assert_int_equal(npheap_event(reader, scene->key, &event), 0);
	assert_int_equal(npheap_wait(reader, scene->key, event, now_ns()),
			 -ETIMEDOUT);
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	assert_int_equal(npheap_wait(reader, scene->key, event,
				     NPHEAP_FOREVER), 0);
	assert_int_equal(npheap_event(reader, scene->key, &later), 0);
	assert_true(later > event);
	npheap_close(reader);
	scene_free();
}

static const struct CMUnitTest tests[] = {
	TEST(try_of_a_held_lock_is_ebusy),
	TEST(deadline_ends_a_wait),
	TEST(deadline_does_not_matter_to_a_free_lock),
	TEST(deadline_far_away_waits),
	TEST(readers_hold_it_together),
	TEST(readers_exclude_writers_and_the_other_way_round),
	TEST(readers_get_in_together),
	TEST(reader_does_not_get_past_a_writer_that_waits),
	TEST(reader_gets_in_when_the_writer_before_it_gives_up),
	TEST(reader_that_comes_back_takes_it),
	TEST(writer_does_not_starve),
	TEST(reader_death_frees),
	TEST(crowd_of_readers_gets_in_together),
	TEST(lock_twice_is_edeadlk),
	TEST(release_by_another_is_eperm),
	TEST(unknown_flags_are_einval),
	TEST(read_only_handle_locks_nothing),
	TEST(read_only_handle_waits),
};

int main(int argc, char **argv)
{
	test_choose(argc, argv);
	return test_main(tests);
}
