#include "daemon/status.h"

#include "base/json.h"
#include "base/version.h"
#include "daemon/reason.h"
#include "proto/url.h"
#include "zone/gateway.h"

static const char *registration_name(enum registration_state state)
{
    switch (state) {
    case REGISTRATION_DONE:
        return "registered";
    case REGISTRATION_MISSING:
        return "not registered";
    case REGISTRATION_UNKNOWN:
        break;
    }
    return "not known";
}

/* The log is for the owner of the host, this file for more people. */
static void put_cause(struct buf *out, const char *key, const char *cause)
{
    json_put_str(out, key, str_of(reason_names_path(cause) ? "see the log" : cause));
}

/* 0: never, or none. */
static void put_status_time(struct buf *out, const char *key, int64_t at_ms)
{
    if (at_ms > 0)
        json_put_int(out, key, at_ms);
}

static void put_ask_url(struct buf *out, const struct config *config)
{
    struct buf text = {0};
    struct url url;

    if (url_parse(&url, str_of(config->values[CONFIG_PROXY]), ERR_IGNORED) != 0)
        return;
    url_put_http(&text, &url);
    buf_printf(&text, "/r/%s", config->values[CONFIG_NAME]);
    json_put_buf(out, "resourceUrl", &text);
    buf_free(&text);
}

static void put_proxy_state(struct buf *out, const struct status_view *v)
{
    json_open_member(out, "proxy", '{');
    json_put_str(out, "url", str_of(v->config->values[CONFIG_PROXY]));
    put_ask_url(out, v->config);
    json_put_str(out, "state", str_of(v->session.state));
    json_put_int(out, "sinceMs", v->session.since_ms);
    put_status_time(out, "outSinceMs", v->session.out_since_ms);
    put_status_time(out, "nextTryMs", v->session.next_try_ms);
    put_status_time(out, "retryAfterMs", v->session.retry_after_ms);
    put_cause(out, "failure", v->session.failure);
    json_close(out, '}');
}

static void put_upload_right(struct buf *out, const struct status_view *v)
{
    if (v->gateway->is_upload_known)
        json_put_bool(out, "mayUpload", v->gateway->may_upload);
    else if (v->uploads.completed > 0)
        json_put_bool(out, "mayUpload", true);
    else
        json_put_null(out, "mayUpload");
}

static void put_gateway_state(struct buf *out, const struct status_view *v)
{
    const struct registration_view *g = v->gateway;
    struct buf url = {0};

    json_open_member(out, "gateway", '{');
    if (gateway_put_default_shown(&url, ERR_IGNORED) == 0)
        json_put_buf(out, "url", &url);
    put_status_time(out, "answeredMs",
             g->answered_ms > v->uploads.answered_ms ? g->answered_ms : v->uploads.answered_ms);
    put_status_time(out, "failedSinceMs", g->failed_ms);
    if (g->failed_ms > 0) /* else there is nothing that an operator waits for */
        put_status_time(out, "nextTryMs", g->next_try_ms);
    if (g->has_clock)
        json_put_int(out, "clockAheadMs", g->ahead_ms);
    put_upload_right(out, v);
    put_cause(out, "failure", g->failure.msg);
    put_cause(out, "refusal", g->refusal.msg);
    json_close(out, '}');
    buf_free(&url);
}

/* The proxy that refused this daemon, as another has the name. */
static void put_refusal(struct buf *out, const struct status_view *v)
{
    if (v->session.refused_code == 0)
        return;
    json_open_member(out, "refusedBy", '{');
    json_put_str(out, "url", str_of(v->config->values[CONFIG_PROXY]));
    json_put_int(out, "code", v->session.refused_code);
    json_put_str(out, "reason", str_of(v->session.failure));
    json_put_int(out, "atMs", v->session.refused_ms);
    json_close(out, '}');
}

static void put_jobs(struct buf *out, const struct status_view *v)
{
    struct jobs_counts counts = jobs_count(v->jobs);
    struct jobs_running job;
    size_t cursor = 0;

    json_put_int(out, "waiting", (int64_t)counts.waiters);
    json_put_int(out, "queued", (int64_t)counts.queued);
    json_open_member(out, "uploads", '[');
    while (jobs_each_running(v->jobs, &cursor, &job)) {
        json_open(out, '{');
        json_put_str(out, "sha1", str_of(job.hash));
        json_put_int(out, "size", job.size);
        json_put_int(out, "bytesUploaded", job.bytes_uploaded);
        json_put_int(out, "startedMs", job.started_ms);
        json_put_int(out, "bytesPerSecond", job.bytes_per_s);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_put_int(out, "openFiles", v->ranges.files);
}

static void put_totals(struct buf *out, const struct status_view *v)
{
    struct history_totals totals = v->history->totals;

    totals.completed += v->uploads.completed;
    totals.failed += v->uploads.failed;
    totals.changed += v->uploads.changed;
    totals.bytes_uploaded += v->uploads.bytes;
    totals.range_bytes += v->ranges.bytes;
    history_put_totals(out, &totals);
}

static void put_processor(struct buf *out, const struct processor_view *p)
{
    json_open_member(out, "processor", '{');
    json_put_int(out, "supervisorMs", p->supervisor_ms);
    json_put_int(out, "allMs", p->all_ms);
    json_put_int(out, "date", p->date);
    json_put_int(out, "todayMs", p->today_ms);
    json_close(out, '}');
}

void status_put(struct buf *out, const struct status_view *v)
{
    json_open(out, '{');
    json_put_str(out, "version", STR(VERSION));
    json_put_str(out, "resourceName", str_of(v->config->values[CONFIG_NAME]));
    json_put_str(out, "kacheryZone", str_of(v->config->values[CONFIG_ZONE]));
    json_put_str(out, "host", str_of(v->holder->host));
    json_put_int(out, "pid", v->holder->pid);
    json_put_int(out, "startedMs", v->holder->since_ms);
    json_put_int(out, "writtenMs", v->now_ms);
    json_put_bool(out, "isStopping", v->is_stopping);
    if (v->ending != NULL)
        put_cause(out, "ending", v->ending);
    json_put_str(out, "client", str_of(registration_name(v->gateway->state)));
    put_proxy_state(out, v);
    put_refusal(out, v);
    put_gateway_state(out, v);
    put_jobs(out, v);
    put_totals(out, v);
    history_put_members(out, v->history);
    put_processor(out, &v->processor);
    json_close(out, '}');
    buf_putc(out, '\n');
}
