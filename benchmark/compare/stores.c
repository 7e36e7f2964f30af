// SPDX-License-Identifier: GPL-2.0-or-later
#include <stddef.h>

#include "measure.h"
#include "compare/peers.h"
#include "compare/reader.h"

uint64_t clock_now(clockid_t id)
{
	struct timespec ts;

	check(!clock_gettime(id, &ts), "clock_gettime");
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void no_items(const struct store *store, uint64_t n)
{
	(void)store;
	(void)n;
}

const struct store store_none = {
	.name = "process",
	.fill = no_items,
	.load = no_items,
	.remove = no_items,
};

const struct store *const stores[] = {
	&store_npheap, &store_npheap_objects, &store_shm, &store_sysv,
	&store_file_mmap, &store_file_read, &store_none, NULL,
};
