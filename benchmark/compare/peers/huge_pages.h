/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Huge pages, which the kernel has to have set aside before they are used. */
#ifndef PEERS_HUGE_PAGES_H
#define PEERS_HUGE_PAGES_H

/** Bytes of one. */
#define HUGE_PAGE (2UL << 20)

/**
 * huge_pages_reserve() - have enough for all systems that use them
 *
 * Return: 0, and huge_pages_give_back() is to be called; or -errno where the
 * machine does not have so many or the user may not ask for them.
 */
int huge_pages_reserve(void);

/** huge_pages_give_back() - the last to do so leaves as many as there were */
void huge_pages_give_back(void);

#endif
