// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many processes in a closed loop: how often one that waits is overtaken by
 * others that came after it.  "Came" is what user space notes before it asks,
 * for any kind of lock; validate/test_fair.c looks into the kernel.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "locks.h"

#define CROWD 64
#define TURNS 100

/* Who came and who got the lock, in the order in which it happened. */
struct history {
	_Atomic uint32_t length;
	struct {
		volatile uint16_t who;
		volatile uint16_t got;
	} entries[2 * CROWD * TURNS];
};

static struct history *history;

static void note(int who, int got)
{
	uint32_t i = atomic_fetch_add(&history->length, 1);

	history->entries[i].who = who;
	history->entries[i].got = got;
}

static _Atomic int *crowd;

static void take_turns(const struct kind *kind)
{
	int me = atomic_fetch_add(crowd, 1);
	int i;

	kind->lock(1);
	kind->unlock(1);
	for (i = 0; i < TURNS; i++) {
		note(me, 0);
		kind->lock(0);
		note(me, 1);
		kind->unlock(0);
	}
}

struct overtaking {
	int by_one;
	int by_all;
};

/* What happened to the one that came at entry @i. */
static void count_overtaking(uint32_t i, struct overtaking *worst)
{
	int me = history->entries[i].who, all = 0;
	int by[CROWD] = { 0 }, behind[CROWD] = { 0 };

	while (++i < history->length) {
		int who = history->entries[i].who;

		if (!history->entries[i].got) {
			behind[who] = 1;
			continue;
		}
		if (who == me)
			break;
		if (!behind[who])
			continue;
		all++;
		if (++by[who] > worst->by_one)
			worst->by_one = by[who];
	}
	if (all > worst->by_all)
		worst->by_all = all;
}

static struct overtaking run_crowd(const struct kind *kind)
{
	struct overtaking worst = { 0 };
	pid_t pids[CROWD];
	uint32_t n;
	int i;

	memset(history, 0, sizeof(*history));
	*crowd = 0;
	/* All wait before the first one gets it, so that the loop is closed. */
	kind->lock(0);
	for (i = 0; i < CROWD; i++)
		pids[i] = start_with(kind, take_turns, -1);
	while (history->length < CROWD)
		usleep(1000);
	usleep(200000);
	kind->unlock(0);
	for (i = 0; i < CROWD; i++)
		finish(pids[i], 0);
	for (n = 0; n < history->length; n++)
		if (!history->entries[n].got)
			count_overtaking(n, &worst);
	return worst;
}

static void print_pair(const char *what, int peer, int ours)
{
	print_row(what, by_robust.name, peer, 1, "");
	print_row(what, by_heap.name, ours, (double)ours / peer,
		  by_robust.name);
}

int measure_fairness(void)
{
	struct overtaking peer, ours;

	suite = "locks-fairness";
	unit = "times";
	history = shared_memory(sizeof(*history));
	crowd = shared_memory(sizeof(*crowd));
	kinds_init();
	print_head();
	peer = run_crowd(&by_robust);
	ours = run_crowd(&by_heap);
	print_pair("by the same", peer.by_one, ours.by_one);
	print_pair("by all", peer.by_all, ours.by_all);
	return 0;
}
