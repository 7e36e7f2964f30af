/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NP-Heap, private declarations.
 *
 * DOC: Picture
 *
 *   /dev/npheap ---- struct npheap_heap --+-- superblock (pseudo file system)
 *     device.c         heap.c             |
 *                                         |     super.c
 *                                         +-- objects: key -> npheap_object
 *                                         |     object.c, memory.c, map.c,
 *                                         |     resize.c
 *                                         +-- locks:   key -> npheap_lock
 *                                         |     record.c, lock.c, event.c,
 *                                         |     watch.c
 *                                         +-- slots:   number -> npheap_lock
 *                                         |     table.c, shared with users
 *                                         +-- owners:  task -> npheap_owner
 *                                               owner.c
 *
 * An object is an inode of the heap's superblock and its memory is that
 * inode's page cache, so that bounds checks, reverse mapping, futexes,
 * get_user_pages, memory cgroups and migration are the kernel's own.  mmap on
 * the device finds the object by its key and hands the VMA to a file of the
 * object.
 *
 * DOC: References
 *
 * The index of objects holds one reference of the inode, each open file of the
 * object (that is, each mapping) another.  Delete drops the index's; the
 * memory goes with the last.  A lock record is kept while it is in use or a
 * living thread knows it, but idle ones may be taken back at any time; an
 * owner record lives from a thread's first lock to its death, a process record
 * as long as one of its owners or mappings.
 *
 * DOC: Locking
 *
 *   npheap_watch.mutex > npheap_heap.evict_mutex > npheap_lock.lock
 *   mmap_lock > npheap_lock.lock > bucket locks of the hash tables, locks of
 *                                  the xarrays, npheap_watch.lock,
 *                                  npheap_heap.user_lock
 *   npheap_heap.process_lock is taken alone
 *
 *   inode lock of an object > its invalidate_lock > its i_mmap_rwsem,
 *                                                   npheap_lock.lock
 *   mmap_lock > its invalidate_lock (shared) > npheap_heap.fill_sem >
 *               its inode.i_lock
 *   mmap_lock > npheap_heap.deleted_mutex > inode.i_lock of an object
 *
 * Lookups run under RCU.  Nothing waits for user memory, and nothing allocates
 * with a reclaim that could, under npheap_lock.lock.  The lists of an
 * npheap_owner belong to its thread and need no lock.
 */
#ifndef NPHEAP_H
#define NPHEAP_H

#include "compat.h"

#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/rhashtable.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/xarray.h>

#include "include/uapi/npheap/npheap.h"

struct npheap_process;
struct npheap_reader;
struct npheap_waiter;
struct proc_dir_entry;
struct seq_file;

/* The table has so many records at most ... */
#define NPHEAP_MAX_SLOTS BIT(28)
/* ... of which a process maps these; the others are used by ioctl. */
#define NPHEAP_MAPPED_SLOTS BIT(20)
#define NPHEAP_NO_SLOT U32_MAX
#define NPHEAP_PROCESS_BITS 10
#define NPHEAP_USER_BITS 10

/* The largest key that has a file offset, also with larger pages than 4 KiB. */
#define NPHEAP_KEY_LIMIT min_t(u64, NPHEAP_KEY_MAX, S64_MAX >> PAGE_SHIFT)

/* What there are limits of. */
enum npheap_resource {
	NPHEAP_BYTES,		/* memory of all objects, deleted ones too */
	NPHEAP_OBJECTS,		/* those objects */
	NPHEAP_SPARSE_BYTES,	/* sizes of those of them that are sparse */
	NPHEAP_LOCKS,		/* lock records */
	NPHEAP_RESOURCES
};

/* So that the sum of a limit and a usage cannot overflow. */
#define NPHEAP_LIMIT_MAX ((u64)S64_MAX)

/**
 * struct npheap_counter - how much a heap has of a resource
 * @usage: how much
 * @limit: how much it may; may be lowered below @usage, which frees nothing
 * @user_limit: how much a user may have of it
 */
struct npheap_counter {
	atomic64_t usage;
	u64 limit;
	u64 user_limit;
};

/**
 * struct npheap_user - somebody who has something in a heap
 * @node: in heap->users
 * @uid: who
 * @refs: one for each thing that is charged to it; the last is dropped under
 *	  heap->user_lock
 * @usage: how much it has of each resource
 * @rcu: frees the memory
 */
struct npheap_user {
	struct hlist_node node;
	kuid_t uid;
	refcount_t refs;
	atomic64_t usage[NPHEAP_RESOURCES];
	struct rcu_head rcu;
};

/**
 * struct npheap_stats - events since the heap was made, one set a CPU
 * @creates: objects created
 * @attaches: mappings made, those of new objects included
 * @mappings: files of objects made, less those that are gone; a CPU's part of
 *	      it means nothing
 * @deletes: objects deleted
 * @faults: page faults handled
 * @lock_acquires: locks taken
 * @lock_contended: times that a thread had to wait for a lock
 * @lock_recovered: locks given back because their holder died
 * @lock_waits_abandoned: places in queues given up because a waiter died
 * @notifies: notifications of keys that somebody waits for
 */
struct npheap_stats {
	u64 creates;
	u64 attaches;
	u64 mappings;
	u64 deletes;
	u64 faults;
	u64 lock_acquires;
	u64 lock_contended;
	u64 lock_recovered;
	u64 lock_waits_abandoned;
	u64 notifies;
};

/**
 * struct npheap_heap - everything that belongs to one device
 * @misc: the device
 * @mnt: the mount that carries the objects' superblock
 * @objects: struct npheap_object by key
 * @locks: struct npheap_lock by key
 * @owners: struct npheap_owner by task
 * @counters: its resources, by enum npheap_resource
 * @users: struct npheap_user by uid
 * @user_lock: protects @users; readers are under RCU
 * @slots: struct npheap_lock by the number of its record in the table
 * @table: pages of the table, by page offset
 * @owner_ids: struct npheap_owner by the number that words of records carry
 * @processes: struct npheap_process by descriptor table
 * @mms: the same by address space
 * @process_lock: protects @processes and @mms; readers are under RCU
 * @table_inode: what processes map the table from
 * @blank: the page of zeroes that a forked child finds in place of its epoch
 * @epochs: the newest epoch of any process
 * @clock_hand: the slot where the next search for idle records begins
 * @evict_mutex: for those who search all of them
 * @next_owner: where the search for the next number of an owner begins
 * @deleted: objects that were deleted and are mapped yet, by their numbers
 * @deleted_mutex: protects @deleted
 * @fill_sem: held for reading while a page is allocated for a sparse object,
 *	      for writing by who failed among others
 * @deleted_bytes: the part of the bytes that belongs to deleted objects
 * @generation: the number of the newest object, its inode number
 * @attachments: the number of the newest attachment
 * @dying: owners whose death is noted but whose locks are not yet free
 * @stats: per-CPU counts of events
 * @proc: the directory in /proc
 * @debugfs: the directory in debugfs
 */
struct npheap_heap {
	struct miscdevice misc;
	struct vfsmount *mnt;
	struct rhashtable objects;
	struct rhashtable locks;
	struct rhashtable owners;
	struct npheap_counter counters[NPHEAP_RESOURCES];
	DECLARE_HASHTABLE(users, NPHEAP_USER_BITS);
	spinlock_t user_lock;	/* protects @users */
	struct xarray slots;
	struct xarray table;
	struct xarray owner_ids;
	DECLARE_HASHTABLE(processes, NPHEAP_PROCESS_BITS);
	DECLARE_HASHTABLE(mms, NPHEAP_PROCESS_BITS);
	spinlock_t process_lock;	/* protects @processes and @mms */
	struct inode *table_inode;
	struct page *blank;
	atomic64_t epochs;
	struct rb_root deleted;
	struct mutex deleted_mutex;	/* protects @deleted */
	struct rw_semaphore fill_sem;
	atomic64_t deleted_bytes;
	atomic64_t generation;
	atomic64_t attachments;
	atomic_t dying;
	u32 clock_hand;
	struct mutex evict_mutex;	/* see above */
	u32 next_owner;
	struct npheap_stats __percpu *stats;
	struct proc_dir_entry *proc;
	struct dentry *debugfs;
};

#define npheap_count(heap, event) this_cpu_inc((heap)->stats->event)
#define npheap_count_down(heap, event) this_cpu_dec((heap)->stats->event)

/*
 * A new object is not usable until all its pages are there and its size is in
 * its key's record, if that has one.
 */
enum npheap_state {
	NPHEAP_POPULATING,
	NPHEAP_POPULATED,
	NPHEAP_READY,
	NPHEAP_FAILED,
};

/**
 * struct npheap_object - memory under a key
 * @inode: holds, as page cache, the memory; its i_size is @size, or more while
 *	   pages beyond @size come or go: splitting a folio that reaches beyond
 *	   i_size is for file systems that write back
 * @heap: where it belongs
 * @node: in heap->objects until it is deleted
 * @key: the key
 * @state: an enum npheap_state, released by the creator
 * @size: in bytes; set under the inode lock and, to less, the invalidate_lock
 * @max_size: how far it may grow, in bytes
 * @bytes: what it counts of NPHEAP_BYTES; under inode.i_lock
 * @user: whom it is charged to
 * @creator: thread group that made it
 * @flags: NPHEAP_CREATE_*
 * @seals: NPHEAP_SEAL_*; set under the inode lock
 * @counted: counts in NPHEAP_OBJECTS and, by its size, NPHEAP_SPARSE_BYTES
 * @deleted: no longer in heap->objects; set under inode.i_lock
 * @deleted_node: in heap->deleted then
 */
struct npheap_object {
	struct inode inode;
	struct npheap_heap *heap;
	struct rhash_head node;
	u64 key;
	u64 size;
	u64 max_size;
	u64 bytes;
	struct npheap_user *user;
	struct pid *creator;
	int state;
	u8 flags;
	u8 seals;
	bool counted;
	bool deleted;
	struct rb_node deleted_node;
};

static inline struct npheap_object *npheap_object(struct inode *inode)
{
	return container_of(inode, struct npheap_object, inode);
}

/* The bound of every access. */
static inline pgoff_t npheap_object_pages(const struct npheap_object *obj)
{
	/* Whoever sees the size sees the pages; pairs with set_size(). */
	return smp_load_acquire(&obj->size) >> PAGE_SHIFT;
}

/* Nothing changes that time later.  In ns since 1970. */
static inline u64 npheap_object_created(const struct npheap_object *obj)
{
	struct timespec64 time = inode_get_ctime(&obj->inode);

	return timespec64_to_ns(&time);
}

static inline u64 npheap_object_resident(const struct npheap_object *obj)
{
	return (u64)READ_ONCE(obj->inode.i_mapping->nrpages) << PAGE_SHIFT;
}

/* Of the references of an object these are no mappings'. */
static inline int npheap_object_mappings(const struct npheap_object *obj,
					 int others)
{
	return max(atomic_read(&obj->inode.i_count) - others, 0);
}

static inline bool npheap_object_sparse(const struct npheap_object *obj)
{
	return obj->flags & NPHEAP_CREATE_SPARSE;
}

/**
 * struct npheap_lock - the lock of a key, the kernel's part of its record
 * @node: in heap->locks
 * @heap: where it belongs
 * @key: the key
 * @slot: of the record in the table
 * @generation: of the record's binding to the key
 * @user: whom it is charged to
 * @shared: the record, which user space can change at any time
 * @lock: protects what follows
 * @queue: struct npheap_waiter of those who are present, by ticket
 * @tickets: the next ticket
 * @sleeper_list: struct npheap_sleeper of those who wait for a notification
 * @watch_list: struct watch_key of those who watch the key
 * @woken: a thread to wake up when @lock is released, or NULL
 * @reign: how often the lock was taken from its holders by force
 * @waiters: places in the queue, those of absent threads included
 * @readers: threads that hold it together
 * @deposed: those that did until it was taken from them, and do not know yet
 * @sleepers: threads that sleep on the stack of npheap_event_wait()
 * @watches: how many watch the key
 * @armed: how many of these want notifications and have not got one
 * @knowers: threads that know the record
 * @contended: times that a thread had to wait for the lock
 * @recovered: times that it came free because a holder died
 * @pins: threads that look at it without its lock and come back
 * @dead: the binding is over; whoever finds it must look again
 * @marked: a holder died, and nobody has called consistent since
 * @reported: the holder was told so
 * @lost: a holder that was told gave the lock back without consistent
 * @rcu: frees the memory
 */
struct npheap_lock {
	struct rhash_head node;
	struct npheap_heap *heap;
	u64 key;
	u32 slot;
	u32 generation;
	struct npheap_user *user;
	struct npheap_record *shared;
	spinlock_t lock;	/* see above for what it protects */
	struct rb_root_cached queue;
	u64 tickets;
	struct list_head sleeper_list;
	struct list_head watch_list;
	struct task_struct *woken;
	unsigned long reign;
	unsigned int waiters;
	unsigned int readers;
	unsigned int deposed;
	unsigned int sleepers;
	unsigned int watches;
	unsigned int armed;
	unsigned int knowers;
	unsigned int contended;
	unsigned int recovered;
	unsigned int pins;
	bool dead;
	bool marked;
	bool reported;
	bool lost;
	struct rcu_head rcu;
};

/**
 * struct npheap_owner - a thread as a holder of locks
 * @node: in heap->owners
 * @heap: where it belongs
 * @task: the thread, the key in heap->owners
 * @id: its number in the words of records, also in heap->owner_ids
 * @pid: its pid at the time of its first lock, for display
 * @process: where it joined, or NULL
 * @known: the records that it was told of, by slot: their generation, or the
 *         struct npheap_reader by which it holds the lock with others
 * @reserved: a slot that @known has a place for, or NPHEAP_NO_SLOT
 * @waits: its struct npheap_waiter; more than one if handlers wait, too
 * @nr_waits: how many
 * @spare_waiter: memory for the next of them, or NULL
 * @spare_reader: the same for a struct npheap_reader
 * @detaching: it unmaps an attachment, and knows
 * @dying: @death is queued
 * @pinned: and holds a reference of the module
 * @death: runs in the dying thread
 * @rcu: frees the memory
 */
struct npheap_owner {
	struct rhash_head node;
	struct npheap_heap *heap;
	struct task_struct *task;
	u32 id;
	struct pid *pid;
	struct npheap_process *process;
	struct xarray known;
	u32 reserved;
	struct list_head waits;
	unsigned int nr_waits;
	struct npheap_waiter *spare_waiter;
	struct npheap_reader *spare_reader;
	bool detaching;
	bool dying;
	bool pinned;
	struct callback_head death;
	struct rcu_head rcu;
};

extern const struct rhashtable_params npheap_object_params;
extern const struct rhashtable_params npheap_lock_params;
extern const struct rhashtable_params npheap_owner_params;
extern bool npheap_allow_exec;

/* heap.c */
int npheap_heap_init(struct npheap_heap *heap,
		     const u64 limits[NPHEAP_RESOURCES]);
void npheap_heap_destroy(struct npheap_heap *heap);

/* cgroup.c */
bool npheap_cgroup_has_room(void);

/* object.c */
/* user.c */
int npheap_charge(struct npheap_heap *heap, struct npheap_user *user,
		  enum npheap_resource resource, u64 amount);
int npheap_would_charge(struct npheap_heap *heap, struct npheap_user *user,
			enum npheap_resource resource, u64 amount);
void npheap_uncharge(struct npheap_heap *heap, struct npheap_user *user,
		     enum npheap_resource resource, u64 amount);
struct npheap_user *npheap_user_get(struct npheap_heap *heap);
void npheap_user_put(struct npheap_heap *heap, struct npheap_user *user);

/* super.c */
extern const struct address_space_operations npheap_object_aops;
int npheap_object_cache_init(void);
void npheap_object_cache_exit(void);
int npheap_object_mount(struct npheap_heap *heap);
void npheap_object_unmount(struct npheap_heap *heap);

/* memory.c */
int npheap_memory_charge(struct npheap_object *obj, u64 bytes);
void npheap_memory_uncharge(struct npheap_object *obj, u64 bytes);
void npheap_memory_delete(struct npheap_object *obj);
int npheap_memory_populate(struct npheap_object *obj, pgoff_t index,
			   pgoff_t end);
int npheap_memory_fill(struct npheap_object *obj, pgoff_t index);

/* object.c */
struct npheap_object *npheap_object_get(struct npheap_heap *heap, u64 key);
void npheap_object_put(struct npheap_object *obj);
int npheap_object_charge_sparse(struct npheap_object *obj, u64 bytes);
void npheap_object_uncharge_sparse(struct npheap_object *obj, u64 bytes);
void npheap_object_uncount(struct npheap_object *obj);
int npheap_object_create(struct npheap_heap *heap,
			 const struct npheap_create *args);
struct file *npheap_object_open(struct npheap_heap *heap,
				const struct npheap_create *args, bool create);
void npheap_object_delete(struct npheap_heap *heap, u64 key);
u64 npheap_object_size(struct npheap_heap *heap, u64 key, u64 *number);

/* resize.c */
int npheap_object_resize(struct npheap_object *obj, u64 size, bool force);
int npheap_object_punch(struct npheap_object *obj, u64 offset, u64 length,
			bool force);
int npheap_object_seal(struct npheap_object *obj, u32 seals);
void npheap_object_stat(const struct npheap_object *obj,
			struct npheap_stat *stat);

/* map.c */
extern const struct file_operations npheap_object_fops;
int npheap_object_release(struct inode *inode, struct file *file);
struct file *npheap_object_file(struct npheap_object *obj,
				const struct file_operations *fops, int flags);
int npheap_map(struct npheap_heap *heap, struct vm_area_struct *vma);
struct file *npheap_file(struct npheap_heap *heap, struct inode *inode,
			 const struct file_operations *fops, int flags);
vm_fault_t npheap_object_fault(struct vm_fault *vmf);
vm_fault_t npheap_object_map_pages(struct vm_fault *vmf, pgoff_t start,
				   pgoff_t end);
unsigned long npheap_get_unmapped_area(struct file *file, unsigned long addr,
				       unsigned long len, unsigned long pgoff,
				       unsigned long flags);

/* mappers.c */
void npheap_deleted_add(struct npheap_object *obj);
void npheap_deleted_remove(struct npheap_object *obj);
extern const struct seq_operations npheap_deleted_ops;
bool npheap_mapped_by_others(struct address_space *mapping, pgoff_t first,
			     pgoff_t last);

/* attach.c */
int npheap_attach(struct npheap_heap *heap, struct npheap_attach *args,
		  bool writable);
int npheap_detach(struct npheap_heap *heap, const struct npheap_attach *args);

/* record.c */
int npheap_lock_bind(struct npheap_heap *heap, struct npheap_bind *bind);
void npheap_lock_destroy(struct npheap_heap *heap);
void npheap_lock_resized(struct npheap_heap *heap, u64 key, u32 event);
void npheap_lock_show(struct seq_file *m, struct npheap_lock *rec);
void npheap_lock_show_counts(struct seq_file *m, struct npheap_lock *rec);
u64 npheap_locks_held(struct npheap_heap *heap);

/* lock.c */
int npheap_lock_acquire(struct npheap_heap *heap, u64 key, u32 flags,
			u64 timeout);
int npheap_lock_release(struct npheap_heap *heap, u64 key);
int npheap_lock_consistent(struct npheap_heap *heap, u64 key);
void npheap_lock_break(struct npheap_heap *heap, u64 key);
void npheap_lock_abandon(struct npheap_owner *owner);

/* event.c */
int npheap_event_read(struct npheap_heap *heap, u64 key, u64 *event);
int npheap_event_wait(struct npheap_heap *heap, u64 key, u64 expected,
		      u64 timeout);
int npheap_event_notify(struct npheap_heap *heap, u64 key, u32 count);

/* watch.c */
int npheap_watch_open(struct npheap_heap *heap, int flags);

/* table.c */
int npheap_table_init(struct npheap_heap *heap);
void npheap_table_destroy(struct npheap_heap *heap);
int npheap_table_join(struct npheap_heap *heap, struct npheap_join *join);
void npheap_table_unmapped(struct npheap_heap *heap, struct mm_struct *mm);
void npheap_table_flush(struct npheap_heap *heap, fl_owner_t files);
int npheap_slot_alloc(struct npheap_heap *heap, struct npheap_lock *rec);
void npheap_slot_publish(struct npheap_heap *heap, struct npheap_lock *rec);
void npheap_slot_free(struct npheap_heap *heap, struct npheap_lock *rec);
struct npheap_lock *npheap_slot_find(struct npheap_heap *heap, u32 slot);
void npheap_process_put(struct npheap_process *process);
void npheap_process_advance(struct npheap_process *process);

/* owner.c */
int npheap_owner_init(struct npheap_heap *heap);
void npheap_owner_exit(struct npheap_heap *heap);
struct npheap_owner *npheap_owner_find(struct npheap_heap *heap);
struct npheap_owner *npheap_owner_get(struct npheap_heap *heap);

/* object_ioctl.c */
long npheap_object_ioctl(struct npheap_heap *heap, fmode_t mode,
			 unsigned int cmd, void __user *argp);

/* device.c */
int npheap_device_register(struct npheap_heap *heap);
void npheap_device_unregister(struct npheap_heap *heap);

/* fault.c */
#ifdef CONFIG_FAULT_INJECTION_DEBUG_FS
void npheap_point(void);
void npheap_fault_init(void);
void npheap_fault_exit(void);
#else
static inline void npheap_point(void) {}
static inline void npheap_fault_init(void) {}
static inline void npheap_fault_exit(void) {}
#endif

/* sysfs.c, proc.c */
extern const struct attribute_group *npheap_attr_groups[];
u64 npheap_stat(struct npheap_heap *heap, size_t offset);
int npheap_proc_init(struct npheap_heap *heap);
void npheap_proc_exit(struct npheap_heap *heap);

#endif
