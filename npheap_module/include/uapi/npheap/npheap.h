/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * NP-Heap kernel ABI: /dev/npheap.
 *
 * A heap holds objects, page-aligned memory that the kernel owns, each found
 * by an integer key.  An object lives until it is deleted or the module is
 * unloaded; it outlives every process that used it.
 *
 * mmap(2)
 *	The page offset is the key, so the file offset is key * page size.
 *	The first mapping of a key creates the object, zero-filled, with the
 *	mapping's length as its size; later mappings share it whatever their
 *	length.  Touching a page beyond the object's end raises SIGBUS.
 *	Every mapping starts at the object's first byte.
 *
 *	EACCES     PROT_EXEC (see the module parameter allow_exec), or a
 *	           shared writable mapping of a descriptor opened read-only
 *	EINVAL     the length is 0
 *	EOVERFLOW  the key is above NPHEAP_KEY_MAX
 *	ENOENT     no such object, and the descriptor was opened read-only
 *	ENOSPC     the heap's limit on bytes or on objects is reached
 *	ENOMEM     the kernel, or the caller's memory cgroup, is out of memory
 *
 * ioctl(2)
 *	The commands below.  Only ->offset is read; it is in bytes, key * page
 *	size.  ->op, ->size and ->data may hold anything.
 *
 *	NPHEAP_IOCTL_LOCK     Wait until the calling thread holds the key's
 *	                      lock.  Needs no object.  A handler may run in
 *	                      the meantime; the wait then goes on, and EINTR
 *	                      is never returned.  The lock comes free when
 *	                      its holder unlocks it or dies.
 *	                      EDEADLK: the thread holds it already.
 *	                      ENOSPC: the heap's limit on lock records.
 *	NPHEAP_IOCTL_UNLOCK   Give the lock back.
 *	                      EPERM: the calling thread does not hold it.
 *	NPHEAP_IOCTL_DELETE   Forget the key.  Mappings of the object keep its
 *	                      memory until the last of them goes.  Returns 0
 *	                      also where there is no such object.
 *	NPHEAP_IOCTL_GETSIZE  Store the object's size in bytes into ->size, 0
 *	                      where there is none.  The return value is the
 *	                      same number, or INT_MAX where it is above that.
 *
 *	Each of them: EFAULT a bad pointer; EINVAL ->offset is not a multiple
 *	of the page size; EOVERFLOW the key is above NPHEAP_KEY_MAX.  LOCK,
 *	UNLOCK and DELETE: EBADF the descriptor was opened read-only.
 *	ENOTTY: any other command.
 *
 *	The numbers 'N' 0x47-0x49, 0x50 and 0x51 belong to layers above
 *	NP-Heap, 0x80-0x8f to ntsync; new commands take 0xc0-0xdf.
 */
#ifndef _UAPI_NPHEAP_NPHEAP_H
#define _UAPI_NPHEAP_NPHEAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The largest key: what a signed file offset can carry, in 4 KiB pages. */
#define NPHEAP_KEY_MAX ((1ULL << 51) - 1)

/**
 * struct npheap_cmd - argument of the NPHEAP_IOCTL_* commands
 * @op: not used
 * @offset: in: key * page size
 * @size: out of NPHEAP_IOCTL_GETSIZE: the object's size in bytes
 * @data: not used
 */
struct npheap_cmd {
	__u64 op;
	__u64 offset;
	__u64 size;
	void *data;
};

#define NPHEAP_IOCTL_LOCK	_IOWR('N', 0x43, struct npheap_cmd)
#define NPHEAP_IOCTL_UNLOCK	_IOWR('N', 0x44, struct npheap_cmd)
#define NPHEAP_IOCTL_DELETE	_IOWR('N', 0x45, struct npheap_cmd)
#define NPHEAP_IOCTL_GETSIZE	_IOWR('N', 0x46, struct npheap_cmd)

#endif
