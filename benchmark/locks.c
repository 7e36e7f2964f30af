// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What locks cost: those of NP-Heap beside the others that processes can
 * share, in the same run.
 */
#include <fcntl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "locks.h"

/* clang-format off */
static const char usage[] =
"usage: locks [--csv] [--calls | --handoff | --death | --fairness]\n"
"\n"
"Compares the locks of " NPHEAP_DEVICE " with others, first of all with the\n"
"process-shared robust mutex of the C library.\n"
"\n"
"  --calls     one process: the cost of lock and unlock, and of the calls\n"
"              beside them (default)\n"
"  --handoff   two processes on two processors: from just before the holder's\n"
"              unlock, or its end, to just after the waiter's lock\n"
"  --death     a process dies that knew 1,000 to 1,000,000 locks and held a\n"
"              tenth of them: the cost a lock, and whether all come free;\n"
"              needs root and 2 GB of memory\n"
"  --fairness  64 processes, 100 rounds: how often one is overtaken\n"
"  --csv       print suite,case,system,unit,value,ratio,base\n"
"  -h, --help  print this text\n"
"\n"
"The unit is instructions in a guest that counts them (scripts/vm --icount),\n"
"otherwise nanoseconds.\n"
"Exit status: 0 measured, 1 something did not work, 2 bad arguments.\n";
/* clang-format on */

static void prepare(void)
{
	page = sysconf(_SC_PAGESIZE);
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	check(dev >= 0, NPHEAP_DEVICE);
	errno = -npheap_open(NULL, 0, &heap);
	check(!errno, NPHEAP_DEVICE);
	choose_clock();
}

int main(int argc, char **argv)
{
	int (*run)(void) = measure_calls;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--csv")) {
			csv = 1;
		} else if (!strcmp(argv[i], "--calls")) {
			run = measure_calls;
		} else if (!strcmp(argv[i], "--handoff")) {
			run = measure_handoff;
		} else if (!strcmp(argv[i], "--death")) {
			run = measure_death;
		} else if (!strcmp(argv[i], "--fairness")) {
			run = measure_fairness;
		} else if (!strcmp(argv[i], "-h") ||
			   !strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			return 0;
		} else {
			fputs(usage, stderr);
			return 2;
		}
	}
	prepare();
	return run();
}
