/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the measurements of locks share: the locks that are compared, processes
 * to fight over them.
 */
#ifndef LOCKS_H
#define LOCKS_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include <npheap.h>

#include "measure.h"

/* The measurements; each prints its table and returns an exit status. */
int measure_calls(void);
int measure_handoff(void);
int measure_fairness(void);
int measure_death(void);

/* The heap by a descriptor and by a handle, and the page size. */
extern int dev;
extern struct npheap *heap;
extern uint64_t page;

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

/** start_with() - a child on processor @cpu (-1: any) that runs @body(@kind) */
pid_t start_with(const struct kind *kind,
		 void (*body)(const struct kind *kind), int cpu);

#endif
