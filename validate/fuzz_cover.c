// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which edges of the module's control flow the calls of a thread take.  Only
 * the module is compiled with KCOV's calls, so every address is one of its.
 */
#include <linux/kcov.h>

#include "fuzz.h"

#define KCOV "/sys/kernel/debug/kcov"

bool cover_possible(void)
{
	return !access(KCOV, F_OK);
}

void cover_start(struct fuzz_thread *t)
{
	size_t size = FUZZ_COVER * sizeof(*t->cover);

	t->kcov = open(KCOV, O_RDWR | O_CLOEXEC);
	child_check(t->kcov >= 0);
	child_check(!ioctl(t->kcov, KCOV_INIT_TRACE, FUZZ_COVER));
	t->cover = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, t->kcov,
			0);
	child_check(t->cover != MAP_FAILED);
	/* A child of fork would have its page tables copied. */
	child_check(!madvise(t->cover, size, MADV_DONTFORK));
	child_check(!ioctl(t->kcov, KCOV_ENABLE, KCOV_TRACE_PC));
}

void cover_begin(struct fuzz_thread *t)
{
	t->begun = 0;
	if (t->cover)
		__atomic_store_n(t->cover, 0, __ATOMIC_RELAXED);
}

void cover_call(struct fuzz_thread *t)
{
	if (t->cover)
		t->begins[t->begun++] = __atomic_load_n(t->cover,
							__ATOMIC_RELAXED);
}

static uint32_t edge_of(uint64_t from, uint64_t to)
{
	return ((from * 3 ^ to) * 0x9e3779b97f4a7c15 >> 32) % FUZZ_EDGES;
}

/* What leads from one call to the next is no edge. */
void cover_edges(const struct fuzz_thread *t,
		 void (*see)(uint32_t edge, void *arg), void *arg)
{
	uint64_t count = t->begun ? t->cover[0] : 0, from = 0, i;
	unsigned int call = 0;

	for (i = 0; i < count; i++) {
		while (call < t->begun && t->begins[call] <= i) {
			call++;
			from = 0;
		}
		see(edge_of(from, t->cover[i + 1]), arg);
		from = t->cover[i + 1];
	}
}

static void note(uint32_t edge, void *arg)
{
	unsigned int *news = arg;

	if (fuzz->edges[edge])
		return;
	fuzz->edges[edge] = 1;
	fuzz->edge_count++;
	(*news)++;
}

unsigned int cover_news(void)
{
	unsigned int news = 0, i;

	for (i = 0; i < FUZZ_THREADS; i++)
		cover_edges(&fuzz_threads[i], note, &news);
	return news;
}
