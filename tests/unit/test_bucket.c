/* What every bucket promises (bucket.h): the folder and the one in memory are held to the same. */
#include "memory_bucket.h"

#include <unistd.h>

#include "bucket/folder.h"

#define HELLO_HASH "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" /* "hello" */
#define HELLO_KEY  "sha1/aa/f4/c6/" HELLO_HASH

static char path[64];
static struct data_dir dir;
static struct loop_clock test_clock;
static struct loop *loop;
static struct bucket *bucket;
static int done; /* callbacks that came */
static struct err call_error;

static int open_loop(void)
{
    struct err e = {0};

    test_clock = (struct loop_clock){.jumps = true, .now_ms = 1000};
    loop = loop_new(&test_clock, &e);
    done = 0;
    return loop == NULL;
}

static int set_up_folder(void **state)
{
    struct err e = {0};

    (void)state;
    strcpy(path, "/tmp/test_bucket.XXXXXX");
    if (open_loop() != 0 || mkdtemp(path) == NULL || data_dir_open(&dir, path, &e) != 0)
        return -1;
    bucket = folder_new(&dir, loop, NULL, &e);
    return bucket == NULL;
}

static int tear_down_folder(void **state)
{
    char command[128];

    (void)state;
    bucket_free(bucket);
    loop_free(loop);
    data_dir_close(&dir);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command);
}

static int set_up_memory(void **state)
{
    (void)state;
    if (open_loop() != 0)
        return -1;
    struct memory_bucket *m = memory_bucket_new(loop);
    m->delay_ms = 40000;
    bucket = &m->bucket;
    return 0;
}

static int tear_down_memory(void **state)
{
    (void)state;
    bucket_free(bucket);
    loop_free(loop);
    return 0;
}

static void on_done(void *owner)
{
    (void)owner;
    done++;
}

static bool is_done(void *owner)
{
    return ((struct bucket_call *)owner)->bucket == NULL;
}

/* The call was made just now, and is not done yet. Its result. */
static int wait_for(struct bucket_call *call)
{
    int before = done;
    struct err e = {0};

    assert_false(is_done(call));
    assert_int_equal(loop_run_until(loop, is_done, call, &e), 0);
    assert_int_equal(done, before + 1);
    return call->result == 0 ? 0 : (int)call->e->code;
}

#define CALL {on_done, NULL, .e = &call_error}

static int put(struct str key, struct str hash, int64_t size, const char *first, const char *second)
{
    struct bucket_put p = {.call = CALL, .key = key, .hash = hash, .size_bytes = size};
    int result;

    bucket_put_open(bucket, &p);
    result = wait_for(&p.call);
    const char *parts[] = {first, second};
    for (int i = 0; i < 2 && result == 0; i++) {
        char once[64];
        snprintf(once, sizeof once, "%s", parts[i]);
        bucket_put_write(&p, str_of(once));
        memset(once, 'x', sizeof once); /* it has taken them */
        result = wait_for(&p.call);
    }
    if (result == 0) {
        bucket_put_close(&p);
        result = wait_for(&p.call);
    }
    bucket_put_discard(&p);
    return result;
}

static int64_t size_of(struct str key)
{
    struct bucket_head head = {.call = CALL, .key = key};

    bucket_head(bucket, &head);
    int result = wait_for(&head.call);
    assert_true(result == 0 || result == ERR_NOT_FOUND);
    return result == 0 ? head.size_bytes : -1;
}

/* An object is there when size and hash are right, and never before. */
static void test_put(void **state)
{
    (void)state;
    assert_int_equal(size_of(STR(HELLO_KEY)), -1);
    assert_int_equal(put(STR(HELLO_KEY), STR(HELLO_HASH), 5, "hel", "l"), ERR_PROTOCOL);
    assert_int_equal(put(STR(HELLO_KEY), STR(HELLO_HASH), 5, "hel", "la"), ERR_CHANGED);
    assert_int_equal(size_of(STR(HELLO_KEY)), -1);
    struct bucket_put half = {
        .call = CALL, .key = STR(HELLO_KEY), .hash = STR(HELLO_HASH), .size_bytes = 5};
    bucket_put_open(bucket, &half);
    assert_int_equal(wait_for(&half.call), 0);
    bucket_put_write(&half, STR("hello"));
    assert_int_equal(wait_for(&half.call), 0);
    assert_int_equal(half.written, 5);
    assert_int_equal(size_of(STR(HELLO_KEY)), -1);
    bucket_put_discard(&half);
    assert_int_equal(size_of(STR(HELLO_KEY)), -1);
    assert_int_equal(put(STR(HELLO_KEY), STR(HELLO_HASH), 5, "hel", "lo"), 0);
    assert_int_equal(size_of(STR(HELLO_KEY)), 5);
    assert_int_equal(put(STR(HELLO_KEY), STR(HELLO_HASH), 5, "", "hello"), 0); /* once more */
}

static void test_read(void **state)
{
    static const struct {
        const char *name;
        int64_t start, length;
        const char *want;
    } cases[] = {
        {"all", 0, 5, "hello"}, {"more than all", 0, 100, "hello"}, {"middle", 1, 3, "ell"},
        {"end", 4, 10, "o"},    {"behind", 5, 1, ""},               {"far behind", 100, 1, ""},
        {"nothing", 2, 0, ""},  {"everything", 0, INT64_MAX, "hello"},
    };

    (void)state;
    assert_int_equal(put(STR(HELLO_KEY), STR(HELLO_HASH), 5, "hello", ""), 0);
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct bucket_read read = {.call = CALL,
                                   .key = STR(HELLO_KEY),
                                   .start = cases[i].start,
                                   .length = cases[i].length};
        bucket_read(bucket, &read);
        unit_true(cases[i].name, wait_for(&read.call) == 0);
        unit_equal_str(cases[i].name, buf_str(&read.bytes), str_of(cases[i].want));
        buf_free(&read.bytes);
    }
    struct bucket_read none = {.call = CALL, .key = STR("sha1/no"), .length = 1};
    bucket_read(bucket, &none);
    assert_int_equal(wait_for(&none.call), ERR_NOT_FOUND);
    buf_free(&none.bytes);
}

static void test_remove(void **state)
{
    struct bucket_remove r = {.call = CALL, .key = STR(HELLO_KEY)};

    (void)state;
    bucket_remove(bucket, &r);
    assert_int_equal(wait_for(&r.call), ERR_NOT_FOUND);
    assert_int_equal(put(STR(HELLO_KEY), STR(HELLO_HASH), 5, "hello", ""), 0);
    bucket_remove(bucket, &r);
    assert_int_equal(wait_for(&r.call), 0);
    assert_int_equal(size_of(STR(HELLO_KEY)), -1);
}

/* Replaces the file if its version is that; the result. */
static int replace(const char *name, const char *version, const char *text, char *new_version)
{
    struct bucket_small file = {
        .call = CALL, .name = str_of(name), .max_bytes = 1000, .new_text = str_of(text)};

    strcpy(file.version, version);
    bucket_small_replace(bucket, &file);
    int result = wait_for(&file.call);
    if (new_version != NULL)
        strcpy(new_version, file.version);
    return result;
}

static int read_small(const char *name, size_t max_bytes, struct buf *text, char *version)
{
    struct bucket_small file = {.call = CALL, .name = str_of(name), .max_bytes = max_bytes};

    bucket_small_read(bucket, &file);
    int result = wait_for(&file.call);
    buf_put_buf(text, &file.text);
    strcpy(version, file.version);
    buf_free(&file.text);
    return result;
}

static void test_small(void **state)
{
    char first[BUCKET_VERSION_BYTES], second[BUCKET_VERSION_BYTES];
    struct buf text = {0};

    (void)state;
    assert_int_equal(read_small("clients/a", 1000, &text, first), ERR_NOT_FOUND);
    assert_int_equal(replace("clients/a", "no such version", "x", NULL), ERR_TAKEN);
    assert_int_equal(replace("clients/a", "", "one", first), 0);
    assert_int_equal(replace("clients/a", "", "two", NULL), ERR_TAKEN);
    assert_int_equal(read_small("clients/a", 1000, &text, second), 0);
    unit_equal("text", buf_cstr(&text), "one");
    unit_equal("version", second, first);
    assert_int_equal(replace("clients/a", first, "two", second), 0);
    assert_int_equal(replace("clients/a", first, "three", NULL), ERR_TAKEN);
    assert_string_not_equal(first, second);
    buf_clear(&text);
    assert_int_equal(read_small("clients/a", 1000, &text, first), 0);
    unit_equal("text", buf_cstr(&text), "two");
    unit_equal("version", first, second);
    buf_clear(&text);
    assert_int_equal(read_small("clients/a", 2, &text, first), ERR_TOO_LARGE);
    assert_int_equal(text.len, 0);
    buf_free(&text);
}

/* All keys in pages of `max`, each followed by a line feed; a '|' after each page. */
static void list_all(const char *prefix, size_t max, struct buf *out)
{
    struct bucket_list list = {.call = CALL, .prefix = str_of(prefix), .max = max};
    struct buf last = {0};
    struct str key;

    while (!list.is_last) {
        size_t at = 0;
        buf_clear(&list.keys);
        list.after = buf_str(&last);
        bucket_list(bucket, &list);
        assert_int_equal(wait_for(&list.call), 0);
        while (bucket_list_next(&list, &at, &key)) {
            buf_printf(out, "%.*s\n", STR_ARG(key));
            buf_clear(&last);
            buf_put(&last, key);
        }
        buf_putc(out, '|');
    }
    buf_free(&list.keys);
    buf_free(&last);
}

/* In the order of bytes of the whole keys, as S3 has it: '-' before '/', '0' behind. */
static void test_list(void **state)
{
    static const char *const names[] = {"a-b", "a.c/x", "a/b", "a/b-c", "a/c/d", "a/c0", "a0", "b"};
    static const struct {
        const char *name, *prefix;
        size_t max;
        const char *want;
    } cases[] = {
        {"all", "", 100, "a-b\na.c/x\na/b\na/b-c\na/c/d\na/c0\na0\nb\n|"},
        {"by threes", "", 3, "a-b\na.c/x\na/b\n|a/b-c\na/c/d\na/c0\n|a0\nb\n|"},
        {"by ones", "a/c", 1, "a/c/d\n|a/c0\n|"},
        {"a folder", "a/", 2, "a/b\na/b-c\n|a/c/d\na/c0\n|"},
        {"a part of a name", "a/b", 100, "a/b\na/b-c\n|"},
        {"a deep one", "a/c/", 100, "a/c/d\n|"},
        {"nothing", "c/", 100, "|"},
        {"nothing in nothing", "c/d/e", 100, "|"},
    };
    struct buf out = {0};

    (void)state;
    for (size_t i = UNIT_COUNT(names); i-- > 0;)
        assert_int_equal(replace(names[i], "", names[i], NULL), 0);
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        buf_clear(&out);
        list_all(cases[i].prefix, cases[i].max, &out);
        unit_equal(cases[i].name, buf_cstr(&out), cases[i].want);
    }
    buf_free(&out);
}

/* After bucket_cancel no callback comes, whether the call was done or not. */
static void test_cancel(void **state)
{
    struct bucket_head *head = calloc(1, sizeof *head);

    (void)state;
    *head = (struct bucket_head){.call = CALL, .key = STR(HELLO_KEY)};
    bucket_head(bucket, head);
    bucket_cancel(&head->call);
    bucket_cancel(&head->call);
    free(head);
    assert_int_equal(size_of(STR(HELLO_KEY)), -1);
    assert_int_equal(done, 1);
}

/* ---- the folder alone ---- */

/* A disk that is not mounted is no empty bucket. */
static void test_folder_that_is_gone(void **state)
{
    char command[160], version[BUCKET_VERSION_BYTES];
    struct bucket_head head = {.call = CALL, .key = STR(HELLO_KEY)};
    struct bucket_read read = {.call = CALL, .key = STR(HELLO_KEY), .length = 1};
    struct bucket_remove gone = {.call = CALL, .key = STR(HELLO_KEY)};
    struct bucket_list list = {.call = CALL, .prefix = STR(""), .max = 10};
    struct buf text = {0};

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", path, path);
    assert_int_equal(system(command), 0);
    bucket_head(bucket, &head);
    assert_int_equal(wait_for(&head.call), ERR_FAILED);
    bucket_read(bucket, &read);
    assert_int_equal(wait_for(&read.call), ERR_FAILED);
    bucket_remove(bucket, &gone);
    assert_int_equal(wait_for(&gone.call), ERR_FAILED);
    bucket_list(bucket, &list);
    assert_int_equal(wait_for(&list.call), ERR_FAILED);
    assert_int_equal(read_small("clients/a", 100, &text, version), ERR_FAILED);
    assert_int_equal(replace("clients/a", "", "x", NULL), ERR_FAILED);
    assert_int_equal(put(STR(HELLO_KEY), STR(HELLO_HASH), 5, "hello", ""), ERR_FAILED);
    snprintf(command, sizeof command, "test -z \"$(ls -A '%s')\"", path);
    assert_int_equal(system(command), 0);
}

static void test_folder_opens_files(void **state)
{
    struct bucket_file file = {
        .call = CALL, .key = STR(HELLO_KEY), .believed_s = BUCKET_NEVER_S};
    char got[8];

    (void)state;
    assert_int_equal(put(STR(HELLO_KEY), STR(HELLO_HASH), 5, "hello", ""), 0);
    assert_true(bucket_open_file(bucket, &file));
    assert_int_equal(wait_for(&file.call), 0);
    assert_int_equal(file.size_bytes, 5);
    assert_int_equal(read(file.fd, got, sizeof got), 5);
    close(file.fd);
    assert_true(bucket_open_file(bucket, &file));
    bucket_cancel(&file.call);
    assert_true(file.fd >= 0);
    close(file.fd);
}

static void test_memory_has_no_files(void **state)
{
    struct bucket_file file = {.call = CALL, .key = STR(HELLO_KEY)};

    (void)state;
    assert_false(bucket_open_file(bucket, &file));
}

#define ON_BOTH(test)                                                                              \
    cmocka_unit_test_setup_teardown(test, set_up_folder, tear_down_folder),                        \
        cmocka_unit_test_setup_teardown(test, set_up_memory, tear_down_memory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_put),
        ON_BOTH(test_read),
        ON_BOTH(test_remove),
        ON_BOTH(test_small),
        ON_BOTH(test_list),
        ON_BOTH(test_cancel),
        cmocka_unit_test_setup_teardown(test_folder_that_is_gone, set_up_folder, tear_down_folder),
        cmocka_unit_test_setup_teardown(test_folder_opens_files, set_up_folder, tear_down_folder),
        cmocka_unit_test_setup_teardown(test_memory_has_no_files, set_up_memory, tear_down_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
