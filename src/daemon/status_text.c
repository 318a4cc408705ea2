#include "daemon/status_text.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/fields.h"
#include "base/fs.h"
#include "base/size_text.h"
#include "base/time_text.h"
#include "daemon/history.h"
#include "daemon/status_parts.h"

enum { SHOWN_UPLOADS = 3, SHOWN_ABSENT = 5, SHOWN_CAUSES = 3, SHORT_HASH = 4,
       LATE_MS = 600000 /* the daemon writes its status every 5 minutes */ };

#define INDENT "             "

/* --- the status file's parts --- */

struct top_fields {
    struct str resource, host, client, ending;
    int64_t pid, started_ms, written_ms;
    bool is_stopping;
};

#define AT(member) offsetof(struct top_fields, member)
#define TEXT(name_, member)                                                                        \
    {.name = name_, .kind = FIELD_STRING, .at = AT(member), .is_optional = true}
#define NUMBER(name_, member)                                                                      \
    {.name = name_, .kind = FIELD_INT, .at = AT(member), .is_optional = true}
static const struct field top_fields[] = {
    TEXT("resourceName", resource),
    TEXT("host", host),
    TEXT("client", client),
    TEXT("ending", ending),
    NUMBER("pid", pid),
    NUMBER("startedMs", started_ms),
    NUMBER("writtenMs", written_ms),
    {.name = "isStopping", .kind = FIELD_BOOL, .at = AT(is_stopping), .is_optional = true},
    {.kind = FIELD_OTHERS},
};
#undef AT

struct proxy_fields {
    struct str url, resource_url, state, failure;
    int64_t since_ms, out_since_ms, next_try_ms, retry_after_ms;
};

#define AT(member) offsetof(struct proxy_fields, member)
static const struct field proxy_fields[] = {
    TEXT("url", url),
    TEXT("resourceUrl", resource_url),
    TEXT("state", state),
    TEXT("failure", failure),
    NUMBER("sinceMs", since_ms),
    NUMBER("outSinceMs", out_since_ms),
    NUMBER("nextTryMs", next_try_ms),
    NUMBER("retryAfterMs", retry_after_ms),
    {.kind = FIELD_OTHERS},
};
#undef AT

struct gateway_fields {
    struct str failure, refusal;
    int64_t answered_ms, failed_ms, next_try_ms, ahead_ms;
    bool may_upload;
};

#define AT(member) offsetof(struct gateway_fields, member)
static const struct field gateway_fields[] = {
    TEXT("failure", failure),
    TEXT("refusal", refusal),
    NUMBER("answeredMs", answered_ms),
    NUMBER("failedSinceMs", failed_ms),
    NUMBER("nextTryMs", next_try_ms),
    {.name = "clockAheadMs", .kind = FIELD_SIGNED, .at = AT(ahead_ms), .is_optional = true},
    {.name = "mayUpload", .kind = FIELD_BOOL, .at = AT(may_upload), .is_optional = true,
     .may_be_null = true},
    {.kind = FIELD_OTHERS},
};
#undef AT

struct upload_fields {
    struct str hash;
    int64_t size, bytes, bytes_per_s;
};

#define AT(member) offsetof(struct upload_fields, member)
static const struct field upload_fields[] = {
    {.name = "sha1", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX},
    NUMBER("size", size),
    NUMBER("bytesUploaded", bytes),
    NUMBER("bytesPerSecond", bytes_per_s),
    {.kind = FIELD_OTHERS},
};
#undef AT

struct now_fields {
    int64_t waiting, queued, open_files;
};

#define AT(member) offsetof(struct now_fields, member)
static const struct field now_fields[] = {
    NUMBER("waiting", waiting),
    NUMBER("queued", queued),
    NUMBER("openFiles", open_files),
    {.kind = FIELD_OTHERS},
};
#undef AT

struct processor_fields {
    int64_t supervisor_ms, date, today_ms;
};

#define AT(member) offsetof(struct processor_fields, member)
static const struct field processor_fields[] = {
    NUMBER("supervisorMs", supervisor_ms),
    NUMBER("date", date),
    NUMBER("todayMs", today_ms),
    {.kind = FIELD_OTHERS},
};
#undef AT

struct refusal_fields {
    struct str url, reason;
    int64_t code, at_ms;
};

#define AT(member) offsetof(struct refusal_fields, member)
static const struct field refusal_fields[] = {
    TEXT("url", url),
    TEXT("reason", reason),
    NUMBER("code", code),
    NUMBER("atMs", at_ms),
    {.kind = FIELD_OTHERS},
};
#undef AT
#undef NUMBER
#undef TEXT

/* --- words --- */

struct status_page {
    struct buf *out;
    const struct status_text *in;
    struct top_fields top; /* of the status file */
    struct status_parts parts;
    struct history history;
};

static void begin_line(struct status_page *t, const char *name)
{
    buf_printf(t->out, "  %-11s", name);
}

/* Appends the text of a file, which may be anyone's. */
static void put_foreign(struct status_page *t, struct str text)
{
    fs_put_printable(t->out, text);
}

/* Appends a number as 1,204. */
static void put_text_number(struct buf *out, int64_t number)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)number);

    for (int i = 0; i < len; i++) {
        buf_putc(out, digits[i]);
        if ((len - 1 - i) % 3 == 0 && i < len - 1 && digits[i] != '-')
            buf_putc(out, ',');
    }
}

static void put_counted(struct buf *out, int64_t count, const char *one, const char *more)
{
    put_text_number(out, count);
    buf_printf(out, " %s", count == 1 ? one : more);
}

static void put_hash(struct status_page *t, struct str hash)
{
    if (t->in->is_verbose)
        buf_printf(t->out, "sha1://%.*s", STR_ARG(hash));
    else
        buf_printf(t->out, "sha1://%.*s…", SHORT_HASH, hash.p);
}

static void put_next_try(struct status_page *t, int64_t at_ms)
{
    if (at_ms == 0)
        return;
    buf_puts(t->out, "; next try in ");
    time_text_put_span(t->out, at_ms - t->in->now_ms);
}

/* Appends " since 22:41 (3 min)". */
static void put_since(struct status_page *t, int64_t since_ms)
{
    if (since_ms == 0)
        return;
    buf_puts(t->out, " since ");
    time_text_put_near(t->out, since_ms, t->in->now_ms);
    buf_puts(t->out, " (");
    time_text_put_span(t->out, t->in->now_ms - since_ms);
    buf_putc(t->out, ')');
}

/* --- the head --- */

static bool is_alive(const struct status_page *t)
{
    return t->in->life->verdict == LIVENESS_ALIVE;
}

/* The state in the status file is that of the process that runs. */
static bool is_current(const struct status_page *t)
{
    return t->in->life->verdict != LIVENESS_NONE && t->in->status != NULL &&
           status_text_is_of_holder(t->in);
}

bool status_text_is_of_holder(const struct status_text *t)
{
    const struct lease_record *record = &t->life->record;
    struct top_fields top = {.pid = 0};

    return t->life->has_record &&
           fields_read(top_fields, t->status, &top, NULL, ERR_IGNORED) == 0 &&
           top.pid == record->pid && str_equal(top.host, str_of(record->host));
}

static void put_process(struct status_page *t, struct str host, int64_t pid)
{
    buf_puts(t->out, " on ");
    put_foreign(t, host);
    buf_printf(t->out, " (process %lld)", (long long)pid);
}

static void put_text_name(struct status_page *t)
{
    const struct lease_record *record = &t->in->life->record;

    if (t->in->life->has_record && record->resource[0] != '\0')
        put_foreign(t, str_of(record->resource));
    else if (t->top.resource.len > 0)
        put_foreign(t, t->top.resource);
    else
        buf_puts(t->out, "the resource");
}

static void put_running_head(struct status_page *t)
{
    const struct lease_record *record = &t->in->life->record;
    int64_t since_ms = is_current(t) ? t->top.started_ms : record->since_ms;

    put_text_name(t);
    put_process(t, str_of(record->host), record->pid);
    if (since_ms > 0) {
        buf_puts(t->out, is_alive(t) ? ", running since " : ", started ");
        time_text_put(t->out, since_ms);
        buf_puts(t->out, ", ");
        time_text_put_span(t->out, t->in->now_ms - since_ms);
    }
    buf_putc(t->out, '\n');
}

/* The last process: of the status file, or of the lease if that is of another one. */
static void put_ended_head(struct status_page *t)
{
    const struct lease_record *record = &t->in->life->record;
    bool is_of_file = t->in->status != NULL &&
                      (!t->in->life->has_record || status_text_is_of_holder(t->in));
    int64_t since_ms = is_of_file ? t->top.started_ms : record->since_ms;

    put_text_name(t);
    buf_puts(t->out, ": not running");
    if (is_of_file || t->in->life->has_record) {
        buf_puts(t->out, "; last");
        put_process(t, is_of_file ? t->top.host : str_of(record->host),
                    is_of_file ? t->top.pid : record->pid);
        if (since_ms > 0) {
            buf_puts(t->out, ", started ");
            time_text_put(t->out, since_ms);
        }
    }
    buf_putc(t->out, '\n');
}

static void put_alive(struct status_page *t)
{
    const struct liveness *life = t->in->life;

    begin_line(t, "alive");
    if (life->verdict == LIVENESS_ALIVE) {
        buf_puts(t->out, "yes: lease renewed ");
        if (life->age_ms >= 0) {
            time_text_put_span(t->out, life->age_ms);
            buf_puts(t->out, " ago");
        }
        buf_puts(t->out, " (stale after ");
        time_text_put_span(t->out, life->stale_ms);
        buf_putc(t->out, ')');
        if (life->reason[0] != '\0')
            buf_puts(t->out, "; ");
    } else {
        buf_puts(t->out, life->verdict == LIVENESS_NONE ? "no: " : "unclear: ");
    }
    put_foreign(t, str_of(life->reason));
    if (is_current(t) && t->top.is_stopping)
        buf_puts(t->out, "; it is being stopped");
    buf_putc(t->out, '\n');
}

/* How the last process ended: its own words, or that there are none. */
static void put_ended(struct status_page *t)
{
    if (t->in->life->verdict != LIVENESS_NONE || t->in->status == NULL)
        return;
    begin_line(t, "ended");
    if (t->top.ending.len > 0)
        put_foreign(t, t->top.ending);
    else
        buf_puts(t->out, "without a word: killed, or its host went down");
    if (t->top.written_ms > 0) {
        buf_puts(t->out, t->top.ending.len > 0 ? "; " : "; its last status is of ");
        time_text_put_near(t->out, t->top.written_ms, t->in->now_ms);
        buf_puts(t->out, ", ");
        time_text_put_span(t->out, t->in->now_ms - t->top.written_ms);
        buf_puts(t->out, " ago");
    }
    buf_putc(t->out, '\n');
}

/* The proxy refused the last daemon, as another one has the name. */
static void put_refused(struct status_page *t)
{
    struct refusal_fields r = {.code = 0};

    if (t->parts.refused_by == NULL ||
        fields_read(refusal_fields, t->parts.refused_by, &r, NULL, ERR_IGNORED) != 0)
        return;
    begin_line(t, "refused");
    if (r.at_ms > 0) {
        time_text_put_near(t->out, r.at_ms, t->in->now_ms);
        buf_puts(t->out, " by ");
    } else {
        buf_puts(t->out, "by ");
    }
    put_foreign(t, r.url);
    buf_printf(t->out, " (%lld): ", (long long)r.code);
    put_foreign(t, r.reason);
    buf_putc(t->out, '\n');
}

/* The status is not the daemon's present one. */
static void put_status_trouble(struct status_page *t)
{
    const char *trouble = t->in->status_trouble;

    if (trouble[0] == '\0' && t->in->life->verdict != LIVENESS_NONE && t->in->status != NULL) {
        if (!status_text_is_of_holder(t->in))
            trouble = "of another process; this one has not written its own yet";
        else if (t->in->now_ms - t->top.written_ms > LATE_MS)
            trouble = "old: this one cannot write it (see the log)";
    }
    if (trouble[0] == '\0')
        return;
    begin_line(t, "status");
    if (t->in->status != NULL && t->top.written_ms > 0) {
        time_text_put_near(t->out, t->top.written_ms, t->in->now_ms);
        buf_puts(t->out, ", ");
    }
    put_foreign(t, str_of(trouble));
    buf_putc(t->out, '\n');
}

/* --- proxy and gateway --- */

/* A cause without the proxy's own URL in front, which stands above it. */
static struct str strip_url(struct str cause, struct str url)
{
    if (url.len > 0 && str_starts_with(cause, url) && cause.len > url.len + 2 &&
        cause.p[url.len] == ':' && cause.p[url.len + 1] == ' ')
        return str_slice(cause, url.len + 2, cause.len);
    return cause;
}

static void put_times(struct status_page *t, const struct history_cause *cause)
{
    int64_t times = week_sum(&cause->week, t->in->now_ms);

    if (times > 1) {
        buf_puts(t->out, " (");
        put_text_number(t->out, times);
        buf_puts(t->out, " times this week)");
    } else if (times == 1) {
        buf_puts(t->out, " (once this week)");
    } else {
        buf_puts(t->out, " (last ");
        time_text_put_near(t->out, cause->last_ms, t->in->now_ms);
        buf_putc(t->out, ')');
    }
}

/* The causes in the order of their latest event, newest first. */
static void put_disconnections(struct status_page *t, struct str url)
{
    struct history_causes left = t->history.ends;

    for (int n = 0; n < SHOWN_CAUSES && left.count > 0; n++) {
        const struct history_cause *last = history_last_cause(&left);
        buf_puts(t->out, INDENT);
        buf_puts(t->out, n == 0 ? "before that: " : "earlier: ");
        put_foreign(t, strip_url(str_of(last->text), url));
        put_times(t, last);
        buf_putc(t->out, '\n');
        left.items[last - left.items] = left.items[--left.count];
    }
}

static void put_proxy(struct status_page *t)
{
    struct proxy_fields proxy = {.since_ms = 0};

    if (!is_current(t) ||
        fields_read(proxy_fields, t->parts.proxy, &proxy, NULL, ERR_IGNORED) != 0)
        return;
    begin_line(t, "proxy");
    if (str_equal(proxy.state, STR("connected"))) {
        buf_puts(t->out, "connected since ");
        time_text_put(t->out, proxy.since_ms);
        buf_puts(t->out, "   ");
        put_foreign(t, proxy.resource_url.len > 0 ? proxy.resource_url : proxy.url);
    } else {
        buf_puts(t->out, "not connected");
        put_since(t, proxy.out_since_ms > 0 ? proxy.out_since_ms : t->top.started_ms);
        if (proxy.failure.len > 0) {
            buf_puts(t->out, ": ");
            put_foreign(t, proxy.failure);
        }
        if (str_equal(proxy.state, STR("connecting")))
            buf_puts(t->out, "; trying now");
        put_next_try(t, proxy.next_try_ms);
        if (proxy.next_try_ms > 0 && proxy.retry_after_ms > 0) {
            buf_puts(t->out, ", as it asks for ");
            time_text_put_span(t->out, proxy.retry_after_ms);
        }
        buf_puts(t->out, "\n" INDENT);
        put_foreign(t, proxy.url);
    }
    buf_putc(t->out, '\n');
    put_disconnections(t, proxy.url);
}

static void put_text_upload_right(struct status_page *t, const struct gateway_fields *g,
                                  bool is_known)
{
    if (str_equal(t->top.client, STR("not registered"))) {
        buf_puts(t->out, "client not registered: run `kachery-resource register` on that host");
        return;
    }
    buf_puts(t->out, "client ");
    if (str_equal(t->top.client, STR("registered")))
        buf_puts(t->out, "registered");
    else
        buf_puts(t->out, "not known to be registered");
    if (is_known && g->may_upload) {
        buf_puts(t->out, ", may upload");
    } else if (is_known) {
        buf_puts(t->out, ", may not upload: ");
        put_foreign(t, g->refusal);
    } else {
        buf_puts(t->out, ", no upload tried yet");
    }
}

static void put_gateway(struct status_page *t)
{
    struct gateway_fields g = {.answered_ms = 0};
    uint32_t seen = 0;

    if (!is_current(t) || fields_read(gateway_fields, t->parts.gateway, &g, &seen,
                                      ERR_IGNORED) != 0)
        return;
    begin_line(t, "gateway");
    if (g.failed_ms > 0) {
        buf_puts(t->out, "fails");
        put_since(t, g.failed_ms);
        buf_puts(t->out, ": ");
        put_foreign(t, g.failure);
        put_next_try(t, g.next_try_ms);
    } else if (g.answered_ms > 0) {
        buf_puts(t->out, "answered ");
        time_text_put_span(t->out, t->in->now_ms - g.answered_ms);
        buf_puts(t->out, " ago");
    } else {
        buf_puts(t->out, "not asked yet");
    }
    if (fields_has(gateway_fields, seen, "clockAheadMs"))
        buf_printf(t->out, ", clock %+.1f s", (double)g.ahead_ms / 1000);
    buf_puts(t->out, "; ");
    put_text_upload_right(t, &g, fields_has(gateway_fields, seen, "mayUpload"));
    buf_putc(t->out, '\n');
}

/* --- work --- */

static void put_text_upload(struct status_page *t, const struct upload_fields *u)
{
    int percent = u->size > 0 ? (int)((double)u->bytes * 100 / (double)u->size) : 100;

    put_hash(t, u->hash);
    buf_printf(t->out, " %d %% of ", percent);
    size_text_put(t->out, (double)u->size);
    buf_puts(t->out, ", ");
    size_text_put(t->out, (double)u->bytes_per_s);
    buf_puts(t->out, "/s");
}

static void put_uploads(struct status_page *t)
{
    struct upload_fields upload;
    size_t shown = 0, count = json_count(t->parts.uploads);

    for (const struct json *item = json_first(t->parts.uploads);
         item != NULL && shown < SHOWN_UPLOADS; item = json_next(item)) {
        upload = (struct upload_fields){.size = 0};
        if (fields_read(upload_fields, item, &upload, NULL, ERR_IGNORED) != 0)
            continue;
        buf_puts(t->out, "; ");
        put_text_upload(t, &upload);
        shown++;
    }
    if (count == 0)
        buf_puts(t->out, "; no upload");
    else if (count > shown)
        buf_printf(t->out, "; %zu other uploads", count - shown);
}

static void put_now(struct status_page *t)
{
    struct now_fields now = {.waiting = 0};

    if (!is_current(t) || fields_read(now_fields, t->in->status, &now, NULL, ERR_IGNORED) != 0)
        return;
    begin_line(t, "now");
    buf_printf(t->out, "%lld waiting, %lld queued", (long long)now.waiting, (long long)now.queued);
    put_uploads(t);
    buf_puts(t->out, "; ");
    put_counted(t->out, now.open_files, "file open for ranges\n", "files open for ranges\n");
}

static void put_text_totals(struct status_page *t)
{
    const struct history_totals *totals = &t->history.totals;

    if (t->in->status == NULL)
        return;
    begin_line(t, "totals");
    put_counted(t->out, totals->requests, "request: ", "requests: ");
    put_text_number(t->out, totals->completed);
    buf_puts(t->out, " uploaded (");
    size_text_put(t->out, (double)totals->bytes_uploaded);
    buf_puts(t->out, "), ");
    put_text_number(t->out, totals->not_here);
    buf_puts(t->out, " not here, ");
    put_text_number(t->out, totals->changed);
    buf_puts(t->out, " changed, ");
    put_text_number(t->out, totals->failed);
    buf_puts(t->out, " failed; ");
    size_text_put(t->out, (double)totals->range_bytes);
    buf_puts(t->out, " in ranges\n");
}

static const struct history_absent *most_wanted(const struct history *h)
{
    const struct history_absent *most = &h->absent[0];

    for (size_t i = 1; i < h->absent_count; i++)
        if (h->absent[i].count > most->count ||
            (h->absent[i].count == most->count && h->absent[i].last_ms > most->last_ms))
            most = &h->absent[i];
    return most;
}

static void put_absent(struct status_page *t)
{
    struct history left = t->history;

    if (t->in->status == NULL)
        return;
    begin_line(t, "not here");
    if (left.absent_count == 0)
        buf_puts(t->out, "nothing was asked for in vain\n");
    for (int n = 0; left.absent_count > 0 && (n < SHOWN_ABSENT || t->in->is_verbose); n++) {
        const struct history_absent *most = most_wanted(&left);
        if (n > 0)
            buf_puts(t->out, INDENT);
        put_hash(t, str_of(most->hash));
        buf_putc(t->out, ' ');
        put_counted(t->out, most->count, "time, last ", "times, last ");
        time_text_put_near(t->out, most->last_ms, t->in->now_ms);
        if (most->asker[0] != '\0') {
            buf_puts(t->out, " from ");
            put_foreign(t, str_of(most->asker));
        }
        buf_putc(t->out, '\n');
        left.absent[most - left.absent] = left.absent[--left.absent_count];
    }
    if (left.absent_count > 0)
        buf_printf(t->out, INDENT "and %zu more: `status -v`\n", left.absent_count);
}

/* "kachery-upload: killed by SIGKILL: out of memory, or a limit of this host?" reads as "killed by
 * SIGKILL (out of memory, or a limit of this host), kachery-upload". */
static void put_loss(struct status_page *t, struct str cause)
{
    size_t name_len = str_find(cause, ':');
    struct str name = str_slice(cause, 0, name_len);
    struct str words = str_trim(str_slice(cause, name_len + 1, cause.len));
    size_t colon = str_find(words, ':');

    if (colon < words.len && str_ends_with(words, STR("?"))) {
        put_foreign(t, str_slice(words, 0, colon));
        buf_puts(t->out, " (");
        put_foreign(t, str_trim(str_slice(words, colon + 1, words.len - 1)));
        buf_puts(t->out, ")");
    } else {
        put_foreign(t, words);
    }
    buf_puts(t->out, ", ");
    put_foreign(t, name);
}

static void put_workers(struct status_page *t)
{
    const struct history_cause *last = history_last_cause(&t->history.lost);
    int64_t lost = week_sum(&t->history.lost.all, t->in->now_ms);

    if (t->in->status == NULL || t->parts.lost == NULL)
        return;
    begin_line(t, "workers");
    put_text_number(t->out, lost);
    buf_puts(t->out, " lost in 7 d");
    if (last != NULL) {
        buf_puts(t->out, ", last: ");
        put_loss(t, str_of(last->text));
        buf_puts(t->out, ", ");
        time_text_put_near(t->out, last->last_ms, t->in->now_ms);
    }
    buf_putc(t->out, '\n');
}

/* A day's time of the supervisor, by what it used so far. */
static void put_text_processor(struct status_page *t)
{
    struct processor_fields p = {.date = 0};
    int64_t ran_ms = t->top.written_ms - t->top.started_ms;
    double days = (double)ran_ms / ((double)CALENDAR_DAY_S * 1000);

    if (!is_current(t) || fields_read(processor_fields, t->parts.processor, &p, NULL,
                                      ERR_IGNORED) != 0)
        return;
    begin_line(t, "processor");
    if (ran_ms >= 3600 * 1000)
        buf_printf(t->out, "supervisor %.1f s a day", (double)p.supervisor_ms / 1000 / days);
    else
        buf_printf(t->out, "supervisor %.1f s since it started", (double)p.supervisor_ms / 1000);
    if (p.date == time_text_date(t->in->now_ms))
        buf_printf(t->out, ", all %lld s today", (long long)p.today_ms / 1000);
    buf_putc(t->out, '\n');
}

static void put_cron(struct status_page *t)
{
    const struct cron_record *cron = t->in->cron;

    begin_line(t, "cron");
    if (cron->at_ms == 0) {
        put_foreign(t, cron->outcome[0] != '\0' ? str_of(cron->outcome)
                                                : STR("no run of `share --cron` is on record"));
        buf_putc(t->out, '\n');
        return;
    }
    buf_puts(t->out, "last run on ");
    put_foreign(t, str_of(cron->host));
    buf_puts(t->out, " at ");
    time_text_put_near(t->out, cron->at_ms, t->in->now_ms);
    buf_puts(t->out, ": ");
    put_foreign(t, str_of(cron->outcome));
    buf_putc(t->out, '\n');
}

void status_text_put(struct buf *out, const struct status_text *in)
{
    struct status_page t = {.out = out, .in = in};

    if (in->status != NULL) {
        (void)!fields_read(top_fields, in->status, &t.top, NULL, ERR_IGNORED);
        status_parts_read(&t.parts, in->status);
        history_read(&t.history, in->status);
    }
    if (in->life->verdict == LIVENESS_NONE || !in->life->has_record)
        put_ended_head(&t);
    else
        put_running_head(&t);
    put_alive(&t);
    put_ended(&t);
    put_refused(&t);
    put_status_trouble(&t);
    put_proxy(&t);
    put_gateway(&t);
    put_now(&t);
    put_text_totals(&t);
    put_absent(&t);
    put_workers(&t);
    put_text_processor(&t);
    put_cron(&t);
}
