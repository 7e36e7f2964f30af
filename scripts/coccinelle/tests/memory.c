// SPDX-License-Identifier: GPL-2.0-or-later
/* What memory.cocci has to flag, line by line, and nothing else. */

int joins(struct npheap_heap *heap)
{
	heap->spare = kzalloc(8, GFP_KERNEL);			/* flagged */
	heap->other = kzalloc(8, GFP_KERNEL_ACCOUNT);
	heap->third = kmalloc(8, GFP_KERNEL | __GFP_ACCOUNT);
	heap->blank = alloc_page(GFP_KERNEL | __GFP_ZERO);	/* flagged */
	xa_store(&heap->slots, 1, heap, GFP_ATOMIC);
	return xa_reserve(&heap->slots, 2, __GFP_NOFAIL);	/* flagged */
}

int npheap_some_init(struct npheap_heap *heap)
{
	heap->blank = alloc_page(GFP_KERNEL | __GFP_ZERO);
	return heap->blank ? 0 : -ENOMEM;
}
