// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What linear.h promises: the search of Wing and Gong ("Testing and verifying
 * concurrent objects", 1993), with the memory of where it has been that Lowe
 * added.
 *
 * The next call of the order is one that began before any of those that are
 * left had ended.  Where none of these has the result that it should have, the
 * search goes back.  Where it has been before, with the same calls left and the
 * same state, it does not go again.
 */
#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linear.h"

#define NOBODY 255

/* So many places are remembered; a search that sees more takes longer. */
#define PLACES 65536

/* A key: its object, its lock, its event. */
struct state {
	uint32_t pages;
	uint32_t notified;
	uint32_t dead;
	uint8_t holder;
	uint8_t marked;
	uint8_t told;
	uint8_t lost;
};

struct place {
	uint64_t done;
	struct state state;
};

struct search {
	const struct linear_op *ops;
	size_t count;
	uint64_t completed;
	struct place *places;
	size_t known;
	void *visited;
};

/* ------------------------------------------- what a call does, one by one -- */

static long do_take(struct state *s, unsigned int process)
{
	if (s->holder == process)
		return -EDEADLK;
	if (s->lost)
		return -ENOTRECOVERABLE;
	if (s->holder != NOBODY)
		return -EBUSY;
	s->holder = process;
	s->told = s->marked;
	return s->told ? -EOWNERDEAD : 0;
}

static long do_lock(struct state *s, unsigned int process)
{
	long rc = do_take(s, process);

	return rc == -EBUSY ? -ETIMEDOUT : rc;
}

static long do_unlock(struct state *s, unsigned int process)
{
	if (s->holder != process)
		return -EPERM;
	s->lost = s->lost || (s->told && s->marked);
	s->holder = NOBODY;
	s->told = 0;
	return 0;
}

static long do_consistent(struct state *s, unsigned int process)
{
	if (s->holder != process)
		return -EPERM;
	if (!s->told)
		return -EINVAL;
	s->told = s->marked = s->lost = 0;
	return 0;
}

static long do_create(struct state *s, long pages)
{
	if (s->pages)
		return -EEXIST;
	s->pages = pages;
	return 0;
}

static long do_resize(struct state *s, long pages)
{
	if (!s->pages)
		return -ENOENT;
	s->pages = pages;
	return 0;
}

static long do_delete(struct state *s)
{
	s->pages = 0;
	return 0;
}

static long do_notify(struct state *s)
{
	s->notified++;
	return 0;
}

static long do_crash(struct state *s, unsigned int process)
{
	s->dead |= 1U << process;
	if (s->holder != process)
		return 0;
	s->holder = NOBODY;
	s->marked = 1;
	s->told = 0;
	return 0;
}

static long apply(struct state *s, const struct linear_op *op)
{
	switch (op->call) {
	case LINEAR_TRY:
		return do_take(s, op->process);
	case LINEAR_LOCK:
		return do_lock(s, op->process);
	case LINEAR_UNLOCK:
		return do_unlock(s, op->process);
	case LINEAR_CONSISTENT:
		return do_consistent(s, op->process);
	case LINEAR_CREATE:
		return do_create(s, op->arg);
	case LINEAR_RESIZE:
		return do_resize(s, op->arg);
	case LINEAR_DELETE:
		return do_delete(s);
	case LINEAR_SIZE:
		return s->pages;
	case LINEAR_NOTIFY:
		return do_notify(s);
	case LINEAR_EVENT:
		return s->notified;
	case LINEAR_CRASH:
		return do_crash(s, op->process);
	}
	return -ENOSYS;
}

/* A call that did not end has no result, and the dead make none any more. */
static bool step(struct state *s, const struct linear_op *op)
{
	if (s->dead & 1U << op->process)
		return false;
	return apply(s, op) == op->result || op->end == LINEAR_PENDING;
}

/* ----------------------------------------------------------------- search -- */

static int compare_places(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct place));
}

/* Whether the search was there before; it was from now on. */
static bool visit(struct search *search, uint64_t done, struct state state)
{
	struct place *place = &search->places[search->known], **found;

	if (search->known == PLACES)
		return false;
	*place = (struct place){ done, state };
	found = tsearch(place, &search->visited, compare_places);
	if (!found)
		abort();
	if (*found != place)
		return true;
	search->known++;
	return false;
}

static void leave_place(void *place)
{
	(void)place;
}

static uint64_t first_end(const struct search *search, uint64_t done)
{
	uint64_t end = LINEAR_PENDING;
	size_t i;

	for (i = 0; i < search->count; i++)
		if (!(done & 1ULL << i) && search->ops[i].end < end)
			end = search->ops[i].end;
	return end;
}

static bool go_on(struct search *search, uint64_t done, struct state state)
{
	uint64_t end = first_end(search, done);
	size_t i;

	if ((done & search->completed) == search->completed)
		return true;
	if (visit(search, done, state))
		return false;
	for (i = 0; i < search->count; i++) {
		struct state next = state;

		if (done & 1ULL << i || search->ops[i].begin > end ||
		    !step(&next, &search->ops[i]))
			continue;
		if (go_on(search, done | 1ULL << i, next))
			return true;
	}
	return false;
}

int linear_check(const struct linear_op *ops, size_t count)
{
	struct search search = { .ops = ops, .count = count };
	struct state state = { .holder = NOBODY };
	bool found;
	size_t i;

	search.places = calloc(PLACES, sizeof(*search.places));
	if (!search.places)
		abort();
	for (i = 0; i < count; i++)
		if (ops[i].end != LINEAR_PENDING)
			search.completed |= 1ULL << i;
	found = go_on(&search, 0, state);
	tdestroy(search.visited, leave_place);
	free(search.places);
	return found;
}

void linear_print(const struct linear_op *ops, size_t count)
{
	static const char *const names[] = {
		"try", "lock", "unlock", "consistent", "create", "resize",
		"delete", "size", "notify", "event", "crash",
	};
	size_t i;

	for (i = 0; i < count; i++)
		printf("# %4llu %4lld process %u: %s(%ld) = %ld\n",
		       (unsigned long long)ops[i].begin, (long long)ops[i].end,
		       ops[i].process, names[ops[i].call], ops[i].arg,
		       ops[i].result);
}
