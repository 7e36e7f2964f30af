// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "channel.h"

const struct transport *const transports[] = {
	&transport_npheap,
	&transport_npheap_pool,
	&transport_npheap_event,
	&transport_npheap_ioctl,
	&transport_pipe,
	&transport_vmsplice,
	&transport_unix,
	&transport_seqpacket,
	&transport_mq,
	&transport_msg,
	&transport_shm,
	&transport_shm_pool,
	&transport_futex,
	&transport_eventfd,
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
