// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/npheap: what user space calls.  Arguments are copied and checked here,
 * before anything changes; the work is done elsewhere.
 */
#include "npheap.h"

#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

static struct npheap_heap *file_heap(struct file *file)
{
	struct miscdevice *misc = file->private_data;

	return container_of(misc, struct npheap_heap, misc);
}

static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	return npheap_map(file_heap(file), vma);
}

static int offset_to_key(u64 offset, u64 *key)
{
	if (offset & ~PAGE_MASK)
		return -EINVAL;
	*key = offset >> PAGE_SHIFT;
	return *key > NPHEAP_KEY_LIMIT ? -EOVERFLOW : 0;
}

/* The return value of ioctl is an int in user space, so it saturates. */
static long device_getsize(struct npheap_heap *heap, u64 key,
			   u64 __user *result)
{
	u64 size = npheap_object_size(heap, key, NULL);

	if (put_user(size, result))
		return -EFAULT;
	return min_t(u64, size, INT_MAX);
}

/*
 * The numbers of the commands differ between 64-bit and 32-bit callers, and so
 * does the structure's size, but not the place of the fields that count.
 */
static long device_command(struct file *file, unsigned int nr,
			   u64 __user *offset, u64 __user *size)
{
	struct npheap_heap *heap = file_heap(file);
	u64 bytes, key;
	int err;

	if (get_user(bytes, offset))
		return -EFAULT;
	err = offset_to_key(bytes, &key);
	if (err)
		return err;
	if (nr == _IOC_NR(NPHEAP_IOCTL_GETSIZE))
		return device_getsize(heap, key, size);
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	switch (nr) {
	case _IOC_NR(NPHEAP_IOCTL_LOCK):
		return npheap_lock_acquire(heap, key, 0, U64_MAX);
	case _IOC_NR(NPHEAP_IOCTL_UNLOCK):
		return npheap_lock_release(heap, key);
	default:
		npheap_object_delete(heap, key);
		return 0;
	}
}

static long modern_join(struct npheap_heap *heap, void __user *argp)
{
	struct npheap_join join;
	int err = npheap_table_join(heap, &join);

	if (!err && copy_to_user(argp, &join, sizeof(join)))
		err = -EFAULT;
	return err;
}

static long modern_bind(struct npheap_heap *heap, void __user *argp)
{
	struct npheap_bind bind;
	int err;

	if (copy_from_user(&bind, argp, sizeof(bind)))
		return -EFAULT;
	if (bind.key > NPHEAP_KEY_LIMIT)
		return -EOVERFLOW;
	err = npheap_lock_bind(heap, &bind);
	if (!err && copy_to_user(argp, &bind, sizeof(bind)))
		err = -EFAULT;
	return err;
}

static long modern_lock(struct npheap_heap *heap, void __user *argp)
{
	struct npheap_lock_args args;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if (args.reserved || args.flags & ~(NPHEAP_LOCK_TRY |
					    NPHEAP_LOCK_SHARED |
					    NPHEAP_LOCK_REPORT))
		return -EINVAL;
	if (args.key > NPHEAP_KEY_LIMIT)
		return -EOVERFLOW;
	return npheap_lock_acquire(heap, args.key, args.flags, args.timeout);
}

static long modern_event_read(struct npheap_heap *heap, u64 key,
			      struct npheap_event __user *argp)
{
	u64 event;
	int err = npheap_event_read(heap, key, &event);

	if (!err && put_user(event, &argp->event))
		err = -EFAULT;
	return err;
}

/* What a command does not use must be 0, so that it can mean something later. */
static bool event_args_used(const struct npheap_event *args, unsigned int cmd)
{
	switch (cmd) {
	case NPHEAP_IOC_NOTIFY:
		return !args->event && !args->timeout;
	case NPHEAP_IOC_EVENT:
		return !args->event && !args->timeout && !args->count;
	default:
		return !args->count;
	}
}

static long modern_event(struct npheap_heap *heap, unsigned int cmd,
			 void __user *argp)
{
	struct npheap_event args;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if (args.reserved)
		return -EINVAL;
	if (args.key > NPHEAP_KEY_LIMIT)
		return -EOVERFLOW;
	if (!event_args_used(&args, cmd))
		return -EINVAL;
	if (cmd == NPHEAP_IOC_NOTIFY)
		return npheap_event_notify(heap, args.key, args.count);
	if (cmd == NPHEAP_IOC_EVENT)
		return modern_event_read(heap, args.key, argp);
	return npheap_event_wait(heap, args.key, args.event, args.timeout);
}

static long modern_key(struct npheap_heap *heap, unsigned int cmd,
		       u64 __user *argp)
{
	u64 key;

	if (get_user(key, argp))
		return -EFAULT;
	if (key > NPHEAP_KEY_LIMIT)
		return -EOVERFLOW;
	if (cmd == NPHEAP_IOC_CONSISTENT)
		return npheap_lock_consistent(heap, key);
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	npheap_lock_break(heap, key);
	return 0;
}

static int attach_check(struct npheap_attach *args, unsigned int cmd)
{
	if (cmd == NPHEAP_IOC_DETACH && args->size)
		return -EINVAL;
	if (args->key > NPHEAP_KEY_LIMIT)
		return -EOVERFLOW;
	/* No such mapping can exist, and rounding it up to pages may wrap. */
	if (args->size > S64_MAX - PAGE_SIZE)
		return -ENOMEM;
	args->size = PAGE_ALIGN(args->size);
	return 0;
}

static long modern_attach(struct file *file, unsigned int cmd,
			  void __user *argp)
{
	struct npheap_heap *heap = file_heap(file);
	struct npheap_attach args;
	u64 remembered;
	int err;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	err = attach_check(&args, cmd);
	if (err)
		return err;
	if (cmd == NPHEAP_IOC_DETACH)
		return npheap_detach(heap, &args);
	/* As mmap: write only is not enough to map anything. */
	if (!(file->f_mode & FMODE_READ))
		return -EACCES;
	remembered = args.number;
	err = npheap_attach(heap, &args, file->f_mode & FMODE_WRITE);
	if (err || !copy_to_user(argp, &args, sizeof(args)))
		return err;
	/* A new one, which may be where the old one was, is nobody's now. */
	if (args.number != remembered)
		npheap_detach(heap, &args);
	return -EFAULT;
}

static long modern_watch(struct npheap_heap *heap, u32 __user *argp)
{
	u32 flags;

	if (get_user(flags, argp))
		return -EFAULT;
	if (flags & ~(NPHEAP_WATCH_CLOEXEC | NPHEAP_WATCH_NONBLOCK))
		return -EINVAL;
	return npheap_watch_open(heap,
		(flags & NPHEAP_WATCH_CLOEXEC ? O_CLOEXEC : 0) |
		(flags & NPHEAP_WATCH_NONBLOCK ? O_NONBLOCK : 0));
}

/* Who may read may also learn when there is something new to read. */
static bool is_for_readers(unsigned int cmd)
{
	return cmd == NPHEAP_IOC_EVENT || cmd == NPHEAP_IOC_WAIT ||
	       cmd == NPHEAP_IOC_WATCH || cmd == NPHEAP_IOC_ATTACH ||
	       cmd == NPHEAP_IOC_DETACH;
}

/* The commands that are the same for 32-bit callers. */
static long modern_command(struct file *file, unsigned int cmd,
			  void __user *argp)
{
	struct npheap_heap *heap = file_heap(file);

	if (!(file->f_mode & FMODE_WRITE) && !is_for_readers(cmd))
		return -EBADF;
	switch (cmd) {
	case NPHEAP_IOC_JOIN:
		return modern_join(heap, argp);
	case NPHEAP_IOC_BIND:
		return modern_bind(heap, argp);
	case NPHEAP_IOC_LOCK:
		return modern_lock(heap, argp);
	case NPHEAP_IOC_EVENT:
	case NPHEAP_IOC_WAIT:
	case NPHEAP_IOC_NOTIFY:
		return modern_event(heap, cmd, argp);
	case NPHEAP_IOC_WATCH:
		return modern_watch(heap, argp);
	case NPHEAP_IOC_ATTACH:
	case NPHEAP_IOC_DETACH:
		return modern_attach(file, cmd, argp);
	default:
		return modern_key(heap, cmd, argp);
	}
}

static long device_ioctl(struct file *file, unsigned int cmd,
			 unsigned long arg)
{
	struct npheap_cmd __user *argp = (void __user *)arg;

	switch (cmd) {
	case NPHEAP_IOCTL_LOCK:
	case NPHEAP_IOCTL_UNLOCK:
	case NPHEAP_IOCTL_DELETE:
	case NPHEAP_IOCTL_GETSIZE:
		return device_command(file, _IOC_NR(cmd), &argp->offset,
				      &argp->size);
	case NPHEAP_IOC_JOIN:
	case NPHEAP_IOC_BIND:
	case NPHEAP_IOC_LOCK:
	case NPHEAP_IOC_CONSISTENT:
	case NPHEAP_IOC_BREAK:
	case NPHEAP_IOC_EVENT:
	case NPHEAP_IOC_WAIT:
	case NPHEAP_IOC_NOTIFY:
	case NPHEAP_IOC_WATCH:
	case NPHEAP_IOC_ATTACH:
	case NPHEAP_IOC_DETACH:
		return modern_command(file, cmd, argp);
	case NPHEAP_IOC_CREATE:
	case NPHEAP_IOC_CREATE_MANY:
	case NPHEAP_IOC_RESIZE:
	case NPHEAP_IOC_PUNCH:
	case NPHEAP_IOC_SEAL:
	case NPHEAP_IOC_STAT:
		return npheap_object_ioctl(file_heap(file), file->f_mode, cmd,
					   argp);
	default:
		return -ENOTTY;
	}
}

#ifdef CONFIG_COMPAT
/* struct npheap_cmd as a 32-bit program lays it out. */
struct npheap_cmd32 {
	compat_u64 op;
	compat_u64 offset;
	compat_u64 size;
	compat_uptr_t data;
};

#define NPHEAP_CMD32(nr) _IOWR('N', nr, struct npheap_cmd32)

static long device_compat_ioctl(struct file *file, unsigned int cmd,
				unsigned long arg)
{
	struct npheap_cmd32 __user *argp = compat_ptr(arg);

	switch (cmd) {
	case NPHEAP_CMD32(_IOC_NR(NPHEAP_IOCTL_LOCK)):
	case NPHEAP_CMD32(_IOC_NR(NPHEAP_IOCTL_UNLOCK)):
	case NPHEAP_CMD32(_IOC_NR(NPHEAP_IOCTL_DELETE)):
	case NPHEAP_CMD32(_IOC_NR(NPHEAP_IOCTL_GETSIZE)):
		return device_command(file, _IOC_NR(cmd), &argp->offset,
				      &argp->size);
	default:
		return device_ioctl(file, cmd, (unsigned long)argp);
	}
}
#endif

/*
 * What the closing thread itself keeps about the descriptor may be in another
 * process structure than what the descriptor table's others keep.
 */
static int device_flush(struct file *file, fl_owner_t files)
{
	struct npheap_heap *heap = file_heap(file);
	struct npheap_owner *owner = npheap_owner_find(heap);

	npheap_table_flush(heap, files);
	if (owner && owner->process)
		npheap_process_advance(owner->process);
	return 0;
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.flush = device_flush,
	.llseek = noop_llseek,
	.mmap = device_mmap,
	.get_unmapped_area = npheap_get_unmapped_area,
	.unlocked_ioctl = device_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = device_compat_ioctl,
#endif
};

/**
 * npheap_device_register() - let user space in
 * @heap: a heap that is ready
 *
 * Context: Process context, may sleep.
 * Return: 0 or a negative errno.
 */
int npheap_device_register(struct npheap_heap *heap)
{
	heap->misc.minor = MISC_DYNAMIC_MINOR;
	heap->misc.name = "npheap";
	heap->misc.fops = &device_fops;
	heap->misc.mode = 0660;
	heap->misc.groups = npheap_attr_groups;
	return misc_register(&heap->misc);
}

/**
 * npheap_device_unregister() - undo npheap_device_register()
 * @heap: the heap; its descriptors are all closed, as they pin the module
 *
 * Context: Process context, may sleep.
 */
void npheap_device_unregister(struct npheap_heap *heap)
{
	misc_deregister(&heap->misc);
}
