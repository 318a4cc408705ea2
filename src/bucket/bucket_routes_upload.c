/* PUT of an object: goes to the bucket as it comes, and is answered when it is there for good. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/sha1.h"
#include "bucket/bucket_routes.h"

/* on_head ──► opening ──► on_upload_data ◄──► writing ──► on_upload_end ──► closing ──► answered
 * While the bucket opens and writes, the client's body is paused. */
struct upload_request {
    struct bucket_put put;
    struct err e; /* of its calls */
    struct http_conn *conn;
    struct buf key, client;
    char hash[SHA1_HEX + 1];
};

static void free_upload_request(struct upload_request *upload)
{
    bucket_put_discard(&upload->put);
    buf_free(&upload->key);
    buf_free(&upload->client);
    free(upload);
}

static void answer_upload_error(struct http_conn *conn, const struct bucket *bucket,
                                const char *hash, const struct err *e)
{
    struct buf words = {0};
    struct str text;

    log_line(LOG_WARN, "upload refused sha1=%s: %s", hash, e->msg);
    bucket_put_public_error(bucket, e, &words);
    text = words.failed ? STR("out of memory") : buf_str(&words);
    switch (e->code) {
    case ERR_TOO_LARGE: bucket_routes_answer_error(conn, 507, "InsufficientStorage", text); break;
    case ERR_PROTOCOL: bucket_routes_answer_error(conn, 400, "IncompleteBody", text); break;
    case ERR_CHANGED: bucket_routes_answer_error(conn, 400, "BadDigest", text); break;
    case ERR_TAKEN: bucket_routes_answer_error(conn, 503, "SlowDown", text); break;
    default: bucket_routes_answer_error(conn, 500, "InternalError", text);
    }
    buf_free(&words);
}

static void refuse_upload(struct upload_request *upload)
{
    answer_upload_error(upload->conn, upload->put.home, upload->hash, upload->put.call.e);
    free_upload_request(upload);
}

/* It was opened, or took a part. */
static void on_upload_ready(void *owner)
{
    struct upload_request *upload = owner;

    if (upload->put.call.result != 0)
        refuse_upload(upload);
    else
        http_conn_resume_body(upload->conn);
}

static void on_upload_data(void *ctx, struct http_conn *conn, struct str data)
{
    struct upload_request *upload = ctx;

    bucket_put_write(&upload->put, data);
    http_conn_pause_body(conn);
}

static void on_upload_closed(void *owner)
{
    struct upload_request *upload = owner;
    struct http_header etag = {STR("ETag"), {NULL, 0}};
    char value[SHA1_HEX + 3];

    if (upload->put.call.result != 0) {
        refuse_upload(upload);
        return;
    }
    log_line(LOG_INFO, "object stored sha1=%s bytes=%lld", upload->hash,
             (long long)upload->put.size_bytes);
    snprintf(value, sizeof value, "\"%s\"", upload->hash);
    etag.value = str_of(value);
    http_conn_answer(upload->conn,
                     &(struct http_answer){.status = 200, .headers = &etag, .header_count = 1});
    free_upload_request(upload);
}

static void on_upload_cut(void *ctx)
{
    struct upload_request *upload = ctx;

    log_line(LOG_INFO, "upload cut sha1=%s bytes=%lld of=%lld", upload->hash,
             (long long)upload->put.written, (long long)upload->put.size_bytes);
    free_upload_request(upload);
}

static void on_upload_end(void *ctx, struct http_conn *conn)
{
    struct upload_request *upload = ctx;

    upload->put.call.on_done = on_upload_closed;
    bucket_put_close(&upload->put);
    http_conn_wait(conn, on_upload_cut, upload);
}

static struct upload_request *make_upload_request(struct http_conn *conn,
                                                  const struct signed_url *url)
{
    struct upload_request *upload = calloc(1, sizeof *upload);
    struct str hash = str_slice(url->object_key, url->object_key.len - SHA1_HEX,
                                url->object_key.len);

    if (upload == NULL)
        return NULL;
    snprintf(upload->hash, sizeof upload->hash, "%.*s", STR_ARG(hash));
    buf_put(&upload->key, url->object_key);
    buf_put(&upload->client, url->client);
    upload->conn = conn;
    upload->put = (struct bucket_put){.call = {on_upload_ready, upload, .e = &upload->e},
                                      .key = buf_str(&upload->key),
                                      .hash = str_of(upload->hash),
                                      .client = buf_str(&upload->client),
                                      .size_bytes = url->size};
    if (!upload->key.failed && !upload->client.failed)
        return upload;
    free_upload_request(upload);
    return NULL;
}

/* The client hears "100 Continue" when there is room for what it has. */
static void start_upload_request(struct bucket *bucket, struct http_conn *conn,
                                 const struct signed_url *url)
{
    struct upload_request *upload = make_upload_request(conn, url);
    const struct http_sink sink = {.on_data = on_upload_data,
                                   .on_end = on_upload_end,
                                   .on_gone = on_upload_cut,
                                   .ctx = upload};

    if (upload == NULL) {
        bucket_routes_answer_error(conn, 500, "InternalError", STR("out of memory"));
        return;
    }
    http_conn_stream_paused(conn, &sink);
    bucket_put_open(bucket, &upload->put);
}

void bucket_routes_upload(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct bucket_routes *b = owner;
    const struct http_head *head = request->head;
    struct buf decoded = {0};
    struct signed_url url;

    if (bucket_routes_check_url(b->url_key, conn, request, true, &url, &decoded)) {
        if (head->framing == HTTP_BODY_LENGTH && head->content_length != url.size)
            bucket_routes_answer_error(
                conn, 400, "IncompleteBody",
                STR("Content-Length is not the size that the URL was signed for."));
        else
            start_upload_request(b->bucket, conn, &url);
    }
    buf_free(&decoded);
}
