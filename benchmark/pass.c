// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pass: how fast producer processes pass items to consumer processes through
 * npheap, and the same work through pipes, Unix sockets, message queues, POSIX
 * shm, memory from before the fork, and files on tmpfs.
 *
 * Each byte is written by the producer and compared by the consumer, so each
 * transport pays for touching all memory on both sides.  Rounds alternate
 * between the transports; the median of each is printed.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "crew.h"
#include "relay.h"

#define MAX_SIZES 32
#define MAX_ROUNDS 99
#define MAX_TRANSPORTS 16

#define MIN_SIZE 64
#define MAX_SIZE ((size_t)16 << 20)
#define MAX_ITEMS (1 << 26)
#define ROUND_BYTES ((uint64_t)128 << 20)	/* where -n does not say */

struct settings {
	unsigned int producers;
	unsigned int consumers;
	unsigned int rounds;
	uint64_t items;			/* 0: as many as ROUND_BYTES holds */
	size_t sizes[MAX_SIZES];
	unsigned int size_count;
	const struct transport *transports[MAX_TRANSPORTS];
	unsigned int transport_count;
	bool csv;
};

/* The rounds */

struct result {
	struct outcome outcome[MAX_ROUNDS];
};

static uint64_t items_of(const struct settings *settings, size_t size)
{
	uint64_t items = settings->items ? settings->items : ROUND_BYTES / size;

	/* Small items cost the same each: no need for millions. */
	return settings->items || items < 20000 ? items : 20000;
}

static struct job job_of(const struct settings *settings, size_t size)
{
	return content_job((struct geometry) {
		.producers = settings->producers,
		.consumers = settings->consumers,
		.items = items_of(settings, size),
		.max_size = size,
	}, 0);
}

static int by_seconds(const void *a, const void *b)
{
	double x = ((const struct outcome *)a)->seconds;
	double y = ((const struct outcome *)b)->seconds;

	return (x > y) - (x < y);
}

static double median(struct result *result, unsigned int rounds)
{
	qsort(result->outcome, rounds, sizeof(result->outcome[0]), by_seconds);
	return (result->outcome[(rounds - 1) / 2].seconds +
		result->outcome[rounds / 2].seconds) / 2;
}

static double mib(double bytes)
{
	return bytes / (1 << 20);
}

static void print_csv(const struct transport *transport, const struct job *job,
		      unsigned int round, const struct outcome *outcome)
{
	const struct geometry *g = &job->geometry;

	printf("%s,%u,%u,%zu,%llu,%llu,%u,%.9f,%.1f,%.3f\n", transport->name,
	       g->producers, g->consumers, g->max_size,
	       (unsigned long long)g->items,
	       (unsigned long long)outcome->bytes, round + 1,
	       outcome->seconds, (double)g->items / outcome->seconds,
	       mib((double)outcome->bytes) / outcome->seconds);
	fflush(stdout);
}

static int measure(const struct settings *settings, const struct job *job,
		   struct result *results)
{
	for (unsigned int round = 0; round < settings->rounds; round++) {
		for (unsigned int t = 0; t < settings->transport_count; t++) {
			struct outcome *outcome = &results[t].outcome[round];
			int err = relay_run(settings->transports[t], job,
					    outcome);

			if (err)
				return err;
			if (settings->csv)
				print_csv(settings->transports[t], job, round,
					  outcome);
		}
	}
	return 0;
}

/* The table: three lines a size, a column a transport */

#define COLUMN 11

static const char *bytes_text(char *text, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
	unsigned int unit = 0;

	for (; bytes >= 1024 && unit < 3; unit++)
		bytes /= 1024;
	sprintf(text, "%.4g %s", bytes, units[unit]);
	return text;
}

static void print_head(const struct settings *settings)
{
	if (settings->csv) {
		puts("transport,producers,consumers,size,items,bytes,round,"
		     "seconds,items_per_s,mib_per_s");
		return;
	}
	printf("%u producers, %u consumers, median of %u, every byte verified\n"
	       "\n%9s %7s %9s  %9s", settings->producers, settings->consumers,
	       settings->rounds, "size", "items", "bytes", "");
	for (unsigned int t = 0; t < settings->transport_count; t++)
		printf(" %*s", COLUMN, settings->transports[t]->name);
	printf("\n");
}

static void print_rates(const char *unit, const double *seconds,
			unsigned int count, double amount)
{
	printf("  %9s", unit);
	for (unsigned int t = 0; t < count; t++) {
		double rate = amount / seconds[t];

		printf(" %*.*f", COLUMN, rate < 100 ? 2 : 0, rate);
	}
}

static bool is_peer(const struct transport *transport)
{
	return strncmp(transport->name, "npheap", strlen("npheap"));
}

/* How many times as fast as the fastest transport that is not npheap */
static void print_ratios(const struct settings *settings, const double *seconds)
{
	double best = 0;

	for (unsigned int t = 0; t < settings->transport_count; t++) {
		if (is_peer(settings->transports[t]) &&
		    (!best || seconds[t] < best))
			best = seconds[t];
	}
	printf("  %9s", best ? "best peer" : "");
	for (unsigned int t = 0; best && t < settings->transport_count; t++)
		printf(" %*.3f", COLUMN, best / seconds[t]);
}

static void print_rows(const struct settings *settings, const struct job *job,
		       struct result *results)
{
	uint64_t items = job->geometry.items;
	double bytes = (double)items * (double)job->geometry.max_size;
	double seconds[MAX_TRANSPORTS];
	unsigned int count = settings->transport_count;
	char size_text[32], total_text[32];

	for (unsigned int t = 0; t < count; t++)
		seconds[t] = median(&results[t], settings->rounds);
	printf("%9s %7llu %9s",
	       bytes_text(size_text, (double)job->geometry.max_size),
	       (unsigned long long)items, bytes_text(total_text, bytes));
	print_rates("items/s", seconds, count, (double)items);
	printf("\n%27s", "");
	print_rates("MiB/s", seconds, count, mib(bytes));
	printf("\n%27s", "");
	print_ratios(settings, seconds);
	printf("\n");
	fflush(stdout);
}

static int run(const struct settings *settings)
{
	static struct result results[MAX_TRANSPORTS];

	print_head(settings);
	for (unsigned int i = 0; i < settings->size_count; i++) {
		struct job job = job_of(settings, settings->sizes[i]);

		if (measure(settings, &job, results))
			return 1;
		if (!settings->csv)
			print_rows(settings, &job, results);
	}
	return 0;
}

/* The command line */

static const char usage_text[] =
"usage: pass [OPTION]...\n"
"Pass items between processes through npheap and its peers; verify each byte.\n"
"\n"
"  -p, --producers N        processes, 1 to 16 (2)\n"
"  -c, --consumers N        processes, 1 to 16 (2)\n"
"  -s, --sizes SIZE,...     bytes an item, 64 to 16M, with K or M\n"
"                           (64,1K,4K,64K,1M,16M)\n"
"  -n, --items ITEMS        a round (128 MiB of them, but at most 20000)\n"
"  -r, --rounds ROUNDS      of which the median is printed, 1 to 99 (3)\n"
"  -t, --transports NAME,...\n"
"                           npheap, npheap-pool, npheap-event, npheap-ioctl,\n"
"                           pipe, vmsplice, unix, seqpacket, mq, msg, shm,\n"
"                           shm-pool, futex, eventfd, tmpfs (npheap,\n"
"                           npheap-pool, pipe, unix, shm, shm-pool, tmpfs)\n"
"      --csv                one line a round instead of the table\n"
"  -h, --help               print this text\n"
"\n"
"Exit status: 0; 1 a wrong or missing byte, or it could not run; 2 usage.\n";

static bool parse_number(const char *text, uint64_t low, uint64_t high,
			 uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	if (*end == 'K' || *end == 'M')
		*number <<= *end++ == 'K' ? 10 : 20;
	return !errno && end != text && !*end && *text != '-' &&
	       *number >= low && *number <= high;
}

static bool parse_count(const char *text, unsigned int high,
			unsigned int *count)
{
	uint64_t number;

	if (!parse_number(text, 1, high, &number))
		return false;
	*count = (unsigned int)number;
	return true;
}

static bool parse_sizes(char *list, struct settings *settings)
{
	uint64_t size;

	settings->size_count = 0;
	for (char *word; (word = strsep(&list, ",")); ) {
		if (settings->size_count == MAX_SIZES ||
		    !parse_number(word, MIN_SIZE, MAX_SIZE, &size))
			return false;
		settings->sizes[settings->size_count++] = size;
	}
	return true;
}

static bool parse_transports(char *list, struct settings *settings)
{
	const struct transport *found;

	settings->transport_count = 0;
	for (char *word; (word = strsep(&list, ",")); ) {
		found = transport_named(word);
		if (!found || settings->transport_count == MAX_TRANSPORTS)
			return false;
		settings->transports[settings->transport_count++] = found;
	}
	return true;
}

static bool parse_option(int option, struct settings *settings)
{
	switch (option) {
	case 'p':
		return parse_count(optarg, CHANNEL_WORKERS,
				   &settings->producers);
	case 'c':
		return parse_count(optarg, CHANNEL_WORKERS,
				   &settings->consumers);
	case 's':
		return parse_sizes(optarg, settings);
	case 'n':
		return parse_number(optarg, 1, MAX_ITEMS, &settings->items);
	case 'r':
		return parse_count(optarg, MAX_ROUNDS, &settings->rounds);
	case 't':
		return parse_transports(optarg, settings);
	case 'C':
		settings->csv = true;
		return true;
	}
	return false;
}

/* A list has been cut at its commas, so the value is not repeated. */
static int bad_value(int option)
{
	fprintf(stderr, "pass: bad value of -%c; see --help\n", option);
	return 2;
}

static void defaults(struct settings *settings)
{
	char sizes[] = "64,1K,4K,64K,1M,16M";
	char names[] = "npheap,npheap-pool,pipe,unix,shm,shm-pool,tmpfs";

	*settings = (struct settings) {
		.producers = 2, .consumers = 2, .rounds = 3,
	};
	parse_sizes(sizes, settings);
	parse_transports(names, settings);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "producers", required_argument, NULL, 'p' },
		{ "consumers", required_argument, NULL, 'c' },
		{ "sizes", required_argument, NULL, 's' },
		{ "items", required_argument, NULL, 'n' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "transports", required_argument, NULL, 't' },
		{ "csv", no_argument, NULL, 'C' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct settings settings;
	int option;

	defaults(&settings);
	while ((option = getopt_long(argc, argv, "p:c:s:n:r:t:h", options,
				     NULL)) != -1) {
		if (option == 'h')
			return fputs(usage_text, stdout) == EOF;
		/* getopt_long() has named what it does not know. */
		if (option == '?')
			return 2;
		if (!parse_option(option, &settings))
			return bad_value(option);
	}
	if (optind != argc) {
		fprintf(stderr, "pass: what is '%s'? see --help\n",
			argv[optind]);
		return 2;
	}
	if (crew_init())
		return perror("pass"), 1;
	return run(&settings);
}
