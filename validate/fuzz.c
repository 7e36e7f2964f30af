// SPDX-License-Identifier: GPL-2.0-or-later
/* A coverage-guided fuzzer of /dev/npheap; fuzz.h says what is where. */
#include <getopt.h>
#include <inttypes.h>

#include "fuzz.h"

/* clang-format off */
static const char usage[] =
"usage: fuzz [OPTION]...\n"
"\n"
"Calls on " NPHEAP_DEVICE " with any arguments, in any order, from several threads\n"
"and processes.  Where the kernel has KCOV, what takes a new path through the\n"
"module is kept and built on.  Fails where the kernel reports a fault, a call\n"
"fails with an error that it may not have, something is left in the end, or the\n"
"calls were not what a test is made of (see the end of what it prints).\n"
"Needs root, and keeps other users of the heap from their work.\n"
"\n"
"  --seconds N      so long (default 20)\n"
"  --calls N        so many, however long that takes\n"
"  --seed N         where the choices begin; a run prints its own.  What follows\n"
"                   also depends on how fast which worker is\n"
"  --workers N      so many processes, 8 at most (default 3)\n"
"  --corpus FILE    programs to begin with\n"
"  --save FILE      write the fewest and shortest that take the same paths\n"
"  --replay FILE    run the programs of a file, and print what calls return\n"
"  --times N        replay them so many times\n"
"  --out DIR        where each worker writes what it is about to run, fuzz.0 and\n"
"                   so on, and what took new paths, found.0 and so on, all for\n"
"                   --replay (default: OUT of the environment, or here)\n"
"  -h, --help       print this text\n"
"\n"
"Exit status: 0 no fault was found, 1 one was, 2 bad arguments.\n";
/* clang-format on */

/* So long may a program take.  The longest waits are made to give up. */
#define PROGRAM_MS 120000
#define REPORT_MS 30000

/* What the heap may have: little, as limits shall be reached, and soon. */
#define MAX_BYTES (32LL << 20)
#define MAX_SPARSE (8LL << 30)

/* What calls have to be, in percent, and objects at any time. */
#define MIN_SUCCESS 30
#define MIN_SHARE 1
#define MIN_OBJECTS 1000
/* Of fewer calls the shares of single kinds are a matter of luck. */
#define MIN_SAMPLE 100000

/* After so many failures it stops. */
#define MAX_FAILURES 20

struct fuzz_shared *fuzz;

static pid_t pids[FUZZ_WORKERS];
static struct fuzz_work work[FUZZ_WORKERS];
static long long least_objects = INT64_MAX, most_objects;

/* --------------------------------------------------------------- options -- */

static int parse(int argc, char **argv, struct fuzz_settings *s)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "calls", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 'S' },
		{ "workers", required_argument, NULL, 'w' },
		{ "corpus", required_argument, NULL, 'c' },
		{ "save", required_argument, NULL, 'm' },
		{ "replay", required_argument, NULL, 'r' },
		{ "times", required_argument, NULL, 't' },
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
			s->calls = strtoull(optarg, NULL, 0);
			s->ms = INT64_MAX / 2;
			break;
		case 'S':
			s->seed = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			s->workers = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			s->corpus = optarg;
			break;
		case 'm':
			s->save = optarg;
			break;
		case 'r':
			s->replay = optarg;
			break;
		case 't':
			s->times = strtoul(optarg, NULL, 0);
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
	return optind == argc && s->workers && s->workers <= FUZZ_WORKERS ? 0 :
									    -1;
}

/* ---------------------------------------------------------------- faults -- */

static int complain(const char *what)
{
	printf("# %s\n", what);
	return 1;
}

/* The kernel marks itself where it found a fault, once for each kind. */
static long long taint(void)
{
	return read_number("/proc/sys/kernel/tainted");
}

static int look_at_programs(const struct fuzz_settings *s)
{
	long long since;
	unsigned int i;

	for (i = 0; i < s->workers; i++) {
		since = fuzz->batches[i].since;
		if (since && now_ms() - since > PROGRAM_MS)
			return complain("a program does not end");
	}
	return 0;
}

/* --------------------------------------------------------------- workers -- */

static void start_worker(const struct fuzz_settings *s, unsigned int i)
{
	work[i].settings = s;
	work[i].worker = i;
	pids[i] = spawn(fuzz_worker, &work[i]);
	work[i].life++;
}

static void reap(const struct fuzz_settings *s, unsigned int i, bool again)
{
	int status = 0;

	if (pids[i] <= 0 || waitpid(pids[i], &status, WNOHANG) != pids[i])
		return;
	pids[i] = 0;
	if (status) {
		printf("# worker %u ended with status %#x\n", i, status);
		fuzz->failures++;
	}
	if (again)
		start_worker(s, i);
}

static void reap_all(const struct fuzz_settings *s, bool again)
{
	unsigned int i;

	for (i = 0; i < s->workers; i++)
		reap(s, i, again);
}

static bool any_left(const struct fuzz_settings *s)
{
	unsigned int i;

	for (i = 0; i < s->workers; i++)
		if (pids[i] > 0)
			return true;
	return false;
}

/* They end with the batch's program that runs. */
static int stop_workers(const struct fuzz_settings *s)
{
	long long limit = now_ms() + PROGRAM_MS;
	unsigned int i;
	int rc = 0;

	fuzz->stop = 1;
	while (any_left(s) && now_ms() < limit) {
		sleep_ms(20);
		reap_all(s, false);
	}
	if (any_left(s))
		rc = complain("a worker does not end");
	for (i = 0; i < s->workers; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
	return rc;
}

/* --------------------------------------------------------------- figures -- */

static uint64_t sum(const _Atomic uint64_t *counts)
{
	uint64_t all = 0;
	unsigned int i;

	for (i = 0; i < fuzz_type_count(); i++)
		all += counts[i];
	return all;
}

static void count_objects(void)
{
	long long objects = heap_stat("objects");

	if (objects < least_objects)
		least_objects = objects;
	if (objects > most_objects)
		most_objects = objects;
}

static void print_progress(long long started)
{
	uint64_t calls = sum(fuzz->calls);
	long long ms = now_ms() - started + 1;

	printf("# %lld s: %" PRIu64 " calls, %lld/s, %" PRIu64 " programs, "
	       "corpus %u, edges %u, objects %lld\n",
	       ms / 1000, calls, (long long)(calls * 1000 / ms),
	       (uint64_t)fuzz->programs, fuzz->corpus_length, fuzz->edge_count,
	       heap_stat("objects"));
}

static double percent(uint64_t part, uint64_t all)
{
	return all ? 100.0 * part / all : 0;
}

static int judge_type(unsigned int what, uint64_t all)
{
	uint64_t calls = fuzz->calls[what], good = fuzz->succeeded[what];

	printf("# %-12s %10" PRIu64
	       " calls, %4.1f %% of all, %5.1f %% succeed\n",
	       fuzz_type(what)->name, calls, percent(calls, all),
	       percent(good, calls));
	return all >= MIN_SAMPLE && (percent(calls, all) < MIN_SHARE ||
				     percent(good, calls) < MIN_SHARE);
}

/* A fuzzer that is refused at each door has tested the doors only. */
static int judge_shares(void)
{
	uint64_t all = sum(fuzz->calls), good = sum(fuzz->succeeded);
	unsigned int what;
	int rc = 0;

	for (what = 0; what < fuzz_type_count(); what++)
		if (judge_type(what, all))
			rc = complain("that is less than 1 %");
	printf("# %" PRIu64 " calls, %.1f %% succeed; %lld to %lld objects\n",
	       all, percent(good, all), least_objects, most_objects);
	if (percent(good, all) < MIN_SUCCESS)
		rc = complain("too few calls succeed");
	if (least_objects < MIN_OBJECTS)
		rc = complain("too few objects");
	return rc;
}

/* ------------------------------------------------------------------ runs -- */

static int watch_workers(const struct fuzz_settings *s)
{
	long long started = now_ms(), reported = started, before = taint();
	int rc = 0;

	while (!rc && fuzz->failures < MAX_FAILURES &&
	       sum(fuzz->calls) < s->calls && now_ms() - started < s->ms) {
		sleep_ms(100);
		count_objects();
		reap_all(s, true);
		rc = look_at_programs(s);
		if (taint() != before)
			rc = complain("the kernel has found a fault in itself");
		if (now_ms() - reported > REPORT_MS) {
			print_progress(started);
			reported += REPORT_MS;
		}
	}
	rc |= stop_workers(s);
	print_progress(started);
	return rc || fuzz->failures;
}

static int run(const struct fuzz_settings *s)
{
	unsigned int i;
	int rc;

	printf("# seed %" PRIu64 "%s\n", s->seed,
	       cover_possible() ? "" : ", without coverage");
	if (s->corpus && corpus_load(s->corpus) < 0)
		return 2;
	fuzz->loaded = fuzz->corpus_length;
	for (i = 0; i < s->workers; i++)
		start_worker(s, i);
	rc = watch_workers(s);
	if (rc)
		printf("# what the workers were about to run: %s/fuzz.*\n",
		       s->out);
	else
		rc = judge_shares();
	if (s->save && status_of(spawn(corpus_save, (void *)s->save)))
		rc = complain("the corpus is not saved");
	return rc;
}

static int replay(const struct fuzz_settings *s)
{
	return !!status_of(spawn(fuzz_replay, (void *)s));
}

/* The heap is as it was before, or something leaks. */
static int run_in_a_heap(const struct fuzz_settings *s)
{
	long long max_bytes = heap_stat("max_bytes");
	long long max_sparse = heap_stat("max_sparse_bytes");
	struct leftovers before;
	int rc;

	/* Locks that earlier programs' dead held would be settled in the end, too. */
	if (status_of(spawn(world_settle_locks, NULL)))
		return complain("the locks cannot be settled");
	before = leftovers_now();
	heap_set("max_bytes", before.bytes + MAX_BYTES);
	heap_set("max_sparse_bytes", before.sparse + MAX_SPARSE);
	fuzz_first_key = test_key();
	world_create_objects();
	limits_keep();
	rc = s->replay ? replay(s) : run(s);
	/* A worker may have died before it did that. */
	limits_restore();
	world_delete_objects();
	rc |= !!status_of(spawn(world_settle_locks, NULL));
	rc |= !leftovers_are(before);
	heap_set("max_bytes", max_bytes);
	heap_set("max_sparse_bytes", max_sparse);
	return rc;
}

int main(int argc, char **argv)
{
	struct fuzz_settings s = {
		.seed = now_ms(), .calls = UINT64_MAX, .ms = 20000,
		.workers = 3, .times = 1, .out = getenv("OUT"),
	};

	if (parse(argc, argv, &s)) {
		fputs(usage, stderr);
		return 2;
	}
	if (!s.out)
		s.out = ".";
	if (test_open())
		return perror(NPHEAP_DEVICE), 1;
	if (heap_stat("objects"))
		return complain("there are objects in the heap already");
	fuzz = share(sizeof(*fuzz));
	return run_in_a_heap(&s);
}
