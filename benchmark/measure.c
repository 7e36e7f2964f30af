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

void pin_to(int cpu)
{
	long i, n = sysconf(_SC_NPROCESSORS_CONF);
	cpu_set_t set;

	CPU_ZERO(&set);
	for (i = 0; i < n; i++)
		if (cpu < 0 || i == cpu)
			CPU_SET(i, &set);
	check(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

pid_t start(void (*body)(void *arg), void *arg, int cpu)
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
	pin_to(cpu);
	body(arg);
	_exit(0);
}

void finish(pid_t pid, int signal)
{
	int status;

	check(waitpid(pid, &status, 0) == pid, "waitpid");
	errno = ECHILD;
	check(signal ? WIFSIGNALED(status) && WTERMSIG(status) == signal :
		       WIFEXITED(status) && !WEXITSTATUS(status),
	      "a process of the measurement");
}

void pause_ms(long ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000,
	};

	nanosleep(&ts, NULL);
}

/* The name of a program, in parentheses before its state, may have any in it. */
static int sleeps(pid_t pid)
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
	return name_end && name_end[1] == ' ' && name_end[2] == 'S';
}

void until_sleeps(pid_t pid)
{
	while (!sleeps(pid))
		pause_ms(1);
}

/* ------------------------------------------------------------------ limits */

#define LIMITS 8

static struct limit {
	char path[64];
	unsigned long long before;
} limits[LIMITS];
static int n_limits;

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

static void restore_limits(void)
{
	while (n_limits--)
		check(!limit_write(limits[n_limits].path,
				   limits[n_limits].before),
		      limits[n_limits].path);
}

/* What it was before it is remembered the first time. */
static void remember_limit(const char *path, unsigned long long before)
{
	int i;

	for (i = 0; i < n_limits; i++)
		if (!strcmp(limits[i].path, path))
			return;
	errno = ENOSPC;
	check(n_limits < LIMITS, path);
	snprintf(limits[i].path, sizeof(limits[i].path), "%s", path);
	limits[i].before = before;
	if (!n_limits++)
		atexit(restore_limits);
}

/* Less than @least afterwards: it cannot be done, and errno says why. */
static unsigned long long raise_file(const char *path, uint64_t least)
{
	unsigned long long before = 0;

	if (limit_read(path, &before) || before >= least ||
	    limit_write(path, least))
		return before;
	remember_limit(path, before);
	limit_read(path, &before);
	return before;
}

void raise_limit(const char *name, uint64_t least)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/misc/npheap/%s", name);
	check(raise_file(path, least) >= least, path);
}

uint64_t raise_system_limit(const char *path, uint64_t least)
{
	return raise_file(path, least);
}
