// SPDX-License-Identifier: GPL-2.0-or-later
/* Histograms of the tracepoints; Documentation/trace/histogram.rst. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rates.h"
#include "tool.h"

#define PREFIX "npheap-top."
/* What a histogram can hold; it is emptied long before it is full. */
#define ENTRIES 16384
#define HISTOGRAM "hist:keys=key,common_pid:size=16384"

static const char *const events[RATE_EVENTS] = {
	[RATE_FAULTS] = "npheap_fault",
	[RATE_MAPS] = "npheap_attach",
	[RATE_LOCKS] = "npheap_lock_acquired",
	[RATE_WAITS] = "npheap_lock_contended",
};

static char instance[128];

/* Counts as they were read: now, and before; and what came in between. */
static struct rate *now, *before, *since;
static size_t nr_now, nr_before, room_now;

static const char *instances(void)
{
	static const char *const places[] = {
		"/sys/kernel/tracing/instances",
		"/sys/kernel/debug/tracing/instances",
	};
	size_t i;

	for (i = 0; i < 2; i++)
		if (!access(places[i], W_OK))
			return places[i];
	return NULL;
}

const char *find_stale_rates(void)
{
	const char *dir = instances();
	static char path[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *list;

	list = dir ? opendir(dir) : NULL;
	while (list && !found && (entry = readdir(list))) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
			continue;
		found = kill(atoi(entry->d_name + strlen(PREFIX)), 0) &&
			errno == ESRCH;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
	}
	if (list)
		closedir(list);
	return found ? path : NULL;
}

static int set_trigger(int event, const char *text)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/events/npheap/%s/trigger", instance,
		 events[event]);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

const char *rates_begin(void)
{
	const char *dir = instances(), *stale;
	int i;

	if (!dir)
		return "tracefs is not mounted, or not for you";
	while ((stale = find_stale_rates()) && !rmdir(stale))
		;
	snprintf(instance, sizeof(instance), "%s/" PREFIX "%d", dir, getpid());
	if (mkdir(instance, 0700)) {
		instance[0] = 0;
		return "cannot make an instance of tracing";
	}
	for (i = 0; i < RATE_EVENTS; i++) {
		if (!set_trigger(i, HISTOGRAM))
			continue;
		rates_end();
		return "this kernel has no histograms of events (CONFIG_HIST_TRIGGERS)";
	}
	return NULL;
}

void rates_end(void)
{
	if (instance[0])
		rmdir(instance);
	instance[0] = 0;
}

static int compare_rates(const void *a, const void *b)
{
	const struct rate *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static void add_entry(int event, uint64_t key, pid_t tid, uint64_t hits)
{
	struct rate *rate;

	if (nr_now == room_now) {
		room_now = room_now ? 2 * room_now : 256;
		now = xrealloc(now, room_now * sizeof(*now));
	}
	rate = &now[nr_now++];
	memset(rate, 0, sizeof(*rate));
	rate->key = key;
	rate->tid = tid;
	rate->count[event] = hits;
}

/* Returns how many entries there were. */
static size_t read_histogram(int event)
{
	unsigned long long key, hits;
	char path[256], *line = NULL;
	size_t room = 0, entries = 0;
	FILE *file;
	int tid;

	snprintf(path, sizeof(path), "%s/events/npheap/%s/hist", instance,
		 events[event]);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (getline(&line, &room, file) > 0) {
		if (sscanf(line, "{ key: %llu, common_pid: %d } hitcount: %llu",
			   &key, &tid, &hits) != 3)
			continue;
		add_entry(event, key, tid, hits);
		entries++;
	}
	free(line);
	fclose(file);
	return entries;
}

/* One entry for each key and thread, with all events. */
static void merge_entries(void)
{
	size_t from, to = 0;
	int i;

	qsort(now, nr_now, sizeof(*now), compare_rates);
	for (from = 0; from < nr_now; from++) {
		if (!to || compare_rates(&now[to - 1], &now[from])) {
			now[to++] = now[from];
			continue;
		}
		for (i = 0; i < RATE_EVENTS; i++)
			now[to - 1].count[i] += now[from].count[i];
	}
	nr_now = to;
}

static size_t subtract(void)
{
	const struct rate *old;
	size_t i, n = 0;
	uint64_t sum;
	int e;

	since = xrealloc(since, nr_now * sizeof(*since));
	for (i = 0; i < nr_now; i++) {
		since[n] = now[i];
		old = nr_before ? bsearch(&now[i], before, nr_before,
					  sizeof(*before), compare_rates) :
				  NULL;
		for (e = 0, sum = 0; e < RATE_EVENTS; e++) {
			if (old && since[n].count[e] >= old->count[e])
				since[n].count[e] -= old->count[e];
			sum += since[n].count[e];
		}
		n += sum > 0;
	}
	return n;
}

size_t rates_read(const struct rate **rates)
{
	bool full[RATE_EVENTS];
	size_t n, i, kept = 0;
	int e;

	*rates = NULL;
	if (!instance[0])
		return 0;
	nr_now = 0;
	for (e = 0; e < RATE_EVENTS; e++)
		full[e] = read_histogram(e) > ENTRIES / 2;
	merge_entries();
	n = subtract();
	/* What is emptied begins at 0 again. */
	for (e = 0; e < RATE_EVENTS; e++) {
		if (!full[e] || set_trigger(e, HISTOGRAM ":clear"))
			continue;
		for (i = 0; i < nr_now; i++)
			now[i].count[e] = 0;
	}
	before = xrealloc(before, nr_now * sizeof(*before));
	for (i = 0; i < nr_now; i++)
		before[kept++] = now[i];
	nr_before = kept;
	*rates = since;
	return n;
}
