// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What calls refer to.  A program has small numbers; here they become keys,
 * descriptors and addresses, such that a wrong one harms nobody but the heap.
 */
#include "fuzz.h"
#include "object.h"

struct fuzz_world world;
uint64_t fuzz_first_key;

/* Keys at the end of their range that programs use. */
#define LAST_KEYS 16

/* What is no key stays none; every key becomes one of the fuzzer's. */
uint64_t world_key(uint64_t number)
{
	if (number > NPHEAP_KEY_MAX)
		return number;
	if (number < FUZZ_OWN_KEYS) {
		world.used |= 1U << number;
		return world.own_keys + number;
	}
	if (number < FUZZ_KEYS)
		return fuzz_first_key + number;
	return NPHEAP_KEY_MAX - number % LAST_KEYS;
}

uint64_t world_offset(uint64_t number)
{
	/* In bytes there are more keys: beyond the end of these, too. */
	return number > NPHEAP_KEY_MAX ? number | 1ULL << 63 :
					 world_key(number) * page;
}

int world_fd(uint64_t number)
{
	return number < FUZZ_FDS ? world.fds[number] : -1;
}

struct fuzz_mapping *world_mapping(uint64_t number)
{
	return &world.maps[number % FUZZ_MAPPINGS];
}

/* -------------------------------------------------------------- pointers -- */

enum place {
	GOOD,
	NOWHERE,
	UNMAPPED,
	READ_ONLY,
	AT_AN_EDGE,
	IN_THE_KERNEL,
	UNALIGNED,
	IN_AN_OBJECT,
};

/* A page for what threads copy, then one that is never mapped. */
#define PAGES_OF_THREAD 2

static char *thread_page(const char *pages, const struct fuzz_thread *t)
{
	return (char *)pages + t->number * PAGES_OF_THREAD * page;
}

static void *put(char *p, const void *content, size_t size)
{
	memcpy(p, content, size);
	return p;
}

/* The page after it is not there: half of it can be copied. */
static void *put_at_an_edge(char *end, const void *content, size_t size)
{
	memcpy(end - size / 2, content, size / 2);
	return end - size / 2;
}

void *world_place(struct fuzz_thread *t, uint64_t pointer, void *content,
		  size_t size)
{
	char *p = thread_page(world.pages, t);

	switch (pointer) {
	case GOOD:
		return content;
	case NOWHERE:
		return NULL;
	case UNMAPPED:
		return p + page;
	case READ_ONLY:
		put(p, content, size);
		return thread_page(world.read_only_pages, t);
	case AT_AN_EDGE:
		return put_at_an_edge(p + page, content, size);
	case IN_THE_KERNEL:
		return (void *)0xffff888000000000;
	case UNALIGNED:
		return put(p + 3, content, size);
	case IN_AN_OBJECT:
		return world.maps[0].addr ?
			put(world.maps[0].addr, content, size) : NULL;
	default:
		/* Of something else, if the kernel told that one. */
		return (void *)pointer;
	}
}

/* --------------------------------------------------------- begin and end -- */

static char *map_anywhere(size_t size, int prot, int flags, int fd)
{
	char *p = mmap(NULL, size, prot, flags, fd, 0);

	child_check(p != MAP_FAILED);
	return p;
}

/* The same pages twice, so that what cannot be written can have contents. */
static void make_pages(void)
{
	size_t size = FUZZ_THREADS * PAGES_OF_THREAD * page;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	int i;

	child_check(fd >= 0 && !ftruncate(fd, size));
	world.pages = map_anywhere(size, PROT_READ | PROT_WRITE, MAP_SHARED,
				   fd);
	world.read_only_pages = map_anywhere(size, PROT_READ, MAP_SHARED, fd);
	close(fd);
	for (i = 0; i < FUZZ_THREADS; i++)
		child_check(!mprotect(world.pages +
				      (i * PAGES_OF_THREAD + 1) * page,
				      page, PROT_NONE));
}

void world_new(unsigned int worker)
{
	static const int modes[] = { O_RDWR, O_RDONLY, O_WRONLY };
	int i;

	/* Keys of workers come after those of all. */
	world.own_keys = fuzz_first_key + FUZZ_KEYS + worker * FUZZ_OWN_KEYS;
	for (i = 0; i < FUZZ_FDS; i++)
		world.fds[i] = -1;
	for (i = 0; i < 3; i++) {
		world.fds[i] = open(NPHEAP_DEVICE, modes[i] | O_CLOEXEC);
		child_check(world.fds[i] >= 0);
	}
	world.zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	make_pages();
}

static void forget_mappings(void)
{
	struct npheap_attach *a;
	int i;

	for (i = 0; i < FUZZ_MAPPINGS; i++) {
		if (world.maps[i].addr)
			munmap(world.maps[i].addr, world.maps[i].length);
		world.maps[i] = (struct fuzz_mapping){ 0 };
		a = &world.attached[i];
		if (a->addr)
			munmap((void *)a->addr, a->length);
		memset(a, 0, sizeof(*a));
	}
	if (atomic_exchange(&world.mapped, false))
		munmap(FUZZ_WINDOWS, FUZZ_MAPPINGS * FUZZ_WINDOW);
}

static void forget_descriptors(void)
{
	int i, fd;

	for (i = 3; i < FUZZ_FDS; i++) {
		fd = atomic_exchange(&world.fds[i], -1);
		if (fd >= 0)
			close(fd);
	}
}

static void delete_keys(uint64_t first, uint64_t count)
{
	while (count--)
		child_check(!npheap_delete(dev, first++));
}

/* ---------------------------------------------------------------- limits -- */

/* The attribute that counts what the limit is of. */
static const char *usage_of(const char *limit)
{
	limit += strlen("max_");
	return strncmp(limit, "user_", 5) ? limit : limit + 5;
}

long world_limit(uint64_t which, uint64_t more)
{
	const char *limit = limit_names[which % NR_LIMITS];

	world.limited = true;
	return heap_write(limit, heap_stat(usage_of(limit)) + more % 64);
}

void world_clear(void)
{
	uint64_t key;

	if (atomic_exchange(&world.limited, false))
		limits_restore();
	forget_mappings();
	forget_descriptors();
	for (key = 0; key < FUZZ_OWN_KEYS; key++)
		if (world.used & 1U << key)
			delete_keys(world.own_keys + key, 1);
	world.used = 0;
}

/* Of a table of /proc/npheap, whose lines begin with a key. */
static void for_each_key(const char *path, void (*f)(uint64_t key))
{
	FILE *file = fopen(path, "re");
	char line[256];

	child_check(file && fgets(line, sizeof(line), file));
	while (fgets(line, sizeof(line), file))
		f(strtoull(line, NULL, 10));
	fclose(file);
}

static void delete_key(uint64_t key)
{
	delete_keys(key, 1);
}

/* Arguments that lie in an object can change, so there may be any key. */
void world_delete_objects(void)
{
	/* What changes while it is read may be missed. */
	while (heap_stat("objects"))
		for_each_key("/proc/npheap/objects", delete_key);
}

/* A key that is marked, or whose word is rubbish, keeps its record. */
static void settle_key(uint64_t key)
{
	struct npheap_lock_args args = {
		.key = key, .flags = NPHEAP_LOCK_TRY | NPHEAP_LOCK_REPORT,
	};

	child_check(!ioctl(dev, NPHEAP_IOC_BREAK, &key));
	if (ioctl(dev, NPHEAP_IOC_LOCK, &args)) {
		child_check(errno == EOWNERDEAD);
		child_check(!ioctl(dev, NPHEAP_IOC_CONSISTENT, &key));
	}
	child_check(!unlock_by_ioctl(key));
}

int world_settle_locks(void *arg)
{
	(void)arg;
	for_each_key("/proc/npheap/locks", settle_key);
	return 0;
}

void world_create_objects(void)
{
	struct npheap_create create = { 0 };
	uint64_t key;

	for (key = FUZZ_HOT_KEYS; key < FUZZ_OBJECTS; key++) {
		create.key = fuzz_first_key + key;
		create.size = (key % 4 + 1) * page;
		create.max_size = key % 3 ? 0 : 16 * page;
		create.flags = key % 5 ? 0 : NPHEAP_CREATE_SPARSE;
		child_check(!ioctl(dev, NPHEAP_IOC_CREATE, &create));
	}
}
