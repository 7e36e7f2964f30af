/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers that depend on a seed only: xorshift64*. */
#ifndef NPHEAP_DICE_H
#define NPHEAP_DICE_H

#include <stdint.h>

struct dice {
	uint64_t state;
};

/** Each @stream of a @seed is another sequence of numbers. */
struct dice dice_new(uint64_t seed, uint64_t stream);

/** From 0 to @sides - 1. */
uint32_t dice_roll(struct dice *dice, uint32_t sides);

#endif
