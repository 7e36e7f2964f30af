// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The programs that took edges which none had taken before; in the end the
 * fewest and shortest of them that take these edges again.
 */
#include "fuzz.h"

/* -------------------------------------------------------------- as it is -- */

/* Workers add at the same time; an entry without a length is not there yet. */
void corpus_add(const struct fuzz_program *program)
{
	uint32_t n = atomic_fetch_add(&fuzz->corpus_length, 1);

	if (n < FUZZ_CORPUS)
		fuzz_copy(&fuzz->corpus[n], program);
	else
		fuzz->corpus_length = FUZZ_CORPUS;
}

const struct fuzz_program *corpus_any(struct dice *dice)
{
	uint32_t length = fuzz->corpus_length;
	const struct fuzz_program *program;

	if (!length)
		return NULL;
	if (length > FUZZ_CORPUS)
		length = FUZZ_CORPUS;
	program = &fuzz->corpus[dice_roll(dice, length)];
	return program->length ? program : NULL;
}

int corpus_load(const char *path)
{
	FILE *file = fopen(path, "re");
	struct fuzz_program program;
	int rc, count = 0;

	if (!file)
		return perror(path), -1;
	while ((rc = fuzz_parse(file, &program)) > 0) {
		corpus_add(&program);
		count++;
	}
	fclose(file);
	if (rc < 0)
		printf("# %s: program %d has a line that is no call\n", path,
		       count + 1);
	return rc < 0 ? -1 : count;
}

/* --------------------------------------------------------------- smaller -- */

/* So often has an edge to be taken, so that none is there by chance. */
#define RUNS 2

/* So long it may take; what is left then is written as it is. */
#define SAVE_MS 60000

static long long deadline;

typedef uint8_t edges_t[FUZZ_EDGES / 8];


static void see(uint32_t edge, void *arg)
{
	uint8_t *edges = arg;

	edges[edge / 8] |= 1 << edge % 8;
}

static void run_once(const struct fuzz_program *program, edges_t edges)
{
	int i;

	memset(edges, 0, sizeof(edges_t));
	fuzz_run(program, false);
	for (i = 0; i < FUZZ_THREADS; i++)
		cover_edges(&fuzz_threads[i], see, edges);
}

/* The edges that each of some runs takes. */
static void run_often(const struct fuzz_program *program, edges_t edges)
{
	edges_t again;
	size_t i;
	int n;

	run_once(program, edges);
	for (n = 1; n < RUNS; n++) {
		run_once(program, again);
		for (i = 0; i < sizeof(again); i++)
			edges[i] &= again[i];
	}
}

static unsigned int count_new(const edges_t edges, const edges_t covered)
{
	unsigned int count = 0;
	size_t i;

	for (i = 0; i < sizeof(edges_t); i++)
		count += __builtin_popcount(edges[i] & ~covered[i]);
	return count;
}

static bool is_within(const edges_t edges, const edges_t others)
{
	return !count_new(edges, others);
}

/* What is left without @count calls from @start on. */
static void without(const struct fuzz_program *program, unsigned int start,
		    unsigned int count, struct fuzz_program *rest)
{
	fuzz_copy(rest, program);
	while (count-- && rest->length > start)
		fuzz_remove(rest, start);
}

/* Leaves out eight calls, then four, and so on, if all of @needed is taken. */
static void make_smaller(struct fuzz_program *program, const edges_t needed)
{
	struct fuzz_program rest;
	unsigned int chunk, start;
	edges_t edges;

	for (chunk = 8; chunk; chunk /= 2) {
		start = 0;
		while (start < program->length && now_ms() < deadline) {
			without(program, start, chunk, &rest);
			run_often(&rest, edges);
			if (rest.length && is_within(needed, edges))
				fuzz_copy(program, &rest);
			else
				start += chunk;
		}
	}
}

/* Of all programs the one with most edges that are not covered; -1: none. */
static int richest(edges_t *edges, uint32_t length, const edges_t covered)
{
	unsigned int most = 0, count;
	uint32_t i;
	int best = -1;

	for (i = 0; i < length; i++) {
		count = count_new(edges[i], covered);
		if (count > most) {
			most = count;
			best = i;
		}
	}
	return best;
}

static void write_program(FILE *file, const struct fuzz_program *program)
{
	char text[FUZZ_TEXT];

	fwrite(text, fuzz_print(program, text), 1, file);
	fflush(file);
}

static void write_smallest(FILE *file, edges_t *edges, uint32_t length)
{
	edges_t covered = { 0 }, needed;
	size_t i;
	int n;

	while ((n = richest(edges, length, covered)) >= 0) {
		for (i = 0; i < sizeof(needed); i++)
			needed[i] = edges[n][i] & ~covered[i];
		make_smaller(&fuzz->corpus[n], needed);
		write_program(file, &fuzz->corpus[n]);
		for (i = 0; i < sizeof(needed); i++)
			covered[i] |= edges[n][i];
	}
}

int corpus_save(void *path)
{
	uint32_t length = fuzz->corpus_length, i;
	FILE *file = fopen(path, "we");
	edges_t *edges;

	if (!file)
		return perror(path), 1;
	if (length > FUZZ_CORPUS)
		length = FUZZ_CORPUS;
	fputs("# SPDX-License-Identifier: GPL-2.0-or-later\n"
	      "# Programs of validate/fuzz, which wrote this: --save.\n\n",
	      file);
	deadline = now_ms() + SAVE_MS;
	edges = calloc(length, sizeof(*edges));
	child_check(edges);
	fuzz_threads_start(0);
	for (i = 0; i < length; i++)
		if (fuzz->corpus[i].length)
			run_often(&fuzz->corpus[i], edges[i]);
	write_smallest(file, edges, length);
	free(edges);
	return fclose(file) ? 1 : 0;
}
