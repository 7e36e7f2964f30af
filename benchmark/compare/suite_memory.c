// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory: make it, map it, use it, unmap it, and be rid of it.
 *
 * A touch writes the number of the touch to each page, and does not read it:
 * a page that is read first may be mapped with those beside it, which is a case
 * of its own.  Whether it is there, and in new memory nothing else, is looked at
 * beside what is measured.
 */
#include <errno.h>
#include <stdlib.h>

#include "compare/peers.h"
#include "compare/suites.h"

#define KIB (1UL << 10)
#define MIB (1UL << 20)

static const size_t sizes[] = {
	4 * KIB, 64 * KIB, 2 * MIB, 16 * MIB, 64 * MIB,
};

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* The peer of the ratios first. */
static const struct memory *const memories[] = {
	&memory_shm, &memory_npheap, &memory_npheap_ioctl, &memory_npheap_attach,
	&memory_memfd, &memory_sysv, &memory_hugetlbfs,
	/* As those above, but for how they map. */
	&memory_npheap_populate, &memory_shm_populate, &memory_memfd_populate,
	/* Of no use below a huge page. */
	&memory_hugetlbfs_populate, &memory_memfd_huge, &memory_sysv_huge,
	&memory_tmpfs_huge, &memory_tmpfs_huge_populate,
};

#define MEMORIES (sizeof(memories) / sizeof(memories[0]))
#define FOR_LARGE 5

/* What a bench has. */
struct place {
	unsigned int name;
	char *p;
	unsigned char touched;		/* how often, and what is in each page */
};

static struct place places[MEMORIES];

static const struct memory *memory_of(const struct bench *b)
{
	return b->by;
}

/* ------------------------------------------------------------------- steps */

static void create(struct bench *b)
{
	struct place *place = b->state;

	place->p = memory_of(b)->create(place->name, b->size);
	place->touched = 0;
}

static void attach(struct bench *b)
{
	struct place *place = b->state;

	place->p = memory_of(b)->attach(place->name, b->size);
}

static void touch(struct bench *b)
{
	struct place *place = b->state;
	volatile char *p = place->p;
	size_t i;

	place->touched++;
	for (i = 0; i < b->size; i += page)
		p[i] = place->touched;
}

static void read_all(struct bench *b)
{
	const struct place *place = b->state;
	const volatile char *p = place->p;
	unsigned char wrong = 0;
	size_t i;

	for (i = 0; i < b->size; i += page)
		wrong |= p[i] ^ place->touched;
	errno = EBADMSG;
	check(!wrong, b->system);
}

static void detach(struct bench *b)
{
	struct place *place = b->state;

	memory_of(b)->detach(place->p, b->size);
}

static void remove_it(struct bench *b)
{
	struct place *place = b->state;

	errno = -memory_of(b)->remove(place->name);
	check(!errno, b->system);
}

static int is_as_written(const struct bench *b, size_t i)
{
	const struct place *place = b->state;

	return (unsigned char)place->p[i] == place->touched &&
	       !place->p[i + 1] && !place->p[i + page - 1];
}

static void verify(struct bench *b)
{
	size_t i;

	errno = EBADMSG;
	for (i = 0; i < b->size; i += page)
		check(is_as_written(b, i), b->system);
}

/* Enough where there is no time for more, within what is measured. */
static void verify_ends(struct bench *b)
{
	errno = EBADMSG;
	check(is_as_written(b, 0) && is_as_written(b, b->size - page),
	      b->system);
}

/* --------------------------------------------------------- what is measured */

static void create_and_touch(struct bench *b)
{
	create(b);
	touch(b);
}

static void detach_and_remove(struct bench *b)
{
	verify(b);
	detach(b);
	remove_it(b);
}

static void create_detached(struct bench *b)
{
	create_and_touch(b);
	verify(b);
	detach(b);
}

static void attach_and_touch(struct bench *b)
{
	attach(b);
	touch(b);
}

static void verify_and_detach(struct bench *b)
{
	verify(b);
	detach(b);
}

static void whole_life(struct bench *b)
{
	create_and_touch(b);
	verify_ends(b);
	detach(b);
	remove_it(b);
}

static void visit(struct bench *b)
{
	attach_and_touch(b);
	verify_ends(b);
	detach(b);
}

/* ---------------------------------------------------------- before and after */

static int open_memory(struct bench *b)
{
	return memory_of(b)->open ? memory_of(b)->open() : 0;
}

static int open_and_create(struct bench *b)
{
	int err = open_memory(b);

	if (!err)
		create_detached(b);
	return err;
}

static void close_memory(struct bench *b)
{
	if (memory_of(b)->close)
		memory_of(b)->close();
}

static void remove_and_close(struct bench *b)
{
	attach(b);
	verify(b);
	detach(b);
	remove_it(b);
	close_memory(b);
}

/* ------------------------------------------------------------------- tables */

static const struct bench with_new_memory[] = {
	{ .name = "create", .op = create_and_touch, .undo = detach_and_remove },
	{ .name = "delete", .prepare = create_detached, .op = remove_it },
	{ .name = "create-to-delete", .op = whole_life },
};

static const struct bench with_old_memory[] = {
	{ .name = "attach", .op = attach, .undo = detach },
	{ .name = "touch", .prepare = attach, .op = touch,
	  .undo = verify_and_detach },
	{ .name = "read", .prepare = attach, .op = read_all,
	  .undo = verify_and_detach },
	{ .name = "detach", .prepare = attach_and_touch, .op = detach },
	{ .name = "attach-to-detach", .op = visit },
};

static void table(const struct bench *how, size_t size)
{
	size_t i, systems = size < 2 * MIB ? MEMORIES - FOR_LARGE : MEMORIES;
	struct bench benches[MEMORIES];

	for (i = 0; i < systems; i++) {
		places[i].name = i;
		benches[i] = *how;
		benches[i].system = memories[i]->name;
		benches[i].by = memories[i];
		benches[i].size = size;
		benches[i].state = &places[i];
	}
	compare(benches, systems);
}

/* ------------------------------------------- mapped already, and not mapped */

static int open_and_attach(struct bench *b)
{
	int err = open_and_create(b);

	if (!err)
		attach(b);
	return err;
}

/* The first mapping stays, and who counts gives it out once more. */
static void attach_again(struct bench *b)
{
	struct place first = *(struct place *)b->state;

	attach(b);
	detach(b);
	*(struct place *)b->state = first;
}

static void detach_first(struct bench *b)
{
	verify_and_detach(b);
	remove_it(b);
	close_memory(b);
}

static const struct bench while_attached = {
	.name = "attach-again",
	.setup = open_and_attach,
	.op = attach_again,
	.teardown = detach_first,
};

#define MANY 1000

static double make_many(struct bench *b, unsigned int n)
{
	uint64_t began = stamp();
	double took;
	unsigned int i;

	memory_of(b)->make(0, n, b->size);
	took = stamp() - began;
	for (i = 0; i < n; i++)
		memory_of(b)->remove(i);
	return took;
}

/* With all that it takes, the growth of an index included. */
static void table_of_many(void)
{
	struct bench benches[MEMORIES];
	size_t i, n = 0;

	for (i = 0; i < MEMORIES; i++) {
		if (!memories[i]->make)
			continue;
		benches[n++] = (struct bench){
			.name = "create-many",
			.system = memories[i]->name,
			.by = memories[i],
			.size = page,
			.setup = open_memory,
			.run = make_many,
			.teardown = close_memory,
			.loops = MANY,
		};
	}
	compare(benches, n);
}

/* What lies between is like its neighbours, and takes as long to measure. */
static int has_stages(size_t size)
{
	return size == 4 * KIB || size == 2 * MIB || size == 64 * MIB;
}

static void tables_of_new(size_t size)
{
	struct bench how;
	size_t i;

	for (i = 0; i < COUNT(with_new_memory); i++) {
		how = with_new_memory[i];
		how.setup = open_memory;
		how.teardown = close_memory;
		if (how.op == whole_life || has_stages(size))
			table(&how, size);
	}
}

static void tables_of_old(size_t size)
{
	struct bench how;
	size_t i;

	for (i = 0; i < COUNT(with_old_memory); i++) {
		how = with_old_memory[i];
		how.setup = open_and_create;
		how.teardown = remove_and_close;
		if (how.op == visit || has_stages(size))
			table(&how, size);
	}
}

static void run(void)
{
	size_t i;

	for (i = 0; i < SIZES; i++) {
		tables_of_new(sizes[i]);
		tables_of_old(sizes[i]);
	}
	table(&while_attached, page);
	table_of_many();
}

const struct suite suite_memory = {
	.name = "memory",
	.about = "create, attach, touch, detach and delete, 4 KiB to 64 MiB",
	.run = run,
};
