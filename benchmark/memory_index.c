// SPDX-License-Identifier: GPL-2.0-or-later
/* What a call costs that looks a key up, where there are many. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <npheap.h>

#include "memory.h"

#define FEW 1000UL
#define REPETITIONS 15
#define LOOKUPS 1000

/* Keys are spread over their whole range: an odd factor leaves them distinct. */
static uint64_t key_of(uint64_t i)
{
	return i * 0x9e3779b97f4a7c15ULL & NPHEAP_KEY_MAX;
}

/* In no order, and the same in each run. */
static uint64_t random_number(void)
{
	static uint64_t x = 0x2545f4914f6cdd1dULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void command(unsigned long number, uint64_t key)
{
	struct npheap_cmd cmd = { .offset = key * page };

	check(ioctl(dev, number, &cmd) >= 0, "ioctl");
}

static void attach_key(uint64_t key)
{
	char *p = npheap_alloc(dev, key, page);

	check(p != MAP_FAILED, "npheap_alloc");
	detach(p, page);
}

static void getsize_of_key(uint64_t key)
{
	command(NPHEAP_IOCTL_GETSIZE, key);
}

static void lock_key(uint64_t key)
{
	command(NPHEAP_IOCTL_LOCK, key);
	command(NPHEAP_IOCTL_UNLOCK, key);
}

static const struct call {
	const char *name;
	void (*run)(uint64_t key);
} calls[] = {
	{ "attach+detach", attach_key },
	{ "getsize", getsize_of_key },
	{ "lock+unlock", lock_key },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static double measure(const struct call *call, unsigned long objects)
{
	double values[REPETITIONS];
	int i, n;

	for (i = 0; i < REPETITIONS; i++) {
		uint64_t keys[LOOKUPS], began;

		for (n = 0; n < LOOKUPS; n++)
			keys[n] = key_of(random_number() % objects);
		began = stamp();
		for (n = 0; n < LOOKUPS; n++)
			call->run(keys[n]);
		values[i] = (double)(stamp() - began) / LOOKUPS;
	}
	return median(values, REPETITIONS);
}

static void fill(unsigned long from, unsigned long to)
{
	unsigned long i;

	for (i = from; i < to; i++) {
		attach_key(key_of(i));
		lock_key(key_of(i));
	}
}

void measure_index(unsigned long objects)
{
	double few[CALLS], many;
	char what[32];
	unsigned long i;
	size_t c;

	suite = "memory-index";
	print_head();
	fill(0, FEW);
	snprintf(what, sizeof(what), "%lu-objects", FEW);
	for (c = 0; c < CALLS; c++) {
		few[c] = measure(&calls[c], FEW);
		print_row(what, calls[c].name, few[c], 1, "");
	}
	fill(FEW, objects);
	snprintf(what, sizeof(what), "%lu-objects", objects);
	for (c = 0; c < CALLS; c++) {
		many = measure(&calls[c], objects);
		print_row(what, calls[c].name, many, many / few[c],
			  "few");
	}
	for (i = 0; i < objects; i++)
		npheap_delete(dev, key_of(i));
}
