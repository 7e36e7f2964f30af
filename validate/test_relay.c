// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The benchmarks' transports: that each hands over every byte of every item
 * once, that one that does not is found out, and that nothing is left behind.
 *
 * "test_relay PATTERN" runs the tests that match.
 */
#include <dirent.h>

#include "content.h"
#include "crew.h"
#include "measure.h"
#include "test.h"
#include "trip.h"

#define ITEMS 40
#define VICTIM 23
#define WARM_UP 10

/* ------------------------------------------------------------------- jobs -- */

static struct job job_of(size_t size, unsigned int producers,
			 unsigned int consumers)
{
	return content_job((struct geometry) {
		.producers = producers,
		.consumers = consumers,
		.items = ITEMS,
		.max_size = size,
	}, WARM_UP);
}

/* ----------------------------------------------------- a transport with faults */

/* What happens to item VICTIM. */
enum fault { NONE, FLIP, LOSE, DOUBLE, SHORTEN, RENUMBER, STALE };

static enum fault fault;
static size_t fault_at;
static char *filled;

static void *faulty_begin(struct channel *channel, size_t size)
{
	filled = transport_pipe.begin(channel, size);
	return filled;
}

static int faulty_commit(struct channel *channel, uint64_t number, size_t size)
{
	if (number != VICTIM)
		return transport_pipe.commit(channel, number, size);
	switch (fault) {
	case FLIP:
		filled[fault_at] ^= 1 << fault_at % 8;
		break;
	case LOSE:
		return 0;
	case DOUBLE:
		transport_pipe.commit(channel, number, size);
		break;
	case SHORTEN:
		size--;
		break;
	case RENUMBER:
		number = ITEMS;
		break;
	case STALE:
		content_fill(number - 1, filled, size);
		break;
	default:
		break;
	}
	return transport_pipe.commit(channel, number, size);
}

static struct transport faulty(void)
{
	struct transport transport = transport_pipe;

	transport.name = "faulty";
	transport.begin = faulty_begin;
	transport.commit = faulty_commit;
	return transport;
}

/* What a consumer waits for behind the last item, which is nobody's work. */
#define SLOW_END 5

static int slow_receive(struct channel *channel, struct item *item)
{
	int rc = transport_pipe.receive(channel, item);

	if (rc == 0)
		sleep(SLOW_END);
	return rc;
}

/* ------------------------------------------------- runs, in a process each -- */

struct run {
	const struct transport *transport;
	struct job job;
};

/* Of times: a clock that goes by timer ticks may say 0. */
static int relay(void *arg)
{
	const struct run *run = arg;
	struct outcome outcome;

	child_check(!crew_init());
	if (relay_run(run->transport, &run->job, &outcome))
		return 1;
	child_check(outcome.bytes == run->job.geometry.items *
		    run->job.geometry.max_size);
	child_check(outcome.seconds >= 0);
	return 0;
}

static int relay_quickly(void *arg)
{
	const struct run *run = arg;
	struct outcome outcome;

	child_check(!crew_init());
	child_check(!relay_run(run->transport, &run->job, &outcome));
	child_check(outcome.seconds < SLOW_END);
	return 0;
}

static int go_and_come(void *arg)
{
	const struct run *run = arg;
	double *took = shared_memory(ITEMS * sizeof(*took));
	size_t i;

	child_check(!crew_init());
	if (trip_run(run->transport, &run->job, took))
		return 1;
	for (i = 0; i < ITEMS; i++)
		child_check(took[i] >= 0);
	return 0;
}

/* It says what it found, which nobody wants to read here. */
static int silently(int (*body)(void *), struct run *run)
{
	if (!freopen("/dev/null", "we", stderr))
		return 2;
	return body(run);
}

static int relay_silently(void *arg)
{
	return silently(relay, arg);
}

static int go_and_come_silently(void *arg)
{
	return silently(go_and_come, arg);
}

static void expect_found_out(enum fault what, size_t at, size_t size)
{
	struct transport transport = faulty();
	struct run run = { &transport, job_of(size, 1, 1) };

	fault = what;
	fault_at = at;
	expect_exit(spawn(relay_silently, &run), 1);
}

/* ------------------------------------------------------------------- tests -- */

static void content_differs_in_each_byte(void **state)
{
	static char bytes[20000];
	size_t i;

	(void)state;
	content_fill(7, bytes, sizeof(bytes));
	for (i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 0x10;
		assert_int_equal(content_check(7, bytes, sizeof(bytes)),
				 -EBADMSG);
		bytes[i] ^= 0x10;
	}
	assert_int_equal(content_check(7, bytes, sizeof(bytes)), 0);
}

static void content_tells_numbers_apart(void **state)
{
	static const uint64_t others[] = { 6, 8, 7 + 64, 7 + 1024, 7 + (1ULL << 32) };
	char bytes[64];
	size_t i;

	(void)state;
	content_fill(7, bytes, sizeof(bytes));
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(content_check(others[i], bytes,
					       sizeof(bytes)), -EBADMSG);
}

static void relay_passes_what_is_right(void **state)
{
	struct transport transport = faulty();
	struct run run = { &transport, job_of(1000, 1, 1) };

	(void)state;
	fault = NONE;
	expect_exit(spawn(relay, &run), 0);
	expect_exit(spawn(go_and_come, &run), 0);
}

static void relay_ends_with_the_last_item(void **state)
{
	struct transport transport = transport_pipe;
	struct run run = { &transport, job_of(64, 2, 2) };

	(void)state;
	transport.receive = slow_receive;
	expect_exit(spawn(relay_quickly, &run), 0);
}

static void relay_finds_any_wrong_byte(void **state)
{
	size_t at;

	(void)state;
	for (at = 0; at < 40; at++)
		expect_found_out(FLIP, at, 40);
}

static void relay_finds_a_wrong_byte_in_a_large_item(void **state)
{
	static const size_t at[] = { 0, 4095, 8191, 8192, 8199, 8200, 99999 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		expect_found_out(FLIP, at[i], 100000);
}

static void relay_finds_a_lost_item(void **state)
{
	(void)state;
	expect_found_out(LOSE, 0, 1000);
}

static void relay_finds_a_doubled_item(void **state)
{
	(void)state;
	expect_found_out(DOUBLE, 0, 1000);
}

static void relay_finds_a_short_item(void **state)
{
	(void)state;
	expect_found_out(SHORTEN, 0, 1000);
}

static void relay_finds_an_item_that_nobody_sent(void **state)
{
	(void)state;
	expect_found_out(RENUMBER, 0, 1000);
}

static void relay_finds_an_item_with_the_bytes_of_another(void **state)
{
	(void)state;
	expect_found_out(STALE, 0, 1000);
}

static void trip_finds_faults(void **state)
{
	struct transport transport = faulty();
	struct run run = { &transport, job_of(1000, 1, 1) };

	(void)state;
	for (fault = FLIP; fault <= STALE; fault++) {
		/* Both would wait for ever, and be ended after minutes. */
		if (fault == LOSE)
			continue;
		fault_at = 999;
		expect_exit(spawn(go_and_come_silently, &run), 1);
	}
}

static void every_transport_passes_every_byte(void **state)
{
	static const size_t sizes[] = { 1, 64, 100000 };
	const struct transport *const *t;
	struct run run;
	size_t i;

	(void)state;
	for (t = transports; *t; t++) {
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			print_message("# %s, %zu bytes\n", (*t)->name,
				      sizes[i]);
			run = (struct run){ *t, job_of(sizes[i], 1, 1) };
			expect_exit(spawn(relay, &run), 0);
			/* A minute on the debug kernel, otherwise. */
			if (sizes[i] > 64)
				continue;
			expect_exit(spawn(go_and_come, &run), 0);
			run.job = job_of(sizes[i], 3, 2);
			expect_exit(spawn(relay, &run), 0);
		}
	}
}

/* As much as the largest pipe holds, and more than a message can have. */
static void every_transport_passes_large_items(void **state)
{
	const struct transport *const *t;
	struct run run;

	(void)state;
	for (t = transports; *t; t++) {
		print_message("# %s\n", (*t)->name);
		run = (struct run){ *t, job_of(1 << 20, 1, 1) };
		run.job.geometry.items = ITEMS / 8;
		run.job.warm_up = 1;
		expect_exit(spawn(relay, &run), 0);
	}
}

static long long entries(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	long long n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n++;
	closedir(dir);
	return n;
}

static long long lines(const char *path)
{
	FILE *file = fopen(path, "re");
	long long n = 0;
	int c;

	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

/* Objects, and what has a name that others see. */
static long long left_over(void)
{
	return heap_stat("objects") + entries("/dev/shm") +
	       entries("/dev/mqueue") + lines("/proc/sysvipc/msg");
}

static int die_in_the_middle(const struct job *job, uint64_t number,
			     void *bytes, size_t size)
{
	(void)job;
	content_fill(number, bytes, size);
	if (number == VICTIM)
		raise(SIGKILL);
	return 0;
}

static void transport_leaves_nothing_when_a_worker_dies(void **state)
{
	long long before = left_over();
	const struct transport *const *t;
	struct run run;

	(void)state;
	for (t = transports; *t; t++) {
		run = (struct run){ *t, job_of(1000, 2, 2) };
		run.job.fill = die_in_the_middle;
		expect_exit(spawn(relay_silently, &run), 1);
		assert_int_equal(left_over(), before);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest relay_tests[] = {
		TEST(content_differs_in_each_byte),
		TEST(content_tells_numbers_apart),
		TEST(relay_passes_what_is_right),
		TEST(relay_ends_with_the_last_item),
		TEST(relay_finds_any_wrong_byte),
		TEST(relay_finds_a_wrong_byte_in_a_large_item),
		TEST(relay_finds_a_lost_item),
		TEST(relay_finds_a_doubled_item),
		TEST(relay_finds_a_short_item),
		TEST(relay_finds_an_item_that_nobody_sent),
		TEST(relay_finds_an_item_with_the_bytes_of_another),
		TEST(trip_finds_faults),
		TEST(every_transport_passes_every_byte),
		TEST(every_transport_passes_large_items),
		TEST(transport_leaves_nothing_when_a_worker_dies),
	};

	test_choose(argc, argv);
	return test_main(relay_tests);
}
