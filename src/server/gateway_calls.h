/* The calls of the gateway's API on a site; gateway_api.c answers with what they give. */
#ifndef SERVER_GATEWAY_CALLS_H
#define SERVER_GATEWAY_CALLS_H

#include "server/gateway_request.h"
#include "server/site.h"

struct gateway_context {
    const struct site *site;
    struct str base_url; /* as the client sees us */
    int64_t wall_ms;
};

/* Appends the answer's JSON, or -1 with the reason that the client is told. The request was
 * verified. */
int gateway_calls_run(const struct gateway_context *ctx, const struct gateway_request *r,
                      struct buf *answer, struct err *e);

#endif
