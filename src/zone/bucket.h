/*
 * What a bucket says when it does not give or take an object. Never shows a URL's query: it is the
 * signature.
 */
#ifndef ZONE_BUCKET_H
#define ZONE_BUCKET_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "client/http_client.h"

enum {
    BUCKET_MAX_REFUSAL_BYTES = 65536, /* of an error page */
    BUCKET_MAX_REASON_BYTES = 160     /* of it in a message */
};

/*
 * Says what an answer that is not the wanted one means: "the bucket answered 403 Forbidden:
 * AccessDenied: Request has expired". ERR_NOT_FOUND for 404; ERR_NETWORK for what may pass (408,
 * 429, 5xx, and S3's 400 RequestTimeout); else ERR_REFUSED. Returns -1.
 */
int bucket_refusal(const struct http_call *call, struct err *e);

/* What kind of error it is, by the status and the page. */
enum err_code bucket_error(int status, struct str page);

/* Appends "CODE: MESSAGE" of S3's XML error document, or a plain text's first line; nothing of any
 * other page. Fit for a message. */
void bucket_put_reason(struct buf *out, struct str page);

#endif
