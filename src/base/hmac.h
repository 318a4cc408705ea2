/* HMAC-SHA-256 (RFC 2104, FIPS 180-4), from BearSSL. */
#ifndef BASE_HMAC_H
#define BASE_HMAC_H

#include "base/str.h"

enum { HMAC_SHA256_SIZE = 32 };

/* Writes the code of `message` under `key`, which may have any length. */
void hmac_sha256(struct str key, struct str message, unsigned char out[HMAC_SHA256_SIZE]);

#endif
