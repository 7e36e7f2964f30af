// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "measure.h"
#include "undo.h"

#define STEPS 32
#define LENGTH 128

/* Shared: a child that changes something may be killed as it does. */
static struct list {
	pid_t owner;
	struct step {
		void (*volatile undo)(const char *what);	/* NULL: unused */
		char what[LENGTH];
	} steps[STEPS];
} *list;

void undo_all(void)
{
	int i;

	if (getpid() != list->owner)
		return;
	for (i = STEPS - 1; i >= 0; i--)
		if (list->steps[i].undo)
			list->steps[i].undo(list->steps[i].what);
	memset(list->steps, 0, sizeof(list->steps));
}

void undo_init(void)
{
	if (list)
		return;
	list = shared_memory(sizeof(*list));
	list->owner = getpid();
	check(!atexit(undo_all), "atexit");
}

/* @undo NULL: a free one. */
static struct step *find(void (*undo)(const char *what), const char *what)
{
	int i;

	for (i = 0; i < STEPS; i++)
		if (list->steps[i].undo == undo &&
		    (!undo || !strcmp(list->steps[i].what, what)))
			return &list->steps[i];
	return NULL;
}

void undo_later(void (*undo)(const char *what), const char *what)
{
	struct step *step;

	undo_init();
	if (find(undo, what))
		return;
	step = find(NULL, NULL);
	if (!step || strlen(what) >= LENGTH) {
		errno = ENOSPC;
		die(what);
	}
	strcpy(step->what, what);
	step->undo = undo;
}

void undo_now(void (*undo)(const char *what), const char *what)
{
	struct step *step = list ? find(undo, what) : NULL;

	undo(what);
	if (step)
		step->undo = NULL;
}

const char *decimal(unsigned long number)
{
	static char text[24];

	snprintf(text, sizeof(text), "%lu", number);
	return text;
}

/* ------------------------------------------------------------------- files */

/* "PATH=LINE" */
static void put_back(const char *what)
{
	const char *line = strchr(what, '=');
	char path[LENGTH];
	FILE *file;

	snprintf(path, sizeof(path), "%.*s", (int)(line - what), what);
	file = fopen(path, "we");
	if (file)
		fputs(line + 1, file);
	if (!file || fclose(file))
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
}

static struct step *find_file(const char *path)
{
	size_t i, length = strlen(path);

	for (i = 0; list && i < STEPS; i++)
		if (list->steps[i].undo == put_back &&
		    !strncmp(list->steps[i].what, path, length) &&
		    list->steps[i].what[length] == '=')
			return &list->steps[i];
	return NULL;
}

int undo_file(const char *path)
{
	char what[LENGTH], line[LENGTH / 2];
	FILE *file;
	int err = 0;

	/* What it was at first counts. */
	if (find_file(path))
		return 0;
	file = access(path, W_OK) ? NULL : fopen(path, "re");
	if (!file)
		return -errno;
	if (!fgets(line, sizeof(line), file))
		err = -ENODATA;
	fclose(file);
	if (err)
		return err;
	errno = ENOSPC;
	check(snprintf(what, sizeof(what), "%s=%s", path, line) < LENGTH, path);
	undo_later(put_back, what);
	return 0;
}

void undo_file_now(const char *path)
{
	struct step *step = find_file(path);

	if (step)
		undo_now(put_back, step->what);
}

/* ------------------------------------------------------------------ mounts */

static void unmount(const char *path)
{
	umount2(path, MNT_DETACH);
	rmdir(path);
}

void undo_mount(const char *path)
{
	undo_later(unmount, path);
}
