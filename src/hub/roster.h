/*
 * Which daemons are connected to a hub, in memory that it shares with its worker processes: the hub
 * alone writes, the gateway's workers read. (A proxy and a gateway that are two servers have none.)
 */
#ifndef HUB_ROSTER_H
#define HUB_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* A daemon with a longer name or zone is not listed. */
enum { ROSTER_MAX_NAME_BYTES = 255 };

struct roster;

/* Returns an empty roster, for processes that are forked later too. Beyond `capacity` daemons at a
 * time, further ones are not listed. NULL without memory. */
struct roster *roster_new(size_t capacity, struct err *e);
void roster_free(struct roster *roster); /* NULL-safe */

/* Lists the daemon that serves a name since `wall_ms` (ms since the epoch), in place of another of
 * that name. The zone of a daemon of generation 1, which names none, is empty. */
void roster_put(struct roster *roster, struct str name, struct str zone, int64_t wall_ms);

/* Removes a name that no daemon serves any more. */
void roster_remove(struct roster *roster, struct str name);

/* Returns true when a daemon of that name serves the zone; *since_ms is when it connected, in ms
 * since the epoch. `is_own`: the zone is the hub's own, to which daemons of generation 1 belong. */
bool roster_find(const struct roster *roster, struct str name, struct str zone, bool is_own,
                 int64_t *since_ms);

#endif
