// SPDX-License-Identifier: GPL-2.0-or-later
/* What fail.h promises. */
#include "fail.h"

#define DEBUGFS "/sys/kernel/debug"

static const char *const kinds[] = {
	"failslab", "fail_page_alloc", "fail_usercopy",
};

int fail_possible(void)
{
	return !access("/proc/self/fail-nth", F_OK) &&
	       !access(DEBUGFS "/failslab", F_OK);
}

/* Not every kind has every knob. */
static void set(const char *knob, const char *text)
{
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(path, sizeof(path), DEBUGFS "/%s/%s", kinds[i], knob);
		if (!access(path, F_OK))
			assert_int_equal(write_text(path, text), 0);
	}
}

void fail_prepare(void)
{
	/* A page of a program that has to be read again would count, too. */
	assert_int_equal(mlockall(MCL_CURRENT), 0);
	/* A dump of the stack for each would be thousands. */
	set("verbose", "0");
	set("ignore-gfp-wait", "N");
	set("ignore-gfp-highmem", "N");
	set("min-order", "0");
}

/* The thread's own file, open before it counts. */
static __thread int control = -1;

static int write_nth(unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	return pwrite(control, text, length, 0) == length ? 0 : -1;
}

void fail_arm(unsigned int n)
{
	if (control < 0)
		control = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	child_check(control >= 0);
	child_check(!write_nth(n));
}

/*
 * Reading is a copy to user space itself, and writing one from there: where
 * the failure is the next, these get it.
 */
unsigned int fail_disarm(void)
{
	char text[16] = "1";
	ssize_t n = pread(control, text, sizeof(text) - 1, 0);

	if (n >= 0)
		text[n] = 0;
	if (write_nth(0))
		child_check(!write_nth(0));
	return strtoul(text, NULL, 10);
}

unsigned int fail_left(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/fail-nth", (long)pid);
	return read_number(path);
}
