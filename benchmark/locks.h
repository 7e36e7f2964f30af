/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the measurements of locks share: the locks that are compared, processes
 * to fight over them, a clock, and the table that is printed.
 */
#ifndef LOCKS_H
#define LOCKS_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include <npheap.h>

/* The measurements; each prints its table and returns an exit status. */
int measure_calls(void);
int measure_handoff(void);
int measure_fairness(void);
int measure_death(void);

/* The heap by a descriptor and by a handle, and the page size. */
extern int dev;
extern struct npheap *heap;
extern uint64_t page;

/** die() - end the program, with errno and @what */
void die(const char *what) __attribute__((noreturn));

static inline void check(int ok, const char *what)
{
	if (!ok)
		die(what);
}

void *shared_memory(size_t size);

/** mutex_init() - make a process-shared mutex of the C library */
void mutex_init(pthread_mutex_t *mutex, int is_robust);

/**
 * struct kind - locks that processes can share
 * @name: as it is printed
 * @lock: take lock @i; after a death, settles it
 * @unlock: give it back
 */
struct kind {
	const char *name;
	void (*lock)(int i);
	void (*unlock)(int i);
};

/* So many locks of a kind can be used after kinds_init(). */
#define LOCKS 3
void kinds_init(void);
extern const struct kind by_robust, by_heap;

/** start() - a child on processor @cpu (-1: any) that runs @body and exits */
pid_t start(void (*body)(const struct kind *kind), int cpu,
	    const struct kind *kind);

/** finish() - wait for a child; it exited with 0, or @signal killed it */
void finish(pid_t pid, int signal);

/**
 * clock_init() - choose what stamp() counts
 *
 * Instructions where the time-stamp counter counts those (scripts/vm
 * --icount), else nanoseconds.
 */
void clock_init(void);
uint64_t now_ns(void);
extern uint64_t (*stamp)(void);

/** median() - sorts @values */
double median(double *values, int n);

/* The table.  Columns are separated by commas if @csv. */
extern int csv;
extern const char *suite;
extern const char *unit;
void print_head(void);

/** print_row() - @ratio is @value's to what @base says */
void print_row(const char *what, const char *system, double value, double ratio,
	       const char *base);

#endif
