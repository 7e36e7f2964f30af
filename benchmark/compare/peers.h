/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The systems that are compared, one in each file of peers/, and what they are
 * asked to do.
 */
#ifndef PEERS_H
#define PEERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compare/items.h"

/**
 * struct memory - memory that processes share by a name
 * @name: as it is printed
 * @open: before all else; 0, or -errno where the machine does not have it
 * @close: after all else; may be NULL
 * @create: make new memory of @size bytes under @name, and map it
 * @attach: map what another has made
 * @detach: unmap what @create or @attach returned
 * @remove: take the name away, and with the last mapping the memory goes; 0, or
 *	-ENOENT where there is none and the system says so
 * @find: bytes in memory that has a name, 0 where there is none; and if that is
 *	@wanted, or @wanted is 0, map it, else NULL; may be missing
 * @make: make @n of them in the fastest way, under the names from @first on,
 *	without memory yet, and map none; NULL where there is no such way
 *
 * Whatever fails but @open ends the program.
 */
struct memory {
	const char *name;
	int (*open)(void);
	void (*close)(void);
	char *(*create)(unsigned int name, size_t size);
	char *(*attach)(unsigned int name, size_t size);
	void (*detach)(char *p, size_t size);
	int (*remove)(unsigned int name);
	char *(*find)(unsigned int name, size_t *size, size_t wanted);
	void (*make)(unsigned int first, unsigned int n, size_t size);
};

extern const struct memory memory_npheap, memory_npheap_attach;
extern const struct memory memory_npheap_ioctl, memory_npheap_populate;
extern const struct memory memory_shm, memory_shm_populate;
extern const struct memory memory_memfd, memory_memfd_populate;
extern const struct memory memory_sysv, memory_sysv_huge, memory_memfd_huge;
extern const struct memory memory_hugetlbfs, memory_hugetlbfs_populate;
extern const struct memory memory_tmpfs;
extern const struct memory memory_tmpfs_huge, memory_tmpfs_huge_populate;

/**
 * own_name() - @name as this run of the program has it, and no other
 *
 * What a run that was killed has left behind is not in the way of the next one.
 * A name is less than 1024.  All processes of a run have the same.
 */
unsigned int own_name(unsigned int name);

/** own_names_from() - what own_name(0) is to be, before the first is asked for */
void own_names_from(unsigned int first);

/** memory_unmap() - @detach of all that is mapped by mmap(2) */
void memory_unmap(char *p, size_t size);

/** memory_map() - map @size bytes of @fd with more @flags, and close it */
char *memory_map(int fd, size_t size, int flags);

/** memory_map_found() - @find of a file; @fd: it, or -1 and errno; closes it */
char *memory_map_found(int fd, size_t *size, size_t wanted);

/** memory_removed() - what @remove is to return, of the call that it made */
int memory_removed(int result, const char *what);

/** What becomes of a lock whose holder ends. */
enum lock_end {
	LOCK_STAYS,	/* it is held for ever */
	LOCK_FREED,	/* it comes free */
	LOCK_TELLS,	/* and the next to take it is told */
};

/**
 * struct index - many objects, each found by a number
 * @name: as it is printed
 * @open: before all else, to have @most objects of a page that nobody has touched;
 *	0, or -errno where the machine does not have it, or cannot have so many
 * @most: how many the system allows at all; NULL: no such limit
 * @grow: make objects @from to @to - 1; NULL where they are another system's
 * @give: let object @i have memory to write to; NULL: it has
 * @attach: find object @i, and map it
 * @detach: unmap it
 * @getsize: find object @i, and ask for its size
 * @lock: take the lock of object @i, and give it back; or NULL
 * @shrink: be rid of all @n
 *
 * Whatever fails but @open ends the program.
 */
struct index {
	const char *name;
	int (*open)(unsigned long most);
	unsigned long (*most)(void);
	void (*grow)(unsigned long from, unsigned long to);
	void (*give)(unsigned long i);
	void *(*attach)(unsigned long i);
	void (*detach)(void *p);
	void (*getsize)(unsigned long i);
	void (*lock)(unsigned long i);
	void (*shrink)(unsigned long n);
};

extern const struct index index_npheap, index_npheap_ioctl;
extern const struct index index_tmpfs, index_sysv;

/**
 * spread_key() - key @i of many that are spread over all that there are
 *
 * An odd factor leaves them distinct.
 */
static inline uint64_t spread_key(uint64_t i)
{
	return i * 0x9e3779b97f4a7c15ULL & ((1ULL << 51) - 1);
}

/**
 * struct store - items that another process finds after their maker was killed
 * @name: as it is printed
 * @memory: where it is, if that is memory of the other suites
 * @open: before all else: is there room for @n; 0, or -errno where the machine
 *	does not have it, or has not enough memory
 * @fill: store items 0 to @n - 1
 * @load: in another process, before the first @find: all that is needed for it
 * @find: the item of a key, or NULL
 * @remove: all @n
 *
 * Whatever fails but @open ends the program.
 */
struct store {
	const char *name;
	const struct memory *memory;
	int (*open)(uint64_t n);
	void (*fill)(const struct store *store, uint64_t n);
	void (*load)(const struct store *store, uint64_t n);
	const struct item *(*find)(uint64_t key);
	void (*remove)(const struct store *store, uint64_t n);
};

extern const struct store store_npheap, store_npheap_objects;
extern const struct store store_shm, store_sysv;
extern const struct store store_file_read, store_file_mmap;
/** A process that reads nothing: what starting one takes. */
extern const struct store store_none;

/** All of them; ends with NULL. */
extern const struct store *const stores[];

/*
 * memcached, which is a program and no store: its items survive a stop that it
 * was asked for.
 */

/** memcached_open() - 0, or -errno where the machine does not have it */
int memcached_open(void);

/**
 * memcached_start() - start it, with its items in a file
 * @n: how many items there have to be room for
 *
 * Return: its process.
 */
pid_t memcached_start(uint64_t n);

/** memcached_connect() - a connection to it, once it is there to take it */
int memcached_connect(pid_t pid);

/** memcached_fill() - store items 0 to @n - 1, by a connection */
void memcached_fill(int fd, uint64_t n);

/** memcached_find() - find item @i, and check it; 0: it is not there */
int memcached_find(int fd, uint64_t i);

/** memcached_stop() - let it write down what it needs to go on, and end */
void memcached_stop(pid_t pid);

/** memcached_kill() - by SIGKILL */
void memcached_kill(pid_t pid);

/** memcached_remove() - its files */
void memcached_remove(void);

/**
 * struct lock - locks that processes share
 * @name: as it is printed
 * @end: what becomes of a lock whose holder ends
 * @open: make @n new ones, which are free, before processes are forked; 0, or
 *	-errno where the machine does not have it
 * @close: be rid of them, in the process that made them; may be NULL
 * @join: in each process that is forked, before it takes one; may be NULL
 * @lock: take lock @i: 0, or EOWNERDEAD where a holder died, and that is settled
 * @attempt: the same, or EBUSY where it is held; may be NULL
 * @unlock: give it back
 * @pair: take and give back lock 0, without a call that only the comparison
 *	makes
 *
 * Whatever fails but @open ends the program.
 */
struct lock {
	const char *name;
	enum lock_end end;
	int (*open)(unsigned int n);
	void (*close)(void);
	void (*join)(void);
	int (*lock)(unsigned int i);
	int (*attempt)(unsigned int i);
	void (*unlock)(unsigned int i);
	void (*pair)(void);
};

extern const struct lock lock_mutex, lock_robust, lock_pi, lock_robust_pi;
extern const struct lock lock_semaphore, lock_semop, lock_broken;
extern const struct lock lock_fcntl, lock_ofd, lock_flock;
extern const struct lock lock_boost_mutex, lock_boost_named;
extern const struct lock lock_npheap, lock_npheap_handle, lock_npheap_ref;
extern const struct lock lock_npheap_shared, lock_npheap_ioctl;

#endif
