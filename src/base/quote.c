#include "base/quote.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "...";

/* The Unicode characters of quote_put_upright, as UTF-8. */
static bool turns_text(const unsigned char *p, size_t len)
{
    if (len == 2)
        return p[0] == 0xd8 && p[1] == 0x9c;
    if (len != 3 || p[0] != 0xe2)
        return false;
    return (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xaa && p[2] <= 0xae))) ||
           (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

void quote_put_upright(struct buf *out, struct str text)
{
    while (text.len > 0) {
        size_t n = str_utf8_sequence(text);
        bool is_turned = turns_text((const unsigned char *)text.p, n);
        n = n == 0 ? 1 : n;
        for (size_t i = 0; i < n && is_turned; i++)
            buf_printf(out, "\\x%02x", (unsigned)(unsigned char)text.p[i]);
        if (!is_turned)
            buf_append(out, text.p, n);
        text = str_slice(text, n, text.len);
    }
}

size_t quote_plain_bytes(struct str text)
{
    const unsigned char *p = (const unsigned char *)text.p;
    size_t len = str_utf8_sequence(text);

    if (turns_text(p, len))
        return 0;
    switch (len) {
    case 1: return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
    case 2: return p[0] != 0xc2 || p[1] >= 0xa0 ? 2 : 0;
    case 3: return memcmp(p, "\xe2\x80", 2) != 0 || (p[2] & 0xfe) != 0xa8 ? 3 : 0;
    default: return len;
    }
}

const char *quote_str(char out[QUOTE_SIZE], struct str text)
{
    size_t used = 0, room = QUOTE_SIZE - sizeof ellipsis;

    for (size_t i = 0; i < text.len;) {
        char escaped[5];
        struct str piece = str_slice(text, i, text.len);
        size_t shown = quote_plain_bytes(piece);
        i += shown == 0 ? 1 : shown;
        if (shown == 0)
            snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned)(unsigned char)piece.p[0]);
        piece = shown == 0 ? str_of(escaped) : str_slice(piece, 0, shown);
        if (piece.len > room - used) {
            memcpy(out + used, ellipsis, sizeof ellipsis);
            return out;
        }
        memcpy(out + used, piece.p, piece.len);
        used += piece.len;
    }
    out[used] = '\0';
    return out;
}
