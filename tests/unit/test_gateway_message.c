#include "proto/gateway_message.h"

#include <stdlib.h>

#include "base/fs.h"
#include "base/hex.h"
#include "unit.h"
#include "zone/identity.h"

static struct json *conversation;

static struct json *read_vectors(const char *path)
{
    struct buf text = {0};
    struct json *root = NULL;
    struct err e;

    if (fs_read_file(path, 1 << 20, &text, &e) != 0 ||
        (root = json_parse(buf_str(&text), JSON_STRICT, &e)) == NULL)
        fail_msg("%s", e.msg);
    buf_free(&text);
    return root;
}

/* A member as a C string (NULL when absent) that lives in the arena of `out`. */
static const char *member(const struct json *object, const char *key, char out[256])
{
    struct str text;

    if (!json_str(json_get(object, key), &text))
        return NULL;
    assert_true(text.len < 256);
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
    return out;
}

/* The recorded payload as our struct; false for types that we never send. */
static bool read_payload(const struct json *recorded, struct gateway_payload *out,
                         int64_t *timestamp_ms, char arena[6][256])
{
    *out = (struct gateway_payload){
        .type = member(recorded, "type", arena[0]),
        .zone = member(recorded, "zone", arena[1]),
        .client_id = member(recorded, "clientId", arena[2]),
        .hash = member(recorded, "hash", arena[3]),
        .object_key = member(recorded, "objectKey", arena[4]),
        .resource_name = member(recorded, "resourceName", arena[5]),
        .size = -1,
    };
    json_int(json_get(recorded, "size"), &out->size);
    assert_true(json_int(json_get(recorded, "timestamp"), timestamp_ms));
    return strcmp(out->type, "bogus") != 0 && strcmp(out->type, "getZoneInfo") != 0;
}

/* Our requests have the recorded ones' fields and, with the recorded key, their signatures. */
static void test_recorded_requests(void **state)
{
    struct json *keys = read_vectors("tests/vectors/signatures.json");
    size_t compared = 0;
    unsigned char bytes[ED25519_SEED];
    struct identity id;
    struct str seed;

    (void)state;
    assert_true(json_str(json_get(keys, "privateKeyHex"), &seed));
    assert_true(hex_decode(seed, bytes, sizeof bytes));
    ed25519_pair(bytes, id.pair);
    for (const struct json *one = json_first(conversation); one; one = json_next(one)) {
        const struct json *body = json_get(one, "json");
        const struct json *recorded = json_get(body, "payload");
        struct buf canonical = {0}, request = {0}, want = {0};
        char arena[6][256], client_id[256], signature[2 * ED25519_SIGNATURE + 1];
        struct gateway_payload payload;
        int64_t timestamp_ms;
        struct json *sent;

        if (recorded == NULL || !read_payload(recorded, &payload, &timestamp_ms, arena))
            continue;
        gateway_message_put_payload(&canonical, &payload, timestamp_ms);
        json_put_canonical(&want, recorded, false);
        unit_equal_str(payload.type, buf_str(&canonical), buf_str(&want));
        signature_make(id.pair, buf_str(&canonical), signature);
        gateway_message_put_request(&request, buf_str(&canonical),
                                    member(body, "fromClientId", client_id), signature);
        sent = json_parse(buf_str(&request), JSON_STRICT, ERR_IGNORED);
        assert_non_null(sent);
        buf_clear(&canonical);
        buf_clear(&want);
        json_put_canonical(&canonical, sent, false);
        json_put_canonical(&want, body, false);
        unit_equal_str(payload.type, buf_str(&canonical), buf_str(&want));
        json_free(sent);
        buf_free(&canonical);
        buf_free(&want);
        buf_free(&request);
        compared++;
    }
    assert_int_equal(compared, 9);
    json_free(keys);
}

static void test_clock_before_1970(void **state)
{
    const struct gateway_payload payload = {.type = "findFile", .size = -1};
    struct buf out = {0};

    (void)state;
    gateway_message_put_payload(&out, &payload, -1);
    assert_string_equal(buf_cstr(&out), "{\"timestamp\":0,\"type\":\"findFile\"}");
    buf_free(&out);
}

static void test_anonymous(void **state)
{
    struct buf out = {0};

    (void)state;
    gateway_message_put_request(&out, STR("{\"type\":\"x\"}"), "", "");
    assert_string_equal(buf_cstr(&out), "{\"payload\":{\"type\":\"x\"}}");
    buf_free(&out);
}

/* The recorded answer of exchange `index` as text. */
static void put_recorded(size_t index, struct buf *out)
{
    const struct json *one = json_first(conversation);

    while (index-- > 0)
        one = json_next(one);
    json_put_value(out, NULL, json_get(one, "response"));
}

static struct json *parse_recorded(size_t index, const char *type)
{
    struct buf text = {0};
    struct json *answer;
    struct err e;

    put_recorded(index, &text);
    answer = gateway_message_parse(buf_str(&text), type, &e);
    if (answer == NULL)
        fail_msg("%s", e.msg);
    buf_free(&text);
    return answer;
}

static void test_recorded_answers(void **state)
{
    struct gateway_client client = {0};
    struct gateway_upload upload = {0};
    struct gateway_file file = {0};
    struct json *answer;
    char *proxy_url;
    struct err e;

    (void)state;
    answer = parse_recorded(0, "getClientInfo");
    assert_int_equal(gateway_message_read_client(answer, &client, &e), 0);
    assert_true(client.is_found);
    assert_string_equal(client.owner_id, "o");
    assert_string_equal(client.label, "l");
    gateway_client_deinit(&client);
    json_free(answer);

    answer = parse_recorded(1, "initiateFileUpload");
    assert_int_equal(gateway_message_read_upload(answer, &upload, &e), 0);
    assert_false(upload.already_exists);
    assert_string_equal(upload.object_key,
                        "sha1/b7/3f/2f/b73f2f5122d2c383393751b3afd805d74e079765");
    assert_non_null(strstr(upload.url, "X-Amz-Expires=1800"));
    gateway_upload_deinit(&upload);
    json_free(answer);

    answer = parse_recorded(4, "initiateFileUpload");
    assert_int_equal(gateway_message_read_upload(answer, &upload, &e), 0);
    assert_true(upload.already_exists);
    assert_null(upload.url);
    gateway_upload_deinit(&upload);
    json_free(answer);

    answer = parse_recorded(5, "findFile");
    assert_int_equal(gateway_message_read_file(answer, &file, &e), 0);
    assert_true(file.is_found);
    assert_int_equal(file.size, 16);
    assert_non_null(strstr(file.url, "X-Amz-Expires=3600"));
    assert_string_equal(
        file.answer, "{\"type\":\"findFile\",\"found\":true,\"size\":16,"
                     "\"bucketUri\":\"r2://kachery?region=auto\","
                     "\"objectKey\":\"sha1/b7/3f/2f/b73f2f5122d2c383393751b3afd805d74e079765\","
                     "\"cacheHit\":true}");
    gateway_file_deinit(&file);
    json_free(answer);

    answer = parse_recorded(6, "findFile");
    assert_int_equal(gateway_message_read_file(answer, &file, &e), 0);
    assert_false(file.is_found);
    assert_int_equal(file.size, -1);
    assert_null(file.url);
    gateway_file_deinit(&file);
    json_free(answer);

    answer = parse_recorded(7, "getResourceInfo");
    assert_int_equal(gateway_message_read_resource(answer, &proxy_url, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    json_free(answer);
}

enum reader { FILE_ANSWER, UPLOAD_ANSWER, CLIENT_ANSWER, RESOURCE_ANSWER };

static const struct {
    const char *name;
    enum reader reader;
    const char *type, *text;
    bool is_right;
} answers[] = {
    {"file: unknown fields", FILE_ANSWER, "findFile",
     "{\"new\":[{}],\"type\":\"findFile\",\"found\":true,\"size\":1}", true},
    {"file: nulls", FILE_ANSWER, "findFile",
     "{\"type\":\"findFile\",\"found\":false,\"size\":null,\"url\":null}", true},
    {"file: size 5.0", FILE_ANSWER, "findFile",
     "{\"type\":\"findFile\",\"found\":true,\"size\":5.0}", true},
    {"file: no found", FILE_ANSWER, "findFile", "{\"type\":\"findFile\"}", false},
    {"file: found is text", FILE_ANSWER, "findFile", "{\"type\":\"findFile\",\"found\":\"yes\"}",
     false},
    {"file: negative size", FILE_ANSWER, "findFile",
     "{\"type\":\"findFile\",\"found\":true,\"size\":-1}", false},
    {"file: size is text", FILE_ANSWER, "findFile",
     "{\"type\":\"findFile\",\"found\":true,\"size\":\"1\"}", false},
    {"file: fractional size", FILE_ANSWER, "findFile",
     "{\"type\":\"findFile\",\"found\":true,\"size\":1.5}", false},
    {"file: url is a number", FILE_ANSWER, "findFile",
     "{\"type\":\"findFile\",\"found\":true,\"url\":1}", false},
    {"file: another type", FILE_ANSWER, "findFile", "{\"type\":\"other\",\"found\":true}", false},
    {"file: no type", FILE_ANSWER, "findFile", "{\"found\":true}", false},
    {"file: array", FILE_ANSWER, "findFile", "[]", false},
    {"file: page", FILE_ANSWER, "findFile", "<html></html>", false},
    {"file: empty", FILE_ANSWER, "findFile", "", false},
    {"upload: pending", UPLOAD_ANSWER, "initiateFileUpload",
     "{\"type\":\"initiateFileUpload\",\"alreadyPending\":true}", true},
    {"upload: no URL", UPLOAD_ANSWER, "initiateFileUpload",
     "{\"type\":\"initiateFileUpload\",\"objectKey\":\"k\"}", false},
    {"upload: no key", UPLOAD_ANSWER, "initiateFileUpload",
     "{\"type\":\"initiateFileUpload\",\"signedUploadUrl\":\"http://x/\"}", false},
    {"upload: empty key", UPLOAD_ANSWER, "initiateFileUpload",
     "{\"type\":\"initiateFileUpload\",\"objectKey\":\"\",\"signedUploadUrl\":\"http://x/\"}",
     false},
    {"upload: key that cannot be signed", UPLOAD_ANSWER, "initiateFileUpload",
     "{\"type\":\"initiateFileUpload\",\"objectKey\":\"\\u00e4\",\"signedUploadUrl\":\"http://x\"}",
     false},
    {"upload: exists is a number", UPLOAD_ANSWER, "initiateFileUpload",
     "{\"type\":\"initiateFileUpload\",\"alreadyExists\":1}", false},
    {"client: not found", CLIENT_ANSWER, "getClientInfo",
     "{\"type\":\"getClientInfo\",\"found\":false}", true},
    {"client: found without details", CLIENT_ANSWER, "getClientInfo",
     "{\"type\":\"getClientInfo\",\"found\":true}", true},
    {"client: label is a number", CLIENT_ANSWER, "getClientInfo",
     "{\"type\":\"getClientInfo\",\"found\":true,\"client\":{\"label\":5}}", false},
    {"resource: without URL", RESOURCE_ANSWER, "getResourceInfo",
     "{\"type\":\"getResourceInfo\",\"found\":true,\"resource\":{}}", false},
    {"resource: without resource", RESOURCE_ANSWER, "getResourceInfo",
     "{\"type\":\"getResourceInfo\",\"found\":true}", false},
};

static bool read_answer(enum reader reader, const struct json *answer, struct err *e)
{
    struct gateway_client client = {0};
    struct gateway_upload upload = {0};
    struct gateway_file file = {0};
    char *proxy_url = NULL;
    int result = -1;

    switch (reader) {
    case FILE_ANSWER: result = gateway_message_read_file(answer, &file, e); break;
    case UPLOAD_ANSWER: result = gateway_message_read_upload(answer, &upload, e); break;
    case CLIENT_ANSWER: result = gateway_message_read_client(answer, &client, e); break;
    case RESOURCE_ANSWER: result = gateway_message_read_resource(answer, &proxy_url, e); break;
    }
    gateway_client_deinit(&client);
    gateway_upload_deinit(&upload);
    gateway_file_deinit(&file);
    free(proxy_url);
    return result == 0;
}

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(answers); i++) {
        struct err e = {0};
        struct json *answer = gateway_message_parse(str_of(answers[i].text), answers[i].type, &e);
        bool is_right = answer != NULL && read_answer(answers[i].reader, answer, &e);

        unit_true(answers[i].name, is_right == answers[i].is_right);
        unit_true(answers[i].name, is_right || e.code == ERR_PROTOCOL);
        json_free(answer);
    }
}

static void test_proxy_url(void **state)
{
    struct json *answer = gateway_message_parse(
        STR("{\"type\":\"getResourceInfo\",\"found\":true,"
            "\"resource\":{\"proxyUrl\":\"wss://proxy.example//\",\"ownerId\":\"o\"}}"),
        "getResourceInfo", ERR_IGNORED);
    char *proxy_url = NULL;

    (void)state;
    assert_int_equal(gateway_message_read_resource(answer, &proxy_url, ERR_IGNORED), 0);
    assert_string_equal(proxy_url, "wss://proxy.example");
    free(proxy_url);
    json_free(answer);
}

static const struct {
    const char *name;
    int status;
    const char *text, *message;
    enum err_code code;
} refusals[] = {
    {"reason", 500, "Error: Client not registered. Use kachery-cloud-init to register.",
     "Client not registered. Use kachery-cloud-init to register. (or: kachery-resource register)",
     ERR_REFUSED},
    {"zone", 500, "Error: Zone not found: x",
     "Zone not found: x (see KACHERY_ZONE; for share, kacheryZone in its config)", ERR_REFUSED},
    {"recorded", 500, "Error: Error getting metadata for object: null",
     "Error getting metadata for object: null", ERR_REFUSED},
    {"echo of the request", 400, "Invalid request: {\"payload\":{},\"signature\":\"ab\"}",
     "Invalid request", ERR_REFUSED},
    {"words about the request", 400, "Invalid request: want an integer timestamp",
     "Invalid request: want an integer timestamp", ERR_REFUSED},
    {"one line", 500, "Error: first\nsecond", "first", ERR_REFUSED},
    {"control bytes", 500, "Error: a\x1b[31mb", "a\\x1b[31mb", ERR_REFUSED},
    {"500 without a reason", 500, "", "500 Internal Server Error", ERR_NETWORK},
    {"500 of somebody else", 500, "A server error has occurred\n\nFUNCTION_FAILED",
     "500 Internal Server Error: A server error has occurred", ERR_NETWORK},
    {"page", 502, "<html>Bad Gateway</html>", "502 Bad Gateway", ERR_NETWORK},
    {"not UTF-8", 500, "Error: \xff", "500 Internal Server Error", ERR_NETWORK},
    {"unavailable", 503, "try later", "503 Service Unavailable: try later", ERR_NETWORK},
    {"too many", 429, "", "429 Too Many Requests", ERR_NETWORK},
    {"not there", 404, "<!DOCTYPE html>", "404 Not Found", ERR_REFUSED},
    {"no method", 405, "", "405 Method Not Allowed", ERR_REFUSED},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(refusals); i++) {
        struct err e = {0};

        gateway_message_refusal(refusals[i].status, str_of(refusals[i].text), &e);
        unit_equal(refusals[i].name, e.msg, refusals[i].message);
        unit_true(refusals[i].name, e.code == refusals[i].code);
    }
}

/* A long reason is cut between characters. */
static void test_long_reason(void **state)
{
    struct buf text = {0};
    struct err e;

    (void)state;
    buf_puts(&text, "Error: x");
    for (int i = 0; i < 300; i++)
        buf_puts(&text, "\xc3\xa4");
    gateway_message_refusal(500, buf_str(&text), &e);
    assert_int_equal(strlen(e.msg), GATEWAY_MAX_REASON_BYTES - 1);
    assert_true(str_is_utf8(str_of(e.msg)));
    buf_free(&text);
}

static void test_skew(void **state)
{
    (void)state;
    assert_int_equal(gateway_message_skew(-1, 1000000), 0);
    assert_int_equal(gateway_message_skew(1000000, 1000000), 0);
    assert_int_equal(gateway_message_skew(1060000, 1000000), 0);
    assert_int_equal(gateway_message_skew(1061000, 1000000), 61000);
    assert_int_equal(gateway_message_skew(939000, 1000000), -61000);
}

static int group_setup(void **state)
{
    (void)state;
    conversation = read_vectors("tests/vectors/gateway_conversation.json");
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    json_free(conversation);
    return 0;
}

static const struct secure_case {
    const char *name, *gateway, *url, *want; /* NULL: left as it is */
} secure_cases[] = {
    {"default ports", "https://h", "http://h/bucket/k?x=1", "https://h/bucket/k?x=1"},
    {"one port", "https://h:8443", "http://h:8443/b", "https://h:8443/b"},
    {"a front that passes no port on", "https://h:8443", "http://h/b", "https://h:8443/b"},
    {"port told", "https://h", "http://h:443/b", "https://h/b"},
    {"case", "https://Host.example", "http://hOST.example/b", "https://Host.example/b"},
    {"v6", "https://[::1]:9", "http://[::1]:9/b", "https://[::1]:9/b"},
    {"base path", "https://h/zone", "http://h/zone/b", "https://h/zone/b"},
    {"nothing behind", "https://h", "http://h", "https://h"},
    {"https already", "https://h", "https://h/b", NULL},
    {"plain gateway", "http://h", "http://h/b", NULL},
    {"another host", "https://h", "http://h.example/b", NULL},
    {"another port: a server of its own", "https://h", "http://h:9000/b", NULL},
    {"another port of a port", "https://h:8443", "http://h:443/b", NULL},
    {"user", "https://h", "http://u@h/b", NULL},
    {"websocket", "https://h", "ws://h/b", NULL},
    {"no URL", "https://h", "h/b", NULL},
};

static void test_secure_url(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(secure_cases); i++) {
        const struct secure_case *c = &secure_cases[i];
        struct buf out = {0};
        bool is_one = gateway_message_put_secure_url(str_of(c->url), str_of(c->gateway), &out);
        unit_true(c->name, is_one == (c->want != NULL));
        unit_equal(c->name, buf_cstr(&out), c->want == NULL ? "" : c->want);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_requests), cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_clock_before_1970),
        cmocka_unit_test(test_recorded_answers),  cmocka_unit_test(test_answers),
        cmocka_unit_test(test_proxy_url),         cmocka_unit_test(test_secure_url),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_reason),       cmocka_unit_test(test_skew),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
