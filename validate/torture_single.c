// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sequences of operations of one thread, each result compared with the model's.
 *
 * A sequence runs in a process of its own, and begins with nothing, so it can
 * be run again.  One that fails is made shorter by delta debugging, and printed
 * as what --replay reads.  Before it runs it is written to a file, for when the
 * kernel dies of it.
 */
#include "torture_model.h"

uint64_t single_checked;

/* What a process that runs a sequence tells: how far it came, and what it saw. */
struct progress {
	volatile size_t done;
	volatile long expected;
	volatile long got;
};

struct sequence {
	const struct op *ops;
	size_t length;
};

/* What try_sequence() says where it does not say which operation failed. */
#define PASSED -1
#define LEFT 256

static struct progress *progress;
static const char *out_dir;

static unsigned int all_weights(void)
{
	const struct operation *o;
	unsigned int sum = 0;

	for (o = operations; o->name; o++)
		sum += o->weight;
	return sum;
}

static uint8_t choose(struct dice *dice, unsigned int weights)
{
	unsigned int roll = dice_roll(dice, weights);
	uint8_t what;

	for (what = 0; roll >= operations[what].weight; what++)
		roll -= operations[what].weight;
	return what;
}

static void generate(struct op *ops, size_t length, struct dice dice)
{
	unsigned int weights = all_weights();

	while (length--)
		*ops++ = (struct op){
			.what = choose(&dice, weights),
			.key = dice_roll(&dice, KEYS),
			.slot = dice_roll(&dice, SLOTS),
			.mode = dice_roll(&dice, 256),
			.a = dice_roll(&dice, UINT32_MAX),
			.b = dice_roll(&dice, UINT32_MAX),
		};
}

static void print_op(FILE *file, const struct op *op)
{
	fprintf(file, "%s %u %u %u %u %u\n", operations[op->what].name,
		op->key, op->slot, op->mode, op->a, op->b);
}

static void print_ops(FILE *file, const struct op *ops, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		print_op(file, &ops[i]);
}

/* Written before it runs: what is there when the kernel dies was its end. */
static void write_down(const struct op *ops, size_t length)
{
	char path[256];
	FILE *file;

	if (!out_dir)
		return;
	snprintf(path, sizeof(path), "%s/torture.single", out_dir);
	file = fopen(path, "we");
	child_check(file);
	print_ops(file, ops, length);
	child_check(!fclose(file));
}

static int run_sequence(void *arg)
{
	const struct sequence *s = arg;
	size_t i;

	model_new();
	operations_begin();
	for (i = 0; i < s->length; i++) {
		const struct operation *o = &operations[s->ops[i].what];

		alarm(TEST_SECONDS);
		progress->expected = o->model(&s->ops[i]);
		progress->got = o->run(&s->ops[i]);
		if (progress->got != progress->expected)
			return 1;
		progress->done = i + 1;
	}
	return 0;
}

static int clear_up(void *arg)
{
	uint64_t key;

	(void)arg;
	limits_restore();
	for (key = first_key; key < first_key + KEYS; key++) {
		struct npheap_lock_args args = {
			.key = key, .flags = NPHEAP_LOCK_TRY,
		};

		child_check(!npheap_delete(dev, key));
		/* Not held by anybody, though perhaps marked. */
		child_check(!ioctl(dev, NPHEAP_IOC_LOCK, &args));
		child_check(!unlock_by_ioctl(key));
		/* The mark goes with "consistent" of one who was told. */
		args.flags |= NPHEAP_LOCK_REPORT;
		if (ioctl(dev, NPHEAP_IOC_LOCK, &args) && errno != EOWNERDEAD)
			child_check(!ioctl(dev, NPHEAP_IOC_BREAK, &key) &&
				    ioctl(dev, NPHEAP_IOC_LOCK, &args) &&
				    errno == EOWNERDEAD);
		ioctl(dev, NPHEAP_IOC_CONSISTENT, &key);
		child_check(!unlock_by_ioctl(key));
	}
	return 0;
}

/*
 * PASSED where everything was as the model says, and nothing is left; else which
 * operation of the table was the first that failed, or LEFT where none did.
 */
static int try_sequence(const struct op *ops, size_t length)
{
	struct sequence s = { ops, length };
	struct leftovers before = leftovers_now();
	int status;

	first_key += KEYS;
	memset(progress, 0, sizeof(*progress));
	write_down(ops, length);
	status = status_of(spawn(run_sequence, &s));
	single_checked += progress->done;
	status |= status_of(spawn(clear_up, NULL));
	if (leftovers_are(before) && !status)
		return PASSED;
	return progress->done < length ? ops[progress->done].what : LEFT;
}

/* ------------------------------------------------------------------ replay -- */

static int parse_op(const char *line, struct op *op)
{
	unsigned int key, slot, mode;
	char name[32];

	if (sscanf(line, "%31s %u %u %u %u %u", name, &key, &slot, &mode,
		   &op->a, &op->b) != 6 ||
	    key >= KEYS || slot >= SLOTS || mode > 255)
		return -1;
	op->key = key;
	op->slot = slot;
	op->mode = mode;
	for (op->what = 0; operations[op->what].name; op->what++)
		if (!strcmp(operations[op->what].name, name))
			return 0;
	return -1;
}

/* ------------------------------------------------------------------ shrink -- */

/* What is left without @count operations from @start on. */
static size_t without(const struct op *ops, size_t length, size_t start,
		      size_t count, struct op *rest)
{
	size_t end = start + count < length ? start + count : length;

	memcpy(rest, ops, start * sizeof(*ops));
	memcpy(rest + start, ops + end, (length - end) * sizeof(*ops));
	return length - (end - start);
}

/*
 * Zeller's ddmin, by complements: halves, quarters and so on are left out for as
 * long as what is left fails yet, and in the same way: else what is printed in the
 * end might be another fault than the one that was found.
 */
static size_t make_shorter(struct op *ops, size_t length, int failure)
{
	struct op rest[SEQUENCE];
	size_t chunk, start, n;

	for (chunk = length / 2; chunk; chunk /= 2) {
		for (start = 0; start < length;) {
			n = without(ops, length, start, chunk, rest);
			if (n && try_sequence(rest, n) == failure) {
				memcpy(ops, rest, n * sizeof(*ops));
				length = n;
			} else {
				start += chunk;
			}
		}
	}
	return length;
}

/* Where the sequence that ran last went wrong. */
static void print_mismatch(const struct op *ops, size_t length)
{
	if (progress->done == length) {
		printf("# something is left, or the process did not end\n");
		return;
	}
	printf("# number %zu: expected %ld, got %ld: ", progress->done + 1,
	       progress->expected, progress->got);
	print_op(stdout, &ops[progress->done]);
}

static void print_failure(const struct op *ops, size_t length)
{
	print_ops(stdout, ops, length);
	if (try_sequence(ops, length) != PASSED)
		print_mismatch(ops, length);
}

/* What fails only now and then cannot be made shorter, but is not lost. */
static void explain(struct op *ops, int failure)
{
	print_mismatch(ops, SEQUENCE);
	if (try_sequence(ops, SEQUENCE) != failure) {
		printf("# once more, it does not fail so; all of it:\n");
		print_ops(stdout, ops, SEQUENCE);
		return;
	}
	printf("# made shorter:\n");
	print_failure(ops, make_shorter(ops, SEQUENCE, failure));
}

/* -------------------------------------------------------------------- run -- */

static void prepare(void)
{
	if (progress)
		return;
	first_key = test_key();
	limits_keep();
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		child_failed("mmap", __FILE__, __LINE__);
}

int single_run(uint64_t seed, uint64_t count, long long ms, const char *out)
{
	long long limit = now_ms() + ms;
	struct op ops[SEQUENCE];
	uint64_t stream;
	int failure;

	prepare();
	out_dir = out;
	for (stream = 0; single_checked < count && now_ms() < limit; stream++) {
		generate(ops, SEQUENCE, dice_new(seed, stream));
		failure = try_sequence(ops, SEQUENCE);
		if (failure == PASSED)
			continue;
		printf("# sequence %llu of seed %llu fails\n",
		       (unsigned long long)stream, (unsigned long long)seed);
		explain(ops, failure);
		return 1;
	}
	return 0;
}

int single_replay(const char *path)
{
	struct op ops[SEQUENCE];
	size_t length = 0;
	char line[256];
	FILE *file = fopen(path, "re");

	if (!file)
		return perror(path), 2;
	prepare();
	while (length < SEQUENCE && fgets(line, sizeof(line), file)) {
		if (*line == '#')
			continue;
		if (parse_op(line, &ops[length++])) {
			printf("# %s: no operation: %s", path, line);
			fclose(file);
			return 2;
		}
	}
	fclose(file);
	if (try_sequence(ops, length) == PASSED)
		return 0;
	print_failure(ops, length);
	return 1;
}
