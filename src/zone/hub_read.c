#include "zone/hub_read.h"

#include <stdlib.h>

enum { BLOCK_TRIES = 3 };

#define PAGE_FILE_BYTES ((int64_t)MANIFEST_PAGE_LEAVES * MANIFEST_LEAF_BYTES)

struct checked_reading {
    struct hub_manifest *manifest;
    const struct bucket_range *range;
    int64_t end;   /* of the range */
    uint64_t i;    /* the next block */
    struct buf block; /* its bytes that are here */
    int64_t given;
    bool is_wrong; /* a block did not have its hash */
};

/* Passes on what of a block is in the range. */
static int give_block(struct checked_reading *r, struct err *e)
{
    const struct bucket_range *range = r->range;
    const int64_t at = (int64_t)r->i * MANIFEST_LEAF_BYTES;
    const int64_t first = range->start > at ? range->start - at : 0;
    struct str bytes = str_slice(buf_str(&r->block), (size_t)first, (size_t)(r->end - at));

    if (range->sink(range->ctx, bytes, e) != 0)
        return -1;
    r->given += (int64_t)bytes.len;
    if (range->on_bytes != NULL)
        range->on_bytes(range->on_bytes_ctx, r->given, r->end - range->start);
    return 0;
}

static int take_block_bytes(void *ctx, struct str chunk, struct err *e)
{
    struct checked_reading *r = ctx;

    while (chunk.len > 0) {
        const size_t want = manifest_block_bytes(r->manifest->size, r->i) - r->block.len;
        buf_put(&r->block, str_slice(chunk, 0, want));
        if (buf_check(&r->block, e) != 0)
            return -1;
        if (chunk.len < want)
            return 0;
        chunk = str_slice(chunk, want, chunk.len);
        r->is_wrong = !hub_manifest_proves(r->manifest, r->i, buf_str(&r->block));
        if (r->is_wrong)
            return err_set(e, ERR_CHANGED,
                           "block %llu (bytes %lld to %lld) came with other bytes than its hash in "
                           "the manifest",
                           (unsigned long long)r->i, (long long)r->i * MANIFEST_LEAF_BYTES,
                           (long long)((int64_t)r->i * MANIFEST_LEAF_BYTES +
                                       (int64_t)r->block.len - 1));
        if (give_block(r, e) != 0)
            return -1;
        r->i++;
        buf_clear(&r->block);
    }
    return 0;
}

/* Reads on to the end of the page at most, whose leaves are got first. */
static int read_page(struct checked_reading *r, const struct gateway_file *file, struct err *e)
{
    struct hub_manifest *m = r->manifest;
    const int64_t at = (int64_t)r->i * MANIFEST_LEAF_BYTES;
    int64_t end = (at / PAGE_FILE_BYTES + 1) * PAGE_FILE_BYTES;
    const int64_t last = (r->end - 1) / MANIFEST_LEAF_BYTES * MANIFEST_LEAF_BYTES;

    end = end < last + MANIFEST_LEAF_BYTES ? end : last + MANIFEST_LEAF_BYTES;
    end = end < m->size ? end : m->size;
    const struct bucket_range range = {
        .start = at, .end = end, .sink = take_block_bytes, .ctx = r, .is_checked = true};
    buf_clear(&r->block);
    r->is_wrong = false;
    if (hub_manifest_seek(m, r->i, e) != 0 ||
        bucket_range_get(m->gateway, m->how, m->hash, file, &range, e) != 0)
        return -1;
    return (int64_t)r->i * MANIFEST_LEAF_BYTES >= end
               ? 0
               : err_set(e, ERR_PROTOCOL, "the hub sent less than it said");
}

int hub_read_range(struct hub_manifest *m, const struct gateway_file *file,
                   const struct bucket_range *range, struct err *e)
{
    struct checked_reading r = {.manifest = m,
                                .range = range,
                                .end = range->end < 0 || range->end > m->size ? m->size
                                                                              : range->end,
                                .i = (uint64_t)(range->start / MANIFEST_LEAF_BYTES)};
    struct err why = {0};
    int result = 0, tries = 0;

    if (range->start >= r.end) /* empty, or behind the end */
        return bucket_range_get(m->gateway, m->how, m->hash, file, range, e);
    while (result == 0 && (int64_t)r.i * MANIFEST_LEAF_BYTES < r.end) {
        const uint64_t before = r.i;
        result = read_page(&r, file, &why);
        tries = r.i > before ? 1 : tries + 1;
        if (result != 0 && r.is_wrong && tries < BLOCK_TRIES)
            result = 0;
    }
    if (result != 0 && r.is_wrong)
        err_wrap(&why, "asked for %d times", BLOCK_TRIES);
    if (result != 0)
        err_set(e, why.code == ERR_NOT_FOUND && r.given > 0 ? ERR_FAILED : why.code, "%s",
                why.msg);
    buf_free(&r.block);
    return result;
}

int hub_read_check(void *manifest, uint64_t i, struct str block, struct err *e)
{
    struct hub_manifest *m = manifest;

    if (hub_manifest_seek(m, i, e) != 0)
        return -1;
    return hub_manifest_proves(m, i, block);
}

static int add_to_part(void *ctx, struct str chunk, struct err *e)
{
    return part_add(ctx, chunk, e);
}

int hub_read_part(struct hub_manifest *m, const struct gateway_file *file, struct part *part,
                  struct err *e)
{
    const struct bucket_range range = {
        .start = part->bytes, .end = m->size, .sink = add_to_part, .ctx = part};
    char hash[SHA1_HEX + 1];

    part_note_resumed(part, &m->how->watch);
    if (hub_read_range(m, file, &range, e) != 0)
        return -1;
    if (part_is_right(part, hash))
        return 0;
    part->is_spoilt = true;
    return err_set(e, ERR_CHANGED,
                   "wrong content: %lld bytes with the SHA-1 %s: the host's manifest is of another "
                   "file: there, `unlink` and `link` this one again",
                   (long long)part->bytes, hash);
}
