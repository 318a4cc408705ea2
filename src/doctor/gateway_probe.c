/* The zone's gateway: the way to it, its clock, its zone, this client's rights, and where an upload
 * would go. Nothing is uploaded: a signed URL is asked for, for a hash that no file has. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/random.h"
#include "base/sha1.h"
#include "doctor/probe.h"
#include "doctor/route.h"
#include "proto/url.h"
#include "store/store.h"
#include "zone/gateway.h"

enum { CLOCK_OFF_MS = 10000, SHOWN_ID_DIGITS = 16 };

#define SETTING "KACHERY_GATEWAY_URL"

struct gateway_visit {
    struct probe *probe;
    struct loop *loop;
    struct http_client *http;
    struct gateway gateway;
    struct zone_call how;
    int64_t deadline_ms; /* of the call under way */
    bool has_keys;
};

static bool is_call_late(void *ctx)
{
    const struct gateway_visit *v = ctx;

    return clock_now_ms() >= v->deadline_ms;
}

/* Limits the next call: one attempt, within the time of one answer. */
static void begin_visit_call(struct gateway_visit *v)
{
    int64_t now_ms = clock_now_ms();

    v->deadline_ms = probe_answer_deadline_ms(v->probe);
    v->gateway.patience.asking_ms = 0;
    v->gateway.patience.call_ms = v->deadline_ms > now_ms ? v->deadline_ms - now_ms : 1;
    v->how = (struct zone_call){
        .watch = {.is_cancelled = is_call_late, .ctx = v}, .patience = ZONE_ASKED, .least = 1};
}

/* The gateway's words, and which one was asked if the user did not choose it. */
static const char *default_note(void)
{
    return env_get(SETTING) == NULL ? " (" SETTING " is not set: this is the default)" : "";
}

/* A call that was given up as its time was over says no more than that. */
static void name_lateness(struct gateway_visit *v, struct err *e)
{
    if (is_call_late(v) && strstr(e->msg, "cancelled") != NULL)
        err_set(e, ERR_TIMEOUT, "%s: no answer within %.1f s", v->gateway.shown,
                (double)v->probe->options->times.answer_ms / 1000);
}

/* ---- the gateway itself ---- */

static void fail_gateway(struct gateway_visit *v, const struct err *e)
{
    bool is_of_http_proxy = strstr(e->msg, "HTTP proxy ") != NULL &&
                            route_is_proxied(str_of(v->gateway.url));
    const char *cure = "correct " SETTING ", or ask those who run the gateway: its log has the "
                       "cause";

    if (is_of_http_proxy) {
        probe_fail(v->probe, CHECK_HTTP_PROXY,
                   "correct user and password in the URL of https_proxy or http_proxy, or name the "
                   "gateway's host in no_proxy",
                   "the gateway: %s", e->msg);
        return;
    }
    if (strstr(e->msg, "log-in") != NULL)
        cure = "open any web page in a browser and log in to this network, if that is needed; "
               "correct " SETTING;
    else if (strstr(e->msg, "clock") != NULL)
        cure = "set the clock that is wrong (`date -u`, `timedatectl`)";
    probe_fail(v->probe, CHECK_GATEWAY, cure, "%s%s", e->msg, default_note());
}

/* Returns false if nothing that is signed here can be accepted there. */
static bool report_gateway_clock(struct gateway_visit *v)
{
    const struct gateway *g = &v->gateway;
    double ahead = -(double)g->ahead_ms / 1000;
    int64_t off_ms = !g->has_clock ? 0 : g->ahead_ms < 0 ? -g->ahead_ms : g->ahead_ms;

    if (!g->has_clock)
        probe_ok(v->probe, CHECK_CLOCK, "%s does not tell its time", g->shown);
    else if (off_ms > GATEWAY_MAX_CORRECTION_MS)
        probe_fail(v->probe, CHECK_CLOCK,
                   "set this host's clock (`date -u`, `timedatectl`), or let those who run the "
                   "gateway set theirs: requests are signed for at most a day of difference",
                   "the clock of %s is %+.0f s from this host's", g->shown, ahead);
    else if (off_ms > CLOCK_OFF_MS)
        probe_warn(v->probe, CHECK_CLOCK,
                   "set this host's clock by NTP (`timedatectl`, `chronyc tracking`), unless the "
                   "gateway's is wrong; certificates are checked by this host's",
                   "the clock of %s is %+.0f s from this host's", g->shown, ahead);
    else
        probe_ok(v->probe, CHECK_CLOCK, "clock %+.1f s", ahead);
    return off_ms <= GATEWAY_MAX_CORRECTION_MS;
}

/* Asks for a file that nobody has. Returns false if there is no use in going on. */
static bool check_known_zone(struct gateway_visit *v)
{
    struct gateway *g = &v->gateway;
    struct gateway_file file = {.is_found = false};
    char hash[SHA1_HEX + 1];
    struct err e = {0};

    random_hex(hash, SHA1_HEX);
    begin_visit_call(v);
    int result = gateway_find_file(g, &v->how, hash, &file, &e);
    gateway_file_deinit(&file);
    bool is_refused = result != 0 && e.code == ERR_REFUSED && gateway_has_answered(g);
    if (result != 0 && !is_refused) {
        name_lateness(v, &e);
        fail_gateway(v, &e);
        if (g->has_clock)
            report_gateway_clock(v);
        return false;
    }
    probe_ok(v->probe, CHECK_GATEWAY, "%s answers%s", g->shown, default_note());
    if (!report_gateway_clock(v) && is_refused)
        return false;
    if (!is_refused || gateway_message_is_about_client(str_of(e.msg))) {
        probe_ok(v->probe, CHECK_ZONE, "zone %s is known", g->zone);
        return true;
    }
    probe_fail(v->probe, CHECK_ZONE,
               "correct kacheryZone in the config (and KACHERY_ZONE), or " SETTING
               ", whose gateway has to have that zone",
               "zone \"%s\": %s%s", g->zone, e.msg, default_note());
    return false;
}

/* ---- the client ---- */

static bool check_client(struct gateway_visit *v)
{
    struct gateway *g = &v->gateway;
    struct gateway_client client = {.is_found = false};
    struct err e = {0};

    begin_visit_call(v);
    if (gateway_client_info(g, &v->how, g->identity.client_id, &client, &e) != 0)
        probe_fail(v->probe, CHECK_CLIENT,
                   "run doctor again; if it stays, ask those who run the gateway", "%s", e.msg);
    else if (!client.is_found)
        probe_fail(v->probe, CHECK_CLIENT,
                   "run `kachery-resource register` here, with the daemon's environment, and open "
                   "the link that it prints (or set KACHERY_CLOUD_DIR to the keys that are "
                   "registered)",
                   "client %.*s... is not registered in zone %s of %s%s", SHOWN_ID_DIGITS,
                   g->identity.client_id, g->zone, g->shown, default_note());
    else
        probe_ok(v->probe, CHECK_CLIENT, "client %.*s... (%s) of %s is registered", SHOWN_ID_DIGITS,
                 g->identity.client_id, client.label == NULL ? "" : client.label,
                 client.owner_id == NULL ? "nobody" : client.owner_id);
    bool is_found = client.is_found;
    gateway_client_deinit(&client);
    return is_found;
}

/* ---- uploads ---- */

static void report_refused_upload(struct gateway_visit *v, const struct err *e)
{
    const char *cure = "let an administrator of the zone allow this client's owner to upload "
                       "(authorizationSettings.yaml: `kachery-resource help hub`)";

    if (e->code != ERR_REFUSED)
        cure = "run doctor again; if it stays, ask those who run the gateway: its log has the "
               "cause";
    probe_fail(v->probe, CHECK_UPLOAD, cure, "%s", e->msg);
}

/* Returns whether an HTTP proxy on the way answered instead of the server. */
static bool is_answer_of_proxy(const struct http_call *call, struct err *e)
{
    const struct http_reply answer = http_call_answer(call, "bucket", NULL);

    return answer.proxy != NULL && http_answer_explain(&answer, e) &&
           strncmp(e->msg, "HTTP proxy ", strlen("HTTP proxy ")) == 0;
}

/* A HEAD of the server's root, which is no object: whatever it answers, it is there. */
static void check_bucket_answer(struct gateway_visit *v, const struct url *url, const char *server)
{
    struct http_call_options options = {.method = STR("HEAD"),
                                        .url = str_of(server),
                                        .deadline_ms = probe_answer_deadline_ms(v->probe),
                                        .max_answer_bytes = 65536};
    struct err e = {0};
    struct http_call *call = http_client_perform(v->http, &options, NULL, &e);

    if (call != NULL && is_answer_of_proxy(call, &e))
        probe_fail(v->probe, CHECK_UPLOAD_URL,
                   "correct the HTTP proxy's URL in https_proxy or http_proxy, let those who run "
                   "it allow this host, or name it in no_proxy",
                   "%s: %s", server, e.msg);
    else if (call != NULL)
        probe_ok(v->probe, CHECK_UPLOAD_URL, "%s answers (%.*s)", server, STR_ARG(url->scheme));
    else
        probe_fail(v->probe, CHECK_UPLOAD_URL,
                   "ask those who run the bucket of this zone whether this host may reach it, and "
                   "the gateway's whether it gives the right address (--public-url)",
                   "%s: %s", server, e.msg);
    http_call_free(call);
}

/* The signed URL itself is a secret for half an hour: its server alone is shown. */
static void check_upload_url(struct gateway_visit *v, const char *signed_url)
{
    struct buf server = {0};
    struct url url;
    struct err e = {0};

    if (url_parse(&url, str_of(signed_url), &e) != 0) {
        probe_fail(v->probe, CHECK_UPLOAD_URL, "ask those who run the gateway",
                   "the gateway gives no URL for uploads");
        return;
    }
    buf_printf(&server, "%.*s://", STR_ARG(url.scheme));
    url_put_host(&server, &url);
    buf_puts(&server, "/");
    const struct route route = {.probe = v->probe,
                                .loop = v->loop,
                                .server = CHECK_UPLOAD_URL,
                                .what = buf_cstr(&server),
                                .setting = "the gateway's upload URL (its --public-url, or its "
                                           "bucket's address)",
                                .url = buf_str(&server),
                                .for_requests = true,
                                .only = CHECK_UPLOAD_URL};
    if (buf_check(&server, &e) == 0 && route_follow(&route))
        check_bucket_answer(v, &url, buf_cstr(&server));
    buf_free(&server);
}

static void note_upload_warning(void *ctx, const char *text)
{
    struct gateway_visit *v = ctx;

    probe_warn(v->probe, CHECK_UPLOAD_URL,
               "let those who run the gateway start it with --public-url and its https:// URL",
               "%s", text);
}

static void check_upload_rights(struct gateway_visit *v)
{
    struct gateway_upload upload = {.url = NULL};
    char hash[SHA1_HEX + 1];
    struct err e = {0};

    random_hex(hash, SHA1_HEX);
    begin_visit_call(v);
    v->how.watch.on_warning = note_upload_warning;
    if (gateway_initiate_upload(&v->gateway, &v->how, hash, 1, &upload, &e) != 0) {
        report_refused_upload(v, &e);
    } else {
        probe_ok(v->probe, CHECK_UPLOAD, "this client may upload to zone %s", v->gateway.zone);
        if (upload.url != NULL)
            check_upload_url(v, upload.url);
        else
            probe_ok(v->probe, CHECK_UPLOAD_URL, "the gateway names none now");
    }
    gateway_upload_deinit(&upload);
}

/* ---- the visit ---- */

static void run_visit(struct gateway_visit *v)
{
    const struct route route = {.probe = v->probe,
                                .loop = v->loop,
                                .server = CHECK_GATEWAY,
                                .what = "gateway",
                                .setting = env_get(SETTING) != NULL
                                               ? SETTING
                                               : SETTING ", which is not set here (this is the "
                                                         "default)",
                                .url = str_of(v->gateway.url),
                                .for_requests = true,
                                .only = DOCTOR_CHECKS};
    struct store store = {0};
    struct err e = {0};

    if (!route_follow(&route))
        return;
    /* Without keys, `keys` reports it, and an anonymous call shows whether the zone is there. */
    if (store_init(&store, &e) == 0) {
        probe_look_at(v->probe, store.key_dir);
        v->has_keys = identity_load(&v->gateway.identity, store.key_dir, &e) == 0;
        probe_look_at(v->probe, "");
    }
    store_deinit(&store);
    if (!check_known_zone(v))
        return;
    if (!v->has_keys)
        probe_warn(v->probe, CHECK_CLIENT,
                   "cure `keys`, then run doctor again (`kachery-resource register` for new keys)",
                   "not checked, because of `keys`");
    else if (check_client(v))
        check_upload_rights(v);
}

void gateway_probe_run(struct probe *p)
{
    struct gateway_visit v = {.probe = p};
    struct err e = {0};

    (void)!probe_load_config(p, ERR_IGNORED); /* the config's check reports it */
    v.loop = loop_new(NULL, &e);
    if (v.loop != NULL)
        v.http = http_client_new(v.loop, &e);
    if (v.http == NULL || gateway_init(&v.gateway, v.http, p->config.values[CONFIG_ZONE], &e) != 0)
        probe_fail(p, CHECK_GATEWAY, "correct " SETTING " (and kacheryZone)", "%s", e.msg);
    else
        run_visit(&v);
    gateway_deinit(&v.gateway);
    http_client_free(v.http);
    loop_free(v.loop);
}
