/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of objects share: what is in them, and what the heap uses. */
#ifndef NPHEAP_OBJECT_H
#define NPHEAP_OBJECT_H

#include "test.h"

/** What the heap uses; an error must leave it as it was. */
struct usage {
	long long bytes;
	long long deleted;
	long long objects;
};

struct usage usage_now(void);
void assert_usage(struct usage before);

/** All that the heap counts, and who keeps the module loaded. */
struct leftovers {
	long long objects;
	long long bytes;
	long long deleted;
	long long sparse;
	long long locks;
	long long references;
};

struct leftovers leftovers_now(void);
/** True if they are what they were @before; prints how they differ. */
int leftovers_are(struct leftovers before);

/** True if each of @size bytes is @byte. */
int is_filled(const void *p, int byte, size_t size);

void unmap(void *p, size_t size);

/** Unmaps an object and deletes it. */
void drop(void *p, size_t size, uint64_t key);

#endif
