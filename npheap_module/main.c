// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module parameters, and the ladder of initialisation.
 */
#include "npheap.h"

#include <linux/module.h>

static unsigned long max_bytes;
module_param(max_bytes, ulong, 0444);
MODULE_PARM_DESC(max_bytes, "Initial limit of object memory in bytes (0: a quarter of RAM)");

static unsigned long max_objects;
module_param(max_objects, ulong, 0444);
MODULE_PARM_DESC(max_objects, "Initial limit of objects (0: one a page of the default max_bytes)");

static unsigned long max_sparse_bytes;
module_param(max_sparse_bytes, ulong, 0444);
MODULE_PARM_DESC(max_sparse_bytes, "Initial limit of the sizes of sparse objects in bytes (0: four times RAM)");

static unsigned long max_locks;
module_param(max_locks, ulong, 0444);
MODULE_PARM_DESC(max_locks, "Initial limit of lock records (0: one a page of the default max_bytes)");

bool npheap_allow_exec;
module_param_named(allow_exec, npheap_allow_exec, bool, 0644);
MODULE_PARM_DESC(allow_exec, "Allow mappings with PROT_EXEC (default: no)");

/* The heap behind /dev/npheap; nothing but this file knows that it is one. */
static struct npheap_heap default_heap;

static int __init npheap_init(void)
{
	const u64 limits[NPHEAP_RESOURCES] = {
		[NPHEAP_BYTES] = max_bytes,
		[NPHEAP_OBJECTS] = max_objects,
		[NPHEAP_SPARSE_BYTES] = max_sparse_bytes,
		[NPHEAP_LOCKS] = max_locks,
	};
	int err;

	err = npheap_object_cache_init();
	if (err)
		return err;
	err = npheap_heap_init(&default_heap, limits);
	if (err)
		goto free_cache;
	err = npheap_proc_init(&default_heap);
	if (err)
		goto destroy_heap;
	err = npheap_device_register(&default_heap);
	if (err)
		goto remove_proc;
	npheap_fault_init();
	return 0;

remove_proc:
	npheap_proc_exit(&default_heap);
destroy_heap:
	npheap_heap_destroy(&default_heap);
free_cache:
	npheap_object_cache_exit();
	return err;
}

static void __exit npheap_exit(void)
{
	npheap_fault_exit();
	npheap_device_unregister(&default_heap);
	npheap_proc_exit(&default_heap);
	npheap_heap_destroy(&default_heap);
	npheap_object_cache_exit();
}

module_init(npheap_init);
module_exit(npheap_exit);

MODULE_DESCRIPTION("NP-Heap: keyed shared memory that outlives its processes");
MODULE_AUTHOR("The NP-Heap developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(NPHEAP_VERSION);
