// SPDX-License-Identifier: GPL-2.0-or-later
/* System V shared memory, of small pages and of huge ones. */
#include <errno.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "measure.h"
#include "compare/peers.h"
#include "compare/peers/huge_pages.h"

static char *map(int id)
{
	char *p = shmat(id, NULL, 0);

	check(p != (char *)-1, "shmat");
	return p;
}

static int create_segment(unsigned int name, size_t size, int flags)
{
	int id = shmget(own_name(name), size,
			IPC_CREAT | IPC_EXCL | 0600 | flags);

	check(id >= 0, "shmget");
	return id;
}

static char *create(unsigned int name, size_t size)
{
	return map(create_segment(name, size, 0));
}

static char *create_huge(unsigned int name, size_t size)
{
	return map(create_segment(name, size, SHM_HUGETLB));
}

static void make(unsigned int first, unsigned int n, size_t size)
{
	for (; n--; first++)
		create_segment(first, size, 0);
}

static int find_segment(unsigned int name)
{
	int id = shmget(own_name(name), 0, 0600);

	check(id >= 0, "shmget");
	return id;
}

static char *attach(unsigned int name, size_t size)
{
	(void)size;
	return map(find_segment(name));
}

static void detach(char *p, size_t size)
{
	(void)size;
	check(!shmdt(p), "shmdt");
}

static int remove_name(unsigned int name)
{
	int id = shmget(own_name(name), 0, 0600);

	return memory_removed(id < 0 ? id : shmctl(id, IPC_RMID, NULL),
			      "shmctl");
}

static char *find(unsigned int name, size_t *size, size_t wanted)
{
	int id = shmget(own_name(name), 0, 0600);
	struct shmid_ds ds;

	*size = 0;
	if (id < 0) {
		check(errno == ENOENT, "shmget");
		return NULL;
	}
	check(!shmctl(id, IPC_STAT, &ds), "shmctl");
	*size = ds.shm_segsz;
	return !wanted || *size == wanted ? map(id) : NULL;
}

const struct memory memory_sysv = {
	.name = "sysv",
	.create = create,
	.attach = attach,
	.detach = detach,
	.remove = remove_name,
	.find = find,
	.make = make,
};

/* Not everybody may have huge pages in this way. */
static int open_huge(void)
{
	int err = huge_pages_reserve(), id;

	if (err)
		return err;
	id = shmget(IPC_PRIVATE, HUGE_PAGE, IPC_CREAT | SHM_HUGETLB | 0600);
	if (id < 0) {
		err = -errno;
		huge_pages_give_back();
		return err;
	}
	check(!shmctl(id, IPC_RMID, NULL), "shmctl");
	return 0;
}

const struct memory memory_sysv_huge = {
	.name = "sysv-huge",
	.open = open_huge,
	.close = huge_pages_give_back,
	.create = create_huge,
	.attach = attach,
	.detach = detach,
	.remove = remove_name,
};
