/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Round trips: one process sends an item and waits for the answer of another,
 * over a channel each way.
 */
#ifndef TRIP_H
#define TRIP_H

#include "relay.h"

/**
 * trip_run() - as many round trips as the job has items
 * @took: in memory from shared_memory(): what each took, as stamp() counts, the
 *	making and the checking of both items included; the warm-up comes first
 *
 * Says on standard error what went wrong.
 *
 * Return: 0 or -errno, -EBADMSG for an item that is not the one expected.
 */
int trip_run(const struct transport *transport, const struct job *job,
	     double *took);

#endif
