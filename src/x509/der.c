#include "x509/der.h"

#include "base/calendar.h"

bool der_next(struct str *in, struct der_item *item)
{
    const unsigned char *p = (const unsigned char *)in->p;
    size_t head = 2, len;

    if (in->len < 2 || (p[0] & 0x1f) == 0x1f)
        return false;
    len = p[1];
    if (len >= 0x80) {
        size_t digits = len & 0x7f;
        if (digits == 0 || digits > 3 || in->len < 2 + digits || p[2] == 0)
            return false;
        len = 0;
        for (size_t i = 0; i < digits; i++)
            len = len << 8 | p[2 + i];
        if (len < 0x80)
            return false;
        head += digits;
    }
    if (in->len - head < len)
        return false;
    item->tag = p[0];
    item->value = str_slice(*in, head, head + len);
    item->whole = str_slice(*in, 0, head + len);
    *in = str_slice(*in, head + len, in->len);
    return true;
}

static bool take_tagged(struct str *in, unsigned tag, struct der_item *item)
{
    struct str rest = *in;

    if (!der_next(&rest, item) || item->tag != tag)
        return false;
    *in = rest;
    return true;
}

bool der_take(struct str *in, unsigned tag, struct str *value)
{
    struct der_item item;

    if (!take_tagged(in, tag, &item))
        return false;
    if (value != NULL)
        *value = item.value;
    return true;
}

bool der_take_whole(struct str *in, unsigned tag, struct str *whole)
{
    struct der_item item;

    if (!take_tagged(in, tag, &item))
        return false;
    *whole = item.whole;
    return true;
}

/* Minimal two's complement, not negative. */
static bool is_canonical_unsigned(struct str integer)
{
    if (integer.len == 0 || (integer.p[0] & 0x80) != 0)
        return false;
    return integer.len == 1 || integer.p[0] != 0 || (integer.p[1] & 0x80) != 0;
}

bool der_uint(struct str integer, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (!is_canonical_unsigned(integer) || integer.len > 8)
        return false;
    for (size_t i = 0; i < integer.len; i++)
        value = value << 8 | (unsigned char)integer.p[i];
    if (value > max)
        return false;
    *out = value;
    return true;
}

bool der_magnitude(struct str integer, struct str *out)
{
    if (!is_canonical_unsigned(integer))
        return false;
    if (integer.p[0] == 0)
        integer = str_slice(integer, 1, integer.len);
    *out = integer;
    return integer.len > 0;
}

bool der_boolean(struct str content, bool *out)
{
    if (content.len != 1 || (content.p[0] != 0 && (unsigned char)content.p[0] != 0xff))
        return false;
    *out = content.p[0] != 0;
    return true;
}

bool der_bytes_of_bits(struct str content, struct str *out)
{
    if (content.len < 1 || content.p[0] != 0)
        return false;
    *out = str_slice(content, 1, content.len);
    return true;
}

static bool two_digits(struct str text, size_t at, int min, int max, int *out)
{
    uint64_t value;

    if (!str_to_uint(str_slice(text, at, at + 2), 99, &value))
        return false;
    *out = (int)value;
    return *out >= min && *out <= max;
}

bool der_time(const struct der_item *item, int64_t *seconds)
{
    int century = 0, year, month, day, hour, minute, second;
    struct str text = item->value;
    int64_t days;
    size_t at = 0;

    if (item->tag == DER_GENERALIZED_TIME && text.len == 15) {
        if (!two_digits(text, 0, 0, 99, &century))
            return false;
        at = 2;
    } else if (item->tag != DER_UTC_TIME || text.len != 13) {
        return false;
    }
    if (!two_digits(text, at, 0, 99, &year) || !two_digits(text, at + 2, 1, 12, &month) ||
        !two_digits(text, at + 4, 1, 31, &day) || !two_digits(text, at + 6, 0, 23, &hour) ||
        !two_digits(text, at + 8, 0, 59, &minute) || !two_digits(text, at + 10, 0, 59, &second) ||
        text.p[text.len - 1] != 'Z')
        return false;
    if (item->tag == DER_UTC_TIME)
        century = year >= 50 ? 19 : 20;
    if (!calendar_days(century * 100 + year, month, day, &days))
        return false;
    *seconds = days * CALENDAR_DAY_S + hour * 3600 + minute * 60 + second;
    return true;
}
