#include "daemon/history.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "base/fields.h"
#include "daemon/status_parts.h"

/* --- what was asked for and is not here --- */

static struct history_absent *find_absent(struct history *h, const char *hash)
{
    for (size_t i = 0; i < h->absent_count; i++)
        if (memcmp(h->absent[i].hash, hash, SHA1_HEX) == 0)
            return &h->absent[i];
    return NULL;
}

static bool is_old_absent(const struct history_absent *a, int64_t now_ms)
{
    return now_ms - a->last_ms > (int64_t)HISTORY_ABSENT_DAYS * CALENDAR_DAY_S * 1000;
}

/* Returns whether `a` is to be forgotten before `b`. */
static bool is_less_wanted(const struct history_absent *a, const struct history_absent *b,
                           int64_t now_ms)
{
    if (is_old_absent(a, now_ms) != is_old_absent(b, now_ms))
        return is_old_absent(a, now_ms);
    return a->count != b->count ? a->count < b->count : a->last_ms < b->last_ms;
}

static struct history_absent *place_for_absent(struct history *h, int64_t now_ms)
{
    struct history_absent *place = &h->absent[0];

    if (h->absent_count < HISTORY_ABSENT)
        return &h->absent[h->absent_count++];
    for (size_t i = 1; i < h->absent_count; i++)
        if (is_less_wanted(&h->absent[i], place, now_ms))
            place = &h->absent[i];
    return place;
}

void history_add_absent(struct history *h, const char *hash, struct str asker, int64_t at_ms)
{
    struct history_absent *found = find_absent(h, hash);
    struct str fits = str_cut(asker, HISTORY_ASKER_BYTES - 1);

    h->totals.not_here++;
    if (found == NULL) {
        found = place_for_absent(h, at_ms);
        *found = (struct history_absent){.count = 0};
        memcpy(found->hash, hash, SHA1_HEX);
    }
    snprintf(found->asker, sizeof found->asker, "%.*s", STR_ARG(fits));
    found->count++;
    found->last_ms = at_ms;
}

/* --- causes --- */

static struct history_cause *place_for_cause(struct history_causes *c, const char *text)
{
    struct history_cause *oldest = &c->items[0];

    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->items[i].text, text) == 0)
            return &c->items[i];
        if (c->items[i].last_ms < oldest->last_ms)
            oldest = &c->items[i];
    }
    if (c->count < HISTORY_CAUSES)
        oldest = &c->items[c->count++];
    *oldest = (struct history_cause){.last_ms = 0};
    snprintf(oldest->text, sizeof oldest->text, "%s", text);
    return oldest;
}

void history_add_cause(struct history_causes *c, const char *text, int64_t at_ms)
{
    char cut[HISTORY_CAUSE_BYTES];
    struct str whole = str_cut(str_of(text), sizeof cut - 1);
    struct history_cause *cause;

    snprintf(cut, sizeof cut, "%.*s", STR_ARG(whole));
    cause = place_for_cause(c, cut);
    cause->last_ms = at_ms;
    week_add(&cause->week, at_ms);
    week_add(&c->all, at_ms);
}

const struct history_cause *history_last_cause(const struct history_causes *c)
{
    const struct history_cause *last = NULL;

    for (size_t i = 0; i < c->count; i++)
        if (last == NULL || c->items[i].last_ms > last->last_ms)
            last = &c->items[i];
    return last;
}

/* --- as JSON --- */

#define AT(member) offsetof(struct history_totals, member)
#define COUNT(name_, member)                                                                       \
    {.name = name_, .kind = FIELD_CLAMPED, .at = AT(member), .is_optional = true}
static const struct field totals_fields[] = {
    COUNT("sinceMs", since_ms),
    COUNT("requests", requests),
    COUNT("completed", completed),
    COUNT("failed", failed),
    COUNT("notHere", not_here),
    COUNT("changed", changed),
    COUNT("bytesUploaded", bytes_uploaded),
    COUNT("rangeBytes", range_bytes),
    {.kind = FIELD_OTHERS},
};
#undef COUNT
#undef AT

static bool is_hash(const void *text)
{
    return strspn(text, "0123456789abcdef") == SHA1_HEX;
}

static const struct field absent_fields[] = {
    {.name = "sha1", .kind = FIELD_CHARS, .at = offsetof(struct history_absent, hash),
     .min = SHA1_HEX, .max = SHA1_HEX, .is_good = is_hash},
    {.name = "count", .kind = FIELD_INT, .at = offsetof(struct history_absent, count)},
    {.name = "lastMs", .kind = FIELD_INT, .at = offsetof(struct history_absent, last_ms)},
    {.name = "lastAsker", .kind = FIELD_CHARS, .at = offsetof(struct history_absent, asker),
     .max = HISTORY_ASKER_BYTES - 1, .is_optional = true},
    {.kind = FIELD_OTHERS},
};

struct causes_fields {
    const struct json *week, *causes;
};

static const struct field causes_fields[] = {
    {.name = "week", .kind = FIELD_OBJECT, .at = offsetof(struct causes_fields, week),
     .is_optional = true},
    {.name = "causes", .kind = FIELD_ARRAY, .at = offsetof(struct causes_fields, causes)},
    {.kind = FIELD_OTHERS},
};

struct cause_fields {
    struct str text;
    int64_t last_ms;
    const struct json *week;
};

static const struct field cause_fields[] = {
    {.name = "cause", .kind = FIELD_STRING, .at = offsetof(struct cause_fields, text),
     .max = HISTORY_CAUSE_BYTES - 1},
    {.name = "lastMs", .kind = FIELD_INT, .at = offsetof(struct cause_fields, last_ms)},
    {.name = "week", .kind = FIELD_OBJECT, .at = offsetof(struct cause_fields, week)},
    {.kind = FIELD_OTHERS},
};

static const struct field date_fields[] = {
    {.name = "date", .kind = FIELD_INT, .at = offsetof(struct history, date)},
    {.name = "todayMs", .kind = FIELD_INT, .at = offsetof(struct history, date_cpu_ms)},
    {.kind = FIELD_OTHERS},
};

static void put_causes(struct buf *out, const char *key, const struct history_causes *c)
{
    json_open_member(out, key, '{');
    week_put(out, "week", &c->all);
    json_open_member(out, "causes", '[');
    for (size_t i = 0; i < c->count; i++) {
        json_open(out, '{');
        json_put_str(out, "cause", str_of(c->items[i].text));
        json_put_int(out, "lastMs", c->items[i].last_ms);
        week_put(out, "week", &c->items[i].week);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
}

void history_put_totals(struct buf *out, const struct history_totals *totals)
{
    json_open_member(out, "totals", '{');
    fields_put_members(out, totals_fields, totals);
    json_close(out, '}');
}

void history_put_members(struct buf *out, const struct history *h)
{
    json_open_member(out, "notHere", '[');
    for (size_t i = 0; i < h->absent_count; i++)
        fields_put(out, absent_fields, &h->absent[i]);
    json_close(out, ']');
    put_causes(out, "disconnections", &h->ends);
    put_causes(out, "workersLost", &h->lost);
}

static void read_causes(struct history_causes *c, const struct json *value)
{
    struct causes_fields parts = {.week = NULL};
    struct cause_fields read;

    if (fields_read(causes_fields, value, &parts, NULL, ERR_IGNORED) != 0)
        return;
    week_read(&c->all, parts.week);
    for (const struct json *item = json_first(parts.causes);
         item != NULL && c->count < HISTORY_CAUSES; item = json_next(item)) {
        struct history_cause *cause = &c->items[c->count];
        if (fields_read(cause_fields, item, &read, NULL, ERR_IGNORED) != 0 ||
            !week_read(&cause->week, read.week))
            continue;
        snprintf(cause->text, sizeof cause->text, "%.*s", STR_ARG(read.text));
        cause->last_ms = read.last_ms;
        c->count++;
    }
}

void history_read(struct history *h, const struct json *status)
{
    struct history_totals totals = {0};
    struct status_parts parts;

    status_parts_read(&parts, status);
    if (fields_read(totals_fields, parts.totals, &totals, NULL, ERR_IGNORED) == 0)
        h->totals = totals;
    for (const struct json *item = json_first(parts.absent);
         item != NULL && h->absent_count < HISTORY_ABSENT; item = json_next(item))
        if (fields_read(absent_fields, item, &h->absent[h->absent_count], NULL, ERR_IGNORED) == 0)
            h->absent_count++;
    read_causes(&h->ends, parts.ends);
    read_causes(&h->lost, parts.lost);
    if (fields_read(date_fields, parts.processor, h, NULL, ERR_IGNORED) != 0)
        h->date = h->date_cpu_ms = 0;
}
