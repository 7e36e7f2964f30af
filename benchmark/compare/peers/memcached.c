// SPDX-License-Identifier: GPL-2.0-or-later
/* memcached with its items in a file on tmpfs (-e), on a Unix socket. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"
#include "compare/peers.h"

#define PROGRAM "/usr/bin/memcached"
#define ITEMS "/dev/shm/npheap-memcached"
#define META ITEMS ".meta"
#define SOCKET "/tmp/npheap-memcached.socket"
/* What it needs for one of ours, and room for slabs of other sizes. */
#define BYTES_OF_ITEM 300
#define OTHER_MIB 64

#define VALUE sizeof(((struct item *)0)->value)
#define KEY "%016" PRIx64

int memcached_open(void)
{
	return access(PROGRAM, X_OK) ? -errno : 0;
}

static void exec_memcached(void *arg)
{
	uint64_t *n = arg;
	char mib[32];

	snprintf(mib, sizeof(mib), "%" PRIu64,
		 *n * BYTES_OF_ITEM / (1 << 20) + OTHER_MIB);
	/* It says when it starts and stops. */
	check(freopen("/dev/null", "w", stdout) &&
	      freopen("/dev/null", "w", stderr), "/dev/null");
	execl(PROGRAM, PROGRAM, "-u", "root", "-t", "1", "-M", "-m", mib, "-s",
	      SOCKET, "-e", ITEMS, NULL);
	die(PROGRAM);
}

pid_t memcached_start(uint64_t n)
{
	unlink(SOCKET);
	return start(exec_memcached, &n, -1);
}

static int try_to_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX,
				       .sun_path = SOCKET };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(fd >= 0, "socket");
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

int memcached_connect(pid_t pid)
{
	struct timespec rest = { .tv_nsec = 1000000 };
	int fd;

	for (;;) {
		fd = try_to_connect();
		if (fd >= 0)
			return fd;
		errno = ECHILD;
		check(!waitpid(pid, NULL, WNOHANG), PROGRAM);
		nanosleep(&rest, NULL);
	}
}

static void write_all(int fd, const char *p, size_t size)
{
	ssize_t done;

	for (; size; p += done, size -= done) {
		done = write(fd, p, size);
		check(done > 0, PROGRAM);
	}
}

/* Reads until the answer ends with @end. */
static size_t read_until(int fd, const char *end, char *to, size_t room)
{
	size_t size = 0, length = strlen(end);
	ssize_t got;

	while (size < length || memcmp(to + size - length, end, length)) {
		errno = EMSGSIZE;
		check(size < room - 1, PROGRAM);
		got = read(fd, to + size, room - 1 - size);
		check(got > 0, PROGRAM);
		size += got;
	}
	to[size] = '\0';
	return size;
}

static void check_count(int fd, uint64_t n)
{
	static const char name[] = "STAT curr_items ";
	static char answer[1 << 16];
	char *at;

	write_all(fd, "stats\r\n", 7);
	read_until(fd, "END\r\n", answer, sizeof(answer));
	at = strstr(answer, name);
	errno = ENOSPC;
	check(at && strtoull(at + strlen(name), NULL, 10) == n,
	      "items of memcached");
}

static size_t print_set(char *to, uint64_t i)
{
	struct item item;
	size_t size;

	item_fill(&item, i);
	size = sprintf(to, "set " KEY " 0 0 %zu noreply\r\n", item.key, VALUE);
	memcpy(to + size, item.value, VALUE);
	memcpy(to + size + VALUE, "\r\n", 2);
	return size + VALUE + 2;
}

void memcached_fill(int fd, uint64_t n)
{
	static char sets[1 << 16];
	size_t size = 0;
	uint64_t i;

	for (i = 0; i < n; i++) {
		size += print_set(sets + size, i);
		if (size > sizeof(sets) - 256) {
			write_all(fd, sets, size);
			size = 0;
		}
	}
	write_all(fd, sets, size);
	check_count(fd, n);
}

int memcached_find(int fd, uint64_t i)
{
	struct item item = { .key = item_key(i) };
	char text[256];
	size_t head, size;

	write_all(fd, text, sprintf(text, "get " KEY "\r\n", item.key));
	size = read_until(fd, "END\r\n", text, sizeof(text));
	if (size == strlen("END\r\n"))
		return 0;
	errno = EBADMSG;
	head = strcspn(text, "\n") + 1;
	check(size == head + VALUE + strlen("\r\nEND\r\n"), PROGRAM);
	memcpy(item.value, text + head, VALUE);
	item_check(&item, i);
	return 1;
}

void memcached_stop(pid_t pid)
{
	unlink(META);
	check(!kill(pid, SIGUSR1), PROGRAM);
	finish(pid, 0);
	check(!access(META, R_OK), META);
	/* In the second in which it stopped it would start without its items. */
	nanosleep(&(struct timespec){ .tv_sec = 1, .tv_nsec = 100000000 },
		  NULL);
}

void memcached_kill(pid_t pid)
{
	check(!kill(pid, SIGKILL), PROGRAM);
	finish(pid, SIGKILL);
}

void memcached_remove(void)
{
	unlink(ITEMS);
	unlink(META);
	unlink(SOCKET);
}
