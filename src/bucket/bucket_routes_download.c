/*
 * GET and HEAD of an object or a range of it. An object never changes: its ETag is its hash. Where
 * the bucket gives it as a file the kernel sends it; else it is read part by part as the client
 * takes it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sha1.h"
#include "bucket/bucket_routes.h"
#include "http/http_select.h"

enum {
    MAX_HEADERS = 6,
    PART_BYTES = 262144,
    BELIEVED_AGE_S = 7 * 86400, /* since an object was compared with its hash */
    DOUBTED_AGE_S = 600
};

struct download {
    struct bucket *bucket;
    struct http_conn *conn;
    struct err e; /* of the calls */
    struct bucket_file file;
    struct bucket_head head; /* where there are no files */
    struct bucket_read read;
    size_t taken; /* of what was read */
    int64_t left; /* to read */
    struct buf key;
    bool is_head; /* the method */
    struct http_wish wish;
    int64_t size, start, end;
    char etag[SHA1_HEX + 3];
    char modified[30];
    int64_t modified_ms;
    char range[HTTP_CONTENT_RANGE_BYTES];
};

static void free_download(struct download *d)
{
    bucket_cancel(&d->file.call);
    bucket_cancel(&d->head.call);
    bucket_cancel(&d->read.call);
    if (d->file.fd >= 0)
        close(d->file.fd);
    buf_free(&d->read.bytes);
    buf_free(&d->key);
    http_wish_deinit(&d->wish);
    free(d);
}

/* ---- answers ---- */

static void answer_download_error(struct download *d, const struct err *e)
{
    struct buf words = {0};

    if (e->code == ERR_NOT_FOUND) {
        bucket_routes_answer_error(d->conn, 404, "NoSuchKey",
                                   STR("The specified key does not exist."));
        return;
    }
    log_line(LOG_WARN, "download failed key=%s: %s", buf_cstr(&d->key), e->msg);
    bucket_put_public_error(d->bucket, e, &words);
    bucket_routes_answer_error(d->conn, 500, "InternalError",
                               words.failed ? STR("out of memory") : buf_str(&words));
    buf_free(&words);
}

/* Status and headers of what is there; false when it is answered without a body. */
static bool put_answer(struct download *d, struct http_answer *a,
                       struct http_header headers[MAX_HEADERS])
{
    const struct http_content content = {
        .etag = d->etag, .modified_ms = d->modified_ms, .size = d->size};
    int status = http_select(&d->wish, &content, &d->start, &d->end);

    http_head_format_date(d->modified_ms, d->modified);
    http_select_format_range(status, d->start, d->end, d->size, d->range);
    headers[0] = (struct http_header){STR("ETag"), str_of(d->etag)};
    headers[1] = (struct http_header){STR("Last-Modified"), str_of(d->modified)};
    headers[2] = (struct http_header){STR("Accept-Ranges"), STR("bytes")};
    headers[3] = (struct http_header){STR("Content-Range"), str_of(d->range)};
    *a = (struct http_answer){.status = status,
                              .content_type = "application/octet-stream",
                              .headers = headers,
                              .header_count = d->range[0] == '\0' ? 3 : 4};
    if (status == 200 || status == 206)
        return true;
    a->content_type = NULL;
    return false;
}

/* ---- as a file ---- */

static void on_file_opened(void *owner)
{
    struct download *d = owner;
    struct http_header headers[MAX_HEADERS];
    struct http_answer a;

    d->size = d->file.size_bytes;
    d->modified_ms = d->file.modified_ms;
    if (d->file.call.result != 0) {
        answer_download_error(d, d->file.call.e);
    } else if (put_answer(d, &a, headers)) {
        http_conn_answer_file(d->conn, &a, d->file.fd, d->start, d->end - d->start);
        d->file.fd = -1;
    } else {
        http_conn_answer(d->conn, &a);
    }
    free_download(d);
}

/* ---- part by part ---- */

static void on_part_read(void *owner)
{
    struct download *d = owner;

    http_conn_resume_answer(d->conn);
}

static void read_next_part(struct download *d)
{
    buf_clear(&d->read.bytes);
    d->taken = 0;
    d->read.start = d->end - d->left;
    d->read.length = d->left < PART_BYTES ? d->left : PART_BYTES;
    bucket_read(d->bucket, &d->read);
}

/* A part that is short, or cannot be read, ends the connection: the client is not to take what it
 * got for all. */
static bool make_object_body(void *ctx, struct http_conn *conn, struct buf *out, size_t room)
{
    struct download *d = ctx;
    struct str rest;

    (void)conn;
    if (d->read.call.bucket != NULL)
        return true; /* it is on its way */
    if (d->read.call.result != 0 || (int64_t)d->read.bytes.len != d->read.length) {
        log_line(LOG_WARN, "download cut key=%s: %s", buf_cstr(&d->key),
                 d->read.call.result != 0 ? d->read.call.e->msg : "the object is shorter");
        return false;
    }
    rest = str_slice(buf_str(&d->read.bytes), d->taken, d->read.bytes.len);
    rest = str_slice(rest, 0, room < HTTP_SERVER_MADE_BYTES ? room : HTTP_SERVER_MADE_BYTES);
    buf_put(out, rest);
    d->taken += rest.len;
    d->left -= (int64_t)rest.len;
    if (d->taken == d->read.bytes.len && d->left > 0)
        read_next_part(d);
    return true;
}

static void on_object_body_end(void *ctx, bool is_whole)
{
    (void)is_whole;
    free_download(ctx);
}

static void on_object_head(void *owner)
{
    struct download *d = owner;
    const struct http_source source = {
        .make = make_object_body, .on_end = on_object_body_end, .ctx = d};
    struct http_header headers[MAX_HEADERS];
    struct http_answer a;

    d->size = d->head.size_bytes;
    d->modified_ms = d->head.modified_ms;
    if (d->head.call.result == 0 && d->head.is_damaged)
        d->head.call.result = err_set(d->head.call.e, ERR_NOT_FOUND, "damaged");
    if (d->head.call.result != 0) {
        answer_download_error(d, d->head.call.e);
        free_download(d);
    } else if (put_answer(d, &a, headers)) {
        d->left = d->end - d->start;
        if (d->left > 0 && !d->is_head)
            read_next_part(d);
        http_conn_answer_made(d->conn, &a, d->end - d->start, &source);
    } else {
        http_conn_answer(d->conn, &a);
        free_download(d);
    }
}

/* ---- the request ---- */

/*
 * The reader of a whole object can tell whether it is damaged, but cannot tell us: so we read what
 * was not checked for long, too, while the kernel has it. A reader that believes no cache
 * (a browser's reload, a client that found a wrong hash) need not wait so long.
 */
static int64_t believed_s(const struct download *d, const struct http_head *head)
{
    const struct str *control = http_head_get(head, "Cache-Control");
    bool is_doubted = control != NULL && str_equal_nocase(str_trim(*control), STR("no-cache"));

    if (d->is_head || (d->wish.has_range && !is_doubted))
        return BUCKET_NEVER_S;
    return is_doubted ? DOUBTED_AGE_S : BELIEVED_AGE_S;
}

static struct download *make_download(struct bucket *bucket, struct http_conn *conn,
                                      const struct http_head *head, struct str key)
{
    struct download *d = calloc(1, sizeof *d);

    if (d == NULL)
        return NULL;
    d->file.fd = -1;
    d->bucket = bucket;
    d->conn = conn;
    d->is_head = !str_equal(head->method, STR("GET"));
    buf_put(&d->key, key);
    if (!http_wish_init(&d->wish, head) || d->key.failed) {
        free_download(d);
        return NULL;
    }
    d->etag[0] = '"';
    memcpy(d->etag + 1, key.p + key.len - SHA1_HEX, SHA1_HEX);
    d->etag[1 + SHA1_HEX] = '"';
    key = buf_str(&d->key);
    d->file = (struct bucket_file){.call = {on_file_opened, d, .e = &d->e},
                                   .key = key,
                                   .fd = -1,
                                   .believed_s = believed_s(d, head)};
    d->head = (struct bucket_head){.call = {on_object_head, d, .e = &d->e}, .key = key};
    d->read = (struct bucket_read){.call = {on_part_read, d, .e = &d->e}, .key = key};
    return d;
}

static void on_reader_gone(void *ctx)
{
    free_download(ctx);
}

void bucket_routes_download(struct http_conn *conn, const struct http_request *request,
                            void *owner)
{
    const struct bucket_routes *b = owner;
    struct buf decoded = {0};
    struct signed_url url;
    struct download *d;

    if (bucket_routes_check_url(b->url_key, conn, request, false, &url, &decoded)) {
        d = make_download(b->bucket, conn, request->head, url.object_key);
        if (d == NULL) {
            bucket_routes_answer_error(conn, 500, "InternalError", STR("out of memory"));
        } else {
            if (!bucket_open_file(b->bucket, &d->file))
                bucket_head(b->bucket, &d->head);
            http_conn_wait(conn, on_reader_gone, d);
        }
    }
    buf_free(&decoded);
}
