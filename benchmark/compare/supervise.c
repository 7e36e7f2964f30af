// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"
#include "undo.h"
#include "compare/supervise.h"

void alive(void)
{
	/* What it started dies with it. */
	alarm(HANG_SECONDS);
}

struct child {
	int (*body)(void);
	sigset_t mask;
};

static void run(void *arg)
{
	const struct child *child = arg;

	sigprocmask(SIG_SETMASK, &child->mask, NULL);
	exit(child->body());
}

/* One that is ignored, as nohup(1) has it, stays so. */
static void add_unless_ignored(sigset_t *set, int sig)
{
	struct sigaction action;

	if (!sigaction(sig, NULL, &action) && action.sa_handler != SIG_IGN)
		sigaddset(set, sig);
}

/* Returns the signal that came first, or 0 when the child has ended. */
static int wait_for(pid_t pid, const sigset_t *signals, int *status)
{
	int sig;

	do {
		sig = sigwaitinfo(signals, NULL);
		if (sig > 0 && sig != SIGCHLD)
			return sig;
	} while (waitpid(pid, status, WNOHANG) != pid);
	return 0;
}

static int result_of(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "%s: %s\n", program_invocation_short_name,
		WTERMSIG(status) == SIGALRM ? "came to a standstill" :
		strsignal(WTERMSIG(status)));
	return 1;
}

int supervise(int (*body)(void))
{
	struct child child = { .body = body };
	int sig, status = 0;
	sigset_t signals;
	pid_t pid;

	undo_init();
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	add_unless_ignored(&signals, SIGINT);
	add_unless_ignored(&signals, SIGTERM);
	add_unless_ignored(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &child.mask);
	pid = start(run, &child, -1);
	sig = wait_for(pid, &signals, &status);
	if (sig) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	undo_all();
	sigprocmask(SIG_SETMASK, &child.mask, NULL);
	if (sig)
		raise(sig);
	return result_of(status);
}
