// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of objects: folios of the page cache, and what they count for.
 *
 * Whoever adds a folio has counted it before, and whoever takes folios away
 * counts what is left: at rest an object's bytes are those of its page cache.
 */
#include "npheap.h"

#include <linux/pagemap.h>
#include <linux/sched/signal.h>

/* What stays available of RAM: 1/32. */
#define NPHEAP_RESERVE_SHIFT 5

/* That is looked at again every so many pages. */
#define NPHEAP_LOOK_AGAIN 512

static bool memory_available(u64 size)
{
	long reserve = totalram_pages() >> NPHEAP_RESERVE_SHIFT;
	long available = si_mem_available() - reserve;

	return available > 0 && size >> PAGE_SHIFT <= available;
}

/* A deletion moves the bytes at one stroke, so none is missed or moved twice. */
static void add_bytes(struct npheap_object *obj, s64 bytes)
{
	spin_lock(&obj->inode.i_lock);
	obj->bytes += bytes;
	if (obj->deleted)
		atomic64_add(bytes, &obj->heap->deleted_bytes);
	spin_unlock(&obj->inode.i_lock);
}

/**
 * npheap_memory_charge() - count memory before it is allocated
 * @obj: the object that gets it
 * @bytes: how much
 *
 * Context: Process context.
 * Return: 0, or -ENOSPC, -EDQUOT or -ENOMEM; nothing is counted then.
 */
int npheap_memory_charge(struct npheap_object *obj, u64 bytes)
{
	int err;

	/* Nothing is counted for what cannot be: others would be refused. */
	if (!memory_available(bytes))
		return npheap_would_charge(obj->heap, obj->user, NPHEAP_BYTES,
					   bytes) ?: -ENOMEM;
	err = npheap_charge(obj->heap, obj->user, NPHEAP_BYTES, bytes);
	if (!err)
		add_bytes(obj, bytes);
	return err;
}

/**
 * npheap_memory_uncharge() - take back what npheap_memory_charge() counted
 * @obj: the object
 * @bytes: how much of it
 *
 * Context: Process context.
 */
void npheap_memory_uncharge(struct npheap_object *obj, u64 bytes)
{
	add_bytes(obj, -bytes);
	npheap_uncharge(obj->heap, obj->user, NPHEAP_BYTES, bytes);
}

/**
 * npheap_memory_delete() - let the memory count as a deleted object's
 * @obj: the object, whose key was taken out of the index
 *
 * Context: Process context, may sleep.
 */
void npheap_memory_delete(struct npheap_object *obj)
{
	npheap_deleted_add(obj);
	spin_lock(&obj->inode.i_lock);
	WRITE_ONCE(obj->deleted, true);
	atomic64_add(obj->bytes, &obj->heap->deleted_bytes);
	spin_unlock(&obj->inode.i_lock);
}

/*
 * The largest order that fits the place and the rest of the object.  Order 1
 * is no use: a folio of the page cache has none, up to Linux 6.8.
 */
static unsigned int folio_order_at(pgoff_t index, pgoff_t end,
				   unsigned int max_order)
{
	unsigned int order = min_t(unsigned int, ilog2(end - index), max_order);

	if (index)
		order = min_t(unsigned int, order, __ffs(index));
	return order == 1 ? 0 : order;
}

/* Never the OOM killer, and no effort for what a smaller folio can do. */
static gfp_t folio_gfp(unsigned int order)
{
	return GFP_HIGHUSER_MOVABLE | __GFP_ZERO | __GFP_NOWARN |
	       (order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL);
}

static int add_folio(struct address_space *mapping, pgoff_t index,
		     unsigned int order)
{
	gfp_t gfp = folio_gfp(order);
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

static unsigned int max_folio_order(struct address_space *mapping)
{
	if (!mapping_large_folio_support(mapping))
		return 0;
	return min_t(unsigned int, PMD_SHIFT - PAGE_SHIFT,
		     MAX_PAGECACHE_ORDER);
}

/**
 * npheap_memory_populate() - allocate all pages of a range
 * @obj: an object that is charged for them and has none of them
 * @index: the first
 * @end: the one after the last
 *
 * Where a large folio is not to be had it goes on with smaller ones, and stays
 * there: what made it fail, fragmentation or a memory cgroup near its limit,
 * will be there for the rest of the object, too.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -ENOMEM or -EINTR; some of the pages may be there then.
 */
int npheap_memory_populate(struct npheap_object *obj, pgoff_t index,
			   pgoff_t end)
{
	struct address_space *mapping = obj->inode.i_mapping;
	unsigned int max_order = max_folio_order(mapping);

	while (index < end) {
		unsigned int order = folio_order_at(index, end, max_order);
		int err;

		if (fatal_signal_pending(current))
			return -EINTR;
		/* Others may allocate, too, and all have been told yes. */
		if (IS_ALIGNED(index, NPHEAP_LOOK_AGAIN) && !memory_available(0))
			return -ENOMEM;
		err = add_folio(mapping, index, order);
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

/*
 * The first page of a run comes alone, as nobody knows whether there will be
 * others.  A page that continues a run comes with more behind it, up to four
 * times what the folio before it has: few faults, and little memory for
 * nothing.
 */
static unsigned int fill_order(struct npheap_object *obj, pgoff_t index)
{
	struct address_space *mapping = obj->inode.i_mapping;
	pgoff_t end = npheap_object_pages(obj);
	unsigned int order = max_folio_order(mapping);
	struct folio *before;

	if (!order || !index)
		return 0;
	before = filemap_get_folio(mapping, index - 1);
	if (IS_ERR(before))
		return 0;
	order = min(order, folio_order(before) + 2);
	folio_put(before);
	return folio_order_at(index, end, order);
}

static bool page_present(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(mapping, index);

	if (IS_ERR(folio))
		return false;
	folio_put(folio);
	return true;
}

static int fill(struct npheap_object *obj, pgoff_t index, unsigned int order)
{
	u64 bytes = (u64)PAGE_SIZE << order;
	int err = npheap_memory_charge(obj, bytes);

	if (err)
		return err;
	err = add_folio(obj->inode.i_mapping, index, order);
	if (err)
		npheap_memory_uncharge(obj, bytes);
	return err;
}

/* Among others, who may have counted for a moment what they will not need. */
static int fill_among_others(struct npheap_object *obj, pgoff_t index)
{
	unsigned int order = fill_order(obj, index);
	int err = -ENOMEM;

	if (order)
		err = fill(obj, index, order);
	/* There may be no such memory, no room in a limit, or a page behind. */
	return err ? fill(obj, index, 0) : 0;
}

/*
 * Alone, when all others are done.  Perhaps one of them was faster; if not, what
 * is left is what there is.
 */
static int fill_alone(struct npheap_object *obj, pgoff_t index)
{
	int err = 0;

	if (down_write_killable(&obj->heap->fill_sem))
		return -EINTR;
	if (!page_present(obj->inode.i_mapping, index))
		err = fill(obj, index, 0);
	up_write(&obj->heap->fill_sem);
	return err;
}

/**
 * npheap_memory_fill() - have a page of a sparse object
 * @obj: the object
 * @index: the page, below its end; others behind it may come with it
 *
 * Context: Process context, may sleep; invalidate_lock is held, shared.
 * Return: 0 where the page is there, or -ENOSPC, -EDQUOT, -ENOMEM, or -EINTR
 * where the caller was killed.
 */
int npheap_memory_fill(struct npheap_object *obj, pgoff_t index)
{
	int err;

	if (page_present(obj->inode.i_mapping, index))
		return 0;
	if (!npheap_cgroup_has_room())
		return -ENOMEM;
	down_read(&obj->heap->fill_sem);
	err = fill_among_others(obj, index);
	up_read(&obj->heap->fill_sem);
	return err ? fill_alone(obj, index) : 0;
}
