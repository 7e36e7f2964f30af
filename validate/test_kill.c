// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kill everywhere: a process is killed after each single instruction of an
 * operation; whatever it was at, others go on.  And where it is not killed but
 * gets a signal there, its handler may lock, too.
 *
 * The victim stops itself and is then single-stepped with ptrace.  A system
 * call is one step, and where it sleeps, being in it is a point of its own.
 * What happens inside of a system call is for test_points.
 *
 * test_kill every	kills at every point, also where that takes long
 */
#include <limits.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "kill.h"
#include "neighbour.h"

/* An operation that takes longer is not killed at all of its points ... */
#define PLAN_MS 4000
#define HANDLER_MS 8000
/* ... unless that is asked for. */
#define EVERY_MS 50000

#define TO_THE_END ULONG_MAX

/* ---------------------------------------------------------------- stepping */

static int be_victim(void *arg)
{
	(void)arg;
	child_check(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	plan->before();
	syscall(SYS_tgkill, getpid(), gettid(), SIGSTOP);
	scene->phase = 1;
	plan->body();
	scene->phase = 2;
	return pause();
}

static void expect_stop(int status)
{
	if (!WIFSTOPPED(status))
		printf("# the victim ended by itself: status %#x\n", status);
	assert_true(WIFSTOPPED(status));
}

/* Returns 1 where the instruction is a system call, and sleeps. */
static int step_that_may_sleep(pid_t pid)
{
	int status, spins = 0;

	while (!waitpid(pid, &status, WNOHANG)) {
		sched_yield();
		if (++spins % 64 == 0 && is_asleep(pid))
			return 1;
	}
	expect_stop(status);
	return 0;
}

static void end_of_step(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	expect_stop(status);
}

/* One point further; returns 1 where that is in a call that sleeps. */
static int step(pid_t pid, int sleeping)
{
	if (sleeping) {
		let_go();
		end_of_step(pid);
		return 0;
	}
	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	if (plan->sleeps)
		return step_that_may_sleep(pid);
	end_of_step(pid);
	return 0;
}

static pid_t start_victim(void)
{
	pid_t pid;

	scene->phase = 0;
	pid = spawn(be_victim, NULL);
	end_of_step(pid);
	surround();
	while (!scene->phase)
		step(pid, 0);
	return pid;
}

/* How many points it went through: fewer than @points if that was the end. */
static unsigned long step_to(pid_t pid, unsigned long points)
{
	unsigned long n = 0;
	int sleeping = 0;

	while (n < points && scene->phase != 2) {
		sleeping = step(pid, sleeping);
		n++;
	}
	return n;
}

/* While the victim stands still: nobody else gets in where it is inside. */
static void try_to_intrude(void)
{
	int inside = ledger->begun != ledger->ended;

	if (plan->around != ALONE || plan->kind->try())
		return;
	if (inside)
		scene->broken++;
	plan->kind->release();
}

static unsigned long kill_at(void *tally, unsigned long point)
{
	long long locks = locks_in_use();
	pid_t pid = start_victim();
	unsigned long reached = step_to(pid, point);

	try_to_intrude();
	kill_and_reap(pid);
	judge(tally, reached, locks);
	return reached;
}

static long long plan_ms = PLAN_MS, handler_ms = HANDLER_MS;

/* Every 1024th, those between them, and so on to all, if there is time. */
static void at_points(unsigned long points, long long ms,
		      unsigned long (*at)(void *arg, unsigned long point),
		      void *arg)
{
	long long limit = now_ms() + ms;
	unsigned long stride, point;

	for (point = 0; point < points; point += 2048)
		at(arg, point);
	for (stride = 1024; stride; stride /= 2)
		for (point = stride; point < points; point += 2 * stride) {
			if (now_ms() > limit)
				return;
			at(arg, point);
		}
}

static void kill_everywhere(const struct plan *p)
{
	struct tally tally = { 0 };
	unsigned long points;
	cpu_set_t before;
	long long locks;

	plan = p;
	locks = locks_in_use();
	use_one_cpu(&before);
	scene_new();
	points = kill_at(&tally, TO_THE_END);
	at_points(points, plan_ms, kill_at, &tally);
	scene_free();
	sched_setaffinity(0, sizeof(before), &before);
	printf("# kill %s: %s: %lu of %lu points, %lu recovered, %lu told of the death\n",
	       p->kind->name, p->name, tally.points, points + 1,
	       tally.recovered, tally.told);
	if (p->kind == &by_heap) {
		assert_int_equal(tally.recovered, tally.points);
		assert_int_equal(locks_in_use(), locks);
	}
}

static void kill_in_heap(void **state)
{
	kill_everywhere(*state);
}

/* For comparison; asserts nothing of what it counts. */
static void kill_in_robust_mutex(void **state)
{
	static const struct plan plans[] = {
		{ "", "lock", &by_peer, peer_know_it, do_peer_lock, ALONE, 0 },
		{ "", "unlock", &by_peer, peer_hold_it, do_peer_unlock, ALONE, 0 },
		{ "", "lock that waits", &by_peer, peer_know_it, do_peer_lock,
		  HELD, 1 },
		{ "", "unlock with a waiter", &by_peer, peer_hold_it,
		  do_peer_unlock, WAITED_FOR, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
		kill_everywhere(&plans[i]);
}

/* ------------------------------------------------ handlers, not kills */

static uint64_t neighbour;

static void use_neighbour(int sig)
{
	(void)sig;
	child_check(!npheap_lock(dev, neighbour));
	child_check(!npheap_unlock(dev, neighbour));
}

static void expect_interruption(void)
{
	signal(SIGUSR1, use_neighbour);
	know_it();
}

static void expect_interruption_and_hold(void)
{
	signal(SIGUSR1, use_neighbour);
	hold_it();
}

/* The key is found at its second place, and changes places with the other. */
static void expect_interruption_of_displaced(void)
{
	expect_interruption();
	use_neighbour(0);
}

static void expect_interruption_of_displaced_and_hold(void)
{
	expect_interruption_and_hold();
	use_neighbour(0);
}

static int is_held(uint64_t k)
{
	int rc = npheap_acquire_with(heap, k, NPHEAP_TRY, NPHEAP_FOREVER);

	if (!rc || rc == -EOWNERDEAD)
		npheap_release(heap, k);
	return rc == -EBUSY;
}

struct interruptions {
	struct tally tally;
	unsigned long right;
};

/* Counts those where the operation had its effect, and no other. */
static unsigned long interrupt_at(void *interruptions, unsigned long point)
{
	struct interruptions *all = interruptions;
	int expected = plan->body == do_lock;
	long long limit = now_ms() + DEADLINE_MS, locks = locks_in_use();
	pid_t pid = start_victim();
	unsigned long reached = step_to(pid, point);
	int good;

	assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, SIGUSR1), 0);
	while (scene->phase != 2 && now_ms() < limit)
		sched_yield();
	/* Also the handler, where that came last. */
	assert_true(wait_asleep(pid));
	good = scene->phase == 2 && is_held(key) == expected &&
	       !is_held(neighbour);
	if (!good)
		printf("# handler at point %lu of %s: the key is %sheld, the handler's key is %sheld\n",
		       reached, plan->name, is_held(key) ? "" : "not ",
		       is_held(neighbour) ? "" : "not ");
	kill_and_reap(pid);
	judge(&all->tally, reached, locks);
	all->right += good;
	return reached;
}

static void interrupt_everywhere(const struct plan *p)
{
	struct interruptions all = { 0 };
	unsigned long points;

	plan = p;
	scene_new();
	neighbour = neighbour_of(key);
	points = interrupt_at(&all, TO_THE_END);
	at_points(points, handler_ms, interrupt_at, &all);
	scene_free();
	printf("# handler in %s: %lu of %lu points, %lu right\n", p->name,
	       all.tally.points, points + 1, all.right);
	assert_true(all.tally.points > 2);
	assert_int_equal(all.right, all.tally.points);
	assert_int_equal(all.tally.recovered, all.tally.points);
}

static void handler_in_lock(void **state)
{
	static const struct plan p = { "", "lock", &by_heap, expect_interruption,
				       do_lock, ALONE, 0 };

	(void)state;
	interrupt_everywhere(&p);
}

static void handler_in_unlock(void **state)
{
	static const struct plan p = { "", "unlock", &by_heap,
				       expect_interruption_and_hold, do_unlock,
				       ALONE, 0 };

	(void)state;
	interrupt_everywhere(&p);
}

static void handler_in_lock_of_displaced_key(void **state)
{
	static const struct plan p = { "", "lock of a displaced key", &by_heap,
				       expect_interruption_of_displaced,
				       do_lock, ALONE, 0 };

	(void)state;
	interrupt_everywhere(&p);
}

static void handler_in_unlock_of_displaced_key(void **state)
{
	static const struct plan p = {
		"", "unlock of a displaced key", &by_heap,
		expect_interruption_of_displaced_and_hold, do_unlock, ALONE, 0
	};

	(void)state;
	interrupt_everywhere(&p);
}

static const struct CMUnitTest others[] = {
	TEST(kill_in_robust_mutex),
	TEST(handler_in_lock),
	TEST(handler_in_lock_of_displaced_key),
	TEST(handler_in_unlock),
	TEST(handler_in_unlock_of_displaced_key),
};

int main(int argc, char **argv)
{
	bind_now(argv);
	if (argc == 2 && !strcmp(argv[1], "every"))
		plan_ms = handler_ms = EVERY_MS;
	return run_plans("kill_in", kill_in_heap, others,
			 sizeof(others) / sizeof(others[0]));
}
