/* The calls of the gateway's API on a site; gateway_api.c answers with what they give. */
#ifndef GATEWAY_GATEWAY_CALLS_H
#define GATEWAY_GATEWAY_CALLS_H

#include "bucket/site.h"
#include "proto/gateway_request.h"

/* The check that a call waits for. */
struct gateway_check {
    struct buf key;
    int64_t size_bytes;
};

struct gateway_context {
    const struct site *site;
    struct str base_url; /* as the client sees us */
    int64_t wall_ms;
    struct gateway_check *check; /* NULL: the call cannot wait, or has waited */
};

enum { GATEWAY_CALLS_WAIT = 1 };

/* Appends the answer's JSON, or -1 with the reason that the client is told. GATEWAY_CALLS_WAIT: run
 * it again when the object in ctx->check was checked (check_asker.h). The request was verified. */
int gateway_calls_run(const struct gateway_context *ctx, const struct gateway_request *r,
                      struct buf *answer, struct err *e) ERR_CHECKED;

#endif
