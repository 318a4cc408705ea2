/*
 * The HTTP face of files that were never uploaded (EXTENSIONS.md §3): GET and HEAD of
 *     /f/<sha1>    /f/<sha1>.<n8>/<name>    n8: the first 8 digits of the SHA-1 of the name
 *     /f/~<token>/<name>                    by a share link (access/links.h)
 *     /d/<sha1>/<path>    of a folder index: a file in it; a listing for a path that ends with '/'
 *     /d/~<token>/<path>  the same by a share link
 * answered from the bucket if the object is there, else by a relay. A request
 * without permission is answered as one for no file, before anything is looked at.
 */
#ifndef PROXY_RANGE_SERVER_H
#define PROXY_RANGE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "access/zone_files.h"
#include "bucket/bucket.h"
#include "http/http_server.h"
#include "proxy/relay.h"

enum { RANGE_SERVER_ROUTES = 4, RANGE_READ_BYTES = 16384 };

struct range_server;

struct range_server_options {
    struct loop *loop;
    struct relay *relay;
    int64_t wait_ms; /* for a host, before the connection is closed without an answer */
    struct bucket *bucket; /* borrowed, like the zone, which is the hub's own */
    struct zone zone;
    const unsigned char *pass_key; /* see links_use */
    bool keeps_whole_files; /* a file that is read whole at findFile's URL becomes an object */
};

/* Returns a server; what the options point to is borrowed. NULL without memory. */
struct range_server *range_server_new(const struct range_server_options *options, struct err *e);

/* Frees the server, all of whose connections are closed. NULL-safe. */
void range_server_free(struct range_server *server);

/* Fills in the routes; `server` is borrowed for as long as they are served. */
void range_server_put_routes(struct range_server *server,
                             struct http_route routes[RANGE_SERVER_ROUTES]);

/* Returns the key by which a request belongs to a relay (crew_give_keyed): the first byte of the
 * SHA-1 in its path, with which a token begins, too; 0 for a path without either. */
uint32_t range_server_key(struct str path);

#endif
