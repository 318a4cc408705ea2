/* Manifests: a head that is taken is written again as it was read, and its places fit together; one
 * that is made of any bytes has the root that its parts give. */
#include <string.h>

#include "fuzz.h"
#include "proto/manifest.h"

static void try_head(struct str input)
{
    unsigned char again[MANIFEST_HEAD_BYTES];
    struct manifest_head head = {0};
    struct err e = {0};

    if (manifest_parse_head(&head, input, &e) != 0) {
        require(e.code == ERR_PROTOCOL && head.size == 0);
        return;
    }
    require(manifest_is_for(head.size));
    manifest_put_head(&head, again);
    require(memcmp(again, input.p, sizeof again) == 0);
    const uint64_t leaves = manifest_leaf_count(head.size), pages = manifest_page_count(head.size);
    require(leaves >= 2 && pages >= 1 && pages <= leaves);
    require((leaves - 1) * MANIFEST_LEAF_BYTES + manifest_block_bytes(head.size, leaves - 1) ==
            (uint64_t)head.size);
    require((pages - 1) * MANIFEST_PAGE_LEAVES + manifest_leaves_in_page(head.size, pages - 1) ==
            leaves);
    require(manifest_block_bytes(head.size, leaves) == 0);
    require(manifest_leaves_in_page(head.size, pages) == 0);
    require(manifest_page_offset(head.size, pages - 1) < manifest_length(head.size));
    require(manifest_hash_offset(pages) == manifest_page_offset(head.size, 0));
}

/* Hashes all blocks of the bytes at once, or one after the other, and passes the leaves on. */
static void add_blocks(struct manifest_maker *maker, struct str bytes, bool at_once)
{
    struct str blocks[6];
    unsigned char leaves[6][SHA256_SIZE];
    size_t count = 0;
    struct err e;

    for (; bytes.len > 0; bytes = str_slice(bytes, MANIFEST_LEAF_BYTES, bytes.len)) {
        blocks[count] = str_slice(bytes, 0, MANIFEST_LEAF_BYTES);
        if (!at_once) {
            manifest_hash_blocks(&blocks[count], 1, leaves);
            require(manifest_maker_take(maker, (const unsigned char(*)[SHA256_SIZE])leaves,
                                        (int64_t)blocks[count].len, &e) == 0);
        }
        count++;
    }
    if (!at_once)
        return;
    const size_t last = blocks[count - 1].len;
    manifest_hash_blocks(blocks, count, leaves);
    require(manifest_maker_take(maker, (const unsigned char(*)[SHA256_SIZE])leaves,
                                (int64_t)((count - 1) * MANIFEST_LEAF_BYTES + last), &e) == 0);
}

/* The input, repeated to some blocks, at once and block by block. */
static void try_maker(struct str input)
{
    static char data[5 * MANIFEST_LEAF_BYTES + 256];
    static struct manifest_maker maker;
    const unsigned char sha1[SHA1_SIZE] = {0};
    struct manifest_head whole, cut;
    const unsigned blocks = fuzz_take(&input) % 5;
    struct err e;

    const size_t len = blocks * (size_t)MANIFEST_LEAF_BYTES + fuzz_take(&input) + 1;
    for (size_t at = 0, n; at < len; at += n) {
        n = input.len > 0 && input.len < len - at ? input.len : len - at;
        if (input.len > 0)
            memcpy(data + at, input.p, n);
        else
            memset(data + at, 0, n);
    }
    const struct str rest = {data, len};
    manifest_maker_init(&maker);
    add_blocks(&maker, rest, true);
    require(manifest_maker_end(&maker, sha1, &whole, &e) == 0);
    manifest_maker_init(&maker);
    add_blocks(&maker, rest, false);
    require(manifest_maker_end(&maker, sha1, &cut, &e) == 0);
    require(whole.size == cut.size && memcmp(whole.root, cut.root, sizeof whole.root) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};

    try_head(input);
    if (fuzz_take(&input) % 8 == 0)
        try_maker(input);
    return 0;
}
