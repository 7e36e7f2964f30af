// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "channel.h"

const struct transport *const transports[] = {
	&transport_npheap,
	&transport_npheap_pool,
	&transport_pipe,
	&transport_unix,
	&transport_shm,
	&transport_shm_pool,
	&transport_tmpfs,
	NULL
};

const struct transport *transport_named(const char *name)
{
	for (const struct transport *const *t = transports; *t; t++) {
		if (!strcmp((*t)->name, name))
			return *t;
	}
	return NULL;
}
