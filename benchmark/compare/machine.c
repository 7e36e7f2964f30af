// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "measure.h"
#include "compare/machine.h"

double machine_memory(const char *name)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "re");
	size_t length = strlen(name);

	check(!!file, "/proc/meminfo");
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':' &&
		    sscanf(line + length + 1, "%llu", &kib) == 1)
			break;
	fclose(file);
	return kib * 1024.0;
}

int machine_has_room(double bytes)
{
	/* The heap leaves half of that alone. */
	double spare = machine_memory("MemTotal") / 16;

	return bytes + spare <= machine_memory("MemAvailable") ? 0 : -ENOMEM;
}
