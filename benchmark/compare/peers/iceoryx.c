// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * iceoryx, as its documentation says that it is fastest: the producer fills a
 * chunk of shared memory that it was lent, and the consumer, which waits by a
 * WaitSet, reads it there.
 *
 * All who subscribe to a service get all of it; so each consumer has a service
 * of its own, and items go to these in turn.  A producer that finds a queue full
 * would look at it again and again: semaphores let it sleep.  The daemon is
 * started for the comparison and stopped while others are measured.
 *
 * It is here and not with the other transports, as a program that is linked
 * with it needs it to start.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gate.h"
#include "measure.h"
#include "compare/peers/iceoryx.h"

#if __has_include("iceoryx_binding_c/runtime.h")

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "iceoryx_binding_c/enums.h"
#include "iceoryx_binding_c/log.h"
#include "iceoryx_binding_c/publisher.h"
#include "iceoryx_binding_c/runtime.h"
#include "iceoryx_binding_c/subscriber.h"
#include "iceoryx_binding_c/types.h"
#include "iceoryx_binding_c/wait_set.h"

#define DAEMON "/usr/bin/iox-roudi"
#define SERVICE "npheap-compare"
/* The daemon keeps what a process had until there is another of its name. */
#define CHANNELS 16
/* That may wait for a consumer: as many as a store has slots. */
#define IN_FLIGHT ((size_t)16 << 20)
#define MAX_CREDITS 64

struct header {
	uint64_t number;
	uint64_t size;
};

/* What the processes share. */
struct turns {
	_Atomic uint64_t put;
	struct gate credits[CHANNEL_WORKERS];
};

struct link {
	struct turns *turns;
	unsigned int consumers;
	unsigned int serial;

	/* a producer's */
	iox_pub_storage_t publisher_storage[CHANNEL_WORKERS];
	iox_pub_t publishers[CHANNEL_WORKERS];
	unsigned int to;
	struct header *lent;

	/* a consumer's */
	iox_sub_storage_t subscriber_storage;
	iox_sub_t subscriber;
	iox_ws_storage_t set_storage;
	iox_ws_t set;
	unsigned int worker;
	uint64_t left;
	const void *taken;
};

/* -------------------------------------------------------------- the daemon */

static pid_t daemon_pid;
static char config[] = "/tmp/npheap-compare-iceoryx.XXXXXX";

/*
 * Chunks, for what is measured: those in flight, and one more for each process
 * and for each publisher, which has the last that it sent.
 */
static const struct pool {
	unsigned int size;
	unsigned int count;
} pools[] = {
	{ 128, 4 * MAX_CREDITS + 32 },
	{ (4 << 10) + 64, MAX_CREDITS + 4 },
	{ (64 << 10) + 64, MAX_CREDITS + 4 },
	{ (1 << 20) + 64, 20 },
	{ (4 << 20) + 64, 32 },
};

static int write_config(void)
{
	int fd = mkstemp(config);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	size_t i;

	if (!file)
		return -errno;
	fputs("[general]\nversion = 1\n[[segment]]\n", file);
	for (i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
		fprintf(file, "[[segment.mempool]]\nsize = %u\ncount = %u\n",
			pools[i].size, pools[i].count);
	return fclose(file) ? -errno : 0;
}

static void run_daemon(void *arg)
{
	(void)arg;
	if (!freopen("/dev/null", "we", stdout) ||
	    !freopen("/dev/null", "we", stderr))
		_exit(1);
	execl(DAEMON, DAEMON, "-c", config, "-m", "off", "-l", "off", NULL);
	_exit(127);
}

static void end_daemon(void)
{
	kill(daemon_pid, SIGCONT);
	kill(daemon_pid, SIGTERM);
	waitpid(daemon_pid, NULL, 0);
	unlink(config);
}

/* Once, and until the program ends. */
static int start_daemon(void)
{
	int err;

	if (daemon_pid)
		return 0;
	if (access(DAEMON, X_OK))
		return -errno;
	err = write_config();
	if (err)
		return err;
	daemon_pid = start(run_daemon, NULL, -1);
	atexit(end_daemon);
	return 0;
}

/* ----------------------------------------------------------------- a channel */

static unsigned int credits(const struct geometry *geometry)
{
	size_t fitting = IN_FLIGHT / geometry->max_size /
			 geometry->consumers;

	if (fitting < 2)
		return 2;
	return fitting < MAX_CREDITS ? fitting : MAX_CREDITS;
}

static int share_turns(struct link *link, const struct geometry *geometry)
{
	unsigned int i;

	link->turns = mmap(NULL, sizeof(*link->turns), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (link->turns == MAP_FAILED)
		return -errno;
	for (i = 0; i < CHANNEL_WORKERS; i++)
		gate_semaphore.init(&link->turns->credits[i],
				    credits(geometry));
	return 0;
}

static int link_create(struct channel *channel)
{
	static unsigned int channels;
	struct link *link = calloc(1, sizeof(*link));
	int err;

	if (!link)
		return -ENOMEM;
	link->consumers = channel->geometry.consumers;
	link->serial = channels++ % CHANNELS;
	err = start_daemon();
	if (!err)
		err = share_turns(link, &channel->geometry);
	if (err) {
		free(link);
		return err;
	}
	kill(daemon_pid, SIGCONT);
	channel->state = link;
	return 0;
}

static void link_destroy(struct channel *channel)
{
	struct link *link = channel->state;

	kill(daemon_pid, SIGSTOP);
	munmap(link->turns, sizeof(*link->turns));
	free(link);
}

/* As a pool's workers do: no page shall be new to anybody behind the first item. */
static void touch_segments(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long begin, end;
	char line[512], write;

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, " /dev/shm/") &&
		    sscanf(line, "%lx-%lx r%c", &begin, &end, &write) == 3)
			madvise((void *)begin, end - begin,
				write == 'w' ? MADV_POPULATE_WRITE :
					       MADV_POPULATE_READ);
	if (maps)
		fclose(maps);
}

/* A process has one runtime, whatever channels it joins. */
static void start_runtime(const struct link *link, enum role role,
			  unsigned int worker)
{
	static bool started;
	char name[64];

	if (started)
		return;
	started = true;
	snprintf(name, sizeof(name), "npheap-%u-%c%u", link->serial,
		 role == ROLE_PRODUCER ? 'p' : 'c', worker);
	iox_set_loglevel(Iceoryx_LogLevel_Off);
	iox_runtime_init(name);
	touch_segments();
}

static const char *instance_of(const struct link *link)
{
	static char text[16];

	snprintf(text, sizeof(text), "%u", link->serial);
	return text;
}

static const char *event_of(unsigned int consumer)
{
	static char text[16];

	snprintf(text, sizeof(text), "%u", consumer);
	return text;
}

static void publish_to_all(struct link *link)
{
	iox_pub_options_t options;
	unsigned int i;

	iox_pub_options_init(&options);
	options.subscriberTooSlowPolicy =
		ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
	for (i = 0; i < link->consumers; i++)
		link->publishers[i] =
			iox_pub_init(&link->publisher_storage[i], SERVICE,
				     instance_of(link), event_of(i), &options);
	for (i = 0; i < link->consumers; i++)
		while (!iox_pub_has_subscribers(link->publishers[i]))
			usleep(1000);
}

static int subscribe(struct link *link)
{
	iox_sub_options_t options;

	iox_sub_options_init(&options);
	options.queueCapacity = MAX_CREDITS;
	options.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
	link->subscriber = iox_sub_init(&link->subscriber_storage, SERVICE,
					instance_of(link),
					event_of(link->worker), &options);
	link->set = iox_ws_init(&link->set_storage);
	if (iox_ws_attach_subscriber_state(link->set, link->subscriber,
					   SubscriberState_HAS_DATA, 1, NULL) !=
	    WaitSetResult_SUCCESS)
		return -EIO;
	return 0;
}

static int link_join(struct channel *channel, enum role role,
		     unsigned int worker)
{
	struct link *link = channel->state;

	if (role == ROLE_KEEPER)
		return 0;
	start_runtime(link, role, worker);
	if (role == ROLE_PRODUCER) {
		publish_to_all(link);
		return 0;
	}
	link->worker = worker;
	/* Each item has its turn. */
	link->left = (channel->geometry.items + link->consumers - 1 - worker) /
		     link->consumers;
	return subscribe(link);
}

static void *link_begin(struct channel *channel, size_t size)
{
	struct link *link = channel->state;
	void *chunk;
	int err;

	link->to = atomic_fetch_add(&link->turns->put, 1) % link->consumers;
	err = gate_semaphore.wait(&link->turns->credits[link->to], NULL);
	if (!err && iox_pub_loan_chunk(link->publishers[link->to], &chunk,
				       sizeof(struct header) + size) !=
		    AllocationResult_SUCCESS)
		err = -ENOMEM;
	if (err) {
		errno = -err;
		return NULL;
	}
	link->lent = chunk;
	return link->lent + 1;
}

static int link_commit(struct channel *channel, uint64_t number, size_t size)
{
	struct link *link = channel->state;

	*link->lent = (struct header){ .number = number, .size = size };
	iox_pub_publish_chunk(link->publishers[link->to], link->lent);
	return 0;
}

static int take(struct link *link)
{
	iox_notification_info_t info;
	uint64_t missed;

	for (;;) {
		switch (iox_sub_take_chunk(link->subscriber, &link->taken)) {
		case ChunkReceiveResult_SUCCESS:
			return 0;
		case ChunkReceiveResult_NO_CHUNK_AVAILABLE:
			iox_ws_wait(link->set, &info, 1, &missed);
			break;
		default:
			return -EIO;
		}
	}
}

static int link_receive(struct channel *channel, struct item *item)
{
	struct link *link = channel->state;
	const struct header *header;
	int err;

	if (!link->left)
		return 0;
	link->left--;
	err = take(link);
	if (err)
		return err;
	header = link->taken;
	item->number = header->number;
	item->size = header->size;
	item->bytes = header + 1;
	return 1;
}

static int link_release(struct channel *channel)
{
	struct link *link = channel->state;

	iox_sub_release_chunk(link->subscriber, link->taken);
	return gate_semaphore.post(&link->turns->credits[link->worker], NULL);
}

/* A publisher has the last chunk that it sent until it ends. */
static void link_leave(struct channel *channel)
{
	struct link *link = channel->state;
	unsigned int i;

	for (i = 0; i < link->consumers && link->publishers[i]; i++)
		iox_pub_deinit(link->publishers[i]);
	if (!link->subscriber)
		return;
	iox_ws_deinit(link->set);
	iox_sub_deinit(link->subscriber);
}

const struct transport transport_iceoryx = {
	.name = "iceoryx",
	.create = link_create,
	.destroy = link_destroy,
	.join = link_join,
	.begin = link_begin,
	.commit = link_commit,
	.receive = link_receive,
	.release = link_release,
	.leave = link_leave,
};

#else

static int not_there(struct channel *channel)
{
	(void)channel;
	return -ENOSYS;
}

/* This program was built where there was no iceoryx. */
const struct transport transport_iceoryx = {
	.name = "iceoryx",
	.create = not_there,
};

#endif
