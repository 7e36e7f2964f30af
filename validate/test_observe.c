// SPDX-License-Identifier: GPL-2.0-or-later
/* What an administrator sees: sysfs, /proc/npheap, tracepoints, the device. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "object.h"

#define SYSFS "/sys/class/misc/npheap/"

/* ------------------------------------------------------------------ sysfs */

enum { BYTES, DELETED, OBJECTS, LOCKS, HELD, CREATES, ATTACHES, MAPPINGS,
       DELETES, FAULTS, ACQUIRES, CONTENDED, RECOVERED, NOTIFIES, STATS };

static const char *const names[STATS] = {
	"bytes", "deleted_bytes", "objects", "locks", "locks_held", "creates",
	"attaches", "mappings", "deletes", "faults", "lock_acquires",
	"lock_contended", "lock_recovered", "notifies",
};

struct stats {
	long long value[STATS];
};

static struct stats stats_now(void)
{
	struct stats stats;
	int i;

	for (i = 0; i < STATS; i++)
		stats.value[i] = heap_stat(names[i]);
	return stats;
}

/* Every number but those named in the list of (number, change) as before. */
static void assert_changes(struct stats *before, ...)
{
	struct stats now = stats_now();
	va_list args;
	int i;

	va_start(args, before);
	while ((i = va_arg(args, int)) >= 0)
		before->value[i] += va_arg(args, int);
	va_end(args);
	for (i = 0; i < STATS; i++) {
		if (now.value[i] != before->value[i])
			printf("# %s: %lld, expected: %lld\n", names[i],
			       now.value[i], before->value[i]);
		assert_int_equal(now.value[i], before->value[i]);
	}
	*before = now;
}

static void observe_life_of_an_object(void **state)
{
	uint64_t key = test_key();
	struct stats stats = stats_now();
	char *p, *q;

	(void)state;
	p = map_key(key, 3 * page);
	assert_changes(&stats, OBJECTS, 1, BYTES, (int)(3 * page), CREATES, 1,
		       ATTACHES, 1, MAPPINGS, 1, -1);
	q = map_key(key, 5 * page);
	assert_changes(&stats, ATTACHES, 1, MAPPINGS, 1, -1);
	size_by_ioctl(key);
	assert_changes(&stats, -1);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_changes(&stats, DELETES, 1, DELETED, (int)(3 * page), -1);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_changes(&stats, -1);
	unmap(q, 5 * page);
	assert_changes(&stats, MAPPINGS, -1, -1);
	unmap(p, 3 * page);
	assert_changes(&stats, OBJECTS, -1, BYTES, (int)(-3 * page), DELETED,
		       (int)(-3 * page), MAPPINGS, -1, -1);
}

static void observe_unmapped_object(void **state)
{
	uint64_t key = test_key();
	struct stats stats = stats_now();

	(void)state;
	unmap(map_key(key, page), page);
	assert_changes(&stats, OBJECTS, 1, BYTES, (int)page, CREATES, 1,
		       ATTACHES, 1, -1);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_changes(&stats, OBJECTS, -1, BYTES, (int)-page, DELETES, 1, -1);
}

static void observe_failures_count_nothing(void **state)
{
	struct stats stats = stats_now();
	uint64_t key = test_key();

	(void)state;
	assert_errno(npheap_alloc(dev, key, 0), EINVAL);
	assert_errno(npheap_alloc(dev, 1ULL << 51, page), EOVERFLOW);
	assert_errno(npheap_alloc(dev, key, 1ULL << 46), ENOSPC);
	assert_errno(unlock_by_ioctl(key), EPERM);
	assert_changes(&stats, -1);
}

static void observe_faults_are_counted(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 2 * page);
	long long faults = heap_stat("faults");

	(void)state;
	p[0] = 1;
	assert_int_equal(heap_stat("faults"), faults + 1);
	/* The first fault mapped this page, too. */
	p[page] = 1;
	assert_int_equal(heap_stat("faults"), faults + 1);
	unmap(p, 2 * page);
	assert_int_equal(npheap_delete(dev, key), 0);
}

static int lock_and_die(void *arg)
{
	child_check(lock_by_ioctl(*(uint64_t *)arg) == 0);
	raise(SIGKILL);
	return 0;
}

static int lock_and_unlock(void *arg)
{
	child_check(lock_by_ioctl(*(uint64_t *)arg) == 0);
	child_check(unlock_by_ioctl(*(uint64_t *)arg) == 0);
	return 0;
}

/* A child that waits for the lock, which the caller holds. */
static pid_t spawn_waiter(uint64_t *key)
{
	long long contended = heap_stat("lock_contended");
	pid_t pid = spawn(lock_and_unlock, key);
	long long limit = now_ms() + 10000;

	while (heap_stat("lock_contended") == contended && now_ms() < limit)
		usleep(1000);
	return pid;
}

static void observe_locks(void **state)
{
	uint64_t key = test_key();
	struct stats stats = stats_now();
	pid_t pid;

	(void)state;
	assert_int_equal(lock_by_ioctl(key), 0);
	assert_changes(&stats, LOCKS, 1, HELD, 1, ACQUIRES, 1, -1);
	assert_errno(lock_by_ioctl(key), EDEADLK);
	assert_changes(&stats, -1);
	pid = spawn_waiter(&key);
	assert_changes(&stats, CONTENDED, 1, -1);
	assert_int_equal(unlock_by_ioctl(key), 0);
	expect_exit(pid, 0);
	/* The record stays, for this thread knows it. */
	assert_changes(&stats, HELD, -1, ACQUIRES, 1, -1);
	expect_death(lock_and_die, &key, SIGKILL);
	assert_changes(&stats, ACQUIRES, 1, RECOVERED, 1, -1);
}

/* Those that the kernel never saw: taken by the record alone. */
static void observe_locks_that_are_held(void **state)
{
	struct npheap *heap;
	struct stats stats;
	uint64_t key = test_key();
	int i;

	(void)state;
	assert_int_equal(npheap_open(NULL, 0, &heap), 0);
	/* The first time tells the thread where the record is. */
	for (i = 0; i < 100; i++) {
		assert_int_equal(npheap_acquire(heap, key + i), 0);
		assert_int_equal(npheap_release(heap, key + i), 0);
	}
	stats = stats_now();
	for (i = 0; i < 100; i++)
		assert_int_equal(npheap_acquire(heap, key + i), 0);
	assert_changes(&stats, HELD, 100, -1);
	for (i = 0; i < 50; i++)
		assert_int_equal(npheap_release(heap, key + i), 0);
	assert_int_equal(npheap_acquire_with(heap, key, NPHEAP_SHARED,
					     NPHEAP_FOREVER), 0);
	stats.value[ACQUIRES] = heap_stat("lock_acquires");
	assert_changes(&stats, HELD, -49, -1);
	assert_int_equal(npheap_release(heap, key), 0);
	for (i = 50; i < 100; i++)
		assert_int_equal(npheap_release(heap, key + i), 0);
	assert_changes(&stats, HELD, -51, -1);
	npheap_close(heap);
}

static int wait_for_event(void *arg)
{
	struct npheap_event args = { .key = *(uint64_t *)arg };

	child_check(ioctl(dev, NPHEAP_IOC_EVENT, &args) == 0);
	args.timeout = UINT64_MAX;
	return ioctl(dev, NPHEAP_IOC_WAIT, &args) ? errno : 0;
}

static long notify(uint64_t key)
{
	struct npheap_event args = { .key = key, .count = 1 };

	return ioctl(dev, NPHEAP_IOC_NOTIFY, &args);
}

/* Whether it was: a child that was not asleep yet finds another event. */
static int wake_one(uint64_t key)
{
	pid_t pid = spawn(wait_for_event, &key);
	int woken = 0;

	while (!woken && !has_ended(pid)) {
		woken = notify(key);
		usleep(1000);
	}
	expect_exit(pid, 0);
	return woken;
}

/* Notifies somebody who sleeps. */
static void wake(uint64_t key)
{
	int i;

	for (i = 0; i < 100 && !wake_one(key); i++)
		;
	assert_in_range(i, 0, 99);
}

static void observe_notifications(void **state)
{
	uint64_t key = test_key();
	struct stats stats = stats_now();
	long long before;

	(void)state;
	/* Nobody was ever interested in this key. */
	assert_int_equal(notify(key), 0);
	assert_changes(&stats, -1);
	before = stats.value[NOTIFIES];
	wake(key);
	assert_true(heap_stat("notifies") > before);
}

/* Numbers to read, limits to write, and nothing else. */
static void observe_modes_in_sysfs(void **state)
{
	struct stat st;
	int i;

	(void)state;
	for (i = 0; i < STATS; i++) {
		char path[128];

		snprintf(path, sizeof(path), SYSFS "%s", names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0444);
	}
	assert_int_equal(stat(SYSFS "max_bytes", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(stat(SYSFS "max_objects", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(stat(SYSFS "max_locks", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

/* ------------------------------------------------------------- the device */

/* As the module makes it; the machine's administrator may change that. */
static void observe_device(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(NPHEAP_DEVICE, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(major(st.st_rdev), 10);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(st.st_uid, 0);
}

/* -------------------------------------------------------------- /proc files */

#define TABLES "/proc/npheap/"

/* All of a file, read in pieces of a size; to be freed. */
static char *slurp(const char *path, size_t piece, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = malloc(1 << 20);
	ssize_t n;

	assert_true(fd >= 0);
	assert_non_null(text);
	for (*length = 0; (n = read(fd, text + *length, piece)) > 0;)
		*length += n;
	assert_int_equal(n, 0);
	text[*length] = 0;
	close(fd);
	return text;
}

/* The line of a table that begins with a key, without its end; or none. */
static int find_line(const char *path, uint64_t key, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	unsigned long long found;
	int n = 0;
	char text[256];

	assert_non_null(file);
	while (fgets(text, sizeof(text), file)) {
		if (sscanf(text, "%llu", &found) != 1 || found != key)
			continue;
		snprintf(line, size, "%s", text);
		line[strcspn(line, "\n")] = 0;
		n++;
	}
	fclose(file);
	return n;
}

static int create_and_exit(void *arg)
{
	map_key(*(uint64_t *)arg, 3 * page);
	return 0;
}

/* The line of an object of three pages, all of which it has. */
static void assert_object_line(uint64_t key, pid_t creator, int mappings)
{
	struct npheap_stat stat = { .key = key };
	char line[256] = "poison", expected[256];

	assert_int_equal(ioctl(dev, NPHEAP_IOC_STAT, &stat), 0);
	snprintf(expected, sizeof(expected),
		 "%llu\t%zu\t%d\t0\t%zu\t%d\t%llu\t%llu\t0\t0\t%zu",
		 (unsigned long long)key, 3 * page, creator, 3 * page,
		 mappings, (unsigned long long)stat.generation,
		 (unsigned long long)stat.created, 3 * page);
	assert_int_equal(find_line(TABLES "objects", key, line, 256), 1);
	assert_string_equal(line, expected);
}

static void observe_table_of_objects(void **state)
{
	uint64_t key = test_key();
	char line[256], *p, *q;
	pid_t pid;

	(void)state;
	assert_int_equal(find_line(TABLES "objects", key, line, 256), 0);
	p = map_key(key, 3 * page);
	assert_object_line(key, getpid(), 1);
	q = map_key(key, page);
	assert_object_line(key, getpid(), 2);
	unmap(q, page);
	assert_object_line(key, getpid(), 1);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(find_line(TABLES "objects", key, line, 256), 0);
	unmap(p, 3 * page);
	/* It says who the creator was, also when that is gone. */
	pid = spawn(create_and_exit, &key);
	expect_exit(pid, 0);
	assert_object_line(key, pid, 0);
	assert_int_equal(npheap_delete(dev, key), 0);
}

/* Memory, flags and seals of a sparse object. */
static void observe_table_of_sparse_objects(void **state)
{
	struct npheap_create create = {
		.key = test_key(), .size = 3 * page,
		.flags = NPHEAP_CREATE_SPARSE,
	};
	struct npheap_seal seal = {
		.key = create.key, .seals = NPHEAP_SEAL_GROW,
	};
	unsigned long long resident;
	char line[256] = "poison";
	int flags, seals;
	char *p;

	(void)state;
	assert_int_equal(ioctl(dev, NPHEAP_IOC_CREATE, &create), 0);
	assert_int_equal(ioctl(dev, NPHEAP_IOC_SEAL, &seal), 0);
	p = map_key(create.key, page);
	p[0] = 1;
	assert_int_equal(find_line(TABLES "objects", create.key, line, 256), 1);
	assert_int_equal(sscanf(line, "%*u %*u %*d %*u %llu %*d %*u %*u %d %d",
				&resident, &flags, &seals), 3);
	assert_int_equal(resident, page);
	assert_int_equal(flags, NPHEAP_CREATE_SPARSE);
	assert_int_equal(seals, NPHEAP_SEAL_GROW);
	unmap(p, page);
	assert_int_equal(npheap_delete(dev, create.key), 0);
}

static int map_and_wait(void *arg)
{
	struct gate *gates = arg;

	/* Twice, and named once nevertheless. */
	map_key(gates[0].value, page);
	map_key(gates[0].value, 2 * page);
	gate_add(&gates[1], 1);
	gate_wait(&gates[2], 1);
	return 0;
}

/* Memory that nobody finds any more, and who keeps it. */
static void observe_table_of_the_deleted(void **state)
{
	struct gate *gates = gate_new();
	char line[256] = "poison", ours[64], theirs[64];
	uint64_t key = test_key();
	pid_t pid;
	char *p;

	(void)state;
	/* A key that fits into a gate. */
	key %= 1u << 30;
	gates[0].value = key;
	p = map_key(key, 2 * page);
	pid = spawn(map_and_wait, gates);
	gate_wait(&gates[1], 1);
	assert_int_equal(find_line(TABLES "deleted", key, line, 256), 0);
	assert_int_equal(npheap_delete(dev, key), 0);
	assert_int_equal(find_line(TABLES "deleted", key, line, 256), 1);
	snprintf(ours, sizeof(ours), "\t%zu\t%d,%d", 2 * page, getpid(), pid);
	snprintf(theirs, sizeof(theirs), "\t%zu\t%d,%d", 2 * page, pid,
		 getpid());
	if (!strstr(line, ours) && !strstr(line, theirs))
		printf("# %s\n", line);
	assert_true(strstr(line, ours) || strstr(line, theirs));
	unmap(p, 2 * page);
	snprintf(theirs, sizeof(theirs), "\t%zu\t%d", 2 * page, pid);
	assert_int_equal(find_line(TABLES "deleted", key, line, 256), 1);
	assert_string_equal(strrchr(line, '\t') - (strchr(theirs + 1, '\t') -
						    theirs), theirs);
	gate_add(&gates[2], 1);
	expect_exit(pid, 0);
	assert_int_equal(find_line(TABLES "deleted", key, line, 256), 0);
}

/* Marks what a table lists; asserts that it lists nothing twice. */
static int mark_keys(const char *text, uint64_t first, int count)
{
	char *seen = calloc(count, 1);
	int n = 0;

	assert_non_null(seen);
	for (text = strchr(text, '\n'); text && text[1];
	     text = strchr(text + 1, '\n')) {
		uint64_t key = strtoull(text + 1, NULL, 10);

		if (key < first || key >= first + count)
			continue;
		assert_int_equal(seen[key - first], 0);
		seen[key - first] = 1;
		n++;
	}
	free(seen);
	return n;
}

enum { DELETED_OBJECTS = 400 };

/* Nothing that is there all the time is missed, whatever goes meanwhile. */
static void observe_the_deleted_while_they_go(void **state)
{
	char *maps[DELETED_OBJECTS], text[1 << 16];
	int i, fd = open(TABLES "deleted", O_RDONLY);
	uint64_t key = test_key();
	ssize_t n, length;

	(void)state;
	assert_true(fd >= 0);
	for (i = 0; i < DELETED_OBJECTS; i++) {
		maps[i] = map_key(key + i, page);
		assert_int_equal(npheap_delete(dev, key + i), 0);
	}
	length = read(fd, text, 2000);
	assert_int_equal(length, 2000);
	/* The first ones are among those that have been read. */
	for (i = 0; i < 40; i++)
		unmap(maps[i], page);
	while ((n = read(fd, text + length, 2000)) > 0)
		length += n;
	assert_int_equal(n, 0);
	text[length] = 0;
	close(fd);
	assert_int_equal(mark_keys(text, key, DELETED_OBJECTS),
			 DELETED_OBJECTS);
	for (i = 40; i < DELETED_OBJECTS; i++)
		unmap(maps[i], page);
}

static int delete_what_is_mapped(void *arg)
{
	struct gate *done = arg, *stop = done + 1;
	uint64_t key = test_key();
	char *older = map_key(key, page), *p;

	while (!stop->value) {
		/* Two at a time, so that it is not always the newest that goes. */
		p = map_key(key + 1, page);
		child_check(!npheap_delete(dev, key));
		unmap(older, page);
		older = p;
		key++;
		gate_add(done, 1);
	}
	child_check(!npheap_delete(dev, key));
	return 0;
}

enum { DELETERS = 4, DELETIONS = 2000 };

/* Readers and deleters do not get into each other's way. */
static void observe_the_deleted_under_load(void **state)
{
	struct gate *done = gate_new(), *stop = done + 1;
	long long end = now_ms() + 3000;
	pid_t pids[DELETERS];
	size_t length;
	char *text;
	int i;

	(void)state;
	for (i = 0; i < DELETERS; i++)
		pids[i] = spawn(delete_what_is_mapped, done);
	while (done->value < DELETIONS && now_ms() < end)
		free(slurp(TABLES "deleted", 4096, &length));
	gate_add(stop, 1);
	for (i = 0; i < DELETERS; i++)
		expect_exit(pids[i], 0);
	text = slurp(TABLES "deleted", 4096, &length);
	assert_ptr_equal(strchr(text, '\n') + 1, text + length);
	free(text);
	munmap(done, sizeof(*done));
}

static int create_as_other(void *arg)
{
	child_check(setgid(1234) == 0 && setuid(1234) == 0);
	return create_and_exit(arg);
}

static void observe_table_says_whose_an_object_is(void **state)
{
	uint64_t key = test_key();
	char line[256] = "poison";
	unsigned int uid;

	(void)state;
	expect_exit(spawn(create_as_other, &key), 0);
	assert_int_equal(find_line(TABLES "objects", key, line, 256), 1);
	assert_int_equal(sscanf(line, "%*u %*u %*d %u", &uid), 1);
	assert_int_equal(uid, 1234);
	assert_int_equal(npheap_delete(dev, key), 0);
}

static void observe_table_of_locks(void **state)
{
	char line[256] = "poison", expected[256];
	uint64_t key = test_key();
	pid_t pid;

	(void)state;
	assert_int_equal(find_line(TABLES "locks", key, line, 256), 0);
	assert_int_equal(lock_by_ioctl(key), 0);
	snprintf(expected, sizeof(expected), "%llu\t%d\t%d\t0\t0",
		 (unsigned long long)key, getpid(), 0);
	assert_int_equal(find_line(TABLES "locks", key, line, 256), 1);
	assert_string_equal(line, expected);
	pid = spawn_waiter(&key);
	snprintf(expected, sizeof(expected), "%llu\t%d\t%d\t0\t0",
		 (unsigned long long)key, getpid(), 1);
	assert_int_equal(find_line(TABLES "locks", key, line, 256), 1);
	assert_string_equal(line, expected);
	assert_int_equal(unlock_by_ioctl(key), 0);
	expect_exit(pid, 0);
	assert_int_equal(find_line(TABLES "locks", key, line, 256), 0);
}

#define COUNTS "/sys/kernel/debug/npheap/locks"

/* Returns the event, which begins anywhere. */
static unsigned long long assert_counts(uint64_t key, unsigned int contended,
					unsigned int recovered)
{
	unsigned int found_contended, found_recovered, sleepers, watches;
	unsigned long long event;
	char line[256] = "";

	assert_int_equal(find_line(COUNTS, key, line, sizeof(line)), 1);
	assert_int_equal(sscanf(line, "%*u\t%u\t%u\t%llu\t%u\t%u",
				&found_contended, &found_recovered, &event,
				&sleepers, &watches), 5);
	assert_int_equal(found_contended, contended);
	assert_int_equal(found_recovered, recovered);
	assert_int_equal(sleepers, 0);
	assert_int_equal(watches, 0);
	return event;
}

static void observe_counts_of_a_lock(void **state)
{
	unsigned long long event;
	uint64_t key = test_key();
	pid_t pid;

	(void)state;
	if (access(COUNTS, R_OK)) {
		printf("# debugfs is not mounted\n");
		skip();
	}
	assert_int_equal(lock_by_ioctl(key), 0);
	event = assert_counts(key, 0, 0);
	pid = spawn_waiter(&key);
	assert_counts(key, 1, 0);
	assert_int_equal(unlock_by_ioctl(key), 0);
	expect_exit(pid, 0);
	expect_death(lock_and_die, &key, SIGKILL);
	assert_int_equal(assert_counts(key, 1, 1), event);
	assert_int_equal(notify(key), 0);
	assert_int_equal(assert_counts(key, 1, 1), event + 2);
}

static void observe_tables_have_headers(void **state)
{
	const char *const objects = "key\tsize\tcreator\tuid\tresident\t"
		"mappings\tgeneration\tcreated\tflags\tseals\tmax_size\n";
	const char *const deleted = "key\tgeneration\tbytes\tpids\n";
	const char *const locks = "key\tholder\twaiters\treaders\tmarked\n";
	size_t length;
	char *text = slurp(TABLES "objects", 4096, &length);

	(void)state;
	assert_memory_equal(text, objects, strlen(objects));
	free(text);
	text = slurp(TABLES "deleted", 4096, &length);
	assert_memory_equal(text, deleted, strlen(deleted));
	free(text);
	text = slurp(TABLES "locks", 4096, &length);
	assert_memory_equal(text, locks, strlen(locks));
	free(text);
}

static int read_tables_as_nobody(void *arg)
{
	(void)arg;
	child_check(setgid(65534) == 0 && setuid(65534) == 0);
	child_check(open(TABLES "objects", O_RDONLY) < 0 && errno == EACCES);
	child_check(open(TABLES "locks", O_RDONLY) < 0 && errno == EACCES);
	child_check(open(TABLES "deleted", O_RDONLY) < 0 && errno == EACCES);
	return 0;
}

static void observe_tables_are_for_root(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(TABLES "objects", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(stat(TABLES "locks", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	expect_exit(spawn(read_tables_as_nobody, NULL), 0);
	assert_int_equal(open(TABLES "objects", O_RDWR | O_TRUNC) < 0 ||
			 write_text(TABLES "objects", "x") < 0, 1);
}

enum { MANY = 2500, ENOUGH = 300 };

/* Thousands where that is quick: debug kernels take their time. */
static int create_many(uint64_t key)
{
	long long limit = now_ms() + 1000;
	int i;

	for (i = 0; i < ENOUGH || (i < MANY && now_ms() < limit); i++)
		unmap(map_key(key + i, page), page);
	/* The hash table grows a little later; that is not what is tested. */
	usleep(200000);
	return i;
}

static void delete_many(uint64_t key, int count)
{
	while (count--)
		assert_int_equal(npheap_delete(dev, key + count), 0);
}

/* However it is read, each line comes once, and whole. */
static void observe_long_table_in_small_pieces(void **state)
{
	const size_t pieces[] = { 1, 7, 100, 4096, 65536 };
	uint64_t key = test_key();
	char *whole, *text;
	size_t length, i, n;
	int count;

	(void)state;
	count = create_many(key);
	whole = slurp(TABLES "objects", 1 << 19, &length);
	assert_int_equal(mark_keys(whole, key, count), count);
	for (i = 0; i < 5; i++) {
		text = slurp(TABLES "objects", pieces[i], &n);
		assert_int_equal(n, length);
		assert_string_equal(text, whole);
		free(text);
	}
	free(whole);
	delete_many(key, count);
}

/* Back to the start and to places in the middle. */
static void observe_table_after_lseek(void **state)
{
	uint64_t key = test_key();
	char *whole, piece[512];
	size_t length, at;
	int count, fd;

	(void)state;
	count = create_many(key);
	whole = slurp(TABLES "objects", 4096, &length);
	fd = open(TABLES "objects", O_RDONLY);
	assert_true(fd >= 0);
	for (at = length - 600; at > 600; at = at / 3) {
		memset(piece, 0xa5, sizeof(piece));
		assert_int_equal(lseek(fd, at, SEEK_SET), at);
		assert_int_equal(read(fd, piece, 512), 512);
		assert_memory_equal(piece, whole + at, 512);
		assert_int_equal(pread(fd, piece, 512, 0), 512);
		assert_memory_equal(piece, whole, 512);
	}
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(read(fd, piece, 100), 100);
	assert_memory_equal(piece, whole, 100);
	assert_int_equal(pread(fd, piece, 512, length + 1000), 0);
	close(fd);
	free(whole);
	delete_many(key, count);
}

static int churn_objects(void *arg)
{
	uint64_t key = *(uint64_t *)arg;

	for (;;) {
		void *p = npheap_alloc(dev, key, page);

		child_check(p != MAP_FAILED);
		child_check(munmap(p, page) == 0);
		child_check(lock_by_ioctl(key) == 0);
		child_check(unlock_by_ioctl(key) == 0);
		child_check(npheap_delete(dev, key) == 0);
	}
	return 0;
}

/* What comes and goes meanwhile does not hide what stays. */
static void observe_table_that_changes(void **state)
{
	uint64_t key = test_key(), other = test_key();
	pid_t pid = spawn(churn_objects, &other);
	char *text, line[256];
	size_t length;
	int i;

	(void)state;
	for (i = 0; i < 50; i++)
		unmap(map_key(key + i, page), page);
	usleep(50000);
	for (i = 0; i < 60; i++) {
		text = slurp(TABLES "objects", 64, &length);
		assert_int_equal(mark_keys(text, key, 50), 50);
		free(text);
		find_line(TABLES "locks", other, line, sizeof(line));
	}
	kill_and_reap(pid);
	for (i = 0; i < 50; i++)
		assert_int_equal(npheap_delete(dev, key + i), 0);
	assert_int_equal(npheap_delete(dev, other), 0);
}

enum { IDLE_LOCKS = 100000, WALKS = 5, LONG_WALK_MS = 30 };

static int spin_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		;
	return 0;
}

static long long cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* How often it lost the processor to somebody. */
static long preemptions(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_nivcsw;
}

/* One read(2) that finds no line in tens of thousands of records. */
static void observe_long_walk_gives_way(void **state)
{
	long long ms, limit = heap_stat("max_locks"), end = now_ms() + 3000;
	uint64_t key = test_key();
	cpu_set_t before;
	size_t length;
	long lost;
	pid_t pid;
	int i;

	(void)state;
	heap_set("max_locks", heap_stat("locks") + IDLE_LOCKS + 8);
	for (i = 0; i < IDLE_LOCKS && now_ms() < end; i++) {
		assert_int_equal(lock_by_ioctl(key + i), 0);
		assert_int_equal(unlock_by_ioctl(key + i), 0);
	}
	use_one_cpu(&before);
	pid = spawn(spin_for_ever, NULL);
	ms = cpu_ms();
	lost = preemptions();
	for (i = 0; i < WALKS; i++)
		free(slurp(TABLES "locks", 4096, &length));
	lost = preemptions() - lost;
	ms = cpu_ms() - ms;
	kill_and_reap(pid);
	sched_setaffinity(0, sizeof(before), &before);
	heap_set("max_locks", limit);
	printf("# lost the processor %ld times in %lld ms\n", lost, ms);
	/* At the end of a call each kernel may switch, and each walk is two. */
	if (ms < WALKS * LONG_WALK_MS)
		skip();
	assert_true(lost > 2 * WALKS);
}

/* ------------------------------------------------------------ tracepoints */

static const char *tracefs(void)
{
	static const char *const places[] = {
		"/sys/kernel/tracing", "/sys/kernel/debug/tracing",
	};
	char path[128];
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/events/npheap/enable",
			 places[i]);
		if (!access(path, W_OK))
			return places[i];
	}
	printf("# no tracefs with events of npheap\n");
	skip();
	return NULL;
}

static int write_tracefs(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", tracefs(), name);
	return write_text(path, text);
}

static void clear_trace(void)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/trace", tracefs());
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	close(fd);
}

static void assert_traced(const char *trace, const char *event, uint64_t key,
			  const char *rest)
{
	char expected[160];

	snprintf(expected, sizeof(expected), " npheap_%s: key=%llu%s", event,
		 (unsigned long long)key, rest);
	if (!strstr(trace, expected))
		printf("# not in the trace:%s\n", expected);
	assert_non_null(strstr(trace, expected));
}

/* Does what each of the events tells of, all to one key. */
static void make_events(uint64_t key)
{
	char *p = map_key(key, 2 * page);
	pid_t pid;

	p[page] = 1;
	assert_int_equal(lock_by_ioctl(key), 0);
	pid = spawn_waiter(&key);
	assert_int_equal(unlock_by_ioctl(key), 0);
	expect_exit(pid, 0);
	expect_death(lock_and_die, &key, SIGKILL);
	wake(key);
	assert_int_equal(npheap_delete(dev, key), 0);
	unmap(p, 2 * page);
}

static char *trace_of(uint64_t key)
{
	char path[128];
	size_t length;

	clear_trace();
	assert_int_equal(write_tracefs("events/npheap/enable", "1"), 0);
	make_events(key);
	assert_int_equal(write_tracefs("events/npheap/enable", "0"), 0);
	snprintf(path, sizeof(path), "%s/trace", tracefs());
	return slurp(path, 4096, &length);
}

static void observe_tracepoints(void **state)
{
	uint64_t key = (1ULL << 45) + test_key();
	char size[32], *trace;

	(void)state;
	tracefs();
	trace = trace_of(key);
	snprintf(size, sizeof(size), " size=%zu\n", 2 * page);
	assert_traced(trace, "create", key, size);
	assert_traced(trace, "attach", key, size);
	assert_traced(trace, "delete", key, size);
	assert_traced(trace, "fault", key, " page=1 ");
	assert_traced(trace, "lock_acquired", key, "\n");
	snprintf(size, sizeof(size), " holder=%d\n", getpid());
	assert_traced(trace, "lock_contended", key, size);
	assert_traced(trace, "notify", key, " woken=1\n");
	assert_traced(trace, "lock_released", key, "\n");
	assert_traced(trace, "owner_death", key, "\n");
	free(trace);
	clear_trace();
}

/* Events that are off tell nothing, and so do other keys. */
static void observe_tracepoints_can_be_off(void **state)
{
	uint64_t key = (1ULL << 45) + test_key();
	char path[128], *trace;
	size_t length;

	(void)state;
	clear_trace();
	make_events(key);
	snprintf(path, sizeof(path), "%s/trace", tracefs());
	trace = slurp(path, 4096, &length);
	assert_null(strstr(trace, "npheap_"));
	free(trace);
}

/* --------------------------------------------------------------- kernel log */

/* Nothing that a caller does, right or wrong, is logged. */
static void observe_silence_in_the_log(void **state)
{
	size_t before = log_lines_of_npheap();
	uint64_t key = test_key();

	(void)state;
	make_events(key);
	assert_errno(unlock_by_ioctl(key), EPERM);
	assert_errno(npheap_alloc(dev, key, 0), EINVAL);
	assert_errno(npheap_alloc(dev, key, 1ULL << 46), ENOSPC);
	assert_errno(npheap_alloc(dev, 1ULL << 51, 1), EOVERFLOW);
	assert_errno(ioctl(dev, NPHEAP_IOCTL_GETSIZE, NULL), EFAULT);
	assert_errno(ioctl(dev, 0x1234, NULL), ENOTTY);
	assert_int_equal(log_lines_of_npheap(), before);
}

static const struct CMUnitTest observe_tests[] = {
	TEST(observe_life_of_an_object),
	TEST(observe_unmapped_object),
	TEST(observe_failures_count_nothing),
	TEST(observe_faults_are_counted),
	TEST(observe_locks),
	TEST(observe_locks_that_are_held),
	TEST(observe_notifications),
	TEST(observe_modes_in_sysfs),
	TEST(observe_device),
	TEST(observe_table_of_objects),
	TEST(observe_table_of_sparse_objects),
	TEST(observe_table_of_the_deleted),
	TEST(observe_the_deleted_while_they_go),
	TEST(observe_the_deleted_under_load),
	TEST(observe_table_says_whose_an_object_is),
	TEST(observe_table_of_locks),
	TEST(observe_counts_of_a_lock),
	TEST(observe_tables_have_headers),
	TEST(observe_tables_are_for_root),
	TEST(observe_long_table_in_small_pieces),
	TEST(observe_table_after_lseek),
	TEST(observe_table_that_changes),
	TEST(observe_long_walk_gives_way),
	TEST(observe_tracepoints),
	TEST(observe_tracepoints_can_be_off),
	TEST(observe_silence_in_the_log),
};

int main(void)
{
	return test_main(observe_tests);
}
