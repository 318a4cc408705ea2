#include "base/size_text.h"

/* The factor of a unit and how many characters its name has. */
static int64_t size_unit(struct str text, size_t *len)
{
    static const char letters[] = "kmgt";
    int64_t factor = 1;
    size_t taken = 0;

    for (size_t i = 0; text.len > 0 && letters[i] != '\0'; i++) {
        if ((text.p[0] | 0x20) != letters[i])
            continue;
        for (size_t n = 0; n <= i; n++)
            factor *= 1000;
        taken = 1;
        break;
    }
    if (taken < text.len && (text.p[taken] | 0x20) == 'b')
        taken++;
    *len = taken;
    return factor;
}

static bool starts_with_digit(struct str text)
{
    return text.len > 0 && text.p[0] >= '0' && text.p[0] <= '9';
}

bool size_text_read(struct str text, int64_t max, int64_t *bytes)
{
    size_t whole_len = 0, unit_len;
    uint64_t whole;

    while (starts_with_digit(str_slice(text, whole_len, text.len)))
        whole_len++;
    if (!str_to_uint(str_slice(text, 0, whole_len), (uint64_t)max, &whole))
        return false;
    struct str rest = str_slice(text, whole_len, text.len), decimals = STR("");
    if (rest.len > 1 && rest.p[0] == '.') {
        size_t len = 0;
        while (starts_with_digit(str_slice(rest, 1 + len, rest.len)))
            len++;
        decimals = str_slice(rest, 1, 1 + len);
        if (len == 0)
            return false;
        rest = str_slice(rest, 1 + len, rest.len);
    }
    if (rest.len > 1 && rest.p[0] == ' ')
        rest = str_slice(rest, 1, rest.len);
    int64_t factor = size_unit(rest, &unit_len), total;
    if (unit_len != rest.len || (int64_t)whole > max / factor)
        return false;
    total = (int64_t)whole * factor;
    for (; decimals.len > 0 && factor >= 10; decimals = str_slice(decimals, 1, decimals.len)) {
        factor /= 10;
        int64_t part = (decimals.p[0] - '0') * factor;
        if (part > max - total)
            return false;
        total += part;
    }
    *bytes = total;
    return true;
}

const struct size_unit *size_text_unit(double bytes)
{
    static const struct size_unit units[] = {
        {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
    };
    const struct size_unit *unit = units;

    while (bytes < unit->bytes && unit->bytes > 1)
        unit++;
    return unit;
}

void size_text_put(struct buf *out, double bytes)
{
    const struct size_unit *unit = size_text_unit(bytes);
    double value = bytes / unit->bytes;

    buf_printf(out, "%.*f %s", unit->bytes > 1 && value < 9.95 ? 1 : 0, value, unit->name);
}
