// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs of the fuzzer: chosen at random, changed, and as text. */
#include <ctype.h>
#include <inttypes.h>

#include "fuzz.h"

/* ------------------------------------------------------------- the types -- */

static unsigned int count_types(const struct fuzz_type *types)
{
	unsigned int n = 0;

	while (types[n].name)
		n++;
	return n;
}

const struct fuzz_type *fuzz_type(unsigned int what)
{
	unsigned int of_heap = count_types(fuzz_heap_types);

	return what < of_heap ? &fuzz_heap_types[what] :
				&fuzz_memory_types[what - of_heap];
}

unsigned int fuzz_type_count(void)
{
	return count_types(fuzz_heap_types) + count_types(fuzz_memory_types);
}

static int type_by_name(const char *name)
{
	unsigned int what;

	for (what = 0; what < fuzz_type_count(); what++)
		if (!strcmp(fuzz_type(what)->name, name))
			return what;
	return -1;
}

/* ---------------------------------------------------------------- values -- */

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define P 4096ULL

/* What arguments of a kind often are; what is here twice, twice as often. */
struct pool {
	const uint64_t *values;
	unsigned int count;
};

#define POOL(...) { (const uint64_t []){ __VA_ARGS__ },			\
	sizeof((const uint64_t []){ __VA_ARGS__ }) / sizeof(uint64_t) }


static const struct pool pools[KINDS] = {
	[KIND_NONE] = POOL(0),
	[KIND_FD] = POOL(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 5, 6),
	/* Large objects are seldom: each takes the time of many small ones. */
	[KIND_SIZE] = POOL(P, P, P, P, P, P, P, P, P, P, 2 * P, 2 * P, 2 * P,
			   2 * P, 2 * P, 2 * P, 3 * P, 3 * P, P - 1, P - 1,
			   P + 1, P + 1, 1, 1, 4 * P, 4 * P, 8 * P, 8 * P,
			   16 * P, 17 * P, 511 * P, 512 * P),
	[KIND_MAX_SIZE] = POOL(0, 0, 0, 0, 0, P, P, P, P, P, P, 4 * P, 4 * P,
			       16 * P, 64 * P, 2 * MIB),
	[KIND_PAGE] = POOL(0, 0, 0, 0, 1, 1, 2, 3, 4, 15, 16, 511, 512),
	[KIND_POINTER] = POOL(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			      0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 7, 7,
			      7, 16 + 4),
	[KIND_MAPPING] = POOL(0, 0, 0, 1, 1, 2, 3),
	[KIND_ATTACHED] = POOL(0, 0, 1),
	[KIND_WATCH] = POOL(0, 0, 0, 1),
	[KIND_OPENED] = POOL(0, 1, 2),
	[KIND_LOCK_FLAGS] = POOL(0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7),
	[KIND_DEADLINE] = POOL(0, 1, 100, 500, 500, 1000, UINT64_MAX),
	[KIND_EVENT] = POOL(FUZZ_RESULT(0), FUZZ_RESULT(0), FUZZ_RESULT(0),
			    FUZZ_RESULT(1), 0, 2),
	[KIND_COUNT] = POOL(1, 1, 1, 2, 3, 4, 0, 16, 17, UINT32_MAX),
	[KIND_WATCH_EVENTS] = POOL(15, 15, 1, 1, 2, 4, 8, 0, 6),
	[KIND_BITS] = POOL(0, 0, 0, 1, 1, 2, 3, 4, 7),
	[KIND_PROTECTION] = POOL(3, 3, 3, 3, 3, 1, 1, 0, 2, 4, 7),
	[KIND_MAP_FLAGS] = POOL(MAP_SHARED, MAP_SHARED, MAP_SHARED, MAP_SHARED,
				MAP_SHARED | MAP_NORESERVE,
				MAP_SHARED | MAP_POPULATE,
				MAP_SHARED | MAP_LOCKED,
				MAP_SHARED | MAP_FIXED, MAP_SHARED_VALIDATE,
				MAP_PRIVATE, MAP_PRIVATE | MAP_FIXED,
				MAP_SHARED | MAP_GROWSDOWN),
	[KIND_ADVICE] = POOL(MADV_NORMAL, MADV_RANDOM, MADV_WILLNEED,
			     MADV_DONTNEED, MADV_DONTNEED, MADV_FREE,
			     MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK,
			     MADV_MERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
			     MADV_DONTDUMP, MADV_WIPEONFORK, MADV_COLD,
			     MADV_PAGEOUT, 22, 23, 24, 25),
	[KIND_MODE] = POOL(0, 1, 2, 3, 4, 5, 6, 7),
	[KIND_COMMAND] = POOL(NPHEAP_IOCTL_LOCK, NPHEAP_IOCTL_UNLOCK,
			      NPHEAP_IOCTL_DELETE, NPHEAP_IOCTL_GETSIZE,
			      NPHEAP_IOC_JOIN, NPHEAP_IOC_BIND, NPHEAP_IOC_LOCK,
			      NPHEAP_IOC_CONSISTENT, NPHEAP_IOC_BREAK,
			      NPHEAP_IOC_EVENT, NPHEAP_IOC_WAIT,
			      NPHEAP_IOC_NOTIFY, NPHEAP_IOC_ATTACH,
			      NPHEAP_IOC_DETACH, NPHEAP_IOC_WATCH_SET,
			      NPHEAP_IOC_CREATE, NPHEAP_IOC_RESIZE,
			      NPHEAP_IOC_PUNCH, NPHEAP_IOC_SEAL,
			      NPHEAP_IOC_STAT, 0x5401),
};

/* Where numbers overflow, change sign, or are no keys or sizes any more. */
static const uint64_t boundaries[] = {
	0, 1, 2, 7, 8, 0xff, P - 1, P, P + 1, 2 * MIB - 1, 2 * MIB,
	2 * MIB + 1, 64 * MIB, INT32_MAX, 1ULL << 31, UINT32_MAX, 1ULL << 32,
	(1ULL << 32) + P, 1ULL << 40, 1ULL << 46, 1ULL << 47,
	NPHEAP_KEY_MAX - 1,
	NPHEAP_KEY_MAX, NPHEAP_KEY_MAX + 1, NPHEAP_KEY_MAX * P,
	INT64_MAX - P, INT64_MAX, 1ULL << 63, UINT64_MAX - P + 1, UINT64_MAX,
	NPHEAP_WORD_WAITERS, NPHEAP_WORD_MARKED, NPHEAP_WORD_SHARED,
	0xaaaaaaaaaaaaaaaa,
};

#define ONE_OF(array, dice) \
	((array)[dice_roll(dice, sizeof(array) / sizeof((array)[0]))])

/* A few keys that programs fight for, many that have objects, some others. */
static uint64_t any_key(struct dice *dice)
{
	switch (dice_roll(dice, 12)) {
	case 0 ... 3:
		return dice_roll(dice, 3);
	case 4:
		return dice_roll(dice, FUZZ_HOT_KEYS);
	case 5:
		return FUZZ_OWN_KEYS + dice_roll(dice, FUZZ_HOT_KEYS -
						 FUZZ_OWN_KEYS);
	case 6:
		return dice_roll(dice, FUZZ_KEYS);
	default:
		return dice_roll(dice, FUZZ_OBJECTS);
	}
}

static uint64_t any_value(enum fuzz_kind kind, struct dice *dice)
{
	const struct pool *pool = &pools[kind];

	switch (dice_roll(dice, 48)) {
	case 0:
		return ONE_OF(boundaries, dice);
	case 1:
		return FUZZ_RESULT(dice_roll(dice, 4));
	default:
		break;
	}
	if (kind == KIND_KEY)
		return any_key(dice);
	if (kind == KIND_NUMBER)
		return ONE_OF(boundaries, dice);
	return pool->values[dice_roll(dice, pool->count)];
}

/* -------------------------------------------------------------- generate -- */

static uint64_t weighted_calls(unsigned int what)
{
	return fuzz->calls[what] * (fuzz_type(what)->slow ? 2 : 1);
}

/* Of two types the one that was called less: so all come to be called. */
static uint8_t any_type(struct dice *dice)
{
	uint8_t a = dice_roll(dice, fuzz_type_count());
	uint8_t b = dice_roll(dice, fuzz_type_count());

	return weighted_calls(a) < weighted_calls(b) ? a : b;
}

static bool names_something(enum fuzz_kind kind)
{
	return kind == KIND_KEY || kind == KIND_MAPPING ||
	       kind == KIND_ATTACHED || kind == KIND_WATCH;
}

/* Lets @call be about what @other is about. */
static void relate(struct fuzz_call *call, const struct fuzz_call *other)
{
	const enum fuzz_kind *kinds = fuzz_type(call->what)->kinds;
	const enum fuzz_kind *others = fuzz_type(other->what)->kinds;
	int i, j;

	for (i = 0; i < FUZZ_ARGS; i++)
		for (j = 0; j < FUZZ_ARGS; j++)
			if (names_something(kinds[i]) && kinds[i] == others[j])
				call->arg[i] = other->arg[j];
}

static struct fuzz_call any_call(uint8_t what, struct dice *dice)
{
	struct fuzz_call call = { .what = what };
	int i;

	for (i = 0; i < FUZZ_ARGS; i++)
		call.arg[i] = any_value(fuzz_type(what)->kinds[i], dice);
	return call;
}

static void insert(struct fuzz_program *program, unsigned int n,
		   const struct fuzz_call *call)
{
	if (program->length == FUZZ_CALLS)
		return;
	memmove(&program->calls[n + 1], &program->calls[n],
		(program->length - n) * sizeof(*call));
	program->calls[n] = *call;
	program->length++;
}

static const struct fuzz_call *find_before(const struct fuzz_program *program,
					   unsigned int n, uint8_t what)
{
	while (n-- > 0)
		if (program->calls[n].what == what)
			return &program->calls[n];
	return NULL;
}

/*
 * Mostly the call at @n shall find what it needs: it is about what an earlier
 * call made, or such a call comes before it.
 */
static void insert_needed(struct fuzz_program *program, unsigned int n,
			  struct dice *dice)
{
	const struct fuzz_call *earlier;
	struct fuzz_call before;
	const char *after;

	while ((after = fuzz_type(program->calls[n].what)->after) &&
	       program->length < FUZZ_CALLS && dice_roll(dice, 4)) {
		before = any_call(type_by_name(after), dice);
		earlier = find_before(program, n, before.what);
		if (earlier)
			return relate(&program->calls[n], earlier);
		before.thread = program->calls[n].thread;
		relate(&before, &program->calls[n]);
		insert(program, n, &before);
	}
}

static void insert_any(struct fuzz_program *program, unsigned int n,
		       unsigned int threads, struct dice *dice)
{
	struct fuzz_call call = any_call(any_type(dice), dice);
	unsigned int other;

	if (program->length == FUZZ_CALLS)
		return;
	call.thread = dice_roll(dice, threads);
	if (program->length && dice_roll(dice, 2)) {
		other = dice_roll(dice, program->length);
		relate(&call, &program->calls[other]);
	}
	insert(program, n, &call);
	insert_needed(program, n, dice);
}

static unsigned int any_threads(struct dice *dice)
{
	return dice_roll(dice, 3) ? 1 : FUZZ_THREADS;
}

void fuzz_generate(struct fuzz_program *program, struct dice *dice)
{
	unsigned int threads = any_threads(dice);
	unsigned int length = 8 + dice_roll(dice, FUZZ_CALLS - 8);

	program->length = 0;
	while (program->length < length)
		insert_any(program, program->length, threads, dice);
}

/* ---------------------------------------------------------------- mutate -- */

void fuzz_copy(struct fuzz_program *to, const struct fuzz_program *from)
{
	memcpy(to->calls, from->calls, sizeof(to->calls));
	to->length = from->length;
}

void fuzz_remove(struct fuzz_program *program, unsigned int n)
{
	program->length--;
	memmove(&program->calls[n], &program->calls[n + 1],
		(program->length - n) * sizeof(program->calls[0]));
}

static void change_argument(struct fuzz_call *call, struct dice *dice)
{
	const enum fuzz_kind *kinds = fuzz_type(call->what)->kinds;
	unsigned int n = dice_roll(dice, FUZZ_ARGS);

	if (kinds[n] == KIND_NONE)
		return;
	switch (dice_roll(dice, 8)) {
	case 0:
		call->arg[n] += dice_roll(dice, 2) ? 1 : -1;
		break;
	case 1:
		call->arg[n] ^= 1ULL << dice_roll(dice, 64);
		break;
	default:
		call->arg[n] = any_value(kinds[n], dice);
	}
}

/* What comes after a random place is the other program's. */
static void join_halves(struct fuzz_program *program,
		   const struct fuzz_program *other, struct dice *dice)
{
	unsigned int n = dice_roll(dice, program->length + 1);
	unsigned int from = dice_roll(dice, other->length);

	program->length = n;
	for (; from < other->length; from++)
		insert(program, program->length, &other->calls[from]);
}

static void mutate_once(struct fuzz_program *program,
			const struct fuzz_program *other, struct dice *dice)
{
	struct fuzz_call *call;

	if (!program->length)
		return fuzz_generate(program, dice);
	call = &program->calls[dice_roll(dice, program->length)];
	switch (dice_roll(dice, 10)) {
	case 0:
		fuzz_remove(program, call - program->calls);
		break;
	case 1:
		insert(program, call - program->calls, call);
		break;
	case 2:
		call->thread = dice_roll(dice, FUZZ_THREADS);
		break;
	case 3:
		join_halves(program, other, dice);
		break;
	case 4 ... 6:
		change_argument(call, dice);
		break;
	default:
		insert_any(program, dice_roll(dice, program->length + 1),
			   1, dice);
	}
}

void fuzz_mutate(struct fuzz_program *program,
		 const struct fuzz_program *other, struct dice *dice)
{
	unsigned int times = 1 + dice_roll(dice, 6);

	while (times--)
		mutate_once(program, other, dice);
	while (!program->length)
		fuzz_generate(program, dice);
}

/* ------------------------------------------------------------------ text -- */

/* So many arguments have a meaning. */
static int used_args(unsigned int what)
{
	int n = FUZZ_ARGS;

	while (n && fuzz_type(what)->kinds[n - 1] == KIND_NONE)
		n--;
	return n;
}

static int print_value(char *text, uint64_t value)
{
	if (FUZZ_IS_RESULT(value))
		return sprintf(text, " $%u", (unsigned int)value);
	if (value <= 65536)
		return sprintf(text, " %u", (unsigned int)value);
	return sprintf(text, " 0x%" PRIx64, value);
}

static int print_call(const struct fuzz_call *call, char *text)
{
	const char *name = fuzz_type(call->what)->name;
	int n = sprintf(text, "%u %s", call->thread, name);
	int i;

	for (i = 0; i < used_args(call->what); i++)
		n += print_value(text + n, call->arg[i]);
	text[n++] = '\n';
	return n;
}

size_t fuzz_print(const struct fuzz_program *program, char *text)
{
	size_t n = 0;
	unsigned int i;

	for (i = 0; i < program->length; i++)
		n += print_call(&program->calls[i], text + n);
	text[n++] = '\n';
	return n;
}

static int parse_value(const char *word, uint64_t *value)
{
	char *end;

	*value = strtoull(word + (*word == '$'), &end, 0);
	if (*word == '$')
		*value = FUZZ_RESULT(*value & 0xffff);
	return *end || !isdigit(word[strspn(word, "$")]) ? -1 : 0;
}

static int parse_call(char *line, struct fuzz_call *call)
{
	char *word = strtok(line, " \n");
	char *name = strtok(NULL, " \n");
	uint64_t thread;
	int what, i;

	if (!name || parse_value(word, &thread) || thread >= FUZZ_THREADS)
		return -1;
	what = type_by_name(name);
	if (what < 0)
		return -1;
	*call = (struct fuzz_call){ .what = what, .thread = thread };
	for (i = 0; i < used_args(what); i++) {
		word = strtok(NULL, " \n");
		if (!word || parse_value(word, &call->arg[i]))
			return -1;
	}
	return strtok(NULL, " \n") ? -1 : 0;
}

int fuzz_parse(FILE *file, struct fuzz_program *program)
{
	char line[256];

	program->length = 0;
	while (fgets(line, sizeof(line), file)) {
		if (*line == '#')
			continue;
		if (*line == '\n') {
			if (program->length)
				return 1;
			continue;
		}
		if (program->length == FUZZ_CALLS ||
		    parse_call(line, &program->calls[program->length]))
			return -1;
		program->length++;
	}
	return program->length > 0;
}
