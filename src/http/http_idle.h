/* Connections that wait for their next call. Used by http_client.c and http_call*.c alone. */
#ifndef HTTP_HTTP_IDLE_H
#define HTTP_HTTP_IDLE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/stream.h"

enum { HTTP_IDLE_MAX = 8 /* connections kept */, HTTP_IDLE_BUFFER_BYTES = 256 << 10 };

/* Closed when the server closes it while the loop runs. */
struct http_idle {
    struct http_client *client;
    struct stream *stream;
    struct buf origin; /* "http://host:port" */
    int64_t since_ms;
};

struct http_client {
    struct loop *loop; /* borrowed */
    struct http_idle *idle[HTTP_IDLE_MAX]; /* oldest first */
    size_t count;
    char *read_buffer; /* of the call that ended last: mapping a new one costs more than a read */
};

/* Returns the youngest connection to an origin that is still usable and not older than max_idle_ms,
 * or NULL. Closes the stale and the too old ones on the way. The caller gives it its wake. */
struct stream *http_idle_take(struct http_client *client, struct str origin, int64_t now_ms,
                              int64_t max_idle_ms);

/* Keeps a connection, in place of the oldest when there are HTTP_IDLE_MAX. Takes it over. */
void http_idle_give(struct http_client *client, struct str origin, struct stream *stream,
                    int64_t now_ms);

/* Returns a buffer of HTTP_IDLE_BUFFER_BYTES for a call, which frees it or gives it back. NULL
 * without memory. */
char *http_idle_take_buffer(struct http_client *client);
void http_idle_give_buffer(struct http_client *client, char *buffer);

#endif
