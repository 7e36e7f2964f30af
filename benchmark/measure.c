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

const char *suite;
const char *unit;
int csv;

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

void print_head(void)
{
	if (csv)
		printf("suite,case,system,unit,value,ratio,base\n");
	else
		printf("%-20s %-20s %12.12s %8s\n", suite, "", unit, "ratio");
}

void print_row(const char *what, const char *system, double value, double ratio,
	       const char *base)
{
	if (csv)
		printf("%s,%s,%s,%s,%.0f,%.3f,%s\n", suite, what, system,
		       unit, value, ratio, base);
	else
		printf("%-20s %-20s %12.0f %8.2f %s\n", what, system, value,
		       ratio, base);
	fflush(stdout);
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

double median(double *values, int n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] :
		       (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
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
	if (cpu >= 0)
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

/* ------------------------------------------------------------------ limits */

#define LIMITS 4

static struct limit {
	char path[64];
	unsigned long long before;
} limits[LIMITS];
static int n_limits;

static void limit_write(const char *path, unsigned long long value)
{
	FILE *file = fopen(path, "we");

	check(!!file, path);
	fprintf(file, "%llu", value);
	check(!fclose(file), path);
}

static unsigned long long limit_read(const char *path)
{
	unsigned long long value = 0;
	FILE *file = fopen(path, "re");

	check(!!file, path);
	check(fscanf(file, "%llu", &value) == 1, path);
	fclose(file);
	return value;
}

static void restore_limits(void)
{
	while (n_limits--)
		limit_write(limits[n_limits].path, limits[n_limits].before);
}

void raise_limit(const char *name, uint64_t least)
{
	struct limit *limit = &limits[n_limits];

	errno = ENOSPC;
	check(n_limits < LIMITS, name);
	snprintf(limit->path, sizeof(limit->path),
		 "/sys/class/misc/npheap/%s", name);
	limit->before = limit_read(limit->path);
	if (limit->before >= least)
		return;
	if (!n_limits++)
		atexit(restore_limits);
	limit_write(limit->path, least);
}
