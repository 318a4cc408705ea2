/*
 * The JSON objects {"path","size","mtime","sha1"} that the store keeps for links and in its hash
 * cache (PROTOCOL.md §2), as the Python client writes and reads them.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/newfile.h"
#include "base/sha1.h"

struct record {
    char *path; /* absolute, any bytes but NUL */
    int64_t size;
    double mtime;
    char hash[SHA1_HEX + 1];
};

/* Frees the path. Safe on zeros. */
void record_deinit(struct record *r);

/* Reads `file`. ERR_NOT_FOUND when it is not there, and when it is no whole record: another client
 * may be writing it in place. Caller frees with record_deinit. */
int record_read(const char *file, struct record *out, struct err *e) ERR_CHECKED;

/* Reads in the same way; *st (may be NULL) gets the record's fstat(2). Without `follows`, a
 * symbolic link is an error. */
int record_read_stat(const char *file, bool follows, struct record *out, struct stat *st,
                     struct err *e) ERR_CHECKED;

/* Takes the text of a record apart; ERR_NOT_FOUND as above. For record_read and tests. */
int record_parse(struct record *out, struct str text, struct err *e) ERR_CHECKED;

/* Appends the text, byte for byte as Python's json.dumps makes it. */
void record_put(struct buf *out, const struct record *r);

struct store;

/* Replaces `file`, which is in the store, making its parents; `flags` as for newfile_put. */
int record_write(const struct store *s, const char *file, const struct record *r, unsigned flags,
                 struct err *e) ERR_CHECKED;

#endif
