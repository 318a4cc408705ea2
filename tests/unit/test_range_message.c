/* The text messages about ranges: each reads back as it was written; broken ones are refused. */
#include "unit.h"

#include "proto/range_message.h"

#define SHA1 "2c65000000000000000000000000000000000000"
#define TICKET "00112233445566778899aabbccddeeff"
#define ROOT SHA1 "000000000000000000000000"

static const struct text_case {
    const char *name, *text, *error; /* NULL: it is right, and written back it is the same */
} cases[] = {
    {"extensions", "{\"type\":\"extensions\",\"names\":[\"ranges\"]}", NULL},
    {"open line", "{\"type\":\"openLine\",\"ticket\":\"" TICKET "\",\"class\":\"small\"}", NULL},
    {"ask", "{\"type\":\"askFile\",\"askId\":0,\"sha1\":\"" SHA1 "\"}", NULL},
    {"found",
     "{\"type\":\"fileIs\",\"askId\":7,\"status\":\"found\",\"size\":5,\"root\":\"" ROOT "\"}",
     NULL},
    {"found, small", "{\"type\":\"fileIs\",\"askId\":7,\"status\":\"found\",\"size\":0}", NULL},
    {"building", "{\"type\":\"fileIs\",\"askId\":7,\"status\":\"building\",\"size\":5,\"done\":2}",
     NULL},
    {"error", "{\"type\":\"fileIs\",\"askId\":7,\"status\":\"error\",\"text\":\"no\"}", NULL},
    {"line", "{\"type\":\"line\",\"ticket\":\"" TICKET "\"}", NULL},
    {"open", "{\"type\":\"open\",\"fileId\":4294967295,\"sha1\":\"" SHA1 "\"}", NULL},
    {"open at",
     "{\"type\":\"open\",\"fileId\":1,\"sha1\":\"" SHA1
     "\",\"first\":0,\"request\":9,\"also\":[3,4294967295]}",
     NULL},
    {"opened",
     "{\"type\":\"opened\",\"fileId\":1,\"size\":300000,\"root\":\"" ROOT "\",\"clientId\":\"" ROOT
     "\",\"time\":5,\"signature\":\"" ROOT ROOT "\"}",
     NULL},
    {"refused", "{\"type\":\"refused\",\"fileId\":1,\"reason\":\"changed\",\"text\":\"size\"}",
     NULL},
    {"close", "{\"type\":\"close\",\"fileId\":1}", NULL},
    {"pages", "{\"type\":\"pages\",\"fileId\":1}", NULL},
    {"page", "{\"type\":\"page\",\"fileId\":1,\"page\":7450}", NULL},

    {"no JSON", "{", ""},
    {"no object", "[]", "invalid message: not an object"},
    {"short ticket", "{\"type\":\"line\",\"ticket\":\"00\"}", ""},
    {"upper case",
     "{\"type\":\"askFile\",\"askId\":0,\"sha1\":\"2C65000000000000000000000000000000000000\"}",
     ""},
    {"no class", "{\"type\":\"openLine\",\"ticket\":\"" TICKET "\"}", ""},
    {"another class", "{\"type\":\"openLine\",\"ticket\":\"" TICKET "\",\"class\":\"huge\"}",
     "invalid message: bad field \"class\""},
    {"found without size", "{\"type\":\"fileIs\",\"askId\":7,\"status\":\"found\"}",
     "invalid message: bad field \"size\""},
    {"another status", "{\"type\":\"fileIs\",\"askId\":7,\"status\":\"maybe\"}",
     "invalid message: bad field \"status\""},
    {"refused for being found", "{\"type\":\"refused\",\"fileId\":1,\"reason\":\"found\"}",
     "invalid message: bad field \"reason\""},
    {"file of 33 bits", "{\"type\":\"close\",\"fileId\":4294967296}", ""},
    {"leaf below 0", "{\"type\":\"open\",\"fileId\":1,\"sha1\":\"" SHA1 "\",\"also\":[-1]}",
     "invalid message: bad field \"also\""},
    {"leaf of text", "{\"type\":\"open\",\"fileId\":1,\"sha1\":\"" SHA1 "\",\"also\":[\"1\"]}",
     "invalid message: bad field \"also\""},
    {"name of a number", "{\"type\":\"extensions\",\"names\":[1]}",
     "invalid message: bad field \"names\""},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct text_case *c = &cases[i];
        struct range_message m;
        struct buf out = {0};
        struct err e = {0};
        int result = range_message_parse(&m, str_of(c->text), &e);
        unit_true(c->name, (result == 0) == (c->error == NULL));
        if (result == 0) {
            range_message_put(&out, &m);
            unit_equal_str(c->name, buf_str(&out), str_of(c->text));
            range_message_deinit(&m);
        } else if (c->error[0] != '\0') {
            unit_equal(c->name, e.msg, c->error);
        }
        buf_free(&out);
    }
}

static void test_others(void **state)
{
    static const char *const texts[] = {"{}", "{\"type\":\"ping\"}", "{\"type\":1}"};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
        struct range_message m;
        struct err e = {0};
        unit_true(texts[i], range_message_parse(&m, str_of(texts[i]), &e) == 0);
        unit_true(texts[i], m.type == RANGE_NONE);
        range_message_deinit(&m);
    }
}

static void test_too_many(void **state)
{
    struct buf text = {0};
    struct range_message m;
    struct err e = {0};

    (void)state;
    buf_puts(&text, "{\"type\":\"open\",\"fileId\":1,\"sha1\":\"" SHA1 "\",\"also\":[");
    for (int i = 0; i < RANGE_MAX_ALSO; i++)
        buf_printf(&text, "%s%d", i > 0 ? "," : "", i);
    size_t len = text.len;
    buf_puts(&text, "]}");
    assert_int_equal(range_message_parse(&m, buf_str(&text), &e), 0);
    assert_int_equal(m.also_count, RANGE_MAX_ALSO);
    assert_int_equal(m.also[RANGE_MAX_ALSO - 1], RANGE_MAX_ALSO - 1);
    range_message_deinit(&m);
    text.len = len;
    buf_puts(&text, ",64]}");
    assert_int_equal(range_message_parse(&m, buf_str(&text), &e), -1);
    buf_free(&text);
}

static void test_extensions(void **state)
{
    struct range_message m;
    struct err e = {0};

    (void)state;
    assert_int_equal(
        range_message_parse(
            &m, STR("{\"type\":\"extensions\",\"names\":[\"later\",\"ranges\"],\"more\":1}"), &e),
        0);
    assert_true(range_message_has(&m, "ranges"));
    assert_false(range_message_has(&m, "range"));
    range_message_deinit(&m);
}

static void test_signed(void **state)
{
    struct range_message m = range_message(RANGE_OPENED);
    struct buf text = {0};

    (void)state;
    m.size = 5;
    m.time_ms = 6;
    m.root = STR(ROOT);
    range_message_put_signed(&text, &m, STR("z"), STR("r"), STR(SHA1));
    unit_equal_str("signed", buf_str(&text),
                   STR("{\"hash\":\"" SHA1 "\",\"resourceName\":\"r\",\"root\":\"" ROOT
                       "\",\"size\":5,\"time\":6,\"type\":\"fileRoot\",\"zone\":\"z\"}"));
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),      cmocka_unit_test(test_others),
        cmocka_unit_test(test_too_many),   cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_signed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
