// SPDX-License-Identifier: GPL-2.0-only
/* Who maps an object, and the list of those that are mapped but deleted. */
#include "npheap.h"

#include <linux/interval_tree_generic.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

/* A line names so many processes at most. */
#define NPHEAP_MAPPERS 16

static pgoff_t vma_first(struct vm_area_struct *vma)
{
	return vma->vm_pgoff;
}

static pgoff_t vma_last(struct vm_area_struct *vma)
{
	return vma->vm_pgoff + vma_pages(vma) - 1;
}

/* The kernel does not export its functions on this tree. */
INTERVAL_TREE_DEFINE(struct vm_area_struct, shared.rb, unsigned long,
		     shared.rb_subtree_last, vma_first, vma_last,
		     static __maybe_unused, vma_tree)

/**
 * npheap_mapped_by_others() - whether another process maps any of these pages
 * @mapping: of an object
 * @first: the first of them
 * @last: the last of them
 *
 * Context: Process context, may sleep.
 */
bool npheap_mapped_by_others(struct address_space *mapping, pgoff_t first,
			     pgoff_t last)
{
	struct vm_area_struct *vma;

	i_mmap_lock_read(mapping);
	vma = vma_tree_iter_first(&mapping->i_mmap, first, last);
	while (vma && vma->vm_mm == current->mm)
		vma = vma_tree_iter_next(vma, first, last);
	i_mmap_unlock_read(mapping);
	return vma;
}

/* 0 where that is not in the namespace, or not known. */
static pid_t mm_pid(struct mm_struct *mm, struct pid_namespace *ns)
{
	pid_t pid = 0;

#ifdef CONFIG_MEMCG
	struct task_struct *task;

	rcu_read_lock();
	task = rcu_dereference(mm->owner);
	if (task)
		pid = task_tgid_nr_ns(task, ns);
	rcu_read_unlock();
#endif
	return pid;
}

/* Returns how many pids there are; one process may map an object many times. */
static int collect_pids(struct address_space *mapping, pid_t *pids,
			struct pid_namespace *ns)
{
	struct vm_area_struct *vma;
	int n = 0, i;

	i_mmap_lock_read(mapping);
	vma = vma_tree_iter_first(&mapping->i_mmap, 0, ULONG_MAX);
	for (; vma && n < NPHEAP_MAPPERS;
	     vma = vma_tree_iter_next(vma, 0, ULONG_MAX)) {
		pids[n] = mm_pid(vma->vm_mm, ns);
		for (i = 0; pids[i] != pids[n]; i++)
			;
		if (i == n)
			n++;
		/* One process may have mapped it tens of thousands of times. */
		cond_resched();
	}
	i_mmap_unlock_read(mapping);
	return n;
}

static void deleted_show_one(struct seq_file *m, struct npheap_object *obj)
{
	pid_t pids[NPHEAP_MAPPERS];
	int n, i;

	n = collect_pids(obj->inode.i_mapping, pids,
			 proc_pid_ns(file_inode(m->file)->i_sb));
	seq_printf(m, "%llu\t%lu\t%llu\t", obj->key, obj->inode.i_ino,
		   READ_ONCE(obj->bytes));
	for (i = 0; i < n; i++)
		seq_printf(m, "%s%d", i ? "," : "", pids[i]);
	seq_puts(m, n ? "\n" : "-\n");
}

static struct npheap_heap *heap_of(struct seq_file *m)
{
	return pde_data(file_inode(m->file));
}

static struct npheap_object *deleted_entry(const struct rb_node *node)
{
	return rb_entry(node, struct npheap_object, deleted_node);
}

static bool older(struct rb_node *a, const struct rb_node *b)
{
	return deleted_entry(a)->inode.i_ino < deleted_entry(b)->inode.i_ino;
}

/**
 * npheap_deleted_add() - enter an object into the list of the deleted
 * @obj: the object
 *
 * Context: Process context, may sleep.
 */
void npheap_deleted_add(struct npheap_object *obj)
{
	struct npheap_heap *heap = obj->heap;

	mutex_lock(&heap->deleted_mutex);
	rb_add(&obj->deleted_node, &heap->deleted, older);
	mutex_unlock(&heap->deleted_mutex);
}

/**
 * npheap_deleted_remove() - undo npheap_deleted_add()
 * @obj: the object, to which nobody has a reference any more
 *
 * Context: Process context, may sleep.
 */
void npheap_deleted_remove(struct npheap_object *obj)
{
	struct npheap_heap *heap = obj->heap;

	mutex_lock(&heap->deleted_mutex);
	rb_erase(&obj->deleted_node, &heap->deleted);
	mutex_unlock(&heap->deleted_mutex);
}

/* The first whose number is @number or more, with a reference for the caller. */
static struct npheap_object *deleted_from(struct npheap_heap *heap, u64 number)
{
	struct rb_node *node, *found = NULL;

	mutex_lock(&heap->deleted_mutex);
	for (node = heap->deleted.rb_node; node;) {
		if (deleted_entry(node)->inode.i_ino < number) {
			node = node->rb_right;
		} else {
			found = node;
			node = node->rb_left;
		}
	}
	/* igrab() refuses what is already on its way out. */
	while (found && !igrab(&deleted_entry(found)->inode))
		found = rb_next(found);
	mutex_unlock(&heap->deleted_mutex);
	return found ? deleted_entry(found) : NULL;
}

/*
 * A place in this table is the number of an object, or less; 0 is its header.
 * So each read goes on where the last one ended, whatever came and went, and
 * deletion does not wait for who is slow to read.
 */
static void *deleted_start(struct seq_file *m, loff_t *pos)
{
	return *pos ? deleted_from(heap_of(m), *pos) : SEQ_START_TOKEN;
}

static void deleted_stop(struct seq_file *m, void *entry)
{
	if (entry && entry != SEQ_START_TOKEN)
		npheap_object_put(entry);
}

static void *deleted_next(struct seq_file *m, void *entry, loff_t *pos)
{
	const struct npheap_object *obj = entry;

	*pos = entry == SEQ_START_TOKEN ? 1 : obj->inode.i_ino + 1;
	deleted_stop(m, entry);
	/* For a seek, which goes through all of them in one call. */
	cond_resched();
	return deleted_from(heap_of(m), *pos);
}

static int deleted_show(struct seq_file *m, void *entry)
{
	if (entry == SEQ_START_TOKEN)
		seq_puts(m, "key\tgeneration\tbytes\tpids\n");
	else
		deleted_show_one(m, entry);
	return 0;
}

const struct seq_operations npheap_deleted_ops = {
	.start = deleted_start,
	.next = deleted_next,
	.stop = deleted_stop,
	.show = deleted_show,
};
