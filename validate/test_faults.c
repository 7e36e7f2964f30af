// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Failures: every allocation, and every copy from or to user space, that a call
 * makes, those of the kernel around the module included, fails once, one after
 * the other.  A call that is refused has a documented error, leaves nothing
 * behind, and works when it is made again.
 *
 * test_faults --loading	those of loading the module, too, as with TEST_ONLY=loading_fails
 * test_faults --all	these, and all of those that a short run takes one in eight
 *			of; takes minutes
 *
 * Needs a kernel with fault injection.  It cannot fail get_user() and put_user(),
 * which test_abi gives bad pointers.
 */
#include <sys/syscall.h>

#include "fail.h"
#include "faults.h"
#include "object.h"

/* No call has as many. */
#define MAX_SITES 2000

/* What a child tells. */
struct outcome {
	volatile int came_back;
	volatile int refused;
	volatile unsigned int left;
};

struct tally {
	unsigned int sites;
	unsigned int refused;
};

static struct outcome *outcome;
static const struct fault_entry *entry;
static unsigned int site;
static int all_sites, loading;

static int nothing_is_left(struct leftovers before)
{
	if (leftovers_are(before))
		return 1;
	printf("# %s, site %u\n", entry->id, site);
	return 0;
}

/* -------------------------------------------------------------- the child -- */

/* What the calls document for a lack of memory, and for a bad pointer. */
static int is_documented(int err)
{
	return err == ENOMEM || err == EFAULT ||
	       /* An exec that came back is the kernel's. */
	       entry->flags & FAULT_ENDS;
}

/* A new object is there with all its bytes, or is not there. */
static void expect_object(struct leftovers *expected)
{
	const struct fault_left *left = &entry->left;
	unsigned int pages = left->pages + left->sparse;
	uint64_t size = size_by_ioctl(fault_key);

	if (!pages || heap_stat("objects") == expected->objects)
		return;
	child_check(size == pages * page);
	expected->objects++;
	expected->bytes += left->pages * page;
	expected->sparse += left->sparse * page;
}

/* Every other time what was left goes, and nothing is left then. */
static void delete_object(struct leftovers before, struct leftovers expected)
{
	struct npheap_cmd cmd = garbage_cmd(fault_key * page);

	if (expected.objects == before.objects || site % 2)
		return;
	expected.objects = before.objects;
	expected.bytes = before.bytes;
	expected.sparse = before.sparse;
	child_check(!ioctl(dev, NPHEAP_IOCTL_DELETE, &cmd));
	child_check(nothing_is_left(expected));
}

/* What a thread knows, and where it joined, goes with it. */
static void expect_thread(struct leftovers *expected)
{
	long long locks = heap_stat("locks") - expected->locks;
	long long references = read_number("/sys/module/npheap/refcnt") -
			       expected->references;

	if (locks > 0 && locks <= entry->left.locks)
		expected->locks += locks;
	if (references > 0 && references <= entry->left.references)
		expected->references += references;
}

static void check_refusal(struct leftovers before, int err)
{
	struct leftovers expected = before;

	if (!is_documented(err))
		fprintf(stderr, "# %s, site %u: %s\n", entry->id, site,
			strerror(err));
	child_check(is_documented(err));
	if (err == EFAULT || !(entry->flags & FAULT_UNTOLD)) {
		expect_object(&expected);
		expect_thread(&expected);
	}
	child_check(nothing_is_left(expected));
	delete_object(before, expected);
}

static int make_call(void *arg)
{
	struct leftovers before;
	long rc;
	int err;

	(void)arg;
	if (entry->before)
		entry->before();
	before = leftovers_now();
	fail_arm(site);
	rc = entry->call();
	err = errno;
	outcome->left = fail_disarm();
	outcome->came_back = 1;
	if (rc < 0) {
		outcome->refused = 1;
		/* Otherwise it is an error of its own. */
		child_check(!outcome->left);
		check_refusal(before, err);
		child_check(entry->call() >= 0);
	}
	if (entry->after)
		entry->after();
	return 0;
}

/* ------------------------------------------------------------ the parent -- */

/* What a process left that ended in the call: another one looks after it. */
static int clear_up(void *arg)
{
	struct npheap_lock_args args = {
		.key = fault_key, .timeout = UINT64_MAX,
		.flags = NPHEAP_LOCK_REPORT,
	};

	(void)arg;
	if (ioctl(dev, NPHEAP_IOC_LOCK, &args)) {
		child_check(errno == EOWNERDEAD);
		child_check(!ioctl(dev, NPHEAP_IOC_CONSISTENT, &fault_key));
	}
	child_check(!unlock_by_ioctl(fault_key));
	child_check(!npheap_delete(dev, fault_key));
	return 0;
}

/* Who ends in the call may do so in any way, but that a check failed. */
static void expect_end(pid_t pid)
{
	int status, failed;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	failed = entry->flags & FAULT_ENDS ? status == W_EXITCODE(99, 0) :
					     status;
	if (failed)
		printf("# %s, site %u: status %#x\n", entry->id, site, status);
	assert_false(failed);
	if (entry->flags & FAULT_ENDS)
		expect_exit(spawn(clear_up, NULL), 0);
}

/* Returns whether there was such a site. */
static int fail_site(struct tally *tally)
{
	struct leftovers before = leftovers_now();
	unsigned int left;
	siginfo_t info;
	pid_t pid;

	memset(outcome, 0, sizeof(*outcome));
	pid = spawn(make_call, NULL);
	assert_int_equal(waitid(P_PID, pid, &info,
				WEXITED | WSTOPPED | WNOWAIT), 0);
	left = outcome->came_back ? outcome->left : fail_left(pid);
	/* Stopped behind an exec: the new program's sites do not count. */
	kill(pid, SIGKILL);
	expect_end(pid);
	assert_true(nothing_is_left(before));
	if (left)
		return 0;
	tally->sites++;
	tally->refused += outcome->refused;
	return 1;
}

static unsigned int step(void)
{
	return entry->flags & FAULT_MANY && !all_sites ? 8 : 1;
}

/* Its own time limit: some have hundreds of sites where everything counts. */
static struct tally walk(void)
{
	struct tally tally = { 0 };

	for (site = 1; site < MAX_SITES; site += step()) {
		alarm(TEST_SECONDS);
		if (!fail_site(&tally))
			break;
	}
	assert_in_range(site, 1, MAX_SITES - 1);
	return tally;
}

static void print_tally(struct tally tally)
{
	printf("# %-18s %4u sites: %4u refused, %4u done all the same\n",
	       entry->id, tally.sites, tally.refused,
	       tally.sites - tally.refused);
}

static void fails(void **state)
{
	size_t lines = log_lines_of_npheap();
	struct tally tally;

	entry = *state;
	fault_key = test_key();
	tally = walk();
	print_tally(tally);
	assert_in_range(tally.sites * step(), entry->sites, MAX_SITES);
	assert_in_range(tally.refused, entry->refused, MAX_SITES);
	assert_int_equal(log_lines_of_npheap(), lines);
}

/* ---------------------------------------------------------------- loading -- */

static int load(void)
{
	int fd = open(getenv("NPHEAP_KO"), O_RDONLY | O_CLOEXEC);
	int rc;

	child_check(fd >= 0);
	fail_arm(site);
	rc = syscall(SYS_finit_module, fd, "", 0) ? errno : 0;
	outcome->left = fail_disarm();
	close(fd);
	return rc;
}

/* What was made before the failure must be unmade, or the next load fails. */
static int load_and_unload(void *arg)
{
	int err = load();

	(void)arg;
	if (err) {
		outcome->refused = 1;
		child_check(err == ENOMEM || err == EFAULT);
		child_check(access("/proc/npheap", F_OK));
		child_check(access("/sys/class/misc/npheap", F_OK));
		return 0;
	}
	child_check(!access(NPHEAP_DEVICE, F_OK));
	child_check(!syscall(SYS_delete_module, "npheap", O_NONBLOCK));
	return 0;
}

static void loading_fails(void **state)
{
	static const struct fault_entry load_entry = { .id = "load" };
	struct tally tally = { 0 };

	(void)state;
	entry = &load_entry;
	close(dev);
	assert_int_equal(syscall(SYS_delete_module, "npheap", O_NONBLOCK), 0);
	for (site = 1; site < MAX_SITES; site++) {
		alarm(TEST_SECONDS);
		/* Slowly, on a debug kernel: who waits for a sign has one. */
		if (site % 8 == 0)
			printf("# site %u\n", site);
		memset(outcome, 0, sizeof(*outcome));
		expect_exit(spawn(load_and_unload, NULL), 0);
		if (outcome->left)
			break;
		tally.sites++;
		tally.refused += outcome->refused;
	}
	print_tally(tally);
	assert_in_range(tally.sites, 20, MAX_SITES - 1);
	site = 0;
	assert_int_equal(load(), 0);
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	assert_true(dev >= 0);
}

static size_t make_table(struct CMUnitTest *tests)
{
	const struct fault_entry *e;
	size_t n = 0;
	char *name;

	if (loading)
		tests[n++] = (struct CMUnitTest)TEST(loading_fails);
	for (e = fault_entries; e->id; e++) {
		if (asprintf(&name, "fails_%s", e->id) < 0)
			exit(1);
		tests[n++] = (struct CMUnitTest){
			name, fails, test_begin, test_end, (void *)e,
		};
	}
	return n;
}

/*
 * The C library's restartable sequences make the kernel copy from user space
 * whenever the process was preempted, and kill it where that fails.
 */
static void without_rseq(char **argv)
{
	if (getenv("GLIBC_TUNABLES"))
		return;
	setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
	execv("/proc/self/exe", argv);
	perror("/proc/self/exe");
	exit(1);
}

static int loading_is_chosen(void)
{
	const char *only = getenv("TEST_ONLY");

	return only && !strcmp(only, "loading_fails");
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[128];
	size_t n;

	if (!fail_possible()) {
		printf("1..1\nok 1 - fails # SKIP the kernel has no fault injection\n");
		return 0;
	}
	without_rseq(argv);
	all_sites = argc == 2 && !strcmp(argv[1], "--all");
	loading = all_sites || loading_is_chosen() ||
		  (argc == 2 && !strcmp(argv[1], "--loading"));
	n = make_table(tests);
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (outcome == MAP_FAILED)
		return 1;
	fail_prepare();
	return test_run("faults", tests, n);
}
