// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fairness: many in a closed loop, each of which comes back for the lock as
 * soon as it gave it away, and none of which is overtaken, by anyone.
 *
 * Nobody can tell from user space when a thread came: it may be preempted
 * between a note of that and its place in the queue.  So the kernel's trace is
 * the witness.  The module's npheap_lock_contended is written as a thread gets
 * its place; and each thread writes "in" and "out" into the same trace while it
 * holds the lock, however it got it.  The trace's clock counts, so the order of
 * its records is the order in which all this happened.
 */
#include "test.h"

#define CROWD 64
#define TURNS 100
/* A record takes less than 64 bytes, and one CPU may write all of them. */
#define BUFFER_KB "4096"

#define TRACEFS "/sys/kernel/tracing/"
#define CONTENDED "events/npheap/npheap_lock_contended/"

static uint64_t key;
static int marker;
static long long old_buffer_kb;

/* ----------------------------------------------------------------- tracing */

static void trace_set(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), TRACEFS "%s", name);
	assert_int_equal(write_text(path, text), 0);
}

static void trace_clear(void)
{
	int fd = open(TRACEFS "trace", O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	close(fd);
}

static void trace_start(void)
{
	char filter[64];

	marker = open(TRACEFS "trace_marker", O_WRONLY | O_CLOEXEC);
	if (marker < 0 || access(TRACEFS CONTENDED "enable", W_OK)) {
		printf("# no tracefs with events of npheap\n");
		skip();
	}
	snprintf(filter, sizeof(filter), "key==%llu", (unsigned long long)key);
	old_buffer_kb = read_number(TRACEFS "buffer_size_kb");
	trace_set("buffer_size_kb", BUFFER_KB);
	trace_set("trace_clock", "counter");
	trace_set(CONTENDED "filter", filter);
	trace_clear();
	trace_set(CONTENDED "enable", "1");
}

static void trace_stop(void)
{
	trace_set(CONTENDED "enable", "0");
	trace_set(CONTENDED "filter", "0");
	close(marker);
}

static void trace_reset(void)
{
	char kb[32];

	trace_set("trace_clock", "local");
	trace_clear();
	snprintf(kb, sizeof(kb), "%lld", old_buffer_kb);
	trace_set("buffer_size_kb", kb);
}

/* A line "overrun: N" and the like, of each CPU's buffer. */
static long long trace_lost(void)
{
	long long lost = 0, n;
	char path[96], line[96];
	FILE *file;
	int cpu;

	for (cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++) {
		snprintf(path, sizeof(path), TRACEFS "per_cpu/cpu%d/stats",
			 cpu);
		file = fopen(path, "re");
		assert_non_null(file);
		while (fgets(line, sizeof(line), file))
			if (sscanf(line, "overrun: %lld", &n) == 1 ||
			    sscanf(line, "commit overrun: %lld", &n) == 1 ||
			    sscanf(line, "dropped events: %lld", &n) == 1)
				lost += n;
		fclose(file);
	}
	return lost;
}

static void mark(const char *what)
{
	child_check(write(marker, what, strlen(what)) > 0);
}

/* ------------------------------------------------------------------- crowd */

/* The parent is one of them: it holds the lock until all others wait. */
static pid_t pids[CROWD + 1];

static int take_turns(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < TURNS; i++) {
		child_check(!npheap_lock(dev, key));
		mark("in");
		mark("out");
		child_check(!npheap_unlock(dev, key));
	}
	return 0;
}

static void run_crowd(void)
{
	int i;

	assert_int_equal(npheap_lock(dev, key), 0);
	mark("in");
	pids[CROWD] = getpid();
	for (i = 0; i < CROWD; i++) {
		pids[i] = spawn(take_turns, NULL);
		assert_true(wait_asleep(pids[i]));
	}
	mark("out");
	assert_int_equal(npheap_unlock(dev, key), 0);
	for (i = 0; i < CROWD; i++)
		expect_exit(pids[i], 0);
}

/* ------------------------------------------------------------------- judge */

enum { NOTHING, CAME, IN, OUT };

static int line_says(const char *line)
{
	if (strstr(line, " npheap_lock_contended: "))
		return CAME;
	if (strstr(line, " tracing_mark_write: in\n"))
		return IN;
	if (strstr(line, " tracing_mark_write: out\n"))
		return OUT;
	return NOTHING;
}

/* A line begins "   test_fair-142  [001] "; which of pids[] that is. */
static int line_who(const char *line)
{
	const char *end = strstr(line, " [");
	int pid = 0, who;

	while (end && end > line && *end != '-')
		end--;
	if (end)
		pid = atoi(end + 1);
	for (who = 0; who <= CROWD; who++)
		if (pids[who] == pid)
			return who;
	return -1;
}

/* What the trace tells, up to the present line. */
struct story {
	long now;
	long came[CROWD + 1];		/* 0: does not wait */
	long left;			/* when the last holder said "out" */
	int inside;
	int overtaken[CROWD + 1];	/* since it came */
	int waits, turns, worst, overlaps;
};

/*
 * One that never waited may have got the lock when it was free, and another
 * came before it wrote its mark; but not if that one was there already when
 * the last holder left.
 */
static void story_in(struct story *s, int who)
{
	int other;

	for (other = 0; other <= CROWD; other++) {
		if (other == who || !s->came[other])
			continue;
		if ((s->came[who] ? s->came[who] : s->left) > s->came[other])
			s->overtaken[other]++;
	}
	if (s->overtaken[who] > s->worst)
		s->worst = s->overtaken[who];
	s->overtaken[who] = 0;
	s->came[who] = 0;
	s->turns++;
	s->overlaps += s->inside++ != 0;
}

static void story_read(struct story *s, FILE *trace)
{
	char line[512];
	int says, who;

	while (fgets(line, sizeof(line), trace)) {
		says = line_says(line);
		if (!says)
			continue;
		who = line_who(line);
		assert_true(who >= 0);
		s->now++;
		if (says == CAME) {
			s->came[who] = s->now;
			s->waits++;
		} else if (says == IN) {
			story_in(s, who);
		} else {
			s->inside--;
			s->left = s->now;
		}
	}
}

static void waiters_are_not_overtaken(void **state)
{
	struct story story = { 0 };
	FILE *trace;

	(void)state;
	key = test_key();
	trace_start();
	run_crowd();
	trace_stop();
	assert_int_equal(trace_lost(), 0);
	trace = fopen(TRACEFS "trace", "re");
	assert_non_null(trace);
	story_read(&story, trace);
	fclose(trace);
	trace_reset();
	printf("# %d waiters, %d rounds: %d turns, %d after a wait, overtaken at most %d times\n",
	       CROWD, TURNS, story.turns, story.waits, story.worst);
	assert_int_equal(story.turns, CROWD * TURNS + 1);
	assert_int_equal(story.overlaps, 0);
	assert_int_equal(story.worst, 0);
	/* The loop was closed: there was somebody to overtake. */
	assert_true(story.waits > CROWD * TURNS / 2);
}

static const struct CMUnitTest tests[] = {
	TEST(waiters_are_not_overtaken),
};

int main(void)
{
	return test_main(tests);
}
