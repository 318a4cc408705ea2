#include "bucket/signed_url.h"

#include "base/hmac.h"
#include "base/json.h"
#include "proto/url.h"

/* Signs all members of `url`. No member can hold a line feed: keys with one are not signed. False
 * without memory: a part of them is never signed. */
static bool sign_url(const unsigned char key[SIGNED_URL_KEY], const struct signed_url *url,
                     char digits[HMAC_SHA256_DIGITS + 1])
{
    struct str secret = {(const char *)key, SIGNED_URL_KEY};
    struct buf text = {0};

    buf_printf(&text, "%s\n%.*s\n%lld\n%lld", url->is_put ? "PUT" : "GET", STR_ARG(url->object_key),
               (long long)url->size, (long long)(url->expires_ms / 1000));
    if (url->client.len > 0)
        buf_printf(&text, "\n%.*s", STR_ARG(url->client));
    bool is_whole = hmac_sha256_sign(secret, &text, digits);
    buf_free(&text);
    return is_whole;
}

void signed_url_put(struct buf *out, struct str base, const unsigned char key[SIGNED_URL_KEY],
                    const struct signed_url *url)
{
    char digits[HMAC_SHA256_DIGITS + 1];

    if (!sign_url(key, url, digits)) {
        out->failed = true;
        return;
    }
    buf_put(out, base);
    buf_puts(out, SIGNED_URL_PATH);
    url_put_encoded(out, url->object_key, "/");
    buf_printf(out, "?expires=%lld", (long long)(url->expires_ms / 1000));
    if (url->is_put)
        buf_printf(out, "&size=%lld", (long long)url->size);
    if (url->client.len > 0)
        buf_printf(out, "&client=%.*s", STR_ARG(url->client));
    buf_printf(out, "&signature=%s", digits);
}

static bool get_number(struct str query, struct str name, int64_t *out)
{
    struct str text;
    uint64_t number;

    if (!url_query_get(query, name, &text) ||
        !str_to_uint(text, (uint64_t)JSON_MAX_SAFE_INTEGER, &number))
        return false;
    *out = (int64_t)number;
    return true;
}

enum signed_url_state signed_url_check(struct signed_url *url, struct str path, struct str query,
                                       bool is_put, const unsigned char key[SIGNED_URL_KEY],
                                       int64_t wall_ms, struct buf *decoded)
{
    char digits[HMAC_SHA256_DIGITS + 1];
    struct str prefix = STR(SIGNED_URL_PATH), signature;
    struct signed_url found = {.is_put = is_put};
    int64_t expires_s;

    if (!str_starts_with(path, prefix) ||
        !url_put_decoded(decoded, str_slice(path, prefix.len, path.len)))
        return decoded->failed ? SIGNED_URL_UNKNOWN : SIGNED_URL_BAD;
    if (decoded->failed)
        return SIGNED_URL_UNKNOWN;
    if (decoded->len > SIGNED_URL_MAX_KEY_BYTES ||
        str_find(buf_str(decoded), '\n') < decoded->len ||
        str_find(buf_str(decoded), '\0') < decoded->len ||
        !get_number(query, STR("expires"), &expires_s) ||
        expires_s > JSON_MAX_SAFE_INTEGER / 1000 ||
        !url_query_get(query, STR("signature"), &signature) ||
        (is_put && !get_number(query, STR("size"), &found.size)))
        return SIGNED_URL_BAD;
    if (is_put)
        url_query_get(query, STR("client"), &found.client);
    found.object_key = buf_str(decoded);
    found.expires_ms = expires_s * 1000;
    if (!sign_url(key, &found, digits))
        return SIGNED_URL_UNKNOWN;
    if (!str_equal_constant_time(signature, str_of(digits)))
        return SIGNED_URL_BAD;
    if (wall_ms >= found.expires_ms)
        return SIGNED_URL_EXPIRED;
    *url = found;
    return SIGNED_URL_OK;
}
