// SPDX-License-Identifier: GPL-2.0-or-later
/* Random operations on the heap, checked; torture.h says what is where. */
#include <getopt.h>
#include <inttypes.h>

#include "torture.h"

/* clang-format off */
static const char usage[] =
"usage: torture [OPTION]...\n"
"\n"
"Random operations on " NPHEAP_DEVICE ", checked: sequences of one thread whose\n"
"every result a model foretells; many threads and processes, some of which are\n"
"killed, with what holds whatever they do; and histories of a few calls, which\n"
"must be linearizable.  Needs root.\n"
"\n"
"  --seconds N      so long, a third for each mode (default 20)\n"
"  --operations N   so many, half of them in sequences, however long that takes\n"
"  --seed N         the same once more; a run prints its own\n"
"  --single         sequences only\n"
"  --crowd          many threads and processes only\n"
"  --history        histories of few calls only, which are put in order\n"
"  --processes N    so many in the crowd, 16 at most (default 4)\n"
"  --threads N      so many of them all together (default 12); above 256 all of\n"
"                   them count under a few locks once, and nothing else is done\n"
"  --replay FILE    the sequence that a failure printed\n"
"  --out DIR        where each sequence is written before it runs, torture.single,\n"
"                   for --replay where the kernel dies of it (default: OUT of the\n"
"                   environment; none if that is not set)\n"
"  -h, --help       print this text\n"
"\n"
"Exit status: 0 all as it must be, 1 something was not, 2 bad arguments.\n";
/* clang-format on */

/* More threads than these do not torture, but count. */
#define MAX_CROWD (CROWD_PROCESSES * CROWD_THREADS)

/* Histories have no number of operations to reach. */
#define HISTORY_MS 120000

struct settings {
	uint64_t seed;
	uint64_t operations;
	long long ms;
	bool single;
	bool crowd;
	bool history;
	unsigned int processes;
	unsigned int threads;
	const char *replay;
	const char *out;
};

static int parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "operations", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 'S' },
		{ "single", no_argument, NULL, '1' },
		{ "crowd", no_argument, NULL, 'c' },
		{ "history", no_argument, NULL, 'H' },
		{ "processes", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ "replay", required_argument, NULL, 'r' },
		{ "out", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			s->ms = strtoull(optarg, NULL, 0) * 1000;
			break;
		case 'n':
			s->operations = strtoull(optarg, NULL, 0);
			s->ms = INT64_MAX / 2;
			break;
		case 'S':
			s->seed = strtoull(optarg, NULL, 0);
			break;
		case '1':
			s->single = true;
			break;
		case 'c':
			s->crowd = true;
			break;
		case 'H':
			s->history = true;
			break;
		case 'p':
			s->processes = strtoul(optarg, NULL, 0);
			break;
		case 't':
			s->threads = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			s->replay = optarg;
			break;
		case 'o':
			s->out = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return -1;
		}
	}
	if (optind != argc || !s->processes ||
	    s->processes > CROWD_PROCESSES || s->threads < s->processes)
		return -1;
	if (s->threads <= MAX_CROWD && s->threads / s->processes > CROWD_THREADS)
		return -1;
	return 0;
}

static int run_single(const struct settings *s, uint64_t operations,
		      long long ms)
{
	long long start = now_ms();
	int rc = single_run(s->seed, operations, ms, s->out);

	printf("# single: %" PRIu64 " operations in %lld ms, each %s\n",
	       single_checked, now_ms() - start,
	       rc ? "but one as the model says" : "as the model says");
	return rc;
}

static int run_crowd(const struct settings *s, uint64_t operations,
		     long long ms)
{
	long long start = now_ms();
	struct crowd_result result = { 0 };
	int rc = crowd_run(s->seed, s->processes, s->threads / s->processes,
			   operations, ms, &result);

	printf("# crowd: %" PRIu64 " operations, %" PRIu64 " kills in %lld ms%s\n",
	       result.operations, result.kills, now_ms() - start,
	       rc ? ": FAILED" : "");
	return rc;
}

static int run_history(const struct settings *s, long long ms)
{
	long long start = now_ms();
	struct history_result result = { 0 };
	int rc = history_run(s->seed, ms, &result);

	printf("# history: %" PRIu64 " histories, %" PRIu64 " calls, %" PRIu64 " kills in %lld ms%s\n",
	       result.histories, result.operations, result.kills,
	       now_ms() - start, rc ? ": FAILED" : "");
	return rc;
}

static int run(const struct settings *s)
{
	bool all = !s->single && !s->crowd && !s->history;
	uint64_t operations = all ? s->operations / 2 : s->operations;
	long long ms = all ? s->ms / 3 : s->ms;
	int rc = 0;

	if (s->threads > MAX_CROWD)
		return many_run(s->processes, s->threads);
	printf("# seed %" PRIu64 "\n", s->seed);
	if (all || s->history)
		rc = run_history(s, ms < HISTORY_MS ? ms : HISTORY_MS);
	if (!rc && (all || s->single))
		rc = run_single(s, operations, ms);
	if (!rc && (all || s->crowd))
		rc = run_crowd(s, operations, ms);
	return rc;
}

int main(int argc, char **argv)
{
	struct settings s = {
		.seed = now_ms(), .operations = UINT64_MAX, .ms = 20000,
		.processes = 4, .threads = 12, .out = getenv("OUT"),
	};

	/* What the operation exec runs. */
	if (argc == 2 && !strcmp(argv[1], "--nothing"))
		return 0;
	if (parse(argc, argv, &s)) {
		fputs(usage, stderr);
		return 2;
	}
	if (test_open())
		return perror(NPHEAP_DEVICE), 1;
	return s.replay ? single_replay(s.replay) : run(&s);
}
