/* Messages between client, proxy and daemon. What was parsed is told in words and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "proto/message.h"

#define URI "sha1://17a56544527b002eff0fc7ba16070df264d943c0"
#define REQUEST2                                                                                   \
    "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"zone\":\"z\",\"request\":"           \
    "{\"type\":\"fileUpload\",\"uri\":\"" URI "\",\"timeoutMsec\":5000},\"timeoutMsec\":10000}"

static void put_word(struct buf *out, const char *key, struct str value, bool is_there)
{
    if (is_there)
        buf_printf(out, " %s=%.*s", key, STR_ARG(value));
}

static void put_count(struct buf *out, const char *key, int64_t value)
{
    if (value != MESSAGE_ABSENT)
        buf_printf(out, " %s=%lld", key, (long long)value);
}

static void describe_response(struct buf *out, const struct message *m)
{
    put_word(out, "id", m->request_id, m->has_request_id);
    if (m->has_status) {
        buf_printf(out, " %s", message_state_name(m->status.state));
        put_count(out, "size", m->status.size);
        put_count(out, "uploaded", m->status.bytes_uploaded);
        put_count(out, "requested", m->status.requested_ms);
        put_count(out, "started", m->status.started_ms);
        put_count(out, "completed", m->status.completed_ms);
        put_word(out, "cause", m->status.error, m->status.error.len > 0);
    }
    put_word(out, "error", m->error, m->has_error);
}

static void describe(struct buf *out, const struct message *m)
{
    buf_clear(out);
    switch (m->type) {
    case MESSAGE_INITIALIZE:
        buf_printf(out, "initialize name=%.*s secret=%.*s", STR_ARG(m->resource_name),
                   STR_ARG(m->proxy_secret));
        put_word(out, "zone", m->zone, m->has_zone);
        break;
    case MESSAGE_ACKNOWLEDGE: buf_puts(out, "acknowledge"); break;
    case MESSAGE_REQUEST:
        buf_printf(out, "request name=%.*s uri=%.*s T=%lld t=%lld%s", STR_ARG(m->resource_name),
                   STR_ARG(m->uri), (long long)m->timeout_ms, (long long)m->request_timeout_ms,
                   m->has_request_timeout ? "" : " (default)");
        put_word(out, "zone", m->zone, m->has_zone);
        put_word(out, "id", m->request_id, m->has_request_id);
        break;
    case MESSAGE_RESPONSE:
        buf_puts(out, "response");
        describe_response(out, m);
        break;
    case MESSAGE_CANCEL: buf_printf(out, "cancel id=%.*s", STR_ARG(m->request_id)); break;
    case MESSAGE_PING: buf_puts(out, "ping"); break;
    case MESSAGE_UNKNOWN: buf_puts(out, "unknown"); break;
    }
}

static const struct parse_case {
    const char *name, *text;
    const char *want; /* a description, or "! " and what the error says */
} parse_cases[] = {
    {"generation 2 request", REQUEST2, "request name=r uri=" URI " T=10000 t=5000 zone=z"},
    {"with a requestId",
     "{\"type\":\"requestFromClient\",\"requestId\":\"abc\",\"resourceName\":\"r\",\"zone\":\"z\","
     "\"request\":{\"type\":\"fileUpload\",\"uri\":\"u\",\"timeoutMsec\":1},\"timeoutMsec\":2}",
     "request name=r uri=u T=2 t=1 zone=z id=abc"},
    {"with an empty requestId",
     "{\"type\":\"requestFromClient\",\"requestId\":\"\",\"resourceName\":\"r\",\"zone\":\"z\","
     "\"request\":{\"type\":\"fileUpload\",\"uri\":\"u\",\"timeoutMsec\":1},\"timeoutMsec\":2}",
     "request name=r uri=u T=2 t=1 zone=z id="},
    {"generation 1 request",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":{\"type\":\"fileUpload\","
     "\"uri\":\"u\"},\"timeoutMsec\":5000}",
     "request name=r uri=u T=5000 t=10000 (default)"},
    {"members in another order, white space",
     " { \"timeoutMsec\" : 2 , \"request\" : { \"uri\" : \"u\" , \"type\" : \"fileUpload\" } ,\n"
     "\"resourceName\" : \"r\" , \"type\" : \"requestFromClient\" } ",
     "request name=r uri=u T=2 t=10000 (default)"},
    {"fractional numbers",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"zone\":\"z\",\"request\":{\"type\":"
     "\"fileUpload\",\"uri\":\"u\",\"timeoutMsec\":10.0},\"timeoutMsec\":5010.999}",
     "request name=r uri=u T=5010 t=10 zone=z"},
    {"exponents",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"zone\":\"z\",\"request\":{\"type\":"
     "\"fileUpload\",\"uri\":\"u\",\"timeoutMsec\":1e3},\"timeoutMsec\":1E-3}",
     "request name=r uri=u T=0 t=1000 zone=z"},
    {"timeouts are capped",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"zone\":\"z\",\"request\":{\"type\":"
     "\"fileUpload\",\"uri\":\"u\",\"timeoutMsec\":-5},\"timeoutMsec\":1e308}",
     "request name=r uri=u T=300000 t=0 zone=z"},
    {"zone without request.timeoutMsec",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"zone\":\"z\",\"request\":{\"type\":"
     "\"fileUpload\",\"uri\":\"u\"},\"timeoutMsec\":1}",
     "! no field \"request.timeoutMsec\""},
    {"request.timeoutMsec without zone",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":{\"type\":\"fileUpload\","
     "\"uri\":\"u\",\"timeoutMsec\":1},\"timeoutMsec\":1}",
     "! no field \"zone\""},
    {"unknown field",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":{\"type\":\"fileUpload\","
     "\"uri\":\"u\"},\"timeoutMsec\":1,\"extra\\n\":1}",
     "! unknown field \"extra\\x0a\""},
    {"unknown field in the request",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":{\"type\":\"fileUpload\","
     "\"uri\":\"u\",\"size\":1},\"timeoutMsec\":1}",
     "! unknown field \"size\""},
    {"no resourceName",
     "{\"type\":\"requestFromClient\",\"request\":{\"type\":\"fileUpload\",\"uri\":\"u\"},"
     "\"timeoutMsec\":1}",
     "! no field \"resourceName\""},
    {"no timeoutMsec",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":{\"type\":\"fileUpload\","
     "\"uri\":\"u\"}}",
     "! no field \"timeoutMsec\""},
    {"no request", "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"timeoutMsec\":1}",
     "! no field \"request\""},
    {"no uri",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":{\"type\":\"fileUpload\"},"
     "\"timeoutMsec\":1}",
     "! no field \"uri\""},
    {"request of another type",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":{\"type\":\"x\",\"uri\":"
     "\"u\"},\"timeoutMsec\":1}",
     "! want type \"fileUpload\", not \"x\""},
    {"timeout as a string",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":{\"type\":\"fileUpload\","
     "\"uri\":\"u\"},\"timeoutMsec\":\"1\"}",
     "! bad value of \"timeoutMsec\""},
    {"zone null",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"zone\":null,\"request\":{\"type\":"
     "\"fileUpload\",\"uri\":\"u\"},\"timeoutMsec\":1}",
     "! bad value of \"zone\""},
    {"request is a list",
     "{\"type\":\"requestFromClient\",\"resourceName\":\"r\",\"request\":[],\"timeoutMsec\":1}",
     "! bad value of \"request\""},
    {"duplicate key", "{\"type\":\"ping\",\"type\":\"ping\"}", "! duplicate"},

    {"generation 2 initialize",
     "{\"type\":\"initialize\",\"resourceName\":\"r\",\"zone\":\"z\",\"proxySecret\":\"s\"}",
     "initialize name=r secret=s zone=z"},
    {"generation 1 initialize",
     "{\"type\":\"initialize\",\"resourceName\":\"r\",\"proxySecret\":\"s\"}",
     "initialize name=r secret=s"},
    {"initialize with empty zone",
     "{\"type\":\"initialize\",\"resourceName\":\"r\",\"zone\":\"\",\"proxySecret\":\"s\"}",
     "initialize name=r secret=s zone="},
    {"initialize without secret", "{\"type\":\"initialize\",\"resourceName\":\"r\"}",
     "! no field \"proxySecret\""},
    {"initialize with more",
     "{\"type\":\"initialize\",\"resourceName\":\"r\",\"proxySecret\":\"s\",\"version\":1}",
     "! unknown field \"version\""},
    {"acknowledge", "{\"type\":\"acknowledge\"}", "acknowledge"},
    {"acknowledge with more", "{\"type\":\"acknowledge\",\"a\":1}", "! unknown field \"a\""},
    {"ping", "{\"type\":\"ping\"}", "ping"},
    {"cancel", "{\"type\":\"cancelRequestFromClient\",\"requestId\":\"i\"}", "cancel id=i"},
    {"cancel without id", "{\"type\":\"cancelRequestFromClient\"}", "! no field \"requestId\""},
    {"unknown type", "{\"type\":\"streamRange\",\"what\":[1]}", "unknown"},

    {"response",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"running\",\"size\":16,\"bytesUploaded\":3,\"timestampRequested\":1,"
     "\"timestampStarted\":2}}}",
     "response id=i running size=16 uploaded=3 requested=1 started=2"},
    {"not found",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"not-found\"}}}",
     "response id=i not-found"},
    {"status error",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"error\",\"error\":\"no\"}}}",
     "response id=i error cause=no"},
    {"failure",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{},\"error\":\"no\"}",
     "response id=i error=no"},
    {"empty response", "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{}}",
     "response id=i"},
    {"largest size, fraction",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"queued\",\"size\":9007199254740991,\"bytesUploaded\":0.5}}}",
     "response id=i queued size=9007199254740991 uploaded=0"},
    {"size too large",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"queued\",\"size\":9007199254740993}}}",
     "! bad value of \"size\""},
    {"negative size",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"queued\",\"size\":-1}}}",
     "! bad value of \"size\""},
    {"unknown status",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"lost\"}}}",
     "! unknown status \"lost\""},
    {"status without status",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{}}}",
     "! no field \"status\""},
    {"response of another type",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"x\",\"status\":"
     "{\"status\":\"queued\"}}}",
     "! want type \"fileUpload\""},
    {"response without id", "{\"type\":\"responseToClient\",\"response\":{}}",
     "! no field \"requestId\""},
    {"unknown field in the status",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"queued\",\"path\":\"p\"}}}",
     "! unknown field \"path\""},

    {"not JSON", "hello", "! malformed JSON"},
    {"empty", "", "! malformed JSON"},
    {"list", "[]", "! want an object"},
    {"no type", "{}", "! no string field \"type\""},
    {"type is a number", "{\"type\":1}", "! no string field \"type\""},
    {"text behind", "{\"type\":\"ping\"}x", "! malformed JSON"},
    {"not UTF-8", "{\"type\":\"\xff\"}", "! malformed JSON"},
};

static const struct parse_case answer_cases[] = {
    {"envelope",
     "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":\"fileUpload\","
     "\"status\":{\"status\":\"queued\"}}}",
     "response id=i queued"},
    {"envelope with error",
     "{\"type\":\"responseToClient\",\"requestId\":\"\",\"response\":{},\"error\":\"no\"}",
     "response id= error=no"},
    {"bare",
     "{\"type\":\"fileUpload\",\"status\":{\"status\":\"completed\",\"size\":16,\"bytesUploaded\":"
     "16,"
     "\"timestampRequested\":1795337120782,\"timestampStarted\":1795337120782,"
     "\"timestampCompleted\":1795337120999}}",
     "response completed size=16 uploaded=16 requested=1795337120782 started=1795337120782"
     " completed=1795337120999"},
    {"bare not found", "{\"type\":\"fileUpload\",\"status\":{\"status\":\"not-found\"}}",
     "response not-found"},
    {"{}", "{}", "response"},
    {"{} with white space", " { } ", "response"},
    {"message", "{\"message\":\"timeout waiting for response\"}", "! unknown field \"message\""},
    {"other type", "{\"type\":\"ping\"}", "! no field \"status\""},
    {"list", "[]", "! want an object"},
    {"string", "\"{}\"", "! want an object"},
    {"nothing", "", "! malformed JSON"},
    {"HTML", "<!DOCTYPE html>", "! malformed JSON"},
};

static void check(const struct parse_case *c,
                  int (*parse)(struct message *, struct str, struct err *))
{
    struct message m, before;
    struct buf told = {0};
    struct err e = {0};

    memset(&m, 0x5a, sizeof m);
    memcpy(&before, &m, sizeof m);
    if (parse(&m, str_of(c->text), &e) == 0) {
        describe(&told, &m);
        message_deinit(&m);
        if (strcmp(buf_cstr(&told), c->want) != 0)
            fail_msg("%s: %s", c->name, buf_cstr(&told));
    } else {
        if (strncmp(c->want, "! ", 2) != 0 || strstr(e.msg, c->want + 2) == NULL)
            fail_msg("%s: refused: %s", c->name, e.msg);
        assert_int_equal(e.code, ERR_PROTOCOL);
        assert_memory_equal(&m, &before, sizeof m);
    }
    buf_free(&told);
}

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parse_cases / sizeof *parse_cases; i++)
        check(&parse_cases[i], message_parse);
}

static void test_parse_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answer_cases / sizeof *answer_cases; i++)
        check(&answer_cases[i], message_parse_answer);
}

static void test_request_id_limit(void **state)
{
    struct buf text = {0};
    struct message m;
    struct err e = {0};

    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        buf_clear(&text);
        buf_puts(&text, "{\"type\":\"cancelRequestFromClient\",\"requestId\":\"");
        for (int i = 0; i < MESSAGE_MAX_ID_BYTES + extra; i++)
            buf_putc(&text, 'i');
        buf_puts(&text, "\"}");
        assert_int_equal(message_parse(&m, buf_str(&text), &e), -extra);
        if (extra == 0)
            message_deinit(&m);
    }
    buf_free(&text);
}

static const struct patience_case {
    const char *name;
    int64_t timeout_ms, request_timeout_ms, want_ms;
} patience_cases[] = {
    {"t", 10000, 5000, 5000},
    {"T leaves no room", 5000, 5000, 4000},
    {"T is short", 1000, 5000, 500},
    {"T is nothing", 0, 5000, 0},
    {"generation 1: 10 s", 60000, MESSAGE_DEFAULT_TIMEOUT_MS, 10000},
    {"generation 1: less than T", 10000, MESSAGE_DEFAULT_TIMEOUT_MS, 9000},
};

static void test_patience(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof patience_cases / sizeof *patience_cases; i++) {
        const struct patience_case *c = &patience_cases[i];
        struct message m = {.timeout_ms = c->timeout_ms,
                            .request_timeout_ms = c->request_timeout_ms};
        if (message_patience_ms(&m) != c->want_ms)
            fail_msg("%s: %lld", c->name, (long long)message_patience_ms(&m));
    }
}

static void expect_put(struct buf *out, const char *want)
{
    struct message m;
    struct err e = {0};

    assert_string_equal(buf_cstr(out), want);
    if (message_parse(&m, buf_str(out), &e) != 0)
        fail_msg("what we write we refuse: %s", e.msg);
    message_deinit(&m);
    buf_clear(out);
}

static void test_put(void **state)
{
    struct str zone = STR("z");
    struct message_request r = {.resource_name = STR("r"),
                                .uri = STR(URI),
                                .zone = STR("z"),
                                .is_generation2 = true,
                                .timeout_ms = 10000,
                                .request_timeout_ms = 5000};
    struct upload_status status = message_status(UPLOAD_RUNNING);
    struct buf out = {0};

    (void)state;
    message_put_acknowledge(&out);
    expect_put(&out, "{\"type\":\"acknowledge\"}");
    message_put_initialize(&out, STR("r"), &zone, STR("s\""));
    expect_put(&out, "{\"type\":\"initialize\",\"resourceName\":\"r\",\"zone\":\"z\","
                     "\"proxySecret\":\"s\\\"\"}");
    message_put_initialize(&out, STR("r"), NULL, STR("s"));
    expect_put(&out, "{\"type\":\"initialize\",\"resourceName\":\"r\",\"proxySecret\":\"s\"}");
    message_put_request(&out, &r);
    expect_put(&out, REQUEST2);
    r.is_generation2 = false;
    r.request_id = STR("i");
    message_put_request(&out, &r);
    expect_put(&out, "{\"type\":\"requestFromClient\",\"requestId\":\"i\",\"resourceName\":\"r\","
                     "\"request\":{\"type\":\"fileUpload\",\"uri\":\"" URI "\"},"
                     "\"timeoutMsec\":10000}");
    status.size = 16;
    status.bytes_uploaded = 0;
    status.requested_ms = INT64_C(1795337120782);
    status.started_ms = -205000000000; /* a clock before 1970: not said, it would be refused */
    message_put_response(&out, STR("i"), &status, STR(""));
    expect_put(&out, "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":"
                     "\"fileUpload\",\"status\":{\"status\":\"running\",\"size\":16,"
                     "\"bytesUploaded\":0,\"timestampRequested\":1795337120782}}}");
    message_put_response(&out, STR("i"), &status, STR("no"));
    expect_put(&out, "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{},"
                     "\"error\":\"no\"}");
    buf_free(&out);
}

/* A reason that is not UTF-8 would make a deployed proxy close for everybody. */
static void test_put_clean(void **state)
{
    struct upload_status status = message_status(UPLOAD_ERROR);
    struct buf out = {0};

    (void)state;
    status.error = STR("a\xff"
                       "b\n");
    message_put_response(&out, STR("i"), &status, STR(""));
    expect_put(&out, "{\"type\":\"responseToClient\",\"requestId\":\"i\",\"response\":{\"type\":"
                     "\"fileUpload\",\"status\":{\"status\":\"error\",\"error\":\"a\xef\xbf\xbd"
                     "b\\n\"}}}");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_answer),
        cmocka_unit_test(test_request_id_limit),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_put_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
