/*
 * The hub's own bucket, in a process that may wait for the disk: PUT, GET and HEAD of
 * /bucket/<object key> with signed URLs, in the manner of S3.
 */
#ifndef BUCKET_BUCKET_H
#define BUCKET_BUCKET_H

#include "bucket/site.h"
#include "http/http_server.h"

enum { BUCKET_ROUTES = 3, BUCKET_READ_BYTES = 262144 };

/* What the bucket's process serves; `site` is borrowed. */
void bucket_put_routes(struct site *site, struct http_route routes[BUCKET_ROUTES]);

/* For who hands connections to the bucket's process: may this request be handed on? Else it was
 * answered. Appends the client for which the URL was signed, nothing where it does not say so.
 * Touches no disk. */
bool bucket_admits(const struct site *site, struct http_conn *conn,
                   const struct http_request *request, struct buf *client);

/* bucket.c, for bucket_upload.c and bucket_download.c: an answer as S3 words it, and the check of
 * the URL; false when it was answered. */
void bucket_answer_error(struct http_conn *conn, int status, const char *code, const char *message);
bool bucket_check_url(const struct site *site, struct http_conn *conn,
                      const struct http_request *request, bool is_put, struct signed_url *url,
                      struct str *hash, struct buf *decoded);
void bucket_upload(struct http_conn *conn, const struct http_request *request, void *owner);
void bucket_download(struct http_conn *conn, const struct http_request *request, void *owner);

#endif
