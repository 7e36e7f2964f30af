// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module's life: loading, parameters, unloading at every bad moment.
 *
 * $NPHEAP_KO is the module.  Each test begins and ends with it loaded, without
 * parameters, and open as dev.  "test_module PATTERN" runs the tests that match.
 */
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "object.h"
#include "slow_file.h"

#define ROUNDS 100
#define OBJECT_SIZE (1 << 20)
#define MIB (1LL << 20)

/* What delete_module(2) says of a module that is in use. */
#define BUSY (-EWOULDBLOCK)

/* --------------------------------------------------------- load and unload */

static int load(const char *parameters)
{
	int fd = open(getenv("NPHEAP_KO"), O_RDONLY | O_CLOEXEC);
	int rc;

	assert_true(fd >= 0);
	rc = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return rc;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "npheap", O_NONBLOCK) ? -errno : 0;
}

static void open_dev(void)
{
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	assert_true(dev >= 0);
}

static void close_dev(void)
{
	assert_int_equal(close(dev), 0);
	dev = -1;
}

/* Nobody uses it: it must go at once. */
static void unload_now(void)
{
	close_dev();
	assert_int_equal(unload(), 0);
}

static void load_now(const char *parameters)
{
	assert_int_equal(load(parameters), 0);
	/* The node is there when the call returns. */
	open_dev();
}

static void reload(const char *parameters)
{
	unload_now();
	load_now(parameters);
}

/* Somebody's last reference may still be on its way. */
static void unload_soon(void)
{
	long long limit = now_ms() + 10000;
	int err;

	while ((err = unload()) == BUSY && now_ms() < limit)
		sched_yield();
	assert_int_equal(err, 0);
}

/* Children of the running test. */
static pid_t children[16];
static unsigned int nr_children;

static pid_t start(int (*body)(void *arg), void *arg)
{
	pid_t pid = spawn(body, arg);

	children[nr_children++ % 16] = pid;
	return pid;
}

/* Of a test that failed: they would keep the module busy. */
static void end_children(void)
{
	int i;

	for (i = 0; i < 16; i++) {
		if (children[i] && !waitpid(children[i], NULL, WNOHANG)) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
		}
		children[i] = 0;
	}
}

/* Also after a test that failed half way. */
static int module_restore(void **state)
{
	(void)state;
	end_children();
	if (dev >= 0)
		close(dev);
	unload();
	load("");
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	return test_end(state);
}

#define MODULE_TEST(function) \
	cmocka_unit_test_setup_teardown(function, test_begin, module_restore)

static void need_ko(void)
{
	if (getenv("NPHEAP_KO"))
		return;
	printf("# NPHEAP_KO does not say where the module is\n");
	skip();
}

/* -------------------------------------------------------------- what exists */

static int exists(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

static void assert_traces(int expected)
{
	assert_int_equal(exists("/dev/npheap"), expected);
	assert_int_equal(exists("/proc/npheap"), expected);
	assert_int_equal(exists("/proc/npheap/locks"), expected);
	assert_int_equal(exists("/sys/class/misc/npheap"), expected);
	assert_int_equal(exists("/sys/module/npheap"), expected);
}

static void module_appears_and_disappears_at_once(void **state)
{
	struct stat st;

	(void)state;
	need_ko();
	unload_now();
	assert_traces(0);
	assert_int_equal(load(""), 0);
	assert_traces(1);
	assert_int_equal(stat(NPHEAP_DEVICE, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(st.st_uid, 0);
	open_dev();
}

static void module_loads_once_only(void **state)
{
	uint64_t key = test_key();

	(void)state;
	need_ko();
	munmap(map_key(key, page), page);
	assert_int_equal(load(""), -EEXIST);
	assert_int_equal(size_by_ioctl(key), page);
	assert_traces(1);
}

static void module_starts_empty(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);

	(void)state;
	need_ko();
	strcpy(p, "of an earlier life");
	munmap(p, page);
	assert_int_equal(lock_by_ioctl(key), 0);
	reload("");
	assert_int_equal(size_by_ioctl(key), 0);
	assert_int_equal(heap_stat("objects"), 0);
	assert_int_equal(heap_stat("bytes"), 0);
	assert_int_equal(heap_stat("locks"), 0);
	assert_int_equal(heap_stat("lock_acquires"), 0);
	assert_errno(unlock_by_ioctl(key), EPERM);
	p = map_key(key, page);
	assert_int_equal(p[0], 0);
	munmap(p, page);
}

/*
 * Binds that many keys as a member of the group; @arg: what that is charged.  Each
 * processor keeps up to 256 KiB that it has charged in advance: it takes many keys
 * for the table to be more than that.
 */
enum { BOUND_KEYS = 30000 };

static int bind_as_member(void *arg)
{
	struct npheap_bind args = { .key = test_key() };
	long long before, *charged = arg;
	int i;

	child_check(enter_group() == 0);
	before = read_number(GROUP "/memory.current");
	for (i = 0; i < BOUND_KEYS; i++, args.key++)
		child_check(!ioctl(dev, NPHEAP_IOC_BIND, &args));
	*charged = read_number(GROUP "/memory.current") - before;
	return 0;
}

/*
 * The table grows with the number of records, and stays: who comes second is
 * charged for records only, of which there are 64 bytes each in the table.
 */
static void module_charges_its_table(void **state)
{
	long long *charged = share(2 * sizeof(*charged));
	int tries;

	(void)state;
	need_ko();
	need_group();
	reload("");
	expect_exit(spawn(bind_as_member, &charged[0]), 0);
	for (tries = 0; tries < 100 && read_number(GROUP "/memory.current") >
	     charged[0] * 2 / 3; tries++)
		sleep_ms(100);
	expect_exit(spawn(bind_as_member, &charged[1]), 0);
	printf("# charged %lld bytes, then %lld\n", charged[0], charged[1]);
	assert_true(charged[0] - charged[1] >= BOUND_KEYS * 50LL);
	reload("");
	assert_int_equal(rmdir(GROUP), 0);
}

/* -------------------------------------------------------------- 100 rounds */

/* 1 if the module's slab cache exists, 0 if not, -1 if nobody can tell. */
static int slab_exists(void)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[512];
	int found = 0;

	if (!file)
		return -1;
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, "npheap_object ", 14);
	fclose(file);
	return found;
}

static void module_takes_its_slab_cache_along(void **state)
{
	(void)state;
	need_ko();
	if (slab_exists() < 0) {
		printf("# no /proc/slabinfo\n");
		skip();
	}
	munmap(map_key(test_key(), page), page);
	assert_int_equal(slab_exists(), 1);
	unload_now();
	assert_int_equal(slab_exists(), 0);
	load_now("");
}

struct holder {
	uint64_t key;
	int locks;
	struct gate *holding;
	struct gate *go;
};

/* Holds locks without a descriptor, from one life of the module to the next. */
static int hold_without_descriptor(void *arg)
{
	struct holder *holder = arg;
	int i;

	for (i = 0; i < holder->locks; i++)
		child_check(!lock_by_ioctl(holder->key + i));
	close(dev);
	gate_add(holder->holding, 1);
	gate_wait(holder->go, 1);
	return 0;
}

static struct holder holder_new(int locks)
{
	return (struct holder){ .key = test_key(), .locks = locks,
				.holding = gate_new(), .go = gate_new() };
}

static void holder_free(struct holder *holder)
{
	munmap(holder->holding, sizeof(*holder->holding));
	munmap(holder->go, sizeof(*holder->go));
}

static void leave_objects_behind(uint64_t key)
{
	char *p = map_key(key, OBJECT_SIZE);

	memset(p, 0xa5, OBJECT_SIZE);
	munmap(p, OBJECT_SIZE);
	munmap(map_key(key + 1000, page), page);
	munmap(map_key(key + 2000, 3 * page), 3 * page);
}

static pid_t leave_locks_behind(struct holder *holder, uint32_t round)
{
	pid_t pid = start(hold_without_descriptor, holder);

	long long limit = now_ms() + 10000;

	gate_wait(holder->holding, round + 1);
	/* While the index grows, the table may list a lock twice. */
	while (locks_in_use() != holder->locks && now_ms() < limit)
		usleep(1000);
	assert_int_equal(locks_in_use(), holder->locks);
	return pid;
}

static int has_symbol(const char *name)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[512], symbol[256];
	int found = 0;

	assert_non_null(file);
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*s %*s %255s", symbol) == 1 &&
			!strcmp(symbol, name);
	fclose(file);
	return found;
}

/* A round leaks its object at least, should it leak: 100 MiB in all. */
static void module_loads_and_unloads_100_times(void **state)
{
	struct holder holder = holder_new(10);
	pid_t pids[ROUNDS];
	long long lost, before = 0;
	int i;

	(void)state;
	need_ko();
	/* Longer than other tests may take: a debug kernel loads slowly. */
	alarm(2 * TEST_SECONDS);
	for (i = 0; i < ROUNDS; i++) {
		/* The first rounds fill caches. */
		if (i == 10)
			before = memory_left();
		leave_objects_behind(holder.key);
		pids[i] = leave_locks_behind(&holder, i);
		reload("");
		if (i < 10)
			continue;
		/* Few processes at a time, which take memory themselves. */
		kill_and_reap(pids[i - 10]);
	}
	lost = before - memory_left();
	printf("# %lld KiB less in the end\n", lost / 1024);
	/* KASAN keeps freed memory for a while: up to a part of RAM. */
	assert_true(lost < (has_symbol("kasan_report") ? 64 : 16) * MIB);
	gate_add(holder.go, 1);
	for (i = ROUNDS - 10; i < ROUNDS; i++)
		expect_exit(pids[i], 0);
	holder_free(&holder);
}

/* ------------------------------------------------------------------- busy */

static void assert_intact(uint64_t key, const char *p)
{
	assert_string_equal(p, "intact");
	assert_int_equal(size_by_ioctl(key), page);
	assert_errno(lock_by_ioctl(key), EDEADLK);
	assert_traces(1);
}

static void module_is_busy_while_open(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);

	(void)state;
	need_ko();
	strcpy(p, "intact");
	munmap(p, page);
	assert_int_equal(lock_by_ioctl(key), 0);
	assert_int_equal(unload(), BUSY);
	p = map_key(key, page);
	assert_intact(key, p);
	munmap(p, page);
}

static void module_is_busy_while_mapped(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, 2 * page);

	(void)state;
	need_ko();
	close_dev();
	strcpy(p, "intact");
	assert_int_equal(unload(), BUSY);
	assert_string_equal(p, "intact");
	/* A part of it is enough, and so is a copy in a child. */
	munmap(p + page, page);
	assert_int_equal(unload(), BUSY);
	open_dev();
	assert_int_equal(size_by_ioctl(key), 2 * page);
	close_dev();
	munmap(p, page);
	unload_soon();
	load_now("");
}

static int keep_mapping(void *arg)
{
	close(dev);
	gate_add(arg, 1);
	pause();
	return 0;
}

static void module_is_busy_while_a_child_has_a_mapping(void **state)
{
	struct gate *started = gate_new();
	uint64_t key = test_key();
	void *p = map_key(key, page);
	pid_t pid;

	(void)state;
	need_ko();
	pid = start(keep_mapping, started);
	gate_wait(started, 1);
	munmap(p, page);
	close_dev();
	assert_int_equal(unload(), BUSY);
	kill_and_reap(pid);
	unload_soon();
	load_now("");
	munmap(started, sizeof(*started));
}

/* Its key is gone; its memory and the module are not. */
static void module_is_busy_while_a_deleted_object_is_mapped(void **state)
{
	uint64_t key = test_key();
	char *p = map_key(key, page);

	(void)state;
	need_ko();
	strcpy(p, "intact");
	assert_int_equal(npheap_delete(dev, key), 0);
	close_dev();
	assert_int_equal(unload(), BUSY);
	assert_string_equal(p, "intact");
	munmap(p, page);
	unload_soon();
	load_now("");
}

/* ------------------------------------------------- unloading at bad moments */

static int map_and_pause(void *arg)
{
	char *p = mmap(NULL, OBJECT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       dev, 0);

	child_check(p != MAP_FAILED);
	memset(p, 1, OBJECT_SIZE);
	close(dev);
	gate_add(arg, 1);
	pause();
	return 0;
}

static void kill_and_unload(struct gate *started, uint32_t round)
{
	pid_t pid = start(map_and_pause, started);

	gate_wait(started, round + 1);
	close_dev();
	kill(pid, SIGKILL);
	/* Every other time not even its end is waited for. */
	if (round & 1)
		expect_signal(pid, SIGKILL);
	unload_soon();
	if (!(round & 1))
		expect_signal(pid, SIGKILL);
	load_now("");
}

/* The last references of a mapping are dropped late and in other threads. */
static void module_unloads_right_after_a_mapper_was_killed(void **state)
{
	struct gate *started = gate_new();
	uint32_t i;

	(void)state;
	need_ko();
	for (i = 0; i < 12; i++)
		kill_and_unload(started, i);
	munmap(started, sizeof(*started));
}

static int lock_and_be_killed(void *arg)
{
	int i;

	for (i = 0; i < 100; i++)
		child_check(!lock_by_ioctl(i));
	close(dev);
	gate_add(arg, 1);
	pause();
	return 0;
}

/* Unloading meets a thread that is giving its locks back. */
static void module_unloads_while_a_holder_dies(void **state)
{
	struct gate *started = gate_new();
	uint32_t i;
	pid_t pid;

	(void)state;
	need_ko();
	for (i = 0; i < 6; i++) {
		pid = start(lock_and_be_killed, started);
		gate_wait(started, i + 1);
		close_dev();
		kill(pid, SIGKILL);
		unload_soon();
		expect_signal(pid, SIGKILL);
		load_now("");
	}
	munmap(started, sizeof(*started));
}

static int lock_and_exit(void *arg)
{
	child_check(!lock_by_ioctl(*(uint64_t *)arg));
	return 0;
}

/* Its death is noted, and it comes to its locks when its files are closed. */
static void module_is_busy_while_a_holder_is_stuck_in_its_exit(void **state)
{
	uint64_t key = test_key();
	struct slow_file *file;
	pid_t pid;

	(void)state;
	need_ko();
	file = slow_file_new();
	if (!file) {
		printf("# no FUSE\n");
		skip();
	}
	pid = start(lock_and_exit, &key);
	gate_wait(&file->closes, 1);
	close_dev();
	assert_int_equal(unload(), BUSY);
	gate_add(&file->go, 1);
	expect_exit(pid, 0);
	unload_soon();
	slow_file_free(file);
	load_now("");
}

/* It holds locks of a heap that is no more; its end must not look for them. */
static void module_unloads_under_a_holder_that_exits_later(void **state)
{
	struct holder holder = holder_new(100);
	long long recovered;
	pid_t pid;

	(void)state;
	need_ko();
	pid = leave_locks_behind(&holder, 0);
	reload("");
	assert_int_equal(heap_stat("locks"), 0);
	assert_int_equal(lock_by_ioctl(holder.key), 0);
	recovered = heap_stat("lock_recovered");
	gate_add(holder.go, 1);
	expect_exit(pid, 0);
	/* Not what a thread of the new heap holds, either. */
	assert_errno(lock_by_ioctl(holder.key), EDEADLK);
	assert_int_equal(heap_stat("lock_recovered"), recovered);
	assert_int_equal(unlock_by_ioctl(holder.key), 0);
	holder_free(&holder);
}

static void module_unloads_and_the_holder_exits_without_it(void **state)
{
	struct holder holder = holder_new(100);
	pid_t pid;

	(void)state;
	need_ko();
	pid = leave_locks_behind(&holder, 0);
	unload_now();
	gate_add(holder.go, 1);
	expect_exit(pid, 0);
	load_now("");
	assert_int_equal(lock_by_ioctl(holder.key), 0);
	assert_int_equal(unlock_by_ioctl(holder.key), 0);
	holder_free(&holder);
}

/* Stays in a handler, in the middle of a wait, without a descriptor. */
static struct gate *in_handler, *leave_handler;

static void leave_descriptor_in_handler(int sig)
{
	(void)sig;
	close(dev);
	gate_add(in_handler, 1);
	gate_wait(leave_handler, 1);
}

static int wait_and_lose_the_device(void *arg)
{
	signal(SIGUSR1, leave_descriptor_in_handler);
	gate_add(in_handler, 1);
	child_check(lock_by_ioctl(*(uint64_t *)arg) == -1 && errno == EBADF);
	return 0;
}

/* Its place in the queue goes with the module; the call comes back to EBADF. */
static void module_unloads_under_an_interrupted_waiter(void **state)
{
	uint64_t key = test_key();
	pid_t pid;

	(void)state;
	need_ko();
	in_handler = gate_new();
	leave_handler = gate_new();
	assert_int_equal(lock_by_ioctl(key), 0);
	pid = start(wait_and_lose_the_device, &key);
	gate_wait(in_handler, 1);
	assert_true(wait_asleep(pid));
	kill(pid, SIGUSR1);
	gate_wait(in_handler, 2);
	reload("");
	gate_add(leave_handler, 1);
	expect_exit(pid, 0);
	assert_int_equal(heap_stat("locks"), 0);
	munmap(in_handler, sizeof(*in_handler));
	munmap(leave_handler, sizeof(*leave_handler));
}

static int open_and_read(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, &byte, 1), 1);
	return fd;
}

/* These files do not pin the module, and must not outlive it. */
static void module_unloads_under_open_tables(void **state)
{
	int locks, objects, stat;
	char byte;

	(void)state;
	need_ko();
	munmap(map_key(test_key(), page), page);
	locks = open_and_read("/proc/npheap/locks");
	objects = open_and_read("/proc/npheap/objects");
	stat = open_and_read("/sys/class/misc/npheap/locks");
	unload_now();
	assert_true(read(locks, &byte, 1) <= 0);
	assert_true(read(objects, &byte, 1) <= 0);
	assert_errno(pread(stat, &byte, 1, 0), ENODEV);
	close(locks);
	close(objects);
	close(stat);
	load_now("");
}

static int use_whenever_there(void *arg)
{
	struct gate *gates = arg;
	uint64_t key = getpid();
	void *p;

	while (!gates[0].value) {
		/* A gap for the module to go in. */
		usleep(5000);
		dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
		if (dev < 0)
			continue;
		/* It holds the lock still, where the module has not changed. */
		child_check(!lock_by_ioctl(key) || errno == EDEADLK);
		p = npheap_alloc(dev, key, page);
		child_check(p != MAP_FAILED);
		munmap(p, page);
		close(dev);
		gate_add(&gates[1], 1);
	}
	return 0;
}

/* Opens, locks and maps race with loading and unloading. */
static void module_unloads_among_users_that_come_and_go(void **state)
{
	struct gate *gates = gate_new();
	int i, lives;
	pid_t pids[3];

	(void)state;
	need_ko();
	close_dev();
	for (i = 0; i < 3; i++)
		pids[i] = start(use_whenever_there, gates);
	for (lives = 0; lives < 5; lives++) {
		unload_soon();
		assert_int_equal(load(""), 0);
		gate_wait(&gates[1], gates[1].value + 1);
	}
	gate_add(&gates[0], 1);
	for (i = 0; i < 3; i++)
		expect_exit(pids[i], 0);
	open_dev();
	munmap(gates, sizeof(*gates));
}

/* -------------------------------------------------------------- parameters */

static void assert_alloc(uint64_t key, size_t size, int expected)
{
	void *p = npheap_alloc(dev, key, size);

	if (!expected) {
		assert_ptr_not_equal(p, MAP_FAILED);
		munmap(p, size);
		return;
	}
	assert_ptr_equal(p, MAP_FAILED);
	assert_int_equal(errno, expected);
	assert_int_equal(size_by_ioctl(key), 0);
}

static void module_parameter_max_bytes(void **state)
{
	char text[32];

	(void)state;
	need_ko();
	snprintf(text, sizeof(text), "max_bytes=%zu", 2 * page);
	reload(text);
	assert_int_equal(heap_stat("max_bytes"), 2 * page);
	assert_int_equal(read_number("/sys/module/npheap/parameters/max_bytes"),
			 2 * page);
	assert_alloc(1, 3 * page, ENOSPC);
	assert_alloc(1, 2 * page, 0);
	assert_alloc(2, page, ENOSPC);
	/* Sums of limits and usage must not overflow. */
	reload("max_bytes=18446744073709551615");
	assert_int_equal(heap_stat("max_bytes"), INT64_MAX);
	reload("");
}

static void module_parameter_max_objects(void **state)
{
	(void)state;
	need_ko();
	reload("max_objects=1");
	assert_int_equal(heap_stat("max_objects"), 1);
	assert_alloc(1, page, 0);
	assert_alloc(2, page, ENOSPC);
	assert_alloc(1, page, 0);
	reload("");
}

static void module_parameter_max_locks(void **state)
{
	(void)state;
	need_ko();
	reload("max_locks=1");
	assert_int_equal(heap_stat("max_locks"), 1);
	assert_int_equal(lock_by_ioctl(1), 0);
	assert_errno(lock_by_ioctl(2), ENOSPC);
	assert_int_equal(unlock_by_ioctl(1), 0);
	assert_int_equal(lock_by_ioctl(2), 0);
	assert_int_equal(unlock_by_ioctl(2), 0);
	reload("");
}

static void *map_executable(void)
{
	return mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_SHARED, dev, page);
}

static void module_parameter_allow_exec(void **state)
{
	unsigned char *data;
	void *code;

	(void)state;
	need_ko();
	errno = 0;
	assert_ptr_equal(map_executable(), MAP_FAILED);
	assert_int_equal(errno, EACCES);
	assert_int_equal(size_by_ioctl(1), 0);
	reload("allow_exec=1");
	code = map_executable();
	assert_ptr_not_equal(code, MAP_FAILED);
	data = map_key(1, page);
#ifdef __x86_64__
	data[0] = 0xc3; /* ret */
	((void (*)(void))code)();
#endif
	munmap(data, page);
	munmap(code, page);
}

static void module_parameters_have_defaults(void **state)
{
	long long pages;

	(void)state;
	need_ko();
	reload("");
	pages = heap_stat("max_bytes") / page;
	/* A quarter of RAM, of which the kernel hides a little. */
	assert_in_range(pages, sysconf(_SC_PHYS_PAGES) / 5,
			sysconf(_SC_PHYS_PAGES) / 3);
	assert_int_equal(heap_stat("max_objects"), pages);
	assert_int_equal(heap_stat("max_locks"), pages);
}

static void module_refuses_bad_parameters(void **state)
{
	(void)state;
	need_ko();
	unload_now();
	assert_int_equal(load("max_bytes=abc"), -EINVAL);
	assert_int_equal(load("max_objects=-1"), -EINVAL);
	assert_int_equal(load("max_locks=0x10000000000000000"), -ERANGE);
	assert_int_equal(load("allow_exec=perhaps"), -EINVAL);
	assert_traces(0);
	load_now("");
}

static const struct CMUnitTest tests[] = {
	MODULE_TEST(module_appears_and_disappears_at_once),
	MODULE_TEST(module_loads_once_only),
	MODULE_TEST(module_starts_empty),
	MODULE_TEST(module_charges_its_table),
	MODULE_TEST(module_takes_its_slab_cache_along),
	MODULE_TEST(module_loads_and_unloads_100_times),
	MODULE_TEST(module_is_busy_while_open),
	MODULE_TEST(module_is_busy_while_mapped),
	MODULE_TEST(module_is_busy_while_a_child_has_a_mapping),
	MODULE_TEST(module_is_busy_while_a_deleted_object_is_mapped),
	MODULE_TEST(module_unloads_right_after_a_mapper_was_killed),
	MODULE_TEST(module_unloads_while_a_holder_dies),
	MODULE_TEST(module_is_busy_while_a_holder_is_stuck_in_its_exit),
	MODULE_TEST(module_unloads_under_a_holder_that_exits_later),
	MODULE_TEST(module_unloads_and_the_holder_exits_without_it),
	MODULE_TEST(module_unloads_under_an_interrupted_waiter),
	MODULE_TEST(module_unloads_under_open_tables),
	MODULE_TEST(module_unloads_among_users_that_come_and_go),
	MODULE_TEST(module_parameter_max_bytes),
	MODULE_TEST(module_parameter_max_objects),
	MODULE_TEST(module_parameter_max_locks),
	MODULE_TEST(module_parameter_allow_exec),
	MODULE_TEST(module_parameters_have_defaults),
	MODULE_TEST(module_refuses_bad_parameters),
};

int main(int argc, char **argv)
{
	test_choose(argc, argv);
	return test_main(tests);
}
