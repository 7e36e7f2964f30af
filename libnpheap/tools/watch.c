// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap watch: a line for each thing that happens to a key. */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

static const struct {
	const char *name;
	unsigned int event;
} events[] = {
	{ "notify", NPHEAP_WATCH_NOTIFY },
	{ "size", NPHEAP_WATCH_SIZE },
	{ "delete", NPHEAP_WATCH_DELETE },
	{ "death", NPHEAP_WATCH_DEATH },
};

#define NR_EVENTS (sizeof(events) / sizeof(events[0]))

static unsigned int find_event(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < NR_EVENTS; i++)
		if (strlen(events[i].name) == len &&
		    !strncmp(events[i].name, name, len))
			return events[i].event;
	usage_error("there is no event '%.*s': notify, size, delete, death",
		    (int)len, name);
}

static unsigned int parse_events(const char *list)
{
	unsigned int set = 0;
	size_t len;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		set |= find_event(list, len);
		if (!list[len])
			return set;
	}
}

static void print_names(unsigned int set, const char *quote)
{
	const char *comma = "";
	size_t i;

	for (i = 0; i < NR_EVENTS; i++) {
		if (!(set & events[i].event))
			continue;
		printf("%s%s%s%s", comma, quote, events[i].name, quote);
		comma = ",";
	}
}

static void print_event(const struct npheap_watch_key *key, bool json)
{
	uint64_t now = clock_ns(CLOCK_REALTIME);
	time_t seconds = now / 1000000000;
	unsigned int us = now / 1000 % 1000000;
	char text[32] = "";
	struct tm tm;

	if (json) {
		printf("{\"time\": %" PRIu64 ".%06u, \"key\": %" PRIu64 ", \"events\": [",
		       (uint64_t)seconds, us, (uint64_t)key->key);
		print_names(key->events, "\"");
		printf("]}\n");
	} else {
		if (localtime_r(&seconds, &tm))
			strftime(text, sizeof(text), "%H:%M:%S", &tm);
		printf("%s.%06u %" PRIu64 " ", text, us, (uint64_t)key->key);
		print_names(key->events, "");
		printf("\n");
	}
	/* Who reads this wants it now; who does not read it ends us. */
	if (fflush(stdout))
		err(EXIT_FAILURE, "write error");
}

/* Milliseconds until the deadline, for poll(2). */
static int time_left(uint64_t deadline)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), ms;

	if (deadline == NPHEAP_FOREVER)
		return -1;
	if (deadline <= now)
		return 0;
	ms = (deadline - now + 999999) / 1000000;
	return ms < 1000000000 ? ms : 1000000000;
}

/* Returns when @count events were printed, or it is late. */
static int watch(int fd, unsigned long count, uint64_t deadline, bool json)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	struct npheap_watch_key key;
	unsigned long seen = 0;
	size_t got;
	int rc;

	while (!count || seen < count) {
		rc = poll(&poll_fd, 1, time_left(deadline));
		if (!rc && !time_left(deadline))
			return EXIT_FAILURE;
		if (rc < 0 && errno != EINTR)
			err(EXIT_FAILURE, "cannot wait");
		if (rc <= 0)
			continue;
		rc = npheap_watch_read(fd, &key, 1, &got);
		if (rc == -EAGAIN || rc == -EINTR)
			continue;
		if (rc)
			errx(EXIT_FAILURE, "cannot read the watch: %s",
			     strerror(-rc));
		print_event(&key, json);
		seen++;
	}
	return EXIT_SUCCESS;
}

int cmd_watch(int argc, char **argv)
{
	static const struct option options[] = {
		{ "events", required_argument, NULL, 'e' },
		{ "count", required_argument, NULL, 'c' },
		{ "timeout", required_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	unsigned int set = NPHEAP_WATCH_NOTIFY | NPHEAP_WATCH_SIZE |
			   NPHEAP_WATCH_DELETE | NPHEAP_WATCH_DEATH;
	uint64_t deadline = NPHEAP_FOREVER, *keys;
	unsigned long count = 0;
	struct npheap *heap;
	bool json = false;
	size_t nr_keys, i;
	int c, fd, rc;

	while ((c = getopt_long(argc, argv, "e:c:w:Jh", options, NULL)) != -1) {
		switch (c) {
		case 'e':
			set = parse_events(optarg);
			break;
		case 'c':
			count = parse_number(optarg, UINT32_MAX);
			break;
		case 'w':
			deadline = parse_deadline(optarg);
			break;
		case 'J':
			json = true;
			break;
		case 'h':
			print_help();
		default:
			bad_option();
		}
	}
	keys = parse_keys(argc - optind, argv + optind, &nr_keys);
	heap = open_heap(NPHEAP_RDONLY);
	rc = npheap_watch_open(heap, NPHEAP_WATCH_CLOEXEC |
				     NPHEAP_WATCH_NONBLOCK, &fd);
	for (i = 0; i < nr_keys && !rc; i++)
		rc = npheap_watch_set(fd, keys[i], set);
	if (rc)
		errx(EXIT_FAILURE, "cannot watch: %s", explain(rc));
	npheap_close(heap);
	free(keys);
	rc = watch(fd, count, deadline, json);
	close(fd);
	return rc;
}
