/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel counts while something runs: system calls and page faults of
 * this process and the children that it makes meanwhile (perf events), and
 * bytes that pipes, sockets, eventfds and message queues copy from and to user
 * memory (histograms of probes; of the whole machine, so in a guest only).
 */
#ifndef METER_H
#define METER_H

struct meters {
	double calls;
	double faults;
	double copied;
};

/**
 * Between these two everything is counted; @copies: bytes, too.
 *
 * A machine that does not have a meter reads NAN.  Nothing is planted in the
 * kernel but between the two, so that what is timed elsewhere is not slowed.
 */
void meters_start(int copies);
struct meters meters_stop(void);

/* Inside of them: stop for a while.  Not for the bytes. */
void meters_pause(void);
void meters_resume(void);

#endif
