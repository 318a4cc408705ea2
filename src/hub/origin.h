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

/* At most `max_each` connections of one address. `trusted` stays borrowed. */
struct origins *origins_new(size_t max_each, const struct trusted *trusted, struct err *e);
void origins_free(struct origins *o);

/* The functions of http_server_options with an `origins` as the owner. False: too many. */
bool origins_accepted(struct origins *o, const struct addr *peer, uint64_t *tag);
bool origins_head(struct origins *o, const struct http_conn *conn, const struct http_head *head,
                  uint64_t *tag);
void origins_answered(struct origins *o, uint64_t *tag);
bool origins_put_peer(const struct origins *o, uint64_t tag, struct buf *out);

/* Appends the address of that tag as tally_put_address does, nothing when it is not known. */
void origins_put_address(const struct origins *o, uint64_t tag, struct buf *out);

/* The common part of two tags of one address; 0: none that is known. */
uint64_t origins_place(uint64_t tag);

/* The address with the most connections, if it has more than its part of `places` (all the same for
 * each address that has any) while the one of `tag` has no more than its own. Else 0. */
uint64_t origins_above_part(const struct origins *o, uint64_t tag, size_t places);

/* The current request is of this user, wherever it comes from: the address has one less. It stays
 * the address's when the user has as many as one may. */
void origins_user(struct origins *o, uint64_t *tag, struct str user);

/* The connection is known by more than its address now (a daemon by its name): the address has one
 * less. */
void origins_release(struct origins *o, uint64_t *tag);

/* The connection is closed, wherever it was. */
void origins_closed(struct origins *o, uint64_t tag);

#endif
