// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Histories for linear.c: a few processes make a few calls on one key, one of
 * them is killed now and then, and what each call returned between which
 * moments is written down.  Then the same with a new key.
 */
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "linear.h"
#include "torture.h"

/*
 * The last call gives the lock back, and each of the others may come with a step
 * of its own in the table: 4 * (2 * 7 + 1) and a crash, LINEAR_MAX at most.
 */
#define WORKERS 4
#define CALLS 8

/* So many keys may one process know: then another one goes on. */
#define ROUNDS 1000

/* What all processes share: the history, and whose turn it is. */
struct history {
	uint64_t seed;
	uint64_t key;
	uint64_t first_event;
	_Atomic uint64_t clock;
	_Atomic uint32_t count;
	struct gate round;
	_Atomic uint32_t done[WORKERS];
	struct linear_op ops[LINEAR_MAX];
	_Atomic uint64_t operations;
	_Atomic uint64_t histories;
	_Atomic uint64_t kills;
};

/* @told: notifications, as the caller was told last. */
struct caller {
	struct dice dice;
	unsigned int number;
	long told;
};

static struct history *history;
static struct npheap *heap;

static uint64_t in_us(uint64_t us)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec + us * 1000;
}

static long result(long rc)
{
	return rc < 0 ? -errno : rc;
}

/* What can be called in more than one way is, by the seed. */
static long size_by_table(uint32_t way)
{
	uint64_t size;
	long rc;

	if (way % 2)
		return result(npheap_getsize(dev, history->key)) / (long)page;
	rc = npheap_size(heap, history->key, &size);
	return rc == -ENOENT ? 0 : rc ? rc : (long)(size / page);
}

static long size_by_kernel(uint32_t way)
{
	struct npheap_stat stat;
	long rc;

	if (way % 2)
		return result(size_by_ioctl(history->key)) / (long)page;
	rc = npheap_stat(heap, history->key, &stat);
	return rc == -ENOENT ? 0 : rc ? rc : (long)(stat.size / page);
}

static long classic_lock(uint32_t way)
{
	return result(way % 2 ? npheap_lock(dev, history->key) :
				lock_by_ioctl(history->key));
}

static long give_back(uint32_t way)
{
	switch (way % 3) {
	case 0:
		return npheap_release(heap, history->key);
	case 1:
		return result(npheap_unlock(dev, history->key));
	default:
		return result(unlock_by_ioctl(history->key));
	}
}

static long find_or_create(size_t size)
{
	void *p = npheap_alloc(dev, history->key, size);

	return p == MAP_FAILED ? -errno : result(munmap(p, size));
}

static long forget(uint32_t way)
{
	struct npheap_cmd cmd = garbage_cmd(history->key * page);

	switch (way % 3) {
	case 0:
		return npheap_remove(heap, history->key);
	case 1:
		return result(npheap_delete(dev, history->key));
	default:
		return result(ioctl(dev, NPHEAP_IOCTL_DELETE, &cmd));
	}
}

static long notify(uint32_t way)
{
	struct npheap_event args = { .key = history->key, .count = 1 };

	if (way % 2)
		return npheap_notify(heap, history->key, 1);
	/* More than 0: so many were woken. */
	return ioctl(dev, NPHEAP_IOC_NOTIFY, &args) < 0 ? -errno : 0;
}

static long events_of(void)
{
	uint64_t event;
	int rc = npheap_event(heap, history->key, &event);

	return rc ? rc : (long)(event - history->first_event) / 2;
}

static long wait_for_more(long told)
{
	return npheap_wait(heap, history->key, history->first_event + 2 * told,
			   in_us(200));
}

static long make_call(enum linear_call call, long arg, uint32_t way)
{
	uint64_t key = history->key;

	switch (call) {
	case LINEAR_TRY:
		return npheap_acquire_with(heap, key, NPHEAP_TRY,
					   NPHEAP_FOREVER);
	case LINEAR_LOCK:
		return npheap_acquire_with(heap, key, 0, in_us(arg));
	case LINEAR_CLASSIC:
		return classic_lock(way);
	case LINEAR_UNLOCK:
		return give_back(way);
	case LINEAR_CONSISTENT:
		return npheap_consistent(heap, key);
	case LINEAR_CREATE:
		return npheap_create(heap, key, arg * page,
				     LINEAR_MAX_PAGES * page, 0);
	case LINEAR_ALLOC:
		return find_or_create(arg * page);
	case LINEAR_RESIZE:
		return npheap_resize(heap, key, arg * page, 0);
	case LINEAR_DELETE:
		return forget(way);
	case LINEAR_SIZE:
		return size_by_table(way);
	case LINEAR_GETSIZE:
		return size_by_kernel(way);
	case LINEAR_NOTIFY:
		return notify(way);
	case LINEAR_EVENT:
		return events_of();
	case LINEAR_WAIT:
		return wait_for_more(arg);
	case LINEAR_CRASH:
	case LINEAR_SHOW:
		break;
	}
	return -ENOSYS;
}

/* -------------------------------------------------------------- a caller -- */

/*
 * Whoever is killed in the call leaves it pending; who is killed before the last
 * line has not begun.
 */
static struct linear_op *begin(enum linear_call call, unsigned int process,
			       long arg)
{
	struct linear_op *op = &history->ops[history->count++];

	*op = (struct linear_op){
		.call = call, .process = process, .arg = arg,
		.end = LINEAR_PENDING,
	};
	atomic_thread_fence(memory_order_seq_cst);
	op->begin = ++history->clock;
	return op;
}

static void end(struct linear_op *op, long result)
{
	op->result = result;
	atomic_thread_fence(memory_order_seq_cst);
	op->end = ++history->clock;
	history->operations++;
}

static void make(struct caller *c, enum linear_call call, long arg)
{
	struct linear_op *op = begin(call, c->number, arg);
	long rc = make_call(call, arg, dice_roll(&c->dice, 6));

	end(op, rc);
	if (call == LINEAR_EVENT)
		c->told = rc;
}

/* Who has the lock gives it back soon, or the others would only wait. */
static enum linear_call choose(struct dice *dice)
{
	uint32_t roll = dice_roll(dice, LINEAR_CRASH + 2);

	return roll < LINEAR_CRASH ? roll : LINEAR_UNLOCK;
}

static void make_some(struct caller *c)
{
	enum linear_call call;
	long arg;
	int i;

	c->told = 0;
	for (i = 1; i < CALLS; i++) {
		call = choose(&c->dice);
		arg = 1 + dice_roll(&c->dice, LINEAR_MAX_PAGES);
		if (call == LINEAR_LOCK)
			arg *= 100;
		make(c, call, call == LINEAR_WAIT ? c->told : arg);
	}
	/* Whoever waits may wait for this. */
	make(c, LINEAR_UNLOCK, 0);
}

static int be_caller(void *arg)
{
	struct caller c = { .number = (uintptr_t)arg };
	uint32_t round = history->round.value;

	c.dice = dice_new(history->seed, (uint64_t)round * WORKERS + c.number);
	for (;;) {
		history->done[c.number] = round;
		gate_wait(&history->round, ++round);
		make_some(&c);
	}
	return 0;
}

/* ----------------------------------------------------------- the director -- */

/* Without those that never began. */
static size_t begun(struct linear_op *ops)
{
	size_t n = 0, i;

	for (i = 0; i < history->count; i++)
		if (history->ops[i].begin)
			ops[n++] = history->ops[i];
	return n;
}

/* Whoever ended by itself has failed, and so has who is in a call for too long. */
static void check_going(pid_t pid, int number, long long limit)
{
	struct linear_op ops[LINEAR_MAX];

	child_check(!waitpid(pid, NULL, WNOHANG));
	if (now_ms() < limit)
		return;
	printf("# process %d is stuck in its last call, which has no end:\n",
	       number);
	linear_print(ops, begun(ops));
	_exit(1);
}

/* What each of them waits for, too. */
static void await_callers(const pid_t *pids)
{
	long long limit = now_ms() + TEST_SECONDS * 1000LL;
	int i;

	for (i = 0; i < WORKERS; i++)
		while (pids[i] && history->done[i] != history->round.value) {
			check_going(pids[i], i, limit);
			sched_yield();
		}
}

static void start_callers(pid_t *pids)
{
	int i;

	for (i = 0; i < WORKERS; i++)
		if (!pids[i])
			pids[i] = spawn(be_caller, (void *)(uintptr_t)i);
	await_callers(pids);
}

static void crash(struct dice *dice, pid_t *pids)
{
	struct timespec ts = { .tv_nsec = dice_roll(dice, 1000000) };
	unsigned int who = dice_roll(dice, WORKERS);
	struct linear_op *op;
	int status;

	nanosleep(&ts, NULL);
	op = begin(LINEAR_CRASH, who, 0);
	kill(pids[who], SIGKILL);
	child_check(waitpid(pids[who], &status, 0) == pids[who]);
	child_check(WIFSIGNALED(status));
	end(op, 0);
	history->kills++;
	pids[who] = 0;
}

static void begin_round(void)
{
	history->key++;
	history->count = 0;
	memset(history->ops, 0, sizeof(history->ops));
	/* From now on the key has a record, which counts. */
	child_check(!npheap_event(heap, history->key, &history->first_event));
	gate_add(&history->round, 1);
}

/* The history is complete; nobody cares for the key any more. */
static void forget_key(void)
{
	child_check(!npheap_remove(heap, history->key));
	child_check(!npheap_break(heap, history->key));
	child_check(npheap_acquire(heap, history->key) == -EOWNERDEAD);
	child_check(!npheap_consistent(heap, history->key));
	child_check(!npheap_release(heap, history->key));
}

static void judge(void)
{
	struct linear_op ops[LINEAR_MAX];
	size_t count = begun(ops);

	history->histories++;
	if (linear_check(ops, linear_complete(ops, count)))
		return;
	printf("# no order of these calls explains what they returned:\n");
	linear_print(ops, count);
	_exit(1);
}

static int direct(void *arg)
{
	long long limit = *(long long *)arg;
	struct dice dice = dice_new(history->seed, history->round.value);
	pid_t pids[WORKERS] = { 0 };
	int i;

	for (i = 0; i < ROUNDS && now_ms() < limit; i++) {
		start_callers(pids);
		begin_round();
		if (dice_roll(&dice, 2))
			crash(&dice, pids);
		await_callers(pids);
		judge();
		forget_key();
	}
	for (i = 0; i < WORKERS; i++) {
		if (!pids[i])
			continue;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return 0;
}

int history_run(uint64_t seed, long long ms, struct history_result *result)
{
	struct leftovers before = leftovers_now();
	long long limit = now_ms() + ms;
	int rc = 0, status;
	pid_t pid;

	history = mmap(NULL, sizeof(*history), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (history == MAP_FAILED || npheap_open(NULL, 0, &heap))
		return perror("history"), 1;
	before.references++;
	history->seed = seed;
	history->key = test_key();
	while (!rc && now_ms() < limit) {
		pid = spawn(direct, &limit);
		rc = waitpid(pid, &status, 0) != pid || status;
		rc |= !leftovers_are(before);
	}
	*result = (struct history_result){
		.operations = history->operations,
		.histories = history->histories,
		.kills = history->kills,
	};
	npheap_close(heap);
	munmap(history, sizeof(*history));
	return rc;
}
