/* The calls of the gateway's API on a bucket; gateway_api.c answers with what they come to. */
#ifndef GATEWAY_GATEWAY_CALLS_H
#define GATEWAY_GATEWAY_CALLS_H

#include "gateway/gateway_site.h"

struct gateway_run; /* a call that waits for the bucket */

struct gateway_start {
    const struct gateway_site *site;
    struct str request;  /* the body; borrowed for the call of gateway_calls_start alone */
    struct str base_url; /* as the client sees us; the same */
    /* The call is done: 200 and JSON, or 500 and text; never before gateway_calls_start returns. */
    void (*on_done)(void *owner, int status, const struct buf *answer);
    void *owner;
};

/* Verifies and starts a call. Returns 0 if *run waits for on_done, else the status of the answer,
 * which is appended to *answer; then on_done does not come. */
int gateway_calls_start(const struct gateway_start *start, struct gateway_run **run,
                        struct buf *answer);

/* Ends and frees a run that waits: on_done does not come. A run that is done frees itself. */
void gateway_calls_cancel(struct gateway_run *run);

#endif
