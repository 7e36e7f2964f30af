// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Locks, and the memory of a process that ends.
 *
 * Where the kernel tells of the end of an address space, the last thread to
 * leave it gives its locks back before the memory is taken apart.  That is a
 * second place where locks come free, beside the end of each thread, and both
 * together have to free each lock once, and nobody else's.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "scene.h"

/* What a test and its children tell each other besides. */
struct told {
	void *volatile hole;
	volatile uint64_t began;
	volatile uint64_t granted;
};

static struct told *told;

/* True where the kernel has what the module uses to know of it. */
static int kernel_tells_of_the_end(void)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[256];
	int found = 0;

	while (file && !found && fgets(line, sizeof(line), file))
		found = !!strstr(line, " mmu_interval_notifier_insert");
	if (file)
		fclose(file);
	return found;
}

/* ------------------------------------------------------ before the memory -- */

#define ROUNDS 15
#define WEIGHT (64 << 20)

static void use_processor(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	child_check(!sched_setaffinity(0, sizeof(set), &set));
}

/* In small pages, each of which has to be given back. */
static void put_on_weight(void)
{
	char *p = mmap(NULL, WEIGHT, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	child_check(p != MAP_FAILED);
	madvise(p, WEIGHT, MADV_NOHUGEPAGE);
	for (i = 0; i < WEIGHT; i += page)
		((volatile char *)p)[i] = 1;
}

static int hold_and_end(void *arg)
{
	(void)arg;
	use_processor(0);
	put_on_weight();
	child_check(!lock(scene->key));
	gate_add(&scene->started, 1);
	gate_wait(&scene->go, 1);
	told->began = now_ns();
	return 0;
}

static int note_the_grant(void *arg)
{
	(void)arg;
	use_processor(1);
	child_check(!lock(scene->key));
	told->granted = now_ns();
	child_check(!unlock(scene->key));
	return 0;
}

/* How much of a process's end was over when the next had its lock. */
static double part_until_the_grant(void)
{
	pid_t holder, waiter;
	uint64_t ended;

	scene->go.value = 0;
	scene->started.value = 0;
	holder = spawn(hold_and_end, NULL);
	gate_wait(&scene->started, 1);
	waiter = spawn(note_the_grant, NULL);
	assert_true(wait_asleep(waiter));
	gate_add(&scene->go, 1);
	expect_exit(holder, 0);
	ended = now_ns();
	expect_exit(waiter, 0);
	return (double)(told->granted - told->began) /
	       (double)(ended - told->began);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The memory is the most of it, so a grant after that comes near the end. */
static void waiters_do_not_wait_for_the_memory(void **state)
{
	double parts[ROUNDS];
	int i;

	(void)state;
	if (!kernel_tells_of_the_end() || sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		printf("# one processor, or no CONFIG_MMU_NOTIFIER\n");
		skip();
	}
	scene_new();
	for (i = 0; i < ROUNDS; i++)
		parts[i] = part_until_the_grant();
	qsort(parts, ROUNDS, sizeof(parts[0]), compare);
	printf("# granted after %.0f %% of the holder's end (median)\n",
	       100 * parts[ROUNDS / 2]);
	assert_true(parts[ROUNDS / 2] < 0.5);
	scene_free();
}

/* ---------------------------------------------------------------- threads -- */

#define THREADS 8
#define LOCKS_EACH 10

static void *hold_some(void *arg)
{
	uint64_t first = scene->key + (uintptr_t)arg * LOCKS_EACH;
	int i;

	for (i = 0; i < LOCKS_EACH; i++)
		child_check(!lock(first + i));
	gate_add(&scene->started, 1);
	for (;;)
		pause();
}

static int hold_with_threads(void *arg)
{
	pthread_t id;
	uintptr_t i;

	(void)arg;
	for (i = 1; i < THREADS; i++)
		child_check(!pthread_create(&id, NULL, hold_some, (void *)i));
	hold_some(NULL);
	return 1;
}

/* They end in any order, one of them last, and the counts tell of each. */
static void threads_lose_each_lock_once(void **state)
{
	long long recovered, locks = locks_in_use();
	uint64_t i;
	pid_t pid;
	int n;

	(void)state;
	scene_new();
	for (n = 0; n < 20; n++) {
		scene->started.value = 0;
		recovered = heap_stat("lock_recovered");
		pid = spawn(hold_with_threads, NULL);
		gate_wait(&scene->started, THREADS);
		assert_int_equal(locks_in_use(), locks + THREADS * LOCKS_EACH);
		kill_and_reap(pid);
		assert_int_equal(heap_stat("lock_recovered"),
				 recovered + THREADS * LOCKS_EACH);
		for (i = 0; i < THREADS * LOCKS_EACH; i++)
			assert_free(scene->key + i);
	}
	scene_free();
}

/* -------------------------------------------------------------- strangers -- */

/* A page whose first use lasts until its process has closed the descriptor. */
static int make_hole(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -1;
	told->hole = mmap(NULL, page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)told->hole;
	reg.range.len = page;
	child_check(!ioctl(fd, UFFDIO_API, &api));
	child_check(!ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

static int end_while_looked_at(void *arg)
{
	struct uffd_msg msg;
	int fd = make_hole();

	(void)arg;
	if (fd < 0)
		return 2;
	child_check(!lock(scene->key));
	gate_add(&scene->started, 1);
	/* The stranger is in there, and has a hold on the memory. */
	child_check(read(fd, &msg, sizeof(msg)) == sizeof(msg));
	return 0;
}

static int look_at(void *arg)
{
	pid_t pid = (intptr_t)arg;
	struct iovec there = { told->hole, 1 };
	char byte;
	struct iovec here = { &byte, 1 };

	child_check(!lock(scene->key + 1));
	child_check(process_vm_readv(pid, &here, 1, &there, 1, 0) == 1);
	/* It was the last to leave that memory, but that was not its own. */
	child_check(lock(scene->key + 1) == -1 && errno == EDEADLK);
	child_check(!unlock(scene->key + 1));
	return 0;
}

static int has_userfaultfd(void)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void strangers_keep_their_locks(void **state)
{
	long long recovered = heap_stat("lock_recovered");
	pid_t holder, stranger;

	(void)state;
	if (!has_userfaultfd()) {
		printf("# no userfaultfd\n");
		skip();
	}
	scene_new();
	holder = spawn(end_while_looked_at, NULL);
	gate_wait(&scene->started, 1);
	stranger = spawn(look_at, (void *)(intptr_t)holder);
	expect_exit(holder, 0);
	assert_free(scene->key);
	expect_exit(stranger, 0);
	assert_free(scene->key + 1);
	assert_int_equal(heap_stat("lock_recovered"), recovered + 1);
	scene_free();
}

/* ---------------------------------------------------------------- signals -- */

static volatile sig_atomic_t signals;

static void on_alarm(int sig)
{
	(void)sig;
	signals++;
}

/* Its first lock, under a hail of signals. */
static int lock_under_signals(void *arg)
{
	struct itimerval often = { { 0, 200 }, { 0, 200 } };
	struct sigaction action = { .sa_handler = on_alarm };
	int i;

	(void)arg;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < 20; i++) {
		child_check(!lock(scene->key));
		child_check(!unlock(scene->key));
	}
	return signals ? 0 : 2;
}

/* A process gets to know of the end of its memory, or not, but no EINTR. */
static void signals_at_the_first_lock_are_not_seen(void **state)
{
	int i, status, with_signals = 0;

	(void)state;
	scene_new();
	for (i = 0; i < 100; i++) {
		assert_true(waitpid(spawn(lock_under_signals, NULL), &status,
				    0) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 99);
		with_signals += !WEXITSTATUS(status);
	}
	printf("# %d processes with signals\n", with_signals);
	assert_true(with_signals > 0);
	assert_free(scene->key);
	scene_free();
}

static const struct CMUnitTest tests[] = {
	TEST(waiters_do_not_wait_for_the_memory),
	TEST(threads_lose_each_lock_once),
	TEST(strangers_keep_their_locks),
	TEST(signals_at_the_first_lock_are_not_seen),
};

int main(void)
{
	told = share(sizeof(*told));
	return test_main(tests);
}
