// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Passing data: items from producers to consumers, and back and forth.
 *
 * What is timed begins when a channel is warm and empty, and all memory that is
 * used again is touched, and ends when the last item was checked, before anybody
 * exits.  It has the making and the comparing of every byte in it,
 * the same for all; the rows of "fill-and-check" say how much that is.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "content.h"
#include "crew.h"
#include "trip.h"
#include "compare/peers/iceoryx.h"
#include "compare/suites.h"

#define KIB (1UL << 10)
#define MIB (1UL << 20)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/*
 * Of each @size, so many items are timed, and as many pass before; where time is
 * measured, which varies more than instructions, four times as many.
 */
static const struct amount {
	size_t size;
	unsigned int items;
	int by_many;			/* also with more than one process a side */
} amounts[] = {
	{ 64, 4000, 1 },
	{ 4 * KIB, 500, 0 },
	{ 64 * KIB, 100, 0 },
	{ 1 * MIB, 16, 0 },
	{ 4 * MIB, 8, 1 },
};

/* What everybody knows first: the ratios are to it. */
static const struct transport *const systems[] = {
	&transport_unix, &transport_pipe, &transport_vmsplice,
	&transport_seqpacket, &transport_mq, &transport_msg,
	&transport_shm, &transport_shm_pool, &transport_futex,
	&transport_eventfd, &transport_npheap, &transport_npheap_pool,
	&transport_npheap_event, &transport_npheap_ioctl,
	&transport_iceoryx,
};

/* ---------------------------------------------------------------- the work */

static struct job job_of(const struct bench *b, unsigned int items)
{
	unsigned int workers = b->processes / 2;

	return content_job((struct geometry) {
		.producers = workers,
		.consumers = workers,
		.items = b->loops * workers + items,
		.max_size = b->size,
	}, b->loops * workers);
}

/* ---------------------------------------------------------- what is measured */

static int set_up(struct bench *b)
{
	struct job job = job_of(b, b->loops);
	struct channel channel = { .geometry = job.geometry };
	const struct transport *transport = b->by;
	int err = transport->create(&channel);

	if (!err)
		transport->destroy(&channel);
	return err;
}

static double pass_items(struct bench *b, unsigned int n)
{
	struct job job = job_of(b, n);
	struct outcome outcome;
	int err;

	err = crew_init();
	if (!err)
		err = relay_run(b->by, &job, &outcome);
	crew_exit();
	errno = -err;
	check(!err, b->system);
	return outcome.seconds * 1e9;
}

static double go_and_come(struct bench *b, unsigned int n)
{
	struct job job = job_of(b, n);
	size_t size = job.geometry.items * sizeof(double);
	double *took = shared_memory(size);
	double sum = 0;
	unsigned int i;
	int err = crew_init();

	if (!err)
		err = trip_run(b->by, &job, took);
	crew_exit();
	errno = -err;
	check(!err, b->system);
	for (i = job.warm_up; i < job.geometry.items; i++) {
		sample(b, took[i]);
		sum += took[i];
	}
	munmap(took, size);
	return sum;
}

/* All that the others do but the passing, by one process. */
static double fill_and_check(struct bench *b, unsigned int n)
{
	char *bytes = b->state;
	uint64_t began = stamp();
	unsigned int i;

	for (i = 0; i < n; i++) {
		content_fill(i, bytes, b->size);
		errno = EBADMSG;
		check(!content_check(i, bytes, b->size), b->system);
	}
	return stamp() - began;
}

/* As the others' items it begins with a page, and is not copied at a fork. */
static int get_memory(struct bench *b)
{
	b->state = shared_memory(b->size);
	return 0;
}

static void free_memory(struct bench *b)
{
	munmap(b->state, b->size);
}

/* ------------------------------------------------------------------- tables */

static void table(const struct bench *how)
{
	struct bench benches[COUNT(systems) + 1];
	size_t i;

	for (i = 0; i < COUNT(systems); i++) {
		benches[i] = *how;
		benches[i].system = systems[i]->name;
		benches[i].by = systems[i];
		benches[i].setup = set_up;
	}
	benches[i] = *how;
	benches[i].system = "fill-and-check";
	benches[i].run = fill_and_check;
	benches[i].setup = get_memory;
	benches[i].teardown = free_memory;
	compare(benches, how->run == go_and_come ? i : i + 1);
}

static void run(void)
{
	static const char *const names[] = { "1x1", "2x2", "", "4x4" };
	struct bench how = { .run = pass_items, .copies = 1 };
	unsigned int workers;
	size_t i;

	for (workers = 1; workers <= 4; workers *= 2) {
		for (i = 0; i < COUNT(amounts); i++) {
			if (workers > 1 && !amounts[i].by_many)
				continue;
			how.name = names[workers - 1];
			how.size = amounts[i].size;
			how.processes = 2 * workers;
			how.loops = amounts[i].items * (instructions ? 1 : 4);
			table(&how);
		}
	}
	how.name = "round-trip";
	how.run = go_and_come;
	how.size = 64;
	how.processes = 2;
	how.loops = 1000;
	table(&how);
}

const struct suite suite_passing = {
	.name = "passing",
	.about = "items to one consumer or several, and back, 64 B to 4 MiB",
	.run = run,
};
