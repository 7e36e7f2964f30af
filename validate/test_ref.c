// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * References to locks: that they give the results of the calls with a key,
 * without system calls, and that what they remember never does harm where it
 * has become wrong: in another thread, a child, a signal handler, after the
 * descriptor was closed, after the record has gone to another key.
 *
 * test_ref every	interrupts at every point, if that takes long, too
 */
#include <pthread.h>
#include <stdatomic.h>

#include "scene.h"

/* So long are signals sent, with each of the two kinds of references ... */
#define SOME_MS 4000
/* ... unless that is to be at every point. */
#define EVERY_MS 25000

static struct npheap_ref ref;

/* Each test has a key of its own, and a reference that knows it. */
static void scene_with_ref(void)
{
	scene_new();
	ref = (struct npheap_ref)NPHEAP_REF_INIT(heap, scene->key);
	assert_int_equal(npheap_ref_acquire(&ref), 0);
	assert_int_equal(npheap_ref_release(&ref), 0);
}

static int try_ref(struct npheap_ref *r)
{
	return npheap_ref_acquire_with(r, NPHEAP_TRY, NPHEAP_FOREVER);
}

static int pair(struct npheap_ref *r)
{
	int rc = npheap_ref_acquire(r);

	return rc ? rc : npheap_ref_release(r);
}

/* ---------------------------------------------------------------- results -- */

static void ref_excludes(void **state)
{
	(void)state;
	scene_with_ref();
	assert_int_equal(npheap_ref_acquire(&ref), 0);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_int_equal(npheap_ref_release(&ref), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

static void ref_and_key_are_the_same_lock(void **state)
{
	struct npheap_ref other;

	(void)state;
	scene_with_ref();
	other = (struct npheap_ref)NPHEAP_REF_INIT(heap, scene->key);
	assert_int_equal(npheap_ref_acquire(&ref), 0);
	assert_int_equal(npheap_acquire(heap, scene->key), -EDEADLK);
	assert_int_equal(npheap_ref_acquire(&ref), -EDEADLK);
	assert_int_equal(npheap_ref_acquire(&other), -EDEADLK);
	assert_int_equal(npheap_ref_release(&other), 0);
	assert_int_equal(npheap_ref_release(&ref), -EPERM);
	assert_int_equal(npheap_acquire(heap, scene->key), 0);
	assert_int_equal(npheap_ref_release(&ref), 0);
	assert_int_equal(npheap_release(heap, scene->key), -EPERM);
	scene_free();
}

static void ref_takes_the_choices_of_a_key(void **state)
{
	unsigned int bit;

	(void)state;
	scene_with_ref();
	for (bit = 2; bit < 32; bit++)
		assert_int_equal(npheap_ref_acquire_with(&ref, 1u << bit,
							 NPHEAP_FOREVER),
				 -EINVAL);
	assert_int_equal(npheap_ref_acquire_with(&ref, 0, 1), 0);
	assert_int_equal(npheap_ref_release(&ref), 0);
	assert_int_equal(try_ref(&ref), 0);
	assert_int_equal(npheap_ref_release(&ref), 0);
	assert_int_equal(npheap_ref_acquire_with(&ref, NPHEAP_SHARED,
						 NPHEAP_FOREVER), 0);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_int_equal(npheap_ref_acquire(&ref), -EDEADLK);
	assert_int_equal(npheap_ref_release(&ref), 0);
	assert_int_equal(npheap_ref_release(&ref), -EPERM);
	scene_free();
}

static void ref_tells_the_errors_of_a_key(void **state)
{
	struct npheap_ref bad;
	struct npheap *reader;

	(void)state;
	scene_with_ref();
	bad = (struct npheap_ref)NPHEAP_REF_INIT(heap, NPHEAP_KEY_MAX + 1);
	assert_int_equal(npheap_ref_acquire(&bad), -EOVERFLOW);
	assert_int_equal(npheap_ref_release(&bad), -EOVERFLOW);
	bad = (struct npheap_ref)NPHEAP_REF_INIT(heap, UINT64_MAX);
	assert_int_equal(try_ref(&bad), -EOVERFLOW);
	assert_int_equal(npheap_open(NULL, NPHEAP_RDONLY, &reader), 0);
	bad = (struct npheap_ref)NPHEAP_REF_INIT(reader, scene->key);
	assert_int_equal(npheap_ref_acquire(&bad), -EBADF);
	assert_int_equal(npheap_ref_release(&bad), -EBADF);
	npheap_close(reader);
	scene_free();
}

static int take_and_die(void *arg)
{
	(void)arg;
	child_check(!pair(&ref));
	child_check(!npheap_ref_acquire(&ref));
	raise(SIGKILL);
	return 0;
}

static void ref_tells_of_a_death(void **state)
{
	(void)state;
	scene_with_ref();
	expect_death(take_and_die, NULL, SIGKILL);
	assert_int_equal(npheap_ref_acquire(&ref), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_ref_release(&ref), 0);
	assert_int_equal(pair(&ref), 0);
	scene_free();
}

/* ------------------------------------------------------- no system calls -- */

static int use_warm(void *arg)
{
	int i;

	(void)arg;
	child_check(!pair(&ref));
	child_check(!forbid_system_calls());
	for (i = 0; i < 100000; i++)
		if (pair(&ref) || try_ref(&ref) || npheap_ref_release(&ref))
			return 1;
	return 0;
}

static int use_cold(void *arg)
{
	(void)arg;
	child_check(!forbid_system_calls());
	return pair(&ref);
}

static void ref_takes_no_system_call(void **state)
{
	(void)state;
	scene_with_ref();
	expect_exit(spawn(use_warm, NULL), 0);
	/* A child knows nothing of what its parent knew. */
	expect_death(use_cold, NULL, SIGSYS);
	scene_free();
}

/* ----------------------------------------------- where its memory is wrong -- */

static int is_not_the_holder(void *arg)
{
	(void)arg;
	child_check(npheap_ref_release(&ref) == -EPERM);
	child_check(try_ref(&ref) == -EBUSY);
	child_check(npheap_ref_release(&ref) == -EPERM);
	return 0;
}

static void ref_is_not_inherited_with_its_holder(void **state)
{
	(void)state;
	scene_with_ref();
	assert_int_equal(npheap_ref_acquire(&ref), 0);
	expect_exit(spawn(is_not_the_holder, NULL), 0);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	assert_int_equal(npheap_ref_release(&ref), 0);
	scene_free();
}

static void *intrude(void *unused)
{
	assert_int_equal(npheap_ref_release(&ref), -EPERM);
	assert_int_equal(try_ref(&ref), -EBUSY);
	assert_int_equal(npheap_ref_release(&ref), -EPERM);
	return unused;
}

static void *take(void *unused)
{
	assert_int_equal(pair(&ref), 0);
	assert_int_equal(npheap_ref_acquire(&ref), 0);
	return unused;
}

static void in_thread(void *(*body)(void *arg))
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, body, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void ref_may_come_to_another_thread(void **state)
{
	(void)state;
	scene_with_ref();
	assert_int_equal(npheap_ref_acquire(&ref), 0);
	in_thread(intrude);
	assert_int_equal(npheap_ref_release(&ref), 0);
	/* The thread ends with the lock, and this one knows what it knew. */
	in_thread(take);
	assert_int_equal(npheap_ref_release(&ref), -EPERM);
	assert_int_equal(npheap_ref_acquire_with(&ref, 0, NPHEAP_FOREVER - 1),
			 -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	/* The next thread has the memory of the one before, and its stack. */
	in_thread(intrude);
	assert_int_equal(npheap_ref_release(&ref), 0);
	scene_free();
}

/* Each thread is new where another was: its locks are those of nobody else. */
static void ref_of_a_thread_that_ended(void **state)
{
	int i;

	(void)state;
	scene_with_ref();
	for (i = 0; i < 50; i++) {
		in_thread(take);
		assert_int_equal(npheap_ref_acquire_with(&ref, 0,
							 NPHEAP_FOREVER - 1),
				 -EOWNERDEAD);
		assert_int_equal(npheap_consistent(heap, scene->key), 0);
		assert_int_equal(npheap_ref_release(&ref), 0);
	}
	scene_free();
}

static void ref_of_a_descriptor_that_was_replaced(void **state)
{
	int fd, null;

	(void)state;
	scene_with_ref();
	fd = npheap_fd(heap);
	close(fd);
	assert_int_equal(npheap_ref_acquire(&ref), -EBADF);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(null, fd);
	assert_int_equal(npheap_ref_acquire(&ref), -ENOTTY);
	assert_int_equal(npheap_ref_release(&ref), -ENOTTY);
	assert_int_equal(dup3(dev, fd, O_CLOEXEC), fd);
	assert_int_equal(npheap_ref_acquire(&ref), 0);
	assert_int_equal(elsewhere(scene->key), EBUSY);
	/* The lock is the thread's and not the descriptor's. */
	assert_int_equal(close(dup(dev)), 0);
	assert_int_equal(npheap_ref_release(&ref), 0);
	assert_int_equal(elsewhere(scene->key), 0);
	scene_free();
}

#define OURS 64
#define THEIRS 128

/* So many at the same time that the records of others have to go. */
static int take_records(void *arg)
{
	uint64_t theirs = scene->key + 1000;
	int i;

	(void)arg;
	for (i = 0; i < THEIRS; i++)
		child_check(!lock_by_ioctl(theirs + i));
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	for (i = 0; i < THEIRS; i++)
		child_check(!unlock_by_ioctl(theirs + i));
	return 0;
}

static void ref_of_a_record_that_has_gone(void **state)
{
	struct npheap_ref refs[OURS];
	pid_t pid;
	int i;

	(void)state;
	scene_with_ref();
	for (i = 0; i < OURS; i++) {
		refs[i] = (struct npheap_ref)
			  NPHEAP_REF_INIT(heap, scene->key + i);
		assert_int_equal(pair(&refs[i]), 0);
	}
	limit_locks(locks_not_idle() + THEIRS);
	pid = start(take_records, NULL);
	for (i = 0; i < OURS; i++)
		assert_int_equal(npheap_ref_release(&refs[i]), -EPERM);
	/* All records are held, so these are told apart from ours. */
	for (i = 0; i < OURS; i++)
		assert_int_equal(npheap_ref_acquire(&refs[i]), -ENOSPC);
	unlimit_locks();
	for (i = 0; i < OURS; i++)
		assert_int_equal(npheap_ref_acquire(&refs[i]), 0);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	for (i = 0; i < OURS; i++)
		assert_int_equal(npheap_ref_release(&refs[i]), 0);
	scene_free();
}

/* --------------------------------------------------------------- handlers -- */

static long long points_ms = SOME_MS;

/* What the reference remembers has become wrong, and is found anew. */
static void use_in_handler(int sig)
{
	int rc;

	(void)sig;
	child_check(!close(dup(dev)));
	rc = npheap_ref_acquire(&ref);
	child_check(rc == 0 || rc == -EDEADLK);
	if (!rc)
		child_check(!npheap_ref_release(&ref));
	gate_add(&scene->signals, 1);
}

static int use_and_be_interrupted(void *arg)
{
	signal(SIGUSR1, use_in_handler);
	if (arg)
		child_check(!pair(&ref));
	alarm(5);
	stop_for_parent();
	child_check(!npheap_ref_acquire(&ref));
	child_check(raw_try(scene->key) == EDEADLK);
	child_check(!npheap_ref_release(&ref));
	child_check(npheap_ref_release(&ref) == -EPERM);
	child_check(!pair(&ref));
	return 0;
}

static void ref_in_a_handler(void **state)
{
	(void)state;
	scene_with_ref();
	interrupt_everywhere(use_and_be_interrupted, NULL, points_ms);
	interrupt_everywhere(use_and_be_interrupted, &ref, points_ms);
	scene_free();
}

/* -------------------------------------------------------------- exclusion -- */

#define THREADS 4
#define ROUNDS 20000

static volatile uint64_t count;

static void *add(void *unused)
{
	struct npheap_ref mine = NPHEAP_REF_INIT(heap, scene->key);
	int i;

	for (i = 0; i < ROUNDS; i++) {
		assert_int_equal(npheap_ref_acquire(&mine), 0);
		count++;
		assert_int_equal(npheap_ref_release(&mine), 0);
	}
	return unused;
}

static void refs_of_threads_exclude_each_other(void **state)
{
	pthread_t threads[THREADS];
	int i;

	(void)state;
	scene_with_ref();
	count = 0;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add, NULL),
				 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(count, THREADS * ROUNDS);
	scene_free();
}

static const struct CMUnitTest tests[] = {
	TEST(ref_excludes),
	TEST(ref_and_key_are_the_same_lock),
	TEST(ref_takes_the_choices_of_a_key),
	TEST(ref_tells_the_errors_of_a_key),
	TEST(ref_tells_of_a_death),
	TEST(ref_takes_no_system_call),
	TEST(ref_is_not_inherited_with_its_holder),
	TEST(ref_may_come_to_another_thread),
	TEST(ref_of_a_thread_that_ended),
	TEST(ref_of_a_descriptor_that_was_replaced),
	TEST(ref_of_a_record_that_has_gone),
	TEST(ref_in_a_handler),
	TEST(refs_of_threads_exclude_each_other),
};

int main(int argc, char **argv)
{
	bind_now(argv);
	if (argc == 2 && !strcmp(argv[1], "every"))
		points_ms = EVERY_MS;
	return test_main(tests);
}
