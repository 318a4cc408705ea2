#include "daemon/status_writer.h"

#include "base/clock.h"
#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/time_text.h"
#include "daemon/status_parts.h"

struct origin_fields {
    struct str resource;
    int64_t started_ms;
};

static const struct field origin_fields[] = {
    {.name = "resourceName", .kind = FIELD_STRING, .at = offsetof(struct origin_fields, resource)},
    {.name = "startedMs", .kind = FIELD_INT, .at = offsetof(struct origin_fields, started_ms)},
    {.kind = FIELD_OTHERS},
};

void status_writer_read(struct history *out, const char *path, const char *resource)
{
    struct origin_fields origin;
    struct buf text = {0};
    struct json *status = NULL;

    if (fs_read_file(path, STATUS_MAX_BYTES, &text, ERR_IGNORED) == 0)
        status = json_parse(buf_str(&text), JSON_STRICT, ERR_IGNORED);
    if (fields_read(origin_fields, status, &origin, NULL, ERR_IGNORED) == 0 &&
        str_equal(origin.resource, str_of(resource))) {
        history_read(out, status);
        if (out->totals.since_ms == 0) /* of release 0.1, which began anew with each start */
            out->totals.since_ms = origin.started_ms;
    }
    json_free(status);
    buf_free(&text);
}

void status_writer_init(struct status_writer *w, const struct intervals *intervals,
                        struct history *history)
{
    *w = (struct status_writer){.history = history, .intervals = intervals};
    if (history->totals.since_ms == 0)
        history->totals.since_ms = clock_wall_ms();
    processor_init(&w->processor, history->date, history->date_cpu_ms);
    (void)time_text_date(clock_wall_ms()); /* reads the time zone's file: in the loop it is known */
}

void status_writer_deinit(struct status_writer *w)
{
    buf_free(&w->text);
    buf_free(&w->written);
}

bool status_writer_is_due(const struct status_writer *w, int64_t now_ms)
{
    return now_ms >= w->next_ms;
}

static void put_without_times(struct status_writer *w, struct status_view *view)
{
    view->history = w->history;
    view->processor = (struct processor_view){.date = 0};
    view->now_ms = 0;
    buf_clear(&w->text);
    status_put(&w->text, view);
}

static void put_with_times(struct status_writer *w, struct status_view *view)
{
    view->history = w->history;
    view->now_ms = clock_wall_ms();
    view->processor = processor_look(&w->processor, view->now_ms);
    buf_clear(&w->text);
    status_put(&w->text, view);
}

void status_writer_step(struct status_writer *w, struct status_view *view, struct keeper *keeper,
                        int64_t now_ms)
{
    if (!status_writer_is_due(w, now_ms))
        return;
    put_without_times(w, view);
    if (w->text.failed ||
        (now_ms < w->idle_ms && str_equal(buf_str(&w->text), buf_str(&w->written))))
        return;
    struct buf unchanged = w->written;
    w->written = w->text;
    w->text = unchanged;
    put_with_times(w, view);
    w->next_ms = now_ms + w->intervals->status_ms;
    w->idle_ms = now_ms + w->intervals->status_idle_ms;
    if (w->text.failed || !keeper_write_status(keeper, buf_str(&w->text)))
        buf_clear(&w->written);
}

void status_writer_end(struct status_writer *w, struct status_view *view, struct keeper *keeper)
{
    put_with_times(w, view);
    if (!w->text.failed)
        keeper_write_last_status(keeper, buf_str(&w->text));
}

int64_t status_writer_next_ms(const struct status_writer *w, int64_t now_ms)
{
    return w->next_ms > now_ms ? w->next_ms : w->idle_ms;
}
