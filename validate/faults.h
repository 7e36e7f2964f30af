/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entry points of the module whose allocations and copies test_faults fails. */
#ifndef NPHEAP_FAULTS_H
#define NPHEAP_FAULTS_H

#include "test.h"

/** The process ends in the call. */
#define FAULT_ENDS 0x1
/** What is left is left by EFAULT only: its result could not be told. */
#define FAULT_UNTOLD 0x2
/** Hundreds of its sites are the kernel's: a short run takes some of them. */
#define FAULT_MANY 0x4

/**
 * struct fault_left - what a refused call may leave behind, and documents
 * @pages: of a new object, which is there wholly or not at all
 * @sparse: the same of a sparse one
 * @locks: records that the thread knows, until it ends
 * @references: of the module, at most, of a process that has joined, until it ends
 */
struct fault_left {
	unsigned int pages;
	unsigned int sparse;
	unsigned int locks;
	unsigned int references;
};

/**
 * struct fault_entry - a call that is made with each of its sites failing
 * @id: for the name of the test
 * @before: what has to be there, or NULL
 * @call: the call: -1 and errno where it fails, then it is made again
 * @after: undoes both; after a failure as well as after success
 * @sites: so many there are at least: where slabs and page tables have room, and
 *	   kmemleak, which doubles them, is off
 * @refused: so many of them have the call refused at least
 * @flags: FAULT_*
 * @left: what a refused call may leave; mostly nothing
 */
struct fault_entry {
	const char *id;
	void (*before)(void);
	long (*call)(void);
	void (*after)(void);
	unsigned int sites;
	unsigned int refused;
	unsigned int flags;
	struct fault_left left;
};

/** The last one has no id. */
extern const struct fault_entry fault_entries[];

/** A key of the test's own; each walk of an entry has another. */
extern uint64_t fault_key;

#endif
