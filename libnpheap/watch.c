// SPDX-License-Identifier: LGPL-2.1-or-later
/* Watches: descriptors that tell what happened to a set of keys. */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "internal.h"

NPHEAP_API int npheap_watch_open(struct npheap *heap, unsigned int flags,
				 int *fd)
{
	int rc = npheap_uapi_watch(npheap_fd(heap), flags);

	if (rc < 0)
		return rc;
	*fd = rc;
	return 0;
}

NPHEAP_API int npheap_watch_set(int fd, uint64_t key, unsigned int events)
{
	return npheap_uapi_watch_set(fd, key, events);
}

NPHEAP_API int npheap_watch_read(int fd, struct npheap_watch_key *keys,
				 size_t count, size_t *got)
{
	int saved = errno;
	ssize_t size;
	int rc;

	/* More than this does not fit into the result of read(). */
	if (count > SSIZE_MAX / sizeof(*keys))
		count = SSIZE_MAX / sizeof(*keys);
	size = read(fd, keys, count * sizeof(*keys));
	if (size < 0) {
		rc = -errno;
		errno = saved;
		return rc;
	}
	*got = size / sizeof(*keys);
	return 0;
}
