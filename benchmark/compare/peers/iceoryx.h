/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One transport more than channel.h has. */
#ifndef PEERS_ICEORYX_H
#define PEERS_ICEORYX_H

#include "channel.h"

extern const struct transport transport_iceoryx;

#endif
