// SPDX-License-Identifier: GPL-2.0-or-later
/* What torture_model.h promises. */
#include <limits.h>

#include "torture_model.h"

/* An object, as long as a key or a mapping has it. */
struct thing {
	bool named;
	bool sparse;
	uint32_t seals;
	unsigned int pages;
	unsigned int max_pages;
	unsigned int mappings;
	unsigned int attachments;
	/* Which in the order in which stat saw them, from 1 on; 0: it has not. */
	unsigned int number;
	/* Of a sparse one: pages that have memory for sure. */
	uint32_t touched;
	char *data;
};

/* A mapping: of @pages pages, the first of which is @first of the object. */
struct slot {
	struct thing *thing;
	unsigned int first;
	unsigned int pages;
	bool read_only;
};

enum hold { FREE, EXCLUSIVE, SHARED };

struct lock {
	enum hold held;
	bool marked;
	bool told;
	bool lost;
};

struct watched {
	uint32_t events;
	uint32_t happened;
};

#define THINGS (KEYS + 2 * SLOTS + 1)

static struct thing things[THINGS];
static struct thing *objects[KEYS];
static struct slot slots[SLOTS];
static struct thing *attached[SLOTS];
static struct lock locks[KEYS];
static long events[KEYS];
static struct watched watched[KEYS];
static unsigned int numbers;
static unsigned int max_objects, max_user_objects;

void model_new(void)
{
	int i;

	memset(things, 0, sizeof(things));
	memset(objects, 0, sizeof(objects));
	memset(slots, 0, sizeof(slots));
	memset(attached, 0, sizeof(attached));
	memset(locks, 0, sizeof(locks));
	memset(events, 0, sizeof(events));
	memset(watched, 0, sizeof(watched));
	numbers = 0;
	max_objects = UINT_MAX;
	max_user_objects = UINT_MAX;
	for (i = 0; i < THINGS; i++)
		things[i].data = malloc(MAX_PAGES * page);
}

long checksum(const void *p, size_t size)
{
	const uint64_t *word = p;
	uint64_t sum = size;

	for (; size; size -= 8)
		sum = (sum ^ *word++) * 0x9e3779b97f4a7c15;
	return sum >> 1;
}

static void tell(unsigned int key, uint32_t what)
{
	watched[key].happened |= what & watched[key].events;
}

/* ---------------------------------------------------------------- objects -- */

/* It is there as long as a key, a mapping or an attachment has it. */
static bool is_there(const struct thing *t)
{
	return t->named || t->mappings || t->attachments;
}

static struct thing *thing_new(unsigned int key, unsigned int pages,
			       unsigned int max_pages, bool sparse)
{
	struct thing *t = things;
	char *data;

	while (is_there(t))
		t++;
	data = t->data;
	*t = (struct thing){
		.named = true, .sparse = sparse, .pages = pages,
		.max_pages = max_pages, .data = data,
	};
	memset(data, 0, MAX_PAGES * page);
	objects[key] = t;
	tell(key, NPHEAP_WATCH_SIZE);
	return t;
}

static unsigned int count_things(void)
{
	const struct thing *t;
	unsigned int n = 0;

	for (t = things; t < things + THINGS; t++)
		n += is_there(t);
	return n;
}

/* Whether there may be one more: 0, or why not.  The user is counted first. */
static long room_for_one(void)
{
	unsigned int n = count_things();

	return n >= max_user_objects ? -EDQUOT : n >= max_objects ? -ENOSPC : 0;
}

static long create(unsigned int key, unsigned int pages,
		   unsigned int max_pages, bool sparse)
{
	long err = room_for_one();

	if (objects[key])
		return -EEXIST;
	if (err)
		return err;
	thing_new(key, pages, max_pages, sparse);
	return 0;
}

long model_create(const struct op *op)
{
	/* Half of them may grow, some are asked for nonsense. */
	unsigned int max = op->mode & 2 ? op_more_pages(op) : op_pages(op);

	if (op_pages(op) > max)
		return -EINVAL;
	return create(op->key, op_pages(op), max, op->mode & 1);
}

long model_create_many(const struct op *op)
{
	long done, err = 0;

	for (done = 0; done < 3 && !err; done += !err)
		err = create((op->key + done) % KEYS, op_pages(op),
			     op_pages(op), false);
	return done ? done : err;
}

long model_remove(const struct op *op)
{
	if (!objects[op->key])
		return 0;
	objects[op->key]->named = false;
	objects[op->key] = NULL;
	tell(op->key, NPHEAP_WATCH_DELETE);
	return 0;
}

long model_resize(const struct op *op)
{
	struct thing *t = objects[op->key];
	unsigned int pages = op_pages(op);

	if (!t)
		return -ENOENT;
	if (pages == t->pages)
		return 0;
	if (t->seals & (pages > t->pages ? NPHEAP_SEAL_GROW :
					   NPHEAP_SEAL_SHRINK))
		return -EPERM;
	if (pages > t->max_pages)
		return -EFBIG;
	if (pages < t->pages)
		memset(t->data + pages * page, 0, (t->pages - pages) * page);
	if (pages < t->pages)
		t->touched &= (1U << pages) - 1;
	t->pages = pages;
	tell(op->key, NPHEAP_WATCH_SIZE);
	return 0;
}

long model_punch(const struct op *op)
{
	unsigned int first = op->b % MAX_PAGES;
	struct thing *t = objects[op->key];

	if (!t)
		return -ENOENT;
	if (first + op_pages(op) > t->pages)
		return -EINVAL;
	if (t->seals & NPHEAP_SEAL_SHRINK)
		return -EPERM;
	memset(t->data + first * page, 0, op_pages(op) * page);
	t->touched &= ~(((1U << op_pages(op)) - 1) << first);
	return 0;
}

long model_seal(const struct op *op)
{
	struct thing *t = objects[op->key];

	if (!t)
		return -ENOENT;
	if (t->seals & NPHEAP_SEAL_SEAL)
		return -EPERM;
	t->seals |= 1U << op->mode % 3;
	return 0;
}

long model_size(const struct op *op)
{
	if (objects[op->key])
		return objects[op->key]->pages * page;
	/* The classic calls have no error for this. */
	return op->mode % 3 ? 0 : -ENOENT;
}

/*
 * Each object has a generation of its own; which one is not foretold, but whether
 * it was seen before, and when first.
 */
static unsigned int number_of(struct thing *t)
{
	if (!t->number)
		t->number = ++numbers;
	return t->number;
}

long model_stat(const struct op *op)
{
	struct thing *t = objects[op->key];
	uint64_t stat[9];

	if (!t)
		return -ENOENT;
	stat[0] = t->pages * page;
	stat[1] = t->max_pages * page;
	stat[2] = t->mappings + !!t->attachments;
	stat[3] = t->sparse;
	stat[4] = t->seals;
	/* Its memory is what it may be, and the caller has created it. */
	stat[5] = true;
	stat[6] = number_of(t);
	stat[7] = true;
	stat[8] = true;
	return checksum(stat, sizeof(stat));
}

/* The size of a sparse object is no memory, but what was touched is. */
static struct range memory_of(const struct thing *t)
{
	struct range all = { t->pages * page, t->pages * page };

	if (t->sparse)
		all.least = __builtin_popcount(t->touched) * page;
	return all;
}

static struct range memory_of_all(bool deleted_only)
{
	struct range sum = { 0 }, one;
	const struct thing *t;

	for (t = things; t < things + THINGS; t++) {
		if (!is_there(t) || (deleted_only && t->named))
			continue;
		one = memory_of(t);
		sum.least += one.least;
		sum.most += one.most;
	}
	return sum;
}

struct range model_resident(unsigned int key)
{
	return memory_of(objects[key]);
}

struct range model_bytes(void)
{
	return memory_of_all(false);
}

struct range model_deleted(void)
{
	return memory_of_all(true);
}

/* What is attached more than once counts once. */
static uint64_t count_mappings(void)
{
	const struct thing *t;
	uint64_t n = 0;

	for (t = things; t < things + THINGS; t++)
		n += t->mappings + !!t->attachments;
	return n;
}

static uint64_t count_held(void)
{
	uint64_t n = 0;
	int key;

	for (key = 0; key < KEYS; key++)
		n += locks[key].held != FREE;
	return n;
}

/* Objects, also those that are only mapped, and what there is of them. */
long model_usage(const struct op *op)
{
	uint64_t usage[7] = { 0 };
	const struct thing *t;

	(void)op;
	usage[0] = count_things();
	for (t = things; t < things + THINGS; t++)
		usage[1] += is_there(t) && t->sparse ? t->pages * page : 0;
	usage[2] = count_held();
	/* No key lost its record, or got another; and the rest as it may be. */
	usage[3] = 0;
	usage[4] = count_mappings();
	usage[5] = true;
	usage[6] = true;
	return checksum(usage, sizeof(usage));
}

/* One of the limits on objects is set, or both are lifted. */
long model_limit(const struct op *op)
{
	if (op->mode & 2)
		max_objects = max_user_objects = UINT_MAX;
	else if (op->mode & 1)
		max_user_objects = op_objects(op);
	else
		max_objects = op_objects(op);
	return 0;
}

/* --------------------------------------------------------------- mappings -- */

static void slot_clear(struct slot *s)
{
	if (s->thing)
		s->thing->mappings--;
	memset(s, 0, sizeof(*s));
}

static long slot_map(const struct op *op, bool sparse)
{
	struct slot *s = &slots[op->slot];
	struct thing *t = objects[op->key];
	long err;

	slot_clear(s);
	err = room_for_one();
	if (!t && err)
		return err;
	if (!t)
		t = thing_new(op->key, op_pages(op), op_pages(op), sparse);
	*s = (struct slot){ .thing = t, .pages = op_pages(op) };
	t->mappings++;
	return 0;
}

long model_alloc(const struct op *op)
{
	return slot_map(op, false);
}

long model_map(const struct op *op)
{
	return slot_map(op, op->mode & 1);
}

static long access_thing(struct thing *t, unsigned int index,
			 const struct op *op, bool write)
{
	char *p = t->data + index * page + op_in_page(op);
	size_t length = op_length(op);

	if (index >= t->pages)
		return -SIGBUS;
	t->touched |= 1U << index;
	if (length > page - op_in_page(op))
		length = page - op_in_page(op);
	if (!write)
		return checksum(p, length);
	memset(p, op_byte(op), length);
	return 0;
}

static long access_slot(const struct op *op, bool write)
{
	const struct slot *s = &slots[op->slot];

	if (!s->thing)
		return -ENXIO;
	if (write && s->read_only)
		return -SIGSEGV;
	return access_thing(s->thing, s->first + op->a % s->pages, op, write);
}

long model_read(const struct op *op)
{
	return access_slot(op, false);
}

long model_write(const struct op *op)
{
	return access_slot(op, true);
}

long model_unmap(const struct op *op)
{
	if (!slots[op->slot].thing)
		return -ENXIO;
	slot_clear(&slots[op->slot]);
	return 0;
}

/* Nothing where it would be all of the mapping. */
long model_unmap_head(const struct op *op)
{
	struct slot *s = &slots[op->slot];

	if (!s->thing || op_pages(op) >= s->pages)
		return -ENXIO;
	s->first += op_pages(op);
	s->pages -= op_pages(op);
	return 0;
}

long model_unmap_tail(const struct op *op)
{
	struct slot *s = &slots[op->slot];

	if (!s->thing || op_pages(op) >= s->pages)
		return -ENXIO;
	s->pages -= op_pages(op);
	return 0;
}

long model_protect(const struct op *op)
{
	if (!slots[op->slot].thing)
		return -ENXIO;
	slots[op->slot].read_only = op->mode & 1;
	return 0;
}

long model_move(const struct op *op)
{
	if (!slots[op->slot].thing)
		return -ENXIO;
	slots[op->slot].pages = op_pages(op);
	return 0;
}

/* ------------------------------------------------------------ attachments -- */

long model_detach(const struct op *op)
{
	struct thing *t = attached[op->slot];

	attached[op->slot] = NULL;
	if (t)
		t->attachments--;
	return 0;
}

long model_attach(const struct op *op)
{
	bool create = op->mode & 1;
	long err;

	model_detach(op);
	err = create ? room_for_one() : -ENOENT;
	if (!objects[op->key] && err)
		return err;
	if (!objects[op->key])
		thing_new(op->key, op_pages(op), op_pages(op), false);
	attached[op->slot] = objects[op->key];
	attached[op->slot]->attachments++;
	return attached[op->slot]->max_pages * page;
}

static long access_attached(const struct op *op, bool write)
{
	struct thing *t = attached[op->slot];

	return t ? access_thing(t, op->a % t->max_pages, op, write) : -ENXIO;
}

long model_read_attached(const struct op *op)
{
	return access_attached(op, false);
}

long model_write_attached(const struct op *op)
{
	return access_attached(op, true);
}

/* ------------------------------------------------------------------ locks -- */

uint32_t acquire_flags(const struct op *op)
{
	return (op->mode & 1 ? NPHEAP_TRY : 0) |
	       (op->mode & 2 ? NPHEAP_SHARED : 0);
}

/* Who is alone with a lock never waits for it. */
static long take(struct lock *l, enum hold hold, bool report)
{
	if (l->held)
		return -EDEADLK;
	if (l->lost && report)
		return -ENOTRECOVERABLE;
	l->held = hold;
	l->told = report && l->marked;
	return l->told ? -EOWNERDEAD : 0;
}

static void give_back(struct lock *l)
{
	if (l->held == EXCLUSIVE && l->told && l->marked)
		l->lost = true;
	l->held = FREE;
	l->told = false;
}

long model_lock(const struct op *op)
{
	return take(&locks[op->key], EXCLUSIVE, false);
}

long model_acquire(const struct op *op)
{
	return take(&locks[op->key], op->mode & 2 ? SHARED : EXCLUSIVE, true);
}

long model_release(const struct op *op)
{
	if (!locks[op->key].held)
		return -EPERM;
	give_back(&locks[op->key]);
	return 0;
}

static void settle(struct lock *l)
{
	l->told = false;
	l->marked = false;
	l->lost = false;
}

long model_consistent(const struct op *op)
{
	struct lock *l = &locks[op->key];

	if (!l->held)
		return -EPERM;
	if (!l->told)
		return -EINVAL;
	settle(l);
	return 0;
}

long model_break(const struct op *op)
{
	locks[op->key] = (struct lock){ .marked = true };
	tell(op->key, NPHEAP_WATCH_DEATH);
	return 0;
}

/* A child takes the lock, without asking for deaths, and is killed. */
long model_die(const struct op *op)
{
	struct lock *l = &locks[op->key];

	if (l->held)
		return -EBUSY;
	l->marked = true;
	tell(op->key, NPHEAP_WATCH_DEATH);
	return 0;
}

/* A child tries to take it, settles a death, and gives it back. */
long model_other(const struct op *op)
{
	struct lock *l = &locks[op->key];
	long rc;

	/* That nobody gets it is told also while one holds it who did not ask. */
	if (l->lost)
		return -ENOTRECOVERABLE;
	if (l->held)
		return -EBUSY;
	rc = take(l, EXCLUSIVE, true);
	if (rc == -EOWNERDEAD)
		settle(l);
	give_back(l);
	return rc;
}

/* ----------------------------------------------------------------- events -- */

long model_event(const struct op *op)
{
	return events[op->key];
}

long model_notify(const struct op *op)
{
	events[op->key]++;
	tell(op->key, NPHEAP_WATCH_NOTIFY);
	return 0;
}

/* For what was, or for what is, which does not come. */
long model_wait(const struct op *op)
{
	return op->mode & 1 ? 0 : -ETIMEDOUT;
}

long model_watch(const struct op *op)
{
	struct watched *w = &watched[op->key];
	uint32_t wanted = op->a % 16;

	if (!wanted && !w->events)
		return -ENOENT;
	w->events = wanted;
	w->happened &= wanted;
	return 0;
}

long model_watch_poll(const struct op *op)
{
	int key;

	(void)op;
	for (key = 0; key < KEYS; key++)
		if (watched[key].happened)
			return 1;
	return 0;
}

long model_watch_read(const struct op *op)
{
	long all = 0;
	int key;

	(void)op;
	for (key = 0; key < KEYS; key++) {
		all |= (long)watched[key].happened << 4 * key;
		watched[key].happened = 0;
	}
	return all ? all : -EAGAIN;
}

/* ----------------------------------------------------------------- others -- */

/* Who may only read maps and looks, and does nothing else. */
long model_read_only(const struct op *op)
{
	const struct thing *t = objects[op->key];

	switch (op->mode % 4) {
	case 0:
		return t ? 0 : -ENOENT;
	case 1:
		return t ? (long)(t->pages * page) : -ENOENT;
	default:
		return -EBADF;
	}
}

long model_nothing(const struct op *op)
{
	(void)op;
	return 0;
}
