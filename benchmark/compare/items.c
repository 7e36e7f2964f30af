// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "measure.h"
#include "compare/items.h"
#include "compare/peers.h"

#define WORDS (sizeof(((struct item *)0)->value) / sizeof(uint64_t))

uint64_t item_key(uint64_t i)
{
	return spread_key(i + 1);
}

/* Different in each word of each item. */
static uint64_t word_of(uint64_t key, unsigned int n)
{
	return (key + n) * 0xd6e8feb86659fd93ULL;
}

void item_fill(struct item *item, uint64_t i)
{
	unsigned int n;

	item->key = item_key(i);
	for (n = 0; n < WORDS; n++)
		item->value[n] = word_of(item->key, n);
}

void item_check(const struct item *item, uint64_t i)
{
	unsigned int n;

	errno = ENOENT;
	check(!!item, "an item");
	errno = EBADMSG;
	check(item->key == item_key(i), "an item");
	for (n = 0; n < WORDS; n++)
		check(item->value[n] == word_of(item->key, n), "an item");
}

/* --------------------------------------------------------------- the index */

/* At most half of them are in use. */
static uint64_t slots_for(uint64_t n)
{
	uint64_t slots = 16;

	while (slots < 2 * n)
		slots *= 2;
	return slots;
}

size_t hash_size(uint64_t n)
{
	return sizeof(struct hash) + slots_for(n) * sizeof(uint32_t);
}

struct hash *hash_init(void *p, uint64_t n)
{
	struct hash *hash = p;

	hash->mask = slots_for(n) - 1;
	return hash;
}

static uint64_t slot_of(const struct hash *hash, uint64_t key)
{
	return (key * 0x9e3779b97f4a7c15ULL >> 32) & hash->mask;
}

void hash_add(struct hash *hash, uint64_t key, uint32_t i)
{
	uint64_t slot = slot_of(hash, key);

	while (hash->slots[slot])
		slot = (slot + 1) & hash->mask;
	hash->slots[slot] = i + 1;
}

const struct item *hash_find(const struct hash *hash, const struct item *items,
			     uint64_t key)
{
	uint64_t slot = slot_of(hash, key);
	const struct item *item;

	for (; hash->slots[slot]; slot = (slot + 1) & hash->mask) {
		item = &items[hash->slots[slot] - 1];
		if (item->key == key)
			return item;
	}
	return NULL;
}

/* --------------------------------------------------------------- the table */

struct items {
	/* Where the items begin, from here. */
	uint64_t offset;
	struct hash hash;
};

static size_t offset_of_items(uint64_t n)
{
	size_t offset = offsetof(struct items, hash) + hash_size(n);

	return (offset + sizeof(struct item) - 1) & -sizeof(struct item);
}

static struct item *items_of(const struct items *items)
{
	return (struct item *)((char *)items + items->offset);
}

size_t items_size(uint64_t n)
{
	return offset_of_items(n) + n * sizeof(struct item);
}

struct items *items_init(void *p, uint64_t n)
{
	struct items *items = p;

	items->offset = offset_of_items(n);
	hash_init(&items->hash, n);
	return items;
}

void items_fill(struct items *items, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++) {
		item_fill(&items_of(items)[i], i);
		hash_add(&items->hash, item_key(i), i);
	}
}

const struct item *items_find(const struct items *items, uint64_t key)
{
	return hash_find(&items->hash, items_of(items), key);
}
