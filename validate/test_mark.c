// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the death of a holder leaves on a key: the mark, who is told of it and
 * who settles it; the same for a holder that is deposed; and that it makes no
 * difference that a holder never made a system call.
 *
 * "test_mark PATTERN" runs the tests that match.
 */
#include <pthread.h>
#include <sched.h>

#include "scene.h"

#define STRANGER 65534

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

/* It was in a handler meanwhile, and leaves no place in the queue behind. */
static void waiter_that_comes_back_is_told_it_is_lost(void **state)
{
	long long abandoned = heap_stat("lock_waits_abandoned");
	pid_t pid;

	(void)state;
	scene_new();
	die_holding();
	assert_int_equal(npheap_acquire(heap, scene->key), -EOWNERDEAD);
	pid = start_asleep(wait_with_a_handler, NULL);
	call_away(pid);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_int_equal(scene->result, ENOTRECOVERABLE);
	assert_int_equal(heap_stat("lock_waits_abandoned"), abandoned);
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

static int break_and_repair(void *arg)
{
	(void)arg;
	child_check(!npheap_break(heap, scene->key));
	assert_recovered();
	return 0;
}

/* The kernel takes it for a reader still, until it comes there again. */
static void take_warm_after_being_deposed(void)
{
	long long calls;

	warm(scene->key);
	assert_int_equal(try_shared(scene->key), 0);
	expect_exit(spawn(break_and_repair, NULL), 0);
	calls = heap_stat("lock_acquires");
	assert_int_equal(lock(scene->key), 0);
	assert_int_equal(heap_stat("lock_acquires"), calls);
}

static void deposed_reader_takes_it_warm_and_hands_it_on(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	take_warm_after_being_deposed();
	pid = start_asleep(wait_and_report, NULL);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pid, 0);
	assert_int_equal(scene->result, 0);
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
	assert_int_equal(try(scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	scene_free();
}

static int take_warm_after_being_deposed_and_die(void *arg)
{
	(void)arg;
	take_warm_after_being_deposed();
	raise(SIGKILL);
	return 0;
}

static void deposed_reader_takes_it_warm_and_dies(void **state)
{
	(void)state;
	scene_new();
	expect_death(take_warm_after_being_deposed_and_die, NULL, SIGKILL);
	assert_recovered();
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

static const struct CMUnitTest tests[] = {
	TEST(death_is_told_until_it_is_settled),
	TEST(death_is_told_to_all_kinds_of_callers),
	TEST(reader_that_is_told_may_leave_it_to_others),
	TEST(classic_callers_leave_the_mark),
	TEST(release_without_consistent_is_not_recoverable),
	TEST(waiter_is_told_that_it_is_not_recoverable),
	TEST(waiting_reader_is_told_that_it_is_not_recoverable),
	TEST(waiter_behind_one_that_is_told_it_is_lost),
	TEST(waiter_that_comes_back_is_told_it_is_lost),
	TEST(waiter_is_told_of_a_death),
	TEST(death_of_one_that_was_told),
	TEST(consistent_is_for_the_holder),
	TEST(break_is_for_the_administrator),
	TEST(break_deposes_the_holder),
	TEST(break_gives_it_to_a_waiter),
	TEST(break_deposes_readers),
	TEST(deposed_reader_takes_it_again),
	TEST(deposed_reader_takes_it_warm_and_hands_it_on),
	TEST(deposed_reader_takes_it_warm_and_dies),
	TEST(warm_holder_is_killed),
	TEST(warm_holder_exits),
	TEST(warm_holder_executes),
	TEST(warm_holder_is_a_thread_that_ends),
	TEST(warm_holder_is_a_vfork_child),
	TEST(warm_holder_is_a_clone_with_our_memory),
	TEST(warm_holder_shares_descriptors),
	TEST(warm_holder_is_in_another_pid_namespace),
};

int main(int argc, char **argv)
{
	test_choose(argc, argv);
	return test_main(tests);
}
