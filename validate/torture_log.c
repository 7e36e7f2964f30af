// SPDX-License-Identifier: GPL-2.0-or-later
/* What torture_log.h promises. */
#include <inttypes.h>
#include <stdatomic.h>
#include <time.h>

#include "torture.h"
#include "torture_log.h"

/* So many lines of each thread are kept. */
#define LINES 16

/* The addresses of texts are the same in all processes, which are forked. */
struct line {
	uint64_t us;
	const char *what;
	long value;
};

struct thread_log {
	_Atomic uint64_t operations;
	_Atomic uint64_t count;
	struct line lines[LINES];
};

/* What is known of a thread: how far it was, and since when. */
struct seen {
	uint64_t at_first;
	uint64_t operations;
	long long since;
};

static struct thread_log *logs;
static unsigned int nr_logs;
static bool found;
static struct seen seen[CROWD_PROCESSES * CROWD_THREADS];
static __thread struct thread_log *mine;

int log_new(unsigned int threads)
{
	nr_logs = threads;
	found = false;
	logs = mmap(NULL, threads * sizeof(*logs), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return logs == MAP_FAILED ? -1 : 0;
}

void log_free(void)
{
	munmap(logs, nr_logs * sizeof(*logs));
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

void log_as(unsigned int number)
{
	mine = &logs[number];
	log_line("begins, process", getpid());
}

void log_line(const char *what, long value)
{
	if (!mine)
		return;
	mine->lines[mine->count % LINES] = (struct line){
		.us = now_us(), .what = what, .value = value,
	};
	mine->count++;
}

void log_operation(void)
{
	mine->operations++;
}

uint64_t log_operations(void)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < nr_logs; i++)
		sum += logs[i].operations;
	return sum;
}

void log_watch(void)
{
	unsigned int i;

	for (i = 0; i < nr_logs; i++) {
		seen[i].operations = logs[i].operations;
		seen[i].at_first = seen[i].operations;
		seen[i].since = now_ms();
	}
}

bool log_all_moved(void)
{
	unsigned int i;

	for (i = 0; i < nr_logs; i++)
		if (logs[i].operations == seen[i].at_first)
			return false;
	return true;
}

static bool is_stuck(unsigned int number)
{
	struct seen *s = &seen[number];
	uint64_t operations = logs[number].operations;

	if (operations != s->operations) {
		s->operations = operations;
		s->since = now_ms();
	}
	if (now_ms() < s->since + TEST_SECONDS * 1000LL)
		return false;
	printf("# crowd: thread %u does nothing any more\n", number);
	return true;
}

bool log_is_stuck(void)
{
	unsigned int i;

	for (i = 0; i < nr_logs && !found; i++)
		found = is_stuck(i);
	return found;
}

static void print_log(unsigned int number, uint64_t now)
{
	const struct thread_log *log = &logs[number];
	uint64_t i = log->count > LINES ? log->count - LINES : 0;

	printf("# thread %u, after %" PRIu64 " operations, us ago:\n", number,
	       log->operations);
	for (; i < log->count; i++) {
		const struct line *l = &log->lines[i % LINES];

		printf("# %8" PRIu64 " %s: %ld\n", now - l->us, l->what,
		       l->value);
	}
}

void log_print(void)
{
	uint64_t now = now_us();
	unsigned int i;

	for (i = 0; i < nr_logs; i++)
		print_log(i, now);
}
