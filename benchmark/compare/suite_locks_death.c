// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process dies that knew many locks and held some or all of them.
 *
 * Its end is measured from its last instruction in user space to the return of
 * waitpid(), when all has to be free, and the end of a process that took one
 * lock and gave it back is subtracted; the rest is divided by the locks.
 *
 * Then every lock that was held is taken: each has to say at once that its
 * holder died, and those beside it have to say nothing.  A process of its own
 * does so, as its end frees the records: the next life finds the heap as this
 * one did.
 */
#include <errno.h>
#include <signal.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "compare/suite_locks.h"

/* The kernel follows the list of a dead thread's mutexes for so long. */
#define ROBUST_LIST_LIMIT 2048

/* What a dying process knows; of that, it holds every @step-th. */
struct hoard {
	const struct lock *lock;
	unsigned int known;
	unsigned int step;	/* 0: none */
};

/* What the processes of a life share. */
static struct life {
	struct hoard hoard;
	uint64_t before;		/* what the counter said */
	volatile uint64_t began;
	volatile unsigned int recovered;
} *life;

static int is_ours(const struct hoard *h)
{
	return h->lock != &lock_robust;
}

static void die_now(void)
{
	pid_t me = getpid();

	life->began = stamp();
	kill(me, SIGKILL);
}

/* Records of the heap: those that are held, or all if there are few. */
static const char *counter_of(const struct hoard *h)
{
	return h->step == 1 ? "locks_held" : "locks";
}

static void hoard_and_die(void *arg)
{
	const struct hoard *h = &life->hoard;
	unsigned int i;

	(void)arg;
	for (i = 0; i < h->known; i++) {
		h->lock->lock(i);
		if (!h->step || i % h->step)
			h->lock->unlock(i);
	}
	/* If the kernel took some back, there would be less to do than is said. */
	if (is_ours(h))
		await_heap_counter(counter_of(h), life->before + h->known);
	die_now();
}

/* Those that do not come free stay where they are. */
static int was_recovered(const struct lock *lock, unsigned int i)
{
	int rc = lock->attempt(i);

	if (rc != EBUSY)
		lock->unlock(i);
	return rc == EOWNERDEAD;
}

static void check_not_marked(const struct lock *lock, unsigned int i)
{
	errno = EBADMSG;
	check(lock->attempt(i) == 0, "a lock that was not held");
	lock->unlock(i);
}

static unsigned int to_recover(const struct hoard *h)
{
	unsigned int held = h->step ? h->known / h->step : 0;

	return !is_ours(h) && held > ROBUST_LIST_LIMIT ? ROBUST_LIST_LIMIT :
							 held;
}

static void recover(void *arg)
{
	const struct hoard *h = &life->hoard;
	unsigned int i;

	(void)arg;
	for (i = 0; h->step && i < h->known; i += h->step) {
		life->recovered += was_recovered(h->lock, i);
		if (h->step > 1)
			check_not_marked(h->lock, i + 1);
	}
	errno = EBADMSG;
	check(life->recovered == to_recover(h), "locks that come free");
}

/* ------------------------------------------------------------------- benches */

/* Returns what its end took. */
static double live(const struct hoard *h)
{
	double took;

	errno = -h->lock->open(h->known);
	check(!errno, h->lock->name);
	*life = (struct life){ .hoard = *h };
	if (is_ours(h))
		life->before = heap_counter(counter_of(h));
	finish(start(hoard_and_die, NULL, -1), SIGKILL);
	took = stamp() - life->began;
	finish(start(recover, NULL, -1), 0);
	if (h->lock->close)
		h->lock->close();
	return took;
}

/* Lives in a round, of which the median counts: what few locks take is little. */
#define LIVES 5

static unsigned int lives_of(const struct hoard *h)
{
	return h->known > 2000 ? 1 : LIVES;
}

static double end_of(const struct hoard *h, unsigned int lives)
{
	double took[LIVES];
	unsigned int i;

	for (i = 0; i < lives; i++)
		took[i] = live(h);
	return median(took, lives);
}

/* What a lock costs that there is a death for. */
static double run_end(struct bench *b, unsigned int n)
{
	const struct hoard *h = b->by;
	struct hoard one = { .lock = h->lock, .known = 1 };
	double none = end_of(&one, LIVES);

	return (end_of(h, lives_of(h)) - none) / h->known * n;
}

static double run_recovered(struct bench *b, unsigned int n)
{
	(void)n;
	live(b->by);
	return life->recovered;
}

/* Bytes of kernel memory for a record, and what its binding takes; generous. */
#define ROOM 1024ULL

static int raise_limits(struct bench *b)
{
	const struct hoard *h = b->by;
	struct sysinfo info;
	int err;

	check(!sysinfo(&info), "sysinfo");
	if (h->known * ROOM > (uint64_t)info.freeram * info.mem_unit)
		return -ENOMEM;
	if (!life)
		life = shared_memory(sizeof(*life));
	err = h->lock->open(1);
	if (err)
		return err;
	if (h->lock->close)
		h->lock->close();
	return is_ours(h) ? raise_limit("max_locks", 4000000) : 0;
}

/* The same locks, held by who dies: as many as come free of either kind. */
static void held(const char *name, unsigned int n)
{
	const struct hoard hoards[] = {
		{ &lock_robust, n, 1 },
		{ &lock_npheap_handle, n, 1 },
	};
	struct bench benches[COUNT(hoards)];
	size_t i;

	for (i = 0; i < COUNT(hoards); i++)
		benches[i] = (struct bench){
			.name = name, .system = hoards[i].lock->name,
			.by = &hoards[i], .run = run_end, .loops = 1,
			.partly = 1, .setup = raise_limits,
		};
	compare(benches, COUNT(hoards));
}

/* NP-Heap beside itself; where it takes long: only the first @systems, once. */
static void known(const char *name, unsigned int n, size_t systems)
{
	const struct hoard hoards[] = {
		{ &lock_npheap_handle, n, 1 },
		{ &lock_npheap_handle, n, 10 },
		{ &lock_npheap_handle, n, 0 },
	};
	static const char *const names[] = {
		"npheap-held", "npheap-tenth-held", "npheap-known",
	};
	struct bench benches[COUNT(hoards)];
	size_t i;

	for (i = 0; i < COUNT(hoards); i++)
		benches[i] = (struct bench){
			.name = name, .system = names[i], .by = &hoards[i],
			.run = run_end, .loops = 1, .partly = 1,
			.setup = raise_limits,
		};
	if (systems == 1) {
		benches[0].rounds = 1;
		benches[0].value = "instructions";
		benches[0].unit = "instr";
	}
	compare(benches, systems);
}

static void recovered(void)
{
	static const struct hoard robust = { &lock_robust, 100000, 1 };
	static const struct hoard ours = { &lock_npheap_handle, 100000, 1 };
	struct bench benches[] = {
		{ .system = "robust-mutex", .by = &robust },
		{ .system = "npheap", .by = &ours },
	};
	size_t i;

	for (i = 0; i < COUNT(benches); i++) {
		benches[i].name = "death-holding-100000";
		benches[i].setup = raise_limits;
		benches[i].run = run_recovered;
		benches[i].value = "recovered";
		benches[i].unit = "locks";
		benches[i].loops = benches[i].rounds = 1;
	}
	compare(benches, COUNT(benches));
}

void locks_death(void)
{
	/* Of so few, time says nothing. */
	if (instructions)
		held("death-holding-200", 200);
	held("death-holding-2000", 2000);
	recovered();
	known("death-knowing-1000", 1000, 3);
	known("death-knowing-10000", 10000, 3);
	if (!instructions)
		return;
	/* So many have records only because they are held; and it takes long. */
	known("death-knowing-100000", 100000, 1);
	known("death-knowing-1000000", 1000000, 1);
}
