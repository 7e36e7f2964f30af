// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap doctor: says in plain words why the heap does not work. */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "table.h"
#include "tool.h"

enum { COL_VERDICT, COL_NAME, COL_TEXT, COL_TODO };

static const struct column columns[] = {
	[COL_VERDICT] = { "VERDICT", COLUMN_TEXT },
	[COL_NAME] = { "NAME", COLUMN_TEXT },
	[COL_TEXT] = { "TEXT", COLUMN_TEXT },
	[COL_TODO] = { "TODO", COLUMN_TEXT },
	{ NULL, COLUMN_TEXT }
};

static struct table findings = {
	.name = "findings",
	.columns = columns,
	.usual = "VERDICT,NAME,TEXT,TODO",
};

static const char *sysroot = "";
static bool quiet;
static unsigned int faults, warnings;

static void print_finding(enum verdict verdict, const char *name,
			  const char *todo, const char *what)
{
	static const char *const words[] = { "ok", "warning", "fault" };

	if (findings.json) {
		table_row(&findings);
		table_text(&findings, COL_VERDICT, words[verdict]);
		table_text(&findings, COL_NAME, name);
		table_text(&findings, COL_TEXT, what);
		table_text(&findings, COL_TODO, todo);
		return;
	}
	printf("%-8s %s: %s\n", words[verdict], name, what);
	if (todo)
		printf("         -> %s\n", todo);
}

void report(enum verdict verdict, const char *name, const char *todo,
	    const char *format, ...)
{
	char what[1024];
	va_list args;

	faults += verdict == FAULT;
	warnings += verdict == WARNING;
	if (verdict == GOOD && quiet)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	print_finding(verdict, name, todo, what);
}

static char *next_buffer(void)
{
	static char buffers[8][PATH_MAX];
	static unsigned int next;

	return buffers[next++ % 8];
}

const char *text(const char *format, ...)
{
	char *buffer = next_buffer();
	va_list args;

	va_start(args, format);
	vsnprintf(buffer, PATH_MAX, format, args);
	va_end(args);
	return buffer;
}

const char *system_path(const char *format, ...)
{
	char *buffer = next_buffer();
	int n = snprintf(buffer, PATH_MAX, "%s", sysroot);
	va_list args;

	va_start(args, format);
	if (n < PATH_MAX)
		vsnprintf(buffer + n, PATH_MAX - n, format, args);
	va_end(args);
	return buffer;
}

bool system_has(const char *path)
{
	return !access(system_path("%s", path), F_OK);
}

bool system_line(const char *path, char *line, int size)
{
	FILE *file = fopen(system_path("%s", path), "re");
	bool found;

	if (!file)
		return false;
	found = fgets(line, size, file);
	fclose(file);
	if (found)
		line[strcspn(line, "\n")] = 0;
	return found;
}

long long system_number(const char *path)
{
	return read_number(system_path("%s", path));
}

bool in_container(void)
{
	return system_has("/run/.containerenv") || system_has("/.dockerenv") ||
	       system_has("/run/systemd/container");
}

/* Some look at this system, whatever --sysroot says. */
static void examine(void)
{
	check_kernel();
	if (check_module() && check_device()) {
		check_limits();
		check_memory();
		if (!*sysroot) {
			check_leftovers();
			check_trial();
		}
	}
	if (!*sysroot)
		check_library();
}

int cmd_doctor(int argc, char **argv)
{
	enum { OPT_SYSROOT = 0x100 };
	static const struct option options[] = {
		{ "quiet", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'J' },
		{ "sysroot", required_argument, NULL, OPT_SYSROOT },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "qJh", options, NULL)) != -1) {
		switch (c) {
		case 'q':
			quiet = true;
			break;
		case 'J':
			findings.json = true;
			break;
		case OPT_SYSROOT:
			sysroot = optarg;
			break;
		case 'h':
			print_help();
		default:
			bad_option();
		}
	}
	if (optind < argc)
		usage_error("doctor takes no arguments");
	if (strlen(sysroot) > PATH_MAX / 2 || access(sysroot[0] ? sysroot : "/",
						      X_OK))
		usage_error("--sysroot %s: no such directory", sysroot);
	table_begin(&findings);
	examine();
	if (!findings.json && !faults && !quiet)
		printf("npheap works here%s\n", warnings ? ", mind the warnings" : "");
	if (findings.json)
		table_end(&findings);
	return faults ? EXIT_FAILURE : EXIT_SUCCESS;
}
