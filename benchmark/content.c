// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Content comes in chunks, each a word of its own and behind it a piece of a
 * block of random bytes, which stays in the processor's cache.  So memcpy and
 * memcmp do the work, and what is compared is the passing and not the making.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "content.h"
#include "relay.h"

#define CHUNK 8192
#define STARTS (CHUNK / 8)

/* splitmix64's, and odd numbers that keep neighbours apart. */
#define STEP 0x9e3779b97f4a7c15ULL
#define BY_NUMBER 387
#define BY_CHUNK 101

static uint64_t block[2 * CHUNK / 8];

static uint64_t random_word(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* Each process has its own, before the first item. */
static void make_block(void)
{
	static bool made;

	if (made)
		return;
	for (size_t i = 0; i < sizeof(block) / sizeof(block[0]); i++)
		block[i] = random_word((i + 1) * STEP);
	made = true;
}

static uint64_t first_word(uint64_t number, size_t chunk)
{
	return random_word(number * STEP + chunk);
}

/* Behind the first word. */
static const void *source(uint64_t number, size_t chunk)
{
	return block + (number * BY_NUMBER + chunk * BY_CHUNK) % STARTS;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

void content_fill(uint64_t number, void *bytes, size_t size)
{
	char *at = bytes;

	make_block();
	for (size_t chunk = 0; size; chunk++) {
		uint64_t word = first_word(number, chunk);
		size_t n = least(size, CHUNK);
		size_t own = least(n, sizeof(word));

		memcpy(at, &word, own);
		memcpy(at + own, source(number, chunk), n - own);
		at += n;
		size -= n;
	}
}

int content_check(uint64_t number, const void *bytes, size_t size)
{
	const char *at = bytes;

	make_block();
	for (size_t chunk = 0; size; chunk++) {
		uint64_t word = first_word(number, chunk);
		size_t n = least(size, CHUNK);
		size_t own = least(n, sizeof(word));

		if (memcmp(at, &word, own) ||
		    memcmp(at + own, source(number, chunk), n - own))
			return -EBADMSG;
		at += n;
		size -= n;
	}
	return 0;
}

static size_t item_size(const struct job *job, uint64_t number)
{
	(void)number;
	return job->geometry.max_size;
}

static int fill_item(const struct job *job, uint64_t number, void *bytes,
		     size_t size)
{
	(void)job;
	content_fill(number, bytes, size);
	return 0;
}

static int check_item(const struct job *job, uint64_t number,
		      const void *bytes, size_t size)
{
	(void)job;
	return content_check(number, bytes, size);
}

struct job content_job(struct geometry geometry, uint64_t warm_up)
{
	return (struct job) {
		.geometry = geometry,
		.warm_up = warm_up,
		.size = item_size,
		.fill = fill_item,
		.check = check_item,
	};
}
