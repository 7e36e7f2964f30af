// SPDX-License-Identifier: GPL-2.0-only
/* What the creation of objects leaves of its memory cgroup. */
#include "npheap.h"

#include <linux/gfp.h>
#include <linux/memcontrol.h>
#include <linux/page_counter.h>

/* 32 KiB: what a mapping, its file and its page tables are charged for. */
#define CGROUP_RESERVE_ORDER 3

#ifdef CONFIG_MEMCG
/* What other processors have charged in advance is not seen here. */
static bool cgroup_is_far_from_limit(void)
{
	struct page_counter *counter;
	bool far = true;

	if (mem_cgroup_disabled())
		return true;
	rcu_read_lock();
	counter = &mem_cgroup_from_task(current)->memory;
	for (; counter && far; counter = counter->parent)
		far = page_counter_read(counter) + BIT(CGROUP_RESERVE_ORDER) <=
		      READ_ONCE(counter->max);
	rcu_read_unlock();
	return far;
}
#else
static bool cgroup_is_far_from_limit(void)
{
	return true;
}
#endif

/**
 * npheap_cgroup_has_room() - whether the current task's cgroup is not full
 *
 * The kernel's own allocations, such as that of the next VMA, call the OOM
 * killer where they meet the limit of a memory cgroup.  Objects, which stay,
 * must not bring it that far.
 *
 * Context: Process context, may sleep.  Reclaims from a cgroup that is at its
 * limit, but never calls the OOM killer.
 * Return: true if a few more pages can be charged.
 */
bool npheap_cgroup_has_room(void)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	struct page *page;

	if (cgroup_is_far_from_limit())
		return true;
	page = alloc_pages(gfp, CGROUP_RESERVE_ORDER);
	if (!page)
		return false;
	__free_pages(page, CGROUP_RESERVE_ORDER);
	return true;
}
