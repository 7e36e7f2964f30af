// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <time.h>

#include "kill.h"

/* glibc's answer is not waited for that long: a lost lock never comes back. */
#define PEER_DEADLINE_MS 3000
/* A rival waits while the victim is stepped, too. */
#define RIVAL_PATIENCE 3

struct npheap *heap;
struct scene *scene;
struct ledger *ledger;
uint64_t key;

/* -------------------------------------------------- the two kinds of locks */

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

const struct kind by_heap = {
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

const struct kind by_peer = {
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

static struct npheap *mine;

void know_it(void)
{
	child_check(!npheap_lock(dev, key));
	child_check(!npheap_unlock(dev, key));
	child_check(!npheap_acquire(heap, key));
	child_check(!npheap_release(heap, key));
	mine = heap;
}

void hold_it(void)
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

void do_lock(void)
{
	if (!npheap_lock(dev, key))
		book();
}

void do_unlock(void)
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

void peer_know_it(void)
{
	child_check(!peer_take(DEADLINE_MS));
	child_check(!peer_release());
}

void peer_hold_it(void)
{
	child_check(!peer_take(DEADLINE_MS));
}

void do_peer_lock(void)
{
	if (!pthread_mutex_lock(&ledger->mutex))
		book();
}

void do_peer_unlock(void)
{
	book();
	pthread_mutex_unlock(&ledger->mutex);
}

const struct plan plans[] = {
	{ "lock", "lock", &by_heap, know_it, do_lock, ALONE, 0 },
	{ "unlock", "unlock", &by_heap, hold_it, do_unlock, ALONE, 0 },
	{ "try", "try", &by_heap, know_it, do_try, ALONE, 0 },
	{ "timed", "timed", &by_heap, know_it, do_timed, ALONE, 0 },
	{ "shared", "shared", &by_heap, know_it, do_shared, ALONE, 0 },
	{ "shared_unlock", "unlock shared", &by_heap,
	  know_it_as_reader, do_release, ALONE, 0 },
	{ "wait", "wait that times out", &by_heap,
	  know_the_event, do_wait_in_vain, ALONE, 0 },
	{ "notify", "notify nobody", &by_heap, know_it, do_notify, ALONE, 0 },
	{ "cold_lock", "lock, first use", &by_heap,
	  know_nothing, do_cold_lock, ALONE, 0 },
	{ "cold_notify", "notify, first use", &by_heap,
	  know_nothing, do_notify, ALONE, 0 },
	{ "contended_lock", "lock that waits", &by_heap,
	  know_it, do_lock, HELD, 1 },
	{ "contended_unlock", "unlock with a waiter", &by_heap,
	  hold_it, do_unlock, WAITED_FOR, 0 },
	{ "contended_try", "try in vain", &by_heap, know_it, do_try, HELD, 0 },
	{ "contended_timed", "timed that waits", &by_heap,
	  know_it, do_timed, HELD, 1 },
	{ "time_out", "timed that times out", &by_heap,
	  know_it, do_time_out, HELD, 0 },
	{ "contended_shared", "shared that waits", &by_heap,
	  know_it, do_shared, HELD, 1 },
	{ "contended_shared_unlock", "unlock shared with a waiter", &by_heap,
	  know_it_as_reader, do_release, WAITED_FOR, 0 },
	{ "contended_cold_lock", "lock that waits, first use", &by_heap,
	  know_nothing, do_cold_lock, HELD, 1 },
	{ "sleeping_wait", "wait until notified", &by_heap,
	  know_the_event, do_wait, ALONE, 1 },
	{ "notify_with_waiter", "notify a waiter", &by_heap,
	  know_it, do_notify, WATCHED, 0 },
	{ 0 },
};

/* ---------------------------------------------- others that want the lock */

const struct plan *plan;
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

void surround(void)
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

void let_go(void)
{
	if (parent_holds)
		assert_int_equal(plan->kind->release(), 0);
	else
		npheap_notify(heap, key, UINT32_MAX);
	parent_holds = 0;
}

/* ------------------------------------------------------------ after a kill */

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

void judge(struct tally *tally, unsigned long point, long long locks)
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

void scene_new(void)
{
	scene = share(sizeof(*scene));
	key = test_key();
	orders = 0;
	ledger = map_key(key, page);
	peer_init();
	/* So that what the parent knows is the same at every point. */
	assert_int_equal(heap_take(DEADLINE_MS), 0);
	assert_int_equal(heap_release(), 0);
	rival = spawn(be_rival, NULL);
}

void scene_free(void)
{
	kill_and_reap(rival);
	munmap(ledger, page);
	munmap(scene, sizeof(*scene));
	npheap_delete(dev, key);
}

int run_plans(const char *prefix, CMUnitTestFunction test,
	      const struct CMUnitTest *others, size_t count)
{
	static struct CMUnitTest tests[64];
	size_t n = 0, i;
	char *name;

	for (; plans[n].name; n++) {
		if (asprintf(&name, "%s_%s", prefix, plans[n].id) < 0)
			return 1;
		tests[n] = (struct CMUnitTest){
			name, test, test_begin, test_end, (void *)&plans[n],
		};
	}
	for (i = 0; i < count; i++)
		tests[n++] = others[i];
	if (npheap_open(NULL, 0, &heap)) {
		printf("Bail out! %s: %s\n", NPHEAP_DEVICE, strerror(errno));
		return 1;
	}
	return test_run(prefix, tests, n);
}
