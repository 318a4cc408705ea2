#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which bytes of a string are escaped. */
enum escape {
    ESCAPE_LEAST, /* quote, backslash, controls: JavaScript */
    ESCAPE_ASCII  /* also all from DEL up, as Python; bytes that are not UTF-8 as U+FFFD */
};

/* How numbers look that no integer type holds. */
enum number_style { NUMBER_JAVASCRIPT, NUMBER_PYTHON };

/* A comma is due when the buffer ends with the last byte of a value. */
static void put_comma(struct buf *b)
{
    char last = b->len == 0 ? '\0' : b->data[b->len - 1];

    if (last != '\0' && (strchr("\"}]el", last) != NULL || (last >= '0' && last <= '9')))
        buf_putc(b, ',');
}

static void put_unit(struct buf *b, unsigned unit)
{
    buf_printf(b, "\\u%04x", unit);
}

/* An ASCII byte. */
static void put_ascii(struct buf *b, char byte)
{
    static const char named[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const char *at = byte == '\0' ? NULL : strchr(named, byte);

    if (at != NULL) {
        buf_putc(b, '\\');
        buf_putc(b, letters[at - named]);
    } else {
        put_unit(b, (unsigned char)byte);
    }
}

/* A well-formed sequence of two bytes or more as UTF-16. */
static void put_escaped_sequence(struct buf *b, struct str sequence)
{
    static const unsigned char lead_bits[] = {0, 0, 0x1f, 0x0f, 0x07};
    unsigned point = (unsigned char)sequence.p[0] & lead_bits[sequence.len];

    for (size_t i = 1; i < sequence.len; i++)
        point = point << 6 | ((unsigned char)sequence.p[i] & 0x3f);
    if (point >= 0x10000) {
        put_unit(b, 0xd800 + ((point - 0x10000) >> 10));
        point = 0xdc00 + ((point - 0x10000) & 0x3ff);
    }
    put_unit(b, point);
}

static bool is_plain_ascii(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Text in quotes; `is_path`: a byte that is not UTF-8 becomes a lone surrogate. */
static void put_quoted(struct buf *b, struct str s, enum escape escape, bool is_path)
{
    buf_putc(b, '"');
    while (s.len > 0) {
        size_t n = 0;
        while (n < s.len && is_plain_ascii(s.p[n]))
            n++;
        buf_put(b, str_slice(s, 0, n));
        s = str_slice(s, n, s.len);
        if (s.len == 0)
            break;
        n = str_utf8_sequence(s);
        struct str sequence = n == 0 ? STR("\xef\xbf\xbd") : str_slice(s, 0, n);
        if (n == 0 && is_path)
            put_unit(b, 0xdc00 | (unsigned char)s.p[0]);
        else if (n == 1 && (s.p[0] != 0x7f || escape == ESCAPE_ASCII))
            put_ascii(b, s.p[0]);
        else if (n != 1 && escape == ESCAPE_ASCII)
            put_escaped_sequence(b, sequence);
        else
            buf_put(b, sequence);
        s = str_slice(s, n == 0 ? 1 : n, s.len);
    }
    buf_putc(b, '"');
}

static void put_object_key(struct buf *b, struct str key, enum escape escape)
{
    put_comma(b);
    put_quoted(b, key, escape, false);
    buf_putc(b, ':');
}

/* Appends the comma and the key that precede a value. */
static void start_value(struct buf *b, const char *key)
{
    if (key != NULL)
        put_object_key(b, str_of(key), ESCAPE_LEAST);
    else
        put_comma(b);
}

void json_open(struct buf *b, char bracket)
{
    json_open_member(b, NULL, bracket);
}

void json_open_member(struct buf *b, const char *key, char bracket)
{
    start_value(b, key);
    buf_putc(b, bracket);
}

void json_close(struct buf *b, char bracket)
{
    buf_putc(b, bracket);
}

void json_put_str(struct buf *b, const char *key, struct str value)
{
    start_value(b, key);
    put_quoted(b, value, ESCAPE_LEAST, false);
}

void json_put_buf(struct buf *b, const char *key, const struct buf *value)
{
    b->failed |= value->failed;
    json_put_str(b, key, buf_str(value));
}

void json_put_path(struct buf *b, const char *key, struct str path)
{
    start_value(b, key);
    put_quoted(b, path, ESCAPE_ASCII, true);
}

/* printf(3) takes longer than the rest of a short message. */
static void put_whole(struct buf *b, int64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        digits[--at] = '-';
    buf_append(b, digits + at, sizeof digits - at);
}

void json_put_int(struct buf *b, const char *key, int64_t value)
{
    start_value(b, key);
    put_whole(b, value);
}

void json_put_count(struct buf *b, const char *key, int64_t value)
{
    if (value < 0)
        json_put_null(b, key);
    else
        json_put_int(b, key, value);
}

void json_put_bool(struct buf *b, const char *key, bool value)
{
    json_put_raw(b, key, value ? STR("true") : STR("false"));
}

void json_put_null(struct buf *b, const char *key)
{
    json_put_raw(b, key, STR("null"));
}

void json_put_raw(struct buf *b, const char *key, struct str text)
{
    start_value(b, key);
    buf_put(b, text);
}

/* The shortest digits that read back as `value` (finite, not 0), without trailing zeros; its
 * decimal point stands behind the first *point of them. */
static void search_digits(double value, char digits[18], int *point)
{
    char text[32];
    /* Fifteen digits always survive, but for subnormal numbers. */
    int precision = value < DBL_MIN ? 0 : 14;

    do
        snprintf(text, sizeof text, "%.*e", precision, value);
    while (strtod(text, NULL) != value && ++precision < 17);
    char *out = digits, *exponent = strchr(text, 'e');
    for (const char *in = text; in < exponent; in++)
        if (*in >= '0' && *in <= '9')
            *out++ = *in;
    while (out > digits + 1 && out[-1] == '0')
        out--;
    *out = '\0';
    *point = atoi(exponent + 1) + 1;
}

enum { TIME_BITS = 30 /* of the whole seconds */, TIME_FRACTION_BITS = 53 - (TIME_BITS + 1) };

/*
 * The same for times of our years in seconds, from 2^30 up to 2^31: there a double is a multiple of
 * 2^-22, so that whole numbers are enough. Of the fractions with the fewest digits the nearest is
 * taken, of two the even one; it reads back if it is nearer than half a step.
 */
static void time_digits(double value, char digits[18], int *point)
{
    const uint64_t step = UINT64_C(1) << TIME_FRACTION_BITS;
    const uint64_t seconds = (uint64_t)value;
    const uint64_t fraction = (uint64_t)((value - (double)seconds) * (double)step);
    uint64_t power = 1, rounded = 0;

    for (;; power *= 10) {
        const uint64_t exact = fraction * power, rest = exact % step;
        rounded = exact / step;
        const bool is_up = 2 * rest > step || (2 * rest == step && rounded % 2 == 1);
        rounded += is_up;
        if (2 * (is_up ? step - rest : rest) < power)
            break;
    }
    int len = snprintf(digits, 18, "%llu", (unsigned long long)(seconds * power + rounded));
    *point = len;
    for (; power > 1; power /= 10)
        --*point;
    while (len > 1 && digits[len - 1] == '0')
        digits[--len] = '\0';
}

static void shortest_digits(double value, char digits[18], int *point)
{
    if (value >= (double)(1U << TIME_BITS) && value < 2.0 * (double)(1U << TIME_BITS))
        time_digits(value, digits, point);
    else
        search_digits(value, digits, point);
}

static void put_zeros(struct buf *b, int count)
{
    while (count-- > 0)
        buf_putc(b, '0');
}

/* d.ddde+XX; Python writes at least two digits of the exponent. */
static void put_scientific(struct buf *b, const char *digits, int point, enum number_style style)
{
    int exponent = point - 1;

    buf_putc(b, digits[0]);
    if (digits[1] != '\0')
        buf_printf(b, ".%s", digits + 1);
    buf_printf(b, style == NUMBER_PYTHON ? "e%c%02d" : "e%c%d", exponent < 0 ? '-' : '+',
               abs(exponent));
}

static void put_decimal(struct buf *b, const char *digits, int point)
{
    int count = (int)strlen(digits);

    if (point <= 0) {
        buf_puts(b, "0.");
        put_zeros(b, -point);
        buf_puts(b, digits);
    } else if (point >= count) {
        buf_puts(b, digits);
        put_zeros(b, point - count);
    } else {
        buf_append(b, digits, (size_t)point);
        buf_printf(b, ".%s", digits + point);
    }
}

/* A double as JavaScript's Number.prototype.toString or Python's repr writes it, but that the
 * ".0" of Python's whole numbers is the caller's. */
static void put_double(struct buf *b, double value, enum number_style style)
{
    int low = style == NUMBER_PYTHON ? -3 : -5, high = style == NUMBER_PYTHON ? 16 : 21;
    char digits[18];
    int point;

    if (value == 0) {
        buf_puts(b, signbit(value) && style == NUMBER_PYTHON ? "-0" : "0");
        return;
    }
    if (value < 0)
        buf_putc(b, '-');
    shortest_digits(fabs(value), digits, &point);
    if (point < low || point > high)
        put_scientific(b, digits, point, style);
    else
        put_decimal(b, digits, point);
}

void json_put_double(struct buf *b, const char *key, double value)
{
    if (!isfinite(value)) {
        json_put_null(b, key);
        return;
    }
    start_value(b, key);
    put_double(b, value, NUMBER_PYTHON);
    if (value == floor(value) && fabs(value) < 1e16)
        buf_puts(b, ".0");
}

static void put_scalar(struct buf *b, const struct json *value, enum escape escape)
{
    double number;
    int64_t whole;
    struct str text;
    bool flag;

    if (json_str(value, &text))
        put_quoted(b, text, escape, false);
    else if (json_int(value, &whole))
        put_whole(b, whole);
    else if (json_number(value, &number))
        put_double(b, number, escape == ESCAPE_ASCII ? NUMBER_PYTHON : NUMBER_JAVASCRIPT);
    else if (json_bool(value, &flag))
        buf_puts(b, flag ? "true" : "false");
    else
        buf_puts(b, "null");
}

static int compare_keys(const void *a, const void *b)
{
    const struct json *const *left = a, *const *right = b;

    return str_compare(json_key(*left), json_key(*right));
}

/* The container's children; sorted by key when it is an object and that is asked for. NULL (and b
 * failed) without memory; the caller frees. */
static const struct json **children_of(struct buf *b, const struct json *container, size_t count,
                                       bool is_sorted)
{
    const struct json **children = malloc((count + 1) * sizeof *children);
    size_t n = 0;

    if (children == NULL) {
        b->failed = true;
        return NULL;
    }
    for (const struct json *c = json_first(container); c != NULL; c = json_next(c))
        children[n++] = c;
    if (is_sorted && json_type(container) == JSON_OBJECT)
        qsort(children, count, sizeof *children, compare_keys);
    return children;
}

static void put_tree(struct buf *b, const struct json *value, enum escape escape, bool is_sorted)
{
    bool is_object = json_type(value) == JSON_OBJECT;

    if (!is_object && json_type(value) != JSON_ARRAY) {
        put_scalar(b, value, escape);
        return;
    }
    size_t count = json_count(value);
    const struct json **children = children_of(b, value, count, is_sorted);
    buf_putc(b, is_object ? '{' : '[');
    for (size_t i = 0; children != NULL && i < count; i++) {
        if (is_object)
            put_object_key(b, json_key(children[i]), escape);
        else
            put_comma(b);
        put_tree(b, children[i], escape, is_sorted);
    }
    buf_putc(b, is_object ? '}' : ']');
    free(children);
}

void json_put_value(struct buf *b, const char *key, const struct json *value)
{
    start_value(b, key);
    put_tree(b, value, ESCAPE_LEAST, false);
}

void json_put_canonical(struct buf *b, const struct json *value, bool is_ascii)
{
    put_tree(b, value, is_ascii ? ESCAPE_ASCII : ESCAPE_LEAST, true);
}

static void put_line_break(struct buf *b, int depth)
{
    buf_putc(b, '\n');
    for (int i = 0; i < depth; i++)
        buf_puts(b, "    ");
}

static void put_indented_value(struct buf *b, const struct json *value, int depth)
{
    bool is_object = json_type(value) == JSON_OBJECT;
    const struct json *child = json_first(value);

    if (!is_object && json_type(value) != JSON_ARRAY) {
        put_scalar(b, value, ESCAPE_ASCII);
        return;
    }
    buf_putc(b, is_object ? '{' : '[');
    for (; child != NULL; child = json_next(child)) {
        put_line_break(b, depth + 1);
        if (is_object) {
            put_quoted(b, json_key(child), ESCAPE_ASCII, false);
            buf_puts(b, ": ");
        }
        put_indented_value(b, child, depth + 1);
        if (json_next(child) != NULL)
            buf_putc(b, ',');
    }
    if (json_first(value) != NULL)
        put_line_break(b, depth);
    buf_putc(b, is_object ? '}' : ']');
}

void json_put_indented(struct buf *b, const struct json *value)
{
    put_indented_value(b, value, 0);
}
