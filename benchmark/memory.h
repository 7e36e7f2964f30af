/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the memory benchmark. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "measure.h"

extern size_t page;
extern int dev;

/**
 * Memory that processes share by a name; name 0 is nobody else's.
 * Whatever fails ends the program.
 */
struct memory {
	const char *name;
	/** Makes new memory, or finds the old, and maps it. */
	char *(*create)(unsigned int name, size_t size);
	char *(*attach)(unsigned int name, size_t size);
	/** Its name is gone. */
	void (*remove)(unsigned int name);
};

extern const struct memory by_shm, by_shm_populate, by_heap;

/** The heap's names are keys from here on. */
#define FIRST_KEY 0x3e3000000ULL

/** Makes it, and does not map it. */
void shm_make(unsigned int name, size_t size);

/** Files on a tmpfs of huge pages of its own. */
extern const struct memory by_huge_tmpfs;
int huge_tmpfs_mount(void);
void huge_tmpfs_unmount(void);

/** Writes a byte in each page. */
void touch(char *p, size_t size);
void detach(char *p, size_t size);

/** @objects: how many at the end; at first there are 1,000. */
void measure_index(unsigned long objects);

void measure_scaling(void);

#endif
