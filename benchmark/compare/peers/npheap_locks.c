// SPDX-License-Identifier: GPL-2.0-or-later
/* Locks of NP-Heap, by each set of calls that takes them. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "measure.h"
#include "compare/peers.h"
#include "compare/peers/npheap.h"

/* The locks of the comparison are those of keys from here on. */
#define KEY 0x10c500000ULL

/* There is a lock for each key, so none has to be made. */
static int open_all(unsigned int n)
{
	(void)n;
	return heap_join();
}

static int settle(uint64_t key, int err)
{
	if (!err || err == -EBUSY)
		return -err;
	errno = -err;
	check(err == -EOWNERDEAD, "npheap_acquire");
	errno = -npheap_consistent(heap, key);
	check(!errno, "npheap_consistent");
	return EOWNERDEAD;
}

/* --------------------------------------------------------- by the two calls */

static int classic_lock(unsigned int i)
{
	if (npheap_lock(heap_fd, KEY + i))
		die("npheap_lock");
	return 0;
}

static void classic_unlock(unsigned int i)
{
	if (npheap_unlock(heap_fd, KEY + i))
		die("npheap_unlock");
}

static void classic_pair(void)
{
	classic_lock(0);
	classic_unlock(0);
}

const struct lock lock_npheap = {
	.name = "npheap",
	.end = LOCK_FREED,
	.open = open_all,
	.lock = classic_lock,
	.unlock = classic_unlock,
	.pair = classic_pair,
};

/* -------------------------------------------------------------- by a handle */

/* There may be many, and a lock that is made anew has a key of its own. */
static uint64_t first, next = 1ULL << 40;

static int handle_open(unsigned int n)
{
	first = next;
	next += n;
	return heap_join();
}

static int handle_lock(unsigned int i)
{
	int err = npheap_acquire(heap, first + i);

	return err ? settle(first + i, err) : 0;
}

static int handle_attempt(unsigned int i)
{
	return settle(first + i, npheap_acquire_with(heap, first + i,
						     NPHEAP_TRY,
						     NPHEAP_FOREVER));
}

static void handle_unlock(unsigned int i)
{
	if (npheap_release(heap, first + i))
		die("npheap_release");
}

static void handle_pair(void)
{
	handle_lock(0);
	handle_unlock(0);
}

const struct lock lock_npheap_handle = {
	.name = "npheap-handle",
	.end = LOCK_TELLS,
	.open = handle_open,
	.lock = handle_lock,
	.attempt = handle_attempt,
	.unlock = handle_unlock,
	.pair = handle_pair,
};

/* ------------------------------------------------------------ by references */

#define REFS 16

static struct npheap_ref refs[REFS];

static void ref_join(void)
{
	unsigned int i;

	for (i = 0; i < REFS; i++)
		refs[i] = (struct npheap_ref)NPHEAP_REF_INIT(heap, KEY + i);
}

static int ref_open(unsigned int n)
{
	int err = n > REFS ? -ENOSPC : open_all(n);

	ref_join();
	return err;
}

static int ref_lock(unsigned int i)
{
	int err = npheap_ref_acquire(&refs[i]);

	return err ? settle(refs[i].key, err) : 0;
}

static void ref_unlock(unsigned int i)
{
	if (npheap_ref_release(&refs[i]))
		die("npheap_ref_release");
}

static void ref_pair(void)
{
	ref_lock(0);
	ref_unlock(0);
}

const struct lock lock_npheap_ref = {
	.name = "npheap-ref",
	.end = LOCK_TELLS,
	.open = ref_open,
	.join = ref_join,
	.lock = ref_lock,
	.unlock = ref_unlock,
	.pair = ref_pair,
};

/* -------------------------------------------------------------- for reading */

static int shared_lock(unsigned int i)
{
	int err = npheap_acquire_with(heap, KEY + i, NPHEAP_SHARED,
				      NPHEAP_FOREVER);

	return err ? settle(KEY + i, err) : 0;
}

static void shared_unlock(unsigned int i)
{
	if (npheap_release(heap, KEY + i))
		die("npheap_release");
}

static void shared_pair(void)
{
	shared_lock(0);
	shared_unlock(0);
}

const struct lock lock_npheap_shared = {
	.name = "npheap-shared",
	.end = LOCK_FREED,
	.open = open_all,
	.lock = shared_lock,
	.unlock = shared_unlock,
	.pair = shared_pair,
};

/* ---------------------------------------------------------- without library */

static uint64_t page_size;

static int ioctl_open(unsigned int n)
{
	page_size = sysconf(_SC_PAGESIZE);
	return open_all(n);
}

static inline void command(unsigned long number, unsigned int i)
{
	struct npheap_cmd cmd = { .offset = (KEY + i) * page_size };

	if (ioctl(heap_fd, number, &cmd))
		die(NPHEAP_DEVICE);
}

static int ioctl_lock(unsigned int i)
{
	command(NPHEAP_IOCTL_LOCK, i);
	return 0;
}

static void ioctl_unlock(unsigned int i)
{
	command(NPHEAP_IOCTL_UNLOCK, i);
}

static void ioctl_pair(void)
{
	ioctl_lock(0);
	ioctl_unlock(0);
}

const struct lock lock_npheap_ioctl = {
	.name = "npheap-ioctl",
	.end = LOCK_FREED,
	.open = ioctl_open,
	.lock = ioctl_lock,
	.unlock = ioctl_unlock,
	.pair = ioctl_pair,
};
