// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crew.h"

#define TICKS 10		/* a second */

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	/* SIGALRM only makes waitpid return. */
	if (sig != SIGALRM)
		stop = 1;
}

static int handle(void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	/* Without SA_RESTART: waits are to end. */
	if (sigaction(SIGALRM, &action, NULL) ||
	    sigaction(SIGINT, &action, NULL) ||
	    sigaction(SIGTERM, &action, NULL))
		return -errno;
	return 0;
}

int crew_init(void)
{
	return handle(on_signal);
}

void crew_exit(void)
{
	handle(SIG_DFL);
}

static void run(int (*work)(void *, unsigned int), void *arg,
		unsigned int index, pid_t parent)
{
	handle(SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	_exit(work(arg, index) ? 1 : 0);
}

int crew_add(struct crew *crew, int (*work)(void *arg, unsigned int index),
	     void *arg, unsigned int index)
{
	pid_t parent = getpid();
	pid_t pid;

	if (crew->size == CREW_MAX)
		return -EAGAIN;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run(work, arg, index, parent);
	crew->pids[crew->size++] = pid;
	return 0;
}

static void forget(struct crew *crew, pid_t pid)
{
	for (unsigned int i = 0; i < crew->size; i++) {
		if (crew->pids[i] == pid) {
			crew->pids[i] = crew->pids[--crew->size];
			return;
		}
	}
}

void crew_stop(struct crew *crew)
{
	for (unsigned int i = 0; i < crew->size; i++)
		kill(crew->pids[i], SIGKILL);
	while (crew->size) {
		if (waitpid(crew->pids[crew->size - 1], NULL, 0) > 0 ||
		    errno != EINTR)
			crew->size--;
	}
}

static bool ended_well(struct crew *crew, int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == 0;
	if (WTERMSIG(status) == SIGKILL && crew->killed < crew->may_be_killed) {
		crew->killed++;
		return true;
	}
	fprintf(stderr, "a worker died of signal %d\n", WTERMSIG(status));
	return false;
}

static void set_ticks(int per_second)
{
	struct timeval interval = {
		.tv_usec = per_second ? 1000000 / per_second : 0,
	};
	struct itimerval timer = {
		.it_interval = interval, .it_value = interval,
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* One worker's end, or one tick; 0 or what crew_wait() returns. */
static int wait_once(struct crew *crew, time_t deadline)
{
	struct timespec now;
	int status;
	pid_t pid = waitpid(-1, &status, 0);

	if (pid > 0) {
		forget(crew, pid);
		return ended_well(crew, status) ? 0 : -ECANCELED;
	}
	if (errno != EINTR)
		return -errno;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec >= deadline)
		return -ETIMEDOUT;
	return stop ? -EINTR : 0;
}

int crew_wait(struct crew *crew, void (*tick)(void *arg), void *arg)
{
	struct timespec now;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &now);
	set_ticks(TICKS);
	while (crew->size && !err) {
		err = wait_once(crew, now.tv_sec + CREW_SECONDS);
		if (tick)
			tick(arg);
	}
	set_ticks(0);
	crew_stop(crew);
	return err;
}
