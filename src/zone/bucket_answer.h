/*
 * Answers of a bucket that refuses to return or to take an object. Never shows a URL's query: it is
 * the signature.
 */
#ifndef ZONE_BUCKET_ANSWER_H
#define ZONE_BUCKET_ANSWER_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/http_client.h"

enum {
    BUCKET_MAX_REFUSAL_BYTES = 65536, /* of an error page */
    BUCKET_MAX_ETAG_BYTES = 256
};

/*
 * Sets the error for an answer that is not the wanted one: "the bucket answered 403 Forbidden:
 * AccessDenied: Request has expired". ERR_NOT_FOUND for 404; ERR_NETWORK for troubles that may pass
 * (408, 429, 5xx, and S3's 400 RequestTimeout); else ERR_REFUSED. Returns -1.
 */
int bucket_answer_refusal(const struct http_call *call, struct err *e);

/* Returns the answer's entity tag if it is strong, else an empty text; borrowed from the head. */
struct str bucket_answer_strong_etag(const struct http_head *head);

/*
 * Replaces *url_text by the target of a redirection. The hash decides on the bytes, whatever their
 * source; but a request that was secret stays so: https:// redirects to https:// alone.
 */
int bucket_answer_follow(struct buf *url_text, const struct http_head *head, struct str location,
                         struct err *e) ERR_CHECKED;

/*
 * Returns -1 when a 200 is a web page instead of an object of that size (-1: not known). An object
 * may be HTML, but not of another length, nor without a length where earlier bytes (`has_part`)
 * would be given up for it.
 */
int bucket_answer_check_page(const struct http_head *head, int64_t size, bool has_part,
                             struct err *e) ERR_CHECKED;

#endif
