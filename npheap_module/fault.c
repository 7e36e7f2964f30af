// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kill points: on a kernel with fault injection, a task that is marked in
 * /proc/PID/make-it-fail can be made to get SIGKILL at any point that
 * npheap_point() marks; /sys/kernel/debug/npheap_kill/ says when (space=N: at
 * the N-th point that it passes).
 */
#include "npheap.h"

#ifdef CONFIG_FAULT_INJECTION_DEBUG_FS

#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/sched/signal.h>

static DECLARE_FAULT_ATTR(kill_points);
static struct dentry *dir;

/**
 * npheap_point() - a point at which the calling task may be killed
 *
 * Context: Any that may take a spinlock.
 */
void npheap_point(void)
{
	/* Who counts failures with fail-nth means those of allocations. */
	if (!current->fail_nth && should_fail(&kill_points, 1))
		send_sig(SIGKILL, current, 1);
}

/**
 * npheap_fault_init() - show the kill points in debugfs
 *
 * Context: Process context, may sleep.
 */
void npheap_fault_init(void)
{
	/* A stack dump for each would read as a report. */
	kill_points.verbose = 0;
	kill_points.task_filter = true;
	dir = fault_create_debugfs_attr("npheap_kill", NULL, &kill_points);
}

/**
 * npheap_fault_exit() - undo npheap_fault_init()
 *
 * Context: Process context, may sleep.
 */
void npheap_fault_exit(void)
{
	if (!IS_ERR(dir))
		debugfs_remove(dir);
}

#endif
