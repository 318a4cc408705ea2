/*
 * The members of a JSON object, by a table: one reader and one writer for messages, requests and
 * records. A table is an array of at most FIELDS_MAX_ROWS rows; its end is a row without a name.
 * A row holds its texts itself: a table without addresses is part of the program's file, which all
 * processes share, while the start of each writes the addresses into the others.
 *
 *     struct done { int64_t id, size; struct str hash; bool existed; };
 *     #define AT(member) offsetof(struct done, member)
 *     static const struct field done_fields[] = {
 *         {.name = "type", .kind = FIELD_WORD, .word = "done"},
 *         {.name = "id", .kind = FIELD_INT, .at = AT(id)},
 *         {.name = "hash", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX},
 *         {.name = "existed", .kind = FIELD_BOOL, .at = AT(existed), .is_optional = true},
 *         {.kind = FIELD_END},
 *     };
 */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/* The bytes of a name and of a word; a longer text is an error of the compiler's, as is a number
 * that does not fit `at`, `min` or `max`. */
enum { FIELDS_MAX_ROWS = 32, FIELDS_NAME_BYTES = 18, FIELDS_WORD_BYTES = 24 };

enum field_kind {
    FIELD_END = 0, /* of the last row: a member that has no row is refused */
    FIELD_OTHERS,  /* of the last row: members that have no row are passed over */
    FIELD_WORD,    /* the text `word` and no other; stored nowhere */
    FIELD_STRING,  /* struct str, borrowed from the document: min to max bytes (max 0: no limit) */
    FIELD_PATH,    /* the same; bytes that are not UTF-8 are written so that they read back from a
                      document with JSON_SURROGATE_ESCAPE */
    FIELD_HEX,     /* struct str of lower-case hex digits: `max` of them, or min to max (min > 0) */
    FIELD_CHARS,   /* char[max + 1], a copy that ends with NUL: min to max bytes */
    FIELD_INT,     /* int64_t from min to max (max 0: to JSON_MAX_SAFE_INTEGER) */
    FIELD_SIGNED,  /* int64_t of any size: from -JSON_MAX_SAFE_INTEGER to JSON_MAX_SAFE_INTEGER */
    FIELD_WHOLE,   /* as FIELD_INT, and a fraction is dropped when it is read */
    FIELD_CLAMPED, /* the same, and a number outside of the limits becomes the nearer limit */
    FIELD_UINT64,  /* uint64_t, in JSON a string of digits: a number there is exact up to 2^53 */
    FIELD_DOUBLE,  /* double */
    FIELD_BOOL,    /* bool */
    FIELD_OBJECT,  /* const struct json *, borrowed: read it by a table of its own */
    FIELD_ARRAY    /* const struct json *, borrowed */
};

struct field {
    char name[FIELDS_NAME_BYTES], word[FIELDS_WORD_BYTES]; /* without a NUL if they fill it */
    uint16_t at;      /* offsetof of the member of the struct */
    uint8_t kind;     /* enum field_kind */
    bool is_optional; /* an absent one leaves the member as it is: the caller's default */
    bool may_be_null; /* null is as good as absent */
    int32_t min;
    uint32_t max;
    bool (*is_good)(const void *member); /* asked behind the limits; NULL: they are all */
};

/* A field.is_good for a FIELD_PATH or FIELD_STRING: returns true when it begins with "/". */
bool fields_is_absolute_path(const void *member);

/*
 * Reads the members of `object` to *out. *seen (may be NULL) gets one bit for each row that was
 * there, in their order. ERR_PROTOCOL naming the field that is unknown, absent or bad; *out is then
 * partly written. Strings and values are borrowed from the document.
 */
int fields_read(const struct field *fields, const struct json *object, void *out, uint32_t *seen,
                struct err *e);

/* Returns true when `seen` has the bit of the row of that name. */
bool fields_has(const struct field *fields, uint32_t seen, const char *name);

/*
 * Reads an object that is one of several messages: `messages` (ended by NULL) are their tables, the
 * first row of each is a FIELD_WORD and tells them apart. Returns the index of the table, or -1 as
 * fields_read. fields_find only looks which it is: -1 when it is none, also when it is no object.
 */
int fields_read_one_of(const struct field *const *messages, const struct json *object, void *out,
                       struct err *e);
int fields_find(const struct field *const *messages, const struct json *object);

/*
 * Appends the object that reads back as *from. Left out of it: what is optional and a string of no
 * bytes, a number outside of its limits, false or a NULL value; every NULL value of a FIELD_OBJECT
 * or FIELD_ARRAY. fields_put_members appends the members alone, for who adds such a value behind
 * them, between json_open and json_close.
 */
void fields_put(struct buf *out, const struct field *fields, const void *from);
void fields_put_members(struct buf *out, const struct field *fields, const void *from);

#endif
