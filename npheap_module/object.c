// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects by key: how they come, are found and go.
 */
#include "npheap.h"
#include "trace.h"

#include <linux/cred.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/wait_bit.h>

const struct rhashtable_params npheap_object_params = {
	.key_len = sizeof(u64),
	.key_offset = offsetof(struct npheap_object, key),
	.head_offset = offsetof(struct npheap_object, node),
	.automatic_shrinking = true,
};

static u64 sparse_bytes(const struct npheap_object *obj)
{
	return npheap_object_sparse(obj) ? obj->size : 0;
}

/**
 * npheap_object_charge_sparse() - count the size of a sparse object, or growth
 * @obj: the object
 * @bytes: how much
 *
 * Context: Any.
 * Return: 0, or -ENOSPC or -EDQUOT; nothing is counted then.
 */
int npheap_object_charge_sparse(struct npheap_object *obj, u64 bytes)
{
	return npheap_charge(obj->heap, obj->user, NPHEAP_SPARSE_BYTES, bytes);
}

/**
 * npheap_object_uncharge_sparse() - undo npheap_object_charge_sparse()
 * @obj: the object
 * @bytes: how much of it
 *
 * Context: Any.
 */
void npheap_object_uncharge_sparse(struct npheap_object *obj, u64 bytes)
{
	npheap_uncharge(obj->heap, obj->user, NPHEAP_SPARSE_BYTES, bytes);
}

/* What an object counts for, whatever memory it has. */
static int object_count(struct npheap_object *obj)
{
	int err = npheap_charge(obj->heap, obj->user, NPHEAP_OBJECTS, 1);

	if (err)
		return err;
	err = npheap_object_charge_sparse(obj, sparse_bytes(obj));
	if (err)
		npheap_uncharge(obj->heap, obj->user, NPHEAP_OBJECTS, 1);
	else
		obj->counted = true;
	return err;
}

/**
 * npheap_object_uncount() - no longer count an object
 * @obj: an object on its way out, counted or not
 *
 * Context: Any.
 */
void npheap_object_uncount(struct npheap_object *obj)
{
	if (!obj->counted)
		return;
	npheap_object_uncharge_sparse(obj, sparse_bytes(obj));
	npheap_uncharge(obj->heap, obj->user, NPHEAP_OBJECTS, 1);
}

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
	inode->i_mapping->a_ops = &npheap_object_aops;
	mapping_set_unevictable(inode->i_mapping);
	mapping_set_large_folios(inode->i_mapping);
}

static struct npheap_object *object_new(struct npheap_heap *heap,
					const struct npheap_create *args)
{
	struct inode *inode = new_inode(heap->mnt->mnt_sb);
	struct npheap_object *obj;

	if (!inode)
		return ERR_PTR(-ENOMEM);
	obj = npheap_object(inode);
	obj->user = npheap_user_get(heap);
	if (!obj->user) {
		iput(inode);
		return ERR_PTR(-ENOMEM);
	}
	obj->heap = heap;
	obj->key = args->key;
	obj->size = args->size;
	obj->max_size = args->max_size;
	obj->flags = args->flags;
	obj->state = NPHEAP_POPULATING;
	obj->creator = get_pid(task_tgid(current));
	object_init_inode(obj, args->size);
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
	if (rhashtable_remove_fast(&obj->heap->objects, &obj->node,
				   npheap_object_params))
		return false;
	npheap_memory_delete(obj);
	iput(&obj->inode);
	return true;
}

static void object_set_state(struct npheap_object *obj, int state)
{
	/* Whoever sees the state sees the pages; pairs with object_state(). */
	smp_store_release(&obj->state, state);
	if (state == NPHEAP_POPULATED)
		return;
	/* wake_up_var() looks for waiters, who look at the state in turn. */
	smp_mb();
	wake_up_var(&obj->state);
}

static int object_state(const struct npheap_object *obj)
{
	/* Pairs with object_set_state(). */
	return smp_load_acquire(&obj->state);
}

static int object_allocate(struct npheap_object *obj)
{
	int err = object_count(obj);

	if (err || npheap_object_sparse(obj))
		return err;
	err = npheap_memory_charge(obj, obj->size);
	if (err)
		return err;
	return npheap_memory_populate(obj, 0, npheap_object_pages(obj));
}

static void object_finish(struct npheap_object *obj)
{
	/* Who maps it shall not find the size of nothing in the record. */
	object_set_state(obj, NPHEAP_POPULATED);
	npheap_lock_resized(obj->heap, obj->key, NPHEAP_WATCH_SIZE);
	object_set_state(obj, NPHEAP_READY);
	npheap_count(obj->heap, creates);
	trace_npheap_create(obj->key, READ_ONCE(obj->size));
}

static void object_abandon(struct npheap_object *obj)
{
	object_unpublish(obj);
	object_set_state(obj, NPHEAP_FAILED);
}

/*
 * The key is taken first, and counted and given its memory then.  So of many
 * who create the same key one does that and the others wait for it, and none
 * of them is told that a limit is reached because of another's attempt.
 *
 * Returns an object that nobody can use until object_finish().
 */
static struct npheap_object *object_begin(struct npheap_heap *heap,
					  const struct npheap_create *args)
{
	struct npheap_object *obj = object_new(heap, args);
	int err;

	if (IS_ERR(obj))
		return obj;
	err = object_publish(obj);
	if (err)
		goto put;
	err = object_allocate(obj);
	if (!err && !npheap_cgroup_has_room())
		err = -ENOMEM;
	if (!err)
		return obj;
	object_abandon(obj);
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

static struct npheap_object *object_find(struct npheap_heap *heap, u64 key)
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
 * npheap_object_get() - look an object up
 * @heap: the heap
 * @key: its key
 *
 * Context: Process context, may sleep until it is there; mmap_lock may be held.
 * Return: the object, to be released by npheap_object_put(), or -ENOENT, or
 * -EINTR where the caller was killed.
 */
struct npheap_object *npheap_object_get(struct npheap_heap *heap, u64 key)
{
	struct npheap_object *obj;
	int err;

	do {
		obj = object_find(heap, key);
		if (!obj)
			return ERR_PTR(-ENOENT);
		err = object_wait(obj);
		if (!err)
			return obj;
		npheap_object_put(obj);
	} while (err == -EAGAIN);
	return ERR_PTR(err);
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
 * npheap_object_create() - create an object
 * @heap: the heap
 * @args: how; checked, the sizes are multiples of the page size and not 0
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EEXIST, -ENOSPC, -EDQUOT, -ENOMEM, or -EINTR where the caller
 * was killed.
 */
int npheap_object_create(struct npheap_heap *heap,
			 const struct npheap_create *args)
{
	struct npheap_object *obj;

	do {
		obj = object_begin(heap, args);
		if (!IS_ERR(obj)) {
			object_finish(obj);
			npheap_object_put(obj);
			return 0;
		}
		if (obj != ERR_PTR(-EEXIST))
			return PTR_ERR(obj);
		/* It exists once it is finished: its creator may fail yet. */
		obj = npheap_object_get(heap, args->key);
	} while (obj == ERR_PTR(-ENOENT));
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	npheap_object_put(obj);
	return -EEXIST;
}

/* What a mapping may do was decided by how the device was opened. */
static struct file *object_file(struct npheap_object *obj)
{
	return npheap_object_file(obj, &npheap_object_fops, O_RDWR);
}

/* A new object that cannot be opened shall not stay behind. */
static struct file *object_create_open(struct npheap_heap *heap,
				       const struct npheap_create *args)
{
	struct npheap_object *obj = object_begin(heap, args);
	struct file *file;

	if (IS_ERR(obj))
		return ERR_CAST(obj);
	file = object_file(obj);
	if (IS_ERR(file))
		object_abandon(obj);
	else
		object_finish(obj);
	npheap_object_put(obj);
	return file;
}

/**
 * npheap_object_open() - a file of an object, which may be created for it
 * @heap: the heap
 * @args: how to create it; @args->key names it
 * @create: whether it may be created
 *
 * Context: Process context, may sleep; mmap_lock may be held.
 * Return: the file, or -ENOENT or an error of npheap_object_create() or of
 * npheap_file().
 */
struct file *npheap_object_open(struct npheap_heap *heap,
				const struct npheap_create *args, bool create)
{
	struct npheap_object *obj;
	struct file *file;

	do {
		obj = npheap_object_get(heap, args->key);
		if (!IS_ERR(obj)) {
			file = object_file(obj);
			npheap_object_put(obj);
			return file;
		}
		if (obj != ERR_PTR(-ENOENT) || !create)
			return ERR_CAST(obj);
		file = object_create_open(heap, args);
	} while (file == ERR_PTR(-EEXIST));
	return file;
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
	struct npheap_object *obj = object_find(heap, key);

	if (obj && object_unpublish(obj)) {
		npheap_lock_resized(heap, key, NPHEAP_WATCH_DELETE);
		npheap_count(heap, deletes);
		trace_npheap_delete(key, READ_ONCE(obj->size));
	} else {
		/*
		 * Somebody else may just have deleted it, and not said so yet:
		 * the caller shall not find its size after this.
		 */
		npheap_lock_resized(heap, key, 0);
	}
	if (obj)
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
		size = READ_ONCE(obj->size);
		if (number)
			*number = obj->inode.i_ino;
	}
	rcu_read_unlock();
	return size;
}
