#include "zone/resource.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/fs.h"
#include "base/setting.h"
#include "proto/kachery_uri.h"
#include "proto/url.h"
#include "proto/gateway_message.h"
#include "zone/retry.h"

enum {
    /* The proxy's time beyond the daemon's, and our time beyond the proxy's (PROTOCOL.md §4). */
    RESOURCE_PROXY_GRACE_MS = 5000,
    RESOURCE_CLIENT_GRACE_MS = 10000,
    /* An answer that is sent at the deadline of all is still received. */
    RESOURCE_LAST_GRACE_MS = 1000,
    RESOURCE_MAX_REASON_BYTES = 200,
    /* Between two questions, also when a daemon answers "running" at once. */
    RESOURCE_MIN_INTERVAL_MS = 1000,
    /* A resource that was there may be gone for so long: its line may be down, and a login node may
     * suspend its processes for ten minutes. */
    RESOURCE_PATIENCE_MS = 900000,
    /* A proxy refuses a name that it does not know sooner. */
    RESOURCE_HELD_MS = 1000
};

static int refuse_resource_url(const char *where, struct err *e)
{
    return err_set(e, ERR_USAGE,
                   "resource \"%s\": want its URL http(s)://proxy/r/NAME, or a NAME of the zone",
                   where);
}

/* Finds the URL of the API from <proxy>/r/<name>, which r->url has now. Returns false without
 * memory. */
static bool find_api_url(struct resource *r)
{
    struct str url = str_of(r->url), name = str_of(r->name);
    struct buf api = {0};

    url.len -= name.len;
    if (!str_ends_with(url, STR("/r/")))
        return true;
    buf_put(&api, str_slice(url, 0, url.len - STR("r/").len));
    buf_puts(&api, "api");
    r->api_url = buf_take(&api);
    return r->api_url != NULL;
}

/* <proxy>/r/<name>: what follows the last '/' is the name. */
static int init_from_url(struct resource *r, const char *where, struct err *e)
{
    struct str text = str_of(where), name;
    struct buf http = {0};
    struct url url;

    while (str_ends_with(text, STR("/")))
        text.len--;
    if (url_parse(&url, text, e) != 0)
        return -1;
    name = url.path;
    while (str_find(name, '/') < name.len)
        name = str_slice(name, str_find(name, '/') + 1, name.len);
    if (url.has_query || !kachery_uri_is_name(name))
        return refuse_resource_url(where, e);
    url_put_http(&http, &url); /* old configurations have ws:// */
    r->url = buf_take(&http);
    r->name = strndup(name.p, name.len);
    return 0;
}

static int init_from_name(struct resource *r, struct gateway *g, const struct zone_call *how,
                          const char *name, struct err *e)
{
    struct buf url = {0}, http = {0};
    char *proxy_url = NULL;
    struct url parsed;
    int result = -1;

    if (!kachery_uri_is_name(str_of(name)))
        return refuse_resource_url(name, e);
    if (gateway_resource_url(g, how, name, &proxy_url, e) != 0)
        return -1;
    buf_printf(&url, "%s/r/%s", proxy_url, name);
    if (buf_check(&url, e) != 0)
        goto out;
    if (url_parse(&parsed, buf_str(&url), e) != 0) {
        err_wrap(e, "the zone's proxy URL of resource \"%s\"", name);
        goto out;
    }
    url_put_http(&http, &parsed);
    r->url = buf_take(&http);
    r->name = strdup(name);
    result = 0;
out:
    free(proxy_url);
    buf_free(&url);
    return result;
}

int resource_init(struct resource *r, struct gateway *g, const struct zone_call *how,
                  const char *where, struct err *e)
{
    struct resource made = {0};
    int result;

    if (where == NULL)
        where = env_get("KACHERY_RESOURCE_URL");
    if (where != NULL && setting_check_text("the resource", str_of(where), e) != 0)
        return -1;
    if (where == NULL)
        return err_set(e, ERR_NOT_FOUND,
                       "no resource to ask: set KACHERY_RESOURCE_URL or give --resource");
    if (strstr(where, "://") != NULL)
        result = init_from_url(&made, where, e);
    else
        result = init_from_name(&made, g, how, where, e);
    if (result != 0)
        return -1;
    made.zone = strdup(g->zone);
    if (made.url == NULL || made.name == NULL || made.zone == NULL || !find_api_url(&made)) {
        resource_deinit(&made);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    *r = made;
    return 0;
}

void resource_deinit(struct resource *r)
{
    free(r->url);
    free(r->api_url);
    free(r->name);
    free(r->zone);
    *r = (struct resource){0};
}

/* Appends the proxy's {"message": …}; false when the answer is no such object. */
static bool put_proxy_message(struct buf *out, struct str body)
{
    struct json *answer = json_parse(body, JSON_STRICT, ERR_IGNORED);
    struct str text;
    bool is_found = message_read_refusal(answer, &text);

    if (is_found)
        fs_put_printable(out, str_cut(text, RESOURCE_MAX_REASON_BYTES));
    json_free(answer);
    return is_found;
}

/* Appends the reason why a daemon failed; often that is its gateway's answer. */
static void put_daemon_reason(struct buf *out, struct str reason)
{
    fs_put_printable(out, str_cut(reason, RESOURCE_MAX_REASON_BYTES));
    gateway_message_put_advice(out, reason, true);
}

static struct http_reply reply_of_call(const struct http_call *call)
{
    return http_call_answer(call, "resource proxy", "the resource's URL");
}

/* Sets the error for an answer other than 200. */
static int refuse_proxy_answer(const struct resource *r, const struct http_call *call,
                               struct err *e)
{
    const struct http_reply answer = reply_of_call(call);
    int status = http_call_head(call)->status;
    struct buf reason = {0};
    bool is_proxy = put_proxy_message(&reason, http_call_body(call));

    if (!is_proxy && http_answer_explain(&answer, e))
        return err_wrap(e, "%s", r->url);
    if (status == 504)
        err_set(e, ERR_TIMEOUT, "resource \"%s\" did not answer in time", r->name);
    else if (status == 404 && is_proxy)
        err_set(e, ERR_NOT_FOUND, "resource \"%s\" is not connected to its proxy", r->name);
    else if (status == 404)
        err_set(e, ERR_REFUSED, "%s: no resource proxy there (404 Not Found)", r->url);
    else
        err_set(e, status == 502 || status == 503 || status == 429 ? ERR_NETWORK : ERR_REFUSED,
                "resource \"%s\": the proxy answered %d %s%s%s", r->name, status,
                http_head_reason(status), is_proxy ? ": " : "", buf_cstr(&reason));
    buf_free(&reason);
    return is_proxy ? -1 : http_answer_name_proxy(&answer, e);
}

static int read_upload_answer(const struct resource *r, const struct http_call *call,
                              struct upload_status *out, struct buf *text, struct err *e)
{
    const struct http_reply who = reply_of_call(call);
    struct message answer;
    int result = -1;

    if (message_parse_answer(&answer, who.body, e) != 0) {
        if (http_answer_explain(&who, e))
            return err_wrap(e, "%s", r->url);
        http_answer_name_proxy(&who, e);
        return err_wrap(e, "resource \"%s\": not a proxy's answer", r->name);
    }
    if (answer.error.len > 0) {
        struct buf reason = {0};
        put_daemon_reason(&reason, answer.error);
        err_set(e, ERR_REFUSED, "resource \"%s\": %s", r->name, buf_cstr(&reason));
        buf_free(&reason);
    } else if (!answer.has_status) {
        err_set(e, ERR_REFUSED, "resource \"%s\": failed without saying why", r->name);
    } else {
        buf_clear(text);
        if (answer.status.state == UPLOAD_ERROR && answer.status.error.len == 0)
            answer.status.error = STR("failed without saying why");
        put_daemon_reason(text, answer.status.error);
        result = buf_check(text, e);
    }
    if (result == 0) {
        *out = answer.status;
        out->error = buf_str(text);
    }
    message_deinit(&answer);
    return result;
}

/* The daemon has up to timeout_ms for it, its answer is waited for until deadline_ms. */
struct resource_question {
    struct http_client *http;
    const struct zone_watch *watch; /* asked meanwhile */
    const char *hash;
    int64_t timeout_ms, deadline_ms;
    struct retry *retry; /* gets the proxy's Retry-After; NULL: it is asked once */
    bool is_answered;    /* by the proxy, whatever it answered */
};

/* The daemon's time. One of generation 1 takes up to 10 s, whatever it is asked: to stop listening
 * before that would be to miss its answer. */
static int64_t wait_of(const struct resource *r, int64_t timeout_ms)
{
    if (r->is_generation1 && timeout_ms < MESSAGE_DEFAULT_TIMEOUT_MS)
        return MESSAGE_DEFAULT_TIMEOUT_MS;
    if (timeout_ms > MESSAGE_MAX_TIMEOUT_MS - RESOURCE_PROXY_GRACE_MS)
        return MESSAGE_MAX_TIMEOUT_MS - RESOURCE_PROXY_GRACE_MS;
    return timeout_ms;
}

/* Asks a proxy of the generation of r->is_generation1. NULL without an answer. */
static struct http_call *ask_proxy(const struct resource *r, const struct resource_question *q,
                                   struct err *e)
{
    const struct http_header type = {STR("Content-Type"), STR("application/json")};
    int64_t wait_ms = wait_of(r, q->timeout_ms);
    int64_t grace_ms = wait_ms + RESOURCE_CLIENT_GRACE_MS;
    struct buf uri = {0}, body = {0};
    struct http_call_options options = {
        .method = STR("POST"),
        .url = str_of(r->is_generation1 ? r->api_url : r->url),
        .headers = &type,
        .header_count = 1,
        .max_answer_bytes = MESSAGE_MAX_BODY_BYTES,
        .deadline_ms = clock_earlier(clock_now_ms() + grace_ms, q->deadline_ms),
        .stall_ms = grace_ms,
    };
    struct http_call *call = NULL;

    kachery_uri_put(&uri, q->hash, STR(""));
    message_put_request(&body, &(struct message_request){
                                   .resource_name = str_of(r->name),
                                   .zone = str_of(r->zone),
                                   .uri = buf_str(&uri),
                                   .is_generation2 = !r->is_generation1,
                                   .timeout_ms = wait_ms + RESOURCE_PROXY_GRACE_MS,
                                   .request_timeout_ms = wait_ms,
                               });
    options.body = buf_str(&body);
    if (buf_check(&uri, e) == 0 && buf_check(&body, e) == 0)
        call = retry_call(q->http, &options, q->watch, NULL, e);
    buf_free(&uri);
    buf_free(&body);
    return call;
}

/* A 404 that is no JSON: this proxy does not know the route of this generation. */
static bool lacks_route(const struct http_call *call)
{
    struct json *doc;

    if (call == NULL || http_call_head(call)->status != 404)
        return false;
    doc = json_parse(http_call_body(call), JSON_STRICT, ERR_IGNORED);
    json_free(doc);
    return doc == NULL;
}

/* Asks as what is known of the proxy's generation, and where that is wrong as the other one, which
 * is then remembered. */
static struct http_call *ask_either(struct resource *r, const struct resource_question *q,
                                    struct err *e)
{
    struct http_call *call = ask_proxy(r, q, e);

    if (r->api_url == NULL || !lacks_route(call))
        return call;
    http_call_free(call);
    r->is_generation1 = !r->is_generation1;
    return ask_proxy(r, q, e);
}

static int request_once(struct resource *r, struct resource_question *q,
                        struct upload_status *out, struct buf *text, struct err *e)
{
    struct http_call *call = ask_either(r, q, e);
    int result;

    q->is_answered = call != NULL;
    if (call == NULL)
        return -1;
    if (q->retry != NULL)
        retry_note_answer(q->retry, http_call_head(call));
    result = http_call_head(call)->status == 200 ? read_upload_answer(r, call, out, text, e)
                                                 : refuse_proxy_answer(r, call, e);
    http_call_free(call);
    return result;
}

/* Until the next question. */
static int pause_from(int64_t asked_ms, const struct resource_wait *wait, struct err *e)
{
    int64_t next_ms = clock_earlier(asked_ms + RESOURCE_MIN_INTERVAL_MS, wait->deadline_ms);

    return retry_wait(wait->watch, next_ms - clock_now_ms(), e);
}

int resource_request(struct resource *r, const struct gateway *g, const struct zone_watch *watch,
                     const char *hash, int64_t timeout_ms, struct upload_status *out,
                     struct buf *text, struct err *e)
{
    struct resource_question q = {g->http, watch, hash, timeout_ms, CLOCK_NEVER_MS, NULL, false};

    return request_once(r, &q, out, text, e);
}

static int64_t ask_time(const struct resource_wait *wait, int64_t now_ms)
{
    int64_t left = wait->deadline_ms - now_ms;

    if (wait->deadline_ms == CLOCK_NEVER_MS || left > wait->every_ms)
        return wait->every_ms;
    return left > 0 ? left : 0;
}

/* A failure that may pass: the proxy is away, or just back (as the gateway that was away, often on
 * the same host), and the daemon is not there yet. */
static int ask_again(struct retry *retry, bool was_there, struct err *failure)
{
    struct err passing;

    if (failure->code != ERR_NOT_FOUND || (!was_there && retry->attempts == 0))
        return retry_again(retry, failure);
    err_from(&passing, ERR_NETWORK, failure);
    return retry_again(retry, &passing) == 0 ? 0 : err_from(failure, ERR_NOT_FOUND, &passing);
}

static void be_patient(struct retry *retry, const struct resource_wait *wait, int64_t ms)
{
    retry_init(retry, &wait->gateway->patience, wait->watch,
               clock_earlier(clock_now_ms() + ms, wait->deadline_ms));
}

static bool is_wait_over(const struct resource_wait *wait)
{
    return wait->deadline_ms != CLOCK_NEVER_MS && clock_now_ms() >= wait->deadline_ms;
}

/* True when the question waited at the proxy, which knew the resource then. */
static bool was_held(const struct resource_question *q, int64_t asked_ms, const struct err *failure)
{
    return q->is_answered && (failure->code == ERR_NOT_FOUND || failure->code == ERR_TIMEOUT) &&
           clock_now_ms() - asked_ms >= RESOURCE_HELD_MS;
}

int resource_request_wait(struct resource *r, const char *hash, const struct resource_wait *wait,
                          struct upload_status *out, struct buf *text, struct err *e)
{
    int64_t last_ms = CLOCK_NEVER_MS;
    bool was_heard = false, was_there = false;
    struct err failure;
    struct retry retry;

    if (wait->deadline_ms != CLOCK_NEVER_MS)
        last_ms = wait->deadline_ms + RESOURCE_LAST_GRACE_MS;
    be_patient(&retry, wait, wait->gateway->patience.waiting_ms);
    for (;;) {
        int64_t asked_ms = clock_now_ms();
        struct resource_question q = {wait->gateway->http,       wait->watch, hash,
                                      ask_time(wait, asked_ms), last_ms,     &retry, false};
        if (request_once(r, &q, out, text, &failure) == 0) {
            was_heard = was_there = true;
            if (out->state != UPLOAD_QUEUED && out->state != UPLOAD_RUNNING)
                return 0;
            if (wait->on_status != NULL)
                wait->on_status(wait->ctx, out);
            if (pause_from(asked_ms, wait, e) != 0)
                return -1;
            be_patient(&retry, wait, RESOURCE_PATIENCE_MS);
            retry.is_known = true;
        } else {
            if (!was_there && was_held(&q, asked_ms, &failure)) {
                was_there = true;
                be_patient(&retry, wait, RESOURCE_PATIENCE_MS);
            }
            if (ask_again(&retry, was_there || wait->gateway->was_away, &failure) != 0) {
                if (was_heard && retry.until_ms == wait->deadline_ms && failure.code != ERR_REFUSED)
                    return 0;
                return err_copy(e, &failure);
            }
        }
        if (was_heard && is_wait_over(wait))
            return 0;
    }
}
