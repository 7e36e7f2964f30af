// SPDX-License-Identifier: GPL-2.0-or-later
/* Watches: descriptors that tell what happened to a set of keys. */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "test.h"

#define EVERYTHING (NPHEAP_WATCH_NOTIFY | NPHEAP_WATCH_SIZE | \
		    NPHEAP_WATCH_DELETE | NPHEAP_WATCH_DEATH)

static struct npheap *heap;
static uint64_t key;
static int watch;

static void watch_new(void **state)
{
	(void)state;
	key = test_key();
	assert_int_equal(npheap_open(NULL, 0, &heap), 0);
	assert_int_equal(npheap_watch_open(heap, NPHEAP_WATCH_CLOEXEC |
						 NPHEAP_WATCH_NONBLOCK,
					   &watch), 0);
}

static int watch_end(void **state)
{
	close(watch);
	npheap_close(heap);
	return test_end(state);
}

#define WATCH_TEST(function) \
	cmocka_unit_test_setup_teardown(function, test_begin, watch_end)

static void set(uint64_t k, unsigned int events)
{
	assert_int_equal(npheap_watch_set(watch, k, events), 0);
}

static void notify(uint64_t k)
{
	assert_int_equal(npheap_notify(heap, k, 1), 0);
}

static int is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static void assert_nothing(void)
{
	struct npheap_watch_key got;
	size_t n = 7;

	assert_false(is_readable(watch));
	assert_int_equal(npheap_watch_read(watch, &got, 1, &n), -EAGAIN);
	assert_int_equal(n, 7);
}

/* That, and nothing else. */
static void assert_happened(uint64_t k, unsigned int events)
{
	struct npheap_watch_key got[2];
	size_t n;

	assert_true(is_readable(watch));
	assert_int_equal(npheap_watch_read(watch, got, 2, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(got[0].key, k);
	assert_int_equal(got[0].events, events);
	assert_int_equal(got[0].reserved, 0);
	assert_nothing();
}

static void remove_object(uint64_t k, void *p, size_t size)
{
	assert_int_equal(munmap(p, size), 0);
	assert_int_equal(npheap_remove(heap, k), 0);
}

/* Takes the lock of a key whose holder died, and leaves it without a mark. */
static void settle(uint64_t k)
{
	assert_int_equal(npheap_acquire(heap, k), -EOWNERDEAD);
	assert_int_equal(npheap_consistent(heap, k), 0);
	assert_int_equal(npheap_release(heap, k), 0);
}

static int hold_and_die(void *arg)
{
	(void)arg;
	child_check(!npheap_lock(dev, key));
	child_check(!npheap_unlock(dev, key));
	child_check(!npheap_lock(dev, key));
	raise(SIGKILL);
	return 0;
}

static void nothing_happens_at_first(void **state)
{
	watch_new(state);
	assert_nothing();
	notify(key);
	set(key, EVERYTHING);
	assert_nothing();
	notify(key + 1);
	assert_nothing();
}

static void notification_is_told(void **state)
{
	watch_new(state);
	set(key, NPHEAP_WATCH_NOTIFY);
	notify(key);
	assert_happened(key, NPHEAP_WATCH_NOTIFY);
	notify(key);
	notify(key);
	assert_happened(key, NPHEAP_WATCH_NOTIFY);
}

/* Also where the one who notifies knows the key, and would make no call. */
static void notification_of_one_that_knows_the_key_is_told(void **state)
{
	uint64_t event;

	watch_new(state);
	assert_int_equal(npheap_event(heap, key, &event), 0);
	notify(key);
	set(key, NPHEAP_WATCH_NOTIFY);
	notify(key);
	assert_happened(key, NPHEAP_WATCH_NOTIFY);
	set(key, 0);
	notify(key);
	set(key, NPHEAP_WATCH_NOTIFY);
	assert_nothing();
}

static void creation_and_deletion_are_told(void **state)
{
	void *p;

	watch_new(state);
	set(key, EVERYTHING);
	p = map_key(key, page);
	assert_happened(key, NPHEAP_WATCH_SIZE);
	munmap(p, page);
	p = map_key(key, page);
	assert_nothing();
	remove_object(key, p, page);
	assert_happened(key, NPHEAP_WATCH_DELETE);
	assert_int_equal(npheap_remove(heap, key), 0);
	assert_nothing();
	p = map_key(key, page);
	remove_object(key, p, page);
	assert_happened(key, NPHEAP_WATCH_SIZE | NPHEAP_WATCH_DELETE);
}

static void death_is_told(void **state)
{
	watch_new(state);
	set(key, EVERYTHING);
	expect_death(hold_and_die, NULL, SIGKILL);
	assert_happened(key, NPHEAP_WATCH_DEATH);
	settle(key);
	assert_nothing();
}

static void break_is_told_as_a_death(void **state)
{
	watch_new(state);
	set(key, EVERYTHING);
	assert_int_equal(npheap_acquire(heap, key), 0);
	assert_nothing();
	assert_int_equal(npheap_break(heap, key), 0);
	assert_happened(key, NPHEAP_WATCH_DEATH);
	assert_int_equal(npheap_release(heap, key), -EPERM);
	settle(key);
}

static void only_what_was_asked_for_is_told(void **state)
{
	void *p;

	watch_new(state);
	set(key, NPHEAP_WATCH_DELETE);
	p = map_key(key, page);
	notify(key);
	expect_death(hold_and_die, NULL, SIGKILL);
	settle(key);
	assert_nothing();
	remove_object(key, p, page);
	assert_happened(key, NPHEAP_WATCH_DELETE);
}

static void set_replaces_what_is_looked_for(void **state)
{
	watch_new(state);
	set(key, NPHEAP_WATCH_NOTIFY);
	notify(key);
	/* It is not wanted any more, so it is not told either. */
	set(key, NPHEAP_WATCH_DELETE);
	assert_nothing();
	notify(key);
	assert_nothing();
	set(key, NPHEAP_WATCH_NOTIFY);
	assert_nothing();
	notify(key);
	set(key, EVERYTHING);
	assert_happened(key, NPHEAP_WATCH_NOTIFY);
}

static void forgotten_key_is_silent(void **state)
{
	watch_new(state);
	set(key, EVERYTHING);
	notify(key);
	set(key, 0);
	assert_nothing();
	notify(key);
	assert_nothing();
	assert_int_equal(npheap_watch_set(watch, key, 0), -ENOENT);
}

static void many_keys_come_in_order(void **state)
{
	enum { KEYS = 100 };
	struct npheap_watch_key got[KEYS];
	size_t n, total = 0;
	int i;

	watch_new(state);
	for (i = 0; i < KEYS; i++)
		set(key + i * 7919, NPHEAP_WATCH_NOTIFY);
	for (i = KEYS - 1; i >= 0; i--)
		notify(key + i * 7919);
	assert_int_equal(npheap_watch_read(watch, got, 30, &n), 0);
	assert_int_equal(n, 30);
	assert_true(is_readable(watch));
	total = n;
	assert_int_equal(npheap_watch_read(watch, got + n, KEYS, &n), 0);
	assert_int_equal(total + n, KEYS);
	for (i = 0; i < KEYS; i++)
		assert_int_equal(got[i].key, key + (KEYS - 1 - i) * 7919);
	assert_nothing();
	for (i = 0; i < KEYS; i++)
		set(key + i * 7919, 0);
}

/* The table of locks has no line of a key that nobody uses any more. */
static void records_go_with_the_watch(void **state)
{
	long long locks = heap_stat("locks");
	int i, second;

	watch_new(state);
	for (i = 0; i < 1000; i++)
		set(key + i, EVERYTHING);
	assert_int_equal(heap_stat("locks"), locks + 1000);
	for (i = 0; i < 500; i++)
		set(key + i, 0);
	assert_int_equal(heap_stat("locks"), locks + 500);
	assert_int_equal(npheap_watch_open(heap, 0, &second), 0);
	assert_int_equal(npheap_watch_set(second, key + 999, EVERYTHING), 0);
	close(watch);
	assert_int_equal(heap_stat("locks"), locks + 1);
	close(second);
	assert_int_equal(heap_stat("locks"), locks);
	assert_int_equal(npheap_watch_open(heap, NPHEAP_WATCH_NONBLOCK, &watch),
			 0);
}

static void limit_is_enospc(void **state)
{
	long long limit = heap_stat("max_locks");

	watch_new(state);
	set(key, EVERYTHING);
	heap_set("max_locks", 1);
	assert_int_equal(npheap_watch_set(watch, key + 1, EVERYTHING), -ENOSPC);
	heap_set("max_locks", limit);
	/* A key that is watched is not taken for an idle one. */
	notify(key);
	assert_happened(key, NPHEAP_WATCH_NOTIFY);
}

static void all_watches_of_a_key_are_told(void **state)
{
	enum { WATCHES = 200 };
	int fds[WATCHES], i;

	watch_new(state);
	for (i = 0; i < WATCHES; i++) {
		assert_int_equal(npheap_watch_open(heap, NPHEAP_WATCH_NONBLOCK,
						   &fds[i]), 0);
		assert_int_equal(npheap_watch_set(fds[i], key, EVERYTHING), 0);
	}
	notify(key);
	for (i = 0; i < WATCHES; i++) {
		assert_true(is_readable(fds[i]));
		close(fds[i]);
	}
}

static int create_and_delete(void *arg)
{
	while (now_ms() < *(long long *)arg) {
		int err = npheap_create(heap, key, page, 0, 0);

		child_check(!err || err == -EEXIST);
		child_check(!npheap_remove(heap, key));
	}
	return 0;
}

static void assert_told_of_notification(int fd)
{
	struct npheap_watch_key got;
	size_t n;

	assert_int_equal(npheap_watch_read(fd, &got, 1, &n), 0);
	assert_true(got.events & NPHEAP_WATCH_NOTIFY);
}

/* Who tells so many lets others at the key meanwhile, who tell them, too. */
static void many_tell_all_watches_at_the_same_time(void **state)
{
	enum { WATCHES = 320 };
	long long until = now_ms() + 1500;
	int fds[WATCHES], rounds = 0, i;
	pid_t pids[2];

	watch_new(state);
	for (i = 0; i < WATCHES; i++) {
		assert_int_equal(npheap_watch_open(heap, NPHEAP_WATCH_NONBLOCK,
						   &fds[i]), 0);
		assert_int_equal(npheap_watch_set(fds[i], key, EVERYTHING), 0);
	}
	for (i = 0; i < 2; i++)
		pids[i] = spawn(create_and_delete, &until);
	while (now_ms() < until) {
		notify(key);
		for (i = 0; i < WATCHES; i++)
			assert_told_of_notification(fds[i]);
		rounds++;
	}
	for (i = 0; i < 2; i++)
		expect_exit(pids[i], 0);
	printf("# %d notifications\n", rounds);
	for (i = 0; i < WATCHES; i++)
		close(fds[i]);
}

static void epoll_waits_for_watches(void **state)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 4711 };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	watch_new(state);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, watch, &event), 0);
	set(key, EVERYTHING);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	notify(key);
	event.data.u64 = 0;
	assert_int_equal(epoll_wait(ep, &event, 1, 10000), 1);
	assert_int_equal(event.data.u64, 4711);
	assert_happened(key, NPHEAP_WATCH_NOTIFY);
	assert_int_equal(epoll_wait(ep, &event, 1, 0), 0);
	close(ep);
}

static int read_one(void *arg)
{
	struct npheap_watch_key got;
	size_t n;

	child_check(!npheap_watch_read(*(int *)arg, &got, 1, &n));
	return n == 1 && got.key == key ? got.events : 99;
}

static void read_sleeps_until_something_happens(void **state)
{
	pid_t pid;
	int fd;

	watch_new(state);
	assert_int_equal(npheap_watch_open(heap, 0, &fd), 0);
	assert_int_equal(npheap_watch_set(fd, key, EVERYTHING), 0);
	pid = spawn(read_one, &fd);
	assert_true(wait_asleep(pid));
	notify(key);
	expect_exit(pid, NPHEAP_WATCH_NOTIFY);
	/* And can be killed. */
	pid = spawn(read_one, &fd);
	assert_true(wait_asleep(pid));
	kill_and_reap(pid);
	/* The watch is of the file, which processes share. */
	notify(key);
	expect_exit(spawn(read_one, &fd), NPHEAP_WATCH_NOTIFY);
	close(fd);
}

#define READ_KEYS 200

static pthread_t reader;

static void no_operation(int sig)
{
	(void)sig;
}

/* Sends the reader a signal while it is in the middle of its call. */
static void *interrupt_at_the_fault(void *arg)
{
	struct uffdio_zeropage zero = { .range.len = page };
	struct uffd_msg message;
	int fd = *(int *)arg;

	child_check(read(fd, &message, sizeof(message)) == sizeof(message));
	child_check(!pthread_kill(reader, SIGUSR1));
	zero.range.start = message.arg.pagefault.address & ~(page - 1);
	child_check(!ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	return NULL;
}

/* A page whose first touch @fd tells of, and waits for. */
static void *map_untouched(int fd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	child_check(p != MAP_FAILED);
	reg.range.start = (uintptr_t)p;
	reg.range.len = page;
	child_check(!ioctl(fd, UFFDIO_API, &api));
	child_check(!ioctl(fd, UFFDIO_REGISTER, &reg));
	return p;
}

static int read_and_be_interrupted(void *arg)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct npheap_watch_key *got = map_untouched(fd);
	pthread_t thread;
	size_t n, rest;

	(void)arg;
	reader = pthread_self();
	signal(SIGUSR1, no_operation);
	child_check(!pthread_create(&thread, NULL, interrupt_at_the_fault, &fd));
	child_check(!npheap_watch_read(watch, got, READ_KEYS, &n));
	child_check(n < READ_KEYS);
	child_check(!pthread_join(thread, NULL));
	child_check(!npheap_watch_read(watch, got, READ_KEYS, &rest));
	child_check(n + rest == READ_KEYS);
	return 0;
}

/* Or a reader could not be killed while others notify without end. */
static void read_of_many_keys_ends_with_a_signal(void **state)
{
	int i, fd;

	watch_new(state);
	fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0) {
		printf("# no userfaultfd\n");
		skip();
	}
	close(fd);
	for (i = 0; i < READ_KEYS; i++)
		set(key + i, NPHEAP_WATCH_NOTIFY);
	for (i = 0; i < READ_KEYS; i++)
		notify(key + i);
	expect_exit(spawn(read_and_be_interrupted, NULL), 0);
	assert_nothing();
}

static void bad_arguments_change_nothing(void **state)
{
	struct npheap_watch_key args = { .events = 1 };
	struct npheap_watch_key got;
	size_t n;
	int fd;

	watch_new(state);
	args.key = key;
	assert_int_equal(npheap_watch_open(heap, 4, &fd), -EINVAL);
	assert_int_equal(npheap_watch_set(watch, key, 0x10), -EINVAL);
	assert_int_equal(npheap_watch_set(watch, NPHEAP_KEY_MAX + 1, 1),
			 -EOVERFLOW);
	assert_int_equal(npheap_watch_set(watch, NPHEAP_KEY_MAX, 1), 0);
	assert_int_equal(npheap_watch_set(watch, NPHEAP_KEY_MAX, 0), 0);
	assert_int_equal(npheap_watch_set(dev, key, 1), -ENOTTY);
	assert_int_equal(npheap_watch_set(-1, key, 1), -EBADF);
	args.reserved = 1;
	assert_errno(ioctl(watch, NPHEAP_IOC_WATCH_SET, &args), EINVAL);
	assert_errno(ioctl(watch, NPHEAP_IOC_WATCH_SET, NULL), EFAULT);
	assert_errno(ioctl(watch, NPHEAP_IOC_NOTIFY, &args), ENOTTY);
	assert_errno(ioctl(dev, NPHEAP_IOC_WATCH, NULL), EFAULT);
	assert_int_equal(npheap_watch_read(watch, &got, 0, &n), -EINVAL);
	/* More than there can be, and than a size can say in bytes. */
	assert_int_equal(npheap_watch_read(watch, &got, SIZE_MAX, &n), -EFAULT);
	assert_errno(read(watch, &got, sizeof(got) - 1), EINVAL);
	assert_nothing();
}

/* What could not be delivered is not lost. */
static void read_into_nowhere_loses_nothing(void **state)
{
	struct npheap_watch_key *keys;
	size_t n;
	int i;

	watch_new(state);
	keys = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(keys, MAP_FAILED);
	assert_int_equal(mprotect((char *)keys + page, page, PROT_NONE), 0);
	for (i = 0; i < 300; i++)
		set(key + i, NPHEAP_WATCH_NOTIFY);
	for (i = 0; i < 300; i++)
		notify(key + i);
	assert_int_equal(npheap_watch_read(watch, (void *)((char *)keys + page),
					   300, &n), -EFAULT);
	/* 256 fit into the page; what was copied before the end counts. */
	assert_int_equal(npheap_watch_read(watch, keys, 300, &n), 0);
	assert_in_range(n, 240, 256);
	i = n;
	assert_int_equal(npheap_watch_read(watch, keys, 256, &n), 0);
	assert_int_equal(i + n, 300);
	assert_nothing();
	munmap(keys, 2 * page);
}

static void read_only_handle_watches(void **state)
{
	struct npheap *reader;
	int fd;

	watch_new(state);
	assert_int_equal(npheap_open(NULL, NPHEAP_RDONLY, &reader), 0);
	assert_int_equal(npheap_watch_open(reader, 0, &fd), 0);
	npheap_close(reader);
	assert_int_equal(npheap_watch_set(fd, key, EVERYTHING), 0);
	notify(key);
	assert_true(is_readable(fd));
	close(fd);
}

/*
 * One counts in an object and notifies, the other reads the count after each
 * event.  If a notification were lost, the last count would not be seen.
 */
#define COUNTS 20000

static int count_up(void *arg)
{
	_Atomic uint32_t *count = arg;
	uint64_t event;

	child_check(!npheap_event(heap, key, &event));
	while (*count < COUNTS) {
		atomic_fetch_add(count, 1);
		child_check(!npheap_notify(heap, key, 1));
	}
	return 0;
}

static void no_notification_is_lost(void **state)
{
	struct pollfd p = { .events = POLLIN };
	_Atomic uint32_t *count;
	struct npheap_watch_key got;
	unsigned int reads = 0;
	size_t n;
	pid_t pid;

	watch_new(state);
	p.fd = watch;
	count = map_key(key, page);
	set(key, NPHEAP_WATCH_NOTIFY);
	pid = spawn(count_up, count);
	while (*count < COUNTS) {
		assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_equal(npheap_watch_read(watch, &got, 1, &n), 0);
		reads++;
	}
	expect_exit(pid, 0);
	printf("# %d notifications, %u reads\n", COUNTS, reads);
	remove_object(key, (void *)count, page);
}

/* Watches come and go while others tell them. */
static int churn(void *arg)
{
	int end_at = *(int *)arg, i, fd;
	long long until = now_ms() + end_at;

	while (now_ms() < until) {
		child_check(!npheap_watch_open(heap, NPHEAP_WATCH_NONBLOCK,
					       &fd));
		for (i = 0; i < 20; i++)
			child_check(!npheap_watch_set(fd, key + i % 5,
						      EVERYTHING));
		for (i = 0; i < 5; i++)
			child_check(!npheap_notify(heap, key + i, 1));
		close(fd);
	}
	return 0;
}

static void watches_come_and_go_under_load(void **state)
{
	long long locks = heap_stat("locks");
	int ms = 1500, i;
	pid_t pids[4];

	watch_new(state);
	for (i = 0; i < 4; i++)
		pids[i] = spawn(churn, &ms);
	for (i = 0; i < 4; i++)
		expect_exit(pids[i], 0);
	/* Those that only this test knows may still be kept. */
	assert_in_range(heap_stat("locks"), locks, locks + 5);
}

static const struct CMUnitTest tests[] = {
	WATCH_TEST(nothing_happens_at_first),
	WATCH_TEST(notification_is_told),
	WATCH_TEST(notification_of_one_that_knows_the_key_is_told),
	WATCH_TEST(creation_and_deletion_are_told),
	WATCH_TEST(death_is_told),
	WATCH_TEST(break_is_told_as_a_death),
	WATCH_TEST(only_what_was_asked_for_is_told),
	WATCH_TEST(set_replaces_what_is_looked_for),
	WATCH_TEST(forgotten_key_is_silent),
	WATCH_TEST(many_keys_come_in_order),
	WATCH_TEST(records_go_with_the_watch),
	WATCH_TEST(limit_is_enospc),
	WATCH_TEST(all_watches_of_a_key_are_told),
	WATCH_TEST(many_tell_all_watches_at_the_same_time),
	WATCH_TEST(epoll_waits_for_watches),
	WATCH_TEST(read_sleeps_until_something_happens),
	WATCH_TEST(read_of_many_keys_ends_with_a_signal),
	WATCH_TEST(bad_arguments_change_nothing),
	WATCH_TEST(read_into_nowhere_loses_nothing),
	WATCH_TEST(read_only_handle_watches),
	WATCH_TEST(no_notification_is_lost),
	WATCH_TEST(watches_come_and_go_under_load),
};

int main(void)
{
	return test_main(tests);
}
