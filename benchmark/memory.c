// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What memory costs: objects of NP-Heap beside what else processes can share,
 * in the same run.
 *
 * Where the time-stamp counter counts instructions (scripts/vm --icount) that
 * is what is printed, otherwise nanoseconds.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <npheap.h>

#include "memory.h"

/* clang-format off */
static const char usage[] =
"usage: memory [--csv] [--calls | --index OBJECTS | --scaling]\n"
"\n"
"Compares the memory of " NPHEAP_DEVICE " with other shared memory.\n"
"\n"
"  --calls          one process: create, touch each page and delete; attach,\n"
"                   touch and detach; the floor under both (default).  The\n"
"                   ratio says how many times cheaper than shm it is.\n"
"  --index OBJECTS  calls that look a key up, with 1,000 sparse objects and with\n"
"                   this many, each of which has a lock.  The ratio is to the\n"
"                   few.  A million takes 2 GiB.\n"
"  --scaling        two processes on two processors, each with keys of its own.\n"
"                   The ratio is to one process; that of \"computing\" is what\n"
"                   the machine has to give.\n"
"  --csv            print suite,case,system,unit,value,ratio,base\n"
"  -h, --help       print this text\n"
"\n"
"Exit status: 0 measured, 1 something did not work, 2 bad arguments.\n";
/* clang-format on */

#define KIB (1UL << 10)
#define MIB (1UL << 20)
#define REPETITIONS 9

size_t page;
int dev;

static const struct size {
	const char *text;
	size_t bytes;
} sizes[] = {
	{ "4KiB", 4 * KIB },   { "64KiB", 64 * KIB }, { "2MiB", 2 * MIB },
	{ "16MiB", 16 * MIB }, { "64MiB", 64 * MIB },
};

/* The largest is only attached: creating it says nothing that 16 MiB does not. */
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))
#define CREATED (SIZES - 1)

static int have_huge_tmpfs;

static void create_and_delete(const struct memory *memory, size_t size)
{
	char *p = memory->create(0, size);

	touch(p, size);
	detach(p, size);
	memory->remove(0);
}

static void attach_and_detach(const struct memory *memory, size_t size)
{
	char *p = memory->attach(0, size);

	touch(p, size);
	detach(p, size);
}

typedef void (*cycle)(const struct memory *memory, size_t size);

/* As many cycles as make a row take a second or so. */
static double measure(cycle run, const struct memory *memory, size_t size)
{
	int loops = size < MIB ? 4 * MIB / (size + 64 * KIB) : 1;
	double values[REPETITIONS];
	int i, n;

	run(memory, size);
	for (i = 0; i < REPETITIONS; i++) {
		uint64_t began = stamp();

		for (n = 0; n < loops; n++)
			run(memory, size);
		values[i] = (double)(stamp() - began) / loops;
	}
	return median(values, REPETITIONS);
}

static double measure_attach(const struct memory *memory, size_t size)
{
	double value;
	char *p = memory->create(0, size);

	touch(p, size);
	detach(p, size);
	value = measure(attach_and_detach, memory, size);
	memory->remove(0);
	return value;
}

static void print_create(const struct size *size)
{
	const struct memory *const memories[] = { &by_shm, &by_heap,
						  &by_huge_tmpfs };
	double value, base = 0;
	char what[32];
	int i;

	snprintf(what, sizeof(what), "create-%s", size->text);
	for (i = 0; i < 2 + have_huge_tmpfs; i++) {
		value = measure(create_and_delete, memories[i], size->bytes);
		if (!i)
			base = value;
		print_row(what, memories[i]->name, value, base / value,
			  by_shm.name);
	}
}

static void print_attach(const struct size *size)
{
	const struct memory *const memories[] = { &by_shm, &by_heap,
						  &by_shm_populate,
						  &by_huge_tmpfs };
	double value, base = 0;
	char what[32];
	int i;

	snprintf(what, sizeof(what), "attach-%s", size->text);
	for (i = 0; i < 3 + have_huge_tmpfs; i++) {
		value = measure_attach(memories[i], size->bytes);
		if (!i)
			base = value;
		print_row(what, memories[i]->name, value, base / value,
			  by_shm.name);
	}
}

/* ------------------------------------------------------------------ floors */

static int floor_file;

/* The parts of an attachment that belong to the kernel and not to npheap. */
static void map_untouched(const struct memory *memory, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       floor_file, 0);

	(void)memory;
	check(p != MAP_FAILED, "mmap");
	detach(p, size);
}

static void map_touched(const struct memory *memory, size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       floor_file, 0);

	(void)memory;
	check(p != MAP_FAILED, "mmap");
	touch(p, size);
	detach(p, size);
}

static void open_and_close(const struct memory *memory, size_t size)
{
	(void)memory;
	(void)size;
	close(open("/dev/null", O_RDWR));
}

/* A file that is open already: no name to look up, no file to make. */
static void print_floors(void)
{
	double value;

	floor_file = memfd_create("npheap-memory", 0);
	check(floor_file >= 0, "memfd_create");
	check(!ftruncate(floor_file, page), "ftruncate");
	map_touched(NULL, page);
	value = measure(map_untouched, NULL, page);
	print_row("floor", "mmap+munmap", value, 1, "");
	print_row("floor", "mmap+touch+munmap",
		  measure(map_touched, NULL, page), 1, "");
	print_row("floor", "open+close", measure(open_and_close, NULL, page),
		  1, "");
	close(floor_file);
}

/* ---------------------------------------------------------------- cheapest */

#define AGAIN 1000

/* Attached already, and counted from then on. */
static void print_again(void)
{
	const struct npheap_mapping *m[AGAIN], *first;
	double attach[REPETITIONS], back[REPETITIONS];
	struct npheap *heap;
	uint64_t began;
	int i, n;

	check(!npheap_open(NULL, 0, &heap), NPHEAP_DEVICE);
	check(!npheap_attach(heap, 0, page, &first), "npheap_attach");
	for (i = 0; i < REPETITIONS; i++) {
		began = stamp();
		for (n = 0; n < AGAIN; n++)
			npheap_attach(heap, 0, 0, &m[n]);
		attach[i] = (double)(stamp() - began) / AGAIN;
		began = stamp();
		for (n = 0; n < AGAIN; n++)
			npheap_detach(heap, m[n]);
		back[i] = (double)(stamp() - began) / AGAIN;
	}
	print_row("attach-again", by_heap.name, median(attach, REPETITIONS), 1,
		  "");
	print_row("detach-again", by_heap.name, median(back, REPETITIONS), 1,
		  "");
	npheap_detach(heap, first);
	check(!npheap_remove(heap, 0), "npheap_remove");
	npheap_close(heap);
}

#define MANY 1000

static void create_many_sparse(struct npheap *heap, unsigned int first)
{
	static struct npheap_create items[MANY];
	int i;

	for (i = 0; i < MANY; i++)
		items[i] = (struct npheap_create){
			.key = FIRST_KEY + first + i,
			.size = page,
			.flags = NPHEAP_CREATE_SPARSE,
		};
	check(npheap_create_many(heap, items, MANY) == MANY,
	      "npheap_create_many");
}

static void create_many_shm(struct npheap *heap, unsigned int first)
{
	int i;

	(void)heap;
	for (i = 0; i < MANY; i++)
		shm_make(first + i, page);
}

static double measure_many(const struct memory *memory, struct npheap *heap,
			   void (*create)(struct npheap *heap,
					  unsigned int first))
{
	uint64_t began = stamp();
	double mean;
	int i;

	/* With all that it takes, the growth of an index included. */
	for (i = 0; i < REPETITIONS; i++)
		create(heap, i * MANY);
	mean = (double)(stamp() - began) / (REPETITIONS * MANY);
	for (i = 0; i < REPETITIONS * MANY; i++)
		memory->remove(i);
	return mean;
}

static void print_many(void)
{
	struct npheap *heap;
	double shm, value;

	check(!npheap_open(NULL, 0, &heap), NPHEAP_DEVICE);
	shm = measure_many(&by_shm, heap, create_many_shm);
	value = measure_many(&by_heap, heap, create_many_sparse);
	print_row("create-one-of-many", by_shm.name, shm, 1, by_shm.name);
	print_row("create-one-of-many", by_heap.name, value, shm / value,
		  by_shm.name);
	npheap_close(heap);
}

/* ------------------------------------------------------------------ faults */

static double faults_to_touch(const struct memory *memory, size_t size)
{
	struct rusage before, after;
	char *p = memory->create(0, size);

	touch(p, size);
	detach(p, size);
	p = memory->attach(0, size);
	getrusage(RUSAGE_SELF, &before);
	touch(p, size);
	getrusage(RUSAGE_SELF, &after);
	detach(p, size);
	memory->remove(0);
	return after.ru_minflt - before.ru_minflt;
}

static void print_faults(void)
{
	const struct size *size = &sizes[SIZES - 1];
	double shm = faults_to_touch(&by_shm, size->bytes);
	double heap = faults_to_touch(&by_heap, size->bytes);
	char what[32];

	snprintf(what, sizeof(what), "faults-%s", size->text);
	unit = "faults";
	print_row(what, by_shm.name, shm, 1, by_shm.name);
	print_row(what, by_heap.name, heap, shm / heap, by_shm.name);
}

static void measure_calls(void)
{
	size_t i;

	suite = "memory";
	have_huge_tmpfs = huge_tmpfs_mount();
	print_head();
	print_floors();
	for (i = 0; i < CREATED; i++)
		print_create(&sizes[i]);
	for (i = 0; i < SIZES; i++)
		print_attach(&sizes[i]);
	print_many();
	print_again();
	print_faults();
	if (have_huge_tmpfs)
		huge_tmpfs_unmount();
}

/* -------------------------------------------------------------------- main */

static int bad_arguments(void)
{
	fputs(usage, stderr);
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long objects = 0;
	int scaling = 0;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--csv")) {
			csv = 1;
		} else if (!strcmp(argv[i], "--calls")) {
			scaling = objects = 0;
		} else if (!strcmp(argv[i], "--index") && i + 1 < argc) {
			objects = strtoul(argv[++i], NULL, 10);
			if (objects < 1000 || objects > 1UL << 30)
				return bad_arguments();
		} else if (!strcmp(argv[i], "--scaling")) {
			scaling = 1;
		} else if (!strcmp(argv[i], "-h") ||
			   !strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			return 0;
		} else {
			return bad_arguments();
		}
	}
	page = sysconf(_SC_PAGESIZE);
	dev = open(NPHEAP_DEVICE, O_RDWR | O_CLOEXEC);
	check(dev >= 0, NPHEAP_DEVICE);
	choose_clock();
	if (scaling)
		measure_scaling();
	else if (objects)
		measure_index(objects);
	else
		measure_calls();
	return 0;
}
