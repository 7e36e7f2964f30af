// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kill points: a process gets SIGKILL at each point that the module marks
 * inside of its ioctls, one after the other, until an operation ends without.
 * Whatever it was at, others go on.
 *
 * Needs a kernel with fault injection, which is what counts the points.
 */
#include <sched.h>
#include <sys/stat.h>

#include "kill.h"

#define CONTROL "/sys/kernel/debug/npheap_kill"

/* No operation has as many. */
#define MAX_POINTS 100

static unsigned long all_points;

static void control(const char *name, unsigned long value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), CONTROL "/%s", name);
	snprintf(text, sizeof(text), "%lu", value);
	assert_int_equal(write_text(path, text), 0);
}

static int be_victim(void *arg)
{
	(void)arg;
	plan->before();
	gate_add(&scene->victim_ready, 1);
	gate_wait(&scene->victim_may_go, 1);
	child_check(!write_text("/proc/self/make-it-fail", "1"));
	scene->phase = 1;
	plan->body();
	scene->phase = 2;
	return pause();
}

static pid_t start_victim(unsigned long point)
{
	pid_t pid;

	scene->phase = 0;
	scene->victim_ready.value = 0;
	scene->victim_may_go.value = 0;
	pid = spawn(be_victim, NULL);
	gate_wait(&scene->victim_ready, 1);
	surround();
	control("space", point);
	control("times", 1);
	control("probability", 100);
	gate_add(&scene->victim_may_go, 1);
	return pid;
}

/* Until it was killed, or is at the end; returns whether it was killed. */
static int await_victim(pid_t pid)
{
	long long limit = now_ms() + DEADLINE_MS;
	int status, let = !plan->sleeps;

	while (!waitpid(pid, &status, WNOHANG)) {
		assert_true(now_ms() < limit);
		if (scene->phase == 2)
			return 0;
		if (!let && scene->phase == 1 && is_asleep(pid)) {
			let_go();
			let = 1;
		}
		sched_yield();
	}
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	return 1;
}

/* Returns whether the operation passed the point, and was killed there. */
static int kill_at(struct tally *tally, unsigned long point)
{
	long long locks = locks_in_use();
	pid_t pid = start_victim(point);
	int killed = await_victim(pid);

	control("probability", 0);
	if (!killed) {
		kill_and_reap(pid);
	}
	judge(tally, point, locks);
	return killed;
}

static void kill_inside(void **state)
{
	struct tally tally = { 0 };
	unsigned long point = 1;

	plan = *state;
	scene_new();
	while (kill_at(&tally, point)) {
		point++;
		assert_in_range(point, 1, MAX_POINTS);
	}
	scene_free();
	all_points += point - 1;
	printf("# killed at %lu points inside of %s: %lu of %lu recovered, %lu told of the death\n",
	       point - 1, plan->name, tally.recovered, tally.points,
	       tally.told);
	assert_int_equal(tally.recovered, tally.points);
}

/* Or the points would not be there, and nothing be tested. */
static void points_were_passed(void **state)
{
	(void)state;
	assert_in_range(all_points, 30, MAX_POINTS * 30);
}

static const struct CMUnitTest others[] = {
	TEST(points_were_passed),
};

int main(void)
{
	struct stat st;

	if (stat(CONTROL, &st)) {
		printf("1..1\nok 1 - kill_inside # SKIP the kernel has no fault injection\n");
		return 0;
	}
	return run_plans("kill_inside", kill_inside, others,
			 sizeof(others) / sizeof(others[0]));
}
