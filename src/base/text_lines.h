/*
 * Lists that people and programs write: one entry a line (of a file, a pipe, or standard input),
 * read as text_file.h describes, without end and without blocking; or separated by NUL, and then
 * byte for byte. Empty entries are left out. A file without an entry in TEXT_LINES_MAX_SKIPPED
 * bytes, such as /dev/zero, is no list: it ends there.
 */
#ifndef BASE_TEXT_LINES_H
#define BASE_TEXT_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { TEXT_LINES_MAX_SKIPPED = 16 << 20 };

struct text_lines {
    int fd; /* -1: none */
    bool is_nul_separated, is_ended, is_overlong, is_begun;
    size_t max_bytes; /* of an entry */
    size_t used;      /* bytes of `data` that were taken */
    size_t skipped;   /* bytes that were no entry, since the last one */
    struct buf data;
};

enum text_lines_step {
    TEXT_LINES_ENTRY,
    TEXT_LINES_BAD,  /* an entry that cannot be used; *entry is the start of it, fit to be shown */
    TEXT_LINES_WAIT, /* nothing yet: until text_lines.fd is readable */
    TEXT_LINES_END   /* also behind an error of reading */
};

/* Opens `path` ("-": standard input). */
int text_lines_open(struct text_lines *l, const char *path, bool is_nul_separated,
                    size_t max_bytes, struct err *e) ERR_CHECKED;

/* Closes the list; standard input stays open. Safe on all zeros with fd -1, and twice. */
void text_lines_close(struct text_lines *l);

/* Takes the next entry, borrowed until the next call. The error names the cause alone. */
enum text_lines_step text_lines_next(struct text_lines *l, struct str *entry, struct err *e);

/* Sleeps until there is more to read, for callers that have nothing else to do. */
void text_lines_wait(const struct text_lines *l);

#endif
