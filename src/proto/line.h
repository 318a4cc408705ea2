/*
 * The binary messages of a line (EXTENSIONS.md §3), the WebSocket on which a daemon's range worker
 * sends blocks of open files to a hub. Numbers are little endian; the first byte is the kind:
 *     1 want    u32 request, u32 file, u32 first leaf, u16 count
 *     2 cancel  u32 request
 *     3 data    u32 request, u32 leaf, the leaf's bytes
 *     4 fail    u32 request, u8 reason
 *     5 pages   u32 file, u32 first page, 32 bytes for each page
 *     6 page    u32 file, u32 page, 32 bytes for each leaf
 * Sans-I/O.
 */
#ifndef PROTO_LINE_H
#define PROTO_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum {
    LINE_LEAF_BYTES = 262144,
    LINE_HASH_BYTES = 32,
    LINE_PAGE_LEAVES = 1024,      /* hashes of one page message */
    LINE_MAX_PAGES = 16384,       /* hashes of one pages message */
    LINE_MAX_WANT = 32,           /* leaves of one want */
    LINE_MAX_HEAD_BYTES = 15      /* of a message, before hashes or the leaf's bytes */
};

/* The longest text, and the longest binary message: one of LINE_MAX_PAGES hashes. */
enum { LINE_MAX_TEXT_BYTES = 4096, LINE_MAX_MESSAGE_BYTES = 9 + LINE_MAX_PAGES * LINE_HASH_BYTES };

enum line_kind {
    LINE_WANT = 1,
    LINE_CANCEL = 2,
    LINE_DATA = 3,
    LINE_FAIL = 4,
    LINE_PAGES = 5,
    LINE_PAGE = 6
};

enum line_reason {
    LINE_CHANGED = 1, /* the file is not what it was when its manifest was made */
    LINE_ERROR = 2,   /* it cannot be read now */
    LINE_CLOSED = 3   /* it is not open on this line (any more) */
};

/* A message that came. Members that its kind lacks are 0 or empty. */
struct line_message {
    enum line_kind kind;
    uint32_t request; /* WANT, CANCEL, DATA, FAIL: the hub's number */
    uint32_t file;    /* WANT, PAGES, PAGE: the hub's number */
    uint32_t first;   /* WANT and DATA: a leaf; PAGES and PAGE: a page */
    uint32_t count;   /* WANT: leaves; PAGES and PAGE: hashes */
    enum line_reason reason;
    struct str bytes; /* DATA: the leaf; PAGES and PAGE: the hashes; borrowed */
};

/* Parses a message; its bytes are borrowed from `frame`. Returns false if it is none: an unknown
 * kind or reason, another length than the kind has, counts and leaves that are 0 or above their
 * limits, or a range that ends beyond leaf 2^32 - 1. */
bool line_parse(struct str frame, struct line_message *out);

/* Append whole messages. */
void line_put_want(struct buf *out, uint32_t request, uint32_t file, uint32_t first,
                   uint16_t count);
void line_put_cancel(struct buf *out, uint32_t request);
void line_put_fail(struct buf *out, uint32_t request, enum line_reason reason);

/* Appends what stands before the leaf's bytes; the caller appends these, 1 to LINE_LEAF_BYTES. */
void line_put_data_head(struct buf *out, uint32_t request, uint32_t leaf);

/* Hashes have LINE_HASH_BYTES each: at most LINE_MAX_PAGES of pages, LINE_PAGE_LEAVES of a page. */
void line_put_pages(struct buf *out, uint32_t file, uint32_t first, struct str hashes);
void line_put_page(struct buf *out, uint32_t file, uint32_t page, struct str hashes);

#endif
