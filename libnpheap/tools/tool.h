/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the commands of npheap(1) share: arguments, messages, the heap, and its
 * locks.  A command is cmd_NAME(), which is given its own arguments and returns
 * the exit status.  Errors in arguments end the program before anything has
 * been changed.
 */
#ifndef NPHEAP_TOOL_H
#define NPHEAP_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <npheap.h>

/* Exit statuses, besides EXIT_SUCCESS and EXIT_FAILURE. */
enum {
	EXIT_USAGE = 2,		/* the arguments are wrong */
	EXIT_NOT_RUN = 126,	/* lock: the command cannot be executed */
	EXIT_NOT_FOUND = 127,	/* lock: there is no such command */
};

int cmd_ls(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_put(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_resize(int argc, char **argv);
int cmd_lock(int argc, char **argv);
int cmd_unlock(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/** Ends the program: says what is wrong with the arguments, like printf. */
void usage_error(const char *format, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

/** The same after getopt has said it. */
void bad_option(void) __attribute__((noreturn));

/** The command that runs; "" where that is not known yet. */
const char *command_name(void);

/** Prints the usage of the command that runs, and ends the program. */
void print_help(void) __attribute__((noreturn));

/** A key, in decimal or in hexadecimal with 0x. */
uint64_t parse_key(const char *text);

/** So many keys, all of the arguments that are left; at least one. */
uint64_t *parse_keys(int argc, char **argv, size_t *count);

/** Bytes; K, M, G, T and P stand for powers of 1024, KB and so on of 1000. */
uint64_t parse_size(const char *text);

/** A number from 0 to @max, in decimal. */
unsigned long parse_number(const char *text, unsigned long max);

/** Seconds, with a fraction if need be, from now on CLOCK_MONOTONIC, in ns. */
uint64_t parse_deadline(const char *text);

/** The number in a file of sysfs; -1 where there is none. */
long long read_number(const char *path);

#define NPHEAP_SYSFS "/sys/class/misc/npheap/"

/** A number of NPHEAP_SYSFS; -1 where that is not to be read. */
long long heap_number(const char *name);

/** The name of a thread, without what a terminal would act on; false: gone. */
#define THREAD_NAME 32
bool thread_name(uint64_t tid, char name[THREAD_NAME]);

/** Nanoseconds of a clock. */
uint64_t clock_ns(int clock);

/** "4K", "1.5M", of a number of bytes. */
#define SIZE_TEXT 16
const char *human_size(uint64_t bytes, char text[SIZE_TEXT]);

/** What a negative errno of the library means to who uses a key. */
const char *explain(int rc);

/** Opens the heap, or ends the program and says why it cannot. */
struct npheap *open_heap(unsigned int flags);

/** Like malloc and realloc; ends the program where there is no memory. */
void *xmalloc(size_t size);
void *xrealloc(void *memory, size_t size);

/**
 * struct key_lock - how to take the lock of a key
 * @heap: the heap
 * @key: the key
 * @flags: NPHEAP_TRY, NPHEAP_SHARED
 * @deadline: as npheap_acquire_with()
 * @died: a holder died and left the mark that consistent takes away
 */
struct key_lock {
	struct npheap *heap;
	uint64_t key;
	unsigned int flags;
	uint64_t deadline;
	bool died;
};

/** Takes it; 0, or a negative errno of which the user has been told. */
int take_lock(struct key_lock *lock);

/**
 * Gives it back, and settles a death before where @settle.  Else, after a death,
 * it stays with the process, so that the next is told when that ends: given back
 * with its mark it would be of no use to anybody but root.
 */
void drop_lock(struct key_lock *lock, bool settle);

#endif
