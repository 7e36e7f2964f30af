// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kills at random under load: processes change data under a lock, one after
 * the other is killed, and the others go on and find the data as it must be.
 *
 * test_storm KILLS	so many kills, however long that takes
 */
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "test.h"

#define WORKERS 6
/* So long may it take until another process has the lock. */
#define DEADLINE_MS 10000
#define STORM_MS 5000
#define INSIDE_US 500
#define NOBODY -1

struct worker {
	volatile uint64_t rounds;
};

/* @begun and @ended differ only inside of the lock. */
struct storm {
	uint64_t key;
	volatile uint64_t begun;
	volatile uint64_t ended;
	volatile int inside;
	_Atomic int broken;
	volatile uint64_t repairs;
	struct worker workers[WORKERS];
};

/* What the module counts. */
struct recoveries {
	long long locks;
	long long waits;
};

static struct npheap *heap;
static struct storm *storm;

static long long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* 0, EOWNERDEAD (and settled), or what went wrong. */
static int take(long long ms)
{
	int rc = npheap_acquire_with(heap, storm->key, 0,
				     (now_us() + ms * 1000) * 1000);

	if (rc == -EOWNERDEAD && npheap_consistent(heap, storm->key))
		return EINVAL;
	return -rc;
}

static int release(void)
{
	return -npheap_release(heap, storm->key);
}

static void work_inside(int told, int me)
{
	long long limit = now_us() + INSIDE_US;

	if (storm->begun != storm->ended) {
		if (!told || storm->begun != storm->ended + 1)
			storm->broken++;
		storm->ended = storm->begun;
	}
	storm->repairs += told;
	storm->inside = me;
	storm->begun++;
	/* Long, so that it is here that it is hit. */
	while (now_us() < limit)
		;
	if (storm->inside != me)
		storm->broken++;
	storm->inside = NOBODY;
	storm->ended++;
}

static int work(void *arg)
{
	struct worker *w = arg;
	int rc;

	for (;;) {
		rc = take(60 * 1000);
		child_check(!rc || rc == EOWNERDEAD);
		work_inside(rc == EOWNERDEAD, w - storm->workers);
		child_check(!release());
		w->rounds++;
	}
}

static void storm_new(void)
{
	void *p = mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	storm = p;
	storm->key = test_key();
	storm->inside = NOBODY;
	assert_int_equal(npheap_open(NULL, 0, &heap), 0);
}

static void storm_free(void)
{
	npheap_close(heap);
	munmap(storm, sizeof(*storm));
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
	long long limit = now_us() + DEADLINE_MS * 1000LL;

	while (all_rounds() == rounds) {
		if (now_us() > limit)
			return 0;
		sched_yield();
	}
	return 1;
}

/* Half of the time the one that is in there, if it still is. */
static int choose_victim(unsigned int *seed)
{
	int inside = storm->inside;

	if (inside != NOBODY && rand_r(seed) % 2)
		return inside;
	return rand_r(seed) % (unsigned int)WORKERS;
}

static void kill_worker(pid_t pid)
{
	kill_and_reap(pid);
}

static struct recoveries recoveries_since(struct recoveries before)
{
	return (struct recoveries){
		.locks = heap_stat("lock_recovered") - before.locks,
		.waits = heap_stat("lock_waits_abandoned") - before.waits,
	};
}

static unsigned long kill_some(pid_t *pids, unsigned long kills)
{
	long long limit = now_ms() + STORM_MS;
	unsigned int seed = 11;
	unsigned long n;
	uint64_t rounds;
	int i;

	for (n = 0; kills ? n < kills : now_ms() < limit; n++) {
		i = choose_victim(&seed);
		kill_worker(pids[i]);
		rounds = all_rounds();
		pids[i] = spawn(work, &storm->workers[i]);
		assert_true(storm_goes_on(rounds));
	}
	return n;
}

/* @kills of 0: as many as there is time for. */
static void storm_of_kills(unsigned long kills)
{
	struct recoveries found = recoveries_since((struct recoveries){ 0 });
	long long locks = locks_in_use();
	pid_t pids[WORKERS];
	int i, rc;

	storm_new();
	for (i = 0; i < WORKERS; i++)
		pids[i] = spawn(work, &storm->workers[i]);
	kills = kill_some(pids, kills);
	found = recoveries_since(found);
	for (i = 0; i < WORKERS; i++)
		kill_worker(pids[i]);
	rc = take(DEADLINE_MS);
	assert_true(!rc || rc == EOWNERDEAD);
	assert_true(rc || storm->begun == storm->ended);
	assert_int_equal(release(), 0);
	assert_int_equal(storm->broken, 0);
	assert_int_equal(locks_in_use(), locks);
	printf("# %lu random kills: %lld hit a holder (%lld %%), %lld a waiter (%lld %%); %llu rounds\n",
	       kills, found.locks, found.locks * 100 / (long long)kills,
	       found.waits, found.waits * 100 / (long long)kills,
	       (unsigned long long)all_rounds());
	storm_free();
	if (kills >= 1000) {
		assert_true(found.locks * 100 >= 30 * (long long)kills);
		assert_true(found.waits * 100 >= 10 * (long long)kills);
	}
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
	TEST(kill_at_random),
};

int main(int argc, char **argv)
{
	if (argc == 2)
		kills_wanted = strtoul(argv[1], NULL, 0);
	return test_main(tests);
}
