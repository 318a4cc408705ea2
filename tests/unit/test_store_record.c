/* Records of links and of the hash cache: the recorded ones byte for byte, and broken ones. */
#include "store_fixture.h"

#include "store/hash_cache.h"
#include "store/record.h"

#define HASH "30a6237468d45e8dc22bc8fa81beb04a8c59be50"
#define VECTORS "tests/vectors/local_store"

static const struct {
    const char *name, *file, *path, *hash;
    int64_t size;
    double mtime;
} recorded[] = {
    {"link of a large file", "linked_files/sha1/30/a6/23/30a6237468d45e8dc22bc8fa81beb04a8c59be50",
     "/data/recording.dat", HASH, 2048000, 1795336612.3007283},
    {"link of a small file: whole seconds",
     "linked_files/sha1/4d/16/ed/4d16ed9023e1a0f73d71c7e06cc9a76b952a5116", "/data/note.txt",
     "4d16ed9023e1a0f73d71c7e06cc9a76b952a5116", 20, 1795336612.0},
    {"hash cache", "mutables/@compute_sha1_cache/8f7db049106f037fc1cbbdb7e9026d840b825630",
     "/data/recording.dat", HASH, 2048000, 1795336612.3007283},
};

static void recorded_by_the_python_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(recorded); i++) {
        struct record r = {0};
        struct buf text = {0};
        struct err e;
        char file[256];
        snprintf(file, sizeof file, VECTORS "/%s", recorded[i].file);
        unit_true(recorded[i].name, record_read(file, &r, &e) == 0);
        unit_equal(recorded[i].name, r.path, recorded[i].path);
        unit_equal(recorded[i].name, r.hash, recorded[i].hash);
        unit_true(recorded[i].name, r.size == recorded[i].size);
        unit_true(recorded[i].name, r.mtime == recorded[i].mtime);
        record_put(&text, &r);
        char *want = fixture_read(file);
        unit_equal(recorded[i].name, buf_cstr(&text), want);
        free(want);
        buf_free(&text);
        record_deinit(&r);
    }
}

static const struct {
    const char *name, *text, *path; /* path NULL: no record */
} parsed[] = {
    {"compact", "{\"path\":\"/a\",\"size\":1,\"mtime\":2,\"sha1\":\"" HASH "\"}", "/a"},
    {"other order and an unknown field",
     "{\"sha1\":\"" HASH "\",\"more\":[],\"mtime\":2.5,\"size\":1.0,\"path\":\"/a\"}", "/a"},
    {"escaped and raw UTF-8",
     "{\"path\":\"/\\u00e4\xc3\xa4\\ud83d\\ude00\",\"size\":1,\"mtime\":2,\"sha1\":\"" HASH "\"}",
     "/\xc3\xa4\xc3\xa4\xf0\x9f\x98\x80"},
    {"lone surrogates are raw bytes",
     "{\"path\":\"/\\udcff\\udc80x\",\"size\":1,\"mtime\":2,\"sha1\":\"" HASH "\"}",
     "/\xff\x80x"},
    {"empty", "", NULL},
    {"cut", "{\"path\": \"/a\", \"size\": 1, \"mti", NULL},
    {"not an object", "[1]", NULL},
    {"no path", "{\"size\":1,\"mtime\":2,\"sha1\":\"" HASH "\"}", NULL},
    {"relative path", "{\"path\":\"a\",\"size\":1,\"mtime\":2,\"sha1\":\"" HASH "\"}", NULL},
    {"NUL in the path", "{\"path\":\"/a\\u0000b\",\"size\":1,\"mtime\":2,\"sha1\":\"" HASH "\"}",
     NULL},
    {"negative size", "{\"path\":\"/a\",\"size\":-1,\"mtime\":2,\"sha1\":\"" HASH "\"}", NULL},
    {"size as text", "{\"path\":\"/a\",\"size\":\"1\",\"mtime\":2,\"sha1\":\"" HASH "\"}", NULL},
    {"no mtime", "{\"path\":\"/a\",\"size\":1,\"sha1\":\"" HASH "\"}", NULL},
    {"short hash", "{\"path\":\"/a\",\"size\":1,\"mtime\":2,\"sha1\":\"30a6\"}", NULL},
};

static void whole_and_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(parsed); i++) {
        struct record r = {0};
        struct err e = {0};
        int status = record_parse(&r, str_of(parsed[i].text), &e);
        unit_true(parsed[i].name, (status == 0) == (parsed[i].path != NULL));
        if (parsed[i].path != NULL)
            unit_equal(parsed[i].name, r.path, parsed[i].path);
        else
            unit_true(parsed[i].name, e.code == ERR_NOT_FOUND);
        record_deinit(&r);
    }
}

/* Every beginning of a record, as a reader meets it while Python writes in place, is missing. */
static void beginnings_are_missing(void **state)
{
    const char *text =
        "{\"path\": \"/data/\\u00e4\", \"size\": 20, \"mtime\": 1.5, \"sha1\": \"" HASH "\"}";
    struct record r;

    (void)state;
    for (size_t len = 0; len < strlen(text); len++) {
        struct err e = {0};
        if (record_parse(&r, (struct str){text, len}, &e) == 0)
            fail_msg("the first %zu bytes were taken for a record", len);
        assert_int_equal(e.code, ERR_NOT_FOUND);
    }
    struct err e;
    assert_int_equal(record_parse(&r, str_of(text), &e), 0);
    record_deinit(&r);
}

static void written_as_json_dumps_writes(void **state)
{
    struct record r = {.path = "/a b\n\"\\\xff\xc3\xa4\xf0\x9f\x98\x80\x7f", .size = 0,
                       .mtime = 1e-9, .hash = HASH};
    struct buf text = {0};

    (void)state;
    record_put(&text, &r);
    assert_string_equal(buf_cstr(&text),
                        "{\"path\": \"/a b\\n\\\"\\\\\\udcff\\u00e4\\ud83d\\ude00\\u007f\", "
                        "\"size\": 0, \"mtime\": 1e-09, \"sha1\": \"" HASH "\"}");
    buf_free(&text);
}

static void missing_and_too_large_files(void **state)
{
    struct fixture *f = *state;
    char *big = malloc(STORE_MAX_RECORD_BYTES + 1);
    struct record r;
    struct err e = {0};

    assert_int_equal(record_read(fixture_path(f, "none"), &r, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_non_null(big);
    memset(big, ' ', STORE_MAX_RECORD_BYTES + 1);
    const char *path =
        fixture_write(f, "big", (struct str){big, STORE_MAX_RECORD_BYTES + 1}, 1);
    assert_int_equal(record_read(path, &r, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    free(big);
}

static void cache_name_is_the_hash_of_the_path(void **state)
{
    struct store s = {.dir = "/store"};
    struct buf path = {0};

    (void)state;
    hash_cache_put_path(&s, "/data/recording.dat", &path);
    assert_string_equal(
        buf_cstr(&path),
        "/store/mutables/@compute_sha1_cache/8f7db049106f037fc1cbbdb7e9026d840b825630");
    buf_free(&path);
}

static void cache_keeps_what_is_large_and_old(void **state)
{
    static const struct {
        const char *name;
        int64_t size, age_ms;
        bool is_kept;
    } cases[] = {
        {"large and old", 1000001, 2000, true},   {"at the limit", 1000000, 5000, false},
        {"changed just now", 1000001, 1999, false}, {"from the future", 1000001, -5000, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const int64_t mtime_s = 1700000000;
        struct stat st = {.st_size = cases[i].size, .st_mtim = {.tv_sec = mtime_s}}, other = st;
        char hash[SHA1_HEX + 1] = "";
        hash_cache_put(&f->store, "/p", &st, HASH, mtime_s * 1000 + cases[i].age_ms);
        unit_true(cases[i].name, hash_cache_get(&f->store, "/p", &st, hash) == cases[i].is_kept);
        unit_equal(cases[i].name, hash, cases[i].is_kept ? HASH : "");
        other.st_mtim.tv_nsec = 1000;
        unit_true(cases[i].name, !hash_cache_get(&f->store, "/p", &other, hash));
        other = st;
        other.st_size++;
        unit_true(cases[i].name, !hash_cache_get(&f->store, "/p", &other, hash));
        unit_true(cases[i].name, !hash_cache_get(&f->store, "/q", &st, hash));
        hash_cache_forget(&f->store, "/p");
        unit_true(cases[i].name, !hash_cache_get(&f->store, "/p", &st, hash));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_by_the_python_client),
        cmocka_unit_test(whole_and_broken),
        cmocka_unit_test(beginnings_are_missing),
        cmocka_unit_test(written_as_json_dumps_writes),
        cmocka_unit_test(cache_name_is_the_hash_of_the_path),
        cmocka_unit_test_setup_teardown(missing_and_too_large_files, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(cache_keeps_what_is_large_and_old, fixture_setup,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
