/* Manifests: made of files whose manifests another program made, heads that are broken, and the
 * places of their parts. */
#include <stdlib.h>

#include "base/hex.h"
#include "proto/manifest.h"
#include "unit.h"

/* Made with Python's hashlib from the words of EXTENSIONS.md; `file` is the SHA-256 of the whole
 * manifest. */
static const struct {
    const char *name;
    int64_t size;
    bool is_zero; /* else byte i is 7 i + 13 (i / 256) + 5 (i / 65536) */
    const char *sha1, *root, *file;
} made[] = {
    {"one byte more than a block", 262145, false, "28dffdccfa87fc5e4864000dcddd451db01d2c67",
     "9efa6d4d1fd2373c6bea4888aabb7c53dfd7fc70e31e90511601db05f7dbd798",
     "877f011ad7a93e6d13b93e97efd4e456423ca5b27b23607b61f117b6fb629931"},
    {"two blocks", 524288, false, "929747ffd3d923a0a972ed381783a199b86989e0",
     "57485e6e45808df1a44f745717c73442e752d86c3779cc311036893b7c22e3e9",
     "c3fea2c935bb46b41d50659ee738d0cc268bd1909b4061fbc621df638ebe42e1"},
    {"17 blocks and 5 bytes", 4456453, false, "361d3dc558af22c6c992f40314700273768fe9b2",
     "64e948624daafcff592b02f81a2ece7fce829f9ca80463e96345f30dd95007c9",
     "0ee2dd6650ba0429a95be8bedb1e58d075b02fda6a81a48d0131a57fbbda1da0"},
    {"a page and one byte, zeros", 268435457, true, "16f790e7be6400ab88fe0ecaa4161e075f3ffa18",
     "5a14758b24948a9b183d5544374f254f4f8524770e8634c89d3dccf232ab388c",
     "8e0592def34de193f74b5b97778643990321f17489ba8bbdd25846ede40d610b"},
};

/* Collects the pages that a maker passes on. */
struct collected {
    struct buf leaves;
    uint64_t pages;
};

static int collect(void *owner, uint64_t j, struct str leaves, struct err *e)
{
    struct collected *c = owner;

    (void)e;
    assert_true(j == c->pages++);
    buf_put(&c->leaves, leaves);
    return 0;
}

/* Hashes blocks. Those of zeros are hashed once for all. */
static void hash_blocks(const struct str *blocks, size_t n, bool is_zero,
                        unsigned char (*leaves)[SHA256_SIZE])
{
    static unsigned char zeros[1][SHA256_SIZE];
    static bool is_known;

    for (; is_zero && n > 0 && blocks->len == MANIFEST_LEAF_BYTES; n--) {
        if (!is_known)
            manifest_hash_blocks(blocks, 1, zeros);
        is_known = true;
        memcpy(*leaves++, zeros[0], SHA256_SIZE);
        blocks++;
    }
    manifest_hash_blocks(blocks, n, leaves);
}

/* Hashes pieces of whole blocks, and gives their leaves to the maker. */
static int take_data(struct manifest_maker *m, struct str data, bool is_zero, struct err *e)
{
    enum { MOST = 1025 };
    static unsigned char leaves[MOST][SHA256_SIZE];
    static struct str blocks[MOST];
    const int64_t bytes = (int64_t)data.len;
    size_t n = 0;

    for (; data.len > 0; data = str_slice(data, MANIFEST_LEAF_BYTES, data.len)) {
        assert_true(n < MOST);
        blocks[n++] = str_slice(data, 0, MANIFEST_LEAF_BYTES);
    }
    hash_blocks(blocks, n, is_zero, leaves);
    return manifest_maker_take(m, (const unsigned char(*)[SHA256_SIZE])leaves, bytes, e);
}

/* Gives the maker the file in pieces of whole blocks, `step` of them at a time. */
static void feed(struct manifest_maker *m, int64_t size, bool is_zero, size_t step)
{
    unsigned char *data = calloc(step, MANIFEST_LEAF_BYTES);
    struct err e;

    assert_non_null(data);
    for (int64_t at = 0; at < size;) {
        size_t n = step * MANIFEST_LEAF_BYTES;
        if ((int64_t)n > size - at)
            n = (size_t)(size - at);
        for (size_t i = 0; i < n && !is_zero; i++) {
            uint64_t place = (uint64_t)at + i;
            data[i] = (unsigned char)(place * 7 + (place >> 8) * 13 + (place >> 16) * 5);
        }
        assert_int_equal(take_data(m, (struct str){(const char *)data, n}, is_zero, &e), 0);
        at += (int64_t)n;
    }
    free(data);
}

static void made_as_others_make_them(void **state)
{
    static const size_t steps[] = {1, 3, 16, 40};
    struct manifest_maker m = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(made); i++)
        for (size_t k = 0; k < UNIT_COUNT(steps); k++) {
            struct collected c = {0};
            struct manifest_head head;
            unsigned char sha1[SHA1_SIZE], digest[SHA256_SIZE], bytes[MANIFEST_HEAD_BYTES];
            char hex[SHA256_HEX + 1];
            struct buf file = {0};
            struct err e;
            assert_true(hex_decode(str_of(made[i].sha1), sha1, SHA1_SIZE));
            manifest_maker_init(&m);
            m.take_page = collect;
            m.owner = &c;
            feed(&m, made[i].size, made[i].is_zero, steps[k]);
            assert_int_equal(manifest_maker_end(&m, sha1, &head, &e), 0);
            hex_encode(head.root, SHA256_SIZE, hex);
            unit_equal(made[i].name, hex, made[i].root);
            manifest_put_head(&head, bytes);
            buf_append(&file, bytes, sizeof bytes);
            buf_put_buf(&file, &m.page_hashes);
            buf_put_buf(&file, &c.leaves);
            sha256_of(buf_str(&file), digest);
            hex_encode(digest, SHA256_SIZE, hex);
            unit_equal(made[i].name, hex, made[i].file);
            unit_true(made[i].name, (int64_t)file.len == manifest_length(made[i].size));
            unit_true(made[i].name, c.pages == manifest_page_count(made[i].size));
            buf_free(&file);
            buf_free(&c.leaves);
        }
    manifest_maker_deinit(&m);
}

static int refuse(void *owner, uint64_t j, struct str leaves, struct err *e)
{
    (void)owner;
    (void)j;
    (void)leaves;
    return err_set(e, ERR_FAILED, "the disk is full");
}

static void page_that_is_not_taken(void **state)
{
    struct manifest_maker m = {.take_page = refuse};
    const unsigned char sha1[SHA1_SIZE] = {0};
    struct manifest_head head;
    struct err e;

    (void)state;
    manifest_maker_init(&m);
    feed(&m, 300000, false, 1);
    assert_int_equal(manifest_maker_end(&m, sha1, &head, &e), -1);
    assert_string_equal(e.msg, "the disk is full");
    manifest_maker_deinit(&m);
}

static void broken_heads(void **state)
{
    static const struct {
        const char *name;
        size_t len;
        const char *magic;
        uint64_t size;
        const char *why; /* NULL: it is whole */
    } cases[] = {
        {"empty", 0, "kchmfst1", 262145, "a manifest of 0 bytes"},
        {"a byte too short", 67, "kchmfst1", 262145, "a manifest of 67 bytes"},
        {"whole", 68, "kchmfst1", 262145, NULL},
        {"with more behind it", 100, "kchmfst1", 262145, NULL},
        {"another version", 100, "kchmfst2", 262145, "not a manifest"},
        {"capitals", 100, "KCHMFST1", 262145, "not a manifest"},
        {"no size", 100, "kchmfst1", 0, "a manifest of 0 bytes"},
        {"of a single block", 100, "kchmfst1", 262144, "a manifest of 262144 bytes"},
        {"the largest", 100, "kchmfst1", UINT64_C(1) << 48, NULL},
        {"larger", 100, "kchmfst1", (UINT64_C(1) << 48) + 1, "a manifest of 281474976710657 bytes"},
        {"negative", 100, "kchmfst1", UINT64_MAX, "a manifest of 18446744073709551615 bytes"},
        {"negative and small", 100, "kchmfst1", UINT64_C(1) << 63, "a manifest of 9223372036854"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        unsigned char bytes[100] = {0};
        struct manifest_head head = {.size = -1};
        struct err e = {0};
        memcpy(bytes, cases[i].magic, 8);
        for (int k = 0; k < 8; k++)
            bytes[8 + k] = (unsigned char)(cases[i].size >> (8 * k));
        int status = manifest_parse_head(
            &head, (struct str){(const char *)bytes, cases[i].len}, &e);
        if (cases[i].why == NULL) {
            unit_true(cases[i].name, status == 0 && (uint64_t)head.size == cases[i].size);
            continue;
        }
        unit_true(cases[i].name, status == -1 && e.code == ERR_PROTOCOL && head.size == -1);
        if (strstr(e.msg, cases[i].why) == NULL)
            unit_equal(cases[i].name, e.msg, cases[i].why);
    }
}

static void head_is_read_as_written(void **state)
{
    struct manifest_head head = {.size = 0x0000123456789abc}, again;
    unsigned char bytes[MANIFEST_HEAD_BYTES];
    struct err e;

    (void)state;
    memset(head.sha1, 0xaa, sizeof head.sha1);
    memset(head.root, 0x55, sizeof head.root);
    manifest_put_head(&head, bytes);
    assert_memory_equal(bytes, "kchmfst1\xbc\x9a\x78\x56\x34\x12\0\0\xaa", 17);
    assert_true(bytes[35] == 0xaa && bytes[36] == 0x55 && bytes[67] == 0x55);
    assert_int_equal(
        manifest_parse_head(&again, (struct str){(const char *)bytes, sizeof bytes}, &e), 0);
    assert_true(again.size == head.size);
    assert_memory_equal(again.sha1, head.sha1, sizeof head.sha1);
    assert_memory_equal(again.root, head.root, sizeof head.root);
}

static void places(void **state)
{
    static const struct {
        const char *name;
        int64_t size;
        bool is_for;
        uint64_t leaves, pages;
        size_t last_block, last_page;
        int64_t first_leaf, length;
    } cases[] = {
        {"negative", -1, false, 0, 0, 0, 0, 68, 68},
        {"empty", 0, false, 0, 0, 0, 0, 68, 68},
        {"a byte", 1, false, 1, 1, 1, 1, 100, 132},
        {"a block", 262144, false, 1, 1, 262144, 1, 100, 132},
        {"a block and a byte", 262145, true, 2, 1, 1, 2, 100, 164},
        {"a page", 268435456, true, 1024, 1, 262144, 1024, 100, 32868},
        {"a page and a byte", 268435457, true, 1025, 2, 1, 1, 132, 32932},
        {"2 TB, as EXTENSIONS.md says", INT64_C(2000000000000), true, 7629395, 7451, 139264, 595,
         238500, INT64_C(244379140)},
        {"the largest", INT64_C(1) << 48, true, 1073741824, 1048576, 262144, 1024, 33554500,
         INT64_C(34393292868)},
        {"larger", (INT64_C(1) << 48) + 1, false, 1073741825, 1048577, 1, 1, 33554532,
         INT64_C(34393292932)},
        {"the largest number", INT64_MAX, false, UINT64_C(35184372088832), UINT64_C(34359738368),
         262143, 1024, INT64_C(1099511627844), INT64_C(1126999418470468)},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const int64_t size = cases[i].size;
        const uint64_t leaves = manifest_leaf_count(size), pages = manifest_page_count(size);
        unit_true(cases[i].name, manifest_is_for(size) == cases[i].is_for);
        unit_true(cases[i].name, leaves == cases[i].leaves && pages == cases[i].pages);
        unit_true(cases[i].name, manifest_block_bytes(size, leaves - 1) == cases[i].last_block);
        unit_true(cases[i].name, manifest_block_bytes(size, leaves) == 0);
        unit_true(cases[i].name, manifest_leaves_in_page(size, pages - 1) == cases[i].last_page);
        unit_true(cases[i].name, manifest_leaves_in_page(size, pages) == 0);
        unit_true(cases[i].name, manifest_page_offset(size, 0) == cases[i].first_leaf);
        unit_true(cases[i].name, manifest_length(size) == cases[i].length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_as_others_make_them), cmocka_unit_test(page_that_is_not_taken),
        cmocka_unit_test(broken_heads),             cmocka_unit_test(head_is_read_as_written),
        cmocka_unit_test(places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
