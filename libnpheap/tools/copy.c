// SPDX-License-Identifier: GPL-2.0-or-later
/* What put and get share: how far they are, and the lock. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "copy.h"

void progress_begin(struct progress *progress, uint64_t total)
{
	*progress = (struct progress){ .total = total };
	if (isatty(STDERR_FILENO))
		progress->next = clock_ns(CLOCK_MONOTONIC) + 500000000;
}

void progress_add(struct progress *progress, uint64_t bytes)
{
	static const char bar[] = "########################################";
	char done[SIZE_TEXT], total[SIZE_TEXT];
	uint64_t now;
	int width;

	progress->done += bytes;
	if (!progress->next)
		return;
	now = clock_ns(CLOCK_MONOTONIC);
	if (now < progress->next)
		return;
	progress->next = now + 100000000;
	progress->drawn = true;
	width = (double)progress->done / progress->total * 40;
	fprintf(stderr, "\r[%-40.*s] %3d%% %s of %s ", width, bar,
		(int)((double)progress->done / progress->total * 100),
		human_size(progress->done, done),
		human_size(progress->total, total));
}

void progress_end(const struct progress *progress)
{
	if (progress->drawn)
		fprintf(stderr, "\r\033[K");
}

int write_all(int fd, const char *data, size_t size)
{
	ssize_t n;

	for (; size; data += n, size -= n) {
		n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -1;
	}
	return 0;
}

bool lock_option(struct key_lock *lock, int option, const char *argument)
{
	if (option == 'n')
		lock->flags |= NPHEAP_TRY;
	else if (option == 'w')
		lock->deadline = parse_deadline(argument);
	else
		return false;
	return true;
}
