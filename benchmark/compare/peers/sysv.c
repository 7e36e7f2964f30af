// SPDX-License-Identifier: GPL-2.0-or-later
/* System V shared memory. */
#include <sys/ipc.h>
#include <sys/shm.h>

#include "measure.h"
#include "compare/peers.h"

static char *map(int id)
{
	char *p = shmat(id, NULL, 0);

	check(p != (char *)-1, "shmat");
	return p;
}

static int create_segment(unsigned int name, size_t size)
{
	int id = shmget(own_name(name), size, IPC_CREAT | IPC_EXCL | 0600);

	check(id >= 0, "shmget");
	return id;
}

static char *create(unsigned int name, size_t size)
{
	return map(create_segment(name, size));
}

static void make(unsigned int first, unsigned int n, size_t size)
{
	for (; n--; first++)
		create_segment(first, size);
}

static int find(unsigned int name)
{
	int id = shmget(own_name(name), 0, 0600);

	check(id >= 0, "shmget");
	return id;
}

static char *attach(unsigned int name, size_t size)
{
	(void)size;
	return map(find(name));
}

static void detach(char *p, size_t size)
{
	(void)size;
	check(!shmdt(p), "shmdt");
}

static void remove_name(unsigned int name)
{
	check(!shmctl(find(name), IPC_RMID, NULL), "shmctl");
}

static size_t size_of(unsigned int name)
{
	int id = shmget(own_name(name), 0, 0600);
	struct shmid_ds ds;

	if (id < 0)
		return 0;
	check(!shmctl(id, IPC_STAT, &ds), "shmctl");
	return ds.shm_segsz;
}

const struct memory memory_sysv = {
	.name = "sysv",
	.create = create,
	.attach = attach,
	.detach = detach,
	.remove = remove_name,
	.size = size_of,
	.make = make,
};
