// SPDX-License-Identifier: GPL-2.0-or-later
/* Tables, by libsmartcols. */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libsmartcols.h>

#include "table.h"
#include "tool.h"

/* So many lines are held; longer tables are printed in parts. */
#define PART_LINES 10000

static int find_column(const struct table *table, const char *name, size_t len)
{
	int i;

	for (i = 0; table->columns[i].name; i++)
		if (strlen(table->columns[i].name) == len &&
		    !strncasecmp(table->columns[i].name, name, len))
			return i;
	return -1;
}

static void list_columns(const struct table *table)
{
	int i;

	fprintf(stderr, "Columns:");
	for (i = 0; table->columns[i].name; i++)
		fprintf(stderr, " %s", table->columns[i].name);
	fprintf(stderr, "\n");
}

static void show_columns(struct table *table, const char *list)
{
	size_t len;
	int column;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		column = find_column(table, list, len);
		if (column < 0) {
			list_columns(table);
			usage_error("there is no column '%.*s'", (int)len,
				    list);
		}
		if (table_shows(table, column))
			usage_error("column '%.*s' is asked for twice",
				    (int)len, list);
		table->shown[table->count++] = column;
		if (!list[len])
			break;
	}
}

static void show_all_columns(struct table *table)
{
	for (table->count = 0; table->columns[table->count].name;)
		table->shown[table->count] = table->count, table->count++;
}

bool table_option(struct table *table, int option, const char *argument)
{
	switch (option) {
	case 'J':
		table->json = true;
		return true;
	case 'b':
		table->bytes = true;
		return true;
	case 'n':
		table->noheadings = true;
		return true;
	case 'r':
		table->raw = true;
		return true;
	case TABLE_OUTPUT_ALL:
		show_all_columns(table);
		return true;
	case 'o':
		table->count = 0;
		if (*argument == '+') {
			show_columns(table, table->usual);
			argument++;
		}
		show_columns(table, argument);
		return true;
	default:
		return false;
	}
}

static int json_type(const struct table *table, const struct column *column)
{
	switch (column->type) {
	case COLUMN_NUMBER:
		return SCOLS_JSON_NUMBER;
	case COLUMN_SIZE:
		return table->bytes ? SCOLS_JSON_NUMBER : SCOLS_JSON_STRING;
	case COLUMN_BOOL:
		return SCOLS_JSON_BOOLEAN;
	default:
		return SCOLS_JSON_STRING;
	}
}

static void add_column(struct table *table, const struct column *column)
{
	bool right = column->type == COLUMN_NUMBER ||
		     column->type == COLUMN_SIZE;
	struct libscols_column *scols =
		scols_table_new_column(table->scols, column->name, 0,
				       right ? SCOLS_FL_RIGHT : 0);

	if (!scols)
		err(EXIT_FAILURE, "cannot make a table");
	scols_column_set_json_type(scols, json_type(table, column));
}

void table_begin(struct table *table)
{
	int i;

	if (!table->count)
		show_columns(table, table->usual);
	if (table->json && table->raw)
		usage_error("--json and --raw exclude each other");
	table->scols = scols_new_table();
	if (!table->scols)
		err(EXIT_FAILURE, "cannot make a table");
	scols_table_set_name(table->scols, table->name);
	scols_table_enable_json(table->scols, table->json);
	scols_table_enable_raw(table->scols, table->raw);
	scols_table_enable_noheadings(table->scols, table->noheadings);
	for (i = 0; i < table->count; i++)
		add_column(table, &table->columns[table->shown[i]]);
	if (table->json)
		printf("{\n   \"%s\": [", table->name);
}

/*
 * Of each part's JSON the list's elements are taken: what is between the first
 * bracket and the last.
 */
static void print_json_part(struct table *table)
{
	char *text, *first, *last;

	if (scols_print_table_to_string(table->scols, &text))
		err(EXIT_FAILURE, "cannot print a table");
	first = strchr(text, '[') + 1;
	last = strrchr(text, ']');
	while (last > first && isspace((unsigned char)last[-1]))
		last--;
	*last = 0;
	if (table->printed)
		first += strspn(first, " \n");
	printf("%s%s", table->printed ? "," : "", first);
	free(text);
}

static void print_vertical(struct table *table)
{
	const char *data;
	int i;

	if (table->printed)
		putchar('\n');
	for (i = 0; i < table->count; i++) {
		data = scols_cell_get_data(scols_line_get_cell(table->line, i));
		printf("%-12s%s\n", table->columns[table->shown[i]].name,
		       data ? data : "-");
	}
}

static void print_part(struct table *table)
{
	if (!table->lines)
		return;
	if (table->json)
		print_json_part(table);
	else if (table->vertical)
		print_vertical(table);
	else if (scols_print_table(table->scols))
		err(EXIT_FAILURE, "cannot print a table");
	table->printed = true;
	table->lines = 0;
	scols_table_remove_lines(table->scols);
	scols_table_enable_noheadings(table->scols, true);
}

void table_row(struct table *table)
{
	if (table->lines == (table->vertical ? 1 : PART_LINES))
		print_part(table);
	table->line = scols_table_new_line(table->scols, NULL);
	if (!table->line)
		err(EXIT_FAILURE, "no memory");
	table->lines++;
}

static int shown_at(const struct table *table, int column)
{
	int i;

	for (i = 0; i < table->count; i++)
		if (table->shown[i] == column)
			return i;
	return -1;
}

bool table_shows(const struct table *table, int column)
{
	return shown_at(table, column) >= 0;
}

void table_text(struct table *table, int column, const char *text)
{
	int at = shown_at(table, column);

	if (at >= 0 && scols_line_set_data(table->line, at, text))
		err(EXIT_FAILURE, "no memory");
}

void table_number(struct table *table, int column, uint64_t number)
{
	char text[32];

	if (table->columns[column].type == COLUMN_SIZE && !table->bytes)
		human_size(number, text);
	else
		snprintf(text, sizeof(text), "%" PRIu64, number);
	table_text(table, column, text);
}

void table_end(struct table *table)
{
	print_part(table);
	if (table->json)
		printf(table->printed ? "\n   ]\n}\n" : "]\n}\n");
	scols_unref_table(table->scols);
}
