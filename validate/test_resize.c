// SPDX-License-Identifier: GPL-2.0-or-later
/* Objects that grow, shrink, are punched and sealed, and what is told of them. */
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "object.h"

#define MIB (1ULL << 20)
#define SPARSE NPHEAP_CREATE_SPARSE
#define FORCE NPHEAP_RESIZE_FORCE

/* Large enough for every object here. */
#define MAX (64 * MIB)

static void assert_bytes(struct usage before, long long bytes)
{
	assert_int_equal(heap_stat("bytes") - before.bytes, bytes);
}

static int create(uint64_t key, uint64_t size, uint32_t flags)
{
	struct npheap_create args = {
		.key = key,
		.size = size,
		.max_size = MAX,
		.flags = flags,
	};

	return ioctl(dev, NPHEAP_IOC_CREATE, &args);
}

static int resize(uint64_t key, uint64_t size, uint32_t flags)
{
	struct npheap_resize args = {
		.key = key,
		.size = size,
		.flags = flags,
	};

	return ioctl(dev, NPHEAP_IOC_RESIZE, &args);
}

static int punch(uint64_t key, uint64_t offset, uint64_t length,
		 uint32_t flags)
{
	struct npheap_punch args = {
		.key = key,
		.offset = offset,
		.length = length,
		.flags = flags,
	};

	return ioctl(dev, NPHEAP_IOC_PUNCH, &args);
}

static int seal(uint64_t key, uint32_t seals)
{
	struct npheap_seal args = { .key = key, .seals = seals };

	return ioctl(dev, NPHEAP_IOC_SEAL, &args);
}

static struct npheap_stat stat_of(uint64_t key)
{
	struct npheap_stat args = { .key = key };

	assert_int_equal(ioctl(dev, NPHEAP_IOC_STAT, &args), 0);
	return args;
}

/* Every page begins with its number, from 1. */
static void write_numbers(char *p, size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i += page)
		*(uint64_t *)(p + i) = i / page + 1;
}

static void check_numbers(char *p, size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i += page)
		assert_int_equal(*(uint64_t *)(p + i), i / page + 1);
}

static void check_zero(char *p, size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i += sizeof(uint64_t))
		assert_int_equal(*(uint64_t *)(p + i), 0);
}

static int read_page(void *arg)
{
	(void)*(volatile char *)arg;
	return 0;
}

static int write_page(void *arg)
{
	*(volatile char *)arg = 1;
	return 0;
}

static void expect_sigbus(char *p)
{
	expect_death(read_page, p, SIGBUS);
	expect_death(write_page, p, SIGBUS);
}

/* ----------------------------------------------------------------- growth */

static void grow_is_seen_through_longer_mappings(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	char *p;

	(void)state;
	assert_int_equal(create(key, 3 * page, 0), 0);
	p = map_key(key, 4 * MIB);
	write_numbers(p, 0, 3 * page);
	expect_sigbus(p + 3 * page);
	assert_int_equal(resize(key, 3 * MIB + 1, 0), 0);
	assert_int_equal(size_by_ioctl(key), 3 * MIB + page);
	assert_bytes(before, 3 * MIB + page);
	check_numbers(p, 0, 3 * page);
	check_zero(p, 3 * page, 3 * MIB + page);
	write_numbers(p, 3 * page, 3 * MIB + page);
	expect_sigbus(p + 3 * MIB + page);
	/* The same size again is no change. */
	assert_int_equal(resize(key, 3 * MIB + page, 0), 0);
	check_numbers(p, 0, 3 * MIB + page);
	unmap(p, 4 * MIB);
	delete(key);
	assert_usage(before);
}

struct peer {
	struct gate *there;
	struct gate *go;
	uint64_t key;
	size_t size;
	char *addr;
};

static struct peer peer_new(uint64_t key, size_t size)
{
	return (struct peer){
		.there = gate_new(),
		.go = gate_new(),
		.key = key,
		.size = size,
	};
}

/* Maps, says so, and looks once it is told to. */
static int look_at_growth(void *arg)
{
	struct peer *peer = arg;
	char *p = map_key(peer->key, peer->size);

	gate_add(peer->there, 1);
	gate_wait(peer->go, 1);
	child_check(p[peer->size - 1] == 7);
	return 0;
}

static void grow_is_seen_by_other_processes(void **state)
{
	struct usage before = usage_now();
	struct peer peer = peer_new(test_key(), 5 * MIB);
	pid_t pid;
	char *p;

	(void)state;
	assert_int_equal(create(peer.key, page, 0), 0);
	pid = spawn(look_at_growth, &peer);
	gate_wait(peer.there, 1);
	assert_int_equal(resize(peer.key, peer.size, 0), 0);
	p = map_key(peer.key, peer.size);
	p[peer.size - 1] = 7;
	gate_add(peer.go, 1);
	expect_exit(pid, 0);
	unmap(p, peer.size);
	delete(peer.key);
	assert_usage(before);
}

enum { GROWTHS = 10 };

struct growth {
	uint64_t key;
	char *p;
	struct gate *grows;
	struct gate *seen;
};

static int touch_what_there_is(void *arg)
{
	const struct growth *growth = arg;
	uint32_t round;
	long size;

	for (round = 1; round <= GROWTHS; round++) {
		gate_wait(growth->grows, round);
		while ((size = size_by_ioctl(growth->key)) == (long)page)
			;
		child_check(!touch(growth->p + size - 1, READ));
		gate_add(growth->seen, 1);
	}
	return 0;
}

/* The pages come first: whoever sees the new size may touch them all. */
static void grow_shows_no_size_before_its_pages(void **state)
{
	struct usage before = usage_now();
	struct growth growth = {
		.key = test_key(), .grows = gate_new(), .seen = gate_new(),
	};
	uint32_t round;
	pid_t pid;

	(void)state;
	assert_int_equal(create(growth.key, page, 0), 0);
	growth.p = map_key(growth.key, 16 * MIB);
	pid = spawn(touch_what_there_is, &growth);
	for (round = 1; round <= GROWTHS; round++) {
		gate_add(growth.grows, 1);
		assert_int_equal(resize(growth.key, 16 * MIB, 0), 0);
		gate_wait(growth.seen, round);
		assert_int_equal(resize(growth.key, page, FORCE), 0);
	}
	expect_exit(pid, 0);
	drop(growth.p, 16 * MIB, growth.key);
	assert_usage(before);
	munmap(growth.grows, sizeof(*growth.grows));
	munmap(growth.seen, sizeof(*growth.seen));
}

static void grow_ends_at_max_size(void **state)
{
	uint64_t key = test_key();

	(void)state;
	assert_int_equal(create(key, page, SPARSE), 0);
	assert_errno(resize(key, MAX + 1, 0), EFBIG);
	assert_int_equal(size_by_ioctl(key), page);
	assert_int_equal(resize(key, MAX, 0), 0);
	delete(key);
	/* One that was made by mmap has the size that it will have. */
	unmap(map_key(key, 2 * page), 2 * page);
	assert_errno(resize(key, 3 * page, 0), EFBIG);
	assert_int_equal(resize(key, page, 0), 0);
	assert_int_equal(resize(key, 2 * page, 0), 0);
	delete(key);
}

static void grow_meets_the_limits(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	heap_set("max_bytes", before.bytes + 9 * page);
	assert_int_equal(create(key, 3 * page, 0), 0);
	assert_errno(resize(key, 10 * page, 0), ENOSPC);
	assert_int_equal(size_by_ioctl(key), 3 * page);
	assert_bytes(before, 3 * page);
	assert_int_equal(resize(key, 9 * page, 0), 0);
	assert_bytes(before, 9 * page);
	delete(key);
	heap_set("max_sparse_bytes", before.sparse + 9 * page);
	assert_int_equal(create(key, 3 * page, SPARSE), 0);
	assert_errno(resize(key, 10 * page, 0), ENOSPC);
	assert_int_equal(resize(key, 9 * page, 0), 0);
	assert_int_equal(heap_stat("sparse_bytes") - before.sparse, 9 * page);
	assert_int_equal(resize(key, 2 * page, 0), 0);
	assert_int_equal(heap_stat("sparse_bytes") - before.sparse, 2 * page);
	delete(key);
	assert_usage(before);
}

static int grow_large(void *arg)
{
	const struct peer *peer = arg;

	gate_add(peer->there, 1);
	resize(peer->key, peer->size, 0);
	pause();
	return 0;
}

static void grow_that_is_killed_changes_nothing(void **state)
{
	struct usage before = usage_now();
	struct peer peer = peer_new(test_key(), 0);
	struct npheap_create args = { .key = peer.key, .size = 3 * page };
	int i, complete = 0;

	(void)state;
	peer.size = (heap_stat("max_bytes") - before.bytes) / 2 & -page;
	args.max_size = peer.size;
	assert_int_equal(ioctl(dev, NPHEAP_IOC_CREATE, &args), 0);
	for (i = 0; i < 6; i++) {
		pid_t pid = spawn(grow_large, &peer);

		gate_wait(peer.there, i + 1);
		while (heap_stat("bytes") < before.bytes + 4 * (long long)page)
			;
		usleep(i * 500);
		kill_and_reap(pid);
		if (size_by_ioctl(peer.key) == (long)peer.size) {
			complete++;
			assert_int_equal(resize(peer.key, 3 * page, 0), 0);
		}
		assert_int_equal(size_by_ioctl(peer.key), 3 * page);
		assert_bytes(before, 3 * page);
	}
	printf("# %d of 6 were complete\n", complete);
	assert_true(complete < 6);
	delete(peer.key);
	assert_usage(before);
}

/* What the library reads without a system call is told, too. */
static void resize_is_told_to_the_table(void **state)
{
	uint64_t key = test_key();
	struct npheap *heap;
	uint64_t size;

	(void)state;
	assert_int_equal(npheap_open(NULL, 0, &heap), 0);
	assert_int_equal(create(key, 5 * page, 0), 0);
	assert_int_equal(npheap_acquire(heap, key), 0);
	assert_int_equal(npheap_size(heap, key, &size), 0);
	assert_int_equal(size, 5 * page);
	assert_int_equal(resize(key, 9 * page, 0), 0);
	assert_int_equal(npheap_size(heap, key, &size), 0);
	assert_int_equal(size, 9 * page);
	assert_int_equal(resize(key, 2 * page, 0), 0);
	assert_int_equal(npheap_size(heap, key, &size), 0);
	assert_int_equal(size, 2 * page);
	assert_int_equal(npheap_release(heap, key), 0);
	npheap_close(heap);
	delete(key);
}

/* -------------------------------------------------------------- shrinking */

static void check_shrink(size_t size, size_t to, uint32_t flags)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	char *p;

	assert_int_equal(create(key, size, flags), 0);
	p = map_key(key, size);
	write_numbers(p, 0, size);
	assert_bytes(before, size);
	assert_int_equal(resize(key, to, 0), 0);
	assert_int_equal(size_by_ioctl(key), to);
	assert_bytes(before, to);
	expect_sigbus(p + to);
	expect_sigbus(p + size - 1);
	check_numbers(p, 0, to);
	expect_sigbus(p + to);
	/* What was cut off is gone, also where it comes back. */
	assert_int_equal(resize(key, size, 0), 0);
	check_numbers(p, 0, to);
	check_zero(p, to, size);
	assert_bytes(before, size);
	unmap(p, size);
	delete(key);
	assert_usage(before);
}

static void shrink_takes_memory_away(void **state)
{
	(void)state;
	check_shrink(10 * page, 9 * page, 0);
	check_shrink(10 * page, page, 0);
	check_shrink(10 * page, page, SPARSE);
}

/* In all places of a folio, the first and the last page of it among them. */
static void shrink_splits_large_folios(void **state)
{
	(void)state;
	check_shrink(2 * MIB, page, 0);
	check_shrink(2 * MIB, MIB, 0);
	check_shrink(2 * MIB, 2 * MIB - page, 0);
	check_shrink(6 * MIB, 2 * MIB, 0);
	check_shrink(6 * MIB, 3 * MIB + 5 * page, 0);
	check_shrink(6 * MIB, 4 * MIB - page, SPARSE);
	check_shrink(6 * MIB, 5 * MIB + page, SPARSE);
}

static int hold_mapping(void *arg)
{
	struct peer *peer = arg;
	volatile char *p = map_key(peer->key, peer->size);

	if (peer->addr)
		(void)p[peer->size - 1];
	gate_add(peer->there, 1);
	gate_wait(peer->go, 1);
	return 0;
}

static void shrink_is_refused_while_others_map_it(void **state)
{
	struct usage before = usage_now();
	struct peer peer = peer_new(test_key(), 5 * page);
	char *p;
	pid_t pid;

	(void)state;
	assert_int_equal(create(peer.key, 8 * page, 0), 0);
	p = map_key(peer.key, 16 * page);
	write_numbers(p, 0, 8 * page);
	pid = spawn(hold_mapping, &peer);
	gate_wait(peer.there, 1);
	/* The child has our mapping as well, which is longer. */
	assert_errno(resize(peer.key, 7 * page, 0), EBUSY);
	assert_errno(punch(peer.key, 0, page, 0), EBUSY);
	assert_errno(resize(peer.key, page, 0), EBUSY);
	assert_int_equal(size_by_ioctl(peer.key), 8 * page);
	check_numbers(p, 0, 8 * page);
	gate_add(peer.go, 1);
	expect_exit(pid, 0);
	assert_int_equal(resize(peer.key, 7 * page, 0), 0);
	unmap(p, 16 * page);
	/* And one that ends where the new end is does not count. */
	peer.there = gate_new();
	peer.go = gate_new();
	pid = spawn(hold_mapping, &peer);
	gate_wait(peer.there, 1);
	assert_errno(resize(peer.key, 4 * page, 0), EBUSY);
	assert_errno(punch(peer.key, 4 * page, page, 0), EBUSY);
	assert_int_equal(punch(peer.key, 5 * page, 2 * page, 0), 0);
	assert_int_equal(resize(peer.key, 5 * page, 0), 0);
	gate_add(peer.go, 1);
	expect_exit(pid, 0);
	delete(peer.key);
	assert_usage(before);
}

/* Touches its last page once it is gone. */
static int lose_a_page(void *arg)
{
	struct peer *peer = arg;
	volatile char *p = map_key(peer->key, peer->size);

	p[peer->size - 1] = 1;
	gate_add(peer->there, 1);
	gate_wait(peer->go, 1);
	p[peer->size - 1] = 2;
	return 0;
}

static void shrink_by_force_is_sigbus_for_others(void **state)
{
	struct usage before = usage_now();
	struct peer peer = peer_new(test_key(), 6 * MIB);
	pid_t pid;

	(void)state;
	assert_int_equal(create(peer.key, peer.size, 0), 0);
	pid = spawn(lose_a_page, &peer);
	gate_wait(peer.there, 1);
	assert_errno(resize(peer.key, 5 * MIB, 0), EBUSY);
	assert_int_equal(resize(peer.key, 5 * MIB, FORCE), 0);
	gate_add(peer.go, 1);
	expect_signal(pid, SIGBUS);
	delete(peer.key);
	assert_usage(before);
}

static int force_as_stranger(void *arg)
{
	const struct peer *peer = arg;

	child_check(setresuid(1234, 1234, 1234) == 0);
	child_check(resize(peer->key, page, FORCE) == -1 && errno == EPERM);
	child_check(punch(peer->key, 0, page, FORCE) == -1 && errno == EPERM);
	child_check(size_by_ioctl(peer->key) == (long)peer->size);
	return 0;
}

static int force_as_creator(void *arg)
{
	const struct peer *peer = arg;

	child_check(setresuid(1234, 1234, 1234) == 0);
	child_check(create(peer->key, peer->size, 0) == 0);
	child_check(resize(peer->key, 2 * page, FORCE) == 0);
	child_check(punch(peer->key, 0, page, FORCE) == 0);
	return 0;
}

static void force_is_for_the_creator_and_root(void **state)
{
	struct usage before = usage_now();
	struct peer peer = peer_new(test_key(), 4 * page);
	char *p;

	(void)state;
	assert_int_equal(create(peer.key, 4 * page, 0), 0);
	p = map_key(peer.key, 4 * page);
	expect_exit(spawn(force_as_stranger, &peer), 0);
	unmap(p, 4 * page);
	delete(peer.key);
	/* Its own, whatever others map; and root any. */
	expect_exit(spawn(force_as_creator, &peer), 0);
	assert_int_equal(resize(peer.key, page, FORCE), 0);
	delete(peer.key);
	assert_usage(before);
}

static void shrink_drops_private_copies_beyond_the_end(void **state)
{
	uint64_t key = test_key();
	char *p;

	(void)state;
	assert_int_equal(create(key, 4 * page, 0), 0);
	p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, dev,
		 key * page);
	assert_true(p != MAP_FAILED);
	write_numbers(p, 0, 4 * page);
	assert_int_equal(resize(key, 2 * page, 0), 0);
	check_numbers(p, 0, 2 * page);
	expect_sigbus(p + 2 * page);
	unmap(p, 4 * page);
	delete(key);
}

/* A copy that a mapping made for itself is no business of the object's. */
static void shrink_keeps_private_copies_below_the_end(void **state)
{
	uint64_t key = test_key();
	char *p;

	(void)state;
	assert_int_equal(create(key, 4 * MIB, 0), 0);
	p = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, dev,
		 key * page);
	assert_true(p != MAP_FAILED);
	write_numbers(p, 0, 4 * MIB);
	assert_int_equal(resize(key, 3 * MIB, 0), 0);
	check_numbers(p, 0, 3 * MIB);
	unmap(p, 4 * MIB);
	delete(key);
}

/* A pipe holds a page of the folio that would have to be split. */
static void shrink_waits_for_io_in_a_large_folio(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	struct iovec iov;
	int fds[2];
	char *p;

	(void)state;
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK)) {
		printf("# no large folios in this kernel\n");
		skip();
	}
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(create(key, 4 * MIB, 0), 0);
	p = map_key(key, 4 * MIB);
	write_numbers(p, 0, 4 * MIB);
	iov = (struct iovec){ p + 3 * MIB - page, page };
	assert_int_equal(vmsplice(fds[1], &iov, 1, 0), page);
	assert_errno(resize(key, 3 * MIB, 0), EBUSY);
	assert_int_equal(size_by_ioctl(key), 4 * MIB);
	check_numbers(p, 0, 4 * MIB);
	assert_bytes(before, 4 * MIB);
	/* Folios that go as a whole do not mind. */
	assert_int_equal(resize(key, 2 * MIB, 0), 0);
	assert_bytes(before, 2 * MIB);
	check_numbers(p, 0, 2 * MIB);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(resize(key, MIB, 0), 0);
	assert_bytes(before, MIB);
	unmap(p, 4 * MIB);
	delete(key);
	assert_usage(before);
}

/* ------------------------------------------------------------------ punch */

static void check_punch(size_t from, size_t to, uint32_t flags)
{
	struct usage before = usage_now();
	size_t size = 6 * MIB;
	uint64_t key = test_key();
	char *p;

	assert_int_equal(create(key, size, flags), 0);
	p = map_key(key, size);
	write_numbers(p, 0, size);
	assert_int_equal(punch(key, from, to - from, 0), 0);
	assert_bytes(before, flags & SPARSE ? size - (to - from) : size);
	assert_int_equal(size_by_ioctl(key), size);
	check_numbers(p, 0, from);
	check_zero(p, from, to);
	check_numbers(p, to, size);
	write_numbers(p, from, to);
	check_numbers(p, 0, size);
	assert_bytes(before, size);
	unmap(p, size);
	delete(key);
	assert_usage(before);
}

static void punch_gives_zeroes(void **state)
{
	size_t size = 6 * MIB;

	(void)state;
	check_punch(0, page, 0);
	check_punch(MIB, 5 * MIB + page, 0);
	check_punch(0, size, 0);
	check_punch(size - page, size, 0);
}

static void punch_gives_sparse_memory_back(void **state)
{
	size_t size = 6 * MIB;

	(void)state;
	check_punch(0, page, SPARSE);
	check_punch(2 * MIB, 4 * MIB, SPARSE);
	check_punch(MIB, 5 * MIB + page, SPARSE);
	check_punch(2 * MIB + page, 4 * MIB - page, SPARSE);
	check_punch(3 * MIB, 3 * MIB + page, SPARSE);
	check_punch(0, size, SPARSE);
	check_punch(size - page, size, SPARSE);
}

/* Where nothing is, nothing is taken. */
static void punch_of_holes(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	char *p;

	(void)state;
	assert_int_equal(create(key, 8 * MIB, SPARSE), 0);
	assert_int_equal(punch(key, 0, 8 * MIB, 0), 0);
	assert_bytes(before, 0);
	p = map_key(key, 8 * MIB);
	p[5 * MIB] = 1;
	assert_int_equal(punch(key, 0, 5 * MIB, 0), 0);
	assert_bytes(before, page);
	assert_int_equal(p[5 * MIB], 1);
	unmap(p, 8 * MIB);
	delete(key);
	assert_usage(before);
}

/* ------------------------------------------------------------------ seals */

static void seals_rule_changes_out(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	assert_int_equal(create(key, 4 * page, 0), 0);
	assert_int_equal(seal(key, 0), 0);
	assert_int_equal(seal(key, NPHEAP_SEAL_SHRINK), 0);
	assert_errno(resize(key, 3 * page, 0), EPERM);
	assert_errno(resize(key, 3 * page, FORCE), EPERM);
	assert_errno(punch(key, 0, page, 0), EPERM);
	assert_errno(punch(key, 0, page, FORCE), EPERM);
	assert_int_equal(resize(key, 5 * page, 0), 0);
	assert_int_equal(seal(key, NPHEAP_SEAL_GROW), 0);
	assert_errno(resize(key, 6 * page, FORCE), EPERM);
	assert_errno(resize(key, 3 * page, 0), EPERM);
	assert_int_equal(resize(key, 5 * page, 0), 0);
	/* They add up. */
	assert_int_equal(seal(key, 0), 0);
	assert_int_equal(stat_of(key).seals,
			 NPHEAP_SEAL_SHRINK | NPHEAP_SEAL_GROW);
	delete(key);
	assert_int_equal(create(key, 4 * page, 0), 0);
	assert_int_equal(stat_of(key).seals, 0);
	assert_int_equal(seal(key, NPHEAP_SEAL_SEAL), 0);
	assert_errno(seal(key, NPHEAP_SEAL_GROW), EPERM);
	assert_errno(seal(key, 0), EPERM);
	assert_int_equal(resize(key, 2 * page, 0), 0);
	assert_int_equal(resize(key, 6 * page, 0), 0);
	delete(key);
	assert_usage(before);
}

/* ------------------------------------------------------------------- stat */

static void stat_tells(void **state)
{
	uint64_t key = test_key();
	struct npheap_stat stat;
	uint64_t generation;
	char *p, *q;

	(void)state;
	assert_int_equal(create(key, 3 * page - 1, SPARSE), 0);
	stat = stat_of(key);
	generation = stat.generation;
	assert_int_equal(stat.key, key);
	assert_int_equal(stat.size, 3 * page);
	assert_int_equal(stat.max_size, MAX);
	assert_int_equal(stat.resident, 0);
	assert_int_equal(stat.mappings, 0);
	assert_int_equal(stat.flags, SPARSE);
	assert_int_equal(stat.seals, 0);
	assert_int_equal(stat.creator, getpid());
	assert_int_equal(stat.uid, 0);
	p = map_key(key, 3 * page);
	q = map_key(key, 3 * page);
	p[0] = 1;
	stat = stat_of(key);
	assert_int_equal(stat.resident, page);
	assert_int_equal(stat.mappings, 2);
	unmap(p, 3 * page);
	assert_int_equal(stat_of(key).mappings, 1);
	unmap(q, 3 * page);
	delete(key);
	unmap(map_key(key, page), page);
	stat = stat_of(key);
	assert_int_equal(stat.resident, page);
	assert_int_equal(stat.max_size, page);
	assert_int_equal(stat.flags, 0);
	assert_true(stat.generation > generation);
	delete(key);
}

static uint64_t wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* By the clock of ticks, which is behind by less than 20 ms. */
static void stat_tells_when_it_was_created(void **state)
{
	uint64_t key = test_key(), before = wall_clock(), created;
	char *p;

	(void)state;
	assert_int_equal(create(key, page, 0), 0);
	created = stat_of(key).created;
	assert_in_range(created, before - 20000000, wall_clock());
	/* And not when it was changed. */
	usleep(50000);
	p = map_key(key, 2 * page);
	p[0] = 1;
	unmap(p, 2 * page);
	assert_int_equal(stat_of(key).created, created);
	delete(key);
	usleep(50000);
	assert_int_equal(create(key, page, 0), 0);
	assert_true(stat_of(key).created > created);
	delete(key);
}

static int create_as_nobody(void *arg)
{
	const struct peer *peer = arg;

	child_check(setresuid(1234, 1234, 1234) == 0);
	child_check(create(peer->key, page, 0) == 0);
	return 0;
}

static int stat_in_a_namespace(void *arg)
{
	struct npheap_stat stat = { .key = ((struct peer *)arg)->key };

	/* Nobody of the outside has a number here. */
	child_check(ioctl(dev, NPHEAP_IOC_STAT, &stat) == 0);
	child_check(stat.creator == 0);
	return 0;
}

static int enter_namespace(void *arg)
{
	int status;
	pid_t pid;

	child_check(unshare(CLONE_NEWPID) == 0);
	pid = fork();
	if (!pid)
		_exit(stat_in_a_namespace(arg));
	child_check(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void stat_tells_whose_it_is(void **state)
{
	struct peer peer = peer_new(test_key(), page);
	pid_t pid = spawn(create_as_nobody, &peer);
	struct npheap_stat stat;

	(void)state;
	expect_exit(pid, 0);
	stat = stat_of(peer.key);
	assert_int_equal(stat.uid, 1234);
	assert_int_equal(stat.creator, pid);
	delete(peer.key);
	assert_int_equal(create(peer.key, page, 0), 0);
	expect_exit(spawn(enter_namespace, &peer), 0);
	delete(peer.key);
}

/* -------------------------------------------------------------- arguments */

static const unsigned long commands[] = {
	NPHEAP_IOC_RESIZE, NPHEAP_IOC_PUNCH, NPHEAP_IOC_SEAL, NPHEAP_IOC_STAT,
};

static void arguments_are_checked(void **state)
{
	struct npheap_resize args = { .size = page, .reserved = 1 };
	uint64_t key = test_key();
	struct npheap_seal seals = { .key = key, .reserved = 1 };
	struct npheap_punch hole = { .key = key, .length = page,
				     .reserved = 1 };
	size_t i;

	(void)state;
	assert_int_equal(create(key, 4 * page, 0), 0);
	args.key = key;
	assert_errno(ioctl(dev, NPHEAP_IOC_RESIZE, &args), EINVAL);
	assert_errno(ioctl(dev, NPHEAP_IOC_SEAL, &seals), EINVAL);
	assert_errno(ioctl(dev, NPHEAP_IOC_PUNCH, &hole), EINVAL);
	assert_errno(resize(key, 0, 0), EINVAL);
	assert_errno(resize(key, page, 2), EINVAL);
	assert_errno(resize(key, UINT64_MAX, 0), EFBIG);
	assert_errno(punch(key, 0, 0, 0), EINVAL);
	assert_errno(punch(key, 1, page, 0), EINVAL);
	assert_errno(punch(key, 0, page - 1, 0), EINVAL);
	assert_errno(punch(key, 0, 5 * page, 0), EINVAL);
	assert_errno(punch(key, 4 * page, page, 0), EINVAL);
	assert_errno(punch(key, -page, 2 * page, 0), EINVAL);
	assert_errno(punch(key, page, -page, 0), EINVAL);
	assert_errno(punch(key, 0, page, 2), EINVAL);
	assert_errno(seal(key, 8), EINVAL);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		assert_errno(ioctl(dev, commands[i], NULL), EFAULT);
	assert_int_equal(size_by_ioctl(key), 4 * page);
	assert_int_equal(stat_of(key).seals, 0);
	delete(key);
}

static void keys_are_checked(void **state)
{
	struct npheap_stat stat = { .key = test_key() };

	(void)state;
	assert_errno(resize(stat.key, page, 0), ENOENT);
	assert_errno(punch(stat.key, 0, page, 0), ENOENT);
	assert_errno(seal(stat.key, 0), ENOENT);
	assert_errno(ioctl(dev, NPHEAP_IOC_STAT, &stat), ENOENT);
	stat.key = NPHEAP_KEY_MAX + 1;
	assert_errno(resize(stat.key, page, 0), EOVERFLOW);
	assert_errno(punch(stat.key, 0, page, 0), EOVERFLOW);
	assert_errno(seal(stat.key, 0), EOVERFLOW);
	assert_errno(ioctl(dev, NPHEAP_IOC_STAT, &stat), EOVERFLOW);
}

static void readonly_descriptors_may_stat(void **state)
{
	struct npheap_resize args = { .key = test_key(), .size = page };
	struct npheap_punch hole = { .key = args.key, .length = page };
	struct npheap_seal seals = { .key = args.key };
	struct npheap_stat stat = { .key = args.key };
	int fd = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(create(args.key, 2 * page, 0), 0);
	assert_errno(ioctl(fd, NPHEAP_IOC_RESIZE, &args), EBADF);
	assert_errno(ioctl(fd, NPHEAP_IOC_PUNCH, &hole), EBADF);
	assert_errno(ioctl(fd, NPHEAP_IOC_SEAL, &seals), EBADF);
	assert_int_equal(ioctl(fd, NPHEAP_IOC_STAT, &stat), 0);
	assert_int_equal(stat.size, 2 * page);
	close(fd);
	delete(args.key);
}

static void library_changes_objects(void **state)
{
	uint64_t key = test_key();
	struct npheap_stat stat = { .size = 1 };
	struct npheap *heap;
	void *p;

	(void)state;
	assert_int_equal(npheap_open(NULL, 0, &heap), 0);
	assert_int_equal(npheap_stat(heap, key, &stat), -ENOENT);
	assert_int_equal(stat.size, 1);
	assert_int_equal(npheap_resize(heap, key, page, 0), -ENOENT);
	assert_int_equal(npheap_create(heap, key, 2 * page, MAX, 0), 0);
	assert_int_equal(npheap_resize(heap, key, 4 * page, 0), 0);
	assert_int_equal(npheap_resize(heap, key, MAX + 1, 0), -EFBIG);
	assert_int_equal(npheap_map(heap, key, 4 * page, &p), 0);
	memset(p, 1, 4 * page);
	assert_int_equal(npheap_punch(heap, key, page, page, 0), 0);
	check_zero(p, page, 2 * page);
	assert_int_equal(((char *)p)[2 * page], 1);
	assert_int_equal(npheap_punch(heap, key, 0, 1, 0), -EINVAL);
	assert_int_equal(npheap_seal(heap, key, NPHEAP_SEAL_SHRINK), 0);
	assert_int_equal(npheap_resize(heap, key, page, FORCE), -EPERM);
	assert_int_equal(npheap_stat(heap, key, &stat), 0);
	assert_int_equal(stat.size, 4 * page);
	assert_int_equal(stat.max_size, MAX);
	assert_int_equal(stat.seals, NPHEAP_SEAL_SHRINK);
	assert_int_equal(npheap_unmap(p, 4 * page), 0);
	npheap_close(heap);
	delete(key);
}

/* ----------------------------------------------------------------- stress */

#define STRESS_MS 4000

static sigjmp_buf beyond;

static void on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(beyond, 1);
}

/* A page has its number or, if it came anew, nothing. */
static int touch_at_random(void *arg)
{
	struct peer *peer = arg;
	unsigned int seed = getpid();
	long long end = now_ms() + STRESS_MS;
	volatile unsigned long rounds = 0;
	char *p = NULL;

	signal(SIGBUS, on_sigbus);
	gate_add(peer->there, 1);
	while (now_ms() < end) {
		size_t i = rand_r(&seed) % (peer->size / page);
		_Atomic uint64_t *number;
		uint64_t now;

		if (!(rounds++ & 255)) {
			if (p)
				child_check(munmap(p, peer->size) == 0);
			p = map_key(peer->key, peer->size);
		}
		number = (_Atomic uint64_t *)(p + i * page);
		if (sigsetjmp(beyond, 1))
			continue;
		now = atomic_load(number);
		child_check(now == 0 || now == i + 1);
		if (rounds & 1)
			atomic_store(number, i + 1);
	}
	return 0;
}

/* No fault puts a page beyond an end that is set already. */
static int resize_alone(void *arg)
{
	struct peer *peer = arg;
	unsigned int seed = getpid();
	long long end = now_ms() + STRESS_MS;

	gate_add(peer->there, 1);
	while (now_ms() < end) {
		size_t pages = rand_r(&seed) % (peer->size / page) + 1;
		struct npheap_stat stat = { .key = peer->key };

		if (resize(peer->key, pages * page, FORCE))
			child_check(errno == EBUSY);
		else
			stat.size = pages * page;
		child_check(ioctl(dev, NPHEAP_IOC_STAT, &stat) == 0);
		child_check(stat.resident <= stat.size);
		child_check(resize(peer->key, peer->size, 0) == 0);
	}
	return 0;
}

static int resize_at_random(void *arg)
{
	struct peer *peer = arg;
	unsigned int seed = getpid();
	long long end = now_ms() + STRESS_MS;

	gate_add(peer->there, 1);
	while (now_ms() < end) {
		size_t at = rand_r(&seed) % (peer->size / page) * page;
		int rc;

		if (rand_r(&seed) & 3)
			rc = resize(peer->key, at + page, FORCE);
		else
			rc = punch(peer->key, at, page, FORCE);
		/* Beyond the end that another has set, or busy with it. */
		child_check(rc == 0 || errno == EINVAL || errno == EBUSY);
	}
	return 0;
}

static void stress(size_t size, uint32_t flags, int (*resizer)(void *arg),
		   int resizers)
{
	struct usage before = usage_now();
	struct peer peer = peer_new(test_key(), size);
	pid_t pids[5];
	int i;

	assert_int_equal(create(peer.key, peer.size, flags), 0);
	for (i = 0; i < 5; i++)
		pids[i] = spawn(i < resizers ? resizer : touch_at_random,
				&peer);
	for (i = 0; i < 5; i++)
		expect_exit(pids[i], 0);
	assert_int_equal(stat_of(peer.key).mappings, 0);
	assert_bytes(before, stat_of(peer.key).resident);
	if (!flags)
		assert_int_equal(stat_of(peer.key).resident,
				 stat_of(peer.key).size);
	delete(peer.key);
	assert_usage(before);
}

static void resize_races_with_faults(void **state)
{
	(void)state;
	stress(6 * MIB, 0, resize_at_random, 2);
}

static void resize_races_with_faults_of_sparse_objects(void **state)
{
	(void)state;
	stress(6 * MIB, SPARSE, resize_at_random, 2);
	stress(16 * page, SPARSE, resize_alone, 1);
}

static int delete_at_random(void *arg)
{
	struct peer *peer = arg;
	unsigned int seed = getpid();
	long long end = now_ms() + STRESS_MS / 2;

	while (now_ms() < end) {
		size_t size = (rand_r(&seed) % 1024 + 1) * page;
		int rc;

		switch (rand_r(&seed) & 3) {
		case 0:
			child_check(npheap_delete(dev, peer->key) == 0);
			break;
		case 1:
			rc = create(peer->key, size, seed & 1 ? SPARSE : 0);
			child_check(rc == 0 || errno == EEXIST);
			break;
		case 2:
			rc = resize(peer->key, size, FORCE);
			child_check(rc == 0 || errno == ENOENT ||
				    errno == EBUSY);
			break;
		default:
			rc = punch(peer->key, 0, page, FORCE);
			child_check(rc == 0 || errno == ENOENT);
		}
	}
	return 0;
}

static void resize_races_with_deletion(void **state)
{
	struct usage before = usage_now();
	struct peer peer = peer_new(test_key(), 0);
	pid_t pids[4];
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		pids[i] = spawn(delete_at_random, &peer);
	for (i = 0; i < 4; i++)
		expect_exit(pids[i], 0);
	delete(peer.key);
	assert_usage(before);
}

static const struct CMUnitTest resize_tests[] = {
	TEST(grow_is_seen_through_longer_mappings),
	TEST(grow_is_seen_by_other_processes),
	TEST(grow_shows_no_size_before_its_pages),
	TEST(grow_ends_at_max_size),
	LIMIT_TEST(grow_meets_the_limits),
	TEST(grow_that_is_killed_changes_nothing),
	TEST(resize_is_told_to_the_table),
	TEST(shrink_takes_memory_away),
	TEST(shrink_splits_large_folios),
	TEST(shrink_is_refused_while_others_map_it),
	TEST(shrink_by_force_is_sigbus_for_others),
	TEST(force_is_for_the_creator_and_root),
	TEST(shrink_drops_private_copies_beyond_the_end),
	TEST(shrink_keeps_private_copies_below_the_end),
	TEST(shrink_waits_for_io_in_a_large_folio),
	TEST(punch_gives_zeroes),
	TEST(punch_gives_sparse_memory_back),
	TEST(punch_of_holes),
	TEST(seals_rule_changes_out),
	TEST(stat_tells),
	TEST(stat_tells_when_it_was_created),
	TEST(stat_tells_whose_it_is),
	TEST(arguments_are_checked),
	TEST(keys_are_checked),
	TEST(readonly_descriptors_may_stat),
	TEST(library_changes_objects),
	TEST(resize_races_with_faults),
	TEST(resize_races_with_faults_of_sparse_objects),
	TEST(resize_races_with_deletion),
};

int main(void)
{
	limits_keep();
	return test_main(resize_tests);
}
