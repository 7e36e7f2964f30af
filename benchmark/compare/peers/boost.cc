// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mutexes of Boost.Interprocess: in shared memory, and by a name.  The first is
 * what its documentation has for speed.
 */
#include <cstdio>
#include <exception>
#include <new>

#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/named_mutex.hpp>
#include <sys/mman.h>

extern "C" {
#include "measure.h"
#include "compare/peers.h"
}

namespace bi = boost::interprocess;

template <typename Mutex> static inline void take(Mutex &mutex)
{
	try {
		mutex.lock();
	} catch (const std::exception &e) {
		die(e.what());
	}
}

/* ---------------------------------------------------------- in shared memory */

/* Each on a cache line of its own. */
struct alignas(64) padded {
	bi::interprocess_mutex mutex;
};

static padded *mutexes;
static unsigned int n_mutexes;

static int mutex_open(unsigned int n)
{
	mutexes = static_cast<padded *>(shared_memory(n * sizeof(*mutexes)));
	n_mutexes = n;
	for (unsigned int i = 0; i < n; i++)
		new (&mutexes[i]) padded;
	return 0;
}

static void mutex_close()
{
	munmap(mutexes, n_mutexes * sizeof(*mutexes));
}

static int mutex_lock(unsigned int i)
{
	take(mutexes[i].mutex);
	return 0;
}

static void mutex_unlock(unsigned int i)
{
	mutexes[i].mutex.unlock();
}

static void mutex_pair()
{
	mutex_lock(0);
	mutex_unlock(0);
}

const struct lock lock_boost_mutex = {
	.name = "boost-mutex",
	.end = LOCK_STAYS,
	.open = mutex_open,
	.close = mutex_close,
	.join = nullptr,
	.lock = mutex_lock,
	.attempt = nullptr,
	.unlock = mutex_unlock,
	.pair = mutex_pair,
};

/* ----------------------------------------------------------------- by a name */

static const unsigned int most = 16;
static bi::named_mutex *named[most];
static unsigned int n_named;

static const char *name_of(unsigned int i)
{
	static char name[32];

	snprintf(name, sizeof(name), "npheap-compare-%u", i);
	return name;
}

/* The names are gone at once, so that none is left behind. */
static int named_open(unsigned int n)
{
	if (n > most)
		return -ENOSPC;
	n_named = n;
	for (unsigned int i = 0; i < n; i++) {
		bi::named_mutex::remove(name_of(i));
		try {
			named[i] = new bi::named_mutex(bi::create_only,
						       name_of(i));
		} catch (const bi::interprocess_exception &e) {
			return -e.get_native_error();
		}
		bi::named_mutex::remove(name_of(i));
	}
	return 0;
}

static void named_close()
{
	for (unsigned int i = 0; i < n_named; i++)
		delete named[i];
}

static int named_lock(unsigned int i)
{
	take(*named[i]);
	return 0;
}

static void named_unlock(unsigned int i)
{
	named[i]->unlock();
}

static void named_pair()
{
	named_lock(0);
	named_unlock(0);
}

const struct lock lock_boost_named = {
	.name = "boost-named",
	.end = LOCK_STAYS,
	.open = named_open,
	.close = named_close,
	.join = nullptr,
	.lock = named_lock,
	.attempt = nullptr,
	.unlock = named_unlock,
	.pair = named_pair,
};
