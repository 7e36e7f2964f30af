/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What compare measures; each suite has a file of its own. */
#ifndef SUITES_H
#define SUITES_H

#include "compare/bench.h"

extern const struct suite suite_floor;
extern const struct suite suite_index;
extern const struct suite suite_locks;
extern const struct suite suite_memory;
extern const struct suite suite_restart;
extern const struct suite suite_scaling;
extern const struct suite suite_passing;
extern const struct suite suite_classic;

#endif
