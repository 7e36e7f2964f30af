/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that meet where the library remembers them; its own header says which do. */
#ifndef NPHEAP_NEIGHBOUR_H
#define NPHEAP_NEIGHBOUR_H

#include "session.h"

/** The next key above @k whose first place is that of @k. */
static inline uint64_t neighbour_of(uint64_t k)
{
	uint64_t other = k + 1;

	while (hash_of(k, BINDINGS_SHIFT) != hash_of(other, BINDINGS_SHIFT))
		other++;
	return other;
}

#endif
