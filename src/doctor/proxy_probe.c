/* The resource proxy: the way to it, whether it takes the secret, and whether it knows this
 * resource. The secret is tried under a name that no daemon has; whether the real name is free is
 * asked as a client asks, over HTTP: a second daemon under it would push the first one out. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/sha1.h"
#include "doctor/greeting.h"
#include "doctor/holder.h"
#include "doctor/probe.h"
#include "doctor/route.h"
#include "zone/resource.h"

#define SETTING "proxyUrl of the config"

enum { DAEMON_MS = 1500 /* for the daemon's answer */ };

/* ---- the secret ---- */

static void fail_greeting(struct probe *p, const struct greeting *g)
{
    const char *url = p->config.values[CONFIG_PROXY];
    const char *secret_cure = "put the proxy's secret into the config: `kachery-resource init "
                              "--proxy-secret-file FILE`";

    if (!g->is_open)
        probe_fail(p, CHECK_PROXY,
                   strstr(g->failure.msg, "log-in") != NULL
                       ? "open any web page in a browser and log in to this network, if that is "
                         "needed; correct " SETTING
                       : "correct " SETTING " (scheme, host, port, path), or start the proxy there",
                   "%s", g->failure.msg);
    else if (g->is_wrong_secret)
        probe_fail(p, CHECK_SECRET, secret_cure, "wrong secret: %s does not accept proxySecret",
                   url);
    else if (g->is_silent)
        probe_fail(p, CHECK_SECRET,
                   "ask those who run the proxy, or correct " SETTING ": is that a resource proxy?",
                   "%s takes the connection and says nothing: %s", url, g->failure.msg);
    else
        probe_fail(p, CHECK_SECRET, secret_cure, "%s does not accept proxySecret, most likely: %s",
                   url, g->failure.msg);
}

/* Returns false if there is no proxy to ask further questions. */
static bool check_secret(struct probe *p, struct loop *loop)
{
    struct greeting g = {.is_open = false};
    const char *url = p->config.values[CONFIG_PROXY];

    greeting_try(p, loop, &g);
    if (g.is_open)
        probe_ok(p, CHECK_PROXY, "%s takes WebSockets; %s", url,
                 g.is_marked ? "it is a proxy of this program"
                             : "a proxy of the deployed kind: it serves whole files, no parts of "
                               "them");
    if (g.is_acknowledged)
        probe_ok(p, CHECK_SECRET, "accepted (tried as %s)", g.name);
    else
        fail_greeting(p, &g);
    return g.is_open;
}

/* ---- the name ---- */

enum name_state { NAME_FREE, NAME_ANSWERS, NAME_SILENT, NAME_FAILS, NAME_UNKNOWN };

struct name_deadline {
    int64_t deadline_ms;
};

static bool is_question_late(void *ctx)
{
    const struct name_deadline *q = ctx;

    return clock_now_ms() >= q->deadline_ms;
}

/* Asks the resource for a file that nobody has. *e has the words of every state but two. */
static enum name_state ask_name(struct probe *p, struct http_client *http, struct err *e)
{
    struct name_deadline question = {probe_answer_deadline_ms(p)};
    const struct zone_watch watch = {.is_cancelled = is_question_late, .ctx = &question};
    const struct zone_call how = {.watch = watch};
    struct gateway zone = {.http = http, .zone = p->config.values[CONFIG_ZONE]};
    struct resource resource = {.url = NULL};
    struct upload_status status = message_status(UPLOAD_NOT_FOUND);
    struct buf url = {0}, text = {0};
    char hash[SHA1_HEX + 1];
    int result = -1;

    random_hex(hash, SHA1_HEX);
    message_make_question(hash);
    buf_printf(&url, "%s/r/%s", p->config.values[CONFIG_PROXY], p->config.values[CONFIG_NAME]);
    if (buf_check(&url, e) == 0)
        result = resource_init(&resource, &zone, &how, buf_cstr(&url), e);
    if (result == 0)
        result = resource_request(&resource, &zone, &watch, hash, DAEMON_MS, &status, &text, e);
    bool is_error = result == 0 && status.state == UPLOAD_ERROR;
    if (is_error)
        err_set(e, ERR_REFUSED, "%.*s", STR_ARG(status.error));
    resource_deinit(&resource);
    buf_free(&url);
    buf_free(&text);
    if (result == 0)
        return is_error ? NAME_FAILS : NAME_ANSWERS;
    if (is_question_late(&question)) {
        err_set(e, ERR_TIMEOUT, "no answer within %.1f s",
                (double)p->options->times.answer_ms / 1000);
        return NAME_UNKNOWN;
    }
    return e->code == ERR_NOT_FOUND ? NAME_FREE
           : e->code == ERR_TIMEOUT ? NAME_SILENT
                                    : NAME_UNKNOWN;
}

/* The daemon of this folder runs. */
static void judge_own_name(struct probe *p, enum name_state state, const struct holder *holder,
                           const struct err *e)
{
    const char *name = p->config.values[CONFIG_NAME], *url = p->config.values[CONFIG_PROXY];

    if (state == NAME_FREE)
        probe_fail(p, CHECK_REACHABLE,
                   "see the log of `share`, and cure `proxy` and `secret` above, if they fail; a "
                   "daemon that was started with another config is to be started again",
                   "the daemon on %s (process %lld) runs, and %s does not know %s%s%s",
                   holder->host, (long long)holder->pid, url, name,
                   holder->failure[0] != '\0' ? ": " : "", holder->failure);
    else if (state == NAME_ANSWERS)
        probe_ok(p, CHECK_REACHABLE, "%s/r/%s answers", url, name);
    else
        probe_fail(p, CHECK_REACHABLE,
                   "see the log of `share`: the daemon, its store or its line to the proxy hangs",
                   "%s/r/%s does not answer as it should: %s", url, name, e->msg);
    if (state != NAME_FREE && !holder->is_connected && holder->failure[0] != '\0')
        probe_fail(p, CHECK_NAME,
                   "stop the other daemon of this name (another folder or host shares it), or take "
                   "another name here: `kachery-resource init --name NAME`",
                   "another daemon is connected as %s, and ours is refused: %s", name,
                   holder->failure);
    else
        probe_ok(p, CHECK_NAME, "%s: shared by the daemon of this folder, on %s (process %lld)",
                 name, holder->host, (long long)holder->pid);
}

static void judge_foreign_name(struct probe *p, enum name_state state, const struct err *e)
{
    const char *name = p->config.values[CONFIG_NAME];

    if (state == NAME_FREE)
        probe_ok(p, CHECK_NAME, "%s is free", name);
    else
        probe_fail(p, CHECK_NAME,
                   "stop the daemon that has it (another folder or host shares it), or take "
                   "another name here: `kachery-resource init --name NAME`",
                   "another daemon, not of this folder, is connected as %s%s%s", name,
                   state == NAME_ANSWERS ? "" : ": ", state == NAME_ANSWERS ? "" : e->msg);
    probe_ok(p, CHECK_REACHABLE, "not asked: no daemon of this folder runs");
}

static void check_name(struct probe *p, struct loop *loop)
{
    struct err e = {0}, lease = {0};
    struct http_client *http = http_client_new(loop, &e);
    enum name_state state = http == NULL ? NAME_UNKNOWN : ask_name(p, http, &e);
    struct holder holder;
    bool is_known = holder_find(p, &holder, &lease) == 0;

    if (state == NAME_UNKNOWN && (!is_known || holder.state == HOLDER_NONE))
        probe_warn(p, CHECK_NAME,
                   "correct proxyUrl of the config (its path, too), or ask those who run the "
                   "proxy: its log has the cause",
                   "whether %s is free is not known: %s", p->config.values[CONFIG_NAME], e.msg);
    else if (!is_known)
        probe_warn(p, CHECK_NAME, "cure `lease`, then run doctor again",
                   "whose daemon has %s is not known: %s", p->config.values[CONFIG_NAME],
                   lease.msg);
    else if (holder.state == HOLDER_ALIVE || holder.state == HOLDER_UNCLEAR)
        judge_own_name(p, state, &holder, &e);
    else
        judge_foreign_name(p, state, &e);
    http_client_free(http);
}

void proxy_probe_run(struct probe *p)
{
    struct err e = {0};
    struct route route = {.probe = p,
                          .server = CHECK_PROXY,
                          .what = "proxy",
                          .setting = SETTING,
                          .only = DOCTOR_CHECKS};

    if (probe_load_config(p, &e) != 0 || p->config.values[CONFIG_PROXY] == NULL ||
        p->config.values[CONFIG_SECRET] == NULL || p->config.values[CONFIG_NAME] == NULL)
        return; /* the config's check reports it */
    route.url = str_of(p->config.values[CONFIG_PROXY]);
    route.loop = loop_new(NULL, &e);
    if (route.loop == NULL)
        probe_fail(p, CHECK_PROXY, "see the memory and the limits of this host", "%s", e.msg);
    else if (route_follow(&route) && check_secret(p, route.loop))
        check_name(p, route.loop);
    loop_free(route.loop);
}
