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

/** True if each of @size bytes is @byte. */
int is_filled(const void *p, int byte, size_t size);

void unmap(void *p, size_t size);

/** Unmaps an object and deletes it. */
void drop(void *p, size_t size, uint64_t key);

#endif
