// SPDX-License-Identifier: GPL-2.0-or-later
/* System V semaphores, which the kernel gives back at the end of a process. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "measure.h"
#include "undo.h"
#include "compare/peers.h"

static int set = -1;

static void remove_set(const char *id)
{
	semctl(atoi(id), 0, IPC_RMID);
}

static void close_all(void)
{
	undo_now(remove_set, decimal(set));
}

static int open_all(unsigned int n)
{
	unsigned int i;

	set = semget(IPC_PRIVATE, n, 0600);
	if (set < 0)
		return -errno;
	undo_later(remove_set, decimal(set));
	for (i = 0; i < n; i++)
		check(!semctl(set, i, SETVAL, 1), "semctl");
	return 0;
}

static inline void add(unsigned int i, short by)
{
	struct sembuf op = {
		.sem_num = i, .sem_op = by, .sem_flg = SEM_UNDO,
	};

	if (semop(set, &op, 1))
		die("semop");
}

static int down(unsigned int i)
{
	add(i, -1);
	return 0;
}

static void up(unsigned int i)
{
	add(i, 1);
}

static void pair(void)
{
	down(0);
	up(0);
}

const struct lock lock_semop = {
	.name = "semop-undo",
	.end = LOCK_FREED,
	.open = open_all,
	.close = close_all,
	.lock = down,
	.unlock = up,
	.pair = pair,
};
