// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The classic benchmark: processes that store, get and delete objects of
 * random size and content, each step under the lock of its key, and write down
 * what they did for the classic validator.
 *
 * A log line is: operation (S stored, G got, D deleted), pid, microseconds,
 * key, length, content; separated by tabs.  The content is text, so that an
 * object ends at its last byte that is not zero.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <npheap.h>

/* clang-format off */
static const char usage[] =
"usage: benchmark [OPTION]... OBJECTS MAX_SIZE PROCESSES\n"
"\n"
"PROCESSES workers share the objects 0 to OBJECTS-1 of " NPHEAP_DEVICE ",\n"
"which are deleted first.  In each round a worker takes every key once, and\n"
"stores 1 to MAX_SIZE random bytes there, gets what is there, or deletes it.\n"
"Each writes npheap.PID.log here; the validator reads them all in one:\n"
"\n"
"    cat npheap.*.log | sort -n -k 3 > trace\n"
"    validate OBJECTS MAX_SIZE\n"
"\n"
"  -n, --rounds ROUNDS  of each worker (default 2)\n"
"  -s, --seed SEED      the choices of each worker follow from this number\n"
"                       (default: another one each time, which is printed)\n"
"  -h, --help           print this text\n"
"\n"
"Exit status: 0 all steps worked, 1 a worker failed or died, 2 bad arguments.\n";
/* clang-format on */

struct options {
	uint64_t objects;
	uint64_t max_size;
	uint64_t processes;
	uint64_t rounds;
	uint64_t seed;
};

struct worker {
	const struct options *options;
	int dev;
	FILE *log;
	uint64_t random;
	/* What the current step stored or found. */
	char *text;
	size_t length;
};

static size_t page;

/* The number of the last step of all processes, in memory that they share. */
static _Atomic uint64_t *last_step;

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

/*
 * The time of a step, which is also its number.  It is taken while the key's
 * lock is held, and each is larger than all that any process took before, even
 * within one microsecond.  So for every key the order of the numbers is the
 * order of the lock's holders, and the sorted trace tells what really happened.
 */
static uint64_t next_step(void)
{
	uint64_t last = atomic_load(last_step);
	uint64_t now = now_us();
	uint64_t next;

	do {
		next = now > last ? now : last + 1;
	} while (!atomic_compare_exchange_weak(last_step, &last, next));
	return next;
}

/* splitmix64: any seed will do, and neighbouring seeds give unlike numbers. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void random_text(struct worker *w)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t bits = 0;
	size_t i;

	for (i = 0; i < w->length; i++) {
		if (i % 10 == 0)
			bits = next_random(&w->random);
		w->text[i] = alphabet[bits % 64];
		bits /= 64;
	}
}

static size_t whole_pages(size_t size)
{
	return (size + page - 1) / page * page;
}

static int failed(const char *what, uint64_t key)
{
	fprintf(stderr, "benchmark: %s key %llu: %s\n", what,
		(unsigned long long)key, strerror(errno));
	return -1;
}

static void *map(const struct worker *w, uint64_t key, size_t size)
{
	void *object = npheap_alloc(w->dev, key, size);

	if (object == MAP_FAILED) {
		failed("alloc", key);
		return NULL;
	}
	return object;
}

static int unmap(uint64_t key, void *object, size_t size)
{
	return munmap(object, size) ? failed("munmap", key) : 0;
}

/*
 * Makes room at @key for w->length bytes.  What is left of a longer text is
 * cleared only where the object is used again: a new one must be zero.
 */
static char *make_room(const struct worker *w, uint64_t key)
{
	long size = npheap_getsize(w->dev, key);
	char *object;

	if (size < 0) {
		failed("getsize", key);
		return NULL;
	}
	if ((size_t)size != whole_pages(w->length)) {
		if (npheap_delete(w->dev, key)) {
			failed("delete", key);
			return NULL;
		}
		return map(w, key, w->length);
	}
	object = map(w, key, w->length);
	if (object)
		memset(object + w->length, 0, size - w->length);
	return object;
}

static int store(struct worker *w, uint64_t key)
{
	char *object;

	w->length = 1 + next_random(&w->random) % w->options->max_size;
	random_text(w);
	object = make_room(w, key);
	if (!object)
		return -1;
	memcpy(object, w->text, w->length);
	return unmap(key, object, w->length);
}

/* Bytes that no worker stored must show in the trace, and keep it readable. */
static void trim_text(struct worker *w)
{
	size_t i;

	while (w->length && !w->text[w->length - 1])
		w->length--;
	for (i = 0; i < w->length; i++)
		if (w->text[i] <= ' ' || w->text[i] > '~')
			w->text[i] = '?';
}

static int get(struct worker *w, uint64_t key)
{
	long size = npheap_getsize(w->dev, key);
	char *object;

	if (size < 0)
		return failed("getsize", key);
	w->length = size;
	if (!size)
		return 0;
	if (w->length > whole_pages(w->options->max_size)) {
		errno = EFBIG;
		return failed("get", key);
	}
	object = map(w, key, size);
	if (!object)
		return -1;
	memcpy(w->text, object, size);
	trim_text(w);
	return unmap(key, object, size);
}

static int drop(struct worker *w, uint64_t key)
{
	w->length = 0;
	return npheap_delete(w->dev, key) ? failed("delete", key) : 0;
}

static int write_log(struct worker *w, char op, uint64_t time, uint64_t key)
{
	fprintf(w->log, "%c\t%ld\t%llu\t%llu\t%zu\t", op, (long)getpid(),
		(unsigned long long)time, (unsigned long long)key, w->length);
	fwrite(w->text, 1, w->length, w->log);
	fputc('\n', w->log);
	return ferror(w->log) ? failed("log of", key) : 0;
}

static int run_operation(struct worker *w, char op, uint64_t key)
{
	switch (op) {
	case 'S':
		return store(w, key);
	case 'G':
		return get(w, key);
	default:
		return drop(w, key);
	}
}

static int run_step(struct worker *w, uint64_t key)
{
	/* Most gets shall find something. */
	char op = "SSSSGGGD"[next_random(&w->random) % 8];
	uint64_t time;
	int rc;

	if (npheap_lock(w->dev, key))
		return failed("lock", key);
	time = next_step();
	rc = run_operation(w, op, key);
	if (npheap_unlock(w->dev, key))
		rc = failed("unlock", key);
	return rc ? rc : write_log(w, op, time, key);
}

/* A round starts at a random key, or the workers would queue up in step. */
static int run_round(struct worker *w)
{
	uint64_t objects = w->options->objects;
	uint64_t first = next_random(&w->random) % objects;
	uint64_t i;

	for (i = 0; i < objects; i++)
		if (run_step(w, (first + i) % objects))
			return -1;
	return 0;
}

static int run_rounds(struct worker *w)
{
	uint64_t i;

	for (i = 0; i < w->options->rounds; i++)
		if (run_round(w))
			return -1;
	return 0;
}

static int open_log(struct worker *w)
{
	char name[64];

	snprintf(name, sizeof(name), "npheap.%ld.log", (long)getpid());
	w->log = fopen(name, "we");
	if (w->log)
		return 0;
	fprintf(stderr, "benchmark: %s: %s\n", name, strerror(errno));
	return -1;
}

/* A full disk may show only here. */
static int close_log(struct worker *w)
{
	if (!fclose(w->log))
		return 0;
	perror("benchmark: log");
	return -1;
}

static int run_logged(struct worker *w)
{
	int rc;

	if (open_log(w))
		return -1;
	rc = run_rounds(w);
	return close_log(w) ? -1 : rc;
}

/* The life of worker @index; its exit status. */
static int work(const struct options *options, int dev, uint64_t index)
{
	struct worker w = { .options = options, .dev = dev };
	uint64_t seed = options->seed + index;
	int rc;

	w.random = next_random(&seed);
	w.text = malloc(whole_pages(options->max_size));
	if (!w.text) {
		perror("benchmark: malloc");
		return 1;
	}
	rc = run_logged(&w);
	free(w.text);
	return rc ? 1 : 0;
}

/* Nobody writes into the start pipe: it ends when all workers are there. */
static void wait_for_start(const int start[2])
{
	char byte;

	close(start[1]);
	while (read(start[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(start[0]);
}

static int fork_workers(const struct options *options, int dev,
			const int start[2])
{
	uint64_t i;
	pid_t pid;

	for (i = 0; i < options->processes; i++) {
		pid = fork();
		if (pid < 0) {
			perror("benchmark: fork");
			return -1;
		}
		if (!pid) {
			wait_for_start(start);
			_exit(work(options, dev, i));
		}
	}
	return 0;
}

static int reap_workers(void)
{
	int status, rc = 0;
	pid_t pid;

	while ((pid = wait(&status)) > 0 || errno == EINTR) {
		if (pid < 0 || !status)
			continue;
		rc = -1;
		if (WIFSIGNALED(status))
			fprintf(stderr, "benchmark: worker %ld: %s\n",
				(long)pid, strsignal(WTERMSIG(status)));
	}
	return rc;
}

static int run_workers(const struct options *options, int dev)
{
	int start[2], rc;

	if (pipe(start)) {
		perror("benchmark: pipe");
		return -1;
	}
	rc = fork_workers(options, dev, start);
	close(start[0]);
	close(start[1]);
	return reap_workers() ? -1 : rc;
}

static int delete_objects(const struct options *options, int dev)
{
	uint64_t key;

	for (key = 0; key < options->objects; key++)
		if (npheap_delete(dev, key))
			return failed("delete", key);
	return 0;
}

static int share_last_step(void)
{
	last_step = mmap(NULL, sizeof(*last_step), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (last_step != MAP_FAILED)
		return 0;
	perror("benchmark: mmap");
	return -1;
}

static int run(const struct options *options, int dev)
{
	uint64_t start = now_us();
	int rc;

	if (share_last_step() || delete_objects(options, dev))
		return 1;
	rc = run_workers(options, dev);
	printf("%llu processes, %llu steps each, %llu us, seed %llu%s\n",
	       (unsigned long long)options->processes,
	       (unsigned long long)(options->rounds * options->objects),
	       (unsigned long long)(now_us() - start),
	       (unsigned long long)options->seed, rc ? ": failed" : "");
	return rc ? 1 : 0;
}

static uint64_t number(const char *name, const char *text, uint64_t min,
		       uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno && value >= min &&
	    value <= max)
		return value;
	fprintf(stderr, "benchmark: %s must be %llu to %llu, not '%s'\n", name,
		(unsigned long long)min, (unsigned long long)max, text);
	exit(2);
}

static void parse_flags(int argc, char **argv, struct options *options)
{
	static const struct option flags[] = {
		{ "rounds", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "n:s:h", flags, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else if (c == 'n') {
			options->rounds = number("ROUNDS", optarg, 1, 1 << 30);
		} else if (c == 's') {
			options->seed = number("SEED", optarg, 0, UINT64_MAX);
		} else {
			/* It has been named. */
			exit(2);
		}
	}
}

static struct options parse_arguments(int argc, char **argv)
{
	struct options options = { .rounds = 2, .seed = now_us() };

	parse_flags(argc, argv, &options);
	if (argc - optind != 3) {
		fputs("benchmark: OBJECTS, MAX_SIZE and PROCESSES are needed,"
		      " and nothing else; see --help\n", stderr);
		exit(2);
	}
	argv += optind;
	options.objects = number("OBJECTS", argv[0], 1, UINT32_MAX);
	options.max_size = number("MAX_SIZE", argv[1], 1, 1 << 30);
	options.processes = number("PROCESSES", argv[2], 1, 1 << 15);
	return options;
}

int main(int argc, char **argv)
{
	struct options options = parse_arguments(argc, argv);
	int dev, rc;

	page = sysconf(_SC_PAGESIZE);
	/* Before the workers are forked: they share one open file. */
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	if (dev < 0) {
		perror("benchmark: " NPHEAP_DEVICE);
		return 1;
	}
	rc = run(&options, dev);
	close(dev);
	return rc;
}
