// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who may do what to whom, as docs/security.md says: readers and writers of the
 * device, the creator of an object and others, root of a user namespace.
 */
#include <sched.h>

#include "object.h"

#define CREATOR 4321
#define OTHER 4322

/* Opened before a child becomes somebody who could not. */
static struct npheap *writer, *reader;

struct act {
	uid_t uid;
	int (*body)(uint64_t key);
	uint64_t key;
};

static int act_as_user(void *arg)
{
	struct act *act = arg;

	child_check(setresuid(act->uid, act->uid, act->uid) == 0);
	return act->body(act->key);
}

static void act_as(uid_t uid, int (*body)(uint64_t key), uint64_t key)
{
	struct act act = { uid, body, key };

	expect_exit(spawn(act_as_user, &act), 0);
}

/* 4 pages, and may become 8. */
static int create_object(uint64_t key)
{
	return -npheap_create(writer, key, 4 * page, 8 * page, 0);
}

/* --------------------------------------------------------------- readers -- */

static int read_and_wait(uint64_t key)
{
	const struct npheap_mapping *mapping;
	struct npheap_stat stat;
	uint64_t size, event;
	void *p;
	int fd;

	child_check(npheap_map(reader, key, page, &p) == 0);
	child_check(*(char *)p == 0);
	child_check(mprotect(p, page, PROT_WRITE) == -1 && errno == EACCES);
	child_check(npheap_attach(reader, key, 0, &mapping) == 0);
	npheap_detach(reader, mapping);
	child_check(npheap_size(reader, key, &size) == 0 && size == 4 * page);
	child_check(npheap_stat(reader, key, &stat) == 0);
	child_check(stat.uid == CREATOR);
	child_check(npheap_event(reader, key, &event) == 0);
	child_check(npheap_wait(reader, key, event, 1) == -ETIMEDOUT);
	child_check(npheap_watch_open(reader, 0, &fd) == 0);
	child_check(npheap_watch_set(fd, key, NPHEAP_WATCH_NOTIFY) == 0);
	return 0;
}

static int change_as_reader(uint64_t key)
{
	void *p;

	child_check(npheap_map(reader, key + 1, page, &p) == -ENOENT);
	child_check(npheap_create(reader, key + 1, page, 0, 0) == -EBADF);
	child_check(npheap_resize(reader, key, page, 0) == -EBADF);
	child_check(npheap_punch(reader, key, 0, page, 0) == -EBADF);
	child_check(npheap_seal(reader, key, NPHEAP_SEAL_SEAL) == -EBADF);
	child_check(npheap_remove(reader, key) == -EBADF);
	child_check(npheap_acquire(reader, key) == -EBADF);
	child_check(npheap_acquire_with(reader, key, NPHEAP_TRY | NPHEAP_SHARED,
					0) == -EBADF);
	child_check(npheap_notify(reader, key, 1) == -EBADF);
	child_check(npheap_consistent(reader, key) == -EBADF);
	child_check(npheap_break(reader, key) == -EBADF);
	return 0;
}

static void rights_of_readers(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	act_as(CREATOR, create_object, key);
	act_as(OTHER, read_and_wait, key);
	act_as(OTHER, change_as_reader, key);
	delete(key);
	assert_usage(before);
}

/* So far as its user may have them. */
static int watch_many(uint64_t key)
{
	int fd, i;

	child_check(npheap_watch_open(reader, 0, &fd) == 0);
	for (i = 0; i < 3; i++)
		child_check(npheap_watch_set(fd, key + i,
					     NPHEAP_WATCH_NOTIFY) == 0);
	child_check(npheap_watch_set(fd, key + 3, NPHEAP_WATCH_NOTIFY) ==
		    -EDQUOT);
	return 0;
}

static void rights_of_readers_to_lock_records(void **state)
{
	(void)state;
	heap_set("max_user_locks", 3);
	act_as(OTHER, watch_many, test_key());
}

/* --------------------------------------------------------------- writers -- */

static int resize_and_punch(uint64_t key)
{
	child_check(npheap_resize(writer, key, 6 * page, 0) == 0);
	child_check(npheap_punch(writer, key, 0, page, 0) == 0);
	child_check(npheap_resize(writer, key, 3 * page, 0) == 0);
	return 0;
}

/* While it is mapped by somebody else. */
static int be_refused_force(uint64_t key)
{
	const unsigned int force = NPHEAP_RESIZE_FORCE;

	child_check(npheap_resize(writer, key, page, 0) == -EBUSY);
	child_check(npheap_resize(writer, key, page, force) == -EPERM);
	child_check(npheap_punch(writer, key, 0, page, 0) == -EBUSY);
	child_check(npheap_punch(writer, key, 0, page, force) == -EPERM);
	return 0;
}

static int use_force(uint64_t key)
{
	const unsigned int force = NPHEAP_RESIZE_FORCE;

	child_check(npheap_punch(writer, key, 0, page, force) == 0);
	child_check(npheap_resize(writer, key, 2 * page, force) == 0);
	return 0;
}

static int seal(uint64_t key)
{
	return -npheap_seal(writer, key, NPHEAP_SEAL_SHRINK);
}

static int be_refused_by_a_seal(uint64_t key)
{
	child_check(npheap_resize(writer, key, page, NPHEAP_RESIZE_FORCE) ==
		    -EPERM);
	return 0;
}

static int remove_object(uint64_t key)
{
	return -npheap_remove(writer, key);
}

static void rights_of_writers_to_what_others_created(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	void *p;

	(void)state;
	act_as(CREATOR, create_object, key);
	act_as(OTHER, resize_and_punch, key);
	p = map_key(key, 3 * page);
	memset(p, 1, 3 * page);
	act_as(OTHER, be_refused_force, key);
	act_as(CREATOR, use_force, key);
	unmap(p, 3 * page);
	act_as(OTHER, seal, key);
	act_as(CREATOR, be_refused_by_a_seal, key);
	act_as(OTHER, remove_object, key);
	assert_usage(before);
}

static int grow_it_up_to_the_quota(uint64_t key)
{
	child_check(npheap_resize(writer, key, 7 * page, 0) == -EDQUOT);
	child_check(npheap_resize(writer, key, 6 * page, 0) == 0);
	/* Its own quota is untouched. */
	child_check(npheap_create(writer, key + 1, 6 * page, 0, 0) == 0);
	return 0;
}

static void rights_growth_counts_for_the_creator(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	act_as(CREATOR, create_object, key);
	heap_set("max_user_bytes", 6 * page);
	act_as(OTHER, grow_it_up_to_the_quota, key);
	delete(key);
	delete(key + 1);
	assert_usage(before);
}

/* ------------------------------------------------------------ namespaces -- */

static int make_user_namespace(void *arg)
{
	(void)arg;
	return unshare(CLONE_NEWUSER) != 0;
}

/* All capabilities there are in there, and none outside. */
static int be_root_of_a_namespace(uint64_t key)
{
	struct npheap_stat stat;

	child_check(unshare(CLONE_NEWUSER) == 0);
	child_check(npheap_break(writer, key) == -EPERM);
	be_refused_force(key);
	child_check(npheap_stat(reader, key, &stat) == 0);
	/* That user is not in there. */
	child_check(stat.uid == 65534);
	child_check(open("/proc/npheap/objects", O_RDONLY) == -1);
	child_check(heap_write("max_bytes", 0) == -EACCES);
	return 0;
}

static void rights_of_root_of_a_namespace(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	void *p;

	(void)state;
	if (!works(make_user_namespace))
		skip();
	act_as(CREATOR, create_object, key);
	p = map_key(key, 4 * page);
	memset(p, 1, 4 * page);
	act_as(OTHER, be_root_of_a_namespace, key);
	drop(p, 4 * page, key);
	assert_usage(before);
}

int main(void)
{
	const struct CMUnitTest rights[] = {
		TEST(rights_of_readers),
		LIMIT_TEST(rights_of_readers_to_lock_records),
		TEST(rights_of_writers_to_what_others_created),
		LIMIT_TEST(rights_growth_counts_for_the_creator),
		TEST(rights_of_root_of_a_namespace),
	};

	limits_keep();
	writer = open_heap(0);
	reader = open_heap(NPHEAP_RDONLY);
	return test_main(rights);
}
