// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What locks cost: the calls of NP-Heap beside the other locks that processes
 * can share, in the same run.
 *
 * Where the time-stamp counter counts instructions (scripts/vm --icount) that
 * is what is printed, otherwise nanoseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <npheap.h>

/* clang-format off */
static const char usage[] =
"usage: locks [--csv] [--calls | --handoff | --fairness]\n"
"\n"
"Compares the locks of " NPHEAP_DEVICE " with others.\n"
"\n"
"  --calls     one process: the cost of lock and unlock, and of the calls\n"
"              beside them (default)\n"
"  --handoff   two processes on two processors: from one's unlock to the\n"
"              other's lock, and from a holder's death to the next owner\n"
"  --fairness  64 processes, 100 rounds: how often one is overtaken\n"
"  --csv       print suite,case,system,unit,value,ratio\n"
"  -h, --help  print this text\n"
"\n"
"The ratio is to the process-shared robust mutex.\n"
"Exit status: 0 measured, 1 something did not work, 2 bad arguments.\n";
/* clang-format on */

#define KEY 0x10c5ULL
#define LOCKS 3

static int csv;
static const char *suite;
static const char *unit;

static int dev;
static struct npheap *heap;
static uint64_t page;
static pthread_mutex_t *robust, *plain;

static void die(const char *what)
{
	fprintf(stderr, "locks: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(int ok, const char *what)
{
	if (!ok)
		die(what);
}

static void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

/* --------------------------------------------------------------- printing */

static void print_row(const char *what, const char *system, double value,
		      double ratio)
{
	if (csv)
		printf("%s,%s,%s,%s,%.0f,%.3f\n", suite, what, system, unit,
		       value, ratio);
	else
		printf("%-14s %-20s %10.0f %8.2f\n", what, system, value,
		       ratio);
}

static void print_head(void)
{
	if (csv)
		printf("suite,case,system,unit,value,ratio\n");
	else
		printf("%-14s %-20s %10.10s %8s\n", suite, "", unit,
		       "ratio");
}

/* --------------------------------------------------------------- measuring */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

#ifdef __x86_64__
static uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

#define SPINS 100000
/* Two instructions a round; what an interrupt adds is less than another. */
static void spin(void)
{
	uint64_t n = SPINS;

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n) : : "cc");
}

static int ticks_are_instructions(void)
{
	uint64_t took = UINT64_MAX;
	int i;

	for (i = 0; i < 10; i++) {
		uint64_t began = ticks();

		spin();
		began = ticks() - began;
		if (began < took)
			took = began;
	}
	return took >= 2 * SPINS && took < 2 * SPINS + 100;
}
#else
static uint64_t ticks(void)
{
	return 0;
}

static int ticks_are_instructions(void)
{
	return 0;
}
#endif

static uint64_t (*stamp)(void);

static void choose_clock(void)
{
	if (ticks_are_instructions()) {
		stamp = ticks;
		unit = "instr";
	} else {
		stamp = now_ns;
		unit = "ns";
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] :
		       (values[n / 2 - 1] + values[n / 2]) / 2;
}

#define REPETITIONS 15
#define LOOPS 2000

static void nothing(void)
{
	__asm__ volatile("" : : : "memory");
}

static double measure(void (*run)(void))
{
	void (*volatile target)(void) = run;
	double values[REPETITIONS];
	int i, n;

	for (i = 0; i < REPETITIONS; i++) {
		uint64_t began = stamp();

		for (n = 0; n < LOOPS; n++)
			target();
		values[i] = (double)(stamp() - began) / LOOPS;
	}
	return median(values, REPETITIONS);
}

/* --------------------------------------------------------------- the calls */

static int lock_file, sem_id;
static int failures;

static void expect(int rc)
{
	failures += rc != 0;
}

static void pair_classic(void)
{
	npheap_lock(dev, KEY);
	npheap_unlock(dev, KEY);
}

static void pair_handle(void)
{
	npheap_acquire(heap, KEY);
	npheap_release(heap, KEY);
}

static void pair_shared(void)
{
	npheap_acquire_with(heap, KEY, NPHEAP_SHARED, NPHEAP_FOREVER);
	npheap_release(heap, KEY);
}

static void pair_ioctl(void)
{
	struct npheap_cmd cmd = { .offset = KEY * page };

	ioctl(dev, NPHEAP_IOCTL_LOCK, &cmd);
	ioctl(dev, NPHEAP_IOCTL_UNLOCK, &cmd);
}

static void pair_robust(void)
{
	pthread_mutex_lock(robust);
	pthread_mutex_unlock(robust);
}

static void pair_plain(void)
{
	pthread_mutex_lock(plain);
	pthread_mutex_unlock(plain);
}

static void pair_flock(void)
{
	flock(lock_file, LOCK_EX);
	flock(lock_file, LOCK_UN);
}

static void pair_semop(void)
{
	struct sembuf down = { .sem_op = -1, .sem_flg = SEM_UNDO };
	struct sembuf up = { .sem_op = 1, .sem_flg = SEM_UNDO };

	semop(sem_id, &down, 1);
	semop(sem_id, &up, 1);
}

static void pair_fcntl_by(int command)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

	fcntl(lock_file, command, &l);
	l.l_type = F_UNLCK;
	fcntl(lock_file, command, &l);
}

static void pair_fcntl(void)
{
	pair_fcntl_by(F_SETLK);
}

static void pair_ofd(void)
{
	pair_fcntl_by(F_OFD_SETLK);
}

static void call_getsize(void)
{
	npheap_getsize(dev, KEY);
}

static void call_getsize_ioctl(void)
{
	struct npheap_cmd cmd = { .offset = KEY * page };

	ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd);
}

static void call_notify(void)
{
	npheap_notify(heap, KEY, 1);
}

static void call_event(void)
{
	uint64_t event;

	npheap_event(heap, KEY, &event);
}

static void call_empty(void)
{
	syscall(SYS_getppid);
}

static const struct call {
	const char *what;
	const char *system;
	void (*run)(void);
} calls[] = {
	{ "lock+unlock", "robust-mutex", pair_robust },
	{ "lock+unlock", "npheap", pair_classic },
	{ "lock+unlock", "npheap-handle", pair_handle },
	{ "lock+unlock", "npheap-shared", pair_shared },
	{ "lock+unlock", "npheap-ioctl", pair_ioctl },
	{ "lock+unlock", "mutex-pshared", pair_plain },
	{ "lock+unlock", "flock", pair_flock },
	{ "lock+unlock", "semop-undo", pair_semop },
	{ "lock+unlock", "fcntl", pair_fcntl },
	{ "lock+unlock", "fcntl-ofd", pair_ofd },
	{ "getsize", "npheap", call_getsize },
	{ "getsize", "npheap-ioctl", call_getsize_ioctl },
	{ "notify", "npheap", call_notify },
	{ "event", "npheap", call_event },
	{ "empty", "system-call", call_empty },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static pthread_mutex_t *mutex_new(int is_robust)
{
	pthread_mutex_t *mutex = shared_memory(sizeof(*mutex));
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (is_robust)
		pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return mutex;
}

static void open_lock_file(void)
{
	char name[] = "/dev/shm/locks.XXXXXX";
	char here[] = "./locks.XXXXXX";

	lock_file = mkstemp(name);
	if (lock_file >= 0) {
		unlink(name);
		return;
	}
	lock_file = mkstemp(here);
	check(lock_file >= 0, "a file to lock");
	unlink(here);
}

static void remove_semaphore(void)
{
	semctl(sem_id, 0, IPC_RMID);
}

static void prepare_peers(void)
{
	open_lock_file();
	sem_id = semget(IPC_PRIVATE, 1, 0600);
	check(sem_id >= 0, "semget");
	check(!semctl(sem_id, 0, SETVAL, 1), "semctl");
}

/* Each of them works before it is measured. */
static void try_all(void)
{
	struct sembuf none = { .sem_flg = IPC_NOWAIT };
	size_t i;

	for (i = 0; i < CALLS; i++) {
		errno = 0;
		calls[i].run();
		if (errno)
			die(calls[i].system);
	}
	/* It is 1 again, so waiting for 0 fails. */
	expect(semop(sem_id, &none, 1) == -1 ? 0 : -1);
	expect(npheap_acquire_with(heap, KEY, NPHEAP_TRY, NPHEAP_FOREVER));
	expect(npheap_release(heap, KEY));
	check(!failures, "the state after all pairs");
}

static int measure_calls(void)
{
	double overhead, base = 0, value;
	void *object = npheap_alloc(dev, KEY, page);
	size_t i;

	check(object != MAP_FAILED, "npheap_alloc");
	suite = "locks";
	prepare_peers();
	try_all();
	print_head();
	overhead = measure(nothing);
	for (i = 0; i < CALLS; i++) {
		value = measure(calls[i].run) - overhead;
		if (!base)
			base = value;
		print_row(calls[i].what, calls[i].system, value,
			  value / base);
	}
	remove_semaphore();
	npheap_delete(dev, KEY);
	return 0;
}

/* ------------------------------------------------- locks of several processes */

struct kind {
	const char *name;
	void (*lock)(int i);
	void (*unlock)(int i);
};

static pthread_mutex_t *ring[LOCKS];

/* The next after a death is told of it, and settles it. */
static void robust_lock(int i)
{
	if (pthread_mutex_lock(ring[i]) == EOWNERDEAD)
		pthread_mutex_consistent(ring[i]);
}

static void robust_unlock(int i)
{
	pthread_mutex_unlock(ring[i]);
}

static void heap_lock(int i)
{
	if (npheap_acquire(heap, KEY + i) == -EOWNERDEAD)
		npheap_consistent(heap, KEY + i);
}

static void heap_unlock(int i)
{
	npheap_release(heap, KEY + i);
}

static const struct kind by_robust = {
	"robust-mutex", robust_lock, robust_unlock,
};
static const struct kind by_heap = {
	"npheap", heap_lock, heap_unlock,
};

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	check(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

/* What the processes of one measurement share. */
struct stage {
	_Atomic int ready;
	_Atomic int go;
	volatile uint64_t began;
	volatile uint64_t ended;
};

static struct stage *stage;

static void meet(int n)
{
	atomic_fetch_add(&stage->ready, 1);
	while (atomic_load(&stage->ready) < n)
		sched_yield();
}

static pid_t start(void (*body)(const struct kind *kind), int cpu,
		   const struct kind *kind)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin_to(cpu);
	body(kind);
	_exit(0);
}

static void finish(pid_t pid, int signal)
{
	int status;

	check(waitpid(pid, &status, 0) == pid, "waitpid");
	errno = ECHILD;
	check(signal ? WIFSIGNALED(status) && WTERMSIG(status) == signal :
		       WIFEXITED(status) && !WEXITSTATUS(status),
	      "a process of the measurement");
}

static void stage_new(void)
{
	if (!stage)
		stage = shared_memory(sizeof(*stage));
	memset(stage, 0, sizeof(*stage));
}

/* ---------------------------------------------------------------- hand-off */

#define HOPS 1000
#define ROUNDS 15

/*
 * Hand over hand round a ring of three locks: each of the two always holds
 * the one that the other wants next, so every step is a hand-off.
 */
static void climb(const struct kind *kind, int held)
{
	int i, next;

	for (i = 0; i < HOPS; i++) {
		next = (held + 1) % LOCKS;
		kind->lock(next);
		kind->unlock(held);
		held = next;
	}
	kind->unlock(held);
}

static void know_all(const struct kind *kind)
{
	int i;

	for (i = 0; i < LOCKS; i++) {
		kind->lock(i);
		kind->unlock(i);
	}
}

static void first_climber(const struct kind *kind)
{
	know_all(kind);
	meet(2);
	kind->lock(0);
	meet(4);
	stage->began = now_ns();
	climb(kind, 0);
}

static void second_climber(const struct kind *kind)
{
	know_all(kind);
	meet(2);
	kind->lock(1);
	meet(4);
	climb(kind, 1);
	stage->ended = now_ns();
}

static double ping_pong(const struct kind *kind)
{
	pid_t first, second;

	stage_new();
	first = start(first_climber, 0, kind);
	second = start(second_climber, 1, kind);
	finish(first, 0);
	finish(second, 0);
	return (double)(stage->ended - stage->began) / (2 * HOPS);
}

static void give_back(const struct kind *kind)
{
	kind->lock(0);
	meet(2);
	/* Until the other one waits. */
	usleep(3000);
	stage->began = now_ns();
	kind->unlock(0);
}

static size_t heavy;

/* In small pages, each of which has to be given back. */
static void put_on_weight(size_t size)
{
	volatile char *p;
	size_t i;

	if (!size)
		return;
	p = shared_memory(size);
	madvise((void *)p, size, MADV_NOHUGEPAGE);
	for (i = 0; i < size; i += page)
		p[i] = 1;
}

static void die_with_it(const struct kind *kind)
{
	put_on_weight(heavy);
	kind->lock(0);
	meet(2);
	usleep(3000);
	stage->began = now_ns();
	kill(getpid(), SIGKILL);
}

static void come_next(const struct kind *kind)
{
	meet(2);
	kind->lock(0);
	stage->ended = now_ns();
	kind->unlock(0);
}

static double from_one_to_next(const struct kind *kind, int by_death)
{
	pid_t holder, next;

	stage_new();
	holder = start(by_death ? die_with_it : give_back, 0, kind);
	next = start(come_next, 1, kind);
	finish(holder, by_death ? SIGKILL : 0);
	finish(next, 0);
	return stage->ended - stage->began;
}

static double one_after_another(const struct kind *kind)
{
	return from_one_to_next(kind, 0);
}

static double by_death(const struct kind *kind)
{
	return from_one_to_next(kind, 1);
}

/* Its memory is given back, too, and perhaps before its locks are. */
#define HEAVY (32 << 20)

static double by_death_of_a_large_process(const struct kind *kind)
{
	double took;

	heavy = HEAVY;
	took = from_one_to_next(kind, 1);
	heavy = 0;
	return took;
}

struct column {
	const char *what;
	const char *system;
	const struct kind *kind;
	double (*measure)(const struct kind *kind);
	double values[ROUNDS];
};

/* The rows are measured in turn; each ratio is of values of the same turn. */
static void measure_in_turn(struct column *columns, int n)
{
	double ratios[ROUNDS], copy[ROUNDS];
	int c, i;

	for (i = 0; i < ROUNDS; i++)
		for (c = 0; c < n; c++)
			columns[c].values[i] =
				columns[c].measure(columns[c].kind);
	for (c = 0; c < n; c++) {
		for (i = 0; i < ROUNDS; i++) {
			copy[i] = columns[c].values[i];
			ratios[i] = copy[i] / columns[0].values[i];
		}
		print_row(columns[c].what, columns[c].system,
			  median(copy, ROUNDS), median(ratios, ROUNDS));
	}
}

static int measure_handoff(void)
{
	struct column hops[] = {
		{ "ping-pong", "robust-mutex", &by_robust, ping_pong, { 0 } },
		{ "ping-pong", "npheap", &by_heap, ping_pong, { 0 } },
		{ "ping-pong", "robust-mutex-again", &by_robust, ping_pong,
		  { 0 } },
		{ "ping-pong", "npheap-again", &by_heap, ping_pong, { 0 } },
	};
	struct column ends[] = {
		{ "hand-off", "robust-mutex", &by_robust, one_after_another,
		  { 0 } },
		{ "hand-off", "npheap", &by_heap, one_after_another, { 0 } },
		{ "hand-off", "npheap-again", &by_heap, one_after_another,
		  { 0 } },
		{ "death", "robust-mutex", &by_robust, by_death, { 0 } },
		{ "death", "npheap", &by_heap, by_death, { 0 } },
		{ "death-32MiB", "robust-mutex", &by_robust,
		  by_death_of_a_large_process, { 0 } },
		{ "death-32MiB", "npheap", &by_heap,
		  by_death_of_a_large_process, { 0 } },
	};
	int i;

	suite = "locks-handoff";
	unit = "ns";
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		fprintf(stderr, "locks: --handoff needs two processors\n");
		return 1;
	}
	for (i = 0; i < LOCKS; i++)
		ring[i] = mutex_new(1);
	print_head();
	measure_in_turn(hops, sizeof(hops) / sizeof(hops[0]));
	measure_in_turn(ends, sizeof(ends) / sizeof(ends[0]));
	return 0;
}

/* ---------------------------------------------------------------- fairness */

#define CROWD 64
#define TURNS 100

/* Who came and who got the lock, in the order in which it happened. */
struct history {
	_Atomic uint32_t length;
	struct {
		volatile uint16_t who;
		volatile uint16_t got;
	} entries[2 * CROWD * TURNS];
};

static struct history *history;

static void note(int who, int got)
{
	uint32_t i = atomic_fetch_add(&history->length, 1);

	history->entries[i].who = who;
	history->entries[i].got = got;
}

static void take_turns(const struct kind *kind, int me)
{
	int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	kind->lock(1);
	kind->unlock(1);
	for (i = 0; i < TURNS; i++) {
		note(me, 0);
		kind->lock(0);
		note(me, 1);
		kind->unlock(0);
	}
	_exit(0);
}

struct overtaking {
	int by_one;
	int by_all;
};

/* What happened to the one that came at entry @i. */
static void count_overtaking(uint32_t i, struct overtaking *worst)
{
	int me = history->entries[i].who, all = 0;
	int by[CROWD] = { 0 }, behind[CROWD] = { 0 };

	while (++i < history->length) {
		int who = history->entries[i].who;

		if (!history->entries[i].got) {
			behind[who] = 1;
			continue;
		}
		if (who == me)
			break;
		if (!behind[who])
			continue;
		all++;
		if (++by[who] > worst->by_one)
			worst->by_one = by[who];
	}
	if (all > worst->by_all)
		worst->by_all = all;
}

static struct overtaking run_crowd(const struct kind *kind)
{
	struct overtaking worst = { 0 };
	pid_t pids[CROWD];
	uint32_t n;
	int i;

	memset(history, 0, sizeof(*history));
	fflush(stdout);
	/* All wait before the first one gets it, so that the loop is closed. */
	kind->lock(0);
	for (i = 0; i < CROWD; i++) {
		pids[i] = fork();
		check(pids[i] >= 0, "fork");
		if (!pids[i])
			take_turns(kind, i);
	}
	while (history->length < CROWD)
		usleep(1000);
	usleep(200000);
	kind->unlock(0);
	for (i = 0; i < CROWD; i++)
		finish(pids[i], 0);
	for (n = 0; n < history->length; n++)
		if (!history->entries[n].got)
			count_overtaking(n, &worst);
	return worst;
}

static int measure_fairness(void)
{
	struct overtaking peer, ours;
	int i;

	suite = "locks-fairness";
	unit = "times";
	history = shared_memory(sizeof(*history));
	for (i = 0; i < LOCKS; i++)
		ring[i] = mutex_new(1);
	print_head();
	peer = run_crowd(&by_robust);
	ours = run_crowd(&by_heap);
	print_row("by the same", by_robust.name, peer.by_one, 1);
	print_row("by the same", by_heap.name, ours.by_one,
		  (double)ours.by_one / peer.by_one);
	print_row("by all", by_robust.name, peer.by_all, 1);
	print_row("by all", by_heap.name, ours.by_all,
		  (double)ours.by_all / peer.by_all);
	return 0;
}

/* -------------------------------------------------------------------- main */

static void prepare(void)
{
	page = sysconf(_SC_PAGESIZE);
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	check(dev >= 0, NPHEAP_DEVICE);
	errno = -npheap_open(NULL, 0, &heap);
	check(!errno, NPHEAP_DEVICE);
	robust = mutex_new(1);
	plain = mutex_new(0);
	choose_clock();
}

int main(int argc, char **argv)
{
	int (*run)(void) = measure_calls;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--csv")) {
			csv = 1;
		} else if (!strcmp(argv[i], "--calls")) {
			run = measure_calls;
		} else if (!strcmp(argv[i], "--handoff")) {
			run = measure_handoff;
		} else if (!strcmp(argv[i], "--fairness")) {
			run = measure_fairness;
		} else if (!strcmp(argv[i], "-h") ||
			   !strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			return 0;
		} else {
			fputs(usage, stderr);
			return 2;
		}
	}
	prepare();
	return run();
}
