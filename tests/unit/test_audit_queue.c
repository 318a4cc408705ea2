/* Lines of the audit on their way to the keeper, and what they look like. */
#include "unit.h"

#include "base/buf.h"
#include "daemon/audit.h"
#include "daemon/audit_queue.h"

static void add(struct audit_queue *q, const char *line)
{
    struct buf b = {0};

    buf_puts(&b, line);
    audit_queue_add(q, &b);
    buf_free(&b);
}

static void expect(struct audit_queue *q, const char *lines, uint64_t lost)
{
    struct str got = STR("");
    uint64_t got_lost = 0;

    unit_true(lines, audit_queue_next(q, &got, &got_lost));
    unit_equal_str(lines, got, str_of(lines));
    unit_true(lines, got_lost == lost);
}

static bool has_next(struct audit_queue *q)
{
    struct str lines;
    uint64_t lost;

    return audit_queue_next(q, &lines, &lost);
}

/* One batch at a time, in order; a lost keeper's goes to the next one. */
static void test_order(void **state)
{
    struct audit_queue q = {.first = 0};

    (void)state;
    assert_false(has_next(&q));
    add(&q, "a\n");
    expect(&q, "a\n", 0);
    add(&q, "b\n");
    add(&q, "c\n");
    assert_false(has_next(&q));
    audit_queue_again(&q);
    expect(&q, "a\nb\nc\n", 0);
    add(&q, "d\n");
    audit_queue_done(&q, 0);
    expect(&q, "d\n", 0);
    audit_queue_done(&q, 0);
    assert_true(audit_queue_is_empty(&q));
    audit_queue_done(&q, 5); /* of nothing */
    assert_true(audit_queue_is_empty(&q));
    audit_queue_deinit(&q);
}

/* What was not written is counted until a line has said so. */
static void test_lost(void **state)
{
    struct audit_queue q = {.first = 0};

    (void)state;
    add(&q, "a\n");
    add(&q, "b\n");
    expect(&q, "a\nb\n", 0);
    audit_queue_done(&q, 2);
    expect(&q, "", 2);
    add(&q, "c\n");
    audit_queue_done(&q, 2);
    expect(&q, "c\n", 2);
    audit_queue_done(&q, 99); /* more than there were */
    assert_int_equal(q.lost, 3);
    expect(&q, "", 3);
    audit_queue_done(&q, 0);
    assert_true(audit_queue_is_empty(&q));
    audit_queue_deinit(&q);
}

/* Bounded: batches, lines, all of it. */
static void test_bounds(void **state)
{
    struct audit_queue q = {.first = 0};
    char line[1001];
    struct str got;
    uint64_t lost, count = AUDIT_QUEUE_BYTES / 1000 + 10, written = 0;
    struct buf large = {0}, failed = {.failed = true};

    (void)state;
    memset(line, 'x', sizeof line);
    line[999] = '\n';
    line[1000] = '\0';
    for (uint64_t i = 0; i < count; i++)
        add(&q, line);
    for (int i = 0; i < AUDIT_QUEUE_LINE; i++)
        buf_putc(&large, 'x');
    buf_putc(&large, '\n');
    audit_queue_add(&q, &large);
    audit_queue_add(&q, &failed);
    assert_int_equal(q.lost, 12);
    while (audit_queue_next(&q, &got, &lost)) {
        assert_true(got.len <= AUDIT_QUEUE_BATCH);
        written += got.len / 1000;
        audit_queue_done(&q, 0);
    }
    assert_int_equal(written, AUDIT_QUEUE_BYTES / 1000);
    buf_free(&large);
    audit_queue_deinit(&q);
}

static void test_lines(void **state)
{
    const struct audit_event whole = {.event = "upload",
                                      .hash = STR("aa"),
                                      .path = STR("/d/\xff \"q\".nwb"),
                                      .outcome = STR("failed"),
                                      .reason = STR("it is gone"),
                                      .asker = STR("::1"),
                                      .size = 7,
                                      .bytes = 0,
                                      .ms = 1500};
    const struct audit_event little = {.event = "request",
                                       .outcome = STR("error"),
                                       .size = AUDIT_UNKNOWN,
                                       .bytes = AUDIT_UNKNOWN};
    struct buf out = {0};

    (void)state;
    audit_put(&out, 1764284400007, &whole);
    audit_put(&out, 0, &little);
    audit_put_lost(&out, 999, 12);
    unit_equal("lines", buf_cstr(&out),
               "{\"time\":\"2025-11-27T23:00:00.007Z\",\"event\":\"upload\",\"hash\":\"aa\","
               "\"path\":\"/d/\\udcff \\\"q\\\".nwb\",\"size\":7,\"bytes\":0,"
               "\"outcome\":\"failed\",\"seconds\":1.5,\"asker\":\"::1\","
               "\"reason\":\"it is gone\"}\n"
               "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"request\",\"hash\":null,"
               "\"path\":null,\"size\":null,\"bytes\":null,\"outcome\":\"error\","
               "\"seconds\":0.0,\"asker\":null}\n"
               "{\"time\":\"1970-01-01T00:00:00.999Z\",\"event\":\"lost\",\"lines\":12}\n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
