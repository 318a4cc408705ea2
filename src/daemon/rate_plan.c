#include "daemon/rate_plan.h"

enum { DAYS = 7, EVERY_DAY = (1 << DAYS) - 1, DAY_MINUTES = 24 * 60, MAX_DECIMALS = 3 };

static const char *const day_names[DAYS] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                            "Thursday", "Friday", "Saturday"};

static const struct {
    const char *name;
    int64_t bytes;
} units[] = {
    {"", 1},
    {"B", 1},
    {"k", 1000},
    {"K", 1000},
    {"kB", 1000},
    {"KB", 1000},
    {"M", 1000000},
    {"MB", 1000000},
    {"G", 1000000000},
    {"GB", 1000000000},
    {"T", 1000000000000},
    {"TB", 1000000000000},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
};

/* ---- rates ---- */

static int refuse_rate(struct err *e)
{
    return err_set(e, ERR_USAGE, "want bytes a second, 100kB to 1TB, such as 50MB (10^6)");
}

static size_t count_digits(struct str text)
{
    size_t n = 0;

    while (n < text.len && text.p[n] >= '0' && text.p[n] <= '9')
        n++;
    return n;
}

/* Takes digits off the front of *text. */
static bool take_number(struct str *text, uint64_t max, uint64_t *number)
{
    size_t n = count_digits(*text);

    if (!str_to_uint(str_slice(*text, 0, n), max, number))
        return false;
    *text = str_slice(*text, n, text->len);
    return true;
}

/* Takes ".5" off the front of *text, in thousandths; nothing is 0. */
static bool take_thousandths(struct str *text, uint64_t *thousandths)
{
    struct str digits;
    size_t n;

    *thousandths = 0;
    if (!str_starts_with(*text, STR(".")))
        return true;
    *text = str_slice(*text, 1, text->len);
    n = count_digits(*text);
    digits = str_slice(*text, 0, n);
    if (n > MAX_DECIMALS || !take_number(text, 999, thousandths))
        return false;
    for (; n < MAX_DECIMALS; n++)
        *thousandths *= 10;
    return digits.len > 0;
}

static bool find_unit(struct str name, int64_t *bytes)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (str_equal(name, str_of(units[i].name))) {
            *bytes = units[i].bytes;
            return true;
        }
    return false;
}

int rate_plan_parse_rate(struct str text, int64_t *bytes, struct err *e)
{
    uint64_t whole, thousandths;
    int64_t unit, rate;

    text = str_trim(text);
    if (str_ends_with(text, STR("/s")))
        text = str_slice(text, 0, text.len - 2);
    if (!take_number(&text, (uint64_t)RATE_PLAN_MAX_BYTES, &whole) ||
        !take_thousandths(&text, &thousandths) || !find_unit(str_trim(text), &unit) ||
        (int64_t)whole > RATE_PLAN_MAX_BYTES / unit)
        return refuse_rate(e);
    rate = (int64_t)whole * unit + (int64_t)thousandths * unit / 1000;
    if (rate < RATE_PLAN_MIN_BYTES || rate > RATE_PLAN_MAX_BYTES)
        return refuse_rate(e);
    *bytes = rate;
    return 0;
}

/* ---- times of the week ---- */

static bool find_day(struct str name, int *day)
{
    for (int i = 0; i < DAYS; i++) {
        struct str known = str_of(day_names[i]);
        if (str_equal_nocase(name, known) || str_equal_nocase(name, str_slice(known, 0, 3))) {
            *day = i;
            return true;
        }
    }
    return false;
}

/* "Mon", "Mon-Fri", "Fri-Mon". */
static bool add_days(struct str text, unsigned *days)
{
    size_t dash = str_find(text, '-');
    int first, last;

    if (!find_day(str_slice(text, 0, dash), &first))
        return false;
    last = first;
    if (dash < text.len && !find_day(str_slice(text, dash + 1, text.len), &last))
        return false;
    for (int day = first;; day = (day + 1) % DAYS) {
        *days |= 1u << day;
        if (day == last)
            return true;
    }
}

/* A list, such as "Mon-Wed,Fri". */
static bool parse_days(struct str text, unsigned *days)
{
    *days = 0;
    for (;;) {
        size_t comma = str_find(text, ',');
        if (!add_days(str_slice(text, 0, comma), days))
            return false;
        if (comma == text.len)
            return true;
        text = str_slice(text, comma + 1, text.len);
    }
}

/* "8:00", "18:30", "24:00". */
static bool parse_minute(struct str text, int *minute)
{
    uint64_t hour, rest;

    if (count_digits(text) > 2 || !take_number(&text, 24, &hour) || text.len != 3 ||
        text.p[0] != ':' || !str_to_uint(str_slice(text, 1, 3), 59, &rest))
        return false;
    *minute = (int)hour * 60 + (int)rest;
    return *minute <= DAY_MINUTES;
}

static bool parse_window(struct str text, struct rate_rule *rule)
{
    size_t dash = str_find(text, '-');

    return dash < text.len && parse_minute(str_slice(text, 0, dash), &rule->from_minute) &&
           parse_minute(str_slice(text, dash + 1, text.len), &rule->to_minute) &&
           rule->from_minute < DAY_MINUTES && rule->from_minute != rule->to_minute;
}

/* Takes the first word off the front of *text. */
static struct str take_rule_word(struct str *text)
{
    struct str rest = str_trim(*text), word;
    size_t n = 0;

    while (n < rest.len && rest.p[n] != ' ' && rest.p[n] != '\t')
        n++;
    word = str_slice(rest, 0, n);
    *text = str_trim(str_slice(rest, n, rest.len));
    return word;
}

int rate_plan_add(struct rate_plan *plan, struct str rule, struct err *e)
{
    struct rate_rule read = {.days = EVERY_DAY};
    struct str word = take_rule_word(&rule);

    if (plan->count == RATE_PLAN_MAX_RULES)
        return err_set(e, ERR_USAGE, "want at most %d rules", RATE_PLAN_MAX_RULES);
    if (word.len > 0 && count_digits(word) == 0) {
        if (!parse_days(word, &read.days))
            return err_set(e, ERR_USAGE, "want days such as Mon-Fri or Sat,Sun");
        word = take_rule_word(&rule);
    }
    if (!parse_window(word, &read))
        return err_set(e, ERR_USAGE, "want days, times and a rate, such as Mon-Fri 08:00-18:00 "
                                     "10MB: the times are 00:00 to 24:00");
    if (!str_equal_nocase(rule, STR("unlimited")) &&
        rate_plan_parse_rate(rule, &read.bytes, e) != 0)
        return -1;
    plan->rules[plan->count++] = read;
    return 0;
}

bool rate_plan_limits(const struct rate_plan *plan)
{
    bool limits = plan->bytes > 0;

    for (size_t i = 0; i < plan->count; i++)
        limits = limits || plan->rules[i].bytes > 0;
    return limits;
}

static bool is_in_rule(const struct rate_rule *rule, const struct tm *local)
{
    int minute = local->tm_hour * 60 + local->tm_min;
    int day = local->tm_wday, yesterday = (day + DAYS - 1) % DAYS;
    bool is_today = (rule->days >> day & 1) != 0;

    if (rule->from_minute < rule->to_minute)
        return is_today && minute >= rule->from_minute && minute < rule->to_minute;
    return (is_today && minute >= rule->from_minute) ||
           ((rule->days >> yesterday & 1) != 0 && minute < rule->to_minute);
}

int64_t rate_plan_at(const struct rate_plan *plan, const struct tm *local)
{
    for (size_t i = plan->count; i > 0; i--)
        if (is_in_rule(&plan->rules[i - 1], local))
            return plan->rules[i - 1].bytes;
    return plan->bytes;
}
