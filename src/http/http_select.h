/*
 * The answer to a GET or HEAD of content that never changes: conditions (RFC 9110 §13) and
 * one range (§14) against an entity tag and a size. The request's fields are copied, so that the
 * decision can be made when the content is known, long after the head. Sans-I/O.
 */
#ifndef HTTP_HTTP_SELECT_H
#define HTTP_HTTP_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/http_head.h"

struct http_wish {
    struct buf range, if_range, match, none_match;
    bool has_range, has_if_range, has_match, has_none_match;
};

/* Reads the wish of a request's head. Returns false without memory. Free with http_wish_deinit in
 * any case. */
bool http_wish_init(struct http_wish *wish, const struct http_head *head);
void http_wish_deinit(struct http_wish *wish);

/*
 * Returns 200, 206, 304, 412 or 416. [*start, *end) are the bytes to send. Several ranges, and what
 * is no range, are answered as none: 200. Of no content every range is 416.
 */
int http_select(const struct http_wish *wish, const char *etag, int64_t size, int64_t *start,
                int64_t *end);

/* Returns whether it has one range of at most `bytes`, whatever the size of the content. */
bool http_wish_is_small(const struct http_wish *wish, int64_t bytes);

#endif
