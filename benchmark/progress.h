/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bar on standard error, where a person watches: at a terminal, or where
 * NPHEAP_PROGRESS=1 says that there is one at the other end.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>

/** progress() - draw the bar: @done of @total of @what */
void progress(const char *what, uint64_t done, uint64_t total);

/** progress_end() - wipe it */
void progress_end(void);

#endif
