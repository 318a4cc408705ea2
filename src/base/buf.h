/*
 * Growing byte buffers. An append to a buffer whose memory ran out does nothing and leaves
 * `failed` set, so that a builder checks once at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/* All zeros is a valid empty buffer. `data` is NULL while nothing was ever appended. */
struct buf {
    char *data;
    size_t len, cap;
    bool failed;
};

/* Releases the memory; the buffer is empty and usable again. NULL-safe. */
void buf_free(struct buf *b);

/* Overwrites all of the memory with zeros, then releases it: for secrets. */
void buf_wipe(struct buf *b);

/* Makes the length 0, keeps the memory, clears `failed`. */
void buf_clear(struct buf *b);

/* Makes room for `extra` more bytes after data[len]. Returns false (and sets failed) without
 * memory. */
bool buf_reserve(struct buf *b, size_t extra);

/* Append bytes; a C string without its NUL. */
void buf_append(struct buf *b, const void *data, size_t len);
void buf_put(struct buf *b, struct str s);
void buf_puts(struct buf *b, const char *text);

/* Appends the content of another buffer; a failed one makes this one fail. */
void buf_put_buf(struct buf *b, const struct buf *other);

/* Append one byte, and text as printf(3) formats it. */
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes the first n bytes (at most len) by moving the rest to the front. */
void buf_consume(struct buf *b, size_t n);

/* Borrows the content until the next change of the buffer. */
struct str buf_str(const struct buf *b);

/* Returns the content as a C string, borrowed as above (the NUL behind it is not counted); "" when
 * the buffer is empty or failed. */
const char *buf_cstr(struct buf *b);

/* Returns the content as a path, borrowed as above; NULL with the err set when an append failed or
 * the buffer is empty: "" names no file, and a look for it would report "not there". Every path
 * that is made in a buffer goes through here, and functions that take a path fail on NULL. */
const char *buf_path(struct buf *b, struct err *e) ERR_CHECKED;

/* Returns -1, for a function that was given NULL for a path: buf_path has mostly set the err
 * already. */
int buf_no_path(struct err *e) ERR_CHECKED;

/* Hands out the content as a malloc'ed C string (caller frees) and empties the buffer; NULL when
 * failed. */
char *buf_take(struct buf *b);

/* Returns 0, or -1 with ERR_FAILED "out of memory" when an append failed. */
int buf_check(const struct buf *b, struct err *e) ERR_CHECKED;

#endif
