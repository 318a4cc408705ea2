#include "proto/line.h"

#include <string.h>

static void put_u16(struct buf *out, uint16_t value)
{
    const unsigned char bytes[2] = {(unsigned char)value, (unsigned char)(value >> 8)};

    buf_append(out, bytes, sizeof bytes);
}

static void put_u32(struct buf *out, uint32_t value)
{
    put_u16(out, (uint16_t)value);
    put_u16(out, (uint16_t)(value >> 16));
}

static void put_line_kind(struct buf *out, enum line_kind kind)
{
    const unsigned char byte = (unsigned char)kind;

    buf_append(out, &byte, 1);
}

/* A number of `size` bytes from the front of *rest, which is long enough. */
static uint32_t take_le_number(struct str *rest, size_t size)
{
    uint32_t value = 0;

    for (size_t i = 0; i < size; i++)
        value |= (uint32_t)(unsigned char)rest->p[i] << 8 * i;
    *rest = str_slice(*rest, size, rest->len);
    return value;
}

static bool parse_want(struct str rest, struct line_message *m)
{
    if (rest.len != 14)
        return false;
    m->request = take_le_number(&rest, 4);
    m->file = take_le_number(&rest, 4);
    m->first = take_le_number(&rest, 4);
    m->count = take_le_number(&rest, 2);
    return m->count > 0 && m->count <= LINE_MAX_WANT && m->count - 1 <= UINT32_MAX - m->first;
}

static bool parse_data(struct str rest, struct line_message *m)
{
    if (rest.len < 9 || rest.len > 8 + LINE_LEAF_BYTES)
        return false;
    m->request = take_le_number(&rest, 4);
    m->first = take_le_number(&rest, 4);
    m->bytes = rest;
    return true;
}

static bool parse_fail(struct str rest, struct line_message *m)
{
    if (rest.len != 5)
        return false;
    m->request = take_le_number(&rest, 4);
    m->reason = (enum line_reason)take_le_number(&rest, 1);
    return m->reason >= LINE_CHANGED && m->reason <= LINE_CLOSED;
}

static bool parse_hashes(struct str rest, size_t max, struct line_message *m)
{
    if (rest.len < 8 + LINE_HASH_BYTES || (rest.len - 8) % LINE_HASH_BYTES != 0 ||
        (rest.len - 8) / LINE_HASH_BYTES > max)
        return false;
    m->file = take_le_number(&rest, 4);
    m->first = take_le_number(&rest, 4);
    m->count = (uint32_t)(rest.len / LINE_HASH_BYTES);
    m->bytes = rest;
    return m->count - 1 <= UINT32_MAX - m->first;
}

bool line_parse(struct str frame, struct line_message *out)
{
    struct str rest = str_slice(frame, 1, frame.len);

    *out = (struct line_message){0};
    if (frame.len == 0)
        return false;
    out->kind = (enum line_kind)(unsigned char)frame.p[0];
    switch (out->kind) {
    case LINE_WANT: return parse_want(rest, out);
    case LINE_CANCEL:
        if (rest.len != 4)
            return false;
        out->request = take_le_number(&rest, 4);
        return true;
    case LINE_DATA: return parse_data(rest, out);
    case LINE_FAIL: return parse_fail(rest, out);
    case LINE_PAGES: return parse_hashes(rest, LINE_MAX_PAGES, out);
    case LINE_PAGE: return parse_hashes(rest, LINE_PAGE_LEAVES, out);
    }
    return false;
}

void line_put_want(struct buf *out, uint32_t request, uint32_t file, uint32_t first, uint16_t count)
{
    put_line_kind(out, LINE_WANT);
    put_u32(out, request);
    put_u32(out, file);
    put_u32(out, first);
    put_u16(out, count);
}

void line_put_cancel(struct buf *out, uint32_t request)
{
    put_line_kind(out, LINE_CANCEL);
    put_u32(out, request);
}

void line_put_fail(struct buf *out, uint32_t request, enum line_reason reason)
{
    const unsigned char byte = (unsigned char)reason;

    put_line_kind(out, LINE_FAIL);
    put_u32(out, request);
    buf_append(out, &byte, 1);
}

void line_put_data_head(struct buf *out, uint32_t request, uint32_t leaf)
{
    put_line_kind(out, LINE_DATA);
    put_u32(out, request);
    put_u32(out, leaf);
}

static void put_hashes(struct buf *out, enum line_kind kind, uint32_t file, uint32_t first,
                       struct str hashes)
{
    put_line_kind(out, kind);
    put_u32(out, file);
    put_u32(out, first);
    buf_put(out, hashes);
}

void line_put_pages(struct buf *out, uint32_t file, uint32_t first, struct str hashes)
{
    put_hashes(out, LINE_PAGES, file, first, hashes);
}

void line_put_page(struct buf *out, uint32_t file, uint32_t page, struct str hashes)
{
    put_hashes(out, LINE_PAGE, file, page, hashes);
}
