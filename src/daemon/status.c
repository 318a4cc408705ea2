#include "daemon/status.h"

#include "base/json.h"

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

static void put_proxy_state(struct buf *out, const struct status_view *v)
{
    json_open_member(out, "proxy", '{');
    json_put_str(out, "url", str_of(v->config->values[CONFIG_PROXY]));
    json_put_str(out, "state", str_of(v->session.state));
    json_put_int(out, "sinceMs", v->session.since_ms);
    json_put_str(out, "failure", str_of(v->session.failure));
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
        json_close(out, '}');
    }
    json_close(out, ']');
}

static void put_totals(struct buf *out, const struct status_view *v)
{
    json_open_member(out, "totals", '{');
    json_put_int(out, "requests", (int64_t)v->requests);
    json_put_int(out, "completed", (int64_t)v->totals.completed);
    json_put_int(out, "failed", (int64_t)v->totals.failed);
    json_put_int(out, "bytesUploaded", (int64_t)v->totals.bytes);
    json_put_int(out, "rangeBytes", v->ranges.bytes);
    json_close(out, '}');
}

void status_put(struct buf *out, const struct status_view *v)
{
    json_open(out, '{');
    json_put_str(out, "resourceName", str_of(v->config->values[CONFIG_NAME]));
    json_put_str(out, "kacheryZone", str_of(v->config->values[CONFIG_ZONE]));
    json_put_str(out, "host", str_of(v->holder->host));
    json_put_int(out, "pid", v->holder->pid);
    json_put_int(out, "startedMs", v->holder->since_ms);
    json_put_int(out, "writtenMs", v->now_ms);
    json_put_bool(out, "isStopping", v->is_stopping);
    json_put_str(out, "client", str_of(registration_name(v->registration)));
    put_proxy_state(out, v);
    put_jobs(out, v);
    json_put_int(out, "openFiles", v->ranges.files);
    put_totals(out, v);
    json_close(out, '}');
    buf_putc(out, '\n');
}
