/*
 * Ed25519 keys as PEM text (RFC 8410): exactly the three lines that the deployed programs write and
 * read. Pure.
 */
#ifndef PROTO_PEM_H
#define PROTO_PEM_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

enum { PEM_KEY_SIZE = 32 };

enum pem_kind { PEM_PRIVATE, PEM_PUBLIC };

/* Returns "PRIVATE KEY" or "PUBLIC KEY". */
const char *pem_label(enum pem_kind kind);

/* Appends the three lines. A private key's buffer is the caller's to wipe. */
void pem_put(struct buf *out, enum pem_kind kind, const unsigned char key[PEM_KEY_SIZE]);

/* Reads a text as pem_put writes it; the last line feed may be missing. Returns false on anything
 * else. */
bool pem_parse(enum pem_kind kind, struct str text, unsigned char key[PEM_KEY_SIZE]);

#endif
