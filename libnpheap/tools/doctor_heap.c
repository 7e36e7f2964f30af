// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap doctor: what is in the heap, and the memory that it takes. */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "objects.h"
#include "rates.h"
#include "tool.h"

/* Below the directory that is examined. */
static long long examined(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), NPHEAP_SYSFS "%s", name);
	return system_number(path);
}

static void check_limit(const char *name, const char *what, bool bytes)
{
	char max[64], used_text[32], limit_text[32];
	long long used, limit;
	const char *todo;

	snprintf(max, sizeof(max), "max_%s", name);
	used = examined(name);
	limit = examined(max);
	if (used < 0 || limit < 0 || used <= limit / 10 * 9)
		return;
	snprintf(used_text, sizeof(used_text), "%lld", used);
	snprintf(limit_text, sizeof(limit_text), "%lld", limit);
	if (bytes) {
		human_size(used, used_text);
		human_size(limit, limit_text);
	}
	todo = text("npheap ls, npheap rm KEY...; or, as root, a higher limit: echo NUMBER >" NPHEAP_SYSFS "%s",
		    max);
	report(used < limit ? WARNING : FAULT,
	       used < limit ? "limit-near" : "limit-reached", todo,
	       "%s: %s of %s (%s)", what, used_text, limit_text, max);
}

void check_limits(void)
{
	check_limit("bytes", "memory of objects", true);
	check_limit("objects", "objects", false);
	check_limit("sparse_bytes", "sizes of sparse objects", true);
	check_limit("locks", "lock records", false);
}

/* ---------------------------------------------------------------- memory -- */

/* A line of /proc/meminfo, in bytes; -1 where there is none. */
static long long memory_info(const char *name)
{
	FILE *file = fopen(system_path("/proc/meminfo"), "re");
	char line[128];
	long long value = -1;
	size_t len = strlen(name);

	if (!file)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, len) && line[len] == ':')
			value = atoll(line + len + 1) * 1024;
	fclose(file);
	return value;
}

/* The directory of our own cgroup, and those above it, may have a limit. */
static void check_cgroup(void)
{
	char line[PATH_MAX], dir[PATH_MAX + 64], *slash;
	long long limit, used;

	if (!system_line("/proc/self/cgroup", line, sizeof(line)) ||
	    strncmp(line, "0::", 3))
		return;
	for (;;) {
		snprintf(dir, sizeof(dir), "/sys/fs/cgroup%s/memory.max",
			 line + 3);
		limit = system_number(dir);
		snprintf(dir, sizeof(dir), "/sys/fs/cgroup%s/memory.current",
			 line + 3);
		used = system_number(dir);
		if (limit >= 0 && used > limit / 10 * 9)
			break;
		slash = strrchr(line + 3, '/');
		if (!slash)
			return;
		*slash = 0;
	}
	report(WARNING, "cgroup-full",
	       text("a higher limit, as root: echo NUMBER >/sys/fs/cgroup%s/memory.max",
		    line + 3),
	       "the memory cgroup %s has %lld of %lld bytes; objects that you create count there",
	       line[3] ? line + 3 : "/", used, limit);
}

void check_memory(void)
{
	long long total = memory_info("MemTotal");
	long long available = memory_info("MemAvailable");
	char have[SIZE_TEXT], keep[SIZE_TEXT];

	check_cgroup();
	if (total < 0 || available < 0)
		return;
	if (available > total / 32)
		return;
	report(FAULT, "memory-short",
	       "free memory: end programs, or npheap rm KEY...",
	       "%s of memory are available, and the last %s of it are not for objects",
	       human_size(available, have), human_size(total / 32, keep));
}

/* ------------------------------------------------------------- leftovers -- */

/* So many processes are named. */
#define NAMED 16

/* Those of one line, "..\tPID,PID"; false: there are more than are named. */
static bool add_pids(char *line, int pids[NAMED], int *n)
{
	char *list = strrchr(line, '\t'), *word, *rest;
	int pid, i;

	for (word = list ? strtok_r(list, "\t,\n", &rest) : NULL; word;
	     word = strtok_r(NULL, ",\n", &rest)) {
		/* Not the header, nor who is in no namespace of ours. */
		pid = atoi(word);
		for (i = 0; i < *n && pids[i] != pid; i++)
			;
		if (pid <= 0 || i < *n)
			continue;
		if (*n == NAMED)
			return false;
		pids[(*n)++] = pid;
	}
	return true;
}

/* Who maps deleted objects. */
static void list_mappers(char *text, size_t size)
{
	FILE *file = fopen(system_path(NPHEAP_PROC "deleted"), "re");
	int pids[NAMED], n = 0, i;
	bool all = true;
	char line[512];
	size_t len = 0;

	while (file && all && fgets(line, sizeof(line), file))
		all = add_pids(line, pids, &n);
	if (file)
		fclose(file);
	text[0] = 0;
	for (i = 0; i < n; i++)
		len += snprintf(text + len, size - len, "%s%d", i ? "," : "",
				pids[i]);
	if (!all)
		snprintf(text + len, size - len, ",...");
}

static void check_deleted(void)
{
	long long bytes = examined("deleted_bytes");
	char pids[256], size[SIZE_TEXT];

	if (bytes <= 0)
		return;
	list_mappers(pids, sizeof(pids));
	report(WARNING, "deleted-but-mapped",
	       "let these processes unmap it, or end them",
	       "%s belong to deleted objects that processes map yet: %s",
	       human_size(bytes, size),
	       pids[0]	   ? pids :
	       geteuid() ? "root is told which" :
			   "their processes are not known");
}

static void check_marks(void)
{
	struct key_state *locks;
	size_t count, i, marked = 0, lost = 0;
	uint64_t first = 0, first_lost = 0;

	if (read_locks(&locks, &count))
		return;
	for (i = 0; i < count; i++) {
		if (locks[i].marked == MARK_LOST) {
			if (!lost++)
				first_lost = locks[i].key;
		} else if (locks[i].marked && !marked++) {
			first = locks[i].key;
		}
	}
	free(locks);
	if (lost)
		report(WARNING, "unusable-locks",
		       text("look at the data, then, as root: npheap unlock --force %" PRIu64,
			    first_lost),
		       "%zu keys can be locked by nobody: a holder died, and the next gave the lock back without having settled that; the first is %" PRIu64,
		       lost, first_lost);
	if (!marked)
		return;
	report(WARNING, "dead-holders",
	       text("look at the data, then: npheap lock %" PRIu64 " -- true",
		    first),
	       "of %zu keys a holder of the lock died, and nobody has settled that; the first is %" PRIu64,
	       marked, first);
}

static void check_tracing(void)
{
	const char *name = find_stale_rates();

	if (name)
		report(WARNING, "tracing-left", text("rmdir %s", name),
		       "a killed npheap top left its tracing on, which takes time at each event");
}

void check_leftovers(void)
{
	check_deleted();
	check_marks();
	check_tracing();
}

/* --------------------------------------------------------------- library -- */

/* The part of a path after "libnpheap.so.". */
static const char *library_version(void *library)
{
	static char path[PATH_MAX];
	struct link_map *map;
	const char *name;

	if (dlinfo(library, RTLD_DI_LINKMAP, &map) ||
	    !realpath(map->l_name, path))
		return NULL;
	name = strstr(path, "libnpheap.so.");
	return name ? name + strlen("libnpheap.so.") : NULL;
}

/* This program brings its own library; others are loaded with the shared one. */
void check_library(void)
{
	void *library = dlopen("libnpheap.so.1", RTLD_LAZY | RTLD_LOCAL);
	const char *version;

	if (!library) {
		report(WARNING, "library-not-found",
		       "as root: ldconfig; if it is not installed: make install && ldconfig",
		       "programs do not find the shared library: %s", dlerror());
		return;
	}
	version = library_version(library);
	if (!dlsym(library, "npheap_watch_open") ||
	    (version && strverscmp(version, NPHEAP_VERSION) < 0))
		report(FAULT, "library-older",
		       "install the library of the same release as the module, and: ldconfig",
		       "programs get libnpheap.so of release %s, and this is release %s",
		       version ? version : "(unknown)", NPHEAP_VERSION);
	else
		report(GOOD, "library", NULL, "libnpheap.so.1, release %s",
		       version ? version : "(unknown)");
	dlclose(library);
}

/* ----------------------------------------------------------------- trial -- */

static void report_trial(int rc)
{
	switch (-rc) {
	case EDQUOT:
		report(FAULT, "user-limit-reached",
		       "delete what you created (npheap rm); or, as root, a higher limit: echo NUMBER >" NPHEAP_SYSFS "max_user_bytes (max_user_objects, max_user_locks)",
		       "user %u has as much in the heap as one user may have",
		       geteuid());
		break;
	case ENOSPC:
		report(FAULT, "heap-full",
		       "npheap ls, npheap rm KEY...; or, as root, higher limits in " NPHEAP_SYSFS,
		       "a limit of the heap is reached: no object can be created");
		break;
	case ENOMEM:
		report(FAULT, "out-of-memory",
		       "free memory, or give your cgroup more (memory.max)",
		       "there is no memory for an object, or none in your cgroup");
		break;
	default:
		report(FAULT, "trial-failed", "dmesg",
		       "an object cannot be created, locked and deleted: %s",
		       strerror(-rc));
	}
}

/* A key that nobody uses, most likely; what others put there stays there. */
void check_trial(void)
{
	uint64_t key = NPHEAP_KEY_MAX - getpid();
	struct npheap *heap;
	int rc = npheap_open(NULL, 0, &heap);

	if (rc) {
		report_trial(rc);
		return;
	}
	rc = npheap_create(heap, key, 1, 0, 0);
	if (!rc) {
		rc = npheap_acquire_with(heap, key, NPHEAP_TRY, 0);
		if (!rc)
			npheap_release(heap, key);
		npheap_remove(heap, key);
	}
	npheap_close(heap);
	if (rc && rc != -EEXIST && rc != -EBUSY)
		report_trial(rc);
	else
		report(GOOD, "trial", NULL,
		       "an object was created, locked and deleted");
}
