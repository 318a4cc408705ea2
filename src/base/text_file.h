/*
 * Small text files as people write them, with whatever editor: the byte order mark goes, CRLF line
 * ends become LF, the last line needs no end; UTF-16 and NUL are refused by name. Nothing here is
 * for what must stay byte for byte, such as lists separated by NUL.
 */
#ifndef BASE_TEXT_FILE_H
#define BASE_TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    TEXT_SECRET_FILE_BYTES = 4096, /* of a file whose first line is a secret */
    TEXT_SECRET_BYTES = 1000       /* of a secret */
};

/* Reads a whole file (a pipe too, and waits for it) of at most max_bytes as such a text; appends.
 * ERR_NOT_FOUND when there is none, ERR_TOO_LARGE, ERR_FAILED naming the encoding. */
int text_file_read(const char *path, size_t max_bytes, struct buf *out, struct err *e) ERR_CHECKED;

/* Makes such a text, in place, of bytes that were read elsewhere, from byte `start` on. The error
 * is about the text, without a name. */
int text_file_tidy(struct buf *text, size_t start, struct err *e) ERR_CHECKED;

/* Returns "UTF-16 text" or "UTF-32 text" by the text's byte order mark, else NULL; static. */
const char *text_file_foreign(struct str text);

/* Returns the length of UTF-8's byte order mark at the start of the text: 3, or 0. */
size_t text_file_mark(struct str text);

/* Appends the secret in a file's first line. An empty one, and one that text_file_check_secret
 * refuses, is an error that names the file, never the secret. Caller wipes. */
int text_file_read_secret(const char *path, struct buf *out, struct err *e) ERR_CHECKED;

/* Refuses (ERR_USAGE) a secret that its two ends could understand differently: quotes, blanks or
 * invisible characters around it, control characters, more than TEXT_SECRET_BYTES, no UTF-8. */
int text_file_check_secret(struct str secret, struct err *e) ERR_CHECKED;

/* Refuses a file that a stranger may have put where everybody may write: it would choose our
 * secret, or the clients that we serve. */
int text_file_check_owner(const char *path, struct err *e);

#endif
