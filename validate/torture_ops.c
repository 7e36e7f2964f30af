// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of operations: each on the heap here, and on the model in
 * torture_model.c.  What can be done by the library, with a reference or by
 * ioctl is done by one of them, as the operation's mode says.
 */
#include <poll.h>
#include <time.h>

#include "torture_model.h"

uint64_t first_key;

static struct npheap *heap;
static int read_only;
static int watch;
static char *mapped[SLOTS];
static size_t mapped_pages[SLOTS];
static const struct npheap_mapping *attached[SLOTS];
static struct npheap_ref refs[KEYS];
static uint64_t first_event[KEYS];
static struct leftovers before;
static long long mappings_before, held_before;
static uint64_t generations[SEQUENCE];
static unsigned int nr_generations;
static sigjmp_buf after_fault;

static uint64_t key_of(const struct op *op)
{
	return first_key + op->key;
}

static long result(long rc)
{
	return rc < 0 ? -errno : rc;
}

#define CALL(command, ...)						\
	result(ioctl(dev, command, &__VA_ARGS__))

static void on_fault(int sig)
{
	siglongjmp(after_fault, sig);
}

void operations_begin(void)
{
	struct sigaction act = { .sa_handler = on_fault };
	int key;

	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	child_check(!npheap_open(NULL, 0, &heap));
	read_only = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);
	child_check(read_only >= 0);
	child_check(!npheap_watch_open(heap, NPHEAP_WATCH_NONBLOCK, &watch));
	for (key = 0; key < KEYS; key++) {
		refs[key] = (struct npheap_ref)NPHEAP_REF_INIT(heap,
							first_key + key);
		/* From now on the key has a record, which counts. */
		child_check(!npheap_event(heap, first_key + key,
					  &first_event[key]));
	}
	before = leftovers_now();
	mappings_before = heap_stat("mappings");
	held_before = heap_stat("locks_held");
}

/* ---------------------------------------------------------------- objects -- */

static long run_create(const struct op *op)
{
	uint64_t max_size = op->mode & 2 ? op_more_pages(op) * page : 0;
	uint32_t flags = op->mode & 1 ? NPHEAP_CREATE_SPARSE : 0;

	if (op->mode & 4)
		return npheap_create(heap, key_of(op), op_pages(op) * page,
				     max_size, flags);
	return CALL(NPHEAP_IOC_CREATE, (struct npheap_create){
		.key = key_of(op), .size = op_pages(op) * page - op->mode,
		.max_size = max_size, .flags = flags });
}

static long run_create_many(const struct op *op)
{
	struct npheap_create items[3];
	int i;

	for (i = 0; i < 3; i++)
		items[i] = (struct npheap_create){
			.key = first_key + (op->key + i) % KEYS,
			.size = op_pages(op) * page,
		};
	return npheap_create_many(heap, items, 3);
}

static long run_remove(const struct op *op)
{
	struct npheap_cmd cmd = garbage_cmd(key_of(op) * page);

	switch (op->mode % 3) {
	case 0:
		return npheap_remove(heap, key_of(op));
	case 1:
		return result(npheap_delete(dev, key_of(op)));
	default:
		return result(ioctl(dev, NPHEAP_IOCTL_DELETE, &cmd));
	}
}

static long run_resize(const struct op *op)
{
	return npheap_resize(heap, key_of(op), op_pages(op) * page,
			     op->mode & 1 ? NPHEAP_RESIZE_FORCE : 0);
}

static long run_punch(const struct op *op)
{
	return npheap_punch(heap, key_of(op), op->b % MAX_PAGES * page,
			    op_pages(op) * page,
			    op->mode & 1 ? NPHEAP_RESIZE_FORCE : 0);
}

static long run_seal(const struct op *op)
{
	return npheap_seal(heap, key_of(op), 1U << op->mode % 3);
}

static long run_size(const struct op *op)
{
	uint64_t size;
	int rc;

	switch (op->mode % 3) {
	case 0:
		rc = npheap_size(heap, key_of(op), &size);
		return rc ? rc : (long)size;
	case 1:
		return npheap_getsize(dev, key_of(op));
	default:
		return result(size_by_ioctl(key_of(op)));
	}
}

/* Which of those that were seen, from 1 on. */
static unsigned int number_of(uint64_t generation)
{
	unsigned int i;

	for (i = 0; i < nr_generations; i++)
		if (generations[i] == generation)
			return i + 1;
	generations[nr_generations++] = generation;
	return nr_generations;
}

static bool is_in(struct range range, const char *what, long long value)
{
	if (value >= range.least && value <= range.most)
		return true;
	printf("# %s: %lld, not from %lld to %lld\n", what, value, range.least,
	       range.most);
	return false;
}

static long run_stat(const struct op *op)
{
	struct npheap_stat stat;
	int rc = npheap_stat(heap, key_of(op), &stat);
	uint64_t told[9];

	if (rc)
		return rc;
	told[0] = stat.size;
	told[1] = stat.max_size;
	told[2] = stat.mappings;
	told[3] = stat.flags;
	told[4] = stat.seals;
	told[5] = is_in(model_resident(op->key), "resident", stat.resident);
	told[6] = number_of(stat.generation);
	told[7] = stat.creator == getpid();
	told[8] = stat.uid == geteuid();
	return checksum(told, sizeof(told));
}

static long run_usage(const struct op *op)
{
	struct leftovers now = leftovers_now();
	uint64_t usage[7];

	(void)op;
	usage[0] = now.objects - before.objects;
	usage[1] = now.sparse - before.sparse;
	usage[2] = heap_stat("locks_held") - held_before;
	usage[3] = now.locks - before.locks;
	usage[4] = heap_stat("mappings") - mappings_before;
	usage[5] = is_in(model_bytes(), "bytes", now.bytes - before.bytes);
	usage[6] = is_in(model_deleted(), "deleted",
			 now.deleted - before.deleted);
	return checksum(usage, sizeof(usage));
}

/* Whatever comes of the sequence, clear_up() lifts them, too. */
static long run_limit(const struct op *op)
{
	if (op->mode & 2)
		return limits_restore(), 0;
	return heap_write(op->mode & 1 ? "max_user_objects" : "max_objects",
			  before.objects + op_objects(op));
}

/* --------------------------------------------------------------- mappings -- */

static long slot_clear(const struct op *op)
{
	char *p = mapped[op->slot];

	mapped[op->slot] = NULL;
	return p ? result(munmap(p, mapped_pages[op->slot] * page)) : 0;
}

static long slot_set(const struct op *op, void *p)
{
	if (p == MAP_FAILED)
		return -errno;
	mapped[op->slot] = p;
	mapped_pages[op->slot] = op_pages(op);
	return 0;
}

static long run_alloc(const struct op *op)
{
	long rc = slot_clear(op);

	return rc ? rc : slot_set(op, npheap_alloc(dev, key_of(op),
						   op_pages(op) * page));
}

static long run_map(const struct op *op)
{
	long rc = slot_clear(op);

	if (rc)
		return rc;
	return slot_set(op, mmap(NULL, op_pages(op) * page,
				 PROT_READ | PROT_WRITE,
				 MAP_SHARED | (op->mode & 1 ? MAP_NORESERVE : 0),
				 dev, key_of(op) * page));
}

static long access_bytes(char *p, const struct op *op, bool write)
{
	size_t length = op_length(op);

	if (length > page - op_in_page(op))
		length = page - op_in_page(op);
	p += op_in_page(op);
	if (!write)
		return checksum(p, length);
	memset(p, op_byte(op), length);
	return 0;
}

static long access_page(char *p, const struct op *op, bool write)
{
	int sig = sigsetjmp(after_fault, 1);

	return sig ? -sig : access_bytes(p, op, write);
}

static long access_slot(const struct op *op, bool write)
{
	if (!mapped[op->slot])
		return -ENXIO;
	return access_page(mapped[op->slot] +
			   op->a % mapped_pages[op->slot] * page, op, write);
}

static long run_read(const struct op *op)
{
	return access_slot(op, false);
}

static long run_write(const struct op *op)
{
	return access_slot(op, true);
}

static long run_unmap(const struct op *op)
{
	if (!mapped[op->slot])
		return -ENXIO;
	return slot_clear(op);
}

static long run_unmap_head(const struct op *op)
{
	size_t pages = op_pages(op);

	if (!mapped[op->slot] || pages >= mapped_pages[op->slot])
		return -ENXIO;
	if (munmap(mapped[op->slot], pages * page))
		return -errno;
	mapped[op->slot] += pages * page;
	mapped_pages[op->slot] -= pages;
	return 0;
}

static long run_unmap_tail(const struct op *op)
{
	size_t pages = op_pages(op);

	if (!mapped[op->slot] || pages >= mapped_pages[op->slot])
		return -ENXIO;
	mapped_pages[op->slot] -= pages;
	return result(munmap(mapped[op->slot] + mapped_pages[op->slot] * page,
			     pages * page));
}

static long run_protect(const struct op *op)
{
	if (!mapped[op->slot])
		return -ENXIO;
	return result(mprotect(mapped[op->slot],
			       mapped_pages[op->slot] * page,
			       op->mode & 1 ? PROT_READ :
					      PROT_READ | PROT_WRITE));
}

static long run_move(const struct op *op)
{
	void *p;

	if (!mapped[op->slot])
		return -ENXIO;
	p = mremap(mapped[op->slot], mapped_pages[op->slot] * page,
		   op_pages(op) * page, MREMAP_MAYMOVE);
	return slot_set(op, p);
}

/* ------------------------------------------------------------ attachments -- */

static long run_detach(const struct op *op)
{
	npheap_detach(heap, attached[op->slot]);
	attached[op->slot] = NULL;
	return 0;
}

static long run_attach(const struct op *op)
{
	uint64_t size = op->mode & 1 ? op_pages(op) * page : 0;
	int rc;

	run_detach(op);
	rc = npheap_attach(heap, key_of(op), size, &attached[op->slot]);
	return rc ? rc : (long)attached[op->slot]->size;
}

static long access_attached(const struct op *op, bool write)
{
	const struct npheap_mapping *m = attached[op->slot];

	if (!m)
		return -ENXIO;
	return access_page((char *)m->addr + op->a % (m->size / page) * page,
			   op, write);
}

static long run_read_attached(const struct op *op)
{
	return access_attached(op, false);
}

static long run_write_attached(const struct op *op)
{
	return access_attached(op, true);
}

/* ------------------------------------------------------------------ locks -- */

static long run_lock(const struct op *op)
{
	return result(op->mode & 1 ? npheap_lock(dev, key_of(op)) :
				     lock_by_ioctl(key_of(op)));
}

static long run_acquire(const struct op *op)
{
	uint32_t flags = acquire_flags(op);

	switch (op->mode / 4 % 3) {
	case 0:
		return npheap_acquire_with(heap, key_of(op), flags,
					   NPHEAP_FOREVER);
	case 1:
		return npheap_ref_acquire_with(&refs[op->key], flags, 0);
	default:
		return CALL(NPHEAP_IOC_LOCK, (struct npheap_lock_args){
			.key = key_of(op), .timeout = UINT64_MAX,
			.flags = flags | NPHEAP_LOCK_REPORT });
	}
}

static long run_release(const struct op *op)
{
	switch (op->mode % 4) {
	case 0:
		return npheap_release(heap, key_of(op));
	case 1:
		return npheap_ref_release(&refs[op->key]);
	case 2:
		return result(npheap_unlock(dev, key_of(op)));
	default:
		return result(unlock_by_ioctl(key_of(op)));
	}
}

static long run_consistent(const struct op *op)
{
	return npheap_consistent(heap, key_of(op));
}

static long run_break(const struct op *op)
{
	return npheap_break(heap, key_of(op));
}

/* What a child exited with, or died of unless it killed itself: negative. */
static long reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		child_check(errno == EINTR);
	if (WIFEXITED(status))
		return -WEXITSTATUS(status);
	return WTERMSIG(status) == SIGKILL ? 0 : -WTERMSIG(status);
}

static int child_dies(void *arg)
{
	const struct op *op = arg;
	struct npheap_lock_args args = {
		.key = key_of(op), .flags = NPHEAP_LOCK_TRY,
	};

	/* By ioctl, as the library's call would ask for deaths. */
	if (ioctl(dev, NPHEAP_IOC_LOCK, &args))
		return errno;
	raise(SIGKILL);
	return 0;
}

static long run_die(const struct op *op)
{
	return reap(spawn(child_dies, (void *)op));
}

static int child_takes(void *arg)
{
	const struct op *op = arg;
	int rc = npheap_acquire_with(heap, key_of(op), NPHEAP_TRY,
				     NPHEAP_FOREVER);

	if (rc == -EOWNERDEAD)
		child_check(!npheap_consistent(heap, key_of(op)));
	if (!rc || rc == -EOWNERDEAD)
		child_check(!npheap_release(heap, key_of(op)));
	return -rc;
}

static long run_other(const struct op *op)
{
	return reap(spawn(child_takes, (void *)op));
}

/* ----------------------------------------------------------------- events -- */

static long run_event(const struct op *op)
{
	uint64_t event;
	int rc = npheap_event(heap, key_of(op), &event);

	return rc ? rc : (long)(event - first_event[op->key]) / 2;
}

static long run_notify(const struct op *op)
{
	if (op->mode & 1)
		return npheap_notify(heap, key_of(op), op->a);
	return CALL(NPHEAP_IOC_NOTIFY, (struct npheap_event){
		.key = key_of(op), .count = op->a });
}

static uint64_t in_a_moment(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec + 100000;
}

static long run_wait(const struct op *op)
{
	uint64_t event;
	int rc = npheap_event(heap, key_of(op), &event);

	if (rc)
		return rc;
	if (op->mode & 1)
		event -= 2;
	return npheap_wait(heap, key_of(op), event, in_a_moment());
}

static long run_watch(const struct op *op)
{
	return npheap_watch_set(watch, key_of(op), op->a % 16);
}

static long run_watch_poll(const struct op *op)
{
	struct pollfd pfd = { .fd = watch, .events = POLLIN };

	(void)op;
	return poll(&pfd, 1, 0);
}

/* Some at a time, until there are no more. */
static long run_watch_read(const struct op *op)
{
	struct npheap_watch_key got[KEYS];
	long all = 0;
	size_t n, i;
	int rc;

	while (!(rc = npheap_watch_read(watch, got, op->mode % KEYS + 1, &n)))
		for (i = 0; i < n; i++)
			all |= (long)got[i].events
			       << 4 * (got[i].key - first_key);
	return all ? all : rc;
}

/* ----------------------------------------------------------------- others -- */

static long run_read_only(const struct op *op)
{
	struct npheap_create create = { .key = key_of(op), .size = page };
	struct npheap_stat stat = { .key = key_of(op) };
	void *p;

	switch (op->mode % 4) {
	case 0:
		p = mmap(NULL, page, PROT_READ, MAP_SHARED, read_only,
			 key_of(op) * page);
		return p == MAP_FAILED ? -errno : result(munmap(p, page));
	case 1:
		if (ioctl(read_only, NPHEAP_IOC_STAT, &stat))
			return -errno;
		return stat.size;
	case 2:
		return result(npheap_lock(read_only, key_of(op)));
	default:
		return result(ioctl(read_only, NPHEAP_IOC_CREATE, &create));
	}
}

/* What the process knows of its descriptors is to be found out again. */
static long run_reopen(const struct op *op)
{
	int fd = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);

	(void)op;
	if (fd < 0)
		return -errno;
	return result(close(fd));
}

static int child_writes(void *arg)
{
	return -run_write(arg);
}

/* A child writes, and its parent sees it. */
static long run_fork_write(const struct op *op)
{
	return reap(spawn(child_writes, (void *)op));
}

static int child_execs(void *arg)
{
	(void)arg;
	execl("/proc/self/exe", "torture", "--nothing", NULL);
	return errno;
}

static long run_exec(const struct op *op)
{
	return reap(spawn(child_execs, (void *)op));
}

/* clang-format off */
#define OPERATION(name, weight, run) { #name, weight, run_##name, run }

const struct operation operations[] = {
	OPERATION(alloc, 30, model_alloc),
	OPERATION(map, 20, model_map),
	OPERATION(create, 20, model_create),
	OPERATION(create_many, 5, model_create_many),
	OPERATION(remove, 25, model_remove),
	OPERATION(resize, 40, model_resize),
	OPERATION(punch, 30, model_punch),
	OPERATION(seal, 3, model_seal),
	OPERATION(size, 30, model_size),
	OPERATION(stat, 30, model_stat),
	OPERATION(usage, 5, model_usage),
	OPERATION(limit, 6, model_limit),
	OPERATION(read, 90, model_read),
	OPERATION(write, 110, model_write),
	OPERATION(unmap, 10, model_unmap),
	OPERATION(unmap_head, 10, model_unmap_head),
	OPERATION(unmap_tail, 10, model_unmap_tail),
	OPERATION(protect, 15, model_protect),
	OPERATION(move, 20, model_move),
	OPERATION(attach, 25, model_attach),
	OPERATION(detach, 10, model_detach),
	OPERATION(read_attached, 50, model_read_attached),
	OPERATION(write_attached, 50, model_write_attached),
	OPERATION(lock, 20, model_lock),
	OPERATION(acquire, 60, model_acquire),
	OPERATION(release, 70, model_release),
	OPERATION(consistent, 25, model_consistent),
	OPERATION(break, 4, model_break),
	OPERATION(die, 4, model_die),
	OPERATION(other, 4, model_other),
	OPERATION(event, 20, model_event),
	OPERATION(notify, 30, model_notify),
	OPERATION(wait, 10, model_wait),
	OPERATION(watch, 20, model_watch),
	OPERATION(watch_poll, 10, model_watch_poll),
	OPERATION(watch_read, 15, model_watch_read),
	OPERATION(read_only, 10, model_read_only),
	OPERATION(reopen, 3, model_nothing),
	OPERATION(fork_write, 3, model_write),
	OPERATION(exec, 1, model_nothing),
	{ 0 },
};
/* clang-format on */
