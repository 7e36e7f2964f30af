// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Channels over byte streams: pipes, written to and spliced, and Unix sockets.
 *
 * Each pair of producer and consumer has a stream of its own, so writers need
 * no lock among themselves.  A producer serves the consumers in turn; a
 * consumer polls its producers.  An item is a header and its bytes, written
 * with one call; a read takes whatever is there, many small items at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channel.h"

#define KERNEL_BUFFER (1 << 20)		/* what an ordinary user may ask for */
#define PAGE 4096			/* of a pipe, at least */
#define READ_BUFFER ((size_t)64 << 10)	/* at least; more for large items */

struct header {
	uint64_t number;
	uint64_t size;
};

/* A consumer's end of one stream; the bytes from start to end are unread. */
struct inlet {
	int fd;
	char *buffer;
	size_t start;
	size_t end;
};

/**
 * struct stream_kind - one kind of stream
 * @connect: two ends, to read and to write
 * @put: write some of @size bytes; how many, or -1 and errno
 * @keeps: what was put is read from where it lies: it may change only when the
 *	consumer has read it
 */
struct stream_kind {
	int (*connect)(int ends[2]);
	ssize_t (*put)(int fd, const char *bytes, size_t size);
	bool keeps;
};

struct stream {
	const struct stream_kind *kind;
	unsigned int producers;
	unsigned int consumers;
	size_t capacity;
	char *buffers;			/* of this size, one an inlet */
	char *kept;			/* what the kind keeps, by strides */
	size_t stride;
	unsigned int strides;

	/* a producer's */
	unsigned int worker;
	unsigned int turn;
	char *out;			/* what it fills */

	/* a consumer's */
	struct inlet inlets[CHANNEL_WORKERS];
	struct inlet *current;
	unsigned int open;
	size_t received;		/* the length of the current item */

	int ends[][2];			/* [producer * consumers + consumer] */
};

static unsigned int pairs(const struct stream *stream)
{
	return stream->producers * stream->consumers;
}

static void close_end(int *end)
{
	if (*end >= 0)
		close(*end);
	*end = -1;
}

static void stream_destroy(struct channel *channel)
{
	struct stream *stream = channel->state;

	for (unsigned int i = 0; i < pairs(stream); i++) {
		close_end(&stream->ends[i][0]);
		close_end(&stream->ends[i][1]);
	}
	free(stream->buffers);
	free(stream->kept);
	free(stream);
}

static struct stream *stream_alloc(const struct geometry *geometry)
{
	size_t ends = geometry->producers * geometry->consumers;
	struct stream *stream;

	stream = calloc(1, sizeof(*stream) + ends * sizeof(stream->ends[0]));
	if (!stream)
		return NULL;
	stream->producers = geometry->producers;
	stream->consumers = geometry->consumers;
	stream->capacity = geometry->max_size + sizeof(struct header);
	if (stream->capacity < READ_BUFFER)
		stream->capacity = READ_BUFFER;
	memset(stream->ends, 0xff, ends * sizeof(stream->ends[0]));
	return stream;
}

/*
 * A pipe holds so many pages, or parts of pages.  When as many were put behind
 * an item, it was read, and what it lies in may be filled again.
 */
static int alloc_kept(struct stream *stream, size_t max_size)
{
	size_t pages = KERNEL_BUFFER / PAGE;
	size_t size = sizeof(struct header) + max_size;
	size_t item_pages = size / PAGE ? size / PAGE : 1;

	stream->stride = (size + 63) & ~(size_t)63;
	stream->strides = (pages / item_pages + 2) * stream->consumers;
	stream->kept = calloc(stream->strides, stream->stride);
	return stream->kept ? 0 : -ENOMEM;
}

static int stream_create(struct channel *channel,
			 const struct stream_kind *kind)
{
	struct stream *stream = stream_alloc(&channel->geometry);
	int err = 0;

	if (!stream)
		return -ENOMEM;
	channel->state = stream;
	stream->kind = kind;
	/* Each worker gets its own copy; nothing is touched before the fork. */
	stream->buffers = calloc(stream->producers, stream->capacity);
	if (!stream->buffers)
		err = -ENOMEM;
	else if (kind->keeps)
		err = alloc_kept(stream, channel->geometry.max_size);
	for (unsigned int i = 0; i < pairs(stream) && !err; i++)
		err = kind->connect(stream->ends[i]);
	if (err)
		stream_destroy(channel);
	return err;
}

static int pipe_pair(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	/* Refused where the user has many pipes; the default then remains. */
	fcntl(ends[1], F_SETPIPE_SZ, KERNEL_BUFFER);
	return 0;
}

static int unix_pair(int ends[2])
{
	int size = KERNEL_BUFFER;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	/* Cut to what net.core.wmem_max allows. */
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static ssize_t put_by_write(int fd, const char *bytes, size_t size)
{
	return write(fd, bytes, size);
}

/* Not as a gift: that would be for a reader that moves pages into a file. */
static ssize_t put_by_vmsplice(int fd, const char *bytes, size_t size)
{
	struct iovec iovec = { .iov_base = (char *)bytes, .iov_len = size };

	return vmsplice(fd, &iovec, 1, 0);
}

static const struct stream_kind pipe_kind = {
	.connect = pipe_pair,
	.put = put_by_write,
};

static const struct stream_kind vmsplice_kind = {
	.connect = pipe_pair,
	.put = put_by_vmsplice,
	.keeps = true,
};

static const struct stream_kind unix_kind = {
	.connect = unix_pair,
	.put = put_by_write,
};

static int pipe_create(struct channel *channel)
{
	return stream_create(channel, &pipe_kind);
}

static int vmsplice_create(struct channel *channel)
{
	return stream_create(channel, &vmsplice_kind);
}

static int unix_create(struct channel *channel)
{
	return stream_create(channel, &unix_kind);
}

/* The end of file needs every other copy of the writing end to be closed. */
static void close_others(struct stream *stream, enum role role,
			 unsigned int worker)
{
	unsigned int consumers = stream->consumers;

	for (unsigned int i = 0; i < pairs(stream); i++) {
		if (role != ROLE_CONSUMER || i % consumers != worker)
			close_end(&stream->ends[i][0]);
		if (role != ROLE_PRODUCER || i / consumers != worker)
			close_end(&stream->ends[i][1]);
	}
}

static void open_inlets(struct stream *stream, unsigned int worker)
{
	for (unsigned int i = 0; i < stream->producers; i++) {
		struct inlet *inlet = &stream->inlets[i];

		inlet->fd = stream->ends[i * stream->consumers + worker][0];
		inlet->buffer = stream->buffers + i * stream->capacity;
	}
	stream->open = stream->producers;
	stream->current = stream->inlets;
}

static int stream_join(struct channel *channel, enum role role,
		       unsigned int worker)
{
	struct stream *stream = channel->state;

	close_others(stream, role, worker);
	stream->worker = worker;
	stream->turn = worker;
	stream->out = stream->buffers;
	if (role == ROLE_CONSUMER)
		open_inlets(stream, worker);
	return 0;
}

static void *stream_begin(struct channel *channel, size_t size)
{
	struct stream *stream = channel->state;

	(void)size;
	if (stream->kept)
		stream->out = stream->kept + stream->stride *
			      (stream->turn % stream->strides);
	return stream->out + sizeof(struct header);
}

static int put_all(const struct stream *stream, int fd, const char *bytes,
		   size_t size)
{
	while (size) {
		ssize_t n = stream->kind->put(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

static int stream_commit(struct channel *channel, uint64_t number, size_t size)
{
	struct stream *stream = channel->state;
	unsigned int to = stream->turn++ % stream->consumers;
	unsigned int pair = stream->worker * stream->consumers + to;
	struct header header = { .number = number, .size = size };

	memcpy(stream->out, &header, sizeof(header));
	return put_all(stream, stream->ends[pair][1], stream->out,
		       sizeof(header) + size);
}

static bool inlet_item(const struct inlet *inlet, struct item *item)
{
	size_t have = inlet->end - inlet->start;
	struct header header;

	if (have < sizeof(header))
		return false;
	memcpy(&header, inlet->buffer + inlet->start, sizeof(header));
	if (have - sizeof(header) < header.size)
		return false;
	item->number = header.number;
	item->size = header.size;
	item->bytes = inlet->buffer + inlet->start + sizeof(header);
	return true;
}

/* Waits for a stream that has something to read, or has come to its end. */
static struct inlet *readable(struct stream *stream)
{
	unsigned int count = stream->producers;
	struct pollfd polled[CHANNEL_WORKERS];

	if (count == 1)
		return stream->inlets;
	for (unsigned int i = 0; i < count; i++) {
		polled[i].fd = stream->inlets[i].fd;
		polled[i].events = POLLIN;
	}
	while (poll(polled, count, -1) < 0) {
		if (errno != EINTR)
			return NULL;
	}
	/* Round robin: begin behind the one that was read last. */
	unsigned int i = (unsigned int)(stream->current - stream->inlets);

	do {
		i = (i + 1) % count;
	} while (polled[i].fd < 0 || !polled[i].revents);
	return &stream->inlets[i];
}

static int inlet_fill(struct stream *stream, struct inlet *inlet)
{
	size_t left = inlet->end - inlet->start;
	ssize_t n;

	memmove(inlet->buffer, inlet->buffer + inlet->start, left);
	inlet->start = 0;
	inlet->end = left;
	n = read(inlet->fd, inlet->buffer + left, stream->capacity - left);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0) {
		inlet->fd = -1;
		stream->open--;
		return left ? -EPIPE : 0;
	}
	inlet->end += (size_t)n;
	return 0;
}

static int stream_receive(struct channel *channel, struct item *item)
{
	struct stream *stream = channel->state;
	int err;

	while (!inlet_item(stream->current, item)) {
		if (!stream->open)
			return 0;
		stream->current = readable(stream);
		if (!stream->current)
			return -errno;
		err = inlet_fill(stream, stream->current);
		if (err)
			return err;
	}
	stream->received = sizeof(struct header) + item->size;
	return 1;
}

static int stream_release(struct channel *channel)
{
	struct stream *stream = channel->state;

	stream->current->start += stream->received;
	return 0;
}

#define STREAM_CALLS \
	.destroy = stream_destroy, \
	.join = stream_join, \
	.begin = stream_begin, \
	.commit = stream_commit, \
	.receive = stream_receive, \
	.release = stream_release

const struct transport transport_pipe = {
	.name = "pipe",
	.create = pipe_create,
	STREAM_CALLS
};

const struct transport transport_vmsplice = {
	.name = "vmsplice",
	.create = vmsplice_create,
	STREAM_CALLS
};

const struct transport transport_unix = {
	.name = "unix",
	.create = unix_create,
	STREAM_CALLS
};
