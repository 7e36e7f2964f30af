// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap ls, npheap stat: what objects and locks there are. */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "objects.h"
#include "table.h"
#include "tool.h"

enum {
	COL_KEY, COL_SIZE, COL_MAX_SIZE, COL_RESIDENT, COL_MAPPINGS,
	COL_CREATOR, COL_UID, COL_USER, COL_HOLDER, COL_COMMAND, COL_WAITERS,
	COL_READERS, COL_MARKED, COL_AGE, COL_CREATED, COL_GENERATION,
	COL_FLAGS, COL_SEALS,
};

static const struct column columns[] = {
	[COL_KEY] = { "KEY", COLUMN_NUMBER },
	[COL_SIZE] = { "SIZE", COLUMN_SIZE },
	[COL_MAX_SIZE] = { "MAX-SIZE", COLUMN_SIZE },
	[COL_RESIDENT] = { "RESIDENT", COLUMN_SIZE },
	[COL_MAPPINGS] = { "MAPPINGS", COLUMN_NUMBER },
	[COL_CREATOR] = { "CREATOR", COLUMN_NUMBER },
	[COL_UID] = { "UID", COLUMN_NUMBER },
	[COL_USER] = { "USER", COLUMN_TEXT },
	[COL_HOLDER] = { "HOLDER", COLUMN_NUMBER },
	[COL_COMMAND] = { "COMMAND", COLUMN_TEXT },
	[COL_WAITERS] = { "WAITERS", COLUMN_NUMBER },
	[COL_READERS] = { "READERS", COLUMN_NUMBER },
	[COL_MARKED] = { "MARKED", COLUMN_BOOL },
	[COL_AGE] = { "AGE", COLUMN_NUMBER },
	[COL_CREATED] = { "CREATED", COLUMN_TEXT },
	[COL_GENERATION] = { "GENERATION", COLUMN_NUMBER },
	[COL_FLAGS] = { "FLAGS", COLUMN_TEXT },
	[COL_SEALS] = { "SEALS", COLUMN_TEXT },
	{ NULL, COLUMN_TEXT }
};

static const char *const usual_of_objects =
	"KEY,SIZE,RESIDENT,MAPPINGS,CREATOR,UID,HOLDER,WAITERS,AGE,GENERATION";
static const char *const usual_of_locks =
	"KEY,HOLDER,COMMAND,WAITERS,READERS,MARKED";

static void show_time(struct table *table, uint64_t created)
{
	uint64_t now = clock_ns(CLOCK_REALTIME);
	time_t seconds = created / 1000000000;
	char text[64];
	struct tm tm;

	if (!created)
		return;
	/* The clock may have been set back. */
	table_number(table, COL_AGE,
		     now > created ? (now - created) / 1000000000 : 0);
	if (localtime_r(&seconds, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm))
		table_text(table, COL_CREATED, text);
}

/* As many names as there are bits, separated by commas. */
static void show_bits(struct table *table, int column, uint64_t bits,
		      const char *const *names)
{
	char text[64] = "";

	for (; *names; names++, bits >>= 1) {
		if (!(bits & 1))
			continue;
		if (*text)
			strcat(text, ",");
		strcat(text, *names);
	}
	if (*text)
		table_text(table, column, text);
}

static void show_user(struct table *table, uid_t uid)
{
	const struct passwd *user;

	if (!table_shows(table, COL_USER))
		return;
	user = getpwuid(uid);
	if (user)
		table_text(table, COL_USER, user->pw_name);
}

static void show_object(struct table *table, const struct object *object)
{
	static const char *const flags[] = { "sparse", NULL };
	static const char *const seals[] = { "shrink", "grow", "seal", NULL };

	table_number(table, COL_SIZE, object->size);
	if (object->max_size)
		table_number(table, COL_MAX_SIZE, object->max_size);
	table_number(table, COL_RESIDENT, object->resident);
	table_number(table, COL_MAPPINGS, object->mappings);
	table_number(table, COL_CREATOR, object->creator);
	table_number(table, COL_UID, object->uid);
	show_user(table, object->uid);
	show_time(table, object->created);
	table_number(table, COL_GENERATION, object->generation);
	show_bits(table, COL_FLAGS, object->flags, flags);
	show_bits(table, COL_SEALS, object->seals, seals);
}

static void show_command(struct table *table, uint64_t tid)
{
	char name[THREAD_NAME];

	if (table_shows(table, COL_COMMAND) && thread_name(tid, name))
		table_text(table, COL_COMMAND, name);
}

/* NULL: the lock is not in use. */
static void show_lock(struct table *table, const struct key_state *lock)
{
	table_number(table, COL_WAITERS, lock ? lock->waiters : 0);
	table_number(table, COL_READERS, lock ? lock->readers : 0);
	table_text(table, COL_MARKED, lock && lock->marked ? "1" : "0");
	if (lock && lock->holder) {
		table_number(table, COL_HOLDER, lock->holder);
		show_command(table, lock->holder);
	}
}

static void must_read(int rc, const char *name)
{
	if (!rc)
		return;
	warn("cannot read " NPHEAP_PROC "%s", name);
	if (errno == EACCES)
		fprintf(stderr, "It is for root; 'npheap stat KEY' is for all who may open the heap.\n");
	else
		fprintf(stderr, "'npheap doctor' says why, and what to do.\n");
	exit(EXIT_FAILURE);
}

static void list_objects(struct table *table)
{
	struct key_state *locks;
	struct object *objects;
	size_t nr_objects, nr_locks, i;

	/* The locks first: who is listed as a holder is not gone for long. */
	must_read(read_locks(&locks, &nr_locks), "locks");
	must_read(read_objects(&objects, &nr_objects), "objects");
	table_begin(table);
	for (i = 0; i < nr_objects; i++) {
		table_row(table);
		table_number(table, COL_KEY, objects[i].key);
		show_object(table, &objects[i]);
		show_lock(table, find_lock(locks, nr_locks, objects[i].key));
	}
	table_end(table);
	free(objects);
	free(locks);
}

static void list_locks(struct table *table)
{
	struct key_state *locks;
	size_t count, i;

	must_read(read_locks(&locks, &count), "locks");
	table_begin(table);
	for (i = 0; i < count; i++) {
		table_row(table);
		table_number(table, COL_KEY, locks[i].key);
		show_lock(table, &locks[i]);
	}
	table_end(table);
	free(locks);
}

int cmd_ls(int argc, char **argv)
{
	static const struct option options[] = {
		TABLE_LONG_OPTIONS,
		{ "locks", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct table table = {
		.name = "objects",
		.columns = columns,
		.usual = usual_of_objects,
	};
	bool locks = false;
	int c;

	while ((c = getopt_long(argc, argv, TABLE_SHORT_OPTIONS "lh", options,
				NULL)) != -1) {
		if (c == 'h')
			print_help();
		if (c == 'l') {
			locks = true;
			table.name = "locks";
			table.usual = usual_of_locks;
		} else if (!table_option(&table, c, optarg)) {
			bad_option();
		}
	}
	if (optind < argc)
		usage_error("ls takes no keys: see npheap stat");
	if (locks)
		list_locks(&table);
	else
		list_objects(&table);
	return EXIT_SUCCESS;
}

/* What the ioctl tells, in the words of the table. */
static struct object object_of(const struct npheap_stat *stat)
{
	return (struct object){
		.key = stat->key,
		.size = stat->size,
		.max_size = stat->max_size,
		.resident = stat->resident,
		.mappings = stat->mappings,
		.creator = stat->creator,
		.uid = stat->uid,
		.generation = stat->generation,
		.created = stat->created,
		.flags = stat->flags,
		.seals = stat->seals,
	};
}

/* Who may not read the table of locks is told of objects only. */
static int stat_keys(struct table *table, const uint64_t *keys, size_t count)
{
	struct npheap *heap = open_heap(NPHEAP_RDONLY);
	const struct key_state *lock = NULL;
	struct key_state *locks;
	int status = EXIT_SUCCESS, rc;
	struct npheap_stat stat;
	size_t nr_locks, i;
	bool known = !read_locks(&locks, &nr_locks);

	table_begin(table);
	for (i = 0; i < count; i++) {
		if (known)
			lock = find_lock(locks, nr_locks, keys[i]);
		rc = npheap_stat(heap, keys[i], &stat);
		if (rc)
			warnx("key %" PRIu64 ": %s", keys[i], explain(rc));
		if (rc)
			status = EXIT_FAILURE;
		if (rc && !lock)
			continue;
		table_row(table);
		table_number(table, COL_KEY, keys[i]);
		if (!rc) {
			struct object object = object_of(&stat);

			show_object(table, &object);
		}
		if (known)
			show_lock(table, lock);
	}
	table_end(table);
	npheap_close(heap);
	free(locks);
	return status;
}

int cmd_stat(int argc, char **argv)
{
	static const struct option options[] = {
		TABLE_LONG_OPTIONS,
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct table table = {
		.name = "objects",
		.columns = columns,
		.usual = "KEY,SIZE,MAX-SIZE,RESIDENT,MAPPINGS,CREATOR,UID,USER,HOLDER,COMMAND,WAITERS,READERS,MARKED,AGE,CREATED,GENERATION,FLAGS,SEALS",
		.vertical = true,
	};
	uint64_t *keys;
	size_t count;
	int c, rc;

	while ((c = getopt_long(argc, argv, TABLE_SHORT_OPTIONS "h", options,
				NULL)) != -1) {
		if (c == 'h')
			print_help();
		if (!table_option(&table, c, optarg))
			bad_option();
		/* Who chooses columns, or their form, wants a table. */
		if (c == 'o' || c == 'r' || c == 'n' || c == TABLE_OUTPUT_ALL)
			table.vertical = false;
	}
	if (table.json)
		table.vertical = false;
	keys = parse_keys(argc - optind, argv + optind, &count);
	rc = stat_keys(&table, keys, count);
	free(keys);
	return rc;
}
