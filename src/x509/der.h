/* Reading DER (X.690): definite, minimal lengths only. Borrowed slices, no allocation. */
#ifndef X509_DER_H
#define X509_DER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_UTF8_STRING = 0x0c,
    DER_PRINTABLE_STRING = 0x13,
    DER_IA5_STRING = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT = 0x80,            /* + number, primitive */
    DER_CONTEXT_CONSTRUCTED = 0xa0 /* + number */
};

struct der_item {
    unsigned tag;
    struct str value; /* the content */
    struct str whole; /* with tag and length */
};

/* Takes one item off the front of *in. Returns false when it is malformed or *in is empty. */
bool der_next(struct str *in, struct der_item *item);

/* Takes one item that must have this tag; *value may be NULL. *in is unchanged on false. */
bool der_take(struct str *in, unsigned tag, struct str *value);

/* Takes an element in the same way; *whole has its tag and length, too. */
bool der_take_whole(struct str *in, unsigned tag, struct str *whole);

/* Reads the content of a non-negative INTEGER up to `max`. */
bool der_uint(struct str integer, uint64_t max, uint64_t *out);

/* Returns the magnitude of a positive INTEGER without leading zeros; false for zero or negative. */
bool der_magnitude(struct str integer, struct str *out);

/* Reads the content of a BOOLEAN: exactly 0x00 or 0xff. */
bool der_boolean(struct str content, bool *out);

/* Reads the content of a BIT STRING of whole bytes only. */
bool der_bytes_of_bits(struct str content, struct str *out);

/* Reads UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 wants them, in seconds since the epoch. */
bool der_time(const struct der_item *item, int64_t *seconds);

#endif
