#include "zone/hub_read.h"

#include <stdlib.h>

#include "base/clock.h"

enum { BLOCK_TRIES = 3 };
enum { CHECK_MS = 50 }; /* after which blocks that came are checked, however few */

#define PAGE_FILE_BYTES ((int64_t)MANIFEST_PAGE_LEAVES * MANIFEST_LEAF_BYTES)

struct checked_reading {
    struct hub_manifest *manifest;
    const struct bucket_range *range;
    int64_t end;         /* of the range */
    uint64_t i;          /* the next block */
    size_t most;         /* blocks that are checked side by side */
    struct buf bytes;    /* from block i on, not checked yet */
    int64_t checked_ms; /* when they were looked at, or the first of them came */
    int64_t given;
    bool is_wrong; /* a block did not have its hash */
    bool is_over;  /* for that, or another cause on our side */
};

/* Passes on what of the first `len` bytes is in the range. */
static int give_bytes(struct checked_reading *r, size_t len, struct err *e)
{
    const struct bucket_range *range = r->range;
    const int64_t at = (int64_t)r->i * MANIFEST_LEAF_BYTES;
    const int64_t first = range->start > at ? range->start - at : 0;
    struct str bytes = str_slice(str_slice(buf_str(&r->bytes), 0, len), (size_t)first,
                                 (size_t)(r->end - at));

    if (bytes.len > 0 && range->sink(range->ctx, bytes, e) != 0)
        return -1;
    r->given += (int64_t)bytes.len;
    if (bytes.len > 0 && range->on_bytes != NULL)
        range->on_bytes(range->on_bytes_ctx, r->given, r->end - range->start);
    return 0;
}

/* Names the next block. */
static int refuse_block(const struct checked_reading *r, struct err *e)
{
    const long long at = (long long)r->i * MANIFEST_LEAF_BYTES;

    return err_set(e, ERR_CHANGED,
                   "block %llu (bytes %lld to %lld) came with other bytes than its hash in the "
                   "manifest",
                   (unsigned long long)r->i, at,
                   at + (long long)manifest_block_bytes(r->manifest->size, r->i) - 1);
}

/* Checks the blocks that are whole, and passes on those before the first that is wrong. */
static int check_whole_blocks(struct checked_reading *r, struct err *e)
{
    const struct hub_manifest *m = r->manifest;
    size_t right = 0, count = 0, len = 0, at = 0;

    while (count < r->most &&
           (len = manifest_block_bytes(m->size, r->i + count)) > 0 && at + len <= r->bytes.len) {
        at += len;
        count++;
    }
    right = hub_manifest_count_right(m, r->i, str_slice(buf_str(&r->bytes), 0, at), count);
    len = right == count ? at : right * MANIFEST_LEAF_BYTES;
    if (give_bytes(r, len, e) != 0)
        return -1;
    r->i += right;
    buf_consume(&r->bytes, len);
    r->is_wrong = right < count;
    return r->is_wrong ? refuse_block(r, e) : 0;
}

/* How many bytes from block i on are checked at a time. */
static size_t bytes_at_a_time(const struct checked_reading *r)
{
    const int64_t left = r->manifest->size - (int64_t)r->i * MANIFEST_LEAF_BYTES;
    const size_t most = r->most * MANIFEST_LEAF_BYTES;

    return left < (int64_t)most ? (size_t)left : most;
}

static int take_block_bytes(void *ctx, struct str chunk, struct err *e)
{
    struct checked_reading *r = ctx;
    const int64_t now = clock_now_ms();

    while (chunk.len > 0 && !r->is_over) {
        const size_t most = bytes_at_a_time(r);
        const struct str part = str_slice(chunk, 0, most - r->bytes.len);
        if (r->bytes.len == 0)
            r->checked_ms = now;
        buf_put(&r->bytes, part);
        r->is_over = buf_check(&r->bytes, e) != 0;
        chunk = str_slice(chunk, part.len, chunk.len);
        if (r->is_over || (r->bytes.len < most && now - r->checked_ms < CHECK_MS))
            continue;
        r->is_over = check_whole_blocks(r, e) != 0;
        r->checked_ms = now;
    }
    return r->is_over ? -1 : 0;
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
    buf_clear(&r->bytes);
    r->is_wrong = r->is_over = false;
    if (hub_manifest_seek(m, r->i, e) != 0)
        return -1;
    int result = bucket_range_get(m->gateway, m->how, m->hash, file, &range, e);
    /* Blocks that came whole before the end of the line count. */
    if (!r->is_over && check_whole_blocks(r, result == 0 ? e : ERR_IGNORED) != 0)
        return -1;
    if (result != 0)
        return -1;
    return (int64_t)r->i * MANIFEST_LEAF_BYTES >= end
               ? 0
               : err_set(e, ERR_PROTOCOL, "the hub sent less than it said");
}

/* Checks up to `most` blocks side by side. */
static int read_hub_range(struct hub_manifest *m, const struct gateway_file *file,
                          const struct bucket_range *range, size_t most, struct err *e)
{
    struct checked_reading r = {.manifest = m,
                                .range = range,
                                .end = range->end < 0 || range->end > m->size ? m->size
                                                                              : range->end,
                                .i = (uint64_t)(range->start / MANIFEST_LEAF_BYTES),
                                .most = most};
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
    buf_free(&r.bytes);
    return result;
}

int hub_read_range(struct hub_manifest *m, const struct gateway_file *file,
                   const struct bucket_range *range, struct err *e)
{
    return read_hub_range(m, file, range, 1, e);
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
    if (read_hub_range(m, file, &range, sha256_lanes(), e) != 0)
        return -1;
    if (part_is_right(part, hash))
        return 0;
    part->is_spoilt = true;
    return err_set(e, ERR_CHANGED,
                   "wrong content: %lld bytes with the SHA-1 %s: the host's manifest is of another "
                   "file: there, `unlink` and `link` this one again",
                   (long long)part->bytes, hash);
}
