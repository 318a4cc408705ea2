/*
 * GET and HEAD of an object or a range of it. An object never changes: its ETag is its hash. Where
 * the bucket gives it as a file the kernel sends it; else it is read part by part as the client
 * takes it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sha1.h"
#include "bucket/bucket_routes.h"

enum {
    MAX_HEADERS = 6,
    VALUE_BYTES = 96,
    PART_BYTES = 262144,
    BELIEVED_AGE_S = 7 * 86400, /* since an object was compared with its hash */
    DOUBTED_AGE_S = 600
};

/* The headers that count, kept until the bucket has answered. */
enum kept {
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    IF_MODIFIED_SINCE,
    IF_RANGE,
    RANGE,
    KEPT_HEADERS
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
    struct buf key, texts;
    bool is_head; /* the method */
    bool has[KEPT_HEADERS];
    struct str kept[KEPT_HEADERS]; /* in texts */
    int64_t size, start, end;
    int status;
    char etag[SHA1_HEX + 3];
    char modified[30];
    int64_t modified_ms;
    char range[VALUE_BYTES];
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
    buf_free(&d->texts);
    free(d);
}

/* NULL when the request has no such header. */
static const struct str *kept_header(const struct download *d, enum kept which)
{
    return d->has[which] ? &d->kept[which] : NULL;
}

/* ---- what is asked for ---- */

/* True when the field's list of entity tags has ours, or is "*". Weak ones are just as good where
 * the weak comparison is the one to be made (RFC 9110 §8.8.3.2). */
static bool lists_object_tag(struct str list, const char *etag, bool is_weak_enough)
{
    for (size_t start = 0; start <= list.len;) {
        struct str rest = str_slice(list, start, list.len);
        size_t comma = str_find(rest, ',');
        struct str item = str_trim(str_slice(rest, 0, comma));
        if (is_weak_enough && str_starts_with(item, STR("W/")))
            item = str_slice(item, 2, item.len);
        if (str_equal(item, STR("*")) || str_equal(item, str_of(etag)))
            return true;
        start += comma + 1;
    }
    return false;
}

/* The date in that header; -1 without one that can be read, which is then ignored. */
static int64_t date_in(const struct download *d, enum kept which)
{
    const struct str *value = kept_header(d, which);

    return value == NULL ? -1 : http_head_parse_date(*value);
}

/* 412 or 304 when a condition says so, else 0 (RFC 9110 §13.2.2): tags count more than dates. */
static int judge_conditions(const struct download *d)
{
    const struct str *match = kept_header(d, IF_MATCH);
    const struct str *none_match = kept_header(d, IF_NONE_MATCH);
    int64_t unmodified_ms = date_in(d, IF_UNMODIFIED_SINCE);
    int64_t modified_ms = date_in(d, IF_MODIFIED_SINCE);

    if (match != NULL ? !lists_object_tag(*match, d->etag, false)
                      : unmodified_ms >= 0 && d->modified_ms > unmodified_ms)
        return 412;
    if (none_match != NULL ? lists_object_tag(*none_match, d->etag, true)
                           : modified_ms >= 0 && d->modified_ms <= modified_ms)
        return 304;
    return 0;
}

/* If-Range: the range is wanted only of this very object. */
static bool is_range_of_object(const struct download *d)
{
    const struct str *condition = kept_header(d, IF_RANGE);

    if (condition == NULL || str_equal(*condition, str_of(d->etag)))
        return true;
    return http_head_parse_date(*condition) == d->modified_ms;
}

static void choose_range(struct download *d)
{
    const struct str *range = kept_header(d, RANGE);
    int found = 0;

    d->status = 200;
    d->start = 0;
    d->end = d->size;
    if (range != NULL && is_range_of_object(d))
        found = http_head_parse_range(*range, d->size, &d->start, &d->end);
    if (found > 0)
        d->status = 206;
    else if (found < 0)
        d->status = 416;
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
    int condition;

    http_head_format_date(d->modified_ms, d->modified);
    condition = judge_conditions(d);
    choose_range(d);
    if (condition != 0)
        d->status = condition;
    if (d->status == 206)
        snprintf(d->range, sizeof d->range, "bytes %lld-%lld/%lld", (long long)d->start,
                 (long long)d->end - 1, (long long)d->size);
    else if (d->status == 416)
        snprintf(d->range, sizeof d->range, "bytes */%lld", (long long)d->size);
    headers[0] = (struct http_header){STR("ETag"), str_of(d->etag)};
    headers[1] = (struct http_header){STR("Last-Modified"), str_of(d->modified)};
    headers[2] = (struct http_header){STR("Accept-Ranges"), STR("bytes")};
    headers[3] = (struct http_header){STR("Content-Range"), str_of(d->range)};
    *a = (struct http_answer){.status = d->status,
                              .content_type = "application/octet-stream",
                              .headers = headers,
                              .header_count = d->range[0] == '\0' ? 3 : 4};
    if (d->status != 304 && d->status != 412 && d->status != 416)
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

static void keep_headers(struct download *d, const struct http_head *head)
{
    static const char *const names[KEPT_HEADERS] = {"If-Match",          "If-None-Match",
                                                    "If-Unmodified-Since", "If-Modified-Since",
                                                    "If-Range",          "Range"};
    size_t at = 0;

    for (int i = 0; i < KEPT_HEADERS; i++) {
        const struct str *value = http_head_get(head, names[i]);
        d->has[i] = value != NULL;
        if (value != NULL) {
            d->kept[i].len = value->len;
            buf_put(&d->texts, *value);
        }
    }
    for (int i = 0; i < KEPT_HEADERS && !d->texts.failed; i++) {
        d->kept[i].p = d->has[i] && d->kept[i].len > 0 ? d->texts.data + at : "";
        at += d->kept[i].len;
    }
}

/*
 * The reader of a whole object can tell whether it is damaged, but cannot tell us: so we read what
 * was not checked for long, too, while the kernel has it. A reader that believes no cache
 * (a browser's reload, a client that found a wrong hash) need not wait so long.
 */
static int64_t believed_s(const struct download *d, const struct http_head *head)
{
    const struct str *control = http_head_get(head, "Cache-Control");
    bool is_doubted = control != NULL && str_equal_nocase(str_trim(*control), STR("no-cache"));

    if (d->is_head || (d->has[RANGE] && !is_doubted))
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
    keep_headers(d, head);
    if (d->key.failed || d->texts.failed) {
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
