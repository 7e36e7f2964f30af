// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two processes, one of which waits for what the other has.
 *
 *   ping-pong  hand over hand, both awake all the time
 *   hand-off   from just before the holder's unlock to just after the waiter's
 *              lock, which slept until then
 *   death      the same from the holder's last instruction in user space, which
 *              sends itself SIGKILL
 *   killed     the same from just before a third process sends SIGKILL to the
 *              holder, which sleeps: how that one wakes up is in it, too
 *
 * With two processors each of the two has its own.  With one, what is counted
 * is all that the machine does from one to the next, and a process that dies
 * may do so to the end before the waiter comes.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compare/suite_locks.h"

/* What the processes of one measurement share. */
struct stage {
	pthread_barrier_t both;
	volatile pid_t waiter;
	volatile int told;
	volatile uint64_t began;
	volatile uint64_t ended;
	volatile int is_held[LOCKS];
};

static struct stage *stage;

static void stage_new(void)
{
	pthread_barrierattr_t attr;

	if (!stage)
		stage = shared_memory(sizeof(*stage));
	memset(stage, 0, sizeof(*stage));
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&stage->both, &attr, 2);
	pthread_barrierattr_destroy(&attr);
}

static void meet(void)
{
	pthread_barrier_wait(&stage->both);
}

/* --------------------------------------------------------------- ping-pong */

struct climber {
	const struct lock *lock;
	unsigned int held;
	unsigned int hops;
};

/* Who has a lock has it alone. */
static void grip(const struct lock *lock, unsigned int i)
{
	lock->lock(i);
	errno = EBADMSG;
	check(!stage->is_held[i], lock->name);
	stage->is_held[i] = 1;
}

static void let_go(const struct lock *lock, unsigned int i)
{
	stage->is_held[i] = 0;
	lock->unlock(i);
}

/*
 * Hand over hand round a ring of three locks: each of the two always holds
 * the one that the other wants next, so neither gets ahead by itself.
 */
static void climb(const struct climber *c)
{
	unsigned int held = c->held, hops = c->hops;

	while (hops--) {
		grip(c->lock, (held + 1) % LOCKS);
		let_go(c->lock, held);
		held = (held + 1) % LOCKS;
	}
	let_go(c->lock, held);
}

static void know_all(const struct lock *lock)
{
	lock_join(lock);
	lock->lock(0);
	lock->unlock(0);
}

static void climber(void *arg)
{
	const struct climber *c = arg;

	know_all(c->lock);
	meet();
	grip(c->lock, c->held);
	meet();
	if (!c->held)
		stage->began = stamp();
	climb(c);
	if (c->held)
		stage->ended = stamp();
}

/* @n hops of both together. */
static double ping_pong(struct bench *b, unsigned int n)
{
	struct climber c = { .lock = lock_of(b), .hops = n / 2 };

	stage_new();
	start(climber, &c, 0);
	c.held = 1;
	start(climber, &c, 1);
	finish_all(2);
	return stage->ended - stage->began;
}

/* -------------------------------------------------------- from one to next */

/* It has nowhere to sleep but in the lock, after the meeting. */
static void hold_until_the_other_waits(const struct lock *lock)
{
	lock->lock(0);
	meet();
	pause_ms(1);
	until_sleeps(stage->waiter);
	pause_ms(1);
}

static void hold_and_unlock(void *arg)
{
	const struct lock *lock = arg;

	know_all(lock);
	hold_until_the_other_waits(lock);
	stage->began = stamp();
	lock->unlock(0);
	/* On one processor: so that its end is not before the other's start. */
	meet();
}

static void hold_and_die(void *arg)
{
	pid_t me = getpid();

	know_all(arg);
	hold_until_the_other_waits(arg);
	stage->began = stamp();
	kill(me, SIGKILL);
}

static void hold_and_be_killed(void *arg)
{
	const struct lock *lock = arg;

	know_all(lock);
	lock->lock(0);
	meet();
	for (;;)
		pause();
}

/* Its memory has to be given back, too, page by page. */
#define HEAVY (32 << 20)

static void hold_a_lot_and_die(void *arg)
{
	volatile char *p = shared_memory(HEAVY);
	size_t i;

	madvise((void *)p, HEAVY, MADV_NOHUGEPAGE);
	for (i = 0; i < HEAVY; i += page)
		p[i] = 1;
	hold_and_die(arg);
}

static void come_next(void *arg)
{
	const struct lock *lock = arg;

	know_all(lock);
	stage->waiter = getpid();
	meet();
	stage->told = lock->lock(0) == EOWNERDEAD;
	stage->ended = stamp();
	lock->unlock(0);
}

static void come_next_and_meet(void *arg)
{
	come_next(arg);
	meet();
}

static void kill_when_all_sleep(pid_t holder, pid_t next)
{
	pause_ms(1);
	until_sleeps(holder);
	until_sleeps(next);
	pause_ms(3);
	stage->began = stamp();
	kill(holder, SIGKILL);
}

static double from_one_to_next(const struct lock *lock,
			       void (*holds)(void *arg))
{
	int lives = holds == hold_and_unlock;
	pid_t holder, next;

	stage_new();
	next = start(lives ? come_next_and_meet : come_next, (void *)lock, 1);
	until_sleeps(next);
	holder = start(holds, (void *)lock, 0);
	if (holds == hold_and_be_killed)
		kill_when_all_sleep(holder, next);
	finish(holder, lives ? 0 : SIGKILL);
	finish(next, 0);
	errno = EBADMSG;
	check(stage->told == (!lives && lock->end == LOCK_TELLS), lock->name);
	return stage->ended - stage->began;
}

/* Hand-offs in one round, each by processes of its own. */
#define LIVES 5

/* The median of all, as if each had been like it. */
static double repeat(struct bench *b, unsigned int n, void (*holds)(void *arg))
{
	double took[LIVES];
	unsigned int i;

	errno = E2BIG;
	check(n <= LIVES, b->name);
	for (i = 0; i < n; i++) {
		took[i] = from_one_to_next(lock_of(b), holds);
		sample(b, took[i]);
	}
	return median(took, n) * n;
}

static double hand_off(struct bench *b, unsigned int n)
{
	return repeat(b, n, hold_and_unlock);
}

static double death(struct bench *b, unsigned int n)
{
	return repeat(b, n, hold_and_die);
}

static double killed(struct bench *b, unsigned int n)
{
	return repeat(b, n, hold_and_be_killed);
}

static double death_of_a_large_process(struct bench *b, unsigned int n)
{
	return repeat(b, n, hold_a_lot_and_die);
}

/* ------------------------------------------------------------------ tables */

static const struct lock *const all[] = {
	&lock_robust, &lock_npheap, &lock_npheap_handle, &lock_npheap_ref,
	&lock_npheap_ioctl, &lock_mutex, &lock_pi, &lock_robust_pi,
	&lock_semaphore, &lock_semop, &lock_fcntl, &lock_ofd, &lock_flock,
	&lock_boost_mutex,
	/* Only if it is asked for. */
	&lock_broken,
};

/* Those that come free when their holder dies. */
static const struct lock *const lasting[] = {
	&lock_robust, &lock_npheap, &lock_npheap_handle, &lock_robust_pi,
	&lock_semop, &lock_fcntl, &lock_ofd, &lock_flock,
};

/* Two rows take turns with the same locks. */
static const struct lock *opened;

static int open_for_both(struct bench *b)
{
	int err = lock_open(b);

	opened = err ? NULL : lock_of(b);
	return err;
}

static int has_opened(struct bench *b)
{
	return opened == lock_of(b) ? 0 : -ENODATA;
}

static void death_beside_hand_off(void)
{
	static const struct row {
		const char *system;
		const struct lock *lock;
		double (*run)(struct bench *b, unsigned int n);
	} rows[] = {
		{ "npheap-hand-off", &lock_npheap_handle, hand_off },
		{ "npheap-death", &lock_npheap_handle, death },
		{ "robust-hand-off", &lock_robust, hand_off },
		{ "robust-death", &lock_robust, death },
	};
	struct bench benches[COUNT(rows)];
	size_t i;

	for (i = 0; i < COUNT(rows); i++)
		benches[i] = (struct bench){
			.name = "death-to-hand-off", .system = rows[i].system,
			.by = rows[i].lock, .run = rows[i].run,
			.setup = i % 2 ? has_opened : open_for_both,
			.teardown = i % 2 ? NULL : lock_close,
			.processes = 2, .loops = LIVES, .partly = 1,
		};
	compare(benches, COUNT(rows));
}

static void table(const char *name, double (*run)(struct bench *b,
						  unsigned int n),
		  unsigned int loops, const struct lock *const *locks,
		  size_t n)
{
	struct bench how = {
		.name = name, .run = run, .loops = loops, .processes = 2,
		.partly = run != ping_pong,
	};

	lock_table(&how, locks, n);
}

void locks_handoff(void)
{
	table("ping-pong", ping_pong, 1000, all,
	      COUNT(all) - !options.broken);
	table("hand-off", hand_off, LIVES, all, COUNT(all) - 1);
	table("death", death, LIVES, lasting, COUNT(lasting));
	if (instructions)
		return;
	death_beside_hand_off();
	table("death-32MiB", death_of_a_large_process, LIVES, lasting,
	      COUNT(lasting));
	table("killed", killed, LIVES, lasting, COUNT(lasting));
}
