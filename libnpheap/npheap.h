/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnpheap: shared memory objects that outlive their processes.
 *
 * A heap is a device, /dev/npheap, that holds objects found by an integer key
 * from 0 to NPHEAP_KEY_MAX.  Whoever maps the same key shares the same
 * memory.  Each key also has a lock, held by a thread, which the kernel gives
 * back when that thread dies.
 *
 * The calls come in two sets that can be mixed freely.  The first works on a
 * handle and reports errors as negative errno values; new programs use it.
 * The second is the classic set, on a file descriptor and with errno.
 *
 * All calls may be made from any thread at any time.  In signal handlers: the
 * classic calls, and on a handle npheap_map, unmap, size, create, remove, the
 * locks with their references, and events; not npheap_open, close, attach and
 * detach.  A handler that forks must not return in the child.
 */
#ifndef NPHEAP_LIB_H
#define NPHEAP_LIB_H

#include <stddef.h>
#include <stdint.h>
#include <npheap/npheap.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The device that npheap_open() takes where it is given no other. */
#define NPHEAP_DEVICE "/dev/npheap"

/** npheap_open(): map objects for reading only; create and lock nothing. */
#define NPHEAP_RDONLY 0x1u

/** An open heap. */
struct npheap;

/**
 * npheap_open() - open a heap
 * @path: the device; NULL means NPHEAP_DEVICE
 * @flags: 0 or NPHEAP_RDONLY
 * @heap: where the handle is stored; release it with npheap_close()
 *
 * The descriptor is closed on exec.  A child made by fork may use the handle.
 *
 * Return: 0, or -EINVAL (unknown flags), -ENOENT (the module is not loaded),
 * -EACCES (no permission), -ENOTTY (@path is not a heap), -ENOMEM or another
 * error of open(2).  *@heap is written on success only.
 */
int npheap_open(const char *path, unsigned int flags, struct npheap **heap);

/**
 * npheap_close() - close a heap
 * @heap: the handle; NULL is allowed
 *
 * Mappings stay, and so do locks that the caller holds.
 */
void npheap_close(struct npheap *heap);

/**
 * npheap_fd() - the descriptor behind a handle, for poll or the classic calls
 * @heap: the handle, which goes on owning the descriptor
 */
int npheap_fd(const struct npheap *heap);

/**
 * npheap_map() - map an object, and create it where there is none
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @size: bytes to map, rounded up to pages; also the size of a new object
 * @addr: where the address is stored
 *
 * A new object is zero-filled.  The size of an existing object does not
 * change; touching a page beyond its end raises SIGBUS.  Through a handle
 * opened with NPHEAP_RDONLY the mapping is read-only and nothing is created.
 *
 * Return: 0, or -EINVAL (@size is 0), -EOVERFLOW (@key), -ENOENT (read-only
 * and no such object), -ENOSPC (a limit of the heap is reached), -EDQUOT (a
 * limit of the user) or -ENOMEM.  A large object may have been created also
 * where there is no room for its mapping (-ENOMEM).
 */
int npheap_map(struct npheap *heap, uint64_t key, size_t size, void **addr);

/**
 * npheap_unmap() - undo npheap_map()
 * @addr: the address that npheap_map() stored
 * @size: the same size
 *
 * Return: 0, or -EINVAL.
 */
int npheap_unmap(void *addr, size_t size);

/**
 * struct npheap_mapping - an object as it is attached
 * @addr: its first byte
 * @size: bytes that are mapped: what the object may grow to; npheap_size() says
 *        how many are there now, and touching one beyond raises SIGBUS
 * @key: the key
 */
struct npheap_mapping {
	void *addr;
	uint64_t size;
	uint64_t key;
};

/**
 * npheap_attach() - map an object once in this process, and share the mapping
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @size: of a new object, in bytes; 0: do not create one
 * @mapping: where the attachment is stored; read only, and good until it is
 *           given back by npheap_detach()
 *
 * Whoever attaches the same object in the process gets the same addresses, from
 * the second time on without a system call.  The last npheap_detach() unmaps
 * it.  Where the object was deleted meanwhile, or the program has unmapped it
 * by itself, a new attachment is made; old ones stay what they were.  A child
 * made by fork has the attachments of its parent, each of which it gives back
 * or leaves to its end.  All of an object is mapped, whatever @size says; for
 * writing, unless the handle is NPHEAP_RDONLY.
 *
 * A read-only handle makes a system call each time.
 *
 * Return: 0, or -ENOENT (no such object, and @size is 0, or the handle is
 * read-only), -EOVERFLOW (@key), -ENOSPC (a limit of the heap is reached),
 * -EDQUOT (a limit of the user), -ENFILE, -EINTR (killed) or -ENOMEM.  A new
 * object stays also where there is no room for its mapping (-ENOMEM).
 */
int npheap_attach(struct npheap *heap, uint64_t key, uint64_t size,
		  const struct npheap_mapping **mapping);

/**
 * npheap_detach() - give an attachment back
 * @heap: a handle of the same heap
 * @mapping: what npheap_attach() stored; NULL is allowed
 */
void npheap_detach(struct npheap *heap, const struct npheap_mapping *mapping);

/**
 * npheap_size() - the size of an object
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @size: where the size in bytes is stored, a multiple of the page size
 *
 * Return: 0, or -ENOENT (no such object; *@size is left alone) or -EOVERFLOW.
 */
int npheap_size(struct npheap *heap, uint64_t key, uint64_t *size);

/**
 * npheap_remove() - delete an object
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 *
 * Existing mappings keep the memory until the last of them goes.  The key's
 * lock stays as it is.  Where there is no object nothing happens.
 *
 * Return: 0, or -EBADF (read-only handle) or -EOVERFLOW.
 */
int npheap_remove(struct npheap *heap, uint64_t key);

/**
 * npheap_create() - create an object
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @size: in bytes, rounded up to pages
 * @max_size: the size that npheap_resize() may give it at most; 0: @size
 * @flags: 0 or NPHEAP_CREATE_SPARSE
 *
 * All its memory is allocated here, so that no later access can fail, while
 * other threads of the process go on.  A sparse object gets its memory as it is
 * touched instead; where there is none to be had by then, that is SIGBUS.
 *
 * Return: 0, or -EEXIST, -EINVAL (@size is 0 or above @max_size, or @flags),
 * -EFBIG (no object can be so large), -EOVERFLOW (@key), -EBADF (read-only
 * handle), -ENOSPC (a limit of the heap is reached), -EDQUOT (a limit of the
 * user) or -ENOMEM.
 */
int npheap_create(struct npheap *heap, uint64_t key, uint64_t size,
		  uint64_t max_size, unsigned int flags);

/**
 * npheap_create_many() - create objects, one after the other
 * @heap: the heap
 * @items: what npheap_create() takes for each; reserved is 0
 * @count: how many, INT_MAX at most
 *
 * Return: how many were created; fewer than @count where one failed.  Where
 * that was the first, its error, as from npheap_create(); or -EFAULT.
 */
int npheap_create_many(struct npheap *heap, const struct npheap_create *items,
		       unsigned int count);

/**
 * npheap_resize() - give an object another size
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @size: in bytes, rounded up to pages
 * @flags: 0 or NPHEAP_RESIZE_FORCE
 *
 * Existing mappings see it, as far as they are long enough.  What is cut off is
 * gone, and touching it is SIGBUS.
 *
 * Return: 0, or -ENOENT (no such object), -EFBIG (above the object's max_size),
 * -EBUSY (another process maps what would be cut off, which NPHEAP_RESIZE_FORCE
 * overrides; or it is in use for I/O), -EPERM (sealed, or force by one who did
 * not create it), -EINVAL (@size is 0, or @flags), -EOVERFLOW, -EBADF, -ENOSPC,
 * -EDQUOT or -ENOMEM; nothing has changed then.
 */
int npheap_resize(struct npheap *heap, uint64_t key, uint64_t size,
		  unsigned int flags);

/**
 * npheap_punch() - let a range of an object read as zeroes
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @offset: where it begins, a multiple of the page size
 * @length: in bytes, a multiple of the page size
 * @flags: 0 or NPHEAP_RESIZE_FORCE
 *
 * A sparse object gives the memory back, any other keeps it.
 *
 * Return: 0, or -EINVAL (not inside the object, or no whole pages, or @flags),
 * -ENOENT, -EBUSY, -EPERM, -EOVERFLOW or -EBADF as npheap_resize().
 */
int npheap_punch(struct npheap *heap, uint64_t key, uint64_t offset,
		 uint64_t length, unsigned int flags);

/**
 * npheap_seal() - rule changes of an object out, for as long as it exists
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @seals: NPHEAP_SEAL_SHRINK, NPHEAP_SEAL_GROW, NPHEAP_SEAL_SEAL, added to those
 *         that it has
 *
 * Return: 0, or -ENOENT, -EPERM (NPHEAP_SEAL_SEAL was added before), -EINVAL
 * (@seals), -EOVERFLOW or -EBADF.
 */
int npheap_seal(struct npheap *heap, uint64_t key, unsigned int seals);

/**
 * npheap_stat() - what there is to know of an object
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @stat: what is filled in; see npheap/npheap.h
 *
 * Return: 0, or -ENOENT (*@stat is left alone) or -EOVERFLOW.
 */
int npheap_stat(struct npheap *heap, uint64_t key, struct npheap_stat *stat);

/*
 * Locks.  Each key has one; it needs no object.  A lock is held by a thread,
 * and taken and given back without a system call unless it is fought over.
 * When its holder ends in any way, exit() included, the lock comes free, and the
 * key is marked: the next to take it is told (-EOWNERDEAD), looks after the data,
 * and says so with npheap_consistent().  Where a call can be refused by the heap's limit on lock
 * records (-ENOSPC), it can be by the user's (-EDQUOT).
 */

/** npheap_acquire_with(): do not wait; -EBUSY. */
#define NPHEAP_TRY NPHEAP_LOCK_TRY
/**
 * npheap_acquire_with(): hold it together with others who say so, for reading;
 * the death of such a holder leaves no mark.
 */
#define NPHEAP_SHARED NPHEAP_LOCK_SHARED
/** npheap_acquire_with(), npheap_wait(): no deadline. */
#define NPHEAP_FOREVER UINT64_MAX

/**
 * npheap_acquire() - wait until the calling thread holds a key's lock
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 *
 * Waiters get the lock in the order in which they came.  Before it waits, the
 * call may look for up to 2 us whether the lock comes free.
 *
 * Return: 0, or -EOWNERDEAD (the lock is held, and a holder before died), or
 * an error: -ENOTRECOVERABLE (one that was told so gave the lock back without
 * npheap_consistent(); it stays so until npheap_break()), -EDEADLK (the thread holds it already), -EBADF
 * (read-only handle), -EOVERFLOW, -ENOSPC (the heap's limit on lock records)
 * or -ENOMEM.  Never -EINTR.
 */
int npheap_acquire(struct npheap *heap, uint64_t key);

/**
 * npheap_acquire_with() - npheap_acquire() with a choice
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @flags: NPHEAP_TRY, NPHEAP_SHARED or both, or 0
 * @deadline: when to give up, CLOCK_MONOTONIC in ns, or NPHEAP_FOREVER
 *
 * A reader does not get past a writer that waits.
 *
 * Return: as npheap_acquire(), and -EBUSY, -ETIMEDOUT or -EINVAL (@flags).
 */
int npheap_acquire_with(struct npheap *heap, uint64_t key, unsigned int flags,
			uint64_t deadline);

/**
 * npheap_release() - give a key's lock back
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 *
 * Return: 0, or -EPERM (the calling thread does not hold it; nothing
 * changes), -EBADF (read-only handle) or -EOVERFLOW.
 */
int npheap_release(struct npheap *heap, uint64_t key);

/**
 * npheap_consistent() - settle that a holder died
 * @heap: the heap
 * @key: a key whose lock the thread took and got -EOWNERDEAD
 *
 * A reader may do so, too; if it does not, the next one is told.
 *
 * Return: 0, or -EPERM (not the holder), -EINVAL (was not told of a death),
 * -EBADF (read-only handle) or -EOVERFLOW.
 */
int npheap_consistent(struct npheap *heap, uint64_t key);

/**
 * npheap_break() - take a lock away from whoever holds it
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 *
 * For an administrator.  The next to take it gets -EOWNERDEAD, and the holder
 * -EPERM when it gives the lock back.  Also makes a key usable again that gives
 * -ENOTRECOVERABLE.
 *
 * Return: 0, or -EPERM (needs CAP_SYS_ADMIN), -EBADF or -EOVERFLOW.
 */
int npheap_break(struct npheap *heap, uint64_t key);

/**
 * struct npheap_ref - a key whose lock is taken often
 * @heap: the heap
 * @key: the key
 *
 * It remembers where the lock is, which makes the calls below faster than those
 * that are given a key; their results are the same.  It is initialised by
 * NPHEAP_REF_INIT(heap, key) and needs no end; by that again when it shall be
 * for another heap or key.
 *
 * One thread at a time uses a reference, and it does not belong into memory
 * that processes share.  It is fastest where it stays with one thread.
 */
struct npheap_ref {
	struct npheap *heap;
	uint64_t key;
	/* The library's. */
	uint64_t reserved[6];
};

#define NPHEAP_REF_INIT(heap, key) { (heap), (key), { 0 } }

/** npheap_ref_acquire() - npheap_acquire() */
int npheap_ref_acquire(struct npheap_ref *ref);

/** npheap_ref_acquire_with() - npheap_acquire_with() */
int npheap_ref_acquire_with(struct npheap_ref *ref, unsigned int flags,
			    uint64_t deadline);

/** npheap_ref_release() - npheap_release() */
int npheap_ref_release(struct npheap_ref *ref);

/*
 * Events.  Each key counts its notifications.  Who waits for something reads
 * the event, looks whether it has happened, and if not waits with the event
 * that it read: a notification in between ends the wait at once, so none is
 * lost.
 */

/**
 * npheap_event() - the event of a key, for npheap_wait()
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @event: where it is stored; it changes with every notification and at no
 *         other time that the caller could tell from one
 *
 * Return: 0, or -EOVERFLOW, -ENOSPC or -ENOMEM.
 */
int npheap_event(struct npheap *heap, uint64_t key, uint64_t *event);

/**
 * npheap_wait() - sleep until a key is notified
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @event: what npheap_event() said
 * @deadline: when to give up, CLOCK_MONOTONIC in ns, or NPHEAP_FOREVER
 *
 * Return: 0 (look again: it may have happened or not), -ETIMEDOUT, -EOVERFLOW,
 * -ENOSPC or -ENOMEM.  Never -EINTR.
 */
int npheap_wait(struct npheap *heap, uint64_t key, uint64_t event,
		uint64_t deadline);

/**
 * npheap_notify() - count a notification, and wake who waits for it
 * @heap: the heap
 * @key: 0 to NPHEAP_KEY_MAX
 * @count: how many to wake at most, those first who waited longest
 *
 * No system call where nobody waits.
 *
 * Return: 0, or -EBADF (read-only handle), -EOVERFLOW, -ENOSPC or -ENOMEM.
 */
int npheap_notify(struct npheap *heap, uint64_t key, unsigned int count);

/*
 * Watches.  A watch is a descriptor for poll(2), epoll(7) or read(2) that tells
 * what happens to a set of keys; close(2) ends it.  After a key was read, look
 * at its data: what happened before is not told again.
 */

/**
 * npheap_watch_open() - make a watch, without keys at first
 * @heap: the heap; may be closed before the watch
 * @flags: NPHEAP_WATCH_CLOEXEC, NPHEAP_WATCH_NONBLOCK, or both, or 0
 * @fd: where the descriptor is stored
 *
 * Return: 0, or -EINVAL (@flags), -EMFILE, -ENFILE or -ENOMEM.
 */
int npheap_watch_open(struct npheap *heap, unsigned int flags, int *fd);

/**
 * npheap_watch_set() - watch a key, or no more
 * @fd: a watch
 * @key: 0 to NPHEAP_KEY_MAX; needs no object
 * @events: what to look for, in place of what was: NPHEAP_WATCH_NOTIFY (it was
 *          notified), NPHEAP_WATCH_SIZE (its object was created or resized),
 *          NPHEAP_WATCH_DELETE, NPHEAP_WATCH_DEATH (a holder died, or its lock
 *          was broken); 0: forget the key
 *
 * Return: 0, or -EINVAL (@events), -EOVERFLOW (@key), -ENOENT (@events is 0,
 * and the key is not watched), -ENOSPC (the heap's limit on lock records),
 * -ENOTTY (@fd is no watch), -EINTR (a signal handler ran) or -ENOMEM.
 */
int npheap_watch_set(int fd, uint64_t key, unsigned int events);

/**
 * npheap_watch_read() - wait until something happened to a key of a watch
 * @fd: a watch
 * @keys: where the keys, and what happened to each, are stored
 * @count: room for so many, at least 1
 * @got: where it is stored how many there were, at least 1
 *
 * Return: 0, or -EINVAL (@count is 0), -EAGAIN (nothing happened, and the watch
 * is non-blocking), -EINTR (a signal handler ran) or another error of read(2).
 */
int npheap_watch_read(int fd, struct npheap_watch_key *keys, size_t count,
		      size_t *got);

/*
 * The classic calls.  @devfd is a descriptor of /dev/npheap, opened by the
 * caller; @offset is the key.  Errors are those of the calls above, in errno.
 */

/**
 * npheap_alloc() - map an object, and create it where there is none
 *
 * Every call makes a new mapping, which the caller may munmap(2).
 *
 * Return: the address, or MAP_FAILED and errno.
 */
void *npheap_alloc(int devfd, __u64 offset, __u64 size);

/**
 * npheap_lock() - npheap_acquire() for those who do not ask for deaths
 *
 * Return: 0, also where a holder died; or -1 and errno.
 */
int npheap_lock(int devfd, __u64 offset);

/** npheap_unlock() - npheap_release(); 0, or -1 and errno. */
int npheap_unlock(int devfd, __u64 offset);

/** npheap_delete() - npheap_remove(); 0, or -1 and errno. */
int npheap_delete(int devfd, __u64 offset);

/** npheap_getsize() - bytes, 0 where there is no object, -1 and errno. */
long npheap_getsize(int devfd, __u64 offset);

#ifdef __cplusplus
}
#endif

#endif
