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

static int check_create(struct npheap_create *args)
{
	int err;

	if (args->reserved || args->flags & ~NPHEAP_CREATE_SPARSE)
		return -EINVAL;
	if (args->key > NPHEAP_KEY_MAX)
		return -EOVERFLOW;
	if (!args->max_size)
		args->max_size = args->size;
	if (args->size > args->max_size)
		return -EINVAL;
	err = check_size(&args->size);
	return err ?: check_size(&args->max_size);
}

static int create_one(struct npheap_heap *heap,
		      const struct npheap_create __user *argp)
{
	struct npheap_create args;
	int err;

	if (copy_from_user(&args, argp, sizeof(args)))
		return -EFAULT;
	err = check_create(&args);
	return err ?: npheap_object_create(heap, &args);
}

static long create_many(struct npheap_heap *heap,
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
			err = create_one(heap, &items[done]);
		if (err)
			return done ?: err;
		cond_resched();
	}
	return done;
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
	if (!(mode & FMODE_WRITE))
		return -EBADF;
	if (cmd == NPHEAP_IOC_CREATE)
		return create_one(heap, argp);
	return create_many(heap, argp);
}
