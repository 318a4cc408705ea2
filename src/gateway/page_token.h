/*
 * A token in the form of a page of ours: its sender has read that page lately, as a page of another
 * origin cannot. No state: an HMAC with the site's key. Pure.
 *     <expires: s>.<hex>
 */
#ifndef GATEWAY_PAGE_TOKEN_H
#define GATEWAY_PAGE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum { PAGE_TOKEN_MS = 15 * 60 * 1000, PAGE_TOKEN_KEY = 32 };

/* Appends a token for the page `about` (any text; what the form does follows from it), made at
 * `wall_ms`, in ms since the epoch. Makes `out` fail without memory. */
void page_token_put(struct buf *out, const unsigned char key[PAGE_TOKEN_KEY], struct str about,
                    int64_t wall_ms);

/* Returns 1 when the token is of that page and at most PAGE_TOKEN_MS old, else 0; -1 without
 * memory. */
int page_token_check(struct str token, const unsigned char key[PAGE_TOKEN_KEY], struct str about,
                      int64_t wall_ms);

#endif
