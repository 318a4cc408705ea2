/*
 * The routes below /bucket/, for a bucket that has no URLs of its own: PUT, GET and HEAD of
 * /bucket/<object key> with signed URLs (signed_url.h), in the manner of S3.
 */
#ifndef BUCKET_BUCKET_ROUTES_H
#define BUCKET_BUCKET_ROUTES_H

#include "bucket/bucket.h"
#include "bucket/signed_url.h"
#include "http/http_server.h"

enum { BUCKET_ROUTES = 3, BUCKET_ROUTES_READ_BYTES = 262144 };

/* Bucket and key of the routes; both are borrowed. */
struct bucket_routes {
    struct bucket *bucket;
    const unsigned char *url_key; /* SIGNED_URL_KEY bytes */
};

/* Fills in the routes; `b` is borrowed for as long as they are served. */
void bucket_routes_put(struct bucket_routes *b, struct http_route routes[BUCKET_ROUTES]);

/* Returns whether a process that serves no routes itself may hand this request on to one that does;
 * else the request was answered. Appends the client for which the URL was signed, nothing where the
 * URL names none. Touches no bucket. */
bool bucket_routes_admits(const unsigned char *url_key, struct http_conn *conn,
                          const struct http_request *request, struct buf *client);

/* Answers with an error in the XML of S3. For bucket_routes_upload.c and bucket_routes_download.c,
 * as the next. */
void bucket_routes_answer_error(struct http_conn *conn, int status, const char *code,
                                struct str message);

/* Checks the signed URL of a request; returns false when the request was answered instead. *url
 * borrows from the request and from `decoded`, which the caller frees in any case. */
bool bucket_routes_check_url(const unsigned char *url_key, struct http_conn *conn,
                             const struct http_request *request, bool is_put,
                             struct signed_url *url, struct buf *decoded);

/* Handle a PUT, and a GET or HEAD, as http_route.on_head; `owner` is the struct bucket_routes. */
void bucket_routes_upload(struct http_conn *conn, const struct http_request *request, void *owner);
void bucket_routes_download(struct http_conn *conn, const struct http_request *request,
                            void *owner);

#endif
