// SPDX-License-Identifier: GPL-2.0-or-later
/* What scene.h promises. */
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>

#include "scene.h"

struct scene *scene;
struct npheap *heap;

void scene_new(void)
{
	if (!heap)
		heap = open_heap(0);
	scene = share(sizeof(*scene));
	scene->key = test_key();
	scene->result = -1;
}

void scene_free(void)
{
	munmap(scene, sizeof(*scene));
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

uint64_t in_ms(uint64_t ms)
{
	return now_ns() + ms * NS_PER_MS;
}

/* ------------------------------------------------------- taking a lock -- */

int lock(uint64_t key)
{
	return npheap_lock(dev, key);
}

int unlock(uint64_t key)
{
	return npheap_unlock(dev, key);
}

int try(uint64_t key)
{
	return npheap_acquire_with(heap, key, NPHEAP_TRY, NPHEAP_FOREVER);
}

int try_shared(uint64_t key)
{
	return npheap_acquire_with(heap, key, NPHEAP_TRY | NPHEAP_SHARED,
				   NPHEAP_FOREVER);
}

int take_until(uint64_t key, unsigned int flags, uint64_t ms)
{
	return npheap_acquire_with(heap, key, flags, in_ms(ms));
}

int raw_lock(uint64_t key, uint32_t flags)
{
	struct npheap_lock_args args = {
		.key = key, .flags = flags, .timeout = UINT64_MAX,
	};

	return ioctl(dev, NPHEAP_IOC_LOCK, &args) ? errno : 0;
}

int raw_try(uint64_t key)
{
	return raw_lock(key, NPHEAP_LOCK_TRY);
}

int raw_unlock(uint64_t key)
{
	return unlock_by_ioctl(key) ? errno : 0;
}

static int try_and_release(void *arg)
{
	uint64_t key = *(uint64_t *)arg;
	int rc = raw_try(key);

	return rc ? rc : raw_unlock(key);
}

int elsewhere(uint64_t key)
{
	pid_t pid = spawn(try_and_release, &key);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

void settle(uint64_t key)
{
	int rc = take_until(key, 0, 10000);

	assert_true(rc == 0 || rc == -EOWNERDEAD);
	if (rc)
		assert_int_equal(npheap_consistent(heap, key), 0);
	assert_int_equal(npheap_release(heap, key), 0);
}

void warm(uint64_t key)
{
	assert_int_equal(lock(key), 0);
	assert_int_equal(unlock(key), 0);
}

int take_warm(int fd)
{
	return npheap_lock(fd, scene->key) || npheap_unlock(fd, scene->key) ||
	       npheap_lock(fd, scene->key);
}

void assert_free(uint64_t key)
{
	long long contended = heap_stat("lock_contended");

	assert_int_equal(lock(key), 0);
	assert_int_equal(heap_stat("lock_contended"), contended);
	assert_int_equal(unlock(key), 0);
}

void assert_recovered(void)
{
	assert_int_equal(try(scene->key), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
	assert_int_equal(try(scene->key), 0);
	assert_int_equal(npheap_release(heap, scene->key), 0);
}

static long long max_locks_before;

void limit_locks(long long limit)
{
	if (!max_locks_before)
		max_locks_before = heap_stat("max_locks");
	heap_set("max_locks", limit);
}

void unlimit_locks(void)
{
	limit_locks(max_locks_before);
	max_locks_before = 0;
}

/* ------------------------------------------------------------ children -- */

pid_t start(int (*body)(void *arg), void *arg)
{
	uint32_t started = scene->started.value;
	pid_t pid = spawn(body, arg);

	gate_wait(&scene->started, started + 1);
	return pid;
}

pid_t start_asleep(int (*body)(void *arg), void *arg)
{
	pid_t pid = start(body, arg);

	assert_true(wait_asleep(pid));
	/* It may have been seen asleep at a page fault before the call. */
	sleep_ms(20);
	assert_true(wait_asleep(pid));
	return pid;
}

int hold(void *arg)
{
	(void)arg;
	child_check(!lock(scene->key));
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	child_check(!unlock(scene->key));
	return 0;
}

int hold_shared(void *arg)
{
	(void)arg;
	child_check(!npheap_acquire_with(heap, scene->key, NPHEAP_SHARED,
					 NPHEAP_FOREVER));
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	child_check(!npheap_release(heap, scene->key));
	return 0;
}

int wait_for_it(void *arg)
{
	(void)arg;
	gate_add(&scene->started, 1);
	child_check(!lock(scene->key));
	child_check(!unlock(scene->key));
	return 0;
}

int wait_and_report(void *arg)
{
	int rc;

	gate_add(&scene->started, 1);
	rc = npheap_acquire_with(heap, scene->key, (uintptr_t)arg,
				 in_ms(TEST_SECONDS / 2 * 1000));
	scene->result = -rc;
	if (rc && rc != -EOWNERDEAD)
		return 0;
	if (rc && !arg)
		child_check(!npheap_consistent(heap, scene->key));
	child_check(!npheap_release(heap, scene->key));
	return 0;
}

static void stay_away(int sig)
{
	(void)sig;
	gate_add(&scene->signals, 1);
	gate_wait(&scene->go, 1);
}

int wait_with_a_handler(void *arg)
{
	struct sigaction act = { .sa_handler = stay_away };

	child_check(!sigaction(SIGUSR1, &act, NULL));
	return wait_and_report(arg);
}

void call_away(pid_t pid)
{
	assert_int_equal(kill(pid, SIGUSR1), 0);
	gate_wait(&scene->signals, 1);
}

static int take_and_die(void *arg)
{
	(void)arg;
	child_check(!take_warm(dev));
	raise(SIGKILL);
	return 0;
}

void die_holding(void)
{
	expect_death(take_and_die, NULL, SIGKILL);
}

pid_t clone_vm(int (*body)(void *arg), void *stack, int flags)
{
	pid_t pid = clone(body, (char *)stack + STACK_SIZE,
			  CLONE_VM | SIGCHLD | flags, NULL);

	assert_true(pid > 0);
	return pid;
}

pid_t clone_files(int (*body)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
	assert_true(pid >= 0);
	if (!pid)
		_exit(body(arg));
	return pid;
}

/* A signal after @point instructions; 0 where there are not so many. */
static int interrupt_at(int (*body)(void *arg), void *arg, unsigned long point)
{
	pid_t pid = spawn(body, arg);
	int status;

	scene->signals.value = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (point-- && WIFSTOPPED(status)) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, 0), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	if (!WIFSTOPPED(status)) {
		assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
		return 0;
	}
	assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, SIGUSR1), 0);
	expect_exit(pid, 0);
	assert_int_equal(scene->signals.value, 1);
	return 1;
}

#define STRIDE 16

/* Every STRIDE-th, those behind them, and so on, while there is time. */
void interrupt_everywhere(int (*body)(void *arg), void *arg, long long ms)
{
	unsigned long first, point, points = 0;
	long long limit = now_ms() + ms;
	cpu_set_t before;

	use_one_cpu(&before);
	for (first = 0; first < STRIDE; first++)
		for (point = first; now_ms() < limit || points <= STRIDE;
		     point += STRIDE) {
			if (!interrupt_at(body, arg, point))
				break;
			points++;
		}
	sched_setaffinity(0, sizeof(before), &before);
	printf("# a handler at %lu points\n", points);
	assert_true(points > STRIDE);
}

/* ----------------------------------------------------------- the table -- */

/* One operation after a time without is not enough: pages are faulted in. */
int operate_warm(void *arg)
{
	int (*operation)(void) = arg;
	uint64_t start, ns, count, i;

	child_check(!operation());
	child_check(!operation());
	start = now_ns();
	for (i = 0; i < 5000; i++)
		child_check(!operation());
	ns = now_ns() - start;
	/* Fewer where a slow kernel would need more than 2 seconds. */
	count = 2000 * NS_PER_MS / (ns / 5000 + 1);
	if (count > 1000000)
		count = 1000000;
	scene->count = count;
	child_check(!forbid_system_calls());
	for (i = 0; i < count; i++)
		if (operation())
			return 1;
	return 0;
}

static int operate_cold(void *arg)
{
	int (*operation)(void) = arg;

	child_check(!forbid_system_calls());
	return operation();
}

void assert_no_system_call(int (*operation)(void), const char *name)
{
	void *p;

	scene_new();
	p = map_key(scene->key, page);
	expect_death(operate_cold, operation, SIGSYS);
	expect_exit(spawn(operate_warm, operation), 0);
	printf("# %s: %llu without a system call\n", name,
	       (unsigned long long)scene->count);
	assert_true(scene->count >= 10000);
	munmap(p, page);
	assert_int_equal(npheap_remove(heap, scene->key), 0);
	scene_free();
}

void join(struct npheap_join *result)
{
	if (ioctl(dev, NPHEAP_IOC_JOIN, result))
		child_failed("join", __FILE__, __LINE__);
}

struct npheap_record *record_of(uint64_t key)
{
	struct npheap_bind bind = { .key = key };
	struct npheap_join result;

	join(&result);
	if (ioctl(dev, NPHEAP_IOC_BIND, &bind))
		child_failed("bind", __FILE__, __LINE__);
	return (struct npheap_record *)(uintptr_t)result.table_addr + bind.slot;
}
