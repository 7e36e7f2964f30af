/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's fault injection, as /proc/self/fail-nth does it: the n-th
 * allocation or copy from or to user space of a thread fails, once.
 */
#ifndef NPHEAP_FAIL_H
#define NPHEAP_FAIL_H

#include "test.h"

/** False where the kernel has no fault injection. */
int fail_possible(void);

/** Every kind of allocation counts from now on, and no failure is logged. */
void fail_prepare(void);

/** The calling thread's n-th from here on fails. */
void fail_arm(unsigned int n);

/** No more failures; how many sites before it were left, 0: it has failed. */
unsigned int fail_disarm(void);

/** The same of a process that has ended and was not waited for yet. */
unsigned int fail_left(pid_t pid);

#endif
