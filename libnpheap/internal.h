/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The core below both sets of calls: one function for each thing that the
 * device does.  Each takes a descriptor and returns 0 or a negative errno.
 */
#ifndef NPHEAP_INTERNAL_H
#define NPHEAP_INTERNAL_H

#include <stdint.h>
#include <sys/types.h>

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

/* Of a handle. */
dev_t npheap_device(const struct npheap *heap);
int npheap_is_writable(const struct npheap *heap);

int npheap_uapi_attach(int fd, struct npheap_attach *args);
int npheap_uapi_detach(int fd, const struct npheap_attach *args);
/* The commands on objects; see npheap/npheap.h. */
int npheap_uapi_create(int fd, const struct npheap_create *args);
int npheap_uapi_create_many(int fd, const struct npheap_create_many *args);
int npheap_uapi_resize(int fd, const struct npheap_resize *args);
int npheap_uapi_punch(int fd, const struct npheap_punch *args);
int npheap_uapi_seal(int fd, const struct npheap_seal *args);
int npheap_uapi_stat(int fd, struct npheap_stat *args);

/* The commands on records; see npheap/npheap.h. */
int npheap_uapi_join(int fd, struct npheap_join *join);
int npheap_uapi_bind(int fd, struct npheap_bind *bind);
int npheap_uapi_lock_args(int fd, const struct npheap_lock_args *args);
int npheap_uapi_consistent(int fd, uint64_t key);
int npheap_uapi_break(int fd, uint64_t key);
int npheap_uapi_event(int fd, struct npheap_event *args);
int npheap_uapi_wait(int fd, const struct npheap_event *args);
int npheap_uapi_notify(int fd, const struct npheap_event *args);
/* Returns the watch's descriptor. */
int npheap_uapi_watch(int fd, uint32_t flags);
int npheap_uapi_watch_set(int fd, uint64_t key, uint32_t events);

/*
 * The same as the npheap_uapi_*() above, without a system call where the
 * table of records allows it.
 */
int npheap_fast_lock(int fd, uint64_t key);
int npheap_fast_lock_with(int fd, uint64_t key, uint32_t flags,
			  uint64_t timeout);
int npheap_fast_unlock(int fd, uint64_t key);
int npheap_fast_size(int fd, uint64_t key, uint64_t *size);
int npheap_fast_event(int fd, uint64_t key, uint64_t *event);
int npheap_fast_notify(int fd, uint64_t key, uint32_t count);

#endif
