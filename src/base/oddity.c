#include "base/oddity.h"

#include <stdio.h>
#include <string.h>

/* A character with no width or no ink of its own, and its kind. */
enum glyph { GLYPH_PLAIN, GLYPH_BLANK, GLYPH_CONTROL, GLYPH_INVISIBLE };

/* The code point of the UTF-8 sequence of n bytes. */
static unsigned code_point(struct str s, size_t n)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned code = (unsigned char)s.p[0] & masks[n];

    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)s.p[i] & 0x3f);
    return code;
}

static bool is_blank(unsigned code)
{
    return code == ' ' || code == '\t' || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x202f || code == 0x205f ||
           code == 0x3000;
}

static bool is_invisible(unsigned code)
{
    return code == 0xad || code == 0x61c || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
           code == 0xfeff;
}

static enum glyph glyph_of(unsigned code)
{
    if (is_blank(code))
        return GLYPH_BLANK;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0))
        return GLYPH_CONTROL;
    return is_invisible(code) ? GLYPH_INVISIBLE : GLYPH_PLAIN;
}

/* The first character; bytes that are not UTF-8 are plain. */
static size_t first_glyph(struct str text, unsigned *code, enum glyph *glyph)
{
    size_t n = str_utf8_sequence(text);

    *code = n == 0 ? 0xfffd : code_point(text, n);
    *glyph = glyph_of(*code);
    return n == 0 ? 1 : n;
}

static size_t last_glyph(struct str text, unsigned *code, enum glyph *glyph)
{
    size_t n = 1;

    while (n < 4 && n < text.len && ((unsigned char)text.p[text.len - n] & 0xc0) == 0x80)
        n++;
    struct str last = str_slice(text, text.len - n, text.len);
    if (str_utf8_sequence(last) != n)
        last = str_slice(text, text.len - 1, text.len);
    return first_glyph(last, code, glyph);
}

static bool describe_odd_glyph(char out[ODDITY_SIZE], const char *verb, unsigned code)
{
    switch (glyph_of(code)) {
    case GLYPH_BLANK:
        snprintf(out, ODDITY_SIZE, "%s a blank", verb);
        break;
    case GLYPH_CONTROL:
        if (code == '\r')
            snprintf(out, ODDITY_SIZE, "%s a carriage return", verb);
        else if (code == '\n')
            snprintf(out, ODDITY_SIZE, "%s a newline", verb);
        else
            snprintf(out, ODDITY_SIZE, "%s a control character (\\x%02x)", verb, code);
        break;
    case GLYPH_INVISIBLE:
        snprintf(out, ODDITY_SIZE, "%s an invisible character (U+%04X)", verb, code);
        break;
    case GLYPH_PLAIN:
        return false;
    }
    return true;
}

static bool find_inside(struct str text, unsigned kinds, char out[ODDITY_SIZE])
{
    unsigned code;
    enum glyph glyph;

    while (text.len > 0) {
        size_t n = first_glyph(text, &code, &glyph);
        bool counts = code == '\r' || ((kinds & ODDITY_INSIDE) != 0 && code != '\t' &&
                                       (glyph == GLYPH_CONTROL || glyph == GLYPH_INVISIBLE));
        if (counts)
            return describe_odd_glyph(out, "has", code);
        text = str_slice(text, n, text.len);
    }
    return false;
}

/* Quotes of the keyboard, and those that word processors make of them. */
static const struct {
    struct str open, close;
} quotes[] = {
    {{"\"", 1}, {"\"", 1}},
    {{"'", 1}, {"'", 1}},
    {{"`", 1}, {"`", 1}},
    {{"\xe2\x80\x9c", 3}, {"\xe2\x80\x9d", 3}},
    {{"\xe2\x80\x98", 3}, {"\xe2\x80\x99", 3}},
};

/* The index of the quotes around it, or -1. */
static int quotes_around(struct str text)
{
    for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++)
        if (text.len >= quotes[i].open.len + quotes[i].close.len &&
            str_starts_with(text, quotes[i].open) && str_ends_with(text, quotes[i].close))
            return (int)i;
    return -1;
}

bool oddity_next_variable(struct str path, size_t *at)
{
    for (size_t i = *at; i + 1 < path.len; i++) {
        char next = path.p[i + 1];
        bool is_name = next == '{' || next == '_' || (next >= 'A' && next <= 'Z') ||
                       (next >= 'a' && next <= 'z');
        *at = i;
        if (path.p[i] == '$' && is_name && (i == 0 || path.p[i - 1] == '/'))
            return true;
    }
    return false;
}

bool oddity_find(struct str text, unsigned kinds, char out[ODDITY_SIZE])
{
    unsigned first, last;
    enum glyph glyph;

    if (text.len == 0)
        return false;
    first_glyph(text, &first, &glyph);
    last_glyph(text, &last, &glyph);
    if (last == '\r' || last == '\n')
        return describe_odd_glyph(out, "ends with", last);
    if (find_inside(text, kinds, out))
        return true;
    if (glyph_of(first) != GLYPH_CONTROL && describe_odd_glyph(out, "starts with", first))
        return true;
    if (glyph_of(last) != GLYPH_CONTROL && describe_odd_glyph(out, "ends with", last))
        return true;
    if (quotes_around(text) >= 0)
        snprintf(out, ODDITY_SIZE, "is in quotes");
    else if ((kinds & ODDITY_TILDE) != 0 && first == '~')
        snprintf(out, ODDITY_SIZE, "starts with \"~\", which only a shell expands");
    else if ((kinds & ODDITY_TILDE) != 0 && oddity_next_variable(text, &(size_t){0}))
        snprintf(out, ODDITY_SIZE, "has a \"$\", which only a shell expands");
    else if ((kinds & ODDITY_TILDE) != 0 && str_starts_with(text, STR("file://")))
        snprintf(out, ODDITY_SIZE, "is a URL");
    else
        return false;
    return true;
}

struct str oddity_strip(struct str text)
{
    unsigned code;
    enum glyph glyph;

    for (;;) {
        size_t before = text.len;
        if (text.len > 0) {
            size_t n = first_glyph(text, &code, &glyph);
            text = glyph == GLYPH_PLAIN ? text : str_slice(text, n, text.len);
        }
        if (text.len > 0) {
            size_t n = last_glyph(text, &code, &glyph);
            text = glyph == GLYPH_PLAIN ? text : str_slice(text, 0, text.len - n);
        }
        int q = quotes_around(text);
        if (q >= 0)
            text = str_slice(text, quotes[q].open.len, text.len - quotes[q].close.len);
        if (text.len == before)
            return text;
    }
}
