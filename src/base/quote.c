#include "base/quote.h"

#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "...";

/* Bytes of the character at the start of `text` that may be shown as it is, or 0. */
static size_t shown_bytes(struct str text)
{
    unsigned char first = (unsigned char)text.p[0];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;

    if (first < ' ' || first == 0x7f)
        return 0;
    /* U+0080 to U+009f are control characters too. */
    if (first == 0xc2 && text.len > 1 && (unsigned char)text.p[1] < 0xa0)
        return 0;
    return text.len >= len && str_is_utf8(str_slice(text, 0, len)) ? len : 0;
}

const char *quote_str(char out[QUOTE_SIZE], struct str text)
{
    size_t used = 0, room = QUOTE_SIZE - sizeof ellipsis;

    for (size_t i = 0; i < text.len;) {
        char escaped[5];
        struct str piece = str_slice(text, i, text.len);
        size_t shown = shown_bytes(piece);
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
