/* SPDX-License-Identifier: GPL-2.0-or-later */
/* npheap doctor: what its checks share.  A finding has a name, for programs. */
#ifndef NPHEAP_DOCTOR_H
#define NPHEAP_DOCTOR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* With a warning the heap works; with a fault it, or a part of it, does not. */
enum verdict { GOOD, WARNING, FAULT };

/**
 * Reports a finding.  @todo is what to type next, NULL where there is nothing
 * to do; @format says what it is, like printf.
 */
void report(enum verdict verdict, const char *name, const char *todo,
	    const char *format, ...) __attribute__((format(printf, 4, 5)));

/** A path below --sysroot, in one of a few buffers that are used in turn. */
const char *system_path(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/** Text for @todo, in one of a few buffers that are used in turn. */
const char *text(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

bool system_has(const char *path);

/** The first line of a file below --sysroot; false where there is none. */
bool system_line(const char *path, char *line, int size);

/** The number in it; -1 where there is none. */
long long system_number(const char *path);

/** Whether this is a container, whose kernel and devices are another's. */
bool in_container(void);

/** doctor_module.c: why the module is not loaded, and whether the right one is. */
void check_kernel(void);
bool check_module(void);

/** doctor_device.c: whether the device can be used by the one who asks. */
bool check_device(void);

/** doctor_heap.c: limits, memory, what the dead left behind. */
void check_limits(void);
void check_memory(void);
void check_leftovers(void);
void check_library(void);
void check_trial(void);

#endif
