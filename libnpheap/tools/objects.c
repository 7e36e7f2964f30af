// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/npheap: lines of numbers, after a line with the names of the columns. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objects.h"
#include "tool.h"

#define MAX_COLUMNS 32

/* A column by its name, and the field of a struct that it goes to. */
struct field {
	const char *name;
	size_t offset;
};

#define OBJECT(name) { #name, offsetof(struct object, name) }
#define LOCK(name) { #name, offsetof(struct key_state, name) }

/* The key is the first field of both, and comes first here. */
static const struct field object_fields[] = {
	OBJECT(key), OBJECT(size), OBJECT(creator), OBJECT(uid),
	OBJECT(resident), OBJECT(mappings), OBJECT(generation),
	OBJECT(created), OBJECT(flags), OBJECT(seals), OBJECT(max_size),
	{ NULL, 0 }
};

static const struct field lock_fields[] = {
	LOCK(key), LOCK(holder), LOCK(waiters), LOCK(readers), LOCK(marked),
	{ NULL, 0 }
};

/**
 * struct rows - an array that grows
 * @fields: what is in a row
 * @size: of a row, in bytes
 * @memory: the rows
 * @count: how many there are
 * @room: and how many fit
 */
struct rows {
	const struct field *fields;
	size_t size;
	char *memory;
	size_t count;
	size_t room;
};

/* Which field each column goes to; the others stay NULL. */
static void parse_header(const struct field *fields, char *line,
			 const struct field *columns[MAX_COLUMNS])
{
	const struct field *field;
	char *name, *rest;
	int i = 0;

	for (name = strtok_r(line, "\t\n", &rest); name && i < MAX_COLUMNS;
	     name = strtok_r(NULL, "\t\n", &rest), i++)
		for (field = fields; field->name; field++)
			if (!strcmp(field->name, name))
				columns[i] = field;
}

static void *new_row(struct rows *rows)
{
	if (rows->count == rows->room) {
		rows->room = rows->room ? rows->room * 2 : 256;
		rows->memory = xrealloc(rows->memory,
					rows->room * rows->size);
	}
	return memset(rows->memory + rows->count++ * rows->size, 0,
		      rows->size);
}

static void parse_row(char *row, const char *line,
		      const struct field *columns[MAX_COLUMNS])
{
	char *end;
	int i;

	for (i = 0; i < MAX_COLUMNS && *line; i++, line = end) {
		uint64_t value = strtoull(line, &end, 10);

		if (end == line)
			break;
		if (columns[i])
			memcpy(row + columns[i]->offset, &value,
			       sizeof(value));
	}
}

static int compare_keys(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* What came and went meanwhile may be listed twice. */
static void sort_rows(struct rows *rows)
{
	size_t from, to = 0;

	if (!rows->count)
		return;
	qsort(rows->memory, rows->count, rows->size, compare_keys);
	for (from = 1; from < rows->count; from++) {
		char *row = rows->memory + from * rows->size;
		char *last = rows->memory + to * rows->size;

		if (compare_keys(row, last))
			memmove(rows->memory + ++to * rows->size, row,
				rows->size);
	}
	rows->count = to + 1;
}

static int read_rows(const char *path, struct rows *rows)
{
	const struct field *columns[MAX_COLUMNS] = { NULL };
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int failed;

	if (!file)
		return -1;
	if (getline(&line, &room, file) > 0)
		parse_header(rows->fields, line, columns);
	while (getline(&line, &room, file) > 0)
		parse_row(new_row(rows), line, columns);
	failed = ferror(file);
	free(line);
	fclose(file);
	sort_rows(rows);
	return failed ? -1 : 0;
}

int read_objects(struct object **objects, size_t *count)
{
	struct rows rows = {
		.fields = object_fields,
		.size = sizeof(struct object),
	};
	int rc = read_rows(NPHEAP_PROC "objects", &rows);

	*objects = (struct object *)rows.memory;
	*count = rows.count;
	return rc;
}

int read_locks(struct key_state **locks, size_t *count)
{
	struct rows rows = {
		.fields = lock_fields,
		.size = sizeof(struct key_state),
	};
	int rc = read_rows(NPHEAP_PROC "locks", &rows);

	*locks = (struct key_state *)rows.memory;
	*count = rows.count;
	return rc;
}

const struct key_state *find_lock(const struct key_state *locks, size_t count,
				  uint64_t key)
{
	return count ? bsearch(&key, locks, count, sizeof(*locks),
			       compare_keys) : NULL;
}
