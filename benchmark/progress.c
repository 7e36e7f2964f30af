// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"

#define BAR 40

static bool watched(void)
{
	const char *wish = getenv("NPHEAP_PROGRESS");

	return (wish && !strcmp(wish, "1")) || isatty(STDERR_FILENO);
}

void progress(const char *what, uint64_t done, uint64_t total)
{
	int filled;

	if (!watched() || !total)
		return;
	if (done > total)
		done = total;
	filled = (int)(BAR * done / total);
	fprintf(stderr, "\r%-14s [%.*s%*s] %3d%%", what, filled,
		"########################################", BAR - filled, "",
		(int)(100 * done / total));
}

void progress_end(void)
{
	if (watched())
		fprintf(stderr, "\r\033[K");
}
