#include "base/json_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json_flags.h"

struct checker {
    struct str text;
    size_t at;
    unsigned flags;
    struct json_measure *measure;
    struct buf *rewritten;
    size_t rewritten_to; /* of `text`, what *rewritten has so far */
    struct err *e;
};

static int fail_at(const struct checker *c, size_t at, const char *cause)
{
    return err_set(c->e, ERR_PROTOCOL, "malformed JSON at byte %zu: %s", at,
                   at >= c->text.len ? "it ends too early" : cause);
}

static int fail_here(const struct checker *c, const char *cause)
{
    return fail_at(c, c->at, cause);
}

/* The next byte, or -1 at the end. */
static int peek_byte(const struct checker *c)
{
    return c->at < c->text.len ? (unsigned char)c->text.p[c->at] : -1;
}

static bool accept_byte(struct checker *c, char byte)
{
    if (peek_byte(c) != byte)
        return false;
    c->at++;
    return true;
}

static void skip_space(struct checker *c)
{
    for (int b = peek_byte(c); b == ' ' || b == '\n' || b == '\r' || b == '\t'; b = peek_byte(c))
        c->at++;
}

static size_t skip_digits(struct checker *c)
{
    size_t start = c->at;

    for (int b = peek_byte(c); b >= '0' && b <= '9'; b = peek_byte(c))
        c->at++;
    return c->at - start;
}

static int check_literal(struct checker *c, struct str word)
{
    if (!str_equal(str_slice(c->text, c->at, c->at + word.len), word))
        return fail_here(c, "want a value");
    c->at += word.len;
    return 0;
}

/* The double that it stands for. False without memory. */
static bool read_number(struct str number, double *out)
{
    char few[JSON_MAX_NUMBER_BYTES + 1] = {0};
    char *text = number.len < sizeof few ? few : malloc(number.len + 1);

    if (text == NULL)
        return false;
    memcpy(text, number.p, number.len);
    text[number.len] = '\0';
    *out = strtod(text, NULL);
    if (text != few)
        free(text);
    return true;
}

/* Puts a short text of the same double in the place of a long number at [start, c->at). */
static void shorten_number(struct checker *c, size_t start, double number)
{
    buf_put(c->rewritten, str_slice(c->text, c->rewritten_to, start));
    buf_printf(c->rewritten, "%.17g", number);
    c->rewritten_to = c->at;
}

static int check_number(struct checker *c)
{
    size_t start = c->at;
    bool has_exponent = false;

    accept_byte(c, '-');
    if (!accept_byte(c, '0') && skip_digits(c) == 0)
        return fail_here(c, "want a value");
    if (accept_byte(c, '.') && skip_digits(c) == 0)
        return fail_here(c, "want a digit after the decimal point");
    if (accept_byte(c, 'e') || accept_byte(c, 'E')) {
        has_exponent = true;
        if (!accept_byte(c, '+'))
            accept_byte(c, '-');
        if (skip_digits(c) == 0)
            return fail_here(c, "want a digit of the exponent");
    }
    struct str number = str_slice(c->text, start, c->at);
    bool is_long = number.len > JSON_MAX_NUMBER_BYTES;
    double value = 0;
    c->measure->text_bytes += number.len;
    /* Without an exponent, few digits cannot exceed a double. */
    if (!has_exponent && !is_long)
        return 0;
    if (!read_number(number, &value))
        return err_set(c->e, ERR_FAILED, "out of memory");
    if (!isfinite(value))
        return fail_at(c, start, "number out of range");
    if (is_long)
        shorten_number(c, start, value);
    return 0;
}

/* The four digits behind \u at `at`, or -1. */
static int read_hex4(const struct checker *c, size_t at)
{
    int value = 0;

    for (size_t i = at; i < at + 4; i++) {
        int digit = i < c->text.len ? hex_digit(c->text.p[i]) : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Notes that the escape at [start, c->at) stands for one raw byte. */
static void rewrite_escape(struct checker *c, size_t start, int unit)
{
    buf_put(c->rewritten, str_slice(c->text, c->rewritten_to, start));
    buf_putc(c->rewritten, (char)(unit & 0xff));
    c->rewritten_to = c->at;
}

/* Begins at the backslash of \u. */
static int check_unicode_escape(struct checker *c)
{
    size_t start = c->at;
    int unit = read_hex4(c, start + 2);

    if (unit < 0)
        return fail_here(c, "want four hex digits after \\u");
    c->at += 6;
    if (unit == 0)
        return fail_at(c, start, "NUL is not allowed");
    if (unit < 0xd800 || unit > 0xdfff)
        return 0;
    if (unit <= 0xdbff && peek_byte(c) == '\\' && c->at + 1 < c->text.len &&
        c->text.p[c->at + 1] == 'u') {
        int low = read_hex4(c, c->at + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            c->at += 6;
            return 0;
        }
    }
    if (c->flags & JSON_SURROGATE_ESCAPE && unit >= 0xdc80 && unit <= 0xdcff) {
        rewrite_escape(c, start, unit);
        return 0;
    }
    return fail_at(c, start, "lone surrogate");
}

static int check_escape(struct checker *c)
{
    int letter = c->at + 1 < c->text.len ? c->text.p[c->at + 1] : -1;

    if (letter == 'u')
        return check_unicode_escape(c);
    if (letter <= 0 || strchr("\"\\/bfnrt", letter) == NULL) {
        c->at++;
        return fail_here(c, "unknown escape");
    }
    c->at += 2;
    return 0;
}

/* Begins at the opening quote. */
static int check_string(struct checker *c)
{
    size_t start = ++c->at;

    for (;;) {
        int b = peek_byte(c);
        if (b == '"')
            break;
        if (b == '\\') {
            if (check_escape(c) != 0)
                return -1;
        } else if (b < 0x20) {
            return fail_here(c, "control byte in a string");
        } else if (b < 0x80) {
            c->at++;
        } else {
            size_t n = str_utf8_sequence(str_slice(c->text, c->at, c->text.len));
            if (n == 0)
                return err_set(c->e, ERR_PROTOCOL, "malformed JSON at byte %zu: not UTF-8", c->at);
            c->at += n;
        }
    }
    c->measure->text_bytes += c->at - start;
    c->at++;
    return 0;
}

static int check_value(struct checker *c, int depth);

/* Begins at the bracket of an object or array; `close` ends it. */
static int check_container(struct checker *c, char close, int depth)
{
    if (depth > JSON_MAX_DEPTH)
        return fail_here(c, "nested too deep");
    c->at++;
    skip_space(c);
    if (accept_byte(c, close))
        return 0;
    do {
        skip_space(c);
        if (close == '}') {
            if (peek_byte(c) != '"')
                return fail_here(c, "want a key in quotes");
            if (check_string(c) != 0)
                return -1;
            skip_space(c);
            if (!accept_byte(c, ':'))
                return fail_here(c, "want ':'");
        }
        if (check_value(c, depth) != 0)
            return -1;
    } while (accept_byte(c, ','));
    if (!accept_byte(c, close))
        return fail_here(c, close == '}' ? "want ',' or '}'" : "want ',' or ']'");
    return 0;
}

/* A value with the white space around it; `depth` is that of the containers around it. */
static int check_value(struct checker *c, int depth)
{
    int status;

    skip_space(c);
    c->measure->values++;
    switch (peek_byte(c)) {
    case '{':
        status = check_container(c, '}', depth + 1);
        break;
    case '[':
        status = check_container(c, ']', depth + 1);
        break;
    case '"':
        status = check_string(c);
        break;
    case 't': status = check_literal(c, STR("true")); break;
    case 'f': status = check_literal(c, STR("false")); break;
    case 'n': status = check_literal(c, STR("null")); break;
    default:
        status = check_number(c);
    }
    if (status == 0)
        skip_space(c);
    return status;
}

int json_check(struct str text, unsigned flags, struct json_measure *measure,
               struct buf *rewritten, struct err *e)
{
    struct checker c = {text, 0, flags, measure, rewritten, 0, e};

    *measure = (struct json_measure){0};
    if (check_value(&c, 0) != 0)
        return -1;
    if (c.at < text.len)
        return fail_here(&c, "something follows the value");
    if (c.rewritten_to > 0)
        buf_put(rewritten, str_slice(text, c.rewritten_to, text.len));
    return buf_check(rewritten, e);
}
