/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NP-Heap, as all peers of it and the suites that know it have it open. */
#ifndef PEERS_NPHEAP_H
#define PEERS_NPHEAP_H

#include <npheap.h>

/** By a descriptor, for the classic calls and ioctl(2), and by a handle. */
extern int heap_fd;
extern struct npheap *heap;

/** heap_join() - open both, the first time; 0 or -errno */
int heap_join(void);

#endif
