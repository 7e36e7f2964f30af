// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the benchmarks change on the machine is put back, however they end.
 *
 * "test_undo PATTERN" runs the tests that match.
 */
#include <sys/mount.h>

#include "compare/supervise.h"
#include "measure.h"
#include "test.h"
#include "undo.h"

#define BEFORE 17
#define DURING 4711

static char path[] = "/tmp/test_undo.XXXXXX";
static char top[] = "/tmp/test_undo_top.XXXXXX";

/* What is measured, and how it ends. */
enum end { RETURNS, DIES, CRASHES, HANGS, WAITS, CHILD_DIES };

static enum end end;
static struct gate *changed;

static void change(void)
{
	raise_system_limit(path, DURING);
	undo_mount(top);
	if (mount("tmpfs", top, "tmpfs", 0, ""))
		die("mount");
	if (read_number(path) != DURING)
		die("raise_system_limit");
	gate_add(changed, 1);
}

static void die_in_child(void *arg)
{
	(void)arg;
	errno = EBADMSG;
	die("as it shall");
}

static int measure(void)
{
	change();
	switch (end) {
	case DIES:
		die("as it shall");
	case CRASHES:
		raise(SIGSEGV);
		break;
	case HANGS:
		alarm(1);
		pause();
		break;
	case WAITS:
		pause();
		break;
	case CHILD_DIES:
		start(die_in_child, NULL, -1);
		start(die_in_child, NULL, -1);
		finish_all(2);
		break;
	default:
		break;
	}
	return end == RETURNS ? 0 : 2;
}

static int run(void *arg)
{
	(void)arg;
	if (!freopen("/dev/null", "we", stderr))
		return 98;
	exit(supervise(measure));
}

static pid_t begin(enum end how)
{
	char text[16];
	int fd;

	end = how;
	changed = gate_new();
	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	snprintf(text, sizeof(text), "%d\n", BEFORE);
	assert_int_equal(write_text(path, text), 0);
	strcpy(top + sizeof(top) - 7, "XXXXXX");
	assert_non_null(mkdtemp(top));
	return spawn(run, NULL);
}

static void assert_put_back(void)
{
	assert_int_equal(changed->value, 1);
	assert_int_equal(read_number(path), BEFORE);
	/* A directory that is mounted on cannot be removed. */
	assert_errno(access(top, F_OK), ENOENT);
	unlink(path);
}

static void expect_put_back(enum end how, int status)
{
	expect_exit(begin(how), status);
	assert_put_back();
}

/* ------------------------------------------------------------------- tests -- */

static void undo_at_the_end(void **state)
{
	(void)state;
	expect_put_back(RETURNS, 0);
}

static void undo_where_a_check_fails(void **state)
{
	(void)state;
	expect_put_back(DIES, 1);
	expect_put_back(CHILD_DIES, 1);
}

static void undo_after_a_crash(void **state)
{
	(void)state;
	expect_put_back(CRASHES, 1);
}

static void undo_after_a_standstill(void **state)
{
	(void)state;
	expect_put_back(HANGS, 1);
}

static void undo_after_a_signal(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	size_t i;
	pid_t pid;

	(void)state;
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		pid = begin(WAITS);
		gate_wait(changed, 1);
		kill(pid, signals[i]);
		expect_signal(pid, signals[i]);
		assert_put_back();
	}
}

static void end_at_once(void *arg)
{
	(void)arg;
}

static int wait_for_a_dead_one(void *arg)
{
	(void)arg;
	if (!freopen("/dev/null", "we", stderr))
		return 98;
	until_sleeps(start(end_at_once, NULL, -1));
	return 0;
}

static void nobody_waits_for_a_dead_one_to_sleep(void **state)
{
	(void)state;
	expect_exit(spawn(wait_for_a_dead_one, NULL), 1);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest undo_tests[] = {
		TEST(undo_at_the_end),
		TEST(undo_where_a_check_fails),
		TEST(undo_after_a_crash),
		TEST(undo_after_a_standstill),
		TEST(undo_after_a_signal),
		TEST(nobody_waits_for_a_dead_one_to_sleep),
	};

	test_choose(argc, argv);
	return test_main(undo_tests);
}
