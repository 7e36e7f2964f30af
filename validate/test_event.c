// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Events of keys: that none is lost, who is woken and in which order, and how
 * a wait ends.
 *
 * "test_event PATTERN" runs the tests that match.
 */
#include <sched.h>
#include <sys/time.h>

#include "scene.h"

/* ------------------------------------------------------ no system calls -- */

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

NO_SYSTEM_CALL(event_and_notify)
NO_SYSTEM_CALL(notify_alone)

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

#define OTHERS 400

/* Touches so many keys that those not in use have no record any more. */
static int touch_others(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < OTHERS; i++) {
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

static const struct CMUnitTest tests[] = {
	TEST(event_and_notify_takes_no_system_call),
	TEST(notify_alone_takes_no_system_call),
	TEST(no_notification_is_lost),
	TEST(notify_wakes_as_many_as_it_says),
	TEST(notify_by_another_process_wakes),
	TEST(wait_ends_at_its_deadline),
	TEST(wait_for_a_stale_event_returns_at_once),
	TEST(waits_never_see_eintr),
	TEST(notification_of_a_waiter_that_dies_goes_on),
	TEST(waiter_that_dies_is_nothing_to_others),
	TEST(notification_reaches_who_waits_by_a_new_record),
};

int main(int argc, char **argv)
{
	test_choose(argc, argv);
	return test_main(tests);
}
