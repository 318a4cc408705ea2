#include "daemon/week.h"

#include <string.h>

#include "base/calendar.h"
#include "base/fields.h"

static int64_t day_of(int64_t at_ms)
{
    return at_ms < 0 ? 0 : at_ms / 1000 / CALENDAR_DAY_S;
}

/* Moves the counts so that the first one is of that day. Where the clock was set back, the counts
 * move back with it: a day in the future would keep them until then. */
static void turn_week(struct week *w, int64_t day)
{
    int64_t by = day - w->day;

    w->day = day;
    if (by <= 0)
        return;
    if (by > WEEK_DAYS)
        by = WEEK_DAYS;
    memmove(w->counts + by, w->counts, (size_t)(WEEK_DAYS - by) * sizeof w->counts[0]);
    memset(w->counts, 0, (size_t)by * sizeof w->counts[0]);
}

void week_add(struct week *w, int64_t at_ms)
{
    turn_week(w, day_of(at_ms));
    w->counts[0]++;
}

int64_t week_sum(const struct week *w, int64_t now_ms)
{
    struct week turned = *w;
    int64_t sum = 0;

    turn_week(&turned, day_of(now_ms));
    for (int i = 0; i < WEEK_DAYS; i++)
        sum += turned.counts[i];
    return sum;
}

struct week_fields {
    int64_t day;
    const struct json *counts;
};

static const struct field week_fields[] = {
    {.name = "day", .kind = FIELD_INT, .at = offsetof(struct week_fields, day)},
    {.name = "counts", .kind = FIELD_ARRAY, .at = offsetof(struct week_fields, counts)},
    {.kind = FIELD_OTHERS},
};

void week_put(struct buf *out, const char *key, const struct week *w)
{
    json_open_member(out, key, '{');
    json_put_int(out, "day", w->day);
    json_open_member(out, "counts", '[');
    for (int i = 0; i < WEEK_DAYS; i++)
        json_put_int(out, NULL, w->counts[i]);
    json_close(out, ']');
    json_close(out, '}');
}

bool week_read(struct week *w, const struct json *value)
{
    struct week_fields read;
    struct week found = {.day = 0};
    int i = 0;

    if (fields_read(week_fields, value, &read, NULL, ERR_IGNORED) != 0 ||
        json_count(read.counts) != WEEK_DAYS)
        return false;
    found.day = read.day;
    for (const struct json *n = json_first(read.counts); n != NULL; n = json_next(n))
        if (!json_int(n, &found.counts[i++]) || found.counts[i - 1] < 0 ||
            found.counts[i - 1] > UINT32_MAX)
            return false;
    *w = found;
    return true;
}
