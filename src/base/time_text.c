#include "base/time_text.h"

#include <time.h>

static struct tm local_time(int64_t at_ms)
{
    time_t at = (time_t)(at_ms / 1000);
    struct tm t = {.tm_year = 70, .tm_mday = 1};

    if (localtime_r(&at, &t) == NULL)
        t = (struct tm){.tm_year = 70, .tm_mday = 1}; /* a year that no int holds */
    return t;
}

int64_t time_text_date(int64_t at_ms)
{
    struct tm t = local_time(at_ms);

    return ((int64_t)t.tm_year + 1900) * 10000 + (t.tm_mon + 1) * 100 + t.tm_mday;
}

void time_text_put(struct buf *out, int64_t at_ms)
{
    struct tm t = local_time(at_ms);

    buf_printf(out, "%04d-%02d-%02d %02d:%02d", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
               t.tm_hour, t.tm_min);
}

void time_text_put_near(struct buf *out, int64_t at_ms, int64_t now_ms)
{
    struct tm t = local_time(at_ms);

    if (time_text_date(at_ms) == time_text_date(now_ms))
        buf_printf(out, "%02d:%02d", t.tm_hour, t.tm_min);
    else
        time_text_put(out, at_ms);
}

void time_text_put_span(struct buf *out, int64_t ms)
{
    int64_t seconds = ms < 0 ? 0 : ms / 1000;

    if (seconds < 120)
        buf_printf(out, "%lld s", (long long)seconds);
    else if (seconds < 2 * 3600)
        buf_printf(out, "%lld min", (long long)seconds / 60);
    else if (seconds < 2 * 86400)
        buf_printf(out, "%lld h", (long long)seconds / 3600);
    else
        buf_printf(out, "%lld d", (long long)seconds / 86400);
}
