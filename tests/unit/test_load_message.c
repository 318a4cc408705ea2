/* The messages of the workers of `load`: each is read as it was written, others are refused. */
#include "unit.h"

#include "cmd/load_message.h"

static const struct {
    const char *name, *want;
    struct load_message m;
} cases[] = {
    {"get", "{\"type\":\"get\",\"id\":0}", {.type = LOAD_MESSAGE_GET}},
    {"progress", "{\"type\":\"progress\",\"id\":1,\"phase\":6,\"bytes\":5,\"size\":-1}",
     {.type = LOAD_MESSAGE_PROGRESS, .id = 1, .phase = 6, .bytes = 5, .size = -1}},
    {"note", "{\"type\":\"note\",\"id\":1,\"text\":\"a\\udcff\"}",
     {.type = LOAD_MESSAGE_NOTE, .id = 1, .text = {"a\xff", 2}}},
    {"got", "{\"type\":\"got\",\"id\":1,\"entry\":2,\"path\":\"/a\\udcff\"}",
     {.type = LOAD_MESSAGE_GOT, .id = 1, .entry = 2, .path = {"/a\xff", 3}}},
    {"failed", "{\"type\":\"failed\",\"id\":1,\"entry\":2,\"code\":3,\"text\":\"no\"}",
     {.type = LOAD_MESSAGE_FAILED, .id = 1, .entry = 2, .code = ERR_NOT_FOUND, .text = {"no", 2}}},
    {"end", "{\"type\":\"end\",\"id\":1}", {.type = LOAD_MESSAGE_END, .id = 1}},
};

static void read_as_written(void **state)
{
    struct buf out = {0}, again = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct load_message m;
        load_message_put(&out, &cases[i].m);
        unit_equal(cases[i].name, buf_cstr(&out), cases[i].want);
        struct json *doc = json_parse(buf_str(&out), JSON_SURROGATE_ESCAPE, ERR_IGNORED);
        unit_true(cases[i].name, load_message_read(&m, doc, ERR_IGNORED) == 0);
        unit_true(cases[i].name, m.type == cases[i].m.type);
        load_message_put(&again, &m);
        unit_equal(cases[i].name, buf_cstr(&again), cases[i].want);
        json_free(doc);
    }
    buf_free(&out);
    buf_free(&again);
}

static void others_are_refused(void **state)
{
    static const char *const bad[] = {
        "{\"type\":\"progress\",\"id\":1,\"phase\":99,\"bytes\":5,\"size\":-1}",
        "{\"type\":\"progress\",\"id\":1,\"phase\":6,\"bytes\":5,\"size\":-2}",
        "{\"type\":\"got\",\"id\":1,\"entry\":2,\"path\":\"\"}",
        "{\"type\":\"got\",\"id\":1,\"path\":\"/a\"}",
        "{\"type\":\"failed\",\"id\":1,\"entry\":2,\"code\":0,\"text\":\"no\"}",
        "{\"type\":\"failed\",\"id\":1,\"entry\":2,\"code\":99,\"text\":\"no\"}",
        "{\"type\":\"end\",\"id\":1,\"end\":true}",
        "{\"id\":1}",
    };
    struct load_message m;

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad); i++) {
        struct json *doc = json_parse(str_of(bad[i]), JSON_STRICT, ERR_IGNORED);
        unit_true(bad[i], doc != NULL && load_message_read(&m, doc, ERR_IGNORED) != 0);
        json_free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_as_written),
        cmocka_unit_test(others_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
