/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What memory the machine has. */
#ifndef MACHINE_H
#define MACHINE_H

/** machine_memory() - bytes of a line of /proc/meminfo, 0 where it has none */
double machine_memory(const char *name);

/** machine_has_room() - 0 if there are so many @bytes to spare, or -ENOMEM */
int machine_has_room(double bytes);

#endif
