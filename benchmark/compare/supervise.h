/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What measures is a child of a process that does nothing but wait for it: so
 * the machine is put back as it was (undo.h) also where a measurement crashes,
 * hangs, or is interrupted.
 */
#ifndef SUPERVISE_H
#define SUPERVISE_H

/** A step that takes so many seconds has come to a standstill. */
#define HANG_SECONDS 600

/**
 * supervise() - run @body in a child, and put back what it changed
 *
 * SIGINT, SIGTERM and SIGHUP end the child, and then this process.
 *
 * Return: what @body returned, or 1 and a word where a signal ended it.
 */
int supervise(int (*body)(void));

/** alive() - in the child: the next step begins, and may take HANG_SECONDS */
void alive(void);

#endif
