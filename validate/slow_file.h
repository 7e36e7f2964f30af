/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file that a process cannot close, nor exit with, before a test allows it. */
#ifndef NPHEAP_SLOW_FILE_H
#define NPHEAP_SLOW_FILE_H

#include "test.h"

/** After so long a close returns in any case, so that no test hangs. */
#define SLOW_FILE_SECONDS 10

struct slow_file {
	int fd;
	pid_t server;
	/** How many closes have begun. */
	struct gate closes;
	/** Closes return. */
	struct gate go;
};

/** NULL where the kernel has no FUSE; fails the test. */
struct slow_file *slow_file_new(void);
void slow_file_free(struct slow_file *file);

#endif
