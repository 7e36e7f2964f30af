/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Worker processes that succeed together or are ended together.
 *
 * Workers die with their parent.  The parent never hangs: a worker that
 * fails, a deadline, SIGINT and SIGTERM end all of them.
 */
#ifndef CREW_H
#define CREW_H

#include <sys/types.h>

#define CREW_MAX 64
#define CREW_SECONDS 300	/* until a crew counts as stuck */

struct crew {
	pid_t pids[CREW_MAX];
	unsigned int size;
	unsigned int may_be_killed;	/* deaths by SIGKILL that are planned */
	unsigned int killed;		/* and how many there were */
};

/** crew_init() - once, before the first worker */
int crew_init(void);

/** crew_exit() - when no more workers will come: signals are as they were */
void crew_exit(void);

/**
 * crew_add() - fork a worker that runs @work(@arg, @index)
 *
 * The worker fails where @work returns anything but 0.
 *
 * Return: 0 or -errno; call crew_wait() also then, for those that run.
 */
int crew_add(struct crew *crew, int (*work)(void *arg, unsigned int index),
	     void *arg, unsigned int index);

/**
 * crew_wait() - wait until every worker has ended
 * @tick: called ten times a second, or NULL
 *
 * Return: 0, -ECANCELED (a worker failed), -ETIMEDOUT or -EINTR (a signal);
 * no worker is left in either case.
 */
int crew_wait(struct crew *crew, void (*tick)(void *arg), void *arg);

/** crew_stop() - end all workers now */
void crew_stop(struct crew *crew);

#endif
