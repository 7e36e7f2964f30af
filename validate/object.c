// SPDX-License-Identifier: GPL-2.0-or-later
/* What object.h promises. */
#include <sys/stat.h>

#include "object.h"

struct usage usage_now(void)
{
	return (struct usage){
		.bytes = heap_stat("bytes"),
		.deleted = heap_stat("deleted_bytes"),
		.objects = heap_stat("objects"),
		.sparse = heap_stat("sparse_bytes"),
	};
}

void assert_more(struct usage before, long long bytes, long long deleted,
		 long long objects, long long sparse)
{
	struct usage now = usage_now();

	assert_int_equal(now.bytes - before.bytes, bytes);
	assert_int_equal(now.deleted - before.deleted, deleted);
	assert_int_equal(now.objects - before.objects, objects);
	assert_int_equal(now.sparse - before.sparse, sparse);
}

void assert_usage(struct usage before)
{
	assert_more(before, 0, 0, 0, 0);
}

const char *const limit_names[NR_LIMITS] = {
	"max_bytes", "max_objects", "max_sparse_bytes", "max_locks",
	"max_user_bytes", "max_user_objects", "max_user_sparse_bytes",
	"max_user_locks",
};

static long long kept[NR_LIMITS];

void limits_keep(void)
{
	size_t i;

	/* Those of a user are the heap's own at first, whatever that is. */
	for (i = 0; i < NR_LIMITS; i++)
		kept[i] = strncmp(limit_names[i], "max_user_", 9) ?
			  heap_stat(limit_names[i]) : INT64_MAX;
}

void limits_restore(void)
{
	size_t i;

	for (i = 0; i < NR_LIMITS; i++)
		heap_write(limit_names[i], kept[i]);
}

/* Also after a failure, so that it does not make all others fail. */
int limits_end(void **state)
{
	limits_restore();
	return test_end(state);
}

void need_group(void)
{
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	/* One that a failed test has left has its limits and counts. */
	rmdir(GROUP);
	if (!mkdir(GROUP, 0755) && !access(GROUP "/memory.max", F_OK))
		return;
	rmdir(GROUP);
	printf("# no memory controller of cgroup2\n");
	skip();
}

int enter_group(void)
{
	return write_text(GROUP "/cgroup.procs", "0");
}

struct leftovers leftovers_now(void)
{
	return (struct leftovers){
		.objects = heap_stat("objects"),
		.bytes = heap_stat("bytes"),
		.deleted = heap_stat("deleted_bytes"),
		.sparse = heap_stat("sparse_bytes"),
		.locks = heap_stat("locks"),
		.references = read_number("/sys/module/npheap/refcnt"),
	};
}

int leftovers_are(struct leftovers before)
{
	struct leftovers now = leftovers_now();

	if (!memcmp(&before, &now, sizeof(now)))
		return 1;
	printf("# left: objects %lld, bytes %lld, deleted %lld, sparse %lld, locks %lld, references %lld\n",
	       now.objects - before.objects, now.bytes - before.bytes,
	       now.deleted - before.deleted, now.sparse - before.sparse,
	       now.locks - before.locks, now.references - before.references);
	return 0;
}

int is_filled(const void *p, int byte, size_t size)
{
	const char *c = p;

	return c[0] == (char)byte && !memcmp(c, c + 1, size - 1);
}

void stamp(char *p, size_t pages, int base)
{
	size_t i;

	for (i = 0; i < pages; i++)
		memset(p + i * page, base + i, page);
}

int is_stamped(const char *p, size_t pages, int base)
{
	size_t i;

	for (i = 0; i < pages; i++)
		if (!is_filled(p + i * page, base + i, page))
			return 0;
	return 1;
}

static sigjmp_buf touched;

static void on_fault(int sig)
{
	siglongjmp(touched, sig);
}

int touch(volatile char *p, enum how how)
{
	struct sigaction action = { .sa_handler = on_fault };
	struct sigaction bus, segv;
	int sig;

	sigaction(SIGBUS, &action, &bus);
	sigaction(SIGSEGV, &action, &segv);
	sig = sigsetjmp(touched, 1);
	if (!sig) {
		if (how == WRITE)
			*p = 1;
		else
			(void)*p;
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return sig;
}

size_t count_present(const char *p, size_t pages)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t *entries = calloc(pages, sizeof(*entries));
	size_t i, n = 0;

	assert_non_null(entries);
	assert_int_equal(pread(fd, entries, pages * 8, (uintptr_t)p / page * 8),
			 pages * 8);
	for (i = 0; i < pages; i++)
		n += entries[i] >> 63;
	free(entries);
	close(fd);
	return n;
}

int has_huge_pages(void)
{
	return !access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK);
}

void unmap(void *p, size_t size)
{
	assert_int_equal(munmap(p, size), 0);
}

void delete(uint64_t key)
{
	assert_int_equal(npheap_delete(dev, key), 0);
}

void drop(void *p, size_t size, uint64_t key)
{
	unmap(p, size);
	delete(key);
}
