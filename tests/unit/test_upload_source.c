#include "zone/upload_source.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"
#include "zone/upload.h"

enum {
    HOLD = UPLOAD_HOLD_BACK_BYTES,
    CHUNK = UPLOAD_CHUNK_BYTES,
    FIRST = HOLD + CHUNK,
    LARGE = 9 << 20, /* a child hashes it */
    PIECES = FIRST + 33 * CHUNK /* the same, the last piece of its ring is whole */
};

static char path[64];
static unsigned char *content;

/* Writes the first `size` bytes of a pattern without period, and gives their SHA-1. */
static void write_content(size_t size, char hash[SHA1_HEX + 1])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct sha1 sha1;

    for (size_t i = 0; i < size; i++)
        content[i] = (unsigned char)(i * 7 + (i >> 8) * 13 + (i >> 16));
    assert_int_equal(write(fd, content, size), size);
    close(fd);
    sha1_init(&sha1);
    sha1_update(&sha1, content, size);
    sha1_final_hex(&sha1, hash);
}

static void flip_byte(off_t at)
{
    int fd = open(path, O_WRONLY);
    unsigned char byte = content[at] ^ 1;

    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static const size_t sizes[] = {0,         1,         HOLD - 1,  HOLD,          HOLD + 1,
                               FIRST - 1, FIRST,     FIRST + 1, FIRST + HOLD,  CHUNK + 2 * HOLD + 1,
                               2 * FIRST, 1 << 20,   (1 << 20) + 12345, LARGE,
                               PIECES,    PIECES + 1, PIECES + HOLD, PIECES + HOLD + 1};

static void test_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(sizes); i++) {
        struct upload_source source;
        char hash[SHA1_HEX + 1], name[32];
        struct str chunk;
        size_t given = 0;
        struct err e;
        enum io io;

        snprintf(name, sizeof name, "%zu bytes", sizes[i]);
        write_content(sizes[i], hash);
        if (upload_source_open(&source, path, hash, (int64_t)sizes[i], &e) != 0)
            fail_msg("%s: %s", name, e.msg);
        while ((io = upload_source_next(&source, &chunk, &e)) == IO_DONE) {
            unit_true(name, chunk.len > 0 && given + chunk.len <= sizes[i]);
            unit_true(name, memcmp(chunk.p, content + given, chunk.len) == 0);
            given += chunk.len;
        }
        unit_true(name, io == IO_EOF && given == sizes[i]);
        unit_true(name, upload_source_is_at_end(&source));
        upload_source_deinit(&source);
    }
}

/* Whatever byte is wrong, the last 64 KiB (or all of a smaller file) are never given out. */
static void test_wrong_byte(void **state)
{
    (void)state;
    for (size_t i = 1; i < UNIT_COUNT(sizes); i++) {
        const size_t places[] = {0, sizes[i] / 2, sizes[i] - 1};
        for (size_t j = 0; j < UNIT_COUNT(places); j++) {
            struct upload_source source;
            char hash[SHA1_HEX + 1], name[64];
            struct str chunk;
            size_t given = 0;
            struct err e = {0};
            enum io io = IO_ERR;

            snprintf(name, sizeof name, "%zu bytes, wrong at %zu", sizes[i], places[j]);
            write_content(sizes[i], hash);
            flip_byte((off_t)places[j]);
            if (upload_source_open(&source, path, hash, (int64_t)sizes[i], &e) == 0)
                while ((io = upload_source_next(&source, &chunk, &e)) == IO_DONE)
                    given += chunk.len;
            unit_true(name, io == IO_ERR && e.code == ERR_CHANGED);
            unit_true(name, given == 0 || given <= sizes[i] - HOLD);
            unit_true(name, strstr(e.msg, "its SHA-1 is") && !strstr(e.msg, path));
            unit_true(name, !upload_source_is_at_end(&source));
            upload_source_deinit(&source);
        }
    }
}

/* Without the process that hashes, nothing more is given out. */
static void test_lost_hasher(void **state)
{
    struct upload_source source;
    char hash[SHA1_HEX + 1];
    struct str chunk;
    struct err e;
    enum io io = IO_DONE;

    (void)state;
    write_content(LARGE, hash);
    assert_int_equal(upload_source_open(&source, path, hash, LARGE, &e), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(upload_source_next(&source, &chunk, &e), IO_DONE);
    if (source.hasher == NULL)
        skip(); /* one processor */
    assert_int_equal(kill(unit_child(), SIGKILL), 0);
    while (io == IO_DONE)
        io = upload_source_next(&source, &chunk, &e);
    assert_int_equal(io, IO_ERR);
    unit_equal("error", e.msg,
               "the process that hashes the file was lost: killed by SIGKILL: out of memory, or a "
               "limit of this host?");
    assert_true(source.bytes_given <= LARGE - HOLD);
    upload_source_deinit(&source);
}

static const struct {
    const char *name;
    off_t flip_at, truncate_to; /* after the first chunk was taken; -1: not */
    const char *message;
} changes[] = {
    {"last byte", (1 << 20) - 1, -1, "its SHA-1 is"},
    {"a byte not read yet", FIRST, -1, "its SHA-1 is"},
    {"shorter", -1, (1 << 20) - 1, "became shorter"},
    {"longer", -1, (1 << 20) + 1, "it has 1048577 bytes now, it had 1048576"},
};

static void test_changed_meanwhile(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(changes); i++) {
        struct upload_source source;
        char hash[SHA1_HEX + 1];
        struct str chunk;
        struct err e = {0};
        size_t given;
        enum io io;

        write_content(1 << 20, hash);
        assert_int_equal(upload_source_open(&source, path, hash, 1 << 20, &e), 0);
        assert_int_equal(upload_source_next(&source, &chunk, &e), IO_DONE);
        given = chunk.len;
        if (changes[i].flip_at >= 0)
            flip_byte(changes[i].flip_at);
        if (changes[i].truncate_to >= 0)
            assert_int_equal(truncate(path, changes[i].truncate_to), 0);
        while ((io = upload_source_next(&source, &chunk, &e)) == IO_DONE)
            given += chunk.len;
        unit_true(changes[i].name, io == IO_ERR && e.code == ERR_CHANGED);
        unit_true(changes[i].name, strstr(e.msg, changes[i].message));
        unit_true(changes[i].name, given <= (1 << 20) - HOLD);
        upload_source_deinit(&source);
    }
}

/* A replaced file does not matter: the one that was opened is read. */
static void test_replaced_meanwhile(void **state)
{
    struct upload_source source;
    char hash[SHA1_HEX + 1];
    size_t given = 0;
    struct str chunk;
    struct err e;

    (void)state;
    write_content(1 << 20, hash);
    assert_int_equal(upload_source_open(&source, path, hash, 1 << 20, &e), 0);
    unlink(path);
    while (upload_source_next(&source, &chunk, &e) == IO_DONE)
        given += chunk.len;
    assert_int_equal(given, 1 << 20);
    assert_true(upload_source_is_at_end(&source));
    upload_source_deinit(&source);
}

static void refuse(const char *name, const char *file, int64_t size, const char *message)
{
    struct upload_source source;
    struct err e = {0};

    unit_true(name, upload_source_open(&source, file, "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                                       size, &e) == -1);
    unit_true(name, strstr(e.msg, message));
    unit_true(name, strstr(e.msg, file) == NULL);
    upload_source_deinit(&source);
}

static void test_refused(void **state)
{
    char hash[SHA1_HEX + 1];

    (void)state;
    write_content(10, hash);
    refuse("another size", path, 11, "it has 10 bytes now, it had 11");
    unlink(path);
    refuse("not there", path, 0, "not there any more");
    assert_int_equal(mkfifo(path, 0600), 0);
    refuse("FIFO", path, 0, "no regular file");
    unlink(path);
    refuse("folder", "/tmp", 0, "no regular file");
    assert_int_equal(symlink(path, path), 0);
    refuse("loop of links", path, 0, "cannot be read");
}

static int setup(void **state)
{
    int fd;

    (void)state;
    strcpy(path, "/tmp/test_upload.XXXXXX");
    fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_hasher, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    int status;

    content = malloc(LARGE);
    status = content == NULL ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    free(content);
    return status;
}
