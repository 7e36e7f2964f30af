// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process that runs programs, in up to three threads, and one more thread
 * that makes those give up that wait for too long.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "fuzz.h"

/* After so many batches a worker ends, with all that it holds. */
#define LIFE 24

/* A wait that is the same at two looks in a row is given up. */
#define LOOK_MS 4

struct fuzz_thread fuzz_threads[FUZZ_THREADS];

static __thread struct fuzz_thread *self;
static pid_t worker_pid;

/* The program that runs, for the other threads. */
static const struct fuzz_program *running;
static bool printing;
static struct gate round_begun, round_done;

/* -------------------------------------------------------------- one call -- */

void fuzz_tell(struct fuzz_thread *t, uint64_t number)
{
	t->results[t->told++ % FUZZ_RESULTS] = number;
}

static uint64_t resolve(const struct fuzz_thread *t, uint64_t value)
{
	if (!FUZZ_IS_RESULT(value))
		return value;
	return t->results[(t->told - 1 - value) % FUZZ_RESULTS];
}

static void on_fault(int sig)
{
	if (self && self->state != FUZZ_OUTSIDE && getpid() == worker_pid)
		siglongjmp(self->env, sig);
	signal(sig, SIG_DFL);
}

/* A signal that comes when the call has returned changes nothing. */
static void on_patience_lost(int sig)
{
	if (self && self->state == FUZZ_IN_WAIT)
		siglongjmp(self->env, sig);
}

static long make_call(struct fuzz_thread *t, const struct fuzz_call *call)
{
	const struct fuzz_type *type = fuzz_type(call->what);
	uint64_t arg[FUZZ_ARGS];
	long rc;
	int i, sig;

	for (i = 0; i < FUZZ_ARGS; i++)
		arg[i] = resolve(t, call->arg[i]);
	sig = sigsetjmp(t->env, 0);
	if (sig) {
		t->state = FUZZ_OUTSIDE;
		return sig == SIGUSR1 ? -EINTR : -EFAULT;
	}
	t->made++;
	t->state = type->blocks ? FUZZ_IN_WAIT : FUZZ_IN_CALL;
	rc = type->run(t, arg);
	t->state = FUZZ_OUTSIDE;
	return rc;
}

/* Errors that any call may have: its descriptor or its pointer is wrong. */
static bool is_common(long error)
{
	return error == EBADF || error == EFAULT || error == ENOTTY;
}

static bool is_documented(const struct fuzz_type *type, long rc)
{
	const uint8_t *error = type->errors;

	/* No list: the call is any of them.  A wait is made to give up. */
	if (rc >= 0 || !error || is_common(-rc) ||
	    (type->blocks && rc == -EINTR))
		return true;
	while (*error && *error != -rc)
		error++;
	return *error;
}

static void print_program(const struct fuzz_program *program)
{
	char text[FUZZ_TEXT];

	printf("%.*s", (int)fuzz_print(program, text), text);
	fflush(stdout);
}

static void judge(const struct fuzz_program *program, unsigned int n, long rc)
{
	const struct fuzz_call *call = &program->calls[n];
	const struct fuzz_type *type = fuzz_type(call->what);

	fuzz->calls[call->what]++;
	if (rc >= 0)
		fuzz->succeeded[call->what]++;
	if (printing)
		printf("# %u %s: %ld %s\n", call->thread, type->name, rc,
		       rc < 0 ? strerror(-rc) : "");
	if (is_documented(type, rc) ||
	    atomic_exchange(&fuzz->told[call->what][-rc & 0xff], 1))
		return;
	fuzz->failures++;
	printf("# %s, call %u of this program, may not fail with %s:\n",
	       type->name, n + 1, strerror(-rc));
	print_program(program);
}

/* ----------------------------------------------------------- one program -- */

static bool takes_lock(const struct fuzz_call *call)
{
	const char *name = fuzz_type(call->what)->name;

	return !strcmp(name, "lock") || !strcmp(name, "acquire");
}

/* Gives back what it may hold: a wait that was given up may have ended well. */
static void give_back(struct fuzz_thread *t, const struct fuzz_program *program)
{
	const struct fuzz_call *call = program->calls;
	uint64_t key;

	for (; call < program->calls + program->length; call++) {
		if (call->thread != t->number || !takes_lock(call))
			continue;
		key = world_key(resolve(t, call->arg[1]));
		if (key <= NPHEAP_KEY_MAX)
			unlock_by_ioctl(key);
	}
}

static void run_part(struct fuzz_thread *t, const struct fuzz_program *program)
{
	unsigned int n;

	cover_begin(t);
	for (n = 0; n < program->length; n++) {
		if (program->calls[n].thread != t->number)
			continue;
		cover_call(t);
		judge(program, n, make_call(t, &program->calls[n]));
	}
	cover_call(t);
	give_back(t, program);
}

static bool has_others(const struct fuzz_program *program)
{
	unsigned int n;

	for (n = 0; n < program->length; n++)
		if (program->calls[n].thread)
			return true;
	return false;
}

void fuzz_run(const struct fuzz_program *program, bool print)
{
	static uint32_t rounds;
	bool others = has_others(program);
	unsigned int i;

	printing = print;
	running = program;
	for (i = 1; i < FUZZ_THREADS; i++)
		cover_begin(&fuzz_threads[i]);
	if (others)
		gate_add(&round_begun, 1);
	run_part(&fuzz_threads[0], program);
	if (others) {
		rounds += FUZZ_THREADS - 1;
		gate_wait(&round_done, rounds);
	}
	world_clear();
	fuzz->programs++;
}

/* --------------------------------------------------------------- threads -- */

static void begin_thread(struct fuzz_thread *t)
{
	self = t;
	t->tid = gettid();
	if (cover_possible())
		cover_start(t);
}

static void *helper(void *arg)
{
	uint32_t round;

	begin_thread(arg);
	for (round = 1;; round++) {
		gate_wait(&round_begun, round);
		run_part(arg, running);
		gate_add(&round_done, 1);
	}
	return NULL;
}

static void *lose_patience(void *arg)
{
	uint32_t seen[FUZZ_THREADS] = { 0 };
	struct fuzz_thread *t;
	int i;

	(void)arg;
	for (;;) {
		sleep_ms(LOOK_MS);
		for (i = 0; i < FUZZ_THREADS; i++) {
			t = &fuzz_threads[i];
			if (t->state == FUZZ_IN_WAIT && seen[i] == t->made)
				tgkill(worker_pid, t->tid, SIGUSR1);
			seen[i] = t->made;
		}
	}
	return NULL;
}

static void handle(int sig, void (*handler)(int))
{
	struct sigaction act = {
		.sa_handler = handler, .sa_flags = SA_NODEFER | SA_RESTART,
	};

	child_check(!sigaction(sig, &act, NULL));
}

static void start_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	child_check(!pthread_create(&thread, NULL, body, arg));
}

void fuzz_threads_start(unsigned int worker)
{
	static const struct rlimit no_core;
	unsigned int i;

	setrlimit(RLIMIT_CORE, &no_core);
	worker_pid = getpid();
	world_new(worker);
	handle(SIGSEGV, on_fault);
	handle(SIGBUS, on_fault);
	handle(SIGUSR1, on_patience_lost);
	for (i = 0; i < FUZZ_THREADS; i++)
		fuzz_threads[i].number = i;
	begin_thread(&fuzz_threads[0]);
	for (i = 1; i < FUZZ_THREADS; i++)
		start_thread(helper, &fuzz_threads[i]);
	start_thread(lose_patience, NULL);
}

/* --------------------------------------------------------------- batches -- */

/* Each of those that were there at first runs once as it is. */
static bool choose_known(struct fuzz_program *program)
{
	uint32_t n = fuzz->replayed;

	if (n < fuzz->loaded)
		n = fuzz->replayed++;
	program->known = n < fuzz->loaded;
	if (program->known)
		fuzz_copy(program, &fuzz->corpus[n]);
	return program->known;
}

static void choose(struct fuzz_program *program, struct dice *dice)
{
	const struct fuzz_program *from = corpus_any(dice), *other;

	if (choose_known(program))
		return;
	if (!from || !dice_roll(dice, 8))
		return fuzz_generate(program, dice);
	other = corpus_any(dice);
	fuzz_copy(program, from);
	fuzz_mutate(program, other ? other : from, dice);
}

/* Written before it runs: what is there when the kernel dies was its end. */
static void write_down(int fd, const struct fuzz_batch *batch)
{
	static char text[FUZZ_BATCH * FUZZ_TEXT];
	size_t n = 0;
	unsigned int i;

	for (i = 0; i < FUZZ_BATCH; i++)
		n += fuzz_print(&batch->programs[i], text + n);
	child_check(!ftruncate(fd, 0));
	child_check(pwrite(fd, text, n, 0) == (ssize_t)n);
}

static int open_record(const struct fuzz_work *work)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/fuzz.%u", work->settings->out,
		 work->worker);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	child_check(fd >= 0);
	return fd;
}

/* Whatever comes of the run, what it found is there. */
static void keep(const struct fuzz_work *work,
		 const struct fuzz_program *program)
{
	char path[256], text[FUZZ_TEXT];
	size_t size = fuzz_print(program, text);
	int fd;

	corpus_add(program);
	snprintf(path, sizeof(path), "%s/found.%u", work->settings->out,
		 work->worker);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	child_check(fd >= 0 && write(fd, text, size) == (ssize_t)size);
	close(fd);
}

static void run_batch(const struct fuzz_work *work, struct fuzz_batch *batch)
{
	unsigned int i;

	for (i = 0; i < FUZZ_BATCH && !fuzz->stop; i++) {
		batch->since = now_ms();
		fuzz_run(&batch->programs[i], false);
		if (cover_news() && !batch->programs[i].known)
			keep(work, &batch->programs[i]);
	}
	batch->since = 0;
}

int fuzz_worker(void *arg)
{
	const struct fuzz_work *work = arg;
	struct fuzz_batch *batch = &fuzz->batches[work->worker];
	struct dice dice = dice_new(work->settings->seed,
				    work->life * FUZZ_WORKERS + work->worker);
	int record, i, n;

	fuzz_threads_start(work->worker);
	record = open_record(work);
	for (n = 0; n < LIFE && !fuzz->stop; n++) {
		for (i = 0; i < FUZZ_BATCH; i++)
			choose(&batch->programs[i], &dice);
		write_down(record, batch);
		run_batch(work, batch);
	}
	return 0;
}

int fuzz_replay(void *arg)
{
	const struct fuzz_settings *s = arg;
	unsigned int n, times;
	int count = corpus_load(s->replay);

	if (count < 0)
		return 2;
	fuzz_threads_start(0);
	for (times = 0; times < s->times; times++)
		for (n = 0; n < fuzz->corpus_length; n++)
			fuzz_run(&fuzz->corpus[n], s->times == 1);
	return !!fuzz->failures;
}
