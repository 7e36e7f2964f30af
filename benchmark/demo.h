/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the demonstration: a tree of files, and the heap that they
 * are loaded into.
 */
#ifndef DEMO_H
#define DEMO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SUM_BYTES 32		/* SHA-256 */

struct sum {
	unsigned char bytes[SUM_BYTES];
};

/* demo_tree.c */

struct file {
	char *name;		/* below the tree's directory */
	size_t size;
	struct sum sum;		/* what sha256sum says */
};

/**
 * struct tree - the regular files below a directory, sorted by name
 * @copy: a directory on tmpfs that holds copies, named by index
 */
struct tree {
	char copy[32];
	struct file *files;
	size_t count;
	size_t largest;
	uint64_t bytes;
};

/** tree_list() - the files below the working directory; 0 or -errno */
int tree_list(struct tree *tree);

/**
 * tree_copy() - copy them to tmpfs, with @workers processes
 *
 * What follows then measures no disk and no network file system.
 */
int tree_copy(struct tree *tree, unsigned int workers);

/** tree_sum() - run sha256sum over the original files; 0 or -errno */
int tree_sum(struct tree *tree);

/** tree_read() - the first @size bytes of file @index's copy; 0 or -errno */
int tree_read(const struct tree *tree, size_t index, void *bytes, size_t size);

/** tree_free() - forget the tree and remove the copy */
void tree_free(struct tree *tree);

/* demo_heap.c */

/** struct story - what happened to the producer that was killed */
struct story {
	unsigned int killed;
	unsigned int taken_over;
	const char *file;	/* that it was loading */
	pid_t victim;
	pid_t heir;
	double load_seconds;	/* first producer started to last one ended */
	double find_seconds;	/* the same for consumers, SHA-256 included */
};

/**
 * heap_load() - producers load every file into an object of its own
 *
 * One of them is killed half-way through a file, with the lock of the file's
 * key held; another notices and loads that file anew.  Returns when all have
 * ended, 0 or -errno.
 */
int heap_load(const struct tree *tree, unsigned int producers,
	      struct story *story);

/**
 * heap_sum() - consumers find every file by name and compute its SHA-256
 * @sums: where they are stored, by index
 */
int heap_sum(const struct tree *tree, unsigned int consumers,
	     struct sum *sums, struct story *story);

/** heap_clear() - remove every object of the demonstration */
void heap_clear(const struct tree *tree);

/** sha256() - of @size @bytes; 0 or -errno */
int sha256(const void *bytes, size_t size, struct sum *sum);

/** shared_alloc() - zeroed memory shared with children; NULL and errno */
void *shared_alloc(size_t size);

#endif
