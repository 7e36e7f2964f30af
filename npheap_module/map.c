// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings.  mmap on the device becomes a mapping of an object's own file
 * from its first byte; from there on the kernel's page cache does the work.
 */
#include "npheap.h"
#include "trace.h"

#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>

/* As many pages as the kernel itself maps around a fault. */
#define NPHEAP_SPARSE_WINDOW (16 * PAGE_SIZE)

static struct npheap_object *vma_object(const struct vm_area_struct *vma)
{
	return npheap_object(file_inode(vma->vm_file));
}

/*
 * A populated object is mapped a page table at a time, one fault where the
 * kernel's own window would cost up to 32.  Looking for the pages of a sparse
 * one all over a page table, at each of its faults, is what costs there.
 */
static unsigned long window_size(const struct npheap_object *obj)
{
	return npheap_object_sparse(obj) ? NPHEAP_SPARSE_WINDOW : PMD_SIZE;
}

/* Maps what there is around the fault, in this VMA and below the object's end. */
static vm_fault_t map_window(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct npheap_object *obj = vma_object(vma);
	unsigned long size = window_size(obj);
	unsigned long window = ALIGN_DOWN(vmf->address, size);
	unsigned long start = max(window, vma->vm_start);
	unsigned long end = min(window + size - 1, vma->vm_end - 1);
	pgoff_t pages = npheap_object_pages(obj);

	if (vmf->pgoff >= pages)
		return 0;
	return filemap_map_pages(vmf, linear_page_index(vma, start),
				 min(linear_page_index(vma, end), pages - 1));
}

/* Huge pages, or page tables' worth of small ones, mapped ahead of a fault. */
#define MAP_AHEAD 7

/* A huge page that is mapped lies inside one VMA. */
static bool follows_huge_page(const struct vm_fault *vmf)
{
	return (vmf->address & PMD_MASK) > vmf->vma->vm_start &&
	       pmd_index(vmf->address) > 0 &&
	       pmd_trans_huge(READ_ONCE(vmf->pmd[-1]));
}

static void map_other_window(struct vm_fault *vmf, unsigned long address,
			     pmd_t *pmd)
{
	struct vm_fault other = {
		.vma = vmf->vma,
		.gfp_mask = vmf->gfp_mask,
		.pgoff = linear_page_index(vmf->vma, address),
		.address = address,
		.real_address = address,
		.flags = vmf->flags,
		.pmd = pmd,
		.pud = vmf->pud,
		.prealloc_pte = vmf->prealloc_pte,
	};

	map_window(&other);
	/* NULL if it was used. */
	vmf->prealloc_pte = other.prealloc_pte;
}

/*
 * Who goes through a large object would take a fault for each huge page; where
 * the one before is mapped already, the next few are mapped, too.  A lone
 * access still pays for one.
 *
 * Everything stays in the VMA, which is locked, and in the table that the
 * fault found its PMD in, so there is nothing to look up or allocate.
 */
static void map_ahead(struct vm_fault *vmf)
{
	unsigned long address = (vmf->address & PMD_MASK) + PMD_SIZE;
	unsigned long last = min(vmf->address | ~PUD_MASK,
				 vmf->vma->vm_end - 1);
	pmd_t *pmd = vmf->pmd + 1;
	int i;

	if (!follows_huge_page(vmf))
		return;
	for (i = 0; i < MAP_AHEAD && address <= last; i++) {
		if (!vmf->prealloc_pte || !pmd_none(READ_ONCE(*pmd)))
			return;
		map_other_window(vmf, address, pmd++);
		address += PMD_SIZE;
	}
}

static vm_fault_t map_around(struct vm_fault *vmf)
{
	vm_fault_t ret = map_window(vmf);

	if (ret & VM_FAULT_NOPAGE)
		map_ahead(vmf);
	return ret;
}

static void count_fault(const struct vm_fault *vmf)
{
	struct npheap_object *obj = vma_object(vmf->vma);

	trace_npheap_fault(obj->key, vmf->pgoff, vmf->flags);
	npheap_count(obj->heap, faults);
}

/**
 * npheap_object_map_pages() - handle a fault of a read
 * @vmf: the fault
 * @start: of the kernel's own window, which ours contains
 * @end: of the same
 *
 * Context: Process context under RCU: where it cannot have the lock at once,
 * npheap_object_fault() comes.
 * Return: VM_FAULT_NOPAGE, or 0 where that has to do it.
 */
vm_fault_t npheap_object_map_pages(struct vm_fault *vmf, pgoff_t start,
				   pgoff_t end)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	vm_fault_t ret;

	if (!filemap_invalidate_trylock_shared(mapping))
		return 0;
	ret = map_around(vmf);
	filemap_invalidate_unlock_shared(mapping);
	if (ret & VM_FAULT_NOPAGE)
		count_fault(vmf);
	return ret;
}

static vm_fault_t map_page(struct vm_fault *vmf)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	struct folio *folio = filemap_lock_folio(mapping, vmf->pgoff);

	if (IS_ERR(folio))
		return VM_FAULT_SIGBUS;
	vmf->page = folio_file_page(folio, vmf->pgoff);
	if (!PageHWPoison(vmf->page))
		return VM_FAULT_LOCKED;
	folio_unlock(folio);
	folio_put(folio);
	return VM_FAULT_HWPOISON;
}

/*
 * Reads come here only where fault-around did not map the page.  Writes always
 * do, and get their fault-around from here: in a shared mapping it maps
 * writable, which is what spares the next fault.
 */
static vm_fault_t map_present(struct vm_fault *vmf)
{
	if ((vmf->flags & FAULT_FLAG_WRITE) &&
	    (vmf->vma->vm_flags & VM_SHARED) &&
	    map_around(vmf) & VM_FAULT_NOPAGE)
		return VM_FAULT_NOPAGE;
	return map_page(vmf);
}

/**
 * npheap_object_fault() - handle a fault of a write, or what is left of reads
 * @vmf: the fault
 *
 * The lock keeps the size, and what is beyond it, as it is.  A page that is
 * mapped after the lock is dropped is locked itself, and truncation waits for
 * that and finds it mapped.
 *
 * Context: Process context, mmap_lock held for reading.
 * Return: VM_FAULT_*.
 */
vm_fault_t npheap_object_fault(struct vm_fault *vmf)
{
	struct npheap_object *obj = vma_object(vmf->vma);
	struct address_space *mapping = obj->inode.i_mapping;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	count_fault(vmf);
	filemap_invalidate_lock_shared(mapping);
	if (vmf->pgoff < npheap_object_pages(obj) &&
	    (!npheap_object_sparse(obj) ||
	     !npheap_memory_fill(obj, vmf->pgoff)))
		ret = map_present(vmf);
	filemap_invalidate_unlock_shared(mapping);
	return ret;
}

static const struct vm_operations_struct object_vm_ops = {
	.fault = npheap_object_fault,
	.map_pages = npheap_object_map_pages,
};

static int object_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!npheap_allow_exec) {
		if (vma->vm_flags & VM_EXEC)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYEXEC);
	}
	vma->vm_ops = &object_vm_ops;
	return 0;
}

/**
 * npheap_object_release() - the end of a file of an object
 * @inode: of the object
 * @file: the file, of npheap_object_file()
 *
 * Context: Process context.
 * Return: 0.
 */
int npheap_object_release(struct inode *inode, struct file *file)
{
	npheap_count_down(npheap_object(inode)->heap, mappings);
	return 0;
}

/* Files of objects; user space sees them as what its mappings are of. */
const struct file_operations npheap_object_fops = {
	.owner = THIS_MODULE,
	.llseek = noop_llseek,
	.mmap = object_mmap,
	.get_unmapped_area = npheap_get_unmapped_area,
	.fsync = noop_fsync,
	.release = npheap_object_release,
};

/**
 * npheap_file() - a file that keeps the module loaded
 * @heap: the heap
 * @inode: of the heap's superblock; its reference is taken in any case
 * @fops: the file's operations, owned by this module
 * @flags: O_RDWR or O_RDONLY
 *
 * At its end a file drops a reference of the module, which alloc_file_pseudo()
 * does not take.
 *
 * Context: Process context, may sleep.
 * Return: the file or an ERR_PTR().
 */
struct file *npheap_file(struct npheap_heap *heap, struct inode *inode,
			 const struct file_operations *fops, int flags)
{
	struct file *file;

	__module_get(THIS_MODULE);
	file = alloc_file_pseudo(inode, heap->mnt, "npheap", flags, fops);
	if (IS_ERR(file)) {
		iput(inode);
		module_put(THIS_MODULE);
	}
	return file;
}

/**
 * npheap_object_file() - a file of an object, for a mapping
 * @obj: the object
 * @fops: the file's operations, with npheap_object_release()
 * @flags: O_RDWR or O_RDONLY
 *
 * It counts as a mapping, and it has no time stamps to keep.
 *
 * Context: Process context, may sleep.
 * Return: the file or an ERR_PTR().
 */
struct file *npheap_object_file(struct npheap_object *obj,
				const struct file_operations *fops, int flags)
{
	struct file *file;

	ihold(&obj->inode);
	file = npheap_file(obj->heap, &obj->inode, fops, flags);
	if (IS_ERR(file))
		return file;
	file->f_mode |= FMODE_NOCMTIME;
	npheap_count(obj->heap, mappings);
	return file;
}

/**
 * npheap_map() - map the object that a VMA of the device asks for
 * @heap: the heap
 * @vma: a new VMA of the device; its page offset is the key
 *
 * Context: Process context, mmap_lock held for writing.
 * Return: 0, or -EOVERFLOW, -EACCES, or an error of npheap_object_open().
 */
int npheap_map(struct npheap_heap *heap, struct vm_area_struct *vma)
{
	u64 size = vma->vm_end - vma->vm_start;
	struct npheap_create args = {
		.key = vma->vm_pgoff,
		.size = size,
		.max_size = size,
		.flags = vma->vm_flags & VM_NORESERVE ? NPHEAP_CREATE_SPARSE : 0,
	};
	struct file *file;
	int err;

	if (args.key > NPHEAP_KEY_LIMIT)
		return -EOVERFLOW;
	/* Before the object is created: a refusal shall leave none behind. */
	err = object_mmap(vma->vm_file, vma);
	if (err)
		return err;
	file = npheap_object_open(heap, &args,
				  vma->vm_file->f_mode & FMODE_WRITE);
	if (IS_ERR(file))
		return PTR_ERR(file);
	vma_set_file(vma, file);
	fput(file);
	/* Every mapping starts at the first byte, and so none can merge. */
	vma->vm_pgoff = 0;
	npheap_count(heap, attaches);
	trace_npheap_attach(args.key, size);
	return 0;
}

/**
 * npheap_get_unmapped_area() - choose an address that huge pages can map
 * @file: the device, or an object
 * @addr: what the caller would like, or 0
 * @len: bytes
 * @pgoff: the key, which says nothing about addresses
 * @flags: MAP_*
 *
 * Context: Process context, mmap_lock held for writing.
 * Return: an address or a negative errno.
 */
unsigned long npheap_get_unmapped_area(struct file *file, unsigned long addr,
				       unsigned long len, unsigned long pgoff,
				       unsigned long flags)
{
	struct mm_struct *mm = current->mm;
	unsigned long plain, padded;

	plain = mm_get_unmapped_area(mm, file, addr, len, 0, flags);
	if (len < PMD_SIZE || IS_ERR_VALUE(plain) || plain == addr ||
	    IS_ALIGNED(plain, PMD_SIZE))
		return plain;
	padded = mm_get_unmapped_area(mm, file, 0, len + PMD_SIZE - PAGE_SIZE,
				      0, flags);
	return IS_ERR_VALUE(padded) ? plain : ALIGN(padded, PMD_SIZE);
}
