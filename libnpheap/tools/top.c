// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap top: objects and processes at work, sorted, again and again. */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <curses.h>

#include "objects.h"
#include "rates.h"
#include "tool.h"

/* Of more objects than this those are listed that something happens to. */
#define ALL_OBJECTS 20000

/**
 * struct row - an object, or a process
 * @id: key, or pid
 * @size: bytes, of an object
 * @rate: events of each kind, in a second
 * @ops: those that are operations, together
 * @holder: thread that holds the lock; of a process: how many it holds
 * @waiters: threads that wait for the lock
 * @readers: threads that hold it together
 * @keys: of a process: how many it worked with
 * @command: of a process: its name
 */
struct row {
	uint64_t id;
	uint64_t size;
	double rate[RATE_EVENTS];
	double ops;
	uint64_t holder;
	uint64_t waiters;
	uint64_t readers;
	uint64_t keys;
	char command[THREAD_NAME];
};

struct rows {
	struct row *row;
	size_t count;
	size_t room;
};

struct top_column {
	const char *name;
	int width;
	double (*value)(const struct row *row);
	void (*print)(const struct row *row, char *cell, size_t size);
};

/* ---------------------------------------------------------------- columns -- */

#define VALUE(field) \
static double value_##field(const struct row *row) { return row->field; }
#define RATE(name, event) \
static double value_##name(const struct row *row) { return row->rate[event]; }

VALUE(id)
VALUE(size)
VALUE(ops)
VALUE(holder)
VALUE(waiters)
VALUE(readers)
VALUE(keys)
RATE(faults, RATE_FAULTS)
RATE(maps, RATE_MAPS)
RATE(locks, RATE_LOCKS)
RATE(waits, RATE_WAITS)

/* A double carries no key above 2^53, and there is none. */
static void print_size(const struct row *row, char *cell, size_t size)
{
	char text[SIZE_TEXT] = "-";

	if (row->size)
		human_size(row->size, text);
	snprintf(cell, size, "%s", text);
}

static void print_command(const struct row *row, char *cell, size_t size)
{
	snprintf(cell, size, "%s", row->command);
}

static void print_holder(const struct row *row, char *cell, size_t size)
{
	if (row->holder)
		snprintf(cell, size, "%" PRIu64, row->holder);
	else
		snprintf(cell, size, "-");
}

static const struct top_column object_columns[] = {
	{ "KEY", 16, value_id, NULL },
	{ "SIZE", 7, value_size, print_size },
	{ "OPS/S", 9, value_ops, NULL },
	{ "FAULTS/S", 9, value_faults, NULL },
	{ "MAPS/S", 9, value_maps, NULL },
	{ "LOCKS/S", 9, value_locks, NULL },
	{ "WAITS/S", 9, value_waits, NULL },
	{ "HOLDER", 8, value_holder, print_holder },
	{ "WAITERS", 8, value_waiters, NULL },
	{ "READERS", 8, value_readers, NULL },
	{ NULL, 0, NULL, NULL }
};

static const struct top_column process_columns[] = {
	{ "PID", 8, value_id, NULL },
	{ "OPS/S", 9, value_ops, NULL },
	{ "FAULTS/S", 9, value_faults, NULL },
	{ "MAPS/S", 9, value_maps, NULL },
	{ "LOCKS/S", 9, value_locks, NULL },
	{ "WAITS/S", 9, value_waits, NULL },
	{ "HOLDS", 7, value_holder, NULL },
	{ "KEYS", 7, value_keys, NULL },
	{ "COMMAND", -16, value_id, print_command },
	{ NULL, 0, NULL, NULL }
};

/* ------------------------------------------------------------------- data -- */

static struct {
	struct npheap *heap;
	const char *no_rates;
	uint64_t last;
	double seconds;
	struct rows objects;
	struct rows processes;
	bool show_processes;
	bool reverse;
	int sort;
	size_t first;
} top;

static const struct top_column *shown_columns(void)
{
	return top.show_processes ? process_columns : object_columns;
}

static struct row *add_row(struct rows *rows, uint64_t id)
{
	struct row *row;

	if (rows->count == rows->room) {
		rows->room = rows->room ? rows->room * 2 : 64;
		rows->row = xrealloc(rows->row, rows->room * sizeof(*row));
	}
	row = &rows->row[rows->count++];
	memset(row, 0, sizeof(*row));
	row->id = id;
	return row;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Makes one row of those with the same id. */
static void merge_rows(struct rows *rows)
{
	size_t from, to = 0;
	struct row *last, *row;
	int e;

	qsort(rows->row, rows->count, sizeof(*rows->row), compare_ids);
	for (from = 0; from < rows->count; from++) {
		row = &rows->row[from];
		last = &rows->row[to ? to - 1 : 0];
		if (!to || last->id != row->id) {
			rows->row[to++] = *row;
			continue;
		}
		for (e = 0; e < RATE_EVENTS; e++)
			last->rate[e] += row->rate[e];
		last->size += row->size;
		last->holder += row->holder;
		last->waiters += row->waiters;
		last->readers += row->readers;
		last->keys += row->keys;
	}
	rows->count = to;
	for (row = rows->row; row < rows->row + to; row++)
		row->ops = row->rate[RATE_FAULTS] + row->rate[RATE_MAPS] +
			   row->rate[RATE_LOCKS];
}

/* The process of a thread; the thread itself where that is gone. */
static uint64_t process_of(uint64_t tid)
{
	unsigned long long pid = tid;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/status", tid);
	file = fopen(path, "re");
	if (!file)
		return tid;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %llu", &pid) == 1)
			break;
	fclose(file);
	return pid;
}

static void name_processes(void)
{
	struct row *row = top.processes.row;
	size_t i;

	for (i = 0; i < top.processes.count; i++, row++)
		if (!thread_name(row->id, row->command))
			strcpy(row->command, "(gone)");
}

static void add_rates(void)
{
	const struct rate *rate;
	size_t count = rates_read(&rate), i;
	struct row *object, *process;
	int e;

	for (i = 0; i < count; i++, rate++) {
		object = add_row(&top.objects, rate->key);
		process = add_row(&top.processes, process_of(rate->tid));
		process->keys = 1;
		for (e = 0; e < RATE_EVENTS; e++) {
			object->rate[e] = rate->count[e] / top.seconds;
			process->rate[e] = object->rate[e];
		}
	}
}

static void add_locks(void)
{
	struct key_state *locks;
	struct row *row;
	size_t count, i;

	if (read_locks(&locks, &count))
		err(EXIT_FAILURE, "cannot read " NPHEAP_PROC "locks");
	for (i = 0; i < count; i++) {
		row = add_row(&top.objects, locks[i].key);
		row->holder = locks[i].holder;
		row->waiters = locks[i].waiters;
		row->readers = locks[i].readers;
		if (locks[i].holder)
			add_row(&top.processes,
				process_of(locks[i].holder))->holder = 1;
	}
	free(locks);
}

static void add_objects(void)
{
	struct object *objects;
	struct npheap_stat stat;
	size_t count, i;

	if (heap_number("objects") > ALL_OBJECTS) {
		merge_rows(&top.objects);
		for (i = 0; i < top.objects.count; i++)
			if (!npheap_stat(top.heap, top.objects.row[i].id,
					 &stat))
				top.objects.row[i].size = stat.size;
		return;
	}
	if (read_objects(&objects, &count))
		err(EXIT_FAILURE, "cannot read " NPHEAP_PROC "objects");
	for (i = 0; i < count; i++)
		add_row(&top.objects, objects[i].key)->size = objects[i].size;
	free(objects);
	merge_rows(&top.objects);
}

static int compare_rows(const void *a, const void *b)
{
	const struct top_column *column = &shown_columns()[top.sort];
	double x = column->value(a), y = column->value(b);
	int order = x > y ? -1 : x < y;

	/* Numbers fall, ids and names rise. */
	if (column->value == value_id)
		order = -order;
	if (top.reverse)
		order = -order;
	return order ? order : compare_ids(a, b);
}

static void refresh_data(void)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	top.seconds = (now - top.last) / 1e9;
	top.last = now;
	top.objects.count = 0;
	top.processes.count = 0;
	add_rates();
	add_locks();
	add_objects();
	merge_rows(&top.processes);
	name_processes();
}

/* ----------------------------------------------------------------- output -- */

#define LINE_SIZE 256

static void format_head(char *line, int which)
{
	char used[SIZE_TEXT], limit[SIZE_TEXT], clock[16] = "";
	time_t seconds = time(NULL);
	struct tm tm;

	if (which == 1) {
		snprintf(line, LINE_SIZE, "%s%.2f s; %s",
			 top.no_rates ? "no rates of " : "rates of ",
			 top.seconds, top.no_rates ? top.no_rates :
			 "locks taken without a system call are not seen");
		return;
	}
	if (localtime_r(&seconds, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(line, LINE_SIZE,
		 "npheap top - %s, %lld objects, %s of %s, %lld lock records, %lld recovered",
		 clock, heap_number("objects"),
		 human_size(heap_number("bytes"), used),
		 human_size(heap_number("max_bytes"), limit),
		 heap_number("locks"), heap_number("lock_recovered"));
}

/* @row: NULL for the names, of which that is marked by which it is sorted. */
static void format_row(char *line, const struct row *row)
{
	const struct top_column *column = shown_columns();
	char cell[64];
	size_t len = 0;
	int i;

	for (i = 0; column->name; i++, column++) {
		if (!row)
			snprintf(cell, sizeof(cell), "%s%s", column->name,
				 i == top.sort ? "*" : "");
		else if (column->print)
			column->print(row, cell, sizeof(cell));
		else
			snprintf(cell, sizeof(cell), "%.0f",
				 column->value(row));
		len += snprintf(line + len, LINE_SIZE - len, "%*s ",
				column->width, cell);
	}
}

static struct rows *sorted_rows(void)
{
	struct rows *rows = top.show_processes ? &top.processes : &top.objects;

	qsort(rows->row, rows->count, sizeof(*rows->row), compare_rows);
	return rows;
}

static void print_batch(void)
{
	struct rows *rows = sorted_rows();
	char line[LINE_SIZE];
	size_t i;

	format_head(line, 0);
	printf("%s\n", line);
	format_head(line, 1);
	printf("%s\n", line);
	format_row(line, NULL);
	printf("%s\n", line);
	for (i = 0; i < rows->count; i++) {
		format_row(line, &rows->row[i]);
		printf("%s\n", line);
	}
	if (fflush(stdout))
		err(EXIT_FAILURE, "write error");
}

/*
 * The environment may say another size than the terminal has, and curses believes
 * it.  A terminal that was resized may have moved what was there.
 */
static void follow_size(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row ||
	    !size.ws_col || (size.ws_row == LINES && size.ws_col == COLS))
		return;
	resizeterm(size.ws_row, size.ws_col);
	clearok(curscr, TRUE);
}

static void draw(void)
{
	struct rows *rows = sorted_rows();
	char line[LINE_SIZE];
	size_t i;
	int y;

	follow_size();
	erase();
	for (y = 0; y < 2; y++) {
		format_head(line, y);
		mvaddnstr(y, 0, line, COLS);
	}
	format_row(line, NULL);
	attron(A_REVERSE);
	mvaddnstr(y, 0, line, COLS);
	attroff(A_REVERSE);
	if (top.first >= rows->count)
		top.first = rows->count ? rows->count - 1 : 0;
	for (i = top.first, y++; i < rows->count && y < LINES - 1; i++, y++) {
		format_row(line, &rows->row[i]);
		mvaddnstr(y, 0, line, COLS);
	}
	mvaddnstr(LINES - 1, 0,
		  "q quit  p objects/processes  < > sort  r reverse  arrows scroll",
		  COLS);
	refresh();
}

/* ------------------------------------------------------------------- loop -- */

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* The instance of tracing goes with us, whatever ends us but SIGKILL. */
static void catch_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };
	struct sigaction action = { .sa_handler = stop };
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

static int nr_columns(void)
{
	int n = 0;

	while (shown_columns()[n].name)
		n++;
	return n;
}

static int find_sort(const char *name)
{
	int i;

	for (i = 0; i < nr_columns(); i++)
		if (!strcasecmp(shown_columns()[i].name, name))
			return i;
	return -1;
}

/* False: the key ends the program. */
static bool handle_key(int key)
{
	switch (key) {
	case 'q':
		return false;
	case 'p':
		top.show_processes = !top.show_processes;
		top.sort = find_sort("OPS/S");
		top.first = 0;
		break;
	case '<':
		top.sort -= top.sort > 0;
		break;
	case '>':
		top.sort += top.sort < nr_columns() - 1;
		break;
	case 'r':
		top.reverse = !top.reverse;
		break;
	case KEY_UP:
		top.first -= top.first > 0;
		break;
	case KEY_DOWN:
		top.first++;
		break;
	case KEY_HOME:
		top.first = 0;
		break;
	}
	return true;
}

/* Handles keys until it is time; false: the end. */
static bool wait_on_screen(uint64_t ns)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + ns, now;
	int key;

	while (!stopped && (now = clock_ns(CLOCK_MONOTONIC)) < end) {
		timeout((end - now) / 1000000 + 1);
		key = getch();
		if (key == ERR)
			continue;
		if (!handle_key(key))
			return false;
		draw();
	}
	return !stopped;
}

static bool wait_in_batch(uint64_t ns)
{
	struct timespec time = { ns / 1000000000, ns % 1000000000 };

	return !nanosleep(&time, NULL) && !stopped;
}

static void run(bool batch, uint64_t delay, unsigned long count)
{
	unsigned long i;

	/* There are no rates before there is a time. */
	top.last = clock_ns(CLOCK_MONOTONIC);
	if (batch && !wait_in_batch(delay))
		return;
	for (i = 0; !stopped && (!count || i < count); i++) {
		if (i && !(batch ? wait_in_batch(delay) :
				   wait_on_screen(delay)))
			break;
		refresh_data();
		if (!batch)
			draw();
		else
			print_batch();
	}
	/* The last update is there to be seen. */
	if (!batch && count && i == count)
		wait_on_screen(delay);
}

static void end_screen(void)
{
	endwin();
}

static void begin_screen(void)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		usage_error("this is no terminal; see --batch");
	if (!newterm(NULL, stdout, stdin))
		errx(EXIT_FAILURE, "cannot use a terminal of type '%s'",
		     getenv("TERM") ? getenv("TERM") : "");
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	atexit(end_screen);
}

/* Nanoseconds. */
static uint64_t parse_delay(const char *text)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	uint64_t delay = parse_deadline(text) - begin;

	if (delay < 100000000 || delay > 86400000000000)
		usage_error("--delay is from 0.1 seconds to a day");
	return delay;
}

int cmd_top(int argc, char **argv)
{
	static const struct option options[] = {
		{ "delay", required_argument, NULL, 'd' },
		{ "sort", required_argument, NULL, 's' },
		{ "processes", no_argument, NULL, 'p' },
		{ "batch", no_argument, NULL, 'b' },
		{ "count", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	const char *sort = "OPS/S";
	uint64_t delay = 2000000000;
	unsigned long count = 0;
	bool batch = false;
	int c;

	while ((c = getopt_long(argc, argv, "d:s:pbc:h", options,
				NULL)) != -1) {
		switch (c) {
		case 'd':
			delay = parse_delay(optarg);
			break;
		case 's':
			sort = optarg;
			break;
		case 'p':
			top.show_processes = true;
			break;
		case 'b':
			batch = true;
			break;
		case 'c':
			count = parse_number(optarg, UINT32_MAX);
			break;
		case 'h':
			print_help();
		default:
			bad_option();
		}
	}
	if (optind < argc)
		usage_error("top takes no arguments");
	top.sort = find_sort(sort);
	if (top.sort < 0)
		usage_error("there is no column '%s' to sort by", sort);
	top.heap = open_heap(NPHEAP_RDONLY);
	if (access(NPHEAP_PROC "locks", R_OK))
		err(EXIT_FAILURE, "cannot read " NPHEAP_PROC "locks");
	if (!batch)
		begin_screen();
	catch_signals();
	top.no_rates = rates_begin();
	/* Whatever goes wrong from here on, the kernel stops counting. */
	atexit(rates_end);
	run(batch, delay, count);
	npheap_close(top.heap);
	return EXIT_SUCCESS;
}
