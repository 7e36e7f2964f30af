// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * demo: real processes share real files through npheap.
 *
 * Producers load the files of a directory into objects and exit; one of them
 * is killed on the way.  Consumers, started only then, find each file and
 * compute its SHA-256, which has to be what sha256sum says of the original.
 *
 * Then the same files go from as many producers to as many consumers through
 * npheap, a pipe, a Unix socket and files on tmpfs, side by side.
 */
#include <errno.h>
#include <getopt.h>
#include <npheap.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "crew.h"
#include "demo.h"
#include "progress.h"
#include "relay.h"

#define ROUNDS 3

static const struct transport *const compared[] = {
	&transport_npheap, &transport_npheap_pool,
	&transport_pipe, &transport_unix, &transport_tmpfs,
};

#define COMPARED (sizeof(compared) / sizeof(compared[0]))

/* The comparison: two jobs over the same files */

struct load {
	const struct tree *tree;
	uint64_t *checksums;		/* by index */
};

static size_t file_size(const struct job *job, uint64_t number)
{
	const struct load *load = job->data;

	return load->tree->files[number].size;
}

static int fill(const struct job *job, uint64_t number, void *bytes,
		size_t size)
{
	const struct load *load = job->data;

	return tree_read(load->tree, number, bytes, size);
}

/* Cheap, but no byte can be left unread. */
static uint64_t checksum(const void *bytes, size_t size)
{
	const char *at = bytes;
	uint64_t sum = size;
	uint64_t word;

	for (; size >= sizeof(word); size -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum += word;
		at += sizeof(word);
	}
	word = 0;
	memcpy(&word, at, size);
	return sum + word;
}

static int check_read(const struct job *job, uint64_t number,
		      const void *bytes, size_t size)
{
	const struct load *load = job->data;

	return checksum(bytes, size) == load->checksums[number] ? 0 : -EBADMSG;
}

static int check_hash(const struct job *job, uint64_t number,
		      const void *bytes, size_t size)
{
	const struct load *load = job->data;
	struct sum sum;
	int err = sha256(bytes, size, &sum);

	if (err)
		return err;
	return memcmp(&sum, &load->tree->files[number].sum, sizeof(sum)) ?
	       -EBADMSG : 0;
}

static int set_checksums(struct load *load)
{
	const struct tree *tree = load->tree;
	void *bytes = malloc(tree->largest + 1);
	int err = 0;

	load->checksums = calloc(tree->count, sizeof(*load->checksums));
	if (!bytes || !load->checksums)
		err = -ENOMEM;
	for (size_t i = 0; i < tree->count && !err; i++) {
		err = tree_read(tree, i, bytes, tree->files[i].size);
		if (!err)
			load->checksums[i] = checksum(bytes,
						      tree->files[i].size);
	}
	free(bytes);
	return err;
}

enum { READ, HASH, JOBS };

struct comparison {
	double seconds[JOBS][COMPARED][ROUNDS];
};

static int compare_round(const struct job *jobs, unsigned int round,
			 struct comparison *comparison)
{
	unsigned int done = round * JOBS * COMPARED;

	for (unsigned int j = 0; j < JOBS; j++) {
		for (unsigned int t = 0; t < COMPARED; t++) {
			struct outcome outcome;
			int err = relay_run(compared[t], &jobs[j], &outcome);

			if (err)
				return err;
			comparison->seconds[j][t][round] = outcome.seconds;
			progress("compare", ++done, ROUNDS * JOBS * COMPARED);
		}
	}
	return 0;
}

static int compare(const struct tree *tree, unsigned int producers,
		   unsigned int consumers, struct comparison *comparison)
{
	struct load load = { .tree = tree };
	struct job read_job = {
		.geometry = { producers, consumers, tree->count,
			      tree->largest },
		.size = file_size,
		.fill = fill,
		.check = check_read,
		.data = &load,
	};
	struct job jobs[JOBS] = { [READ] = read_job, [HASH] = read_job };
	int err = set_checksums(&load);

	jobs[HASH].check = check_hash;
	for (unsigned int round = 0; round < ROUNDS && !err; round++)
		err = compare_round(jobs, round, comparison);
	free(load.checksums);
	return err;
}

/* The summary */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *seconds)
{
	double sorted[ROUNDS];

	memcpy(sorted, seconds, sizeof(sorted));
	qsort(sorted, ROUNDS, sizeof(sorted[0]), by_value);
	return sorted[ROUNDS / 2];
}

static size_t equal_sums(const struct tree *tree, const struct sum *sums)
{
	size_t equal = 0;

	for (size_t i = 0; i < tree->count; i++) {
		if (!memcmp(&sums[i], &tree->files[i].sum, sizeof(sums[i])))
			equal++;
		else
			printf("differs       %s\n", tree->files[i].name);
	}
	return equal;
}

/* What ran it all: of that depends how long it took. */
static void print_machine(void)
{
	const char *accel = getenv("NPHEAP_ACCEL");
	struct utsname name;

	uname(&name);
	printf("kernel        %s, %s, %ld processors%s%s\n", name.release,
	       name.machine, sysconf(_SC_NPROCESSORS_ONLN),
	       accel ? ", in QEMU: " : "", accel ? accel : "");
}

static void print_story(const struct tree *tree, const struct story *story,
			unsigned int producers, unsigned int consumers,
			size_t equal)
{
	print_machine();
	printf("files         %zu\n", tree->count);
	printf("bytes         %llu\n", (unsigned long long)tree->bytes);
	printf("producers     %u, loaded all in %.3f s and exited\n",
	       producers, story->load_seconds);
	printf("killed        %u: process %d, by SIGKILL, half-way through %s,"
	       " holding its lock\n", story->killed, (int)story->victim,
	       story->file);
	printf("taken over    %u: by process %d\n", story->taken_over,
	       (int)story->heir);
	printf("consumers     %u, started then, found and hashed all in"
	       " %.3f s\n", consumers, story->find_seconds);
	printf("sums equal    %zu of %zu, to sha256sum's of the originals\n",
	       equal, tree->count);
}

static void print_comparison(const struct comparison *comparison,
			     unsigned int producers, unsigned int consumers)
{
	printf("\nThe same files from %u producers to %u consumers at work"
	       " together: seconds from the\nfirst read of a file on tmpfs to"
	       " the last byte consumed, median of %d\n"
	       "npheap and tmpfs: a new object or file each;"
	       " npheap-pool: objects used again\n\n",
	       producers, consumers, ROUNDS);
	printf("%-12s %20s %20s\n", "", "every byte read once",
	       "SHA-256 computed");
	for (unsigned int t = 0; t < COMPARED; t++)
		printf("%-12s %20.3f %20.3f\n", compared[t]->name,
		       median(comparison->seconds[READ][t]),
		       median(comparison->seconds[HASH][t]));
}

/* True if what the demonstration promises is what happened. */
static bool print_verdict(const struct tree *tree, const struct story *story,
			  size_t equal)
{
	bool good = equal == tree->count && story->killed == 1 &&
		    story->taken_over == 1;

	printf("\n%s: %zu of %zu files arrived whole, though %u of the"
	       " producers was killed\n", good ? "passed" : "FAILED", equal,
	       tree->count, story->killed);
	return good;
}

/* The run */

struct settings {
	unsigned int producers;
	unsigned int consumers;
	const char *directory;
};

static int failed(const char *what, int err)
{
	progress_end();
	fprintf(stderr, "demo: %s: %s\n", what, strerror(-err));
	return 1;
}

static int prepare(const struct settings *settings, struct tree *tree)
{
	int err;

	if (chdir(settings->directory))
		return failed(settings->directory, -errno);
	err = tree_list(tree);
	if (err)
		return failed(settings->directory, err);
	err = tree_copy(tree, settings->producers);
	if (err)
		return failed("copy", err);
	err = tree_sum(tree);
	return err ? failed("sha256sum", err) : 0;
}

static int share(const struct settings *settings, const struct tree *tree,
		 struct story *story, struct sum *sums)
{
	int err;

	heap_clear(tree);		/* of a demo that was killed */
	err = heap_load(tree, settings->producers, story);
	if (err)
		return failed("producers", err);
	err = heap_sum(tree, settings->consumers, sums, story);
	return err ? failed("consumers", err) : 0;
}

static int report(const struct settings *settings, const struct tree *tree,
		  const struct story *story, const struct sum *sums)
{
	struct comparison comparison;
	size_t equal = equal_sums(tree, sums);
	int err = compare(tree, settings->producers, settings->consumers,
			  &comparison);

	progress_end();
	print_story(tree, story, settings->producers, settings->consumers,
		    equal);
	if (err)
		return failed("comparison", err);
	print_comparison(&comparison, settings->producers,
			 settings->consumers);
	return !print_verdict(tree, story, equal);
}

static int run(const struct settings *settings)
{
	struct story story = { 0 };
	struct tree tree = { 0 };
	size_t sums_size = 0;
	struct sum *sums;
	int status = prepare(settings, &tree);

	if (!status) {
		sums_size = tree.count * sizeof(*sums);
		sums = shared_alloc(sums_size);
		status = sums ? share(settings, &tree, &story, sums) :
				failed("memory", -errno);
		heap_clear(&tree);
		if (!status)
			status = report(settings, &tree, &story, sums);
	}
	tree_free(&tree);
	return status;
}

static const char usage_text[] =
"usage: demo [OPTION]... DIRECTORY\n"
"Share the files of a directory between processes through npheap.\n"
"\n"
"  -p, --producers N   processes, 2 to 16 (4): one of them gets killed\n"
"  -c, --consumers N   processes, 1 to 16 (4)\n"
"  -h, --help          print this text\n"
"\n"
"A progress bar is shown where standard error is a terminal or\n"
"NPHEAP_PROGRESS is 1.\n"
"\n"
"Exit status: 0, 1 (a sum differs, or it could not run), 2 (usage).\n";

static unsigned int count(int option, long low)
{
	char *end;
	long number = strtol(optarg, &end, 10);

	if (*optarg && !*end && number >= low && number <= CHANNEL_WORKERS)
		return (unsigned int)number;
	fprintf(stderr, "demo: -%c must be %ld to %d, not '%s'\n", option, low,
		CHANNEL_WORKERS, optarg);
	exit(2);
}

static void parse(int argc, char **argv, struct settings *settings)
{
	static const struct option options[] = {
		{ "producers", required_argument, NULL, 'p' },
		{ "consumers", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "p:c:h", options,
				     NULL)) != -1) {
		if (option == 'p') {
			settings->producers = count(option, 2);
		} else if (option == 'c') {
			settings->consumers = count(option, 1);
		} else if (option == 'h') {
			fputs(usage_text, stdout);
			exit(0);
		} else {
			/* It has been named. */
			exit(2);
		}
	}
	if (optind + 1 != argc) {
		fputs("demo: one DIRECTORY is needed; see --help\n", stderr);
		exit(2);
	}
	settings->directory = argv[optind];
}

int main(int argc, char **argv)
{
	struct settings settings = { .producers = 4, .consumers = 4 };

	parse(argc, argv, &settings);
	if (crew_init())
		return perror("demo"), 1;
	return run(&settings);
}
