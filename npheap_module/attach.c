// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attachments: mappings that a process makes once and then shares among all
 * who ask for the object in it.
 *
 * User space remembers them and uses them again without asking.  What could
 * make it wrong is that the program unmaps, moves or replaces such a mapping
 * by itself; the process is told of that through its epoch page, and asks
 * again whether what it remembers is still there.
 */
#include "npheap.h"
#include "trace.h"

#include <linux/file.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/module.h>

static void attached_close(struct vm_area_struct *vma)
{
	struct npheap_heap *heap = npheap_object(file_inode(vma->vm_file))->heap;
	struct npheap_owner *owner;

	/* A thread that detaches has forgotten the mapping before. */
	owner = npheap_owner_find(heap);
	if (!owner || !owner->detaching)
		npheap_table_unmapped(heap, vma->vm_mm);
}

static const struct vm_operations_struct attached_vm_ops = {
	.close = attached_close,
	.fault = npheap_object_fault,
	.map_pages = npheap_object_map_pages,
};

static int attached_mmap(struct file *file, struct vm_area_struct *vma)
{
	int err = npheap_object_fops.mmap(file, vma);

	if (!err)
		vma->vm_ops = &attached_vm_ops;
	return err;
}

static const struct file_operations attached_fops = {
	.owner = THIS_MODULE,
	.llseek = noop_llseek,
	.mmap = attached_mmap,
	.get_unmapped_area = npheap_get_unmapped_area,
	.fsync = noop_fsync,
	.release = npheap_object_release,
};

/* Whether @vma has the page of an attachment that belongs at @addr. */
static bool vma_attaches(const struct vm_area_struct *vma,
			 const struct npheap_heap *heap,
			 const struct npheap_attach *args, unsigned long addr,
			 vm_flags_t rights)
{
	const struct inode *inode;

	if (!vma || vma->vm_start > addr || vma->vm_ops != &attached_vm_ops)
		return false;
	if ((vma->vm_flags & rights) != rights)
		return false;
	inode = file_inode(vma->vm_file);
	return npheap_object((struct inode *)inode)->heap == heap &&
	       (u64)vma->vm_file->private_data == args->number &&
	       vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT) ==
	       (addr - args->addr) >> PAGE_SHIFT;
}

/* Whether the attachment is where and as it was made.  It may be in parts. */
static bool is_attached(const struct npheap_heap *heap,
			const struct npheap_attach *args, vm_flags_t rights)
{
	struct mm_struct *mm = current->mm;
	unsigned long addr = args->addr;
	unsigned long end = addr + args->length;
	struct vm_area_struct *vma;
	bool whole = end > addr;

	mmap_read_lock(mm);
	while (whole && addr < end) {
		vma = find_vma(mm, addr);
		whole = vma_attaches(vma, heap, args, addr, rights);
		if (whole)
			addr = vma->vm_end;
		cond_resched();
	}
	mmap_read_unlock(mm);
	return whole;
}

static int attach_new(struct npheap_object *obj, bool writable,
		      struct npheap_attach *args)
{
	u64 length = obj->max_size;
	struct file *file;
	unsigned long addr;

	file = npheap_object_file(obj, &attached_fops,
				  writable ? O_RDWR : O_RDONLY);
	if (IS_ERR(file))
		return PTR_ERR(file);
	args->number = atomic64_inc_return(&obj->heap->attachments);
	file->private_data = (void *)args->number;
	addr = vm_mmap(file, 0, length,
		       PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, 0);
	fput(file);
	if (IS_ERR_VALUE(addr))
		return (int)addr;
	args->addr = addr;
	args->length = length;
	npheap_count(obj->heap, attaches);
	trace_npheap_attach(obj->key, length);
	return 0;
}

static struct npheap_object *object_get(struct npheap_heap *heap,
					const struct npheap_attach *args,
					bool create)
{
	const struct npheap_create new = {
		.key = args->key,
		.size = args->size,
		.max_size = args->size,
	};
	struct npheap_object *obj;
	int err;

	for (;;) {
		obj = npheap_object_get(heap, args->key);
		if (obj != ERR_PTR(-ENOENT) || !create)
			return obj;
		err = npheap_object_create(heap, &new);
		if (err && err != -EEXIST)
			return ERR_PTR(err);
	}
}

/**
 * npheap_attach() - map an object, unless it is mapped where the caller thinks
 * @heap: the heap
 * @args: the key, and the answer
 * @writable: whether the caller may create and write
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error of npheap_object_get(), npheap_object_create() or mmap.
 */
int npheap_attach(struct npheap_heap *heap, struct npheap_attach *args,
		  bool writable)
{
	struct npheap_object *obj;
	u64 expected = args->object;
	int err = 0;

	obj = object_get(heap, args, writable && args->size);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	args->object = obj->inode.i_ino;
	if (expected != args->object ||
	    !is_attached(heap, args, writable ? VM_MAYWRITE : 0))
		err = attach_new(obj, writable, args);
	npheap_object_put(obj);
	return err;
}

/**
 * npheap_detach() - unmap what npheap_attach() mapped
 * @heap: the heap
 * @args: its answer
 *
 * Context: Process context, may sleep.
 * Return: 0, -EINVAL where there is no such mapping, or another error of
 * munmap.
 */
int npheap_detach(struct npheap_heap *heap, const struct npheap_attach *args)
{
	struct npheap_owner *owner;
	int err;

	if (!is_attached(heap, args, 0))
		return -EINVAL;
	owner = npheap_owner_find(heap);
	if (owner)
		owner->detaching = true;
	err = vm_munmap(args->addr, args->length);
	if (owner)
		owner->detaching = false;
	return err;
}
