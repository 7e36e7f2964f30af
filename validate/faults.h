/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entry points of the module whose allocations and copies test_faults fails. */
#ifndef NPHEAP_FAULTS_H
#define NPHEAP_FAULTS_H

#include "test.h"

/** The process ends in the call. */
#define FAULT_ENDS 0x1
/** A failure may leave a new object behind, which is documented. */
#define FAULT_MAY_CREATE 0x2
/** Hundreds of its sites are the kernel's: a short run takes some of them. */
#define FAULT_MANY 0x4

/**
 * struct fault_entry - a call that is made with each of its sites failing
 * @id: for the name of the test
 * @before: what has to be there, or NULL
 * @call: the call: -1 and errno where it fails, then it is made again
 * @after: undoes both; after a failure as well as after success
 * @sites: so many there are at least
 * @flags: FAULT_*
 */
struct fault_entry {
	const char *id;
	void (*before)(void);
	long (*call)(void);
	void (*after)(void);
	unsigned int sites;
	unsigned int flags;
};

/** The last one has no id. */
extern const struct fault_entry fault_entries[];

/** A key of the test's own; each walk of an entry has another. */
extern uint64_t fault_key;

#endif
