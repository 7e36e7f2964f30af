/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The core below both sets of calls: one function for each thing that the
 * device does.  Each takes a descriptor and returns 0 or a negative errno.
 */
#ifndef NPHEAP_INTERNAL_H
#define NPHEAP_INTERNAL_H

#include <stdint.h>

#include <npheap.h>

/* The library is built with hidden visibility; this is what it exports. */
#define NPHEAP_API __attribute__((visibility("default")))

/* @prot is that of mmap(2); *@addr is written on success only. */
int npheap_uapi_map(int fd, uint64_t key, uint64_t size, int prot, void **addr);
int npheap_uapi_unmap(void *addr, size_t size);

/* Stores 0 into *@size where there is no object. */
int npheap_uapi_size(int fd, uint64_t key, uint64_t *size);

int npheap_uapi_delete(int fd, uint64_t key);
int npheap_uapi_lock(int fd, uint64_t key);
int npheap_uapi_unlock(int fd, uint64_t key);

#endif
