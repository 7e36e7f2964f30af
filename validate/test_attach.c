// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attachments: objects that are mapped once in a process, however often they
 * are asked for, and whatever happens to the object or the mapping meanwhile.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "test.h"

#define MAPS "/proc/self/maps"

static struct npheap *heap;
static uint64_t key;

static void heap_open(void **state)
{
	(void)state;
	key = test_key();
	assert_int_equal(npheap_open(NULL, 0, &heap), 0);
}

static void heap_close(void)
{
	assert_int_equal(npheap_remove(heap, key), 0);
	npheap_close(heap);
}

static const struct npheap_mapping *attach(uint64_t k, uint64_t size)
{
	const struct npheap_mapping *m = NULL;

	assert_int_equal(npheap_attach(heap, k, size, &m), 0);
	assert_int_equal(m->key, k);
	return m;
}

/* How many mappings of the key's objects the process has. */
static int mappings_of(uint64_t k)
{
	FILE *file = fopen(MAPS, "re");
	char line[256], name[64];
	int n = 0;

	snprintf(name, sizeof(name), "/npheap:%llu", (unsigned long long)k);
	while (file && fgets(line, sizeof(line), file)) {
		const char *found = strstr(line, name);

		n += found && strchr(" \n", found[strlen(name)]);
	}
	if (file)
		fclose(file);
	return n;
}

static void same_mapping_is_shared(void **state)
{
	const struct npheap_mapping *first, *second;
	long long mappings = heap_stat("mappings");

	heap_open(state);
	first = attach(key, 3 * page);
	assert_int_equal(first->size, 3 * page);
	strcpy(first->addr, "hello");
	second = attach(key, 0);
	assert_ptr_equal(second->addr, first->addr);
	assert_int_equal(mappings_of(key), 1);
	assert_int_equal(heap_stat("mappings"), mappings + 1);
	npheap_detach(heap, second);
	assert_string_equal(first->addr, "hello");
	assert_int_equal(mappings_of(key), 1);
	npheap_detach(heap, first);
	assert_int_equal(mappings_of(key), 0);
	assert_int_equal(heap_stat("mappings"), mappings);
	npheap_detach(heap, NULL);
	heap_close();
}

static void whole_object_is_mapped(void **state)
{
	const struct npheap_mapping *m;
	void *p;

	heap_open(state);
	p = map_key(key, 5 * page);
	m = attach(key, page);
	assert_int_equal(m->size, 5 * page);
	((char *)m->addr)[5 * page - 1] = 7;
	assert_int_equal(((char *)p)[5 * page - 1], 7);
	npheap_detach(heap, m);
	munmap(p, 5 * page);
	heap_close();
}

static void errors_attach_nothing(void **state)
{
	const struct npheap_mapping *m = (void *)1;
	struct npheap *reader;

	heap_open(state);
	assert_int_equal(npheap_attach(heap, key, 0, &m), -ENOENT);
	assert_int_equal(npheap_attach(heap, NPHEAP_KEY_MAX + 1, page, &m),
			 -EOVERFLOW);
	assert_int_equal(npheap_attach(heap, UINT64_MAX, page, &m), -EOVERFLOW);
	assert_int_equal(npheap_attach(heap, key, UINT64_MAX, &m), -ENOMEM);
	assert_int_equal(npheap_open(NULL, NPHEAP_RDONLY, &reader), 0);
	assert_int_equal(npheap_attach(reader, key, page, &m), -ENOENT);
	assert_ptr_equal(m, (void *)1);
	assert_int_equal(npheap_size(heap, key, &(uint64_t){ 0 }), -ENOENT);
	npheap_close(reader);
	heap_close();
}

/* No address space has room for what it may grow to. */
static void attachment_too_long_to_map_leaves_nothing(void **state)
{
	const struct npheap_mapping *m = (void *)1;
	long long objects = heap_stat("objects");
	struct npheap_create args = { .size = page, .max_size = 1ULL << 50 };
	int i;

	heap_open(state);
	args.key = key;
	assert_int_equal(ioctl(dev, NPHEAP_IOC_CREATE, &args), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(npheap_attach(heap, key, 0, &m), -ENOMEM);
	assert_ptr_equal(m, (void *)1);
	heap_close();
	assert_int_equal(heap_stat("objects"), objects);
}

static int write_to(void *p)
{
	*(volatile char *)p = 1;
	return 0;
}

static int write_after_mprotect(void *p)
{
	child_check(mprotect(p, page, PROT_READ | PROT_WRITE) == -1);
	return errno == EACCES ? 0 : 1;
}

static void read_only_handle_attaches_for_reading(void **state)
{
	const struct npheap_mapping *m, *r, *again;
	struct npheap *reader;

	heap_open(state);
	m = attach(key, page);
	strcpy(m->addr, "read me");
	assert_int_equal(npheap_open(NULL, NPHEAP_RDONLY, &reader), 0);
	assert_int_equal(npheap_attach(reader, key, 0, &r), 0);
	assert_ptr_not_equal(r->addr, m->addr);
	assert_string_equal(r->addr, "read me");
	assert_int_equal(npheap_attach(reader, key, 0, &again), 0);
	assert_ptr_equal(again, r);
	expect_death(write_to, r->addr, SIGSEGV);
	expect_exit(spawn(write_after_mprotect, r->addr), 0);
	npheap_detach(reader, again);
	npheap_detach(reader, r);
	npheap_detach(heap, m);
	assert_int_equal(mappings_of(key), 0);
	npheap_close(reader);
	heap_close();
}

/* ---------------------------------------------------------- no system calls */

#define MILLION 1000000

static int attach_often(void *arg)
{
	const struct npheap_mapping *m, *first;
	int i;

	(void)arg;
	child_check(!npheap_attach(heap, key, page, &first));
	child_check(!forbid_system_calls());
	for (i = 0; i < MILLION; i++) {
		child_check(!npheap_attach(heap, key, page, &m));
		child_check(m == first);
		npheap_detach(heap, m);
	}
	return 0;
}

static void second_attach_takes_no_system_call(void **state)
{
	heap_open(state);
	expect_exit(spawn(attach_often, NULL), 0);
	heap_close();
}

/* ------------------------------------------------- deletion, and again there */

static void deleted_object_is_not_attached_again(void **state)
{
	const struct npheap_mapping *old, *new;

	heap_open(state);
	old = attach(key, page);
	strcpy(old->addr, "old");
	npheap_detach(heap, attach(key, 0));
	assert_int_equal(npheap_remove(heap, key), 0);
	assert_int_equal(npheap_attach(heap, key, 0, &new), -ENOENT);
	new = attach(key, 2 * page);
	assert_ptr_not_equal(new->addr, old->addr);
	assert_int_equal(new->size, 2 * page);
	assert_string_equal(new->addr, "");
	assert_string_equal(old->addr, "old");
	npheap_detach(heap, old);
	strcpy(new->addr, "new");
	assert_ptr_equal(attach(key, 0), new);
	npheap_detach(heap, new);
	npheap_detach(heap, new);
	assert_int_equal(mappings_of(key), 0);
	heap_close();
}

static int replace_object(void *arg)
{
	void *p;

	(void)arg;
	child_check(!npheap_delete(dev, key));
	p = npheap_alloc(dev, key, page);
	child_check(p != MAP_FAILED);
	*(uint64_t *)p = 4711;
	return 0;
}

static void object_replaced_by_another_process_is_seen(void **state)
{
	const struct npheap_mapping *m;
	int i;

	heap_open(state);
	for (i = 0; i < 20; i++) {
		m = attach(key, page);
		npheap_detach(heap, attach(key, 0));
		*(uint64_t *)m->addr = 1;
		expect_exit(spawn(replace_object, NULL), 0);
		assert_int_equal(*(uint64_t *)m->addr, 1);
		npheap_detach(heap, m);
		m = attach(key, 0);
		assert_int_equal(*(uint64_t *)m->addr, 4711);
		npheap_detach(heap, m);
	}
	heap_close();
}

/* --------------------------------------------- the program unmaps by itself */

static void unmapped_by_the_program(void **state)
{
	const struct npheap_mapping *m, *again;

	heap_open(state);
	m = attach(key, 2 * page);
	strcpy(m->addr, "hello");
	npheap_detach(heap, attach(key, 0));
	assert_int_equal(munmap(m->addr, 2 * page), 0);
	assert_int_equal(mappings_of(key), 0);
	again = attach(key, 0);
	assert_string_equal(again->addr, "hello");
	assert_int_equal(mappings_of(key), 1);
	/* Even if it is at the same address now, it is not what that was. */
	npheap_detach(heap, m);
	assert_string_equal(again->addr, "hello");
	npheap_detach(heap, again);
	heap_close();
}

/* What is in its place now is none of ours. */
static void replaced_by_the_program(void **state)
{
	const struct npheap_mapping *old, *new;
	char *p;

	heap_open(state);
	old = attach(key, page);
	p = old->addr;
	strcpy(p, "hello");
	npheap_detach(heap, attach(key, 0));
	assert_ptr_equal(mmap(p, page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 p);
	strcpy(p, "mine");
	new = attach(key, 0);
	assert_ptr_not_equal(new, old);
	assert_string_equal(new->addr, "hello");
	npheap_detach(heap, old);
	assert_string_equal(p, "mine");
	npheap_detach(heap, new);
	assert_int_equal(mappings_of(key), 0);
	munmap(p, page);
	heap_close();
}

/* The last one finds out only as it gives it back. */
static void unmapped_and_replaced_by_the_program(void **state)
{
	const struct npheap_mapping *m;
	void *p;

	heap_open(state);
	m = attach(key, page);
	p = m->addr;
	assert_ptr_equal(mmap(p, page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 p);
	strcpy(p, "mine");
	npheap_detach(heap, m);
	assert_string_equal(p, "mine");
	munmap(p, page);
	heap_close();
}

static void unmapped_in_part_by_the_program(void **state)
{
	const struct npheap_mapping *old, *new;

	heap_open(state);
	old = attach(key, 3 * page);
	strcpy(old->addr, "hello");
	npheap_detach(heap, attach(key, 0));
	assert_int_equal(munmap((char *)old->addr + page, page), 0);
	new = attach(key, 0);
	((char *)new->addr)[page] = 1;
	assert_string_equal(new->addr, "hello");
	npheap_detach(heap, old);
	npheap_detach(heap, new);
	heap_close();
}

static void moved_by_the_program(void **state)
{
	const struct npheap_mapping *old, *new;
	char *p;

	heap_open(state);
	old = attach(key, page);
	strcpy(old->addr, "hello");
	p = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_equal(mremap(old->addr, page, page,
				MREMAP_MAYMOVE | MREMAP_FIXED, p), p);
	new = attach(key, 0);
	assert_string_equal(new->addr, "hello");
	assert_ptr_not_equal(new->addr, p);
	munmap(p, page);
	npheap_detach(heap, new);
	npheap_detach(heap, old);
	heap_close();
}

static void move_page(char *from, char *to)
{
	assert_ptr_equal(mremap(from, page, page,
				MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
}

/* All of it is where it was, but not each page. */
static void pages_swapped_by_the_program(void **state)
{
	const struct npheap_mapping *old, *new;
	char *p, *spare;

	heap_open(state);
	old = attach(key, 2 * page);
	p = old->addr;
	strcpy(p, "first");
	strcpy(p + page, "second");
	spare = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	move_page(p, spare);
	move_page(p + page, p);
	move_page(spare, p + page);
	new = attach(key, 0);
	assert_string_equal(new->addr, "first");
	assert_string_equal((char *)new->addr + page, "second");
	npheap_detach(heap, old);
	assert_string_equal(p, "second");
	npheap_detach(heap, new);
	munmap(p, 2 * page);
	heap_close();
}

/* A shared mapping of another file system's file is none of ours, either. */
static void replaced_by_a_file_of_the_program(void **state)
{
	int fd = memfd_create("other", MFD_CLOEXEC);
	const struct npheap_mapping *old, *new;
	char *p;

	heap_open(state);
	assert_int_equal(ftruncate(fd, page), 0);
	old = attach(key, page);
	p = old->addr;
	assert_ptr_equal(mmap(p, page, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, 0), p);
	strcpy(p, "mine");
	new = attach(key, 0);
	assert_ptr_not_equal(new->addr, p);
	npheap_detach(heap, old);
	assert_string_equal(p, "mine");
	npheap_detach(heap, new);
	munmap(p, page);
	close(fd);
	heap_close();
}

/* That splits the mapping, and leaves it where it is. */
static void protected_in_part_by_the_program(void **state)
{
	const struct npheap_mapping *m;
	char *p;

	heap_open(state);
	m = attach(key, 3 * page);
	p = m->addr;
	assert_int_equal(mprotect(p + page, page, PROT_READ), 0);
	assert_ptr_equal(attach(key, 0)->addr, p);
	npheap_detach(heap, m);
	npheap_detach(heap, m);
	assert_int_equal(mappings_of(key), 0);
	heap_close();
}

/* Another one's unmapping costs a look, and changes nothing. */
static void others_stay_when_one_is_unmapped(void **state)
{
	const struct npheap_mapping *m, *other;
	void *p;

	heap_open(state);
	m = attach(key, page);
	other = attach(key + 1, page);
	p = m->addr;
	assert_int_equal(munmap(other->addr, page), 0);
	assert_ptr_equal(attach(key, 0), m);
	assert_ptr_equal(m->addr, p);
	npheap_detach(heap, m);
	npheap_detach(heap, m);
	npheap_detach(heap, other);
	assert_int_equal(npheap_remove(heap, key + 1), 0);
	heap_close();
}

/* -------------------------------------------------------------------- fork */

static int use_inherited(void *arg)
{
	const struct npheap_mapping *parents = arg, *m;

	child_check(!strcmp(parents->addr, "hello"));
	child_check(!npheap_attach(heap, key, 0, &m));
	child_check(m == parents);
	child_check(mappings_of(key) == 1);
	npheap_detach(heap, m);
	npheap_detach(heap, parents);
	child_check(mappings_of(key) == 0);
	child_check(!npheap_attach(heap, key, 0, &m));
	child_check(!strcmp(m->addr, "hello"));
	return 0;
}

static void child_has_its_parents_attachments(void **state)
{
	const struct npheap_mapping *m;

	heap_open(state);
	m = attach(key, page);
	strcpy(m->addr, "hello");
	npheap_detach(heap, attach(key, 0));
	expect_exit(spawn(use_inherited, (void *)m), 0);
	assert_ptr_equal(attach(key, 0), m);
	assert_string_equal(m->addr, "hello");
	npheap_detach(heap, m);
	npheap_detach(heap, m);
	heap_close();
}

static int attach_what_was_kept_back(void *arg)
{
	const struct npheap_mapping *m;

	(void)arg;
	child_check(mappings_of(key) == 0);
	child_check(!npheap_attach(heap, key, 0, &m));
	child_check(!strcmp(m->addr, "hello"));
	child_check(mappings_of(key) == 1);
	return 0;
}

static void child_lacks_what_was_kept_from_it(void **state)
{
	const struct npheap_mapping *m;

	heap_open(state);
	m = attach(key, page);
	strcpy(m->addr, "hello");
	assert_int_equal(madvise(m->addr, page, MADV_DONTFORK), 0);
	expect_exit(spawn(attach_what_was_kept_back, (void *)m), 0);
	npheap_detach(heap, m);
	heap_close();
}

static int unmap_before_joining(void *arg)
{
	const struct npheap_mapping *parents = arg, *m;

	child_check(!munmap(parents->addr, page));
	child_check(!npheap_attach(heap, key, 0, &m));
	child_check(!strcmp(m->addr, "hello"));
	return 0;
}

static void child_unmaps_before_it_asks(void **state)
{
	const struct npheap_mapping *m;

	heap_open(state);
	m = attach(key, page);
	strcpy(m->addr, "hello");
	npheap_detach(heap, attach(key, 0));
	expect_exit(spawn(unmap_before_joining, (void *)m), 0);
	npheap_detach(heap, m);
	heap_close();
}

/* ------------------------------------------------------------------ threads */

#define THREADS 8
#define KEYS 5

struct crowd {
	_Atomic int stop;
	_Atomic uint64_t rounds;
};

/* Each object begins with its key, so a mapping of another one shows. */
static void *attach_and_look(void *arg)
{
	struct crowd *crowd = arg;
	unsigned int seed = (uintptr_t)&seed;
	const struct npheap_mapping *m;
	uint64_t k, expected;
	int rc;

	while (!crowd->stop) {
		k = key + rand_r(&seed) % KEYS;
		rc = npheap_attach(heap, k, page, &m);
		if (rc) {
			printf("# attach: %s\n", strerror(-rc));
			return "attach failed";
		}
		expected = 0;
		if (!atomic_compare_exchange_strong((_Atomic uint64_t *)m->addr,
						    &expected, k) &&
		    expected != k)
			return "another object";
		npheap_detach(heap, m);
		crowd->rounds++;
		if (rand_r(&seed) % 64 == 0 && npheap_remove(heap, k))
			return "remove failed";
	}
	return NULL;
}

static int attach_as_a_child(void *arg)
{
	const struct npheap_mapping *m;
	int i;

	(void)arg;
	for (i = 0; i < 100; i++) {
		child_check(!npheap_attach(heap, key + i % KEYS, page, &m));
		child_check(*(uint64_t *)m->addr == 0 ||
			    *(uint64_t *)m->addr == key + i % KEYS);
		npheap_detach(heap, m);
	}
	return 0;
}

static void threads_attach_while_objects_come_and_go(void **state)
{
	struct crowd crowd = { 0 };
	pthread_t threads[THREADS];
	void *result;
	int i;

	heap_open(state);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						attach_and_look, &crowd), 0);
	for (i = 0; i < 10; i++) {
		usleep(100000);
		/* A fork in the midst of it. */
		expect_exit(spawn(attach_as_a_child, NULL), 0);
	}
	crowd.stop = 1;
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		if (result)
			printf("# %s\n", (char *)result);
		assert_ptr_equal(result, NULL);
	}
	printf("# %llu rounds\n", (unsigned long long)crowd.rounds);
	for (i = 0; i < KEYS; i++) {
		assert_int_equal(mappings_of(key + i), 0);
		assert_int_equal(npheap_remove(heap, key + i), 0);
	}
	heap_close();
}

/* More than a thread remembers. */
#define MANY 1000

static int attach_many_again(void *arg)
{
	const struct npheap_mapping *m;
	int i, round;

	(void)arg;
	for (round = 0; round < 3; round++) {
		/* The first round asks for each, as all children do. */
		if (round == 1)
			child_check(!forbid_system_calls());
		for (i = 0; i < MANY; i++) {
			child_check(!npheap_attach(heap, key + i, 0, &m));
			child_check(*(int *)m->addr == i);
			npheap_detach(heap, m);
		}
	}
	return 0;
}

static void many_objects_are_attached(void **state)
{
	static const struct npheap_mapping *all[MANY];
	int i;

	heap_open(state);
	for (i = 0; i < MANY; i++) {
		all[i] = attach(key + i, page);
		*(int *)all[i]->addr = i;
	}
	expect_exit(spawn(attach_many_again, NULL), 0);
	for (i = 0; i < MANY; i++) {
		assert_ptr_equal(attach(key + i, 0), all[i]);
		assert_int_equal(*(int *)all[i]->addr, i);
		npheap_detach(heap, all[i]);
		npheap_detach(heap, all[i]);
		assert_int_equal(npheap_remove(heap, key + i), 0);
	}
	heap_close();
}

/* --------------------------------------------------------------- the ioctls */

static void bad_arguments_do_nothing(void **state)
{
	struct npheap_attach args = { .key = 0 };

	heap_open(state);
	args.key = key;
	assert_errno(ioctl(dev, NPHEAP_IOC_ATTACH, &args), ENOENT);
	assert_errno(ioctl(dev, NPHEAP_IOC_ATTACH, NULL), EFAULT);
	args.size = 2 * page - 1;
	assert_int_equal(ioctl(dev, NPHEAP_IOC_ATTACH, &args), 0);
	assert_int_equal(args.length, 2 * page);
	/* It is there, so it is not made again. */
	assert_int_equal(ioctl(dev, NPHEAP_IOC_ATTACH, &args), 0);
	assert_int_equal(mappings_of(key), 1);
	/* Lies lead to a mapping of its own, or to none. */
	assert_errno(ioctl(dev, NPHEAP_IOC_DETACH, &args), EINVAL);
	args.size = 0;
	args.length = 3 * page;
	assert_errno(ioctl(dev, NPHEAP_IOC_DETACH, &args), EINVAL);
	args.length = UINT64_MAX;
	assert_errno(ioctl(dev, NPHEAP_IOC_DETACH, &args), EINVAL);
	args.length = 2 * page;
	args.number++;
	assert_errno(ioctl(dev, NPHEAP_IOC_DETACH, &args), EINVAL);
	args.number--;
	args.addr += page;
	assert_errno(ioctl(dev, NPHEAP_IOC_DETACH, &args), EINVAL);
	args.addr = (uintptr_t)&args & ~(page - 1);
	assert_errno(ioctl(dev, NPHEAP_IOC_DETACH, &args), EINVAL);
	assert_int_equal(ioctl(dev, NPHEAP_IOC_ATTACH, &args), 0);
	assert_int_equal(mappings_of(key), 2);
	assert_int_equal(ioctl(dev, NPHEAP_IOC_DETACH, &args), 0);
	assert_errno(ioctl(dev, NPHEAP_IOC_DETACH, &args), EINVAL);
	assert_int_equal(mappings_of(key), 1);
	heap_close();
}

/* An answer that cannot be given is no attachment, wherever it was made. */
static void unanswered_attachment_is_undone(void **state)
{
	struct npheap_attach *args = mmap(NULL, page, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t addr;

	heap_open(state);
	assert_ptr_not_equal(args, MAP_FAILED);
	args->key = key;
	args->size = page;
	assert_int_equal(ioctl(dev, NPHEAP_IOC_ATTACH, args), 0);
	addr = args->addr;
	/* The next one comes to the same place. */
	munmap((void *)(uintptr_t)addr, page);
	assert_int_equal(ioctl(dev, NPHEAP_IOC_ATTACH, args), 0);
	assert_int_equal(args->addr, addr);
	munmap((void *)(uintptr_t)addr, page);
	assert_int_equal(mprotect(args, page, PROT_READ), 0);
	assert_errno(ioctl(dev, NPHEAP_IOC_ATTACH, args), EFAULT);
	assert_int_equal(mappings_of(key), 0);
	/* But what is attached, and only asked for, stays. */
	assert_int_equal(mprotect(args, page, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(ioctl(dev, NPHEAP_IOC_ATTACH, args), 0);
	assert_int_equal(mprotect(args, page, PROT_READ), 0);
	assert_errno(ioctl(dev, NPHEAP_IOC_ATTACH, args), EFAULT);
	assert_int_equal(mappings_of(key), 1);
	munmap((void *)(uintptr_t)addr, page);
	munmap(args, page);
	heap_close();
}

static const struct CMUnitTest tests[] = {
	TEST(same_mapping_is_shared),
	TEST(whole_object_is_mapped),
	TEST(errors_attach_nothing),
	TEST(attachment_too_long_to_map_leaves_nothing),
	TEST(read_only_handle_attaches_for_reading),
	TEST(second_attach_takes_no_system_call),
	TEST(deleted_object_is_not_attached_again),
	TEST(object_replaced_by_another_process_is_seen),
	TEST(unmapped_by_the_program),
	TEST(replaced_by_the_program),
	TEST(unmapped_and_replaced_by_the_program),
	TEST(unmapped_in_part_by_the_program),
	TEST(moved_by_the_program),
	TEST(pages_swapped_by_the_program),
	TEST(replaced_by_a_file_of_the_program),
	TEST(protected_in_part_by_the_program),
	TEST(others_stay_when_one_is_unmapped),
	TEST(child_has_its_parents_attachments),
	TEST(child_lacks_what_was_kept_from_it),
	TEST(child_unmaps_before_it_asks),
	TEST(threads_attach_while_objects_come_and_go),
	TEST(many_objects_are_attached),
	TEST(bad_arguments_do_nothing),
	TEST(unanswered_attachment_is_undone),
};

int main(void)
{
	return test_main(tests);
}
