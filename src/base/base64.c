#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct buf *out, struct str raw)
{
    while (raw.len > 0) {
        size_t n = raw.len < 3 ? raw.len : 3;
        uint32_t bits = 0;
        char quartet[4] = {'=', '=', '=', '='};

        for (size_t i = 0; i < n; i++)
            bits |= (uint32_t)(unsigned char)raw.p[i] << (16 - 8 * i);
        for (size_t i = 0; i <= n; i++)
            quartet[i] = digits[bits >> (18 - 6 * i) & 63];
        buf_append(out, quartet, sizeof quartet);
        raw = str_slice(raw, n, raw.len);
    }
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One quartet of `n` digits and 4 - n paddings into n - 1 bytes. */
static bool decode_quartet(const char *quartet, size_t n, char bytes[3])
{
    uint32_t bits = 0;

    for (size_t i = 0; i < n; i++) {
        int value = digit_value(quartet[i]);
        if (value < 0)
            return false;
        bits |= (uint32_t)value << (18 - 6 * i);
    }
    for (size_t i = 0; i < 3; i++)
        bytes[i] = (char)(bits >> (16 - 8 * i) & 0xff);
    return n == 4 || (bits & (n == 3 ? 0xffU : 0xffffU)) == 0;
}

bool base64_decode(struct buf *out, struct str text)
{
    size_t start = out->len;

    if (text.len % 4 != 0 || !buf_reserve(out, text.len / 4 * 3))
        return false;
    while (text.len > 0) {
        size_t n = text.len > 4 || text.p[3] != '=' ? 4 : text.p[2] != '=' ? 3 : 2;
        char bytes[3];

        if (!decode_quartet(text.p, n, bytes)) {
            out->len = start;
            return false;
        }
        buf_append(out, bytes, n - 1);
        text = str_slice(text, 4, text.len);
    }
    return !out->failed;
}
