// SPDX-License-Identifier: GPL-2.0-or-later
/* Locks: exclusion, order, errors, and everything that can disturb a waiter. */
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#include "scene.h"

#define WAITERS 8
#define MANY_HELD 10000
#define MANY_TOUCHED 100000
/* What the module keeps of records that nobody uses. */
#define IDLE_LOCKS 65536

/* ------------------------------------------------------------ the table -- */

/* The line of a key in /proc/npheap/locks; 0 where it has none. */
static int lock_line(uint64_t key, pid_t *holder, unsigned int *waiters)
{
	FILE *file = fopen("/proc/npheap/locks", "re");
	unsigned long long found;
	char line[128];
	int hit = 0;

	assert_non_null(file);
	while (!hit && fgets(line, sizeof(line), file))
		hit = sscanf(line, "%llu %d %u", &found, holder,
			     waiters) == 3 && found == key;
	fclose(file);
	return hit;
}

static void assert_lock_line(uint64_t key, pid_t holder, unsigned int waiters)
{
	unsigned int got_waiters = ~0u;
	pid_t got_holder = -1;

	assert_true(lock_line(key, &got_holder, &got_waiters));
	assert_int_equal(got_holder, holder);
	assert_int_equal(got_waiters, waiters);
}

static void assert_no_lock_line(uint64_t key)
{
	unsigned int waiters;
	pid_t holder;

	assert_false(lock_line(key, &holder, &waiters));
}

/* -------------------------------------------------------------- waiters -- */

/* Takes the lock when it is this waiter's turn, and notes which turn it was. */
static int waiter(void *arg)
{
	gate_add(&scene->started, 1);
	child_check(!lock(scene->key));
	scene->order[scene->grants++] = (intptr_t)arg;
	child_check(!unlock(scene->key));
	return 0;
}

/* A child asleep in its wait, that notes this index when it had its turn. */
static pid_t start_waiter(int (*body)(void *arg), intptr_t index)
{
	return start_asleep(body, (void *)index);
}

static void count_signal(int sig)
{
	(void)sig;
	gate_add(&scene->signals, 1);
}

static void handle(int sig, void (*handler)(int sig), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	child_check(!sigaction(sig, &action, NULL));
}

static int waiter_with_handler(void *arg)
{
	handle(SIGUSR1, count_signal, scene->sa_flags);
	return waiter(arg);
}

/*
 * The test holds the lock, two children wait for it; the first of them is
 * disturbed, waits again, and must still be the first to get the lock.
 */
static void assert_keeps_place(int (*body)(void *arg),
			       void (*disturb)(pid_t pid))
{
	pid_t first, second;

	assert_int_equal(lock(scene->key), 0);
	first = start_waiter(body, 1);
	second = start_waiter(waiter, 2);
	disturb(first);
	assert_true(wait_asleep(first));
	assert_int_equal(scene->grants, 0);
	assert_lock_line(scene->key, getpid(), 2);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(first, 0);
	expect_exit(second, 0);
	assert_int_equal(scene->order[0], 1);
	assert_int_equal(scene->order[1], 2);
	assert_no_lock_line(scene->key);
}

/* --------------------------------------------------------------- basics -- */

static void lock_and_unlock_return_0(void **state)
{
	uint64_t key = test_key();

	(void)state;
	assert_int_equal(lock(key), 0);
	assert_lock_line(key, getpid(), 0);
	assert_int_equal(unlock(key), 0);
	assert_no_lock_line(key);
}

static void lock_works_on_the_first_and_the_last_key(void **state)
{
	(void)state;
	assert_int_equal(lock(0), 0);
	assert_int_equal(lock(NPHEAP_KEY_MAX), 0);
	assert_lock_line(0, getpid(), 0);
	assert_lock_line(NPHEAP_KEY_MAX, getpid(), 0);
	assert_int_equal(unlock(NPHEAP_KEY_MAX), 0);
	assert_int_equal(unlock(0), 0);
}

static void lock_creates_no_object(void **state)
{
	long long objects = heap_stat("objects");
	uint64_t key = test_key();

	(void)state;
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_int_equal(lock(key), 0);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_int_equal(heap_stat("objects"), objects);
	assert_int_equal(unlock(key), 0);
	assert_int_equal(heap_stat("objects"), objects);
}

/* A hang here would be a lock that waits for its own holder. */
static void lock_again_is_edeadlk(void **state)
{
	uint64_t key = test_key();
	int i;

	(void)state;
	assert_int_equal(lock(key), 0);
	for (i = 0; i < 3; i++)
		assert_errno(lock(key), EDEADLK);
	assert_lock_line(key, getpid(), 0);
	/* The failed calls did not count. */
	assert_int_equal(unlock(key), 0);
	assert_errno(unlock(key), EPERM);
	assert_no_lock_line(key);
}

static int take_neighbours(void *arg)
{
	uint64_t key = scene->key;
	uint64_t keys[] = { key + 1, key - 1, key + (1ULL << 32),
			    key + (1ULL << 50), key ^ (1ULL << 31) };
	size_t i;

	(void)arg;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		child_check(!lock(keys[i]));
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		child_check(!unlock(keys[i]));
	return 0;
}

/* Also keys that are the same in their lower 32 bits. */
static void lock_leaves_other_keys_alone(void **state)
{
	long long contended = heap_stat("lock_contended");

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	expect_exit(spawn(take_neighbours, NULL), 0);
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(heap_stat("lock_contended"), contended);
	scene_free();
}

static void lock_holds_10000_at_once(void **state)
{
	long long locks = locks_in_use();
	uint64_t key = test_key();
	int i;

	(void)state;
	for (i = 0; i < MANY_HELD; i++)
		assert_int_equal(lock(key + i), 0);
	assert_int_equal(locks_in_use(), locks + MANY_HELD);
	assert_errno(lock(key), EDEADLK);
	assert_errno(lock(key + MANY_HELD - 1), EDEADLK);
	for (i = 0; i < MANY_HELD; i++)
		assert_int_equal(unlock(key + i), 0);
	assert_int_equal(locks_in_use(), locks);
}

/* Scattered keys; fewer of them where a debug kernel takes its time. */
static int touch_many(void *arg)
{
	long long limit = now_ms() + 5000;
	uint64_t key;
	int i;

	(void)arg;
	for (i = 0; i < MANY_TOUCHED && (i % 1000 || now_ms() < limit); i++) {
		key = i * 0x9e3779b97f4a7c15ULL & NPHEAP_KEY_MAX;
		child_check(!lock(key) && !unlock(key));
	}
	printf("# %d keys\n", i);
	fflush(stdout);
	child_check(heap_stat("locks") < IDLE_LOCKS + 1000);
	return 0;
}

/* Some are kept for a thread that may come back to them, while it lives. */
static void lock_records_go_away_when_unused(void **state)
{
	long long objects = heap_stat("objects");
	long long records = heap_stat("locks");
	long long locks = locks_in_use();

	(void)state;
	expect_exit(spawn(touch_many, NULL), 0);
	assert_in_range(heap_stat("locks"), 0, records);
	assert_int_equal(locks_in_use(), locks);
	assert_int_equal(heap_stat("objects"), objects);
}

enum { TOO_SLOW = 3 };

static int touch_objects(void *arg)
{
	uint64_t key = *(uint64_t *)arg;
	long long limit = now_ms() + 12000;
	/* Records that others have used count, too. */
	int others = heap_stat("locks");
	int i;

	for (i = 0; i < IDLE_LOCKS + 1000 + others; i++) {
		void *p = npheap_alloc(dev, key + i, page);

		child_check(p != MAP_FAILED && !munmap(p, page));
		if (now_ms() > limit)
			return TOO_SLOW;
	}
	for (i = 0; i < IDLE_LOCKS + 1000; i++) {
		child_check(!lock_by_ioctl(key + i) &&
			    !unlock_by_ioctl(key + i));
		if (now_ms() > limit)
			return TOO_SLOW;
	}
	child_check(heap_stat("locks") >= IDLE_LOCKS + 1000);
	return 0;
}

/* Where there are more objects than that, each can have its record. */
static void lock_records_are_kept_for_objects(void **state)
{
	uint64_t key = test_key();
	int i, others, status;
	pid_t pid;

	(void)state;
	if (heap_stat("max_bytes") < (IDLE_LOCKS + 2000LL) * (long long)page ||
	    heap_stat("max_locks") < IDLE_LOCKS + 2000) {
		printf("# no memory for so many objects\n");
		skip();
	}
	others = heap_stat("locks");
	pid = spawn(touch_objects, &key);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (i = 0; i < IDLE_LOCKS + 1000 + others; i++)
		assert_int_equal(npheap_delete(dev, key + i), 0);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == TOO_SLOW) {
		printf("# this machine is too slow\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ------------------------------------------------------------ not yours -- */

static int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	return fd;
}

/* How many records since then hold the word, if there is one. */
static int kmsg_count(int fd, const char *word)
{
	char record[8192];
	ssize_t len;
	int count = 0;

	while ((len = read(fd, record, sizeof(record) - 1)) > 0 ||
	       errno == EPIPE) {
		if (len <= 0)
			continue;
		record[len] = '\0';
		count += !word || strstr(record, word);
	}
	assert_int_equal(errno, EAGAIN);
	return count;
}

static int unlock_is_eperm(void *arg)
{
	(void)arg;
	child_check(unlock(scene->key) == -1 && errno == EPERM);
	return 0;
}

/* The module knows this process: it holds another lock, and goes on to. */
static int unlock_by_a_holder_of_another_is_eperm(void *arg)
{
	(void)arg;
	child_check(!lock(scene->key + 1));
	child_check(unlock(scene->key) == -1 && errno == EPERM);
	child_check(unlock(scene->key + 2) == -1 && errno == EPERM);
	child_check(lock(scene->key + 1) == -1 && errno == EDEADLK);
	child_check(!unlock(scene->key + 1));
	child_check(unlock(scene->key) == -1 && errno == EPERM);
	return 0;
}

static void unlock_of_an_unknown_key_is_eperm(void **state)
{
	long long locks = locks_in_use();
	uint64_t key = test_key();

	(void)state;
	assert_errno(unlock(key), EPERM);
	assert_int_equal(locks_in_use(), locks);
	assert_no_lock_line(key);
}

/* The first call of a process ever: it is unknown as an owner, too. */
static void unlock_by_a_newcomer_is_eperm(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn(unlock_is_eperm, NULL), 0);
	scene_free();
}

/* Nothing changes: the holder holds, the waiter waits, the order stays. */
static void unlock_by_another_process_is_eperm(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	pid = start_waiter(waiter, 1);
	expect_exit(spawn(unlock_is_eperm, NULL), 0);
	expect_exit(spawn(unlock_by_a_holder_of_another_is_eperm, NULL), 0);
	assert_lock_line(scene->key, getpid(), 1);
	assert_true(wait_asleep(pid));
	assert_int_equal(scene->grants, 0);
	assert_errno(lock(scene->key), EDEADLK);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pid, 0);
	scene_free();
}

/* One common client does this all the time. */
static void unlock_by_a_stranger_is_not_logged(void **state)
{
	uint64_t key = test_key();
	int fd = kmsg_open();
	int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		assert_errno(unlock(key), EPERM);
	assert_int_equal(kmsg_count(fd, "npheap"), 0);
	lseek(fd, 0, SEEK_END);
	for (i = 0; i < 1000; i++)
		assert_errno(unlock(key), EPERM);
	/* Nor without its name; the kernel itself may say something. */
	assert_in_range(kmsg_count(fd, NULL), 0, 20);
	close(fd);
}

/* ------------------------------------------------------------ exclusion -- */

struct thread {
	uint64_t key;
	_Atomic pid_t tid;
	_Atomic int result;
	struct gate *started;
};

static void *lock_in_thread(void *arg)
{
	struct thread *thread = arg;

	thread->tid = gettid();
	gate_add(thread->started, 1);
	thread->result = lock(thread->key) ? errno : 0;
	if (!thread->result && unlock(thread->key))
		thread->result = errno;
	return NULL;
}

static void lock_excludes_threads_of_one_process(void **state)
{
	struct thread thread = { .key = test_key(), .result = -1 };
	pthread_t id;

	(void)state;
	thread.started = gate_new();
	assert_int_equal(lock(thread.key), 0);
	assert_int_equal(pthread_create(&id, NULL, lock_in_thread, &thread), 0);
	gate_wait(thread.started, 1);
	assert_true(wait_asleep(thread.tid));
	assert_int_equal(thread.result, -1);
	assert_int_equal(unlock(thread.key), 0);
	pthread_join(id, NULL);
	assert_int_equal(thread.result, 0);
	munmap(thread.started, sizeof(*thread.started));
}

static void *unlock_in_thread(void *arg)
{
	struct thread *thread = arg;

	if (lock(thread->key + 1))
		return NULL;
	thread->result = unlock(thread->key) ? errno : 0;
	unlock(thread->key + 1);
	return NULL;
}

static void unlock_by_another_thread_is_eperm(void **state)
{
	struct thread thread = { .key = test_key(), .result = -1 };
	pthread_t id;

	(void)state;
	assert_int_equal(lock(thread.key), 0);
	pthread_create(&id, NULL, unlock_in_thread, &thread);
	pthread_join(id, NULL);
	assert_int_equal(thread.result, EPERM);
	assert_errno(lock(thread.key), EDEADLK);
	assert_int_equal(unlock(thread.key), 0);
}

#define LOAD_PROCESSES 8
#define LOAD_ROUNDS 400

/* An increment that is lost wherever two of them overlap. */
static void increment(volatile uint64_t *counter, int yield)
{
	uint64_t old = *counter;

	if (yield)
		sched_yield();
	*counter = old + 1;
}

static int incrementer(void *arg)
{
	volatile uint64_t *counter = arg;
	int i;

	gate_wait(&scene->go, 1);
	for (i = 0; i < LOAD_ROUNDS; i++) {
		child_check(!lock(scene->key));
		increment(counter, i % 8 == 0);
		child_check(!unlock(scene->key));
	}
	return 0;
}

static void lock_excludes_under_load(void **state)
{
	pid_t pids[LOAD_PROCESSES];
	uint64_t *counter;
	int i;

	(void)state;
	scene_new();
	counter = map_key(scene->key, page);
	for (i = 0; i < LOAD_PROCESSES; i++)
		pids[i] = spawn(incrementer, counter);
	gate_add(&scene->go, 1);
	for (i = 0; i < LOAD_PROCESSES; i++)
		expect_exit(pids[i], 0);
	assert_int_equal(*counter, LOAD_PROCESSES * LOAD_ROUNDS);
	assert_no_lock_line(scene->key);
	munmap(counter, page);
	npheap_delete(dev, scene->key);
	scene_free();
}

static void lock_is_granted_in_the_order_of_asking(void **state)
{
	pid_t pids[WAITERS];
	int i;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	for (i = 0; i < WAITERS; i++)
		pids[i] = start_waiter(waiter, i);
	assert_lock_line(scene->key, getpid(), WAITERS);
	assert_int_equal(unlock(scene->key), 0);
	for (i = 0; i < WAITERS; i++)
		expect_exit(pids[i], 0);
	for (i = 0; i < WAITERS; i++)
		assert_int_equal(scene->order[i], i);
	scene_free();
}

/* The lock is handed over: who asks again at once is behind those who wait. */
static void lock_is_not_stolen_by_who_gave_it_back(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	pid = start_waiter(waiter, 1);
	assert_int_equal(unlock(scene->key), 0);
	assert_int_equal(lock(scene->key), 0);
	assert_int_equal(scene->grants, 1);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pid, 0);
	scene_free();
}

/* ---------------------------------------------------- signals to waiters -- */

static void send_signals(pid_t pid)
{
	uint32_t i;

	for (i = 0; i < 5; i++) {
		assert_int_equal(kill(pid, SIGUSR1), 0);
		gate_wait(&scene->signals, i + 1);
		assert_true(wait_asleep(pid));
	}
	assert_int_equal(scene->signals.value, 5);
}

static void lock_wait_with_a_handler_never_sees_eintr(void **state)
{
	(void)state;
	scene_new();
	assert_keeps_place(waiter_with_handler, send_signals);
	scene_free();
}

static void lock_wait_with_sa_restart_keeps_its_place(void **state)
{
	(void)state;
	scene_new();
	scene->sa_flags = SA_RESTART;
	assert_keeps_place(waiter_with_handler, send_signals);
	scene_free();
}

static void lock_other_key(int sig)
{
	int saved = errno;

	(void)sig;
	child_check(!lock(scene->key + 1));
	child_check(!unlock(scene->key + 1));
	gate_add(&scene->signals, 1);
	errno = saved;
}

static int waiter_locks_other_key(void *arg)
{
	handle(SIGUSR1, lock_other_key, 0);
	return waiter(arg);
}

static void lock_in_a_handler_of_a_free_key(void **state)
{
	(void)state;
	scene_new();
	assert_keeps_place(waiter_locks_other_key, send_signals);
	scene_free();
}

/* The handler has to wait, too. */
static void hold_other_key(pid_t pid)
{
	assert_int_equal(lock(scene->key + 1), 0);
	assert_int_equal(kill(pid, SIGUSR1), 0);
	while (heap_stat("lock_contended") < (long long)scene->go.value + 3)
		sched_yield();
	assert_true(wait_asleep(pid));
	assert_int_equal(scene->signals.value, 0);
	assert_int_equal(unlock(scene->key + 1), 0);
	gate_wait(&scene->signals, 1);
}

static void lock_in_a_handler_of_a_held_key(void **state)
{
	(void)state;
	scene_new();
	/* Two waiters and the handler's wait are three more than this. */
	scene->go.value = heap_stat("lock_contended");
	assert_keeps_place(waiter_locks_other_key, hold_other_key);
	scene_free();
}

static void lock_same_key(int sig)
{
	(void)sig;
	gate_add(&scene->signals, 1);
	child_check(!lock(scene->key));
	child_check(!unlock(scene->key));
	gate_add(&scene->done, 1);
}

static int waiter_locks_same_key(void *arg)
{
	handle(SIGUSR1, lock_same_key, 0);
	return waiter(arg);
}

/* First the handler gets it and gives it back, then the call below it. */
static void lock_in_a_handler_of_the_awaited_key(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	pid = start_waiter(waiter_locks_same_key, 1);
	kill(pid, SIGUSR1);
	gate_wait(&scene->signals, 1);
	assert_true(wait_asleep(pid));
	assert_int_equal(scene->done.value, 0);
	assert_lock_line(scene->key, getpid(), 1);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pid, 0);
	assert_int_equal(scene->done.value, 1);
	assert_int_equal(scene->grants, 1);
	assert_no_lock_line(scene->key);
	scene_free();
}

static void keep_same_key(int sig)
{
	(void)sig;
	gate_add(&scene->signals, 1);
	child_check(!lock(scene->key));
}

static int waiter_whose_handler_keeps_the_lock(void *arg)
{
	(void)arg;
	handle(SIGUSR1, keep_same_key, 0);
	gate_add(&scene->started, 1);
	child_check(lock(scene->key) == -1 && errno == EDEADLK);
	child_check(!unlock(scene->key));
	return 0;
}

/* The thread holds it then, so the call below the handler is a second one. */
static void lock_kept_by_a_handler_is_edeadlk_below(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	pid = start_waiter(waiter_whose_handler_keeps_the_lock, 1);
	kill(pid, SIGUSR1);
	gate_wait(&scene->signals, 1);
	assert_true(wait_asleep(pid));
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pid, 0);
	assert_no_lock_line(scene->key);
	scene_free();
}

static void stay_in_handler(int sig)
{
	(void)sig;
	gate_add(&scene->signals, 1);
	gate_wait(&scene->go, 1);
}

static int waiter_in_handler(void *arg)
{
	handle(SIGUSR1, stay_in_handler, 0);
	return waiter(arg);
}

/* A handler may run for ever; nobody else's turn may depend on it. */
static void lock_passes_over_who_is_in_a_handler(void **state)
{
	pid_t absent, other;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	absent = start_waiter(waiter_in_handler, 1);
	other = start_waiter(waiter, 2);
	kill(absent, SIGUSR1);
	gate_wait(&scene->signals, 1);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(other, 0);
	/* Free, with an absent waiter: a newcomer can have it. */
	assert_int_equal(lock(scene->key), 0);
	assert_lock_line(scene->key, getpid(), 1);
	assert_int_equal(unlock(scene->key), 0);
	gate_add(&scene->go, 1);
	expect_exit(absent, 0);
	assert_int_equal(scene->order[0], 2);
	assert_int_equal(scene->order[1], 1);
	assert_no_lock_line(scene->key);
	scene_free();
}

static int refused_after_a_handler(void *arg)
{
	(void)arg;
	handle(SIGUSR1, stay_in_handler, 0);
	gate_add(&scene->started, 1);
	child_check(npheap_acquire(heap, scene->key) == -ENOTRECOVERABLE);
	gate_add(&scene->done, 1);
	gate_wait(&scene->go, 2);
	return 0;
}

/* It gives up its place together with the wait. */
static void lock_is_lost_while_a_waiter_is_in_a_handler(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	die_holding();
	assert_int_equal(npheap_acquire(heap, scene->key), -EOWNERDEAD);
	pid = start_asleep(refused_after_a_handler, NULL);
	kill(pid, SIGUSR1);
	gate_wait(&scene->signals, 1);
	assert_lock_line(scene->key, getpid(), 1);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	gate_add(&scene->go, 1);
	gate_wait(&scene->done, 1);
	assert_lock_line(scene->key, 0, 0);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_int_equal(npheap_break(heap, scene->key), 0);
	settle(scene->key);
	assert_no_lock_line(scene->key);
	scene_free();
}

/* More than the module keeps places for in one thread. */
#define JUMPS 40
#define MAX_PLACES 16

static sigjmp_buf jump_target;

static void jump_out(int sig)
{
	(void)sig;
	siglongjmp(jump_target, 1);
}

static void wait_and_jump_out(uint64_t key)
{
	if (sigsetjmp(jump_target, 1))
		return;
	gate_add(&scene->started, 1);
	lock(key);
	child_failed("the lock is held by another", __FILE__, __LINE__);
}

static int jumper(void *arg)
{
	volatile int i;

	(void)arg;
	handle(SIGUSR1, jump_out, 0);
	for (i = 0; i < JUMPS; i++)
		wait_and_jump_out(scene->key + i);
	gate_add(&scene->done, 1);
	gate_wait(&scene->go, 1);
	child_check(!lock(scene->key));
	child_check(!lock(scene->key + JUMPS - 1));
	child_check(!unlock(scene->key));
	/* Dies with a lock and with abandoned places in queues. */
	return 0;
}

static void disturb_jumper(pid_t pid)
{
	uint32_t i;

	for (i = 0; i < JUMPS; i++) {
		gate_wait(&scene->started, i + 1);
		assert_true(wait_asleep(pid));
		kill(pid, SIGUSR1);
	}
	gate_wait(&scene->done, 1);
}

/* Who left is in nobody's way, and what it left behind is bounded. */
static void lock_wait_may_be_jumped_out_of(void **state)
{
	long long contended, locks = locks_in_use();
	pid_t pid;
	int i;

	(void)state;
	scene_new();
	for (i = 0; i < JUMPS; i++)
		assert_int_equal(lock(scene->key + i), 0);
	pid = spawn(jumper, NULL);
	disturb_jumper(pid);
	contended = heap_stat("lock_contended");
	for (i = 0; i < JUMPS; i++) {
		assert_int_equal(unlock(scene->key + i), 0);
		assert_int_equal(lock(scene->key + i), 0);
		assert_int_equal(unlock(scene->key + i), 0);
	}
	assert_int_equal(heap_stat("lock_contended"), contended);
	assert_in_range(locks_in_use(), locks, locks + MAX_PLACES);
	gate_add(&scene->go, 1);
	expect_exit(pid, 0);
	assert_int_equal(locks_in_use(), locks);
	scene_free();
}

static int jumper_on_one_key(void *arg)
{
	volatile int i;

	(void)arg;
	handle(SIGUSR1, jump_out, 0);
	for (i = 0; i < JUMPS; i++)
		wait_and_jump_out(scene->key);
	gate_add(&scene->done, 1);
	return waiter((void *)1);
}

/* Coming back to a key finds the one place that was left there. */
static void lock_wait_jumped_out_of_can_be_repeated(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	pid = spawn(jumper_on_one_key, NULL);
	disturb_jumper(pid);
	gate_wait(&scene->started, JUMPS + 1);
	assert_true(wait_asleep(pid));
	assert_lock_line(scene->key, getpid(), 1);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pid, 0);
	assert_no_lock_line(scene->key);
	scene_free();
}

/* ------------------------------------------- job control, debugger, freezer */

static void stop_and_continue(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(kill(pid, SIGCONT), 0);
}

static void lock_wait_can_be_stopped_and_continued(void **state)
{
	(void)state;
	scene_new();
	assert_keeps_place(waiter, stop_and_continue);
	scene_free();
}

/* Nobody else waits for one that has been stopped. */
static void lock_passes_over_who_is_stopped(void **state)
{
	pid_t stopped, other;
	int status;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	stopped = start_waiter(waiter, 1);
	other = start_waiter(waiter, 2);
	kill(stopped, SIGSTOP);
	assert_int_equal(waitpid(stopped, &status, WUNTRACED), stopped);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(other, 0);
	kill(stopped, SIGCONT);
	expect_exit(stopped, 0);
	assert_int_equal(scene->order[0], 2);
	scene_free();
}

static void attach_and_detach(pid_t pid)
{
	int status;

	assert_int_equal(ptrace(PTRACE_ATTACH, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
}

static void lock_wait_can_be_traced(void **state)
{
	(void)state;
	scene_new();
	assert_keeps_place(waiter, attach_and_detach);
	scene_free();
}

#define CGROUP "/sys/fs/cgroup/npheap_test_lock"

static void freeze_and_thaw(pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	assert_int_equal(write_text(CGROUP "/cgroup.procs", text), 0);
	assert_int_equal(write_text(CGROUP "/cgroup.freeze", "1"), 0);
	while (!number_after(CGROUP "/cgroup.events", "frozen "))
		sched_yield();
	assert_int_equal(write_text(CGROUP "/cgroup.freeze", "0"), 0);
	while (number_after(CGROUP "/cgroup.events", "frozen "))
		sched_yield();
	assert_int_equal(write_text("/sys/fs/cgroup/cgroup.procs", text), 0);
}

static void lock_wait_can_be_frozen(void **state)
{
	(void)state;
	if (mkdir(CGROUP, 0755) || access(CGROUP "/cgroup.freeze", W_OK)) {
		printf("# no cgroup2 with a freezer in /sys/fs/cgroup\n");
		rmdir(CGROUP);
		skip();
	}
	scene_new();
	assert_keeps_place(waiter, freeze_and_thaw);
	scene_free();
	assert_int_equal(rmdir(CGROUP), 0);
}

/* It dies while the lock is held, and the queue closes behind it. */
static void lock_wait_can_be_killed(void **state)
{
	pid_t pids[3];
	long long abandoned = heap_stat("lock_waits_abandoned");
	int i;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	for (i = 0; i < 3; i++)
		pids[i] = start_waiter(waiter, i);
	kill_and_reap(pids[1]);
	assert_int_equal(heap_stat("lock_waits_abandoned"), abandoned + 1);
	assert_lock_line(scene->key, getpid(), 2);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pids[0], 0);
	expect_exit(pids[2], 0);
	assert_int_equal(scene->grants, 2);
	assert_int_equal(scene->order[0], 0);
	assert_int_equal(scene->order[1], 2);
	assert_no_lock_line(scene->key);
	scene_free();
}

/* Ctrl-C on a program without a handler. */
static void lock_wait_ends_with_sigint(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	pid = start_waiter(waiter, 1);
	kill(pid, SIGINT);
	expect_signal(pid, SIGINT);
	assert_lock_line(scene->key, getpid(), 0);
	assert_int_equal(unlock(scene->key), 0);
	scene_free();
}

/* --------------------------------------------------- limits and counters -- */

static void lock_over_the_limit_is_enospc(void **state)
{
	long long locks = locks_not_idle();
	uint64_t key = test_key();

	(void)state;
	limit_locks(locks + 2);
	assert_int_equal(lock(key), 0);
	assert_int_equal(lock(key + 1), 0);
	assert_errno(lock(key + 2), ENOSPC);
	assert_no_lock_line(key + 2);
	assert_int_equal(locks_not_idle(), locks + 2);
	/* A key that has its record needs no other. */
	assert_errno(lock(key), EDEADLK);
	assert_int_equal(unlock(key), 0);
	assert_int_equal(lock(key + 2), 0);
	limit_locks(locks);
	assert_errno(lock(key), ENOSPC);
	unlimit_locks();
	assert_int_equal(lock(key), 0);
	assert_int_equal(unlock(key), 0);
	assert_int_equal(unlock(key + 1), 0);
	assert_int_equal(unlock(key + 2), 0);
	assert_int_equal(locks_not_idle(), locks);
}

/* Waiting for a held key needs no record, so no limit is in its way. */
static void lock_wait_is_not_limited(void **state)
{
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock(scene->key), 0);
	limit_locks(0);
	pid = start_waiter(waiter, 1);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pid, 0);
	unlimit_locks();
	scene_free();
}

/* What needs no kernel is not counted there, so this goes by ioctl. */
static void lock_counters_count(void **state)
{
	long long acquires = heap_stat("lock_acquires");
	long long contended = heap_stat("lock_contended");
	long long recovered = heap_stat("lock_recovered");
	pid_t pid;

	(void)state;
	scene_new();
	assert_int_equal(lock_by_ioctl(scene->key), 0);
	assert_int_equal(heap_stat("lock_acquires"), acquires + 1);
	assert_errno(lock_by_ioctl(scene->key), EDEADLK);
	assert_int_equal(heap_stat("lock_acquires"), acquires + 1);
	pid = start_waiter(waiter, 1);
	assert_int_equal(heap_stat("lock_contended"), contended + 1);
	assert_int_equal(unlock_by_ioctl(scene->key), 0);
	expect_exit(pid, 0);
	assert_int_equal(heap_stat("lock_acquires"), acquires + 2);
	assert_int_equal(heap_stat("lock_contended"), contended + 1);
	assert_int_equal(heap_stat("lock_recovered"), recovered);
	scene_free();
}

/* --------------------------------------------------- delete, read-only -- */

static int delete_key(void *arg)
{
	(void)arg;
	child_check(!npheap_delete(dev, scene->key));
	return 0;
}

static void lock_stays_when_its_holder_deletes(void **state)
{
	void *p;

	(void)state;
	scene_new();
	p = map_key(scene->key, page);
	assert_int_equal(lock(scene->key), 0);
	assert_int_equal(npheap_delete(dev, scene->key), 0);
	assert_int_equal(npheap_getsize(dev, scene->key), 0);
	assert_lock_line(scene->key, getpid(), 0);
	assert_errno(lock(scene->key), EDEADLK);
	assert_int_equal(unlock(scene->key), 0);
	munmap(p, page);
	scene_free();
}

static void lock_stays_when_another_deletes(void **state)
{
	pid_t pid;
	void *p;

	(void)state;
	scene_new();
	p = map_key(scene->key, page);
	munmap(p, page);
	assert_int_equal(lock(scene->key), 0);
	pid = start_waiter(waiter, 1);
	expect_exit(spawn(delete_key, NULL), 0);
	assert_int_equal(npheap_getsize(dev, scene->key), 0);
	assert_lock_line(scene->key, getpid(), 1);
	assert_true(wait_asleep(pid));
	assert_int_equal(scene->grants, 0);
	assert_int_equal(unlock(scene->key), 0);
	expect_exit(pid, 0);
	scene_free();
}

/* Created, deleted and created again under the lock: it is the key's. */
static void lock_is_the_keys_and_not_the_objects(void **state)
{
	uint64_t key = test_key();
	void *p;

	(void)state;
	assert_int_equal(lock(key), 0);
	p = map_key(key, page);
	munmap(p, page);
	assert_int_equal(npheap_delete(dev, key), 0);
	p = map_key(key, 2 * page);
	munmap(p, 2 * page);
	assert_errno(lock(key), EDEADLK);
	assert_int_equal(unlock(key), 0);
	assert_int_equal(npheap_getsize(dev, key), 2 * page);
	assert_int_equal(npheap_delete(dev, key), 0);
}

static void lock_needs_a_writable_descriptor(void **state)
{
	int fd = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);
	uint64_t key = test_key();
	void *p = map_key(key, page);

	(void)state;
	assert_true(fd >= 0);
	assert_errno(npheap_lock(fd, key), EBADF);
	assert_no_lock_line(key);
	assert_int_equal(lock(key), 0);
	assert_errno(npheap_unlock(fd, key), EBADF);
	assert_lock_line(key, getpid(), 0);
	assert_errno(npheap_delete(fd, key), EBADF);
	assert_int_equal(npheap_getsize(fd, key), page);
	assert_int_equal(unlock(key), 0);
	close(fd);
	munmap(p, page);
	npheap_delete(dev, key);
}

static void lock_through_a_write_only_descriptor(void **state)
{
	int fd = open(NPHEAP_DEVICE, O_WRONLY | O_CLOEXEC);
	uint64_t key = test_key();

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(npheap_lock(fd, key), 0);
	assert_lock_line(key, getpid(), 0);
	assert_int_equal(npheap_unlock(fd, key), 0);
	assert_int_equal(npheap_delete(fd, key), 0);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	TEST(lock_and_unlock_return_0),
	TEST(lock_works_on_the_first_and_the_last_key),
	TEST(lock_creates_no_object),
	TEST(lock_again_is_edeadlk),
	TEST(lock_leaves_other_keys_alone),
	TEST(lock_holds_10000_at_once),
	TEST(lock_records_go_away_when_unused),
	TEST(lock_records_are_kept_for_objects),
	TEST(unlock_of_an_unknown_key_is_eperm),
	TEST(unlock_by_a_newcomer_is_eperm),
	TEST(unlock_by_another_process_is_eperm),
	TEST(unlock_by_another_thread_is_eperm),
	TEST(unlock_by_a_stranger_is_not_logged),
	TEST(lock_excludes_threads_of_one_process),
	TEST(lock_excludes_under_load),
	TEST(lock_is_granted_in_the_order_of_asking),
	TEST(lock_is_not_stolen_by_who_gave_it_back),
	TEST(lock_wait_with_a_handler_never_sees_eintr),
	TEST(lock_wait_with_sa_restart_keeps_its_place),
	TEST(lock_in_a_handler_of_a_free_key),
	TEST(lock_in_a_handler_of_a_held_key),
	TEST(lock_in_a_handler_of_the_awaited_key),
	TEST(lock_kept_by_a_handler_is_edeadlk_below),
	TEST(lock_passes_over_who_is_in_a_handler),
	TEST(lock_is_lost_while_a_waiter_is_in_a_handler),
	TEST(lock_wait_may_be_jumped_out_of),
	TEST(lock_wait_jumped_out_of_can_be_repeated),
	TEST(lock_wait_can_be_stopped_and_continued),
	TEST(lock_passes_over_who_is_stopped),
	TEST(lock_wait_can_be_traced),
	TEST(lock_wait_can_be_frozen),
	TEST(lock_wait_can_be_killed),
	TEST(lock_wait_ends_with_sigint),
	TEST(lock_over_the_limit_is_enospc),
	TEST(lock_wait_is_not_limited),
	TEST(lock_counters_count),
	TEST(lock_stays_when_its_holder_deletes),
	TEST(lock_stays_when_another_deletes),
	TEST(lock_is_the_keys_and_not_the_objects),
	TEST(lock_needs_a_writable_descriptor),
	TEST(lock_through_a_write_only_descriptor),
};

int main(void)
{
	return test_main(tests);
}
