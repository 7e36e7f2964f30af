// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Locks that processes share.  Here: one process, and nobody in its way.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compare/peers/npheap.h"
#include "compare/suite_locks.h"
#include "compare/suites.h"

const struct lock *lock_of(const struct bench *b)
{
	return b->by;
}

int lock_open(struct bench *b)
{
	return lock_of(b)->open(LOCKS);
}

void lock_close(struct bench *b)
{
	if (lock_of(b)->close)
		lock_of(b)->close();
}

void lock_table(const struct bench *how, const struct lock *const *locks,
		size_t n)
{
	struct bench benches[BENCHES];
	size_t i;

	for (i = 0; i < n; i++) {
		benches[i] = *how;
		benches[i].system = locks[i]->name;
		benches[i].by = locks[i];
		benches[i].setup = lock_open;
		benches[i].teardown = how->teardown ? how->teardown :
						      lock_close;
	}
	compare(benches, n);
}

void lock_join(const struct lock *lock)
{
	unsigned int i;

	if (lock->join)
		lock->join();
	for (i = 1; i < LOCKS; i++) {
		lock->lock(i);
		lock->unlock(i);
	}
}

/* ------------------------------------------------------------------ a pair */

static void pair(struct bench *b)
{
	lock_of(b)->pair();
}

/* ------------------------------------------------ who has it has it alone */

struct second {
	const struct lock *lock;
	volatile int *is_held;
};

static void come_second(void *arg)
{
	const struct second *second = arg;

	lock_join(second->lock);
	second->lock->lock(0);
	errno = EBADMSG;
	check(!*second->is_held, second->lock->name);
	second->lock->unlock(0);
}

/* Of what was measured: one waits until another gives it back. */
static void verify_and_close(struct bench *b)
{
	static volatile int *is_held;
	struct second second = { .lock = lock_of(b) };
	pid_t pid;

	if (!is_held)
		is_held = shared_memory(sizeof(*is_held));
	second.is_held = is_held;
	second.lock->lock(0);
	/* Readers get in together. */
	*is_held = second.lock != &lock_npheap_shared;
	pid = start(come_second, &second, -1);
	pause_ms(3);
	if (*is_held)
		until_sleeps(pid);
	*is_held = 0;
	second.lock->unlock(0);
	finish(pid, 0);
	lock_close(b);
}

static void lock_and_unlock(void)
{
	static const struct lock *const locks[] = {
		&lock_robust, &lock_npheap, &lock_npheap_handle,
		&lock_npheap_ref, &lock_npheap_shared, &lock_npheap_ioctl,
		&lock_mutex, &lock_pi, &lock_robust_pi, &lock_semaphore,
		&lock_semop, &lock_fcntl, &lock_ofd, &lock_flock,
		&lock_boost_mutex, &lock_boost_named,
		/* Only if it is asked for. */
		&lock_broken,
	};
	static const struct bench how = {
		.name = "lock-unlock", .op = pair, .copies = 1,
		.teardown = verify_and_close,
	};

	lock_table(&how, locks, COUNT(locks) - !options.broken);
}

/* ------------------------------------------------- the calls beside of locks */

#define KEY 0x10c5fffffULL

static pthread_cond_t *condition;
static int file;

static void call_empty(struct bench *b)
{
	(void)b;
	syscall(SYS_getppid);
}

static void call_getsize(struct bench *b)
{
	(void)b;
	check(npheap_getsize(heap_fd, KEY) == (long)page, "npheap_getsize");
}

static void call_getsize_ioctl(struct bench *b)
{
	struct npheap_cmd cmd = { .offset = KEY * page };

	(void)b;
	check(ioctl(heap_fd, NPHEAP_IOCTL_GETSIZE, &cmd) == (long)page,
	      NPHEAP_DEVICE);
}

static void call_fstat(struct bench *b)
{
	struct stat st;

	(void)b;
	check(!fstat(file, &st) && st.st_size == (off_t)page, "fstat");
}

static void call_notify(struct bench *b)
{
	(void)b;
	check(!npheap_notify(heap, KEY, 1), "npheap_notify");
}

static void call_event(struct bench *b)
{
	uint64_t event;

	(void)b;
	check(!npheap_event(heap, KEY, &event), "npheap_event");
}

static void call_signal(struct bench *b)
{
	(void)b;
	check(!pthread_cond_signal(condition), "pthread_cond_signal");
}

/* Those of a table have the same one. */
static int open_object(struct bench *b)
{
	int err = heap_join();

	(void)b;
	if (!err)
		err = npheap_create(heap, KEY, page, 0, 0);
	return err == -EEXIST ? 0 : err;
}

static void remove_object(struct bench *b)
{
	(void)b;
	npheap_remove(heap, KEY);
}

static int open_file(struct bench *b)
{
	(void)b;
	file = memfd_create("npheap-compare", MFD_CLOEXEC);
	check(file >= 0 && !ftruncate(file, page), "memfd_create");
	return 0;
}

static void close_file(struct bench *b)
{
	(void)b;
	close(file);
}

static int open_condition(struct bench *b)
{
	pthread_condattr_t attr;

	(void)b;
	condition = shared_memory(sizeof(*condition));
	pthread_condattr_init(&attr);
	pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	check(!pthread_cond_init(condition, &attr), "pthread_cond_init");
	pthread_condattr_destroy(&attr);
	return 0;
}

static void close_condition(struct bench *b)
{
	(void)b;
	munmap(condition, sizeof(*condition));
}

/* Nobody waits for those that wake. */
static void other_calls(void)
{
	struct bench sizes[] = {
		{ .system = "fstat", .op = call_fstat,
		  .setup = open_file, .teardown = close_file },
		{ .system = "npheap", .op = call_getsize,
		  .setup = open_object, .teardown = remove_object },
		{ .system = "npheap-ioctl", .op = call_getsize_ioctl,
		  .setup = open_object, .teardown = remove_object },
		{ .system = "system-call", .op = call_empty },
	};
	struct bench events[] = {
		{ .system = "condition", .op = call_signal,
		  .setup = open_condition, .teardown = close_condition },
		{ .system = "npheap", .op = call_notify,
		  .setup = open_object, .teardown = remove_object },
		{ .system = "npheap-event-read", .op = call_event,
		  .setup = open_object, .teardown = remove_object },
		{ .system = "system-call", .op = call_empty },
	};
	size_t i;

	for (i = 0; i < COUNT(sizes); i++)
		sizes[i].name = "getsize";
	for (i = 0; i < COUNT(events); i++)
		events[i].name = "notify";
	compare(sizes, COUNT(sizes));
	compare(events, COUNT(events));
}

static void run(void)
{
	lock_and_unlock();
	other_calls();
	locks_contended();
	locks_fairness();
	locks_handoff();
	locks_death();
}

const struct suite suite_locks = {
	.name = "locks",
	.about = "lock and unlock, alone and contended, hand-offs, deaths",
	.run = run,
};
