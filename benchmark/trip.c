// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crew.h"
#include "measure.h"
#include "trip.h"

enum { THERE, BACK, WAYS };

struct trip {
	const struct transport *transport;
	const struct job *job;
	struct channel ways[WAYS];
	double *took;
};

static int complain(const struct trip *trip, const char *what, int err)
{
	fprintf(stderr, "%s: round trip: %s: %s\n", trip->transport->name,
		what, strerror(-err));
	return err;
}

/* A producer may wait for its consumer to come, so consumers come first. */
static int join(struct trip *trip, int out, int in)
{
	int err = trip->transport->join(&trip->ways[in], ROLE_CONSUMER, 0);

	if (!err)
		err = trip->transport->join(&trip->ways[out], ROLE_PRODUCER, 0);
	return err ? complain(trip, "join", err) : 0;
}

static int leave(struct trip *trip)
{
	int way;

	for (way = THERE; way < WAYS && trip->transport->leave; way++)
		trip->transport->leave(&trip->ways[way]);
	return 0;
}

/* What comes back is told from what went there by its content. */
static uint64_t number_of(const struct trip *trip, int way, uint64_t i)
{
	return way * trip->job->geometry.items + i;
}

static int send(struct trip *trip, int way, uint64_t i)
{
	const struct job *job = trip->job;
	size_t size = job->size(job, i);
	void *bytes = trip->transport->begin(&trip->ways[way], size);
	int err;

	if (!bytes)
		return complain(trip, "no buffer", -errno);
	err = job->fill(job, number_of(trip, way, i), bytes, size);
	if (!err)
		err = trip->transport->commit(&trip->ways[way], i, size);
	return err ? complain(trip, "send", err) : 0;
}

static int receive(struct trip *trip, int way, uint64_t i)
{
	const struct job *job = trip->job;
	struct item item;
	int err = trip->transport->receive(&trip->ways[way], &item);

	if (err <= 0)
		return complain(trip, "receive", err ? err : -EPIPE);
	if (item.number != i || item.size != job->size(job, i))
		return complain(trip, "another item", -EBADMSG);
	err = job->check(job, number_of(trip, way, i), item.bytes, item.size);
	if (err)
		return complain(trip, "wrong bytes", err);
	err = trip->transport->release(&trip->ways[way]);
	return err ? complain(trip, "release", err) : 0;
}

static int ask(void *arg, unsigned int worker)
{
	struct trip *trip = arg;
	uint64_t i, began;
	int err;

	pin_to(worker);
	run_until_waiting();
	err = join(trip, THERE, BACK);
	for (i = 0; i < trip->job->geometry.items && !err; i++) {
		began = stamp();
		err = send(trip, THERE, i);
		if (!err)
			err = receive(trip, BACK, i);
		trip->took[i] = stamp() - began;
	}
	return err ? err : leave(trip);
}

static int answer(void *arg, unsigned int worker)
{
	struct trip *trip = arg;
	uint64_t i;
	int err;

	pin_to(worker);
	run_until_waiting();
	err = join(trip, BACK, THERE);
	for (i = 0; i < trip->job->geometry.items && !err; i++) {
		err = receive(trip, THERE, i);
		if (!err)
			err = send(trip, BACK, i);
	}
	return err ? err : leave(trip);
}

static int run_crew(struct trip *trip)
{
	struct crew crew = { 0 };
	int err = crew_add(&crew, ask, trip, 0);
	int way;

	if (!err)
		err = crew_add(&crew, answer, trip, 1);
	for (way = THERE; way < WAYS && !err; way++)
		err = trip->transport->join(&trip->ways[way], ROLE_KEEPER, 0);
	if (!err)
		return crew_wait(&crew, NULL, NULL);
	crew_stop(&crew);
	return err;
}

static int open_ways(struct trip *trip)
{
	int way, err;

	for (way = THERE; way < WAYS; way++) {
		trip->ways[way].geometry = trip->job->geometry;
		err = trip->transport->create(&trip->ways[way]);
		if (!err)
			continue;
		while (way--)
			trip->transport->destroy(&trip->ways[way]);
		return complain(trip, "no channel", err);
	}
	return 0;
}

int trip_run(const struct transport *transport, const struct job *job,
	     double *took)
{
	struct trip trip = { .transport = transport, .job = job, .took = took };
	int way, err = open_ways(&trip);

	if (err)
		return err;
	err = run_crew(&trip);
	for (way = THERE; way < WAYS; way++)
		transport->destroy(&trip.ways[way]);
	return err;
}
