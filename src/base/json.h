/*
 * JSON in (a read-only tree) and JSON out (appended to a buffer). The only owner of cJSON.
 * Strict: duplicate keys, NUL (also as \u0000), invalid UTF-8, lone surrogates, trailing bytes and
 * a depth above JSON_MAX_DEPTH are refused.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json_flags.h"
#include "base/str.h"

/* The largest whole number that a double holds exactly, 2^53 - 1. */
#define JSON_MAX_SAFE_INTEGER INT64_C(9007199254740991)

struct json; /* a value of a parsed document */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Parses `text`; the caller frees the root with json_free. Everything reachable from the root is
 * borrowed from it. NULL and ERR_PROTOCOL with the byte offset and cause on malformed text. */
struct json *json_parse(struct str text, unsigned flags, struct err *e);

/* Frees a document by its root. NULL-safe. */
void json_free(struct json *root);

enum json_type json_type(const struct json *value);

/* Returns the member of an object, or NULL when absent or when `object` is NULL or not an
 * object. */
const struct json *json_get(const struct json *object, const char *key);

/* Iterate over array elements or object members; NULL at the end. NULL and scalars have none. */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *value);
size_t json_count(const struct json *container);

/* Returns the key under which `value` stands in its object. */
struct str json_key(const struct json *value);

/* Read a value of one type. Return false, and leave *out as it is, when `value` is NULL or of
 * another type. */
bool json_str(const struct json *value, struct str *out);
bool json_bool(const struct json *value, bool *out);
bool json_number(const struct json *value, double *out);

/* Reads a whole number from -JSON_MAX_SAFE_INTEGER to JSON_MAX_SAFE_INTEGER; `5.0` is one. */
bool json_int(const struct json *value, int64_t *out);

/* Returns true when `object` is an object whose keys are all among `allowed` (NULL-terminated
 * list); otherwise *unknown (if not NULL) is the first key that is not. */
bool json_only_keys(const struct json *object, const char *const *allowed, struct str *unknown);

/*
 * Writing. A comma is put where one is needed (it looks at the last byte of the buffer), so a
 * document is a plain sequence of calls:
 *     json_open(b, '{'); json_put_str(b, "type", s); json_put_int(b, "size", n);
 *     json_close(b, '}');
 * `key` is NULL inside arrays and for a root value; before a root the buffer must not end with the
 * last byte of another value (a line end is fine). Strings must be UTF-8: a byte that is not is
 * written as U+FFFD.
 */
void json_open(struct buf *b, char bracket);
void json_open_member(struct buf *b, const char *key, char bracket);
void json_close(struct buf *b, char bracket);
void json_put_str(struct buf *b, const char *key, struct str value);
/* Appends the content of a buffer as a string; a failed one makes `b` fail. */
void json_put_buf(struct buf *b, const char *key, const struct buf *value);
void json_put_int(struct buf *b, const char *key, int64_t value);
/* Appends a size or a count; a negative one is not known: null. */
void json_put_count(struct buf *b, const char *key, int64_t value);
void json_put_bool(struct buf *b, const char *key, bool value);
void json_put_null(struct buf *b, const char *key);
/* Appends the shortest text that reads back as the same double, with ".0" when it is whole:
 * Python's repr, but that 46 powers of two, from 2^-24 down and 2^89 up, get a digit more. A number
 * that is not finite becomes `null`. */
void json_put_double(struct buf *b, const char *key, double value);
/* Appends `text`, which is JSON already. */
void json_put_raw(struct buf *b, const char *key, struct str text);
/* Appends a path in ASCII alone, for link records: characters above 0x7e as \uxxxx (pairs beyond
 * the BMP), bytes that are not UTF-8 as \udc80-\udcff. */
void json_put_path(struct buf *b, const char *key, struct str path);

/* Appends a parsed value as compact JSON in member order; numbers as JavaScript prints them. */
void json_put_value(struct buf *b, const char *key, const struct json *value);

/* Appends a parsed value as Python's json.dumps(value, indent=4) writes it, members in order; a
 * whole number has no ".0", and beyond JSON_MAX_SAFE_INTEGER not all of its digits. */
void json_put_indented(struct buf *b, const struct json *value);

/* Appends the text that signatures cover: keys sorted by bytes at every depth, no white space;
 * non-ASCII raw (JavaScript) or, with `is_ascii`, everything from 0x7f up as \uxxxx (Python). */
void json_put_canonical(struct buf *b, const struct json *value, bool is_ascii);

#endif
