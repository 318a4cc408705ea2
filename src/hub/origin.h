/*
 * For whom the servers' connections count: the address they come from or, behind a trusted reverse
 * proxy, the client of the request that they carry at the time; while a request is that of a user
 * who is known, the user. A connection knows it by its tag.
 */
#ifndef HUB_ORIGIN_H
#define HUB_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/http_server.h"
#include "hub/trusted.h"

struct origins;

/* Returns counts that let each address have at most `max_each` connections. `trusted` is borrowed.
 * NULL without memory. */
struct origins *origins_new(size_t max_each, const struct trusted *trusted, struct err *e);
void origins_free(struct origins *o); /* NULL-safe */

/* Count a connection as the callbacks of http_server_options of the same names: it was accepted,
 * has a request, has answered it. The first two return false for an address that has too many. The
 * last appends the forwarded address, and returns false where the socket's counts. */
bool origins_accepted(struct origins *o, const struct addr *peer, uint64_t *tag);
bool origins_head(struct origins *o, const struct http_conn *conn, const struct http_head *head,
                  uint64_t *tag);
void origins_answered(struct origins *o, uint64_t *tag);
bool origins_put_peer(const struct origins *o, uint64_t tag, struct buf *out);

/* Appends the address of a tag as tally_put_address does; nothing when it is not known. */
void origins_put_address(const struct origins *o, uint64_t tag, struct buf *out);

/* Returns the part that the tags of one address have in common; 0 when the address is not known. */
uint64_t origins_place(uint64_t tag);

/* Returns the place (origins_place) of the address with the most connections, if it has more than
 * its part of `places` while the address of `tag` has at most its own; each address that has
 * connections has the same part. Else returns 0. */
uint64_t origins_above_part(const struct origins *o, uint64_t tag, size_t places);

/* Counts the connection for this user instead of its address, until its current request is
 * answered. It stays the address's if the user has `max_each` already. */
void origins_user(struct origins *o, uint64_t *tag, struct str user);

/* Counts the connection no more: it is known by more than its address now, as a daemon is by its
 * name. */
void origins_release(struct origins *o, uint64_t *tag);

/* Takes a closed connection out of the counts, in whichever process it was. */
void origins_closed(struct origins *o, uint64_t tag);

#endif
