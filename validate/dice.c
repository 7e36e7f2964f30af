// SPDX-License-Identifier: GPL-2.0-or-later
/* What dice.h promises. */
#include "dice.h"

struct dice dice_new(uint64_t seed, uint64_t stream)
{
	struct dice dice = { seed * 0x9e3779b97f4a7c15 + stream + 1 };
	int i;

	for (i = 0; i < 8; i++)
		dice_roll(&dice, 2);
	return dice;
}

/* Marsaglia's xorshift, multiplied as by Vigna: xorshift64*. */
uint32_t dice_roll(struct dice *dice, uint32_t sides)
{
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return (dice->state * 0x2545f4914f6cdd1d >> 32) * sides >> 32;
}
