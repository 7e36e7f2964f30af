// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "compare/bench.h"
#include "compare/meter.h"
#include "compare/shuffle.h"
#include "compare/supervise.h"
#include "progress.h"

#define ROUNDS_INSTRUCTIONS 5
#define ROUNDS_TIME 15
/* Fewer, where a table would take longer than so many instructions or ns. */
#define ROUNDS_AT_LEAST 3
#define TABLE_INSTRUCTIONS 3e9
#define TABLE_TIME 15e9
/* Of a bench that takes samples, all rounds together. */
#define MOST_SAMPLES (1 << 20)
/*
 * A round is made in parts, each in another state of the kernel.  A part shall
 * be as long as a timer tick is apart from the next, in instructions or ns, so
 * that each has one; single operations that are timed one by one need less.
 */
#define PARTS 8
#define PART 4e6
#define PART_ONE_BY_ONE 1e6
#define MOST_LOOPS 100000
/* Operations that are counted with all meters on. */
#define COUNTED 16

int instructions;
size_t page;
struct options options;

static const struct suite *suite;

uint64_t random_number(void)
{
	static uint64_t x = 0x2545f4914f6cdd1dULL;

	/* xorshift64, G. Marsaglia, "Xorshift RNGs", 2003 */
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* ---------------------------------------------------------------- the file */

static void print_cpu(void)
{
	char line[256];
	FILE *file = fopen("/proc/cpuinfo", "re");

	while (file && fgets(line, sizeof(line), file)) {
		char *model = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !model)
			continue;
		printf("# cpu: %s", model + 2);
		break;
	}
	if (file)
		fclose(file);
}

static void print_file_head(void)
{
	struct utsname name;

	uname(&name);
	printf("# kernel: %s %s\n", name.release, name.machine);
	print_cpu();
	printf("# processors: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	printf("# mode: %s\n", instructions ?
	       "instructions (of all processes and the kernel, one processor)" :
	       "time (ratios of alternated repetitions)");
	puts("suite,case,system,size,processes,metric,unit,value,runs,min,max");
}

/* Four digits mean something, also of a small ratio. */
static void print_number(double value)
{
	printf(fabs(value) >= 1000 ? ",%.0f" : ",%.4g", value);
}

static void print_row(const struct bench *b, const char *system,
		      const char *metric, const char *of, const double *values,
		      unsigned int n, double value)
{
	double min = values[0], max = values[0];
	unsigned int i;

	for (i = 1; i < n; i++) {
		min = fmin(min, values[i]);
		max = fmax(max, values[i]);
	}
	printf("%s,%s,%s,%llu,%u,%s,%s", suite->name, b->name, system,
	       (unsigned long long)b->size, b->processes ? b->processes : 1,
	       metric, of);
	print_number(value);
	printf(",%u", n);
	print_number(min);
	print_number(max);
	putchar('\n');
}

/* ---------------------------------------------------------------- one bench */

static void nothing(struct bench *b)
{
	__asm__ volatile("" : : "r"(b) : "memory");
}

static double measure_ops(struct bench *b, unsigned int n)
{
	uint64_t began = stamp();
	unsigned int i;

	for (i = 0; i < n; i++)
		b->op(b);
	return (double)(stamp() - began) / n;
}

/*
 * The median: what the kernel has put off, and does whenever it likes, would
 * be billed to whichever step it hits.  A case that spans a whole life has it.
 */
static double measure_each_op(struct bench *b, unsigned int n)
{
	static double took[MOST_LOOPS];
	uint64_t began;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (b->prepare)
			b->prepare(b);
		began = stamp();
		b->op(b);
		took[i] = stamp() - began;
		if (b->undo)
			b->undo(b);
	}
	return median(took, n);
}

static int one_by_one(const struct bench *b)
{
	return b->prepare || b->undo;
}

/* What measuring costs by itself: a call, and where they are apart two stamps. */
static double overhead_of(const struct bench *b)
{
	static double overhead[2] = { -1, -1 };
	struct bench empty = { .op = nothing };
	int i = one_by_one(b);

	if (overhead[i] < 0)
		overhead[i] = i ? measure_each_op(&empty, 1000) :
				  measure_ops(&empty, 1000);
	return overhead[i];
}

/* Of one operation, where @n of them are done. */
static double measure(struct bench *b, unsigned int n)
{
	double took;

	alive();
	if (b->run) {
		took = b->run(b, n);
		return b->value ? took : took / n;
	}
	took = one_by_one(b) ? measure_each_op(b, n) : measure_ops(b, n);
	return fmax(took - overhead_of(b), 0);
}

static double mean(const double *took, unsigned int n)
{
	double sum = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		sum += took[i];
	return sum / n;
}

static double measure_round(struct bench *b)
{
	unsigned int parts = b->run || b->loops < PARTS ? 1 : PARTS;
	double took[PARTS];
	unsigned int i;

	rest();
	for (i = 0; i < parts; i++) {
		shuffle();
		took[i] = measure(b, b->loops / parts);
	}
	/* One by one each is a median already, of which a state has its own. */
	return one_by_one(b) ? mean(took, parts) : median(took, parts);
}

/* Its samples do not count: the others have only one measurement, too. */
static double measure_again(struct bench *b)
{
	size_t n_samples = b->n_samples;
	double took = measure_round(b);

	b->n_samples = n_samples;
	return took;
}

void sample(struct bench *b, double took)
{
	if (!b->samples) {
		b->samples = malloc(MOST_SAMPLES * sizeof(*b->samples));
		check(!!b->samples, "memory for samples");
	}
	if (b->n_samples < MOST_SAMPLES)
		b->samples[b->n_samples++] = took;
}

static void print_percentiles(struct bench *b)
{
	/* Two samples of those that are fewer lie beyond the percentile. */
	static const struct { int percent; size_t least; } percentiles[] = {
		{ 50, 1 }, { 90, 20 }, { 99, 200 },
	};
	char metric[32];
	size_t i;

	/* Sorts them. */
	median(b->samples, b->n_samples);
	for (i = 0; i < COUNT(percentiles); i++) {
		size_t at = (b->n_samples - 1) * percentiles[i].percent / 100;

		if (b->n_samples < percentiles[i].least)
			break;
		snprintf(metric, sizeof(metric), "%s-p%d",
			 instructions ? "instructions" : "time",
			 percentiles[i].percent);
		print_row(b, b->system, metric, instructions ? "instr" : "ns",
			  b->samples, b->n_samples, b->samples[at]);
	}
}

/* ---------------------------------------------------------------- counting */

static int counts_payload(const struct bench *b)
{
	return b->copies && !options.no_payload;
}

static struct meters count(struct bench *b, unsigned int n)
{
	unsigned int i;

	alive();
	if (b->run) {
		meters_start(counts_payload(b));
		b->run(b, n);
		return meters_stop();
	}
	meters_start(counts_payload(b));
	for (i = 0; i < n; i++) {
		if (b->prepare) {
			meters_pause();
			b->prepare(b);
			meters_resume();
		}
		b->op(b);
		if (b->undo) {
			meters_pause();
			b->undo(b);
			meters_resume();
		}
	}
	return meters_stop();
}

static void print_count(struct bench *b, const char *metric, const char *of,
			double few, double many, unsigned int n)
{
	double value = (many - few) / n;

	if (!isnan(value))
		print_row(b, b->system, metric, of, &value, 1, value);
}

/*
 * Of processes that are started for it, twice as many and the difference: what
 * their start adds is out.
 */
static void print_counts(struct bench *b)
{
	unsigned int n = !b->run && b->loops > COUNTED ? COUNTED : b->loops;
	struct meters none = { 0 }, m = count(b, n);

	if (b->run) {
		none = m;
		m = count(b, 2 * n);
	}
	print_count(b, "system-calls", "calls", none.calls, m.calls, n);
	print_count(b, "page-faults", "faults", none.faults, m.faults, n);
	if (counts_payload(b))
		print_count(b, "payload-copied", "bytes", none.copied, m.copied, n);
}

/* --------------------------------------------------------------- the table */

static unsigned int done, total;
static int dry;

static int wanted(const struct bench *b)
{
	char name[256];
	char **only;

	if (!options.only)
		return 1;
	snprintf(name, sizeof(name), "%s/%s/%llu", suite->name, b->name,
		 (unsigned long long)b->size);
	for (only = options.only; *only; only++)
		if (!fnmatch(*only, name, 0))
			return 1;
	return 0;
}

static void list_case(const struct bench *b)
{
	printf("%s/%s/%llu\n", suite->name, b->name,
	       (unsigned long long)b->size);
}

/* The first is what the ratios are to. */
static int wanted_system(const struct bench *b, int first)
{
	return first || !options.system ||
	       !fnmatch(options.system, b->system, FNM_EXTMATCH);
}

/* Each system is complained about once for the same reason, where it begins. */
static void leave_out(const struct bench *b, int err)
{
	static struct left_out {
		const char *system;
		int err;
	} left_out[2 * BENCHES];
	size_t i;

	if (err == -ENODATA)
		return;
	for (i = 0; i < 2 * BENCHES && left_out[i].system; i++)
		if (!strcmp(left_out[i].system, b->system) &&
		    left_out[i].err == err)
			return;
	if (i < 2 * BENCHES)
		left_out[i] = (struct left_out){ b->system, err };
	printf("# left out: %s, from %s/%s/%llu: %s\n", b->system, suite->name,
	       b->name, (unsigned long long)b->size, strerror(-err));
}

/* Those that the machine has, in order. */
static size_t set_up(struct bench *benches, size_t n)
{
	size_t i, kept = 0;

	for (i = 0; i < n; i++) {
		int err;

		if (!wanted_system(&benches[i], !i))
			continue;
		alive();
		err = benches[i].setup ? benches[i].setup(&benches[i]) : 0;
		if (err)
			leave_out(&benches[i], err);
		else
			benches[kept++] = benches[i];
	}
	return kept;
}

static int once(const struct bench *b)
{
	return b->value && b->rounds == 1;
}

static unsigned int most_rounds(const struct bench *b)
{
	if (once(b))
		return 1;
	if (options.rounds)
		return options.rounds;
	if (b->rounds)
		return b->rounds;
	return instructions ? ROUNDS_INSTRUCTIONS : ROUNDS_TIME;
}

static int is_late(uint64_t began)
{
	return !options.rounds &&
	       stamp() - began > (instructions ? TABLE_INSTRUCTIONS : TABLE_TIME);
}

/* Of the table, and how many rounds there were. */
static double values[BENCHES + 1][MOST_ROUNDS];
static unsigned int rounds;

/* All that it does, what is not measured too, is to take as long as a round. */
static void choose_loops(struct bench *b)
{
	double round = PARTS * (one_by_one(b) ? PART_ONE_BY_ONE : PART);
	uint64_t began = stamp();

	measure(b, 1);
	if (stamp() - began < round) {
		/* The first one of all takes longer than the others. */
		began = stamp();
		measure(b, 1);
	}
	b->loops = fmin(fmax(round / (stamp() - began), 1), MOST_LOOPS);
}

static void warm_up(struct bench *b)
{
	if (!b->loops)
		choose_loops(b);
	if (b->rounds != 1 && (b->loops > 1 || b->run))
		measure(b, b->loops);
	b->n_samples = 0;
}

static void measure_in_turn(struct bench *benches, size_t n)
{
	uint64_t began = stamp();
	size_t i;

	if (once(benches)) {
		rounds = 1;
		for (i = 0; i < n; i++)
			values[i][0] = measure(&benches[i], 1);
		return;
	}
	for (i = 0; i < n; i++)
		warm_up(&benches[i]);
	for (rounds = 0; rounds < most_rounds(benches); rounds++) {
		if (rounds >= ROUNDS_AT_LEAST && is_late(began))
			break;
		for (i = 0; i < n; i++)
			values[i][rounds] = measure_round(&benches[i]);
		values[n][rounds] = measure_again(&benches[0]);
	}
}

/* What is too little to be measured in one round is nothing to compare with. */
static int divides(const double *base)
{
	unsigned int r;

	for (r = 0; r < rounds; r++)
		if (!base[r])
			return 0;
	return 1;
}

/* @i may be @n, which is bench 0 again. */
static void print_values(struct bench *benches, size_t n, size_t i)
{
	const struct bench *b = &benches[i % n];
	double ratio[MOST_ROUNDS], sorted[MOST_ROUNDS];
	const char *metric, *of;
	char system[64];
	unsigned int r;
	double middle;

	for (r = 0; r < rounds; r++) {
		sorted[r] = values[i][r];
		ratio[r] = values[i][r] / values[0][r];
	}
	metric = b->value ? b->value : instructions ? "instructions" : "time";
	of = b->value ? b->unit : instructions ? "instr" : "ns";
	snprintf(system, sizeof(system), "%s%s", b->system,
		 i == n ? "-again" : "");
	middle = median(sorted, rounds);
	print_row(b, system, metric, of, sorted, rounds, middle);
	if (b->result && i < n)
		*b->result = middle;
	if (!once(benches) && divides(values[0]))
		print_row(b, system, "ratio", benches[0].system, ratio, rounds,
			  median(ratio, rounds));
}

void compare(struct bench *benches, size_t n)
{
	size_t i;

	errno = E2BIG;
	check(n && n <= BENCHES, "systems in one table");
	if (!wanted(&benches[0]))
		return;
	if (dry) {
		total++;
		if (options.list)
			list_case(&benches[0]);
		return;
	}
	progress(suite->name, done++, total);
	n = set_up(benches, n);
	if (!n)
		return;
	/* Processes that a run starts have places of their own. */
	pin_to(benches[0].run ? -1 : 0);
	measure_in_turn(benches, n);
	for (i = 0; i < n + !once(benches); i++)
		print_values(benches, n, i);
	for (i = 0; i < n; i++) {
		if (benches[i].samples)
			print_percentiles(&benches[i]);
		if (!benches[i].value && !benches[i].partly)
			print_counts(&benches[i]);
		free(benches[i].samples);
	}
	for (i = 0; i < n; i++) {
		alive();
		if (benches[i].teardown)
			benches[i].teardown(&benches[i]);
	}
	fflush(stdout);
}

/* --------------------------------------------------------------------- all */

static void run_suites(const struct suite *const *suites)
{
	for (; *suites; suites++) {
		suite = *suites;
		suite->run();
	}
}

int bench_all(const struct suite *const *suites)
{
	page = sysconf(_SC_PAGESIZE);
	choose_clock();
	instructions = stamp != now_ns;
	dry = 1;
	run_suites(suites);
	/* A suite may have nothing to say in a mode. */
	if (!total && options.only) {
		fprintf(stderr, "compare: there is no such case\n");
		return 2;
	}
	if (options.list)
		return 0;
	dry = 0;
	print_file_head();
	run_suites(suites);
	progress_end();
	return 0;
}
