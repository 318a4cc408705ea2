/* Requests to the gateway's API: recorded ones pass, anything more or less does not. */
#include "unit.h"

#include "base/fs.h"
#include "base/json.h"
#include "proto/gateway_request.h"

enum { MAX_VECTOR_BYTES = 1 << 20 };

#define HASH   "b73f2f5122d2c383393751b3afd805d74e079765"
#define CLIENT "87f5c3bac2486ad0a42337501850155915b11786a12283e0660b26d3473d90fa"
#define SIGNATURE                                                                                  \
    "646b0b833bd3f766fe30929560d0fae0646141d9fb64c7c7a8cabefc24114190"                             \
    "f121b4434a2dc84b03c4e11f29dd40a42e2b914a435a52011c8444d031483a00"

static struct json *read_vectors(const char *path)
{
    struct buf text = {0};
    struct err e = {0};
    struct json *doc;

    assert_int_equal(fs_read_file(path, MAX_VECTOR_BYTES, &text, &e), 0);
    doc = json_parse(buf_str(&text), JSON_STRICT, &e);
    assert_non_null(doc);
    buf_free(&text);
    return doc;
}

/* What the Python client sent is taken and its signature found right, at the time of recording. */
static void check_recorded(const struct json *entry)
{
    struct buf text = {0}, refusal = {0};
    struct gateway_request r;
    struct err e = {0};
    int64_t status = 0;
    struct str answer;

    json_put_value(&text, NULL, json_get(entry, "json"));
    assert_true(json_int(json_get(entry, "status"), &status));
    if (status == 400) {
        assert_int_equal(gateway_request_parse(&r, buf_str(&text), &refusal), -1);
        assert_true(json_str(json_get(entry, "response"), &answer));
        unit_equal_str("refusal", buf_str(&refusal), answer);
    } else {
        assert_int_equal(gateway_request_parse(&r, buf_str(&text), &refusal), 0);
        assert_int_equal(gateway_request_verify(&r, r.timestamp_ms + 1, &e), 0);
        gateway_request_deinit(&r);
    }
    buf_free(&text);
    buf_free(&refusal);
}

static void test_recorded(void **state)
{
    struct json *doc = read_vectors("tests/vectors/gateway_conversation.json");
    struct str url;
    int count = 0;

    (void)state;
    for (const struct json *v = json_first(doc); v != NULL; v = json_next(v)) {
        assert_true(json_str(json_get(v, "url"), &url));
        if (!str_ends_with(url, STR("/api/gateway")))
            continue;
        check_recorded(v);
        count++;
    }
    assert_int_equal(count, 11);
    json_free(doc);
}

#define FIND "\"type\":\"findFile\",\"timestamp\":1,\"hashAlg\":\"sha1\",\"hash\":\"" HASH "\""

static const struct parse_case {
    const char *name, *text;
    bool is_taken;
} parse_cases[] = {
    {"anonymous", "{\"payload\":{" FIND "}}", true},
    {"zone", "{\"payload\":{" FIND ",\"zone\":\"z\"}}", true},
    {"github", "{\"payload\":{" FIND "},\"githubUserId\":\"u\",\"githubAccessToken\":\"t\"}", true},
    {"signed",
     "{\"payload\":{" FIND "},\"fromClientId\":\"" CLIENT "\",\"signature\":\"" SIGNATURE "\"}",
     true},
    {"whole double",
     "{\"payload\":{\"type\":\"initiateFileUpload\",\"timestamp\":1.0,\"size\":5.0,"
     "\"hashAlg\":\"sha1\",\"hash\":\"" HASH "\"}}",
     true},
    {"not JSON", "{", false},
    {"a list", "[]", false},
    {"null", "null", false},
    {"no payload", "{}", false},
    {"payload is text", "{\"payload\":\"findFile\"}", false},
    {"one field more", "{\"payload\":{" FIND ",\"more\":1}}", false},
    {"one field more outside", "{\"payload\":{" FIND "},\"more\":1}", false},
    {"zone is null", "{\"payload\":{" FIND ",\"zone\":null}}", false},
    {"signature is null", "{\"payload\":{" FIND "},\"signature\":null}", false},
    {"client is null", "{\"payload\":{" FIND "},\"fromClientId\":null}", false},
    {"short client", "{\"payload\":{" FIND "},\"fromClientId\":\"87f5\"}", false},
    {"short signature",
     "{\"payload\":{" FIND "},\"fromClientId\":\"" CLIENT "\",\"signature\":\"00\"}", false},
    {"no hash", "{\"payload\":{\"type\":\"findFile\",\"timestamp\":1,\"hashAlg\":\"sha1\"}}",
     false},
    {"no timestamp",
     "{\"payload\":{\"type\":\"findFile\",\"hashAlg\":\"sha1\",\"hash\":\"" HASH "\"}}", false},
    {"other algorithm",
     "{\"payload\":{\"type\":\"findFile\",\"timestamp\":1,\"hashAlg\":\"md5\",\"hash\":\"" HASH
     "\"}}",
     false},
    {"hash is a path",
     "{\"payload\":{\"type\":\"findFile\",\"timestamp\":1,\"hashAlg\":\"sha1\",\"hash\":\"../../../"
     "etc/passwd\"}}",
     false},
    {"timestamp is text",
     "{\"payload\":{\"type\":\"findFile\",\"timestamp\":\"1\",\"hashAlg\":\"sha1\",\"hash\":\"" HASH
     "\"}}",
     false},
    {"negative size",
     "{\"payload\":{\"type\":\"initiateFileUpload\",\"timestamp\":1,\"size\":-1,"
     "\"hashAlg\":\"sha1\",\"hash\":\"" HASH "\"}}",
     false},
    {"half a byte",
     "{\"payload\":{\"type\":\"initiateFileUpload\",\"timestamp\":1,\"size\":0.5,"
     "\"hashAlg\":\"sha1\",\"hash\":\"" HASH "\"}}",
     false},
#define LINK(more) "{\"payload\":{\"timestamp\":1," more "}}"
    {"create a link",
     LINK("\"type\":\"createLink\",\"hash\":\"" HASH "\",\"name\":\"n\",\"expires\":9"), true},
    {"create a link, with all",
     LINK("\"type\":\"createLink\",\"hash\":\"" HASH "\",\"hashAlg\":\"sha1\",\"name\":\"n\","
          "\"expires\":9,\"zone\":\"z\""), true},
    {"a link without a name",
     LINK("\"type\":\"createLink\",\"hash\":\"" HASH "\",\"expires\":9"), false},
    {"a link with an empty name",
     LINK("\"type\":\"createLink\",\"hash\":\"" HASH "\",\"name\":\"\",\"expires\":9"), false},
    {"a link for ever",
     LINK("\"type\":\"createLink\",\"hash\":\"" HASH "\",\"name\":\"n\""), false},
    {"list links", LINK("\"type\":\"listLinks\""), true},
    {"list links behind none", LINK("\"type\":\"listLinks\",\"after\":\"12\""), false},
    {"revoke by hash", LINK("\"type\":\"revokeLink\",\"hash\":\"" HASH "\""), true},
    {"revoke by id",
     LINK("\"type\":\"revokeLink\",\"id\":\"12345678" CLIENT "\""), true},
    {"revoke what", LINK("\"type\":\"revokeLink\""), false},
    {"revoke both",
     LINK("\"type\":\"revokeLink\",\"hash\":\"" HASH "\",\"id\":\"12345678" CLIENT "\""), false},
    {"revoke a path", LINK("\"type\":\"revokeLink\",\"id\":\"../../url-key\""), false},
    {"read", LINK("\"type\":\"readFile\",\"hash\":\"" HASH "\",\"hashAlg\":\"sha1\""), true},
    {"read what", LINK("\"type\":\"readFile\",\"hashAlg\":\"sha1\""), false},
    {"read a part",
     LINK("\"type\":\"readFile\",\"hash\":\"" HASH "\",\"hashAlg\":\"sha1\",\"size\":9"), false},
    {"twice", "{\"payload\":{" FIND "},\"payload\":{" FIND "}}", false},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(parse_cases); i++) {
        const struct parse_case *c = &parse_cases[i];
        struct gateway_request r = {0};
        struct buf refusal = {0};
        unit_true(c->name,
                  (gateway_request_parse(&r, str_of(c->text), &refusal) == 0) == c->is_taken);
        unit_true(c->name, c->is_taken == (refusal.len == 0));
        unit_true(c->name,
                  c->is_taken || str_starts_with(buf_str(&refusal), STR("Invalid request: ")));
        gateway_request_deinit(&r);
        buf_free(&refusal);
    }
}

#define DAY INT64_C(86400000)

static const struct time_case {
    const char *name;
    int64_t elapsed_ms;
    bool is_taken;
} time_cases[] = {
    {"now", 0, true},
    {"a bit late", 125000, true},
    {"too late", 125001, false},
    {"a bit early", -125000, true},
    {"too early", -125001, false},
    {"a day late", DAY, true},
    {"a day early", -DAY, true},
    {"more than a day late", DAY + 125001, false},
    {"nearly a day late", DAY - 125000, true},
    {"half a day late", DAY / 2, false},
    {"two days late", 2 * DAY, false},
};

static void test_time(void **state)
{
    struct buf refusal = {0};
    struct gateway_request r;

    (void)state;
    assert_int_equal(gateway_request_parse(&r, STR("{\"payload\":{" FIND "}}"), &refusal), 0);
    r.timestamp_ms = INT64_C(1700000000000);
    for (size_t i = 0; i < UNIT_COUNT(time_cases); i++) {
        const struct time_case *c = &time_cases[i];
        struct err e = {0};
        unit_true(c->name, (gateway_request_verify(&r, r.timestamp_ms + c->elapsed_ms, &e) == 0) ==
                               c->is_taken);
    }
    gateway_request_deinit(&r);
}

static const struct signature_case {
    const char *name, *text, *error;
} signature_cases[] = {
    {"wrong",
     "{\"payload\":{" FIND "},\"fromClientId\":\"" CLIENT "\",\"signature\":\"" SIGNATURE "\"}",
     "Invalid signature"},
    {"none", "{\"payload\":{" FIND "},\"fromClientId\":\"" CLIENT "\"}",
     "No signature provided with fromClientId"},
};

static void test_signature(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(signature_cases); i++) {
        const struct signature_case *c = &signature_cases[i];
        struct gateway_request r;
        struct buf refusal = {0};
        struct err e = {0};
        unit_true(c->name, gateway_request_parse(&r, str_of(c->text), &refusal) == 0);
        unit_true(c->name, gateway_request_verify(&r, 1, &e) == -1);
        unit_equal(c->name, e.msg, c->error);
        gateway_request_deinit(&r);
        buf_free(&refusal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_signature),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
