/* A binary message of a line that was accepted keeps its promises, and is the same after it was
 * written again. */
#include <string.h>

#include "fuzz.h"
#include "proto/line.h"

static void put_again(struct buf *out, const struct line_message *m)
{
    switch (m->kind) {
    case LINE_WANT: line_put_want(out, m->request, m->file, m->first, (uint16_t)m->count); break;
    case LINE_CANCEL: line_put_cancel(out, m->request); break;
    case LINE_DATA:
        line_put_data_head(out, m->request, m->first);
        buf_put(out, m->bytes);
        break;
    case LINE_FAIL: line_put_fail(out, m->request, m->reason); break;
    case LINE_PAGES: line_put_pages(out, m->file, m->first, m->bytes); break;
    case LINE_PAGE: line_put_page(out, m->file, m->first, m->bytes); break;
    }
}

static void check(const struct line_message *m)
{
    uint32_t count = m->count == 0 ? 1 : m->count;

    require(count - 1 <= UINT32_MAX - m->first);
    if (m->kind == LINE_WANT)
        require(m->count > 0 && m->count <= LINE_MAX_WANT);
    if (m->kind == LINE_DATA)
        require(m->bytes.len > 0 && m->bytes.len <= LINE_LEAF_BYTES);
    if (m->kind == LINE_FAIL)
        require(m->reason >= LINE_CHANGED && m->reason <= LINE_CLOSED);
    if (m->kind == LINE_PAGES || m->kind == LINE_PAGE)
        require(m->bytes.len == (size_t)m->count * LINE_HASH_BYTES &&
                m->count <= (m->kind == LINE_PAGE ? LINE_PAGE_LEAVES : LINE_MAX_PAGES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str frame = {(const char *)data, size};
    struct line_message m;
    struct buf again = {0};

    if (!line_parse(frame, &m))
        return 0;
    check(&m);
    put_again(&again, &m);
    require(!again.failed && str_equal(buf_str(&again), frame));
    buf_free(&again);
    return 0;
}
