/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of locks and events share: a key, memory that a test and its
 * children both see, every way to take a lock, and children that hold, wait
 * and die.
 */
#ifndef NPHEAP_SCENE_H
#define NPHEAP_SCENE_H

#include "test.h"

#define NS_PER_MS 1000000ULL
#define STACK_SIZE 262144

/** What a test and its children share. */
struct scene {
	uint64_t key;
	uint64_t event;
	struct gate started;
	struct gate go;
	struct gate done;
	struct gate signals;
	int sa_flags;
	_Atomic int stop;
	_Atomic int result;
	_Atomic int results[128];
	_Atomic int turn;
	_Atomic uint64_t count;
	/* How often a waiter got the lock, and which of them it was. */
	_Atomic int grants;
	_Atomic int order[32];
};

extern struct scene *scene;
/** The heap by the calls that take a handle, from the first scene on. */
extern struct npheap *heap;

void scene_new(void);
void scene_free(void);

/** Nanoseconds of CLOCK_MONOTONIC, now and in so many milliseconds. */
uint64_t now_ns(void);
uint64_t in_ms(uint64_t ms);

/* ------------------------------------------------------- taking a lock -- */

/** The library's calls, on dev and on heap. */
int lock(uint64_t key);
int unlock(uint64_t key);
int try(uint64_t key);
int try_shared(uint64_t key);
int take_until(uint64_t key, unsigned int flags, uint64_t ms);

/** The library has no part in these.  0 or a positive errno. */
int raw_lock(uint64_t key, uint32_t flags);
int raw_try(uint64_t key);
int raw_unlock(uint64_t key);

/** EDEADLK tells the holder, EBUSY everybody else. */
#define assert_mine(key) assert_int_equal(raw_try(key), EDEADLK)

/** What another process gets that tries to take the lock: 0 or an errno. */
int elsewhere(uint64_t key);

/** Takes the lock, whatever was with it, and leaves it without a mark. */
void settle(uint64_t key);

/** A lock and an unlock, after which the table alone does for the next. */
void warm(uint64_t key);

/** Takes the scene's lock with the table alone: it has had it before. */
int take_warm(int fd);

/** The lock is free: who takes it by the classic call does not wait. */
void assert_free(uint64_t key);

/** The scene's lock is free, and marked, and that without waiting. */
void assert_recovered(void);

/** A limit on locks, until it is what it was before the first of these. */
void limit_locks(long long limit);
void unlimit_locks(void);

/* ------------------------------------------------------------ children -- */

/** A child that says when it is ready, and is awaited until then. */
pid_t start(int (*body)(void *arg), void *arg);

/** As start(), until it sleeps in the call that follows. */
pid_t start_asleep(int (*body)(void *arg), void *arg);

/** Bodies of children that hold the scene's lock until "go". */
int hold(void *arg);
int hold_shared(void *arg);

/** One that waits for it, by the classic calls. */
int wait_for_it(void *arg);

/** One that waits for it, with the flags in @arg, and says what it was told. */
int wait_and_report(void *arg);

/** The same, but for whom a call_away() keeps in a handler until "go". */
int wait_with_a_handler(void *arg);
void call_away(pid_t pid);

/** A child dies that took the lock with the table alone. */
void die_holding(void);

/** CLONE_VM without CLONE_THREAD: it runs with the TLS of its maker. */
pid_t clone_vm(int (*body)(void *arg), void *stack, int flags);

/** Shares the table of descriptors, but not the memory. */
pid_t clone_files(int (*body)(void *arg), void *arg);

/**
 * Runs @body(@arg) in children, and sends each a SIGUSR1 after another number
 * of instructions, for @ms milliseconds, but at some points in any case.
 * @body sets a handler, which counts in scene->signals, and then calls
 * stop_for_parent(): from there on it is interrupted.
 */
void interrupt_everywhere(int (*body)(void *arg), void *arg, long long ms);

/* ----------------------------------------------------------- the table -- */

/**
 * A body: repeats the operation in @arg, which returns 0, where any system
 * call would kill it; scene->count says how often.
 */
int operate_warm(void *arg);

/** That an operation on an object of one page takes none, but at first. */
void assert_no_system_call(int (*operation)(void), const char *name);

#define NO_SYSTEM_CALL(operation)					\
static void operation##_takes_no_system_call(void **state)		\
{									\
	(void)state;							\
	assert_no_system_call(operation, #operation);			\
}

/** What the kernel tells of the table, and the record of a key in it. */
void join(struct npheap_join *result);
struct npheap_record *record_of(uint64_t key);

#endif
