// SPDX-License-Identifier: GPL-2.0-or-later
/* System V semaphores, which the kernel gives back at the end of a process. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "measure.h"
#include "compare/peers.h"

static int set = -1;

static void close_all(void)
{
	if (set >= 0)
		semctl(set, 0, IPC_RMID);
	set = -1;
}

static int open_all(unsigned int n)
{
	static int will_close;
	unsigned int i;

	set = semget(IPC_PRIVATE, n, 0600);
	if (set < 0)
		return -errno;
	if (!will_close++)
		atexit(close_all);
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
