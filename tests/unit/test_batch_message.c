/* The messages of a batch's workers: each is read as it was written, others are refused. */
#include "unit.h"

#include "store/batch_message.h"

#define HASH "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define FILE_MEMBERS                                                                               \
    "\"mtime\":0.1,\"suffix\":\".x\",\"manifest\":\".m\",\"manifestState\":1,"                    \
    "\"device\":\"18446744073709551615\",\"inode\":\"2\",\"owner\":\"3\"}"

static const struct {
    const char *name, *want;
    struct batch_message m;
} cases[] = {
    {"bytes", "{\"type\":\"bytes\",\"id\":1,\"bytes\":5}",
     {.type = BATCH_MESSAGE_BYTES, .id = 1, .bytes = 5}},
    {"hashed",
     "{\"type\":\"hashed\",\"id\":1,\"index\":2,\"hash\":\"" HASH "\",\"size\":4,"
     FILE_MEMBERS,
     {.type = BATCH_MESSAGE_HASHED, .id = 1, .index = 2, .hash = {HASH, 40}, .size = 4,
      .mtime = 0.1,
      .suffix = {".x", 2}, .manifest = {".m", 2}, .manifest_state = 1,
      .device = UINT64_MAX, .inode = 2, .owner = 3}},
    {"failed", "{\"type\":\"failed\",\"id\":1,\"index\":3,\"code\":1,\"text\":\"/a\\udcff: no\"}",
     {.type = BATCH_MESSAGE_FAILED, .id = 1, .index = 3, .code = ERR_FAILED,
      .text = {"/a\xff: no", 7}}},
};

static void read_as_written(void **state)
{
    struct buf out = {0}, again = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct batch_message m;
        batch_message_put(&out, &cases[i].m);
        unit_equal(cases[i].name, buf_cstr(&out), cases[i].want);
        struct json *doc = json_parse(buf_str(&out), JSON_SURROGATE_ESCAPE, ERR_IGNORED);
        unit_true(cases[i].name, batch_message_read(&m, doc, ERR_IGNORED) == 0);
        unit_true(cases[i].name, m.type == cases[i].m.type);
        batch_message_put(&again, &m);
        unit_equal(cases[i].name, buf_cstr(&again), cases[i].want);
        json_free(doc);
    }
    buf_free(&out);
    buf_free(&again);
}

/* The paths stand behind the other members, and none of their bytes is lost. */
static void work_has_paths(void **state)
{
    const struct batch_message work = {.type = BATCH_MESSAGE_WORK,
                                       .id = 7,
                                       .follow_kind = 2,
                                       .root_len = 3,
                                       .root_device = UINT64_MAX,
                                       .root_inode = 9,
                                       .is_alone = true};
    struct batch_message m;
    struct buf out = {0};
    struct str path;

    (void)state;
    batch_message_put(&out, &work);
    batch_message_put_path(&out, "/a");
    batch_message_put_path(&out, "/b\xff");
    batch_message_end_paths(&out);
    struct json *doc = json_parse(buf_str(&out), JSON_SURROGATE_ESCAPE, ERR_IGNORED);
    assert_int_equal(batch_message_read(&m, doc, ERR_IGNORED), 0);
    assert_int_equal(m.type, BATCH_MESSAGE_WORK);
    assert_true(m.id == 7 && m.follow_kind == 2 && m.root_len == 3 &&
                m.root_device == UINT64_MAX && m.root_inode == 9 && m.is_alone);
    assert_int_equal(json_count(m.paths), 2);
    assert_true(json_str(json_next(json_first(m.paths)), &path));
    unit_equal_str("path", path, STR("/b\xff"));
    json_free(doc);
    buf_free(&out);
}

static void others_are_refused(void **state)
{
    static const char *const bad[] = {
        "{\"type\":\"hashed\",\"id\":1,\"index\":2,\"hash\":\"" HASH "\",\"size\":-4," FILE_MEMBERS,
        "{\"type\":\"hashed\",\"id\":1,\"index\":2,\"hash\":\"DA39\",\"size\":4," FILE_MEMBERS,
        "{\"type\":\"hashed\",\"id\":1,\"index\":2,\"size\":4," FILE_MEMBERS,
        "{\"type\":\"failed\",\"id\":1,\"index\":0,\"code\":0,\"text\":\"\"}",
        "{\"type\":\"work\",\"id\":1,\"follow\":3,\"rootLength\":0,\"rootDevice\":\"0\","
        "\"rootInode\":\"0\",\"alone\":false,\"paths\":[]}",
        "{\"type\":\"work\",\"id\":1,\"follow\":0,\"rootLength\":0,\"rootDevice\":\"0\","
        "\"rootInode\":\"0\",\"alone\":false,\"paths\":{}}",
        "{\"type\":\"work\",\"id\":1,\"follow\":0,\"rootLength\":0,\"rootDevice\":\"0\","
        "\"rootInode\":\"0\",\"paths\":[]}",
        "{\"type\":\"failed\",\"id\":1,\"code\":1,\"text\":\"\"}",
        "{\"id\":1,\"bytes\":5}",
    };
    struct batch_message m;

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad); i++) {
        struct json *doc = json_parse(str_of(bad[i]), JSON_STRICT, ERR_IGNORED);
        unit_true(bad[i], doc != NULL && batch_message_read(&m, doc, ERR_IGNORED) != 0);
        json_free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_as_written),
        cmocka_unit_test(work_has_paths),
        cmocka_unit_test(others_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
