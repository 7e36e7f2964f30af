// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Locks, sizes and events by the table that the kernel shares: that the warm
 * path takes no system call, what the calls promise, and the ways in which
 * what a thread remembers can become wrong: a descriptor that is closed, a
 * thread that is not who it takes itself for, a record that has gone to
 * another key, a table full of rubbish.
 *
 * "test_fast PATTERN" runs the tests that match.  With "use" as its first
 * argument the program is what the tests of exec execute.
 */
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "scene.h"

#define STRANGER 65534

extern char **environ;

/* The descriptor that a body of a child works on, where it is not dev. */
static int given_fd;

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

static int event_and_notify(void)
{
	uint64_t event, next;

	return npheap_event(heap, scene->key, &event) ||
	       npheap_notify(heap, scene->key, 1) ||
	       npheap_event(heap, scene->key, &next) || next == event;
}

static int notify_alone(void)
{
	return npheap_notify(heap, scene->key, 1);
}

NO_SYSTEM_CALL(classic_pair)
NO_SYSTEM_CALL(handle_pair)
NO_SYSTEM_CALL(try_pair)
NO_SYSTEM_CALL(timed_pair)
NO_SYSTEM_CALL(classic_size)
NO_SYSTEM_CALL(handle_size)
NO_SYSTEM_CALL(event_and_notify)
NO_SYSTEM_CALL(notify_alone)

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
	assert_int_equal(npheap_open(NULL, NPHEAP_RDONLY, &reader), 0);
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
	assert_int_equal(npheap_open(NULL, NPHEAP_RDONLY, &reader), 0);
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

/* ------------------------------------------------- a holder died: the mark */

static void death_is_told_until_it_is_settled(void **state)
{
	(void)state;
	scene_new();
	die_holding();
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	assert_mine(scene->key);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_consistent(heap, scene->key), -EINVAL);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(npheap_acquire(heap, scene->key), 0);
	assert_int_equal(npheap_consistent(heap, scene->key), -EINVAL);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(npheap_consistent(heap, scene->key), -EPERM);
	scene_free();
}

static void death_is_told_to_all_kinds_of_callers(void **state)
{
	(void)state;
	scene_new();
	die_holding();
	assert_int_equal(take_until(scene->key, 0, 0), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	die_holding();
	assert_int_equal(npheap_acquire(heap, scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	die_holding();
	assert_int_equal(try_shared(scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_consistent(heap, scene->key), -EINVAL);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(try(scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

/* It may only read, so what it leaves alone is left to a writer. */
static void reader_that_is_told_may_leave_it_to_others(void **state)
{
	(void)state;
	scene_new();
	die_holding();
	assert_int_equal(try_shared(scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static int classic_round(void *arg)
{
	(void)arg;
	child_check(!lock(scene->key));
	child_check(npheap_consistent(heap, scene->key) == -EINVAL);
	child_check(!unlock(scene->key));
	child_check(!lock_by_ioctl(scene->key));
	child_check(!unlock_by_ioctl(scene->key));
	return 0;
}

static void classic_callers_leave_the_mark(void **state)
{
	int i;

	(void)state;
	scene_new();
	die_holding();
	for (i = 0; i < 3; i++) {
		assert_int_equal(classic_round(NULL), 0);
		expect_exit(spawn(classic_round, NULL), 0);
	}
	/* Neither settled nor given up. */
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(try(scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static void assert_not_recoverable(void)
{
	assert_int_equal(npheap_acquire(heap, scene->key), -ENOTRECOVERABLE);
	assert_int_equal(try(scene->key), -ENOTRECOVERABLE);
	assert_int_equal(try_shared(scene->key), -ENOTRECOVERABLE);
	assert_int_equal(take_until(scene->key, 0, 100), -ENOTRECOVERABLE);
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
}

static int see_not_recoverable(void *arg)
{
	(void)arg;
	return npheap_acquire(heap, scene->key) == -ENOTRECOVERABLE ? 0 : 1;
}

static void release_without_consistent_is_not_recoverable(void **state)
{
	(void)state;
	scene_new();
	die_holding();
	assert_int_equal(npheap_acquire(heap, scene->key), -EOWNERDEAD);
	assert_int_equal(unlock(scene->key), 0);
	assert_not_recoverable();
	expect_exit(spawn(see_not_recoverable, NULL), 0);
	/* Classic callers go on, and change nothing about it. */
	assert_int_equal(classic_round(NULL), 0);
	expect_exit(spawn(classic_round, NULL), 0);
	assert_not_recoverable();
	assert_int_equal(npheap_break(heap, scene->key), 0);
	assert_int_equal(npheap_acquire(heap, scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(npheap_acquire(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

/* Who waits while that happens is no better off than who comes later. */
static void assert_waiter_is_told_it_is_lost(unsigned int flags)
{
	pid_t pid;

	scene_new();
	die_holding();
	assert_int_equal(npheap_acquire(heap, scene->key), -EOWNERDEAD);
	pid = start_asleep(wait_and_report, (void *)(uintptr_t)flags);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	expect_exit(pid, 0);
	assert_int_equal(npheap_break(heap, scene->key), 0);
	settle(scene->key);
	assert_int_equal(scene->result, ENOTRECOVERABLE);
	scene_free();
}

static void waiter_is_told_that_it_is_not_recoverable(void **state)
{
	(void)state;
	assert_waiter_is_told_it_is_lost(0);
}

static void waiting_reader_is_told_that_it_is_not_recoverable(void **state)
{
	(void)state;
	assert_waiter_is_told_it_is_lost(NPHEAP_SHARED);
}

static int wait_classically(void *arg)
{
	gate_add(&scene->started, 1);
	return classic_round(arg);
}

/* The queue behind a waiter that does not want the lock moves on. */
static void waiter_behind_one_that_is_told_it_is_lost(void **state)
{
	pid_t teller, classic;

	(void)state;
	scene_new();
	die_holding();
	assert_int_equal(npheap_acquire(heap, scene->key), -EOWNERDEAD);
	teller = start_asleep(wait_and_report, NULL);
	classic = start_asleep(wait_classically, NULL);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	expect_exit(teller, 0);
	expect_exit(classic, 0);
	assert_int_equal(npheap_break(heap, scene->key), 0);
	settle(scene->key);
	scene_free();
}

static void waiter_is_told_of_a_death(void **state)
{
	pid_t holder, pid;

	(void)state;
	scene_new();
	holder = start(hold, NULL);
	pid = start_asleep(wait_and_report, NULL);
	kill_and_reap(holder);
	expect_exit(pid, 0);
	assert_int_equal(scene->result, EOWNERDEAD);
	/* It was settled. */
	assert_int_equal(try(scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static int be_told_and_die(void *arg)
{
	(void)arg;
	child_check(npheap_acquire(heap, scene->key) == -EOWNERDEAD);
	raise(SIGKILL);
	return 0;
}

/* It did not give the lock back, so nothing is lost. */
static void death_of_one_that_was_told(void **state)
{
	(void)state;
	scene_new();
	die_holding();
	expect_death(be_told_and_die, NULL, SIGKILL);
	expect_death(be_told_and_die, NULL, SIGKILL);
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static int consistent_by_another(void *arg)
{
	(void)arg;
	return npheap_consistent(heap, scene->key) == -EPERM ? 0 : 1;
}

static void consistent_is_for_the_holder(void **state)
{
	(void)state;
	scene_new();
	die_holding();
	assert_int_equal(npheap_consistent(heap, scene->key), -EPERM);
	assert_int_equal(npheap_acquire(heap, scene->key), -EOWNERDEAD);
	expect_exit(spawn(consistent_by_another, NULL), 0);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

/* ----------------------------------------------------------------- break -- */

static int break_it(void *arg)
{
	(void)arg;
	return -npheap_break(heap, scene->key);
}

static int break_as_a_stranger(void *arg)
{
	child_check(!setresgid(STRANGER, STRANGER, STRANGER));
	child_check(!setresuid(STRANGER, STRANGER, STRANGER));
	return break_it(arg);
}

static void break_is_for_the_administrator(void **state)
{
	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	expect_exit(spawn(break_as_a_stranger, NULL), EPERM);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(try(scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static void break_deposes_the_holder(void **state)
{
	(void)state;
	scene_new();
	warm(scene->key);
	assert_int_equal(lock(scene->key), 0);
	expect_exit(spawn(break_it, NULL), 0);
	assert_errno(unlock(scene->key), EPERM);
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
	assert_int_equal(raw_unlock(scene->key), EPERM);
	assert_int_equal(elsewhere(scene->key), 0);
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static void break_gives_it_to_a_waiter(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	pid = start_asleep(wait_and_report, NULL);
	assert_int_equal(npheap_break(heap, scene->key), 0);
	expect_exit(pid, 0);
	assert_int_equal(scene->result, EOWNERDEAD);
	assert_errno(unlock(scene->key), EPERM);
	assert_int_equal(try(scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static void break_deposes_readers(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(try_shared(scene->key), 0);
	expect_exit(spawn(break_it, NULL), 0);
	/* While another holds it, giving it back must do nothing. */
	pid = start(hold, NULL);
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	/* A deposed reader that dies takes nothing from anybody. */
	scene->go.value = 0;
	pid = start(hold_shared, NULL);
	assert_int_equal(npheap_break(heap, scene->key), 0);
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	kill_and_reap(pid);
	assert_mine(scene->key);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static void deposed_reader_takes_it_again(void **state)
{
	(void)state;
	scene_new();
	assert_int_equal(try_shared(scene->key), 0);
	expect_exit(spawn(break_it, NULL), 0);
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	assert_mine(scene->key);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
	scene_free();
}

static int read_with_others(void *arg)
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

/* More than the kernel wakes at a time; a writer waits behind all of them. */
static void crowd_of_readers_gets_in_together(void **state)
{
	enum { CROWD = 150 };
	pid_t pids[CROWD], writer;
	int i;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	for (i = 0; i < CROWD; i++)
		pids[i] = start(read_with_others, NULL);
	for (i = 0; i < CROWD; i++)
		assert_true(wait_asleep(pids[i]));
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

/* -------------------------------- death of one that made no system call -- */

/* pthread_join() may return a little earlier. */
static void assert_recovered_soon(void)
{
	assert_int_equal(take_until(scene->key, 0, 10000), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
}

static int take_and_return(void *arg)
{
	(void)arg;
	return take_warm(dev);
}

static int take_and_wait(void *arg)
{
	(void)arg;
	child_check(!take_warm(dev));
	gate_add(&scene->started, 1);
	pause();
	return 0;
}

static void warm_holder_is_killed(void **state)
{
	pid_t pid;
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 20; i++) {
		pid = start(take_and_wait, NULL);
		kill_and_reap(pid);
		assert_recovered();
	}
	scene_free();
}

static void warm_holder_exits(void **state)
{
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 20; i++) {
		expect_exit(spawn(take_and_return, NULL), 0);
		assert_recovered();
	}
	scene_free();
}

static int take_and_exec(void *arg)
{
	(void)arg;
	child_check(!take_warm(dev));
	gate_add(&scene->started, 1);
	execl("/bin/sleep", "sleep", "30", NULL);
	return 98;
}

static void *exec_in_thread(void *arg)
{
	take_and_exec(arg);
	_exit(98);
}

static int take_and_exec_by_a_thread(void *arg)
{
	pthread_t id;

	child_check(!pthread_create(&id, NULL, exec_in_thread, arg));
	pause();
	return 97;
}

static void warm_holder_executes(void **state)
{
	pid_t pid;
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 2; i++) {
		pid = start(i ? take_and_exec_by_a_thread : take_and_exec,
			    NULL);
		assert_recovered_soon();
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
		kill_and_reap(pid);
	}
	scene_free();
}

static void *take_in_thread(void *arg)
{
	(void)arg;
	return take_warm(dev) ? arg : NULL;
}

static void warm_holder_is_a_thread_that_ends(void **state)
{
	pthread_t id;
	void *result;
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&id, NULL, take_in_thread,
						scene), 0);
		pthread_join(id, &result);
		assert_null(result);
		assert_recovered_soon();
	}
	scene_free();
}

static void assert_recovered_from_clones(int flags)
{
	char *stack = malloc(STACK_SIZE);
	int i;

	scene_new();
	for (i = 0; i < 50; i++) {
		expect_exit(clone_vm(take_and_return, stack, flags), 0);
		assert_recovered();
	}
	free(stack);
	scene_free();
}

static void warm_holder_is_a_vfork_child(void **state)
{
	(void)state;
	assert_recovered_from_clones(CLONE_VFORK);
	assert_recovered_from_clones(CLONE_VFORK | CLONE_FILES);
}

static void warm_holder_is_a_clone_with_our_memory(void **state)
{
	(void)state;
	assert_recovered_from_clones(0);
	assert_recovered_from_clones(CLONE_FILES);
}

static void warm_holder_shares_descriptors(void **state)
{
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 10; i++) {
		expect_exit(clone_files(take_and_return, NULL), 0);
		assert_recovered();
	}
	scene_free();
}

static int take_in_another_namespace(void *arg)
{
	int status;
	pid_t pid;

	child_check(!unshare(CLONE_NEWPID));
	pid = fork();
	if (!pid)
		_exit(take_and_return(arg));
	child_check(waitpid(pid, &status, 0) == pid);
	child_check(status == 0);
	/* Here, too, it is free when waitpid() has returned. */
	child_check(try(scene->key) == -EOWNERDEAD);
	child_check(!npheap_consistent(heap, scene->key));
	child_check(!npheap_release(heap, scene->key));
	pid = fork();
	if (!pid)
		_exit(take_and_return(arg));
	/* The namespace's first process is gone. */
	child_check(pid < 0 && errno == ENOMEM);
	child_check(!take_warm(dev));
	return 0;
}

static void warm_holder_is_in_another_pid_namespace(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn(take_in_another_namespace, NULL), 0);
	assert_recovered();
	scene_free();
}

/* "use FD KEY": takes the key's lock through the descriptor and ends. */
static int use(int argc, char **argv)
{
	int fd = argc > 2 ? atoi(argv[2]) : -1;
	uint64_t key = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;

	if (fd < 0)
		fd = open(NPHEAP_DEVICE, O_RDWR);
	if (npheap_lock(fd, key))
		return errno;
	if (npheap_unlock(fd, key))
		return 2;
	return npheap_lock(fd, key) ? 3 : 0;
}

/* What posix_spawn() starts. */
static pid_t spawn_user(int fd)
{
	char fd_text[16], key_text[32];
	char *argv[] = { "test_fast", "use", fd_text, key_text, NULL };
	pid_t pid;

	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	snprintf(key_text, sizeof(key_text), "%llu",
		 (unsigned long long)scene->key);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv,
				     environ), 0);
	return pid;
}

static void warm_holder_was_spawned(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn_user(-1), 0);
	assert_recovered();
	/* What its maker holds stays held. */
	warm(scene->key + 1);
	assert_int_equal(lock(scene->key + 1), 0);
	expect_exit(spawn_user(-1), 0);
	assert_recovered();
	assert_mine(scene->key + 1);
	assert_int_equal(unlock(scene->key + 1), 0);
	scene_free();
}

/* ---------------------------------------------------------- who is who -- */

/* Runs in a child of a thread that holds the lock: a child does not. */
static int is_not_the_holder(void *arg)
{
	(void)arg;
	if (try(scene->key) != -EBUSY)
		return 1;
	if (take_until(scene->key, 0, 0) != -ETIMEDOUT)
		return 2;
	if (try_shared(scene->key) != -EBUSY)
		return 3;
	if (unlock(scene->key) != -1 || errno != EPERM)
		return 4;
	if (npheap_release(heap, scene->key) != -EPERM)
		return 5;
	if (raw_unlock(scene->key) != EPERM)
		return 6;
	/* And is somebody of its own. */
	if (lock(scene->key + 1))
		return 7;
	if (raw_try(scene->key + 1) != EDEADLK)
		return 8;
	return unlock(scene->key + 1) ? 9 : 0;
}

static void identity_is_not_inherited_by_fork(void **state)
{
	(void)state;
	scene_new();
	warm(scene->key);
	warm(scene->key + 1);
	assert_int_equal(lock(scene->key), 0);
	expect_exit(spawn(is_not_the_holder, NULL), 0);
	expect_exit(clone_files(is_not_the_holder, NULL), 0);
	assert_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	scene_free();
}

static void assert_identity_is_not_lent(int flags)
{
	char *stack = malloc(STACK_SIZE);
	int i;

	scene_new();
	warm(scene->key);
	warm(scene->key + 1);
	for (i = 0; i < 20; i++) {
		assert_int_equal(lock(scene->key), 0);
		expect_exit(clone_vm(is_not_the_holder, stack, flags), 0);
		assert_int_equal(unlock(scene->key), 0);
		assert_int_equal(lock(scene->key), 0);
		expect_exit(clone_vm(is_not_the_holder, stack, flags), 0);
		assert_mine(scene->key);
		assert_int_equal(unlock(scene->key), 0);
	}
	free(stack);
	scene_free();
}

static void identity_is_not_lent_to_a_vfork_child(void **state)
{
	(void)state;
	assert_identity_is_not_lent(CLONE_VFORK);
	assert_identity_is_not_lent(CLONE_VFORK | CLONE_FILES);
}

static int lock_and_unlock(void *arg)
{
	(void)arg;
	return lock(scene->key) || unlock(scene->key);
}

/*
 * The maker goes on before the child is all gone, and finds in its TLS what
 * the child left there.
 */
static void assert_identity_comes_back(int flags)
{
	char *stack = malloc(STACK_SIZE);
	long long limit = now_ms() + 600;
	pid_t pid;
	int i;

	scene_new();
	for (i = 0; i < 1000 && now_ms() < limit; i++) {
		pid = clone_vm(lock_and_unlock, stack, CLONE_VFORK | flags);
		assert_int_equal(lock(scene->key), 0);
		assert_mine(scene->key);
		expect_exit(pid, 0);
		assert_mine(scene->key);
		assert_int_equal(unlock(scene->key), 0);
	}
	printf("# %d rounds\n", i);
	free(stack);
	scene_free();
}

static void identity_comes_back_from_a_vfork_child(void **state)
{
	(void)state;
	assert_identity_comes_back(0);
	assert_identity_comes_back(CLONE_FILES);
}

static int lock_and_exec(void *arg)
{
	int fd;

	(void)arg;
	if (npheap_lock(given_fd, scene->key) ||
	    npheap_unlock(given_fd, scene->key))
		return 1;
	/* The table of descriptors is its own. */
	for (fd = 0; fd < 32; fd++)
		fcntl(fd, F_SETFD, 0);
	execl("/bin/sleep", "sleep", "30", NULL);
	return 2;
}

/* Nothing is closed at this exec, and the child goes on living. */
static void identity_comes_back_from_a_vfork_child_that_executes(void **state)
{
	char *stack = malloc(STACK_SIZE);
	pid_t pid;
	int mine;

	(void)state;
	scene_new();
	given_fd = dup(dev);
	assert_true(given_fd >= 0);
	assert_int_equal(npheap_lock(given_fd, scene->key), 0);
	assert_int_equal(npheap_unlock(given_fd, scene->key), 0);
	pid = clone_vm(lock_and_exec, stack, CLONE_VFORK);
	assert_int_equal(npheap_lock(given_fd, scene->key), 0);
	mine = raw_try(scene->key);
	kill_and_reap(pid);
	if (mine != EDEADLK)
		npheap_break(heap, scene->key);
	assert_int_equal(mine, EDEADLK);
	assert_mine(scene->key);
	assert_int_equal(npheap_unlock(given_fd, scene->key), 0);
	close(given_fd);
	free(stack);
	scene_free();
}

static int hold_in_the_same_memory(void *arg)
{
	(void)arg;
	if (npheap_lock(dev, scene->key) || npheap_unlock(dev, scene->key) ||
	    npheap_lock(dev, scene->key))
		return 1;
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	if (raw_try(scene->key) != EDEADLK)
		return 2;
	return npheap_unlock(dev, scene->key) ? 3 : 0;
}

/* Both run at the same time, with the same TLS. */
static void assert_identity_is_not_mixed_up(int flags)
{
	char *stack = malloc(STACK_SIZE);
	int tried, released, held;
	pid_t pid;

	scene_new();
	warm(scene->key);
	pid = clone_vm(hold_in_the_same_memory, stack, flags);
	gate_wait(&scene->started, 1);
	tried = try(scene->key);
	released = npheap_release(heap, scene->key);
	errno = 0;
	if (unlock(scene->key) != -1)
		released = 0;
	held = elsewhere(scene->key);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_int_equal(tried, -EBUSY);
	assert_int_equal(released, -EPERM);
	assert_int_equal(held, EBUSY);
	assert_int_equal(elsewhere(scene->key), 0);
	warm(scene->key);
	free(stack);
	scene_free();
}

static void identity_does_not_leak_from_a_clone_with_our_tls(void **state)
{
	(void)state;
	assert_identity_is_not_mixed_up(0);
	assert_identity_is_not_mixed_up(CLONE_FILES);
}

static int wait_and_be_nobody(void *arg)
{
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	return is_not_the_holder(arg);
}

static void *clone_after_the_leader(void *arg)
{
	char *stack = malloc(STACK_SIZE);
	int status;
	pid_t pid;

	(void)arg;
	/* The leader is a zombie, but still one of the threads. */
	sleep_ms(100);
	child_check(!lock_and_unlock(NULL));
	pid = clone(wait_and_be_nobody, stack + STACK_SIZE, CLONE_VM | SIGCHLD,
		    NULL);
	child_check(pid > 0);
	gate_wait(&scene->started, 1);
	/* Joins again, if it may. */
	child_check(!lock_and_unlock(NULL));
	child_check(!npheap_acquire(heap, scene->key + 1));
	child_check(!npheap_release(heap, scene->key + 1));
	child_check(!npheap_acquire(heap, scene->key));
	gate_add(&scene->go, 1);
	child_check(waitpid(pid, &status, 0) == pid);
	scene->result = status;
	child_check(raw_try(scene->key) == EDEADLK);
	child_check(!npheap_release(heap, scene->key));
	_exit(0);
}

static int leave_it_to_a_thread(void *arg)
{
	pthread_t id;

	child_check(!pthread_create(&id, NULL, clone_after_the_leader, arg));
	pthread_exit(NULL);
}

static void identity_does_not_leak_where_the_leader_is_gone(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn(leave_it_to_a_thread, NULL), 0);
	assert_int_equal(scene->result, 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static int wait_and_take(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	/* The same number, and the table at the same place, or not. */
	child_check(!npheap_lock(dev, scene->key));
	gate_add(&scene->done, 1);
	pause();
	return 0;
}

/* A page is free above the table, where the child's epoch will fit. */
static int leave_an_orphan(void *arg)
{
	void *hole = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	pid_t pid;

	(void)arg;
	child_check(hole != MAP_FAILED);
	child_check(!lock(scene->key));
	child_check(!unlock(scene->key));
	munmap(hole, page);
	pid = fork();
	if (!pid)
		_exit(wait_and_take(NULL));
	child_check(pid > 0);
	scene->result = pid;
	gate_wait(&scene->started, 1);
	return 0;
}

/*
 * The parent's number is free again when it is dead, and its child may get it.
 * What the child inherited was never noted for the child.
 */
static void identity_of_a_dead_parent_is_not_reused(void **state)
{
	pid_t orphan;
	int rc;

	(void)state;
	scene_new();
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	expect_exit(spawn(leave_an_orphan, NULL), 0);
	gate_add(&scene->go, 1);
	gate_wait(&scene->done, 1);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	orphan = scene->result;
	kill_and_reap(orphan);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
	rc = try(scene->key);
	if (rc == -EBUSY)
		npheap_break(heap, scene->key);
	else
		npheap_release(heap, scene->key);
	assert_int_equal(rc, -EOWNERDEAD);
	assert_int_equal(npheap_break(heap, scene->key), 0);
	settle(scene->key);
	scene_free();
}

/* ----------------------------------------------------------- descriptors -- */

static int open_heap(void)
{
	int fd = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void warm_by(int fd)
{
	assert_int_equal(npheap_lock(fd, scene->key), 0);
	assert_int_equal(npheap_unlock(fd, scene->key), 0);
	assert_int_equal(npheap_getsize(fd, scene->key), 0);
}

static void assert_all_fail(int fd, int error)
{
	assert_errno(npheap_lock(fd, scene->key), error);
	assert_errno(npheap_unlock(fd, scene->key), error);
	assert_errno(npheap_getsize(fd, scene->key), error);
	assert_errno(npheap_lock(fd, scene->key + 99), error);
	assert_int_equal(elsewhere(scene->key), 0);
}

static void descriptor_closed_is_ebadf(void **state)
{
	int fd, null;

	(void)state;
	scene_new();
	fd = open_heap();
	warm_by(fd);
	close(fd);
	assert_all_fail(fd, EBADF);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(null, fd);
	assert_all_fail(fd, ENOTTY);
	close(null);
	assert_all_fail(fd, EBADF);
	assert_all_fail(-1, EBADF);
	/* And if it is a heap's again it works again. */
	assert_int_equal(open_heap(), fd);
	warm_by(fd);
	close(fd);
	scene_free();
}

static void descriptor_replaced_by_dup2(void **state)
{
	int fd, null, readonly, i;

	(void)state;
	scene_new();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	readonly = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);
	fd = open_heap();
	for (i = 0; i < 3; i++) {
		warm_by(fd);
		assert_int_equal(dup2(null, fd), fd);
		assert_all_fail(fd, ENOTTY);
		assert_int_equal(dup2(dev, fd), fd);
		warm_by(fd);
		assert_int_equal(dup2(readonly, fd), fd);
		assert_errno(npheap_lock(fd, scene->key), EBADF);
		assert_errno(npheap_unlock(fd, scene->key), EBADF);
		assert_int_equal(npheap_getsize(fd, scene->key), 0);
		assert_int_equal(dup2(dev, fd), fd);
	}
	close(fd);
	close(null);
	close(readonly);
	scene_free();
}

static int replace_given_fd(void *arg)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)arg;
	return null < 0 || dup2(null, given_fd) != given_fd || close(null);
}

static void *replace_in_thread(void *arg)
{
	return (void *)(intptr_t)replace_given_fd(arg);
}

static int use_and_replace_given_fd(void *arg)
{
	return npheap_lock(given_fd, scene->key) ||
	       npheap_unlock(given_fd, scene->key) || replace_given_fd(arg);
}

static void descriptor_replaced_by_others(void **state)
{
	char *stack = malloc(STACK_SIZE);
	pthread_t id;
	void *result;
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 5; i++) {
		given_fd = open_heap();
		warm_by(given_fd);
		if (i == 0) {
			assert_int_equal(pthread_create(&id, NULL,
							replace_in_thread,
							NULL), 0);
			pthread_join(id, &result);
			assert_null(result);
		} else if (i == 1) {
			expect_exit(clone_files(replace_given_fd, NULL), 0);
		} else if (i == 2) {
			expect_exit(clone_files(use_and_replace_given_fd,
						NULL), 0);
		} else {
			expect_exit(clone_vm(i == 3 ? replace_given_fd :
					     use_and_replace_given_fd, stack,
					     CLONE_FILES), 0);
		}
		assert_all_fail(given_fd, ENOTTY);
		close(given_fd);
	}
	free(stack);
	scene_free();
}

/* A close by one that has a table of its own does not matter to us. */
static void descriptor_closed_by_a_child_stays_ours(void **state)
{
	char *stack = malloc(STACK_SIZE);

	(void)state;
	scene_new();
	given_fd = open_heap();
	warm_by(given_fd);
	expect_exit(spawn(use_and_replace_given_fd, NULL), 0);
	warm_by(given_fd);
	expect_exit(clone_vm(use_and_replace_given_fd, stack, CLONE_VFORK), 0);
	warm_by(given_fd);
	expect_exit(clone_vm(use_and_replace_given_fd, stack, 0), 0);
	warm_by(given_fd);
	close(given_fd);
	free(stack);
	scene_free();
}

/* clone_files() in a child, and of one that dies with it. */
static pid_t share_descriptors(int (*body)(void *arg), void *arg)
{
	pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL,
			    0);

	child_check(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(body(arg));
	}
	return pid;
}

static int wait_for_go(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	return 0;
}

/*
 * A thread that leaves the table of descriptors it shared finds a close there
 * also where it joined by another descriptor in between.
 */
static int use_both_after_unsharing(void *arg)
{
	int first = given_fd, second, null;

	(void)arg;
	share_descriptors(wait_for_go, NULL);
	gate_wait(&scene->started, 1);
	child_check(!npheap_lock(first, scene->key));
	child_check(!npheap_unlock(first, scene->key));
	child_check(!unshare(CLONE_FILES));
	null = open("/dev/null", O_RDWR);
	/* Not in the same place of what the library remembers. */
	second = fcntl(first, F_DUPFD, first + 1);
	child_check(second > first && (second - first) % 4);
	child_check(!npheap_lock(second, scene->key));
	child_check(!npheap_unlock(second, scene->key));
	child_check(dup2(null, first) == first);
	if (npheap_lock(first, scene->key) != -1 || errno != ENOTTY)
		return 23;
	gate_add(&scene->go, 1);
	return 0;
}

static void assert_unsharing_is_noticed(int (*body)(void *arg))
{
	scene_new();
	given_fd = open_heap();
	expect_exit(spawn(body, NULL), 0);
	close(given_fd);
	scene_free();
}

static void descriptors_of_a_thread_that_unshares(void **state)
{
	(void)state;
	assert_unsharing_is_noticed(use_both_after_unsharing);
}

static void descriptor_and_its_duplicate_are_one_owner(void **state)
{
	int fd, copy;

	(void)state;
	scene_new();
	fd = open_heap();
	copy = dup(fd);
	assert_int_equal(npheap_lock(fd, scene->key), 0);
	assert_errno(npheap_lock(copy, scene->key), EDEADLK);
	assert_errno(lock(scene->key), EDEADLK);
	assert_int_equal(npheap_unlock(copy, scene->key), 0);
	assert_int_equal(npheap_lock(copy, scene->key), 0);
	/* Its lock stays, though both are closed. */
	close(copy);
	close(fd);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static void send_fd(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	assert_int_equal(sendmsg(socket, &msg, 0), 1);
}

static int receive_fd(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd = -1;

	child_check(recvmsg(socket, &msg, 0) == 1);
	child_check(CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static int receive_and_use(void *arg)
{
	int fd = receive_fd(((int *)arg)[1]);

	child_check(fd >= 0);
	child_check(npheap_lock(fd, scene->key + 1) == 0);
	child_check(npheap_unlock(fd, scene->key) == -1 && errno == EPERM);
	gate_add(&scene->started, 1);
	child_check(!npheap_lock(fd, scene->key));
	child_check(!npheap_unlock(fd, scene->key));
	close(fd);
	child_check(npheap_lock(fd, scene->key) == -1 && errno == EBADF);
	return 0;
}

static void descriptor_passed_over_a_socket(void **state)
{
	int ends[2], fd;
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid = spawn(receive_and_use, ends);
	fd = open_heap();
	assert_int_equal(npheap_lock(fd, scene->key), 0);
	send_fd(ends[0], fd);
	gate_wait(&scene->started, 1);
	assert_true(wait_asleep(pid));
	assert_int_equal(npheap_unlock(fd, scene->key), 0);
	close(fd);
	assert_errno(npheap_lock(fd, scene->key), EBADF);
	expect_exit(pid, 0);
	close(ends[0]);
	close(ends[1]);
	settle(scene->key + 1);
	scene_free();
}

static void use_descriptors_in_turn(int count)
{
	int fds[12], i, round;

	for (i = 0; i < count; i++)
		fds[i] = open_heap();
	for (round = 0; round < 20; round++) {
		for (i = 0; i < count; i++) {
			int next = fds[(i + 1) % count];

			assert_int_equal(npheap_lock(fds[i], scene->key), 0);
			assert_errno(npheap_lock(next, scene->key), EDEADLK);
			assert_int_equal(npheap_unlock(next, scene->key), 0);
			assert_int_equal(npheap_getsize(next, scene->key), 0);
		}
	}
	for (i = 0; i < count; i++)
		close(fds[i]);
	for (i = 0; i < count; i++)
		assert_errno(npheap_lock(fds[i], scene->key), EBADF);
	assert_int_equal(elsewhere(scene->key), 0);
}

static void descriptors_used_in_turn(void **state)
{
	(void)state;
	scene_new();
	use_descriptors_in_turn(2);
	use_descriptors_in_turn(4);
	use_descriptors_in_turn(5);
	use_descriptors_in_turn(12);
	scene_free();
}

static int use_inherited(void *arg)
{
	(void)arg;
	child_check(npheap_lock(given_fd, scene->key) == 0);
	child_check(npheap_lock(given_fd, scene->key) == -1 &&
		    errno == EDEADLK);
	child_check(npheap_unlock(given_fd, scene->key) == 0);
	close(given_fd);
	child_check(npheap_lock(given_fd, scene->key) == -1 && errno == EBADF);
	child_check(npheap_lock(dev, scene->key) == 0);
	return 0;
}

static void descriptor_is_inherited(void **state)
{
	(void)state;
	scene_new();
	given_fd = open(NPHEAP_DEVICE, O_RDWR);
	warm_by(given_fd);
	expect_exit(spawn(use_inherited, NULL), 0);
	assert_recovered();
	expect_exit(spawn_user(given_fd), 0);
	assert_recovered();
	/* dev is closed at exec. */
	expect_exit(spawn_user(dev), EBADF);
	warm_by(given_fd);
	close(given_fd);
	scene_free();
}

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

/* ---------------------------------------------------------------- events -- */

#define ROUNDS 10000

/* Waits until it is its turn; false if nobody wakes it for long. */
static int wait_for_turn(int turn)
{
	uint64_t event;

	for (;;) {
		if (npheap_event(heap, scene->key, &event))
			return 0;
		if (scene->turn == turn || scene->stop)
			return 1;
		if (npheap_wait(heap, scene->key, event, in_ms(10000)))
			return 0;
	}
}

static int play(int turn)
{
	/* Fewer rounds where a machine takes its time. */
	long long limit = now_ms() + 2000;
	int i;

	for (i = 0; i < ROUNDS && !scene->stop; i++) {
		if (!wait_for_turn(turn))
			return 1;
		scene->count++;
		if (now_ms() > limit)
			scene->stop = 1;
		scene->turn = !turn;
		if (npheap_notify(heap, scene->key, 1))
			return 2;
	}
	return 0;
}

static int play_other(void *arg)
{
	(void)arg;
	return play(1);
}

static void play_with_another(void)
{
	pid_t pid;

	scene_new();
	pid = spawn(play_other, NULL);
	assert_int_equal(play(0), 0);
	expect_exit(pid, 0);
	printf("# %llu turns\n", (unsigned long long)scene->count);
	assert_true(scene->count >= 100);
	scene_free();
}

static void use_one_cpu(cpu_set_t *before)
{
	cpu_set_t one;

	assert_int_equal(sched_getaffinity(0, sizeof(*before), before), 0);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void no_notification_is_lost(void **state)
{
	cpu_set_t all;

	(void)state;
	play_with_another();
	/* Other windows, and many more rounds, with one processor. */
	use_one_cpu(&all);
	play_with_another();
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

static int wait_for_event(void *arg)
{
	int index = (intptr_t)arg;
	int rc;

	gate_add(&scene->started, 1);
	rc = npheap_wait(heap, scene->key, scene->event, in_ms(20000));
	scene->results[index] = rc ? -rc : -1;
	gate_add(&scene->done, 1);
	return rc ? 1 : 0;
}

static void notify_wakes_as_many_as_it_says(void **state)
{
	uint64_t event;
	pid_t pids[5];
	int i;

	(void)state;
	scene_new();
	assert_int_equal(npheap_event(heap, scene->key, &scene->event), 0);
	for (i = 0; i < 5; i++)
		pids[i] = start_asleep(wait_for_event, (void *)(intptr_t)i);
	assert_int_equal(npheap_notify(heap, scene->key, 0), 0);
	sleep_ms(50);
	assert_int_equal(scene->done.value, 0);
	/* Zero wakes nobody, but is counted. */
	assert_int_equal(npheap_event(heap, scene->key, &event), 0);
	assert_int_not_equal(event, scene->event);
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	gate_wait(&scene->done, 1);
	/* The first to come is the first to go. */
	expect_exit(pids[0], 0);
	assert_int_equal(npheap_notify(heap, scene->key, 2), 0);
	gate_wait(&scene->done, 3);
	expect_exit(pids[1], 0);
	expect_exit(pids[2], 0);
	sleep_ms(50);
	assert_int_equal(scene->done.value, 3);
	assert_int_equal(npheap_notify(heap, scene->key, UINT32_MAX), 0);
	expect_exit(pids[3], 0);
	expect_exit(pids[4], 0);
	scene_free();
}

static void notify_by_another_process_wakes(void **state)
{
	pid_t pid;
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 5; i++) {
		assert_int_equal(npheap_event(heap, scene->key, &scene->event),
				 0);
		pid = start_asleep(wait_for_event, NULL);
		/* Warm, and told by the event that somebody waits. */
		assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
		expect_exit(pid, 0);
	}
	scene_free();
}

static void wait_ends_at_its_deadline(void **state)
{
	uint64_t event, deadline, before;
	int i;

	(void)state;
	scene_new();
	assert_int_equal(npheap_event(heap, scene->key, &event), 0);
	for (i = 1; i <= 64; i *= 4) {
		deadline = in_ms(i);
		assert_int_equal(npheap_wait(heap, scene->key, event, deadline),
				 -ETIMEDOUT);
		assert_true(now_ns() >= deadline);
	}
	before = now_ns();
	assert_int_equal(npheap_wait(heap, scene->key, event, 0), -ETIMEDOUT);
	assert_int_equal(npheap_wait(heap, scene->key, event, 1), -ETIMEDOUT);
	assert_true(now_ns() - before < 2000 * NS_PER_MS);
	scene_free();
}

static void wait_for_a_stale_event_returns_at_once(void **state)
{
	uint64_t event, other;

	(void)state;
	scene_new();
	assert_int_equal(npheap_event(heap, scene->key, &event), 0);
	assert_int_equal(npheap_event(heap, scene->key, &other), 0);
	assert_int_equal(event, other);
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	assert_int_equal(npheap_event(heap, scene->key, &other), 0);
	assert_int_not_equal(event, other);
	assert_int_equal(npheap_wait(heap, scene->key, event, NPHEAP_FOREVER),
			 0);
	assert_int_equal(npheap_wait(heap, scene->key, event, 0), 0);
	assert_int_equal(npheap_wait(heap, scene->key, other, 0), -ETIMEDOUT);
	/* The lock and the event of a key are nothing to each other. */
	warm(scene->key);
	assert_int_equal(npheap_wait(heap, scene->key, other, 0), -ETIMEDOUT);
	scene_free();
}

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

static int wait_under_signals(void *arg)
{
	struct sigaction action = { .sa_handler = count_signal };
	struct itimerval every = { { 0, 3000 }, { 0, 3000 } };

	sigaction(SIGALRM, &action, NULL);
	child_check(!setitimer(ITIMER_REAL, &every, NULL));
	gate_add(&scene->started, 1);
	if (arg)
		child_check(!npheap_acquire(heap, scene->key));
	else
		child_check(!npheap_wait(heap, scene->key, scene->event,
					 NPHEAP_FOREVER));
	child_check(take_until(scene->key + 1, 0, 100) == -ETIMEDOUT);
	child_check(signals > 3);
	return 0;
}

static void waits_never_see_eintr(void **state)
{
	pid_t pids[2];

	(void)state;
	scene_new();
	assert_int_equal(npheap_event(heap, scene->key, &scene->event), 0);
	assert_int_equal(lock(scene->key), 0);
	assert_int_equal(lock(scene->key + 1), 0);
	pids[0] = start(wait_under_signals, NULL);
	pids[1] = start(wait_under_signals, scene);
	sleep_ms(200);
	assert_int_equal(waitpid(pids[0], NULL, WNOHANG), 0);
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	assert_int_equal(waitpid(pids[1], NULL, WNOHANG), 0);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pids[0], 0);
	expect_exit(pids[1], 0);
	assert_int_equal(unlock(scene->key + 1), 0);
	scene_free();
}

/* With one processor and a priority nobody runs before we let it. */
static void alone(int on)
{
	struct sched_param param = { .sched_priority = on ? 10 : 0 };

	assert_int_equal(sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER,
					    &param), 0);
}

static void notification_of_a_waiter_that_dies_goes_on(void **state)
{
	pid_t first, second;
	cpu_set_t all;

	(void)state;
	scene_new();
	use_one_cpu(&all);
	assert_int_equal(npheap_event(heap, scene->key, &scene->event), 0);
	first = start_asleep(wait_for_event, (void *)0);
	second = start_asleep(wait_for_event, (void *)1);
	alone(1);
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	kill(first, SIGKILL);
	alone(0);
	expect_signal(first, SIGKILL);
	expect_exit(second, 0);
	assert_int_equal(scene->results[0], 0);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	scene_free();
}

static void waiter_that_dies_is_nothing_to_others(void **state)
{
	pid_t first, second;

	(void)state;
	scene_new();
	assert_int_equal(npheap_event(heap, scene->key, &scene->event), 0);
	first = start_asleep(wait_for_event, (void *)0);
	second = start_asleep(wait_for_event, (void *)1);
	kill_and_reap(first);
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	expect_exit(second, 0);
	/* The last waiter is gone: counting takes no system call again. */
	expect_exit(spawn(operate_warm, event_and_notify), 0);
	scene_free();
}

/* Touches so many keys that those not in use have no record any more. */
static int touch_others(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < THEIRS; i++) {
		child_check(!raw_lock(scene->key + 1000 + i, 0));
		child_check(!raw_unlock(scene->key + 1000 + i));
	}
	return 0;
}

static void notification_reaches_who_waits_by_a_new_record(void **state)
{
	uint64_t old;
	pid_t pid;

	(void)state;
	scene_new();
	limit_locks(locks_not_idle() + 8);
	assert_int_equal(npheap_event(heap, scene->key, &old), 0);
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	assert_int_equal(npheap_event(heap, scene->key, &old), 0);
	expect_exit(spawn(touch_others, NULL), 0);
	/* What was counted in the old record is not mistaken for new. */
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	assert_int_equal(npheap_wait(heap, scene->key, old, in_ms(5000)), 0);
	expect_exit(spawn(touch_others, NULL), 0);
	assert_int_equal(npheap_event(heap, scene->key, &scene->event), 0);
	assert_int_not_equal(scene->event, old);
	pid = start_asleep(wait_for_event, NULL);
	/* One that is waited for stays. */
	expect_exit(spawn(touch_others, NULL), 0);
	assert_int_equal(scene->done.value, 0);
	assert_int_equal(npheap_notify(heap, scene->key, 1), 0);
	expect_exit(pid, 0);
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

/* ------------------------------------------------------------- scribbler -- */

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

static const struct CMUnitTest tests[] = {
	TEST(classic_pair_takes_no_system_call),
	TEST(handle_pair_takes_no_system_call),
	TEST(try_pair_takes_no_system_call),
	TEST(timed_pair_takes_no_system_call),
	TEST(classic_size_takes_no_system_call),
	TEST(handle_size_takes_no_system_call),
	TEST(event_and_notify_takes_no_system_call),
	TEST(notify_alone_takes_no_system_call),
	TEST(try_of_a_held_lock_is_ebusy),
	TEST(deadline_ends_a_wait),
	TEST(deadline_does_not_matter_to_a_free_lock),
	TEST(deadline_far_away_waits),
	TEST(readers_hold_it_together),
	TEST(readers_exclude_writers_and_the_other_way_round),
	TEST(readers_get_in_together),
	TEST(reader_does_not_get_past_a_writer_that_waits),
	TEST(reader_gets_in_when_the_writer_before_it_gives_up),
	TEST(writer_does_not_starve),
	TEST(reader_death_frees),
	TEST(lock_twice_is_edeadlk),
	TEST(release_by_another_is_eperm),
	TEST(unknown_flags_are_einval),
	TEST(read_only_handle_locks_nothing),
	TEST(read_only_handle_waits),
	TEST(death_is_told_until_it_is_settled),
	TEST(death_is_told_to_all_kinds_of_callers),
	TEST(reader_that_is_told_may_leave_it_to_others),
	TEST(classic_callers_leave_the_mark),
	TEST(release_without_consistent_is_not_recoverable),
	TEST(waiter_is_told_that_it_is_not_recoverable),
	TEST(waiting_reader_is_told_that_it_is_not_recoverable),
	TEST(waiter_behind_one_that_is_told_it_is_lost),
	TEST(waiter_is_told_of_a_death),
	TEST(death_of_one_that_was_told),
	TEST(consistent_is_for_the_holder),
	TEST(break_is_for_the_administrator),
	TEST(break_deposes_the_holder),
	TEST(break_gives_it_to_a_waiter),
	TEST(break_deposes_readers),
	TEST(deposed_reader_takes_it_again),
	TEST(crowd_of_readers_gets_in_together),
	TEST(warm_holder_is_killed),
	TEST(warm_holder_exits),
	TEST(warm_holder_executes),
	TEST(warm_holder_is_a_thread_that_ends),
	TEST(warm_holder_is_a_vfork_child),
	TEST(warm_holder_is_a_clone_with_our_memory),
	TEST(warm_holder_shares_descriptors),
	TEST(warm_holder_is_in_another_pid_namespace),
	TEST(warm_holder_was_spawned),
	TEST(identity_is_not_inherited_by_fork),
	TEST(identity_is_not_lent_to_a_vfork_child),
	TEST(identity_comes_back_from_a_vfork_child),
	TEST(identity_comes_back_from_a_vfork_child_that_executes),
	TEST(identity_does_not_leak_from_a_clone_with_our_tls),
	TEST(identity_does_not_leak_where_the_leader_is_gone),
	TEST(identity_of_a_dead_parent_is_not_reused),
	TEST(descriptor_closed_is_ebadf),
	TEST(descriptor_replaced_by_dup2),
	TEST(descriptor_replaced_by_others),
	TEST(descriptor_closed_by_a_child_stays_ours),
	TEST(descriptors_of_a_thread_that_unshares),
	TEST(descriptor_and_its_duplicate_are_one_owner),
	TEST(descriptor_passed_over_a_socket),
	TEST(descriptors_used_in_turn),
	TEST(descriptor_is_inherited),
	TEST(library_and_ioctls_exclude_each_other),
	TEST(stale_record_takes_and_releases_nothing),
	TEST(records_come_and_go_under_load),
	TEST(size_follows_what_others_do),
	TEST(size_of_a_key_that_had_a_record_before_it_was_known),
	TEST(death_of_one_that_knows_a_million),
	TEST(no_notification_is_lost),
	TEST(notify_wakes_as_many_as_it_says),
	TEST(notify_by_another_process_wakes),
	TEST(wait_ends_at_its_deadline),
	TEST(wait_for_a_stale_event_returns_at_once),
	TEST(waits_never_see_eintr),
	TEST(notification_of_a_waiter_that_dies_goes_on),
	TEST(waiter_that_dies_is_nothing_to_others),
	TEST(notification_reaches_who_waits_by_a_new_record),
	TEST(epoch_cannot_be_written),
	TEST(table_is_not_inherited),
	TEST(mappings_may_be_moved_or_unmapped),
	TEST(scribbler_breaks_nothing_but_locks),
	TEST(scribbled_free_a_reader_can_still_time_out),
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "use"))
		return use(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return test_main(tests);
}
