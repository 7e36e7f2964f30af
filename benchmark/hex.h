/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names with a number in them, made within what is measured: snprintf() takes
 * longer than some of the calls that the name is for.
 */
#ifndef HEX_H
#define HEX_H

#include <stdint.h>

/** The digits of a 32-bit number, to write a name with room for them. */
#define HEX_32 "00000000"

/** hex_put() - the last 8 digits before @end are those of @n; returns the first */
static inline char *hex_put(char *end, uint32_t n)
{
	int i;

	for (i = 0; i < 8; i++, n >>= 4)
		*--end = "0123456789abcdef"[n & 15];
	return end;
}

#endif
