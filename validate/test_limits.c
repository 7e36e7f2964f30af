// SPDX-License-Identifier: GPL-2.0-or-later
/* What a heap may use: its own limits, the machine's memory, memory cgroups. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/fsuid.h>
#include <sys/resource.h>

#include "object.h"

#define MIB (1ULL << 20)
#define SYSFS "/sys/class/misc/npheap/"

/* The limits as they were before the first test. */
static long long max_bytes, max_objects;

static int write_number(const char *path, long long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", number);
	return write_text(path, text);
}

/* An object that no process maps. */
static void create(uint64_t key, size_t size)
{
	unmap(map_key(key, size), size);
}

static void assert_refused(uint64_t key, size_t size, int reason)
{
	struct usage before = usage_now();
	long long creates = heap_stat("creates");

	assert_errno(npheap_alloc(dev, key, size), reason);
	assert_int_equal(npheap_getsize(dev, key), 0);
	assert_int_equal(heap_stat("creates"), creates);
	assert_usage(before);
}

static long long max(long long a, long long b)
{
	return a > b ? a : b;
}

/* -------------------------------------------------------- the heap's own */

static void limits_default_is_a_quarter_of_memory(void **state)
{
	long long total = number_after("/proc/meminfo", "MemTotal:") * 1024;

	(void)state;
	if (number_after("/sys/module/npheap/parameters/max_bytes", "")) {
		printf("# the module was loaded with max_bytes\n");
		skip();
	}
	assert_true(max_bytes > total / 4 - (long long)(32 * MIB));
	assert_true(max_bytes <= total / 4 + (long long)MIB);
	assert_true(max_objects > 0 && max_objects <= max_bytes);
}

static void limits_bytes_are_kept(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	heap_set("max_bytes", before.bytes + 4 * page);
	assert_refused(key, 5 * page, ENOSPC);
	assert_refused(key, 64 * MIB, ENOSPC);
	create(key, 3 * page);
	assert_refused(key + 1, 2 * page, ENOSPC);
	create(key + 1, page);
	assert_refused(key + 2, 1, ENOSPC);
	assert_int_equal(heap_stat("bytes"), heap_stat("max_bytes"));
	delete(key);
	create(key + 2, 3 * page);
	delete(key + 1);
	delete(key + 2);
	assert_usage(before);
}

static void limits_objects_are_kept(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();

	(void)state;
	heap_set("max_objects", before.objects + 2);
	create(key, page);
	create(key + 1, page);
	assert_refused(key + 2, page, ENOSPC);
	delete(key);
	create(key + 2, page);
	assert_refused(key, page, ENOSPC);
	heap_set("max_objects", before.objects + 3);
	create(key, page);
	delete(key);
	delete(key + 1);
	delete(key + 2);
	assert_usage(before);
}

/* What is there already can be used and attached at the limit. */
static void limits_do_not_hinder_attaching(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page), *q;

	(void)state;
	heap_set("max_bytes", heap_stat("bytes"));
	heap_set("max_objects", heap_stat("objects"));
	q = npheap_alloc(dev, key, 8 * page);
	assert_ptr_not_equal(q, MAP_FAILED);
	q[0] = 1;
	assert_int_equal(p[0], 1);
	assert_refused(key + 1, page, ENOSPC);
	unmap(q, 8 * page);
	unmap(p, 4 * page);
	delete(key);
}

/* A limit below the usage frees nothing, and lets nothing in. */
static void limits_may_be_lowered(void **state)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);

	(void)state;
	memset(p, 'a', 4 * page);
	heap_set("max_bytes", 1);
	heap_set("max_objects", 0);
	assert_int_equal(npheap_getsize(dev, key), 4 * page);
	assert_int_equal(p[4 * page - 1], 'a');
	assert_refused(key + 1, page, ENOSPC);
	heap_set("max_bytes", 0);
	assert_refused(key + 1, page, ENOSPC);
	heap_set("max_bytes", max_bytes);
	assert_refused(key + 1, page, ENOSPC);
	heap_set("max_objects", max_objects);
	create(key + 1, page);
	delete(key + 1);
	unmap(p, 4 * page);
	delete(key);
	assert_usage(before);
}

/* Deleted memory counts for as long as someone maps it. */
static void limits_count_deleted_memory(void **state)
{
	struct usage before = usage_now(), now;
	uint64_t key = test_key();
	char *p = map_key(key, 4 * page);

	(void)state;
	heap_set("max_bytes", before.bytes + 4 * page);
	delete(key);
	now = usage_now();
	assert_int_equal(now.bytes, before.bytes + 4 * page);
	assert_int_equal(now.deleted, before.deleted + 4 * page);
	assert_int_equal(now.objects, before.objects + 1);
	assert_refused(key, page, ENOSPC);
	unmap(p, 2 * page);
	assert_refused(key, page, ENOSPC);
	unmap(p + 2 * page, 2 * page);
	assert_usage(before);
	create(key, 4 * page);
	delete(key);
	assert_usage(before);
}

static void check_bad_limits(const char *name)
{
	const char *const invalid[] = { "x", "-1", "5x", "1e6", " ", "\n",
					"0x", "1 2", "+-1", "4K" };
	long long before = heap_stat(name);
	char path[128];
	size_t i;

	snprintf(path, sizeof(path), SYSFS "%s", name);
	for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		int rc = write_text(path, invalid[i]);

		if (rc != -EINVAL)
			printf("# \"%s\" into %s: %d\n", invalid[i], name, rc);
		assert_int_equal(rc, -EINVAL);
	}
	assert_int_equal(write_text(path, "99999999999999999999"), -ERANGE);
	assert_int_equal(write_text(path, "18446744073709551615"), -ERANGE);
	assert_int_equal(write_text(path, "9223372036854775808"), -ERANGE);
	assert_int_equal(heap_stat(name), before);
	assert_int_equal(write_text(path, "9223372036854775807"), 0);
	assert_int_equal(heap_stat(name), INT64_MAX);
	assert_int_equal(write_text(path, "0x10\n"), 0);
	assert_int_equal(heap_stat(name), 16);
	heap_set(name, before);
}

static void limits_refuse_what_is_no_number(void **state)
{
	(void)state;
	check_bad_limits("max_bytes");
	check_bad_limits("max_objects");
	check_bad_limits("max_locks");
}

static int write_limits_as_nobody(void *arg)
{
	(void)arg;
	child_check(setgid(65534) == 0 && setuid(65534) == 0);
	child_check(write_text(SYSFS "max_bytes", "1") == -EACCES);
	child_check(write_text(SYSFS "max_objects", "1") == -EACCES);
	child_check(write_text(SYSFS "max_locks", "1") == -EACCES);
	return 0;
}

static void limits_are_for_root_to_set(void **state)
{
	long long before = heap_stat("max_bytes");

	(void)state;
	expect_exit(spawn(write_limits_as_nobody, NULL), 0);
	assert_int_equal(heap_stat("max_bytes"), before);
	assert_int_equal(write_text(SYSFS "bytes", "1"), -EACCES);
	assert_int_equal(write_text(SYSFS "objects", "1"), -EACCES);
}

/* ------------------------------------------------------------------ races */

enum { RACERS = 8 };

struct race {
	struct gate *ready;
	struct gate *start;
	uint64_t key;
	size_t size;
	int index;
};

static void run_race(int (*body)(void *arg), uint64_t key, size_t size)
{
	struct race races[RACERS];
	struct gate *ready = gate_new(), *start = gate_new();
	pid_t pids[RACERS];
	int i;

	for (i = 0; i < RACERS; i++) {
		races[i] = (struct race){ ready, start, key, size, i };
		pids[i] = spawn(body, &races[i]);
	}
	gate_wait(ready, RACERS);
	gate_add(start, 1);
	for (i = 0; i < RACERS; i++)
		expect_exit(pids[i], 0);
	munmap(ready, sizeof(*ready));
	munmap(start, sizeof(*start));
}

static int attach_or_create(void *arg)
{
	const struct race *race = arg;
	char *p;

	gate_add(race->ready, 1);
	gate_wait(race->start, 1);
	p = npheap_alloc(dev, race->key, race->size);
	child_check(p != MAP_FAILED);
	p[race->index] = 1;
	return 0;
}

enum { TURNS = 150, SPINNERS = 2 };

/* Meets the others at each turn without a system call, to be in time. */
static int create_in_step(void *arg)
{
	const struct race *race = arg;
	int refused = 0;
	uint32_t turn;

	for (turn = 1; turn <= TURNS; turn++) {
		void *p;

		atomic_fetch_add(&race->ready->value, 1);
		while (atomic_load(&race->ready->value) < turn * SPINNERS)
			;
		p = npheap_alloc(dev, race->key + turn, race->size);
		/* Not the end, as the others would wait for it for ever. */
		refused += p == MAP_FAILED || munmap(p, race->size);
		atomic_fetch_add(&race->start->value, 1);
		while (atomic_load(&race->start->value) < turn * SPINNERS)
			;
		npheap_delete(dev, race->key + turn);
	}
	if (refused)
		printf("# refused in %d of %d turns\n", refused, TURNS);
	return refused != 0;
}

/* There is room for one object, and it is one that they all want. */
static void check_only_object(size_t size)
{
	struct race race = { .ready = gate_new(), .start = gate_new(),
			     .key = test_key(), .size = size };
	struct usage before = usage_now();
	pid_t pids[SPINNERS];
	int i;

	for (i = 0; i < SPINNERS; i++)
		pids[i] = spawn(create_in_step, &race);
	for (i = 0; i < SPINNERS; i++)
		expect_exit(pids[i], 0);
	assert_usage(before);
}

static void limits_leave_room_for_the_only_object(void **state)
{
	(void)state;
	heap_set("max_objects", heap_stat("objects") + 1);
	check_only_object(page);
}

static void limits_leave_room_for_the_only_bytes(void **state)
{
	(void)state;
	heap_set("max_bytes", heap_stat("bytes") + 16 * page);
	check_only_object(16 * page);
}

/* Takes what it gets until there is no more, and looks at the sum. */
static int take_all(void *arg)
{
	const struct race *race = arg;
	uint64_t key = race->key + race->index * 128;
	int taken = 0;

	gate_add(race->ready, 1);
	gate_wait(race->start, 1);
	while (npheap_alloc(dev, key + taken, race->size) != MAP_FAILED) {
		taken++;
		child_check(heap_stat("bytes") <= heap_stat("max_bytes"));
		child_check(heap_stat("objects") <= heap_stat("max_objects"));
	}
	child_check(errno == ENOSPC);
	return 0;
}

static void check_race(long long bytes, long long objects, size_t size)
{
	struct usage before = usage_now();
	uint64_t key = test_key();
	long long fit = objects;
	int i;

	if (bytes / (long long)size < objects)
		fit = bytes / size;
	heap_set("max_bytes", before.bytes + bytes);
	heap_set("max_objects", before.objects + objects);
	run_race(take_all, key, size);
	assert_int_equal(heap_stat("objects"), before.objects + fit);
	assert_int_equal(heap_stat("bytes"),
			 before.bytes + fit * (long long)size);
	for (i = 0; i < RACERS * 128; i++)
		delete(key + i);
	assert_usage(before);
	heap_set("max_bytes", max_bytes);
	heap_set("max_objects", max_objects);
}

/* However many come at once: all that fits gets in, and no more. */
static void limits_are_never_exceeded(void **state)
{
	(void)state;
	check_race(401 * page, 1000, 4 * page);
	check_race(4000 * page, 75, 2 * page);
}

/* ---------------------------------------------------- the machine's memory */

static long long oom_kills(void)
{
	return max(0, number_after("/proc/vmstat", "oom_kill "));
}

/* More than there is, where the heap's limits would allow it. */
static void limits_end_where_memory_ends(void **state)
{
	long long total = number_after("/proc/meminfo", "MemTotal:") * 1024;
	long long kills = oom_kills();
	uint64_t key = test_key();

	(void)state;
	heap_set("max_bytes", INT64_MAX);
	assert_refused(key, total, ENOMEM);
	assert_refused(key, 2 * total, ENOMEM);
	assert_refused(key, 1ULL << 45, ENOMEM);
	/* All that is available is more than a heap may have of it. */
	assert_refused(key, available_bytes() & -page, ENOMEM);
	assert_int_equal(oom_kills(), kills);
}

/* The same in steps: something always remains for the rest of the system. */
static void limits_leave_memory_to_the_system(void **state)
{
	long long total = number_after("/proc/meminfo", "MemTotal:") * 1024;
	size_t step = available_bytes() / 8 & -page;
	struct usage before = usage_now();
	long long kills = oom_kills();
	uint64_t key = test_key();
	int i, n;

	(void)state;
	if (total > 3LL << 29) {
		printf("# too much memory to fill\n");
		skip();
	}
	heap_set("max_bytes", INT64_MAX);
	for (n = 0; n < 20; n++) {
		void *p = npheap_alloc(dev, key + n, step);

		if (p == MAP_FAILED)
			break;
		unmap(p, step);
	}
	assert_true(n >= 4 && n < 9);
	assert_refused(key + n, step, ENOMEM);
	assert_true(available_bytes() > total / 64);
	assert_int_equal(oom_kills(), kills);
	for (i = 0; i < n; i++)
		delete(key + i);
	assert_usage(before);
}

static int create_large(void *arg)
{
	const struct race *race = arg;

	gate_add(race->ready, 1);
	npheap_alloc(dev, race->key, race->size);
	pause();
	return 0;
}

/* Whether the object was complete before the signal came. */
static int kill_creator(struct race *race, useconds_t delay)
{
	long long bytes = heap_stat("bytes");
	uint32_t round = atomic_load(&race->ready->value) + 1;
	pid_t pid = spawn(create_large, race);

	gate_wait(race->ready, round);
	while (heap_stat("bytes") == bytes)
		;
	usleep(delay);
	kill_and_reap(pid);
	return npheap_getsize(dev, race->key) != 0;
}

/* A creator that is killed in the middle leaves neither object nor memory. */
static void limits_forget_a_killed_creator(void **state)
{
	struct usage before = usage_now();
	struct race race = { .ready = gate_new(), .key = test_key() };
	long long avail;
	int i, complete = 0;

	(void)state;
	race.size = (max_bytes - before.bytes) / 2 & -page;
	avail = available_bytes();
	for (i = 0; i < 6; i++) {
		if (kill_creator(&race, i * 500)) {
			complete++;
			delete(race.key);
		}
		assert_usage(before);
	}
	printf("# %d of 6 objects were complete\n", complete);
	assert_true(complete < 6);
	assert_true(available_bytes() > avail - (long long)race.size / 2);
	create(race.key, page);
	delete(race.key);
	assert_usage(before);
}

/* Others who wait for the same object make it themselves then. */
static void limits_waiter_of_a_killed_creator_goes_on(void **state)
{
	struct usage before = usage_now();
	struct race race = { .ready = gate_new(), .start = gate_new(),
			     .key = test_key() };
	pid_t creator, waiter;

	(void)state;
	race.size = (max_bytes - before.bytes) / 3 & -page;
	gate_add(race.start, 1);
	creator = spawn(create_large, &race);
	gate_wait(race.ready, 1);
	waiter = spawn(attach_or_create, &race);
	gate_wait(race.ready, 2);
	kill_and_reap(creator);
	expect_exit(waiter, 0);
	assert_int_equal(npheap_getsize(dev, race.key), race.size);
	delete(race.key);
	assert_usage(before);
}

/* --------------------------------------------------------- memory cgroups */

static long long group_current(void)
{
	return read_number(GROUP "/memory.current");
}

struct member {
	uint64_t key;
	size_t size;
	int count;
};

/* Does not touch what it creates: creation is what is charged. */
static int create_as_member(void *arg)
{
	const struct member *member = arg;
	int i;

	child_check(enter_group() == 0);
	for (i = 0; i < member->count; i++) {
		void *p = npheap_alloc(dev, member->key + i, member->size);

		child_check(p != MAP_FAILED);
		child_check(munmap(p, member->size) == 0);
	}
	return 0;
}

/* Charges come and go in batches, and come off some time after the end. */
static int falls_below(long long (*charged)(void), long long bytes)
{
	long long limit = now_ms() + 10000;

	while (charged() >= bytes && now_ms() < limit)
		usleep(10000);
	return charged() < bytes;
}

static int current_falls_below(long long bytes)
{
	return falls_below(group_current, bytes);
}

static void limits_charge_the_creators_cgroup(void **state)
{
	struct member member = { test_key(), 8 * MIB, 1 };
	long long before;

	(void)state;
	need_group();
	before = group_current();
	expect_exit(spawn(create_as_member, &member), 0);
	/* The process is gone, the object and its charge are not. */
	assert_true(group_current() >= before + (long long)(8 * MIB));
	assert_true(group_current() < before + (long long)(12 * MIB));
	delete(member.key);
	assert_true(current_falls_below(before + MIB));
	assert_int_equal(rmdir(GROUP), 0);
}

/* So is what the kernel needs besides for each of many small objects. */
static void limits_charge_many_small_objects(void **state)
{
	struct member member = { test_key(), page, 100 };
	long long before;
	int i;

	(void)state;
	need_group();
	before = group_current();
	expect_exit(spawn(create_as_member, &member), 0);
	assert_true(group_current() >= before + 100 * ((long long)page + 500));
	for (i = 0; i < member.count; i++)
		delete(member.key + i);
	assert_true(current_falls_below(before + 100 * (long long)page));
	assert_int_equal(rmdir(GROUP), 0);
}

/*
 * What the group is charged for memory of a kind, to a few pages: to read cpu.stat
 * has the kernel sum up what the processors have counted.
 */
static long long charged_for(const char *kind)
{
	number_after(GROUP "/cpu.stat", "usage_usec ");
	return number_after(GROUP "/memory.stat", kind);
}

/* In pieces less than a page, once RCU has freed what it is to free. */
static long long charged_pieces(void)
{
	long long bytes = charged_for("slab_unreclaimable "), before;

	do {
		before = bytes;
		sleep_ms(100);
		bytes = charged_for("slab_unreclaimable ");
	} while (bytes != before);
	return bytes;
}

/* In whole pages, of which neither are such pieces made nor page tables. */
static long long charged_pages(void)
{
	return charged_for("kernel ") - charged_for("slab ") -
	       charged_for("pagetables ") - charged_for("kernel_stack ");
}

/* Returns how much more the group is charged after this. */
static long long charged_by(void (*body)(uint64_t key, int arg), int arg,
			    const struct member *member)
{
	long long before = charged_pieces();
	int i;

	for (i = 0; i < member->count; i++)
		body(member->key + i, arg);
	return charged_pieces() - before;
}

static void bind_key(uint64_t key, int unused)
{
	struct npheap_bind args = { .key = key };

	(void)unused;
	child_check(!ioctl(dev, NPHEAP_IOC_BIND, &args));
}

static void watch_key(uint64_t key, int watch)
{
	child_check(!npheap_watch_set(watch, key, NPHEAP_WATCH_NOTIFY));
}

static int new_watch(void)
{
	uint32_t flags = 0;
	int watch = ioctl(dev, NPHEAP_IOC_WATCH, &flags);

	child_check(watch >= 0);
	return watch;
}

static void open_watch(uint64_t key, int unused)
{
	(void)key;
	(void)unused;
	new_watch();
}

/* A descriptor as a watch is one, but of what nobody is charged for. */
static void open_event(uint64_t key, int unused)
{
	(void)key;
	(void)unused;
	child_check(eventfd(0, 0) >= 0);
}

/* The table of descriptors has its size before anything is counted. */
static int open_watches_as_member(void *arg)
{
	const struct member *member = arg;
	struct rlimit limit = { 4 * member->count, 4 * member->count };
	long long event;

	child_check(enter_group() == 0);
	child_check(!setrlimit(RLIMIT_NOFILE, &limit));
	child_check(dup2(dev, 4 * member->count - 1) >= 0);
	event = charged_by(open_event, 0, member);
	child_check(charged_by(open_watch, 0, member) >=
		    event + member->count * 60LL);
	return 0;
}

/* A record has about 200 bytes, and a watched key 100; less is not theirs. */
static int use_records_as_member(void *arg)
{
	const struct member *member = arg;
	int watch = new_watch();

	child_check(enter_group() == 0);
	child_check(charged_by(bind_key, 0, member) >= member->count * 170LL);
	child_check(charged_by(watch_key, watch, member) >=
		    member->count * 80LL);
	return 0;
}

/* Nor are lock records and watches free, which need no object. */
static void limits_charge_lock_records_and_watches(void **state)
{
	struct member member = { .key = test_key(), .count = 2000 };

	(void)state;
	need_group();
	expect_exit(spawn(use_records_as_member, &member), 0);
	expect_exit(spawn(open_watches_as_member, &member), 0);
	assert_true(current_falls_below(MIB));
	assert_int_equal(rmdir(GROUP), 0);
}

static void bind_key_as_another(uint64_t key, int unused)
{
	static int uid = 100000;

	setfsuid(uid++);
	bind_key(key, unused);
}

static int lock_by(uint64_t key, uint32_t flags)
{
	struct npheap_lock_args args = {
		.key = key, .flags = flags, .timeout = UINT64_MAX,
	};

	return ioctl(dev, NPHEAP_IOC_LOCK, &args) ? errno : 0;
}

static void share_key(uint64_t key, int unused)
{
	(void)unused;
	child_check(!lock_by(key, NPHEAP_LOCK_SHARED));
}

/* A user has about 100 bytes, and a reader 40. */
static int lock_as_many_users(void *arg)
{
	const struct member *member = arg;
	struct member others = *member;
	long long same;

	child_check(enter_group() == 0);
	others.key += member->count;
	same = charged_by(bind_key, 0, member);
	child_check(charged_by(bind_key_as_another, 0, &others) >=
		    same + member->count * 60LL);
	setfsuid(0);
	child_check(charged_by(share_key, 0, member) >= member->count * 25LL);
	return 0;
}

/* Each is refused as another user, a lock and an object. */
static int be_refused_as_many_users(void *arg)
{
	const struct member *member = arg;
	struct npheap_bind bind = { .key = member->key };
	struct npheap_create create = { .key = member->key, .size = page };
	int i;

	child_check(enter_group() == 0);
	for (i = 0; i < member->count; i++) {
		setfsuid(200000 + i);
		child_check(ioctl(dev, NPHEAP_IOC_BIND, &bind) == -1 &&
			    errno == ENOSPC);
		setfsuid(300000 + i);
		child_check(ioctl(dev, NPHEAP_IOC_CREATE, &create) == -1 &&
			    errno == ENOSPC);
	}
	return 0;
}

static void limits_charge_users_and_readers(void **state)
{
	struct member member = { .key = test_key(), .count = 2000 };
	long long before;

	(void)state;
	need_group();
	before = charged_pieces();
	expect_exit(spawn(lock_as_many_users, &member), 0);
	assert_true(falls_below(charged_pieces, before + member.count * 30LL));
	heap_set("max_locks", 0);
	heap_set("max_objects", 0);
	expect_exit(spawn(be_refused_as_many_users, &member), 0);
	assert_true(falls_below(charged_pieces, before + member.count * 30LL));
	assert_int_equal(rmdir(GROUP), 0);
}

static void create_sparse(uint64_t key, int unused)
{
	struct npheap_create args = {
		.key = key,
		.size = page,
		.flags = NPHEAP_CREATE_SPARSE,
	};

	(void)unused;
	child_check(!ioctl(dev, NPHEAP_IOC_CREATE, &args));
}

/* Many who all do the same when they are told to: threads, or processes. */
struct crowd {
	uint64_t key;
	struct gate *ready;
	struct gate *go;
};

static void join_heap(void)
{
	struct npheap_join args;

	child_check(!ioctl(dev, NPHEAP_IOC_JOIN, &args));
}

static void *lock_in_steps(void *arg)
{
	const struct crowd *crowd = arg;

	gate_add(crowd->ready, 1);
	gate_wait(crowd->go, 1);
	join_heap();
	gate_add(crowd->ready, 1);
	gate_wait(crowd->go, 2);
	bind_key(crowd->key, 0);
	gate_add(crowd->ready, 1);
	gate_wait(crowd->go, 3);
	child_check(lock_by(crowd->key, NPHEAP_LOCK_TRY) == EBUSY);
	gate_add(crowd->ready, 1);
	gate_wait(crowd->go, 4);
	child_check(!lock_by(crowd->key, 0));
	child_check(!unlock_by_ioctl(crowd->key));
	return NULL;
}

/* What all of the crowd's next step is charged for. */
static long long charged_by_step(struct crowd *crowd, uint32_t count,
				 long long (*charged)(void))
{
	uint32_t ready = crowd->ready->value;
	long long before = charged();

	gate_add(crowd->go, 1);
	gate_wait(crowd->ready, ready + count);
	return charged() - before;
}

enum { THREADS = 300, PROCESSES = 200 };

/*
 * An owner has about 200 bytes, and what a thread needs to wait, and to read, about
 * 100 and 40.
 */
static int lock_in_threads(void *arg)
{
	struct crowd *crowd = arg;
	pthread_t threads[THREADS];
	int i;

	child_check(enter_group() == 0);
	child_check(!lock_by(crowd->key, 0));
	join_heap();
	for (i = 0; i < THREADS; i++)
		child_check(!pthread_create(&threads[i], NULL, lock_in_steps,
					    crowd));
	gate_wait(crowd->ready, THREADS);
	child_check(charged_by_step(crowd, THREADS, charged_pieces) >=
		    THREADS * 130LL);
	charged_by_step(crowd, THREADS, charged_pieces);
	child_check(charged_by_step(crowd, THREADS, charged_pieces) >=
		    THREADS * 120LL);
	gate_add(crowd->go, 1);
	/* Each waits until the one before it is done. */
	sleep_ms(100);
	child_check(!unlock_by_ioctl(crowd->key));
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static int join_in_a_step(void *arg)
{
	const struct crowd *crowd = arg;
	uint64_t key = crowd->key + getpid();

	gate_add(crowd->ready, 1);
	gate_wait(crowd->go, 1);
	join_heap();
	gate_add(crowd->ready, 1);
	gate_wait(crowd->go, 2);
	create_sparse(key, 0);
	child_check(!npheap_delete(dev, key));
	return 0;
}

/* A process has a page for its epoch. */
static int join_in_processes(void *arg)
{
	struct crowd *crowd = arg;
	pid_t pids[PROCESSES];
	int i;

	child_check(enter_group() == 0);
	for (i = 0; i < PROCESSES; i++)
		pids[i] = spawn(join_in_a_step, crowd);
	gate_wait(crowd->ready, PROCESSES);
	child_check(charged_by_step(crowd, PROCESSES, charged_pages) >=
		    PROCESSES * (long long)page / 2);
	gate_add(crowd->go, 1);
	for (i = 0; i < PROCESSES; i++)
		expect_exit(pids[i], 0);
	return 0;
}

/* What they are charged for comes off with them. */
static void run_crowd(int (*body)(void *arg), int count)
{
	struct crowd crowd = {
		.key = test_key(), .ready = gate_new(), .go = gate_new(),
	};
	long long before = charged_pieces();

	expect_exit(spawn(body, &crowd), 0);
	assert_true(falls_below(charged_pieces, before + count * 80LL));
	munmap(crowd.ready, sizeof(*crowd.ready));
	munmap(crowd.go, sizeof(*crowd.go));
}

static void limits_charge_threads_and_processes(void **state)
{
	(void)state;
	need_group();
	run_crowd(lock_in_threads, THREADS);
	run_crowd(join_in_processes, PROCESSES);
	assert_int_equal(rmdir(GROUP), 0);
}

static int create_sparse_as_member(void *arg)
{
	const struct member *member = arg;

	child_check(enter_group() == 0);
	child_check(charged_by(create_sparse, 0, member) >=
		    member->count * 500LL);
	return 0;
}

/* Objects without a page are charged for what they are. */
static void limits_charge_objects_without_memory(void **state)
{
	struct member member = { .key = test_key(), .count = 2000 };
	int i;

	(void)state;
	need_group();
	expect_exit(spawn(create_sparse_as_member, &member), 0);
	for (i = 0; i < member.count; i++)
		delete(member.key + i);
	assert_true(current_falls_below(MIB));
	assert_int_equal(rmdir(GROUP), 0);
}

static int exceed_as_member(void *arg)
{
	const struct member *member = arg;
	void *p;

	child_check(enter_group() == 0);
	p = npheap_alloc(dev, member->key, member->size);
	child_check(p == MAP_FAILED && errno == ENOMEM);
	child_check(npheap_getsize(dev, member->key) == 0);
	p = npheap_alloc(dev, member->key, member->size / 8);
	child_check(p != MAP_FAILED);
	memset(p, 1, member->size / 8);
	return 0;
}

/* At its limit a group gets ENOMEM: no signal, and no OOM killer. */
static void limits_of_a_cgroup_are_enomem(void **state)
{
	struct member member = { test_key(), 32 * MIB, 1 };
	struct usage before = usage_now();

	(void)state;
	need_group();
	assert_int_equal(write_number(GROUP "/memory.max", 16 * MIB), 0);
	expect_exit(spawn(exceed_as_member, &member), 0);
	assert_int_equal(number_after(GROUP "/memory.events", "oom_kill "), 0);
	assert_int_equal(npheap_getsize(dev, member.key), member.size / 8);
	assert_true(group_current() < (long long)(16 * MIB));
	delete(member.key);
	assert_usage(before);
	assert_int_equal(rmdir(GROUP), 0);
}

static int grow(uint64_t key, uint64_t size)
{
	struct npheap_resize args = { .key = key, .size = size };

	return ioctl(dev, NPHEAP_IOC_RESIZE, &args);
}

/* Also what the kernel needs beside objects finds room afterwards. */
static int grow_as_member(void *arg)
{
	const struct member *member = arg;
	struct npheap_create args = {
		.key = member->key,
		.size = page,
		.max_size = member->size,
	};
	uint64_t size;
	int i;

	child_check(enter_group() == 0);
	child_check(!ioctl(dev, NPHEAP_IOC_CREATE, &args));
	for (size = 2 * page; !grow(member->key, size); size += page)
		child_check(size < member->size);
	child_check(errno == ENOMEM);
	for (i = 0; i < 10; i++)
		child_check(mmap(NULL, page, PROT_READ,
				 MAP_PRIVATE | MAP_ANONYMOUS | (i & 1 ?
				 MAP_NORESERVE : 0), -1, 0) != MAP_FAILED);
	return 0;
}

/* Growing page by page stops before the kernel's own needs would not fit. */
static void limits_of_a_cgroup_end_growth(void **state)
{
	struct member member = { test_key(), 32 * MIB, 1 };
	struct usage before = usage_now();

	(void)state;
	need_group();
	assert_int_equal(write_number(GROUP "/memory.max", 8 * MIB), 0);
	expect_exit(spawn(grow_as_member, &member), 0);
	assert_int_equal(number_after(GROUP "/memory.events", "oom_kill "), 0);
	delete(member.key);
	assert_usage(before);
	assert_int_equal(rmdir(GROUP), 0);
}

static int attach_as_member(void *arg)
{
	const struct member *member = arg;
	char *p;

	child_check(enter_group() == 0);
	p = npheap_alloc(dev, member->key, member->size);
	child_check(p != MAP_FAILED);
	memset(p, 2, member->size);
	child_check(group_current() < (long long)(4 * MIB));
	return 0;
}

/* Who attaches pays for page tables and no more. */
static void limits_do_not_charge_who_attaches(void **state)
{
	struct member member = { test_key(), 8 * MIB, 1 };

	(void)state;
	need_group();
	create(member.key, member.size);
	assert_int_equal(write_number(GROUP "/memory.max", 6 * MIB), 0);
	expect_exit(spawn(attach_as_member, &member), 0);
	assert_int_equal(number_after(GROUP "/memory.events", "oom_kill "), 0);
	delete(member.key);
	assert_int_equal(rmdir(GROUP), 0);
}

/* A group may go before what was charged to it. */
static void limits_outlive_their_cgroup(void **state)
{
	struct member member = { test_key(), 2 * MIB, 1 };
	char *p;

	(void)state;
	need_group();
	expect_exit(spawn(create_as_member, &member), 0);
	assert_int_equal(rmdir(GROUP), 0);
	p = map_key(member.key, member.size);
	memset(p, 3, member.size);
	unmap(p, member.size);
	delete(member.key);
	assert_int_equal(npheap_getsize(dev, member.key), 0);
}

static const struct CMUnitTest limits_tests[] = {
	LIMIT_TEST(limits_default_is_a_quarter_of_memory),
	LIMIT_TEST(limits_bytes_are_kept),
	LIMIT_TEST(limits_objects_are_kept),
	LIMIT_TEST(limits_do_not_hinder_attaching),
	LIMIT_TEST(limits_may_be_lowered),
	LIMIT_TEST(limits_count_deleted_memory),
	LIMIT_TEST(limits_refuse_what_is_no_number),
	LIMIT_TEST(limits_are_for_root_to_set),
	LIMIT_TEST(limits_leave_room_for_the_only_object),
	LIMIT_TEST(limits_leave_room_for_the_only_bytes),
	LIMIT_TEST(limits_are_never_exceeded),
	LIMIT_TEST(limits_end_where_memory_ends),
	LIMIT_TEST(limits_leave_memory_to_the_system),
	LIMIT_TEST(limits_forget_a_killed_creator),
	LIMIT_TEST(limits_waiter_of_a_killed_creator_goes_on),
	LIMIT_TEST(limits_charge_the_creators_cgroup),
	LIMIT_TEST(limits_charge_many_small_objects),
	LIMIT_TEST(limits_charge_lock_records_and_watches),
	LIMIT_TEST(limits_charge_users_and_readers),
	LIMIT_TEST(limits_charge_threads_and_processes),
	LIMIT_TEST(limits_charge_objects_without_memory),
	LIMIT_TEST(limits_of_a_cgroup_are_enomem),
	LIMIT_TEST(limits_of_a_cgroup_end_growth),
	LIMIT_TEST(limits_do_not_charge_who_attaches),
	LIMIT_TEST(limits_outlive_their_cgroup),
};

int main(void)
{
	limits_keep();
	max_bytes = heap_stat("max_bytes");
	max_objects = heap_stat("max_objects");
	return test_main(limits_tests);
}
