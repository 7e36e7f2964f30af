// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who takes a lock, and through which descriptor: that what a thread remembers
 * is neither inherited nor lent, and is dropped when a descriptor is closed,
 * replaced, shared or passed on.
 *
 * "test_identity PATTERN" runs the tests that match.  With "use" as its first
 * argument the program is what the tests of exec execute.
 */
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "scene.h"

extern char **environ;

/* The descriptor that a body of a child works on, where it is not dev. */
static int given_fd;

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
	if (take_warm(dev))
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

static int open_device(void)
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
	fd = open_device();
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
	assert_int_equal(open_device(), fd);
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
	fd = open_device();
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
		given_fd = open_device();
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
	given_fd = open_device();
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
	given_fd = open_device();
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
	fd = open_device();
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
	fd = open_device();
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
		fds[i] = open_device();
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

/* ----------------------------------------------------- programs executed -- */

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
	char *argv[] = { "test_identity", "use", fd_text, key_text, NULL };
	pid_t pid;

	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	snprintf(key_text, sizeof(key_text), "%llu",
		 (unsigned long long)scene->key);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv,
				     environ), 0);
	return pid;
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
	int high;

	(void)state;
	scene_new();
	given_fd = open(NPHEAP_DEVICE, O_RDWR);
	warm_by(given_fd);
	expect_exit(spawn(use_inherited, NULL), 0);
	assert_recovered();
	expect_exit(spawn_user(given_fd), 0);
	assert_recovered();
	/* Closed at exec, and no number that the new program's own files get. */
	high = fcntl(dev, F_DUPFD_CLOEXEC, 500);
	expect_exit(spawn_user(high), EBADF);
	close(high);
	warm_by(given_fd);
	close(given_fd);
	scene_free();
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

static const struct CMUnitTest tests[] = {
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
	TEST(warm_holder_was_spawned),
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "use"))
		return use(argc, argv);
	test_choose(argc, argv);
	return test_main(tests);
}
