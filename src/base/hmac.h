/* HMAC-SHA-256 (RFC 2104, FIPS 180-4), from BearSSL. */
#ifndef BASE_HMAC_H
#define BASE_HMAC_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

enum { HMAC_SHA256_SIZE = 32, HMAC_SHA256_DIGITS = 2 * HMAC_SHA256_SIZE };

/* Writes the code of `message` under `key`, which may have any length. */
void hmac_sha256(struct str key, struct str message, unsigned char out[HMAC_SHA256_SIZE]);

/* Writes the code of `text` in lower-case hex digits. Returns false, with digits "", which match
 * none, when the text could not be made whole for want of memory. */
bool hmac_sha256_sign(struct str key, const struct buf *text, char digits[HMAC_SHA256_DIGITS + 1]);

#endif
