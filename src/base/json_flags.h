/* The limits and options of JSON texts: for their reader (json.h) and checker (json_check.h). */
#ifndef BASE_JSON_FLAGS_H
#define BASE_JSON_FLAGS_H

enum { JSON_MAX_DEPTH = 32 };

enum json_flags {
    JSON_STRICT = 0,
    /* Lone \udc80-\udcff stand for the raw bytes 0x80-0xff (Python's surrogateescape): for paths in
     * link records. */
    JSON_SURROGATE_ESCAPE = 1
};

#endif
