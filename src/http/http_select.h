/*
 * Decides the answer to a GET or HEAD of content that never changes: conditions (RFC 9110 §13) and
 * one range (§14) against an entity tag, a date and a size. The request's fields are copied, so
 * that the decision can be made when the content is known, long after the head. Sans-I/O.
 */
#ifndef HTTP_HTTP_SELECT_H
#define HTTP_HTTP_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/http_head.h"

enum { HTTP_CONTENT_RANGE_BYTES = 80 };

/* The fields of a request that count. A date that cannot be read is ignored. */
struct http_wish {
    struct buf range, if_range, match, none_match;
    bool has_range, has_if_range, has_match, has_none_match;
    bool waits_not; /* Prefer: wait=0 (RFC 7240 §4.3): what is known now is wanted */
    int64_t modified_since_ms, unmodified_since_ms; /* since the epoch; -1: none */
};

struct http_content {
    const char *etag;    /* with its quotes; a strong one */
    int64_t modified_ms; /* since the epoch, whole seconds; -1: no date is compared with it */
    int64_t size;        /* in bytes */
};

/* Copies the fields. Returns false without memory; http_wish_deinit frees in any case. */
bool http_wish_init(struct http_wish *wish, const struct http_head *head);
void http_wish_deinit(struct http_wish *wish);

/*
 * Returns the status: 200, 206, 304, 412 or 416. [*start, *end) are the bytes to send. Tags count
 * more than dates. Several ranges, and a malformed one, are answered as none: 200. Of empty content
 * every range is 416.
 */
int http_select(const struct http_wish *wish, const struct http_content *content, int64_t *start,
                int64_t *end);

/* Writes the Content-Range of an answer with that status, 206 or 416, and an empty string for
 * another. */
void http_select_format_range(int status, int64_t start, int64_t end, int64_t size,
                              char out[HTTP_CONTENT_RANGE_BYTES]);

/* Returns whether the wish is one range of at most `bytes`, whatever the size of the content. */
bool http_wish_is_small(const struct http_wish *wish, int64_t bytes);

#endif
