// SPDX-License-Identifier: GPL-2.0-or-later
/* The ioctl ABI: numbers, layout, every errno, and 32-bit callers. */
#include <limits.h>
#include <stdbool.h>
#include <sys/sysmacros.h>
#include <sys/stat.h>

#include "test.h"

/* What programs have compiled in. */
_Static_assert(sizeof(struct npheap_cmd) == 32, "size of npheap_cmd");
_Static_assert(offsetof(struct npheap_cmd, op) == 0, "npheap_cmd.op");
_Static_assert(offsetof(struct npheap_cmd, offset) == 8, "npheap_cmd.offset");
_Static_assert(offsetof(struct npheap_cmd, size) == 16, "npheap_cmd.size");
_Static_assert(offsetof(struct npheap_cmd, data) == 24, "npheap_cmd.data");
_Static_assert(NPHEAP_IOCTL_LOCK == 0xc0204e43, "LOCK");
_Static_assert(NPHEAP_IOCTL_UNLOCK == 0xc0204e44, "UNLOCK");
_Static_assert(NPHEAP_IOCTL_DELETE == 0xc0204e45, "DELETE");
_Static_assert(NPHEAP_IOCTL_GETSIZE == 0xc0204e46, "GETSIZE");
_Static_assert(NPHEAP_IOC_CREATE == 0x40204ec9, "CREATE");
_Static_assert(NPHEAP_IOC_CREATE_MANY == 0x40104eca, "CREATE_MANY");
_Static_assert(NPHEAP_IOC_RESIZE == 0x40184ecb, "RESIZE");
_Static_assert(NPHEAP_IOC_PUNCH == 0x40204ecc, "PUNCH");
_Static_assert(NPHEAP_IOC_SEAL == 0x40104ecd, "SEAL");
_Static_assert(NPHEAP_IOC_STAT == 0xc0484ece, "STAT");
_Static_assert(NPHEAP_KEY_MAX == 0x7ffffffffffffULL, "the largest key");

#define GARBAGE 0xa5a5a5a5a5a5a5a5ULL

static const unsigned long commands[] = {
	NPHEAP_IOCTL_LOCK,
	NPHEAP_IOCTL_UNLOCK,
	NPHEAP_IOCTL_DELETE,
	NPHEAP_IOCTL_GETSIZE,
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const unsigned long record_commands[] = {
	NPHEAP_IOC_JOIN,
	NPHEAP_IOC_BIND,
	NPHEAP_IOC_LOCK,
	NPHEAP_IOC_CONSISTENT,
	NPHEAP_IOC_BREAK,
	NPHEAP_IOC_EVENT,
	NPHEAP_IOC_WAIT,
	NPHEAP_IOC_NOTIFY,
	NPHEAP_IOC_CREATE,
	NPHEAP_IOC_CREATE_MANY,
	NPHEAP_IOC_RESIZE,
	NPHEAP_IOC_PUNCH,
	NPHEAP_IOC_SEAL,
	NPHEAP_IOC_STAT,
};

#define NR_RECORD_COMMANDS \
	(sizeof(record_commands) / sizeof(record_commands[0]))

static int command(unsigned long request, uint64_t key)
{
	struct npheap_cmd cmd = garbage_cmd(key * page);

	return ioctl(dev, request, &cmd);
}

/* An object and a lock, to see that failed commands left them alone. */
static uint64_t fixture_new(void)
{
	uint64_t key = test_key();

	munmap(map_key(key, page), page);
	assert_int_equal(command(NPHEAP_IOCTL_LOCK, key), 0);
	return key;
}

static void assert_fixture_intact(uint64_t key)
{
	assert_int_equal(command(NPHEAP_IOCTL_GETSIZE, key), page);
	assert_errno(command(NPHEAP_IOCTL_LOCK, key), EDEADLK);
}

static void fixture_free(uint64_t key)
{
	assert_int_equal(command(NPHEAP_IOCTL_UNLOCK, key), 0);
	assert_int_equal(command(NPHEAP_IOCTL_DELETE, key), 0);
	assert_int_equal(command(NPHEAP_IOCTL_GETSIZE, key), 0);
}

/* --------------------------------------------------------------- values -- */

static void assert_untouched(const struct npheap_cmd *cmd, uint64_t offset)
{
	struct npheap_cmd expected = garbage_cmd(offset);

	assert_memory_equal(cmd, &expected, sizeof(expected));
}

/* Callers leave them uninitialised. */
static void abi_ignores_op_size_and_data(void **state)
{
	uint64_t key = test_key();
	struct npheap_cmd cmd = garbage_cmd(key * page);

	(void)state;
	munmap(map_key(key, page), page);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_LOCK, &cmd), 0);
	assert_untouched(&cmd, key * page);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_UNLOCK, &cmd), 0);
	assert_untouched(&cmd, key * page);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_DELETE, &cmd), 0);
	assert_untouched(&cmd, key * page);
}

/* GETSIZE stores into size and into nothing else. */
static void abi_getsize_fills_size_only(void **state)
{
	uint64_t key = test_key();
	struct npheap_cmd cmd = garbage_cmd(key * page);

	(void)state;
	munmap(map_key(key, 3 * page), 3 * page);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd), 3 * page);
	assert_int_equal(cmd.size, 3 * page);
	cmd.size = GARBAGE;
	assert_untouched(&cmd, key * page);
	command(NPHEAP_IOCTL_DELETE, key);
}

static void abi_getsize_of_nothing_is_0(void **state)
{
	uint64_t key = test_key();
	struct npheap_cmd cmd = garbage_cmd(key * page);

	(void)state;
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd), 0);
	assert_int_equal(cmd.size, 0);
}

static void abi_delete_returns_no_size(void **state)
{
	uint64_t key = test_key();

	(void)state;
	munmap(map_key(key, 3 * page), 3 * page);
	assert_int_equal(command(NPHEAP_IOCTL_DELETE, key), 0);
	assert_int_equal(command(NPHEAP_IOCTL_DELETE, key), 0);
}

static void abi_offset_is_the_key_in_bytes(void **state)
{
	uint64_t key = test_key();

	(void)state;
	munmap(map_key(key, 2 * page), 2 * page);
	assert_int_equal(command(NPHEAP_IOCTL_GETSIZE, key), 2 * page);
	assert_int_equal(command(NPHEAP_IOCTL_GETSIZE, key + 1), 0);
	assert_int_equal(command(NPHEAP_IOCTL_GETSIZE, key * page), 0);
	command(NPHEAP_IOCTL_DELETE, key);
}

/* --------------------------------------------------------------- errors -- */

static void abi_null_is_efault(void **state)
{
	uint64_t key = fixture_new();
	size_t i;

	(void)state;
	for (i = 0; i < NR_COMMANDS; i++)
		assert_errno(ioctl(dev, commands[i], NULL), EFAULT);
	assert_fixture_intact(key);
	fixture_free(key);
}

static void assert_bad_pointer(void *p)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++)
		assert_errno(ioctl(dev, commands[i], p), EFAULT);
}

static void abi_unmapped_memory_is_efault(void **state)
{
	char *p = mmap(NULL, page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	munmap(p, page);
	assert_bad_pointer(p);
	/* The field that is read lies on the missing page. */
	assert_bad_pointer(p - 8);
}

static void abi_kernel_addresses_are_efault(void **state)
{
	(void)state;
	assert_bad_pointer((void *)0xffff888000001000UL);
	assert_bad_pointer((void *)-page);
	assert_bad_pointer((void *)-8L);
	assert_bad_pointer((void *)0x8000000000000000UL);
}

/* The number can be read, but the size cannot be stored. */
static void abi_getsize_into_a_read_only_page_is_efault(void **state)
{
	uint64_t key = test_key();
	struct npheap_cmd *cmd = mmap(NULL, page, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	*cmd = garbage_cmd(key * page);
	munmap(map_key(key, page), page);
	mprotect(cmd, page, PROT_READ);
	assert_errno(ioctl(dev, NPHEAP_IOCTL_GETSIZE, cmd), EFAULT);
	assert_untouched(cmd, key * page);
	/* The others store nothing. */
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_LOCK, cmd), 0);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_UNLOCK, cmd), 0);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_DELETE, cmd), 0);
	munmap(cmd, page);
}

/* As the size; and what was asked for is there for who asks again. */
static void abi_event_into_a_read_only_page_is_efault(void **state)
{
	struct npheap_event args = { .key = test_key() };
	struct npheap_event *event = mmap(NULL, page, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	*event = args;
	mprotect(event, page, PROT_READ);
	assert_errno(ioctl(dev, NPHEAP_IOC_EVENT, event), EFAULT);
	assert_memory_equal(event, &args, sizeof(args));
	/* The others store nothing: this event is past, so nobody waits. */
	assert_int_equal(ioctl(dev, NPHEAP_IOC_NOTIFY, event), 0);
	assert_int_equal(ioctl(dev, NPHEAP_IOC_WAIT, event), 0);
	mprotect(event, page, PROT_READ | PROT_WRITE);
	assert_int_equal(ioctl(dev, NPHEAP_IOC_EVENT, event), 0);
	assert_true(event->event && !(event->event & 1));
	munmap(event, page);
}

/* Whether the command takes it: what is not used must be 0. */
static void expect_event(unsigned long request, struct npheap_event args,
			 int err)
{
	args.key = test_key();
	if (err)
		assert_errno(ioctl(dev, request, &args), err);
	else
		assert_int_equal(ioctl(dev, request, &args), 0);
}

static void abi_events_take_what_they_use_only(void **state)
{
	static const struct {
		struct npheap_event args;
		int event, wait, notify;
	} cases[] = {
		{ { .event = 0 }, 0, 0, 0 },
		{ { .event = 2 }, EINVAL, 0, EINVAL },
		{ { .timeout = 1 }, EINVAL, 0, EINVAL },
		{ { .timeout = UINT64_MAX }, EINVAL, 0, EINVAL },
		{ { .count = 1 }, EINVAL, EINVAL, 0 },
		{ { .count = UINT32_MAX }, EINVAL, EINVAL, 0 },
		{ { .event = 2, .count = 1 }, EINVAL, EINVAL, EINVAL },
		{ { .reserved = 1 }, EINVAL, EINVAL, EINVAL },
	};
	size_t i;

	(void)state;
	/* These events are past, or never come: no wait begins. */
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_event(NPHEAP_IOC_EVENT, cases[i].args, cases[i].event);
		expect_event(NPHEAP_IOC_WAIT, cases[i].args, cases[i].wait);
		expect_event(NPHEAP_IOC_NOTIFY, cases[i].args, cases[i].notify);
	}
}

/* An argument that lies in an object itself, which the module faults in. */
static void abi_argument_may_lie_in_an_object(void **state)
{
	uint64_t key = test_key();
	struct npheap_cmd *cmd = map_key(key, page);

	(void)state;
	*cmd = garbage_cmd(key * page);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_GETSIZE, cmd), page);
	assert_int_equal(cmd->size, page);
	munmap(cmd, page);
	command(NPHEAP_IOCTL_DELETE, key);
}

static void assert_refused(uint64_t offset, int expected)
{
	struct npheap_cmd cmd;
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++) {
		cmd = garbage_cmd(offset);
		assert_errno(ioctl(dev, commands[i], &cmd), expected);
		assert_untouched(&cmd, offset);
	}
}

static void abi_misaligned_offset_is_einval(void **state)
{
	uint64_t key = fixture_new();

	(void)state;
	assert_refused(key * page + 1, EINVAL);
	assert_refused(key * page + page / 2, EINVAL);
	assert_refused(key * page + page - 1, EINVAL);
	assert_refused(key * page - 1, EINVAL);
	assert_fixture_intact(key);
	fixture_free(key);
}

/* Never another object: not the one under the key's lower bits, either. */
static void abi_key_above_the_range_is_eoverflow(void **state)
{
	uint64_t key = fixture_new();
	uint64_t first = NPHEAP_KEY_MAX + 1;
	long long locks = locks_in_use();

	(void)state;
	assert_refused(first * page, EOVERFLOW);
	assert_refused((first + key) * page, EOVERFLOW);
	assert_refused(-page, EOVERFLOW);
	assert_int_equal(locks_in_use(), locks);
	assert_fixture_intact(key);
	fixture_free(key);
}

static void abi_last_key_is_in_range(void **state)
{
	(void)state;
	assert_int_equal(command(NPHEAP_IOCTL_LOCK, NPHEAP_KEY_MAX), 0);
	assert_int_equal(command(NPHEAP_IOCTL_GETSIZE, NPHEAP_KEY_MAX), 0);
	assert_int_equal(command(NPHEAP_IOCTL_UNLOCK, NPHEAP_KEY_MAX), 0);
	assert_int_equal(command(NPHEAP_IOCTL_DELETE, NPHEAP_KEY_MAX), 0);
}

static bool is_command(unsigned long request)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++)
		if (commands[i] == request)
			return true;
	/* These have structures of their own. */
	for (i = 0; i < NR_RECORD_COMMANDS; i++)
		if (record_commands[i] == request)
			return true;
	return false;
}

static void assert_enotty(unsigned long request, uint64_t key)
{
	struct npheap_cmd cmd = garbage_cmd(key * page);

	assert_errno(ioctl(dev, request, &cmd), ENOTTY);
	assert_untouched(&cmd, key * page);
}

/*
 * All 256 numbers in this encoding; among them those that belong to others,
 * 0x47-0x49, 0x50, 0x51 and 0x80-0x8f.
 */
static void abi_unknown_numbers_are_enotty(void **state)
{
	uint64_t key = fixture_new();
	unsigned long request;
	int nr;

	(void)state;
	for (nr = 0; nr < 256; nr++) {
		request = _IOWR('N', nr, struct npheap_cmd);
		if (!is_command(request))
			assert_enotty(request, key);
	}
	assert_fixture_intact(key);
	fixture_free(key);
}

/* What others use with layouts and directions of their own. */
static void abi_numbers_of_others_are_free(void **state)
{
	static const unsigned char numbers[] = { 0x47, 0x48, 0x49, 0x50, 0x51 };
	uint64_t key = fixture_new();
	size_t i;
	int nr;

	(void)state;
	for (i = 0; i < sizeof(numbers); i++) {
		assert_enotty(_IO('N', numbers[i]), key);
		assert_enotty(_IOWR('N', numbers[i], uint64_t), key);
	}
	for (nr = 0x80; nr <= 0x8f; nr++) {
		assert_enotty(_IO('N', nr), key);
		assert_enotty(_IOW('N', nr, char[40]), key);
		assert_enotty(_IOWR('N', nr, uint64_t), key);
	}
	assert_fixture_intact(key);
	fixture_free(key);
}

static void abi_other_encodings_are_enotty(void **state)
{
	uint64_t key = fixture_new();
	int nr;

	(void)state;
	for (nr = 0x43; nr <= 0x46; nr++) {
		assert_enotty(_IO('N', nr), key);
		assert_enotty(_IOR('N', nr, struct npheap_cmd), key);
		assert_enotty(_IOW('N', nr, struct npheap_cmd), key);
		assert_enotty(_IOWR('N', nr, char[24]), key);
		/* The 32-bit caller's number is none of a 64-bit caller's. */
		assert_enotty(_IOWR('N', nr, char[28]), key);
		assert_enotty(_IOWR('N', nr, char[40]), key);
		assert_enotty(_IOWR('M', nr, struct npheap_cmd), key);
		assert_enotty(nr, key);
	}
	assert_fixture_intact(key);
	fixture_free(key);
}

/* Also with a bad pointer: the number is looked at first. */
static void abi_unknown_number_with_bad_pointer_is_enotty(void **state)
{
	(void)state;
	assert_errno(ioctl(dev, _IOWR('N', 0x47, struct npheap_cmd), NULL),
		     ENOTTY);
	assert_errno(ioctl(dev, TCGETS, NULL), ENOTTY);
}

/* ------------------------------------------------------------ open modes -- */

static void abi_device_is_not_for_everybody(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(NPHEAP_DEVICE, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(major(st.st_rdev), 10);
	assert_int_equal(st.st_mode & 0007, 0);
}

static int try_opening(void *arg)
{
	(void)arg;
	child_check(!setgid(65534) && !setuid(65534));
	child_check(open(NPHEAP_DEVICE, O_RDWR) == -1 && errno == EACCES);
	child_check(open(NPHEAP_DEVICE, O_RDONLY) == -1 && errno == EACCES);
	return 0;
}

static void abi_open_without_permission_is_eacces(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(NPHEAP_DEVICE, &st), 0);
	if (st.st_mode & 0007 || st.st_gid == 65534) {
		printf("# somebody has changed the mode of the device\n");
		skip();
	}
	expect_exit(spawn(try_opening, NULL), 0);
}

static void abi_read_only_may_only_look(void **state)
{
	uint64_t key = fixture_new();
	struct npheap_cmd cmd = garbage_cmd(key * page);
	int fd = open(NPHEAP_DEVICE, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(ioctl(fd, NPHEAP_IOCTL_GETSIZE, &cmd), page);
	assert_int_equal(cmd.size, page);
	cmd.size = GARBAGE;
	assert_errno(ioctl(fd, NPHEAP_IOCTL_LOCK, &cmd), EBADF);
	assert_errno(ioctl(fd, NPHEAP_IOCTL_UNLOCK, &cmd), EBADF);
	assert_errno(ioctl(fd, NPHEAP_IOCTL_DELETE, &cmd), EBADF);
	assert_untouched(&cmd, key * page);
	/* A bad argument is told first, and an unknown number before it. */
	cmd.offset = key * page + 1;
	assert_errno(ioctl(fd, NPHEAP_IOCTL_DELETE, &cmd), EINVAL);
	assert_errno(ioctl(fd, _IO('N', 0x47), &cmd), ENOTTY);
	close(fd);
	assert_fixture_intact(key);
	fixture_free(key);
}

static void abi_read_and_write_do_nothing(void **state)
{
	char buffer[8] = "poison";

	(void)state;
	assert_errno(read(dev, buffer, sizeof(buffer)), EINVAL);
	assert_errno(write(dev, buffer, sizeof(buffer)), EINVAL);
	assert_string_equal(buffer, "poison");
}

/* -------------------------------------------------------- large objects -- */

/* Raises the heap's limit for the test; skips it where RAM is too small. */
static long long set_limit_for(uint64_t size)
{
	long long old = heap_stat("max_bytes");

	if (available_bytes() < (long long)(size + size / 4)) {
		printf("# needs %llu MiB of free memory\n",
		       (unsigned long long)(size + size / 4) >> 20);
		skip();
	}
	heap_set("max_bytes", heap_stat("bytes") + (long long)size);
	return old;
}

#ifdef __x86_64__

/* ------------------------------------------------------- 32-bit callers -- */

struct cmd32 {
	uint64_t op;
	uint64_t offset;
	uint64_t size;
	uint32_t data;
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct cmd32) == 28, "size of the 32-bit npheap_cmd");

#define LOCK32 0xc01c4e43
#define UNLOCK32 0xc01c4e44
#define DELETE32 0xc01c4e45
#define GETSIZE32 0xc01c4e46

static int ioctl32(uint32_t request, uint32_t arg)
{
	return syscall32(54, dev, request, arg);
}

/* Memory that a 32-bit pointer reaches, where the kernel takes such calls. */
static struct cmd32 *cmd32_new(void)
{
	void *p;

	need_syscall32();
	p = mmap(NULL, page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static uint32_t pointer32(const void *p)
{
	assert_true((uintptr_t)p <= UINT32_MAX);
	return (uintptr_t)p;
}

/* The first fields are laid out alike; what lies behind is poisoned, too. */
static void poison32(struct cmd32 *cmd, uint64_t offset)
{
	memset(cmd, 0xa5, 64);
	cmd->offset = offset;
}

static void assert_untouched32(const struct cmd32 *cmd, uint64_t offset)
{
	unsigned char expected[64];

	memset(expected, 0xa5, sizeof(expected));
	memcpy(expected + 8, &offset, sizeof(offset));
	assert_memory_equal(cmd, expected, sizeof(expected));
}

static void abi32_lock_and_unlock(void **state)
{
	struct cmd32 *cmd = cmd32_new();
	uint64_t key = test_key();

	(void)state;
	poison32(cmd, key * page);
	assert_int_equal(ioctl32(LOCK32, pointer32(cmd)), 0);
	assert_errno(npheap_lock(dev, key), EDEADLK);
	assert_int_equal(ioctl32(LOCK32, pointer32(cmd)), -EDEADLK);
	assert_int_equal(ioctl32(UNLOCK32, pointer32(cmd)), 0);
	assert_int_equal(ioctl32(UNLOCK32, pointer32(cmd)), -EPERM);
	assert_untouched32(cmd, key * page);
	munmap(cmd, page);
}

static void abi32_getsize_and_delete(void **state)
{
	struct cmd32 *cmd = cmd32_new();
	uint64_t key = test_key();

	(void)state;
	munmap(map_key(key, 5 * page), 5 * page);
	poison32(cmd, key * page);
	assert_int_equal(ioctl32(GETSIZE32, pointer32(cmd)), 5 * page);
	assert_int_equal(cmd->size, 5 * page);
	cmd->size = GARBAGE;
	assert_untouched32(cmd, key * page);
	assert_int_equal(ioctl32(DELETE32, pointer32(cmd)), 0);
	assert_untouched32(cmd, key * page);
	assert_int_equal(npheap_getsize(dev, key), 0);
	munmap(cmd, page);
}

/* The structure ends with the page: 28 bytes must do. */
static void abi32_touches_28_bytes_only(void **state)
{
	struct cmd32 *first = cmd32_new();
	uint64_t key = test_key();
	struct cmd32 *cmd;

	(void)state;
	munmap(map_key(key, page), page);
	cmd = (struct cmd32 *)((char *)first + page - sizeof(*cmd));
	memset(cmd, 0xa5, sizeof(*cmd));
	cmd->offset = key * page;
	assert_int_equal(ioctl32(LOCK32, pointer32(cmd)), 0);
	assert_int_equal(ioctl32(GETSIZE32, pointer32(cmd)), page);
	assert_int_equal(ioctl32(DELETE32, pointer32(cmd)), 0);
	assert_int_equal(ioctl32(UNLOCK32, pointer32(cmd)), 0);
	munmap(first, page);
}

static void abi32_keys_have_64_bits(void **state)
{
	struct cmd32 *cmd = cmd32_new();
	uint64_t key = test_key() + (1ULL << 40);

	(void)state;
	munmap(map_key(key, page), page);
	poison32(cmd, key * page);
	assert_int_equal(ioctl32(GETSIZE32, pointer32(cmd)), page);
	poison32(cmd, (uint32_t)(key * page));
	assert_int_equal(ioctl32(GETSIZE32, pointer32(cmd)), 0);
	npheap_delete(dev, key);
	munmap(cmd, page);
}

/* Those have one layout; what they point at may be no more than 32 bits. */
static void abi32_creates_and_resizes(void **state)
{
	void *p = cmd32_new();
	struct npheap_create *item = p;
	struct npheap_create_many *many = p;
	struct npheap_resize *resize = p;
	struct npheap_stat *stat = p;
	uint64_t key = test_key() + (1ULL << 40);

	(void)state;
	*item = (struct npheap_create){ key, page, 1ULL << 40, 0, 0 };
	assert_int_equal(ioctl32(NPHEAP_IOC_CREATE, pointer32(p)), 0);
	*resize = (struct npheap_resize){ key, 3 * page, 0, 0 };
	assert_int_equal(ioctl32(NPHEAP_IOC_RESIZE, pointer32(p)), 0);
	*stat = (struct npheap_stat){ .key = key };
	assert_int_equal(ioctl32(NPHEAP_IOC_STAT, pointer32(p)), 0);
	assert_int_equal(stat->key, key);
	assert_int_equal(stat->size, 3 * page);
	assert_int_equal(stat->max_size, 1ULL << 40);
	npheap_delete(dev, key);
	item[1] = (struct npheap_create){ key, page, 0, 0, 0 };
	item[2] = (struct npheap_create){ key + 1, page, 0, 0, 0 };
	*many = (struct npheap_create_many){ pointer32(item + 1), 2, 0 };
	assert_int_equal(ioctl32(NPHEAP_IOC_CREATE_MANY, pointer32(p)), 2);
	assert_int_equal(size_by_ioctl(key + 1), page);
	npheap_delete(dev, key);
	npheap_delete(dev, key + 1);
	munmap(p, page);
}

static void assert_refused32(struct cmd32 *cmd, uint64_t offset, int err)
{
	uint32_t nr;

	for (nr = 0x43; nr <= 0x46; nr++) {
		poison32(cmd, offset);
		assert_int_equal(ioctl32(0xc01c4e00 | nr, pointer32(cmd)),
				 err);
		assert_untouched32(cmd, offset);
	}
}

static void abi32_errors(void **state)
{
	struct cmd32 *cmd = cmd32_new();
	uint64_t key = fixture_new();
	int nr;

	(void)state;
	assert_refused32(cmd, key * page + 1, -EINVAL);
	assert_refused32(cmd, (NPHEAP_KEY_MAX + 1) * page, -EOVERFLOW);
	poison32(cmd, key * page);
	for (nr = 0x43; nr <= 0x46; nr++)
		assert_int_equal(ioctl32(0xc01c4e00 | nr, 0), -EFAULT);
	assert_int_equal(ioctl32(0xc01c4e47, pointer32(cmd)), -ENOTTY);
	assert_int_equal(ioctl32(0xc0184e43, pointer32(cmd)), -ENOTTY);
	assert_int_equal(ioctl32(0x401c4e45, pointer32(cmd)), -ENOTTY);
	assert_untouched32(cmd, key * page);
	assert_fixture_intact(key);
	fixture_free(key);
	munmap(cmd, page);
}

struct wait32 {
	struct cmd32 *cmd;
	struct gate *started;
};

static void on_signal(int sig)
{
	(void)sig;
}

/* The call is restarted after the handler here, too. */
static int wait32(void *arg)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct wait32 *wait = arg;

	sigaction(SIGUSR1, &action, NULL);
	gate_add(wait->started, 1);
	child_check(!ioctl32(LOCK32, (uintptr_t)wait->cmd));
	child_check(!ioctl32(UNLOCK32, (uintptr_t)wait->cmd));
	return 0;
}

static void abi32_wait(void **state)
{
	struct wait32 wait = { .cmd = cmd32_new(), .started = gate_new() };
	uint64_t key = test_key();
	pid_t pid;
	int i;

	(void)state;
	poison32(wait.cmd, key * page);
	assert_int_equal(npheap_lock(dev, key), 0);
	pid = spawn(wait32, &wait);
	gate_wait(wait.started, 1);
	for (i = 0; i < 3; i++) {
		assert_true(wait_asleep(pid));
		kill(pid, SIGUSR1);
	}
	assert_true(wait_asleep(pid));
	assert_int_equal(npheap_unlock(dev, key), 0);
	expect_exit(pid, 0);
	munmap(wait.cmd, page);
	munmap(wait.started, sizeof(*wait.started));
}

static void assert_size32(struct cmd32 *cmd, uint64_t key, uint64_t size)
{
	poison32(cmd, key * page);
	assert_int_equal(ioctl32(GETSIZE32, pointer32(cmd)), INT_MAX);
	assert_int_equal(cmd->size, size);
	cmd->size = GARBAGE;
	assert_untouched32(cmd, key * page);
}

/* Larger than anything that 32 bits can say. */
static void abi32_getsize_above_4_gib(void **state)
{
	struct cmd32 *cmd = cmd32_new();
	uint64_t size = (4ULL << 30) + page;
	uint64_t key = test_key();
	long long limit;

	(void)state;
	limit = set_limit_for(size);
	munmap(map_key(key, size), size);
	assert_size32(cmd, key, size);
	npheap_delete(dev, key);
	heap_set("max_bytes", limit);
	munmap(cmd, page);
}

#endif

/* The return value is an int: it saturates, and cmd.size says how much. */
static void abi_getsize_above_2_gib(void **state)
{
	uint64_t size = (2ULL << 30) + page;
	uint64_t key = test_key();
	struct npheap_cmd cmd = garbage_cmd(key * page);
	long long limit = set_limit_for(size);

	(void)state;
	munmap(map_key(key, size), size);
	assert_int_equal(ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd), INT_MAX);
	assert_int_equal(cmd.size, size);
	assert_int_equal(npheap_delete(dev, key), 0);
	heap_set("max_bytes", limit);
}

static const struct CMUnitTest tests[] = {
	TEST(abi_ignores_op_size_and_data),
	TEST(abi_getsize_fills_size_only),
	TEST(abi_getsize_of_nothing_is_0),
	TEST(abi_delete_returns_no_size),
	TEST(abi_offset_is_the_key_in_bytes),
	TEST(abi_null_is_efault),
	TEST(abi_unmapped_memory_is_efault),
	TEST(abi_kernel_addresses_are_efault),
	TEST(abi_getsize_into_a_read_only_page_is_efault),
	TEST(abi_event_into_a_read_only_page_is_efault),
	TEST(abi_events_take_what_they_use_only),
	TEST(abi_argument_may_lie_in_an_object),
	TEST(abi_misaligned_offset_is_einval),
	TEST(abi_key_above_the_range_is_eoverflow),
	TEST(abi_last_key_is_in_range),
	TEST(abi_unknown_numbers_are_enotty),
	TEST(abi_numbers_of_others_are_free),
	TEST(abi_other_encodings_are_enotty),
	TEST(abi_unknown_number_with_bad_pointer_is_enotty),
	TEST(abi_device_is_not_for_everybody),
	TEST(abi_open_without_permission_is_eacces),
	TEST(abi_read_only_may_only_look),
	TEST(abi_read_and_write_do_nothing),
	TEST(abi_getsize_above_2_gib),
#ifdef __x86_64__
	TEST(abi32_lock_and_unlock),
	TEST(abi32_getsize_and_delete),
	TEST(abi32_touches_28_bytes_only),
	TEST(abi32_keys_have_64_bits),
	TEST(abi32_creates_and_resizes),
	TEST(abi32_errors),
	TEST(abi32_wait),
	TEST(abi32_getsize_above_4_gib),
#endif
};

int main(void)
{
	return test_main(tests);
}
