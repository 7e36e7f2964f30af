// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap: its hash tables, its limits, and the order in which its parts come
 * and go.
 */
#include "npheap.h"

#include <linux/mm.h>

/**
 * npheap_charge() - count something against a limit
 * @counter: the counter
 * @amount: how much of it
 *
 * Context: Any.
 * Return: true, or false where the limit would be exceeded; nothing is
 * counted then.
 */
bool npheap_charge(struct npheap_counter *counter, u64 amount)
{
	u64 limit = READ_ONCE(counter->limit);
	s64 old = atomic64_read(&counter->usage);

	do {
		if (old > limit || amount > limit - old)
			return false;
	} while (!atomic64_try_cmpxchg(&counter->usage, &old, old + amount));
	return true;
}

/**
 * npheap_uncharge() - take back what npheap_charge() counted
 * @counter: the counter
 * @amount: the same amount
 *
 * Context: Any.
 */
void npheap_uncharge(struct npheap_counter *counter, u64 amount)
{
	atomic64_sub(amount, &counter->usage);
}

/*
 * The memory of objects can be neither swapped nor dropped, so a heap that
 * nobody configured stays at a quarter of RAM.  The other limits follow from
 * that: as many objects as fit with a page each, and as many locks.  What is
 * sparse takes addresses only, until it is touched.
 */
static void heap_set_limits(struct npheap_heap *heap,
			    const struct npheap_limits *limits)
{
	u64 pages = totalram_pages() / 4;

	heap->bytes.limit = limits->bytes ?: pages << PAGE_SHIFT;
	heap->nr_objects.limit = limits->objects ?: pages;
	heap->sparse_bytes.limit = limits->sparse_bytes ?:
				   (u64)totalram_pages() << (PAGE_SHIFT + 2);
	heap->nr_locks.limit = limits->locks ?: pages;
}

/**
 * npheap_heap_init() - make an empty heap
 * @heap: zeroed memory
 * @limits: its limits; 0 in a field stands for the default
 *
 * Context: Process context, may sleep.
 * Return: 0 or a negative errno.
 */
int npheap_heap_init(struct npheap_heap *heap,
		     const struct npheap_limits *limits)
{
	int err;

	heap_set_limits(heap, limits);
	heap->stats = alloc_percpu(struct npheap_stats);
	if (!heap->stats)
		return -ENOMEM;
	err = rhashtable_init(&heap->locks, &npheap_lock_params);
	if (err)
		goto free_stats;
	err = npheap_object_mount(heap);
	if (err)
		goto free_locks;
	err = npheap_table_init(heap);
	if (err)
		goto unmount;
	err = npheap_owner_init(heap);
	if (err)
		goto destroy_table;
	return 0;

destroy_table:
	npheap_table_destroy(heap);
unmount:
	npheap_object_unmount(heap);
free_locks:
	npheap_lock_destroy(heap);
free_stats:
	free_percpu(heap->stats);
	return err;
}

/**
 * npheap_heap_destroy() - free a heap with all that is in it
 * @heap: a heap that no descriptor and no mapping refers to any more
 *
 * Context: Process context, may sleep.
 */
void npheap_heap_destroy(struct npheap_heap *heap)
{
	npheap_owner_exit(heap);
	npheap_lock_destroy(heap);
	npheap_table_destroy(heap);
	npheap_object_unmount(heap);
	free_percpu(heap->stats);
}
