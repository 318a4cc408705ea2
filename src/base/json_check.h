/*
 * The grammar of RFC 8259 and our limits, before cJSON sees a text: it is lenient where strangers
 * must not be. For json.c alone.
 */
#ifndef BASE_JSON_CHECK_H
#define BASE_JSON_CHECK_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* cJSON reads numbers through a buffer of 64 bytes: longer ones are rewritten. */
enum { JSON_MAX_NUMBER_BYTES = 63 };

struct json_measure {
    size_t values;       /* all values, containers too */
    size_t text_bytes;   /* of strings and numbers, at least what they need when decoded */
};

/*
 * Checks all of `text`; ERR_PROTOCOL with byte offset and cause. Where it has what cJSON cannot
 * read, *rewritten (empty before) receives it with something else in the place of that: raw bytes
 * for lone \udc80-\udcff (with JSON_SURROGATE_ESCAPE), short numbers for long ones; otherwise it
 * stays empty.
 */
int json_check(struct str text, unsigned flags, struct json_measure *measure,
               struct buf *rewritten, struct err *e) ERR_CHECKED;

#endif
