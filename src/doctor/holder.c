#include "doctor/holder.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/ready.h"
#include "daemon/keeper.h"
#include "daemon/lease_watch.h"

enum { STATUS_BYTES = 1 << 20, LAST_MS = 700 /* left for the report */ };

/* The member `proxy` of a status file. */
struct proxy_status {
    struct str state, failure;
};

static const struct field status_fields[] = {
    {.name = "proxy", .kind = FIELD_OBJECT, .at = 0},
    {.kind = FIELD_OTHERS}};

static const struct field proxy_fields[] = {
    {.name = "state", .kind = FIELD_STRING, .at = offsetof(struct proxy_status, state)},
    {.name = "failure", .kind = FIELD_STRING, .at = offsetof(struct proxy_status, failure),
     .is_optional = true},
    {.kind = FIELD_OTHERS}};

/* Reads what the daemon says of its line to the proxy; nothing of a file that is none. */
static void read_proxy_status(const char *path, struct holder *out)
{
    struct proxy_status status = {.state = STR(""), .failure = STR("")};
    const struct json *proxy = NULL;
    struct buf text = {0};
    struct json *doc = NULL;

    if (fs_read_file(path, STATUS_BYTES, &text, ERR_IGNORED) == 0)
        doc = json_parse(buf_str(&text), JSON_STRICT, ERR_IGNORED);
    if (doc != NULL && fields_read(status_fields, doc, &proxy, NULL, ERR_IGNORED) == 0 &&
        fields_read(proxy_fields, proxy, &status, NULL, ERR_IGNORED) == 0) {
        out->is_connected = str_equal(status.state, STR("connected"));
        snprintf(out->failure, sizeof out->failure, "%.*s", STR_ARG(status.failure));
    }
    json_free(doc);
    buf_free(&text);
}

/* The clocks of two hosts differ, and the lease is renewed now and then: a record that was renewed
 * about now is a live daemon's, without watching it. */
static bool was_renewed_now(const struct lease_record *r, const struct intervals *intervals)
{
    int64_t ago_ms = clock_wall_ms() - r->renewed_ms;

    return r->renewed_ms > 0 && ago_ms < intervals->lease_stale_ms &&
           ago_ms > -intervals->lease_stale_ms;
}

static enum holder_state state_of_verdict(const struct lease_watch *watch,
                                          enum lease_verdict verdict)
{
    switch (verdict) {
    case LEASE_FREE: return HOLDER_NONE;
    case LEASE_HELD: return HOLDER_ALIVE;
    case LEASE_DEAD: return HOLDER_DEAD;
    case LEASE_WATCHING: break;
    }
    return was_renewed_now(&watch->record, watch->intervals) ? HOLDER_ALIVE : HOLDER_UNCLEAR;
}

static void take_holder_record(const struct lease_watch *watch, struct holder *out)
{
    const struct lease_record *r = &watch->record;

    snprintf(out->resource, sizeof out->resource, "%s", r->resource);
    snprintf(out->host, sizeof out->host, "%s", r->host);
    out->pid = r->pid;
    out->is_here =
        watch->process == LEASE_PROCESS_RUNNING || watch->process == LEASE_PROCESS_HALTED;
    out->renewed_ago_ms = r->renewed_ms > 0 ? clock_wall_ms() - r->renewed_ms : -1;
}

static int watch_lease(const struct probe *p, const char *folder, struct holder *out,
                       struct err *e)
{
    int64_t until_ms = clock_earlier(p->deadline_ms - LAST_MS,
                                     clock_now_ms() + p->options->times.lease_ms);
    enum lease_verdict verdict = LEASE_WATCHING;
    struct intervals intervals;
    struct lease_watch watch;
    int result;

    if (intervals_load(&intervals, e) != 0)
        return -1;
    lease_watch_init(&watch, folder, &intervals);
    do {
        result = lease_watch_look(&watch, &verdict, e);
        out->state = state_of_verdict(&watch, verdict);
        if (result != 0 || out->state != HOLDER_UNCLEAR)
            break;
        ready_sleep(intervals.lease_look_ms);
    } while (clock_now_ms() < until_ms);
    take_holder_record(&watch, out);
    lease_watch_deinit(&watch);
    return result;
}

int holder_find(struct probe *p, struct holder *out, struct err *e)
{
    struct buf config = {0}, folder = {0}, status = {0};
    const char *path = NULL, *lease_path = NULL, *status_path = NULL;
    int result = -1;

    *out = (struct holder){.state = HOLDER_NONE, .renewed_ago_ms = -1};
    probe_look_at(p, p->options->config_path);
    if (config_put_real_path(p->options->config_path, &config, e) == 0)
        path = buf_path(&config, e);
    if (path != NULL) {
        config_put_sibling(path, LEASE_FOLDER, &folder);
        config_put_sibling(path, KEEPER_STATUS_FILE, &status);
        lease_path = buf_path(&folder, e);
        status_path = buf_path(&status, e);
    }
    probe_look_at(p, lease_path != NULL ? lease_path : "");
    if (lease_path != NULL && status_path != NULL)
        result = watch_lease(p, lease_path, out, e);
    if (result == 0 && out->state != HOLDER_NONE)
        read_proxy_status(status_path, out);
    probe_look_at(p, "");
    buf_free(&config);
    buf_free(&folder);
    buf_free(&status);
    return result;
}
