// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The entry points that faults.h speaks of.  Each runs in a new process, so
 * that what is made at its first use of the heap is made every time.
 */
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "faults.h"

#define HUGE_SIZE (2UL << 20)

uint64_t fault_key;

/* What the calls share; a process has one entry. */
static char *mapped;
static size_t mapped_size;
static int descriptor = -1;
static uint64_t event;
static struct npheap_attach attached;
static struct npheap *library;

#define CALL(command, ...)						\
	ioctl(dev, command, &__VA_ARGS__)

/* ----------------------------------------------------------------- helper -- */

/* Another process, for what takes two. */
static pid_t helper;
/* How far both are; in shared memory, as a futex would be a site itself. */
static volatile unsigned int *steps;

static void await_step(unsigned int step)
{
	while (*steps < step)
		sleep_ms(1);
}

static void start_helper(int (*body)(void *arg))
{
	steps = share(sizeof(*steps));
	*steps = 0;
	helper = spawn(body, NULL);
	await_step(1);
}

static void end_helper(void)
{
	expect_exit(helper, 0);
}

/* The call may be made again: it has begun, and will sleep. */
static void await_sleep_of_parent(void)
{
	await_step(2);
	child_check(wait_asleep(getppid()));
}

/* ------------------------------------------------------------- descriptor -- */

static long call_open(void)
{
	descriptor = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	return descriptor;
}

static void before_open(void)
{
	child_check(call_open() >= 0);
}

static long call_close(void)
{
	return close(descriptor);
}

static void after_open(void)
{
	close(descriptor);
}

/* ------------------------------------------------------------------ locks -- */

static long call_join(void)
{
	struct npheap_join join;

	return ioctl(dev, NPHEAP_IOC_JOIN, &join);
}

static long call_bind(void)
{
	return CALL(NPHEAP_IOC_BIND, (struct npheap_bind){ .key = fault_key });
}

static long call_lock(void)
{
	return lock_by_ioctl(fault_key);
}

static long lock_with(uint32_t flags)
{
	return CALL(NPHEAP_IOC_LOCK, (struct npheap_lock_args){
		.key = fault_key, .timeout = UINT64_MAX, .flags = flags });
}

static long call_lock_args(void)
{
	return lock_with(NPHEAP_LOCK_TRY | NPHEAP_LOCK_REPORT);
}

static long call_lock_shared(void)
{
	return lock_with(NPHEAP_LOCK_SHARED);
}

static void before_locked(void)
{
	child_check(!call_lock());
}

static long call_unlock(void)
{
	return unlock_by_ioctl(fault_key);
}

static void after_locked(void)
{
	child_check(!call_unlock());
}

static int die_with_lock(void *arg)
{
	(void)arg;
	return (int)call_lock();
}

/* Held by this process, and told that a holder died. */
static void before_marked(void)
{
	int status;
	pid_t pid = spawn(die_with_lock, NULL);

	child_check(waitpid(pid, &status, 0) == pid && !status);
	child_check(lock_with(NPHEAP_LOCK_REPORT) == -1 &&
		    errno == EOWNERDEAD);
}

static long call_consistent(void)
{
	return ioctl(dev, NPHEAP_IOC_CONSISTENT, &fault_key);
}

static long call_break(void)
{
	return ioctl(dev, NPHEAP_IOC_BREAK, &fault_key);
}

static int hold_until_waited_for(void *arg)
{
	(void)arg;
	child_check(!call_lock());
	*steps = 1;
	await_sleep_of_parent();
	child_check(!call_unlock());
	return 0;
}

static void before_contended(void)
{
	start_helper(hold_until_waited_for);
}

static long call_lock_contended(void)
{
	*steps = 2;
	return call_lock();
}

static long call_lock_shared_contended(void)
{
	*steps = 2;
	return call_lock_shared();
}

static void after_contended(void)
{
	after_locked();
	end_helper();
}

static int bind_and_stay(void *arg)
{
	(void)arg;
	child_check(!CALL(NPHEAP_IOC_BIND,
			  (struct npheap_bind){ .key = fault_key + 1 }));
	*steps = 1;
	await_step(2);
	return 0;
}

/*
 * The first slot of the table is taken: a thread needs memory to know of a
 * record in another one, which is there by then.
 */
static void before_second(void)
{
	start_helper(bind_and_stay);
}

static void after_second(void)
{
	*steps = 2;
	end_helper();
}

static void after_locked_second(void)
{
	after_locked();
	after_second();
}

/* Breaking leaves a mark. */
static void after_broken(void)
{
	child_check(lock_with(NPHEAP_LOCK_REPORT) == -1 &&
		    errno == EOWNERDEAD);
	child_check(!call_consistent());
	child_check(!call_unlock());
}

/* ----------------------------------------------------------------- events -- */

static long call_event(void)
{
	return CALL(NPHEAP_IOC_EVENT, (struct npheap_event){ .key = fault_key });
}

static void before_event(void)
{
	struct npheap_event args = { .key = fault_key };

	child_check(!ioctl(dev, NPHEAP_IOC_EVENT, &args));
	event = args.event;
}

static long call_wait(void)
{
	return CALL(NPHEAP_IOC_WAIT, (struct npheap_event){ .key = fault_key });
}

/* A success, or it would be made again. */
static long call_wait_timeout(void)
{
	int rc = CALL(NPHEAP_IOC_WAIT, (struct npheap_event){
		.key = fault_key, .event = event, .timeout = 1 });

	return rc < 0 && errno == ETIMEDOUT ? 0 : rc;
}

static int notify_when_waited_for(void *arg)
{
	(void)arg;
	*steps = 1;
	await_sleep_of_parent();
	child_check(CALL(NPHEAP_IOC_NOTIFY, (struct npheap_event){
		.key = fault_key, .count = 1 }) == 1);
	return 0;
}

static void before_notified(void)
{
	before_event();
	start_helper(notify_when_waited_for);
}

static long call_wait_notified(void)
{
	*steps = 2;
	return CALL(NPHEAP_IOC_WAIT, (struct npheap_event){
		.key = fault_key, .event = event, .timeout = UINT64_MAX });
}

static long call_notify(void)
{
	return CALL(NPHEAP_IOC_NOTIFY, (struct npheap_event){
		.key = fault_key, .count = 1 });
}

static long call_watch(void)
{
	uint32_t flags = NPHEAP_WATCH_NONBLOCK;

	descriptor = ioctl(dev, NPHEAP_IOC_WATCH, &flags);
	return descriptor;
}

static void before_watch(void)
{
	child_check(call_watch() >= 0);
}

static long watch_set(uint32_t events)
{
	struct npheap_watch_key args = { .key = fault_key, .events = events };

	return ioctl(descriptor, NPHEAP_IOC_WATCH_SET, &args);
}

static long call_watch_set(void)
{
	return watch_set(NPHEAP_WATCH_NOTIFY);
}

static long call_watch_forget(void)
{
	return watch_set(0);
}

static void before_watched(void)
{
	before_watch();
	child_check(!call_watch_set());
}

static void before_told(void)
{
	before_watched();
	child_check(call_notify() >= 0);
}

/* What is told once must be told again after a failure. */
static long call_watch_read(void)
{
	struct npheap_watch_key got;
	long rc = read(descriptor, &got, sizeof(got));

	if (rc >= 0)
		child_check(rc == sizeof(got) && got.key == fault_key &&
			    got.events == NPHEAP_WATCH_NOTIFY);
	return rc;
}

static long call_watch_poll(void)
{
	struct pollfd pfd = { .fd = descriptor, .events = POLLIN };

	return poll(&pfd, 1, 0);
}

static int epoll = -1;

static void before_epoll(void)
{
	before_told();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	child_check(epoll >= 0);
}

static long call_epoll_add(void)
{
	struct epoll_event want = { .events = EPOLLIN };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &want);
}

static void before_epoll_added(void)
{
	before_epoll();
	child_check(!call_epoll_add());
}

/* What is there once must be there again. */
static long call_epoll_wait(void)
{
	struct epoll_event got;
	int rc = epoll_wait(epoll, &got, 1, 0);

	child_check(rc < 0 || (rc == 1 && got.events == EPOLLIN));
	return rc;
}

static void after_epoll(void)
{
	close(epoll);
	close(descriptor);
}

/* ---------------------------------------------------------------- objects -- */

static void create(uint64_t size, uint64_t max_size, uint32_t flags)
{
	child_check(!CALL(NPHEAP_IOC_CREATE, (struct npheap_create){
		.key = fault_key, .size = size, .max_size = max_size,
		.flags = flags }));
}

static void before_object(void)
{
	create(4 * page, 0, 0);
}

static void before_growing(void)
{
	create(page, 64 * page, 0);
}

static void before_huge(void)
{
	create(HUGE_SIZE, 0, 0);
}

static void before_sparse(void)
{
	create(64 * page, 128 * page, NPHEAP_CREATE_SPARSE);
}

static void after_object(void)
{
	child_check(!npheap_delete(dev, fault_key));
}

static long call_create(void)
{
	return CALL(NPHEAP_IOC_CREATE, (struct npheap_create){
		.key = fault_key, .size = 64 * page });
}

static long call_create_sparse(void)
{
	return CALL(NPHEAP_IOC_CREATE, (struct npheap_create){
		.key = fault_key, .size = 64 * page,
		.flags = NPHEAP_CREATE_SPARSE });
}

#define MANY 3

static void after_many(void)
{
	int i;

	for (i = 0; i < MANY; i++)
		child_check(!npheap_delete(dev, fault_key + i));
}

/* Fewer than all is a failure, of which the first ones are left. */
static long call_create_many(void)
{
	struct npheap_create items[MANY];
	struct npheap_create_many args = {
		.items = (uintptr_t)items, .count = MANY,
	};
	long done;
	int i;

	for (i = 0; i < MANY; i++)
		items[i] = (struct npheap_create){
			.key = fault_key + i, .size = page,
		};
	done = ioctl(dev, NPHEAP_IOC_CREATE_MANY, &args);
	if (done < 0 || done == MANY)
		return done;
	while (done--)
		child_check(!npheap_delete(dev, fault_key + done));
	errno = ENOMEM;
	return -1;
}

static long resize(uint64_t size)
{
	return CALL(NPHEAP_IOC_RESIZE, (struct npheap_resize){
		.key = fault_key, .size = size });
}

static long call_grow(void)
{
	return resize(64 * page);
}

static long call_grow_sparse(void)
{
	return resize(128 * page);
}

/* The new end cuts a large folio. */
static long call_shrink(void)
{
	return resize(3 * page);
}

/* With memory on both sides of the new end. */
static void before_filled(void)
{
	char *p;

	before_sparse();
	p = map_key(fault_key, 64 * page);
	p[0] = 1;
	p[40 * page] = 1;
	child_check(!munmap(p, 64 * page));
}

static int map_and_stay(void *arg)
{
	char *p = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       dev, fault_key * page);

	(void)arg;
	child_check(p != MAP_FAILED);
	p[0] = 1;
	p[4 * page] = 1;
	*steps = 1;
	await_step(2);
	return 0;
}

static void before_mapped_elsewhere(void)
{
	before_huge();
	start_helper(map_and_stay);
	child_check(resize(page) == -1 && errno == EBUSY);
}

static long call_shrink_forced(void)
{
	return CALL(NPHEAP_IOC_RESIZE, (struct npheap_resize){
		.key = fault_key, .size = 3 * page,
		.flags = NPHEAP_RESIZE_FORCE });
}

static long call_punch_forced(void)
{
	return CALL(NPHEAP_IOC_PUNCH, (struct npheap_punch){
		.key = fault_key, .length = 5 * page,
		.flags = NPHEAP_RESIZE_FORCE });
}

static void after_mapped_elsewhere(void)
{
	*steps = 2;
	end_helper();
	after_object();
}

static long call_punch(void)
{
	return CALL(NPHEAP_IOC_PUNCH, (struct npheap_punch){
		.key = fault_key, .offset = page, .length = page });
}

static long call_seal(void)
{
	return CALL(NPHEAP_IOC_SEAL, (struct npheap_seal){
		.key = fault_key, .seals = NPHEAP_SEAL_GROW });
}

static long call_stat(void)
{
	return CALL(NPHEAP_IOC_STAT, (struct npheap_stat){ .key = fault_key });
}

static long call_getsize(void)
{
	return size_by_ioctl(fault_key);
}

static long call_delete(void)
{
	struct npheap_cmd cmd = { .offset = fault_key * page };

	return ioctl(dev, NPHEAP_IOCTL_DELETE, &cmd);
}

/* --------------------------------------------------------------- mappings -- */

static long map(size_t size, int flags)
{
	mapped_size = size;
	mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		      dev, fault_key * page);
	return mapped == MAP_FAILED ? -1 : 0;
}

static long call_mmap_private(void)
{
	mapped_size = 4 * page;
	mapped = mmap(NULL, mapped_size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		      dev, fault_key * page);
	return mapped == MAP_FAILED ? -1 : 0;
}

static void before_private(void)
{
	before_object();
	child_check(!call_mmap_private());
}

static void before_mapped_huge(void)
{
	before_huge();
	child_check(!map(HUGE_SIZE, 0));
}

/* A descriptor that may only look. */
static void before_read_only(void)
{
	before_object();
	descriptor = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);
	child_check(descriptor >= 0);
}

static long call_mmap_read_only(void)
{
	mapped_size = 4 * page;
	mapped = mmap(NULL, mapped_size, PROT_READ, MAP_SHARED, descriptor,
		      fault_key * page);
	return mapped == MAP_FAILED ? -1 : 0;
}

static void after_mmap_read_only(void)
{
	child_check(!munmap(mapped, mapped_size));
	after_open();
	after_object();
}

static long call_mmap(void)
{
	return map(4 * page, 0);
}

static long call_mmap_sparse(void)
{
	return map(4 * page, MAP_NORESERVE);
}

static void before_mapped(void)
{
	child_check(!call_mmap());
}

static void before_mapped_sparse(void)
{
	before_sparse();
	child_check(!map(64 * page, 0));
}

/* The next page continues a run, and comes with more. */
static void before_run(void)
{
	before_mapped_sparse();
	mapped[0] = 1;
}

static void after_unmapped(void)
{
	child_check(!munmap(mapped, mapped_size));
}

static void after_mapped(void)
{
	after_unmapped();
	after_object();
}

static long call_munmap(void)
{
	return munmap(mapped, mapped_size);
}

/* The mapping is split. */
static long call_munmap_part(void)
{
	return munmap(mapped + page, page);
}

static long call_mprotect(void)
{
	return mprotect(mapped + page, page, PROT_READ);
}

static long call_mremap(void)
{
	void *p = mremap(mapped, mapped_size, mapped_size + page,
			 MREMAP_MAYMOVE);

	if (p == MAP_FAILED)
		return -1;
	mapped = p;
	mapped_size += page;
	return 0;
}

static long call_read_fault(void)
{
	return *(volatile char *)mapped;
}

static long call_write_fault(void)
{
	*(volatile char *)mapped = 1;
	return 0;
}

static long call_run_fault(void)
{
	((volatile char *)mapped)[page] = 1;
	return 0;
}

static long call_attach(void)
{
	attached = (struct npheap_attach){
		.key = fault_key, .size = 4 * page,
	};
	return ioctl(dev, NPHEAP_IOC_ATTACH, &attached);
}

static void before_attached(void)
{
	child_check(!call_attach());
}

static long call_attach_read_only(void)
{
	attached = (struct npheap_attach){ .key = fault_key };
	return ioctl(descriptor, NPHEAP_IOC_ATTACH, &attached);
}

static void after_attach_read_only(void)
{
	attached.size = 0;
	child_check(!ioctl(descriptor, NPHEAP_IOC_DETACH, &attached));
	after_open();
	after_object();
}

static long call_attach_again(void)
{
	return ioctl(dev, NPHEAP_IOC_ATTACH, &attached);
}

static long call_detach(void)
{
	struct npheap_attach args = attached;

	args.size = 0;
	return ioctl(dev, NPHEAP_IOC_DETACH, &args);
}

static void after_attached(void)
{
	child_check(!call_detach());
	after_object();
}

static void before_table(void)
{
	struct npheap_join join;
	struct npheap_bind bind = { .key = fault_key };

	child_check(!ioctl(dev, NPHEAP_IOC_JOIN, &join));
	child_check(!ioctl(dev, NPHEAP_IOC_BIND, &bind));
	mapped = (char *)(uintptr_t)join.table_addr +
		 bind.slot * sizeof(struct npheap_record);
}

/* -------------------------------------------------------------- processes -- */

static void before_shared_state(void)
{
	before_table();
	before_locked();
	before_mapped();
}

static long call_fork(void)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (!pid)
		_exit(0);
	child_check(waitpid(pid, &status, 0) == pid);
	child_check(!status);
	return 0;
}

static void after_shared_state(void)
{
	after_locked();
	after_mapped();
}

/* In the end the object is this process's no more: the parent deletes it. */
static long call_exit(void)
{
	_exit(0);
}

static long call_killed(void)
{
	raise(SIGKILL);
	return -1;
}

/*
 * In memory, and in need of no library: a failure in a file system that the
 * guest runs from could end that, and 9p ends its connection.
 */
static int program_in_memory(void)
{
	char path[PATH_MAX] = "";
	int from, to = memfd_create("nothing", MFD_CLOEXEC);
	struct stat st;

	child_check(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	strcpy(strrchr(path, '/') + 1, "nothing");
	from = open(path, O_RDONLY | O_CLOEXEC);
	child_check(from >= 0 && to >= 0 && !fstat(from, &st));
	child_check(sendfile(to, from, NULL, st.st_size) == st.st_size);
	close(from);
	return to;
}

static int program = -1;

/* It stops when the exec is done, before the new program runs. */
static void before_exec(void)
{
	before_shared_state();
	program = program_in_memory();
	child_check(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static long call_exec(void)
{
	char *argv[] = { "nothing", NULL };

	return fexecve(program, argv, environ);
}


/* ------------------------------------------------------------------ files -- */

static long read_file(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long rc;

	if (fd < 0)
		return -1;
	rc = read(fd, text, sizeof(text));
	close(fd);
	return rc;
}

static void before_listed(void)
{
	before_mapped();
	before_locked();
}

static void after_listed(void)
{
	after_locked();
	after_mapped();
}

static void before_listed_deleted(void)
{
	before_mapped();
	after_object();
}

static long call_proc_objects(void)
{
	return read_file("/proc/npheap/objects");
}

static long call_proc_locks(void)
{
	return read_file("/proc/npheap/locks");
}

static long call_proc_deleted(void)
{
	return read_file("/proc/npheap/deleted");
}

static long call_debugfs_locks(void)
{
	return read_file("/sys/kernel/debug/npheap/locks");
}

static long call_sysfs_locks_held(void)
{
	return read_file("/sys/class/misc/npheap/locks_held");
}

static long call_sysfs_read(void)
{
	return read_file("/sys/class/misc/npheap/max_locks");
}

static char limit[32];

static void before_sysfs(void)
{
	snprintf(limit, sizeof(limit), "%lld", heap_stat("max_locks"));
}

static long call_sysfs_write(void)
{
	errno = -write_text("/sys/class/misc/npheap/max_locks", limit);
	return errno ? -1 : 0;
}

/* ---------------------------------------------------------------- library -- */

static long result(int rc)
{
	errno = -rc;
	return rc ? -1 : 0;
}

static long call_library_open(void)
{
	return result(npheap_open(NULL, 0, &library));
}

static void before_library(void)
{
	child_check(!call_library_open());
}

static void after_library(void)
{
	npheap_close(library);
}

static long call_library_acquire(void)
{
	return result(npheap_acquire(library, fault_key));
}

static void after_library_acquire(void)
{
	child_check(!npheap_release(library, fault_key));
	after_library();
}

static long call_library_event(void)
{
	return result(npheap_event(library, fault_key, &event));
}

static const struct npheap_mapping *mapping;

static long call_library_attach(void)
{
	return result(npheap_attach(library, fault_key, page, &mapping));
}

static void after_library_object(void)
{
	after_library();
	after_object();
}

static void after_library_attach(void)
{
	npheap_detach(library, mapping);
	after_library_object();
}

/* The process has joined, and the thread knows the record. */
static void before_library_joined(void)
{
	before_library();
	child_check(!call_library_event());
}

static long call_library_map(void)
{
	void *p;
	int rc = npheap_map(library, fault_key, page, &p);

	mapped = p;
	mapped_size = page;
	return result(rc);
}

static void after_library_map(void)
{
	child_check(!npheap_unmap(mapped, mapped_size));
	after_library_object();
}

static long call_library_alloc(void)
{
	mapped_size = page;
	mapped = npheap_alloc(dev, fault_key, page);
	return mapped == MAP_FAILED ? -1 : 0;
}

static long call_library_lock(void)
{
	return npheap_lock(dev, fault_key);
}

static void after_library_lock(void)
{
	child_check(!npheap_unlock(dev, fault_key));
}

static struct npheap_ref ref;

static void before_library_ref(void)
{
	before_library();
	ref = (struct npheap_ref)NPHEAP_REF_INIT(library, fault_key);
}

static long call_library_ref(void)
{
	return result(npheap_ref_acquire(&ref));
}

static void after_library_ref(void)
{
	child_check(!npheap_ref_release(&ref));
	after_library();
}

static void before_library_object(void)
{
	before_object();
	before_library();
}

static long call_library_size(void)
{
	uint64_t size = 0;
	int rc = npheap_size(library, fault_key, &size);

	child_check(rc || size == 4 * page);
	return result(rc);
}

static long call_library_wait(void)
{
	int rc = npheap_wait(library, fault_key, event, 1);

	return rc == -ETIMEDOUT ? 0 : result(rc);
}

static long call_library_watch(void)
{
	return result(npheap_watch_open(library, NPHEAP_WATCH_NONBLOCK,
					&descriptor));
}

static void after_library_watch(void)
{
	close(descriptor);
	after_library();
}

static void before_library_watch(void)
{
	before_library_joined();
	child_check(!call_library_watch());
}

static long call_library_watch_set(void)
{
	return result(npheap_watch_set(descriptor, fault_key,
				       NPHEAP_WATCH_NOTIFY));
}

/* The event is odd now, so that the kernel has to be told. */
static void before_library_watched(void)
{
	before_library_watch();
	child_check(!call_library_watch_set());
}

static long call_library_notify(void)
{
	int rc = npheap_notify(library, fault_key, 1);

	return result(rc < 0 ? rc : 0);
}

static void before_library_told(void)
{
	before_library_watched();
	child_check(!call_library_notify());
}

static long call_library_watch_read(void)
{
	struct npheap_watch_key got;
	size_t count;
	int rc = npheap_watch_read(descriptor, &got, 1, &count);

	child_check(rc || (count == 1 && got.key == fault_key));
	return result(rc);
}

/* What a process that has joined keeps the module by. */
#define JOINED 2

/* clang-format off */
const struct fault_entry fault_entries[] = {
	/* id, before, call, after, sites, and by name the rest */
	{ "open", NULL, call_open, after_open, 2, .refused = 2 },
	{ "close", before_open, call_close, NULL, 0, .refused = 0 },
	{ "join", NULL, call_join, NULL, 10, .refused = 7,
	  .flags = FAULT_UNTOLD, .left = { .references = JOINED } },
	{ "bind", NULL, call_bind, NULL, 6, .refused = 3,
	  .flags = FAULT_UNTOLD, .left = { .locks = 1 } },
	{ "bind_second", before_second, call_bind, after_second, 4,
	  .refused = 3, .flags = FAULT_UNTOLD, .left = { .locks = 1 } },
	{ "lock", NULL, call_lock, after_locked, 6, .refused = 3 },
	{ "lock_second", before_second, call_lock, after_locked_second, 4,
	  .refused = 3 },
	{ "lock_args", NULL, call_lock_args, after_locked, 7, .refused = 4 },
	{ "lock_shared", NULL, call_lock_shared, after_locked, 7,
	  .refused = 4 },
	{ "lock_contended", before_contended, call_lock_contended,
	  after_contended, 3, .refused = 2 },
	{ "lock_shared_contended", before_contended,
	  call_lock_shared_contended, after_contended, 4, .refused = 2 },
	{ "unlock", before_locked, call_unlock, NULL, 0, .refused = 0 },
	{ "consistent", before_marked, call_consistent, after_locked, 0,
	  .refused = 0 },
	{ "break", before_locked, call_break, after_broken, 0, .refused = 0 },
	{ "event", NULL, call_event, NULL, 7, .refused = 2 },
	{ "wait", NULL, call_wait, NULL, 3, .refused = 2 },
	{ "wait_timeout", before_event, call_wait_timeout, NULL, 1,
	  .refused = 1 },
	{ "wait_notified", before_notified, call_wait_notified, end_helper,
	  1, .refused = 1 },
	{ "notify", before_event, call_notify, NULL, 1, .refused = 1 },
	{ "watch", NULL, call_watch, after_open, 2, .refused = 2 },
	{ "watch_set", before_watch, call_watch_set, after_open, 4,
	  .refused = 2 },
	{ "watch_forget", before_watched, call_watch_forget, after_open, 1,
	  .refused = 1 },
	{ "watch_read", before_told, call_watch_read, after_open, 1,
	  .refused = 1 },
	{ "watch_poll", before_told, call_watch_poll, after_open, 1,
	  .refused = 1 },
	{ "watch_close", before_told, call_close, NULL, 0, .refused = 0 },
	{ "epoll_add", before_epoll, call_epoll_add, after_epoll, 4,
	  .refused = 2 },
	{ "epoll_wait", before_epoll_added, call_epoll_wait, after_epoll, 0,
	  .refused = 0 },
	{ "create", NULL, call_create, after_object, 4, .refused = 2 },
	{ "create_sparse", NULL, call_create_sparse, after_object, 2,
	  .refused = 2 },
	{ "create_many", NULL, call_create_many, after_many, 8, .refused = 7 },
	{ "grow", before_growing, call_grow, after_object, 7, .refused = 2 },
	{ "grow_sparse", before_sparse, call_grow_sparse, after_object, 1,
	  .refused = 1 },
	{ "shrink", before_huge, call_shrink, after_object, 7, .refused = 1 },
	{ "shrink_sparse", before_filled, call_shrink, after_object, 1,
	  .refused = 1 },
	{ "shrink_forced", before_mapped_elsewhere, call_shrink_forced,
	  after_mapped_elsewhere, 7, .refused = 1 },
	{ "punch", before_object, call_punch, after_object, 1, .refused = 1 },
	{ "punch_sparse", before_run, call_punch, after_mapped, 1,
	  .refused = 1 },
	{ "punch_forced", before_mapped_elsewhere, call_punch_forced,
	  after_mapped_elsewhere, 1, .refused = 1 },
	{ "seal", before_object, call_seal, after_object, 1, .refused = 1 },
	{ "stat", before_object, call_stat, after_object, 1, .refused = 1 },
	{ "getsize", before_object, call_getsize, after_object, 0,
	  .refused = 0 },
	{ "delete", before_object, call_delete, NULL, 0, .refused = 0 },
	{ "delete_mapped", before_mapped, call_delete, after_unmapped, 0,
	  .refused = 0 },
	{ "mmap_create", NULL, call_mmap, after_mapped, 8, .refused = 4,
	  .left = { .pages = 4 } },
	{ "mmap_sparse", NULL, call_mmap_sparse, after_mapped, 6,
	  .refused = 4, .left = { .sparse = 4 } },
	{ "mmap_existing", before_object, call_mmap, after_mapped, 4,
	  .refused = 2 },
	{ "mmap_private", before_object, call_mmap_private, after_mapped, 4,
	  .refused = 3 },
	{ "mmap_read_only", before_read_only, call_mmap_read_only,
	  after_mmap_read_only, 4, .refused = 2 },
	{ "munmap", before_mapped, call_munmap, after_object, 2, .refused = 1 },
	{ "munmap_part", before_mapped, call_munmap_part, after_mapped, 7,
	  .refused = 4 },
	{ "mprotect", before_mapped, call_mprotect, after_mapped, 4,
	  .refused = 4 },
	{ "mremap", before_mapped, call_mremap, after_mapped, 5, .refused = 2 },
	{ "read_fault", before_mapped, call_read_fault, after_mapped, 0,
	  .refused = 0 },
	{ "write_fault", before_mapped, call_write_fault, after_mapped, 0,
	  .refused = 0 },
	{ "huge_read_fault", before_mapped_huge, call_read_fault,
	  after_mapped, 1, .refused = 0 },
	{ "huge_write_fault", before_mapped_huge, call_write_fault,
	  after_mapped, 1, .refused = 0 },
	{ "private_fault", before_private, call_write_fault, after_mapped, 2,
	  .refused = 0 },
	{ "sparse_read_fault", before_mapped_sparse, call_read_fault,
	  after_mapped, 1, .refused = 0 },
	{ "sparse_write_fault", before_mapped_sparse, call_write_fault,
	  after_mapped, 1, .refused = 0 },
	{ "sparse_run_fault", before_run, call_run_fault, after_mapped, 1,
	  .refused = 0 },
	{ "table_fault", before_table, call_read_fault, NULL, 1, .refused = 0 },
	{ "attach_create", NULL, call_attach, after_attached, 9,
	  .refused = 5, .left = { .pages = 4 } },
	{ "attach_existing", before_object, call_attach, after_attached, 6,
	  .refused = 4 },
	{ "attach_read_only", before_read_only, call_attach_read_only,
	  after_attach_read_only, 6, .refused = 4 },
	{ "attach_again", before_attached, call_attach_again, after_attached,
	  1, .refused = 1 },
	{ "detach", before_attached, call_detach, after_object, 3,
	  .refused = 2 },
	{ "fork", before_shared_state, call_fork, after_shared_state, 72,
	  .refused = 3, .flags = FAULT_MANY },
	{ "exit", before_shared_state, call_exit, NULL, 0, .refused = 0,
	  .flags = FAULT_ENDS },
	{ "killed", before_shared_state, call_killed, NULL, 0, .refused = 0,
	  .flags = FAULT_ENDS },
	{ "exec", before_exec, call_exec, NULL, 52, .refused = 1,
	  .flags = FAULT_ENDS | FAULT_MANY },
	{ "proc_objects", before_listed, call_proc_objects, after_listed, 6,
	  .refused = 4 },
	{ "proc_locks", before_listed, call_proc_locks, after_listed, 6,
	  .refused = 4 },
	{ "proc_deleted", before_listed_deleted, call_proc_deleted, NULL, 5,
	  .refused = 3 },
	{ "debugfs_locks", before_listed, call_debugfs_locks, after_listed,
	  7, .refused = 6 },
	{ "sysfs_read", NULL, call_sysfs_read, NULL, 7, .refused = 5 },
	{ "sysfs_locks_held", before_listed, call_sysfs_locks_held,
	  after_listed, 7, .refused = 5 },
	{ "sysfs_write", before_sysfs, call_sysfs_write, NULL, 7,
	  .refused = 6 },
	{ "library_open", NULL, call_library_open, after_library, 5,
	  .refused = 2 },
	{ "library_acquire", before_library, call_library_acquire,
	  after_library_acquire, 24, .refused = 0 },
	{ "library_lock", NULL, call_library_lock, after_library_lock, 25,
	  .refused = 0 },
	{ "library_ref", before_library_ref, call_library_ref,
	  after_library_ref, 24, .refused = 0 },
	{ "library_size", before_library_object, call_library_size,
	  after_library_object, 24, .refused = 0 },
	{ "library_event", before_library, call_library_event, after_library,
	  24, .refused = 0 },
	{ "library_wait", before_library_joined, call_library_wait,
	  after_library, 1, .refused = 1 },
	{ "library_notify", before_library_watched, call_library_notify,
	  after_library_watch, 1, .refused = 1 },
	{ "library_watch", before_library, call_library_watch,
	  after_library_watch, 2, .refused = 2 },
	{ "library_watch_set", before_library_watch, call_library_watch_set,
	  after_library_watch, 1, .refused = 1 },
	{ "library_watch_read", before_library_told, call_library_watch_read,
	  after_library_watch, 1, .refused = 1 },
	{ "library_alloc", NULL, call_library_alloc, after_mapped, 7,
	  .refused = 5, .left = { .pages = 1 } },
	{ "library_map", before_library, call_library_map, after_library_map,
	  6, .refused = 5, .left = { .pages = 1 } },
	{ "library_attach_first", before_library, call_library_attach,
	  after_library_attach, 31, .refused = 6,
	  .left = { .pages = 1, .locks = 1, .references = JOINED } },
	{ "library_attach", before_library_joined, call_library_attach,
	  after_library_attach, 8, .refused = 6, .left = { .pages = 1 } },
	{ 0 },
};
/* clang-format on */
