/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A coverage-guided fuzzer of /dev/npheap.
 *
 *   fuzz.c          options, the workers' parent, and the judgement in the end
 *   fuzz_program.c  programs: chosen at random, changed, and as text
 *   fuzz_calls.c    the calls on the heap that programs are made of
 *   fuzz_memory.c   those on mappings, descriptors and processes
 *   fuzz_world.c    what calls refer to: keys, descriptors, mappings, pointers
 *   fuzz_worker.c   a process that runs programs, in up to three threads
 *   fuzz_cover.c    which edges of the module's code a program took (KCOV)
 *   fuzz_corpus.c   programs that took new ones, and how they are made smaller
 *
 * A program is a short sequence of calls with their arguments.  One that takes
 * an edge of the module's control flow that none took before is kept, and
 * others are made of it.
 */
#ifndef NPHEAP_FUZZ_H
#define NPHEAP_FUZZ_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dice.h"
#include "object.h"

#define FUZZ_ARGS 6
#define FUZZ_CALLS 24
#define FUZZ_THREADS 3
#define FUZZ_WORKERS 8
#define FUZZ_TYPES 64

/* -------------------------------------------------------------- programs -- */

/** What an argument is, which says what values are likely to be of interest. */
enum fuzz_kind {
	KIND_NONE,
	KIND_FD,
	KIND_KEY,
	KIND_SIZE,
	KIND_MAX_SIZE,
	KIND_PAGE,
	KIND_POINTER,
	KIND_MAPPING,
	KIND_ATTACHED,
	KIND_WATCH,
	KIND_OPENED,
	KIND_LOCK_FLAGS,
	KIND_DEADLINE,
	KIND_EVENT,
	KIND_COUNT,
	KIND_WATCH_EVENTS,
	KIND_BITS,
	KIND_PROTECTION,
	KIND_MAP_FLAGS,
	KIND_ADVICE,
	KIND_MODE,
	KIND_COMMAND,
	KIND_NUMBER,
	KINDS
};

/**
 * struct fuzz_call - a call of a program
 * @what: its entry of fuzz_types
 * @thread: which thread makes it
 * @arg: its arguments; FUZZ_RESULT stands for what was told before
 */
struct fuzz_call {
	uint8_t what;
	uint8_t thread;
	uint64_t arg[FUZZ_ARGS];
};

/**
 * struct fuzz_program - calls, one after the other
 * @length: so many
 * @known: it is in the corpus, as it is
 * @calls: they
 */
struct fuzz_program {
	_Atomic uint32_t length;
	bool known;
	struct fuzz_call calls[FUZZ_CALLS];
};

/** An argument: the number that the kernel told the thread @n numbers ago. */
#define FUZZ_RESULT(n) (0x7e11ULL << 48 | (n))
#define FUZZ_IS_RESULT(value) ((value) >> 48 == 0x7e11)
#define FUZZ_RESULTS 16

struct fuzz_thread;

/**
 * struct fuzz_type - a call that programs can make
 * @name: in texts
 * @run: makes it, with arguments of @kinds: 0 and more, or -errno
 * @kinds: what the arguments are
 * @after: a call without which it would do little, or NULL
 * @errors: what it may fail with, besides what each of its sort may; 0 ends it
 * @blocks: it may wait for others, and is made to give up
 * @slow: it takes so long that it is made half as often
 */
struct fuzz_type {
	const char *name;
	long (*run)(struct fuzz_thread *t, const uint64_t *arg);
	enum fuzz_kind kinds[FUZZ_ARGS];
	const char *after;
	const uint8_t *errors;
	bool blocks;
	bool slow;
};

/* Entries: name, what it comes after, ERRORS(), the kinds of its arguments. */
#define ERRORS(...) (const uint8_t []){ __VA_ARGS__, 0 }
#define CALL(call, previous, errnos, ...) {				\
	.name = #call, .run = run_##call, .kinds = { __VA_ARGS__ },	\
	.after = previous, .errors = errnos }
#define WAIT(call, previous, errnos, ...) {				\
	.name = #call, .run = run_##call, .kinds = { __VA_ARGS__ },	\
	.after = previous, .errors = errnos, .blocks = true }

#define SLOW(call, previous, errnos, ...) {				\
	.name = #call, .run = run_##call, .kinds = { __VA_ARGS__ },	\
	.after = previous, .errors = errnos, .slow = true }

/** The last one has no name. */
extern const struct fuzz_type fuzz_heap_types[];
extern const struct fuzz_type fuzz_memory_types[];

/** Both tables, and how many they have together. */
const struct fuzz_type *fuzz_type(unsigned int what);
unsigned int fuzz_type_count(void);

/** Makes @program one of random calls, or changes a little of it. */
void fuzz_generate(struct fuzz_program *program, struct dice *dice);
void fuzz_mutate(struct fuzz_program *program,
		 const struct fuzz_program *other, struct dice *dice);

void fuzz_copy(struct fuzz_program *to, const struct fuzz_program *from);
/** Without its call number @n. */
void fuzz_remove(struct fuzz_program *program, unsigned int n);

/** As text, at most so many bytes; how many it takes. */
#define FUZZ_TEXT (FUZZ_CALLS * 192)
size_t fuzz_print(const struct fuzz_program *program, char *text);

/** Reads the next program of @file: 1, 0 at its end, -1 it is none. */
int fuzz_parse(FILE *file, struct fuzz_program *program);

/* ----------------------------------------------------------------- world -- */

#define FUZZ_FDS 8
#define FUZZ_MAPPINGS 8
/* Where mappings go, each to a window of its own: nothing else is there. */
#define FUZZ_WINDOWS ((char *)0x200000000000)
#define FUZZ_WINDOW (64UL << 20)

/** Keys below this are a worker's own, or between it and the next of all. */
#define FUZZ_OWN_KEYS 12
#define FUZZ_HOT_KEYS 16
/** Keys up to here have objects when the fuzzer starts; so many are used. */
#define FUZZ_OBJECTS 2048
#define FUZZ_KEYS 4096

struct fuzz_mapping {
	char *addr;
	size_t length;
};

/** What a worker's calls refer to by small numbers. */
struct fuzz_world {
	uint64_t own_keys;
	/* Those that the program named, a bit for each. */
	_Atomic uint32_t used;
	/* 0: read-write, 1: read-only, 2: write-only; others come and go. */
	_Atomic int fds[FUZZ_FDS];
	/* Whether something may be in the windows. */
	_Atomic bool mapped;
	/* Whether a limit may be lower than it was. */
	_Atomic bool limited;
	struct fuzz_mapping maps[FUZZ_MAPPINGS];
	struct npheap_attach attached[FUZZ_MAPPINGS];
	char *pages;
	char *read_only_pages;
	int zero;
};

extern struct fuzz_world world;
/** Where the keys that all workers share begin. */
extern uint64_t fuzz_first_key;

void world_new(unsigned int worker);
/** Forgets what a program made: mappings, descriptors, its own objects. */
void world_clear(void);
/** Deletes every object of the heap. */
void world_delete_objects(void);
void world_create_objects(void);
/** Lowers one of the limits to @more than there is, until world_clear(). */
long world_limit(uint64_t which, uint64_t more);
/** The body of a process that leaves no key locked or marked. */
int world_settle_locks(void *arg);

/** What the numbers in a program stand for. */
uint64_t world_key(uint64_t number);
uint64_t world_offset(uint64_t number);
int world_fd(uint64_t number);
struct fuzz_mapping *world_mapping(uint64_t number);

/**
 * Puts the @size bytes of @content where the number @pointer says: a good
 * place for 0, and many bad ones; the address for the kernel.
 */
void *world_place(struct fuzz_thread *t, uint64_t pointer, void *content,
		  size_t size);

/* ---------------------------------------------------------------- worker -- */

/** So many programs are written down, and then run. */
#define FUZZ_BATCH 48

enum fuzz_state { FUZZ_OUTSIDE, FUZZ_IN_CALL, FUZZ_IN_WAIT };

/** The longest list of addresses that the kernel notes of one program. */
#define FUZZ_COVER (32UL << 10)

struct fuzz_thread {
	unsigned int number;
	/* Where faults, and waits that take too long, go on. */
	sigjmp_buf env;
	volatile sig_atomic_t state;
	_Atomic uint32_t made;
	pid_t tid;
	/* What the kernel told, and what for. */
	uint64_t results[FUZZ_RESULTS];
	unsigned int told;
	struct npheap_join join;
	struct npheap_bind bind[FUZZ_HOT_KEYS];
	/* KCOV: how many addresses, and these; where each call begins. */
	uint64_t *cover;
	int kcov;
	uint32_t begins[FUZZ_CALLS + 1];
	unsigned int begun;
};

/** Remembers a number for arguments of later calls. */
void fuzz_tell(struct fuzz_thread *t, uint64_t number);

/** What a system call returned: 0 and more, or -errno. */
static inline long fuzz_result(long rc)
{
	return rc < 0 ? -errno : rc;
}

/** What all workers and their parent see. */
struct fuzz_batch {
	/* Milliseconds: when its last program began, 0: none is running. */
	_Atomic long long since;
	struct fuzz_program programs[FUZZ_BATCH];
};

#define FUZZ_CORPUS 4096
#define FUZZ_EDGES (1 << 17)

struct fuzz_shared {
	_Atomic int stop;
	_Atomic uint32_t failures;
	/* Errors that calls failed with, a byte for each: what was told of. */
	_Atomic uint8_t told[FUZZ_TYPES][256];
	_Atomic uint64_t calls[FUZZ_TYPES];
	_Atomic uint64_t succeeded[FUZZ_TYPES];
	_Atomic uint64_t programs;
	/* Of the corpus: how many there were at first, and how many ran. */
	uint32_t loaded;
	_Atomic uint32_t replayed;
	_Atomic uint32_t corpus_length;
	_Atomic uint32_t edge_count;
	_Atomic uint8_t edges[FUZZ_EDGES];
	struct fuzz_batch batches[FUZZ_WORKERS];
	struct fuzz_program corpus[FUZZ_CORPUS];
};

extern struct fuzz_shared *fuzz;

/**
 * struct fuzz_settings - what the options say
 * @seed, @calls, @ms: what to choose, how many calls or how long
 * @corpus: the file to begin with, or NULL
 * @save: where the corpus goes in the end, or NULL
 * @replay: the file of programs to run instead, or NULL
 * @times: so many times
 * @out: the directory for the programs that are about to run
 */
struct fuzz_settings {
	uint64_t seed;
	uint64_t calls;
	long long ms;
	unsigned int workers;
	const char *corpus;
	const char *save;
	const char *replay;
	const char *out;
	unsigned int times;
};

struct fuzz_work {
	const struct fuzz_settings *settings;
	unsigned int worker;
	unsigned int life;
};

/** The body of a process that runs a file's programs, and prints results. */
int fuzz_replay(void *settings);

/** The body of a worker: runs batches until it is told to stop, or is old. */
int fuzz_worker(void *arg);

/** A worker's threads, and a program in them. */
void fuzz_threads_start(unsigned int worker);
void fuzz_run(const struct fuzz_program *program, bool print);

/* ------------------------------------------------------ coverage, corpus -- */

/** False where the kernel has no KCOV; the module may be without, too. */
bool cover_possible(void);

/** The calling thread: its addresses are noted from here on. */
void cover_start(struct fuzz_thread *t);
void cover_begin(struct fuzz_thread *t);
void cover_call(struct fuzz_thread *t);

/** Calls @see for each edge that the thread took since cover_begin(). */
void cover_edges(const struct fuzz_thread *t,
		 void (*see)(uint32_t edge, void *arg), void *arg);

extern struct fuzz_thread fuzz_threads[FUZZ_THREADS];

/** How many edges of the last program nobody took before; they are noted. */
unsigned int cover_news(void);

void corpus_add(const struct fuzz_program *program);
/** One of them at random, NULL if there are none. */
const struct fuzz_program *corpus_any(struct dice *dice);
/** Reads the programs of a file; how many, or -1. */
int corpus_load(const char *path);
/** The body of a process that writes a small corpus with the same edges. */
int corpus_save(void *path);

#endif
