/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHUFFLE_H
#define SHUFFLE_H

/** shuffle() - leave the kernel's allocators in another state */
void shuffle(void);

/** rest() - let the kernel finish what it has put off, so that nobody pays late */
void rest(void);

#endif
