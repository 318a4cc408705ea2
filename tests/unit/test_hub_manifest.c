/* A block is proven by the manifest that a reader has, by nothing else. */
#include "unit.h"

#include <stdlib.h>

#include "base/hex.h"
#include "base/sha1.h"
#include "zone/hub_manifest.h"
#include "zone/hub_read.h"

enum { SIZE = 2 * MANIFEST_LEAF_BYTES + 100, LEAVES = 3 };

static char content[SIZE];

static struct str block_of(uint64_t i)
{
    return (struct str){content + i * MANIFEST_LEAF_BYTES, manifest_block_bytes(SIZE, i)};
}

static int set_up(void **state)
{
    (void)state;
    for (size_t n = 0; n < SIZE; n++)
        content[n] = (char)(n * 2654435761u >> 13);
    return 0;
}

static void hold_page(struct hub_manifest *m)
{
    unsigned char hash[SHA256_SIZE];

    *m = (struct hub_manifest){.size = SIZE, .page = 0};
    for (uint64_t i = 0; i < LEAVES; i++) {
        sha256_of(block_of(i), hash);
        buf_append(&m->leaves, hash, sizeof hash);
    }
    assert_false(m->leaves.failed);
}

static void test_blocks_of_a_manifest(void **state)
{
    static const struct {
        const char *name;
        uint64_t i, is; /* asked for, and come */
        size_t shorter, flipped;
        bool is_right;
    } cases[] = {{"the first", 0, 0, 0, SIZE, true},
                 {"the last", 2, 2, 0, SIZE, true},
                 {"another one", 0, 1, 0, SIZE, false},
                 {"a shorter one", 1, 1, 1, SIZE, false},
                 {"a wrong first byte", 1, 1, 0, 0, false},
                 {"a wrong last byte", 2, 2, 0, 99, false},
                 {"the last one in the place of a whole one", 1, 2, 0, SIZE, false},
                 {"a block of another page", 1024, 0, 0, SIZE, false}};

    (void)state;
    for (size_t n = 0; n < UNIT_COUNT(cases); n++) {
        struct hub_manifest m;
        struct str block = block_of(cases[n].is);
        char *bytes = malloc(block.len);
        hold_page(&m);
        memcpy(bytes, block.p, block.len);
        if (cases[n].flipped < block.len)
            bytes[cases[n].flipped] ^= 1;
        bool is_right = hub_manifest_proves(
            &m, cases[n].i, (struct str){bytes, block.len - cases[n].shorter});
        unit_true(cases[n].name, is_right == cases[n].is_right);
        free(bytes);
        hub_manifest_close(&m);
    }
}

static void test_without_its_page_nothing_is_proven(void **state)
{
    struct hub_manifest m;

    (void)state;
    hold_page(&m);
    m.page = UINT64_MAX;
    assert_false(hub_manifest_proves(&m, 0, block_of(0)));
    hub_manifest_close(&m);
}

static void test_one_block_is_proven_by_the_address(void **state)
{
    struct hub_manifest m = {.size = 1000, .page = UINT64_MAX};
    unsigned char digest[SHA1_SIZE];
    struct err e = {0};

    (void)state;
    sha1_of((struct str){content, 1000}, digest);
    hex_encode(digest, sizeof digest, m.hash);
    assert_true(hub_manifest_proves(&m, 0, (struct str){content, 1000}));
    assert_false(hub_manifest_proves(&m, 0, (struct str){content + 1, 1000}));
    assert_false(hub_manifest_proves(&m, 0, (struct str){content, 999}));
    assert_false(hub_manifest_proves(&m, 1, STR("")));
    assert_int_equal(hub_read_check(&m, 0, (struct str){content, 1000}, &e), 1);
    assert_int_equal(hub_read_check(&m, 0, (struct str){content + 1, 1000}, &e), 0);
    hub_manifest_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_of_a_manifest),
        cmocka_unit_test(test_without_its_page_nothing_is_proven),
        cmocka_unit_test(test_one_block_is_proven_by_the_address),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
