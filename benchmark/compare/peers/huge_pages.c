// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>

#include "undo.h"
#include "compare/peers/huge_pages.h"

#define POOL "/proc/sys/vm/nr_hugepages"
/*
 * The largest size that is measured is 64 MiB: of each of four systems, and one
 * more that is being removed.
 */
#define PAGES (5 * 64UL * 1024 * 1024 / HUGE_PAGE)

static unsigned long before;
static int users;

static unsigned long pool(void)
{
	unsigned long pages = 0;
	FILE *file = fopen(POOL, "re");

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages;
}

static int set_pool(unsigned long pages)
{
	FILE *file = fopen(POOL, "we");

	if (!file)
		return -errno;
	fprintf(file, "%lu", pages);
	return fclose(file) ? -errno : 0;
}

static void restore(void)
{
	if (before < PAGES)
		set_pool(before);
}

static int raise_pool(void)
{
	int err = undo_file(POOL);

	if (!err)
		err = set_pool(PAGES);
	if (!err && pool() < PAGES)
		err = -ENOMEM;
	if (err)
		restore();
	return err;
}

int huge_pages_reserve(void)
{
	int err;

	if (!users) {
		before = pool();
		err = before < PAGES ? raise_pool() : 0;
		if (err)
			return err;
	}
	users++;
	return 0;
}

void huge_pages_give_back(void)
{
	if (!--users)
		restore();
}
