// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Threads of several processes at the same keys, some of whom are killed, and
 * what holds whatever they do:
 *
 *   - a lock excludes: whoever has it alone finds a round that was begun and
 *     not ended only if it is told of a death, and a reader sees no round begin;
 *   - all pages of an object that is changed under its lock have one stamp, and
 *     none of them is a fault;
 *   - what is read under a key was written under that key, or is 0, and a page
 *     that the object has at any size is no fault;
 *   - a notification that was made is counted, one that was not is not, and who
 *     waits for one that is made is woken;
 *   - every call has a result that it documents;
 *   - every thread goes on;
 *   - when all are gone nothing is left.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <time.h>

#include "torture.h"
#include "torture_log.h"

/* Keys that are changed under their locks only, and others. */
#define STRICT 4
#define WILD 4

/* Somebody is killed after so many operations at most. */
#define KILL_EVERY 400

#define MAX_WORKERS (CROWD_PROCESSES * CROWD_THREADS)

struct round {
	_Atomic uint64_t begun;
	_Atomic uint64_t ended;
	_Atomic uint64_t notified_begun;
	_Atomic uint64_t notified;
};

/* What a worker has asked the keeper, by number, and what was answered. */
struct question {
	_Atomic uint64_t asked;
	_Atomic uint64_t answered;
};

/* What all processes share. */
struct crowd {
	uint64_t seed;
	uint64_t key;
	unsigned int processes;
	unsigned int threads;
	_Atomic int stop;
	_Atomic uint64_t streams;
	_Atomic uint64_t stamps;
	struct round rounds[STRICT];
	struct question questions[MAX_WORKERS];
	uint64_t first_events[STRICT];
	struct gate keeper;
};

struct worker {
	struct dice dice;
	unsigned int number;
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
static __thread volatile sig_atomic_t guarded;
static __thread const char *deed_name;

/* The others stop, so that their logs end with what they did at that time. */
static void broken(const char *what, long value)
{
	crowd->stop = 1;
	log_line(what, value);
	printf("# crowd: %s: %s (%ld)\n", deed_name, what, value);
	_exit(99);
}

/*
 * @rc, what @call returned, is 0, more, or one of the negative errors that
 * follow, the last is 0.
 */
static long expect(const char *call, long rc, const int *errors)
{
	log_line(call, rc);
	for (; rc < 0 && *errors; errors++)
		if (rc == -*errors)
			return rc;
	if (rc < 0)
		broken(strerror(-rc), rc);
	return rc;
}

#define EXPECT(call, ...)						\
	expect(#call, (call), (const int[]){ __VA_ARGS__, 0 })

static long result(long rc)
{
	return rc < 0 ? -errno : rc;
}

static uint64_t soon(uint32_t us)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec + us * 1000ULL;
}

/* -------------------------------------------------------------- accesses -- */

static void on_fault(int sig)
{
	if (!guarded)
		broken("a fault outside of all accesses", sig);
	siglongjmp(after_fault, sig);
}

/* The signal that an access raises, or 0; each one has a guard of its own. */
static int load(const volatile uint64_t *word, uint64_t *value)
{
	int sig = sigsetjmp(after_fault, 0);

	guarded = !sig;
	if (!sig)
		*value = *word;
	guarded = 0;
	return sig;
}

static int store(volatile uint64_t *word, uint64_t value)
{
	int sig = sigsetjmp(after_fault, 0);

	guarded = !sig;
	if (!sig)
		*word = value;
	guarded = 0;
	return sig;
}

static void *word_of(void *p, size_t index)
{
	return (char *)p + index * page;
}

/* ------------------------------------------------- keys that are kept tidy -- */

static uint64_t strict_key(struct worker *w, unsigned int *index)
{
	*index = dice_roll(&w->dice, STRICT);
	log_line("strict key", *index);
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

/*
 * Nobody changes the size of a strict object but who holds its lock alone, and
 * it is not sparse: whoever holds the lock finds all of it there.
 */
static uint64_t stamp_of(void *p, size_t index)
{
	uint64_t stamp = 0;
	int sig = load(word_of(p, index), &stamp);

	if (sig)
		broken("fault as a locked object is read", sig);
	return stamp;
}

static void check_stamps(void *p, size_t size)
{
	uint64_t first = stamp_of(p, 0);
	size_t i;

	for (i = 1; i < size / page; i++)
		if (stamp_of(p, i) != first)
			broken("pages of different stamps", i);
}

static void set_stamps(void *p, size_t size)
{
	uint64_t stamp = atomic_fetch_add(&crowd->stamps, 1);
	size_t i;
	int sig;

	for (i = 0; i < size / page; i++) {
		sig = store(word_of(p, i), stamp);
		if (sig)
			broken("fault as a locked object is written", sig);
	}
}

static void restamp(uint64_t key, int told)
{
	uint64_t size = 0;
	void *p;

	if (EXPECT(npheap_size(heap, key, &size), ENOENT))
		size = 3 * page;
	if (EXPECT(npheap_map(heap, key, size, &p), ENOMEM)) {
		/* It may have pages without the stamp, so it cannot stay. */
		EXPECT(npheap_remove(heap, key), 0);
		return;
	}
	if (!told)
		check_stamps(p, size);
	set_stamps(p, size);
	EXPECT(npheap_unmap(p, size), 0);
}

/* Whoever is told of a death may find what the dead has left unfinished. */
static void look(uint64_t key, bool told)
{
	uint64_t size;
	void *p;

	if (EXPECT(npheap_size(heap, key, &size), ENOENT) ||
	    EXPECT(npheap_map(heap, key, size, &p), ENOMEM))
		return;
	if (!told)
		check_stamps(p, size);
	else
		stamp_of(p, size / page - 1);
	EXPECT(npheap_unmap(p, size), 0);
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
	uint64_t begun = r->begun;

	if (rc && rc != -EOWNERDEAD)
		return;
	if (!rc && r->ended != begun)
		broken("a writer is inside", begun - r->ended);
	look(key, rc);
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
		EXPECT(result(ioctl(dev, NPHEAP_IOC_NOTIFY, &args)), 0);
	r->notified++;
}

/* Perhaps nobody wakes it; then it does not give up before its time. */
static void wait_event(struct worker *w)
{
	unsigned int index;
	uint64_t key = strict_key(w, &index), event, deadline = soon(500);

	EXPECT(npheap_event(heap, key, &event), 0);
	if (EXPECT(npheap_wait(heap, key, event, deadline), ETIMEDOUT) &&
	    soon(0) < deadline)
		broken("it gave up too early, ns", deadline - soon(0));
}

/* ------------------------------------------- questions that are answered -- */

/* Where the keeper waits for all questions, and each worker for its answers. */
static uint64_t question_key(void)
{
	return crowd->key + STRICT + WILD;
}

static uint64_t answer_key(unsigned int number)
{
	return question_key() + 1 + number;
}

/*
 * The keeper is not killed, and notifies each answer once, so if that does not
 * wake who waits for it nothing will, and the thread is found stuck.
 */
static void ask(struct worker *w)
{
	struct question *q = &crowd->questions[w->number];
	uint64_t mine = ++q->asked, event;

	EXPECT(npheap_notify(heap, question_key(), 1), 0);
	for (;;) {
		EXPECT(npheap_event(heap, answer_key(w->number), &event), 0);
		if (q->answered >= mine)
			return;
		EXPECT(npheap_wait(heap, answer_key(w->number), event,
				   NPHEAP_FOREVER), 0);
	}
}

static void answer(unsigned int number)
{
	struct question *q = &crowd->questions[number];
	uint64_t asked = q->asked;

	if (q->answered == asked)
		return;
	q->answered = asked;
	child_check(!npheap_notify(heap, answer_key(number), 1));
}

/* Until the gate says that nobody asks any more, and is notified, too. */
static void answer_all(void)
{
	uint64_t event;
	unsigned int i;

	while (crowd->keeper.value < 2) {
		child_check(!npheap_event(heap, question_key(), &event));
		for (i = 0; i < crowd->processes * crowd->threads; i++)
			answer(i);
		if (crowd->keeper.value < 2)
			child_check(!npheap_wait(heap, question_key(), event,
						 NPHEAP_FOREVER));
	}
}

/* ------------------------------------------------------------- wild keys -- */

static uint64_t wild_key(struct worker *w)
{
	unsigned int index = dice_roll(&w->dice, WILD);

	log_line("wild key", index);
	return crowd->key + STRICT + index;
}

/* An object of a wild key never has fewer pages, whatever anybody does. */
static unsigned int least_pages(uint64_t key)
{
	return 1 + key - crowd->key - STRICT;
}

/* Most are small; some have a huge page, and more. */
static uint64_t any_size(struct worker *w, uint64_t key)
{
	uint32_t more = dice_roll(&w->dice, 10) ? dice_roll(&w->dice, 16) :
						  511 + dice_roll(&w->dice, 64);

	return (least_pages(key) + more) * page;
}

/*
 * Others may make the object smaller at any time, or it was smaller than the
 * mapping from the beginning; so behind what every object of this key has a page
 * may be beyond the end.  Nothing else is a reason: what is deleted stays mapped,
 * what is punched reads as zeroes, and of a sparse object, too, every page can be
 * had, as the crowd is far from any limit.
 */
static void check_fault(int sig, uint32_t index, uint64_t key)
{
	if (sig != SIGBUS)
		broken("a fault that is no SIGBUS", sig);
	if (index < least_pages(key))
		broken("SIGBUS inside the object, page", index);
}

/*
 * What is there was written under this key, or never.  @p is page @first of the
 * object; half of the time one is chosen that is there, if it is mapped.
 */
static void use(struct worker *w, char *p, uint32_t first, uint64_t size,
		uint64_t key)
{
	uint32_t pages = size / page, sure = least_pages(key), index;
	uint64_t value = 0;
	int sig;

	if (first < sure && dice_roll(&w->dice, 2) && sure - first < pages)
		pages = sure - first;
	index = dice_roll(&w->dice, pages);
	sig = load(word_of(p, index), &value);
	if (!sig && value && value != key)
		broken("the memory of another key", value);
	if (!sig)
		sig = store(word_of(p, index), key);
	if (sig)
		check_fault(sig, first + index, key);
}

static void wild_alloc(struct worker *w)
{
	uint64_t key = wild_key(w), size = any_size(w, key);
	void *p = npheap_alloc(dev, key, size);
	int i;

	if (p == MAP_FAILED) {
		EXPECT(-errno, ENOMEM, ENOSPC);
		return;
	}
	for (i = 0; i < 4; i++)
		use(w, p, 0, size, key);
	EXPECT(result(munmap(p, size)), 0);
}

/* What may only be read is not written, be it in the object or not. */
static void use_protected(void *p)
{
	int sig;

	EXPECT(result(mprotect(p, page, PROT_READ)), 0);
	sig = store(p, 1);
	if (sig != SIGSEGV)
		broken("a page for reading was written", sig);
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
	use_protected(q + page);
	use(w, q, 0, page, key);
	use(w, q + 2 * page, 2, size - 2 * page, key);
	EXPECT(result(munmap(q, 4 * page)), 0);
	use(w, q + 4 * page, 4, size - 4 * page, key);
	EXPECT(result(munmap(q + 4 * page, size - 4 * page)), 0);
}

static void wild_attach(struct worker *w)
{
	uint64_t key = wild_key(w);
	const struct npheap_mapping *m;

	if (EXPECT(npheap_attach(heap, key, any_size(w, key), &m), ENOMEM,
		   ENOSPC))
		return;
	use(w, m->addr, 0, m->size, key);
	npheap_detach(heap, m);
}

static void wild_create(struct worker *w)
{
	uint64_t key = wild_key(w), size = any_size(w, key);

	EXPECT(npheap_create(heap, key, size, size * 2,
			     dice_roll(&w->dice, 2)),
	       EEXIST, ENOMEM, ENOSPC);
}

static void wild_create_many(struct worker *w)
{
	struct npheap_create items[WILD];
	uint64_t key;
	int i;

	for (i = 0; i < WILD; i++) {
		key = crowd->key + STRICT + i;
		items[i] = (struct npheap_create){
			.key = key, .size = any_size(w, key),
		};
	}
	EXPECT(npheap_create_many(heap, items, WILD), EEXIST, ENOMEM, ENOSPC);
}

static void wild_remove(struct worker *w)
{
	EXPECT(npheap_remove(heap, wild_key(w)), 0);
}

static void wild_resize(struct worker *w)
{
	uint64_t key = wild_key(w);

	EXPECT(npheap_resize(heap, key, any_size(w, key),
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
	EXPECT(result(close(w->watch)), 0);
	w->watch = -1;
}

static void wild_reopen(struct worker *w)
{
	int fd = EXPECT(result(open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC)), 0);

	(void)w;
	EXPECT(result(close(fd)), 0);
}

/* Somebody else may have it, or nobody can; then it ends without. */
static void end_holding(uint64_t key, uint32_t way)
{
	int rc = npheap_acquire_with(heap, key, NPHEAP_TRY, NPHEAP_FOREVER);

	if (rc && rc != -EBUSY && rc != -EOWNERDEAD && rc != -ENOTRECOVERABLE)
		_exit(-rc);
	if (way % 2)
		raise(SIGKILL);
	if (way)
		_exit(0);
	execl("/proc/self/exe", "torture", "--nothing", NULL);
	_exit(99);
}

/* The child holds the lock of a wild key as it ends, or becomes another program. */
static void wild_fork(struct worker *w)
{
	uint64_t key = wild_key(w);
	uint32_t way = dice_roll(&w->dice, 8);
	int status;
	pid_t pid = EXPECT(result(fork()), EAGAIN, ENOMEM);

	if (pid < 0)
		return;
	if (!pid)
		end_holding(key, way);
	if (waitpid(pid, &status, 0) != pid)
		broken("waitpid", errno);
	log_line("the child's status", status);
	if (way % 2 ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL :
		      status)
		broken("the child ended with", status);
}

/* clang-format off */
static const struct deed deeds[] = {
	{ "write_round", 80, write_round },
	{ "read_round", 60, read_round },
	{ "notify", 60, notify },
	{ "wait", 10, wait_event },
	{ "ask", 30, ask },
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
	struct worker w = { .number = (uintptr_t)arg, .watch = -1 };
	int i;

	log_as(w.number);
	w.dice = dice_new(crowd->seed, atomic_fetch_add(&crowd->streams, 1));
	for (i = 0; i < STRICT; i++)
		w.refs[i] = (struct npheap_ref)NPHEAP_REF_INIT(heap,
							crowd->key + i);
	while (!crowd->stop) {
		const struct deed *d = choose(&w.dice);

		deed_name = d->name;
		log_line(d->name, 0);
		d->run(&w);
		log_operation();
	}
	if (w.watch >= 0)
		close(w.watch);
	return NULL;
}

static int process(void *arg)
{
	struct sigaction act = {
		.sa_handler = on_fault, .sa_flags = SA_NODEFER,
	};
	uintptr_t first = (uintptr_t)arg * crowd->threads;
	pthread_t threads[CROWD_THREADS];
	unsigned int i;

	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	for (i = 0; i < crowd->threads; i++)
		child_check(!pthread_create(&threads[i], NULL, work,
					    (void *)(first + i)));
	for (i = 0; i < crowd->threads; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* -------------------------------------------------------------- the parent -- */

/* What a process of the crowd has forked, and left, is in its group, too. */
static pid_t start(unsigned int number)
{
	pid_t pid = spawn(process, (void *)(uintptr_t)number);

	setpgid(pid, pid);
	return pid;
}

/* As waitpid() has it, once all of the group has ended. */
static int end_of(pid_t pid)
{
	int status = status_of(pid);

	while (waitpid(-pid, NULL, 0) > 0)
		;
	return status;
}

static bool one_has_ended(const pid_t *pids)
{
	unsigned int i;

	for (i = 0; i < crowd->processes; i++)
		if (has_ended(pids[i]))
			return true;
	return false;
}

/*
 * Until so many were done, and each thread has done one: whoever is stuck shall
 * not be helped by a kill.  False where one does not go on.
 */
static bool await_operations(const pid_t *pids, uint64_t count)
{
	uint64_t enough = log_operations() + count;

	log_watch();
	while (log_operations() < enough || !log_all_moved()) {
		if (crowd->stop || one_has_ended(pids) || log_is_stuck())
			return false;
		sleep_ms(1);
	}
	return true;
}

/* 0 where it was alive. */
static int kill_and_replace(pid_t *pids, unsigned int number)
{
	int status;

	kill(-pids[number], SIGKILL);
	status = end_of(pids[number]);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		printf("# crowd: a process ended by itself: %#x\n", status);
		pids[number] = 0;
		return 1;
	}
	pids[number] = start(number);
	return 0;
}

static int kill_some(pid_t *pids, uint64_t operations, long long ms,
		     struct crowd_result *result)
{
	struct dice dice = dice_new(crowd->seed, UINT32_MAX);
	long long limit = now_ms() + ms;

	while (now_ms() < limit && log_operations() < operations) {
		if (!await_operations(pids, dice_roll(&dice, KILL_EVERY)) ||
		    kill_and_replace(pids, dice_roll(&dice, crowd->processes)))
			return 1;
		result->kills++;
	}
	return 0;
}

/* As waitpid() has it; whoever is stuck is killed. */
static int await_end(pid_t pid)
{
	log_watch();
	while (!has_ended(pid)) {
		if (log_is_stuck())
			kill(-pid, SIGKILL);
		sleep_ms(1);
	}
	return end_of(pid);
}

/* Whoever waits forever is woken by the ends of the others. */
static int stop_all(pid_t *pids)
{
	unsigned int i;
	int rc = 0, status;

	crowd->stop = 1;
	for (i = 0; i < crowd->processes; i++) {
		if (!pids[i])
			continue;
		status = await_end(pids[i]);
		if (status)
			printf("# crowd: a process ended with %#x\n", status);
		rc |= status;
	}
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

/*
 * Knows the strict keys while the others work, so that their counts go on, and
 * answers.
 */
static int keep_records(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < STRICT; i++)
		child_check(!npheap_event(heap, crowd->key + i,
					  &crowd->first_events[i]));
	gate_add(&crowd->keeper, 1);
	answer_all();
	return 0;
}

static int let_keeper_go(void *arg)
{
	(void)arg;
	gate_add(&crowd->keeper, 1);
	child_check(!npheap_notify(heap, question_key(), 1));
	return 0;
}

static int crowd_new(uint64_t seed, unsigned int processes,
		     unsigned int threads)
{
	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crowd == MAP_FAILED || log_new(processes * threads) ||
	    npheap_open(NULL, 0, &heap))
		return -1;
	crowd->seed = seed;
	crowd->processes = processes;
	crowd->threads = threads;
	crowd->key = test_key();
	crowd->stamps = 1;
	return 0;
}

/* Between the keeper's first event and its last. */
static int crowd_work(uint64_t operations, long long ms,
		      struct crowd_result *result)
{
	pid_t pids[CROWD_PROCESSES] = { 0 };
	unsigned int i;
	int rc;

	/* Those whose parent was killed are waited for here. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (i = 0; i < crowd->processes; i++)
		pids[i] = start(i);
	rc = kill_some(pids, operations, ms, result);
	rc |= stop_all(pids);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	rc |= status_of(spawn(clear_up, NULL));
	if (rc)
		log_print();
	return rc;
}

int crowd_run(uint64_t seed, unsigned int processes, unsigned int threads,
	      uint64_t operations, long long ms, struct crowd_result *result)
{
	struct leftovers before = leftovers_now();
	pid_t keeper;
	int rc;

	if (crowd_new(seed, processes, threads))
		return perror("crowd"), 1;
	/* The handle of this process. */
	before.references++;
	keeper = spawn(keep_records, NULL);
	gate_wait(&crowd->keeper, 1);
	rc = crowd_work(operations, ms, result);
	rc |= status_of(spawn(let_keeper_go, NULL));
	rc |= status_of(keeper);
	result->operations = log_operations();
	rc |= !leftovers_are(before);
	npheap_close(heap);
	log_free();
	munmap(crowd, sizeof(*crowd));
	return !!rc;
}
