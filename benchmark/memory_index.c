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
#define BATCH 1000UL

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

/* Sparse ones, as only the index counts here, and each with a lock. */
static void fill(struct npheap *heap, unsigned long from, unsigned long to)
{
	static struct npheap_create items[BATCH];
	unsigned long i, n;

	for (; from < to; from += n) {
		n = to - from < BATCH ? to - from : BATCH;
		for (i = 0; i < n; i++)
			items[i] = (struct npheap_create){
				.key = key_of(from + i),
				.size = page,
				.flags = NPHEAP_CREATE_SPARSE,
			};
		check(npheap_create_many(heap, items, n) == (int)n,
		      "npheap_create_many");
		for (i = 0; i < n; i++)
			lock_key(items[i].key);
	}
}

void measure_index(unsigned long objects)
{
	double few[CALLS], many;
	struct npheap *heap;
	char what[32];
	unsigned long i;
	size_t c;

	suite = "memory-index";
	print_head();
	check(!npheap_open(NULL, 0, &heap), NPHEAP_DEVICE);
	raise_limit("max_objects", objects + FEW);
	raise_limit("max_locks", objects + FEW);
	raise_limit("max_sparse_bytes", (objects + FEW) * page);
	fill(heap, 0, FEW);
	snprintf(what, sizeof(what), "%lu-objects", FEW);
	for (c = 0; c < CALLS; c++) {
		few[c] = measure(&calls[c], FEW);
		print_row(what, calls[c].name, few[c], 1, "");
	}
	fill(heap, FEW, objects);
	snprintf(what, sizeof(what), "%lu-objects", objects);
	for (c = 0; c < CALLS; c++) {
		many = measure(&calls[c], objects);
		print_row(what, calls[c].name, many, many / few[c],
			  "few");
	}
	for (i = 0; i < objects; i++)
		npheap_delete(dev, key_of(i));
	npheap_close(heap);
}
