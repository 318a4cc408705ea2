/*
 * The listing of a folder of an index, as HTML or JSON, made piece by piece: a folder may have
 * more files than fit in memory as text. Sans-I/O.
 */
#ifndef PROXY_FOLDER_PAGE_H
#define PROXY_FOLDER_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/folder_index.h"

enum folder_page_part { FOLDER_PAGE_HEAD, FOLDER_PAGE_FILES, FOLDER_PAGE_END };

struct folder_page {
    const struct folder_index *index; /* borrowed, like the rest */
    struct str folder;                /* in it; empty: the root */
    bool is_json;
    size_t at, end; /* the rest is folder_page.c's own */
    enum folder_page_part part;
    bool has_entries;
    struct buf made;
};

/* Begins the listing, or begins it again. Returns false if the index has no such folder. */
bool folder_page_begin(struct folder_page *page);

/* Appends the next bytes, at most `room`; none at the end of the listing. False without memory. */
bool folder_page_make(struct folder_page *page, struct buf *out, size_t room);

/* Counts the bytes of the whole listing, which is then at its begin; -1 without memory. Makes all
 * of it, piece by piece. */
int64_t folder_page_length(struct folder_page *page);

void folder_page_free(struct folder_page *page); /* the index stays */

#endif
