// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of what can be tested without a process: limits and their files,
 * the index, the pages of an object, the numbers of owners, and what the kernel
 * does with the words of records, whatever user space has made of them.  Built
 * where CONFIG_KUNIT is there.
 */
#include "record.h"

#include <kunit/test.h>
#include <linux/device.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sysfs.h>

/* A heap of the tests' own, without a device. */
static struct npheap_heap heap;

#define LIMIT 64
#define BYTES (LIMIT * PAGE_SIZE)

/* Some kernels run the tests of a module before its init, some after. */
static bool before_init(void)
{
	return THIS_MODULE->state == MODULE_STATE_COMING;
}

static int suite_init(struct kunit_suite *suite)
{
	const u64 limits[NPHEAP_RESOURCES] = {
		[NPHEAP_BYTES] = BYTES,
		[NPHEAP_OBJECTS] = LIMIT,
		[NPHEAP_SPARSE_BYTES] = BYTES,
		[NPHEAP_LOCKS] = LIMIT,
	};

	int err = before_init() ? npheap_object_cache_init() : 0;

	if (err)
		return err;
	memset(&heap, 0, sizeof(heap));
	return npheap_heap_init(&heap, limits);
}

static void suite_exit(struct kunit_suite *suite)
{
	npheap_heap_destroy(&heap);
	if (before_init())
		npheap_object_cache_exit();
}

static u64 usage(enum npheap_resource resource)
{
	return atomic64_read(&heap.counters[resource].usage);
}

/* No test leaves anything. */
static void test_exit(struct kunit *test)
{
	int i;

	for (i = 0; i < NPHEAP_RESOURCES; i++)
		KUNIT_EXPECT_EQ(test, usage(i), 0);
}

/* ---------------------------------------------------------------- limits -- */

static struct npheap_user *get_user_of(struct kunit *test)
{
	struct npheap_user *user = npheap_user_get(&heap);

	KUNIT_ASSERT_NOT_NULL(test, user);
	return user;
}

static void limits_end_where_they_say(struct kunit *test)
{
	struct npheap_user *user = get_user_of(test);

	KUNIT_EXPECT_EQ(test, 0,
			npheap_charge(&heap, user, NPHEAP_LOCKS, LIMIT));
	KUNIT_EXPECT_EQ(test, 0, npheap_charge(&heap, user, NPHEAP_LOCKS, 0));
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			npheap_charge(&heap, user, NPHEAP_LOCKS, 1));
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			npheap_would_charge(&heap, user, NPHEAP_LOCKS, 1));
	KUNIT_EXPECT_EQ(test, usage(NPHEAP_LOCKS), LIMIT);
	KUNIT_EXPECT_EQ(test, atomic64_read(&user->usage[NPHEAP_LOCKS]), LIMIT);
	npheap_uncharge(&heap, user, NPHEAP_LOCKS, LIMIT);
	npheap_user_put(&heap, user);
}

/* Sums of usage and amount beyond 64 bits, with every sign. */
static void limits_do_not_wrap(struct kunit *test)
{
	/* A user may have all that can be counted, and has one. */
	static const struct {
		u64 amount;
		int err;
	} tries[] = {
		{ LIMIT, -ENOSPC },
		{ LIMIT + 1, -ENOSPC },
		{ S64_MAX - 1, -ENOSPC },
		{ S64_MAX, -EDQUOT },
		{ (u64)S64_MAX + 1, -EDQUOT },
		{ U64_MAX - 1, -EDQUOT },
		{ U64_MAX, -EDQUOT },
	};
	struct npheap_user *user = get_user_of(test);
	size_t i;

	KUNIT_ASSERT_EQ(test, 0, npheap_charge(&heap, user, NPHEAP_LOCKS, 1));
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		KUNIT_EXPECT_EQ(test, tries[i].err,
				npheap_would_charge(&heap, user, NPHEAP_LOCKS,
						    tries[i].amount));
		KUNIT_EXPECT_EQ(test, tries[i].err,
				npheap_charge(&heap, user, NPHEAP_LOCKS,
					      tries[i].amount));
		KUNIT_EXPECT_EQ(test, usage(NPHEAP_LOCKS), 1);
		KUNIT_EXPECT_EQ(test,
				atomic64_read(&user->usage[NPHEAP_LOCKS]), 1);
	}
	npheap_uncharge(&heap, user, NPHEAP_LOCKS, 1);
	npheap_user_put(&heap, user);
}

static void limits_lowered_below_usage(struct kunit *test)
{
	struct npheap_counter *counter = &heap.counters[NPHEAP_LOCKS];
	struct npheap_user *user = get_user_of(test);

	KUNIT_ASSERT_EQ(test, 0, npheap_charge(&heap, user, NPHEAP_LOCKS, 3));
	counter->limit = 2;
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			npheap_charge(&heap, user, NPHEAP_LOCKS, 1));
	counter->limit = LIMIT;
	counter->user_limit = 2;
	KUNIT_EXPECT_EQ(test, -EDQUOT,
			npheap_charge(&heap, user, NPHEAP_LOCKS, 1));
	/* Who has no room of its own takes none from others. */
	KUNIT_EXPECT_EQ(test, usage(NPHEAP_LOCKS), 3);
	counter->user_limit = NPHEAP_LIMIT_MAX;
	npheap_uncharge(&heap, user, NPHEAP_LOCKS, 3);
	npheap_user_put(&heap, user);
}

static void limits_know_a_user_once(struct kunit *test)
{
	struct npheap_user *user = get_user_of(test);

	KUNIT_EXPECT_PTR_EQ(test, user, npheap_user_get(&heap));
	KUNIT_EXPECT_EQ(test, refcount_read(&user->refs), 2);
	npheap_user_put(&heap, user);
	npheap_user_put(&heap, user);
	KUNIT_EXPECT_TRUE(test, hash_empty(heap.users));
}

/* ----------------------------------------------------------------- sysfs -- */

static struct device_attribute *attribute(struct kunit *test, const char *name)
{
	struct attribute **attr = npheap_attr_groups[0]->attrs;

	while (*attr && strcmp((*attr)->name, name))
		attr++;
	KUNIT_ASSERT_NOT_NULL(test, *attr);
	return container_of(*attr, struct device_attribute, attr);
}

/* The device that the files believe they are of: the tests' heap has none. */
static struct device *fake_device(struct kunit *test)
{
	struct device *dev = kunit_kzalloc(test, sizeof(*dev),
					   GFP_KERNEL_ACCOUNT);

	KUNIT_ASSERT_NOT_NULL(test, dev);
	dev_set_drvdata(dev, &heap.misc);
	return dev;
}

static void expect_shown(struct kunit *test, const char *name, u64 value)
{
	struct device_attribute *attr = attribute(test, name);
	struct device *dev = fake_device(test);
	char *buf = (char *)get_zeroed_page(GFP_KERNEL);
	u64 shown = ~value;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_GT(test, attr->show(dev, attr, buf), 0);
	KUNIT_EXPECT_EQ(test, 0, kstrtou64(buf, 10, &shown));
	KUNIT_EXPECT_EQ(test, shown, value);
	free_page((unsigned long)buf);
}

static ssize_t store(struct kunit *test, const char *name, const char *text)
{
	struct device_attribute *attr = attribute(test, name);

	return attr->store(fake_device(test), attr, text, strlen(text));
}

/* Each file is of one number, and of no other. */
static void sysfs_files_have_a_limit_each(struct kunit *test)
{
	static const char *const names[] = {
		"max_bytes", "max_objects", "max_sparse_bytes", "max_locks",
		"max_user_bytes", "max_user_objects", "max_user_sparse_bytes",
		"max_user_locks",
	};
	struct npheap_counter kept[NPHEAP_RESOURCES], *counters = heap.counters;
	char text[24];
	int i, nr = NPHEAP_RESOURCES;

	memcpy(kept, counters, sizeof(kept));
	for (i = 0; i < 2 * nr; i++) {
		snprintf(text, sizeof(text), "%d\n", 1000 - i);
		KUNIT_EXPECT_EQ(test, strlen(text),
				store(test, names[i], text));
	}
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_EQ(test, counters[i].limit, 1000 - i);
		KUNIT_EXPECT_EQ(test, counters[i].user_limit, 1000 - nr - i);
		expect_shown(test, names[i], 1000 - i);
		expect_shown(test, names[nr + i], 1000 - nr - i);
		/* A user cannot have more than all have together. */
		counters[i].limit = 7;
		expect_shown(test, names[nr + i], 7);
	}
	memcpy(counters, kept, sizeof(kept));
}

static void sysfs_takes_numbers_only(struct kunit *test)
{
	static const struct {
		const char *text;
		int err;
		u64 value;
	} tries[] = {
		{ "0", 0, 0 },
		{ "9223372036854775807\n", 0, S64_MAX },
		{ "0x7fffffffffffffff", 0, S64_MAX },
		{ "010", 0, 8 },
		{ "+5", 0, 5 },
		{ "9223372036854775808", -ERANGE },
		{ "18446744073709551615", -ERANGE },
		{ "18446744073709551616", -ERANGE },
		{ "0x10000000000000000", -ERANGE },
		{ "-1", -EINVAL },
		{ "", -EINVAL },
		{ "\n", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 2", -EINVAL },
		{ "1\n\n", -EINVAL },
		{ "1M", -EINVAL },
		{ "0x", -EINVAL },
	};
	struct npheap_counter *counter = &heap.counters[NPHEAP_LOCKS];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		const char *text = tries[i].text;

		counter->limit = 1234;
		KUNIT_EXPECT_EQ_MSG(test, store(test, "max_locks", text),
				    tries[i].err ?: (int)strlen(text),
				    "'%s'", text);
		KUNIT_EXPECT_EQ_MSG(test, counter->limit,
				    tries[i].err ? 1234 : tries[i].value,
				    "'%s'", text);
	}
	counter->limit = LIMIT;
}

/* --------------------------------------------------------------- objects -- */

static int create(u64 key, u64 pages, u64 max_pages)
{
	const struct npheap_create args = {
		.key = key,
		.size = pages << PAGE_SHIFT,
		.max_size = max_pages << PAGE_SHIFT,
	};

	return npheap_object_create(&heap, &args);
}

static u64 size_of(u64 key)
{
	return npheap_object_size(&heap, key, NULL);
}

static void index_tells_all_keys_apart(struct kunit *test)
{
	static const u64 keys[] = {
		0, 1, U32_MAX, BIT_ULL(32), BIT_ULL(32) + 1, BIT_ULL(50),
		NPHEAP_KEY_MAX,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		KUNIT_EXPECT_EQ(test, 0, create(keys[i], i + 1, i + 1));
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		KUNIT_EXPECT_EQ(test, size_of(keys[i]), (i + 1) * PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, -EEXIST, create(keys[i], 1, 1));
		npheap_object_delete(&heap, keys[i]);
		KUNIT_EXPECT_EQ(test, size_of(keys[i]), 0);
		npheap_object_delete(&heap, keys[i]);
	}
}

static void index_counts_what_is_there(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0, create(1, LIMIT, LIMIT));
	KUNIT_EXPECT_EQ(test, usage(NPHEAP_BYTES), BYTES);
	KUNIT_EXPECT_EQ(test, -ENOSPC, create(2, 1, 1));
	KUNIT_EXPECT_EQ(test, usage(NPHEAP_OBJECTS), 1);
	KUNIT_EXPECT_EQ(test, usage(NPHEAP_BYTES), BYTES);
	npheap_object_delete(&heap, 1);
}

/* Each folio lies where its size allows, and none reaches beyond the end. */
static void expect_folios(struct kunit *test, struct npheap_object *obj)
{
	struct address_space *mapping = obj->inode.i_mapping;
	pgoff_t end = npheap_object_pages(obj), index = 0;

	KUNIT_EXPECT_EQ(test, mapping->nrpages, end);
	while (index < end) {
		struct folio *folio = filemap_get_folio(mapping, index);
		unsigned long pages;

		KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
		pages = folio_nr_pages(folio);
		KUNIT_EXPECT_EQ(test, folio->index, index);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED(index, pages));
		KUNIT_EXPECT_LE(test, index + pages, end);
		/* There are none of two pages, up to Linux 6.8. */
		KUNIT_EXPECT_NE(test, pages, 2);
		folio_put(folio);
		index += pages;
	}
}

static void pages_of_every_size(struct kunit *test)
{
	struct npheap_object *obj;
	u64 pages;

	for (pages = 1; pages <= LIMIT; pages++) {
		KUNIT_ASSERT_EQ(test, 0, create(1, pages, pages));
		obj = npheap_object_get(&heap, 1);
		KUNIT_ASSERT_FALSE(test, IS_ERR(obj));
		expect_folios(test, obj);
		npheap_object_put(obj);
		npheap_object_delete(&heap, 1);
	}
}

/* From each size to each, so that every folio is cut at every place. */
static void pages_of_every_resize(struct kunit *test)
{
	static const u64 sizes[] = { 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32 };
	struct npheap_object *obj;
	size_t i, j;

	KUNIT_ASSERT_EQ(test, 0, create(1, 1, LIMIT));
	obj = npheap_object_get(&heap, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(obj));
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			KUNIT_EXPECT_EQ(test, 0,
					npheap_object_resize(obj,
							     sizes[i] <<
							     PAGE_SHIFT,
							     false));
			KUNIT_EXPECT_EQ(test, 0,
					npheap_object_resize(obj,
							     sizes[j] <<
							     PAGE_SHIFT,
							     false));
			expect_folios(test, obj);
			KUNIT_EXPECT_EQ(test, usage(NPHEAP_BYTES),
					sizes[j] << PAGE_SHIFT);
		}
	KUNIT_EXPECT_EQ(test, -EFBIG,
			npheap_object_resize(obj, BYTES + PAGE_SIZE, false));
	npheap_object_put(obj);
	npheap_object_delete(&heap, 1);
}

/* --------------------------------------------------------------- records -- */

#define KEY 7

static int lock(u32 flags)
{
	return npheap_lock_acquire(&heap, KEY, flags, U64_MAX);
}

static int try_lock(void)
{
	return lock(NPHEAP_LOCK_TRY | NPHEAP_LOCK_REPORT);
}

static int unlock(void)
{
	return npheap_lock_release(&heap, KEY);
}

static u32 own_id(struct kunit *test)
{
	struct npheap_owner *owner = npheap_owner_get(&heap);

	KUNIT_ASSERT_FALSE(test, IS_ERR(owner));
	return owner->id;
}

/* The record as user space sees it; kept by whoever knows it. */
static struct npheap_record *shared_of(struct kunit *test)
{
	struct npheap_owner *owner = npheap_owner_get(&heap);
	struct npheap_lock *rec;

	KUNIT_ASSERT_FALSE(test, IS_ERR(owner));
	rec = npheap_rec_bind(owner, KEY);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rec));
	npheap_rec_unlock(rec);
	return rec->shared;
}

static u64 free_word(u64 word)
{
	return word & ~(BIT_ULL(32) - 1);
}

/* Gives the record back, as the death of the thread would. */
static void forget(struct kunit *test)
{
	npheap_lock_abandon(npheap_owner_find(&heap));
	KUNIT_EXPECT_EQ(test, usage(NPHEAP_LOCKS), 0);
}

static void word_tells_who_holds_it(struct kunit *test)
{
	struct npheap_record *shared = shared_of(test);
	u64 word = READ_ONCE(shared->word);

	KUNIT_EXPECT_EQ(test, word, free_word(word));
	KUNIT_EXPECT_EQ(test, -EPERM, unlock());
	KUNIT_EXPECT_EQ(test, 0, lock(0));
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), word | own_id(test));
	KUNIT_EXPECT_EQ(test, -EDEADLK, lock(0));
	KUNIT_EXPECT_EQ(test, -EDEADLK, lock(NPHEAP_LOCK_SHARED));
	KUNIT_EXPECT_EQ(test, 0, unlock());
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), word);
	KUNIT_EXPECT_EQ(test, 0, lock(NPHEAP_LOCK_SHARED));
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word),
			word | NPHEAP_WORD_SHARED);
	KUNIT_EXPECT_EQ(test, -EDEADLK, try_lock());
	KUNIT_EXPECT_EQ(test, 0, unlock());
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), word);
	KUNIT_EXPECT_EQ(test, -EPERM, unlock());
	forget(test);
}

/* What a try for oneself, or with readers, makes of a word with rubbish. */
static int try_of_rubbish(u64 rubbish, u32 self, bool shared)
{
	u32 owner = rubbish & NPHEAP_WORD_OWNER;

	if (owner)
		return owner == self ? -EDEADLK : -EBUSY;
	return rubbish & NPHEAP_WORD_SHARED && !shared ? -EBUSY : 0;
}

static void expect_tries(struct kunit *test, struct npheap_record *shared,
			 u64 word, u64 rubbish)
{
	u32 self = own_id(test);
	int err;

	WRITE_ONCE(shared->word, rubbish);
	err = lock(NPHEAP_LOCK_TRY | NPHEAP_LOCK_SHARED);
	KUNIT_EXPECT_EQ(test, err, try_of_rubbish(rubbish, self, true));
	if (!err) {
		KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word),
				word | NPHEAP_WORD_SHARED);
		KUNIT_EXPECT_EQ(test, 0, unlock());
		KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), word);
	}
	WRITE_ONCE(shared->word, rubbish);
	KUNIT_EXPECT_EQ(test, try_lock(), try_of_rubbish(rubbish, self, false));
}

/* Every combination of flags, with no owner, oneself and another. */
static void word_of_rubbish_gives_nothing_away(struct kunit *test)
{
	struct npheap_record *shared = shared_of(test);
	u64 word = READ_ONCE(shared->word);
	u32 self = own_id(test), owners[] = { 0, self, self + 1,
					      NPHEAP_WORD_OWNER };
	u64 flags;
	size_t i;

	for (flags = 0; flags < 16; flags++)
		for (i = 0; i < ARRAY_SIZE(owners); i++) {
			u64 rubbish = ~word << 32 | flags << 28 | owners[i];

			expect_tries(test, shared, word, rubbish);
			/* Whatever it was, an administrator resets it. */
			npheap_lock_break(&heap, KEY);
			KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word),
					word | NPHEAP_WORD_MARKED);
			KUNIT_EXPECT_EQ(test, try_lock(), -EOWNERDEAD);
			KUNIT_EXPECT_EQ(test, 0,
					npheap_lock_consistent(&heap, KEY));
			KUNIT_EXPECT_EQ(test, 0, unlock());
			KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), word);
		}
	forget(test);
}

/* What another thread found: it becomes an owner, and holds another key. */
struct other {
	struct completion done;
	u64 word;
	u32 id;
	int err;
};

static int be_other(void *arg)
{
	struct other *other = arg;
	struct npheap_owner *owner = npheap_owner_get(&heap);
	struct npheap_lock *rec;

	other->err = npheap_lock_acquire(&heap, KEY + 1, 0, U64_MAX);
	if (!other->err) {
		rec = npheap_rec_find(&heap, KEY + 1);
		other->word = npheap_word_read(rec);
		npheap_rec_unlock(rec);
		other->id = owner->id;
		other->err = npheap_lock_release(&heap, KEY + 1);
		npheap_lock_abandon(owner);
	}
	complete(&other->done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void ask_other(struct kunit *test, struct other *other)
{
	struct task_struct *task;

	*other = (struct other){ .err = 1 };
	init_completion(&other->done);
	task = kthread_run(be_other, other, "npheap_test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&other->done);
	kthread_stop(task);
}

/* Another thread has one of its own, in its word, too, below the largest. */
static void expect_small_number(struct kunit *test)
{
	struct other other;

	ask_other(test, &other);
	KUNIT_EXPECT_EQ(test, 0, other.err);
	KUNIT_EXPECT_NE(test, other.id, 0);
	KUNIT_EXPECT_LT(test, other.id, NPHEAP_WORD_OWNER);
	KUNIT_EXPECT_EQ(test, (u32)other.word, other.id);
}

/* Behind the largest they begin again, and pass by those who live. */
static void owner_numbers_stay_in_their_field(struct kunit *test)
{
	struct npheap_record *shared;
	u64 word;

	heap.next_owner = NPHEAP_WORD_OWNER;
	KUNIT_EXPECT_EQ(test, own_id(test), NPHEAP_WORD_OWNER);
	shared = shared_of(test);
	word = READ_ONCE(shared->word);
	KUNIT_EXPECT_EQ(test, 0, lock(0));
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word),
			word | NPHEAP_WORD_OWNER);
	expect_small_number(test);
	/* And from anywhere behind. */
	heap.next_owner = U32_MAX;
	expect_small_number(test);
	/* The number of who lives is given to nobody else. */
	heap.next_owner = NPHEAP_WORD_OWNER;
	expect_small_number(test);
	KUNIT_EXPECT_EQ(test, 0, unlock());
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), word);
	forget(test);
}

static void mark_stays_until_consistent(struct kunit *test)
{
	struct npheap_record *shared = shared_of(test);
	u64 word = READ_ONCE(shared->word);

	KUNIT_EXPECT_EQ(test, 0, lock(0));
	npheap_lock_break(&heap, KEY);
	/* The classic calls neither tell of it nor clear it. */
	KUNIT_EXPECT_EQ(test, 0, lock(0));
	KUNIT_EXPECT_EQ(test, -EINVAL, npheap_lock_consistent(&heap, KEY));
	KUNIT_EXPECT_EQ(test, 0, unlock());
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word),
			word | NPHEAP_WORD_MARKED);
	KUNIT_EXPECT_EQ(test, -EOWNERDEAD, try_lock());
	KUNIT_EXPECT_EQ(test, 0, unlock());
	/* It was told, and gave the lock back all the same. */
	KUNIT_EXPECT_EQ(test, -ENOTRECOVERABLE, try_lock());
	npheap_lock_break(&heap, KEY);
	KUNIT_EXPECT_EQ(test, -EOWNERDEAD, try_lock());
	KUNIT_EXPECT_EQ(test, 0, npheap_lock_consistent(&heap, KEY));
	KUNIT_EXPECT_EQ(test, 0, unlock());
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), word);
	forget(test);
}

/*
 * Of two bindings of a slot the words differ, and so do stale ones.  What is
 * expected is looked at when the record is unlocked: a failure allocates.
 */
static void generations_only_grow(struct kunit *test)
{
	u32 slot = NPHEAP_NO_SLOT, generation = 0, now, then;
	struct npheap_lock *rec;
	int i;

	for (i = 0; i < 100; i++) {
		rec = npheap_rec_get(&heap, i);
		KUNIT_ASSERT_FALSE(test, IS_ERR(rec));
		now = rec->slot;
		then = generation;
		generation = rec->generation;
		/* Nobody knows it, so it goes at once. */
		npheap_rec_put(rec);
		if (i)
			KUNIT_EXPECT_EQ(test, now, slot);
		KUNIT_EXPECT_GT(test, generation, then);
		slot = now;
	}
}

static void generations_that_are_used_up(struct kunit *test)
{
	struct npheap_lock *rec = npheap_rec_get(&heap, KEY);
	u32 slot, now;
	int i;

	KUNIT_ASSERT_FALSE(test, IS_ERR(rec));
	slot = rec->slot;
	rec->generation = U32_MAX;
	WRITE_ONCE(rec->shared->word, NPHEAP_WORD_GENERATION(U32_MAX));
	npheap_rec_put(rec);
	for (i = 0; i < 10; i++) {
		rec = npheap_rec_get(&heap, KEY + i);
		KUNIT_ASSERT_FALSE(test, IS_ERR(rec));
		now = rec->slot;
		npheap_rec_put(rec);
		KUNIT_EXPECT_NE(test, now, slot);
	}
}

/* The last generation is as good as any, and what was known of it is void. */
static void generations_end_with_their_slot(struct kunit *test)
{
	u64 word = NPHEAP_WORD_GENERATION(U32_MAX);
	struct npheap_lock *rec = npheap_rec_get(&heap, KEY);
	struct npheap_record *shared, *next;
	u32 slot;

	KUNIT_ASSERT_FALSE(test, IS_ERR(rec));
	slot = rec->slot;
	rec->generation = U32_MAX;
	WRITE_ONCE(rec->shared->word, word);
	npheap_rec_unlock(rec);
	shared = shared_of(test);
	KUNIT_EXPECT_EQ(test, 0, lock(0));
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), word | own_id(test));
	KUNIT_EXPECT_EQ(test, -EDEADLK, lock(0));
	KUNIT_EXPECT_EQ(test, 0, unlock());
	forget(test);
	KUNIT_EXPECT_PTR_EQ(test, npheap_slot_find(&heap, slot),
			    (struct npheap_lock *)NULL);
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), 0);
	next = shared_of(test);
	KUNIT_EXPECT_PTR_NE(test, next, shared);
	KUNIT_EXPECT_EQ(test, 0, lock(0));
	KUNIT_EXPECT_EQ(test, READ_ONCE(shared->word), 0);
	KUNIT_EXPECT_EQ(test, 0, unlock());
	forget(test);
}

/* The count goes on from whatever user space wrote, and bit 0 is the kernel's. */
static void events_count_whatever_was_there(struct kunit *test)
{
	static const u64 counts[] = { 0, 1, 2, U64_MAX - 1, U64_MAX };
	struct npheap_record *shared = shared_of(test);
	u64 event;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		WRITE_ONCE(shared->event, counts[i]);
		KUNIT_EXPECT_EQ(test, 0, npheap_event_notify(&heap, KEY, 1));
		KUNIT_EXPECT_EQ(test, READ_ONCE(shared->event),
				(counts[i] & ~1ULL) + 2);
		KUNIT_EXPECT_EQ(test, 0, npheap_event_read(&heap, KEY, &event));
		KUNIT_EXPECT_EQ(test, event, READ_ONCE(shared->event));
		/* Another value than expected ends a wait before it begins. */
		KUNIT_EXPECT_EQ(test, 0, npheap_event_wait(&heap, KEY, event + 2,
							   U64_MAX));
	}
	forget(test);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(limits_end_where_they_say),
	KUNIT_CASE(limits_do_not_wrap),
	KUNIT_CASE(limits_lowered_below_usage),
	KUNIT_CASE(limits_know_a_user_once),
	KUNIT_CASE(sysfs_files_have_a_limit_each),
	KUNIT_CASE(sysfs_takes_numbers_only),
	KUNIT_CASE(index_tells_all_keys_apart),
	KUNIT_CASE(index_counts_what_is_there),
	KUNIT_CASE(pages_of_every_size),
	KUNIT_CASE(pages_of_every_resize),
	KUNIT_CASE(word_tells_who_holds_it),
	KUNIT_CASE(word_of_rubbish_gives_nothing_away),
	KUNIT_CASE(owner_numbers_stay_in_their_field),
	KUNIT_CASE(mark_stays_until_consistent),
	KUNIT_CASE(generations_only_grow),
	KUNIT_CASE(generations_that_are_used_up),
	KUNIT_CASE(generations_end_with_their_slot),
	KUNIT_CASE(events_count_whatever_was_there),
	{}
};

static struct kunit_suite npheap_suite = {
	.name = "npheap",
	.suite_init = suite_init,
	.suite_exit = suite_exit,
	.exit = test_exit,
	.test_cases = cases,
};

kunit_test_suite(npheap_suite);
