#include "base/hmac.h"

#include <string.h>

#include <bearssl_hash.h>
#include <bearssl_hmac.h>

#include "base/hex.h"

void hmac_sha256(struct str key, struct str message, unsigned char out[HMAC_SHA256_SIZE])
{
    br_hmac_key_context key_ctx;
    br_hmac_context ctx;

    br_hmac_key_init(&key_ctx, &br_sha256_vtable, key.p, key.len);
    br_hmac_init(&ctx, &key_ctx, 0);
    br_hmac_update(&ctx, message.p, message.len);
    br_hmac_out(&ctx, out);
    explicit_bzero(&key_ctx, sizeof key_ctx);
    explicit_bzero(&ctx, sizeof ctx);
}

bool hmac_sha256_sign(struct str key, const struct buf *text, char digits[HMAC_SHA256_DIGITS + 1])
{
    unsigned char mac[HMAC_SHA256_SIZE];

    digits[0] = '\0';
    if (text->failed)
        return false;
    hmac_sha256(key, buf_str(text), mac);
    hex_encode(mac, sizeof mac, digits);
    return true;
}
