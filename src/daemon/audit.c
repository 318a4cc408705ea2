#include "daemon/audit.h"

#include <stdio.h>
#include <time.h>

#include "base/json.h"

static void open_audit_line(struct buf *out, int64_t wall_ms, const char *event)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    char date[32] = "", text[48];
    struct tm t;

    if (gmtime_r(&seconds, &t) == NULL || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &t) == 0)
        date[0] = '\0';
    snprintf(text, sizeof text, "%s.%03dZ", date, (int)(wall_ms % 1000));
    json_open(out, '{');
    json_put_str(out, "time", str_of(text));
    json_put_str(out, "event", str_of(event));
}

static void close_audit_line(struct buf *out)
{
    json_close(out, '}');
    buf_putc(out, '\n');
}

static void put_audit_text(struct buf *out, const char *key, struct str text)
{
    if (text.len == 0)
        json_put_null(out, key);
    else
        json_put_path(out, key, text);
}

void audit_put(struct buf *out, int64_t wall_ms, const struct audit_event *event)
{
    open_audit_line(out, wall_ms, event->event);
    put_audit_text(out, "hash", event->hash);
    put_audit_text(out, "path", event->path);
    json_put_count(out, "size", event->size);
    json_put_count(out, "bytes", event->bytes);
    put_audit_text(out, "outcome", event->outcome);
    json_put_double(out, "seconds", (double)event->ms / 1000);
    put_audit_text(out, "asker", event->asker);
    if (event->reason.len > 0)
        json_put_path(out, "reason", event->reason);
    close_audit_line(out);
}

void audit_put_lost(struct buf *out, int64_t wall_ms, uint64_t lines)
{
    open_audit_line(out, wall_ms, "lost");
    json_put_int(out, "lines", (int64_t)lines);
    close_audit_line(out);
}
