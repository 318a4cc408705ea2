#include "proto/utf8.h"

#include <string.h>

/* Returns the number of ASCII bytes before the first that is none. */
static size_t ascii_bytes(const char *p, size_t len)
{
    static const uint64_t high_bits = UINT64_C(0x8080808080808080);
    size_t i = 0;

    for (uint64_t word; i + sizeof word <= len; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        if ((word & high_bits) != 0)
            break;
    }
    while (i < len && (unsigned char)p[i] < 0x80)
        i++;
    return i;
}

static bool begin_sequence(struct utf8 *u, unsigned char lead)
{
    if (lead < 0xc2 || lead > 0xf4)
        return false;
    u->left = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    /* No overlong forms, no surrogates, nothing above U+10FFFF. */
    u->low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    u->high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return true;
}

bool utf8_check(struct utf8 *u, struct str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (u->left == 0) {
            i += ascii_bytes(piece.p + i, piece.len - i);
            if (i == piece.len)
                return true;
            if (!begin_sequence(u, (unsigned char)piece.p[i]))
                return false;
            continue;
        }
        unsigned char c = (unsigned char)piece.p[i];
        if (c < u->low || c > u->high)
            return false;
        u->left--;
        u->low = 0x80;
        u->high = 0xbf;
    }
    return true;
}

bool utf8_is_complete(const struct utf8 *u)
{
    return u->left == 0;
}
