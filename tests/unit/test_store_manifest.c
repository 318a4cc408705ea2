/* Manifests in a store: pages that are read and checked, and what keeps one from counting. */
#include "store/add.h"
#include "store/manifest_file.h"
#include "store_fixture.h"

enum { BLOCKS = 1030 }; /* two pages */

static struct buf manifest; /* of the file that was linked, until the end */

/* Links a sparse file of two pages whose blocks are not all equal, and gives its hash. */
static void link_large_file(const struct fixture *f, char hash[SHA1_HEX + 1])
{
    const struct hash_options options = {.flags = HASH_MAKE_MANIFEST};
    const char *path = fixture_write(f, "large", STR("begin"), 1700000000);
    struct add_staged added;
    struct err e;

    assert_int_equal(truncate(path, (off_t)BLOCKS * MANIFEST_LEAF_BYTES), 0);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, (off_t)1025 * MANIFEST_LEAF_BYTES), 1);
    close(fd);
    assert_int_equal(add_file(&f->store, STORE_LINK, path, &options, &added, &e), 0);
    memcpy(hash, added.hash, sizeof added.hash);
}

static char *path_of(const struct fixture *f, const char *hash)
{
    struct buf path = {0};

    store_put_manifest_path(&f->store, hash, &path);
    return buf_take(&path);
}

/* The same; the second time it only writes the manifest that the first made. */
static void link_large(const struct fixture *f, char hash[SHA1_HEX + 1])
{
    static char known[SHA1_HEX + 1];
    struct err e = {0};

    if (known[0] == '\0')
        link_large_file(f, known);
    memcpy(hash, known, sizeof known);
    char *path = path_of(f, hash);
    if (manifest.len == 0) {
        assert_int_equal(fs_read_file(path, 1 << 24, &manifest, &e), 0);
    } else {
        assert_int_equal(dirs_make_parents(path, &e), 0);
        assert_int_equal(newfile_put(path, buf_str(&manifest), 0, &e), 0);
    }
    free(path);
}

static void flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    char byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void pages_are_checked_when_read(void **state)
{
    const struct fixture *f = *state;
    static unsigned char leaves[MANIFEST_PAGE_BYTES];
    unsigned char zeros[SHA256_SIZE], again[SHA256_SIZE];
    char hash[SHA1_HEX + 1], *block = calloc(1, MANIFEST_LEAF_BYTES);
    struct manifest_file file;
    struct err e = {0};

    assert_non_null(block);
    link_large(f, hash);
    sha256_of((struct str){block, MANIFEST_LEAF_BYTES}, zeros);
    block[0] = 'x';
    sha256_of((struct str){block, MANIFEST_LEAF_BYTES}, again);
    free(block);
    assert_int_equal(manifest_file_open(&f->store, hash, &file, &e), 0);
    assert_true(file.head.size == (int64_t)BLOCKS * MANIFEST_LEAF_BYTES);
    assert_int_equal(manifest_file_read_page(&file, 1, leaves, &e), 0);
    assert_memory_equal(leaves, zeros, SHA256_SIZE);
    assert_memory_equal(leaves + SHA256_SIZE, again, SHA256_SIZE);
    assert_int_equal(manifest_file_read_page(&file, 0, leaves, &e), 0);
    assert_memory_equal(leaves + 1023 * SHA256_SIZE, zeros, SHA256_SIZE);
    assert_int_equal(manifest_file_read_page(&file, 2, leaves, &e), -1);
    char *path = path_of(f, hash); /* a leaf of the second page rots while it is open */
    flip(path, (off_t)manifest_page_offset(file.head.size, 1));
    assert_int_equal(manifest_file_read_page(&file, 0, leaves, &e), 0);
    assert_int_equal(manifest_file_read_page(&file, 1, leaves, &e), -1);
    assert_int_equal(e.code, ERR_PROTOCOL);
    assert_int_equal(truncate(path, MANIFEST_HEAD_BYTES + 100), 0);
    assert_int_equal(manifest_file_read_page(&file, 0, leaves, &e), -1);
    assert_int_equal(e.code, ERR_PROTOCOL);
    manifest_file_close(&file);
    free(path);
}

static void states_of_a_manifest(void **state)
{
    const struct fixture *f = *state;
    const int64_t size = (int64_t)BLOCKS * MANIFEST_LEAF_BYTES;
    const unsigned char other[SHA256_SIZE] = {0};
    const struct store *s = &f->store;
    char hash[SHA1_HEX + 1];

    link_large(f, hash);
    char *path = path_of(f, hash);
    assert_int_equal(manifest_file_look(s, hash, size), MANIFEST_FILE_OK);
    assert_int_equal(manifest_file_check(s, hash, size, NULL), MANIFEST_FILE_OK);
    assert_int_equal(manifest_file_check(s, hash, size, other), MANIFEST_FILE_DAMAGED);
    assert_int_equal(manifest_file_look(s, hash, size + 1), MANIFEST_FILE_DAMAGED);
    assert_int_equal(manifest_file_check(s, hash, MANIFEST_LEAF_BYTES, NULL),
                     MANIFEST_FILE_NEEDLESS);
    assert_false(manifest_file_is_whole(s, hash, size + 1));
    flip(path, (off_t)manifest_length(size) - 1); /* a leaf */
    assert_int_equal(manifest_file_look(s, hash, size), MANIFEST_FILE_OK);
    assert_true(manifest_file_is_whole(s, hash, size));
    assert_int_equal(manifest_file_check(s, hash, size, NULL), MANIFEST_FILE_DAMAGED);
    flip(path, MANIFEST_HEAD_BYTES); /* a page hash */
    assert_int_equal(manifest_file_look(s, hash, size), MANIFEST_FILE_OK);
    assert_false(manifest_file_is_whole(s, hash, size));
    assert_int_equal(chmod(path, 0646), 0);
    assert_int_equal(manifest_file_look(s, hash, size), MANIFEST_FILE_ABSENT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(manifest_file_check(s, hash, size, NULL), MANIFEST_FILE_ABSENT);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_are_checked_when_read, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(states_of_a_manifest, fixture_setup, fixture_teardown),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&manifest);
    return failed;
}
