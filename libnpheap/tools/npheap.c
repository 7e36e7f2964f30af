// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap: what is in the heap, from the command line. */
#include <err.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
	const char *usage;
};

#define TABLE_OPTIONS \
	" -J, --json             JSON\n" \
	" -b, --bytes            sizes in bytes\n" \
	" -n, --noheadings       no line of names\n" \
	" -o, --output LIST      columns, separated by commas; +LIST adds to the usual ones\n" \
	"     --output-all       all columns\n" \
	" -r, --raw              one blank between columns\n"

#define LOCK_OPTIONS \
	" -n, --nonblock         fail where the lock is held, instead of waiting\n" \
	" -w, --timeout SECONDS  fail where it is still held then\n"

static const struct command commands[] = {
	{ "ls", cmd_ls, "list objects, or locks",
	  "ls [OPTION]...\n\n"
	  " -l, --locks            the locks in use, also of keys without an object\n"
	  TABLE_OPTIONS },
	{ "stat", cmd_stat, "all there is to know of a key",
	  "stat [OPTION]... KEY...\n\n"
	  TABLE_OPTIONS },
	{ "put", cmd_put, "store a file in an object",
	  "put [OPTION]... KEY [FILE]\n\n"
	  " -r, --replace          delete an existing object, and make a new one\n"
	  " -S, --sparse           a new object gets its memory when it is touched\n"
	  " -m, --max-size SIZE    how far a new object may grow\n"
	  LOCK_OPTIONS },
	{ "get", cmd_get, "store an object in a file",
	  "get [OPTION]... KEY [FILE]\n\n"
	  " -s, --size SIZE        the first so many bytes only\n"
	  "     --no-lock          do not take the lock\n"
	  LOCK_OPTIONS },
	{ "cat", cmd_cat, "write objects to standard output",
	  "cat [OPTION]... KEY...\n\n"
	  "     --no-lock          do not take the locks\n"
	  LOCK_OPTIONS },
	{ "rm", cmd_rm, "delete objects",
	  "rm [OPTION]... KEY...\n\n"
	  " -f, --force            no error where there is no such object\n" },
	{ "resize", cmd_resize, "change the size of an object",
	  "resize [OPTION]... KEY SIZE\n\n"
	  " -f, --force            also where another process maps what is cut off\n" },
	{ "lock", cmd_lock, "run a command with the lock of a key",
	  "lock [OPTION]... KEY [--] COMMAND [ARGUMENT]...\n"
	  "       npheap lock [OPTION]... KEY -c 'SHELL COMMAND'\n\n"
	  " -s, --shared           together with others who say so\n"
	  " -x, --exclusive        alone, the default\n"
	  " -E, --conflict-exit-code NUMBER  the exit status where the lock is not free (1)\n"
	  LOCK_OPTIONS },
	{ "unlock", cmd_unlock, "take a lock away from its holder",
	  "unlock [OPTION]... KEY...\n\n"
	  " -f, --force            do it; else only say who holds it\n" },
	{ "watch", cmd_watch, "print what happens to keys",
	  "watch [OPTION]... KEY...\n\n"
	  " -e, --events LIST      of notify, size, delete and death; all of them\n"
	  " -c, --count NUMBER     end after so many events\n"
	  " -w, --timeout SECONDS  end after that time, with status 1\n"
	  " -J, --json             a JSON object on each line\n" },
	{ "top", cmd_top, "show objects and processes at work",
	  "top [OPTION]...\n\n"
	  " -d, --delay SECONDS    between updates (2)\n"
	  " -s, --sort COLUMN      by what to sort\n"
	  " -p, --processes        begin with processes\n"
	  " -b, --batch            print, do not use the screen\n"
	  " -c, --count NUMBER     so many updates\n" },
	{ "doctor", cmd_doctor, "say why it does not work",
	  "doctor [OPTION]...\n\n"
	  " -q, --quiet            only what is wrong\n"
	  " -J, --json             JSON\n"
	  "     --sysroot DIR      look at the system below DIR\n" },
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *running;

const char *command_name(void)
{
	return running ? running->name : "";
}

void print_help(void)
{
	printf("usage: npheap %s -h, --help             this text\n\n"
	       "%s.%s%s\nSee npheap(1).\n", running->usage, running->summary,
	       strstr(running->usage, "KEY") ?
		       "  KEY is decimal, or 0x and hexadecimal." : "",
	       strstr(running->usage, "SIZE") ?
		       "  SIZE may end in K, M, G, T or P." : "");
	exit(EXIT_SUCCESS);
}

static void list_commands(FILE *to)
{
	size_t i;

	fprintf(to, "usage: npheap COMMAND [OPTION]... [ARGUMENT]...\n\n");
	for (i = 0; i < NR_COMMANDS; i++)
		fprintf(to, " %-8s %s\n", commands[i].name,
			commands[i].summary);
	fprintf(to, "\n'npheap COMMAND --help' says more, npheap(1) all.\n");
}

/*
 * A full disk shall not look like success.  Where there is no standard output
 * that only matters to what has something to say.
 */
static void close_stdout(void)
{
	bool pending = __fpending(stdout) > 0;

	if (!fclose(stdout) || errno == EPIPE || (errno == EBADF && !pending))
		return;
	warn("write error");
	_exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	size_t i;

	setlocale(LC_ALL, "");
	/* Numbers are those of scripts, wherever they run. */
	setlocale(LC_NUMERIC, "C");
	program_invocation_name = program_invocation_short_name = "npheap";
	atexit(close_stdout);
	if (argc < 2) {
		list_commands(stderr);
		return EXIT_USAGE;
	}
	/* "npheap help COMMAND", as people try it. */
	if (argc == 3 && !strcmp(argv[1], "help")) {
		argv[1] = argv[2];
		argv[2] = "--help";
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") ||
	    !strcmp(argv[1], "help")) {
		list_commands(stdout);
		return EXIT_SUCCESS;
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		printf("npheap %s\n", NPHEAP_VERSION);
		return EXIT_SUCCESS;
	}
	for (i = 0; i < NR_COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		running = &commands[i];
		argv[1] = argv[0];
		return running->run(argc - 1, argv + 1);
	}
	usage_error("there is no command '%s'", argv[1]);
}
