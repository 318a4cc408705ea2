#include "proto/manifest.h"

#include <string.h>

static const char magic[8] = {'k', 'c', 'h', 'm', 'f', 's', 't', '1'};
static const char root_text[] = "kachery-manifest-1\n";

static uint64_t count_parts(uint64_t whole, uint64_t part)
{
    return whole / part + (whole % part != 0);
}

bool manifest_is_for(int64_t size)
{
    return size > MANIFEST_LEAF_BYTES && size <= MANIFEST_MAX_SIZE;
}

uint64_t manifest_leaf_count(int64_t size)
{
    return size <= 0 ? 0 : count_parts((uint64_t)size, MANIFEST_LEAF_BYTES);
}

uint64_t manifest_page_count(int64_t size)
{
    return count_parts(manifest_leaf_count(size), MANIFEST_PAGE_LEAVES);
}

size_t manifest_block_bytes(int64_t size, uint64_t i)
{
    uint64_t count = manifest_leaf_count(size);

    if (i >= count)
        return 0;
    return i < count - 1 ? MANIFEST_LEAF_BYTES : (size_t)((uint64_t)size - i * MANIFEST_LEAF_BYTES);
}

size_t manifest_leaves_in_page(int64_t size, uint64_t j)
{
    uint64_t count = manifest_page_count(size);

    if (j >= count)
        return 0;
    return j < count - 1 ? MANIFEST_PAGE_LEAVES
                         : (size_t)(manifest_leaf_count(size) - j * MANIFEST_PAGE_LEAVES);
}

int64_t manifest_hash_offset(uint64_t j)
{
    return MANIFEST_HEAD_BYTES + (int64_t)j * SHA256_SIZE;
}

int64_t manifest_page_offset(int64_t size, uint64_t j)
{
    return manifest_hash_offset(manifest_page_count(size)) + (int64_t)j * MANIFEST_PAGE_BYTES;
}

int64_t manifest_length(int64_t size)
{
    return manifest_page_offset(size, 0) + (int64_t)manifest_leaf_count(size) * SHA256_SIZE;
}

static void put_size(int64_t size, unsigned char out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)((uint64_t)size >> (8 * i));
}

void manifest_put_head(const struct manifest_head *head, unsigned char out[MANIFEST_HEAD_BYTES])
{
    memcpy(out, magic, sizeof magic);
    put_size(head->size, out + 8);
    memcpy(out + 16, head->sha1, SHA1_SIZE);
    memcpy(out + 36, head->root, SHA256_SIZE);
}

int manifest_parse_head(struct manifest_head *out, struct str text, struct err *e)
{
    const unsigned char *p = (const unsigned char *)text.p;
    uint64_t size = 0;

    if (text.len < MANIFEST_HEAD_BYTES)
        return err_set(e, ERR_PROTOCOL, "a manifest of %zu bytes: want %d at least", text.len,
                       MANIFEST_HEAD_BYTES);
    if (memcmp(p, magic, sizeof magic) != 0)
        return err_set(e, ERR_PROTOCOL, "not a manifest: want \"kchmfst1\" at its beginning");
    for (int i = 0; i < 8; i++)
        size |= (uint64_t)p[8 + i] << (8 * i);
    if (size > MANIFEST_MAX_SIZE || !manifest_is_for((int64_t)size))
        return err_set(e, ERR_PROTOCOL, "a manifest of %llu bytes: want %d to %lld",
                       (unsigned long long)size, MANIFEST_LEAF_BYTES + 1,
                       (long long)MANIFEST_MAX_SIZE);
    out->size = (int64_t)size;
    memcpy(out->sha1, p + 16, SHA1_SIZE);
    memcpy(out->root, p + 36, SHA256_SIZE);
    return 0;
}

void manifest_root_begin(struct sha256 *h, int64_t size, const unsigned char sha1[SHA1_SIZE])
{
    unsigned char bytes[8];

    put_size(size, bytes);
    sha256_init(h);
    sha256_update(h, root_text, sizeof root_text - 1);
    sha256_update(h, bytes, sizeof bytes);
    sha256_update(h, sha1, SHA1_SIZE);
}

void manifest_root_of(int64_t size, const unsigned char sha1[SHA1_SIZE], struct str page_hashes,
                      unsigned char root[SHA256_SIZE])
{
    struct sha256 h;

    manifest_root_begin(&h, size, sha1);
    sha256_update(&h, page_hashes.p, page_hashes.len);
    sha256_final(&h, root);
}

/* --- making one --- */

void manifest_maker_init(struct manifest_maker *m)
{
    m->size = 0;
    m->leaf_count = 0;
    buf_clear(&m->page_hashes);
}

void manifest_maker_deinit(struct manifest_maker *m)
{
    buf_free(&m->page_hashes);
}

static int end_page(struct manifest_maker *m, struct err *e)
{
    const uint64_t j = m->page_hashes.len / SHA256_SIZE;
    const struct str leaves = {(const char *)m->leaves, m->leaf_count * SHA256_SIZE};
    unsigned char hash[SHA256_SIZE];

    m->leaf_count = 0;
    sha256_of(leaves, hash);
    buf_append(&m->page_hashes, hash, sizeof hash);
    if (buf_check(&m->page_hashes, e) != 0)
        return -1;
    return m->take_page == NULL ? 0 : m->take_page(m->owner, j, leaves, e);
}

/* Ends at the first byte that is not 0, which is mostly the first byte. */
static bool is_zero_block(struct str data)
{
    uint64_t words[8];
    size_t at = 0;

    for (; at + sizeof words <= data.len; at += sizeof words) {
        memcpy(words, data.p + at, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] |
             words[7]) != 0)
            return false;
    }
    for (; at < data.len; at++)
        if (data.p[at] != 0)
            return false;
    return true;
}

/* The leaf of a whole block of zeros, of which sparse files have many. */
static const unsigned char *leaf_of_zeros(struct str zeros)
{
    static unsigned char leaf[SHA256_SIZE];
    static bool is_known;

    if (!is_known)
        sha256_of(zeros, leaf);
    is_known = true;
    return leaf;
}

/* Up to SHA256_LANES of them. */
static void hash_some_blocks(const struct str *blocks, size_t count,
                             unsigned char (*leaves)[SHA256_SIZE])
{
    unsigned char hashes[SHA256_LANES][SHA256_SIZE];
    struct str unequal[SHA256_LANES] = {{NULL, 0}};
    size_t places[SHA256_LANES], n = 0;

    for (size_t i = 0; i < count; i++) {
        if (blocks[i].len == MANIFEST_LEAF_BYTES && is_zero_block(blocks[i])) {
            memcpy(leaves[i], leaf_of_zeros(blocks[i]), SHA256_SIZE);
            continue;
        }
        places[n] = i;
        unequal[n++] = blocks[i];
    }
    sha256_of_many(unequal, n, hashes);
    for (size_t i = 0; i < n; i++)
        memcpy(leaves[places[i]], hashes[i], SHA256_SIZE);
}

void manifest_hash_blocks(const struct str *blocks, size_t count,
                          unsigned char (*leaves)[SHA256_SIZE])
{
    for (size_t i = 0; i < count; i += SHA256_LANES)
        hash_some_blocks(blocks + i, count - i < SHA256_LANES ? count - i : SHA256_LANES,
                         leaves + i);
}

int manifest_maker_take(struct manifest_maker *m, const unsigned char (*leaves)[SHA256_SIZE],
                        int64_t bytes, struct err *e)
{
    const uint64_t count = manifest_leaf_count(bytes);

    m->size += bytes;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(m->leaves[m->leaf_count++], leaves[i], SHA256_SIZE);
        if (m->leaf_count == MANIFEST_PAGE_LEAVES && end_page(m, e) != 0)
            return -1;
    }
    return 0;
}

int manifest_maker_end(struct manifest_maker *m, const unsigned char sha1[SHA1_SIZE],
                       struct manifest_head *out, struct err *e)
{
    if (m->leaf_count > 0 && end_page(m, e) != 0)
        return -1;
    out->size = m->size;
    memcpy(out->sha1, sha1, SHA1_SIZE);
    manifest_root_of(m->size, sha1, buf_str(&m->page_hashes), out->root);
    return 0;
}
