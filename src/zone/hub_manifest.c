#include "zone/hub_manifest.h"

#include <string.h>

#include "base/hex.h"
#include "proto/extensions.h"
#include "zone/bucket_range.h"

enum { TRIES = 3 /* of bytes that come and are wrong */ };

static int keep_manifest_bytes(void *ctx, struct str chunk, struct err *e)
{
    struct buf *out = ctx;

    buf_put(out, chunk);
    return buf_check(out, e);
}

static int set_url(struct hub_manifest *m, struct str url, struct err *e)
{
    buf_wipe(&m->url);
    buf_printf(&m->url, "%.*s?manifest", STR_ARG(url));
    return buf_path(&m->url, e) == NULL ? -1 : 0;
}

/* The pass in the URL has expired: another one. */
static int renew_url(struct hub_manifest *m, struct err *e)
{
    struct gateway_file file = {0};
    int result = -1;

    if (gateway_has_announced(m->gateway, EXTENSIONS_PASSES))
        result = gateway_read_url(m->gateway, m->how, m->hash, &file.url, e) != 0
                     ? -1
                     : set_url(m, str_of(file.url), e);
    else if (gateway_find_file(m->gateway, m->how, m->hash, &file, e) == 0)
        result = file.is_found && file.url != NULL
                     ? set_url(m, str_of(file.url), e)
                     : err_set(e, ERR_NOT_FOUND, "the zone does not have it any more");
    gateway_file_deinit(&file);
    return result;
}

static int ask_manifest_part(const struct hub_manifest *m, int64_t start, int64_t end,
                             struct buf *out, struct err *e)
{
    const struct gateway_file file = {.is_found = true,
                                      .url = m->url.data, /* it has a NUL since it was made */
                                      .size = manifest_length(m->size)};
    const struct bucket_range range = {.start = start,
                                       .end = end,
                                       .sink = keep_manifest_bytes,
                                       .ctx = out,
                                       .keeps_url = true,
                                       .is_checked = true};

    buf_clear(out);
    return bucket_range_get(m->gateway, m->how, m->hash, &file, &range, e);
}

/* Gets [start, end) of the manifest. */
static int get_manifest_part(struct hub_manifest *m, int64_t start, int64_t end, struct buf *out,
                             struct err *e)
{
    struct err why;
    int result = ask_manifest_part(m, start, end, out, &why);

    if (result != 0 && why.code == ERR_NOT_FOUND && hub_file_has_pass(buf_str(&m->url)))
        result = renew_url(m, &why) == 0 ? ask_manifest_part(m, start, end, out, &why) : -1;
    if (result != 0) {
        *e = why;
        return err_wrap(e, "the manifest, by which blocks are checked");
    }
    return out->len == (size_t)(end - start)
               ? 0
               : err_set(e, ERR_PROTOCOL, "the hub sent a manifest that is too short");
}

/* Whether head and page hashes are of this file, with the root that the hub named. */
static bool is_right_head(const struct hub_manifest *m, struct str bytes, const char *root_start)
{
    unsigned char sha1[SHA1_SIZE], root[SHA256_SIZE];
    struct manifest_head head;
    struct err why;
    char digits[2 * HUB_FILE_ROOT_BYTES + 1];

    if (manifest_parse_head(&head, bytes, &why) != 0 || head.size != m->size ||
        !hex_decode(str_of(m->hash), sha1, sizeof sha1) ||
        memcmp(head.sha1, sha1, sizeof sha1) != 0)
        return false;
    manifest_root_of(m->size, sha1,
                     str_slice(bytes, MANIFEST_HEAD_BYTES,
                               (size_t)manifest_page_offset(m->size, 0)), root);
    hex_encode(root, HUB_FILE_ROOT_BYTES, digits);
    return memcmp(root, head.root, sizeof root) == 0 && strcmp(digits, root_start) == 0;
}

static bool is_right_page(const struct hub_manifest *m, uint64_t page, struct str leaves)
{
    unsigned char hash[SHA256_SIZE];

    sha256_of(leaves, hash);
    return memcmp(hash, m->page_hashes.data + page * SHA256_SIZE, sizeof hash) == 0;
}

/* Gets the page hashes, and with them the first page if it is wanted. */
static int get_hashes(struct hub_manifest *m, const struct hub_file *file, bool with_page,
                      struct err *e)
{
    const int64_t leaves = manifest_page_offset(m->size, 0);
    const size_t page = with_page ? manifest_leaves_in_page(m->size, 0) * SHA256_SIZE : 0;
    struct buf bytes = {0};
    int result = -1;

    for (int n = 0; n < TRIES; n++) {
        result = get_manifest_part(m, 0, leaves + (int64_t)page, &bytes, e);
        if (result != 0 || is_right_head(m, buf_str(&bytes), file->root))
            break;
        result = err_set(e, ERR_CHANGED, "the hub's manifest does not have the root %s... that "
                         "the hub names", file->root);
    }
    if (result == 0) {
        buf_put(&m->page_hashes, str_slice(buf_str(&bytes), MANIFEST_HEAD_BYTES, (size_t)leaves));
        buf_put(&m->leaves, str_slice(buf_str(&bytes), (size_t)leaves, bytes.len));
        m->page = page > 0 ? 0 : UINT64_MAX;
        result = buf_check(&m->page_hashes, e) != 0 ? -1 : buf_check(&m->leaves, e);
    }
    /* A page that is wrong is asked for again where it is needed. */
    if (result == 0 && page > 0 && !is_right_page(m, 0, buf_str(&m->leaves)))
        m->page = UINT64_MAX;
    buf_free(&bytes);
    return result;
}

int hub_manifest_open(struct hub_manifest *m, struct gateway *g, const struct zone_call *how,
                      const char *hash, struct str url, const struct hub_file *file, int64_t offset,
                      struct err *e)
{
    const uint64_t block = (uint64_t)(offset / MANIFEST_LEAF_BYTES);

    *m = (struct hub_manifest){.gateway = g, .how = how, .size = file->size, .page = UINT64_MAX};
    memcpy(m->hash, hash, sizeof m->hash);
    if (!manifest_is_for(m->size))
        return 0;
    if (set_url(m, url, e) != 0 ||
        get_hashes(m, file, block < MANIFEST_PAGE_LEAVES, e) != 0)
        return -1;
    return block < manifest_leaf_count(m->size) ? hub_manifest_seek(m, block, e) : 0;
}

void hub_manifest_close(struct hub_manifest *m)
{
    buf_wipe(&m->url);
    buf_free(&m->url);
    buf_free(&m->page_hashes);
    buf_free(&m->leaves);
}

int hub_manifest_seek(struct hub_manifest *m, uint64_t i, struct err *e)
{
    const uint64_t page = i / MANIFEST_PAGE_LEAVES;
    const int64_t start = manifest_page_offset(m->size, page);

    if (!manifest_is_for(m->size) || m->page == page)
        return 0;
    const int64_t end = start + (int64_t)(manifest_leaves_in_page(m->size, page) * SHA256_SIZE);
    for (int n = 0; n < TRIES; n++) {
        m->page = UINT64_MAX;
        if (get_manifest_part(m, start, end, &m->leaves, e) != 0)
            return -1;
        if (is_right_page(m, page, buf_str(&m->leaves))) {
            m->page = page;
            return 0;
        }
    }
    return err_set(e, ERR_CHANGED, "page %llu of the hub's manifest does not have its hash",
                   (unsigned long long)page);
}

/* Whether block i has this hash, as far as its page is in memory. */
static bool is_leaf(const struct hub_manifest *m, uint64_t i, const unsigned char *hash)
{
    return m->page == i / MANIFEST_PAGE_LEAVES &&
           memcmp(hash, m->leaves.data + i % MANIFEST_PAGE_LEAVES * SHA256_SIZE, SHA256_SIZE) == 0;
}

bool hub_manifest_proves(const struct hub_manifest *m, uint64_t i, struct str block)
{
    unsigned char hash[SHA256_SIZE];
    char digits[SHA1_HEX + 1];
    struct sha1 sha1;

    if (block.len != manifest_block_bytes(m->size, i))
        return false;
    if (!manifest_is_for(m->size)) {
        sha1_init(&sha1);
        sha1_update(&sha1, block.p, block.len);
        sha1_final_hex(&sha1, digits);
        return strcmp(digits, m->hash) == 0;
    }
    sha256_of(block, hash);
    return is_leaf(m, i, hash);
}

size_t hub_manifest_count_right(const struct hub_manifest *m, uint64_t i, struct str bytes,
                                size_t count)
{
    unsigned char hashes[SHA256_LANES][SHA256_SIZE];
    struct str blocks[SHA256_LANES] = {{NULL, 0}};
    size_t right = 0;

    if (count == 0 || !manifest_is_for(m->size))
        return count > 0 && hub_manifest_proves(m, i, bytes);
    for (size_t n = 0; n < count; n++)
        blocks[n] = str_slice(bytes, n * MANIFEST_LEAF_BYTES, (n + 1) * MANIFEST_LEAF_BYTES);
    sha256_of_many(blocks, count, hashes);
    while (right < count && is_leaf(m, i + right, hashes[right]))
        right++;
    return right;
}
