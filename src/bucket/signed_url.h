/*
 * URLs of the hub's own bucket that carry a permission: one method, one object, one size, until a
 * time. HMAC-SHA-256 with a key that only the hub's own processes have.
 *     <base>/bucket/<object key>?expires=<s>[&size=<bytes>][&client=<name>]&signature=<hex>
 */
#ifndef BUCKET_SIGNED_URL_H
#define BUCKET_SIGNED_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum {
    SIGNED_URL_KEY = 32,
    SIGNED_URL_PUT_MS = 30 * 60 * 1000,
    SIGNED_URL_GET_MS = 60 * 60 * 1000,
    SIGNED_URL_MAX_KEY_BYTES = 1024
};

#define SIGNED_URL_PATH "/bucket/"

struct signed_url {
    bool is_put; /* else GET and HEAD */
    struct str object_key;
    int64_t size; /* PUT: of the object */
    struct str client; /* PUT: who may use it; empty: it does not say */
    int64_t expires_ms;
};

/* Appends the URL, or makes `out` fail; `base` is http://host:port without a trailing '/'. */
void signed_url_put(struct buf *out, struct str base, const unsigned char key[SIGNED_URL_KEY],
                    const struct signed_url *url);

enum signed_url_state {
    SIGNED_URL_OK,
    SIGNED_URL_EXPIRED,
    SIGNED_URL_BAD,
    SIGNED_URL_UNKNOWN /* without memory */
};

/* Checks the path and query of a request at the time `wall_ms` (ms since the epoch). On
 * SIGNED_URL_OK *url is filled in; its object_key is borrowed from *decoded (appended to; the
 * caller frees it in any case), its client from `query`. */
enum signed_url_state signed_url_check(struct signed_url *url, struct str path, struct str query,
                                       bool is_put, const unsigned char key[SIGNED_URL_KEY],
                                       int64_t wall_ms, struct buf *decoded);

#endif
