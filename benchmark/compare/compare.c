// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * compare: NP-Heap beside what a user would pick instead, on the same work, in
 * the same boot.  bench.h says how it is measured.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare/bench.h"
#include "compare/peers.h"
#include "compare/supervise.h"
#include "compare/suites.h"

static const struct suite *const all[] = {
	&suite_floor,
	&suite_memory,
	&suite_scaling,
	&suite_locks,
	&suite_index,
	&suite_restart,
	&suite_passing,
	&suite_classic,
	NULL
};

static const struct suite *suites[sizeof(all) / sizeof(all[0])];

/* clang-format off */
static const char usage[] =
"usage: compare [OPTION]... [SUITE/CASE/SIZE]...\n"
"\n"
"Measures NP-Heap and its peers, and prints the result as CSV.  A machine that\n"
"counts instructions in its time-stamp counter (scripts/vm --icount) gets these\n"
"printed, and system calls, page faults and copied payload; any other nanoseconds,\n"
"of which only the ratios mean something.  SUITE/CASE/SIZE are patterns as the\n"
"shell's, of which one has to fit.\n"
"\n"
"  -s, --suite NAME    only this suite; may be given more than once\n"
"  -S, --system NAME   only these (a pattern), and the first of each table\n"
"  -r, --rounds N      repetitions, 1 to 99 (5 of instructions, 15 of time)\n"
"  -p, --no-payload    count no copied payload, which takes probes in the kernel\n"
"  -l, --list          print the cases, and measure nothing\n"
"  -h, --help          print this text\n"
"\n"
"Suites:\n";
/* clang-format on */

static void print_usage(FILE *file)
{
	const struct suite *const *s;

	fputs(usage, file);
	for (s = all; *s; s++)
		fprintf(file, "  %-10s %s\n", (*s)->name, (*s)->about);
	fputs("\nExit status: 0 measured, 1 something did not work or came out "
	      "wrong, 2 bad\narguments.\n", file);
}

static int bad(const char *what, const char *text)
{
	fprintf(stderr, "compare: %s '%s' (see --help)\n", what, text);
	return 2;
}

static int add_suite(const char *name)
{
	const struct suite **to = suites;
	const struct suite *const *s;

	while (*to)
		to++;
	for (s = all; *s && strcmp((*s)->name, name); s++)
		;
	if (!*s || to == suites + sizeof(all) / sizeof(all[0]) - 1)
		return -1;
	*to = *s;
	return 0;
}

static int set_rounds(const char *text)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || n < 1 || n > MOST_ROUNDS)
		return -1;
	options.rounds = n;
	return 0;
}

static int measure_all(void)
{
	return bench_all(*suites ? suites : all);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "suite", required_argument, NULL, 's' },
		{ "system", required_argument, NULL, 'S' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "list", no_argument, NULL, 'l' },
		{ "no-payload", no_argument, NULL, 'p' },
		/* For a test: a lock that excludes nobody is noticed. */
		{ "broken", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	own_names_from((unsigned int)getpid() << 10);
	while ((option = getopt_long(argc, argv, "s:S:r:lph", known, NULL)) != -1) {
		switch (option) {
		case 's':
			if (add_suite(optarg))
				return bad("no such suite", optarg);
			break;
		case 'S':
			options.system = optarg;
			break;
		case 'r':
			if (set_rounds(optarg))
				return bad("bad number of rounds", optarg);
			break;
		case 'p':
			options.no_payload = 1;
			break;
		case 'l':
			options.list = 1;
			break;
		case 'b':
			options.broken = 1;
			break;
		case 'h':
			print_usage(stdout);
			return 0;
		default:
			return 2;
		}
	}
	if (optind < argc)
		options.only = argv + optind;
	return supervise(measure_all);
}
