/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a history of calls by several processes can be told one call after
 * the other, each at a moment between its begin and its end, so that all
 * results are right (Herlihy and Wing: linearizable).
 */
#ifndef NPHEAP_LINEAR_H
#define NPHEAP_LINEAR_H

#include <stddef.h>
#include <stdint.h>

/** A history is that long at most. */
#define LINEAR_MAX 64

/** A call that has not ended, as its process was killed. */
#define LINEAR_PENDING UINT64_MAX

/** What is called; all on one key.  Locks ask for deaths, but the classic one. */
enum linear_call {
	LINEAR_TRY,		/* 0 or -errno */
	LINEAR_LOCK,		/* the same, until a deadline */
	LINEAR_CLASSIC,		/* the same, without one, and told of no death */
	LINEAR_UNLOCK,
	LINEAR_CONSISTENT,
	LINEAR_CREATE,		/* of @arg pages, LINEAR_MAX_PAGES at most */
	LINEAR_ALLOC,		/* the same, of @arg at most, unless it is there */
	LINEAR_RESIZE,		/* to @arg pages */
	LINEAR_DELETE,
	LINEAR_SIZE,		/* pages, as the table shows them */
	LINEAR_GETSIZE,		/* pages, as the kernel has them */
	LINEAR_NOTIFY,
	LINEAR_EVENT,		/* notifications so far */
	LINEAR_WAIT,		/* for more than @arg of them, until a deadline */
	LINEAR_CRASH,		/* from SIGKILL to the end of waitpid() */
	LINEAR_SHOW,		/* see linear_complete() */
};

/** What LINEAR_CREATE says that the object may grow to. */
#define LINEAR_MAX_PAGES 8

/**
 * struct linear_op - a call
 * @call: which
 * @process: whose, from 0 to 31
 * @arg: see above
 * @result: what it returned
 * @begin: before it was made; no two numbers in a history are the same
 * @end: after it returned, or LINEAR_PENDING
 */
struct linear_op {
	enum linear_call call;
	unsigned int process;
	long arg;
	long result;
	uint64_t begin;
	uint64_t end;
};

/**
 * Adds what calls do in a second step: a creation, a change or a deletion takes
 * effect in the kernel first, and then in the table, where LINEAR_SIZE looks; in
 * between it finds what was before.  The second step is a LINEAR_SHOW of the same
 * process and time, which follows the call with the index @arg.  Returns how many
 * there are then, of LINEAR_MAX at most.
 */
size_t linear_complete(struct linear_op *ops, size_t count);

/** 1 if there is such an order, 0 if there is none. */
int linear_check(const struct linear_op *ops, size_t count);

/** Prints a history, in the order of its begins. */
void linear_print(const struct linear_op *ops, size_t count);

#endif
