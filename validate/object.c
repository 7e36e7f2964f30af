// SPDX-License-Identifier: GPL-2.0-or-later
/* What object.h promises. */
#include "object.h"

struct usage usage_now(void)
{
	return (struct usage){
		.bytes = heap_stat("bytes"),
		.deleted = heap_stat("deleted_bytes"),
		.objects = heap_stat("objects"),
	};
}

void assert_usage(struct usage before)
{
	struct usage now = usage_now();

	assert_int_equal(now.bytes, before.bytes);
	assert_int_equal(now.deleted, before.deleted);
	assert_int_equal(now.objects, before.objects);
}

struct leftovers leftovers_now(void)
{
	return (struct leftovers){
		.objects = heap_stat("objects"),
		.bytes = heap_stat("bytes"),
		.deleted = heap_stat("deleted_bytes"),
		.sparse = heap_stat("sparse_bytes"),
		.locks = heap_stat("locks"),
		.references = read_number("/sys/module/npheap/refcnt"),
	};
}

int leftovers_are(struct leftovers before)
{
	struct leftovers now = leftovers_now();

	if (!memcmp(&before, &now, sizeof(now)))
		return 1;
	printf("# left: objects %lld, bytes %lld, deleted %lld, sparse %lld, locks %lld, references %lld\n",
	       now.objects - before.objects, now.bytes - before.bytes,
	       now.deleted - before.deleted, now.sparse - before.sparse,
	       now.locks - before.locks, now.references - before.references);
	return 0;
}

int is_filled(const void *p, int byte, size_t size)
{
	const char *c = p;

	return c[0] == (char)byte && !memcmp(c, c + 1, size - 1);
}

void unmap(void *p, size_t size)
{
	assert_int_equal(munmap(p, size), 0);
}

void drop(void *p, size_t size, uint64_t key)
{
	unmap(p, size);
	assert_int_equal(npheap_delete(dev, key), 0);
}
