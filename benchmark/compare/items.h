/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Items: a key and some bytes that follow from it, so that whoever reads one
 * can tell whether it is right.  And a table of them in one block of memory,
 * which works at any address and in any process: an array of items, and before
 * it a small index, a hash table of numbers of items.
 */
#ifndef ITEMS_H
#define ITEMS_H

#include <stddef.h>
#include <stdint.h>

struct item {
	uint64_t key;
	uint64_t value[15];
};

/** item_key() - the key of item @i */
uint64_t item_key(uint64_t i);

/** item_fill() - make @item item @i */
void item_fill(struct item *item, uint64_t i);

/** item_check() - end the program if @item is not item @i */
void item_check(const struct item *item, uint64_t i);

struct items;

/** items_size() - bytes of a table for @n items */
size_t items_size(uint64_t n);

/** items_init() - make a table of @n items, yet to be filled, of zeroed memory */
struct items *items_init(void *p, uint64_t n);

/** items_fill() - put items 0 to @n - 1 into it */
void items_fill(struct items *items, uint64_t n);

/** items_find() - the item of a key, or NULL */
const struct item *items_find(const struct items *items, uint64_t key);

/**
 * struct hash - the index alone, for items that lie elsewhere
 * @mask: one less than there are slots, a power of two
 * @slots: the number of an item, and 1; 0: none
 */
struct hash {
	uint64_t mask;
	uint32_t slots[];
};

/** hash_size() - bytes of an index of @n items */
size_t hash_size(uint64_t n);

/** hash_init() - make one, of zeroed memory */
struct hash *hash_init(void *p, uint64_t n);

/** hash_add() - item @i is the one of @key */
void hash_add(struct hash *hash, uint64_t key, uint32_t i);

/** hash_find() - which of @items has @key; NULL: none */
const struct item *hash_find(const struct hash *hash, const struct item *items,
			     uint64_t key);

#endif
