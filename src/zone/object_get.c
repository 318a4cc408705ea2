#include "zone/object_get.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proto/url.h"
#include "zone/bucket_answer.h"
#include "zone/hub_file.h"
#include "zone/retry.h"

enum { REPORT_MS = 5000 };

/*
 * Answers of the server to a request for the bytes from N on:
 *     206, the same object from N on ──► they are added
 *     206 of anything else           ──► never again a range: from zero
 *     200                            ──► from zero
 *     416                            ──► from zero
 *     403                            ──► a new URL, once; then as before
 */
struct getting {
    struct gateway *gateway;
    struct zone_call how;
    struct part *part;
    struct retry retry;
    struct gateway_file renewed; /* its URL replaces the first one */
    struct buf url;              /* of the next request: redirections are of one attempt */
    struct buf etag;             /* strong, of the object whose bytes are in the part; or empty */
    int64_t furthest;
    bool is_url_new;   /* the one before was refused, and this one is not proven */
    bool is_continued; /* the part is not of one answer */
    bool is_page;      /* the answer's Content-Type is HTML */
    bool is_at_host;   /* read from it by the hub, and not in the bucket */
    bool is_whole_only;
    /* of one request */
    int64_t from, until; /* the range that is asked for, and that is given */
    bool has_begun, is_other;
};

enum result {
    RESULT_DONE,
    RESULT_AGAIN,  /* at once */
    RESULT_FAILED, /* may be tried again if its error may pass */
    RESULT_OVER
};

/* Says that the range is not of what we have. */
static int other_object(struct getting *get, const char *what, struct err *e)
{
    get->is_other = true;
    return err_set(e, ERR_PROTOCOL, "the bucket answered 206 with %s", what);
}

static int begin_part(struct getting *get, const struct http_head *head, struct err *e)
{
    const struct str *range = http_head_get(head, "Content-Range");
    struct str etag = bucket_answer_strong_etag(head);
    int64_t start, total, size = get->part->target.size;

    if (get->from == 0)
        return err_set(e, ERR_PROTOCOL, "the bucket answered 206 with a part");
    if (range == NULL || !http_head_parse_content_range(*range, &start, &get->until, &total))
        return other_object(get, "no Content-Range", e);
    if (start != get->from)
        return other_object(get, "another range", e);
    if (size >= 0 && total >= 0 && total != size)
        return other_object(get, "a part of another size", e);
    if (etag.len > 0 && get->etag.len > 0 && !str_equal(etag, buf_str(&get->etag)))
        return other_object(get, "a part of another object", e);
    get->is_continued = true;
    return part_announce(get->part, total, e);
}

/* The head is here, and the body begins. */
static int begin_object_answer(struct getting *get, const struct http_head *head, struct err *e)
{
    get->has_begun = true;
    get->is_url_new = false;
    if (head->status == 206)
        return begin_part(get, head, e);
    get->is_page = http_head_is_content_type(head, "text/html");
    if (bucket_answer_check_page(head, get->part->target.size, get->part->bytes > 0, e) != 0)
        return -1;
    buf_clear(&get->etag);
    buf_put(&get->etag, bucket_answer_strong_etag(head));
    get->is_continued = false;
    if (part_announce(get->part, head->framing == HTTP_BODY_LENGTH ? head->content_length : -1,
                      e) != 0)
        return -1;
    if (get->part->bytes > 0 && part_restart(get->part, e) != 0)
        return -1;
    return get->part->target.size < 0 ? part_check_room(get->part, e) : 0;
}

static int take_object_chunk(void *ctx, const struct http_head *head, struct str chunk,
                             struct err *e)
{
    struct getting *get = ctx;

    if (!get->has_begun && begin_object_answer(get, head, e) != 0)
        return -1;
    return part_add(get->part, chunk, e);
}

/* Sends one GET for the missing bytes. NULL on error. */
static struct http_call *ask_bucket_for_object(struct getting *get, struct err *e)
{
    struct http_header headers[2] = {{STR("Range"), {NULL, 0}},
                                     {STR("If-Range"), buf_str(&get->etag)}};
    struct buf range = {0};
    struct http_call_options options = {
        .method = STR("GET"),
        .url = buf_str(&get->url),
        .headers = headers,
        .max_answer_bytes = BUCKET_MAX_REFUSAL_BYTES,
        .deadline_ms = CLOCK_NEVER_MS,
        .stall_ms = get->gateway->patience.stall_ms,
        .sink = take_object_chunk,
        .ctx = get,
    };
    struct http_call *call = NULL;

    get->has_begun = get->is_other = false;
    get->from = get->part->bytes;
    get->until = -1;
    if (get->from > 0) {
        buf_printf(&range, "bytes=%lld-", (long long)get->from);
        headers[0].value = buf_str(&range);
        options.header_count = get->etag.len > 0 ? 2 : 1;
    }
    if (buf_check(&range, e) == 0 && buf_check(&get->etag, e) == 0)
        call = retry_call(get->gateway->http, &options, &get->how.watch, NULL, e);
    buf_free(&range);
    return call;
}

/* Asks, and follows redirections. The answer is another one, or NULL. */
static struct http_call *ask_for_whole_object(struct getting *get, struct err *e)
{
    for (int hops = 0;; hops++) {
        struct http_call *call = ask_bucket_for_object(get, e);
        const struct http_head *head = call == NULL ? NULL : http_call_head(call);
        const struct str *location = head == NULL ? NULL : http_head_redirection(head);
        if (location == NULL)
            return call;
        int result = hops < OBJECT_GET_MAX_REDIRECTS
                         ? bucket_answer_follow(&get->url, head, *location, e)
                         : err_set(e, ERR_REFUSED, "the bucket redirects more than %d times",
                                   OBJECT_GET_MAX_REDIRECTS);
        http_call_free(call);
        if (result != 0)
            return NULL;
    }
}

/* The URL has expired: another one. */
static enum result renew_object_url(struct getting *get, struct err *e)
{
    struct gateway_file file = {0};

    if (gateway_find_file(get->gateway, &get->how, get->part->transfer->uri.hash, &file, e) != 0)
        return RESULT_OVER;
    gateway_file_deinit(&get->renewed);
    get->renewed = file;
    get->is_url_new = true;
    if (!file.is_found)
        err_set(e, ERR_NOT_FOUND, "the zone does not have it any more");
    else if (file.url == NULL)
        err_set(e, ERR_PROTOCOL, "the zone gave no URL to download from");
    return file.is_found && file.url != NULL ? RESULT_AGAIN : RESULT_OVER;
}

static enum result restart_part(struct getting *get, struct err *e)
{
    get->is_continued = false;
    buf_clear(&get->etag);
    return part_restart(get->part, e) == 0 ? RESULT_AGAIN : RESULT_OVER;
}

/* An answer other than 200 and 206. */
static enum result take_object_refusal(struct getting *get, const struct http_call *call,
                                       struct err *e)
{
    int status = http_call_head(call)->status;

    bucket_answer_refusal(call, e);
    if (status == 403)
        return get->is_url_new ? RESULT_OVER : renew_object_url(get, e);
    get->is_url_new = false;
    if (status == 416 && get->from > 0)
        return restart_part(get, e);
    return RESULT_FAILED;
}

/* Decides what follows when all of an answer with bytes is here. */
static enum result take_object_end(struct getting *get, const struct http_head *head, struct err *e)
{
    const struct part *part = get->part;

    if (!get->has_begun && begin_object_answer(get, head, e) != 0) /* there was not one byte */
        return get->is_other ? restart_part(get, e) : RESULT_OVER;
    if (head->status == 206 && part->bytes != get->until) {
        get->is_whole_only = true;
        return restart_part(get, e);
    }
    if (part->bytes >= part->target.size)
        return RESULT_DONE;
    if (head->status == 206)
        return RESULT_AGAIN;
    if (head->framing != HTTP_BODY_UNTIL_CLOSE)
        return RESULT_DONE; /* then this is not the object */
    err_set(e, ERR_NETWORK, "the bucket closed the connection after %lld of %lld bytes",
            (long long)part->bytes, (long long)part->target.size);
    return RESULT_FAILED;
}

static enum result attempt_object(struct getting *get, const struct gateway_file *file,
                                  struct err *e)
{
    const struct gateway_file *source = get->renewed.url != NULL ? &get->renewed : file;
    enum result result;

    if (get->is_whole_only && get->part->bytes > 0 && restart_part(get, e) != RESULT_AGAIN)
        return RESULT_OVER;
    buf_wipe(&get->url);
    buf_puts(&get->url, source->url);
    if (buf_check(&get->url, e) != 0)
        return RESULT_OVER;
    int64_t asked_ms = clock_now_ms();
    struct http_call *call = ask_for_whole_object(get, e);
    if (call == NULL && get->is_other) {
        get->is_whole_only = true;
        return RESULT_AGAIN;
    }
    if (call == NULL) {
        get->is_url_new = false;
        return get->is_at_host && !get->has_begun && hub_file_has_given_up(get->gateway, asked_ms)
                   ? RESULT_OVER
                   : RESULT_FAILED;
    }
    retry_note_answer(&get->retry, http_call_head(call));
    if (http_call_head(call)->status == 200 || http_call_head(call)->status == 206)
        result = take_object_end(get, http_call_head(call), e);
    else
        result = take_object_refusal(get, call, e);
    http_call_free(call);
    return result;
}

/* Attempts until all bytes are there, right or wrong. */
static int get_whole_object(struct getting *get, const struct gateway_file *file, struct err *e)
{
    struct part *part = get->part;
    enum result result = RESULT_AGAIN;

    if (part->bytes > 0 && part->bytes == part->target.size && !get->is_whole_only)
        return 0; /* an earlier run was interrupted just before the end */
    while (result == RESULT_AGAIN) {
        result = attempt_object(get, file, e);
        if (part->bytes > get->furthest)
            retry_got_further(&get->retry);
        if (part->bytes > get->furthest)
            get->furthest = part->bytes;
        if (result == RESULT_FAILED && retry_again(&get->retry, e) == 0)
            result = RESULT_AGAIN;
    }
    return result == RESULT_DONE ? 0 : -1;
}

/* Did it go wrong because of bytes that came at another time? */
static bool may_be_older(const struct getting *get, const struct err *e)
{
    return e->code == ERR_CHANGED && get->is_continued && !get->is_whole_only;
}

static int drop_chunk(void *ctx, const struct http_head *head, struct str chunk, struct err *e)
{
    (void)ctx;
    (void)head;
    (void)chunk;
    return err_set(e, ERR_FAILED, "enough");
}

/*
 * A server of ours reads an object again soon when a reader believes no cache: for that, one byte
 * is asked for. Nothing follows from the answer. A bucket that we do not know is not asked.
 */
static bool report_damage(const struct getting *get)
{
    const struct http_header headers[] = {{STR("Range"), STR("bytes=0-0")},
                                          {STR("Cache-Control"), STR("no-cache")}};
    struct gateway *g = get->gateway;
    const struct http_call_options options = {.method = STR("GET"),
                                              .url = buf_str(&get->url),
                                              .headers = headers,
                                              .header_count = 2,
                                              .max_answer_bytes = BUCKET_MAX_REFUSAL_BYTES,
                                              .deadline_ms = clock_now_ms() + REPORT_MS,
                                              .stall_ms = REPORT_MS,
                                              .sink = drop_chunk};

    if (g->extensions.len == 0 || get->url.len == 0 || get->is_page)
        return false;
    http_call_free(retry_call(g->http, &options, &get->how.watch, NULL, ERR_IGNORED));
    return true;
}

static void explain_damage(const struct getting *get, struct err *e)
{
    const struct err told = *e;

    if (get->is_page)
        err_wrap(e, HTTP_ANSWER_LOG_IN " What came is HTML");
    else if (get->is_at_host)
        err_set(e, told.code, "%s: the host's manifest is of another file: there, `unlink` and "
                "`link` this one again", told.msg);
    else if (report_damage(get))
        err_set(e, told.code,
                "%s: the zone's copy seems to be damaged. Its server was asked to check that; then "
                "the next upload of the file replaces it, and another try may succeed", told.msg);
}

static int check_part(struct part *part, struct err *e)
{
    char hash[SHA1_HEX + 1];

    if (part_is_right(part, hash))
        return 0;
    return err_set(e, ERR_CHANGED, "wrong content: %lld bytes with the SHA-1 %s",
                   (long long)part->bytes, hash);
}

int object_get(struct gateway *g, const struct zone_call *how, const struct gateway_file *file,
               struct part *part, struct err *e)
{
    struct getting get = {
        .gateway = g,
        .how = zone_call_working(how),
        .part = part,
        .furthest = part->bytes,
        .is_continued = part->bytes > 0,
        .is_at_host = hub_file_is_at_host(g, file)};
    struct err why = {0};
    int result;

    if (file->url == NULL)
        return err_set(e, ERR_PROTOCOL, "the zone gave no URL to download from");
    part_note_resumed(part, &how->watch);
    retry_init(&get.retry, &g->patience, &get.how.watch, CLOCK_NEVER_MS);
    do {
        if (why.code == ERR_CHANGED)
            get.is_whole_only = true; /* the second time: all of it, in one piece */
        result = get_whole_object(&get, file, &why);
        if (result == 0)
            result = check_part(part, &why);
    } while (result != 0 && may_be_older(&get, &why));
    if (result != 0 && why.code == ERR_CHANGED)
        part->is_spoilt = true;
    if (result != 0 && why.code == ERR_CHANGED)
        explain_damage(&get, &why);
    if (result != 0)
        err_copy(e, &why);
    gateway_file_deinit(&get.renewed);
    buf_wipe(&get.url);
    buf_free(&get.etag);
    return result;
}
