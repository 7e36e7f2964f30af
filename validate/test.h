/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every test program shares: cmocka for the protocol and the assertions,
 * and below it the things that tests of a kernel module need and cmocka does
 * not have: a time limit, children with their own fate, expected signals.
 *
 * A test program is one area.  It runs as root in a guest that has npheap
 * loaded, prints TAP, and leaves neither objects nor locks behind.
 */
#ifndef NPHEAP_TEST_H
#define NPHEAP_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <npheap.h>

/**
 * One entry of a program's table; the test gets TEST_SECONDS to run.  On a host with
 * two busy guests a test of a second has taken a minute, and only what never ends
 * shall be ended.
 */
#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, test_begin, test_end)
#define TEST_SECONDS 240

/** Asserts that @call failed, with this errno; prints what it got instead. */
#define assert_errno(call, expected)				\
	test_assert_errno((long)(call), (expected), #call,	\
			  __FILE__, __LINE__)

/** The page size, and the descriptor of /dev/npheap opened read-write. */
extern size_t page;
extern int dev;

/** Opens the device for a program of no table; -1 and errno where it cannot. */
int test_open(void);

/** Before test_main(): the first argument, if there is one, is TEST_ONLY. */
void test_choose(int argc, char **argv);

/**
 * Runs a program's table with TAP on standard output; the exit status.  The
 * environment's TEST_ONLY, a pattern of the shell's, chooses tests by name, and
 * TEST_EXCEPT, a list of names, leaves some out.
 */
#define test_main(table) test_run(#table, (table), sizeof(table) / sizeof((table)[0]))
int test_run(const char *name, const struct CMUnitTest *tests, size_t count);

/**
 * Starts the program again where the dynamic linker would work at first calls:
 * that is no part of any operation whose instructions are counted or stepped.
 */
void bind_now(char **argv);

/* Fixtures of TEST(): a time limit, and the time taken as a TAP comment. */
int test_begin(void **state);
int test_end(void **state);

void test_assert_errno(long result, int expected, const char *call,
		       const char *file, int line);

/** A key that no other test uses, of no other program, with 2^20 after it. */
uint64_t test_key(void);

/** npheap_open() of the device; fails the test. */
struct npheap *open_heap(unsigned int flags);

/** mmap of @size bytes of @key, shared and read-write; fails the test. */
void *map_key(uint64_t key, size_t size);

/**
 * A child process that runs @body(@arg) and exits with its result.  Signal
 * handlers are the default ones in it, and it dies with its parent.
 */
pid_t spawn(int (*body)(void *arg), void *arg);

/**
 * Ends a child, with a line that says where and status 99, unless @cond holds.
 * cmocka's assertions work there too: they print, and abort the child.
 */
#define child_check(cond) \
	((cond) ? (void)0 : child_failed(#cond, __FILE__, __LINE__))
void child_failed(const char *cond, const char *file, int line)
	__attribute__((noreturn));

/** Waits for @pid; its status, as waitpid() has it. */
int status_of(pid_t pid);

/** Whether @pid has ended, which is still to be waited for, or is no child. */
int has_ended(pid_t pid);

/** Waits for @pid; asserts that it exited with @status. */
void expect_exit(pid_t pid, int status);

/** Waits for @pid; asserts that @sig killed it. */
void expect_signal(pid_t pid, int sig);

void kill_and_reap(pid_t pid);

/** True if a child that runs @body exits with 0: what this kernel can do. */
int works(int (*body)(void *arg));

/** Runs @body in a child of its own and expects @sig to kill it. */
void expect_death(int (*body)(void *arg), void *arg, int sig);

/** The beginning of a traced child: it stops until its parent lets it go on. */
void stop_for_parent(void);

/** A body: stops, and returns the byte that @arg points to then. */
int be_traced(void *arg);

/**
 * Keeps this process and its children on one processor; @before is where it
 * was allowed to run.  Steps and hand-overs then take the same path each time,
 * and are far quicker where a hypervisor shares the processors.
 */
void use_one_cpu(cpu_set_t *before);

/** Passes a descriptor through a socket of AF_UNIX; receive_fd(): it, or -1. */
void send_fd(int socket, int fd);
int receive_fd(int socket);

/** Zeroed memory that parent and children share; fails the test. */
void *share(size_t size);

/** The number in the file @path, for sysfs and cgroup files. */
long long read_number(const char *path);

/**
 * The number after @name, with which a line of the file @path begins; -1 where
 * there is none.  number_in(): of those after a line that begins with @section.
 */
long long number_after(const char *path, const char *name);
long long number_in(const char *path, const char *section, const char *name);

/** Writes @text to the file @path; 0 or -errno. */
int write_text(const char *path, const char *text);

/** A value of /sys/class/misc/npheap, for example stat("objects"). */
long long heap_stat(const char *name);

/** Writes one that can be written, a limit; 0 or -errno. */
int heap_write(const char *name, long long value);

/** The same, and asserts that it is that then. */
void heap_set(const char *name, long long value);

/** MemAvailable of /proc/meminfo, in bytes. */
long long available_bytes(void);

/**
 * The same once what was freed has come back, without what is kept of files,
 * and with the pages that processors keep for themselves: those are free, but
 * not counted so, and a kernel since 6.7 lets them become an eighth of memory.
 * Two such figures differ by what has been lost between them.
 */
long long memory_left(void);

/** How many locks are held or waited for, of all keys. */
long long locks_in_use(void);

/** The same, and those that a dead holder left a mark on: what a limit counts. */
long long locks_not_idle(void);

/*
 * The classic calls by way of the kernel, as programs without the library make
 * them.  The library's join the heap, which keeps the module loaded.
 */
int lock_by_ioctl(uint64_t key);
int unlock_by_ioctl(uint64_t key);
long size_by_ioctl(uint64_t key);

/**
 * A system call as a 32-bit program makes it: 0 and more, or -errno; and what
 * skips the test where the kernel takes none.
 */
long syscall32(long nr, long a, long b, long c);
void need_syscall32(void);

/** A command whose fields, but for the offset, hold what a stack would. */
struct npheap_cmd garbage_cmd(uint64_t offset);

/** Lines of the kernel log that speak of npheap; skips where there is no log. */
size_t log_lines_of_npheap(void);

/** Whoever does anything but write and end after this is killed; 0 or -1. */
int forbid_system_calls(void);

/** A counter in memory that parent and children share. */
struct gate {
	_Atomic uint32_t value;
};
struct gate *gate_new(void);
void gate_add(struct gate *gate, uint32_t n);
/** Sleeps until the counter is at least @value. */
void gate_wait(struct gate *gate, uint32_t value);

/** Milliseconds of CLOCK_MONOTONIC. */
long long now_ms(void);

/** Less than a second. */
void sleep_ms(long ms);

/** True if @pid sleeps in the kernel (state S). */
int is_asleep(pid_t pid);

/** True once it does, polled for 10 seconds. */
int wait_asleep(pid_t pid);

#endif
