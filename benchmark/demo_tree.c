// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crew.h"
#include "demo.h"
#include "progress.h"

#define COPY_TEMPLATE "/dev/shm/npheap-demo.XXXXXX"
#define NFTW_DIRECTORIES 64

struct path {
	char text[64];
};

static struct path copy_path(const struct tree *tree, size_t index)
{
	struct path path;

	snprintf(path.text, sizeof(path.text), "%s/%zu", tree->copy, index);
	return path;
}

static struct path list_path(const struct tree *tree)
{
	struct path path;

	snprintf(path.text, sizeof(path.text), "%s/list", tree->copy);
	return path;
}

/* Listing */

static struct tree *listed;		/* nftw has no argument to pass on */

static int add_file(const char *name, const struct stat *info, int type,
		    struct FTW *where)
{
	struct file *files;

	(void)where;
	if (type != FTW_F || !S_ISREG(info->st_mode))
		return 0;
	files = realloc(listed->files, (listed->count + 1) * sizeof(*files));
	if (!files)
		return -1;
	listed->files = files;
	files += listed->count++;
	*files = (struct file) { .size = (size_t)info->st_size };
	files->name = strdup(name + strlen("./"));
	listed->bytes += files->size;
	if (listed->largest < files->size)
		listed->largest = files->size;
	return files->name ? 0 : -1;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name,
		      ((const struct file *)b)->name);
}

int tree_list(struct tree *tree)
{
	*tree = (struct tree) { 0 };
	listed = tree;
	if (nftw(".", add_file, NFTW_DIRECTORIES, FTW_PHYS))
		return -errno;
	if (!tree->count)
		return -ENOENT;
	qsort(tree->files, tree->count, sizeof(*tree->files), by_name);
	return 0;
}

/* Copying */

struct copying {
	const struct tree *tree;
	_Atomic size_t next;
};

static int copy_bytes(int from, int to, size_t size)
{
	ssize_t n;

	for (; size; size -= (size_t)n) {
		n = sendfile(to, from, NULL, size);
		if (n <= 0)
			return n ? -errno : -EPIPE;	/* it became shorter */
	}
	return 0;
}

static int copy_file(const struct tree *tree, size_t index)
{
	const struct file *file = &tree->files[index];
	int from = open(file->name, O_RDONLY | O_CLOEXEC);
	int to = open(copy_path(tree, index).text,
		      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int err;

	err = from < 0 || to < 0 ? -errno : copy_bytes(from, to, file->size);
	if (err)
		fprintf(stderr, "%s: %s\n", file->name, strerror(-err));
	close(from);
	close(to);
	return err;
}

static int copy_files(void *arg, unsigned int worker)
{
	struct copying *copying = arg;
	size_t index;
	int err;

	(void)worker;
	for (;;) {
		index = atomic_fetch_add(&copying->next, 1);
		if (index >= copying->tree->count)
			return 0;
		err = copy_file(copying->tree, index);
		if (err)
			return err;
	}
}

static void copy_tick(void *arg)
{
	struct copying *copying = arg;

	progress("copy to tmpfs", copying->next, copying->tree->count);
}

int tree_copy(struct tree *tree, unsigned int workers)
{
	struct copying *copying = shared_alloc(sizeof(*copying));
	struct crew crew = { 0 };
	char copy[] = COPY_TEMPLATE;
	int err = 0;

	if (!copying || !mkdtemp(copy))
		return -errno;
	strcpy(tree->copy, copy);
	copying->tree = tree;
	for (unsigned int i = 0; i < workers && !err; i++)
		err = crew_add(&crew, copy_files, copying, i);
	if (err)
		crew_stop(&crew);
	else
		err = crew_wait(&crew, copy_tick, copying);
	munmap(copying, sizeof(*copying));
	return err;
}

int tree_read(const struct tree *tree, size_t index, void *bytes, size_t size)
{
	int fd = open(copy_path(tree, index).text, O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	for (char *at = bytes; size && !err; ) {
		ssize_t n = read(fd, at, size);

		if (n <= 0)
			err = n ? -errno : -EPIPE;
		at += n;
		size -= (size_t)n;
	}
	close(fd);
	return err;
}

/* What sha256sum says */

static int write_list(const struct tree *tree)
{
	FILE *list = fopen(list_path(tree).text, "w");

	if (!list)
		return -errno;
	for (size_t i = 0; i < tree->count; i++)
		fwrite(tree->files[i].name, 1, strlen(tree->files[i].name) + 1,
		       list);
	return fclose(list) ? -errno : 0;
}

static int parse_hex(const char *text, struct sum *sum)
{
	for (unsigned int i = 0; i < SUM_BYTES; i++) {
		if (sscanf(text + 2 * i, "%2hhx", &sum->bytes[i]) != 1)
			return -EBADMSG;
	}
	return 0;
}

/* A record is the sum, a space, the mode, and the name, without escapes. */
static int parse_record(const char *record, struct file *file)
{
	size_t name = 2 * SUM_BYTES + 2;

	if (strlen(record) < name || strcmp(record + name, file->name))
		return -EBADMSG;
	return parse_hex(record, &file->sum);
}

static int parse_sums(struct tree *tree, FILE *sums)
{
	char *record = NULL;
	size_t length = 0;
	int err = 0;

	for (size_t i = 0; i < tree->count && !err; i++) {
		if (getdelim(&record, &length, '\0', sums) < 0)
			err = -ENODATA;
		else
			err = parse_record(record, &tree->files[i]);
		if (i % 64 == 0)
			progress("sha256sum", i, tree->count);
	}
	free(record);
	return err;
}

int tree_sum(struct tree *tree)
{
	char command[128];
	FILE *sums;
	int err = write_list(tree);

	if (err)
		return err;
	snprintf(command, sizeof(command), "xargs -0 sha256sum -z -- <%s",
		 list_path(tree).text);
	sums = popen(command, "re");
	if (!sums)
		return -errno;
	err = parse_sums(tree, sums);
	if (pclose(sums) && !err)
		err = -EIO;
	return err;
}

void tree_free(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		if (*tree->copy)
			unlink(copy_path(tree, i).text);
		free(tree->files[i].name);
	}
	if (*tree->copy) {
		unlink(list_path(tree).text);
		rmdir(tree->copy);
	}
	free(tree->files);
}
