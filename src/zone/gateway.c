#include "zone/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/secret.h"
#include "base/setting.h"
#include "proto/extensions.h"
#include "proto/kachery_uri.h"
#include "proto/url.h"
#include "proto/gateway_message.h"
#include "zone/retry.h"

const char *gateway_default_url(void)
{
    const char *url = env_get("KACHERY_GATEWAY_URL");

    return url != NULL ? url : "https://kachery-gateway.figurl.org";
}

static const char *default_zone(void)
{
    const char *zone = env_get("KACHERY_ZONE");

    return zone != NULL ? zone : "default";
}

/* The URL without trailing slashes, and taken apart. */
static int parse_default_url(struct str *text, struct url *url, struct err *e)
{
    struct err why = {0};

    *text = str_of(gateway_default_url());
    if (setting_check_text("KACHERY_GATEWAY_URL", *text, e) != 0)
        return -1;
    while (str_ends_with(*text, STR("/")))
        text->len--;
    if (url_parse(url, *text, &why) != 0) /* ERR_USAGE: as for an argument, which it is not */
        return err_set(e, ERR_FAILED, "KACHERY_GATEWAY_URL: %s", why.msg);
    if (url->has_query || url_is_websocket(url))
        return err_set(e, ERR_FAILED, "KACHERY_GATEWAY_URL \"%.*s\": want http(s)://host[:port]",
                       STR_ARG(*text));
    return 0;
}

int gateway_put_default_shown(struct buf *out, struct err *e)
{
    struct str text;
    struct url url;

    if (parse_default_url(&text, &url, e) != 0)
        return -1;
    url_put_redacted(out, &url);
    return buf_check(out, e);
}

int gateway_init(struct gateway *g, struct http_client *http, const char *zone, struct err *e)
{
    struct gateway made = {.http = http};
    struct buf shown = {0};
    const char *env_zone;
    struct str text;
    struct url url;

    if (parse_default_url(&text, &url, e) != 0 || setting_text("KACHERY_ZONE", &env_zone, e) != 0 ||
        patience_load(&made.patience, e) != 0)
        return -1;
    if (zone == NULL)
        zone = default_zone();
    if (!kachery_uri_is_name(str_of(zone)))
        return err_set(e, ERR_FAILED, "zone \"%s\": want letters, digits and . _ ~ -", zone);
    made.url = strndup(text.p, text.len);
    made.zone = strdup(zone);
    url_put_redacted(&shown, &url);
    made.shown = buf_take(&shown);
    if (made.url == NULL || made.zone == NULL || made.shown == NULL) {
        gateway_deinit(&made);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    *g = made;
    if (secret_add(g->identity.pair, sizeof g->identity.pair, e) == 0)
        return 0;
    gateway_deinit(g);
    return -1;
}

void gateway_deinit(struct gateway *g)
{
    free(g->url);
    free(g->shown);
    free(g->zone);
    secret_remove(g->identity.pair);
    identity_wipe(&g->identity);
    buf_free(&g->extensions);
    *g = (struct gateway){0};
}

bool gateway_has_answered(const struct gateway *g)
{
    return g->has_answered;
}

bool gateway_has_announced(const struct gateway *g, const char *name)
{
    return extensions_has(buf_str(&g->extensions), name);
}

/* The header has whole seconds: the half of one is its mean error. */
static void note_clock(struct gateway *g, const struct http_head *head)
{
    const struct str *date = http_head_get(head, "Date");
    int64_t there_ms = date == NULL ? -1 : http_head_parse_date(*date);

    if (there_ms < 0)
        return;
    g->has_clock = true;
    g->ahead_ms = clock_wall_ms() - (there_ms + 500);
}

/* An answer came. A gateway may announce other names when another version of it is started; an
 * answer that is not its own takes nothing back. */
static void note_answer(struct gateway *g, const struct http_head *head, bool is_its_own)
{
    if (extensions_read(head, &g->extensions))
        is_its_own = true;
    else if (is_its_own)
        buf_clear(&g->extensions);
    g->has_answered = g->has_answered || is_its_own;
    if (is_its_own)
        note_clock(g, head);
}

static int name_gateway(const struct gateway *g, struct err *e)
{
    return err_wrap(e, "%s", g->shown);
}

/* One signed POST, whatever the status of the answer. NULL on error. */
static struct http_call *post_payload(struct gateway *g, const struct zone_call *how,
                                      const struct gateway_payload *payload, struct err *e)
{
    const struct http_header type = {STR("Content-Type"), STR("application/json")};
    char signature[SIGNATURE_DIGITS + 1] = "";
    struct buf canonical = {0}, body = {0}, url = {0};
    struct http_call *call = NULL;

    gateway_message_put_payload(&canonical, payload, clock_wall_ms() + g->clock_offset_ms);
    if (g->identity.client_id[0] != '\0')
        signature_make(g->identity.pair, buf_str(&canonical), signature);
    gateway_message_put_request(&body, buf_str(&canonical), g->identity.client_id, signature);
    buf_printf(&url, "%s/api/gateway", g->url);
    if (buf_check(&canonical, e) == 0 && buf_check(&body, e) == 0 && buf_check(&url, e) == 0)
        call = retry_call(g->http,
                          &(struct http_call_options){
                              .method = STR("POST"),
                              .url = buf_str(&url),
                              .headers = &type,
                              .header_count = 1,
                              .body = buf_str(&body),
                              .max_answer_bytes = GATEWAY_MAX_ANSWER_BYTES,
                              .deadline_ms = clock_now_ms() + g->patience.call_ms,
                          },
                          &how->watch, NULL, e);
    buf_free(&canonical);
    buf_free(&body);
    buf_free(&url);
    return call;
}

void gateway_put_clock(const struct gateway *g, struct buf *out)
{
    int64_t behind_s = g->clock_offset_ms / 1000;

    if (behind_s != 0)
        buf_printf(out,
                   "this host's clock is %lld s %s that of %s: requests are signed by that one",
                   (long long)(behind_s < 0 ? -behind_s : behind_s),
                   behind_s < 0 ? "ahead of" : "behind", g->shown);
}

static void report_clock(const struct gateway *g, const struct zone_watch *watch)
{
    struct buf text = {0};

    gateway_put_clock(g, &text);
    if (watch->on_note != NULL && text.len > 0)
        watch->on_note(watch->ctx, buf_cstr(&text));
    buf_free(&text);
}

static bool is_too_far(int64_t offset_ms)
{
    return offset_ms > GATEWAY_MAX_CORRECTION_MS || offset_ms < -GATEWAY_MAX_CORRECTION_MS;
}

/* Takes the gateway's clock over when a 500 shows that ours may be why it refused. */
static bool adopt_clock(struct gateway *g, const struct zone_watch *watch,
                        const struct http_head *head)
{
    const struct str *date = http_head_get(head, "Date");
    int64_t skew;

    if (head->status != 500 || date == NULL)
        return false;
    skew = gateway_message_skew(http_head_parse_date(*date), clock_wall_ms() + g->clock_offset_ms);
    if (skew == 0 || is_too_far(g->clock_offset_ms + skew))
        return false;
    g->clock_offset_ms += skew;
    report_clock(g, watch);
    return true;
}

/* A 500 whose Date is too far from ours: the reason may be just that. */
static void blame_clock(const struct http_head *head, struct err *e)
{
    const struct str *date = http_head_get(head, "Date");
    int64_t there_ms = date == NULL ? -1 : http_head_parse_date(*date), here_ms = clock_wall_ms();
    char here[30], there[30];
    struct err why = *e;

    if (head->status != 500 || there_ms < 0 || !is_too_far(there_ms - here_ms))
        return;
    http_head_format_date(here_ms, here);
    http_head_format_date(there_ms, there);
    err_set(
        e, ERR_REFUSED,
        "%s (this host's clock says %s, the gateway's %s: requests are signed for at most a day "
        "of difference: set the clock that is wrong)",
        why.msg, here, there);
}

/* Sets the error for an answer that is not a gateway's: its sender and its text. */
static int refuse_gateway_answer(const struct http_call *call, struct err *e)
{
    const struct http_reply answer = http_call_answer(call, "gateway", "KACHERY_GATEWAY_URL");
    int status = http_call_head(call)->status;

    if (!gateway_message_is_refusal(status, answer.body) && http_answer_explain(&answer, e))
        return -1;
    gateway_message_refusal(status, answer.body, e);
    if (gateway_message_is_refusal(status, answer.body))
        return -1;
    return http_answer_name_proxy(&answer, e);
}

static struct json *parse_gateway_answer(const struct http_call *call, const char *type,
                                         struct err *e)
{
    const struct http_reply answer = http_call_answer(call, "gateway", "KACHERY_GATEWAY_URL");
    struct json *parsed = gateway_message_parse(answer.body, type, e);

    if (parsed == NULL && !http_answer_explain(&answer, e))
        http_answer_name_proxy(&answer, e);
    return parsed;
}

/* One question and its answer. A wrong clock is corrected once, however often it is asked. */
static struct json *ask_once(struct gateway *g, const struct zone_call *how,
                             const struct gateway_payload *payload, struct retry *retry,
                             bool *is_corrected, struct err *e)
{
    struct json *answer = NULL;
    struct http_call *call = post_payload(g, how, payload, e);

    if (call != NULL && !*is_corrected && adopt_clock(g, &how->watch, http_call_head(call))) {
        *is_corrected = true;
        http_call_free(call);
        call = post_payload(g, how, payload, e);
    }
    if (call == NULL)
        return NULL; /* the message names the URL already */
    retry_note_answer(retry, http_call_head(call));
    if (http_call_head(call)->status == 200)
        answer = parse_gateway_answer(call, payload->type, e);
    else if (refuse_gateway_answer(call, e) != 0)
        blame_clock(http_call_head(call), e);
    note_answer(g, http_call_head(call),
                answer != NULL || gateway_message_is_refusal(http_call_head(call)->status,
                                                             http_call_body(call)));
    http_call_free(call);
    if (answer == NULL)
        name_gateway(g, e);
    return answer;
}

static int64_t total_ms(const struct gateway *g, const struct zone_call *how)
{
    switch (how->patience) {
    case ZONE_ASKED: return g->patience.asking_ms;
    case ZONE_WAITED_FOR: return g->patience.waiting_ms;
    case ZONE_WORKING: break;
    }
    return g->patience.working_ms;
}

/* Asks, again and again for what may pass, and gives the parsed answer (caller frees), or NULL. */
static struct json *ask_gateway(struct gateway *g, const struct zone_call *how,
                                struct gateway_payload payload, struct err *e)
{
    bool is_corrected = false;
    struct json *answer;
    struct retry retry;
    struct err why = {0};

    payload.zone = g->zone;
    retry_init(&retry, &g->patience, &how->watch, clock_now_ms() + total_ms(g, how));
    retry.least = how->least > 0 ? how->least : g->patience.asking_least;
    retry.is_known = how->patience == ZONE_WORKING || retry.least > 1;
    do
        answer = ask_once(g, how, &payload, &retry, &is_corrected, &why);
    while (answer == NULL && retry_again(&retry, &why) == 0);
    if (answer == NULL)
        err_copy(e, &why);
    else if (retry.attempts > 0)
        g->was_away = true;
    return answer;
}

int gateway_check_zone(struct gateway *g, const struct zone_call *how, struct err *e)
{
    static const char nothing[] = "0000000000000000000000000000000000000000";
    const struct gateway_payload payload = {.type = "findFile", .hash = nothing, .size = -1};
    struct err why = {0};
    struct json *answer = ask_gateway(g, how, payload, &why);

    json_free(answer);
    if (answer != NULL || why.code != ERR_REFUSED ||
        gateway_message_is_about_client(str_of(why.msg)))
        return 0;
    return err_set(e, ERR_REFUSED, "zone \"%s\": %s", g->zone, why.msg);
}

/* Asks as ask_gateway, but looks into a refusal for want of registration: a gateway may also answer
 * it for a zone that it does not have. */
static struct json *ask_as_client(struct gateway *g, const struct zone_call *how,
                                  struct gateway_payload payload, struct err *e)
{
    struct json *answer = ask_gateway(g, how, payload, e);
    struct err zone;

    if (answer == NULL && e->code == ERR_REFUSED && strstr(e->msg, "not registered") != NULL &&
        gateway_check_zone(g, how, &zone) != 0)
        err_copy(e, &zone);
    return answer;
}

/* A URL of an answer, or NULL: by TLS if that is how the gateway is reached. A listener on the way
 * would see the signed URL, and many fronts do not accept plain HTTP at all. */
static int use_tls(struct gateway *g, const struct zone_call *how, char **url, struct err *e)
{
    struct buf secure = {0};
    int result = 0;

    if (*url != NULL && gateway_message_put_secure_url(str_of(*url), str_of(g->url), &secure)) {
        char *made = buf_take(&secure);
        result = made == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
        free(*url);
        *url = made;
        if (!g->has_warned && how->watch.on_warning != NULL) {
            struct err text;
            err_set(&text, ERR_NONE,
                    "%s gives http:// URLs of itself: it has to be started with --public-url %s "
                    "(https:// is used instead)",
                    g->shown, g->shown);
            how->watch.on_warning(how->watch.ctx, text.msg);
        }
        g->has_warned = true;
    }
    buf_free(&secure);
    return result;
}

int gateway_find_file(struct gateway *g, const struct zone_call *how, const char *hash,
                      struct gateway_file *out, struct err *e)
{
    struct gateway_payload payload = {.type = "findFile", .hash = hash, .size = -1};
    struct json *answer = ask_gateway(g, how, payload, e);
    int result;

    if (answer == NULL)
        return -1;
    result = gateway_message_read_file(answer, out, e);
    json_free(answer);
    if (result == 0 && use_tls(g, how, &out->url, e) != 0) {
        gateway_file_deinit(out);
        result = -1;
    }
    return result == 0 ? 0 : name_gateway(g, e);
}

int gateway_initiate_upload(struct gateway *g, const struct zone_call *how, const char *hash,
                            int64_t size, struct gateway_upload *out, struct err *e)
{
    struct gateway_payload payload = {.type = "initiateFileUpload", .hash = hash, .size = size};
    struct json *answer = ask_as_client(g, how, payload, e);
    int result;

    if (answer == NULL)
        return -1;
    result = gateway_message_read_upload(answer, out, e);
    json_free(answer);
    if (result == 0 && use_tls(g, how, &out->url, e) != 0) {
        gateway_upload_deinit(out);
        result = -1;
    }
    return result == 0 ? 0 : name_gateway(g, e);
}

int gateway_finalize_upload(struct gateway *g, const struct zone_call *how, const char *hash,
                            int64_t size, const char *object_key, struct err *e)
{
    struct gateway_payload payload = {
        .type = "finalizeFileUpload", .hash = hash, .size = size, .object_key = object_key};
    struct json *answer = ask_as_client(g, how, payload, e);

    if (answer == NULL)
        return -1;
    json_free(answer);
    return 0;
}

int gateway_client_info(struct gateway *g, const struct zone_call *how, const char *client_id,
                        struct gateway_client *out, struct err *e)
{
    struct gateway_payload payload = {.type = "getClientInfo", .client_id = client_id, .size = -1};
    struct json *answer = ask_gateway(g, how, payload, e);
    int result;

    if (answer == NULL)
        return -1;
    result = gateway_message_read_client(answer, out, e);
    json_free(answer);
    return result == 0 ? 0 : name_gateway(g, e);
}

int gateway_resource_url(struct gateway *g, const struct zone_call *how, const char *name,
                         char **proxy_url, struct err *e)
{
    struct gateway_payload payload = {.type = "getResourceInfo", .resource_name = name, .size = -1};
    struct json *answer = ask_gateway(g, how, payload, e);
    struct err why = {0};
    int result;

    if (answer == NULL)
        return -1;
    result = gateway_message_read_resource(answer, proxy_url, &why);
    json_free(answer);
    if (result == 0)
        return use_tls(g, how, proxy_url, e) == 0 ? 0 : name_gateway(g, e);
    if (why.code == ERR_NOT_FOUND && gateway_check_zone(g, how, e) != 0)
        return -1;
    if (why.code == ERR_NOT_FOUND)
        err_set(e, why.code, "the zone \"%s\" has no resource \"%s\"", g->zone, name);
    else
        err_copy(e, &why);
    return name_gateway(g, e);
}

/* Takes the URL of an answer, and frees the answer. */
static int take_answer_url(struct gateway *g, const struct zone_call *how, struct json *answer,
                           char **url, struct err *e)
{
    char *made = NULL;
    int result;

    if (answer == NULL)
        return -1;
    result = gateway_message_read_link(answer, &made, e);
    json_free(answer);
    if (result == 0 && use_tls(g, how, &made, e) != 0) {
        free(made);
        result = -1;
    }
    if (result == 0)
        *url = made;
    return result == 0 ? 0 : name_gateway(g, e);
}

int gateway_create_link(struct gateway *g, const struct zone_call *how, const char *hash,
                        const char *name, int64_t expires_ms, char **url, struct err *e)
{
    struct gateway_payload payload = {
        .type = "createLink", .hash = hash, .name = name, .size = -1, .expires_ms = expires_ms};

    return take_answer_url(g, how, ask_as_client(g, how, payload, e), url, e);
}

int gateway_read_url(struct gateway *g, const struct zone_call *how, const char *hash, char **url,
                     struct err *e)
{
    struct gateway_payload payload = {.type = "readFile", .hash = hash, .size = -1};

    return take_answer_url(g, how, ask_gateway(g, how, payload, e), url, e);
}

int gateway_list_links(struct gateway *g, const struct zone_call *how, const char *after,
                       struct json **answer, struct err *e)
{
    struct gateway_payload payload = {.type = "listLinks", .after = after, .size = -1};

    *answer = ask_as_client(g, how, payload, e);
    return *answer == NULL ? -1 : 0;
}

int gateway_revoke_link(struct gateway *g, const struct zone_call *how, const char *id,
                        const char *hash, int64_t *count, struct err *e)
{
    struct gateway_payload payload = {
        .type = "revokeLink", .id = id, .hash = id == NULL ? hash : NULL, .size = -1};
    struct json *answer = ask_as_client(g, how, payload, e);
    int result;

    if (answer == NULL)
        return -1;
    result = gateway_message_read_revoked(answer, count, e);
    json_free(answer);
    return result == 0 ? 0 : name_gateway(g, e);
}

int gateway_put_register_url(struct gateway *g, struct str label, struct buf *out, struct err *e)
{
    char signature[SIGNATURE_DIGITS + 1];
    struct buf encoded = {0};
    int result;

    signature_make(g->identity.pair, STR("{\"type\":\"addClient\"}"), signature);
    url_put_encoded(&encoded, label, "/");
    buf_printf(out, "%s/registerClient/%s?signature=%s&zone=%s&label=%s", g->url,
               g->identity.client_id, signature, g->zone, buf_cstr(&encoded));
    result = buf_check(&encoded, e) == 0 ? buf_check(out, e) : -1;
    buf_free(&encoded);
    return result;
}

int gateway_register(struct gateway *g, const struct zone_call *how, struct str link, int *status,
                     struct err *e)
{
    const struct http_header header = {STR(EXTENSIONS_REGISTER_HEADER), STR("1")};
    const struct http_call_options options = {
        .method = STR("POST"),
        .url = link,
        .headers = &header,
        .header_count = 1,
        .max_answer_bytes = GATEWAY_MAX_ANSWER_BYTES,
        .deadline_ms = clock_now_ms() + g->patience.call_ms,
    };
    struct http_call *call = retry_call(g->http, &options, &how->watch, NULL, e);
    int result = -1;

    *status = call == NULL ? 0 : http_call_head(call)->status;
    if (*status == 200)
        result = 0;
    else if (call != NULL)
        refuse_gateway_answer(call, e);
    http_call_free(call);
    return result == 0 || call == NULL ? result : name_gateway(g, e);
}
