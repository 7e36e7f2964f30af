// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The checker of histories itself: it accepts what can be, and rejects what
 * cannot.
 */
#include "linear.h"
#include "test.h"

#define accepts(...) assert_int_equal(check(__VA_ARGS__), 1)
#define rejects(...) assert_int_equal(check(__VA_ARGS__), 0)
#define check(...)							\
	check_ops((const struct linear_op[]){ __VA_ARGS__ },		\
		  sizeof((const struct linear_op[]){ __VA_ARGS__ }) /	\
		  sizeof(struct linear_op))

/* A call of process @who, from @begin to @end. */
#define OP(who, what, arg, result, begin, end)				\
	{ LINEAR_##what, who, arg, result, begin, end }
#define NEVER LINEAR_PENDING

static int check_ops(const struct linear_op *given, size_t count)
{
	struct linear_op ops[LINEAR_MAX];

	memcpy(ops, given, count * sizeof(*ops));
	return linear_check(ops, linear_complete(ops, count));
}

static void linear_one_after_the_other(void **state)
{
	(void)state;
	accepts(OP(0, TRY, 0, 0, 1, 2), OP(0, UNLOCK, 0, 0, 3, 4),
		OP(1, TRY, 0, 0, 5, 6));
	accepts(OP(0, CREATE, 3, 0, 1, 2), OP(1, SIZE, 0, 3, 3, 4),
		OP(1, RESIZE, 5, 0, 5, 6), OP(0, SIZE, 0, 5, 7, 8),
		OP(1, DELETE, 0, 0, 9, 10), OP(0, SIZE, 0, 0, 11, 12));
}

static void linear_calls_overlap(void **state)
{
	(void)state;
	/* The size may be that before the deletion, or after it. */
	accepts(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, 6),
		OP(1, SIZE, 0, 3, 4, 5));
	accepts(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, 6),
		OP(1, SIZE, 0, 0, 4, 5));
	/* The second waits for the first. */
	accepts(OP(0, TRY, 0, 0, 1, 2), OP(1, LOCK, 0, 0, 3, 6),
		OP(0, UNLOCK, 0, 0, 4, 5));
}

static void linear_killed_at_any_moment(void **state)
{
	(void)state;
	/* Before it had the lock, and after. */
	accepts(OP(0, TRY, 0, 0, 1, NEVER), OP(0, CRASH, 0, 0, 2, 3),
		OP(1, TRY, 0, 0, 4, 5));
	accepts(OP(0, TRY, 0, 0, 1, NEVER), OP(0, CRASH, 0, 0, 2, 3),
		OP(1, TRY, 0, -EOWNERDEAD, 4, 5));
	accepts(OP(0, NOTIFY, 0, 0, 1, NEVER), OP(0, CRASH, 0, 0, 2, 3),
		OP(1, EVENT, 0, 1, 4, 5));
}

static void linear_two_holders(void **state)
{
	(void)state;
	rejects(OP(0, TRY, 0, 0, 1, 2), OP(1, TRY, 0, 0, 3, 4));
	rejects(OP(0, TRY, 0, 0, 1, 4), OP(1, TRY, 0, 0, 2, 3));
}

static void linear_busy_though_free(void **state)
{
	(void)state;
	rejects(OP(0, TRY, 0, 0, 1, 2), OP(0, UNLOCK, 0, 0, 3, 4),
		OP(1, TRY, 0, -EBUSY, 5, 6));
	rejects(OP(1, LOCK, 0, -ETIMEDOUT, 1, 2));
}

static void linear_unlocked_by_a_stranger(void **state)
{
	(void)state;
	rejects(OP(0, TRY, 0, 0, 1, 2), OP(1, UNLOCK, 0, 0, 3, 4));
}

static void linear_a_death_not_told(void **state)
{
	(void)state;
	rejects(OP(0, TRY, 0, 0, 1, 2), OP(0, CRASH, 0, 0, 3, 4),
		OP(1, TRY, 0, 0, 5, 6));
	/* Nor one that was settled, once more. */
	rejects(OP(0, TRY, 0, 0, 1, 2), OP(0, CRASH, 0, 0, 3, 4),
		OP(1, TRY, 0, -EOWNERDEAD, 5, 6),
		OP(1, CONSISTENT, 0, 0, 7, 8), OP(1, UNLOCK, 0, 0, 9, 10),
		OP(2, TRY, 0, -EOWNERDEAD, 11, 12));
}

static void linear_held_by_the_dead(void **state)
{
	(void)state;
	rejects(OP(0, TRY, 0, 0, 1, 2), OP(0, CRASH, 0, 0, 3, 4),
		OP(1, TRY, 0, -EBUSY, 5, 6));
	/* And the dead do nothing any more. */
	rejects(OP(0, NOTIFY, 0, 0, 1, NEVER), OP(0, CRASH, 0, 0, 2, 3),
		OP(1, EVENT, 0, 0, 4, 5), OP(1, EVENT, 0, 1, 6, 7));
}

static void linear_stale_size(void **state)
{
	(void)state;
	rejects(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, 4),
		OP(1, SIZE, 0, 3, 5, 6));
	/* New, and then old again. */
	rejects(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, 8),
		OP(1, SIZE, 0, 0, 4, 5), OP(1, SIZE, 0, 3, 6, 7));
}

/* The kernel has forgotten it, the table not yet; then both. */
static void linear_table_lags_behind(void **state)
{
	(void)state;
	accepts(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, 8),
		OP(1, RESIZE, 5, -ENOENT, 4, 5), OP(1, SIZE, 0, 3, 6, 7));
	accepts(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, NEVER),
		OP(1, GETSIZE, 0, 0, 4, 5), OP(1, SIZE, 0, 3, 6, 7),
		OP(0, CRASH, 0, 0, 8, 9), OP(1, SIZE, 0, 0, 10, 11));
	/* Not once the deletion is over, be it another's, or by death. */
	rejects(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, 8),
		OP(1, RESIZE, 5, -ENOENT, 4, 5), OP(1, SIZE, 0, 3, 9, 10));
	rejects(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, 10),
		OP(1, DELETE, 0, 0, 4, 5), OP(1, SIZE, 0, 3, 6, 7));
	rejects(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, NEVER),
		OP(1, GETSIZE, 0, 0, 4, 5), OP(0, CRASH, 0, 0, 6, 7),
		OP(1, SIZE, 0, 3, 8, 9));
	/* And the kernel itself does not lag. */
	rejects(OP(0, CREATE, 3, 0, 1, 2), OP(0, DELETE, 0, 0, 3, 8),
		OP(1, RESIZE, 5, -ENOENT, 4, 5), OP(1, GETSIZE, 0, 3, 6, 7));
	rejects(OP(0, CREATE, 3, 0, 1, 2), OP(1, RESIZE, 5, -ENOENT, 3, 4));
}

static void linear_found_or_created(void **state)
{
	(void)state;
	accepts(OP(0, ALLOC, 3, 0, 1, 2), OP(1, ALLOC, 5, 0, 3, 4),
		OP(1, SIZE, 0, 3, 5, 6), OP(0, CREATE, 1, -EEXIST, 7, 8),
		OP(0, RESIZE, 5, -EFBIG, 9, 10));
	rejects(OP(0, ALLOC, 3, 0, 1, 2), OP(1, ALLOC, 5, 0, 3, 4),
		OP(1, SIZE, 0, 5, 5, 6));
	rejects(OP(0, ALLOC, 3, 0, 1, 2), OP(0, RESIZE, 5, 0, 3, 4));
	/* Refused while another maps it, but only where pages would go. */
	accepts(OP(0, ALLOC, 3, 0, 1, 4), OP(1, RESIZE, 1, -EBUSY, 2, 3),
		OP(1, SIZE, 0, 3, 5, 6));
	rejects(OP(0, CREATE, 3, 0, 1, 2), OP(1, RESIZE, 5, -EBUSY, 3, 4));
}

static void linear_classic_lock(void **state)
{
	(void)state;
	/* It is not told of the death, which is not settled by that. */
	accepts(OP(0, TRY, 0, 0, 1, 2), OP(0, CRASH, 0, 0, 3, 4),
		OP(1, CLASSIC, 0, 0, 5, 6), OP(1, UNLOCK, 0, 0, 7, 8),
		OP(2, TRY, 0, -EOWNERDEAD, 9, 10));
	rejects(OP(0, CLASSIC, 0, 0, 1, 2), OP(1, CLASSIC, 0, 0, 3, 4));
	rejects(OP(0, CLASSIC, 0, 0, 1, 2), OP(0, CRASH, 0, 0, 3, 4),
		OP(1, TRY, 0, 0, 5, 6));
}

static void linear_slept_through(void **state)
{
	(void)state;
	accepts(OP(0, NOTIFY, 0, 0, 1, 2), OP(1, WAIT, 1, -ETIMEDOUT, 3, 4));
	accepts(OP(1, WAIT, 0, -ETIMEDOUT, 1, 4), OP(0, NOTIFY, 0, 0, 2, 3));
	rejects(OP(0, NOTIFY, 0, 0, 1, 2), OP(1, WAIT, 0, -ETIMEDOUT, 3, 4));
}

static void linear_created_twice(void **state)
{
	(void)state;
	rejects(OP(0, CREATE, 1, 0, 1, 4), OP(1, CREATE, 1, 0, 2, 3));
}

static void linear_lost_notification(void **state)
{
	(void)state;
	rejects(OP(0, NOTIFY, 0, 0, 1, 4), OP(1, NOTIFY, 0, 0, 2, 3),
		OP(0, EVENT, 0, 1, 5, 6));
	/* Or one that nobody made. */
	rejects(OP(0, EVENT, 0, 1, 1, 2), OP(1, NOTIFY, 0, 0, 3, 4));
}

static const struct CMUnitTest tests[] = {
	TEST(linear_one_after_the_other),
	TEST(linear_calls_overlap),
	TEST(linear_killed_at_any_moment),
	TEST(linear_two_holders),
	TEST(linear_busy_though_free),
	TEST(linear_unlocked_by_a_stranger),
	TEST(linear_a_death_not_told),
	TEST(linear_held_by_the_dead),
	TEST(linear_stale_size),
	TEST(linear_table_lags_behind),
	TEST(linear_found_or_created),
	TEST(linear_classic_lock),
	TEST(linear_slept_through),
	TEST(linear_created_twice),
	TEST(linear_lost_notification),
};

int main(void)
{
	return test_main(tests);
}
