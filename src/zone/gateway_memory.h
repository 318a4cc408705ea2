/*
 * Remembers which gateways were deployed ones when they were last asked, for commands that do not
 * ask them: an empty directory <store>/deployed-gateways/<percent-encoded URL> for each, which is
 * made and removed in one step, and which no deployed program looks at. Also the limit that follows
 * from it: the size of a file that goes through such a gateway.
 */
#ifndef ZONE_GATEWAY_MEMORY_H
#define ZONE_GATEWAY_MEMORY_H

#include "store/store.h"
#include "zone/gateway.h"

/* The most that a deployed gateway takes (PROTOCOL.md §3). Ours have no limit but their disk. */
#define GATEWAY_DEPLOYED_MAX_BYTES INT64_C(5000000000)

/* Returns true when the gateway has answered and announced nothing. */
bool gateway_is_deployed(const struct gateway *g);

/* Remembers the gateway's kind, if it has answered and there is a store. Best effort. */
void gateway_memory_keep(const struct store *s, const struct gateway *g);

/* Returns true when the gateway that the environment names was a deployed one when last asked; its
 * URL is then appended, without user and password. */
bool gateway_memory_is_deployed(const struct store *s, struct buf *shown);

/* Refuses (ERR_TOO_LARGE, with the cure) a `size` that is more than this deployed gateway takes;
 * else returns 0. */
int gateway_check_size(const struct gateway *g, int64_t size, struct err *e) ERR_CHECKED;

/* Refuses in the same way for a gateway that is known to be deployed, named by the URL to show. */
int gateway_refuse_size(const char *shown, int64_t size, struct err *e);

#endif
