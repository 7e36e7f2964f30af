/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a heap is, in plain arrays, as one thread sees it that is alone with its
 * keys.  Each function does to the arrays what an operation of torture_ops.c
 * does to the heap, and returns what that has to return.
 */
#ifndef NPHEAP_TORTURE_MODEL_H
#define NPHEAP_TORTURE_MODEL_H

#include "torture.h"

/* How the numbers of an operation are to be understood, by both sides. */
#define op_pages(op) ((op)->a % MAX_PAGES + 1)
#define op_more_pages(op) ((op)->b % MAX_PAGES + 1)
#define op_in_page(op) (((op)->b >> 8) % (page / 8) * 8)
#define op_length(op) ((op)->b % (page / 8) * 8 + 8)
#define op_byte(op) ((int)((op)->a >> 16) & 0xff)

/** How many objects there may be, by the operation limit: 0 to 15. */
#define op_objects(op) ((op)->a % 16)

/** A number for memory of so many bytes, a multiple of 8. */
long checksum(const void *p, size_t size);

long model_alloc(const struct op *op);
long model_map(const struct op *op);
long model_create(const struct op *op);
long model_create_many(const struct op *op);
long model_remove(const struct op *op);
long model_resize(const struct op *op);
long model_punch(const struct op *op);
long model_seal(const struct op *op);
long model_size(const struct op *op);
long model_stat(const struct op *op);
long model_usage(const struct op *op);
long model_limit(const struct op *op);
long model_read(const struct op *op);
long model_write(const struct op *op);
long model_unmap(const struct op *op);
long model_unmap_head(const struct op *op);
long model_unmap_tail(const struct op *op);
long model_protect(const struct op *op);
long model_move(const struct op *op);
long model_attach(const struct op *op);
long model_detach(const struct op *op);
long model_read_attached(const struct op *op);
long model_write_attached(const struct op *op);
long model_lock(const struct op *op);
long model_acquire(const struct op *op);
long model_release(const struct op *op);
long model_consistent(const struct op *op);
long model_break(const struct op *op);
long model_die(const struct op *op);
long model_other(const struct op *op);
long model_event(const struct op *op);
long model_notify(const struct op *op);
long model_wait(const struct op *op);
long model_watch(const struct op *op);
long model_watch_read(const struct op *op);
long model_watch_poll(const struct op *op);
long model_read_only(const struct op *op);
long model_nothing(const struct op *op);

/**
 * What cannot be foretold to the byte, as a sparse object may get more pages than
 * were touched: from @least to @most.
 */
struct range {
	long long least;
	long long most;
};

/** Bytes of the object of a key; of all objects; of the deleted ones. */
struct range model_resident(unsigned int key);
struct range model_bytes(void);
struct range model_deleted(void);

/** How acquire asks for the lock; the same for both sides. */
uint32_t acquire_flags(const struct op *op);

#endif
