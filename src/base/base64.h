/* Base64 (RFC 4648 §4) with padding. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

/* Appends the encoding of `raw`. */
void base64_put(struct buf *out, struct str raw);

/* Appends the bytes that `text` encodes. Strict: whole quartets, padding only where it is due,
 * unused bits zero, no white space. Returns false on anything else (nothing is then appended) and
 * without memory. */
bool base64_decode(struct buf *out, struct str text);

#endif
