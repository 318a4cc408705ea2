#include "gateway/page_token.h"

#include "base/hmac.h"

enum { MAC_DIGITS = HMAC_SHA256_DIGITS, MAX_SECONDS_DIGITS = 12 };

/* False without memory: less than all of it is never signed. The first line tells it from the texts
 * that the same key signs for URLs (signed_url.c). */
static bool sign_token(const unsigned char key[PAGE_TOKEN_KEY], int64_t expires_s, struct str about,
                       char digits[MAC_DIGITS + 1])
{
    struct str secret = {(const char *)key, PAGE_TOKEN_KEY};
    struct buf text = {0};

    buf_printf(&text, "page\n%lld\n", (long long)expires_s);
    buf_put(&text, about);
    bool is_whole = hmac_sha256_sign(secret, &text, digits);
    buf_free(&text);
    return is_whole;
}

void page_token_put(struct buf *out, const unsigned char key[PAGE_TOKEN_KEY], struct str about,
                    int64_t wall_ms)
{
    int64_t expires_s = (wall_ms + PAGE_TOKEN_MS) / 1000;
    char digits[MAC_DIGITS + 1];

    if (!sign_token(key, expires_s, about, digits))
        out->failed = true;
    else
        buf_printf(out, "%lld.%s", (long long)expires_s, digits);
}

int page_token_check(struct str token, const unsigned char key[PAGE_TOKEN_KEY], struct str about,
                      int64_t wall_ms)
{
    size_t dot = str_find(token, '.');
    char digits[MAC_DIGITS + 1];
    uint64_t expires_s;

    if (dot > MAX_SECONDS_DIGITS || dot == token.len ||
        !str_to_uint(str_slice(token, 0, dot), INT64_MAX / 1000, &expires_s))
        return 0;
    if (!sign_token(key, (int64_t)expires_s, about, digits))
        return -1;
    return str_equal_constant_time(str_slice(token, dot + 1, token.len), str_of(digits)) &&
           wall_ms < (int64_t)expires_s * 1000;
}
