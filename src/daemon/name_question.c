#include "daemon/name_question.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/json.h"
#include "base/random.h"
#include "base/sha1.h"
#include "http/http_answer.h"
#include "http/http_client.h"
#include "proto/message.h"
#include "proto/url.h"

/* The wait of the daemon (that is, of the other one or of ourselves), and of the proxy. */
enum { DAEMON_MS = 5000, PROXY_MS = 10000 };

struct name_question {
    const struct config *config;
    bool is_generation2;
    struct http_client *http; /* no connection is kept */
    struct http_call *call;
    struct buf body;
    char uri[sizeof "sha1://" + SHA1_HEX];
};

/* Writes a request for a hash that is of no file. */
static void put_question_body(struct name_question *q)
{
    struct message_request request = {.resource_name = str_of(q->config->values[CONFIG_NAME]),
                                      .zone = str_of(q->config->values[CONFIG_ZONE]),
                                      .is_generation2 = q->is_generation2,
                                      .timeout_ms = PROXY_MS,
                                      .request_timeout_ms = DAEMON_MS};

    memcpy(q->uri, "sha1://", sizeof "sha1://");
    random_hex(q->uri + sizeof "sha1://" - 1, SHA1_HEX);
    message_make_question(q->uri + sizeof "sha1://" - 1);
    request.uri = str_of(q->uri);
    buf_clear(&q->body);
    message_put_request(&q->body, &request);
}

/* <proxy>/r/<name>, or the first generation's <proxy>/api. */
static void put_question_url(const struct name_question *q, struct buf *out)
{
    struct url url;

    if (url_parse(&url, str_of(q->config->values[CONFIG_PROXY]), ERR_IGNORED) != 0)
        return;
    url_put_http(out, &url);
    if (q->is_generation2)
        buf_printf(out, "/r/%s", q->config->values[CONFIG_NAME]);
    else
        buf_puts(out, "/api");
}

static int begin_question(struct name_question *q, int64_t deadline_ms,
                          const struct loop_wake *wake, struct err *e)
{
    const struct http_header header = {STR("Content-Type"), STR("application/json")};
    struct buf url = {0};

    put_question_body(q);
    put_question_url(q, &url);
    q->http = http_client_new(wake->loop, e);
    if (q->http != NULL && !url.failed && !q->body.failed)
        q->call = http_call_new(q->http,
                                &(struct http_call_options){.method = STR("POST"),
                                                            .url = buf_str(&url),
                                                            .headers = &header,
                                                            .header_count = 1,
                                                            .body = buf_str(&q->body),
                                                            .deadline_ms = deadline_ms},
                                wake->call, wake->owner, e);
    else
        err_set(e, ERR_FAILED, "out of memory");
    buf_free(&url);
    return q->call == NULL ? -1 : 0;
}

struct name_question *name_question_new(const struct config *config, bool is_generation2,
                                        int64_t deadline_ms, const struct loop_wake *wake,
                                        struct err *e)
{
    struct name_question *q = calloc(1, sizeof *q);

    if (q == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    q->config = config;
    q->is_generation2 = is_generation2;
    if (begin_question(q, deadline_ms, wake, e) == 0)
        return q;
    name_question_free(q);
    return NULL;
}

void name_question_free(struct name_question *q)
{
    if (q == NULL)
        return;
    http_call_free(q->call);
    http_client_free(q->http);
    buf_free(&q->body);
    free(q);
}

/* A proxy denies in JSON; an HTML page is from a server that is no proxy of that generation. */
static bool is_denial(const struct http_call *call)
{
    struct json *doc;
    struct str message;

    if (http_call_head(call)->status != 404)
        return false;
    doc = json_parse(http_call_body(call), JSON_STRICT, ERR_IGNORED);
    bool is_worded = message_read_refusal(doc, &message);
    json_free(doc);
    return is_worded;
}

static bool is_response_of_daemon(const struct json *doc)
{
    static const struct field response_fields[] = {
        {.name = "type", .kind = FIELD_WORD, .word = "responseToClient"},
        {.kind = FIELD_OTHERS},
    };
    char unused;

    return fields_read(response_fields, doc, &unused, NULL, ERR_IGNORED) == 0;
}

/* Some web servers answer 200 to everything. */
static bool is_response(const struct http_call *call)
{
    struct json *doc;

    if (http_call_head(call)->status != 200)
        return false;
    doc = json_parse(http_call_body(call), JSON_STRICT, ERR_IGNORED);
    bool is_typed = is_response_of_daemon(doc);
    json_free(doc);
    return is_typed;
}

/* A gateway, say, whose URL stands in the place of the proxy's: an object with other members. */
static bool is_of_another_service(const struct http_call *call)
{
    struct json *doc = json_parse(http_call_body(call), JSON_STRICT, ERR_IGNORED);
    bool is_other = doc != NULL && json_first(doc) != NULL && !is_response_of_daemon(doc);

    json_free(doc);
    return is_other;
}

/* Servers that know nothing but WebSocket name it in their refusal, mostly with status 400. */
static bool names_websocket(struct str body)
{
    const struct str word = STR("websocket");

    for (size_t at = 0; at + word.len <= body.len; at++)
        if (str_equal_nocase(str_slice(body, at, at + word.len), word))
            return true;
    return false;
}

/* A log-in page of the network, or a web server where the proxy should be: dialling finds the same
 * and explains it. With another 5xx a front of the proxy gives up a daemon that does not answer. */
static bool is_of_no_proxy(const struct http_call *call)
{
    const struct http_reply reply = {.head = http_call_head(call), .body = http_call_body(call)};
    const int status = reply.head->status;

    return status == 511 || (status >= 300 && status < 400) ||
           (status < 500 && http_answer_is_page(&reply));
}

static bool is_unheard(const struct http_call *call)
{
    if (is_of_no_proxy(call))
        return true;
    switch (http_call_head(call)->status) {
    case 200: return is_of_another_service(call);
    case 405: /* Method Not Allowed */
    case 407: /* Proxy Authentication Required */
    case 426: /* Upgrade Required */
    case 501: /* Not Implemented */ return true;
    case 400: return names_websocket(http_call_body(call));
    default: return false;
    }
}

enum io name_question_step(struct name_question *q, int64_t now_ms, struct name_answer *answer,
                           struct err *e)
{
    enum io io = http_call_step(q->call, now_ms, e);

    if (io != IO_DONE)
        return io;
    const struct http_head *head = http_call_head(q->call);
    *answer = (struct name_answer){.status = head->status,
                                   .retry_after_ms =
                                       http_head_retry_after_ms(head, clock_wall_ms()),
                                   .is_denial = is_denial(q->call),
                                   .is_response = is_response(q->call),
                                   .is_unheard = is_unheard(q->call)};
    return IO_DONE;
}
