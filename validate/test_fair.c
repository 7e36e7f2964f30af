// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fairness: many in a closed loop, each of which comes back for the lock as
 * soon as it gave it away, and none of which gets it twice while another one
 * waits for it.
 */
#include <sched.h>
#include <stdatomic.h>

#include "test.h"

#define CROWD 64
#define TURNS 100

struct entry {
	volatile uint16_t who;
	volatile uint16_t got;
};

/* Who came and who got the lock, in the order in which it happened. */
struct history {
	uint64_t key;
	_Atomic uint32_t length;
	struct entry entries[2 * CROWD * TURNS];
};

static struct history *history;

static void note(int who, int got)
{
	uint32_t i = atomic_fetch_add(&history->length, 1);

	history->entries[i].who = who;
	history->entries[i].got = got;
}

static int take_turns(void *arg)
{
	int me = (intptr_t)arg;
	int i;

	for (i = 0; i < TURNS; i++) {
		note(me, 0);
		child_check(!npheap_lock(dev, history->key));
		note(me, 1);
		child_check(!npheap_unlock(dev, history->key));
	}
	return 0;
}

struct overtaking {
	int by_one;
	int by_all;
};

/* What happened to the one that came at entry @i. */
static void count_overtaking(uint32_t i, struct overtaking *worst)
{
	int by[CROWD] = { 0 }, behind[CROWD] = { 0 };
	int me = history->entries[i].who, all = 0;

	while (++i < history->length) {
		const struct entry *e = &history->entries[i];

		if (e->got && e->who == me)
			break;
		behind[e->who] |= !e->got;
		if (!e->got || !behind[e->who])
			continue;
		all++;
		if (++by[e->who] > worst->by_one)
			worst->by_one = by[e->who];
	}
	if (all > worst->by_all)
		worst->by_all = all;
}

static struct overtaking run_crowd(void)
{
	struct overtaking worst = { 0 };
	pid_t pids[CROWD];
	uint32_t n;
	int i;

	/* All wait before the first one gets it, so that the loop is closed. */
	assert_int_equal(npheap_lock(dev, history->key), 0);
	for (i = 0; i < CROWD; i++) {
		pids[i] = spawn(take_turns, (void *)(intptr_t)i);
		while (history->length == (uint32_t)i)
			sched_yield();
		assert_true(wait_asleep(pids[i]));
	}
	assert_int_equal(npheap_unlock(dev, history->key), 0);
	for (i = 0; i < CROWD; i++)
		expect_exit(pids[i], 0);
	for (n = 0; n < history->length; n++)
		if (!history->entries[n].got)
			count_overtaking(n, &worst);
	return worst;
}

/*
 * One that is preempted between its note and the queue is passed by others,
 * which is no matter of the lock; but by the same one only once.
 */
static void waiters_are_not_overtaken_twice(void **state)
{
	struct overtaking worst;

	(void)state;
	history = mmap(NULL, sizeof(*history), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(history, MAP_FAILED);
	history->key = test_key();
	worst = run_crowd();
	printf("# %d waiters, %d rounds: overtaken at most %d times by the same one, %d by any\n",
	       CROWD, TURNS, worst.by_one, worst.by_all);
	assert_int_equal(history->length, 2 * CROWD * TURNS);
	assert_in_range(worst.by_one, 0, 1);
	munmap(history, sizeof(*history));
}

static const struct CMUnitTest tests[] = {
	TEST(waiters_are_not_overtaken_twice),
};

int main(void)
{
	return test_main(tests);
}
