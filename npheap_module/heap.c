// SPDX-License-Identifier: GPL-2.0-only
/*
 * A heap: its hash tables, its limits, and the order in which its parts come
 * and go.
 */
#include "npheap.h"

#include <linux/mm.h>

/*
 * The memory of objects can be neither swapped nor dropped, so a heap that
 * nobody configured stays at a quarter of RAM.  The other limits follow from
 * that: as many objects as fit with a page each, and as many locks.  What is
 * sparse takes addresses only, until it is touched.
 */
static void heap_set_limits(struct npheap_heap *heap,
			    const u64 limits[NPHEAP_RESOURCES])
{
	u64 pages = totalram_pages() / 4;
	const u64 defaults[NPHEAP_RESOURCES] = {
		[NPHEAP_BYTES] = pages << PAGE_SHIFT,
		[NPHEAP_OBJECTS] = pages,
		[NPHEAP_SPARSE_BYTES] = pages << (PAGE_SHIFT + 4),
		[NPHEAP_LOCKS] = pages,
	};
	int i;

	for (i = 0; i < NPHEAP_RESOURCES; i++) {
		u64 limit = limits[i] ?: defaults[i];

		heap->counters[i].limit = min(limit, NPHEAP_LIMIT_MAX);
		heap->counters[i].user_limit = NPHEAP_LIMIT_MAX;
	}
}

/**
 * npheap_heap_init() - make an empty heap
 * @heap: zeroed memory
 * @limits: its limits; 0 stands for the default
 *
 * Context: Process context, may sleep.
 * Return: 0 or a negative errno.
 */
int npheap_heap_init(struct npheap_heap *heap,
		     const u64 limits[NPHEAP_RESOURCES])
{
	int err;

	spin_lock_init(&heap->user_lock);
	heap_set_limits(heap, limits);
	mutex_init(&heap->evict_mutex);
	mutex_init(&heap->deleted_mutex);
	init_rwsem(&heap->fill_sem);
	heap->deleted = RB_ROOT;
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
