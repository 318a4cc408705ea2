#include "daemon/intervals.h"

#include <stddef.h>

#include "base/env.h"

#define MS_MAX ((uint64_t)7 * 24 * 3600 * 1000)

static const struct row {
    const char *name;
    size_t offset;
    int64_t ms;
} rows[] = {
#define ROW(name, ms) {#name, offsetof(struct intervals, name), ms}
    ROW(connect_ms, 30000),
    ROW(acknowledge_ms, 20000),
    ROW(ping_ms, 20000),
    ROW(dead_ms, 60000),
    ROW(retry_min_ms, 1000),
    ROW(retry_max_ms, 30000),
    ROW(stable_ms, 10000),
    ROW(presence_first_ms, 5000),
    ROW(presence_ms, 300000),
    ROW(redial_max_ms, 600000),
    ROW(repeat_log_ms, 600000),
    ROW(lookup_slow_ms, 250),
    ROW(lookup_lost_ms, 5000),
    ROW(upload_silent_ms, 1800000), /* a file on tape may take long to come */
    ROW(worker_idle_ms, 60000),
    ROW(worker_cpu_ms, 60000),
    ROW(keep_result_ms, 60000),
    ROW(stop_ms, 7000),
    ROW(close_ms, 1000),
    ROW(lease_refresh_ms, 60000),
    ROW(lease_stale_ms, 300000),
    ROW(status_ms, 1000),
    ROW(registration_ms, 60000),
#undef ROW
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static int64_t *field(struct intervals *t, const struct row *row)
{
    return (int64_t *)(void *)((char *)t + row->offset);
}

void intervals_init(struct intervals *t)
{
    for (size_t i = 0; i < ROWS; i++)
        *field(t, &rows[i]) = rows[i].ms;
}

static int set_one(struct intervals *t, struct str part, struct err *e)
{
    size_t equals = str_find(part, '=');
    struct str name = str_slice(part, 0, equals);
    uint64_t ms;

    for (size_t i = 0; i < ROWS; i++) {
        if (!str_equal(name, str_of(rows[i].name)))
            continue;
        if (!str_to_uint(str_slice(part, equals + 1, part.len), MS_MAX, &ms))
            break;
        *field(t, &rows[i]) = (int64_t)ms;
        return 0;
    }
    return err_set(e, ERR_USAGE, "interval \"%.*s\": want NAME=MILLISECONDS", STR_ARG(part));
}

int intervals_parse(struct intervals *t, struct str text, struct err *e)
{
    while (text.len > 0) {
        size_t end = str_find(text, ',');
        if (set_one(t, str_slice(text, 0, end), e) != 0)
            return -1;
        text = str_slice(text, end + 1, text.len);
    }
    return 0;
}

int intervals_load(struct intervals *t, struct err *e)
{
    intervals_init(t);
    if (intervals_parse(t, str_of(env_get("KACHERY_RESOURCE_TEST_INTERVALS")), e) == 0)
        return 0;
    return err_wrap(e, "KACHERY_RESOURCE_TEST_INTERVALS");
}
