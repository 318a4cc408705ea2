/*
 * One transfer with a bucket through a signed URL: the call run to its end with a way out, and
 * words for what the bucket refuses. Never shows a URL's query: it is the signature.
 */
#ifndef ZONE_BUCKET_H
#define ZONE_BUCKET_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "client/http_client.h"

enum {
    BUCKET_MAX_REFUSAL_BYTES = 65536, /* of an error page */
    BUCKET_MAX_REASON_BYTES = 160,    /* of it in a message */
    BUCKET_CANCEL_POLL_MS = 250       /* how often is_cancelled is asked at least */
};

/* Like http_client_perform, but gives up with ERR_FAILED "cancelled" soon after is_cancelled (may
 * be NULL) says so. */
struct http_call *bucket_perform(struct http_client *http, const struct http_call_options *options,
                                 bool (*is_cancelled)(void *ctx), void *ctx, struct err *e);

/*
 * Says what an answer that is not the wanted one means: "the bucket answered 403 Forbidden:
 * AccessDenied: Request has expired". ERR_NOT_FOUND for 404; ERR_NETWORK for what may pass (408,
 * 429, 5xx); else ERR_REFUSED. Returns -1.
 */
int bucket_refusal(const struct http_call *call, struct err *e);

/* Appends "CODE: MESSAGE" of S3's XML error document, or a plain text's first line; nothing of any
 * other page. Fit for a message. */
void bucket_put_reason(struct buf *out, struct str page);

#endif
