#include "base/quote.h"

#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "...";

size_t quote_plain_bytes(struct str text)
{
    const unsigned char *p = (const unsigned char *)text.p;
    size_t len = str_utf8_sequence(text);

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
