// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How many system calls the library makes where the table that the kernel
 * shares is of no help: no more than one for each of its own calls, but for a
 * new attempt now and then, so that no program stays slow when the reason is
 * gone.
 *
 * A child does it, and its parent counts with ptrace.  Apart from that the
 * parent leaves the library alone, so that each child comes to it as new.
 */
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#include "dice.h"
#include "neighbour.h"
#include "scene.h"

/* By then the library has noticed whatever became better. */
#define SOON 200
/* At most one new attempt in so many calls, of which there are two kinds. */
#define SELDOM 32

/* What the traced child and its parent share besides. */
struct account {
	/* The child asks for these ... */
	volatile int counting;
	volatile int hide_table;
	/* ... and finds here what the parent saw. */
	volatile unsigned long calls;
	volatile unsigned long joins;
	volatile unsigned long binds;
};

static struct account *account;

/* -------------------------------------------------------------- counting -- */

static void begin_count(void)
{
	account->calls = 0;
	account->joins = 0;
	account->binds = 0;
	account->counting = 1;
}

static unsigned long end_count(void)
{
	account->counting = 0;
	return account->calls;
}

/* The child is told that there are no records in the table. */
static void hide_table(pid_t pid, unsigned long join)
{
	unsigned long addr = join + offsetof(struct npheap_join, slots);
	long word = ptrace(PTRACE_PEEKDATA, pid, addr, NULL);

	word &= ~(long)UINT32_MAX;
	assert_int_equal(ptrace(PTRACE_POKEDATA, pid, addr, word), 0);
}

static void at_entry(const struct __ptrace_syscall_info *info)
{
	if (!account->counting)
		return;
	account->calls++;
	if (info->entry.nr != SYS_ioctl)
		return;
	account->joins += info->entry.args[1] == NPHEAP_IOC_JOIN;
	account->binds += info->entry.args[1] == NPHEAP_IOC_BIND;
}

/* Both stops of a system call come here, the first of them first. */
static void at_system_call(pid_t pid)
{
	static unsigned long join;
	struct __ptrace_syscall_info info;

	assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) >
		    0);
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		at_entry(&info);
		join = info.entry.args[1] == NPHEAP_IOC_JOIN ?
		       info.entry.args[2] : 0;
	} else if (join && account->hide_table) {
		hide_table(pid, join);
	}
}

/* Runs @body in a child, counts, and expects it to return 0. */
static void count_in(int (*body)(void *arg))
{
	pid_t pid = spawn(body, NULL);
	int status, sig = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, sig), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		sig = WSTOPSIG(status);
		if (sig == (SIGTRAP | 0x80)) {
			at_system_call(pid);
			sig = 0;
		}
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int pairs(int fd, int count)
{
	while (count--)
		if (npheap_lock(fd, scene->key) || npheap_unlock(fd, scene->key))
			return -1;
	return 0;
}

/* One system call for each call, and an attempt now and then. */
static void check_by_ioctl(int fd)
{
	unsigned long attempts = 2 * SOON / SELDOM;

	begin_count();
	child_check(!pairs(fd, SOON));
	end_count();
	child_check(account->calls >= 2 * SOON);
	child_check(account->calls <= 2 * SOON + 2 * attempts);
	child_check(account->joins + account->binds <= attempts);
}

static void check_fast_soon(int fd)
{
	child_check(!pairs(fd, SOON));
	begin_count();
	child_check(!pairs(fd, SOON));
	child_check(end_count() == 0);
}

/* ------------------------------------------------------------- many keys -- */

#define KEYS 64
#define CHOICES 40
#define SPREAD 1000000

static void lock_each(const uint64_t *keys)
{
	int i;

	for (i = 0; i < KEYS; i++)
		child_check(!lock(keys[i]) && !unlock(keys[i]));
}

/* With one place for each key there would be some 40 in all, of 4,096 places. */
static int lock_many(void *arg)
{
	struct dice dice = dice_new(1, 0);
	unsigned long binds = 0;
	uint64_t keys[KEYS];
	int i, n;

	(void)arg;
	stop_for_parent();
	for (n = 0; n < CHOICES; n++) {
		for (i = 0; i < KEYS; i++)
			keys[i] = scene->key + dice_roll(&dice, SPREAD);
		lock_each(keys);
		begin_count();
		lock_each(keys);
		end_count();
		binds += account->binds;
	}
	printf("# %lu of %d keys were asked for again\n", binds, CHOICES * KEYS);
	fflush(stdout);
	child_check(binds <= 10);
	return 0;
}

static void keys_seldom_displace_each_other(void **state)
{
	(void)state;
	scene_new();
	count_in(lock_many);
	scene_free();
}

/* --------------------------------------------------------------- refusals -- */

static int use_table(void *arg)
{
	(void)arg;
	stop_for_parent();
	begin_count();
	child_check(!pairs(dev, 1));
	end_count();
	child_check(account->joins == 1 && account->binds == 1);
	begin_count();
	child_check(!pairs(dev, SOON));
	child_check(end_count() == 0);
	return 0;
}

static void calls_are_none_where_the_table_helps(void **state)
{
	(void)state;
	scene_new();
	count_in(use_table);
	scene_free();
}

static int read_only(void *arg)
{
	int fd, i;

	(void)arg;
	stop_for_parent();
	fd = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);
	child_check(fd >= 0);
	child_check(npheap_getsize(fd, scene->key) == 0);
	begin_count();
	for (i = 0; i < SOON; i++)
		child_check(npheap_getsize(fd, scene->key) == 0);
	end_count();
	child_check(account->calls >= SOON);
	child_check(account->calls <= SOON + SOON / SELDOM);
	child_check(account->joins && account->joins <= SOON / SELDOM);
	child_check(npheap_lock(fd, scene->key) == -1 && errno == EBADF);
	/* Another descriptor has nothing to do with it ... */
	begin_count();
	child_check(!pairs(dev, SOON));
	child_check(end_count() <= 8);
	/* ... even if it has the same number. */
	child_check(dup2(dev, fd) == fd);
	child_check(!pairs(fd, 1));
	check_fast_soon(fd);
	/* And back: refused now, where it was not before. */
	close(fd);
	child_check(npheap_lock(fd, scene->key) == -1 && errno == EBADF);
	child_check(npheap_lock(fd, scene->key) == -1 && errno == EBADF);
	child_check(open("/dev/null", O_RDWR | O_CLOEXEC) == fd);
	child_check(npheap_lock(fd, scene->key) == -1 && errno == ENOTTY);
	return 0;
}

static void calls_on_a_read_only_descriptor(void **state)
{
	(void)state;
	scene_new();
	count_in(read_only);
	scene_free();
}

static int stay_until_told(void *arg)
{
	(void)arg;
	gate_wait(&scene->go, 1);
	return 0;
}

static int share_memory(void *arg)
{
	static char stack[STACK_SIZE];
	pid_t pid;

	(void)arg;
	stop_for_parent();
	child_check(!pairs(dev, 1));
	pid = clone_vm(stay_until_told, stack, 0);
	check_by_ioctl(dev);
	gate_add(&scene->go, 1);
	child_check(waitpid(pid, NULL, 0) == pid);
	check_fast_soon(dev);
	return 0;
}

/* As vfork() does, for as long as the child lives. */
static void calls_while_another_shares_the_memory(void **state)
{
	(void)state;
	scene_new();
	count_in(share_memory);
	scene_free();
}

static void allow_memory(rlim_t more)
{
	struct rlimit limit = { .rlim_max = RLIM_INFINITY };

	limit.rlim_cur = more == RLIM_INFINITY ? more :
			 read_number("/proc/self/statm") * page + more;
	child_check(!setrlimit(RLIMIT_AS, &limit));
}

static int lack_memory_for_table(void *arg)
{
	(void)arg;
	stop_for_parent();
	allow_memory(1 << 20);
	check_by_ioctl(dev);
	allow_memory(RLIM_INFINITY);
	check_fast_soon(dev);
	return 0;
}

static int lack_memory_for_anything(void *arg)
{
	(void)arg;
	stop_for_parent();
	allow_memory(page);
	check_by_ioctl(dev);
	allow_memory(RLIM_INFINITY);
	check_fast_soon(dev);
	return 0;
}

static void calls_without_memory(void **state)
{
	(void)state;
	scene_new();
	count_in(lack_memory_for_table);
	count_in(lack_memory_for_anything);
	scene_free();
}

static int lack_memory_and_fork(void *arg)
{
	pid_t pid;
	int status;

	(void)arg;
	allow_memory(page);
	child_check(!lock(scene->key));
	pid = fork();
	if (!pid) {
		child_check(unlock(scene->key) == -1);
		child_check(errno == EPERM);
		child_check(!lock(scene->key + 1));
		child_check(!unlock(scene->key + 1));
		_exit(0);
	}
	child_check(waitpid(pid, &status, 0) == pid && !status);
	child_check(!unlock(scene->key));
	return 0;
}

static void refusal_before_fork(void **state)
{
	(void)state;
	scene_new();
	expect_exit(spawn(lack_memory_and_fork, NULL), 0);
	scene_free();
}

static int lack_record(void *arg)
{
	(void)arg;
	stop_for_parent();
	account->hide_table = 1;
	check_by_ioctl(dev);
	child_check(account->binds > 1 && account->joins == 1);
	child_check(!lock(scene->key));
	child_check(lock(scene->key) == -1 && errno == EDEADLK);
	child_check(!unlock(scene->key));
	child_check(unlock(scene->key) == -1 && errno == EPERM);
	child_check(npheap_getsize(dev, scene->key) == 0);
	account->hide_table = 0;
	/* It joins again, and will find the record in the table. */
	child_check(!close(dup(dev)));
	check_fast_soon(dev);
	return 0;
}

/* There are more records than a process maps. */
static void calls_on_a_key_whose_record_is_not_mapped(void **state)
{
	(void)state;
	scene_new();
	count_in(lack_record);
	scene_free();
}

/* ------------------------------------------------- looks at a lock, counted */

/* Waits, until it is killed. */
static int take_in_vain(void *arg)
{
	(void)arg;
	/* So that nothing is to be found out in the call that is counted. */
	child_check(try(scene->key) == -EBUSY);
	stop_for_parent();
	account->counting = 1;
	npheap_acquire(heap, scene->key);
	return 1;
}

/* False where it sleeps: a step takes long, but never that long. */
static int step(pid_t pid)
{
	long long limit = now_ms() + 50;
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, 0), 0);
	while (!waitpid(pid, &status, WNOHANG))
		if (now_ms() > limit && wait_asleep(pid))
			return 0;
	assert_true(WIFSTOPPED(status));
	return 1;
}

/* Instructions of a call until it sleeps. */
static long steps_in_vain(void)
{
	pid_t pid = spawn(take_in_vain, NULL);
	long steps = 0;
	int status;

	account->counting = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	while (step(pid))
		steps += account->counting;
	kill_and_reap(pid);
	return steps;
}

/*
 * It looks at a lock that is held before it sleeps, some times but not often;
 * and not if somebody else waits, who is to have it before.
 */
static void lock_that_is_held_is_looked_at(void **state)
{
	pid_t holder, waiter;
	long alone, behind;

	(void)state;
	scene_new();
	holder = start(hold, NULL);
	alone = steps_in_vain();
	waiter = start_asleep(wait_for_it, NULL);
	behind = steps_in_vain();
	gate_add(&scene->go, 1);
	expect_exit(holder, 0);
	expect_exit(waiter, 0);
	printf("# instructions: %ld, %ld behind a waiter\n", alone, behind);
	assert_true(alone <= behind + 40 * 20);
	if (get_nprocs() > 1)
		assert_true(alone >= behind + 10 * 4);
	else
		assert_true(alone <= behind + 10);
	scene_free();
}

/* ---------------------------------------------- the first call, interrupted */

/* So long for all points together. */
#define POINTS_MS 4000

static void lock_in_handler(int sig)
{
	(void)sig;
	child_check(!lock(scene->key + 1));
	child_check(!unlock(scene->key + 1));
	gate_add(&scene->signals, 1);
}

static int call_first(void *arg)
{
	(void)arg;
	signal(SIGUSR1, lock_in_handler);
	/* What waits for itself does not end. */
	alarm(5);
	stop_for_parent();
	child_check(!pairs(dev, 1));
	return 0;
}

static void first_call_may_be_a_handlers(void **state)
{
	(void)state;
	scene_new();
	interrupt_everywhere(call_first, NULL, POINTS_MS);
	scene_free();
}

/* --------------------------------- keys that are out of reach, interrupted */

/* Keys that have the same first place. */
static uint64_t neighbours[3];

static void choose_neighbours(void)
{
	neighbours[0] = scene->key;
	neighbours[1] = neighbour_of(neighbours[0]);
	neighbours[2] = neighbour_of(neighbours[1]);
}

/* As if all records were beyond what a process maps. */
static struct session *reach_nothing(void)
{
	struct session *s;

	child_check(!pairs(dev, 1));
	s = npheap_sessions[dev % SESSIONS];
	child_check(s && s->slots);
	s->slots = 0;
	memset(s->bindings, 0, sizeof(s->bindings));
	return s;
}

/* Until so many more calls of the key go by ioctl before it is asked for. */
static void call_until_left(struct session *s, uint64_t k, uint64_t left)
{
	const struct binding *b;

	do {
		child_check(npheap_getsize(dev, k) == 0);
		b = binding_place(s, k);
		child_check(b->tag == k + 1);
	} while (b->unlocked != left);
}

static void see_size_in_handler(int sig)
{
	(void)sig;
	child_check(npheap_getsize(dev, neighbours[scene->result]) == 0);
	gate_add(&scene->signals, 1);
}

static void check_lock_is_one(uint64_t k)
{
	child_check(!lock(k));
	child_check(raw_try(k) == EDEADLK);
	child_check(!unlock(k));
	child_check(unlock(k) == -1 && errno == EPERM);
}

/* The handler counts down what its caller is about to. */
static int count_down(void *arg)
{
	(void)arg;
	signal(SIGUSR1, see_size_in_handler);
	call_until_left(reach_nothing(), neighbours[0], 1);
	stop_for_parent();
	check_lock_is_one(neighbours[0]);
	check_lock_is_one(neighbours[0]);
	return 0;
}

/* Or puts another there, which has none left. */
static int count_down_another(void *arg)
{
	struct session *s;

	(void)arg;
	signal(SIGUSR1, see_size_in_handler);
	s = reach_nothing();
	call_until_left(s, neighbours[0], 1);
	call_until_left(s, neighbours[1], 0);
	stop_for_parent();
	check_lock_is_one(neighbours[0]);
	check_lock_is_one(neighbours[1]);
	return 0;
}

static void handler_counts_calls_by_ioctl(void **state)
{
	(void)state;
	scene_new();
	choose_neighbours();
	scene->result = 0;
	interrupt_everywhere(count_down, NULL, POINTS_MS);
	scene->result = 2;
	interrupt_everywhere(count_down_another, NULL, POINTS_MS);
	scene_free();
}

static const struct CMUnitTest tests[] = {
	TEST(calls_are_none_where_the_table_helps),
	TEST(keys_seldom_displace_each_other),
	TEST(calls_on_a_read_only_descriptor),
	TEST(calls_while_another_shares_the_memory),
	TEST(calls_without_memory),
	TEST(refusal_before_fork),
	TEST(calls_on_a_key_whose_record_is_not_mapped),
	TEST(lock_that_is_held_is_looked_at),
	TEST(first_call_may_be_a_handlers),
	TEST(handler_counts_calls_by_ioctl),
};

int main(int argc, char **argv)
{
	(void)argc;
	bind_now(argv);
	/* Stops and goes are slow from one processor to another. */
	use_one_cpu(&(cpu_set_t){ 0 });
	account = share(sizeof(*account));
	return test_main(tests);
}
