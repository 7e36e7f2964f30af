// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands on objects.  Arguments are copied and checked here, before
 * anything changes.
 */
#include "npheap.h"

#include <linux/sched/signal.h>
#include <linux/uaccess.h>

/* No file can be larger, and so no object. */
#define NPHEAP_SIZE_MAX ((u64)MAX_LFS_FILESIZE & PAGE_MASK)

/* Rounds a size up to pages. */
static int check_size(u64 *size)
{
	if (!*size)
		return -EINVAL;
	if (*size > NPHEAP_SIZE_MAX)
		return -EFBIG;
	*size = PAGE_ALIGN(*size);
	return 0;
}

static int get_create(struct npheap_create *args,
		      const struct npheap_create __user *argp)
{
	int err;

	if (copy_from_user(args, argp, sizeof(*args)))
		return -EFAULT;
	if (args->reserved || args->flags & ~NPHEAP_CREATE_SPARSE)
		return -EINVAL;
	if (args->key > NPHEAP_KEY_LIMIT)
		return -EOVERFLOW;
	if (!args->max_size)
		args->max_size = args->size;
	if (args->size > args->max_size)
		return -EINVAL;
	err = check_size(&args->size);
	return err ?: check_size(&args->max_size);
}

static int ioctl_create(struct npheap_heap *heap,
			const struct npheap_create __user *argp)
{
	struct npheap_create args;
	int err = get_create(&args, argp);

	if (err)
		return err;
	/* Who maps a large object asks for it first: cheap where it is there. */
	if (npheap_object_size(heap, args.key, NULL))
		return -EEXIST;
	return npheap_object_create(heap, &args);
}

static int create_item(struct npheap_heap *heap,
		       const struct npheap_create __user *argp)
{
	struct npheap_create args;
	int err = get_create(&args, argp);

	return err ?: npheap_object_create(heap, &args);
}

static long ioctl_create_many(struct npheap_heap *heap,
			      const struct npheap_create_many __user *argp)
{
	const struct npheap_create __user *items;
	struct npheap_create_many args;
	long done;
	int err;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if (args.reserved || args.count > INT_MAX)
		return -EINVAL;
	items = u64_to_user_ptr(args.items);
	for (done = 0; done < args.count; done++) {
		if (fatal_signal_pending(current))
			err = -EINTR;
		else
			err = create_item(heap, &items[done]);
		if (err)
			return done ?: err;
		cond_resched();
	}
	return done;
}

static struct npheap_object *get_object(struct npheap_heap *heap, u64 key)
{
	if (key > NPHEAP_KEY_LIMIT)
		return ERR_PTR(-EOVERFLOW);
	return npheap_object_get(heap, key);
}

static int ioctl_resize(struct npheap_heap *heap, const void __user *argp)
{
	struct npheap_resize args;
	struct npheap_object *obj;
	int err;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if (args.reserved || args.flags & ~NPHEAP_RESIZE_FORCE)
		return -EINVAL;
	err = check_size(&args.size);
	if (err)
		return err;
	obj = get_object(heap, args.key);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	err = npheap_object_resize(obj, args.size,
				   args.flags & NPHEAP_RESIZE_FORCE);
	npheap_object_put(obj);
	return err;
}

static int ioctl_punch(struct npheap_heap *heap, const void __user *argp)
{
	struct npheap_punch args;
	struct npheap_object *obj;
	int err;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if (args.reserved || args.flags & ~NPHEAP_RESIZE_FORCE)
		return -EINVAL;
	if (!args.length || (args.offset | args.length) & ~PAGE_MASK)
		return -EINVAL;
	obj = get_object(heap, args.key);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	err = npheap_object_punch(obj, args.offset, args.length,
				  args.flags & NPHEAP_RESIZE_FORCE);
	npheap_object_put(obj);
	return err;
}

static int ioctl_seal(struct npheap_heap *heap, const void __user *argp)
{
	struct npheap_object *obj;
	struct npheap_seal args;
	int err;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	if (args.reserved || args.seals & ~(NPHEAP_SEAL_SHRINK |
					    NPHEAP_SEAL_GROW |
					    NPHEAP_SEAL_SEAL))
		return -EINVAL;
	obj = get_object(heap, args.key);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	err = npheap_object_seal(obj, args.seals);
	npheap_object_put(obj);
	return err;
}

static int ioctl_stat(struct npheap_heap *heap,
		      struct npheap_stat __user *argp)
{
	struct npheap_object *obj;
	struct npheap_stat stat;
	u64 key;

	if (get_user(key, &argp->key))
		return -EFAULT;
	obj = get_object(heap, key);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	npheap_object_stat(obj, &stat);
	npheap_object_put(obj);
	return copy_to_user(argp, &stat, sizeof(stat)) ? -EFAULT : 0;
}

/**
 * npheap_object_ioctl() - carry a command on objects out
 * @heap: the heap
 * @mode: how the descriptor was opened
 * @cmd: the command, the same for 32-bit callers
 * @argp: its argument
 *
 * Context: Process context, may sleep.
 * Return: what ioctl(2) returns.
 */
long npheap_object_ioctl(struct npheap_heap *heap, fmode_t mode,
			 unsigned int cmd, void __user *argp)
{
	if (cmd == NPHEAP_IOC_STAT)
		return ioctl_stat(heap, argp);
	if (!(mode & FMODE_WRITE))
		return -EBADF;
	switch (cmd) {
	case NPHEAP_IOC_CREATE:
		return ioctl_create(heap, argp);
	case NPHEAP_IOC_CREATE_MANY:
		return ioctl_create_many(heap, argp);
	case NPHEAP_IOC_RESIZE:
		return ioctl_resize(heap, argp);
	case NPHEAP_IOC_PUNCH:
		return ioctl_punch(heap, argp);
	default:
		return ioctl_seal(heap, argp);
	}
}
