/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that npheap supports.  The driver reads
 * like code for the newest of them; every #if on a version is in here.
 */
#ifndef NPHEAP_COMPAT_H
#define NPHEAP_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0) || \
	LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#error "npheap supports Linux 6.1 to 6.12; this kernel is another version."
#endif
#if !defined(CONFIG_64BIT) || !defined(CONFIG_MMU) || \
	!defined(CONFIG_TRACEPOINTS)
#error "npheap needs a 64-bit kernel with CONFIG_MMU and CONFIG_TRACEPOINTS."
#endif

#if defined(CONFIG_PREEMPTION) && !defined(CONFIG_TASKS_RCU)
#error "npheap needs CONFIG_TASKS_RCU on a preemptible kernel."
#endif

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
/* Before 6.4 the page cache said NULL where it now says -ENOENT. */
#define filemap_lock_folio(mapping, index) \
	npheap_filemap_lock_folio(mapping, index)
static inline struct folio *npheap_filemap_lock_folio(struct address_space *m,
						      pgoff_t index)
{
	struct folio *folio = (filemap_lock_folio)(m, index);

	return folio ?: ERR_PTR(-ENOENT);
}

#define filemap_get_folio(mapping, index) \
	npheap_filemap_get_folio(mapping, index)
static inline struct folio *npheap_filemap_get_folio(struct address_space *m,
						     pgoff_t index)
{
	struct folio *folio = (filemap_get_folio)(m, index);

	return folio ?: ERR_PTR(-ENOENT);
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define vm_flags_clear npheap_vm_flags_clear
static inline void npheap_vm_flags_clear(struct vm_area_struct *vma,
					 vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}

#define vm_flags_set npheap_vm_flags_set
static inline void npheap_vm_flags_set(struct vm_area_struct *vma,
				       vm_flags_t flags)
{
	vma->vm_flags |= flags;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
static inline void simple_inode_init_ts(struct inode *inode)
{
	inode->i_atime = current_time(inode);
	inode->i_mtime = inode->i_atime;
	inode->i_ctime = inode->i_atime;
}

/* Debian's 6.1 has it, other kernels of that age do not. */
#define inode_get_ctime(inode) npheap_inode_get_ctime(inode)
static inline struct timespec64
npheap_inode_get_ctime(const struct inode *inode)
{
	return inode->i_ctime;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
/* Pages became folios in this operation, too; npheap's ignores both. */
#define error_remove_folio error_remove_page
typedef struct page npheap_error_folio;
#else
typedef struct folio npheap_error_folio;
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
static inline unsigned long
mm_get_unmapped_area(struct mm_struct *mm, struct file *file,
		     unsigned long addr, unsigned long len,
		     unsigned long pgoff, unsigned long flags)
{
	return mm->get_unmapped_area(file, addr, len, pgoff, flags);
}
#endif

#endif
