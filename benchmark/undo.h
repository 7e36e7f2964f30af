/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the benchmarks change on the machine, and put back in the end.
 *
 * The process that undo_init() was called in, or else the one that changed
 * something first, puts everything back as it exits; its children do not.
 */
#ifndef UNDO_H
#define UNDO_H

/**
 * undo_init() - let this process put back what it and its children change
 *
 * Before they are forked.  Ends the program where there is no memory.
 */
void undo_init(void);

/**
 * undo_later() - before something is changed: say how to put it back
 * @undo: called with @what when the process exits; it may find that there is
 *	nothing to be put back
 * @what: less than 128 bytes, which are copied
 *
 * The same @undo and @what are remembered once.  Ends the program where more
 * than 32 changes are.
 */
void undo_later(void (*undo)(const char *what), const char *what);

/** undo_now() - put that back now, and forget it */
void undo_now(void (*undo)(const char *what), const char *what);

/** decimal() - a number as @what, until the next call */
const char *decimal(unsigned long number);

/**
 * undo_file() - before a file of a line is written: what it says is to be put back
 *
 * Return: 0, or -errno where it cannot be read and written.
 */
int undo_file(const char *path);

/** undo_file_now() - put that file back now, if it is to be, and forget it */
void undo_file_now(const char *path);

/** undo_mount() - before something is mounted on a directory, which goes, too */
void undo_mount(const char *path);

/** undo_all() - put everything back */
void undo_all(void);

#endif
