/* The relay's cache: what is put is got again, from the disk of an earlier life too; what rotted
 * there is not; the quota holds. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha1.h"
#include "base/sha256.h"
#include "proxy/block_cache.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char folder[64];
static unsigned char root[BLOCK_ROOT_BYTES] = {1, 2, 3};
static char content[BLOCK_BYTES];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_block_cache.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    char command[96];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static struct block_cache *start(int64_t max_disk_bytes)
{
    char dir[80];
    const struct block_cache_options options = {.dir = dir, .max_disk_bytes = max_disk_bytes};
    struct err e = {0};

    snprintf(dir, sizeof dir, "%s/blocks", folder);
    struct block_cache *cache = block_cache_new(&options, &e);
    assert_non_null(cache);
    return cache;
}

static struct block_file *open_file(struct block_cache *cache, const char *sha1, int64_t size)
{
    struct err e = {0};
    struct block_file *file = block_cache_open(cache, str_of(sha1), root, size, &e);

    assert_non_null(file);
    return file;
}

/* Block i is full of one byte. */
static struct str block_of(uint32_t i)
{
    memset(content, (int)i + 1, sizeof content);
    return (struct str){content, sizeof content};
}

static struct str hash_of(uint32_t i)
{
    static unsigned char hash[SHA256_SIZE];

    sha256_of(block_of(i), hash);
    return (struct str){(const char *)hash, sizeof hash};
}

static bool has(struct block_cache *cache, struct block_file *file, uint32_t i)
{
    struct str got = block_cache_get(cache, file, i, hash_of(i));

    return got.len == BLOCK_BYTES && memcmp(got.p, block_of(i).p, BLOCK_BYTES) == 0;
}

static void test_again(void **state)
{
    struct block_cache *cache = start(1 << 30);
    struct block_file *file = open_file(cache, A, (int64_t)1 << 40);

    (void)state;
    assert_false(has(cache, file, 7));
    assert_true(block_cache_put(cache, file, 7, block_of(7)));
    assert_true(block_cache_put(cache, file, 70000, block_of(70)));
    assert_true(has(cache, file, 7));
    assert_int_equal(block_cache_disk_bytes(cache), 2 * BLOCK_BYTES);
    block_cache_close(cache, file);
    block_cache_free(cache);

    cache = start(1 << 30);
    assert_int_equal(block_cache_disk_bytes(cache), 2 * BLOCK_BYTES);
    file = open_file(cache, A, (int64_t)1 << 40);
    assert_true(block_cache_may_have(cache, file, 7));
    assert_false(block_cache_may_have(cache, file, 8));
    assert_true(has(cache, file, 7));
    struct block_file *other = open_file(cache, B, (int64_t)1 << 40);
    assert_false(has(cache, other, 7));
    root[0] ^= 1; /* another root of the same SHA-1 */
    struct block_file *twin = open_file(cache, A, (int64_t)1 << 40);
    assert_false(has(cache, twin, 7));
    root[0] ^= 1;
    block_cache_close(cache, twin);
    block_cache_close(cache, other);
    block_cache_close(cache, file);
    block_cache_free(cache);
}

static void test_last_block(void **state)
{
    struct block_cache *cache = start(1 << 30);
    struct block_file *file = open_file(cache, A, BLOCK_BYTES + 5);
    const struct str last = STR("12345");
    unsigned char hash[SHA1_SIZE];

    (void)state;
    assert_false(block_cache_put(cache, file, 1, block_of(1))); /* longer than it is */
    assert_true(block_cache_put(cache, file, 1, last));
    block_cache_close(cache, file);
    block_cache_free(cache);
    cache = start(1 << 30);
    file = open_file(cache, A, BLOCK_BYTES + 5);
    sha1_of(last, hash);
    unit_equal_str("last", block_cache_get(cache, file, 1, (struct str){(char *)hash, SHA1_SIZE}),
                   last);
    block_cache_close(cache, file);
    block_cache_free(cache);
}

static void put_segment_path(char path[256])
{
    char digits[2 * BLOCK_ROOT_BYTES + 1] = "";

    for (size_t i = 0; i < BLOCK_ROOT_BYTES; i++)
        snprintf(digits + 2 * i, 3, "%02x", root[i]);
    snprintf(path, 256, "%s/blocks/" A "-%s/0", folder, digits);
}

static void test_rot(void **state)
{
    struct block_cache *cache = start(1 << 30);
    struct block_file *file = open_file(cache, A, (int64_t)1 << 40);
    char path[256];

    (void)state;
    assert_true(block_cache_put(cache, file, 0, block_of(0)));
    assert_true(block_cache_put(cache, file, 1, block_of(1)));
    block_cache_close(cache, file);
    block_cache_free(cache);
    put_segment_path(path);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "x", 1, 1000), 1);
    close(fd);

    cache = start(1 << 30);
    file = open_file(cache, A, (int64_t)1 << 40);
    assert_true(block_cache_may_have(cache, file, 0));
    assert_false(has(cache, file, 0)); /* one byte is wrong */
    assert_false(block_cache_may_have(cache, file, 0));
    assert_true(has(cache, file, 1));
    assert_true(block_cache_put(cache, file, 0, block_of(0)));
    assert_int_equal(truncate(path, 100), 0); /* in mid-life */
    block_cache_close(cache, file);
    block_cache_free(cache);
    cache = start(1 << 30);
    assert_int_equal(block_cache_disk_bytes(cache), 0);
    block_cache_free(cache);
}

static void write_over(uint32_t i, off_t offset, const char *byte)
{
    char path[256];

    put_segment_path(path);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, byte, 1, (off_t)i * BLOCK_BYTES + offset), 1);
    close(fd);
}

/* Puts so many other blocks that none of before is in memory. */
static void crowd_memory(struct block_cache *cache, struct block_file *file)
{
    for (uint32_t i = 0; i < BLOCK_CACHE_MEMORY_BLOCKS; i++)
        assert_true(block_cache_put(cache, file, 1000000 + i, block_of(i)));
}

/* A process that has seen a block knows it again by its fingerprint. Of what it has read from the
 * disk, too. */
static void test_rot_of_known(void **state)
{
    enum { COUNT = 4 };
    struct block_cache *cache = start(1 << 30);
    struct block_file *file = open_file(cache, A, (int64_t)1 << 40);
    static const off_t places[COUNT] = {0, 8191, 100000, BLOCK_BYTES - 1};

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(block_cache_put(cache, file, i, block_of(i)));
    for (int life = 0; life < 2; life++) {
        for (int turn = 0; turn < 2; turn++) {
            crowd_memory(cache, file);
            for (uint32_t i = 0; i < COUNT; i++) {
                assert_false(block_cache_is_in_memory(cache, file, i));
                assert_true(has(cache, file, i));
            }
        }
        block_cache_close(cache, file);
        if (life == 1)
            break;
        block_cache_free(cache);
        cache = start(1 << 30);
        file = open_file(cache, A, (int64_t)1 << 40);
    }
    file = open_file(cache, A, (int64_t)1 << 40);
    crowd_memory(cache, file);
    for (uint32_t i = 0; i < COUNT; i++) {
        write_over(i, places[i], "x");
        assert_false(has(cache, file, i));
        assert_false(block_cache_may_have(cache, file, i));
    }
    assert_true(block_cache_put(cache, file, 0, block_of(5))); /* other bytes in its place */
    crowd_memory(cache, file);
    assert_true(block_cache_get(cache, file, 0, hash_of(5)).len > 0);
    block_cache_close(cache, file);
    block_cache_free(cache);
}

/* There are more segments than have fingerprints: the others' blocks are hashed. */
static void test_many_known(void **state)
{
    enum { FILES = BLOCK_CACHE_MAX_PRINTS + 100 };
    struct block_cache *cache = start((int64_t)1 << 40);
    const struct str byte = STR("x");
    struct block_file *file;
    unsigned char hash[SHA256_SIZE];
    char sha1[SHA1_HEX + 1];

    (void)state;
    sha256_of(byte, hash);
    for (int turn = 0; turn < 2; turn++)
        for (unsigned n = 0; n < FILES; n++) {
            snprintf(sha1, sizeof sha1, "%040x", n);
            file = open_file(cache, sha1, 1);
            if (turn == 0)
                assert_true(block_cache_put(cache, file, 0, byte));
            unit_equal_str(sha1, block_cache_get(cache, file, 0,
                                                 (struct str){(const char *)hash, sizeof hash}),
                           byte);
            block_cache_close(cache, file);
        }
    block_cache_free(cache);
}

/* What the line's memory has is kept without a copy. */
static void test_exchange(void **state)
{
    struct block_cache *cache = start(1 << 30);
    struct block_file *file = open_file(cache, A, (int64_t)1 << 40);
    unsigned char *bytes = block_cache_new_memory();

    (void)state;
    for (uint32_t i = 0; i < BLOCK_CACHE_MEMORY_BLOCKS + 3; i++) {
        memcpy(bytes, block_of(i).p, BLOCK_BYTES);
        const unsigned char *given = bytes;
        assert_true(block_cache_exchange(cache, file, i, &bytes, BLOCK_BYTES));
        assert_true(bytes != given);
        assert_true(block_cache_get(cache, file, i, STR("")).p == (const char *)given);
        memset(bytes, 0xff, BLOCK_BYTES);
    }
    const unsigned char *mine = bytes;
    assert_false(block_cache_exchange(cache, file, 0, &bytes, BLOCK_BYTES - 1));
    assert_true(bytes == mine);
    for (uint32_t i = 0; i < BLOCK_CACHE_MEMORY_BLOCKS + 3; i++)
        assert_true(has(cache, file, i));
    block_cache_free_memory(bytes);
    block_cache_close(cache, file);
    block_cache_free(cache);
}

/* Several blocks of the disk are checked side by side: the damaged one is not there any more, and
 * none behind one that is missing comes into memory. */
static void test_load(void **state)
{
    enum { COUNT = 6, DAMAGED = 2, MISSING = 4 };
    struct block_cache *cache = start(1 << 30);
    struct block_file *file = open_file(cache, A, (int64_t)COUNT * BLOCK_BYTES);
    unsigned char digests[COUNT][SHA256_SIZE];
    struct str hashes[COUNT];

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        sha256_of(block_of(i), digests[i]);
        hashes[i] = (struct str){(const char *)digests[i], SHA256_SIZE};
        if (i != MISSING)
            assert_true(block_cache_put(cache, file, i, i == DAMAGED ? block_of(99) : block_of(i)));
    }
    block_cache_close(cache, file);
    block_cache_free(cache);
    cache = start(1 << 30);
    file = open_file(cache, A, (int64_t)COUNT * BLOCK_BYTES);
    block_cache_load(cache, file, 0, hashes, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        bool is_there = i < MISSING && i != DAMAGED;
        assert_int_equal(block_cache_is_in_memory(cache, file, i), is_there);
        assert_int_equal(block_cache_may_have(cache, file, i), i != DAMAGED && i != MISSING);
        assert_int_equal(has(cache, file, i), i != DAMAGED && i != MISSING);
    }
    block_cache_load(cache, file, 0, hashes, COUNT); /* they are in memory */
    assert_true(has(cache, file, 0));
    block_cache_close(cache, file);
    block_cache_free(cache);
}

static void test_quota(void **state)
{
    struct block_cache *cache = start(3 * BLOCK_BYTES);
    struct block_file *file = open_file(cache, A, (int64_t)1 << 40);

    (void)state;
    for (uint32_t i = 0; i < 3; i++) /* a segment each */
        assert_true(block_cache_put(cache, file, i * BLOCK_SEGMENT_BLOCKS, block_of(i)));
    assert_int_equal(block_cache_disk_bytes(cache), 3 * BLOCK_BYTES);
    for (uint32_t i = 3; i < 100; i++) /* pushes the first ones out of memory, too */
        assert_true(block_cache_put(cache, file, i * BLOCK_SEGMENT_BLOCKS, block_of(i)));
    assert_int_equal(block_cache_disk_bytes(cache), 3 * BLOCK_BYTES);
    assert_false(block_cache_may_have(cache, file, 0));
    assert_true(block_cache_may_have(cache, file, 99 * BLOCK_SEGMENT_BLOCKS));
    block_cache_close(cache, file);
    block_cache_free(cache);
    cache = start(BLOCK_BYTES); /* a smaller one, from now on */
    assert_int_equal(block_cache_disk_bytes(cache), BLOCK_BYTES);
    block_cache_free(cache);
}

static void test_without_disk(void **state)
{
    struct block_cache *cache = start(0);
    struct block_file *file = open_file(cache, A, (int64_t)1 << 40);
    char path[96];

    (void)state;
    assert_true(block_cache_put(cache, file, 5, block_of(5)));
    assert_true(has(cache, file, 5));
    assert_int_equal(block_cache_disk_bytes(cache), 0);
    block_cache_close(cache, file);
    block_cache_free(cache);

    cache = start(1 << 30); /* its folder is removed, then a file stands there */
    file = open_file(cache, A, (int64_t)1 << 40);
    snprintf(path, sizeof path, "%s/blocks", folder);
    assert_int_equal(rmdir(path), 0);
    assert_true(block_cache_put(cache, file, 5, block_of(5)));
    assert_int_equal(block_cache_disk_bytes(cache), BLOCK_BYTES);
    block_cache_close(cache, file);
    block_cache_free(cache);
    tear_down(NULL);
    assert_int_equal(mkdir(folder, 0700), 0);
    cache = start(1 << 30);
    file = open_file(cache, A, (int64_t)1 << 40);
    assert_int_equal(rmdir(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_true(block_cache_put(cache, file, 6, block_of(6)));
    assert_true(has(cache, file, 6)); /* memory has it */
    assert_int_equal(block_cache_disk_bytes(cache), 0);
    block_cache_close(cache, file);
    block_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_last_block, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rot_of_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exchange, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_load, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quota, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_disk, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
