// SPDX-License-Identifier: GPL-2.0-or-later
/* Arguments, messages, the heap and its locks. */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

void usage_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vwarnx(format, args);
	va_end(args);
	bad_option();
}

void bad_option(void)
{
	const char *command = command_name();

	fprintf(stderr, "Try 'npheap %s%s--help'.\n", command,
		command[0] ? " " : "");
	exit(EXIT_USAGE);
}

/* All of @text has to be digits: no sign, no blank. */
static bool parse_digits(const char *text, int base, unsigned long long *value)
{
	const char *p = text;

	errno = 0;
	while (base == 16 ? isxdigit((unsigned char)*p) :
			    isdigit((unsigned char)*p))
		p++;
	if (p == text || *p)
		return false;
	*value = strtoull(text, NULL, base);
	return !errno;
}

uint64_t parse_key(const char *text)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned long long key;

	if (!parse_digits(hex ? text + 2 : text, hex ? 16 : 10, &key)) {
		if (errno == ERANGE)
			usage_error("key %s: above %llu", text,
				    (unsigned long long)NPHEAP_KEY_MAX);
		usage_error("'%s' is no key: a decimal number, or 0x and a hexadecimal one",
			    text);
	}
	if (key > NPHEAP_KEY_MAX)
		usage_error("key %s: above %llu", text,
			    (unsigned long long)NPHEAP_KEY_MAX);
	return key;
}

uint64_t *parse_keys(int argc, char **argv, size_t *count)
{
	uint64_t *keys;
	int i;

	if (argc < 1)
		usage_error("no key given");
	keys = xmalloc(argc * sizeof(*keys));
	for (i = 0; i < argc; i++)
		keys[i] = parse_key(argv[i]);
	*count = argc;
	return keys;
}

/* What a suffix multiplies by, 0 where it is none. */
static uint64_t suffix_unit(const char *suffix)
{
	static const char letters[] = "KMGTP";
	uint64_t unit = 1, base = 1024;
	const char *letter;

	if (!*suffix)
		return 1;
	letter = strchr(letters, toupper((unsigned char)*suffix));
	if (!letter)
		return 0;
	if (!strcmp(suffix + 1, "B"))
		base = 1000;
	else if (suffix[1] && strcmp(suffix + 1, "iB"))
		return 0;
	for (; letter >= letters; letter--)
		unit *= base;
	return unit;
}

uint64_t parse_size(const char *text)
{
	unsigned long long size;
	uint64_t unit, bytes;
	char *end;

	errno = 0;
	size = strtoull(text, &end, 10);
	unit = suffix_unit(end);
	if (!isdigit((unsigned char)*text) || !unit)
		usage_error("'%s' is no size: a number, and K, M, G, T or P",
			    text);
	if (errno || __builtin_mul_overflow(size, unit, &bytes) ||
	    bytes > INT64_MAX)
		usage_error("size %s is too large", text);
	return bytes;
}

unsigned long parse_number(const char *text, unsigned long max)
{
	unsigned long long value;

	if (!parse_digits(text, 10, &value) || value > max)
		usage_error("'%s' is no number from 0 to %lu", text, max);
	return value;
}

long long read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	long long value;

	if (!file)
		return -1;
	if (fscanf(file, "%lld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

bool thread_name(uint64_t tid, char name[THREAD_NAME])
{
	char path[64], *p;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/comm", tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	p = fgets(name, THREAD_NAME, file);
	fclose(file);
	if (!p)
		return false;
	name[strcspn(name, "\n")] = 0;
	/* Anybody may give a thread any name. */
	for (; *p; p++)
		if (!isascii((unsigned char)*p) || !isprint((unsigned char)*p))
			*p = '?';
	return true;
}

uint64_t clock_ns(int clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

uint64_t parse_deadline(const char *text)
{
	double seconds;
	char *end;

	seconds = strtod(text, &end);
	if (end == text || *end || !isfinite(seconds) || seconds < 0)
		usage_error("'%s' is no number of seconds", text);
	/* A century from now is never. */
	if (seconds > 3e9)
		return NPHEAP_FOREVER;
	return clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
}

const char *human_size(uint64_t bytes, char text[SIZE_TEXT])
{
	static const char letters[] = "BKMGTPE";
	double value = bytes;
	int i = 0;

	/* What would be rounded to 1024 is one of the next letter. */
	for (; value >= 1023.95; i++)
		value /= 1024;
	if (value < 10 && i && value * 10 != (int)value * 10)
		snprintf(text, SIZE_TEXT, "%.1f%c", value, letters[i]);
	else
		snprintf(text, SIZE_TEXT, "%.0f%c", value, letters[i]);
	return text;
}

long long heap_number(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), NPHEAP_SYSFS "%s", name);
	return read_number(path);
}

/* "3M of 236M bytes", "5 of 100 objects". */
static void use_of(const char *name, char *text, size_t size)
{
	char max[32], used_text[SIZE_TEXT], limit_text[SIZE_TEXT];
	long long used, limit;

	snprintf(max, sizeof(max), "max_%s", name);
	used = heap_number(name);
	limit = heap_number(max);
	if (strstr(name, "bytes"))
		snprintf(text, size, "%s of %s %s", human_size(used, used_text),
			 human_size(limit, limit_text), name);
	else
		snprintf(text, size, "%lld of %lld %s", used, limit, name);
}

/* Which one that is the kernel does not say. */
static const char *explain_limits(void)
{
	char bytes[64], objects[64], sparse_bytes[64], locks[64];
	static char text[320];

	if (heap_number("bytes") < 0)
		return "a limit of the heap is reached";
	use_of("bytes", bytes, sizeof(bytes));
	use_of("objects", objects, sizeof(objects));
	use_of("sparse_bytes", sparse_bytes, sizeof(sparse_bytes));
	use_of("locks", locks, sizeof(locks));
	snprintf(text, sizeof(text),
		 "a limit of the heap is reached; there are %s, %s, %s, %s",
		 bytes, objects, sparse_bytes, locks);
	return text;
}

const char *explain(int rc)
{
	switch (-rc) {
	case ENOENT:
		return "no such object";
	case ENOSPC:
		return explain_limits();
	case EDQUOT:
		return "your limit in the heap is reached (see max_user_* in " NPHEAP_SYSFS ")";
	case ENOTRECOVERABLE:
		return "a holder died, and another gave the lock back without having settled that; an administrator can reset it: npheap unlock --force";
	case EBADF:
		return "the device may be opened for reading only";
	default:
		return strerror(-rc);
	}
}

struct npheap *open_heap(unsigned int flags)
{
	struct npheap *heap;
	int rc = npheap_open(NULL, flags, &heap);

	if (!rc)
		return heap;
	errno = -rc;
	warn("cannot open %s", NPHEAP_DEVICE);
	fprintf(stderr, "'npheap doctor' says why, and what to do.\n");
	exit(EXIT_FAILURE);
}

void *xmalloc(size_t size)
{
	return xrealloc(NULL, size);
}

void *xrealloc(void *memory, size_t size)
{
	memory = realloc(memory, size ? size : 1);
	if (!memory)
		err(EXIT_FAILURE, "no memory");
	return memory;
}

int take_lock(struct key_lock *lock)
{
	unsigned long long key = lock->key;
	int rc = npheap_acquire_with(lock->heap, lock->key, lock->flags,
				     lock->deadline);

	lock->died = rc == -EOWNERDEAD;
	if (!rc)
		return 0;
	if (lock->died) {
		warnx("key %llu: a holder of the lock died; what it was at may be half done",
		      key);
		return 0;
	}
	if (rc == -EBUSY)
		warnx("key %llu: the lock is held", key);
	else if (rc == -ETIMEDOUT)
		warnx("key %llu: the lock was not free in time", key);
	else
		warnx("key %llu: cannot lock: %s", key, explain(rc));
	return rc;
}

void drop_lock(struct key_lock *lock, bool settle)
{
	/* A reader may give it back: the mark is none of its. */
	if (lock->died && !settle && !(lock->flags & NPHEAP_SHARED))
		return;
	if (lock->died && settle)
		npheap_consistent(lock->heap, lock->key);
	/* It may have been broken by force meanwhile. */
	if (npheap_release(lock->heap, lock->key))
		warnx("key %llu: the lock was taken away by force",
		      (unsigned long long)lock->key);
}
