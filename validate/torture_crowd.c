// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Threads of several processes at the same keys, some of whom are killed, and
 * what holds whatever they do:
 *
 *   - a lock excludes: whoever has it alone finds a round that was begun and
 *     not ended only if it is told of a death, and a reader sees no round begin;
 *   - all pages of an object that is changed under its lock have one stamp;
 *   - what is read under a key was written under that key, or is 0;
 *   - a notification that was made is counted, one that was not is not;
 *   - every call has a result that it documents;
 *   - when all are gone nothing is left.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "torture.h"

/* Keys that are changed under their locks only, and others. */
#define STRICT 4
#define WILD 4

/* Somebody is killed after so many operations at most. */
#define KILL_EVERY 400

/* So long may they take. */
#define STALL_MS 60000

struct round {
	_Atomic uint64_t begun;
	_Atomic uint64_t ended;
	_Atomic uint64_t notified_begun;
	_Atomic uint64_t notified;
};

/* What all processes share. */
struct crowd {
	uint64_t seed;
	uint64_t key;
	unsigned int threads;
	_Atomic int stop;
	_Atomic uint64_t streams;
	_Atomic uint64_t stamps;
	_Atomic uint64_t operations[CROWD_PROCESSES];
	struct round rounds[STRICT];
	uint64_t first_events[STRICT];
	struct gate keeper;
};

struct worker {
	struct dice dice;
	unsigned int process;
	int watch;
	struct npheap_ref refs[STRICT];
};

struct deed {
	const char *name;
	unsigned int weight;
	void (*run)(struct worker *w);
};

static struct crowd *crowd;
static struct npheap *heap;
static __thread sigjmp_buf after_fault;
static __thread const char *deed_name;

static void broken(const char *what, long value)
{
	printf("# crowd: %s: %s (%ld)\n", deed_name, what, value);
	_exit(99);
}

/* @rc is 0, more, or one of the negative errors that follow, the last is 0. */
static long expect(long rc, const int *errors)
{
	for (; rc < 0 && *errors; errors++)
		if (rc == -*errors)
			return rc;
	if (rc < 0)
		broken(strerror(-rc), rc);
	return rc;
}

#define EXPECT(rc, ...) expect((rc), (const int[]){ __VA_ARGS__, 0 })

static uint64_t soon(uint32_t us)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec + us * 1000ULL;
}

static void on_fault(int sig)
{
	siglongjmp(after_fault, sig);
}

/* ------------------------------------------------- keys that are kept tidy -- */

static uint64_t strict_key(struct worker *w, unsigned int *index)
{
	*index = dice_roll(&w->dice, STRICT);
	return crowd->key + *index;
}

static int take(struct worker *w, unsigned int index, uint32_t flags)
{
	uint64_t key = crowd->key + index;
	struct npheap_lock_args args = {
		.key = key, .timeout = UINT64_MAX,
		.flags = flags | NPHEAP_LOCK_REPORT,
	};

	switch (dice_roll(&w->dice, 5)) {
	case 0:
		return ioctl(dev, NPHEAP_IOC_LOCK, &args) ? -errno : 0;
	case 1:
		return npheap_ref_acquire_with(&w->refs[index], flags,
					       NPHEAP_FOREVER);
	case 2:
		return npheap_acquire_with(heap, key, flags | NPHEAP_TRY,
					   NPHEAP_FOREVER);
	case 3:
		return npheap_acquire_with(heap, key, flags, soon(2000));
	default:
		return npheap_acquire_with(heap, key, flags, NPHEAP_FOREVER);
	}
}

static void give_back(struct worker *w, unsigned int index)
{
	uint64_t key = crowd->key + index;
	long rc;

	switch (dice_roll(&w->dice, 3)) {
	case 0:
		rc = unlock_by_ioctl(key) ? -errno : 0;
		break;
	case 1:
		rc = npheap_ref_release(&w->refs[index]);
		break;
	default:
		rc = npheap_release(heap, key);
	}
	if (rc)
		broken("the holder cannot give the lock back", rc);
}

static uint64_t *stamp_of(void *p, size_t index)
{
	return (uint64_t *)((char *)p + index * page);
}

static void check_stamps(void *p, size_t size)
{
	size_t i;

	for (i = 1; i < size / page; i++)
		if (*stamp_of(p, i) != *stamp_of(p, 0))
			broken("pages of different stamps", i);
}

static void set_stamps(void *p, size_t size)
{
	uint64_t stamp = atomic_fetch_add(&crowd->stamps, 1);
	size_t i;

	for (i = 0; i < size / page; i++)
		*stamp_of(p, i) = stamp;
}

static void restamp(uint64_t key, int told)
{
	uint64_t size = 0;
	void *p;

	if (EXPECT(npheap_size(heap, key, &size), ENOENT))
		size = 3 * page;
	EXPECT(npheap_map(heap, key, size, &p), ENOMEM);
	if (!told)
		check_stamps(p, size);
	set_stamps(p, size);
	npheap_unmap(p, size);
}

/* Another size, or another object; all stamps are the same again then. */
static void change(struct worker *w, uint64_t key)
{
	uint64_t size = (1 + dice_roll(&w->dice, 8)) * page;

	switch (dice_roll(&w->dice, 8)) {
	case 0:
		EXPECT(npheap_remove(heap, key), 0);
		break;
	case 1:
		EXPECT(npheap_remove(heap, key), 0);
		EXPECT(npheap_create(heap, key, size, 8 * page, 0), ENOMEM);
		break;
	case 2:
		EXPECT(npheap_resize(heap, key, size, NPHEAP_RESIZE_FORCE),
		       ENOENT, EFBIG, ENOMEM, EBUSY);
		restamp(key, 1);
		break;
	default:
		break;
	}
}

static void write_round(struct worker *w)
{
	unsigned int index;
	uint64_t key = strict_key(w, &index);
	struct round *r = &crowd->rounds[index];
	long rc = EXPECT(take(w, index, 0), EBUSY, ETIMEDOUT, EOWNERDEAD);
	int told = rc == -EOWNERDEAD;

	if (rc && !told)
		return;
	if (r->begun != r->ended && !told)
		broken("another is inside", r->begun - r->ended);
	r->ended = r->begun;
	r->begun++;
	restamp(key, told);
	change(w, key);
	r->ended++;
	if (told)
		EXPECT(npheap_consistent(heap, key), 0);
	if (r->begun != r->ended)
		broken("another was inside", r->begun - r->ended);
	give_back(w, index);
}

static void read_round(struct worker *w)
{
	unsigned int index;
	uint64_t key = strict_key(w, &index);
	struct round *r = &crowd->rounds[index];
	long rc = EXPECT(take(w, index, NPHEAP_SHARED), EBUSY, ETIMEDOUT,
			 EOWNERDEAD);
	uint64_t begun = r->begun, size;
	void *p;

	if (rc && rc != -EOWNERDEAD)
		return;
	if (!rc && r->ended != begun)
		broken("a writer is inside", begun - r->ended);
	if (!EXPECT(npheap_size(heap, key, &size), ENOENT)) {
		EXPECT(npheap_map(heap, key, size, &p), ENOMEM);
		if (!rc)
			check_stamps(p, size);
		npheap_unmap(p, size);
	}
	if (r->begun != begun)
		broken("a writer came in", r->begun - begun);
	give_back(w, index);
}

static void notify(struct worker *w)
{
	unsigned int index;
	uint64_t key = strict_key(w, &index);
	struct round *r = &crowd->rounds[index];
	struct npheap_event args = { .key = key, .count = 1 };

	r->notified_begun++;
	if (dice_roll(&w->dice, 2))
		EXPECT(npheap_notify(heap, key, 1), 0);
	else
		EXPECT(ioctl(dev, NPHEAP_IOC_NOTIFY, &args) < 0 ? -errno : 0,
		       0);
	r->notified++;
}

static void wait_event(struct worker *w)
{
	unsigned int index;
	uint64_t key = strict_key(w, &index), event;

	EXPECT(npheap_event(heap, key, &event), 0);
	EXPECT(npheap_wait(heap, key, event, soon(500)), ETIMEDOUT);
}

/* ------------------------------------------------------------- wild keys -- */

static uint64_t wild_key(struct worker *w)
{
	return crowd->key + STRICT + dice_roll(&w->dice, WILD);
}

/* Most are small; some have a huge page, and more. */
static uint64_t any_size(struct worker *w)
{
	uint32_t pages = dice_roll(&w->dice, 10) ? 1 + dice_roll(&w->dice, 16) :
						   512 + dice_roll(&w->dice, 64);

	return pages * page;
}

/* What is there was written under this key, or never. */
static void use(struct worker *w, char *p, uint64_t size, uint64_t key)
{
	uint32_t index = dice_roll(&w->dice, size / page);
	volatile uint64_t *word = (uint64_t *)(p + index * page);

	/* It may be beyond the end by now, or for reading only. */
	if (sigsetjmp(after_fault, 1))
		return;
	if (*word && *word != key)
		broken("the memory of another key", *word);
	*word = key;
}

static void wild_alloc(struct worker *w)
{
	uint64_t key = wild_key(w), size = any_size(w);
	void *p = npheap_alloc(dev, key, size);
	int i;

	if (p == MAP_FAILED) {
		EXPECT(-errno, ENOMEM, ENOSPC);
		return;
	}
	for (i = 0; i < 4; i++)
		use(w, p, size, key);
	munmap(p, size);
}

/* Protects a part, moves the whole, and unmaps it in two steps. */
static void wild_mapping(struct worker *w)
{
	uint64_t key = wild_key(w), size = 8 * page;
	char *p = npheap_alloc(dev, key, size), *q;

	if (p == MAP_FAILED) {
		EXPECT(-errno, ENOMEM, ENOSPC);
		return;
	}
	q = mremap(p, size, size + page, MREMAP_MAYMOVE);
	if (q == MAP_FAILED)
		broken("mremap", errno);
	size += page;
	if (mprotect(q + page, page, PROT_READ))
		broken("mprotect", errno);
	use(w, q, size, key);
	munmap(q, 4 * page);
	use(w, q + 4 * page, size - 4 * page, key);
	munmap(q + 4 * page, size - 4 * page);
}

static void wild_attach(struct worker *w)
{
	uint64_t key = wild_key(w);
	const struct npheap_mapping *m;

	if (EXPECT(npheap_attach(heap, key, any_size(w), &m), ENOMEM, ENOSPC))
		return;
	use(w, m->addr, m->size, key);
	npheap_detach(heap, m);
}

static void wild_create(struct worker *w)
{
	uint64_t size = any_size(w);

	EXPECT(npheap_create(heap, wild_key(w), size, size * 2,
			     dice_roll(&w->dice, 2)),
	       EEXIST, ENOMEM, ENOSPC);
}

static void wild_create_many(struct worker *w)
{
	struct npheap_create items[WILD];
	uint64_t size = any_size(w);
	int i;

	for (i = 0; i < WILD; i++)
		items[i] = (struct npheap_create){
			.key = crowd->key + STRICT + i, .size = size,
		};
	EXPECT(npheap_create_many(heap, items, WILD), EEXIST, ENOMEM, ENOSPC);
}

static void wild_remove(struct worker *w)
{
	EXPECT(npheap_remove(heap, wild_key(w)), 0);
}

static void wild_resize(struct worker *w)
{
	EXPECT(npheap_resize(heap, wild_key(w), any_size(w),
			     dice_roll(&w->dice, 2)),
	       ENOENT, EFBIG, EBUSY, EPERM, ENOMEM, ENOSPC);
}

static void wild_punch(struct worker *w)
{
	EXPECT(npheap_punch(heap, wild_key(w),
			    dice_roll(&w->dice, 8) * page,
			    (1 + dice_roll(&w->dice, 8)) * page,
			    dice_roll(&w->dice, 2)),
	       ENOENT, EINVAL, EBUSY, EPERM);
}

static void wild_seal(struct worker *w)
{
	EXPECT(npheap_seal(heap, wild_key(w), 1 << dice_roll(&w->dice, 3)),
	       ENOENT, EPERM);
}

static void wild_stat(struct worker *w)
{
	struct npheap_stat stat;

	EXPECT(npheap_stat(heap, wild_key(w), &stat), ENOENT);
}

/* Others may break it, so there is no saying who has it. */
static void wild_lock(struct worker *w)
{
	uint64_t key = wild_key(w);
	uint32_t flags = dice_roll(&w->dice, 2) ? NPHEAP_SHARED : 0;
	long rc = EXPECT(npheap_acquire_with(heap, key, flags, soon(1000)),
			 ETIMEDOUT, EOWNERDEAD, ENOTRECOVERABLE);

	if (rc == -EOWNERDEAD && dice_roll(&w->dice, 8))
		EXPECT(npheap_consistent(heap, key), EPERM);
	if (!rc || rc == -EOWNERDEAD)
		EXPECT(npheap_release(heap, key), EPERM);
}

static void wild_break(struct worker *w)
{
	EXPECT(npheap_break(heap, wild_key(w)), 0);
}

static void wild_watch(struct worker *w)
{
	struct npheap_watch_key got[WILD];
	size_t n;

	if (w->watch < 0)
		EXPECT(npheap_watch_open(heap, NPHEAP_WATCH_CLOEXEC |
					 NPHEAP_WATCH_NONBLOCK, &w->watch), 0);
	EXPECT(npheap_watch_set(w->watch, wild_key(w),
				dice_roll(&w->dice, 16)), ENOENT);
	EXPECT(npheap_watch_read(w->watch, got, WILD, &n), EAGAIN);
	if (dice_roll(&w->dice, 50))
		return;
	close(w->watch);
	w->watch = -1;
}

static void wild_reopen(struct worker *w)
{
	int fd = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);

	(void)w;
	if (fd < 0)
		broken("open", errno);
	close(fd);
}

/* The child holds the lock of a wild key as it ends, or becomes another program. */
static void wild_fork(struct worker *w)
{
	uint64_t key = wild_key(w);
	uint32_t way = dice_roll(&w->dice, 8);
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return (void)EXPECT(-errno, EAGAIN, ENOMEM);
	if (!pid) {
		npheap_acquire_with(heap, key, NPHEAP_TRY, NPHEAP_FOREVER);
		if (way == 0)
			execl("/proc/self/exe", "torture", "--nothing", NULL);
		if (way % 2)
			raise(SIGKILL);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		broken("waitpid", errno);
}

/* clang-format off */
static const struct deed deeds[] = {
	{ "write_round", 80, write_round },
	{ "read_round", 60, read_round },
	{ "notify", 60, notify },
	{ "wait", 10, wait_event },
	{ "alloc", 60, wild_alloc },
	{ "mapping", 40, wild_mapping },
	{ "attach", 50, wild_attach },
	{ "create", 30, wild_create },
	{ "create_many", 5, wild_create_many },
	{ "remove", 50, wild_remove },
	{ "resize", 50, wild_resize },
	{ "punch", 40, wild_punch },
	{ "seal", 5, wild_seal },
	{ "stat", 30, wild_stat },
	{ "lock", 80, wild_lock },
	{ "break", 10, wild_break },
	{ "watch", 40, wild_watch },
	{ "reopen", 5, wild_reopen },
	{ "fork", 2, wild_fork },
	{ 0 },
};
/* clang-format on */

/* -------------------------------------------------------------- a process -- */

static const struct deed *choose(struct dice *dice)
{
	unsigned int sum = 0, roll;
	const struct deed *d;

	for (d = deeds; d->name; d++)
		sum += d->weight;
	roll = dice_roll(dice, sum);
	for (d = deeds; roll >= d->weight; d++)
		roll -= d->weight;
	return d;
}

static void *work(void *arg)
{
	struct worker w = { .process = (uintptr_t)arg, .watch = -1 };
	int i;

	w.dice = dice_new(crowd->seed, atomic_fetch_add(&crowd->streams, 1));
	for (i = 0; i < STRICT; i++)
		w.refs[i] = (struct npheap_ref)NPHEAP_REF_INIT(heap,
							crowd->key + i);
	while (!crowd->stop) {
		const struct deed *d = choose(&w.dice);

		deed_name = d->name;
		d->run(&w);
		crowd->operations[w.process]++;
	}
	if (w.watch >= 0)
		close(w.watch);
	return NULL;
}

static int process(void *arg)
{
	struct sigaction act = { .sa_handler = on_fault };
	pthread_t threads[CROWD_THREADS];
	unsigned int i;

	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	for (i = 0; i < crowd->threads; i++)
		child_check(!pthread_create(&threads[i], NULL, work, arg));
	for (i = 0; i < crowd->threads; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* -------------------------------------------------------------- the parent -- */

static uint64_t all_operations(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < CROWD_PROCESSES; i++)
		sum += crowd->operations[i];
	return sum;
}

/* False where nobody goes on. */
static bool await_operations(uint64_t count)
{
	uint64_t enough = all_operations() + count;
	long long limit = now_ms() + STALL_MS;

	while (all_operations() < enough && now_ms() < limit)
		sleep_ms(1);
	if (all_operations() < enough)
		printf("# crowd: nobody does anything any more\n");
	return all_operations() >= enough;
}

/* 0 where it was alive. */
static int kill_and_replace(pid_t *pids, unsigned int number)
{
	int status;

	kill(pids[number], SIGKILL);
	status = status_of(pids[number]);
	pids[number] = 0;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		printf("# crowd: a process ended by itself: %#x\n", status);
		return 1;
	}
	pids[number] = spawn(process, (void *)(uintptr_t)number);
	return 0;
}

static int kill_some(pid_t *pids, unsigned int processes, uint64_t operations,
		     long long ms, struct crowd_result *result)
{
	struct dice dice = dice_new(crowd->seed, UINT32_MAX);
	long long limit = now_ms() + ms;

	while (now_ms() < limit && all_operations() < operations) {
		if (!await_operations(dice_roll(&dice, KILL_EVERY)) ||
		    kill_and_replace(pids, dice_roll(&dice, processes)))
			return 1;
		result->kills++;
	}
	return 0;
}

/* Whoever waits forever is woken by the ends of the others. */
static int stop_all(pid_t *pids, unsigned int processes)
{
	unsigned int i;
	int rc = 0, status;

	crowd->stop = 1;
	alarm(TEST_SECONDS);
	for (i = 0; i < processes; i++) {
		if (!pids[i])
			continue;
		status = status_of(pids[i]);
		if (status)
			printf("# crowd: a process ended with %#x\n", status);
		rc |= status;
	}
	alarm(0);
	return rc;
}

static void check_events(void)
{
	uint64_t event;
	int i;

	for (i = 0; i < STRICT; i++) {
		const struct round *r = &crowd->rounds[i];

		child_check(!npheap_event(heap, crowd->key + i, &event));
		event = (event - crowd->first_events[i]) / 2;
		child_check(event >= r->notified);
		child_check(event <= r->notified_begun);
	}
}

/* By a process, or what this one knows of the keys would be left. */
static int clear_up(void *arg)
{
	int i;

	(void)arg;
	check_events();
	for (i = 0; i < STRICT + WILD; i++) {
		uint64_t key = crowd->key + i;

		child_check(!npheap_remove(heap, key));
		/* Makes it usable where nobody settled a death. */
		child_check(!npheap_break(heap, key));
		child_check(npheap_acquire_with(heap, key, 0, soon(1000000)) !=
			    -ETIMEDOUT);
		npheap_consistent(heap, key);
		child_check(!npheap_release(heap, key));
	}
	return 0;
}

/* Knows the strict keys while the others work, so that their counts go on. */
static int keep_records(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < STRICT; i++)
		child_check(!npheap_event(heap, crowd->key + i,
					  &crowd->first_events[i]));
	gate_add(&crowd->keeper, 1);
	gate_wait(&crowd->keeper, 2);
	return 0;
}

static int crowd_new(uint64_t seed, unsigned int threads)
{
	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crowd == MAP_FAILED || npheap_open(NULL, 0, &heap))
		return -1;
	crowd->seed = seed;
	crowd->threads = threads;
	crowd->key = test_key();
	crowd->stamps = 1;
	return 0;
}

int crowd_run(uint64_t seed, unsigned int processes, unsigned int threads,
	      uint64_t operations, long long ms, struct crowd_result *result)
{
	struct leftovers before = leftovers_now();
	pid_t pids[CROWD_PROCESSES], keeper;
	unsigned int i;
	int rc;

	if (crowd_new(seed, threads))
		return perror("crowd"), 1;
	/* The handle of this process. */
	before.references++;
	keeper = spawn(keep_records, NULL);
	gate_wait(&crowd->keeper, 1);
	for (i = 0; i < processes; i++)
		pids[i] = spawn(process, (void *)(uintptr_t)i);
	rc = kill_some(pids, processes, operations, ms, result);
	rc |= stop_all(pids, processes);
	rc |= status_of(spawn(clear_up, NULL));
	gate_add(&crowd->keeper, 1);
	rc |= status_of(keeper);
	result->operations = all_operations();
	rc |= !leftovers_are(before);
	npheap_close(heap);
	munmap(crowd, sizeof(*crowd));
	return !!rc;
}
