// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "measure.h"
#include "undo.h"
#include "compare/peers/huge_pages.h"

#define POOL "/proc/sys/vm/nr_hugepages"
/*
 * The largest size that is measured is 64 MiB: of each of four systems, and one
 * more that is being removed.
 */
#define PAGES (5 * 64UL * 1024 * 1024 / HUGE_PAGE)

static int users;

int huge_pages_reserve(void)
{
	int err;

	errno = ENOMEM;
	if (!users && raise_system_limit(POOL, PAGES) < PAGES) {
		err = -errno;
		undo_file_now(POOL);
		return err;
	}
	users++;
	return 0;
}

void huge_pages_give_back(void)
{
	if (!--users)
		undo_file_now(POOL);
}
