/* PUT of an object: streamed to the disk while it is hashed, visible when it is right. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "bucket/bucket.h"
#include "bucket/bucket_file.h"
#include "bucket/checked.h"

struct upload {
    struct bucket_file file;
    const struct site *site;
    struct buf key, path; /* of the object */
    char hash[SHA1_HEX + 1];
    int64_t started_ms;
};

static void release(struct upload *upload)
{
    bucket_file_discard(&upload->file);
    buf_free(&upload->key);
    buf_free(&upload->path);
    free(upload);
}

static void answer_failure(struct http_conn *conn, const char *hash, const struct err *e)
{
    log_line(LOG_WARN, "upload refused sha1=%s: %s", hash, e->msg);
    switch (e->code) {
    case ERR_TOO_LARGE: bucket_answer_error(conn, 507, "InsufficientStorage", e->msg); break;
    case ERR_PROTOCOL: bucket_answer_error(conn, 400, "IncompleteBody", e->msg); break;
    case ERR_CHANGED: bucket_answer_error(conn, 400, "BadDigest", e->msg); break;
    case ERR_TAKEN: bucket_answer_error(conn, 503, "SlowDown", e->msg); break;
    default: bucket_answer_error(conn, 500, "InternalError", e->msg);
    }
}

static void on_data(void *ctx, struct http_conn *conn, struct str data)
{
    struct upload *upload = ctx;
    struct err e = {0};

    if (bucket_file_write(&upload->file, data, &e) == 0)
        return;
    answer_failure(conn, upload->hash, &e);
    release(upload);
}

/* Whether the object is there, whole and right, as far as can be seen: else its bytes are taken. */
static bool is_there(struct upload *upload)
{
    const char *path = buf_path(&upload->path, NULL);
    struct stat st;

    return path != NULL && lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           (int64_t)st.st_size == upload->file.size &&
           checked_get(upload->site, buf_str(&upload->key), &st, NULL, NULL) == CHECKED_GOOD;
}

/* What was there while its bytes came may be gone by now. */
static int publish(struct upload *upload, struct err *e)
{
    bool is_dry = upload->file.is_dry;

    const char *path = buf_path(&upload->path, e);

    if (bucket_file_publish(&upload->file, path, str_of(upload->hash), e) != 0)
        return -1;
    if (is_dry)
        return is_there(upload) ? 0 : err_set(e, ERR_TAKEN, "the object went meanwhile: once more");
    checked_put(upload->site, buf_str(&upload->key), &upload->file.published, CHECKED_GOOD);
    log_line(LOG_INFO, "object stored sha1=%s bytes=%lld", upload->hash,
             (long long)upload->file.size);
    return 0;
}

static void on_end(void *ctx, struct http_conn *conn)
{
    struct upload *upload = ctx;
    struct http_header etag = {STR("ETag"), {NULL, 0}};
    char value[SHA1_HEX + 3];
    struct err e = {0};

    if (publish(upload, &e) != 0) {
        answer_failure(conn, upload->hash, &e);
    } else {
        snprintf(value, sizeof value, "\"%s\"", upload->hash);
        etag.value = str_of(value);
        http_conn_answer(conn,
                         &(struct http_answer){.status = 200, .headers = &etag, .header_count = 1});
    }
    release(upload);
}

static void on_gone(void *ctx)
{
    struct upload *upload = ctx;

    log_line(LOG_INFO, "upload cut sha1=%s bytes=%lld of=%lld", upload->hash,
             (long long)upload->file.written, (long long)upload->file.size);
    release(upload);
}

/* A place of the client's for this object; none for bytes that are there already. */
static int open_file(struct upload *upload, const struct signed_url *url, struct err *e)
{
    char id[SHA1_HEX + 1];
    struct buf name = {0};

    upload->file.size = url->size;
    if (is_there(upload)) {
        bucket_file_open_dry(&upload->file, url->size);
        return 0;
    }
    buf_printf(&name, "%.*s\n%.*s", STR_ARG(url->object_key), STR_ARG(url->client));
    checked_id(buf_str(&name), id);
    int result = buf_check(&name, e);
    buf_free(&name);
    if (result == 0)
        result = bucket_file_open_shared(&upload->file, upload->site, id, url->size, e);
    return result;
}

static void start(const struct site *site, struct http_conn *conn, const struct signed_url *url,
                  struct str hash)
{
    struct upload *upload = calloc(1, sizeof *upload);
    struct http_sink sink = {
        .on_data = on_data, .on_end = on_end, .on_gone = on_gone, .ctx = upload};
    struct err e = {0};

    if (upload == NULL) {
        bucket_answer_error(conn, 500, "InternalError", "out of memory");
        return;
    }
    for (size_t i = 0; i < hash.len; i++)
        upload->hash[i] = hash.p[i];
    upload->site = site;
    buf_put(&upload->key, url->object_key);
    site_put_object_path(site, url->object_key, &upload->path);
    if (buf_check(&upload->key, &e) != 0 || open_file(upload, url, &e) != 0) {
        answer_failure(conn, upload->hash, &e);
        release(upload);
        return;
    }
    http_conn_stream(conn, &sink);
}

void bucket_upload(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct http_head *head = request->head;
    struct buf decoded = {0};
    struct signed_url url;
    struct str hash;

    if (bucket_check_url(owner, conn, request, true, &url, &hash, &decoded)) {
        if (head->framing == HTTP_BODY_LENGTH && head->content_length != url.size)
            bucket_answer_error(conn, 400, "IncompleteBody",
                                "Content-Length is not the size that the URL was signed for.");
        else
            start(owner, conn, &url, hash);
    }
    buf_free(&decoded);
}
