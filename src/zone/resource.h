/* Asking a resource for a file through its proxy (PROTOCOL.md §4), which may be of either
 * generation; blocking. */
#ifndef ZONE_RESOURCE_H
#define ZONE_RESOURCE_H

#include "base/buf.h"
#include "proto/message.h"
#include "zone/gateway.h"

struct resource {
    char *url;     /* <proxy>/r/<name> */
    char *api_url; /* <proxy>/api, where generation 1 is asked; NULL: `url` is of another form */
    char *name;
    char *zone;
    bool is_generation1; /* the proxy turned out to be of generation 1 */
};

/* Begins a resource. `where` is a URL, a bare name (looked up in the zone), or NULL:
 * KACHERY_RESOURCE_URL, ERR_NOT_FOUND when that is unset too. */
int resource_init(struct resource *r, struct gateway *g, const struct zone_call *how,
                  const char *where, struct err *e) ERR_CHECKED;
void resource_deinit(struct resource *r);

/*
 * Sends one request, which waits up to timeout_ms for the file to be uploaded (where the proxy is
 * of generation 1, up to 10 s in any case), and returns the state. `error` in *out points into
 * *text (caller frees it). ERR_TIMEOUT when the proxy or daemon does not answer (504),
 * ERR_NOT_FOUND when the resource is not connected (404), ERR_REFUSED with the daemon's or proxy's
 * words.
 */
int resource_request(struct resource *r, const struct gateway *g, const struct zone_watch *watch,
                     const char *hash, int64_t timeout_ms, struct upload_status *out,
                     struct buf *text, struct err *e) ERR_CHECKED;

struct resource_wait {
    int64_t every_ms;    /* of one question: the interval between two states */
    int64_t deadline_ms; /* of all together (clock_now_ms()), or CLOCK_NEVER_MS */
    const struct gateway *gateway; /* its http and patience are used */
    const struct zone_watch *watch;
    void (*on_status)(void *ctx, const struct upload_status *status); /* may be NULL */
    void *ctx;
};

/* Asks again and again while the file is queued or running, until the deadline. A proxy that does
 * not answer is asked for patience.waiting_ms, one where the resource answered, or was connected
 * when it was asked, for a quarter of an hour. *out is the last answer; else like
 * resource_request. */
int resource_request_wait(struct resource *r, const char *hash, const struct resource_wait *wait,
                          struct upload_status *out, struct buf *text, struct err *e) ERR_CHECKED;

#endif
