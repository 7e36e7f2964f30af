// SPDX-License-Identifier: GPL-2.0-or-later
/* What log.cocci has to flag, line by line, and nothing else. */

int npheap_lock_something(struct npheap_heap *heap, u64 key)
{
	if (!heap)
		BUG();				/* flagged */
	if (WARN_ON(key > 1))			/* flagged */
		return -EINVAL;
	if (WARN_ON_ONCE(key > 2))
		return -EINVAL;
	pr_info("lock of %llu\n", key);		/* flagged */
	pr_warn_ratelimited("lock of %llu\n", key);
	return 0;
}

int npheap_something_init(void)
{
	pr_err("not possible here\n");
	return -ENODEV;
}
