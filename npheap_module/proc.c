// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/npheap, and npheap in debugfs: tables of the objects and of the locks,
 * for root.  A table is not a snapshot: what comes, goes or moves to a resized hash table while it
 * is being read may be missed or be listed twice.
 */
#include "npheap.h"

#include <linux/debugfs.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

/**
 * struct table - what a file shows
 * @header: the names of its columns
 * @show: prints one line; called under RCU
 */
struct table {
	const char *header;
	void (*show)(struct seq_file *m, void *entry);
};

/**
 * struct cursor - an open file
 * @table: what it shows
 * @hash: the hash table that it walks
 * @iter: how far it got
 */
struct cursor {
	const struct table *table;
	struct rhashtable *hash;
	struct rhashtable_iter iter;
};

/* A walk that meets a resize goes on in the new table. */
static void *cursor_next(struct cursor *cursor)
{
	void *entry;

	do {
		entry = rhashtable_walk_next(&cursor->iter);
	} while (entry == ERR_PTR(-EAGAIN));
	return entry;
}

static void *table_start(struct seq_file *m, loff_t *pos)
	__acquires(RCU)
{
	struct cursor *cursor = m->private;
	void *entry;

	if (*pos == 0) {
		rhashtable_walk_exit(&cursor->iter);
		rhashtable_walk_enter(cursor->hash, &cursor->iter);
	}
	rhashtable_walk_start(&cursor->iter);
	if (*pos == 0)
		return SEQ_START_TOKEN;
	entry = rhashtable_walk_peek(&cursor->iter);
	return IS_ERR(entry) ? cursor_next(cursor) : entry;
}

/* So many at a time: what a resize moves between two parts may be listed twice. */
#define WALK_AT_ONCE 1024

/* One call may walk over millions: in a seek, or where few have a line. */
static void cursor_pause(struct cursor *cursor)
{
	rhashtable_walk_stop(&cursor->iter);
	cond_resched();
	rhashtable_walk_start(&cursor->iter);
}

static void *table_next(struct seq_file *m, void *entry, loff_t *pos)
{
	if (++*pos % WALK_AT_ONCE == 0)
		cursor_pause(m->private);
	return cursor_next(m->private);
}

static void table_stop(struct seq_file *m, void *entry)
	__releases(RCU)
{
	struct cursor *cursor = m->private;

	rhashtable_walk_stop(&cursor->iter);
}

static int table_show(struct seq_file *m, void *entry)
{
	const struct cursor *cursor = m->private;

	if (entry == SEQ_START_TOKEN)
		seq_puts(m, cursor->table->header);
	else
		cursor->table->show(m, entry);
	return 0;
}

static const struct seq_operations table_ops = {
	.start = table_start,
	.next = table_next,
	.stop = table_stop,
	.show = table_show,
};

static int table_open(struct file *file, const struct table *table,
		      struct rhashtable *hash)
{
	struct cursor *cursor = __seq_open_private(file, &table_ops,
						   sizeof(*cursor));

	if (!cursor)
		return -ENOMEM;
	cursor->table = table;
	cursor->hash = hash;
	rhashtable_walk_enter(hash, &cursor->iter);
	return 0;
}

static int table_release(struct inode *inode, struct file *file)
{
	struct seq_file *m = file->private_data;
	struct cursor *cursor = m->private;

	rhashtable_walk_exit(&cursor->iter);
	return seq_release_private(inode, file);
}

static void object_show(struct seq_file *m, void *entry)
{
	const struct npheap_object *obj = entry;
	pid_t creator = pid_nr_ns(obj->creator,
				  proc_pid_ns(file_inode(m->file)->i_sb));

	seq_printf(m, "%llu\t%llu\t%d\t%u\t", obj->key,
		   READ_ONCE(obj->size), creator,
		   from_kuid_munged(seq_user_ns(m), obj->inode.i_uid));
	/* The index has a reference. */
	seq_printf(m, "%llu\t%d\t%lu\t%llu\t%u\t%u\t%llu\n",
		   npheap_object_resident(obj), npheap_object_mappings(obj, 1),
		   obj->inode.i_ino, npheap_object_created(obj), obj->flags,
		   READ_ONCE(obj->seals), obj->max_size);
}

static int objects_open(struct inode *inode, struct file *file)
{
	static const struct table table = {
		.header = "key\tsize\tcreator\tuid\tresident\tmappings\t"
			  "generation\tcreated\tflags\tseals\tmax_size\n",
		.show = object_show,
	};
	struct npheap_heap *heap = pde_data(inode);

	return table_open(file, &table, &heap->objects);
}

static void lock_show(struct seq_file *m, void *entry)
{
	npheap_lock_show(m, entry);
}

static int locks_open(struct inode *inode, struct file *file)
{
	static const struct table table = {
		.header = "key\tholder\twaiters\treaders\tmarked\n",
		.show = lock_show,
	};
	struct npheap_heap *heap = pde_data(inode);

	return table_open(file, &table, &heap->locks);
}

static void counts_show(struct seq_file *m, void *entry)
{
	npheap_lock_show_counts(m, entry);
}

static int counts_open(struct inode *inode, struct file *file)
{
	static const struct table table = {
		.header = "key\tcontended\trecovered\tevent\tsleepers\t"
			  "watches\n",
		.show = counts_show,
	};
	struct npheap_heap *heap = inode->i_private;

	return table_open(file, &table, &heap->locks);
}

/* An open one keeps the module, as debugfs has it. */
static const struct file_operations counts_fops = {
	.owner = THIS_MODULE,
	.open = counts_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = table_release,
};

static const struct proc_ops objects_proc_ops = {
	.proc_open = objects_open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = table_release,
};

static const struct proc_ops locks_proc_ops = {
	.proc_open = locks_open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = table_release,
};

/**
 * npheap_proc_init() - make /proc/npheap, and the directory in debugfs
 * @heap: the heap that it shows
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int npheap_proc_init(struct npheap_heap *heap)
{
	heap->proc = proc_mkdir("npheap", NULL);
	if (!heap->proc)
		return -ENOMEM;
	if (proc_create_data("objects", 0400, heap->proc, &objects_proc_ops,
			     heap) &&
	    proc_create_data("locks", 0400, heap->proc, &locks_proc_ops, heap) &&
	    proc_create_seq_data("deleted", 0400, heap->proc,
				 &npheap_deleted_ops, heap)) {
		/* Nobody depends on what is for debugging. */
		heap->debugfs = debugfs_create_dir("npheap", NULL);
		debugfs_create_file("locks", 0400, heap->debugfs, heap,
				    &counts_fops);
		return 0;
	}
	proc_remove(heap->proc);
	return -ENOMEM;
}

/**
 * npheap_proc_exit() - undo npheap_proc_init()
 * @heap: the heap
 *
 * Context: Process context, may sleep: waits for readers.
 */
void npheap_proc_exit(struct npheap_heap *heap)
{
	debugfs_remove(heap->debugfs);
	proc_remove(heap->proc);
}
