// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kill everywhere: a process is killed after each single instruction of an
 * operation, and at random under load; whatever it was at, others go on.  And
 * where it is not killed but gets a signal there, its handler may lock, too.
 *
 * The victim stops itself and is then single-stepped with ptrace.  A system
 * call is one step, and where it sleeps, being in it is a point of its own.
 * The same is done to glibc's robust mutex, for comparison: there it is
 * counted and printed, and decides nothing.
 *
 * test_kill every	kills at every point, also where that takes long
 * test_kill KILLS	does so many random kills and nothing else
 */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>

#include "test.h"

/* So long may it take until another process has the lock. */
#define DEADLINE_MS 10000
/* glibc's answer is not waited for that long: a lost lock never comes back. */
#define PEER_DEADLINE_MS 3000
/* A rival waits while the victim is stepped, too. */
#define RIVAL_PATIENCE 3
/* An operation that takes longer is not killed at all of its points ... */
#define PLAN_MS 4000
/* ... unless that is asked for. */
#define EVERY_MS 50000

#define NS_PER_MS 1000000ULL
#define TO_THE_END ULONG_MAX

/* In an object: two counters that differ only inside of the lock. */
struct ledger {
	volatile uint64_t begun;
	volatile uint64_t ended;
	pthread_mutex_t mutex;
};

enum job { JOB_LOCK, JOB_WAIT };

/* What the processes of a test share besides. */
struct scene {
	/* The victim is: 0 before the operation, 1 in it, 2 behind it. */
	volatile int phase;
	volatile enum job job;
	volatile uint64_t event;
	struct gate ordered;
	struct gate started;
	struct gate done;
	_Atomic int rival_result;
	_Atomic int rival_was_told;
	_Atomic int broken;
};

static struct npheap *heap;
static struct scene *scene;
static struct ledger *ledger;
static uint64_t key;

/* -------------------------------------------------- the two kinds of locks */

struct kind {
	const char *name;
	long long deadline_ms;
	/* 0, EOWNERDEAD (and settled), or what went wrong. */
	int (*take)(long long ms);
	int (*try)(void);
	int (*release)(void);
};

static uint64_t deadline_in(long long ms)
{
	return (now_ms() + ms) * NS_PER_MS;
}

static int heap_take(long long ms)
{
	int rc = npheap_acquire_with(heap, key, 0, deadline_in(ms));

	if (rc == -EOWNERDEAD && npheap_consistent(heap, key))
		return EINVAL;
	return -rc;
}

static int heap_try(void)
{
	return -npheap_acquire_with(heap, key, NPHEAP_TRY, NPHEAP_FOREVER);
}

static int heap_release(void)
{
	return -npheap_release(heap, key);
}

static const struct kind by_heap = {
	"npheap", DEADLINE_MS, heap_take, heap_try, heap_release,
};

static int peer_take(long long ms)
{
	struct timespec ts;
	int rc;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += ms % 1000 * NS_PER_MS;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	rc = pthread_mutex_timedlock(&ledger->mutex, &ts);
	if (rc == EOWNERDEAD && pthread_mutex_consistent(&ledger->mutex))
		return EINVAL;
	return rc;
}

static int peer_try(void)
{
	return pthread_mutex_trylock(&ledger->mutex);
}

static int peer_release(void)
{
	return pthread_mutex_unlock(&ledger->mutex);
}

static const struct kind by_peer = {
	"glibc", PEER_DEADLINE_MS, peer_take, peer_try, peer_release,
};

static void peer_init(void)
{
	pthread_mutexattr_t attr;

	memset(&ledger->mutex, 0, sizeof(ledger->mutex));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&ledger->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

static void book(void)
{
	ledger->begun++;
	ledger->ended++;
}

/* The calling process has the lock, and was told of a death or not. */
static void inspect(int told)
{
	if (ledger->begun != ledger->ended && !told)
		scene->broken++;
	if (ledger->begun - ledger->ended > 1)
		scene->broken++;
	ledger->ended = ledger->begun;
	book();
}

/* -------------------------------------------------------------- operations */

/* Who else is there when the victim is stepped. */
enum around {
	ALONE,
	HELD,		/* another holds the lock */
	WAITED_FOR,	/* another waits for the victim's lock */
	WATCHED,	/* another waits for a notification */
};

struct plan {
	const char *name;
	const struct kind *kind;
	void (*before)(void);
	void (*body)(void);
	enum around around;
	/* It sleeps, and goes on when let_go() was called. */
	int sleeps;
};

static struct npheap *mine;

static void know_it(void)
{
	child_check(!npheap_lock(dev, key));
	child_check(!npheap_unlock(dev, key));
	child_check(!npheap_acquire(heap, key));
	child_check(!npheap_release(heap, key));
	mine = heap;
}

static void hold_it(void)
{
	know_it();
	child_check(!npheap_lock(dev, key));
}

static void know_it_as_reader(void)
{
	know_it();
	child_check(!npheap_acquire_with(heap, key, NPHEAP_SHARED,
					 NPHEAP_FOREVER));
}

/* Another descriptor, so there is nothing in the library to go by. */
static void know_nothing(void)
{
	child_check(!npheap_open(NULL, 0, &mine));
}

static void know_the_event(void)
{
	uint64_t event;

	know_it();
	child_check(!npheap_event(heap, key, &event));
	scene->event = event;
}

static void do_lock(void)
{
	if (!npheap_lock(dev, key))
		book();
}

static void do_unlock(void)
{
	book();
	npheap_unlock(dev, key);
}

static void do_try(void)
{
	if (!npheap_acquire_with(heap, key, NPHEAP_TRY, NPHEAP_FOREVER))
		book();
}

static void do_timed(void)
{
	if (!npheap_acquire_with(heap, key, 0, NPHEAP_FOREVER - 1))
		book();
}

static void do_time_out(void)
{
	if (!npheap_acquire_with(heap, key, 0, 1))
		book();
}

static void do_shared(void)
{
	npheap_acquire_with(heap, key, NPHEAP_SHARED, NPHEAP_FOREVER);
}

static void do_release(void)
{
	npheap_release(heap, key);
}

static void do_wait(void)
{
	npheap_wait(heap, key, scene->event, NPHEAP_FOREVER);
}

static void do_wait_in_vain(void)
{
	npheap_wait(heap, key, scene->event, 1);
}

static void do_notify(void)
{
	npheap_notify(mine, key, 1);
}

static void do_cold_lock(void)
{
	if (!npheap_acquire(mine, key))
		book();
}

static void peer_know_it(void)
{
	child_check(!peer_take(DEADLINE_MS));
	child_check(!peer_release());
}

static void peer_hold_it(void)
{
	child_check(!peer_take(DEADLINE_MS));
}

static void do_peer_lock(void)
{
	if (!pthread_mutex_lock(&ledger->mutex))
		book();
}

static void do_peer_unlock(void)
{
	book();
	pthread_mutex_unlock(&ledger->mutex);
}

/* ---------------------------------------------- others that want the lock */

static const struct plan *plan;
static pid_t rival;
static uint32_t orders;
static int parent_holds;

static int rival_lock(void)
{
	int rc = plan->kind->take(RIVAL_PATIENCE * plan->kind->deadline_ms);

	if (rc && rc != EOWNERDEAD)
		return rc;
	scene->rival_was_told = rc == EOWNERDEAD;
	inspect(rc == EOWNERDEAD);
	return plan->kind->release();
}

static int rival_wait(void)
{
	return -npheap_wait(heap, key, scene->event,
			    deadline_in(RIVAL_PATIENCE * DEADLINE_MS));
}

/* Does what it is told to, until it dies with its parent. */
static int be_rival(void *arg)
{
	uint32_t n;

	(void)arg;
	for (n = 1; n; n++) {
		gate_wait(&scene->ordered, n);
		gate_add(&scene->started, 1);
		scene->rival_result = scene->job == JOB_LOCK ? rival_lock() :
							       rival_wait();
		gate_add(&scene->done, 1);
	}
	return 0;
}

static void order(enum job job)
{
	scene->job = job;
	scene->rival_was_told = 0;
	gate_add(&scene->ordered, 1);
	gate_wait(&scene->started, ++orders);
	assert_true(wait_asleep(rival));
}

/* In time: what the rival does has a deadline. */
static int rival_failed(void)
{
	gate_wait(&scene->done, orders);
	return scene->rival_result;
}

static void surround(void)
{
	uint64_t event;

	if (plan->around == HELD) {
		assert_int_equal(plan->kind->take(DEADLINE_MS), 0);
		parent_holds = 1;
	} else if (plan->around == WAITED_FOR) {
		order(JOB_LOCK);
	} else if (plan->around == WATCHED) {
		assert_int_equal(npheap_event(heap, key, &event), 0);
		scene->event = event;
		order(JOB_WAIT);
	}
}

static void let_go(void)
{
	if (parent_holds)
		assert_int_equal(plan->kind->release(), 0);
	else
		npheap_notify(heap, key, UINT32_MAX);
	parent_holds = 0;
}

/* ---------------------------------------------------------------- stepping */

static int be_victim(void *arg)
{
	(void)arg;
	child_check(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	plan->before();
	syscall(SYS_tgkill, getpid(), gettid(), SIGSTOP);
	scene->phase = 1;
	plan->body();
	scene->phase = 2;
	return pause();
}

static int is_asleep(pid_t pid)
{
	char path[64], text[512] = "";
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	end = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	return end && end[1] == ' ' && end[2] == 'S';
}

static void expect_stop(int status)
{
	if (!WIFSTOPPED(status))
		printf("# the victim ended by itself: status %#x\n", status);
	assert_true(WIFSTOPPED(status));
}

/* Returns 1 where the instruction is a system call, and sleeps. */
static int step_that_may_sleep(pid_t pid)
{
	int status, spins = 0;

	while (!waitpid(pid, &status, WNOHANG)) {
		sched_yield();
		if (++spins % 64 == 0 && is_asleep(pid))
			return 1;
	}
	expect_stop(status);
	return 0;
}

static void end_of_step(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	expect_stop(status);
}

/* One point further; returns 1 where that is in a call that sleeps. */
static int step(pid_t pid, int sleeping)
{
	if (sleeping) {
		let_go();
		end_of_step(pid);
		return 0;
	}
	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	if (plan->sleeps)
		return step_that_may_sleep(pid);
	end_of_step(pid);
	return 0;
}

static pid_t start_victim(void)
{
	pid_t pid;

	scene->phase = 0;
	pid = spawn(be_victim, NULL);
	end_of_step(pid);
	surround();
	while (!scene->phase)
		step(pid, 0);
	return pid;
}

/* How many points it went through: fewer than @points if that was the end. */
static unsigned long step_to(pid_t pid, unsigned long points)
{
	unsigned long n = 0;
	int sleeping = 0;

	while (n < points && scene->phase != 2) {
		sleeping = step(pid, sleeping);
		n++;
	}
	return n;
}

/* While the victim stands still: nobody else gets in where it is inside. */
static void try_to_intrude(void)
{
	int inside = ledger->begun != ledger->ended;

	if (plan->around != ALONE || plan->kind->try())
		return;
	if (inside)
		scene->broken++;
	plan->kind->release();
}

/* ------------------------------------------------------------ after a kill */

struct tally {
	unsigned long points;
	unsigned long recovered;
	unsigned long told;
};

/* The rival gets what it waits for, and another notification arrives. */
static int rivals_go_on(void)
{
	if (plan->around == HELD && parent_holds)
		let_go();
	if (plan->around == WATCHED)
		npheap_notify(heap, key, 1);
	if (plan->around == WATCHED || plan->around == WAITED_FOR)
		return rival_failed();
	if (plan->body == do_wait) {
		order(JOB_WAIT);
		npheap_notify(heap, key, 1);
		return rival_failed();
	}
	return 0;
}

static int lock_goes_on(struct tally *tally)
{
	int told = plan->around == WAITED_FOR && scene->rival_was_told;
	int rc = plan->kind->take(plan->kind->deadline_ms);

	if (rc && rc != EOWNERDEAD)
		return rc;
	inspect(rc == EOWNERDEAD);
	tally->told += told || rc == EOWNERDEAD;
	return plan->kind->release();
}

static void judge(struct tally *tally, unsigned long point, long long locks)
{
	int stuck = rivals_go_on();
	int lost = stuck ? 0 : lock_goes_on(tally);
	long long left = locks_in_use() - locks;

	tally->points++;
	if (!stuck && !lost && !left && !scene->broken) {
		tally->recovered++;
		return;
	}
	printf("# %s by %s, point %lu: rival %d, next %d, broken %d, left %lld\n",
	       plan->name, plan->kind->name, point, stuck, lost, scene->broken,
	       left);
	scene->broken = 0;
	ledger->ended = ledger->begun;
	if (plan->kind == &by_peer)
		peer_init();
}

static unsigned long kill_at(struct tally *tally, unsigned long point)
{
	long long locks = locks_in_use();
	pid_t pid = start_victim();
	unsigned long reached = step_to(pid, point);

	try_to_intrude();
	kill(pid, SIGKILL);
	expect_signal(pid, SIGKILL);
	judge(tally, reached, locks);
	return reached;
}

static void scene_new(void)
{
	scene = mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(scene, MAP_FAILED);
	key = test_key();
	orders = 0;
	ledger = map_key(key, page);
	peer_init();
	/* So that what the parent knows is the same at every point. */
	assert_int_equal(heap_take(DEADLINE_MS), 0);
	assert_int_equal(heap_release(), 0);
}

static void scene_free(void)
{
	kill(rival, SIGKILL);
	expect_signal(rival, SIGKILL);
	munmap(ledger, page);
	munmap(scene, sizeof(*scene));
	npheap_delete(dev, key);
}

static long long plan_ms = PLAN_MS;

/* Every 1024th, those between them, and so on to all, if there is time. */
static void kill_at_points(struct tally *tally, unsigned long points)
{
	long long limit = now_ms() + plan_ms;
	unsigned long stride, point;

	kill_at(tally, 0);
	for (stride = 1024; stride; stride /= 2)
		for (point = stride; point < points; point += 2 * stride) {
			if (now_ms() > limit)
				return;
			kill_at(tally, point);
		}
}

/*
 * A step costs two switches.  From one processor to another they are faster
 * while both are really there, and much slower when a hypervisor has to share.
 */
static void pin(cpu_set_t *before)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_getaffinity(0, sizeof(*before), before);
	sched_setaffinity(0, sizeof(one), &one);
}

static void kill_everywhere(const struct plan *p)
{
	struct tally tally = { 0 };
	unsigned long points;
	cpu_set_t before;
	long long locks;

	plan = p;
	locks = locks_in_use();
	pin(&before);
	scene_new();
	rival = spawn(be_rival, NULL);
	points = kill_at(&tally, TO_THE_END);
	kill_at_points(&tally, points);
	scene_free();
	sched_setaffinity(0, sizeof(before), &before);
	printf("# kill %s: %s: %lu of %lu points, %lu recovered, %lu told of the death\n",
	       p->kind->name, p->name, tally.points, points + 1,
	       tally.recovered, tally.told);
	if (p->kind == &by_heap) {
		assert_int_equal(tally.recovered, tally.points);
		assert_int_equal(locks_in_use(), locks);
	}
}

#define KILL_IN(test, title, ...)					\
static void test(void **state)						\
{									\
	static const struct plan p = { title, &by_heap, __VA_ARGS__ };	\
									\
	(void)state;							\
	kill_everywhere(&p);						\
}

KILL_IN(kill_in_lock, "lock", know_it, do_lock, ALONE, 0)
KILL_IN(kill_in_unlock, "unlock", hold_it, do_unlock, ALONE, 0)
KILL_IN(kill_in_try, "try", know_it, do_try, ALONE, 0)
KILL_IN(kill_in_timed, "timed", know_it, do_timed, ALONE, 0)
KILL_IN(kill_in_shared, "shared", know_it, do_shared, ALONE, 0)
KILL_IN(kill_in_shared_unlock, "unlock shared", know_it_as_reader, do_release,
	ALONE, 0)
KILL_IN(kill_in_wait, "wait that times out", know_the_event, do_wait_in_vain,
	ALONE, 0)
KILL_IN(kill_in_notify, "notify nobody", know_it, do_notify, ALONE, 0)
KILL_IN(kill_in_cold_lock, "lock, first use", know_nothing, do_cold_lock,
	ALONE, 0)
KILL_IN(kill_in_cold_notify, "notify, first use", know_nothing, do_notify,
	ALONE, 0)
KILL_IN(kill_in_contended_lock, "lock that waits", know_it, do_lock, HELD, 1)
KILL_IN(kill_in_contended_unlock, "unlock with a waiter", hold_it, do_unlock,
	WAITED_FOR, 0)
KILL_IN(kill_in_contended_try, "try in vain", know_it, do_try, HELD, 0)
KILL_IN(kill_in_contended_timed, "timed that waits", know_it, do_timed, HELD, 1)
KILL_IN(kill_in_time_out, "timed that times out", know_it, do_time_out, HELD, 0)
KILL_IN(kill_in_contended_shared, "shared that waits", know_it, do_shared,
	HELD, 1)
KILL_IN(kill_in_contended_shared_unlock, "unlock shared with a waiter",
	know_it_as_reader, do_release, WAITED_FOR, 0)
KILL_IN(kill_in_contended_cold_lock, "lock that waits, first use",
	know_nothing, do_cold_lock, HELD, 1)
KILL_IN(kill_in_sleeping_wait, "wait until notified", know_the_event, do_wait,
	ALONE, 1)
KILL_IN(kill_in_notify_with_waiter, "notify a waiter", know_it, do_notify,
	WATCHED, 0)

/* For comparison; asserts nothing of what it counts. */
static void kill_in_robust_mutex(void **state)
{
	static const struct plan plans[] = {
		{ "lock", &by_peer, peer_know_it, do_peer_lock, ALONE, 0 },
		{ "unlock", &by_peer, peer_hold_it, do_peer_unlock, ALONE, 0 },
		{ "lock that waits", &by_peer, peer_know_it, do_peer_lock,
		  HELD, 1 },
		{ "unlock with a waiter", &by_peer, peer_hold_it,
		  do_peer_unlock, WAITED_FOR, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
		kill_everywhere(&plans[i]);
}

/* ------------------------------------------------ handlers, not kills */

/* A key whose place in the library's memory of records is that of @key. */
static uint64_t neighbour_of(uint64_t k)
{
	const uint64_t factor = 0x9e3779b97f4a7c15;
	uint64_t other = k + 1;

	while (k * factor >> 52 != other * factor >> 52)
		other++;
	return other;
}

static uint64_t neighbour;

static void use_neighbour(int sig)
{
	(void)sig;
	child_check(!npheap_lock(dev, neighbour));
	child_check(!npheap_unlock(dev, neighbour));
}

static void expect_interruption(void)
{
	signal(SIGUSR1, use_neighbour);
	know_it();
}

static void expect_interruption_and_hold(void)
{
	signal(SIGUSR1, use_neighbour);
	hold_it();
}

static int is_held(uint64_t k)
{
	int rc = npheap_acquire_with(heap, k, NPHEAP_TRY, NPHEAP_FOREVER);

	if (!rc || rc == -EOWNERDEAD)
		npheap_release(heap, k);
	return rc == -EBUSY;
}

/* Returns whether the operation had its effect, and no other. */
static int interrupt_at(unsigned long point, unsigned long *reached)
{
	int expected = plan->body == do_lock;
	long long limit = now_ms() + DEADLINE_MS;
	pid_t pid = start_victim();
	int good;

	*reached = step_to(pid, point);
	assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, SIGUSR1), 0);
	while (scene->phase != 2 && now_ms() < limit)
		sched_yield();
	/* Also the handler, where that came last. */
	assert_true(wait_asleep(pid));
	good = scene->phase == 2 && is_held(key) == expected &&
	       !is_held(neighbour);
	if (!good)
		printf("# handler at point %lu of %s: the key is %sheld, the handler's key is %sheld\n",
		       *reached, plan->name, is_held(key) ? "" : "not ",
		       is_held(neighbour) ? "" : "not ");
	kill(pid, SIGKILL);
	expect_signal(pid, SIGKILL);
	judge(&(struct tally){ 0 }, *reached, locks_in_use());
	return good;
}

static void interrupt_everywhere(const struct plan *p)
{
	long long limit = now_ms() + 2 * plan_ms;
	unsigned long points, point, reached, good;

	plan = p;
	scene_new();
	neighbour = neighbour_of(key);
	rival = spawn(be_rival, NULL);
	good = interrupt_at(TO_THE_END, &points);
	for (point = 0; point < points && now_ms() < limit; point++)
		good += interrupt_at(point, &reached);
	scene_free();
	printf("# handler in %s: %lu of %lu points, %lu right\n", p->name,
	       point + 1, points + 1, good);
	assert_int_equal(good, point + 1);
}

static void handler_in_lock(void **state)
{
	static const struct plan p = { "lock", &by_heap, expect_interruption,
				       do_lock, ALONE, 0 };

	(void)state;
	interrupt_everywhere(&p);
}

static void handler_in_unlock(void **state)
{
	static const struct plan p = { "unlock", &by_heap,
				       expect_interruption_and_hold, do_unlock,
				       ALONE, 0 };

	(void)state;
	interrupt_everywhere(&p);
}

/* ------------------------------------------------------------- at random */

#define WORKERS 6
#define STORM_MS 5000
#define INSIDE_US 500
#define NOBODY -1

enum doing { IDLE, LOCKING, INSIDE };

struct worker {
	volatile enum doing doing;
	volatile uint64_t rounds;
};

struct storm {
	volatile int inside;
	_Atomic int broken;
	volatile uint64_t repairs;
	struct worker workers[WORKERS];
};

static struct storm *storm;

static long long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static void work_inside(int told, int me)
{
	long long limit = now_us() + INSIDE_US;

	if (ledger->begun != ledger->ended) {
		if (!told || ledger->begun != ledger->ended + 1)
			storm->broken++;
		ledger->ended = ledger->begun;
	}
	storm->repairs += told;
	storm->inside = me;
	ledger->begun++;
	/* Long, so that it is here that it is hit. */
	while (now_us() < limit)
		;
	if (storm->inside != me)
		storm->broken++;
	storm->inside = NOBODY;
	ledger->ended++;
}

static int work(void *arg)
{
	struct worker *w = arg;
	int me = w - storm->workers;
	int rc;

	for (;;) {
		w->doing = LOCKING;
		rc = heap_take(60 * 1000);
		child_check(!rc || rc == EOWNERDEAD);
		w->doing = INSIDE;
		work_inside(rc == EOWNERDEAD, me);
		w->doing = IDLE;
		child_check(!heap_release());
		w->rounds++;
	}
}

static void storm_new(void)
{
	scene_new();
	rival = spawn(be_rival, NULL);
	storm = mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(storm, MAP_FAILED);
}

static uint64_t all_rounds(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < WORKERS; i++)
		sum += storm->workers[i].rounds;
	return sum;
}

/* Some round ends, whoever was killed; 0 where none does in time. */
static int storm_goes_on(uint64_t rounds)
{
	long long limit = now_ms() + DEADLINE_MS;

	while (all_rounds() == rounds) {
		if (now_ms() > limit)
			return 0;
		sched_yield();
	}
	return 1;
}

/* Three times of four the one that is in there, if it still is. */
static int choose_victim(unsigned int *seed)
{
	int inside = storm->inside;

	if (inside != NOBODY && rand_r(seed) % 4)
		return inside;
	return rand_r(seed) % (unsigned int)WORKERS;
}

static void kill_worker(pid_t *pids, int i, unsigned long *waiters)
{
	kill(pids[i], SIGKILL);
	expect_signal(pids[i], SIGKILL);
	*waiters += storm->workers[i].doing == LOCKING;
}

/* @kills of 0: as many as there is time for. */
static void storm_of_kills(unsigned long kills)
{
	long long recovered = heap_stat("lock_recovered");
	long long locks = locks_in_use();
	long long limit = now_ms() + STORM_MS;
	unsigned long waiters = 0, n, ignored = 0;
	unsigned int seed = 11;
	pid_t pids[WORKERS];
	uint64_t rounds;
	int i;

	storm_new();
	for (i = 0; i < WORKERS; i++)
		pids[i] = spawn(work, &storm->workers[i]);
	for (n = 0; kills ? n < kills : now_ms() < limit; n++) {
		i = choose_victim(&seed);
		kill_worker(pids, i, &waiters);
		rounds = all_rounds();
		pids[i] = spawn(work, &storm->workers[i]);
		assert_true(storm_goes_on(rounds));
	}
	recovered = heap_stat("lock_recovered") - recovered;
	for (i = 0; i < WORKERS; i++)
		kill_worker(pids, i, &ignored);
	i = heap_take(DEADLINE_MS);
	assert_true(!i || i == EOWNERDEAD);
	assert_true(i || ledger->begun == ledger->ended);
	assert_int_equal(heap_release(), 0);
	assert_int_equal(storm->broken, 0);
	assert_int_equal(locks_in_use(), locks);
	printf("# %lu random kills: %lld hit a holder (%lld %%), %lu one that was locking (%lu %%); %llu rounds\n",
	       n, recovered, recovered * 100 / (long long)(n + !n), waiters,
	       waiters * 100 / (n + !n), (unsigned long long)all_rounds());
	munmap(storm, sizeof(*storm));
	scene_free();
}

static unsigned long kills_wanted;

static void kill_at_random(void **state)
{
	(void)state;
	if (kills_wanted)
		alarm(0);
	storm_of_kills(kills_wanted);
}

static const struct CMUnitTest tests[] = {
	TEST(kill_in_lock),
	TEST(kill_in_unlock),
	TEST(kill_in_try),
	TEST(kill_in_timed),
	TEST(kill_in_shared),
	TEST(kill_in_shared_unlock),
	TEST(kill_in_wait),
	TEST(kill_in_notify),
	TEST(kill_in_cold_lock),
	TEST(kill_in_cold_notify),
	TEST(kill_in_contended_lock),
	TEST(kill_in_contended_unlock),
	TEST(kill_in_contended_try),
	TEST(kill_in_contended_timed),
	TEST(kill_in_time_out),
	TEST(kill_in_contended_shared),
	TEST(kill_in_contended_shared_unlock),
	TEST(kill_in_contended_cold_lock),
	TEST(kill_in_sleeping_wait),
	TEST(kill_in_notify_with_waiter),
	TEST(kill_in_robust_mutex),
	TEST(handler_in_lock),
	TEST(handler_in_unlock),
	TEST(kill_at_random),
};

static const struct CMUnitTest storm_only[] = {
	TEST(kill_at_random),
};

/* The dynamic linker's work at a first call is no part of any operation. */
static void bind_now(char **argv)
{
	if (getenv("LD_BIND_NOW"))
		return;
	setenv("LD_BIND_NOW", "1", 1);
	execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	bind_now(argv);
	if (npheap_open(NULL, 0, &heap)) {
		printf("Bail out! %s: %s\n", NPHEAP_DEVICE, strerror(errno));
		return 1;
	}
	if (argc == 2 && !strcmp(argv[1], "every")) {
		plan_ms = EVERY_MS;
	} else if (argc == 2) {
		kills_wanted = strtoul(argv[1], NULL, 0);
		return test_main(storm_only);
	}
	return test_main(tests);
}
