// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reader - read items that a process has left which was killed, report, and wait
 * to be killed
 *
 * Arguments: a store's name, the number of the clock to report by, the descriptor
 * to report to, how many items there are, the first to be read, the one after the
 * last, and what own_names_from() is to be told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare/peers.h"
#include "compare/reader.h"
#include "measure.h"

static const struct store *find_store(const char *name)
{
	const struct store *const *store;

	for (store = stores; *store; store++)
		if (!strcmp((*store)->name, name))
			return *store;
	errno = EINVAL;
	die(name);
}

static int is_there(const struct store *store, uint64_t i)
{
	const struct item *item = store->find(item_key(i));

	if (item)
		item_check(item, i);
	return !!item;
}

/* Of items @from to @to - 1 of @n. */
static uint64_t read_items(const struct store *store, uint64_t n, uint64_t from,
			   uint64_t to)
{
	uint64_t right = 0;

	store->load(store, n);
	if (!store->find)
		return 0;
	for (; from < to; from++)
		right += is_there(store, from);
	return right;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
	struct report report = { 0 };
	clockid_t id;
	int fd;

	errno = EINVAL;
	check(argc == 8, READER);
	id = number(argv[2]);
	report.began = clock_now(id);
	fd = number(argv[3]);
	own_names_from(number(argv[7]));
	report.right = read_items(find_store(argv[1]), number(argv[4]),
				  number(argv[5]), number(argv[6]));
	report.ended = clock_now(id);
	check(write(fd, &report, sizeof(report)) == sizeof(report), "pipe");
	for (;;)
		pause();
}
