/* Values of single headers: dates (RFC 9110 §5.6.7), Retry-After (§10.2.3) and ranges (§14). */
#include <string.h>
#include <time.h>

#include "base/calendar.h"
#include "proto/http_head.h"

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const long_days[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                         "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* ---- dates ---- */

struct date {
    unsigned year, month, day, hour, minute, second; /* month 1-12 */
};

void http_head_format_date(int64_t wall_ms, char out[30])
{
    static const int64_t last = INT64_C(253402300799); /* 9999-12-31T23:59:59 */
    time_t seconds = wall_ms < 0 ? 0 : (time_t)(wall_ms / 1000);
    struct tm t;

    if (seconds > last)
        seconds = last;
    gmtime_r(&seconds, &t);
    strftime(out, 30, "%a, %d %b %Y %H:%M:%S GMT", &t); /* the locale is never set: it is C */
}

/* Reads `count` digits; a leading space stands for 0 where asctime() pads so. */
static bool take_date_number(struct str *s, size_t count, bool may_pad, unsigned *out)
{
    struct str digits = str_slice(*s, 0, count);
    uint64_t value;

    if (may_pad && digits.len == 2 && digits.p[0] == ' ')
        digits = str_slice(digits, 1, 2);
    if (s->len < count || !str_to_uint(digits, 9999, &value))
        return false;
    *out = (unsigned)value;
    *s = str_slice(*s, count, s->len);
    return true;
}

static bool take_date_text(struct str *s, const char *text)
{
    if (!str_starts_with(*s, str_of(text)))
        return false;
    *s = str_slice(*s, strlen(text), s->len);
    return true;
}

static bool take_month(struct str *s, unsigned *out)
{
    for (unsigned i = 0; i < 12; i++)
        if (take_date_text(s, months[i])) {
            *out = i + 1;
            return true;
        }
    return false;
}

static bool take_day_name(struct str *s, bool is_long)
{
    for (size_t i = 0; i < 7; i++)
        if (take_date_text(s, is_long ? long_days[i] : days[i]))
            return true;
    return false;
}

static bool take_time(struct str *s, struct date *d)
{
    return take_date_number(s, 2, false, &d->hour) && take_date_text(s, ":") &&
           take_date_number(s, 2, false, &d->minute) && take_date_text(s, ":") &&
           take_date_number(s, 2, false, &d->second);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool parse_fixdate(struct str s, struct date *d)
{
    return take_day_name(&s, false) && take_date_text(&s, ", ") &&
           take_date_number(&s, 2, false, &d->day) && take_date_text(&s, " ") &&
           take_month(&s, &d->month) && take_date_text(&s, " ") &&
           take_date_number(&s, 4, false, &d->year) && take_date_text(&s, " ") &&
           take_time(&s, d) && take_date_text(&s, " GMT") && s.len == 0;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool parse_rfc850(struct str s, struct date *d)
{
    if (!(take_day_name(&s, true) && take_date_text(&s, ", ") &&
          take_date_number(&s, 2, false, &d->day) && take_date_text(&s, "-") &&
          take_month(&s, &d->month) && take_date_text(&s, "-") &&
          take_date_number(&s, 2, false, &d->year) && take_date_text(&s, " ") && take_time(&s, d) &&
          take_date_text(&s, " GMT") && s.len == 0))
        return false;
    d->year += d->year >= 70 ? 1900 : 2000;
    return true;
}

/* Sun Nov  6 08:49:37 1994 */
static bool parse_asctime(struct str s, struct date *d)
{
    return take_day_name(&s, false) && take_date_text(&s, " ") && take_month(&s, &d->month) &&
           take_date_text(&s, " ") && take_date_number(&s, 2, true, &d->day) &&
           take_date_text(&s, " ") && take_time(&s, d) && take_date_text(&s, " ") &&
           take_date_number(&s, 4, false, &d->year) && s.len == 0;
}

int64_t http_head_parse_date(struct str value)
{
    struct date d = {0};
    int64_t day;

    if (!parse_fixdate(value, &d) && !parse_rfc850(value, &d) && !parse_asctime(value, &d))
        return -1;
    /* 60: a leap second. */
    if (d.year < 1970 || d.hour > 23 || d.minute > 59 || d.second > 60 ||
        !calendar_days((int)d.year, (int)d.month, (int)d.day, &day))
        return -1;
    return (day * CALENDAR_DAY_S + d.hour * 3600 + d.minute * 60 + d.second) * 1000;
}

/* ---- Retry-After ---- */

int64_t http_head_parse_retry_after(struct str value, int64_t now_ms)
{
    uint64_t seconds;
    int64_t date_ms;

    if (str_to_uint(value, INT64_MAX / 1000, &seconds))
        return (int64_t)seconds * 1000;
    date_ms = http_head_parse_date(value);
    if (date_ms < 0)
        return -1;
    return date_ms > now_ms ? date_ms - now_ms : 0;
}

int64_t http_head_retry_after_ms(const struct http_head *head, int64_t wall_ms)
{
    const struct str *after = http_head_get(head, "Retry-After");
    const struct str *date = http_head_get(head, "Date");
    int64_t date_ms = date == NULL ? -1 : http_head_parse_date(*date);

    if (after == NULL)
        return -1;
    return http_head_parse_retry_after(*after, date_ms >= 0 ? date_ms : wall_ms);
}

/* ---- ranges ---- */

/* Takes digits; a number too large for an int64_t counts as INT64_MAX. */
static bool parse_position(struct str s, int64_t *out)
{
    uint64_t value = INT64_MAX;

    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    if (s.len == 0)
        return false;
    (void)str_to_uint(s, INT64_MAX, &value);
    *out = (int64_t)value;
    return true;
}

/* "-N": the last N bytes. */
static int suffix_range(struct str digits, int64_t size, int64_t *start, int64_t *end)
{
    int64_t len;

    if (!parse_position(digits, &len))
        return 0;
    if (len == 0)
        return -1;
    if (size == 0)
        return 0; /* satisfiable by the whole, empty object; no Content-Range is of 0 bytes */
    *start = len < size ? size - len : 0;
    *end = size;
    return 1;
}

int http_head_parse_range(struct str value, int64_t size, int64_t *start, int64_t *end)
{
    int64_t first, last = INT64_MAX;

    if (!str_equal_nocase(str_slice(value, 0, 6), STR("bytes=")))
        return 0;
    value = str_trim(str_slice(value, 6, value.len));
    size_t dash = str_find(value, '-');
    struct str tail = str_slice(value, dash + 1, value.len);
    if (dash == 0)
        return suffix_range(tail, size, start, end);
    if (dash == value.len || !parse_position(str_slice(value, 0, dash), &first) ||
        (tail.len > 0 && !parse_position(tail, &last)) || last < first)
        return 0;
    if (first >= size)
        return -1;
    *start = first;
    *end = last < size ? last + 1 : size;
    return 1;
}

bool http_head_parse_content_range(struct str value, int64_t *start, int64_t *end, int64_t *total)
{
    size_t slash = str_find(value, '/'), dash = str_find(value, '-');
    uint64_t first, last, size = 0;

    if (!str_equal_nocase(str_slice(value, 0, 6), STR("bytes ")) || dash > slash)
        return false;
    struct str size_text = str_slice(value, slash + 1, value.len);
    bool is_unknown = str_equal(size_text, STR("*"));
    if (!str_to_uint(str_slice(value, 6, dash), INT64_MAX, &first) ||
        !str_to_uint(str_slice(value, dash + 1, slash), INT64_MAX - 1, &last) || last < first ||
        (!is_unknown && (!str_to_uint(size_text, INT64_MAX, &size) || last >= size)))
        return false;
    *start = (int64_t)first;
    *end = (int64_t)last + 1;
    *total = is_unknown ? -1 : (int64_t)size;
    return true;
}
