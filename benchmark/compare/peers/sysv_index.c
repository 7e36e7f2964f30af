// SPDX-License-Identifier: GPL-2.0-or-later
/* Many segments of System V shared memory, of which there can be 32,768. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include "measure.h"
#include "undo.h"
#include "compare/peers.h"

#define LIMIT "/proc/sys/kernel/shmmni"
#define FIRST_KEY 0x3e400000
/* Beside those that are measured, there may be others. */
#define OTHERS 100

/* More than any kernel allows. */
#define TOO_MANY (1UL << 30)

static unsigned long before, limit;
static size_t page;

static int set_limit(unsigned long most)
{
	FILE *file = fopen(LIMIT, "we");

	if (!file)
		return -errno;
	fprintf(file, "%lu", most);
	if (fclose(file))
		return -ENOSPC;
	limit = most;
	return 0;
}

static int know_limit(void)
{
	FILE *file;
	int err;

	if (before)
		return 0;
	err = undo_file(LIMIT);
	if (err)
		return err;
	file = fopen(LIMIT, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%lu", &before) != 1)
		before = 0;
	fclose(file);
	if (!before)
		return -ENOSYS;
	limit = before;
	return 0;
}

static int join(unsigned long most)
{
	int err = know_limit();

	page = sysconf(_SC_PAGESIZE);
	if (err || limit >= most + OTHERS)
		return err;
	return set_limit(most + OTHERS);
}

static unsigned long most(void)
{
	unsigned long no = TOO_MANY, yes = limit;

	while (no - yes > 1) {
		unsigned long middle = yes + (no - yes) / 2;

		if (set_limit(middle))
			no = middle;
		else
			yes = middle;
	}
	return yes;
}

static void remove_up_to(const char *number)
{
	unsigned long i, n = strtoul(number, NULL, 10);

	for (i = 0; i < n; i++)
		shmctl(shmget(FIRST_KEY + i, 0, 0600), IPC_RMID, NULL);
}

static void grow(unsigned long from, unsigned long to)
{
	undo_later(remove_up_to, decimal(to));
	for (; from < to; from++)
		check(shmget(FIRST_KEY + from, page,
			     IPC_CREAT | IPC_EXCL | 0600) >= 0, "shmget");
}

static int find(unsigned long i)
{
	int id = shmget(FIRST_KEY + i, 0, 0600);

	check(id >= 0, "shmget");
	return id;
}

static void *attach(unsigned long i)
{
	void *p = shmat(find(i), NULL, 0);

	check(p != (void *)-1, "shmat");
	return p;
}

static void detach(void *p)
{
	check(!shmdt(p), "shmdt");
}

static void getsize(unsigned long i)
{
	struct shmid_ds ds;

	check(!shmctl(find(i), IPC_STAT, &ds), "shmctl");
	errno = EBADMSG;
	check(ds.shm_segsz == page, "shmctl");
}

static void shrink(unsigned long n)
{
	undo_now(remove_up_to, decimal(n));
}

const struct index index_sysv = {
	.name = "sysv",
	.open = join,
	.most = most,
	.grow = grow,
	.attach = attach,
	.detach = detach,
	.getsize = getsize,
	.shrink = shrink,
};
