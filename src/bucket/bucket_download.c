/* GET and HEAD of an object or a range of it. An object never changes: its ETag is its hash. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sha1.h"
#include "bucket/bucket.h"
#include "bucket/check_asker.h"
#include "bucket/checked.h"

enum {
    MAX_HEADERS = 6,
    VALUE_BYTES = 96,
    BELIEVED_AGE_S = 7 * 86400, /* since an object was checked */
    DOUBTED_AGE_S = 600
};

struct download {
    int fd;
    int64_t size, start, end;
    int status;
    char etag[SHA1_HEX + 3];
    char modified[30];
    int64_t modified_ms;
    char range[VALUE_BYTES];
    struct stat st;
};

/* True when the field's list of entity tags has ours, or is "*". Weak ones are just as good where
 * the weak comparison is the one to be made (RFC 9110 §8.8.3.2). */
static bool has_etag(struct str list, const char *etag, bool is_weak_enough)
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
static int64_t date_in(const struct http_head *head, const char *name)
{
    const struct str *value = http_head_get(head, name);

    return value == NULL ? -1 : http_head_parse_date(*value);
}

/* 412 or 304 when a condition says so, else 0 (RFC 9110 §13.2.2): tags count more than dates. */
static int judge_conditions(const struct download *d, const struct http_head *head)
{
    const struct str *match = http_head_get(head, "If-Match");
    const struct str *none_match = http_head_get(head, "If-None-Match");
    int64_t unmodified_ms = date_in(head, "If-Unmodified-Since");
    int64_t modified_ms = date_in(head, "If-Modified-Since");

    if (match != NULL ? !has_etag(*match, d->etag, false)
                      : unmodified_ms >= 0 && d->modified_ms > unmodified_ms)
        return 412;
    if (none_match != NULL ? has_etag(*none_match, d->etag, true)
                           : modified_ms >= 0 && d->modified_ms <= modified_ms)
        return 304;
    return 0;
}

/* If-Range: the range is wanted only of this very object. */
static bool is_range_valid(const struct download *d, const struct http_head *head)
{
    const struct str *condition = http_head_get(head, "If-Range");

    if (condition == NULL || str_equal(*condition, str_of(d->etag)))
        return true;
    return http_head_parse_date(*condition) == d->modified_ms;
}

static void choose_range(struct download *d, const struct http_head *head)
{
    const struct str *range = http_head_get(head, "Range");
    int found = 0;

    d->status = 200;
    d->start = 0;
    d->end = d->size;
    if (range != NULL && is_range_valid(d, head))
        found = http_head_parse_range(*range, d->size, &d->start, &d->end);
    if (found > 0)
        d->status = 206;
    else if (found < 0)
        d->status = 416;
}

static int fail_to_open(struct err *e, int number)
{
    bool is_absent = number == ENOENT || number == ENOTDIR || number == ELOOP;

    return err_set(e, is_absent ? ERR_NOT_FOUND : ERR_FAILED, "%s", strerror(number));
}

/* One that is known to be damaged is as good as not there (ERR_NOT_FOUND). */
static int open_object(struct download *d, const struct site *site, struct str key, struct err *e)
{
    struct buf path = {0};
    const char *name;
    int judged = 0;

    site_put_object_path(site, key, &path);
    name = buf_path(&path, e);
    d->fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (name != NULL && d->fd < 0)
        fail_to_open(e, errno);
    buf_free(&path);
    if (d->fd < 0)
        return -1;
    if (fstat(d->fd, &d->st) != 0)
        judged = fail_to_open(e, errno);
    else if (!S_ISREG(d->st.st_mode) || (judged = checked_is_damaged(site, key, &d->st, e)) > 0)
        judged = fail_to_open(e, ENOENT);
    if (judged != 0) {
        close(d->fd);
        return -1;
    }
    d->size = (int64_t)d->st.st_size;
    d->modified_ms = (int64_t)d->st.st_mtim.tv_sec * 1000;
    http_head_format_date(d->modified_ms, d->modified);
    return 0;
}

static void answer(struct http_conn *conn, struct download *d)
{
    struct http_header headers[MAX_HEADERS] = {
        {STR("ETag"), str_of(d->etag)},
        {STR("Last-Modified"), str_of(d->modified)},
        {STR("Accept-Ranges"), STR("bytes")},
        {STR("Content-Range"), str_of(d->range)},
    };
    struct http_answer a = {.status = d->status,
                            .content_type = "application/octet-stream",
                            .headers = headers,
                            .header_count = d->range[0] == '\0' ? 3 : 4};

    if (d->status == 304 || d->status == 412 || d->status == 416) {
        close(d->fd);
        a.content_type = NULL;
        http_conn_answer(conn, &a);
    } else {
        http_conn_answer_file(conn, &a, d->fd, d->start, d->end - d->start);
    }
}

static void serve(struct http_conn *conn, const struct http_head *head, struct download *d)
{
    int condition = judge_conditions(d, head);

    choose_range(d, head);
    if (condition != 0)
        d->status = condition;
    if (d->status == 206)
        snprintf(d->range, sizeof d->range, "bytes %lld-%lld/%lld", (long long)d->start,
                 (long long)d->end - 1, (long long)d->size);
    else if (d->status == 416)
        snprintf(d->range, sizeof d->range, "bytes */%lld", (long long)d->size);
    answer(conn, d);
}

/*
 * The reader of a whole object can tell whether it is damaged, but cannot tell us: so we read what
 * was not checked for long, too, while the kernel has it. A reader that believes no cache
 * (a browser's reload, a client that found a wrong hash) need not wait so long.
 */
static bool wants_check(const struct download *d, const struct site *site, struct str key,
                        const struct http_head *head)
{
    const struct str *range = http_head_get(head, "Range");
    const struct str *control = http_head_get(head, "Cache-Control");
    int64_t checked_s = 0, age_s;
    bool is_doubted = control != NULL && str_equal_nocase(str_trim(*control), STR("no-cache"));

    if (site->asker == NULL || !str_equal(head->method, STR("GET")) ||
        (range != NULL && !is_doubted) ||
        checked_get(site, key, &d->st, &checked_s, NULL) == CHECKED_DAMAGED)
        return false;
    age_s = clock_wall_ms() / 1000 - checked_s;
    return age_s < 0 || age_s >= (is_doubted ? DOUBTED_AGE_S : BELIEVED_AGE_S);
}

static void ask_for_check(const struct site *site, struct str key, int64_t size)
{
    const struct check_request request = {STR("-"), size, key};

    check_asker_ask(site->asker, &request, NULL);
}

void bucket_download(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct site *site = owner;
    struct download d = {0};
    struct buf decoded = {0};
    struct signed_url url;
    struct str hash;
    struct err e = {0};

    if (bucket_check_url(site, conn, request, false, &url, &hash, &decoded)) {
        d.etag[0] = '"';
        memcpy(d.etag + 1, hash.p, SHA1_HEX);
        d.etag[1 + SHA1_HEX] = '"';
        if (open_object(&d, site, url.object_key, &e) == 0) {
            if (wants_check(&d, site, url.object_key, request->head))
                ask_for_check(site, url.object_key, d.size);
            serve(conn, request->head, &d);
        }
        else if (e.code != ERR_NOT_FOUND)
            bucket_answer_error(conn, 500, "InternalError", e.msg);
        else if (site_check(site, &e) != 0)
            bucket_answer_error(conn, 500, "InternalError", e.msg);
        else
            bucket_answer_error(conn, 404, "NoSuchKey", "The specified key does not exist.");
    }
    buf_free(&decoded);
}
