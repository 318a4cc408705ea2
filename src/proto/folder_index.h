/*
 * Folder indexes (EXTENSIONS.md §3 "Folders"): the files of a folder by path, each with its SHA-1
 * and size, as one JSON text. Read piece by piece and kept small: an index may be served to many.
 * Sans-I/O.
 */
#ifndef PROTO_FOLDER_INDEX_H
#define PROTO_FOLDER_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "base/str.h"

enum {
    FOLDER_INDEX_MAX_BYTES = 32 << 20, /* of the text */
    FOLDER_INDEX_MAX_PATH = 4096       /* bytes */
};

struct folder_file {
    const char *path; /* not terminated */
    uint32_t path_len;
    unsigned char sha1[SHA1_SIZE];
    int64_t size;
};

struct folder_chunk;

/* All zeros is an empty one. The files are sorted so that those of a folder stand together: by the
 * bytes of their paths, '/' before all others. */
struct folder_index {
    struct folder_file *files;
    size_t count;
    size_t cap; /* the rest is folder_index.c's own */
    struct folder_chunk *chunks;
    size_t bytes;
};

/* Frees the memory; the index is empty then. */
void folder_index_free(struct folder_index *index);

/* Returns the path, borrowed from the index. */
struct str folder_file_path(const struct folder_file *file);

/* Returns whether an index may have that path: relative, UTF-8, no NUL, no part that is empty, "."
 * or "..", at most FOLDER_INDEX_MAX_PATH bytes. */
bool folder_index_is_path(struct str path);

/* Appends a file to an index that is being made. The path is copied. ERR_FAILED if it may not be
 * there, without memory, or for more files than an index can hold. */
int folder_index_add(struct folder_index *index, struct str path, const char *sha1, int64_t size,
                     struct err *e) ERR_CHECKED;

/* Appends the text, files in the order of the bytes of their paths; sorts the index. ERR_FAILED for
 * a path that is there twice or is also a folder, ERR_TOO_LARGE beyond FOLDER_INDEX_MAX_BYTES. */
int folder_index_put(struct folder_index *index, struct buf *out, struct err *e) ERR_CHECKED;

/* Returns the file of that path, or NULL. */
const struct folder_file *folder_index_find(const struct folder_index *index, struct str path);

/* Finds the files below a folder, whose path ends with '/' (empty: the whole): from *first to
 * before *end. Returns false if there is none; an empty path is always a folder. */
bool folder_index_range(const struct folder_index *index, struct str folder, size_t *first,
                        size_t *end);

/* Steps through what is directly in a folder: *at begins as *first of its range, `end` is that of
 * the range. False at the end; else *name is a file's, with *file, or a folder's, with NULL. */
bool folder_index_next(const struct folder_index *index, struct str folder, size_t *at, size_t end,
                       struct str *name, const struct folder_file **file);

/* Returns the bytes of memory that it holds. */
size_t folder_index_bytes(const struct folder_index *index);

/* ---- reading a text ---- */

/* All zeros at the start of a text. */
struct folder_parser {
    struct folder_index index;
    int expects, lexing; /* states of folder_index.c */
    bool has_version, has_files, has_sha1, has_size;
    unsigned unit, digits, high; /* of a \u escape */
    int64_t at;                  /* bytes taken */
    struct buf token, path;
    char sha1[SHA1_HEX + 1];
    int64_t size;
};

/* Takes the next piece. ERR_PROTOCOL with the byte and the cause as soon as the text cannot be an
 * index. */
int folder_parser_feed(struct folder_parser *p, struct str piece, struct err *e) ERR_CHECKED;

/* Ends the text: *out (which was empty) is its index. ERR_PROTOCOL if the text is not whole. */
int folder_parser_end(struct folder_parser *p, struct folder_index *out, struct err *e) ERR_CHECKED;

/* Frees the memory, also in the middle of a text. */
void folder_parser_free(struct folder_parser *p);

/* Parses all of a text at once; *out was empty. */
int folder_index_parse(struct folder_index *out, struct str text, struct err *e) ERR_CHECKED;

#endif
