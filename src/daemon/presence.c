#include "daemon/presence.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sha1.h"
#include "http/http_client.h"
#include "proto/message.h"
#include "proto/url.h"

/* The wait of the daemon (that is, of ourselves), of the proxy, and of the whole call. */
enum { DAEMON_MS = 5000, PROXY_MS = 10000, CALL_MS = 30000, ENOUGH = 2 };

struct presence {
    const struct config *config;
    const struct intervals *intervals;
    struct loop_wake wake;
    struct loop_timer alarm;
    bool is_generation2;
    int64_t next_ms;         /* the alarm's; CLOCK_NEVER_MS: not started, or a call is under way */
    unsigned denials;
    enum presence_state state;
    struct http_client *http; /* of the call under way: no connection is kept */
    struct http_call *call;
    struct buf body;
};

struct presence *presence_new(const struct config *config, const struct intervals *intervals,
                              const struct loop_wake *wake)
{
    struct presence *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    *p = (struct presence){
        .config = config, .intervals = intervals, .wake = *wake, .next_ms = CLOCK_NEVER_MS};
    p->alarm = (struct loop_timer){.call = wake->call, .owner = wake->owner};
    return p;
}

static void set_presence_alarm(struct presence *p, int64_t at_ms)
{
    p->next_ms = at_ms;
    loop_set_timer(p->wake.loop, &p->alarm, at_ms);
}

static void end_call(struct presence *p)
{
    http_call_free(p->call);
    http_client_free(p->http);
    p->call = NULL;
    p->http = NULL;
}

void presence_free(struct presence *p)
{
    if (p == NULL)
        return;
    end_call(p);
    set_presence_alarm(p, CLOCK_NEVER_MS);
    buf_free(&p->body);
    free(p);
}

void presence_start(struct presence *p, bool is_generation2, int64_t now_ms)
{
    presence_stop(p);
    p->is_generation2 = is_generation2;
    set_presence_alarm(p, now_ms + p->intervals->presence_first_ms);
}

void presence_stop(struct presence *p)
{
    end_call(p);
    set_presence_alarm(p, CLOCK_NEVER_MS);
    p->denials = 0;
    p->state = PRESENCE_UNKNOWN;
}

/* Writes a request for a random hash, which is of no file. */
static void put_body(struct presence *p)
{
    char uri[sizeof "sha1://" + SHA1_HEX] = "sha1://";
    struct message_request request = {.resource_name = str_of(p->config->values[CONFIG_NAME]),
                                      .zone = str_of(p->config->values[CONFIG_ZONE]),
                                      .is_generation2 = p->is_generation2,
                                      .timeout_ms = PROXY_MS,
                                      .request_timeout_ms = DAEMON_MS};

    random_hex(uri + sizeof "sha1://" - 1, SHA1_HEX);
    request.uri = str_of(uri);
    buf_clear(&p->body);
    message_put_request(&p->body, &request);
}

/* <proxy>/r/<name>, or the first generation's <proxy>/api. */
static void put_presence_url(const struct presence *p, struct buf *out)
{
    struct url url;

    if (url_parse(&url, str_of(p->config->values[CONFIG_PROXY]), ERR_IGNORED) != 0)
        return;
    url_put_http(out, &url);
    if (p->is_generation2)
        buf_printf(out, "/r/%s", p->config->values[CONFIG_NAME]);
    else
        buf_puts(out, "/api");
}

static int begin_call(struct presence *p, int64_t now_ms, struct err *e)
{
    const struct http_header header = {STR("Content-Type"), STR("application/json")};
    struct buf url = {0};

    put_body(p);
    put_presence_url(p, &url);
    p->http = http_client_new(p->wake.loop, e);
    if (p->http != NULL && !url.failed && !p->body.failed)
        p->call = http_call_new(p->http,
                                &(struct http_call_options){.method = STR("POST"),
                                                            .url = buf_str(&url),
                                                            .headers = &header,
                                                            .header_count = 1,
                                                            .body = buf_str(&p->body),
                                                            .deadline_ms = now_ms + CALL_MS},
                                p->wake.call, p->wake.owner, e);
    else
        err_set(e, ERR_FAILED, "out of memory");
    buf_free(&url);
    return p->call == NULL ? -1 : 0;
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

static void take_presence_answer(struct presence *p)
{
    int status = http_call_head(p->call)->status;

    if (is_denial(p->call))
        p->denials++;
    else
        p->denials = 0;
    if (p->denials >= ENOUGH)
        p->state = PRESENCE_FORGOTTEN;
    else if (status == 200)
        p->state = PRESENCE_KNOWN;
    else
        log_line(LOG_DEBUG, "asked the proxy for this resource: status %d", status);
}

enum presence_state presence_step(struct presence *p, int64_t now_ms)
{
    struct err e = {0};
    enum io io = IO_ERR;

    if (p->next_ms != CLOCK_NEVER_MS && now_ms >= p->next_ms) {
        set_presence_alarm(p, CLOCK_NEVER_MS);
        if (begin_call(p, now_ms, &e) == 0)
            io = IO_DONE;
    } else if (p->call == NULL) {
        return p->state;
    }
    if (p->call != NULL)
        io = http_call_step(p->call, now_ms, &e);
    if (io == IO_WANT_READ || io == IO_WANT_WRITE)
        return p->state;
    if (io == IO_DONE)
        take_presence_answer(p);
    else
        log_line(LOG_DEBUG, "cannot ask the proxy for this resource: %s", e.msg);
    end_call(p);
    set_presence_alarm(
        p, now_ms + (p->denials > 0 ? p->intervals->presence_first_ms : p->intervals->presence_ms));
    return p->state;
}
