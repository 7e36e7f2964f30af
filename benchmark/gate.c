// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gate.h"

/* ------------------------------------------------------------- semaphores */

static int semaphore_init(struct gate *gate, unsigned int count)
{
	return sem_init(&gate->sem, 1, count) ? -errno : 0;
}

static int semaphore_wait(struct gate *gate, struct npheap *heap)
{
	(void)heap;
	while (sem_wait(&gate->sem))
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int semaphore_post(struct gate *gate, struct npheap *heap)
{
	(void)heap;
	return sem_post(&gate->sem) ? -errno : 0;
}

const struct gate_kind gate_semaphore = {
	.init = semaphore_init,
	.wait = semaphore_wait,
	.post = semaphore_post,
};

/* ------------------------------------------------------- a count of our own */

static int count_init(struct gate *gate, unsigned int count)
{
	atomic_init(&gate->count, count);
	atomic_init(&gate->sleepers, 0);
	return 0;
}

static bool pass(struct gate *gate)
{
	uint32_t count = atomic_load(&gate->count);

	while (count)
		if (atomic_compare_exchange_weak(&gate->count, &count,
						 count - 1))
			return true;
	return false;
}

/* ------------------------------------------------------------------- futex */

static long futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static int futex_wait(struct gate *gate, struct npheap *heap)
{
	(void)heap;
	if (pass(gate))
		return 0;
	atomic_fetch_add(&gate->sleepers, 1);
	while (!pass(gate))
		if (futex(&gate->count, FUTEX_WAIT, 0) && errno != EAGAIN &&
		    errno != EINTR)
			return -errno;
	atomic_fetch_sub(&gate->sleepers, 1);
	return 0;
}

static int futex_post(struct gate *gate, struct npheap *heap)
{
	(void)heap;
	atomic_fetch_add(&gate->count, 1);
	if (atomic_load(&gate->sleepers) && futex(&gate->count, FUTEX_WAKE, 1) < 0)
		return -errno;
	return 0;
}

const struct gate_kind gate_futex = {
	.init = count_init,
	.wait = futex_wait,
	.post = futex_post,
};

/* ----------------------------------------------------------------- eventfd */

static int eventfd_init(struct gate *gate, unsigned int count)
{
	gate->fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	return gate->fd < 0 ? -errno : count_init(gate, count);
}

static void eventfd_end(struct gate *gate)
{
	close(gate->fd);
}

/* One post too many to read is a turn for nothing: the count decides. */
static int eventfd_wait(struct gate *gate, struct npheap *heap)
{
	uint64_t one;

	(void)heap;
	if (pass(gate))
		return 0;
	atomic_fetch_add(&gate->sleepers, 1);
	while (!pass(gate))
		if (read(gate->fd, &one, sizeof(one)) < 0 && errno != EINTR)
			return -errno;
	atomic_fetch_sub(&gate->sleepers, 1);
	return 0;
}

static int eventfd_post(struct gate *gate, struct npheap *heap)
{
	uint64_t one = 1;

	(void)heap;
	atomic_fetch_add(&gate->count, 1);
	if (!atomic_load(&gate->sleepers))
		return 0;
	return write(gate->fd, &one, sizeof(one)) < 0 ? -errno : 0;
}

const struct gate_kind gate_eventfd = {
	.init = eventfd_init,
	.end = eventfd_end,
	.wait = eventfd_wait,
	.post = eventfd_post,
};

/* ------------------------------------------------------------------ npheap */

static int event_wait(struct gate *gate, struct npheap *heap)
{
	uint64_t event;
	int err;

	while (!pass(gate)) {
		err = npheap_event(heap, gate->key, &event);
		if (err)
			return err;
		if (pass(gate))
			return 0;
		err = npheap_wait(heap, gate->key, event, NPHEAP_FOREVER);
		if (err)
			return err;
	}
	return 0;
}

static int event_post(struct gate *gate, struct npheap *heap)
{
	atomic_fetch_add(&gate->count, 1);
	return npheap_notify(heap, gate->key, 1);
}

const struct gate_kind gate_event = {
	.init = count_init,
	.wait = event_wait,
	.post = event_post,
};

/* NOTIFY says how many it woke. */
static int call(struct npheap *heap, unsigned long command,
		struct npheap_event *args)
{
	return ioctl(npheap_fd(heap), command, args) < 0 ? -errno : 0;
}

static int ioctl_wait(struct gate *gate, struct npheap *heap)
{
	int err;

	while (!pass(gate)) {
		struct npheap_event args = { .key = gate->key };

		err = call(heap, NPHEAP_IOC_EVENT, &args);
		if (err)
			return err;
		if (pass(gate))
			return 0;
		args.timeout = NPHEAP_FOREVER;
		err = call(heap, NPHEAP_IOC_WAIT, &args);
		if (err)
			return err;
	}
	return 0;
}

static int ioctl_post(struct gate *gate, struct npheap *heap)
{
	struct npheap_event args = { .key = gate->key, .count = 1 };

	atomic_fetch_add(&gate->count, 1);
	return call(heap, NPHEAP_IOC_NOTIFY, &args);
}

const struct gate_kind gate_event_ioctl = {
	.init = count_init,
	.wait = ioctl_wait,
	.post = ioctl_post,
};
