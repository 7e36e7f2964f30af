// SPDX-License-Identifier: GPL-2.0-or-later
/* What test.h promises. */
#include <ctype.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "test.h"

size_t page;
int dev;

/* The table that runs, and how many of its tests have begun. */
static const struct CMUnitTest *table;
static size_t begun;
static long long began_ms;

/* Fails the test; cmocka's fail_msg() writes outside of the TAP stream. */
static void fail_test(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

static void fail_test(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fail();
	/* cmocka does not declare that it does not come back. */
	abort();
}

long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void sleep_ms(long ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

/* What to print if the test hangs, written down while printf is safe. */
static char epitaph[512];
static int epitaph_length;

/* Where everybody is, for those who have to find out why. */
static const char autopsy[] =
	"for p in /proc/[0-9]*; do [ -e $p/exe ] || continue\n"
	"echo \"# ${p#/proc/} $(cat $p/comm) $(cat $p/wchan)\"\n"
	"sed 's/^/#    /' $p/stack; done 2>/dev/null";

/*
 * The children need no killing: they die with this process.  An exec of its own
 * would give its locks back, and others would go on before anybody looks.
 */
static void on_time_limit(int sig)
{
	pid_t pid;

	(void)sig;
	if (write(STDOUT_FILENO, epitaph, epitaph_length) < 0)
		_exit(98);
	/* Not fork(), which calls what may wait for what hangs. */
	pid = vfork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c", autopsy, NULL);
		_exit(98);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	_exit(97);
}

static void set_time_limit(const char *name)
{
	epitaph_length = snprintf(epitaph, sizeof(epitaph),
				  "not ok %zu - %s\n"
				  "Bail out! %s hangs: no end after %d s\n",
				  begun, name, name, TEST_SECONDS);
	signal(SIGALRM, on_time_limit);
	alarm(TEST_SECONDS);
}

int test_begin(void **state)
{
	(void)state;
	while (table[begun++].setup_func != test_begin)
		;
	began_ms = now_ms();
	set_time_limit(table[begun - 1].name);
	return 0;
}

int test_end(void **state)
{
	(void)state;
	alarm(0);
	printf("# time %s %lld\n", table[begun - 1].name, now_ms() - began_ms);
	return 0;
}

/* Whether the words of a list have the name among them. */
static int is_among(const char *list, const char *name)
{
	size_t length = strlen(name);
	const char *at = list;

	for (; at && (at = strstr(at, name)); at += length)
		if ((at == list || isspace(at[-1])) &&
		    (!at[length] || isspace(at[length])))
			return 1;
	return 0;
}

/* Those that the environment names; nobody frees them. */
static const struct CMUnitTest *chosen(const struct CMUnitTest *tests,
				       size_t *count)
{
	const char *pattern = getenv("TEST_ONLY");
	const char *except = getenv("TEST_EXCEPT");
	struct CMUnitTest *some;
	size_t i, n = 0;

	if (!pattern && !except)
		return tests;
	some = calloc(*count, sizeof(*some));
	if (!some)
		abort();
	for (i = 0; i < *count; i++)
		if ((!pattern || !fnmatch(pattern, tests[i].name, 0)) &&
		    !is_among(except, tests[i].name))
			some[n++] = tests[i];
	*count = n;
	return some;
}

int test_open(void)
{
	page = sysconf(_SC_PAGESIZE);
	/* What is printed must survive a crash, and never be printed twice. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	return dev < 0 ? -1 : 0;
}

void test_choose(int argc, char **argv)
{
	if (argc > 1)
		setenv("TEST_ONLY", argv[1], 1);
}

int test_run(const char *name, const struct CMUnitTest *tests, size_t count)
{
	if (test_open()) {
		printf("Bail out! %s: %s\n", NPHEAP_DEVICE, strerror(errno));
		return 1;
	}
	table = tests = chosen(tests, &count);
	begun = 0;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests(name, tests, count, NULL, NULL) ? 1 : 0;
}

void bind_now(char **argv)
{
	if (getenv("LD_BIND_NOW"))
		return;
	setenv("LD_BIND_NOW", "1", 1);
	execv("/proc/self/exe", argv);
}

void test_assert_errno(long result, int expected, const char *call,
		       const char *file, int line)
{
	int got = errno;

	if (result == -1 && got == expected)
		return;
	if (result == -1)
		printf("# %s:%d: %s: %s, expected: %s\n", file, line, call,
		       strerror(got), strerror(expected));
	else
		printf("# %s:%d: %s: returned %ld, expected: %s\n", file, line,
		       call, result, strerror(expected));
	_fail(file, line);
}

uint64_t test_key(void)
{
	static uint64_t key;

	if (!key)
		/* So that the key in bytes is a key in range, too. */
		key = (uint64_t)(getpid() & 2047) << 27;
	return key += 1 << 20;
}

struct npheap *open_heap(unsigned int flags)
{
	struct npheap *heap = NULL;

	assert_int_equal(npheap_open(NULL, flags, &heap), 0);
	assert_non_null(heap);
	return heap;
}

void *map_key(uint64_t key, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dev,
		       key * page);

	if (p == MAP_FAILED)
		fail_test("mmap of %zu bytes of key %llu: %s", size,
			  (unsigned long long)key, strerror(errno));
	return p;
}

/* cmocka and tests catch signals, some of which a child is to die of. */
static void default_signals(void)
{
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_child(pid_t parent)
{
	default_signals();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before that line; 0: it is in another namespace. */
	if (getppid() != parent && getppid())
		_exit(96);
	/*
	 * A failed assertion jumps back into the runner, of which only the
	 * parent may go on.  This makes it print and abort instead.
	 */
	setenv("CMOCKA_TEST_ABORT", "1", 1);
}

pid_t spawn(int (*body)(void *arg), void *arg)
{
	pid_t parent = getpid();
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		fail_test("fork: %s", strerror(errno));
	if (!pid) {
		become_child(parent);
		/* Not exit(): what the parent set up for its end is its own. */
		_exit(body(arg));
	}
	return pid;
}

void child_failed(const char *cond, const char *file, int line)
{
	int saved = errno;

	fprintf(stderr, "# %s:%d: child: %s is false (errno: %s)\n", file, line,
		cond, strerror(saved));
	_exit(99);
}

int status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail_test("waitpid: %s", strerror(errno));
	return status;
}

int has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) ||
	       info.si_pid;
}

static void fail_status(int status, const char *expected, int number)
{
	if (WIFSIGNALED(status))
		fail_test("child killed by signal %d, expected %s %d",
			  WTERMSIG(status), expected, number);
	fail_test("child exited with %d, expected %s %d", WEXITSTATUS(status),
		  expected, number);
}

void expect_exit(pid_t pid, int status)
{
	int got = status_of(pid);

	if (!WIFEXITED(got) || WEXITSTATUS(got) != status)
		fail_status(got, "exit", status);
}

void expect_signal(pid_t pid, int sig)
{
	int got = status_of(pid);

	if (!WIFSIGNALED(got) || WTERMSIG(got) != sig)
		fail_status(got, "signal", sig);
}

void kill_and_reap(pid_t pid)
{
	kill(pid, SIGKILL);
	expect_signal(pid, SIGKILL);
}

int works(int (*body)(void *arg))
{
	return !status_of(spawn(body, NULL));
}

void expect_death(int (*body)(void *arg), void *arg, int sig)
{
	expect_signal(spawn(body, arg), sig);
}

void stop_for_parent(void)
{
	child_check(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	raise(SIGSTOP);
}

int be_traced(void *arg)
{
	stop_for_parent();
	return *(char *)arg;
}

void use_one_cpu(cpu_set_t *before)
{
	cpu_set_t one;

	assert_int_equal(sched_getaffinity(0, sizeof(*before), before), 0);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

union control {
	struct cmsghdr align;
	char buffer[CMSG_SPACE(sizeof(int))];
};

void send_fd(int socket, int fd)
{
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	union control control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	assert_int_equal(sendmsg(socket, &msg, 0), 1);
}

int receive_fd(int socket)
{
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union control control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(socket, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

void *share(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail_test("mmap of shared memory: %s", strerror(errno));
	return p;
}

long long read_number(const char *path)
{
	long long number;
	FILE *file = fopen(path, "re");
	int fields;

	if (!file)
		fail_test("%s: %s", path, strerror(errno));
	fields = fscanf(file, "%lld", &number);
	fclose(file);
	if (fields != 1)
		fail_test("%s: no number", path);
	return number;
}

long long number_in(const char *path, const char *section, const char *name)
{
	FILE *file = fopen(path, "re");
	int found = !section;
	long long value = -1;
	char line[512];

	if (!file)
		fail_test("%s: %s", path, strerror(errno));
	while (value < 0 && fgets(line, sizeof(line), file)) {
		if (!found)
			found = !strncmp(line, section, strlen(section));
		else if (!strncmp(line, name, strlen(name)))
			value = atoll(line + strlen(name));
	}
	fclose(file);
	return value;
}

long long number_after(const char *path, const char *name)
{
	return number_in(path, NULL, name);
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

long long heap_stat(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/misc/npheap/%s", name);
	return read_number(path);
}

int heap_write(const char *name, long long value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "/sys/class/misc/npheap/%s", name);
	snprintf(text, sizeof(text), "%lld", value);
	return write_text(path, text);
}

void heap_set(const char *name, long long value)
{
	assert_int_equal(heap_write(name, value), 0);
	assert_int_equal(heap_stat(name), value);
}

long long available_bytes(void)
{
	return number_after("/proc/meminfo", "MemAvailable:") * 1024;
}

/* Bytes that processors keep for themselves, and that do not count as free. */
static long long pages_at_processors(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	long long sum = 0, count;
	char line[256];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, " count: %lld", &count) == 1)
			sum += count;
	fclose(file);
	return sum * (long long)page;
}

long long memory_left(void)
{
	long long most = 0, now;
	int i;

	for (i = 0; i < 10; i++) {
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		write_text("/proc/sys/vm/drop_caches", "3");
		usleep(100000);
		now = available_bytes() + pages_at_processors();
		if (now > most)
			most = now;
	}
	return most;
}

static int compare_keys(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Keys of the table of locks, which may list one twice when it is resized. */
static long long count_locks(int count_marked)
{
	FILE *file = fopen("/proc/npheap/locks", "re");
	int holder, waiters, readers, marked;
	uint64_t *keys = NULL, key;
	size_t n = 0, room = 0, i;
	long long count = 0;
	char line[128];

	if (!file)
		fail_test("/proc/npheap/locks: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNu64 " %d %d %d %d", &key, &holder,
			   &waiters, &readers, &marked) != 5 ||
		    !(holder || waiters || readers || (marked && count_marked)))
			continue;
		if (n == room) {
			keys = reallocarray(keys, room += 1000, sizeof(*keys));
			if (!keys)
				abort();
		}
		keys[n++] = key;
	}
	fclose(file);
	if (n)
		qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 0; i < n; i++)
		count += !i || keys[i] != keys[i - 1];
	free(keys);
	return count;
}

long long locks_in_use(void)
{
	return count_locks(0);
}

long long locks_not_idle(void)
{
	return count_locks(1);
}

static int command_by_ioctl(unsigned long command, uint64_t key)
{
	struct npheap_cmd cmd = { .offset = key * page };

	return ioctl(dev, command, &cmd);
}

int lock_by_ioctl(uint64_t key)
{
	return command_by_ioctl(NPHEAP_IOCTL_LOCK, key);
}

int unlock_by_ioctl(uint64_t key)
{
	return command_by_ioctl(NPHEAP_IOCTL_UNLOCK, key);
}

long size_by_ioctl(uint64_t key)
{
	struct npheap_cmd cmd = { .offset = key * page };

	return ioctl(dev, NPHEAP_IOCTL_GETSIZE, &cmd) < 0 ? -1 : (long)cmd.size;
}

long syscall32(long nr, long a, long b, long c)
{
#ifdef __x86_64__
	asm volatile("int $0x80"
		     : "+a"(nr)
		     : "b"(a), "c"(b), "d"(c)
		     : "memory", "cc", "r8", "r9", "r10", "r11");
	return (int)nr;
#else
	(void)nr, (void)a, (void)b, (void)c;
	return -ENOSYS;
#endif
}

static int call_getpid32(void *arg)
{
	(void)arg;
	return syscall32(20, 0, 0, 0) == getpid() ? 0 : 1;
}

void need_syscall32(void)
{
	if (works(call_getpid32))
		return;
	printf("# this kernel runs no 32-bit system calls\n");
	skip();
}

struct npheap_cmd garbage_cmd(uint64_t offset)
{
	struct npheap_cmd cmd;

	memset(&cmd, 0xa5, sizeof(cmd));
	cmd.offset = offset;
	return cmd;
}

/* The futex is shared: waiters and wakers are in different processes. */
static void futex(struct gate *gate, int op, uint32_t value)
{
	syscall(SYS_futex, &gate->value, op, value, NULL, NULL, 0);
}

struct gate *gate_new(void)
{
	return share(sizeof(struct gate));
}

void gate_add(struct gate *gate, uint32_t n)
{
	atomic_fetch_add(&gate->value, n);
	futex(gate, FUTEX_WAKE, INT32_MAX);
}

void gate_wait(struct gate *gate, uint32_t value)
{
	uint32_t now;

	while ((now = atomic_load(&gate->value)) < value)
		futex(gate, FUTEX_WAIT, now);
}

/* The state is in /proc/PID/stat after the name, which may hold anything. */
int is_asleep(pid_t pid)
{
	char path[64], text[512] = "";
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	end = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	return end && end[1] == ' ' && end[2] == 'S';
}

int wait_asleep(pid_t pid)
{
	long long limit = now_ms() + 10000;

	do {
		if (is_asleep(pid))
			return 1;
		sleep_ms(1);
	} while (now_ms() < limit);
	return 0;
}

size_t log_lines_of_npheap(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char record[8192];
	size_t lines = 0;
	ssize_t n;

	if (fd < 0) {
		printf("# /dev/kmsg: %s\n", strerror(errno));
		skip();
	}
	while ((n = read(fd, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		record[n > 0 ? n : 0] = 0;
		lines += !!strstr(record, "npheap");
	}
	close(fd);
	return lines;
}

/* AddressSanitizer asks for the signal stack whenever a process ends. */
#ifdef __SANITIZE_ADDRESS__
#define CALL_AT_EXIT SYS_sigaltstack
#else
#define CALL_AT_EXIT SYS_exit_group
#endif

int forbid_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALL_AT_EXIT, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
