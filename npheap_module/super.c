// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pseudo file system whose inodes are the objects of a heap.
 */
#include "npheap.h"

#include <linux/mount.h>
#include <linux/pseudo_fs.h>

#define NPHEAP_SUPER_MAGIC 0x4e504850	/* "NPHP" */

static struct kmem_cache *object_cache;

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
	obj->bytes = 0;
	obj->seals = 0;
	obj->counted = false;
	obj->deleted = false;
	return &obj->inode;
}

static void object_free_inode(struct inode *inode)
{
	struct npheap_object *obj = npheap_object(inode);

	/* Here and not in evict, as readers under RCU look at it. */
	put_pid(obj->creator);
	kmem_cache_free(object_cache, obj);
}

static void object_evict_inode(struct inode *inode)
{
	struct npheap_object *obj = npheap_object(inode);

	/* The search for pages ends with the object, not with the last index. */
	if (i_size_read(inode))
		truncate_inode_pages_range(&inode->i_data, 0,
					   i_size_read(inode) - 1);
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	if (!obj->heap)
		return;
	if (obj->deleted)
		npheap_deleted_remove(obj);
	npheap_memory_uncharge(obj, obj->bytes);
	npheap_object_uncount(obj);
	npheap_user_put(obj->heap, obj->user);
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

const struct address_space_operations npheap_object_aops = {
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
		schedule_timeout_idle(1);
	mntput(heap->mnt);
	rhashtable_free_and_destroy(&heap->objects, object_free, NULL);
	kern_unmount(heap->mnt);
}
