/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables as the tools of util-linux print them: columns by choice, aligned, or
 * as JSON.  libsmartcols does that; here are the options, and tables that are
 * too long for it to hold.
 */
#ifndef NPHEAP_TABLE_H
#define NPHEAP_TABLE_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a column holds; sizes are numbers in JSON with --bytes only. */
enum column_type { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_SIZE, COLUMN_BOOL };

struct column {
	const char *name;
	enum column_type type;
};

struct libscols_line;
struct libscols_table;

#define TABLE_COLUMNS 64

/**
 * struct table - what is printed
 * @name: of the list in JSON
 * @columns: all there are, the last without a name
 * @usual: the names of those that are shown where none are asked for
 * @json, @bytes, @noheadings, @raw: the options
 * @vertical: a line for each value
 *
 * The rest is the table's own.
 */
struct table {
	const char *name;
	const struct column *columns;
	const char *usual;
	bool json;
	bool bytes;
	bool noheadings;
	bool raw;
	bool vertical;
	int shown[TABLE_COLUMNS];
	int count;
	struct libscols_table *scols;
	struct libscols_line *line;
	size_t lines;
	bool printed;
};

/* For getopt_long(); table_option() takes what it returns. */
#define TABLE_SHORT_OPTIONS "Jbno:r"
#define TABLE_LONG_OPTIONS						\
	{ "json", no_argument, NULL, 'J' },				\
	{ "bytes", no_argument, NULL, 'b' },				\
	{ "noheadings", no_argument, NULL, 'n' },			\
	{ "output", required_argument, NULL, 'o' },			\
	{ "output-all", no_argument, NULL, TABLE_OUTPUT_ALL },		\
	{ "raw", no_argument, NULL, 'r' }
enum { TABLE_OUTPUT_ALL = 0x100 };

/** False where the option is none of a table's. */
bool table_option(struct table *table, int option, const char *argument);

/** Call it when the options are known. */
void table_begin(struct table *table);

/** Begins a row; its values are empty until they are set. */
void table_row(struct table *table);

/** Whether a column is shown, by its number in @columns. */
bool table_shows(const struct table *table, int column);

/** Sets a value of the row, if the column is shown. */
void table_text(struct table *table, int column, const char *text);
void table_number(struct table *table, int column, uint64_t number);

/** Prints what has not been printed yet. */
void table_end(struct table *table);

#endif
