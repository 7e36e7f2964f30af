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

/*
 * A key: its object, its lock, its event.  The table shows @shown pages, and those
 * of @owes have changed the object and not shown it yet.
 */
struct state {
	uint32_t notified;
	uint32_t dead;
	uint32_t owes;
	uint16_t pages;
	uint16_t max_pages;
	uint16_t shown;
	uint16_t reserved;
	uint8_t holder;
	uint8_t marked;
	uint8_t told;
	uint8_t lost;
};

/* They are compared byte by byte. */
_Static_assert(sizeof(struct state) == 24, "a state has no holes");

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

static long do_classic(struct state *s, unsigned int process)
{
	if (s->holder == process)
		return -EDEADLK;
	/* It waits, and so it is not here that it has returned. */
	if (s->holder != NOBODY)
		return -EBUSY;
	s->holder = process;
	return 0;
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

static void change(struct state *s, unsigned int process, long pages)
{
	s->pages = pages;
	s->owes |= 1U << process;
}

static long do_create(struct state *s, unsigned int process, long pages,
		      long max_pages)
{
	if (s->pages)
		return -EEXIST;
	s->max_pages = max_pages;
	change(s, process, pages);
	return 0;
}

static long do_alloc(struct state *s, unsigned int process, long pages)
{
	do_create(s, process, pages, pages);
	return 0;
}

/*
 * Who would shrink it is refused while another maps it, which the moments of the
 * calls do not tell: one that was killed has its mapping for a while.
 */
static long do_resize(struct state *s, const struct linear_op *op)
{
	if (!s->pages)
		return -ENOENT;
	if (op->arg > s->pages && op->arg > s->max_pages)
		return -EFBIG;
	if (op->arg < s->pages && op->result == -EBUSY)
		return -EBUSY;
	change(s, op->process, op->arg);
	return 0;
}

/* Also where there is nothing it sees to it that the table shows that. */
static long do_delete(struct state *s, unsigned int process)
{
	change(s, process, 0);
	return 0;
}

static long do_show(struct state *s, unsigned int process)
{
	if (s->owes & 1U << process)
		s->shown = s->pages;
	s->owes &= ~(1U << process);
	return 0;
}

/* It may be woken for nothing, but it does not sleep through a notification. */
static long do_wait(const struct state *s, const struct linear_op *op)
{
	return op->result && s->notified == op->arg ? -ETIMEDOUT : 0;
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
	case LINEAR_CLASSIC:
		return do_classic(s, op->process);
	case LINEAR_UNLOCK:
		return do_unlock(s, op->process);
	case LINEAR_CONSISTENT:
		return do_consistent(s, op->process);
	case LINEAR_CREATE:
		return do_create(s, op->process, op->arg, LINEAR_MAX_PAGES);
	case LINEAR_ALLOC:
		return do_alloc(s, op->process, op->arg);
	case LINEAR_RESIZE:
		return do_resize(s, op);
	case LINEAR_DELETE:
		return do_delete(s, op->process);
	case LINEAR_SIZE:
		return s->shown;
	case LINEAR_GETSIZE:
		return s->pages;
	case LINEAR_NOTIFY:
		return do_notify(s);
	case LINEAR_EVENT:
		return s->notified;
	case LINEAR_WAIT:
		return do_wait(s, op);
	case LINEAR_CRASH:
		return do_crash(s, op->process);
	case LINEAR_SHOW:
		return do_show(s, op->process);
	}
	return -ENOSYS;
}

/*
 * A call that did not end has no result, and the dead make none any more; but
 * they do not die between the steps of one.
 */
static bool step(struct state *s, const struct linear_op *op)
{
	if (s->dead & 1U << op->process)
		return false;
	if (op->call == LINEAR_CRASH && s->owes & 1U << op->process)
		return false;
	return apply(s, op) == op->result || op->end == LINEAR_PENDING;
}

/* ----------------------------------------------------------------- search -- */

static int compare_places(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct place));
}

static bool may_be_next(const struct search *search, uint64_t done, size_t i,
			uint64_t end)
{
	const struct linear_op *op = &search->ops[i];

	if (done & 1ULL << i || op->begin > end)
		return false;
	return op->call != LINEAR_SHOW || done & 1ULL << op->arg;
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

		if (!may_be_next(search, done, i, end) ||
		    !step(&next, &search->ops[i]))
			continue;
		if (go_on(search, done | 1ULL << i, next))
			return true;
	}
	return false;
}

static bool changes_object(enum linear_call call)
{
	return call == LINEAR_CREATE || call == LINEAR_ALLOC ||
	       call == LINEAR_RESIZE || call == LINEAR_DELETE;
}

size_t linear_complete(struct linear_op *ops, size_t count)
{
	size_t n = count, i;

	for (i = 0; i < count; i++) {
		if (!changes_object(ops[i].call))
			continue;
		if (n == LINEAR_MAX)
			abort();
		ops[n] = ops[i];
		ops[n].call = LINEAR_SHOW;
		ops[n].arg = i;
		ops[n++].result = 0;
	}
	return n;
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
		"try", "lock", "classic", "unlock", "consistent", "create",
		"alloc", "resize", "delete", "size", "getsize", "notify",
		"event", "wait", "crash", "show",
	};
	size_t i;

	for (i = 0; i < count; i++)
		printf("# %4llu %4lld process %u: %s(%ld) = %ld\n",
		       (unsigned long long)ops[i].begin, (long long)ops[i].end,
		       ops[i].process, names[ops[i].call], ops[i].arg,
		       ops[i].result);
}
