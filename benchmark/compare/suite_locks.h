/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the suite of locks, and the locks that are compared. */
#ifndef SUITE_LOCKS_H
#define SUITE_LOCKS_H

#include "compare/bench.h"
#include "compare/peers.h"

/** So many of each are made. */
#define LOCKS 3

/** Tables: many processes that take turns; who gets past whom. */
void locks_contended(void);
void locks_fairness(void);

/** Tables: from one process to the next. */
void locks_handoff(void);

/** Tables: the end of a process that knows many locks. */
void locks_death(void);

/** lock_of() - the lock that a bench measures */
const struct lock *lock_of(const struct bench *b);

/** What a bench of a lock has as @setup and @teardown. */
int lock_open(struct bench *b);
void lock_close(struct bench *b);

/**
 * lock_table() - compare @n @locks at what @how says, the base first
 *
 * They are opened before, and closed after, unless @how has a @teardown that
 * does so.
 */
void lock_table(const struct bench *how, const struct lock *const *locks,
		size_t n);

/** lock_join() - in a child, before it takes part: it knows all locks but 0 */
void lock_join(const struct lock *lock);

#endif
