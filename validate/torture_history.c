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

struct caller {
	struct dice dice;
	unsigned int number;
};

static struct history *history;
static struct npheap *heap;

static uint64_t in_us(uint64_t us)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec + us * 1000;
}

static long pages_of(void)
{
	uint64_t size;
	int rc = npheap_size(heap, history->key, &size);

	return rc == -ENOENT ? 0 : rc ? rc : (long)(size / page);
}

static long events_of(void)
{
	uint64_t event;
	int rc = npheap_event(heap, history->key, &event);

	return rc ? rc : (long)(event - history->first_event) / 2;
}

static long make_call(enum linear_call call, long arg)
{
	uint64_t key = history->key;

	switch (call) {
	case LINEAR_TRY:
		return npheap_acquire_with(heap, key, NPHEAP_TRY,
					   NPHEAP_FOREVER);
	case LINEAR_LOCK:
		return npheap_acquire_with(heap, key, 0, in_us(arg));
	case LINEAR_UNLOCK:
		return npheap_release(heap, key);
	case LINEAR_CONSISTENT:
		return npheap_consistent(heap, key);
	case LINEAR_CREATE:
		return npheap_create(heap, key, arg * page, 8 * page, 0);
	case LINEAR_RESIZE:
		return npheap_resize(heap, key, arg * page, 0);
	case LINEAR_DELETE:
		return npheap_remove(heap, key);
	case LINEAR_SIZE:
		return pages_of();
	case LINEAR_NOTIFY:
		return npheap_notify(heap, key, 1);
	case LINEAR_EVENT:
		return events_of();
	case LINEAR_CRASH:
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

	end(op, make_call(call, arg));
}

static void make_some(struct caller *c)
{
	enum linear_call call;
	int i;

	for (i = 1; i < CALLS; i++) {
		call = dice_roll(&c->dice, LINEAR_CRASH);
		make(c, call, (1 + dice_roll(&c->dice, 8)) *
			      (call == LINEAR_LOCK ? 100 : 1));
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

/* What each of them waits for, too; and whoever ended by itself has failed. */
static void await_callers(const pid_t *pids)
{
	long long limit = now_ms() + 60000;
	int i;

	for (i = 0; i < WORKERS; i++)
		while (pids[i] && history->done[i] != history->round.value) {
			child_check(!kill(pids[i], 0) && now_ms() < limit);
			child_check(!waitpid(pids[i], NULL, WNOHANG));
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

/*
 * A size is read from the table, where it stays for a moment after the object
 * is deleted: what a resize is told then is not in the same order.
 */
static bool is_told_earlier(const struct linear_op *op)
{
	return op->call == LINEAR_RESIZE && op->result == -ENOENT;
}

/* Without those that never began. */
static size_t complete(struct linear_op *ops)
{
	size_t n = 0, i;

	for (i = 0; i < history->count; i++)
		if (history->ops[i].begin &&
		    !is_told_earlier(&history->ops[i]))
			ops[n++] = history->ops[i];
	return n;
}

static void judge(void)
{
	struct linear_op ops[LINEAR_MAX];
	size_t count = complete(ops);

	history->histories++;
	if (linear_check(ops, count))
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
