// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects that change: resize, punch, seal; and what there is to know of one.
 *
 * The inode lock keeps these apart from each other.  The invalidate_lock keeps
 * faults out while pages go, so that whoever has touched one of them before is
 * found among the mappings, and whoever touches one later finds the new size.
 */
#include "npheap.h"
#include "trace.h"

#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>

/* How often to look again for a reference of a folio that must be split. */
#define NPHEAP_SPLIT_TRIES 50

static bool may_force(const struct npheap_object *obj)
{
	return uid_eq(current_fsuid(), obj->inode.i_uid) ||
	       capable(CAP_SYS_ADMIN);
}

/* Returns a referenced folio that has pages on both sides of @index, or NULL. */
static struct folio *folio_across(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(mapping, index);

	if (IS_ERR(folio))
		return NULL;
	if (folio->index < index)
		return folio;
	folio_put(folio);
	return NULL;
}

/* Reads or writes a byte of an object's memory. */
static void access_byte(struct address_space *mapping, loff_t pos, u8 *byte,
			bool write)
{
	struct folio *folio = filemap_lock_folio(mapping, pos >> PAGE_SHIFT);
	u8 *addr;

	if (IS_ERR(folio))
		return;
	addr = kmap_local_folio(folio, pos - folio_pos(folio));
	if (write)
		*addr = *byte;
	else
		*byte = *addr;
	kunmap_local(addr);
	folio_unlock(folio);
	folio_put(folio);
}

/*
 * A folio is split when a byte inside of it is truncated, and the kernel exports
 * no other way.  The byte keeps its value.
 */
static void split_at_byte(struct address_space *mapping, loff_t pos)
{
	u8 byte = 0;

	access_byte(mapping, pos, &byte, false);
	truncate_inode_pages_range(mapping, pos, pos);
	access_byte(mapping, pos, &byte, true);
}

/*
 * A folio cannot be split while somebody refers to its pages other than by
 * mappings, as for I/O; who ends a mapping does, for a moment.  Each page has
 * a reference of the page cache, and the folio has the caller's.  And what is
 * poisoned had better not be read.
 */
static bool may_split(struct folio *folio)
{
	return folio_ref_count(folio) == folio_nr_pages(folio) + 1 &&
	       !folio_test_has_hwpoisoned(folio);
}

static bool try_split(struct address_space *mapping, struct folio *folio)
{
	loff_t last = folio_pos(folio) + folio_size(folio) - 1;
	bool may;

	unmap_mapping_pages(mapping, folio->index, folio_nr_pages(folio),
			    false);
	may = may_split(folio);
	folio_put(folio);
	if (may)
		split_at_byte(mapping, last);
	return may;
}

/*
 * A large folio that the new end cuts must be split, or a huge mapping of it
 * would reach beyond.
 */
static int split_at(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio;
	int tries;

	for (tries = 0; tries < NPHEAP_SPLIT_TRIES; tries++) {
		folio = folio_across(mapping, index);
		if (!folio)
			return 0;
		if (!try_split(mapping, folio)) {
			if (fatal_signal_pending(current))
				return -EINTR;
			fsleep(1000);
		}
	}
	return -EBUSY;
}

/* Counts what is there, after pages went. */
static void settle(struct npheap_object *obj)
{
	u64 bytes = (u64)obj->inode.i_mapping->nrpages << PAGE_SHIFT;

	npheap_memory_uncharge(obj, obj->bytes - bytes);
}

static void set_size(struct npheap_object *obj, u64 size)
{
	/* Whoever sees the size sees the pages; see npheap_object_pages(). */
	smp_store_release(&obj->size, size);
	npheap_lock_resized(obj->heap, obj->key, NPHEAP_WATCH_SIZE);
	trace_npheap_resize(obj->key, size);
}

/* The pages beyond the end go, and i_size is what it should be again. */
static void truncate(struct npheap_object *obj)
{
	truncate_pagecache(&obj->inode, obj->size);
	i_size_write(&obj->inode, obj->size);
	settle(obj);
}

/* The invalidate_lock is held. */
static int shrink(struct npheap_object *obj, u64 size, bool force)
{
	struct address_space *mapping = obj->inode.i_mapping;
	u64 old = obj->size;
	int err;

	if (!force && npheap_mapped_by_others(mapping, size >> PAGE_SHIFT,
				       (old - 1) >> PAGE_SHIFT))
		return -EBUSY;
	err = split_at(mapping, size >> PAGE_SHIFT);
	if (err)
		return err;
	set_size(obj, size);
	truncate(obj);
	if (npheap_object_sparse(obj))
		npheap_object_uncharge_sparse(obj, old - size);
	return 0;
}

static int object_shrink(struct npheap_object *obj, u64 size, bool force)
{
	int err;

	if (obj->seals & NPHEAP_SEAL_SHRINK)
		return -EPERM;
	if (force && !may_force(obj))
		return -EPERM;
	filemap_invalidate_lock(obj->inode.i_mapping);
	err = shrink(obj, size, force);
	filemap_invalidate_unlock(obj->inode.i_mapping);
	return err;
}

/* Pages beyond the end are nobody's to see, so they need no lock. */
static int grow_populated(struct npheap_object *obj, u64 size)
{
	int err = npheap_memory_charge(obj, size - obj->size);

	if (err)
		return err;
	i_size_write(&obj->inode, size);
	err = npheap_memory_populate(obj, npheap_object_pages(obj),
				     size >> PAGE_SHIFT);
	if (!err && !npheap_cgroup_has_room())
		err = -ENOMEM;
	if (err)
		truncate(obj);
	return err;
}

static int grow_sparse(struct npheap_object *obj, u64 size)
{
	int err = npheap_object_charge_sparse(obj, size - obj->size);

	if (!err)
		i_size_write(&obj->inode, size);
	return err;
}

static int object_grow(struct npheap_object *obj, u64 size)
{
	int err;

	if (obj->seals & NPHEAP_SEAL_GROW)
		return -EPERM;
	if (size > obj->max_size)
		return -EFBIG;
	if (npheap_object_sparse(obj))
		err = grow_sparse(obj, size);
	else
		err = grow_populated(obj, size);
	if (!err)
		set_size(obj, size);
	return err;
}

/**
 * npheap_object_resize() - give an object another size
 * @obj: the object
 * @size: in bytes, a multiple of the page size and not 0
 * @force: take pages away that other processes map
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EPERM, -EBUSY, -EFBIG, -ENOSPC, -EDQUOT, -ENOMEM, or -EINTR
 * where the caller was killed; the size is as before then.
 */
int npheap_object_resize(struct npheap_object *obj, u64 size, bool force)
{
	int err = 0;

	if (down_write_killable(&obj->inode.i_rwsem))
		return -EINTR;
	if (size > obj->size)
		err = object_grow(obj, size);
	else if (size < obj->size)
		err = object_shrink(obj, size, force);
	inode_unlock(&obj->inode);
	return err;
}

/* A poisoned page is left alone: nobody can read it. */
static void zero_folio(struct folio *folio, pgoff_t first, pgoff_t last)
{
	pgoff_t index = max(first, folio->index);
	pgoff_t end = min(last, folio_next_index(folio) - 1);

	for (; index <= end; index++) {
		struct page *page = folio_file_page(folio, index);

		if (!PageHWPoison(page))
			zero_user(page, 0, PAGE_SIZE);
	}
}

static int zero_in_place(struct address_space *mapping, pgoff_t first,
			 pgoff_t last)
{
	pgoff_t index = first;

	while (index <= last) {
		struct folio *folio = filemap_lock_folio(mapping, index);

		if (fatal_signal_pending(current)) {
			if (!IS_ERR(folio)) {
				folio_unlock(folio);
				folio_put(folio);
			}
			return -EINTR;
		}
		if (IS_ERR(folio)) {
			index++;
			continue;
		}
		zero_folio(folio, first, last);
		index = folio_next_index(folio);
		folio_unlock(folio);
		folio_put(folio);
		cond_resched();
	}
	return 0;
}

static int punch_locked(struct npheap_object *obj, u64 offset, u64 length,
			bool force)
{
	struct address_space *mapping = obj->inode.i_mapping;
	pgoff_t first = offset >> PAGE_SHIFT;
	pgoff_t last = (offset + length - 1) >> PAGE_SHIFT;

	if (!force && npheap_mapped_by_others(mapping, first, last))
		return -EBUSY;
	if (!npheap_object_sparse(obj))
		return zero_in_place(mapping, first, last);
	truncate_pagecache_range(&obj->inode, offset, offset + length - 1);
	settle(obj);
	return 0;
}

static int object_punch(struct npheap_object *obj, u64 offset, u64 length,
			bool force)
{
	int err;

	if (offset > obj->size || length > obj->size - offset)
		return -EINVAL;
	if (obj->seals & NPHEAP_SEAL_SHRINK)
		return -EPERM;
	if (force && !may_force(obj))
		return -EPERM;
	filemap_invalidate_lock(obj->inode.i_mapping);
	err = punch_locked(obj, offset, length, force);
	filemap_invalidate_unlock(obj->inode.i_mapping);
	return err;
}

/**
 * npheap_object_punch() - let a range read as zeroes
 * @obj: the object
 * @offset: where it begins, a multiple of the page size
 * @length: in bytes, a multiple of the page size and not 0
 * @force: also where other processes map it
 *
 * A sparse object gives the memory back.  Any other keeps it, as later writes
 * must not fail.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EINVAL, -EPERM, -EBUSY, or -EINTR where the caller was killed.
 */
int npheap_object_punch(struct npheap_object *obj, u64 offset, u64 length,
			bool force)
{
	int err;

	if (down_write_killable(&obj->inode.i_rwsem))
		return -EINTR;
	err = object_punch(obj, offset, length, force);
	inode_unlock(&obj->inode);
	return err;
}

/**
 * npheap_object_seal() - rule changes out for ever
 * @obj: the object
 * @seals: NPHEAP_SEAL_*
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EPERM, or -EINTR where the caller was killed.
 */
int npheap_object_seal(struct npheap_object *obj, u32 seals)
{
	int err = 0;

	if (down_write_killable(&obj->inode.i_rwsem))
		return -EINTR;
	if (obj->seals & NPHEAP_SEAL_SEAL)
		err = -EPERM;
	else
		WRITE_ONCE(obj->seals, obj->seals | seals);
	inode_unlock(&obj->inode);
	return err;
}

/**
 * npheap_object_stat() - what there is to know of an object
 * @obj: the object, with a reference of the caller's
 * @stat: what is filled in
 *
 * Context: Process context.
 */
void npheap_object_stat(const struct npheap_object *obj,
			struct npheap_stat *stat)
{
	*stat = (struct npheap_stat){
		.key = obj->key,
		.size = READ_ONCE(obj->size),
		.max_size = obj->max_size,
		.resident = npheap_object_resident(obj),
		.generation = obj->inode.i_ino,
		/* The index has a reference, and so has the caller. */
		.mappings = npheap_object_mappings(obj, 2),
		.flags = obj->flags,
		.seals = READ_ONCE(obj->seals),
		.creator = pid_vnr(obj->creator),
		.uid = from_kuid_munged(current_user_ns(), obj->inode.i_uid),
		.created = npheap_object_created(obj),
	};
}
