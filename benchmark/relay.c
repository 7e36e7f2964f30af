// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "crew.h"
#include "measure.h"
#include "relay.h"

/* How long a producer waits for what it sent to be checked. */
#define PATIENCE_S 2

/* What the processes of a run share. */
struct stage {
	pthread_barrier_t start_line;
	pthread_barrier_t warm_line;	/* producers, and who ends the warm-up */
	pthread_barrier_t quit_line;	/* consumers */
	sem_t checked;			/* all of it: a post for each producer */
	_Atomic uint64_t start;		/* stamp: the last to be ready */
	_Atomic uint64_t finish;	/* stamp: the last item was checked */
	_Atomic uint64_t next;		/* item to make */
	_Atomic uint64_t items;		/* received and checked */
	_Atomic uint64_t bytes;
	_Atomic unsigned char seen[];	/* by item number */
};

struct relay {
	const struct job *job;
	struct channel channel;
	const struct transport *transport;
	struct stage *stage;
	size_t stage_size;
};

double seconds_now(void)
{
	return (double)now_ns() / 1e9;
}

static void raise_to(_Atomic uint64_t *latest, uint64_t value)
{
	uint64_t old = atomic_load(latest);

	while (old < value &&
	       !atomic_compare_exchange_weak(latest, &old, value))
		;
}

/* A worker dead before the line holds the others there: crew_wait ends them. */
static void line_up(struct stage *stage, pthread_barrier_t *line)
{
	raise_to(&stage->start, stamp());
	pthread_barrier_wait(line);
}

/* Everything that was sent is checked then: the channel is empty. */
static void end_warm_up(struct stage *stage)
{
	line_up(stage, &stage->warm_line);
}

static int complain(const struct relay *relay, const char *what, int err)
{
	fprintf(stderr, "%s: %s: %s\n", relay->transport->name, what,
		strerror(-err));
	return err;
}

static int produce_item(struct relay *relay, uint64_t number)
{
	const struct job *job = relay->job;
	size_t size = job->size(job, number);
	void *bytes = relay->transport->begin(&relay->channel, size);
	int err;

	if (!bytes)
		return complain(relay, "no buffer", -errno);
	err = job->fill(job, number, bytes, size);
	if (err)
		return complain(relay, "fill", err);
	err = relay->transport->commit(&relay->channel, number, size);
	return err ? complain(relay, "send", err) : 0;
}

/* A producer and its consumer have processors of their own, if there are two. */
static unsigned int place_of(const struct relay *relay, enum role role,
			     unsigned int worker)
{
	return role == ROLE_PRODUCER ?
		       worker : relay->job->geometry.producers + worker;
}

static int join(struct relay *relay, enum role role, unsigned int worker)
{
	int err;

	pin_to(place_of(relay, role, worker));
	run_until_waiting();
	err = relay->transport->join(&relay->channel, role, worker);
	if (err)
		return complain(relay, "join", err);
	line_up(relay->stage, &relay->stage->start_line);
	return 0;
}

static void all_is_checked(struct relay *relay)
{
	unsigned int i;

	atomic_store(&relay->stage->finish, stamp());
	for (i = 0; i < relay->job->geometry.producers; i++)
		sem_post(&relay->stage->checked);
}

/* Not for ever: after a lost item a stream's end is what tells the consumers. */
static void wait_until_checked(struct stage *stage)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += PATIENCE_S;
	while (sem_timedwait(&stage->checked, &limit) && errno == EINTR)
		;
}

/* The time is taken already; nobody is disturbed who still works. */
static int leave(struct relay *relay)
{
	if (!relay->transport->leave)
		return 0;
	pthread_barrier_wait(&relay->stage->start_line);
	relay->transport->leave(&relay->channel);
	return 0;
}

static int produce(void *arg, unsigned int worker)
{
	struct relay *relay = arg;
	bool warm = !relay->job->warm_up;
	uint64_t number;
	int err = join(relay, ROLE_PRODUCER, worker);

	while (!err) {
		number = atomic_fetch_add(&relay->stage->next, 1);
		if (!warm && number >= relay->job->warm_up) {
			end_warm_up(relay->stage);
			warm = true;
		}
		if (number >= relay->job->geometry.items) {
			wait_until_checked(relay->stage);
			return leave(relay);
		}
		err = produce_item(relay, number);
	}
	return err;
}

/*
 * The last one ends the measurement, for which the producers wait, and then the
 * consumers for each other: whose exit has much to unmap would be measured else.
 */
static void count_item(struct relay *relay)
{
	uint64_t items = atomic_fetch_add(&relay->stage->items, 1) + 1;

	if (items == relay->job->warm_up)
		end_warm_up(relay->stage);
	if (items == relay->job->geometry.items)
		all_is_checked(relay);
}

static int consume_item(struct relay *relay, const struct item *item)
{
	const struct job *job = relay->job;
	int err;

	if (item->number >= job->geometry.items ||
	    item->size != job->size(job, item->number))
		return complain(relay, "no such item", -EBADMSG);
	if (atomic_exchange(&relay->stage->seen[item->number], 1))
		return complain(relay, "an item came twice", -EBADMSG);
	err = job->check(job, item->number, item->bytes, item->size);
	if (err)
		return complain(relay, "wrong bytes", err);
	atomic_fetch_add(&relay->stage->bytes, item->size);
	err = relay->transport->release(&relay->channel);
	if (err)
		return complain(relay, "release", err);
	count_item(relay);
	return 0;
}

static int consume(void *arg, unsigned int worker)
{
	struct relay *relay = arg;
	struct item item;
	int err = join(relay, ROLE_CONSUMER, worker);

	if (err)
		return err;
	while ((err = relay->transport->receive(&relay->channel, &item)) > 0) {
		if (consume_item(relay, &item))
			return -EBADMSG;
	}
	if (err)
		return complain(relay, "receive", err);
	pthread_barrier_wait(&relay->stage->quit_line);
	return leave(relay);
}

static int set_stage(struct relay *relay)
{
	const struct geometry *geometry = &relay->job->geometry;
	pthread_barrierattr_t shared;
	void *stage;

	relay->stage_size = sizeof(*relay->stage) + geometry->items;
	stage = mmap(NULL, relay->stage_size, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED)
		return -errno;
	relay->stage = stage;
	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&relay->stage->start_line, &shared,
			     geometry->producers + geometry->consumers);
	pthread_barrier_init(&relay->stage->warm_line, &shared,
			     geometry->producers + 1);
	pthread_barrier_init(&relay->stage->quit_line, &shared,
			     geometry->consumers);
	sem_init(&relay->stage->checked, 1, 0);
	return 0;
}

static int run_crew(struct relay *relay)
{
	const struct geometry *geometry = &relay->job->geometry;
	struct crew crew = { 0 };
	int err = 0;

	for (unsigned int i = 0; i < geometry->producers && !err; i++)
		err = crew_add(&crew, produce, relay, i);
	for (unsigned int i = 0; i < geometry->consumers && !err; i++)
		err = crew_add(&crew, consume, relay, i);
	if (!err)
		err = relay->transport->join(&relay->channel, ROLE_KEEPER, 0);
	if (!err)
		return crew_wait(&crew, NULL, NULL);
	crew_stop(&crew);
	return err;
}

static int judge(const struct relay *relay, struct outcome *outcome)
{
	struct stage *stage = relay->stage;

	if (stage->items != relay->job->geometry.items)
		return complain(relay, "items are missing", -EBADMSG);
	outcome->bytes = stage->bytes;
	outcome->seconds = (double)(stage->finish - stage->start) / 1e9;
	return 0;
}

int relay_run(const struct transport *transport, const struct job *job,
	      struct outcome *outcome)
{
	struct relay relay = {
		.job = job, .transport = transport,
		.channel.geometry = job->geometry,
	};
	int err = transport->create(&relay.channel);

	if (err)
		return complain(&relay, "no channel", err);
	err = set_stage(&relay);
	if (!err) {
		err = run_crew(&relay);
		if (err)
			complain(&relay, "failed", err);
		else
			err = judge(&relay, outcome);
		munmap(relay.stage, relay.stage_size);
	}
	transport->destroy(&relay.channel);
	return err;
}
