/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each thread of the crowd did last, in memory that all of them share: a
 * process that was killed, or hangs, tells nothing by itself.  And whether all
 * of them go on.
 */
#ifndef NPHEAP_TORTURE_LOG_H
#define NPHEAP_TORTURE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/** A log for so many threads, with nothing in it; 0 or -1. */
int log_new(unsigned int threads);
void log_free(void);

/** From now on the calling thread is this one, until a line says otherwise. */
void log_as(unsigned int number);

/** A line of the calling thread; @what stays where it is. */
void log_line(const char *what, long value);

/** The calling thread has done an operation; how many all have done. */
void log_operation(void);
uint64_t log_operations(void);

/** From now on it counts who does an operation, and for how long nobody does. */
void log_watch(void);

/** All threads have done one since log_watch(). */
bool log_all_moved(void);

/**
 * A thread has done none for too long since log_watch(); prints which.  From then
 * on it is so: nobody waits a second time.
 */
bool log_is_stuck(void);

/** Prints the last lines of each thread. */
void log_print(void);

#endif
