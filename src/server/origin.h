/*
 * For whom the servers' connections count: the address they come from or, behind a trusted reverse
 * proxy, the client of the request that they carry at the time. A connection knows it by its tag.
 */
#ifndef SERVER_ORIGIN_H
#define SERVER_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "server/http_server.h"
#include "server/trusted.h"

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

/* The connection is closed, wherever it was. */
void origins_closed(struct origins *o, uint64_t tag);

#endif
