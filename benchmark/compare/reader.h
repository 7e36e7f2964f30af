/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program that finds what a killed one has left, and its parent. */
#ifndef READER_H
#define READER_H

#include <stdint.h>
#include <time.h>

/** Beside compare; its arguments are what reader.c says. */
#define READER "reader"

/** struct report - what it says to its parent */
struct report {
	uint64_t began;		/* in its main() */
	uint64_t ended;		/* with the items, which were right */
	uint64_t right;		/* how many were there */
};

/** clock_now() - nanoseconds of clock @id */
uint64_t clock_now(clockid_t id);

#endif
