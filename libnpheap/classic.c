// SPDX-License-Identifier: LGPL-2.1-or-later
/* The classic calls: a descriptor of the caller's, and errno. */
#include <errno.h>
#include <limits.h>
#include <sys/mman.h>

#include "internal.h"

static int result(int rc)
{
	if (!rc)
		return 0;
	errno = -rc;
	return -1;
}

NPHEAP_API void *npheap_alloc(int devfd, __u64 offset, __u64 size)
{
	void *addr;
	int rc;

	rc = npheap_uapi_map(devfd, offset, size, PROT_READ | PROT_WRITE,
			     &addr);
	return result(rc) ? MAP_FAILED : addr;
}

NPHEAP_API int npheap_lock(int devfd, __u64 offset)
{
	return result(npheap_fast_lock(devfd, offset));
}

NPHEAP_API int npheap_unlock(int devfd, __u64 offset)
{
	return result(npheap_fast_unlock(devfd, offset));
}

NPHEAP_API int npheap_delete(int devfd, __u64 offset)
{
	return result(npheap_uapi_delete(devfd, offset));
}

NPHEAP_API long npheap_getsize(int devfd, __u64 offset)
{
	uint64_t size;
	int rc;

	rc = npheap_fast_size(devfd, offset, &size);
	/* Only where long has 32 bits. */
	if (!rc && size > LONG_MAX)
		rc = -EOVERFLOW;
	return result(rc) ? -1 : (long)size;
}
