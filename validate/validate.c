// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The classic validator: replays the trace of a benchmark run, step by step,
 * and compares what was read on the way, and what the device holds at the end,
 * with what the steps before it stored.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <npheap.h>

/* clang-format off */
static const char usage[] =
"usage: validate [OPTION]... OBJECTS [MAX_SIZE]\n"
"\n"
"Checks the objects 0 to OBJECTS-1 of " NPHEAP_DEVICE " against the trace of\n"
"the benchmark run that made them, and every read in the trace against the\n"
"steps before it.  No object may be longer than MAX_SIZE bytes.\n"
"\n"
"  -t, --trace TRACE  the logs of all workers, sorted by their third field\n"
"                     (default: trace)\n"
"  -h, --help         print this text\n"
"\n"
"Prints Pass, or a line for each difference.  Exit status: 0 Pass, 1 there are\n"
"differences, 2 bad arguments or a trace that cannot be read.\n";
/* clang-format on */

enum { EXIT_PASS, EXIT_DIFFERENT, EXIT_BAD };

/* An object as the steps so far left it; no length means no object. */
struct object {
	char *content;
	size_t length;
};

/* One line of the trace. */
struct step {
	char op;
	uint64_t pid;
	uint64_t time;
	uint64_t key;
	uint64_t length;
	const char *content;
};

struct replay {
	const char *name;
	uint64_t line;
	uint64_t objects;
	uint64_t max_size;
	/* The time of the step before. */
	uint64_t time;
	struct object *model;
	uint64_t differences;
};

static void out_of_memory(void)
{
	fputs("validate: out of memory\n", stderr);
	exit(EXIT_BAD);
}

/* Digits only: strtoull takes blanks and signs as well. */
static bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !*end && !errno;
}

static bool next_number(char **rest, uint64_t *value)
{
	char *field = strsep(rest, "\t");

	return *rest && parse_number(field, value);
}

/* Splits @line, which the step's content goes on pointing into. */
static bool parse_step(char *line, struct step *step)
{
	char *op = strsep(&line, "\t");

	if (!line || !op[0] || op[1] || !strchr("SGD", op[0]))
		return false;
	step->op = op[0];
	if (!next_number(&line, &step->pid) ||
	    !next_number(&line, &step->time) ||
	    !next_number(&line, &step->key) ||
	    !next_number(&line, &step->length))
		return false;
	step->content = line;
	return true;
}

/* What is wrong with a step in itself; NULL where nothing is. */
static const char *step_error(const struct replay *replay,
			      const struct step *step)
{
	if (step->length != strlen(step->content))
		return "the content has another length";
	if (step->length > replay->max_size)
		return "the content is longer than MAX_SIZE";
	if (step->op == 'S' && !step->length)
		return "nothing is stored";
	if (step->op == 'D' && step->length)
		return "a delete has content";
	if (step->key >= replay->objects)
		return "the key is not below OBJECTS";
	if (step->time <= replay->time)
		return "not later than the line before: the trace is not sorted";
	return NULL;
}

static int bad_line(const struct replay *replay, const char *why)
{
	fprintf(stderr, "validate: %s:%" PRIu64 ": %s\n", replay->name,
		replay->line, why);
	return -1;
}

static void store(struct object *object, const struct step *step)
{
	free(object->content);
	object->content = strdup(step->content);
	if (!object->content)
		out_of_memory();
	object->length = step->length;
}

static void drop(struct object *object)
{
	free(object->content);
	object->content = NULL;
	object->length = 0;
}

/* The first byte that differs, or the end of the shorter one. */
static size_t first_difference(const struct step *step,
			       const struct object *object)
{
	size_t i = 0;

	while (i < step->length && i < object->length &&
	       step->content[i] == object->content[i])
		i++;
	return i;
}

static void check_read(struct replay *replay, const struct step *step)
{
	const struct object *object = &replay->model[step->key];
	size_t at = first_difference(step, object);

	if (at == step->length && at == object->length)
		return;
	printf("%s:%" PRIu64 ": pid %" PRIu64 " read %" PRIu64
	       " bytes of key %" PRIu64
	       ", %zu were stored; they differ from byte %zu on\n",
	       replay->name, replay->line, step->pid, step->length, step->key,
	       object->length, at);
	replay->differences++;
}

static int replay_line(struct replay *replay, char *line)
{
	struct step step;
	const char *why;

	if (!parse_step(line, &step))
		return bad_line(replay, "not a step of the benchmark");
	why = step_error(replay, &step);
	if (why)
		return bad_line(replay, why);
	replay->time = step.time;
	if (step.op == 'S')
		store(&replay->model[step.key], &step);
	else if (step.op == 'D')
		drop(&replay->model[step.key]);
	else
		check_read(replay, &step);
	return 0;
}

static int replay_file(struct replay *replay, FILE *file)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int rc = 0;

	while (!rc && (length = getline(&line, &room, file)) > 0) {
		replay->line++;
		if (line[length - 1] != '\n') {
			rc = bad_line(replay, "the line is cut off");
			break;
		}
		line[length - 1] = '\0';
		rc = replay_line(replay, line);
	}
	if (ferror(file))
		rc = bad_line(replay, strerror(errno));
	free(line);
	return rc;
}

static int replay_trace(struct replay *replay)
{
	FILE *file;
	int rc;

	file = fopen(replay->name, "re");
	if (!file) {
		fprintf(stderr, "validate: %s: %s\n", replay->name,
			strerror(errno));
		return -1;
	}
	rc = replay_file(replay, file);
	fclose(file);
	if (!rc && !replay->line)
		rc = bad_line(replay, "the trace is empty");
	return rc;
}

static void differs(struct replay *replay, uint64_t key, const char *what,
		    uint64_t found, uint64_t expected)
{
	printf("key %" PRIu64 ": %s %" PRIu64 ", expected %" PRIu64 "\n", key,
	       what, found, expected);
	replay->differences++;
}

static void cannot(struct replay *replay, uint64_t key, const char *what,
		   int rc)
{
	printf("key %" PRIu64 ": %s: %s\n", key, what, strerror(-rc));
	replay->differences++;
}

/* The object's bytes are the content, and zeros up to its end. */
static void compare_bytes(struct replay *replay, uint64_t key,
			  const unsigned char *bytes, size_t size)
{
	const struct object *object = &replay->model[key];
	unsigned char expected;
	size_t i;

	for (i = 0; i < size; i++) {
		expected = i < object->length ? object->content[i] : 0;
		if (bytes[i] == expected)
			continue;
		printf("key %" PRIu64 ": byte %zu is 0x%02x, expected 0x%02x\n",
		       key, i, bytes[i], expected);
		replay->differences++;
		return;
	}
}

static void compare_content(struct replay *replay, struct npheap *heap,
			    uint64_t key, size_t size)
{
	void *bytes;
	int rc;

	rc = npheap_map(heap, key, size, &bytes);
	if (rc) {
		cannot(replay, key, "map", rc);
		return;
	}
	compare_bytes(replay, key, bytes, size);
	npheap_unmap(bytes, size);
}

static uint64_t whole_pages(uint64_t size)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

static void compare_object(struct replay *replay, struct npheap *heap,
			   uint64_t key)
{
	uint64_t expected = whole_pages(replay->model[key].length);
	uint64_t size = 0;
	int rc;

	rc = npheap_size(heap, key, &size);
	if (rc && rc != -ENOENT)
		cannot(replay, key, "size", rc);
	else if (size != expected)
		differs(replay, key, "size", size, expected);
	else if (size)
		compare_content(replay, heap, key, size);
}

static int compare_device(struct replay *replay)
{
	struct npheap *heap;
	uint64_t key;
	int rc;

	/* Read-only: the validator can create nothing by mistake. */
	rc = npheap_open(NULL, NPHEAP_RDONLY, &heap);
	if (rc) {
		fprintf(stderr, "validate: %s: %s\n", NPHEAP_DEVICE,
			strerror(-rc));
		return -1;
	}
	for (key = 0; key < replay->objects; key++)
		compare_object(replay, heap, key);
	npheap_close(heap);
	return 0;
}

static int validate(struct replay *replay)
{
	if (replay_trace(replay) || compare_device(replay))
		return EXIT_BAD;
	if (!replay->differences)
		puts("Pass");
	if (fflush(stdout)) {
		perror("validate: standard output");
		return EXIT_BAD;
	}
	return replay->differences ? EXIT_DIFFERENT : EXIT_PASS;
}

static uint64_t argument(const char *name, const char *text, uint64_t max)
{
	uint64_t value;

	if (parse_number(text, &value) && value >= 1 && value <= max)
		return value;
	fprintf(stderr, "validate: %s must be 1 to %" PRIu64 ", not '%s'\n",
		name, max, text);
	exit(EXIT_BAD);
}

static void parse_arguments(int argc, char **argv, struct replay *replay)
{
	static const struct option options[] = {
		{ "trace", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "t:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			exit(EXIT_PASS);
		} else if (c != 't') {
			/* It has been named. */
			exit(EXIT_BAD);
		}
		replay->name = optarg;
	}
	argc -= optind;
	argv += optind;
	if (argc != 1 && argc != 2) {
		fputs("validate: OBJECTS is needed, and at most MAX_SIZE"
		      " besides; see --help\n", stderr);
		exit(EXIT_BAD);
	}
	replay->objects = argument("OBJECTS", argv[0], UINT32_MAX);
	if (argc == 2)
		replay->max_size = argument("MAX_SIZE", argv[1], 1 << 30);
}

int main(int argc, char **argv)
{
	struct replay replay = { .name = "trace", .max_size = 1 << 30 };
	uint64_t key;
	int rc;

	parse_arguments(argc, argv, &replay);
	replay.model = calloc(replay.objects, sizeof(*replay.model));
	if (!replay.model)
		out_of_memory();
	rc = validate(&replay);
	for (key = 0; key < replay.objects; key++)
		drop(&replay.model[key]);
	free(replay.model);
	return rc;
}
