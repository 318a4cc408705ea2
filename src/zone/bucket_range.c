#include "zone/bucket_range.h"

#include "base/clock.h"
#include "zone/bucket_answer.h"
#include "zone/hub_file.h"
#include "zone/object_get.h"
#include "zone/part.h"
#include "zone/retry.h"

/*
 * Answers of the server to a request for the bytes from `at` on:
 *     206 from `at` or before ──► what lies before is skipped
 *     206 of anything else    ──► never again a range
 *     200                     ──► what lies before is skipped; behind the end it is hung up
 *     416                     ──► never again a range, if there should be bytes
 *     403                     ──► a new URL, once; then as before
 */
struct reading {
    struct gateway *gateway;
    struct zone_call how;
    const char *hash;
    const struct bucket_range *range;
    struct retry retry;
    struct gateway_file renewed; /* its URL replaces the first one */
    struct buf url;              /* of the next request */
    struct buf etag;             /* strong, of the object whose bytes were given; or empty */
    int64_t size;                /* of the object; -1: not known */
    int64_t at, end;             /* the sink's next byte; the range's end, -1: the object's */
    bool is_url_new;             /* the one before was refused, and this one is not proven */
    bool is_whole_only;
    bool is_at_host; /* read from it by the hub, and not in the bucket */
    /* of one request */
    int64_t here, until; /* the next byte of the body; the end of a 206's range, or -1 */
    bool has_begun, is_enough, is_other;
};

enum result { RESULT_DONE, RESULT_AGAIN, RESULT_FAILED, RESULT_OVER };

static int refuse_short_answer(const struct reading *r, struct err *e)
{
    return err_set(e, ERR_FAILED, "--start %lld: the file has %lld bytes",
                   (long long)r->range->start, (long long)r->size);
}

/* Takes the file's size from an answer; -1: it has none. */
static int take_total_size(struct reading *r, int64_t size, struct err *e)
{
    if (size < 0)
        return 0;
    if (r->size >= 0 && size != r->size)
        return err_set(e, ERR_CHANGED, "the bucket has an object of %lld bytes, want %lld",
                       (long long)size, (long long)r->size);
    r->size = size;
    if (r->range->start > size)
        return refuse_short_answer(r, e);
    if (r->end < 0 || r->end > size)
        r->end = size;
    return 0;
}

/* Bytes of two objects are never mixed. */
static int take_etag(struct reading *r, const struct http_head *head, struct err *e)
{
    struct str etag = bucket_answer_strong_etag(head);

    if (r->range->is_checked)
        return 0;
    if (etag.len > 0 && r->etag.len > 0 && !str_equal(etag, buf_str(&r->etag)))
        return err_set(e, ERR_CHANGED, "the bucket's object was replaced meanwhile");
    if (r->etag.len == 0)
        buf_put(&r->etag, etag);
    return buf_check(&r->etag, e);
}

/* Refuses an answer that is likely no part of the file, as the bytes themselves cannot be
 * checked. */
static int check_kind(const struct reading *r, const struct http_head *head, int64_t total,
                      struct err *e)
{
    const struct str *encoding = http_head_get(head, "Content-Encoding");

    if (r->size < 0 && head->status == 200 && http_head_is_content_type(head, "text/html"))
        return err_set(e, ERR_REFUSED, "instead of a part of the file " HTTP_ANSWER_LOG_IN);
    if (encoding == NULL || str_equal_nocase(str_trim(*encoding), STR("identity")) ||
        (total >= 0 && total == r->size))
        return 0;
    return err_set(e, ERR_PROTOCOL,
                   "the bucket sends it in Content-Encoding %.*s, of which no part can be taken",
                   STR_ARG(str_cut(*encoding, 20)));
}

static int begin_bucket_range(struct reading *r, const struct http_head *head, struct err *e)
{
    const struct str *range = http_head_get(head, "Content-Range");
    int64_t total = -1;

    r->has_begun = true;
    r->is_url_new = false;
    r->here = 0;
    r->until = -1;
    if (head->status == 206 &&
        (range == NULL || !http_head_parse_content_range(*range, &r->here, &r->until, &total) ||
         r->here > r->at || r->until <= r->at)) {
        r->is_other = true;
        return err_set(e, ERR_PROTOCOL, "the bucket answered 206 with another range");
    }
    if (bucket_answer_check_page(head, r->size, r->at > r->range->start, e) != 0)
        return -1;
    if (head->status == 200 && head->framing == HTTP_BODY_LENGTH)
        total = (int64_t)head->content_length;
    if (check_kind(r, head, total, e) != 0)
        return -1;
    return take_total_size(r, total, e) != 0 ? -1 : take_etag(r, head, e);
}

static void report_range_progress(const struct reading *r)
{
    const struct bucket_range *range = r->range;

    if (range->on_bytes != NULL)
        range->on_bytes(range->on_bytes_ctx, r->at - range->start,
                        r->end < 0 ? -1 : r->end - range->start);
}

static int take_range_chunk(void *ctx, const struct http_head *head, struct str chunk,
                            struct err *e)
{
    struct reading *r = ctx;
    int64_t skipped;

    if (!r->has_begun && begin_bucket_range(r, head, e) != 0)
        return -1;
    skipped = r->at - r->here < (int64_t)chunk.len ? r->at - r->here : (int64_t)chunk.len;
    r->here += (int64_t)chunk.len;
    if (r->size < 0 && r->until < 0 && r->here > PART_MAX_BYTES)
        return err_set(e, ERR_TOO_LARGE, "more than %lld bytes, and nobody said how many there are",
                       (long long)PART_MAX_BYTES);
    chunk = str_slice(chunk, (size_t)skipped, chunk.len);
    if (r->end >= 0 && (int64_t)chunk.len > r->end - r->at)
        chunk.len = (size_t)(r->end - r->at);
    if (chunk.len > 0 && r->range->sink(r->range->ctx, chunk, e) != 0)
        return -1;
    r->at += (int64_t)chunk.len;
    report_range_progress(r);
    /* Behind the end it is hung up; exactly at the end of a 206 the connection stays. */
    r->is_enough = r->end >= 0 && r->at >= r->end && r->here != r->until;
    return r->is_enough ? err_set(e, ERR_FAILED, "enough") : 0;
}

static struct http_call *ask_bucket_for_range(struct reading *r, struct err *e)
{
    struct http_header headers[2] = {{STR("Range"), {NULL, 0}},
                                     {STR("If-Range"), buf_str(&r->etag)}};
    struct buf range = {0};
    struct http_call_options options = {
        .method = STR("GET"),
        .url = buf_str(&r->url),
        .headers = headers,
        .max_answer_bytes = BUCKET_MAX_REFUSAL_BYTES,
        .deadline_ms = CLOCK_NEVER_MS,
        .stall_ms = r->gateway->patience.stall_ms,
        .sink = take_range_chunk,
        .ctx = r,
    };
    struct http_call *call = NULL;

    r->has_begun = r->is_enough = r->is_other = false;
    if (!r->is_whole_only) {
        buf_printf(&range, "bytes=%lld-", (long long)r->at);
        if (r->end >= 0)
            buf_printf(&range, "%lld", (long long)r->end - 1);
        headers[0].value = buf_str(&range);
        options.header_count = r->etag.len > 0 ? 2 : 1;
    }
    if (buf_check(&range, e) == 0)
        call = retry_call(r->gateway->http, &options, &r->how.watch, NULL, e);
    buf_free(&range);
    return call;
}

/* Asks, and follows redirections. */
static struct http_call *ask_for_range(struct reading *r, struct err *e)
{
    for (int hops = 0;; hops++) {
        struct http_call *call = ask_bucket_for_range(r, e);
        const struct http_head *head = call == NULL ? NULL : http_call_head(call);
        const struct str *location = head == NULL ? NULL : http_head_redirection(head);
        if (location == NULL)
            return call;
        int result = hops < OBJECT_GET_MAX_REDIRECTS
                         ? bucket_answer_follow(&r->url, head, *location, e)
                         : err_set(e, ERR_REFUSED, "the bucket redirects more than %d times",
                                   OBJECT_GET_MAX_REDIRECTS);
        http_call_free(call);
        if (result != 0)
            return NULL;
    }
}

/* Asks without Range from now on; once. */
static enum result retry_without_range(struct reading *r)
{
    if (r->is_whole_only)
        return RESULT_OVER;
    r->is_whole_only = true;
    return RESULT_AGAIN;
}

/* The URL has expired: another one. */
static enum result renew_range_url(struct reading *r, struct err *e)
{
    struct gateway_file file = {0};

    if (gateway_find_file(r->gateway, &r->how, r->hash, &file, e) != 0)
        return RESULT_OVER;
    gateway_file_deinit(&r->renewed);
    r->renewed = file;
    r->is_url_new = true;
    if (!file.is_found)
        err_set(e, ERR_NOT_FOUND, "the zone does not have it any more");
    else if (file.url == NULL)
        err_set(e, ERR_PROTOCOL, "the zone gave no URL to download from");
    return file.is_found && file.url != NULL ? RESULT_AGAIN : RESULT_OVER;
}

/* Returns the size in the Content-Range of a 416; -1 without. */
static int64_t size_of_416(const struct http_head *head)
{
    const struct str *range = http_head_get(head, "Content-Range");
    uint64_t size;

    if (range == NULL || !str_starts_with(*range, STR("bytes */")) ||
        !str_to_uint(str_slice(*range, STR("bytes */").len, range->len), INT64_MAX, &size))
        return -1;
    return (int64_t)size;
}

/* Whether the gateway may give another URL for the one that was refused. */
static bool is_expired(const struct reading *r, int status)
{
    return !r->range->keeps_url &&
           (status == 403 ||
            (status == 404 && r->is_at_host && hub_file_has_pass(buf_str(&r->url))));
}

/* An answer other than 200 and 206. */
static enum result take_range_refusal(struct reading *r, const struct http_call *call,
                                      struct err *e)
{
    const struct http_head *head = http_call_head(call);

    bucket_answer_refusal(call, e);
    if (is_expired(r, head->status))
        return r->is_url_new ? RESULT_OVER : renew_range_url(r, e);
    r->is_url_new = false;
    if (head->status != 416)
        return RESULT_FAILED;
    if (take_total_size(r, size_of_416(head), e) != 0)
        return RESULT_OVER;
    return r->end >= 0 && r->at >= r->end ? RESULT_DONE : retry_without_range(r);
}

/* Decides what follows when all of an answer with bytes is here. */
static enum result take_range_end(struct reading *r, const struct http_head *head, struct err *e)
{
    if (!r->has_begun && begin_bucket_range(r, head, e) != 0) /* there was not one byte */
        return r->is_other ? retry_without_range(r) : RESULT_OVER;
    if (head->status == 206) {
        if (r->end < 0 && r->here >= r->until)
            return RESULT_DONE; /* of what was asked for up to its end */
        if (r->end >= 0 && r->at >= r->end)
            return RESULT_DONE;
        if (r->here == r->until)
            return RESULT_AGAIN; /* less than was asked for */
        err_set(e, ERR_PROTOCOL, "the bucket answered 206 with less than it said");
        return retry_without_range(r);
    }
    if (head->framing != HTTP_BODY_UNTIL_CLOSE || r->size < 0)
        return take_total_size(r, r->here, e) == 0 ? RESULT_DONE : RESULT_OVER;
    if (r->at >= r->end)
        return RESULT_DONE;
    err_set(e, ERR_NETWORK, "the bucket closed the connection after %lld of %lld bytes",
            (long long)r->here, (long long)r->size);
    return RESULT_FAILED;
}

static enum result attempt_range(struct reading *r, const struct gateway_file *file, struct err *e)
{
    const struct gateway_file *source = r->renewed.url != NULL ? &r->renewed : file;
    enum result result;

    buf_wipe(&r->url);
    buf_puts(&r->url, source->url);
    if (buf_check(&r->url, e) != 0)
        return RESULT_OVER;
    int64_t asked_ms = clock_now_ms();
    struct http_call *call = ask_for_range(r, e);
    if (call == NULL && r->is_enough)
        return RESULT_DONE;
    if (call == NULL && r->is_other)
        return retry_without_range(r);
    if (call == NULL) {
        r->is_url_new = false;
        return r->is_at_host && !r->has_begun && hub_file_has_given_up(r->gateway, asked_ms)
                   ? RESULT_OVER
                   : RESULT_FAILED;
    }
    retry_note_answer(&r->retry, http_call_head(call));
    if (http_call_head(call)->status == 200 || http_call_head(call)->status == 206)
        result = take_range_end(r, http_call_head(call), e);
    else
        result = take_range_refusal(r, call, e);
    http_call_free(call);
    return result;
}

static int get_whole_range(struct reading *r, const struct gateway_file *file, struct err *e)
{
    enum result result = RESULT_AGAIN;

    while (result == RESULT_AGAIN) {
        int64_t before = r->at;
        result = attempt_range(r, file, e);
        if (r->at > before)
            retry_got_further(&r->retry);
        if (result == RESULT_FAILED && retry_again(&r->retry, e) == 0)
            result = RESULT_AGAIN;
    }
    return result == RESULT_DONE ? 0 : -1;
}

int bucket_range_get(struct gateway *g, const struct zone_call *how, const char *hash,
                     const struct gateway_file *file, const struct bucket_range *range,
                     struct err *e)
{
    struct reading r = {.gateway = g,
                        .how = zone_call_working(how),
                        .hash = hash,
                        .range = range,
                        .size = -1,
                        .at = range->start,
                        .end = range->end,
                        .is_at_host = hub_file_is_at_host(g, file)};
    struct err why = {0};
    int result;

    if (file->url == NULL)
        return err_set(e, ERR_PROTOCOL, "the zone gave no URL to download from");
    if (take_total_size(&r, file->size, e) != 0)
        return -1;
    if (r.end >= 0 && r.at >= r.end)
        return 0;
    retry_init(&r.retry, &g->patience, &r.how.watch, CLOCK_NEVER_MS);
    result = get_whole_range(&r, file, &why);
    if (result != 0)
        err_from(e, why.code == ERR_NOT_FOUND && r.at > range->start ? ERR_FAILED : why.code, &why);
    gateway_file_deinit(&r.renewed);
    buf_wipe(&r.url);
    buf_free(&r.etag);
    return result;
}
