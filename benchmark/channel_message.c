// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Channels over messages: POSIX message queues, System V message queues and
 * Unix sockets of the kind that keeps messages apart.
 *
 * Each consumer has a queue, into which all producers send, and items go to the
 * queues in turn.  An item is a header and its bytes in one message; where it
 * is longer than the longest that the system takes, it is several, one behind
 * the other, and a lock keeps those of another producer out.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "gate.h"
#include "measure.h"

#define KERNEL_BUFFER (1 << 20)		/* bytes that may wait in a queue */
#define MAX_MESSAGES 64			/* in a queue, where they are counted */
#define SOCKET_MESSAGE ((size_t)64 << 10)	/* what a socket allocates well */

struct header {
	uint64_t number;
	uint64_t size;
};

/* What System V wants in front of each message. */
struct type {
	long type;
};

struct queue {
	int in;
	int out;
};

/* What the processes share. */
struct turns {
	_Atomic uint64_t put;		/* items, of all producers */
	struct gate locks[CHANNEL_WORKERS];
};

struct messages {
	const struct message_kind *kind;
	struct turns *turns;
	struct queue queues[CHANNEL_WORKERS];
	unsigned int consumers;
	size_t capacity;		/* of an item with its header */
	size_t limit;			/* of a message */

	/* a worker's */
	char *memory;
	char *buffer;			/* there is room for a type before */
	unsigned int worker;
	uint64_t left;			/* items to receive */
};

/**
 * struct message_kind - one kind of queue
 * @limit: the longest message, @wanted at most; also sees to it that the system
 *	takes them, as far as it can
 * @open, @close: in the keeper
 * @send: 0 or -errno; may write over the type before @bytes
 * @receive: how long the message was, or -errno; the same
 */
struct message_kind {
	size_t (*limit)(size_t wanted);
	int (*open)(struct queue *queue, size_t limit);
	void (*close)(struct queue *queue);
	int (*send)(struct queue *queue, char *bytes, size_t size);
	ssize_t (*receive)(struct queue *queue, char *bytes, size_t room);
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t most(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Messages that may wait: two, so that both sides can work, and more of small. */
static size_t depth(size_t limit)
{
	return most(least(KERNEL_BUFFER / limit, MAX_MESSAGES), 2);
}

/* ---------------------------------------------------------- POSIX mq */

#define MQUEUE "/proc/sys/fs/mqueue/"
/* So much an ordinary user may have, in all queues of a channel together. */
#define MQ_MESSAGE 8192
#define MQ_MESSAGES 4

/* An administrator may have as much as he likes. */
static int mq_without_limit(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	return !setrlimit(RLIMIT_MSGQUEUE, &all);
}

static size_t mq_limit(size_t wanted)
{
	if (!mq_without_limit())
		return least(wanted, MQ_MESSAGE);
	return least(wanted, raise_system_limit(MQUEUE "msgsize_max", wanted));
}

static size_t mq_depth(size_t limit)
{
	size_t wanted = depth(limit);

	if (!mq_without_limit())
		return MQ_MESSAGES;
	return least(wanted, raise_system_limit(MQUEUE "msg_max", wanted));
}

/* Found by nobody else: the name goes at once. */
static int mq_open_pair(struct queue *queue, size_t limit)
{
	struct mq_attr attr = {
		.mq_maxmsg = mq_depth(limit),
		.mq_msgsize = limit,
	};
	char name[64];

	snprintf(name, sizeof(name), "/npheap-pass-%d", (int)getpid());
	queue->in = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600,
			    &attr);
	if (queue->in < 0)
		return -errno;
	mq_unlink(name);
	return 0;
}

static void mq_close_pair(struct queue *queue)
{
	mq_close(queue->in);
}

static int mq_put(struct queue *queue, char *bytes, size_t size)
{
	return mq_send(queue->in, bytes, size, 0) ? -errno : 0;
}

static ssize_t mq_get(struct queue *queue, char *bytes, size_t room)
{
	ssize_t n = mq_receive(queue->in, bytes, room, NULL);

	return n < 0 ? -errno : n;
}

static const struct message_kind mq_kind = {
	.limit = mq_limit,
	.open = mq_open_pair,
	.close = mq_close_pair,
	.send = mq_put,
	.receive = mq_get,
};

/* -------------------------------------------------------- System V msg */

static size_t msg_limit(size_t wanted)
{
	return least(wanted, raise_system_limit("/proc/sys/kernel/msgmax",
						wanted));
}

static int msg_open(struct queue *queue, size_t limit)
{
	/* A queue gets what the system has at its creation. */
	raise_system_limit("/proc/sys/kernel/msgmnb", depth(limit) * limit);
	queue->in = msgget(IPC_PRIVATE, 0600);
	return queue->in < 0 ? -errno : 0;
}

static void msg_close(struct queue *queue)
{
	msgctl(queue->in, IPC_RMID, NULL);
}

static int msg_put(struct queue *queue, char *bytes, size_t size)
{
	struct type *before = (struct type *)bytes - 1;

	before->type = 1;
	return msgsnd(queue->in, before, size, 0) ? -errno : 0;
}

static ssize_t msg_get(struct queue *queue, char *bytes, size_t room)
{
	struct type *before = (struct type *)bytes - 1;
	struct type kept = *before;
	ssize_t n = msgrcv(queue->in, before, room, 0, 0);

	*before = kept;
	return n < 0 ? -errno : n;
}

static const struct message_kind msg_kind = {
	.limit = msg_limit,
	.open = msg_open,
	.close = msg_close,
	.send = msg_put,
	.receive = msg_get,
};

/* ---------------------------------------------------- Unix, SOCK_SEQPACKET */

static size_t seqpacket_limit(size_t wanted)
{
	raise_system_limit("/proc/sys/net/core/wmem_max", KERNEL_BUFFER);
	return least(wanted, SOCKET_MESSAGE);
}

static int seqpacket_open(struct queue *queue, size_t limit)
{
	int size = KERNEL_BUFFER;
	int ends[2];

	(void)limit;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	queue->in = ends[0];
	queue->out = ends[1];
	return 0;
}

static void seqpacket_close(struct queue *queue)
{
	close(queue->in);
	close(queue->out);
}

static int seqpacket_put(struct queue *queue, char *bytes, size_t size)
{
	return send(queue->out, bytes, size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static ssize_t seqpacket_get(struct queue *queue, char *bytes, size_t room)
{
	ssize_t n = recv(queue->in, bytes, room, 0);

	return n < 0 ? -errno : n;
}

static const struct message_kind seqpacket_kind = {
	.limit = seqpacket_limit,
	.open = seqpacket_open,
	.close = seqpacket_close,
	.send = seqpacket_put,
	.receive = seqpacket_get,
};

/* ------------------------------------------------ the channel over any of them */

static void close_queues(struct messages *messages, unsigned int count)
{
	while (count--)
		messages->kind->close(&messages->queues[count]);
}

static int open_queues(struct messages *messages)
{
	for (unsigned int i = 0; i < messages->consumers; i++) {
		int err = messages->kind->open(&messages->queues[i],
					       messages->limit);

		if (err) {
			close_queues(messages, i);
			return err;
		}
	}
	return 0;
}

static int share_turns(struct messages *messages)
{
	struct turns *turns = mmap(NULL, sizeof(*turns), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (turns == MAP_FAILED)
		return -errno;
	for (unsigned int i = 0; i < CHANNEL_WORKERS; i++)
		gate_semaphore.init(&turns->locks[i], 1);
	messages->turns = turns;
	return 0;
}

static int set_up(struct messages *messages)
{
	int err = share_turns(messages);

	if (err)
		return err;
	messages->limit = messages->kind->limit(messages->capacity);
	err = open_queues(messages);
	if (err)
		munmap(messages->turns, sizeof(*messages->turns));
	return err;
}

static int messages_create(struct channel *channel,
			   const struct message_kind *kind)
{
	struct messages *messages = calloc(1, sizeof(*messages));
	int err;

	if (!messages)
		return -ENOMEM;
	messages->kind = kind;
	messages->consumers = channel->geometry.consumers;
	messages->capacity = channel->geometry.max_size + sizeof(struct header);
	err = set_up(messages);
	if (err)
		free(messages);
	else
		channel->state = messages;
	return err;
}

static void messages_destroy(struct channel *channel)
{
	struct messages *messages = channel->state;

	close_queues(messages, messages->consumers);
	munmap(messages->turns, sizeof(*messages->turns));
	free(messages->memory);
	free(messages);
}

/* Every consumer knows how many it gets: each item has its turn. */
static int messages_join(struct channel *channel, enum role role,
			 unsigned int worker)
{
	struct messages *messages = channel->state;
	uint64_t behind = messages->consumers - 1 - worker;

	if (role == ROLE_KEEPER)
		return 0;
	messages->worker = worker;
	if (role == ROLE_CONSUMER)
		messages->left = (channel->geometry.items + behind) /
				 messages->consumers;
	/* A queue wants room for the longest message, whatever comes. */
	messages->memory = malloc(sizeof(struct type) + messages->capacity +
				  messages->limit);
	if (!messages->memory)
		return -ENOMEM;
	messages->buffer = messages->memory + sizeof(struct type);
	return 0;
}

static void *messages_begin(struct channel *channel, size_t size)
{
	struct messages *messages = channel->state;

	(void)size;
	return messages->buffer + sizeof(struct header);
}

static int send_all(struct messages *messages, struct queue *queue,
		    size_t size)
{
	char *at = messages->buffer;
	int err = 0;

	while (size && !err) {
		size_t n = least(size, messages->limit);

		err = messages->kind->send(queue, at, n);
		at += n;
		size -= n;
	}
	return err;
}

static int send_locked(struct messages *messages, unsigned int to, size_t size)
{
	struct gate *lock = &messages->turns->locks[to];
	int err = gate_semaphore.wait(lock, NULL);

	if (err)
		return err;
	err = send_all(messages, &messages->queues[to], size);
	gate_semaphore.post(lock, NULL);
	return err;
}

static int messages_commit(struct channel *channel, uint64_t number,
			   size_t size)
{
	struct messages *messages = channel->state;
	struct header header = { .number = number, .size = size };
	uint64_t ticket = atomic_fetch_add(&messages->turns->put, 1);
	unsigned int to = ticket % messages->consumers;
	size_t all = sizeof(header) + size;

	memcpy(messages->buffer, &header, sizeof(header));
	if (all > messages->limit)
		return send_locked(messages, to, all);
	return send_all(messages, &messages->queues[to], all);
}

/* Until @wanted bytes are there, of which the buffer has @have. */
static ssize_t receive_up_to(struct messages *messages, size_t have,
			     size_t wanted)
{
	struct queue *queue = &messages->queues[messages->worker];

	while (have < wanted) {
		ssize_t n = messages->kind->receive(queue,
						    messages->buffer + have,
						    messages->limit);

		if (n <= 0)
			return n ? n : -EPIPE;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static int messages_receive(struct channel *channel, struct item *item)
{
	struct messages *messages = channel->state;
	struct header header;
	ssize_t n;

	if (!messages->left)
		return 0;
	messages->left--;
	n = receive_up_to(messages, 0, sizeof(header));
	if (n < 0)
		return (int)n;
	memcpy(&header, messages->buffer, sizeof(header));
	if (header.size > messages->capacity - sizeof(header))
		return -EBADMSG;
	n = receive_up_to(messages, (size_t)n, sizeof(header) + header.size);
	if (n < 0)
		return (int)n;
	item->number = header.number;
	item->size = header.size;
	item->bytes = messages->buffer + sizeof(header);
	return 1;
}

static int messages_release(struct channel *channel)
{
	(void)channel;
	return 0;
}

static int mq_create(struct channel *channel)
{
	return messages_create(channel, &mq_kind);
}

static int msg_create(struct channel *channel)
{
	return messages_create(channel, &msg_kind);
}

static int seqpacket_create(struct channel *channel)
{
	return messages_create(channel, &seqpacket_kind);
}

#define MESSAGE_CALLS \
	.destroy = messages_destroy, \
	.join = messages_join, \
	.begin = messages_begin, \
	.commit = messages_commit, \
	.receive = messages_receive, \
	.release = messages_release

const struct transport transport_mq = {
	.name = "mq",
	.create = mq_create,
	MESSAGE_CALLS
};

const struct transport transport_msg = {
	.name = "msg",
	.create = msg_create,
	MESSAGE_CALLS
};

const struct transport transport_seqpacket = {
	.name = "seqpacket",
	.create = seqpacket_create,
	MESSAGE_CALLS
};
