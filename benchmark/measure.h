/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benchmarks share: a clock, medians, processes in step. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Prints @what and why, and ends the program with status 1. */
void die(const char *what) __attribute__((noreturn));

/** The same, unless @ok. */
void check(int ok, const char *what);

/** Zeroed memory that children share. */
void *shared_memory(size_t size);

/** Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/**
 * What choose_clock() chose: instructions where the time-stamp counter counts
 * them (scripts/vm --icount), nanoseconds elsewhere.
 */
extern uint64_t (*stamp)(void);
void choose_clock(void);

/** Sorts @values. */
double median(double *values, int n);

/**
 * Run on one processor only from here on: that of @place among those that the
 * program may use, which are counted round; -1: on any.
 */
void pin_to(int place);

/**
 * Where instructions are counted, the process does not give way from here on to one
 * that it wakes, but where it waits (SCHED_BATCH).  Else processes that take turns
 * fall into one of two rhythms, a turn for each item or for as many as fit, by
 * chance: a pipe then took 1,820 or 6,300 instructions for 64 bytes.
 */
void run_until_waiting(void);

/** A child at @place (-1: any) that runs @body(@arg), and dies with its parent. */
pid_t start(void (*body)(void *arg), void *arg, int place);

/** Waits for a child, which exited with 0, or was killed by @signal. */
void finish(pid_t pid, int signal);

/**
 * Waits for all children, @n, which exited with 0.  The first that did not ends
 * the program, as the others may wait for that one.
 */
void finish_all(unsigned int n);

/** Returns when a process waits for something; one that has ended is an error. */
void until_sleeps(pid_t pid);

void pause_ms(long ms);

/** Lets a limit of the heap be @least, until the program ends; 0 or -errno. */
int raise_limit(const char *name, uint64_t least)
	__attribute__((warn_unused_result));

/** What a file in the heap's sysfs says. */
uint64_t heap_counter(const char *name);

/**
 * Ends the program unless it comes to say @value within a second: while the
 * heap's tables grow, "locks_held" may count a record twice.
 */
void await_heap_counter(const char *name, uint64_t value);

/**
 * raise_system_limit() - the same of a file in /proc/sys, as far as one may
 *
 * Return: what the limit is now; 0 where there is no such file.
 */
uint64_t raise_system_limit(const char *path, uint64_t least);

#endif
