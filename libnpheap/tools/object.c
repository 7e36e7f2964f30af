// SPDX-License-Identifier: GPL-2.0-or-later
/* npheap rm, npheap resize. */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "tool.h"

static const struct option force_options[] = {
	{ "force", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 }
};

/* Whether --force is given; ends the program where another option is. */
static bool parse_force(int argc, char **argv)
{
	bool force = false;
	int c;

	while ((c = getopt_long(argc, argv, "fh", force_options, NULL)) != -1) {
		if (c == 'h')
			print_help();
		if (c != 'f')
			bad_option();
		force = true;
	}
	return force;
}

/* The kernel has nothing against deleting what is not there; people have. */
static int remove_key(struct npheap *heap, uint64_t key, bool force)
{
	uint64_t size;
	int rc = force ? 0 : npheap_size(heap, key, &size);

	if (!rc)
		rc = npheap_remove(heap, key);
	if (rc)
		warnx("key %" PRIu64 ": cannot delete: %s", key, explain(rc));
	return rc;
}

int cmd_rm(int argc, char **argv)
{
	bool force = parse_force(argc, argv);
	struct npheap *heap;
	int status = EXIT_SUCCESS;
	uint64_t *keys;
	size_t count, i;

	keys = parse_keys(argc - optind, argv + optind, &count);
	heap = open_heap(0);
	for (i = 0; i < count; i++)
		if (remove_key(heap, keys[i], force))
			status = EXIT_FAILURE;
	npheap_close(heap);
	free(keys);
	return status;
}

static const char *explain_resize(int rc)
{
	switch (-rc) {
	case EBUSY:
		return "another process maps what would be cut off (see --force), or it is in use for I/O";
	case EFBIG:
		return "above the size that the object may grow to";
	case EPERM:
		return "the object is sealed, or another user created it";
	default:
		return explain(rc);
	}
}

int cmd_resize(int argc, char **argv)
{
	bool force = parse_force(argc, argv);
	struct npheap *heap;
	uint64_t key, size;
	int rc;

	if (argc - optind != 2)
		usage_error("resize takes a key and a size");
	key = parse_key(argv[optind]);
	size = parse_size(argv[optind + 1]);
	if (!size)
		usage_error("an object has a size above 0; see npheap rm");
	heap = open_heap(0);
	rc = npheap_resize(heap, key, size, force ? NPHEAP_RESIZE_FORCE : 0);
	if (rc)
		warnx("key %" PRIu64 ": cannot resize: %s", key,
		      explain_resize(rc));
	npheap_close(heap);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
