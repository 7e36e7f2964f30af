// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The calls of fuzz programs on the heap: every ioctl, reads of watches and of
 * lists, limits, and what a process does to the shared table, as it should and
 * as it should not.
 */
#include <poll.h>
#include <time.h>

#include "fuzz.h"

/* --------------------------------------------------------------- helpers -- */

/* An ioctl whose argument, and its results, are where @pointer says. */
static long command(struct fuzz_thread *t, uint64_t fd, unsigned long cmd,
		    void *content, size_t size, uint64_t pointer)
{
	void *p = world_place(t, pointer, content, size);
	long rc = ioctl(world_fd(fd), cmd, p);

	if (rc < 0)
		return -errno;
	if (p != content)
		memcpy(content, p, size);
	return rc;
}

#define COMMAND(fd, cmd, content, pointer)				\
	command(t, fd, cmd, &(content), sizeof(content), pointer)

/* 0: at once; small: so many microseconds from now. */
static uint64_t deadline(uint64_t number)
{
	struct timespec now;

	if (!number || number > 1000000)
		return number;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec + number * 1000;
}

/* ------------------------------------------------------ classic commands -- */

static long classic(struct fuzz_thread *t, const uint64_t *arg,
		    unsigned long cmd)
{
	struct npheap_cmd args = garbage_cmd(world_offset(arg[1]));
	long rc = COMMAND(arg[0], cmd, args, arg[2]);

	if (!rc && cmd == NPHEAP_IOCTL_GETSIZE)
		fuzz_tell(t, args.size);
	return rc;
}

static long run_lock(struct fuzz_thread *t, const uint64_t *arg)
{
	return classic(t, arg, NPHEAP_IOCTL_LOCK);
}

static long run_unlock(struct fuzz_thread *t, const uint64_t *arg)
{
	return classic(t, arg, NPHEAP_IOCTL_UNLOCK);
}

static long run_delete(struct fuzz_thread *t, const uint64_t *arg)
{
	return classic(t, arg, NPHEAP_IOCTL_DELETE);
}

static long run_getsize(struct fuzz_thread *t, const uint64_t *arg)
{
	return classic(t, arg, NPHEAP_IOCTL_GETSIZE);
}

/* ----------------------------------------------------------------- locks -- */

static long run_join(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_join join = { 0 };
	long rc = COMMAND(arg[0], NPHEAP_IOC_JOIN, join, arg[1]);

	if (rc < 0)
		return rc;
	t->join = join;
	fuzz_tell(t, join.table_addr);
	fuzz_tell(t, join.epoch_addr);
	return rc;
}

static struct npheap_bind *binding(struct fuzz_thread *t, uint64_t key)
{
	return &t->bind[key % FUZZ_HOT_KEYS];
}

static long run_bind(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_bind bind = { .key = world_key(arg[1]) };
	long rc = COMMAND(arg[0], NPHEAP_IOC_BIND, bind, arg[2]);

	if (!rc)
		*binding(t, bind.key) = bind;
	return rc;
}

static long run_acquire(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_lock_args args = {
		.key = world_key(arg[1]),
		.flags = arg[2],
		.timeout = deadline(arg[3]),
		.reserved = arg[4],
	};

	return COMMAND(arg[0], NPHEAP_IOC_LOCK, args, arg[5]);
}

static long run_consistent(struct fuzz_thread *t, const uint64_t *arg)
{
	uint64_t key = world_key(arg[1]);

	return COMMAND(arg[0], NPHEAP_IOC_CONSISTENT, key, arg[2]);
}

static long run_break(struct fuzz_thread *t, const uint64_t *arg)
{
	uint64_t key = world_key(arg[1]);

	return COMMAND(arg[0], NPHEAP_IOC_BREAK, key, arg[2]);
}

/* ------------------------------------------------------ the shared table -- */

static struct npheap_record *record(const struct fuzz_thread *t, uint64_t slot)
{
	if (!t->join.table_addr || slot >= t->join.slots)
		return NULL;
	return (struct npheap_record *)t->join.table_addr + slot;
}

static long swap_word(struct npheap_record *r, __u64 from, __u64 to)
{
	return __atomic_compare_exchange_n(&r->word, &from, to, 0,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ?
	       0 : -EBUSY;
}

static long swap_event(struct npheap_record *r)
{
	__u64 event = __atomic_load_n(&r->event, __ATOMIC_SEQ_CST);

	if (event & 1)
		return -EBUSY;
	return __atomic_compare_exchange_n(&r->event, &event, event + 2, 0,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ?
	       0 : -EBUSY;
}

/* What the library does without a system call. */
static long run_swap(struct fuzz_thread *t, const uint64_t *arg)
{
	uint64_t key = world_key(arg[0]);
	const struct npheap_bind *b = binding(t, key);
	struct npheap_record *r = record(t, b->slot);
	uint64_t base = NPHEAP_WORD_GENERATION(b->generation);

	if (!r || b->key != key || !b->generation)
		return -ENXIO;
	switch (arg[1] % 3) {
	case 0:
		return swap_word(r, base, base | t->join.owner);
	case 1:
		return swap_word(r, base | t->join.owner, base);
	default:
		return swap_event(r);
	}
}

/* What only a hostile process does: any word of any record. */
static long run_scribble(struct fuzz_thread *t, const uint64_t *arg)
{
	const struct npheap_bind *b = binding(t, world_key(arg[0]));
	struct npheap_record *r = record(t, arg[1] ? arg[1] : b->slot);

	if (!r)
		return -ENXIO;
	((volatile uint64_t *)r)[arg[2] % 8] = arg[3];
	return 0;
}

/* ------------------------------------------------------- events, watches -- */

static long event_command(struct fuzz_thread *t, const uint64_t *arg,
			  unsigned long cmd, struct npheap_event *args)
{
	args->key = world_key(arg[1]);
	return COMMAND(arg[0], cmd, *args, arg[2]);
}

static long run_event(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_event args = { .count = arg[3] };
	long rc = event_command(t, arg, NPHEAP_IOC_EVENT, &args);

	if (!rc)
		fuzz_tell(t, args.event);
	return rc;
}

static long run_wait(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_event args = {
		.event = arg[3], .timeout = deadline(arg[4]),
	};

	return event_command(t, arg, NPHEAP_IOC_WAIT, &args);
}

static long run_notify(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_event args = { .count = arg[3] };

	return event_command(t, arg, NPHEAP_IOC_NOTIFY, &args);
}

static long run_watch(struct fuzz_thread *t, const uint64_t *arg)
{
	uint32_t flags = arg[1];
	long fd = COMMAND(arg[0], NPHEAP_IOC_WATCH, flags, arg[2]);
	int old;

	if (fd < 0)
		return fd;
	old = atomic_exchange(&world.fds[3 + arg[3] % 2], fd);
	if (old >= 0)
		close(old);
	return 0;
}

static long run_watch_set(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_watch_key args = {
		.key = world_key(arg[1]), .events = arg[2],
	};

	return COMMAND(3 + arg[0] % 2, NPHEAP_IOC_WATCH_SET, args, arg[3]);
}

static long run_watch_read(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_watch_key got[40];
	void *p = world_place(t, arg[2], got, sizeof(got));
	size_t size = arg[1] * sizeof(got[0]);

	if (size > sizeof(got))
		size = sizeof(got);
	return fuzz_result(read(world_fd(3 + arg[0] % 2), p, size));
}

static long run_poll(struct fuzz_thread *t, const uint64_t *arg)
{
	struct pollfd pfd = {
		.fd = world_fd(3 + arg[0] % 2), .events = arg[1],
	};
	long rc = poll(&pfd, 1, arg[2] % 3);

	(void)t;
	return pfd.revents & POLLNVAL ? -EBADF : fuzz_result(rc);
}

/* --------------------------------------------------------------- objects -- */

static long run_create(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_create args = {
		.key = world_key(arg[1]),
		.size = arg[2],
		.max_size = arg[3],
		.flags = arg[4],
	};

	return COMMAND(arg[0], NPHEAP_IOC_CREATE, args, arg[5]);
}

/* @pointer is where the items are, or where their description is. */
static long run_create_many(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_create items[4];
	struct npheap_create_many args = { .count = arg[3] };
	uint64_t bad = arg[5] >> 4 & 1;
	int i;

	for (i = 0; i < 4; i++)
		items[i] = (struct npheap_create){
			.key = world_key(arg[1] + i), .size = arg[2],
			.flags = arg[4],
		};
	/* More than there are would be taken from whatever comes then. */
	if (args.count > 4)
		args.count = arg[3] > INT32_MAX ? arg[3] : 4;
	args.items = (uintptr_t)world_place(t, bad ? 0 : arg[5], items,
					    sizeof(items));
	return COMMAND(arg[0], NPHEAP_IOC_CREATE_MANY, args,
		       bad ? arg[5] & 15 : 0);
}

static long run_resize(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_resize args = {
		.key = world_key(arg[1]), .size = arg[2], .flags = arg[3],
	};

	return COMMAND(arg[0], NPHEAP_IOC_RESIZE, args, arg[4]);
}

static long run_punch(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_punch args = {
		.key = world_key(arg[1]), .offset = arg[2] * page,
		.length = arg[3], .flags = arg[4],
	};

	return COMMAND(arg[0], NPHEAP_IOC_PUNCH, args, arg[5]);
}

static long run_seal(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_seal args = {
		.key = world_key(arg[1]), .seals = arg[2],
	};

	return COMMAND(arg[0], NPHEAP_IOC_SEAL, args, arg[3]);
}

static long run_stat(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_stat args = { .key = world_key(arg[1]) };
	long rc = COMMAND(arg[0], NPHEAP_IOC_STAT, args, arg[2]);

	if (rc)
		return rc;
	fuzz_tell(t, args.size);
	fuzz_tell(t, args.generation);
	return 0;
}

/* ----------------------------------------------------------- attachments -- */

static long run_attach(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_attach *a = &world.attached[arg[3] % FUZZ_MAPPINGS];
	struct npheap_attach args = *a;
	long rc;

	args.key = world_key(arg[1]);
	args.size = arg[2];
	rc = COMMAND(arg[0], NPHEAP_IOC_ATTACH, args, arg[4]);
	if (rc)
		return rc;
	/* The one before stays, until all that programs mapped goes. */
	*a = args;
	fuzz_tell(t, args.addr);
	fuzz_tell(t, args.number);
	return 0;
}

/* @arg: slot, which word to make wrong (0: none), by how much. */
static long run_detach(struct fuzz_thread *t, const uint64_t *arg)
{
	struct npheap_attach *a = &world.attached[arg[1] % FUZZ_MAPPINGS];
	uint64_t words[sizeof(*a) / sizeof(uint64_t)];
	long rc;

	memcpy(words, a, sizeof(words));
	words[offsetof(struct npheap_attach, size) / sizeof(words[0])] = 0;
	if (arg[2])
		words[arg[2] % 6] += arg[3];
	rc = COMMAND(arg[0], NPHEAP_IOC_DETACH, words, arg[4]);
	if (!rc)
		a->addr = 0;
	return rc;
}

/* -------------------------------------------------------- lists, limits -- */

/* From anywhere in a list, which others change meanwhile. */
static long run_list(struct fuzz_thread *t, const uint64_t *arg)
{
	static const char * const paths[] = {
		"/proc/npheap/objects", "/proc/npheap/locks",
		"/proc/npheap/deleted", "/sys/kernel/debug/npheap/locks",
	};
	char got[2048] = "";
	/* Which may be a fault, so nothing is open yet. */
	void *p = world_place(t, arg[3], got, sizeof(got));
	int fd = open(paths[arg[0] % 4], O_RDONLY | O_CLOEXEC);
	long rc;

	if (fd < 0)
		return -errno;
	rc = fuzz_result(pread(fd, p, arg[2] % (sizeof(got) + 1),
			       arg[1] * 512));
	close(fd);
	return rc;
}

/* So few more than there are, until the program ends. */
static long run_limit(struct fuzz_thread *t, const uint64_t *arg)
{
	(void)t;
	return world_limit(arg[0], arg[1]);
}

/* -------------------------------------------------- any number, any data -- */

/* Words of an argument that are keys become keys of the fuzzer. */
static long run_ioctl(struct fuzz_thread *t, const uint64_t *arg)
{
	uint64_t words[16] = { arg[2], arg[3], arg[4], arg[5] };

	(void)t;
	/* Its items would be anywhere, with any keys. */
	if ((unsigned int)arg[1] == NPHEAP_IOC_CREATE_MANY)
		return -ENOTTY;
	words[0] = world_key(words[0]);
	if (_IOC_NR(arg[1]) < _IOC_NR(NPHEAP_IOC_JOIN))
		words[1] = world_offset(words[1]);
	return fuzz_result(ioctl(world_fd(arg[0]), arg[1], words));
}

/* ------------------------------------------------------------- the table -- */

/* clang-format off */
const struct fuzz_type fuzz_heap_types[] = {
	WAIT(lock, NULL,
	     ERRORS(EDEADLK, ENOSPC, EDQUOT, EINVAL, EOVERFLOW, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_POINTER),
	CALL(unlock, "lock",
	     ERRORS(EPERM, EINVAL, EOVERFLOW),
	     KIND_FD, KIND_KEY, KIND_POINTER),
	CALL(delete, NULL,
	     ERRORS(EINVAL, EOVERFLOW),
	     KIND_FD, KIND_KEY, KIND_POINTER),
	CALL(getsize, NULL,
	     ERRORS(EINVAL, EOVERFLOW),
	     KIND_FD, KIND_KEY, KIND_POINTER),
	CALL(join, NULL,
	     ERRORS(EBUSY, EINTR, ENOMEM),
	     KIND_FD, KIND_POINTER),
	CALL(bind, "join",
	     ERRORS(EOVERFLOW, ENOSPC, EDQUOT, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_POINTER),
	WAIT(acquire, NULL,
	     ERRORS(EINVAL, EOVERFLOW, EBUSY, ETIMEDOUT, EDEADLK, EOWNERDEAD,
	     ENOTRECOVERABLE, ENOSPC, EDQUOT, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_LOCK_FLAGS, KIND_DEADLINE, KIND_NONE,
	     KIND_POINTER),
	CALL(consistent, "acquire",
	     ERRORS(EOVERFLOW, EPERM, EINVAL),
	     KIND_FD, KIND_KEY, KIND_POINTER),
	CALL(break, "lock",
	     ERRORS(EOVERFLOW),
	     KIND_FD, KIND_KEY, KIND_POINTER),
	CALL(swap, "bind",
	     ERRORS(ENXIO, EBUSY),
	     KIND_KEY, KIND_MODE),
	CALL(scribble, "bind",
	     ERRORS(ENXIO),
	     KIND_KEY, KIND_PAGE, KIND_MODE, KIND_NUMBER),
	CALL(event, NULL,
	     ERRORS(EINVAL, EOVERFLOW, ENOSPC, EDQUOT, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_POINTER, KIND_NONE),
	WAIT(wait, "event",
	     ERRORS(EINVAL, EOVERFLOW, EAGAIN, ETIMEDOUT, ENOSPC, EDQUOT,
	     ENOMEM),
	     KIND_FD, KIND_KEY, KIND_POINTER, KIND_EVENT, KIND_DEADLINE),
	CALL(notify, "watch_set",
	     ERRORS(EINVAL, EOVERFLOW, ENOSPC, EDQUOT, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_POINTER, KIND_COUNT),
	CALL(watch, NULL,
	     ERRORS(EINVAL, ENOMEM, EMFILE, ENFILE),
	     KIND_FD, KIND_BITS, KIND_POINTER, KIND_WATCH),
	CALL(watch_set, "watch",
	     ERRORS(EINVAL, EOVERFLOW, ENOENT, ENOSPC, EDQUOT, ENOMEM),
	     KIND_WATCH, KIND_KEY, KIND_WATCH_EVENTS, KIND_POINTER),
	WAIT(watch_read, "notify",
	     ERRORS(EINVAL, EAGAIN),
	     KIND_WATCH, KIND_COUNT, KIND_POINTER),
	WAIT(poll, "watch_set",
	     ERRORS(EINVAL),
	     KIND_WATCH, KIND_BITS, KIND_MODE),
	CALL(create, NULL,
	     ERRORS(EEXIST, EINVAL, EOVERFLOW, EFBIG, ENOSPC, EDQUOT, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_SIZE, KIND_MAX_SIZE, KIND_BITS,
	     KIND_POINTER),
	CALL(create_many, NULL,
	     ERRORS(EEXIST, EINVAL, EOVERFLOW, EFBIG, ENOSPC, EDQUOT, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_SIZE, KIND_COUNT, KIND_BITS,
	     KIND_POINTER),
	CALL(resize, "create",
	     ERRORS(ENOENT, EINVAL, EOVERFLOW, EFBIG, EBUSY, EPERM, ENOSPC,
	     EDQUOT, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_SIZE, KIND_BITS, KIND_POINTER),
	CALL(punch, "create",
	     ERRORS(ENOENT, EINVAL, EOVERFLOW, EBUSY, EPERM, ENOMEM),
	     KIND_FD, KIND_KEY, KIND_PAGE, KIND_SIZE, KIND_BITS, KIND_POINTER),
	CALL(seal, "create",
	     ERRORS(ENOENT, EINVAL, EOVERFLOW, EPERM),
	     KIND_FD, KIND_KEY, KIND_BITS, KIND_POINTER),
	CALL(stat, NULL,
	     ERRORS(ENOENT, EOVERFLOW),
	     KIND_FD, KIND_KEY, KIND_POINTER),
	SLOW(attach, NULL,
	     ERRORS(ENOENT, EOVERFLOW, EACCES, EFBIG, ENFILE, ENOSPC, EDQUOT,
	     ENOMEM),
	     KIND_FD, KIND_KEY, KIND_MAX_SIZE, KIND_ATTACHED, KIND_POINTER),
	CALL(detach, "attach",
	     ERRORS(EINVAL, EOVERFLOW, ENOMEM),
	     KIND_FD, KIND_ATTACHED, KIND_NONE, KIND_SIZE, KIND_POINTER),
	CALL(list, NULL,
	     ERRORS(EINVAL),
	     KIND_MODE, KIND_PAGE, KIND_SIZE, KIND_POINTER),
	CALL(limit, NULL,
	     ERRORS(EINVAL),
	     KIND_MODE, KIND_COUNT),
	WAIT(ioctl, NULL,
	     ERRORS(EDEADLK, ENOSPC, EDQUOT, EINVAL, EOVERFLOW, ENOMEM, EPERM,
	     EBUSY, EINTR, ETIMEDOUT, EOWNERDEAD, ENOTRECOVERABLE, EAGAIN,
	     EMFILE, ENFILE, ENOENT, EEXIST, EFBIG, EACCES),
	     KIND_FD, KIND_COMMAND, KIND_KEY, KIND_KEY, KIND_BITS,
	     KIND_NUMBER),
	{ 0 },
};
/* clang-format on */
