/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of objects share: what is in them, and what the heap uses. */
#ifndef NPHEAP_OBJECT_H
#define NPHEAP_OBJECT_H

#include "test.h"

/** What the heap uses; an error must leave it as it was. */
struct usage {
	long long bytes;
	long long deleted;
	long long objects;
	long long sparse;
};

struct usage usage_now(void);
void assert_usage(struct usage before);

/** What came since @before, and nothing else. */
void assert_more(struct usage before, long long bytes, long long deleted,
		 long long objects, long long sparse);

/** A test after which every limit is again what limits_keep() found. */
#define LIMIT_TEST(function) \
	cmocka_unit_test_setup_teardown(function, test_begin, limits_end)

/** The attributes that are limits. */
#define NR_LIMITS 8
extern const char *const limit_names[NR_LIMITS];

/** Remembers all limits, before the first test. */
void limits_keep(void);
/** All limits are again what limits_keep() found. */
void limits_restore(void);
int limits_end(void **state);

/**
 * A memory cgroup for a test, which removes it by rmdir() in the end;
 * need_group() skips the test where there can be none.
 */
#define GROUP "/sys/fs/cgroup/npheap-test"
void need_group(void);

/** A child's way into it; 0 or -errno. */
int enter_group(void);

/** All that the heap counts, and who keeps the module loaded. */
struct leftovers {
	long long objects;
	long long bytes;
	long long deleted;
	long long sparse;
	long long locks;
	long long references;
};

struct leftovers leftovers_now(void);
/** True if they are what they were @before; prints how they differ. */
int leftovers_are(struct leftovers before);

/** True if each of @size bytes is @byte. */
int is_filled(const void *p, int byte, size_t size);

/** Fills the i-th page with @base + i, and looks whether it is still there. */
void stamp(char *p, size_t pages, int base);
int is_stamped(const char *p, size_t pages, int base);

/** The signal that one access to a byte raises, or 0. */
enum how { READ, WRITE };
int touch(volatile char *p, enum how how);

/** How many of the pages are in this process's page tables. */
size_t count_present(const char *p, size_t pages);

/** Does the kernel have transparent huge pages? */
int has_huge_pages(void);

/** munmap(), the classic delete, and both: each has to succeed. */
void unmap(void *p, size_t size);
void delete(uint64_t key);
void drop(void *p, size_t size, uint64_t key);

#endif
