// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects: inodes of a pseudo file system whose page cache is their memory.
 *
 * All pages of an object are allocated when it is created, so that a limit is
 * met by the call that creates it and never by a later access.
 */
#include "npheap.h"
#include "trace.h"

#include <linux/cred.h>
#include <linux/huge_mm.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/sched/signal.h>
#include <linux/wait_bit.h>

#define NPHEAP_SUPER_MAGIC 0x4e504850	/* "NPHP" */

/* Creation leaves this part of RAM available: 1/32. */
#define NPHEAP_RESERVE_SHIFT 5

static struct kmem_cache *object_cache;

const struct rhashtable_params npheap_object_params = {
	.key_len = sizeof(u64),
	.key_offset = offsetof(struct npheap_object, key),
	.head_offset = offsetof(struct npheap_object, node),
	.automatic_shrinking = true,
};

/* ------------------------------------------------------ the file system -- */

static struct inode *object_alloc_inode(struct super_block *sb)
{
	struct npheap_object *obj;

	obj = alloc_inode_sb(sb, object_cache, GFP_KERNEL);
	if (!obj)
		return NULL;
	/* The root directory and the table of locks stay like this. */
	obj->heap = NULL;
	obj->key = 0;
	obj->creator = NULL;
	obj->charged = false;
	obj->deleted = false;
	obj->deleted_bytes = 0;
	return &obj->inode;
}

static void object_free_inode(struct inode *inode)
{
	struct npheap_object *obj = npheap_object(inode);

	/* Here and not in evict, as readers under RCU look at it. */
	put_pid(obj->creator);
	kmem_cache_free(object_cache, obj);
}

static void object_uncharge(struct npheap_heap *heap, u64 size)
{
	npheap_uncharge(&heap->bytes, size);
	npheap_uncharge(&heap->nr_objects, 1);
}

static void object_evict_inode(struct inode *inode)
{
	struct npheap_object *obj = npheap_object(inode);
	struct npheap_heap *heap = obj->heap;
	u64 size = i_size_read(inode);

	/* The search for pages ends with the object, not with the last index. */
	if (size)
		truncate_inode_pages_range(&inode->i_data, 0, size - 1);
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	if (!heap)
		return;
	atomic64_sub(obj->deleted_bytes, &heap->deleted_bytes);
	if (obj->charged)
		object_uncharge(heap, size);
}

static const struct super_operations heap_super_ops = {
	.alloc_inode = object_alloc_inode,
	.free_inode = object_free_inode,
	.evict_inode = object_evict_inode,
	.drop_inode = generic_delete_inode,
	.statfs = simple_statfs,
};

/* What /proc/PID/maps shows: "/npheap:500". */
static char *object_dname(struct dentry *dentry, char *buffer, int buflen)
{
	const struct npheap_object *obj = npheap_object(d_inode(dentry));
	char name[sizeof("/npheap: (deleted)") + 20] = "/npheap-locks";
	int len = sizeof("/npheap-locks");

	if (obj->heap)
		len = scnprintf(name, sizeof(name), "/npheap:%llu%s", obj->key,
				READ_ONCE(obj->deleted) ? " (deleted)" :
							  "") + 1;
	if (len > buflen)
		return ERR_PTR(-ENAMETOOLONG);
	return memcpy(buffer + buflen - len, name, len);
}

static const struct dentry_operations object_dentry_ops = {
	.d_dname = object_dname,
};

static int heap_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, NPHEAP_SUPER_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->ops = &heap_super_ops;
	ctx->dops = &object_dentry_ops;
	return 0;
}

/*
 * No .owner: the superblock would pin the module for ever.  Files of objects
 * pin it instead, and npheap_object_unmount() waits for the last of them.
 */
static struct file_system_type heap_fs_type = {
	.name = "npheap",
	.init_fs_context = heap_init_fs_context,
	.kill_sb = kill_anon_super,
};

/* A poisoned page stays where it is, so that its users keep seeing SIGBUS. */
static int object_error_remove_folio(struct address_space *mapping,
				     npheap_error_folio *folio)
{
	return 0;
}

static const struct address_space_operations object_aops = {
	.dirty_folio = noop_dirty_folio,
	.migrate_folio = filemap_migrate_folio,
	.error_remove_folio = object_error_remove_folio,
};

static void object_init_once(void *mem)
{
	struct npheap_object *obj = mem;

	inode_init_once(&obj->inode);
}

/**
 * npheap_object_cache_init() - make what all heaps share
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int npheap_object_cache_init(void)
{
	object_cache = kmem_cache_create("npheap_object",
					 sizeof(struct npheap_object), 0,
					 SLAB_ACCOUNT,
					 object_init_once);
	return object_cache ? 0 : -ENOMEM;
}

/**
 * npheap_object_cache_exit() - undo npheap_object_cache_init()
 *
 * Context: Process context, may sleep.
 */
void npheap_object_cache_exit(void)
{
	/* Inodes and lock records are freed after a grace period. */
	rcu_barrier();
	kmem_cache_destroy(object_cache);
}

/**
 * npheap_object_mount() - make the index and the superblock of the objects
 * @heap: the heap
 *
 * Context: Process context, may sleep.
 * Return: 0 or a negative errno.
 */
int npheap_object_mount(struct npheap_heap *heap)
{
	int err = rhashtable_init(&heap->objects, &npheap_object_params);

	if (err)
		return err;
	heap->mnt = kern_mount(&heap_fs_type);
	if (!IS_ERR(heap->mnt))
		return 0;
	rhashtable_destroy(&heap->objects);
	return PTR_ERR(heap->mnt);
}

static void object_free(void *ptr, void *arg)
{
	npheap_object_put(ptr);
}

/**
 * npheap_object_unmount() - free all objects and their superblock
 * @heap: a heap without open files
 *
 * A closing file drops its reference of the module before it drops its
 * reference of the object and the mount, so some may still be on their way.
 * may_umount() allows for two references, which are ours.
 *
 * Context: Process context, may sleep.
 */
void npheap_object_unmount(struct npheap_heap *heap)
{
	mntget(heap->mnt);
	while (!may_umount(heap->mnt))
		schedule_timeout_uninterruptible(1);
	mntput(heap->mnt);
	rhashtable_free_and_destroy(&heap->objects, object_free, NULL);
	kern_unmount(heap->mnt);
}

/* ---------------------------------------------------------------- memory -- */

/*
 * The largest order that fits the place and the rest of the object.  Order 1
 * is no use: a folio of the page cache has none, up to Linux 6.8.
 */
static unsigned int object_order(pgoff_t index, pgoff_t end,
				 unsigned int max_order)
{
	unsigned int order = min_t(unsigned int, ilog2(end - index), max_order);

	if (index)
		order = min_t(unsigned int, order, __ffs(index));
	return order == 1 ? 0 : order;
}

/* Never the OOM killer, and no effort for what a smaller folio can do. */
static gfp_t object_gfp(unsigned int order)
{
	return GFP_HIGHUSER_MOVABLE | __GFP_ZERO | __GFP_NOWARN |
	       (order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL);
}

static int object_add_folio(struct address_space *mapping, pgoff_t index,
			    unsigned int order)
{
	gfp_t gfp = object_gfp(order);
	struct folio *folio = filemap_alloc_folio(gfp, order);
	int err;

	if (!folio)
		return -ENOMEM;
	folio_mark_uptodate(folio);
	err = filemap_add_folio(mapping, folio, index, gfp);
	if (!err) {
		/* Or drop_caches would take it for a copy of something. */
		folio_mark_dirty(folio);
		folio_unlock(folio);
	}
	folio_put(folio);
	return err;
}

static unsigned int object_max_order(struct address_space *mapping)
{
	if (!mapping_large_folio_support(mapping))
		return 0;
	return PMD_SHIFT - PAGE_SHIFT;
}

/*
 * Allocates all pages.  Where a large folio is not to be had it goes on with
 * smaller ones, and stays there: what made it fail, fragmentation or a memory
 * cgroup near its limit, will be there for the rest of the object, too.
 */
static int object_populate(struct npheap_object *obj)
{
	struct address_space *mapping = obj->inode.i_mapping;
	pgoff_t end = i_size_read(&obj->inode) >> PAGE_SHIFT;
	unsigned int max_order = object_max_order(mapping);
	pgoff_t index = 0;

	while (index < end) {
		unsigned int order = object_order(index, end, max_order);
		int err;

		if (fatal_signal_pending(current))
			return -EINTR;
		err = object_add_folio(mapping, index, order);
		if (err && !order)
			return err;
		if (err)
			max_order = order - 1;
		else
			index += 1UL << order;
		cond_resched();
	}
	return 0;
}

static bool object_memory_available(u64 size)
{
	long reserve = totalram_pages() >> NPHEAP_RESERVE_SHIFT;
	long available = si_mem_available() - reserve;

	return available > 0 && size >> PAGE_SHIFT <= available;
}

static int object_charge(struct npheap_object *obj)
{
	struct npheap_heap *heap = obj->heap;
	u64 size = i_size_read(&obj->inode);

	if (!npheap_charge(&heap->nr_objects, 1))
		return -ENOSPC;
	if (!npheap_charge(&heap->bytes, size)) {
		npheap_uncharge(&heap->nr_objects, 1);
		return -ENOSPC;
	}
	if (!object_memory_available(size)) {
		object_uncharge(heap, size);
		return -ENOMEM;
	}
	WRITE_ONCE(obj->charged, true);
	return 0;
}

/* ------------------------------------------------------------ life cycle -- */

/*
 * The inode is private, so that security modules judge the device and not
 * this file, and immutable, so that nobody reopens it for writing through
 * /proc/PID/map_files and changes its size behind our back.
 */
static void object_init_inode(struct npheap_object *obj, u64 size)
{
	struct inode *inode = &obj->inode;

	inode->i_ino = atomic64_inc_return(&obj->heap->generation);
	inode->i_mode = S_IFREG | 0600;
	inode->i_uid = current_fsuid();
	inode->i_gid = current_fsgid();
	inode->i_flags |= S_PRIVATE | S_IMMUTABLE;
	inode->i_fop = &npheap_object_fops;
	i_size_write(inode, size);
	simple_inode_init_ts(inode);
	inode->i_mapping->a_ops = &object_aops;
	mapping_set_unevictable(inode->i_mapping);
	mapping_set_large_folios(inode->i_mapping);
}

static struct npheap_object *object_new(struct npheap_heap *heap, u64 key,
					u64 size)
{
	struct inode *inode = new_inode(heap->mnt->mnt_sb);
	struct npheap_object *obj;

	if (!inode)
		return ERR_PTR(-ENOMEM);
	obj = npheap_object(inode);
	obj->heap = heap;
	obj->key = key;
	obj->state = NPHEAP_POPULATING;
	obj->creator = get_pid(task_tgid(current));
	object_init_inode(obj, size);
	return obj;
}

/* Takes the index's reference.  -EEXIST where another object has the key. */
static int object_publish(struct npheap_object *obj)
{
	struct npheap_object *other;

	ihold(&obj->inode);
	other = rhashtable_lookup_get_insert_fast(&obj->heap->objects,
						  &obj->node,
						  npheap_object_params);
	if (!other)
		return 0;
	iput(&obj->inode);
	return IS_ERR(other) ? -ENOMEM : -EEXIST;
}

/* Of those who try at the same time one succeeds and drops the index's. */
static bool object_unpublish(struct npheap_object *obj)
{
	struct npheap_heap *heap = obj->heap;

	if (rhashtable_remove_fast(&heap->objects, &obj->node,
				   npheap_object_params))
		return false;
	if (READ_ONCE(obj->charged))
		obj->deleted_bytes = i_size_read(&obj->inode);
	atomic64_add(obj->deleted_bytes, &heap->deleted_bytes);
	WRITE_ONCE(obj->deleted, true);
	iput(&obj->inode);
	return true;
}

static void object_set_state(struct npheap_object *obj, int state)
{
	/* Whoever sees the state sees the pages; pairs with object_state(). */
	smp_store_release(&obj->state, state);
	/* wake_up_var() looks for waiters, who look at the state in turn. */
	smp_mb();
	wake_up_var(&obj->state);
}

static int object_state(const struct npheap_object *obj)
{
	/* Pairs with object_set_state(). */
	return smp_load_acquire(&obj->state);
}

/*
 * The key is taken first, and counted and given its memory then.  So of many
 * who create the same key one does that and the others wait for it, and none
 * of them is told that a limit is reached because of another's attempt.
 */
static struct npheap_object *object_create(struct npheap_heap *heap, u64 key,
					   u64 size)
{
	struct npheap_object *obj = object_new(heap, key, size);
	int err;

	if (IS_ERR(obj))
		return obj;
	err = object_publish(obj);
	if (err)
		goto put;
	err = object_charge(obj);
	if (!err)
		err = object_populate(obj);
	if (!err && !npheap_cgroup_has_room())
		err = -ENOMEM;
	if (err)
		goto unpublish;
	/* Who maps it shall not find the size of nothing in the record. */
	object_set_state(obj, NPHEAP_POPULATED);
	npheap_lock_resized(heap, key, NPHEAP_WATCH_SIZE);
	object_set_state(obj, NPHEAP_READY);
	npheap_count(heap, creates);
	trace_npheap_create(key, size);
	return obj;

unpublish:
	object_unpublish(obj);
	object_set_state(obj, NPHEAP_FAILED);
put:
	npheap_object_put(obj);
	return ERR_PTR(err);
}

/* 0 once the object is usable; -EAGAIN where its creator gave up. */
static int object_wait(struct npheap_object *obj)
{
	if (wait_var_event_killable(&obj->state,
				    object_state(obj) > NPHEAP_POPULATED))
		return -EINTR;
	return object_state(obj) == NPHEAP_READY ? 0 : -EAGAIN;
}

/**
 * npheap_object_find() - look an object up
 * @heap: the heap
 * @key: its key
 *
 * Context: Any context that may take a spinlock.
 * Return: the object, to be released by npheap_object_put(), or NULL.
 */
struct npheap_object *npheap_object_find(struct npheap_heap *heap, u64 key)
{
	struct npheap_object *obj;

	rcu_read_lock();
	obj = rhashtable_lookup(&heap->objects, &key, npheap_object_params);
	/* igrab() refuses what is already on its way out. */
	if (obj && !igrab(&obj->inode))
		obj = NULL;
	rcu_read_unlock();
	return obj;
}

/**
 * npheap_object_get() - look an object up, and create it where there is none
 * @heap: the heap
 * @key: its key
 * @size: of a new object in bytes, a multiple of the page size and not 0
 * @create: whether one may be created
 *
 * Context: Process context, may sleep; mmap_lock may be held.
 * Return: the object, to be released by npheap_object_put(), or -ENOENT,
 * -ENOSPC, -ENOMEM, or -EINTR where the caller was killed.
 */
struct npheap_object *npheap_object_get(struct npheap_heap *heap, u64 key,
					u64 size, bool create)
{
	struct npheap_object *obj;
	int err;

	do {
		obj = npheap_object_find(heap, key);
		if (!obj) {
			if (!create)
				return ERR_PTR(-ENOENT);
			obj = object_create(heap, key, size);
			err = PTR_ERR_OR_ZERO(obj);
		} else {
			err = object_wait(obj);
			if (err)
				npheap_object_put(obj);
		}
	} while (err == -EAGAIN || err == -EEXIST);
	return err ? ERR_PTR(err) : obj;
}

/**
 * npheap_object_put() - release an object
 * @obj: the object
 *
 * Context: Process context, may sleep: the last reference frees the memory.
 */
void npheap_object_put(struct npheap_object *obj)
{
	iput(&obj->inode);
}

/**
 * npheap_object_delete() - forget a key
 * @heap: the heap
 * @key: the key, which need not exist
 *
 * Context: Process context, may sleep.
 */
void npheap_object_delete(struct npheap_heap *heap, u64 key)
{
	struct npheap_object *obj = npheap_object_find(heap, key);

	if (!obj)
		return;
	if (object_unpublish(obj)) {
		npheap_lock_resized(heap, key, NPHEAP_WATCH_DELETE);
		npheap_count(heap, deletes);
		trace_npheap_delete(key, i_size_read(&obj->inode));
	}
	npheap_object_put(obj);
}

/**
 * npheap_object_size() - the size of an object
 * @heap: the heap
 * @key: its key
 * @number: where its number is stored, 0 where there is none; may be NULL
 *
 * Context: Any.
 * Return: bytes; 0 where there is no object, or not yet.
 */
u64 npheap_object_size(struct npheap_heap *heap, u64 key, u64 *number)
{
	struct npheap_object *obj;
	u64 size = 0;

	if (number)
		*number = 0;
	rcu_read_lock();
	obj = rhashtable_lookup(&heap->objects, &key, npheap_object_params);
	if (obj && (object_state(obj) == NPHEAP_POPULATED ||
		    object_state(obj) == NPHEAP_READY)) {
		size = i_size_read(&obj->inode);
		if (number)
			*number = obj->inode.i_ino;
	}
	rcu_read_unlock();
	return size;
}
