// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who owns a lock, and what becomes of it at each way an owner can end.
 *
 * Run with arguments the program is what the tests of exec execute: it opens
 * the device anew and says by its exit status what it found.
 */
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "scene.h"

#define MANY_HELD 10000

extern char **environ;

/* The calling thread holds it, as the kernel and the library see it. */
static void assert_still_mine(uint64_t key)
{
	assert_mine(key);
	assert_errno(lock(key), EDEADLK);
}

/* ------------------------------------------------- a process holds and ends */

static int hold_and_exit(void *arg)
{
	(void)arg;
	child_check(!lock(scene->key));
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	return 0;
}

static void death_by_exit_frees(void **state)
{
	long long recovered = heap_stat("lock_recovered");
	pid_t pid;

	(void)state;
	scene_new();
	pid = start(hold_and_exit, NULL);
	assert_errno(unlock(scene->key), EPERM);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_free(scene->key);
	assert_int_equal(heap_stat("lock_recovered"), recovered + 1);
	scene_free();
}

static void death_by_sigkill_frees(void **state)
{
	long long recovered = heap_stat("lock_recovered");
	pid_t pid;

	(void)state;
	scene_new();
	pid = start(hold, NULL);
	kill_and_reap(pid);
	assert_free(scene->key);
	assert_int_equal(heap_stat("lock_recovered"), recovered + 1);
	scene_free();
}

static int hold_and_crash(void *arg)
{
	struct rlimit no_core = { 0, 0 };

	(void)arg;
	setrlimit(RLIMIT_CORE, &no_core);
	child_check(!lock(scene->key));
	/* A real fault, not one that was only sent. */
	*(volatile char *)mmap(NULL, page, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
	return 0;
}

static void death_by_a_crash_frees(void **state)
{
	(void)state;
	scene_new();
	expect_death(hold_and_crash, NULL, SIGSEGV);
	assert_free(scene->key);
	scene_free();
}

static int hold_many(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < MANY_HELD; i++)
		child_check(!lock(scene->key + i));
	gate_add(&scene->started, 1);
	pause();
	return 0;
}

static void death_frees_10000_locks(void **state)
{
	long long recovered = heap_stat("lock_recovered");
	long long locks = locks_in_use();
	pid_t pid;
	int i;

	(void)state;
	scene_new();
	pid = start(hold_many, NULL);
	assert_int_equal(locks_in_use(), locks + MANY_HELD);
	kill_and_reap(pid);
	assert_int_equal(locks_in_use(), locks);
	assert_int_equal(heap_stat("lock_recovered"), recovered + MANY_HELD);
	assert_free(scene->key);
	assert_free(scene->key + MANY_HELD - 1);
	/* What stays marked is in the way of every later test that has a limit. */
	for (i = 0; i < MANY_HELD; i++)
		settle(scene->key + i);
	scene_free();
}

static int hold_and_return(void *arg)
{
	(void)arg;
	return lock(scene->key) ? 1 : 0;
}

/* Once waitpid() has returned the lock is free, and not only soon after. */
static void death_is_over_when_waitpid_returns(void **state)
{
	long long contended = heap_stat("lock_contended");
	long long limit = now_ms() + 4000;
	char *stack = malloc(STACK_SIZE);
	int i;

	(void)state;
	scene_new();
	/* Fewer rounds where a debug kernel takes its time. */
	for (i = 0; i < 1000 && now_ms() < limit; i++) {
		expect_exit(clone_vm(hold_and_return, stack, 0), 0);
		assert_int_equal(lock(scene->key), 0);
		assert_int_equal(unlock(scene->key), 0);
	}
	assert_int_equal(heap_stat("lock_contended"), contended);
	printf("# %d rounds\n", i);
	free(stack);
	scene_free();
}

static void death_by_sigkill_is_over_when_waitpid_returns(void **state)
{
	pid_t pid;
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 30; i++) {
		pid = start(hold, NULL);
		kill_and_reap(pid);
		assert_free(scene->key);
	}
	scene_free();
}

/* --------------------------------------------------------------- waiters -- */

static void death_of_the_holder_lets_waiters_go_on(void **state)
{
	pid_t holder, first, second;

	(void)state;
	scene_new();
	holder = start(hold, NULL);
	first = start_asleep(wait_for_it, NULL);
	second = start_asleep(wait_for_it, NULL);
	kill_and_reap(holder);
	expect_exit(first, 0);
	expect_exit(second, 0);
	assert_free(scene->key);
	scene_free();
}

#define CHAIN 20

static void shuffle(pid_t *pids, int count)
{
	unsigned int seed = 1;

	while (count > 1) {
		int other = rand_r(&seed) % count--;
		pid_t pid = pids[other];

		pids[other] = pids[count];
		pids[count] = pid;
	}
}

static void death_of_all_waiters_in_any_order(void **state)
{
	long long locks = locks_in_use();
	pid_t pids[CHAIN];
	int i;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	for (i = 0; i < CHAIN; i++)
		pids[i] = start_asleep(wait_for_it, NULL);
	shuffle(pids, CHAIN);
	for (i = 0; i < CHAIN; i++) {
		kill_and_reap(pids[i]);
	}
	assert_still_mine(scene->key);
	assert_int_equal(locks_in_use(), locks + 1);
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(locks_in_use(), locks);
	assert_free(scene->key);
	scene_free();
}

static int hold_when_granted(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	child_check(!lock(scene->key));
	gate_add(&scene->go, 1);
	pause();
	return 0;
}

/* Each dies right as it gets the lock, which goes down the whole chain. */
static void death_of_one_holder_after_the_other(void **state)
{
	long long recovered = heap_stat("lock_recovered");
	pid_t pids[CHAIN];
	uint32_t i;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	for (i = 0; i < CHAIN; i++) {
		pids[i] = start(hold_when_granted, NULL);
		assert_true(wait_asleep(pids[i]));
	}
	assert_int_equal(unlock(scene->key), 0);
	for (i = 0; i < CHAIN; i++) {
		gate_wait(&scene->go, i + 1);
		kill_and_reap(pids[i]);
	}
	assert_int_equal(heap_stat("lock_recovered"), recovered + CHAIN);
	assert_free(scene->key);
	scene_free();
}

/* The lock is granted to one that is being killed: nobody may lose it. */
static void death_races_with_the_grant(void **state)
{
	pid_t pid;
	int i, status;

	(void)state;
	scene_new();
	for (i = 0; i < 30; i++) {
		assert_int_equal(lock(scene->key), 0);
		pid = start_asleep(wait_for_it, NULL);
		if (i & 1)
			kill(pid, SIGKILL);
		assert_int_equal(unlock(scene->key), 0);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_free(scene->key);
	}
	scene_free();
}

/* ------------------------------------------------------------------ exec -- */

/* What the exec'ed program does; its exit status says which step failed. */
static int run_exec_ed(const char *what, uint64_t key)
{
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return 10;
	if (unlock(key) != -1 || errno != EPERM)
		return 11;
	if (!strcmp(what, "stranger"))
		return 0;
	/* A lock that stayed would be EDEADLK here, or hang. */
	if (lock(key) || unlock(key))
		return 12;
	if (heap_stat("lock_contended") != atoll(getenv("CONTENDED")))
		return 13;
	return 0;
}

static void exec_self(const char *what)
{
	char key[32], contended[64];
	char *argv[] = { "test_death", (char *)what, key, NULL };
	char *envp[] = { contended, NULL };

	snprintf(key, sizeof(key), "%llu", (unsigned long long)scene->key);
	snprintf(contended, sizeof(contended), "CONTENDED=%lld",
		 heap_stat("lock_contended"));
	execve("/proc/self/exe", argv, envp);
	child_failed("execve", __FILE__, __LINE__);
}

static int hold_and_exec(void *arg)
{
	(void)arg;
	child_check(!lock(scene->key));
	exec_self("holder");
	return 1;
}

static void death_by_exec_frees(void **state)
{
	long long recovered = heap_stat("lock_recovered");

	(void)state;
	scene_new();
	expect_exit(spawn(hold_and_exec, NULL), 0);
	assert_free(scene->key);
	assert_int_equal(heap_stat("lock_recovered"), recovered + 1);
	scene_free();
}

static void *exec_in_thread(void *arg)
{
	(void)arg;
	child_check(!lock(scene->key + 1));
	exec_self("holder");
	return NULL;
}

/* The thread becomes the leader; the leader, who holds the key, dies. */
static int hold_and_exec_in_thread(void *arg)
{
	pthread_t id;

	(void)arg;
	child_check(!lock(scene->key));
	child_check(!pthread_create(&id, NULL, exec_in_thread, NULL));
	pthread_join(id, NULL);
	return 1;
}

static void death_by_exec_of_another_thread_frees(void **state)
{
	long long recovered = heap_stat("lock_recovered");

	(void)state;
	scene_new();
	expect_exit(spawn(hold_and_exec_in_thread, NULL), 0);
	assert_free(scene->key);
	assert_free(scene->key + 1);
	assert_int_equal(heap_stat("lock_recovered"), recovered + 2);
	scene_free();
}

static int exec_nothing(void *arg)
{
	char *argv[] = { "nothing", NULL };

	(void)arg;
	child_check(!lock(scene->key));
	child_check(execv("/nonexistent", argv) == -1 && errno == ENOENT);
	child_check(execv("/proc/self/maps", argv) == -1);
	child_check(lock(scene->key) == -1 && errno == EDEADLK);
	child_check(!unlock(scene->key));
	return 0;
}

static void death_is_not_a_failed_exec(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn(exec_nothing, NULL), 0);
	scene_free();
}

static void owner_is_not_a_posix_spawned_program(void **state)
{
	char key[32];
	char *argv[] = { "test_death", "stranger", key, NULL };
	pid_t pid;

	(void)state;
	scene_new();
	snprintf(key, sizeof(key), "%llu", (unsigned long long)scene->key);
	assert_int_equal(lock(scene->key), 0);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv,
				     environ), 0);
	expect_exit(pid, 0);
	assert_still_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	scene_free();
}

/* --------------------------------------------------------------- threads -- */

static void *hold_in_thread(void *arg)
{
	(void)arg;
	scene->result = lock(scene->key) ? errno : 0;
	pthread_exit(NULL);
}

/* pthread_join() may return a little earlier: the lock is free soon after. */
static void death_of_a_thread_frees(void **state)
{
	long long recovered = heap_stat("lock_recovered");
	pthread_t id;

	(void)state;
	scene_new();
	assert_int_equal(pthread_create(&id, NULL, hold_in_thread, NULL), 0);
	pthread_join(id, NULL);
	assert_int_equal(scene->result, 0);
	assert_int_equal(lock(scene->key), 0);
	assert_int_equal(heap_stat("lock_recovered"), recovered + 1);
	assert_int_equal(unlock(scene->key), 0);
	scene_free();
}

static void *take_after_leader(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	child_check(!lock(scene->key));
	child_check(!unlock(scene->key));
	/* The only thread left: its status is the process's. */
	syscall(SYS_exit_group, 0);
	return NULL;
}

/* The first thread ends and stays a zombie while the process lives on. */
static int leader_ends_first(void *arg)
{
	pthread_t id;

	(void)arg;
	child_check(!lock(scene->key));
	child_check(!pthread_create(&id, NULL, take_after_leader, NULL));
	gate_wait(&scene->started, 1);
	syscall(SYS_exit, 3);
	return 3;
}

static void death_of_the_first_thread_frees(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn(leader_ends_first, NULL), 0);
	assert_free(scene->key);
	scene_free();
}

static _Atomic pid_t waiting;

static void *wait_in_thread(void *arg)
{
	(void)arg;
	waiting = gettid();
	gate_add(&scene->started, 1);
	lock(scene->key);
	return NULL;
}

static int exit_under_a_waiting_thread(void *arg)
{
	pthread_t id;

	(void)arg;
	child_check(!pthread_create(&id, NULL, wait_in_thread, NULL));
	gate_wait(&scene->started, 1);
	child_check(wait_asleep(waiting));
	return 0;
}

/* exit_group() takes the waiting thread along. */
static void death_of_the_process_ends_a_waiting_thread(void **state)
{
	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	expect_exit(spawn(exit_under_a_waiting_thread, NULL), 0);
	assert_still_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	assert_free(scene->key);
	scene_free();
}

/* ------------------------------------------------------ clone, vfork, fork */

/* As one that the module knows nothing of, and as one that it knows. */
static int try_unlock(void *arg)
{
	(void)arg;
	if (unlock(scene->key) != -1 || errno != EPERM)
		return 1;
	if (lock(scene->key + 1))
		return 2;
	if (unlock(scene->key) != -1 || errno != EPERM)
		return 3;
	return unlock(scene->key + 1) ? 4 : 0;
}

static void owner_is_not_a_clone_that_shares_memory(void **state)
{
	char *stack = malloc(STACK_SIZE);

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	expect_exit(clone_vm(try_unlock, stack, CLONE_FILES), 0);
	assert_still_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	/* And the other way round: what it holds ends with it. */
	expect_exit(clone_vm(hold_and_return, stack, CLONE_FILES), 0);
	assert_free(scene->key);
	free(stack);
	scene_free();
}

static void owner_is_not_a_vfork_child(void **state)
{
	char *stack = malloc(STACK_SIZE);

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	expect_exit(clone_vm(try_unlock, stack, CLONE_VFORK), 0);
	assert_still_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(clone_vm(hold_and_return, stack, CLONE_VFORK), 0);
	assert_free(scene->key);
	free(stack);
	scene_free();
}

static int shared_fd;

static int lock_by_shared_fd(void *arg)
{
	(void)arg;
	return npheap_lock(shared_fd, scene->key) ? 1 : 0;
}

static int close_shared_fd(void *arg)
{
	(void)arg;
	return close(shared_fd) ? 1 : 0;
}

static void death_of_one_that_shares_descriptors_frees(void **state)
{
	(void)state;
	scene_new();
	shared_fd = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	expect_exit(clone_files(lock_by_shared_fd, NULL), 0);
	assert_free(scene->key);
	/* It closes the descriptor for both; the lock is no affair of that. */
	assert_int_equal(npheap_lock(shared_fd, scene->key), 0);
	expect_exit(clone_files(close_shared_fd, NULL), 0);
	assert_errno(npheap_unlock(shared_fd, scene->key), EBADF);
	assert_still_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	scene_free();
}

static int close_and_exit(void *arg)
{
	(void)arg;
	child_check(unlock(scene->key) == -1 && errno == EPERM);
	child_check(!close(dev));
	return 0;
}

static int only_exit(void *arg)
{
	(void)arg;
	return 0;
}

static void owner_keeps_its_locks_when_a_child_ends(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	expect_exit(spawn(close_and_exit, NULL), 0);
	assert_still_mine(scene->key);
	expect_exit(spawn(only_exit, NULL), 0);
	assert_still_mine(scene->key);
	scene->key++;
	pid = start(hold, NULL);
	kill_and_reap(pid);
	scene->key--;
	assert_still_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	scene_free();
}

/* The child works on the file that its parent opened, also after its death. */
static int orphan_parent(void *arg)
{
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	(void)arg;
	child_check(dev >= 0);
	if (fork() == 0) {
		lock(scene->key);
		gate_add(&scene->started, 1);
		gate_wait(&scene->go, 1);
		scene->result = unlock(scene->key) ? errno : 0;
		gate_add(&scene->started, 1);
		_exit(0);
	}
	gate_wait(&scene->started, 1);
	return 0;
}

static void owner_keeps_its_locks_when_its_parent_ends(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn(orphan_parent, NULL), 0);
	assert_errno(unlock(scene->key), EPERM);
	gate_add(&scene->go, 1);
	gate_wait(&scene->started, 2);
	assert_int_equal(scene->result, 0);
	assert_free(scene->key);
	scene_free();
}

/* ----------------------------------------------------------- descriptors -- */

static void owner_keeps_its_locks_after_close(void **state)
{
	uint64_t key = test_key();
	int fd = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);

	(void)state;
	assert_int_equal(npheap_lock(fd, key), 0);
	assert_int_equal(close(fd), 0);
	assert_still_mine(key);
	assert_int_equal(unlock(key), 0);
}

static void owner_may_unlock_by_a_duplicate(void **state)
{
	uint64_t key = test_key();
	int fd = dup(dev);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(lock(key), 0);
	assert_errno(npheap_lock(fd, key), EDEADLK);
	assert_int_equal(npheap_unlock(fd, key), 0);
	assert_int_equal(npheap_lock(fd, key), 0);
	close(fd);
	assert_still_mine(key);
	assert_int_equal(unlock(key), 0);
}

static int use_received_fd(void *arg)
{
	int fd;

	close(dev);
	fd = receive_fd(*(int *)arg);
	child_check(fd >= 0);
	/* The sender's lock is the sender's. */
	child_check(npheap_unlock(fd, scene->key) == -1 && errno == EPERM);
	child_check(!npheap_lock(fd, scene->key + 1));
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	return 0;
}

static void owner_is_not_who_sent_the_descriptor(void **state)
{
	int sockets[2];
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_int_equal(lock(scene->key), 0);
	pid = spawn(use_received_fd, &sockets[1]);
	send_fd(sockets[0], dev);
	gate_wait(&scene->started, 1);
	assert_errno(unlock(scene->key + 1), EPERM);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_free(scene->key + 1);
	assert_still_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	close(sockets[0]);
	close(sockets[1]);
	scene_free();
}

/* ------------------------------------------------- equal numbers of threads */

static int be_pid_1(void *arg)
{
	child_check(getpid() == 1);
	return ((int (*)(void *))arg)(NULL);
}

static int in_new_pid_namespace(void *arg)
{
	child_check(!unshare(CLONE_NEWPID));
	expect_exit(spawn(be_pid_1, arg), 0);
	return 0;
}

static int intrude(void *arg)
{
	(void)arg;
	child_check(!lock(scene->key + 1));
	child_check(!unlock(scene->key + 1));
	child_check(unlock(scene->key) == -1 && errno == EPERM);
	gate_add(&scene->started, 1);
	/* Waits, where the owner himself would be told EDEADLK. */
	child_check(!lock(scene->key));
	child_check(!unlock(scene->key));
	return 0;
}

static int pid_namespaces_work(void *arg)
{
	(void)arg;
	return unshare(CLONE_NEWPID) ? 1 : 0;
}

/* Both are thread 1 of their pid namespace. */
static void owner_is_one_of_its_pid_namespace(void **state)
{
	long long contended;
	pid_t holder, other;

	(void)state;
	if (!works(pid_namespaces_work)) {
		printf("# no pid namespaces\n");
		skip();
	}
	scene_new();
	holder = spawn(in_new_pid_namespace, hold_and_exit);
	gate_wait(&scene->started, 1);
	contended = heap_stat("lock_contended");
	other = spawn(in_new_pid_namespace, intrude);
	gate_wait(&scene->started, 2);
	while (heap_stat("lock_contended") == contended)
		sched_yield();
	gate_add(&scene->go, 1);
	expect_exit(holder, 0);
	expect_exit(other, 0);
	assert_free(scene->key);
	scene_free();
}

static int hold_and_die_in_namespace(void *arg)
{
	(void)arg;
	child_check(!lock(scene->key));
	gate_add(&scene->started, 1);
	raise(SIGSTOP);
	return pause();
}

static int kill_a_namespace(void *arg)
{
	pid_t pid;

	(void)arg;
	child_check(!unshare(CLONE_NEWPID));
	pid = spawn(hold_and_die_in_namespace, NULL);
	gate_wait(&scene->started, 1);
	kill_and_reap(pid);
	return 0;
}

static void death_of_a_pid_namespace_frees(void **state)
{
	(void)state;
	if (!works(pid_namespaces_work)) {
		printf("# no pid namespaces\n");
		skip();
	}
	scene_new();
	expect_exit(spawn(kill_a_namespace, NULL), 0);
	assert_free(scene->key);
	scene_free();
}

/* A child with this pid, or -1 and errno. */
static pid_t fork_with_pid(pid_t pid, int (*body)(void *arg))
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};
	pid_t child;

	fflush(NULL);
	child = syscall(SYS_clone3, &args, sizeof(args));
	if (!child)
		_exit(body(NULL));
	return child;
}

static void owner_is_not_the_next_with_its_pid(void **state)
{
	pid_t pid, again;

	(void)state;
	scene_new();
	gate_add(&scene->go, 1);
	pid = start(hold_and_exit, NULL);
	expect_exit(pid, 0);
	assert_int_equal(lock(scene->key), 0);
	again = fork_with_pid(pid, try_unlock);
	if (again < 0) {
		printf("# clone3 with set_tid: %s\n", strerror(errno));
		unlock(scene->key);
		skip();
	}
	assert_int_equal(again, pid);
	expect_exit(pid, 0);
	assert_still_mine(scene->key);
	assert_int_equal(unlock(scene->key), 0);
	/* And what the first one held, the second may lock, not "again". */
	again = fork_with_pid(pid, hold_and_return);
	assert_int_equal(again, pid);
	expect_exit(pid, 0);
	assert_free(scene->key);
	scene_free();
}

/* --------------------------------------------------------------- torture -- */

#define WORKERS 4
#define KILLS 200

/* In an object: two counters that differ only inside of the lock. */
struct ledger {
	volatile uint64_t begun;
	volatile uint64_t ended;
	volatile pid_t inside;
	_Atomic uint64_t repairs;
	_Atomic uint64_t broken;
};

static struct ledger *ledger;

static void book(void)
{
	pid_t me = getpid();

	if (ledger->begun != ledger->ended) {
		/* One was killed in here, so it is 1 and not more. */
		if (ledger->begun != ledger->ended + 1)
			ledger->broken++;
		ledger->repairs++;
		ledger->ended = ledger->begun;
	}
	ledger->inside = me;
	ledger->begun++;
	sched_yield();
	if (ledger->inside != me)
		ledger->broken++;
	ledger->ended++;
}

static int book_keeper(void *arg)
{
	(void)arg;
	for (;;) {
		child_check(!lock(scene->key));
		book();
		child_check(!unlock(scene->key));
		gate_add(&scene->started, 1);
	}
}

/* Every other time the one that is in there, if it still is. */
static pid_t *choose_victim(pid_t *pids, unsigned int *seed)
{
	pid_t inside = ledger->inside;
	int i;

	if (rand_r(seed) % 2)
		for (i = 0; i < WORKERS; i++)
			if (pids[i] == inside)
				return &pids[i];
	return &pids[rand_r(seed) % WORKERS];
}

static void kill_and_replace(pid_t *pid)
{
	kill_and_reap(*pid);
	*pid = spawn(book_keeper, NULL);
}

static void death_under_load_breaks_nothing(void **state)
{
	long long locks = locks_in_use();
	pid_t pids[WORKERS];
	unsigned int seed = 7;
	uint32_t progress;
	int i;

	(void)state;
	scene_new();
	ledger = map_key(scene->key, page);
	for (i = 0; i < WORKERS; i++)
		pids[i] = spawn(book_keeper, NULL);
	for (i = 0; i < KILLS; i++) {
		progress = scene->started.value;
		kill_and_replace(choose_victim(pids, &seed));
		/* Whoever was killed, the others go on. */
		gate_wait(&scene->started, progress + 1 + rand_r(&seed) % 8);
	}
	for (i = 0; i < WORKERS; i++) {
		kill_and_reap(pids[i]);
	}
	assert_int_equal(ledger->broken, 0);
	assert_in_range(ledger->repairs, 0, KILLS + WORKERS);
	assert_free(scene->key);
	assert_int_equal(locks_in_use(), locks);
	printf("# %llu critical sections, %llu of them cut short\n",
	       (unsigned long long)ledger->begun,
	       (unsigned long long)ledger->repairs);
	munmap(ledger, page);
	npheap_delete(dev, scene->key);
	scene_free();
}

/* Softirqs run in threads there, and what sends a lot is preempted in them. */
static int flood_loopback(void *arg)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t length = sizeof(address);
	static char packet[30000];

	(void)arg;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) ||
	    getsockname(fd, (struct sockaddr *)&address, &length))
		return 0;
	for (;;) {
		sendto(fd, packet, sizeof(packet), MSG_DONTWAIT,
		       (struct sockaddr *)&address, length);
		recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
	}
}

#define TAINT_WARN (1 << 9)

static int warned_before;

static int kernel_has_warned(void)
{
	return !!(read_number("/proc/sys/kernel/tainted") & TAINT_WARN);
}

/*
 * An end is noticed where the kernel must not be preempted; on a real-time
 * kernel not even softirqs may be disabled there.
 */
static void death_while_softirqs_are_busy(void **state)
{
	long long limit = now_ms() + 3000;
	pid_t floods[4];
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < 4; i++)
		floods[i] = spawn(flood_loopback, NULL);
	while (now_ms() < limit) {
		expect_exit(spawn(hold_and_return, NULL), 0);
		assert_free(scene->key);
	}
	for (i = 0; i < 4; i++) {
		kill(floods[i], SIGKILL);
		waitpid(floods[i], NULL, 0);
	}
	assert_int_equal(kernel_has_warned(), warned_before);
	scene_free();
}

static const struct CMUnitTest tests[] = {
	TEST(death_by_exit_frees),
	TEST(death_by_sigkill_frees),
	TEST(death_by_a_crash_frees),
	TEST(death_frees_10000_locks),
	TEST(death_is_over_when_waitpid_returns),
	TEST(death_by_sigkill_is_over_when_waitpid_returns),
	TEST(death_of_the_holder_lets_waiters_go_on),
	TEST(death_of_all_waiters_in_any_order),
	TEST(death_of_one_holder_after_the_other),
	TEST(death_races_with_the_grant),
	TEST(death_by_exec_frees),
	TEST(death_by_exec_of_another_thread_frees),
	TEST(death_is_not_a_failed_exec),
	TEST(death_of_a_thread_frees),
	TEST(death_of_the_first_thread_frees),
	TEST(death_of_the_process_ends_a_waiting_thread),
	TEST(death_of_one_that_shares_descriptors_frees),
	TEST(death_of_a_pid_namespace_frees),
	TEST(owner_is_not_a_posix_spawned_program),
	TEST(owner_is_not_a_clone_that_shares_memory),
	TEST(owner_is_not_a_vfork_child),
	TEST(owner_keeps_its_locks_when_a_child_ends),
	TEST(owner_keeps_its_locks_when_its_parent_ends),
	TEST(owner_keeps_its_locks_after_close),
	TEST(owner_may_unlock_by_a_duplicate),
	TEST(owner_is_not_who_sent_the_descriptor),
	TEST(owner_is_one_of_its_pid_namespace),
	TEST(owner_is_not_the_next_with_its_pid),
	TEST(death_under_load_breaks_nothing),
	TEST(death_while_softirqs_are_busy),
};

int main(int argc, char **argv)
{
	if (argc == 3)
		return run_exec_ed(argv[1], strtoull(argv[2], NULL, 0));
	warned_before = kernel_has_warned();
	return test_main(tests);
}
