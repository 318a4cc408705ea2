/* The messages of upload workers: each is read as it was written, others are refused. */
#include "unit.h"

#include "daemon/upload_message.h"

#define HASH "da39a3ee5e6b4b0d3255bfef95601890afd80709"

static const struct {
    const char *name, *want;
    struct upload_message m;
} cases[] = {
    {"upload", "{\"type\":\"upload\",\"id\":1,\"hash\":\"" HASH "\"}",
     {.type = UPLOAD_MESSAGE_UPLOAD, .id = 1, .hash = {HASH, 40}}},
    {"go", "{\"type\":\"go\",\"id\":2}", {.type = UPLOAD_MESSAGE_GO, .id = 2}},
    {"begun", "{\"type\":\"begun\",\"id\":3}", {.type = UPLOAD_MESSAGE_BEGUN, .id = 3}},
    {"progress", "{\"type\":\"progress\",\"id\":4,\"bytes\":0}",
     {.type = UPLOAD_MESSAGE_PROGRESS, .id = 4}},
    {"note", "{\"type\":\"note\",\"id\":5,\"hash\":\"" HASH "\",\"text\":\"slow\"}",
     {.type = UPLOAD_MESSAGE_NOTE, .id = 5, .hash = {HASH, 40}, .text = {"slow", 4}}},
    {"warning", "{\"type\":\"warning\",\"id\":6,\"text\":\"\"}",
     {.type = UPLOAD_MESSAGE_WARNING, .id = 6}},
    {"completed",
     "{\"type\":\"completed\",\"id\":7,\"hash\":\"" HASH
     "\",\"size\":8,\"existed\":true,\"ms\":9,\"isSpent\":false}",
     {.type = UPLOAD_MESSAGE_COMPLETED, .id = 7, .hash = {HASH, 40}, .size = 8, .existed = true,
      .ms = 9}},
    {"failed without detail",
     "{\"type\":\"failed\",\"id\":8,\"hash\":\"" HASH "\",\"reason\":\"gone\",\"isSpent\":true}",
     {.type = UPLOAD_MESSAGE_FAILED, .id = 8, .hash = {HASH, 40}, .reason = {"gone", 4},
      .is_spent = true}},
    {"failed with detail",
     "{\"type\":\"failed\",\"id\":8,\"hash\":\"" HASH
     "\",\"reason\":\"gone\",\"detail\":\"/a\",\"isSpent\":false}",
     {.type = UPLOAD_MESSAGE_FAILED, .id = 8, .hash = {HASH, 40}, .reason = {"gone", 4},
      .detail = {"/a", 2}}},
};

static void read_as_written(void **state)
{
    struct buf out = {0}, again = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct upload_message m;
        upload_message_put(&out, &cases[i].m);
        unit_equal(cases[i].name, buf_cstr(&out), cases[i].want);
        struct json *doc = json_parse(buf_str(&out), JSON_STRICT, ERR_IGNORED);
        unit_true(cases[i].name, upload_message_read(&m, doc, ERR_IGNORED) == 0);
        unit_true(cases[i].name, m.type == cases[i].m.type);
        upload_message_put(&again, &m);
        unit_equal(cases[i].name, buf_cstr(&again), cases[i].want);
        json_free(doc);
    }
    buf_free(&out);
    buf_free(&again);
}

static void others_are_refused(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{\"type\":\"stop\",\"id\":1}",
        "{\"type\":\"go\",\"id\":-1}",
        "{\"type\":\"go\",\"id\":1,\"more\":1}",
        "{\"type\":\"upload\",\"id\":1,\"hash\":\"da39\"}",
        "{\"type\":\"progress\",\"id\":1}",
        "{\"type\":\"failed\",\"id\":1,\"hash\":\"" HASH "\",\"reason\":\"\"}",
    };
    struct upload_message m;

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad); i++) {
        struct json *doc = json_parse(str_of(bad[i]), JSON_STRICT, ERR_IGNORED);
        unit_true(bad[i], doc != NULL && upload_message_read(&m, doc, ERR_IGNORED) != 0);
        json_free(doc);
    }
    assert_int_equal(upload_message_read(&m, NULL, ERR_IGNORED), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_as_written),
        cmocka_unit_test(others_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
