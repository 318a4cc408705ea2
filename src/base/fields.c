#include "base/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/quote.h"

static int refuse_field(struct err *e, const char *cause, struct str name)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_PROTOCOL, "%s \"%s\"", cause, quote_str(quoted, name));
}

/* ---- texts and limits of a row ---- */

static struct str name_of_field(const struct field *f)
{
    return (struct str){f->name, strnlen(f->name, sizeof f->name)};
}

/* The same as a C string. */
static void copy_field_name(char out[FIELDS_NAME_BYTES + 1], const struct field *f)
{
    memcpy(out, f->name, sizeof f->name);
    out[sizeof f->name] = '\0';
}

static const struct json *get_member(const struct json *object, const struct field *f)
{
    char name[FIELDS_NAME_BYTES + 1];

    copy_field_name(name, f);
    return json_get(object, name);
}

static struct str word_of_field(const struct field *f)
{
    return (struct str){f->word, strnlen(f->word, sizeof f->word)};
}

static bool is_last_field(const struct field *f)
{
    return f->name[0] == '\0';
}

static int64_t min_int(const struct field *f)
{
    return f->kind == FIELD_SIGNED ? -JSON_MAX_SAFE_INTEGER : f->min;
}

static int64_t max_int(const struct field *f)
{
    return f->max == 0 ? JSON_MAX_SAFE_INTEGER : f->max;
}

static bool is_within_limits(const struct field *f, int64_t number)
{
    return number >= min_int(f) && number <= max_int(f);
}

static bool has_good_length(const struct field *f, struct str text)
{
    return text.len >= (size_t)f->min && (f->max == 0 || text.len <= f->max);
}

static bool is_good_hex(const struct field *f, struct str text)
{
    size_t least = f->min == 0 ? f->max : (size_t)f->min;

    return text.len >= least && text.len <= f->max && hex_is_lower(text, text.len);
}

/* ---- in ---- */

static bool read_whole_number(const struct field *f, const struct json *value, int64_t *out)
{
    double number;

    if (!json_number(value, &number) || !(number >= f->min) ||
        !(number <= (double)max_int(f)))
        return false;
    *out = (int64_t)number;
    return true;
}

static bool read_clamped(const struct field *f, const struct json *value, int64_t *out)
{
    double number;

    if (!json_number(value, &number))
        return false;
    *out = !(number > f->min)             ? f->min
           : number >= (double)max_int(f) ? max_int(f)
                                          : (int64_t)number;
    return true;
}

static bool read_chars(const struct field *f, const struct json *value, char *out)
{
    struct str text;

    if (!json_str(value, &text) || text.len < (size_t)f->min || text.len > f->max)
        return false;
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
    return true;
}

static bool read_tree(const struct json *value, enum json_type type, const struct json **out)
{
    *out = value;
    return json_type(value) == type;
}

static bool read_value(const struct field *f, const struct json *value, void *to)
{
    struct str text;

    switch ((enum field_kind)f->kind) {
    case FIELD_WORD: return json_str(value, &text) && str_equal(text, word_of_field(f));
    case FIELD_STRING:
    case FIELD_PATH: return json_str(value, to) && has_good_length(f, *(struct str *)to);
    case FIELD_HEX: return json_str(value, to) && is_good_hex(f, *(struct str *)to);
    case FIELD_CHARS: return read_chars(f, value, to);
    case FIELD_INT:
    case FIELD_SIGNED: return json_int(value, to) && is_within_limits(f, *(int64_t *)to);
    case FIELD_WHOLE: return read_whole_number(f, value, to);
    case FIELD_CLAMPED: return read_clamped(f, value, to);
    case FIELD_UINT64: return json_str(value, &text) && str_to_uint(text, UINT64_MAX, to);
    case FIELD_DOUBLE: return json_number(value, to);
    case FIELD_BOOL: return json_bool(value, to);
    case FIELD_OBJECT: return read_tree(value, JSON_OBJECT, to);
    case FIELD_ARRAY: return read_tree(value, JSON_ARRAY, to);
    case FIELD_END:
    case FIELD_OTHERS: break;
    }
    return false;
}

static bool has_field_name(const struct field *f, struct str name)
{
    return name.len <= sizeof f->name && memcmp(f->name, name.p, name.len) == 0 &&
           (name.len == sizeof f->name || f->name[name.len] == '\0');
}

static const struct field *find_field(const struct field *fields, struct str name)
{
    while (!is_last_field(fields) && !has_field_name(fields, name))
        fields++;
    return fields;
}

static uint32_t bit_of_field(const struct field *fields, const struct field *row)
{
    return UINT32_C(1) << (row - fields);
}

bool fields_is_absolute_path(const void *member)
{
    return str_starts_with(*(const struct str *)member, STR("/"));
}

int fields_read(const struct field *fields, const struct json *object, void *out, uint32_t *seen,
                struct err *e)
{
    uint32_t bits = 0;

    if (object == NULL || json_type(object) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "want an object");
    for (const struct json *v = json_first(object); v != NULL; v = json_next(v)) {
        const struct field *f = find_field(fields, json_key(v));
        void *to = (char *)out + f->at;
        if (is_last_field(f) && f->kind == FIELD_OTHERS)
            continue;
        if (is_last_field(f))
            return refuse_field(e, "unknown field", json_key(v));
        if (f->may_be_null && json_type(v) == JSON_NULL)
            continue;
        if (!read_value(f, v, to) || (f->is_good != NULL && !f->is_good(to)))
            return refuse_field(e, "bad value of", json_key(v));
        bits |= bit_of_field(fields, f);
    }
    for (const struct field *f = fields; !is_last_field(f); f++)
        if (!f->is_optional && (bits & bit_of_field(fields, f)) == 0)
            return refuse_field(e, "no field", name_of_field(f));
    if (seen != NULL)
        *seen = bits;
    return 0;
}

bool fields_has(const struct field *fields, uint32_t seen, const char *name)
{
    const struct field *f = find_field(fields, str_of(name));

    return !is_last_field(f) && (seen & bit_of_field(fields, f)) != 0;
}

int fields_find(const struct field *const *messages, const struct json *object)
{
    for (int i = 0; messages[i] != NULL; i++)
        if (read_value(messages[i], get_member(object, messages[i]), NULL))
            return i;
    return -1;
}

int fields_read_one_of(const struct field *const *messages, const struct json *object, void *out,
                       struct err *e)
{
    int which = fields_find(messages, object);
    struct str word = STR("");

    if (which >= 0)
        return fields_read(messages[which], object, out, NULL, e) == 0 ? which : -1;
    if (object == NULL || json_type(object) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "want an object");
    if (!json_str(get_member(object, messages[0]), &word))
        return refuse_field(e, "no string field", name_of_field(messages[0]));
    return refuse_field(e, "a message of unknown type", word);
}

/* ---- out ---- */

static void put_string(struct buf *out, const struct field *f, const char *name, struct str text)
{
    if (f->is_optional && text.len == 0)
        return;
    if (f->kind == FIELD_PATH)
        json_put_path(out, name, text);
    else
        json_put_str(out, name, text);
}

static void put_int(struct buf *out, const struct field *f, const char *name, int64_t number)
{
    if (!f->is_optional || is_within_limits(f, number))
        json_put_int(out, name, number);
}

static void put_uint64(struct buf *out, const char *name, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, number);
    json_put_str(out, name, str_of(text));
}

static void put_bool(struct buf *out, const struct field *f, const char *name, bool value)
{
    if (!f->is_optional || value)
        json_put_bool(out, name, value);
}

static void put_field(struct buf *out, const struct field *f, const void *member)
{
    char name[FIELDS_NAME_BYTES + 1];

    copy_field_name(name, f);
    switch ((enum field_kind)f->kind) {
    case FIELD_WORD: json_put_str(out, name, word_of_field(f)); break;
    case FIELD_STRING:
    case FIELD_PATH:
    case FIELD_HEX: put_string(out, f, name, *(const struct str *)member); break;
    case FIELD_CHARS: put_string(out, f, name, str_of(member)); break;
    case FIELD_INT:
    case FIELD_SIGNED:
    case FIELD_WHOLE:
    case FIELD_CLAMPED: put_int(out, f, name, *(const int64_t *)member); break;
    case FIELD_UINT64: put_uint64(out, name, *(const uint64_t *)member); break;
    case FIELD_DOUBLE: json_put_double(out, name, *(const double *)member); break;
    case FIELD_BOOL: put_bool(out, f, name, *(const bool *)member); break;
    case FIELD_OBJECT:
    case FIELD_ARRAY:
        if (*(const struct json *const *)member != NULL)
            json_put_value(out, name, *(const struct json *const *)member);
        break;
    case FIELD_END:
    case FIELD_OTHERS: break;
    }
}

void fields_put_members(struct buf *out, const struct field *fields, const void *from)
{
    for (; !is_last_field(fields); fields++)
        put_field(out, fields, (const char *)from + fields->at);
}

void fields_put(struct buf *out, const struct field *fields, const void *from)
{
    json_open(out, '{');
    fields_put_members(out, fields, from);
    json_close(out, '}');
}
