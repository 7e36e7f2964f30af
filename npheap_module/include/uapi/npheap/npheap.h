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
 *	Every mapping starts at the object's first byte.  With MAP_NORESERVE
 *	(which the kernel ignores where vm.overcommit_memory is 2)
 *	the object that it creates is a sparse one (NPHEAP_CREATE_SPARSE).
 *
 *	What works on a shared mapping of a file works on these: mprotect,
 *	mremap, mlock, msync, fork, MAP_PRIVATE, madvise, O_DIRECT, io_uring.
 *	Not: MADV_REMOVE is EPERM (see NPHEAP_IOC_PUNCH), MADV_FREE and
 *	MADV_WIPEONFORK are EINVAL, as on any file's, and Linux 6.1 refuses
 *	registered buffers of io_uring (EOPNOTSUPP).
 *
 *	EACCES     PROT_EXEC (see the module parameter allow_exec), or a
 *	           shared writable mapping of a descriptor opened read-only
 *	EINVAL     the length is 0
 *	EOVERFLOW  the key is above NPHEAP_KEY_MAX
 *	ENOENT     no such object, and the descriptor was opened read-only
 *	ENFILE     the system has no room for another file: a mapping is one
 *	EINTR      the caller was killed
 *	ENOSPC     the heap's limit on bytes or on objects is reached
 *	EDQUOT     the limit on what one user may have of these is reached
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
 *	                      EDQUOT: the limit on those of one user.
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

/*
 * Locks and sizes without system calls.
 *
 * A key that is in use has a record in a table that the kernel shares with
 * every process that joined the heap.  The table is found by NPHEAP_IOC_JOIN,
 * a key's record by NPHEAP_IOC_BIND.  A record is bound to its key for as
 * long as the generation in its word stays the same.
 *
 *	lock	compare and swap   GENERATION:0     to  GENERATION:OWNER
 *	unlock	compare and swap   GENERATION:OWNER to  GENERATION:0
 *	size	load the word, the size and the word; the generation must be
 *		right both times
 *	notify	load the event, and if it is even, compare and swap it with
 *		itself plus 2
 *
 * and where the word (the event) is not what is expected there, because the
 * key is held, waited for or marked, or its record has gone to another key,
 * the ioctl does it.  Protocol and proof: docs/locking.md.
 *
 * The kernel never trusts what is in the table.  Whoever may write to it can
 * make locks exclude nobody, and delay those who wait for them, and nothing
 * else.
 */

/* The word of a record. */
#define NPHEAP_WORD_OWNER	0x0fffffffULL	/* who holds it; 0: nobody */
#define NPHEAP_WORD_WAITERS	(1ULL << 28)	/* unlock must wake somebody */
#define NPHEAP_WORD_MARKED	(1ULL << 29)	/* a holder died */
#define NPHEAP_WORD_SHARED	(1ULL << 30)	/* held by readers */
#define NPHEAP_WORD_GENERATION(generation) ((__u64)(generation) << 32)

/**
 * struct npheap_record - what the kernel shares about a key, a cache line
 * @word: the state of the lock, NPHEAP_WORD_*
 * @size: the object's size in bytes, 0 where there is none
 * @event: counts notifications by 2; odd while somebody waits for one
 * @object: the number of the key's object, which no other has, 0 where there
 *	    is none
 * @reserved: 0
 */
struct npheap_record {
	__u64 word;
	__u64 size;
	__u64 event;
	__u64 object;
	__u64 reserved[4];
};

/**
 * struct npheap_epoch - what the kernel tells a process that joined
 * @epoch: changes when what the process knows of its threads may be wrong
 * @unmapped: changes when an attachment went that the process did not detach
 *
 * No value of either ever comes back, in this process or in another.
 */
struct npheap_epoch {
	__u64 epoch;
	__u64 unmapped;
};

/**
 * struct npheap_join - argument of NPHEAP_IOC_JOIN
 * @epoch_addr: out: address of a struct npheap_epoch, to be read only
 * @epoch: out: its value
 * @table_addr: out: address of record 0
 * @slots: out: how many records are there; others are used by ioctl only
 * @owner: out: the calling thread's number, for the word of a record
 *
 * @owner, and what the caller knows about its descriptor and its thread, is
 * valid for as long as the epoch at @epoch_addr has the value @epoch.  It
 * changes when the process closes a descriptor of the heap and when another
 * process comes to share its memory; and a child made by fork reads 0 there.
 * EBUSY: another process, as made by vfork, shares the memory at present.
 * EINTR: a signal came; a process may have to try again for its first time.
 */
struct npheap_join {
	__u64 epoch_addr;
	__u64 epoch;
	__u64 table_addr;
	__u32 slots;
	__u32 owner;
};

/**
 * struct npheap_bind - argument of NPHEAP_IOC_BIND
 * @key: in: the key
 * @slot: out: the number of its record
 * @generation: out: of the record
 *
 * Valid for the calling thread: the kernel notes that this thread knows the
 * record, and looks there when the thread dies.
 */
struct npheap_bind {
	__u64 key;
	__u32 slot;
	__u32 generation;
};

/**
 * struct npheap_attach - argument of NPHEAP_IOC_ATTACH and _DETACH
 * @key: the key
 * @size: ATTACH: in bytes, of a new object; 0: do not create one
 * @addr: where the object is mapped; ATTACH: in: may be mapped, or 0
 * @length: how many bytes; in and out as @addr
 * @object: its number; in and out as @addr
 * @number: of the attachment, which no other has; in and out as @addr
 *
 * ATTACH maps the whole object of a key, writable if the descriptor is, and
 * creates it as mmap does, unless that is what the attachment @number already
 * has at @addr, made by this process or by one that it was forked from.  DETACH
 * unmaps it, @size is 0; EINVAL: that is not, or not wholly, there any more.
 * Both also by a descriptor that was opened read-only.  Who unmaps it in
 * another way changes the unmapped word of its epoch page.
 */
struct npheap_attach {
	__u64 key;
	__u64 size;
	__u64 addr;
	__u64 length;
	__u64 object;
	__u64 number;
};

/* Flags of struct npheap_lock_args. */
#define NPHEAP_LOCK_TRY		0x1	/* EBUSY instead of waiting */
#define NPHEAP_LOCK_SHARED	0x2	/* together with other readers */
#define NPHEAP_LOCK_REPORT	0x4	/* EOWNERDEAD, ENOTRECOVERABLE */

/**
 * struct npheap_lock_args - argument of NPHEAP_IOC_LOCK
 * @key: the key
 * @timeout: when to give up, CLOCK_MONOTONIC in ns; all ones: never
 * @flags: NPHEAP_LOCK_*
 * @reserved: 0
 *
 * As NPHEAP_IOCTL_LOCK, and: EBUSY or ETIMEDOUT; with NPHEAP_LOCK_REPORT
 * EOWNERDEAD means that the caller holds the lock and that a holder before it
 * died, which NPHEAP_IOC_CONSISTENT settles; unlocking without that makes it
 * ENOTRECOVERABLE for those who ask for reports.
 */
struct npheap_lock_args {
	__u64 key;
	__u64 timeout;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct npheap_event - argument of NPHEAP_IOC_EVENT, _WAIT and _NOTIFY
 * @key: the key
 * @event: EVENT: out: the record's event, without bit 0; WAIT: sleep only while
 *	   the record's event is this, but for bit 0
 * @timeout: WAIT: when to give up, CLOCK_MONOTONIC in ns; all ones: never
 * @count: NOTIFY: how many waiters to wake at most
 * @reserved: 0
 *
 * What a command does not use is 0.
 */
struct npheap_event {
	__u64 key;
	__u64 event;
	__u64 timeout;
	__u32 count;
	__u32 reserved;
};

/* What a watch tells of a key, and is asked to. */
#define NPHEAP_WATCH_NOTIFY	0x1	/* it was notified */
#define NPHEAP_WATCH_SIZE	0x2	/* its object was created or resized */
#define NPHEAP_WATCH_DELETE	0x4	/* its object was deleted */
#define NPHEAP_WATCH_DEATH	0x8	/* a holder died, or its lock was broken */

/**
 * struct npheap_watch_key - argument of NPHEAP_IOC_WATCH_SET, and what is read
 * @key: the key
 * @events: NPHEAP_WATCH_*: what to look for, 0 to watch the key no more; read:
 *	    what happened since the key was read last, at least once
 * @reserved: 0
 *
 * NPHEAP_IOC_WATCH makes a watch, a descriptor for poll, epoll and read.  It is
 * readable while something happened to one of its keys.  read(2) returns such
 * keys, as many as fit; EINVAL where not even one does.  Look at the data after
 * reading: what happened before is not told again.
 *
 * NPHEAP_IOC_WATCH_SET is for the watch.  EINVAL, EOVERFLOW; ENOENT there is no
 * such key in the watch; ENOSPC the heap's limit on lock records; ENOMEM.
 */
struct npheap_watch_key {
	__u64 key;
	__u32 events;
	__u32 reserved;
};

/* Flags of NPHEAP_IOC_WATCH. */
#define NPHEAP_WATCH_CLOEXEC	0x1
#define NPHEAP_WATCH_NONBLOCK	0x2
/*
 * Objects, created in a system call of its own.
 *
 * All pages of an object are allocated when it is created, so that no later
 * access can fail for want of memory.  Those of a sparse object come when they
 * are touched, by a read or a write; SIGBUS is what happens where a limit is
 * reached, or the memory is used up, by then.  So does the touch of a page
 * beyond the end of any object, and nothing else.
 */

/* Flags of struct npheap_create. */
#define NPHEAP_CREATE_SPARSE	0x1	/* pages come at the first touch */

/**
 * struct npheap_create - argument of NPHEAP_IOC_CREATE
 * @key: the key
 * @size: in bytes; rounded up to pages; not 0
 * @max_size: the size that NPHEAP_IOC_RESIZE may give it at most; rounded up;
 *	      0: @size
 * @flags: NPHEAP_CREATE_*
 * @reserved: 0
 *
 * Creates an object, zero-filled, or fails with EEXIST; EINVAL where @size is 0
 * or above @max_size, EFBIG where no file can be so large, ENOSPC, EDQUOT and
 * ENOMEM as mmap(2).  Can be killed while it allocates, and leaves nothing
 * behind then.
 */
struct npheap_create {
	__u64 key;
	__u64 size;
	__u64 max_size;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct npheap_create_many - argument of NPHEAP_IOC_CREATE_MANY
 * @items: address of an array of struct npheap_create
 * @count: its length, INT_MAX at most
 * @reserved: 0
 *
 * Creates one after the other, and returns how many.  The first that fails ends
 * it; if nothing was created before, its error is returned.
 */
struct npheap_create_many {
	__u64 items;
	__u32 count;
	__u32 reserved;
};

/* Flags of struct npheap_resize and struct npheap_punch. */
#define NPHEAP_RESIZE_FORCE	0x1	/* also where other processes map it */

/**
 * struct npheap_resize - argument of NPHEAP_IOC_RESIZE
 * @key: the key
 * @size: the new size in bytes; rounded up to pages; not 0
 * @flags: NPHEAP_RESIZE_FORCE
 * @reserved: 0
 *
 * Growth is seen through every mapping that is long enough; EFBIG above the
 * object's max_size, ENOSPC, EDQUOT and ENOMEM as at its creation.
 *
 * Shrinking takes the pages beyond the new end away; touching them is SIGBUS
 * from then on.  EBUSY where another process maps one of them, which
 * NPHEAP_RESIZE_FORCE overrides, for the user who created the object and for
 * CAP_SYS_ADMIN (others: EPERM); and where a large page that the new end cuts
 * is in use for I/O.
 *
 * ENOENT: no such object.  EPERM: sealed.  What fails changes nothing.
 */
struct npheap_resize {
	__u64 key;
	__u64 size;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct npheap_punch - argument of NPHEAP_IOC_PUNCH
 * @key: the key
 * @offset: where the range begins, in bytes, a multiple of the page size
 * @length: of the range, a multiple of the page size and not 0
 * @flags: NPHEAP_RESIZE_FORCE
 * @reserved: 0
 *
 * The range, which is inside the object (else EINVAL), reads as zeroes
 * afterwards.  A sparse object gives its memory back.  Others keep it, so that
 * writing there cannot fail.  EBUSY, EPERM, ENOENT as NPHEAP_IOC_RESIZE.
 */
struct npheap_punch {
	__u64 key;
	__u64 offset;
	__u64 length;
	__u32 flags;
	__u32 reserved;
};

/* Seals: what nobody can do to the object any more, not even by force. */
#define NPHEAP_SEAL_SHRINK	0x1	/* shrink it, or punch */
#define NPHEAP_SEAL_GROW	0x2	/* let it grow */
#define NPHEAP_SEAL_SEAL	0x4	/* add seals */

/**
 * struct npheap_seal - argument of NPHEAP_IOC_SEAL
 * @key: the key
 * @seals: NPHEAP_SEAL_* to add
 * @reserved: 0
 *
 * Seals are for ever, that is, until the object is deleted.  ENOENT: no such
 * object.  EPERM: NPHEAP_SEAL_SEAL was added before.
 */
struct npheap_seal {
	__u64 key;
	__u32 seals;
	__u32 reserved;
};

/**
 * struct npheap_stat - argument of NPHEAP_IOC_STAT
 * @key: in: the key
 * @size: out: in bytes
 * @max_size: out: how large it may grow
 * @resident: out: bytes of memory that it has
 * @generation: out: another number for each object that ever was; the inode
 *		number in /proc/PID/maps
 * @mappings: out: calls of mmap whose mapping is there; what a child of fork
 *	      got from its parent counts together with the parent's
 * @flags: out: NPHEAP_CREATE_*
 * @seals: out: NPHEAP_SEAL_*
 * @creator: out: pid that the process had that created it, in the caller's pid
 *	     namespace, or 0 where it is not there
 * @uid: out: of the user who created it, in the caller's user namespace
 * @created: out: when that was, in ns since 1970
 *
 * Also by a descriptor that was opened read-only.  ENOENT: no such object.
 */
struct npheap_stat {
	__u64 key;
	__u64 size;
	__u64 max_size;
	__u64 resident;
	__u64 generation;
	__u64 mappings;
	__u32 flags;
	__u32 seals;
	__s32 creator;
	__u32 uid;
	__u64 created;
};

#define NPHEAP_IOC_JOIN		_IOR('N', 0xc0, struct npheap_join)
#define NPHEAP_IOC_BIND		_IOWR('N', 0xc1, struct npheap_bind)
#define NPHEAP_IOC_LOCK		_IOW('N', 0xc2, struct npheap_lock_args)
/* The argument points at the key. */
#define NPHEAP_IOC_CONSISTENT	_IOW('N', 0xc3, __u64)
#define NPHEAP_IOC_BREAK	_IOW('N', 0xc4, __u64)
#define NPHEAP_IOC_EVENT	_IOWR('N', 0xc5, struct npheap_event)
#define NPHEAP_IOC_WAIT		_IOW('N', 0xc6, struct npheap_event)
#define NPHEAP_IOC_NOTIFY	_IOW('N', 0xc7, struct npheap_event)
/* The argument points at flags; returns the watch's descriptor. */
#define NPHEAP_IOC_WATCH	_IOW('N', 0xc8, __u32)
#define NPHEAP_IOC_ATTACH	_IOWR('N', 0xd1, struct npheap_attach)
#define NPHEAP_IOC_DETACH	_IOW('N', 0xd2, struct npheap_attach)
#define NPHEAP_IOC_WATCH_SET	_IOW('N', 0xd0, struct npheap_watch_key)
#define NPHEAP_IOC_CREATE	_IOW('N', 0xc9, struct npheap_create)
#define NPHEAP_IOC_CREATE_MANY	_IOW('N', 0xca, struct npheap_create_many)
#define NPHEAP_IOC_RESIZE	_IOW('N', 0xcb, struct npheap_resize)
#define NPHEAP_IOC_PUNCH	_IOW('N', 0xcc, struct npheap_punch)
#define NPHEAP_IOC_SEAL		_IOW('N', 0xcd, struct npheap_seal)
#define NPHEAP_IOC_STAT		_IOWR('N', 0xce, struct npheap_stat)

#endif
