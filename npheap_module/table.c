// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of records that the kernel shares with user space, and how
 * processes get at it.
 *
 * A process that joins gets two mappings: the table, and a page of its own
 * with its epoch.  What a thread keeps about itself (that its descriptor still
 * is one of this heap, which owner it is) is good while the epoch stands; the
 * events that could make it wrong all pass through here and advance it.  A
 * child made by fork has the same TLS, but a blank page for an epoch, and so
 * joins for itself.
 */
#include "npheap.h"

#include <linux/file.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#define RECORDS_PER_PAGE (PAGE_SIZE / sizeof(struct npheap_record))

/* Page offsets in the file that a process maps. */
#define EPOCH_PGOFF 0
#define TABLE_PGOFF 1

/**
 * struct table_page - a page of records
 * @page: shared with user space, and so not to be trusted
 * @generation: of the records, as the kernel remembers it
 */
struct table_page {
	struct page *page;
	u32 generation[RECORDS_PER_PAGE];
};

/**
 * struct npheap_process - an address space that joined a heap
 * @heap: the heap
 * @node: in heap->processes
 * @mm_node: in heap->mms
 * @mm: the address space; only the structure is pinned
 * @files: its descriptor table, to know whose closes matter
 * @page: the epoch's
 * @epoch_addr: where it is mapped
 * @table_addr: where the table is mapped
 * @refs: of the file that it maps, and of its threads as owners
 * @end: tells of the end of @mm
 * @rcu: frees the memory
 */
struct npheap_process {
	struct npheap_heap *heap;
	struct hlist_node node;
	struct hlist_node mm_node;
	struct mm_struct *mm;
	fl_owner_t files;
	struct page *page;
	unsigned long epoch_addr;
	unsigned long table_addr;
	refcount_t refs;
#ifdef CONFIG_MMU_NOTIFIER
	struct mmu_interval_notifier end;
#endif
	struct rcu_head rcu;
};

/* ----------------------------------------------------------------- slots -- */

static struct table_page *table_page_new(void)
{
	struct table_page *tp = kzalloc(sizeof(*tp), GFP_KERNEL_ACCOUNT);

	if (!tp)
		return NULL;
	tp->page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (tp->page)
		return tp;
	kfree(tp);
	return NULL;
}

static void table_page_free(struct table_page *tp)
{
	if (!tp)
		return;
	__free_page(tp->page);
	kfree(tp);
}

/* Pages of the table are made as they are needed and stay. */
static struct table_page *table_page_get(struct npheap_heap *heap, u32 slot)
{
	unsigned long index = slot / RECORDS_PER_PAGE;
	struct table_page *tp = xa_load(&heap->table, index);
	struct table_page *other;

	if (tp)
		return tp;
	tp = table_page_new();
	if (!tp)
		return NULL;
	other = xa_cmpxchg(&heap->table, index, NULL, tp, GFP_KERNEL_ACCOUNT);
	if (!other)
		return tp;
	table_page_free(tp);
	return xa_is_err(other) ? NULL : other;
}

/**
 * npheap_slot_alloc() - give a lock a record in the table
 * @heap: the heap
 * @rec: the lock; its slot, generation and record are set
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, or -ENOSPC where the table is full.
 */
int npheap_slot_alloc(struct npheap_heap *heap, struct npheap_lock *rec)
{
	struct table_page *tp;
	int err;

	/* Reserved only: nobody shall find it before it is complete. */
	err = xa_alloc(&heap->slots, &rec->slot, NULL,
		       XA_LIMIT(0, NPHEAP_MAX_SLOTS - 1), GFP_KERNEL_ACCOUNT);
	if (err)
		return err == -EBUSY ? -ENOSPC : err;
	tp = table_page_get(heap, rec->slot);
	if (!tp) {
		xa_erase(&heap->slots, rec->slot);
		return -ENOMEM;
	}
	rec->generation = ++tp->generation[rec->slot % RECORDS_PER_PAGE];
	rec->shared = (struct npheap_record *)page_address(tp->page) +
		      rec->slot % RECORDS_PER_PAGE;
	return 0;
}

/**
 * npheap_slot_publish() - let npheap_slot_find() find a lock
 * @heap: the heap
 * @rec: a lock that npheap_slot_alloc() was called for
 *
 * Context: Any; allocates nothing, as the place is reserved.
 */
void npheap_slot_publish(struct npheap_heap *heap, struct npheap_lock *rec)
{
	xa_store(&heap->slots, rec->slot, rec, GFP_ATOMIC);
}

/**
 * npheap_slot_free() - take a record back
 * @heap: the heap
 * @rec: the lock
 *
 * A slot whose generations are used up is never used again, so that no
 * compare-and-swap can ever succeed with what was known of an old binding.
 *
 * Context: Any that may take a spinlock.
 */
void npheap_slot_free(struct npheap_heap *heap, struct npheap_lock *rec)
{
	if (rec->generation == U32_MAX)
		xa_store(&heap->slots, rec->slot, NULL, GFP_ATOMIC);
	else
		xa_erase(&heap->slots, rec->slot);
}

/**
 * npheap_slot_find() - the lock that has a slot
 * @heap: the heap
 * @slot: its number
 *
 * Context: RCU read side.
 * Return: the lock, which may just be going away, or NULL.
 */
struct npheap_lock *npheap_slot_find(struct npheap_heap *heap, u32 slot)
{
	return xa_load(&heap->slots, slot);
}

/* ------------------------------------------------------------- processes -- */

static void process_free(struct rcu_head *rcu)
{
	struct npheap_process *process =
		container_of(rcu, struct npheap_process, rcu);

	__free_page(process->page);
	kfree(process);
}

#ifdef CONFIG_MMU_NOTIFIER
/*
 * Whoever leaves an address space last comes here, and then takes it apart,
 * which lasts the longer the more is mapped.  Most often that is a thread in
 * its exit or exec, and it gives its locks back before.  A thread that was not
 * the last has nothing to take apart and soon comes to its task work, so there
 * is nothing to do for others: what is an owner's stays its own thread's.
 */
static bool process_invalidate(struct mmu_interval_notifier *end,
			       const struct mmu_notifier_range *range,
			       unsigned long seq)
{
	struct npheap_process *process =
		container_of(end, struct npheap_process, end);
	struct npheap_owner *owner;

	if (range->event != MMU_NOTIFY_RELEASE)
		return true;
	owner = npheap_owner_find(process->heap);
	if (owner && owner->process == process)
		npheap_lock_abandon(owner);
	return true;
}

static const struct mmu_interval_notifier_ops process_end_ops = {
	.invalidate = process_invalidate,
};

/*
 * A notifier of the whole address space would make every exit wait for a grace
 * period.  One of an interval does not, and its end is the end of all; other
 * news of the first page, where nothing is mapped, are rare.
 */
static int process_watch(struct npheap_process *process)
{
	return mmu_interval_notifier_insert(&process->end, process->mm, 0,
					    PAGE_SIZE, &process_end_ops);
}

static void process_unwatch(struct npheap_process *process)
{
	mmu_interval_notifier_remove(&process->end);
}
#else
static int process_watch(struct npheap_process *process)
{
	return 0;
}

static void process_unwatch(struct npheap_process *process)
{
}
#endif

/**
 * npheap_process_put() - release a process
 * @process: the process
 *
 * Context: Process context.
 */
void npheap_process_put(struct npheap_process *process)
{
	struct npheap_heap *heap = process->heap;

	if (!refcount_dec_and_test(&process->refs))
		return;
	/* Until here it can be found, but its references do not come back. */
	spin_lock(&heap->process_lock);
	hash_del_rcu(&process->node);
	hash_del_rcu(&process->mm_node);
	spin_unlock(&heap->process_lock);
	process_unwatch(process);
	mmdrop(process->mm);
	call_rcu(&process->rcu, process_free);
	module_put(THIS_MODULE);
}

static struct npheap_epoch *process_epoch(struct npheap_process *process)
{
	return page_address(process->page);
}

/**
 * npheap_process_advance() - make threads find out again who they are
 * @process: the process
 *
 * Epochs are numbered over the whole heap, so that none ever comes back.
 *
 * Context: Any.
 */
void npheap_process_advance(struct npheap_process *process)
{
	WRITE_ONCE(process_epoch(process)->epoch,
		   atomic64_inc_return(&process->heap->epochs));
}

static void process_unmapped(struct npheap_process *process)
{
	WRITE_ONCE(process_epoch(process)->unmapped,
		   atomic64_inc_return(&process->heap->epochs));
}

/**
 * npheap_table_unmapped() - an attachment went, perhaps without user space's
 * knowledge
 * @heap: the heap
 * @mm: the address space
 *
 * Context: Any.
 */
void npheap_table_unmapped(struct npheap_heap *heap, struct mm_struct *mm)
{
	struct npheap_process *process;

	rcu_read_lock();
	hash_for_each_possible_rcu(heap->mms, process, mm_node,
				   (unsigned long)mm)
		if (process->mm == mm)
			process_unmapped(process);
	rcu_read_unlock();
}

/**
 * npheap_table_flush() - a descriptor of the heap was closed
 * @heap: the heap
 * @files: the descriptor table
 *
 * Context: Process context.
 */
void npheap_table_flush(struct npheap_heap *heap, fl_owner_t files)
{
	struct npheap_process *process;

	rcu_read_lock();
	hash_for_each_possible_rcu(heap->processes, process, node,
				   (unsigned long)files)
		if (process->files == files)
			npheap_process_advance(process);
	rcu_read_unlock();
}

static struct npheap_process *process_find(struct npheap_heap *heap)
{
	struct npheap_process *process;

	hash_for_each_possible_rcu(heap->processes, process, node,
				   (unsigned long)current->files)
		if (process->mm == current->mm &&
		    process->files == current->files &&
		    refcount_inc_not_zero(&process->refs))
			return process;
	return NULL;
}

static struct npheap_process *process_new(struct npheap_heap *heap)
{
	struct npheap_process *process;
	int err = -ENOMEM;

	process = kzalloc(sizeof(*process), GFP_KERNEL_ACCOUNT);
	if (!process)
		return ERR_PTR(err);
	process->page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!process->page)
		goto free;
	process->heap = heap;
	process->mm = current->mm;
	process->files = current->files;
	refcount_set(&process->refs, 1);
	err = process_watch(process);
	if (err)
		goto free_page;
	mmgrab(process->mm);
	/* It can unmap everything, and still its end comes here. */
	__module_get(THIS_MODULE);
	npheap_process_advance(process);
	process_unmapped(process);
	return process;

free_page:
	__free_page(process->page);
free:
	kfree(process);
	return ERR_PTR(err);
}

/* --------------------------------------------------------------- mapping -- */

static vm_fault_t table_fault(struct vm_fault *vmf)
{
	struct npheap_process *process = vmf->vma->vm_file->private_data;
	struct npheap_heap *heap = process->heap;
	struct table_page *tp;

	if (vmf->pgoff == EPOCH_PGOFF) {
		vmf->page = process->mm == vmf->vma->vm_mm ? process->page :
			    heap->blank;
	} else {
		tp = xa_load(&heap->table, vmf->pgoff - TABLE_PGOFF);
		if (!tp)
			return VM_FAULT_SIGBUS;
		vmf->page = tp->page;
	}
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct table_vm_ops = {
	.fault = table_fault,
};

/*
 * The epoch can be read only, and the table is not for children, who map it
 * for themselves.
 */
static int table_mmap(struct file *file, struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_IO);
	vm_flags_clear(vma, VM_MAYEXEC);
	if (vma->vm_pgoff == EPOCH_PGOFF) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
	} else {
		vm_flags_set(vma, VM_DONTCOPY);
	}
	vma->vm_ops = &table_vm_ops;
	return 0;
}

static int table_release(struct inode *inode, struct file *file)
{
	npheap_process_put(file->private_data);
	return 0;
}

static const struct file_operations table_fops = {
	.owner = THIS_MODULE,
	.llseek = noop_llseek,
	.mmap = table_mmap,
	.release = table_release,
};

static struct file *table_file(struct npheap_process *process)
{
	struct npheap_heap *heap = process->heap;
	struct file *file;

	ihold(heap->table_inode);
	file = npheap_file(heap, heap->table_inode, &table_fops, O_RDWR);
	if (IS_ERR(file))
		return file;
	refcount_inc(&process->refs);
	file->private_data = process;
	return file;
}

static unsigned long table_size(void)
{
	return NPHEAP_MAPPED_SLOTS * sizeof(struct npheap_record);
}

static void process_unmap(struct npheap_process *process)
{
	vm_munmap(process->epoch_addr, PAGE_SIZE);
	if (process->table_addr)
		vm_munmap(process->table_addr, table_size());
}

static int process_map(struct npheap_process *process)
{
	struct file *file = table_file(process);
	unsigned long addr;

	if (IS_ERR(file))
		return PTR_ERR(file);
	addr = vm_mmap(file, 0, PAGE_SIZE, PROT_READ, MAP_SHARED,
		       EPOCH_PGOFF << PAGE_SHIFT);
	if (IS_ERR_VALUE(addr))
		goto put;
	process->epoch_addr = addr;
	addr = vm_mmap(file, 0, table_size(), PROT_READ | PROT_WRITE,
		       MAP_SHARED, TABLE_PGOFF << PAGE_SHIFT);
	if (IS_ERR_VALUE(addr))
		process_unmap(process);
	else
		process->table_addr = addr;
put:
	fput(file);
	return IS_ERR_VALUE(addr) ? (int)addr : 0;
}

/* Threads may join at the same time.  Returns who was there before, or NULL. */
static struct npheap_process *process_publish(struct npheap_process *process)
{
	struct npheap_heap *heap = process->heap;
	struct npheap_process *other;

	spin_lock(&heap->process_lock);
	other = process_find(heap);
	if (!other) {
		hash_add_rcu(heap->processes, &process->node,
			     (unsigned long)process->files);
		hash_add_rcu(heap->mms, &process->mm_node,
			     (unsigned long)process->mm);
	}
	spin_unlock(&heap->process_lock);
	return other;
}

static struct npheap_process *process_get(struct npheap_heap *heap)
{
	struct npheap_process *process, *other;
	int err;

	rcu_read_lock();
	process = process_find(heap);
	rcu_read_unlock();
	if (process)
		return process;
	process = process_new(heap);
	if (IS_ERR(process))
		return process;
	err = process_map(process);
	if (err) {
		npheap_process_put(process);
		return ERR_PTR(err);
	}
	other = process_publish(process);
	if (!other)
		return process;
	process_unmap(process);
	npheap_process_put(process);
	return other;
}

/**
 * npheap_table_join() - let the calling thread use the table
 * @heap: the heap
 * @join: what it needs to know
 *
 * Refused while another process shares the memory: after vfork() both have the
 * same TLS, and neither may leave there what the other would take for its own.
 * The ioctls are there for them.  Somebody who just looks at the memory, by
 * /proc say, counts as one, too, which costs no more than a slow call.
 *
 * Context: Process context, may sleep.
 * Return: 0, -EBUSY while the memory is shared, -EINTR where a signal came, or
 * another negative errno.
 */
int npheap_table_join(struct npheap_heap *heap, struct npheap_join *join)
{
	struct npheap_process *process, *old;
	struct npheap_owner *owner;

	if (current->vfork_done ||
	    atomic_read(&current->mm->mm_users) >
	    atomic_read(&current->signal->live))
		return -EBUSY;
	owner = npheap_owner_get(heap);
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	process = process_get(heap);
	if (IS_ERR(process))
		return PTR_ERR(process);
	old = owner->process;
	owner->process = process;
	if (old) {
		/* Closes in the descriptor table that it left are not seen. */
		if (old != process)
			npheap_process_advance(old);
		npheap_process_put(old);
	}
	*join = (struct npheap_join){
		.epoch_addr = process->epoch_addr,
		.epoch = READ_ONCE(process_epoch(process)->epoch),
		.table_addr = process->table_addr,
		.slots = NPHEAP_MAPPED_SLOTS,
		.owner = owner->id,
	};
	return 0;
}

/**
 * npheap_table_init() - make an empty table
 * @heap: the heap; its superblock is there
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int npheap_table_init(struct npheap_heap *heap)
{
	xa_init_flags(&heap->slots, XA_FLAGS_ALLOC | XA_FLAGS_ACCOUNT);
	xa_init_flags(&heap->table, XA_FLAGS_ACCOUNT);
	hash_init(heap->processes);
	hash_init(heap->mms);
	spin_lock_init(&heap->process_lock);
	heap->blank = alloc_page(GFP_KERNEL | __GFP_ZERO);
	heap->table_inode = new_inode(heap->mnt->mnt_sb);
	if (heap->blank && heap->table_inode)
		return 0;
	npheap_table_destroy(heap);
	return -ENOMEM;
}

/**
 * npheap_table_destroy() - undo npheap_table_init()
 * @heap: a heap that no process has mapped anything of, and without locks
 *
 * Context: Process context, may sleep.
 */
void npheap_table_destroy(struct npheap_heap *heap)
{
	struct table_page *tp;
	unsigned long index;

	xa_for_each(&heap->table, index, tp)
		table_page_free(tp);
	xa_destroy(&heap->table);
	xa_destroy(&heap->slots);
	if (heap->blank)
		__free_page(heap->blank);
	if (heap->table_inode)
		iput(heap->table_inode);
}
