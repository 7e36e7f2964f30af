// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"
#include "undo.h"

void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
		strerror(errno));
	exit(1);
}

void check(int ok, const char *what)
{
	if (!ok)
		die(what);
}

void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

uint64_t now_ns(void)
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

uint64_t (*stamp)(void) = now_ns;

void choose_clock(void)
{
	stamp = ticks_are_instructions() ? ticks : now_ns;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, int n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] :
		       (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Those that the program was started on. */
static const cpu_set_t *usable(void)
{
	static cpu_set_t set;

	if (!CPU_COUNT(&set))
		check(!sched_getaffinity(0, sizeof(set), &set),
		      "sched_getaffinity");
	return &set;
}

static int nth(const cpu_set_t *set, int n)
{
	int cpu = 0;

	while (!CPU_ISSET(cpu, set) || n--)
		cpu++;
	return cpu;
}

void pin_to(int place)
{
	cpu_set_t set = *usable();
	int cpu;

	if (place >= 0) {
		cpu = nth(&set, place % CPU_COUNT(&set));
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
	}
	check(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

void run_until_waiting(void)
{
	struct sched_param none = { 0 };

	check(stamp == now_ns || !sched_setscheduler(0, SCHED_BATCH, &none),
	      "sched_setscheduler");
}

pid_t start(void (*body)(void *arg), void *arg, int place)
{
	pid_t parent = getpid();
	pid_t pid;

	fflush(stdout);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	pin_to(place);
	body(arg);
	_exit(0);
}

static void judge(int status, int signal)
{
	errno = ECHILD;
	check(signal ? WIFSIGNALED(status) && WTERMSIG(status) == signal :
		       WIFEXITED(status) && !WEXITSTATUS(status),
	      "a process of the measurement");
}

void finish(pid_t pid, int signal)
{
	int status;

	check(waitpid(pid, &status, 0) == pid, "waitpid");
	judge(status, signal);
}

void finish_all(unsigned int n)
{
	int status;

	while (n--) {
		check(wait(&status) > 0, "wait");
		judge(status, 0);
	}
}

void pause_ms(long ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000,
	};

	nanosleep(&ts, NULL);
}

/*
 * 'S' and so on; 0: there is none.  The name of a program, in parentheses before
 * it, may have any in it.
 */
static char state_of(pid_t pid)
{
	char path[64], stat[256], *name_end;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	n = fread(stat, 1, sizeof(stat) - 1, file);
	fclose(file);
	stat[n] = 0;
	name_end = strrchr(stat, ')');
	return name_end && name_end[1] == ' ' ? name_end[2] : 0;
}

void until_sleeps(pid_t pid)
{
	char state;

	while ((state = state_of(pid)) != 'S') {
		errno = ESRCH;
		check(state && !strchr("ZX", state),
		      "a process of the measurement");
		pause_ms(1);
	}
}

/* ------------------------------------------------------------------ limits */

static int limit_write(const char *path, unsigned long long value)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return -1;
	fprintf(file, "%llu", value);
	return fclose(file);
}

static int limit_read(const char *path, unsigned long long *value)
{
	FILE *file = fopen(path, "re");
	int n;

	if (!file)
		return -1;
	n = fscanf(file, "%llu", value);
	fclose(file);
	return n == 1 ? 0 : -1;
}

/* Less than @least afterwards: it cannot be done, and errno says why. */
uint64_t raise_system_limit(const char *path, uint64_t least)
{
	unsigned long long before = 0;

	if (limit_read(path, &before) || before >= least ||
	    undo_file(path) || limit_write(path, least))
		return before;
	limit_read(path, &before);
	return before;
}

#define HEAP "/sys/class/misc/npheap/"

int raise_limit(const char *name, uint64_t least)
{
	char path[64];

	snprintf(path, sizeof(path), HEAP "%s", name);
	errno = ENOSPC;
	return raise_system_limit(path, least) >= least ? 0 : -errno;
}

uint64_t heap_counter(const char *name)
{
	unsigned long long value;
	char path[64];

	snprintf(path, sizeof(path), HEAP "%s", name);
	check(!limit_read(path, &value), path);
	return value;
}

void await_heap_counter(const char *name, uint64_t value)
{
	int tries = 100;

	while (heap_counter(name) != value && --tries)
		pause_ms(10);
	errno = EBADMSG;
	check(tries, name);
}
