// SPDX-License-Identifier: GPL-2.0-or-later
/* What torture_model.h promises. */
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

static struct thing *thing_new(unsigned int key, unsigned int pages,
			       unsigned int max_pages, bool sparse)
{
	struct thing *t = things;
	char *data;

	while (t->named || t->mappings || t->attachments)
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

static long create(unsigned int key, unsigned int pages,
		   unsigned int max_pages, bool sparse)
{
	if (objects[key])
		return -EEXIST;
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

long model_stat(const struct op *op)
{
	const struct thing *t = objects[op->key];
	uint64_t stat[6];

	if (!t)
		return -ENOENT;
	stat[0] = t->pages * page;
	stat[1] = t->max_pages * page;
	stat[2] = t->mappings + !!t->attachments;
	stat[3] = t->sparse;
	stat[4] = t->seals;
	/* What a sparse object has depends on how it is touched. */
	stat[5] = t->sparse ? 0 : t->pages * page;
	return checksum(stat, sizeof(stat));
}

/* Objects, also those that are only mapped, and sizes of the sparse ones. */
long model_usage(const struct op *op)
{
	uint64_t usage[2] = { 0 };
	const struct thing *t;

	(void)op;
	for (t = things; t < things + THINGS; t++) {
		if (!t->named && !t->mappings && !t->attachments)
			continue;
		usage[0]++;
		usage[1] += t->sparse ? t->pages * page : 0;
	}
	return checksum(usage, sizeof(usage));
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

	slot_clear(s);
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

static long access_thing(const struct thing *t, unsigned int index,
			 const struct op *op, bool write)
{
	char *p = t->data + index * page + op_in_page(op);
	size_t length = op_length(op);

	if (index >= t->pages)
		return -SIGBUS;
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

	model_detach(op);
	if (!objects[op->key] && !create)
		return -ENOENT;
	if (!objects[op->key])
		thing_new(op->key, op_pages(op), op_pages(op), false);
	attached[op->slot] = objects[op->key];
	attached[op->slot]->attachments++;
	return attached[op->slot]->max_pages * page;
}

static long access_attached(const struct op *op, bool write)
{
	const struct thing *t = attached[op->slot];

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
