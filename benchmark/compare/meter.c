// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "measure.h"
#include "undo.h"
#include "compare/meter.h"

#define TRACING "/sys/kernel/tracing/"

/* ------------------------------------------------------------- perf events */

enum { CALLS, FAULTS, EVENTS };

static int events[EVENTS] = { -1, -1 };
/* What this file adds by itself, which is measured, too. */
static double own_calls, own_calls_of_pause;
static unsigned long pauses;

static int open_event(unsigned int type, uint64_t config)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = type,
		.config = config,
		.disabled = 1,
		.inherit = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1,
		       PERF_FLAG_FD_CLOEXEC);
}

static int open_tracepoint(const char *name)
{
	unsigned long long id;
	char path[128];
	FILE *file;
	int n;

	snprintf(path, sizeof(path), TRACING "events/%s/id", name);
	file = fopen(path, "re");
	if (!file)
		return -1;
	n = fscanf(file, "%llu", &id);
	fclose(file);
	return n == 1 ? open_event(PERF_TYPE_TRACEPOINT, id) : -1;
}

static void command(unsigned long number)
{
	int i;

	for (i = 0; i < EVENTS; i++)
		if (events[i] >= 0)
			check(!ioctl(events[i], number, 0), "perf event");
}

static double read_event(int i)
{
	uint64_t count;

	if (events[i] < 0)
		return NAN;
	check(read(events[i], &count, sizeof(count)) == sizeof(count),
	      "perf event");
	return count;
}

/* ---------------------------------------------------------- payload copied */

/*
 * Where the kernel copies what processes pass: pipes, sockets, eventfds and
 * message queues; not what other calls copy, as arguments or of files.  (What
 * all of these call in the end lies in lib/, where Debian's kernels take no
 * probes.)  Who fails returns less than 0, which no sum counts.
 */
static const struct probe {
	const char *type;
	const char *function;
	const char *length;
} probes[] = {
	{ "r", "pipe_read", "$retval:s64" },
	{ "r", "pipe_write", "$retval:s64" },
	{ "p", "skb_copy_datagram_from_iter", "$arg4:s32" },
	{ "p", "skb_copy_datagram_iter", "$arg4:s32" },
	{ "r", "eventfd_read", "$retval:s64" },
	{ "r", "eventfd_write", "$retval:s64" },
	{ "p", "load_msg", "$arg2" },
	{ "p", "store_msg", "$arg3" },
};

#define PROBES (sizeof(probes) / sizeof(probes[0]))
#define GROUP "npheap_compare"
/* Of more processes than take part; what it has by default takes long to make. */
#define HISTOGRAM "hist:keys=common_pid:vals=bytes:size=256 if bytes > 0"

static int probed[PROBES];

/* Not by stdio: to append it would seek, which these files refuse. */
static int tell(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ssize_t done;

	if (fd < 0)
		return -1;
	done = write(fd, text, strlen(text));
	close(fd);
	return done < 0 ? -1 : 0;
}

static void event_path(char *path, size_t size, size_t i, const char *name)
{
	snprintf(path, size, TRACING "events/" GROUP "/copy%zu/%s", i, name);
}

static void remove_probe(size_t i)
{
	char path[128], text[64];

	event_path(path, sizeof(path), i, "trigger");
	tell(path, "!" HISTOGRAM);
	snprintf(text, sizeof(text), "-:" GROUP "/copy%zu", i);
	tell(TRACING "kprobe_events", text);
	probed[i] = 0;
}

/* Those that there are: the parent does not know which. */
static void remove_probes(const char *what)
{
	size_t i;

	(void)what;
	for (i = 0; i < PROBES; i++)
		remove_probe(i);
}

static int add_probe(size_t i)
{
	char path[128], text[128];

	snprintf(text, sizeof(text), "%s:" GROUP "/copy%zu %s bytes=%s",
		 probes[i].type, i, probes[i].function, probes[i].length);
	if (tell(TRACING "kprobe_events", text))
		return -1;
	probed[i] = 1;
	event_path(path, sizeof(path), i, "trigger");
	return tell(path, HISTOGRAM);
}

/* All, or none: a sum of some would be wrong. */
static void add_probes(void)
{
	size_t i;

	undo_later(remove_probes, GROUP);
	for (i = 0; i < PROBES; i++)
		if (add_probe(i)) {
			undo_now(remove_probes, GROUP);
			return;
		}
}

static double sum_of(size_t i)
{
	unsigned long long bytes, sum = 0;
	char path[128], line[256];
	FILE *file;

	event_path(path, sizeof(path), i, "hist");
	file = fopen(path, "re");
	check(!!file, path);
	while (fgets(line, sizeof(line), file)) {
		const char *at = strstr(line, "bytes:");

		if (at && sscanf(at, "bytes: %llu", &bytes) == 1)
			sum += bytes;
	}
	fclose(file);
	return sum;
}

static double bytes_copied(void)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < PROBES; i++)
		sum += probed[i] ? sum_of(i) : NAN;
	return sum;
}

/* --------------------------------------------------------------------- all */

static int copies;

static void open_events(void)
{
	events[CALLS] = open_tracepoint("raw_syscalls/sys_enter");
	events[FAULTS] = open_event(PERF_TYPE_SOFTWARE,
				    PERF_COUNT_SW_PAGE_FAULTS);
}

static void close_events(void)
{
	int i;

	for (i = 0; i < EVENTS; i++)
		if (events[i] >= 0)
			close(events[i]);
}

static void start_all(int with_copies)
{
	copies = with_copies;
	pauses = 0;
	if (copies)
		add_probes();
	open_events();
	command(PERF_EVENT_IOC_ENABLE);
}

static struct meters stop_all(void)
{
	struct meters m = { .copied = NAN };

	command(PERF_EVENT_IOC_DISABLE);
	if (copies) {
		m.copied = bytes_copied();
		undo_now(remove_probes, GROUP);
	}
	m.calls = read_event(CALLS);
	m.faults = read_event(FAULTS);
	close_events();
	return m;
}

void meters_pause(void)
{
	command(PERF_EVENT_IOC_DISABLE);
}

void meters_resume(void)
{
	command(PERF_EVENT_IOC_ENABLE);
	pauses++;
}

static void measure_own(void)
{
	start_all(0);
	own_calls = stop_all().calls;
	start_all(0);
	meters_pause();
	meters_resume();
	own_calls_of_pause = stop_all().calls - own_calls;
}

void meters_start(int with_copies)
{
	static int known;

	if (!known++)
		measure_own();
	start_all(with_copies);
}

struct meters meters_stop(void)
{
	unsigned long n = pauses;
	struct meters m = stop_all();

	m.calls -= own_calls + n * own_calls_of_pause;
	return m;
}
