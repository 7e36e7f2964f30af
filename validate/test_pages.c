// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel does with the pages of objects: moves, poisons, charges. */
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "object.h"

#define MIB (1UL << 20)
#define HUGE (2 * MIB)

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

/* ------------------------------------------------- pages in use that move */

/* Adds to a number in each page, for as long as it is told to. */
struct adder {
	char *p;
	size_t pages;
	unsigned long rounds;
	_Atomic int stop;
	pthread_t thread;
};

static _Atomic unsigned long *counter_in(const char *p, size_t i)
{
	return (_Atomic unsigned long *)(p + i * page + i % 64 * 8);
}

static void *add(void *arg)
{
	struct adder *adder = arg;
	size_t i;

	while (!atomic_load(&adder->stop)) {
		for (i = 0; i < adder->pages; i++)
			atomic_fetch_add(counter_in(adder->p, i), 1);
		adder->rounds++;
	}
	return NULL;
}

static void adder_start(struct adder *adder, uint64_t key, size_t size)
{
	memset(adder, 0, sizeof(*adder));
	adder->p = map_key(key, size);
	adder->pages = size / page;
	assert_int_equal(pthread_create(&adder->thread, NULL, add, adder), 0);
}

/* An addition that went to a page's old place would be missing. */
static void adder_end(struct adder *adder, uint64_t key)
{
	size_t i, lost = 0;

	atomic_store(&adder->stop, 1);
	assert_int_equal(pthread_join(adder->thread, NULL), 0);
	assert_true(adder->rounds > 0);
	for (i = 0; i < adder->pages; i++)
		lost += *counter_in(adder->p, i) != adder->rounds;
	assert_int_equal(lost, 0);
	drop(adder->p, adder->pages * page, key);
}

/* -------------------------------------------------------------- compaction */

enum { SCATTERED = 600 };

/* Single pages with gaps between them, which compaction wants to close. */
static void scatter(uint64_t key)
{
	size_t i;
	char *p;

	for (i = 0; i < 2 * SCATTERED; i++) {
		p = map_key(key + i, page);
		memset(p, i, page);
		unmap(p, page);
	}
	for (i = 0; i < 2 * SCATTERED; i += 2)
		assert_int_equal(npheap_delete(dev, key + i), 0);
}

static void gather(uint64_t key)
{
	size_t i;
	char *p;

	for (i = 1; i < 2 * SCATTERED; i += 2) {
		p = map_key(key + i, page);
		assert_true(is_filled(p, i, page));
		drop(p, page, key + i);
	}
}

static long long pages_moved(void)
{
	return number_after("/proc/vmstat", "pgmigrate_success ");
}

static void pages_move_by_compaction_under_load(void **state)
{
	uint64_t key = test_key(), others = test_key();
	long long moved = pages_moved();
	struct adder adder;
	int i;

	(void)state;
	if (access("/proc/sys/vm/compact_memory", W_OK)) {
		printf("# no compaction in this kernel\n");
		skip();
	}
	scatter(others);
	adder_start(&adder, key, HUGE + 64 * page);
	for (i = 0; i < 10; i++) {
		assert_int_equal(write_text("/proc/sys/vm/compact_memory", "1"),
				 0);
		usleep(20000);
	}
	adder_end(&adder, key);
	gather(others);
	printf("# pages moved: %lld\n", pages_moved() - moved);
}

/* -------------------------------------------------------------------- NUMA */

static void need_two_nodes(void)
{
	if (!access("/sys/devices/system/node/node1", F_OK))
		return;
	printf("# one node; numa=fake=2 on the kernel's command line makes two\n");
	skip();
}

/* move_pages() of all pages, to @node or, if that is negative, nowhere. */
static void call_move_pages(char *p, size_t pages, int node, int *status)
{
	void **addresses = calloc(pages, sizeof(*addresses));
	int *nodes = calloc(pages, sizeof(*nodes));
	size_t i;

	assert_non_null(addresses);
	assert_non_null(nodes);
	for (i = 0; i < pages; i++) {
		addresses[i] = p + i * page;
		nodes[i] = node;
	}
	assert_true(syscall(SYS_move_pages, 0, pages, addresses,
			    node < 0 ? NULL : nodes, status,
			    MPOL_MF_MOVE) >= 0);
	free(addresses);
	free(nodes);
}

static size_t count_on_node(char *p, size_t pages, int node)
{
	int *status = calloc(pages, sizeof(*status));
	size_t i, there = 0;

	assert_non_null(status);
	call_move_pages(p, pages, -1, status);
	for (i = 0; i < pages; i++)
		there += status[i] == node;
	free(status);
	return there;
}

/* The number of pages that are there then. */
static size_t move_all(char *p, size_t pages, int node)
{
	int *status = calloc(pages, sizeof(*status));

	assert_non_null(status);
	call_move_pages(p, pages, node, status);
	free(status);
	return count_on_node(p, pages, node);
}

/* A page that is just being looked at stays; it goes the next time. */
static void move_to(char *p, size_t pages, int node)
{
	int i;

	for (i = 0; i < 20; i++)
		if (move_all(p, pages, node) == pages)
			return;
	assert_int_equal(move_all(p, pages, node), pages);
}

static void check_moving(size_t pages)
{
	uint64_t key = test_key();
	char *p = map_key(key, pages * page);
	int i;

	stamp(p, pages, 'A');
	for (i = 0; i < 4; i++) {
		move_to(p, pages, i % 2);
		assert_true(is_stamped(p, pages, 'A'));
	}
	drop(p, pages * page, key);
}

static void pages_move_between_nodes(void **state)
{
	(void)state;
	need_two_nodes();
	check_moving(1);
	check_moving(16);
	check_moving(HUGE / page);
	check_moving(HUGE / page + 21);
}

static void pages_move_between_nodes_under_load(void **state)
{
	uint64_t key = test_key();
	struct adder adder;
	int i;

	(void)state;
	need_two_nodes();
	adder_start(&adder, key, 64 * page);
	for (i = 0; i < 60; i++)
		move_all(adder.p, adder.pages, i % 2);
	adder_end(&adder, key);
}

static void pages_follow_the_policy_of_their_mapping(void **state)
{
	uint64_t key = test_key();
	unsigned long nodes;
	char *p;
	int i;

	(void)state;
	need_two_nodes();
	p = map_key(key, 16 * page);
	stamp(p, 16, 'A');
	move_to(p, 16, 1);
	for (i = 0; i < 4; i++) {
		nodes = 1 << i % 2;
		assert_int_equal(syscall(SYS_mbind, p, 16 * page, MPOL_BIND,
					 &nodes, 8, MPOL_MF_MOVE), 0);
		assert_int_equal(count_on_node(p, 16, i % 2), 16);
		assert_true(is_stamped(p, 16, 'A'));
	}
	drop(p, 16 * page, key);
}

static void pages_go_where_their_process_goes(void **state)
{
	unsigned long from = 1, to = 2;
	uint64_t key = test_key();
	char *p;

	(void)state;
	need_two_nodes();
	p = map_key(key, 16 * page);
	stamp(p, 16, 'A');
	move_to(p, 16, 0);
	assert_true(syscall(SYS_migrate_pages, 0, 8, &from, &to) >= 0);
	assert_int_equal(count_on_node(p, 16, 1), 16);
	assert_true(is_stamped(p, 16, 'A'));
	assert_true(syscall(SYS_migrate_pages, 0, 8, &to, &from) >= 0);
	assert_int_equal(count_on_node(p, 16, 0), 16);
	drop(p, 16 * page, key);
}

/* ---------------------------------------------------------- broken memory */

/* Poison costs the machine a page, so nobody's own gets it. */
static void need_poison(void)
{
	char *p;
	int rc;

	if (!getenv("NPHEAP_KERNEL")) {
		printf("# not in a virtual machine of scripts/vm\n");
		skip();
	}
	/* Of a page that is not there, to see whether it is known. */
	p = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rc = madvise(p, page, MADV_HWPOISON);
	if (rc && errno == EINVAL) {
		printf("# no MADV_HWPOISON in this kernel\n");
		unmap(p, page);
		skip();
	}
	unmap(p, page);
}

/* EBUSY: it is poisoned, and stays in the page cache as it shall. */
static void poison(char *p)
{
	if (madvise(p, page, MADV_HWPOISON))
		assert_int_equal(errno, EBUSY);
}

struct neighbour {
	struct gate *gate;
	uint64_t key;
	size_t size;
	size_t bad;
};

/* Had the page mapped before it broke, and maps it anew. */
static int live_with_it(void *arg)
{
	const struct neighbour *neighbour = arg;
	char *p = npheap_alloc(dev, neighbour->key, neighbour->size), *q;

	child_check(p != MAP_FAILED);
	child_check(touch(p + neighbour->bad, WRITE) == 0);
	gate_add(neighbour->gate, 1);
	gate_wait(neighbour->gate, 2);
	child_check(touch(p + neighbour->bad, READ) == SIGBUS);
	child_check(touch(p + neighbour->bad, WRITE) == SIGBUS);
	child_check(touch(p, READ) == 0);
	q = npheap_alloc(dev, neighbour->key, neighbour->size);
	child_check(q != MAP_FAILED);
	child_check(touch(q + neighbour->bad, READ) == SIGBUS);
	child_check(touch(q + neighbour->bad - page, READ) == 0);
	return 0;
}

static void assert_poisoned(char *p, size_t pages, size_t bad)
{
	char *at = p + bad * page;
	int fds[2];

	assert_int_equal(touch(at, READ), SIGBUS);
	assert_int_equal(touch(at, WRITE), SIGBUS);
	assert_int_equal(pipe(fds), 0);
	assert_errno(write(fds[1], at, 1), EFAULT);
	close(fds[0]);
	close(fds[1]);
	assert_true(is_stamped(p, bad, 'A'));
	assert_true(is_stamped(at + page, pages - bad - 1, 'A' + bad + 1));
}

static void check_poison(size_t pages, size_t bad)
{
	size_t size = pages * page;
	struct neighbour neighbour = { gate_new(), test_key(), size,
				       bad * page };
	char *p = map_key(neighbour.key, size);
	pid_t pid = spawn(live_with_it, &neighbour);

	gate_wait(neighbour.gate, 1);
	stamp(p, pages, 'A');
	poison(p + bad * page);
	assert_poisoned(p, pages, bad);
	gate_add(neighbour.gate, 1);
	expect_exit(pid, 0);
	unmap(p, size);
	/* Nobody maps it, and it may be looked for in the page cache only. */
	write_text("/proc/sys/vm/drop_caches", "3");
	p = map_key(neighbour.key, size);
	assert_poisoned(p, pages, bad);
	assert_int_equal(npheap_getsize(dev, neighbour.key), size);
	drop(p, size, neighbour.key);
	/* The next object of the key has other memory. */
	p = map_key(neighbour.key, size);
	assert_true(is_filled(p, 0, size));
	drop(p, size, neighbour.key);
}

static void pages_that_are_poisoned_stay_so(void **state)
{
	(void)state;
	need_poison();
	check_poison(4, 1);
	check_poison(16, 9);
}

static void pages_that_are_poisoned_spare_the_rest_of_a_huge_one(void **state)
{
	(void)state;
	need_poison();
	check_poison(HUGE / page, 100);
	check_poison(2 * HUGE / page, HUGE / page + 1);
}

/* A page about to break is replaced while it can still be read. */
static void check_soft_offline(size_t pages, size_t bad)
{
	uint64_t key = test_key();
	char *p = map_key(key, pages * page);
	int rc;

	stamp(p, pages, 'A');
	rc = madvise(p + bad * page, page, MADV_SOFT_OFFLINE);
	if (rc)
		printf("# MADV_SOFT_OFFLINE: %s\n", strerror(errno));
	assert_true(is_stamped(p, pages, 'A'));
	assert_int_equal(touch(p + bad * page, WRITE), 0);
	drop(p, pages * page, key);
}

static void pages_about_to_break_keep_their_data(void **state)
{
	(void)state;
	need_poison();
	check_soft_offline(4, 2);
	check_soft_offline(HUGE / page, 77);
}

/* ---------------------------------------------------------- memory cgroups */

struct filler {
	struct gate *created;
	uint64_t key;
	size_t size;
};

/* Little by little, until there is no more: the worst place to be stopped. */
static int fill_group(void *arg)
{
	const struct filler *filler = arg;
	int failures = 0;
	uint32_t i = 0;

	child_check(enter_group() == 0);
	while (failures < 20) {
		void *p = npheap_alloc(dev, filler->key + i, filler->size);

		if (p == MAP_FAILED) {
			child_check(errno == ENOMEM);
			failures++;
			continue;
		}
		child_check(munmap(p, filler->size) == 0);
		gate_add(filler->created, 1);
		i++;
		child_check(i < 100000);
	}
	return 0;
}

static void check_full_group(size_t size)
{
	struct filler filler = { gate_new(), test_key(), size };
	long long objects = heap_stat("objects");
	uint32_t i, n;

	assert_int_equal(write_text(GROUP "/memory.max", "12M"), 0);
	expect_exit(spawn(fill_group, &filler), 0);
	n = atomic_load(&filler.created->value);
	assert_true(n > 0);
	assert_true(n * size <= 12 * MIB);
	assert_int_equal(heap_stat("objects"), objects + n);
	assert_int_equal(number_after(GROUP "/memory.events", "oom_kill "), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(npheap_delete(dev, filler.key + i), 0);
	assert_int_equal(heap_stat("objects"), objects);
}

static void pages_end_at_the_limit_of_a_cgroup(void **state)
{
	(void)state;
	need_group();
	check_full_group(page);
	check_full_group(64 * 1024);
	check_full_group(3 * MIB);
	assert_int_equal(rmdir(GROUP), 0);
}

static const struct CMUnitTest pages_tests[] = {
	TEST(pages_move_by_compaction_under_load),
	TEST(pages_move_between_nodes),
	TEST(pages_move_between_nodes_under_load),
	TEST(pages_follow_the_policy_of_their_mapping),
	TEST(pages_go_where_their_process_goes),
	TEST(pages_that_are_poisoned_stay_so),
	TEST(pages_that_are_poisoned_spare_the_rest_of_a_huge_one),
	TEST(pages_about_to_break_keep_their_data),
	TEST(pages_end_at_the_limit_of_a_cgroup),
};

int main(void)
{
	return test_main(pages_tests);
}
