/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What items are filled with: bytes that tell the items apart, and one place in
 * an item from another, and that take little time to make and to compare.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include <stddef.h>
#include <stdint.h>

struct geometry;
struct job;

/** content_fill() - write @size bytes of what belongs to @number */
void content_fill(uint64_t number, void *bytes, size_t size);

/** content_check() - compare each byte; 0, or -EBADMSG where one is wrong */
int content_check(uint64_t number, const void *bytes, size_t size);

/** content_job() - items of that, all of the largest size; see relay.h */
struct job content_job(struct geometry geometry, uint64_t warm_up);

#endif
