/*
 * Downloads a part of an object, in order and once, however often the connection breaks. Keeps
 * nothing, and cannot check it: the hash is of all bytes.
 */
#ifndef ZONE_BUCKET_RANGE_H
#define ZONE_BUCKET_RANGE_H

#include "zone/gateway.h"

struct bucket_range {
    int64_t start, end; /* [start, end) of the file, as far as it goes; end -1: to its end */
    /* Takes the bytes, each once. -1 ends it with that error. */
    int (*sink)(void *ctx, struct str chunk, struct err *e);
    void *ctx;
    bool keeps_url;  /* which the gateway does not give: when it is refused, that is the end */
    bool is_checked; /* by the sink, block by block: bytes of several objects may come */
    void (*on_bytes)(void *ctx, int64_t bytes, int64_t total); /* may be NULL; total -1: unknown */
    void *on_bytes_ctx;
};

/*
 * Passes the range of the found object to the sink: by a Range request, and from a bucket that
 * ignores it by not reading on behind the range's end. Asks for nothing when the range is empty.
 * ERR_NOT_FOUND: the object is gone, and the sink received nothing. ERR_FAILED when the file ends
 * before `start`.
 */
int bucket_range_get(struct gateway *g, const struct zone_call *how, const char *hash,
                     const struct gateway_file *file, const struct bucket_range *range,
                     struct err *e) ERR_CHECKED;

#endif
