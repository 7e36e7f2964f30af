// SPDX-License-Identifier: GPL-2.0-or-later
/* Mappings of objects: their bounds, their neighbours, and their uses. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "object.h"

#define MIB (1UL << 20)
#define HUGE (2 * MIB)

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* What the heap uses, and who keeps the module loaded: mappings do. */
struct holdings {
	struct usage usage;
	long long pins;
};

static struct holdings holdings_now(void)
{
	return (struct holdings){
		.usage = usage_now(),
		.pins = read_number("/sys/module/npheap/refcnt"),
	};
}

static void assert_holdings(struct holdings before)
{
	assert_usage(before.usage);
	assert_int_equal(read_number("/sys/module/npheap/refcnt"), before.pins);
}

static void *map_with(int fd, uint64_t key, size_t size, int prot, int flags)
{
	return mmap(NULL, size, prot, flags, fd, key * page);
}

static void map_at(void *where, uint64_t key, size_t size)
{
	assert_ptr_equal(mmap(where, size, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, dev, key * page), where);
}

/* Addresses that nothing else gets, aligned for huge pages. */
static char *reserve(size_t size)
{
	char *p = mmap(NULL, size + HUGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t head;

	assert_ptr_not_equal(p, MAP_FAILED);
	head = -(uintptr_t)p % HUGE;
	if (head)
		munmap(p, head);
	munmap(p + head + size, HUGE - head);
	return p + head;
}

/* ------------------------------------------------------------ single touch */

/* --------------------------------------------------------- /proc/self/maps */

struct vma {
	unsigned long start;
	unsigned long end;
	unsigned long offset;
	char perms[8];
	char name[128];
};

/* The mappings that lie in an area, in order; how many they are. */
static int list_vmas(const void *p, size_t size, struct vma *vmas, int max)
{
	unsigned long from = (unsigned long)p;
	FILE *file = fopen("/proc/self/maps", "re");
	struct vma vma;
	char line[512];
	int n = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		vma.name[0] = 0;
		assert_true(sscanf(line, "%lx-%lx %7s %lx %*s %*s %127[^\n]",
				   &vma.start, &vma.end, vma.perms, &vma.offset,
				   vma.name) >= 4);
		if (vma.end <= from || vma.start >= from + size)
			continue;
		if (n < max)
			vmas[n] = vma;
		n++;
	}
	fclose(file);
	return n;
}

static void assert_vma(const struct vma *vma, const char *start, size_t size,
		       uint64_t key, unsigned long offset)
{
	char name[128];

	snprintf(name, sizeof(name), "/npheap:%llu", (unsigned long long)key);
	assert_string_equal(vma->name, name);
	assert_int_equal(vma->start, (unsigned long)start);
	assert_int_equal(vma->end, (unsigned long)start + size);
	assert_int_equal(vma->offset, offset);
}

/* All lines of maps, to see that a failure left none behind. */
static int count_vmas(void)
{
	return list_vmas(NULL, -page, NULL, 0);
}

/* ----------------------------------------------------------------- bounds */

/* Each page past the end refuses the access; sizes in pages. */
static void check_bounds(size_t size, size_t mapped, enum how first)
{
	uint64_t key = test_key();
	char *p;
	size_t i;

	unmap(map_key(key, size * page), size * page);
	p = map_key(key, mapped * page);
	assert_int_equal(touch(p, first), 0);
	assert_int_equal(count_present(p + size * page, mapped - size), 0);
	assert_int_equal(touch(p + size * page - 1, READ), 0);
	assert_int_equal(touch(p + size * page - 1, WRITE), 0);
	for (i = size; i < mapped; i += i < size + 4 ? 1 : mapped / 8) {
		assert_int_equal(touch(p + i * page, READ), SIGBUS);
		assert_int_equal(touch(p + i * page, WRITE), SIGBUS);
	}
	assert_int_equal(touch(p + mapped * page - 1, WRITE), SIGBUS);
	assert_int_equal(count_present(p + size * page, mapped - size), 0);
	assert_int_equal(npheap_getsize(dev, key), size * page);
	drop(p, mapped * page, key);
}

/* Fault-around must not reach past the end from a page before it. */
static void map_first_read_shows_nothing_past_the_end(void **state)
{
	(void)state;
	check_bounds(1, 2, READ);
	check_bounds(1, 64, READ);
	check_bounds(3, 16, READ);
	check_bounds(15, 32, READ);
	check_bounds(17, 1100, READ);
	check_bounds(512, 1100, READ);
	check_bounds(515, 1100, READ);
}

static void map_first_write_shows_nothing_past_the_end(void **state)
{
	(void)state;
	check_bounds(1, 2, WRITE);
	check_bounds(1, 64, WRITE);
	check_bounds(3, 16, WRITE);
	check_bounds(17, 1100, WRITE);
	check_bounds(512, 1100, WRITE);
	check_bounds(515, 1100, WRITE);
}

/* The very first access of the mapping is past the end. */
static void map_first_access_past_the_end(void **state)
{
	enum how how;

	(void)state;
	for (how = READ; how <= WRITE; how++) {
		uint64_t key = test_key();
		char *p;

		unmap(map_key(key, page), page);
		p = map_key(key, 8 * page);
		assert_int_equal(touch(p + page, how), SIGBUS);
		assert_int_equal(count_present(p + page, 7), 0);
		assert_int_equal(touch(p + page - 1, how), 0);
		drop(p, 8 * page, key);
	}
}

/* An offset whose low 32 bits are 0 is not the object's first page. */
static void map_offset_of_four_gib_is_past_the_end(void **state)
{
	size_t four = 4096 * MIB;
	uint64_t key = test_key();
	char *p, *q = map_key(key, page);

	(void)state;
	q[0] = 7;
	p = map_key(key, four + 2 * page);
	assert_int_equal(touch(p + four, READ), SIGBUS);
	assert_int_equal(touch(p + four, WRITE), SIGBUS);
	assert_int_equal(touch(p + four / 2, READ), SIGBUS);
	assert_int_equal(q[0], 7);
	assert_int_equal(p[0], 7);
	unmap(p, four + 2 * page);
	drop(q, page, key);
}

/* The kernel's own accesses stop there, too. */
static void map_system_calls_stop_at_the_end(void **state)
{
	uint64_t key = test_key();
	char *p, byte = 'b';
	int fds[2];

	(void)state;
	unmap(map_key(key, page), page);
	p = map_key(key, 4 * page);
	assert_int_equal(pipe(fds), 0);
	assert_errno(write(fds[1], p + page, 1), EFAULT);
	assert_int_equal(write(fds[1], &byte, 1), 1);
	assert_errno(read(fds[0], p + page, 1), EFAULT);
	close(fds[0]);
	close(fds[1]);
	drop(p, 4 * page, key);
}

/* ------------------------------------------------------------- neighbours */

/* Two objects side by side in memory, of which one key follows on the other. */
static void check_neighbours(size_t pages, int above, int reverse)
{
	size_t size = pages * page;
	uint64_t key = test_key(), other = above ? key + pages : key - pages;
	char *area = reserve(2 * size);
	char *a = above ? area : area + size;
	char *b = above ? area + size : area;
	struct vma vmas[3];

	map_at(reverse ? b : a, reverse ? other : key, size);
	map_at(reverse ? a : b, reverse ? key : other, size);
	assert_int_equal(list_vmas(area, 2 * size, vmas, 3), 2);
	assert_vma(&vmas[above ? 0 : 1], a, size, key, 0);
	assert_vma(&vmas[above ? 1 : 0], b, size, other, 0);
	assert_int_equal(touch(a + size - 1, READ), 0);
	memset(a, 'a', size);
	assert_true(is_filled(b, 0, size));
	memset(b, 'b', size);
	assert_true(is_filled(a, 'a', size));
	/* Again, so that no page table of the first time helps. */
	unmap(area, 2 * size);
	map_at(a, key, size);
	map_at(b, other, size);
	assert_int_equal(list_vmas(area, 2 * size, vmas, 3), 2);
	assert_true(is_filled(a, 'a', size));
	assert_true(is_filled(b, 'b', size));
	drop(a, size, key);
	drop(b, size, other);
}

static void map_neighbour_above_stays_apart(void **state)
{
	(void)state;
	check_neighbours(1, 1, 0);
	check_neighbours(1, 1, 1);
	check_neighbours(16, 1, 0);
}

static void map_neighbour_below_stays_apart(void **state)
{
	(void)state;
	check_neighbours(1, 0, 0);
	check_neighbours(1, 0, 1);
	check_neighbours(16, 0, 0);
}

static void map_large_neighbours_stay_apart(void **state)
{
	(void)state;
	check_neighbours(HUGE / page, 1, 0);
	check_neighbours(HUGE / page, 1, 1);
	check_neighbours(HUGE / page, 0, 0);
	check_neighbours(HUGE / page, 0, 1);
}

/* The second begins at the first byte, too, and is no continuation. */
static void map_twice_side_by_side(void **state)
{
	size_t size = 4 * page;
	uint64_t key = test_key();
	char *area = reserve(2 * size);
	struct vma vmas[3];

	(void)state;
	map_at(area, key, size);
	map_at(area + size, key, size);
	assert_int_equal(list_vmas(area, 2 * size, vmas, 3), 2);
	assert_vma(&vmas[0], area, size, key, 0);
	assert_vma(&vmas[1], area + size, size, key, 0);
	stamp(area, 4, 'p');
	assert_true(is_stamped(area + size, 4, 'p'));
	drop(area, 2 * size, key);
}

/* A long mapping's page offsets are the keys of others; they mean nothing. */
static void check_covering(int long_first)
{
	enum { PAGES = 8 };
	uint64_t key = test_key();
	char *longer = NULL, *others[PAGES];
	int i;

	if (long_first)
		longer = map_key(key, PAGES * page);
	for (i = 1; i < PAGES; i++) {
		others[i] = map_key(key + i, page);
		memset(others[i], 'o', page);
	}
	if (!long_first)
		longer = map_key(key, PAGES * page);
	assert_true(is_filled(longer, 0, PAGES * page));
	stamp(longer, PAGES, 'A');
	for (i = 1; i < PAGES; i++) {
		assert_true(is_filled(others[i], 'o', page));
		drop(others[i], page, key + i);
	}
	assert_true(is_stamped(longer, PAGES, 'A'));
	drop(longer, PAGES * page, key);
}

static void map_covers_the_keys_of_others(void **state)
{
	(void)state;
	check_covering(0);
	check_covering(1);
}

/* The same, where the mapping and not the object is what is long. */
static void map_past_the_end_is_not_the_next_object(void **state)
{
	uint64_t key = test_key();
	char *next, *p;

	(void)state;
	unmap(map_key(key, page), page);
	next = map_key(key + 1, page);
	memset(next, 'n', page);
	p = map_key(key, 4 * page);
	assert_int_equal(touch(p, READ), 0);
	assert_int_equal(touch(p + page, READ), SIGBUS);
	assert_int_equal(touch(p + page, WRITE), SIGBUS);
	assert_true(is_filled(next, 'n', page));
	drop(p, 4 * page, key);
	drop(next, page, key + 1);
}

/* ---------------------------------------------------------- partial unmap */

/* What remains stays what it was, and lives on until the last piece goes. */
static void check_partial(size_t from, size_t count)
{
	enum { PAGES = 8 };
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, PAGES * page);
	char *end = p + (from + count) * page;
	size_t rest = PAGES - from - count;

	stamp(p, PAGES, 'A');
	unmap(p + from * page, count * page);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(touch(p + from * page, READ), SIGSEGV);
	assert_true(is_stamped(p, from, 'A'));
	assert_true(is_stamped(end, rest, 'A' + from + count));
	if (from)
		unmap(p, from * page);
	assert_true(is_stamped(end, rest, 'A' + from + count));
	if (rest && from)
		assert_int_equal(heap_stat("deleted_bytes"),
				 before.usage.deleted +
				 (long long)(PAGES * page));
	if (rest)
		unmap(end, rest * page);
	assert_holdings(before);
}

static void map_unmap_of_the_start(void **state)
{
	(void)state;
	check_partial(0, 3);
}

static void map_unmap_of_the_middle(void **state)
{
	(void)state;
	check_partial(3, 2);
}

static void map_unmap_of_the_end(void **state)
{
	(void)state;
	check_partial(5, 3);
}

/* A hole in a huge page, which has to be taken apart for it. */
static void map_unmap_inside_a_huge_page(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 2 * HUGE);

	(void)state;
	memset(p, 'h', 2 * HUGE);
	unmap(p + HUGE - 3 * page, 6 * page);
	assert_int_equal(touch(p + HUGE, READ), SIGSEGV);
	assert_true(is_filled(p, 'h', HUGE - 3 * page));
	assert_true(is_filled(p + HUGE + 3 * page, 'h', HUGE - 3 * page));
	unmap(p, HUGE - 3 * page);
	unmap(p + HUGE + 3 * page, HUGE - 3 * page);
	p = map_key(key, 2 * HUGE);
	assert_true(is_filled(p, 'h', 2 * HUGE));
	drop(p, 2 * HUGE, key);
	assert_holdings(before);
}

static void map_fixed_over_the_middle(void **state)
{
	struct holdings before = holdings_now();
	uint64_t outer = test_key(), inner = test_key();
	char *p = map_key(outer, 6 * page);
	struct vma vmas[4];

	(void)state;
	stamp(p, 6, 'A');
	map_at(p + 2 * page, inner, 2 * page);
	assert_int_equal(list_vmas(p, 6 * page, vmas, 4), 3);
	assert_vma(&vmas[0], p, 2 * page, outer, 0);
	assert_vma(&vmas[1], p + 2 * page, 2 * page, inner, 0);
	assert_vma(&vmas[2], p + 4 * page, 2 * page, outer, 4 * page);
	assert_true(is_filled(p + 2 * page, 0, 2 * page));
	memset(p + 2 * page, 'i', 2 * page);
	assert_true(is_stamped(p, 2, 'A'));
	assert_true(is_stamped(p + 4 * page, 2, 'E'));
	assert_int_equal(npheap_delete(dev, outer), 0);
	assert_int_equal(npheap_delete(dev, inner), 0);
	assert_true(is_stamped(p + 4 * page, 2, 'E'));
	unmap(p, 6 * page);
	assert_holdings(before);
}

/* ----------------------------------------------------------------- mremap */

/* A fault maps all of its mapping, and of others' pages beside that none. */
static void check_neighbours_of_a_fault(enum how first)
{
	enum { PAGES = 32, SIDE = 8, LAST = PAGES - SIDE };
	int prot = PROT_READ | PROT_WRITE;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	uint64_t key = test_key();
	char *all = map_key(key, PAGES * page), *p = reserve(HUGE);
	char *above = p + LAST * page, *beside = p + 2 * PAGES * page;

	/* Where there is no page table yet, Linux 6.12 maps one page of a last folio. */
	assert_ptr_equal(mmap(beside, page, prot, flags, -1, 0), beside);
	*beside = 1;
	stamp(all, PAGES, 'A');
	map_at(p, key, PAGES * page);
	assert_ptr_equal(mmap(p, SIDE * page, prot, flags, -1, 0), p);
	assert_ptr_equal(mmap(above, SIDE * page, prot, flags, -1, 0), above);
	assert_int_equal(touch(p + PAGES / 2 * page, first), 0);
	assert_int_equal(count_present(p, SIDE), 0);
	assert_int_equal(count_present(p + SIDE * page, LAST - SIDE),
			 LAST - SIDE);
	assert_int_equal(count_present(above, SIDE), 0);
	assert_true(is_filled(p, 0, SIDE * page));
	assert_true(is_filled(above, 0, SIDE * page));
	memset(p, 1, SIDE * page);
	memset(above, 1, SIDE * page);
	assert_true(is_stamped(all, SIDE, 'A'));
	assert_true(is_stamped(all + LAST * page, SIDE, 'A' + LAST));
	unmap(p, HUGE);
	drop(all, PAGES * page, key);
}

/* The object has pages for these places, but others are mapped there. */
static void map_faults_stay_inside_their_mapping(void **state)
{
	(void)state;
	check_neighbours_of_a_fault(READ);
	check_neighbours_of_a_fault(WRITE);
}

static void map_grown_by_mremap_ends_with_the_object(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *neighbour = map_key(key + 2, 6 * page);
	char *p = map_key(key, 2 * page);

	(void)state;
	memset(neighbour, 'n', 6 * page);
	stamp(p, 2, 'A');
	p = mremap(p, 2 * page, 8 * page, MREMAP_MAYMOVE);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_true(is_stamped(p, 2, 'A'));
	assert_int_equal(touch(p + 2 * page, READ), SIGBUS);
	assert_int_equal(touch(p + 2 * page, WRITE), SIGBUS);
	assert_int_equal(touch(p + 8 * page - 1, WRITE), SIGBUS);
	assert_true(is_filled(neighbour, 'n', 6 * page));
	assert_int_equal(npheap_getsize(dev, key), 2 * page);
	drop(p, 8 * page, key);
	drop(neighbour, 6 * page, key + 2);
	assert_holdings(before);
}

/* A short mapping grows into the rest of its object. */
static void map_grown_by_mremap_shows_the_rest(void **state)
{
	uint64_t key = test_key();
	char *q = map_key(key, 5 * page);
	char *p = map_key(key, 2 * page);

	(void)state;
	stamp(q, 5, 'A');
	p = mremap(p, 2 * page, 5 * page, MREMAP_MAYMOVE);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_true(is_stamped(p, 5, 'A'));
	unmap(p, 5 * page);
	drop(q, 5 * page, key);
}

static void map_moved_by_mremap(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);
	char *area = reserve(4 * page), *q;
	struct vma vmas[2];

	(void)state;
	stamp(p, 4, 'A');
	q = mremap(p, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, area);
	assert_ptr_equal(q, area);
	assert_int_equal(touch(p, READ), SIGSEGV);
	assert_true(is_stamped(q, 4, 'A'));
	assert_int_equal(list_vmas(q, 4 * page, vmas, 2), 1);
	assert_vma(&vmas[0], q, 4 * page, key, 0);
	drop(q, 4 * page, key);
	assert_holdings(before);
}

/* A piece that moves takes its place in the object with it. */
static void map_piece_moved_by_mremap(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);
	char *area = reserve(2 * page);
	struct vma vmas[2];

	(void)state;
	stamp(p, 4, 'A');
	assert_ptr_equal(mremap(p + page, 2 * page, 2 * page,
				MREMAP_MAYMOVE | MREMAP_FIXED, area), area);
	assert_true(is_stamped(area, 2, 'B'));
	assert_true(is_stamped(p, 1, 'A'));
	assert_true(is_stamped(p + 3 * page, 1, 'D'));
	assert_int_equal(list_vmas(area, 2 * page, vmas, 2), 1);
	assert_vma(&vmas[0], area, 2 * page, key, page);
	unmap(area, 2 * page);
	drop(p, 4 * page, key);
	assert_holdings(before);
}

/* An old size of 0 makes a second mapping; both count. */
static void map_duplicated_by_mremap(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 3 * page);
	char *q = mremap(p, 0, 3 * page, MREMAP_MAYMOVE);

	(void)state;
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_ptr_not_equal(q, p);
	stamp(p, 3, 'A');
	assert_true(is_stamped(q, 3, 'A'));
	assert_int_equal(npheap_delete(dev, key), 0);
	unmap(p, 3 * page);
	assert_true(is_stamped(q, 3, 'A'));
	unmap(q, 3 * page);
	assert_holdings(before);
}

static void map_same_size_mremap_changes_nothing(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);
	struct vma vmas[2];

	(void)state;
	stamp(p, 4, 'A');
	assert_ptr_equal(mremap(p, 4 * page, 4 * page, 0), p);
	assert_ptr_equal(mremap(p + page, page, page, 0), p + page);
	assert_int_equal(list_vmas(p, 4 * page, vmas, 2), 1);
	assert_true(is_stamped(p, 4, 'A'));
	assert_ptr_equal(mremap(p, 4 * page, 2 * page, 0), p);
	assert_true(is_stamped(p, 2, 'A'));
	assert_int_equal(touch(p + 2 * page, READ), SIGSEGV);
	drop(p, 2 * page, key);
	assert_holdings(before);
}

static void map_large_one_moved_by_mremap(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 2 * HUGE);
	char *area = reserve(2 * HUGE + page);

	(void)state;
	memset(p, 'h', 2 * HUGE);
	/* To where no huge page fits. */
	assert_ptr_equal(mremap(p, 2 * HUGE, 2 * HUGE,
				MREMAP_MAYMOVE | MREMAP_FIXED, area + page),
			 area + page);
	assert_true(is_filled(area + page, 'h', 2 * HUGE));
	unmap(area, page);
	drop(area + page, 2 * HUGE, key);
}

/* Pages in another order, by the oldest of the calls that can do that. */
static void map_shuffled_by_remap_file_pages(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);
	char *next = map_key(key + 4, page);

	(void)state;
	stamp(p, 4, 'A');
	memset(next, 'n', page);
	if (syscall(SYS_remap_file_pages, p, page, 0, 2, 0)) {
		printf("# remap_file_pages: %s\n", strerror(errno));
		drop(p, 4 * page, key);
		drop(next, page, key + 4);
		skip();
	}
	assert_true(is_stamped(p, 1, 'C'));
	assert_true(is_stamped(p + page, 3, 'B'));
	/* Past the end, where the key's own page offset would lead. */
	assert_int_equal(syscall(SYS_remap_file_pages, p, page, 0, 4, 0), 0);
	assert_int_equal(touch(p, READ), SIGBUS);
	assert_int_equal(syscall(SYS_remap_file_pages, p, page, 0,
				 (size_t)key + 4, 0), 0);
	assert_int_equal(touch(p, READ), SIGBUS);
	drop(p, 4 * page, key);
	drop(next, page, key + 4);
	assert_holdings(before);
}

/* ------------------------------------------------------------------- fork */

static int write_two(void *arg)
{
	char *p = arg;

	child_check(p[0] == 1);
	p[0] = 2;
	child_check(munmap(p, 2 * page) == 0);
	return 0;
}

static void map_child_shares_and_unmaps_its_own(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 2 * page);

	(void)state;
	p[0] = 1;
	expect_exit(spawn(write_two, p), 0);
	assert_int_equal(p[0], 2);
	assert_int_equal(touch(p + page, WRITE), 0);
	drop(p, 2 * page, key);
	assert_holdings(before);
}

struct heir {
	struct gate *gate;
	char *p;
	uint64_t key;
};

static int outlive(void *arg)
{
	const struct heir *heir = arg;

	gate_wait(heir->gate, 1);
	child_check(is_stamped(heir->p, 3, 'A'));
	child_check(npheap_getsize(dev, heir->key) == 0);
	gate_add(heir->gate, 1);
	gate_wait(heir->gate, 3);
	return 0;
}

/* A child's inherited mapping keeps what its parent unmapped and deleted. */
static void map_child_keeps_what_the_parent_dropped(void **state)
{
	struct holdings before = holdings_now();
	struct heir heir = { .gate = gate_new(), .key = test_key() };
	pid_t pid;

	(void)state;
	heir.p = map_key(heir.key, 3 * page);
	stamp(heir.p, 3, 'A');
	pid = spawn(outlive, &heir);
	drop(heir.p, 3 * page, heir.key);
	gate_add(heir.gate, 1);
	gate_wait(heir.gate, 2);
	assert_int_equal(heap_stat("deleted_bytes"),
			 before.usage.deleted + (long long)(3 * page));
	gate_add(heir.gate, 1);
	expect_exit(pid, 0);
	assert_holdings(before);
}

static int leave_grandchild(void *arg)
{
	pid_t parent = getpid();

	if (fork())
		_exit(0);
	while (getppid() == parent)
		usleep(1000);
	outlive(arg);
	_exit(0);
}

/* A mapping that was inherited twice, from processes that are both gone. */
static void map_grandchild_outlives_its_parents(void **state)
{
	struct holdings before = holdings_now();
	struct heir heir = { .gate = gate_new(), .key = test_key() };
	long long limit = now_ms() + 10000;

	(void)state;
	heir.p = map_key(heir.key, 3 * page);
	stamp(heir.p, 3, 'A');
	expect_exit(spawn(leave_grandchild, &heir), 0);
	drop(heir.p, 3 * page, heir.key);
	gate_add(heir.gate, 1);
	gate_wait(heir.gate, 2);
	gate_add(heir.gate, 1);
	/* It is not this process's to wait for. */
	while (heap_stat("objects") > before.usage.objects && now_ms() < limit)
		usleep(1000);
	usleep(50000);
	assert_holdings(before);
}

static int touch_first(void *arg)
{
	*(volatile char *)arg = 5;
	return 0;
}

static void map_kept_from_children_by_madvise(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);

	(void)state;
	p[0] = 1;
	assert_int_equal(madvise(p, page, MADV_DONTFORK), 0);
	expect_death(touch_first, p, SIGSEGV);
	assert_int_equal(p[0], 1);
	assert_int_equal(madvise(p, page, MADV_DOFORK), 0);
	expect_exit(spawn(touch_first, p), 0);
	assert_int_equal(p[0], 5);
	drop(p, page, key);
}

struct writer {
	struct gate *gate;
	char *p;
	size_t size;
};

static int write_for_ever(void *arg)
{
	const struct writer *writer = arg;
	int byte;

	gate_add(writer->gate, 1);
	for (byte = 1;; byte++) {
		memset(writer->p, byte, writer->size);
		madvise(writer->p, writer->size, MADV_DONTNEED);
	}
	return 0;
}

static void map_writer_is_killed(void **state)
{
	struct holdings before = holdings_now();
	struct writer writer = { .gate = gate_new(), .size = HUGE + 5 * page };
	uint64_t key = test_key();
	int i;

	(void)state;
	writer.p = map_key(key, writer.size);
	for (i = 0; i < 5; i++) {
		pid_t pid = spawn(write_for_ever, &writer);

		gate_wait(writer.gate, i + 1);
		usleep(7000);
		kill_and_reap(pid);
		assert_int_equal(touch(writer.p, READ), 0);
		memset(writer.p, 0, writer.size);
		assert_true(is_filled(writer.p, 0, writer.size));
	}
	drop(writer.p, writer.size, key);
	assert_holdings(before);
}

enum { WRITERS = 4 };

struct share {
	struct gate *start;
	uint64_t key;
	size_t size;
	int index;
};

static int write_share(void *arg)
{
	const struct share *share = arg;
	char *p = npheap_alloc(dev, share->key, share->size);
	size_t i;

	child_check(p != MAP_FAILED);
	gate_wait(share->start, 1);
	for (i = share->index * 64; i < share->size; i += WRITERS * 64)
		memset(p + i, 'a' + share->index, 64);
	return 0;
}

/* First faults of several processes in the same pages at the same time. */
static void map_first_faults_race(void **state)
{
	struct share shares[WRITERS];
	struct gate *start = gate_new();
	uint64_t key = test_key();
	size_t size = HUGE + 9 * page, i;
	pid_t pids[WRITERS];
	char *p;

	(void)state;
	for (i = 0; i < WRITERS; i++) {
		shares[i] = (struct share){ start, key, size, i };
		pids[i] = spawn(write_share, &shares[i]);
	}
	gate_add(start, 1);
	for (i = 0; i < WRITERS; i++)
		expect_exit(pids[i], 0);
	p = map_key(key, size);
	for (i = 0; i < size; i += 64)
		assert_true(is_filled(p + i, 'a' + i / 64 % WRITERS, 64));
	drop(p, size, key);
}

/* ------------------------------------------------------------- protection */

static void map_protection_can_be_taken_and_given_back(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);
	struct vma vmas[4];

	(void)state;
	stamp(p, 4, 'A');
	assert_int_equal(mprotect(p + page, page, PROT_READ), 0);
	assert_int_equal(list_vmas(p, 4 * page, vmas, 4), 3);
	assert_int_equal(touch(p + page, WRITE), SIGSEGV);
	assert_int_equal(touch(p + page, READ), 0);
	assert_int_equal(mprotect(p, 4 * page, PROT_NONE), 0);
	assert_int_equal(touch(p, READ), SIGSEGV);
	assert_int_equal(touch(p + 3 * page, WRITE), SIGSEGV);
	assert_int_equal(mprotect(p, 4 * page, PROT_READ | PROT_WRITE), 0);
	assert_true(is_stamped(p, 4, 'A'));
	assert_int_equal(touch(p + page, WRITE), 0);
	drop(p, 4 * page, key);
	assert_holdings(before);
}

static void map_readonly_descriptor_cannot_write(void **state)
{
	int fd = open(NPHEAP_DEVICE, O_RDONLY);
	uint64_t key = test_key();
	char *p = map_key(key, page), *q;

	(void)state;
	p[0] = 1;
	assert_errno(map_with(fd, key, page, PROT_READ | PROT_WRITE,
			      MAP_SHARED), EACCES);
	assert_errno(map_with(fd, key, page, PROT_WRITE, MAP_SHARED), EACCES);
	q = map_with(fd, key, page, PROT_READ, MAP_SHARED);
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_int_equal(q[0], 1);
	assert_int_equal(touch(q, WRITE), SIGSEGV);
	assert_errno(mprotect(q, page, PROT_READ | PROT_WRITE), EACCES);
	assert_errno(mprotect(q, page, PROT_WRITE), EACCES);
	assert_int_equal(touch(q, WRITE), SIGSEGV);
	assert_int_equal(p[0], 1);
	p[0] = 2;
	assert_int_equal(q[0], 2);
	unmap(q, page);
	drop(p, page, key);
	close(fd);
}

/* Neither remapping nor reopening what it shows gets round that. */
static void map_readonly_mapping_cannot_be_upgraded(void **state)
{
	int fd = open(NPHEAP_DEVICE, O_RDONLY);
	uint64_t key = test_key();
	char *p = map_key(key, 2 * page), *q;
	char path[96];

	(void)state;
	q = map_with(fd, key, 2 * page, PROT_READ, MAP_SHARED);
	assert_ptr_not_equal(q, MAP_FAILED);
	q = mremap(q, 2 * page, 3 * page, MREMAP_MAYMOVE);
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_errno(mprotect(q, 3 * page, PROT_READ | PROT_WRITE), EACCES);
	if (!syscall(SYS_remap_file_pages, q, page, 0, 1, 0))
		assert_errno(mprotect(q, page, PROT_WRITE), EACCES);
	unmap(q, 3 * page);
	q = map_with(fd, key, 2 * page, PROT_READ, MAP_SHARED);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)q, (unsigned long)q + 2 * page);
	assert_int_equal(open(path, O_RDWR), -1);
	assert_int_equal(truncate(path, 0), -1);
	assert_int_equal(npheap_getsize(dev, key), 2 * page);
	assert_int_equal(touch(p, WRITE), 0);
	unmap(q, 2 * page);
	drop(p, 2 * page, key);
	close(fd);
}

static void map_readonly_descriptor_creates_nothing(void **state)
{
	int fd = open(NPHEAP_DEVICE, O_RDONLY);
	struct holdings before = holdings_now();
	uint64_t key = test_key();

	(void)state;
	assert_errno(map_with(fd, key, page, PROT_READ, MAP_SHARED), ENOENT);
	assert_errno(map_with(fd, key, page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE), ENOENT);
	assert_errno(map_with(fd, key, page, PROT_READ | PROT_WRITE,
			      MAP_SHARED), EACCES);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_holdings(before);
	close(fd);
}

static void map_writeonly_descriptor_maps_nothing(void **state)
{
	struct npheap_attach args = { .size = page };
	int fd = open(NPHEAP_DEVICE, O_WRONLY);
	struct holdings before = holdings_now();
	uint64_t key = test_key();

	(void)state;
	assert_true(fd >= 0);
	assert_errno(map_with(fd, key, page, PROT_WRITE, MAP_SHARED), EACCES);
	assert_errno(map_with(fd, key, page, PROT_READ, MAP_PRIVATE), EACCES);
	args.key = key;
	assert_errno(ioctl(fd, NPHEAP_IOC_ATTACH, &args), EACCES);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_holdings(before);
	close(fd);
}

static void map_private_is_a_snapshot(void **state)
{
	int fd = open(NPHEAP_DEVICE, O_RDONLY);
	const int fds[] = { dev, fd };
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p = map_key(key, 3 * page), *q;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		stamp(p, 3, 'A');
		q = map_with(fds[i], key, 4 * page, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE);
		assert_ptr_not_equal(q, MAP_FAILED);
		assert_true(is_stamped(q, 3, 'A'));
		memset(q + page, 'q', page);
		assert_true(is_stamped(p, 3, 'A'));
		memset(p + page, 'p', page);
		assert_true(is_filled(q + page, 'q', page));
		/* Past the end there is nothing to copy. */
		assert_int_equal(touch(q + 3 * page, READ), SIGBUS);
		assert_int_equal(touch(q + 3 * page, WRITE), SIGBUS);
		unmap(q, 4 * page);
		assert_true(is_filled(p + page, 'p', page));
	}
	drop(p, 3 * page, key);
	assert_holdings(before);
	close(fd);
}

/* First writes to a private mapping of a huge page. */
static void map_private_of_a_large_object(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, HUGE), *q;

	(void)state;
	memset(p, 'p', HUGE);
	q = map_with(dev, key, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	assert_ptr_not_equal(q, MAP_FAILED);
	q[HUGE / 2] = 'q';
	assert_true(is_filled(p, 'p', HUGE));
	assert_true(is_filled(q, 'p', HUGE / 2));
	memset(q, 'q', HUGE);
	assert_true(is_filled(p, 'p', HUGE));
	unmap(q, HUGE);
	drop(p, HUGE, key);
}

static int exec_is_allowed(void)
{
	char c = 'N';
	int fd = open("/sys/module/npheap/parameters/allow_exec", O_RDONLY);

	if (fd < 0 || read(fd, &c, 1) != 1)
		c = 'N';
	close(fd);
	return c == 'Y';
}

static void map_is_not_executable(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	char *p;

	(void)state;
	if (exec_is_allowed()) {
		printf("# the module was loaded with allow_exec\n");
		skip();
	}
	assert_errno(map_with(dev, key, page, PROT_READ | PROT_EXEC,
			      MAP_SHARED), EACCES);
	assert_errno(map_with(dev, key, page, PROT_EXEC, MAP_PRIVATE), EACCES);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_holdings(before);
	p = map_key(key, page);
	assert_errno(mprotect(p, page, PROT_READ | PROT_EXEC), EACCES);
	assert_errno(mprotect(p, page, PROT_EXEC), EACCES);
	assert_errno(map_with(dev, key, page, PROT_EXEC, MAP_SHARED), EACCES);
	assert_int_equal(touch(p, WRITE), 0);
	drop(p, page, key);
	assert_holdings(before);
}

static void map_is_executable_where_that_is_allowed(void **state)
{
	const char *path = "/sys/module/npheap/parameters/allow_exec";
	int allowed = exec_is_allowed();
	uint64_t key = test_key();
	void *p;

	(void)state;
	assert_int_equal(write_text(path, "Y"), 0);
	p = map_with(dev, key, page, PROT_READ | PROT_EXEC, MAP_SHARED);
	if (!allowed)
		assert_int_equal(write_text(path, "N"), 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	drop(p, page, key);
}

/* ------------------------------------------------------- residency, advice */

/* A number of smaps in KiB, about the mapping that begins at @p. */
static long smaps(const void *p, const char *name)
{
	char from[32];

	snprintf(from, sizeof(from), "%lx-", (unsigned long)p);
	return number_in("/proc/self/smaps", from, name);
}

static void map_populate_spares_the_faults(void **state)
{
	uint64_t key = test_key();
	char *p = map_with(dev, key, 40 * page, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(count_present(p, 40), 40);
	unmap(p, 40 * page);
	p = map_with(dev, key, 50 * page, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_POPULATE);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(count_present(p + 40 * page, 10), 0);
	assert_int_equal(touch(p + 40 * page, WRITE), SIGBUS);
	drop(p, 50 * page, key);
}

static void map_can_be_locked_in_memory(void **state)
{
	long before = number_after("/proc/self/status", "VmLck:");
	long kib = 40 * page / 1024;
	uint64_t key = test_key();
	char *p = map_key(key, 40 * page);

	(void)state;
	assert_int_equal(mlock(p, 40 * page), 0);
	assert_int_equal(number_after("/proc/self/status", "VmLck:"),
			 before + kib);
	assert_int_equal(smaps(p, "Locked:"), kib);
	assert_int_equal(count_present(p, 40), 40);
	assert_int_equal(munlock(p, 20 * page), 0);
	assert_int_equal(number_after("/proc/self/status", "VmLck:"),
			 before + kib / 2);
	/* What is still locked goes with the mapping. */
	drop(p, 40 * page, key);
	assert_int_equal(number_after("/proc/self/status", "VmLck:"), before);
}

static void map_can_be_synced(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);

	(void)state;
	stamp(p, 4, 'A');
	assert_int_equal(msync(p, 4 * page, MS_SYNC), 0);
	assert_int_equal(msync(p, 4 * page, MS_ASYNC), 0);
	assert_int_equal(msync(p, 4 * page, MS_SYNC | MS_INVALIDATE), 0);
	assert_true(is_stamped(p, 4, 'A'));
	drop(p, 4 * page, key);
}

/* Whatever the kernel is told about its use, an object loses nothing. */
static void check_advice(size_t pages)
{
	const int advice[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
		MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_REMOVE,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE, MADV_MERGEABLE,
		MADV_UNMERGEABLE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTNEED,
	};
	uint64_t key = test_key();
	char *p = map_key(key, pages * page);
	size_t i;

	stamp(p, pages, 'A');
	for (i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
		madvise(p, pages * page, advice[i]);
		assert_true(is_stamped(p, pages, 'A'));
	}
	drop(p, pages * page, key);
}

static void map_advice_loses_nothing(void **state)
{
	(void)state;
	check_advice(4);
	check_advice(HUGE / page + 3);
}

static void map_advice_that_must_work_works(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);

	(void)state;
	stamp(p, 4, 'A');
	assert_int_equal(madvise(p, 4 * page, MADV_DONTNEED), 0);
	assert_int_equal(count_present(p, 4), 0);
	assert_int_equal(madvise(p, 4 * page, MADV_WILLNEED), 0);
	assert_int_equal(madvise(p, 4 * page, MADV_COLD), 0);
	assert_int_equal(madvise(p, 4 * page, MADV_PAGEOUT), 0);
	/* There is no punching of holes, and no leaving a child without. */
	assert_errno(madvise(p, page, MADV_REMOVE), EPERM);
	assert_errno(madvise(p, page, MADV_FREE), EINVAL);
	assert_errno(madvise(p, page, MADV_WIPEONFORK), EINVAL);
	assert_true(is_stamped(p, 4, 'A'));
	drop(p, 4 * page, key);
}

/* Pages that were written and pages that were never touched. */
static void check_kernel_knob(const char *path, const char *text)
{
	uint64_t key = test_key();
	size_t size = 2 * HUGE + 40 * page;
	size_t half = HUGE + 20 * page;
	char *p = map_key(key, size);

	memset(p, 'd', half);
	unmap(p, size);
	if (write_text(path, text)) {
		printf("# this kernel has no %s\n", path);
		assert_int_equal(npheap_delete(dev, key), 0);
		skip();
	}
	p = map_key(key, size);
	assert_true(is_filled(p, 'd', half));
	assert_int_equal(touch(p + half, READ), 0);
	assert_int_equal(touch(p + size - 1, READ), 0);
	assert_true(is_filled(p + half, 0, size - half));
	drop(p, size, key);
}

static void map_drop_caches_loses_nothing(void **state)
{
	(void)state;
	check_kernel_knob("/proc/sys/vm/drop_caches", "3");
}

/* Pages that no process maps are moved about in memory. */
static void map_compaction_loses_nothing(void **state)
{
	(void)state;
	check_kernel_knob("/proc/sys/vm/compact_memory", "1");
}

/* A page that is taken for broken is SIGBUS, never fresh zeroes. */
static void map_poisoned_page_stays_poisoned(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);

	(void)state;
	/* It costs the machine a page, so not on anybody's own. */
	if (!getenv("NPHEAP_KERNEL")) {
		printf("# not in a virtual machine of scripts/vm\n");
		drop(p, 4 * page, key);
		skip();
	}
	stamp(p, 4, 'A');
	/* EBUSY: it is poisoned, and stays in the page cache as it shall. */
	if (madvise(p + page, page, MADV_HWPOISON) && errno != EBUSY) {
		printf("# no MADV_HWPOISON: %s\n", strerror(errno));
		drop(p, 4 * page, key);
		skip();
	}
	assert_int_equal(touch(p + page, READ), SIGBUS);
	assert_int_equal(touch(p + page, WRITE), SIGBUS);
	unmap(p, 4 * page);
	p = map_key(key, 4 * page);
	assert_int_equal(touch(p + page, READ), SIGBUS);
	assert_true(is_stamped(p, 1, 'A'));
	assert_true(is_stamped(p + 2 * page, 2, 'C'));
	drop(p, 4 * page, key);
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static long touch_all(volatile char *p, size_t size, enum how how)
{
	long before = minor_faults();
	size_t i;

	for (i = 0; i < size; i += page) {
		if (how == WRITE)
			p[i] = 1;
		else
			(void)p[i];
	}
	return minor_faults() - before;
}

/* One fault for each page table at most, where the kernel would take 128. */
static void map_takes_few_faults(void **state)
{
	size_t size = 2 * HUGE;
	uint64_t key = test_key();
	char *p = map_key(key, size);
	long faults = touch_all(p, size, WRITE);

	(void)state;
	printf("# faults to touch %zu pages: %ld\n", size / page, faults);
	assert_true(faults > 0);
	assert_true(faults <= 16);
	unmap(p, size);
	p = map_key(key, size);
	assert_true(touch_all(p, size, READ) <= 16);
	assert_true(touch_all(p, size, WRITE) <= 16);
	drop(p, size, key);
}

static void map_uses_huge_pages(void **state)
{
	size_t size = 2 * HUGE;
	uint64_t key;
	char *p;

	(void)state;
	if (!has_huge_pages()) {
		printf("# this kernel has no transparent huge pages\n");
		skip();
	}
	key = test_key();
	p = map_key(key, size);
	assert_int_equal((uintptr_t)p % HUGE, 0);
	assert_true(touch_all(p, size, WRITE) <= 16);
	assert_int_equal(smaps(p, "FilePmdMapped:"), size / 1024);
	drop(p, size, key);
}

static void map_hint_is_taken(void **state)
{
	const size_t sizes[] = { page, HUGE + page };
	char *area = reserve(2 * HUGE);
	int i;

	(void)state;
	unmap(area, 2 * HUGE);
	for (i = 0; i < 2; i++) {
		uint64_t key = test_key();
		char *p = mmap(area + page, sizes[i], PROT_READ, MAP_SHARED,
			       dev, key * page);

		assert_ptr_equal(p, area + page);
		drop(p, sizes[i], key);
	}
}

static void map_hint_that_is_taken_already(void **state)
{
	char *area = reserve(2 * HUGE);
	uint64_t key = test_key();
	char *p = mmap(area, HUGE, PROT_READ, MAP_SHARED, dev, key * page);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_true(p + HUGE <= area || p >= area + 2 * HUGE);
	unmap(area, 2 * HUGE);
	drop(p, HUGE, key);
}

static int map_page_zero(void *arg)
{
	uint64_t key = *(uint64_t *)arg;
	void *p;

	child_check(setgid(65534) == 0 && setuid(65534) == 0);
	p = mmap(NULL, page, PROT_READ, MAP_SHARED | MAP_FIXED, dev,
		 key * page);
	child_check(p == MAP_FAILED && errno == EPERM);
	p = mmap((void *)1, page, PROT_READ, MAP_SHARED | MAP_FIXED, dev,
		 key * page);
	child_check(p == MAP_FAILED && (errno == EINVAL || errno == EPERM));
	p = mmap((void *)1, HUGE, PROT_READ, MAP_SHARED, dev, key * page);
	child_check(p != MAP_FAILED && (uintptr_t)p >= 65536);
	return 0;
}

/* No rounding of addresses leads to the page that NULL points to. */
static void map_never_at_address_zero(void **state)
{
	uint64_t key = test_key();

	(void)state;
	expect_exit(spawn(map_page_zero, &key), 0);
	assert_int_equal(npheap_getsize(dev, key), HUGE);
	assert_int_equal(npheap_delete(dev, key), 0);
}

/* ------------------------------------------------- synchronisation inside */

struct meeting {
	sem_t sem;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	int flag;
};

static int wait_for_post(void *arg)
{
	struct meeting *meeting = npheap_alloc(dev, *(uint64_t *)arg, page);
	struct timespec limit = { .tv_sec = time(NULL) + 30 };

	child_check(meeting != MAP_FAILED);
	child_check(sem_timedwait(&meeting->sem, &limit) == 0);
	return meeting->flag;
}

static void map_holds_a_semaphore(void **state)
{
	uint64_t key = test_key();
	struct meeting *meeting = map_key(key, page);
	pid_t pid;

	(void)state;
	assert_int_equal(sem_init(&meeting->sem, 1, 0), 0);
	pid = spawn(wait_for_post, &key);
	assert_true(wait_asleep(pid));
	/* Asleep in the futex, and not for another reason. */
	usleep(20000);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	meeting->flag = 44;
	assert_int_equal(sem_post(&meeting->sem), 0);
	expect_exit(pid, 44);
	drop(meeting, page, key);
}

static int die_with_mutex(void *arg)
{
	struct meeting *meeting = npheap_alloc(dev, *(uint64_t *)arg, page);

	child_check(meeting != MAP_FAILED);
	child_check(pthread_mutex_lock(&meeting->mutex) == 0);
	raise(SIGKILL);
	return 0;
}

static int set_flag(void *arg)
{
	struct meeting *meeting = npheap_alloc(dev, *(uint64_t *)arg, page);

	child_check(meeting != MAP_FAILED);
	child_check(pthread_mutex_lock(&meeting->mutex) == 0);
	meeting->flag = 1;
	child_check(pthread_cond_signal(&meeting->cond) == 0);
	child_check(pthread_mutex_unlock(&meeting->mutex) == 0);
	return 0;
}

static void meeting_init(struct meeting *meeting)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&meeting->mutex, &mutex);
	pthread_condattr_init(&cond);
	pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&meeting->cond, &cond);
}

static void map_holds_a_robust_mutex_and_a_condition(void **state)
{
	struct timespec limit = { .tv_sec = time(NULL) + 30 };
	uint64_t key = test_key();
	struct meeting *meeting = map_key(key, page);
	pid_t pid;

	(void)state;
	meeting_init(meeting);
	expect_death(die_with_mutex, &key, SIGKILL);
	assert_int_equal(pthread_mutex_timedlock(&meeting->mutex, &limit),
			 EOWNERDEAD);
	assert_int_equal(pthread_mutex_consistent(&meeting->mutex), 0);
	pid = spawn(set_flag, &key);
	while (!meeting->flag)
		assert_int_equal(pthread_cond_timedwait(&meeting->cond,
							&meeting->mutex,
							&limit), 0);
	pthread_mutex_unlock(&meeting->mutex);
	expect_exit(pid, 0);
	drop(meeting, page, key);
}

/* -------------------------------------------------------- get_user_pages */

static void map_works_with_a_pipe(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);
	int fds[2];

	(void)state;
	memset(p, 'w', 2 * page);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], p, 2 * page), 2 * page);
	assert_int_equal(read(fds[0], p + 2 * page, 2 * page), 2 * page);
	assert_true(is_filled(p, 'w', 4 * page));
	close(fds[0]);
	close(fds[1]);
	drop(p, 4 * page, key);
}

/* The other process has not touched what is read and written there. */
static void map_works_with_process_vm(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 2 * page), *q = map_key(key, 2 * page);
	char buffer[64] = "";
	struct iovec local = { buffer, sizeof(buffer) };
	struct iovec remote = { q + page - 10, sizeof(buffer) };
	struct gate *gate = gate_new();
	struct heir heir = { .gate = gate, .p = q, .key = key };
	pid_t pid = spawn(outlive, &heir);

	(void)state;
	memset(p + page - 10, 'r', 64);
	assert_int_equal(process_vm_readv(pid, &local, 1, &remote, 1, 0), 64);
	assert_true(is_filled(buffer, 'r', 64));
	memset(buffer, 'v', 64);
	assert_int_equal(process_vm_writev(pid, &local, 1, &remote, 1, 0), 64);
	assert_true(is_filled(p + page - 10, 'v', 64));
	kill_and_reap(pid);
	unmap(q, 2 * page);
	drop(p, 2 * page, key);
}

static void map_works_with_a_debugger(void **state)
{
	uint64_t key = test_key();
	long *p = map_key(key, page);
	pid_t pid = spawn(be_traced, p);
	int status;

	(void)state;
	*p = 0x1234;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_PEEKDATA, pid, p, NULL), 0x1234);
	assert_int_equal(ptrace(PTRACE_POKEDATA, pid, p, 55L), 0);
	assert_int_equal(*p, 55);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	expect_exit(pid, 55);
	drop(p, page, key);
}

/* A debugger may not write where the process itself never could. */
static void map_readonly_is_readonly_for_debuggers(void **state)
{
	int fd = open(NPHEAP_DEVICE, O_RDONLY);
	uint64_t key = test_key();
	long *p = map_key(key, page), *q;
	pid_t pid;

	(void)state;
	*p = 66;
	q = map_with(fd, key, page, PROT_READ, MAP_SHARED);
	assert_ptr_not_equal(q, MAP_FAILED);
	pid = spawn(be_traced, q);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(ptrace(PTRACE_POKEDATA, pid, q, 55L), -1);
	assert_int_equal(*p, 66);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	expect_exit(pid, 66);
	unmap(q, page);
	drop(p, page, key);
	close(fd);
}

/* A page in a pipe is in use, though no key and no mapping leads to it. */
static void map_pinned_page_is_not_given_to_others(void **state)
{
	uint64_t key = test_key(), others = test_key();
	char *p = map_key(key, page);
	struct iovec iov = { p, page };
	static char buffer[65536];
	int fds[2], i;

	(void)state;
	memset(p, 's', page);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(vmsplice(fds[1], &iov, 1, 0), page);
	drop(p, page, key);
	for (i = 0; i < 300; i++) {
		char *q = map_key(others + i, page);

		assert_true(is_filled(q, 0, page));
		memset(q, 'x', page);
		unmap(q, page);
	}
	assert_int_equal(read(fds[0], buffer, page), page);
	assert_true(is_filled(buffer, 's', page));
	for (i = 0; i < 300; i++)
		assert_int_equal(npheap_delete(dev, others + i), 0);
	close(fds[0]);
	close(fds[1]);
}

/* The same of a page inside a huge one. */
static void map_pinned_part_of_a_huge_page(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, HUGE), *q;
	struct iovec iov = { p + 100 * page, page };
	static char buffer[65536];
	int fds[2];

	(void)state;
	memset(p, 's', HUGE);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(vmsplice(fds[1], &iov, 1, 0), page);
	drop(p, HUGE, key);
	q = map_key(key, HUGE);
	assert_true(is_filled(q, 0, HUGE));
	memset(q, 'x', HUGE);
	assert_int_equal(read(fds[0], buffer, page), page);
	assert_true(is_filled(buffer, 's', page));
	close(fds[0]);
	close(fds[1]);
	drop(q, HUGE, key);
}

static void map_works_with_direct_io(void **state)
{
	uint64_t key = test_key();
	int fd = open("/tmp", O_RDWR | O_TMPFILE | O_DIRECT, 0600);
	char *p;

	(void)state;
	if (fd < 0) {
		printf("# no O_DIRECT in /tmp: %s\n", strerror(errno));
		skip();
	}
	p = map_key(key, 4 * page);
	stamp(p, 2, 'A');
	assert_int_equal(pwrite(fd, p, 2 * page, 0), 2 * page);
	assert_int_equal(pread(fd, p + 2 * page, 2 * page, 0), 2 * page);
	assert_true(is_stamped(p + 2 * page, 2, 'A'));
	close(fd);
	drop(p, 4 * page, key);
}

/* ----------------------------------------------------- references, failure */

/* The descriptor is closed; what pins the module is the mapping. */
static void map_pins_the_module(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);
	long unloaded;
	int reason;

	(void)state;
	p[0] = 9;
	close(dev);
	unloaded = syscall(SYS_delete_module, "npheap", O_NONBLOCK);
	reason = errno;
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	assert_int_equal(unloaded, -1);
	assert_true(reason == EBUSY || reason == EAGAIN);
	assert_true(dev >= 0);
	assert_int_equal(p[0], 9);
	drop(p, page, key);
}

static void map_unpins_the_module(void **state)
{
	long long before = read_number("/sys/module/npheap/refcnt");
	uint64_t key = test_key();
	char *p = map_key(key, 3 * page);

	(void)state;
	assert_int_equal(read_number("/sys/module/npheap/refcnt"), before + 1);
	unmap(p + page, page);
	assert_true(read_number("/sys/module/npheap/refcnt") > before);
	unmap(p, 3 * page);
	assert_int_equal(read_number("/sys/module/npheap/refcnt"), before);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(read_number("/sys/module/npheap/refcnt"), before);
}

/* Each of these fails at another place on the way. */
static void fail_in_every_way(int readonly, uint64_t key)
{
	const int rw = PROT_READ | PROT_WRITE;

	assert_ptr_equal(map_with(dev, key, 0, rw, MAP_SHARED), MAP_FAILED);
	if (!exec_is_allowed())
		assert_ptr_equal(map_with(dev, key, page, rw | PROT_EXEC,
					  MAP_SHARED), MAP_FAILED);
	assert_ptr_equal(map_with(readonly, key, page, rw, MAP_SHARED),
			 MAP_FAILED);
	assert_ptr_equal(map_with(dev, key, -page, rw, MAP_SHARED), MAP_FAILED);
	assert_ptr_equal(map_with(dev, 1ULL << 51, page, rw, MAP_SHARED),
			 MAP_FAILED);
	assert_ptr_equal(map_with(dev, key, page, rw, 0), MAP_FAILED);
	assert_ptr_equal(map_with(dev, key, page, rw,
				  MAP_SHARED_VALIDATE | MAP_SYNC), MAP_FAILED);
	assert_ptr_equal(mmap((void *)(page + 1), page, rw,
			      MAP_SHARED | MAP_FIXED, dev, key * page),
			 MAP_FAILED);
}

static void map_failures_leave_nothing_behind(void **state)
{
	int readonly = open(NPHEAP_DEVICE, O_RDONLY);
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	int vmas = count_vmas(), i;
	char *p;

	(void)state;
	for (i = 0; i < 50; i++) {
		fail_in_every_way(readonly, key);
		assert_ptr_equal(map_with(readonly, key, page, PROT_READ,
					  MAP_SHARED), MAP_FAILED);
	}
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_holdings(before);
	/* And no reference of an object that is there. */
	p = map_key(key, page);
	for (i = 0; i < 50; i++)
		fail_in_every_way(readonly, key);
	drop(p, page, key);
	assert_holdings(before);
	assert_int_equal(count_vmas(), vmas);
	close(readonly);
}

/* Thousands of references that come and go leave the count as it was. */
static void map_references_are_balanced(void **state)
{
	struct holdings before = holdings_now();
	uint64_t key = test_key();
	int i;

	(void)state;
	unmap(map_key(key, 4 * page), 4 * page);
	for (i = 0; i < 500; i++) {
		char *p = map_key(key, 4 * page);

		assert_int_equal(mprotect(p + page, page, PROT_READ), 0);
		unmap(p + 2 * page, page);
		unmap(p, 4 * page);
	}
	assert_int_equal(npheap_getsize(dev, key), 4 * page);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_holdings(before);
}

/* The name says when a key leads no longer to what is mapped. */
static void map_name_tells_of_deletion(void **state)
{
	uint64_t key = NPHEAP_KEY_MAX;
	char *p = map_key(key, page);
	struct vma vmas[2];

	(void)state;
	assert_int_equal(list_vmas(p, page, vmas, 2), 1);
	assert_string_equal(vmas[0].name, "/npheap:2251799813685247");
	assert_string_equal(vmas[0].perms, "rw-s");
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(list_vmas(p, page, vmas, 2), 1);
	assert_string_equal(vmas[0].name, "/npheap:2251799813685247 (deleted)");
	unmap(p, page);
}

static const struct CMUnitTest map_tests[] = {
	TEST(map_first_read_shows_nothing_past_the_end),
	TEST(map_first_write_shows_nothing_past_the_end),
	TEST(map_first_access_past_the_end),
	TEST(map_offset_of_four_gib_is_past_the_end),
	TEST(map_system_calls_stop_at_the_end),
	TEST(map_neighbour_above_stays_apart),
	TEST(map_neighbour_below_stays_apart),
	TEST(map_large_neighbours_stay_apart),
	TEST(map_twice_side_by_side),
	TEST(map_covers_the_keys_of_others),
	TEST(map_past_the_end_is_not_the_next_object),
	TEST(map_unmap_of_the_start),
	TEST(map_unmap_of_the_middle),
	TEST(map_unmap_of_the_end),
	TEST(map_unmap_inside_a_huge_page),
	TEST(map_fixed_over_the_middle),
	TEST(map_faults_stay_inside_their_mapping),
	TEST(map_grown_by_mremap_ends_with_the_object),
	TEST(map_grown_by_mremap_shows_the_rest),
	TEST(map_moved_by_mremap),
	TEST(map_piece_moved_by_mremap),
	TEST(map_duplicated_by_mremap),
	TEST(map_same_size_mremap_changes_nothing),
	TEST(map_large_one_moved_by_mremap),
	TEST(map_shuffled_by_remap_file_pages),
	TEST(map_child_shares_and_unmaps_its_own),
	TEST(map_child_keeps_what_the_parent_dropped),
	TEST(map_grandchild_outlives_its_parents),
	TEST(map_kept_from_children_by_madvise),
	TEST(map_writer_is_killed),
	TEST(map_first_faults_race),
	TEST(map_protection_can_be_taken_and_given_back),
	TEST(map_readonly_descriptor_cannot_write),
	TEST(map_readonly_mapping_cannot_be_upgraded),
	TEST(map_readonly_descriptor_creates_nothing),
	TEST(map_writeonly_descriptor_maps_nothing),
	TEST(map_private_is_a_snapshot),
	TEST(map_private_of_a_large_object),
	TEST(map_is_not_executable),
	TEST(map_is_executable_where_that_is_allowed),
	TEST(map_populate_spares_the_faults),
	TEST(map_can_be_locked_in_memory),
	TEST(map_can_be_synced),
	TEST(map_advice_loses_nothing),
	TEST(map_advice_that_must_work_works),
	TEST(map_drop_caches_loses_nothing),
	TEST(map_compaction_loses_nothing),
	TEST(map_takes_few_faults),
	TEST(map_uses_huge_pages),
	TEST(map_hint_is_taken),
	TEST(map_hint_that_is_taken_already),
	TEST(map_never_at_address_zero),
	TEST(map_holds_a_semaphore),
	TEST(map_holds_a_robust_mutex_and_a_condition),
	TEST(map_works_with_a_pipe),
	TEST(map_works_with_process_vm),
	TEST(map_works_with_a_debugger),
	TEST(map_readonly_is_readonly_for_debuggers),
	TEST(map_pinned_page_is_not_given_to_others),
	TEST(map_pinned_part_of_a_huge_page),
	TEST(map_works_with_direct_io),
	TEST(map_pins_the_module),
	TEST(map_unpins_the_module),
	TEST(map_failures_leave_nothing_behind),
	TEST(map_references_are_balanced),
	TEST(map_name_tells_of_deletion),
	TEST(map_poisoned_page_stays_poisoned),
};

int main(void)
{
	return test_main(map_tests);
}
