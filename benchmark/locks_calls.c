// SPDX-License-Identifier: GPL-2.0-or-later
/* One process, and nobody in its way: lock and unlock, and other calls. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "locks.h"

#define KEY 0x10c5ULL

#define REPETITIONS 15
#define LOOPS 2000

static void nothing(void)
{
	__asm__ volatile("" : : : "memory");
}

static double measure(void (*run)(void))
{
	void (*volatile target)(void) = run;
	double values[REPETITIONS];
	int i, n;

	for (i = 0; i < REPETITIONS; i++) {
		uint64_t began = stamp();

		for (n = 0; n < LOOPS; n++)
			target();
		values[i] = (double)(stamp() - began) / LOOPS;
	}
	return median(values, REPETITIONS);
}

/* --------------------------------------------------------------- the calls */

static pthread_mutex_t *robust, *plain;
static int lock_file, sem_id;
static int failures;

static void expect(int rc)
{
	failures += rc != 0;
}

static void pair_classic(void)
{
	npheap_lock(dev, KEY);
	npheap_unlock(dev, KEY);
}

static void pair_handle(void)
{
	npheap_acquire(heap, KEY);
	npheap_release(heap, KEY);
}

static void pair_ref(void)
{
	static struct npheap_ref ref;

	if (!ref.heap)
		ref = (struct npheap_ref)NPHEAP_REF_INIT(heap, KEY);
	npheap_ref_acquire(&ref);
	npheap_ref_release(&ref);
}

static void pair_shared(void)
{
	npheap_acquire_with(heap, KEY, NPHEAP_SHARED, NPHEAP_FOREVER);
	npheap_release(heap, KEY);
}

static void pair_ioctl(void)
{
	struct npheap_cmd cmd = { .offset = KEY * page };

	ioctl(dev, NPHEAP_IOCTL_LOCK, &cmd);
	ioctl(dev, NPHEAP_IOCTL_UNLOCK, &cmd);
}

static void pair_robust(void)
{
	pthread_mutex_lock(robust);
	pthread_mutex_unlock(robust);
}

static void pair_plain(void)
{
	pthread_mutex_lock(plain);
	pthread_mutex_unlock(plain);
}

static void pair_flock(void)
{
	flock(lock_file, LOCK_EX);
	flock(lock_file, LOCK_UN);
}

static void pair_semop(void)
{
	struct sembuf down = { .sem_op = -1, .sem_flg = SEM_UNDO };
	struct sembuf up = { .sem_op = 1, .sem_flg = SEM_UNDO };

	semop(sem_id, &down, 1);
	semop(sem_id, &up, 1);
}

static void pair_fcntl_by(int command)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

	fcntl(lock_file, command, &l);
	l.l_type = F_UNLCK;
	fcntl(lock_file, command, &l);
}

static void pair_fcntl(void)
{
	pair_fcntl_by(F_SETLK);
}

static void pair_ofd(void)
{
	pair_fcntl_by(F_OFD_SETLK);
}

static void call_getsize(void)
{
	npheap_getsize(dev, KEY);
}

static void call_getsize_ioctl(void)
{
	struct npheap_cmd cmd = { .offset = KEY * page };

	ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd);
}

static void call_notify(void)
{
	npheap_notify(heap, KEY, 1);
}

static void call_event(void)
{
	uint64_t event;

	npheap_event(heap, KEY, &event);
}

static void call_empty(void)
{
	syscall(SYS_getppid);
}

static const struct call {
	const char *what;
	const char *system;
	void (*run)(void);
} calls[] = {
	{ "lock+unlock", "robust-mutex", pair_robust },
	{ "lock+unlock", "npheap", pair_classic },
	{ "lock+unlock", "npheap-handle", pair_handle },
	{ "lock+unlock", "npheap-ref", pair_ref },
	{ "lock+unlock", "npheap-shared", pair_shared },
	{ "lock+unlock", "npheap-ioctl", pair_ioctl },
	{ "lock+unlock", "mutex-pshared", pair_plain },
	{ "lock+unlock", "flock", pair_flock },
	{ "lock+unlock", "semop-undo", pair_semop },
	{ "lock+unlock", "fcntl", pair_fcntl },
	{ "lock+unlock", "fcntl-ofd", pair_ofd },
	{ "getsize", "npheap", call_getsize },
	{ "getsize", "npheap-ioctl", call_getsize_ioctl },
	{ "notify", "npheap", call_notify },
	{ "event", "npheap", call_event },
	{ "empty", "system-call", call_empty },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* ------------------------------------------------------------- the measuring */

static pthread_mutex_t *mutex_new(int is_robust)
{
	pthread_mutex_t *mutex = shared_memory(sizeof(*mutex));

	mutex_init(mutex, is_robust);
	return mutex;
}

static void open_lock_file(void)
{
	char name[] = "/dev/shm/locks.XXXXXX";
	char here[] = "./locks.XXXXXX";

	lock_file = mkstemp(name);
	if (lock_file >= 0) {
		unlink(name);
		return;
	}
	lock_file = mkstemp(here);
	check(lock_file >= 0, "a file to lock");
	unlink(here);
}

static void remove_semaphore(void)
{
	semctl(sem_id, 0, IPC_RMID);
}

static void prepare_peers(void)
{
	robust = mutex_new(1);
	plain = mutex_new(0);
	open_lock_file();
	sem_id = semget(IPC_PRIVATE, 1, 0600);
	check(sem_id >= 0, "semget");
	check(!semctl(sem_id, 0, SETVAL, 1), "semctl");
}

/* Each of them works before it is measured. */
static void try_all(void)
{
	struct sembuf none = { .sem_flg = IPC_NOWAIT };
	size_t i;

	for (i = 0; i < CALLS; i++) {
		errno = 0;
		calls[i].run();
		check(!errno, calls[i].system);
	}
	/* It is 1 again, so waiting for 0 fails. */
	expect(semop(sem_id, &none, 1) == -1 ? 0 : -1);
	expect(npheap_acquire_with(heap, KEY, NPHEAP_TRY, NPHEAP_FOREVER));
	expect(npheap_release(heap, KEY));
	check(!failures, "the state after all pairs");
}

int measure_calls(void)
{
	double overhead, base = 0, value;
	void *object = npheap_alloc(dev, KEY, page);
	size_t i;

	check(object != MAP_FAILED, "npheap_alloc");
	suite = "locks";
	prepare_peers();
	try_all();
	print_head();
	overhead = measure(nothing);
	for (i = 0; i < CALLS; i++) {
		value = measure(calls[i].run) - overhead;
		if (!base)
			base = value;
		print_row(calls[i].what, calls[i].system, value,
			  value / base, calls[0].system);
	}
	remove_semaphore();
	npheap_delete(dev, KEY);
	return 0;
}
