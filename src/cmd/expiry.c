#include "cmd/expiry.h"

#include <time.h>

#include "base/calendar.h"
#include "base/quote.h"

enum { DATE_BYTES = 10, MINUTE_S = 60, HOUR_S = 3600, MAX_YEAR = 2200 };

static int refuse_expiry(struct str text, const char *why, struct err *e)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_USAGE,
                   "--expires \"%s\": %s; want a time like 90m, 12h, 7d (at most %dd), 2027-03-01",
                   quote_str(quoted, text), why, EXPIRY_MAX_DAYS);
}

static int64_t unit_s(char unit)
{
    return unit == 'm' ? MINUTE_S : unit == 'h' ? HOUR_S : unit == 'd' ? CALENDAR_DAY_S : 0;
}

/* Seconds since the epoch; false when it is no date. */
static bool read_date(struct str text, int64_t *at_s)
{
    uint64_t year, month, day;
    int64_t days;

    if (text.len != DATE_BYTES || text.p[4] != '-' || text.p[7] != '-' ||
        !str_to_uint(str_slice(text, 0, 4), MAX_YEAR, &year) ||
        !str_to_uint(str_slice(text, 5, 7), 12, &month) ||
        !str_to_uint(str_slice(text, 8, 10), 31, &day) ||
        !calendar_days((int)year, (int)month, (int)day, &days))
        return false;
    *at_s = days * CALENDAR_DAY_S;
    return true;
}

int expiry_parse(struct str text, int64_t now_ms, int64_t *at_ms, struct err *e)
{
    int64_t unit = text.len == 0 ? 0 : unit_s(text.p[text.len - 1]), at;
    int64_t longest_ms = (int64_t)EXPIRY_MAX_DAYS * CALENDAR_DAY_S * 1000;
    uint64_t count;

    if (unit != 0 && str_to_uint(str_slice(text, 0, text.len - 1), INT32_MAX, &count))
        at = now_ms + (int64_t)count * unit * 1000;
    else if (read_date(text, &at))
        at *= 1000;
    else
        return refuse_expiry(text, "not a time", e);
    if (at <= now_ms)
        return refuse_expiry(text, "that is over", e);
    if (at - now_ms > longest_ms)
        return refuse_expiry(text, "that is too long", e);
    *at_ms = at;
    return 0;
}

void expiry_put(struct buf *out, int64_t at_ms)
{
    time_t at = (time_t)(at_ms / 1000);
    struct tm t;

    if (gmtime_r(&at, &t) == NULL)
        buf_puts(out, "-");
    else
        buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                   t.tm_hour, t.tm_min, t.tm_sec);
}
