#include "zone/retry.h"

#include <stdlib.h>

#include "base/clock.h"
#include "proto/http_head.h"
#include "unit.h"

static const struct patience patience = {
    .pause_min_ms = 500, .pause_max_ms = 30000, .retry_after_ms = 120000, .attempts = 3};

static void pauses(void **state)
{
    static const struct {
        const char *name;
        int64_t failures, after_ms, min, max;
    } cases[] = {
        {"first", 1, -1, 250, 500},
        {"second", 2, -1, 500, 1000},
        {"seventh", 7, -1, 15000, 30000},
        {"hundredth", 100, -1, 15000, 30000},
        {"asked for less", 7, 100, 15000, 30000},
        {"asked for nothing", 1, 0, 250, 500},
        {"asked for more", 1, 7000, 7000, 7000},
        {"asked for too much", 1, INT64_MAX, 120000, 120000},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct retry r = {
            .patience = &patience, .failures = cases[i].failures, .after_ms = cases[i].after_ms};
        int64_t least = INT64_MAX, most = 0;
        for (uint64_t random = 0; random < 100000; random++) {
            int64_t pause = retry_pause_ms(&r, random);
            least = pause < least ? pause : least;
            most = pause > most ? pause : most;
        }
        unit_true(cases[i].name, least == cases[i].min && most == cases[i].max);
    }
}

static void no_pause_at_all(void **state)
{
    static const struct patience none = {.pause_max_ms = 30000};
    struct retry r = {.patience = &none, .failures = 5, .after_ms = -1};

    (void)state;
    assert_int_equal(retry_pause_ms(&r, UINT64_MAX), 0);
}

static void retry_after(void **state)
{
#define NOW 784111777000 /* Sun, 06 Nov 1994 08:49:37 GMT */
    static const struct {
        const char *value;
        int64_t want;
    } cases[] = {
        {"0", 0},
        {"120", 120000},
        {"9223372036854775", INT64_C(9223372036854775000)},
        {"9223372036854776", -1},
        {"-1", -1},
        {"1.5", -1},
        {"", -1},
        {"soon", -1},
        {"Sun, 06 Nov 1994 08:50:37 GMT", 60000},
        {"Sunday, 06-Nov-94 08:50:37 GMT", 60000},
        {"Sun Nov  6 08:50:37 1994", 60000},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
        {"Sun, 06 Nov 1994 08:00:00 GMT", 0},
        {"Sun, 06 Nov 1994", -1},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        unit_true(cases[i].value,
                  http_head_parse_retry_after(str_of(cases[i].value), NOW) == cases[i].want);
}

/* A date is of the sender's clock, however wrong ours (or its) is. */
static void the_senders_clock_counts(void **state)
{
    struct http_head head = {
        .header_count = 2,
        .headers = {{STR("Date"), STR("Sun, 06 Nov 1994 08:49:37 GMT")},
                    {STR("Retry-After"), STR("Sun, 06 Nov 1994 08:49:45 GMT")}}};
    static const struct zone_watch watch = {0};
    struct retry r;

    (void)state;
    retry_init(&r, &patience, &watch, CLOCK_NEVER_MS);
    assert_int_equal(r.after_ms, -1);
    retry_note_answer(&r, &head);
    assert_int_equal(r.after_ms, 8000);
    head.header_count = 1;
    retry_note_answer(&r, &head);
    assert_int_equal(r.after_ms, -1);
}

struct story {
    unsigned notes, questions, cancel_at;
    char last[300];
};

static void take_note(void *ctx, const char *text)
{
    struct story *s = ctx;

    s->notes++;
    snprintf(s->last, sizeof s->last, "%s", text);
}

static bool ask(void *ctx)
{
    struct story *s = ctx;

    return ++s->questions == s->cancel_at;
}

static void attempts_end(void **state)
{
    static const struct patience quick = {.pause_min_ms = 1, .pause_max_ms = 1, .attempts = 3};
    struct story story = {0};
    struct zone_watch watch = {.on_note = take_note, .ctx = &story};
    struct retry r;
    struct err e = {0};

    (void)state;
    retry_init(&r, &quick, &watch, CLOCK_NEVER_MS);
    for (int i = 0; i < 2; i++) {
        err_set(&e, ERR_NETWORK, "no %d", i);
        assert_int_equal(retry_again(&r, &e), 0);
    }
    assert_int_equal(story.notes, 2);
    unit_equal("note", story.last, "no 1; again in 0.0 s");
    retry_got_further(&r);
    err_set(&e, ERR_TIMEOUT, "late");
    assert_int_equal(retry_again(&r, &e), 0);
    assert_int_equal(retry_again(&r, &e), 0);
    assert_int_equal(retry_again(&r, &e), -1);
    unit_equal("told", e.msg, "after 5 attempts: late");
    assert_int_equal(e.code, ERR_TIMEOUT);

    retry_init(&r, &quick, &watch, clock_now_ms());
    err_set(&e, ERR_NETWORK, "no");
    r.after_ms = 0;
    while (clock_now_ms() == r.until_ms)
        continue;
    assert_int_equal(retry_again(&r, &e), -1);
    unit_equal("one attempt is not counted", e.msg, "no");

    retry_init(&r, &quick, &watch, clock_now_ms() - 1000);
    r.least = 2;
    err_set(&e, ERR_TIMEOUT, "silent");
    assert_int_equal(retry_again(&r, &e), 0);
    assert_int_equal(retry_again(&r, &e), -1);
}

static void what_is_not_repeated(void **state)
{
    static const enum err_code codes[] = {ERR_FAILED,   ERR_USAGE,     ERR_NOT_FOUND, ERR_REFUSED,
                                          ERR_PROTOCOL, ERR_TOO_LARGE, ERR_CHANGED};
    static const struct zone_watch watch = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(codes); i++) {
        struct retry r;
        struct err e = {0};
        retry_init(&r, &patience, &watch, CLOCK_NEVER_MS);
        err_set(&e, codes[i], "no");
        assert_int_equal(retry_again(&r, &e), -1);
        unit_equal("as it was", e.msg, "no");
    }
}

static void pauses_are_cancelled(void **state)
{
    static const struct patience slow = {
        .pause_min_ms = 600000, .pause_max_ms = 600000, .attempts = 3};
    struct story story = {.cancel_at = 3};
    struct zone_watch watch = {.is_cancelled = ask, .ctx = &story};
    struct retry r;
    struct err e = {0};

    (void)state;
    retry_init(&r, &slow, &watch, CLOCK_NEVER_MS);
    err_set(&e, ERR_NETWORK, "no");
    assert_int_equal(retry_again(&r, &e), -1);
    unit_equal("cancelled", e.msg, "cancelled");
    assert_int_equal(e.code, ERR_FAILED);
    assert_int_equal(story.questions, 3);
}

static void intervals_can_be_changed(void **state)
{
    struct patience p;
    struct err e = {0};

    (void)state;
    setenv("KACHERY_RESOURCE_TEST_PATIENCE", "stall_ms=5,attempts=7", 1);
    assert_int_equal(patience_load(&p, &e), 0);
    assert_int_equal(p.stall_ms, 5);
    assert_int_equal(p.attempts, 7);
    assert_int_equal(p.expect_ms, 1000);
    setenv("KACHERY_RESOURCE_TEST_PATIENCE", "stall=5", 1);
    assert_int_equal(patience_load(&p, &e), -1);
    unit_equal("bad", e.msg,
               "KACHERY_RESOURCE_TEST_PATIENCE: interval \"stall=5\": want NAME=MILLISECONDS");
    unsetenv("KACHERY_RESOURCE_TEST_PATIENCE");
    assert_int_equal(patience_load(&p, &e), 0);
    assert_int_equal(p.stall_ms, 60000);
}

/* A line that is down for a while does not use the attempts up: both limits must be reached. */
static void a_lost_line_is_waited_for(void **state)
{
    static const struct patience short_pauses = {.attempts = 2, .lost_ms = 60000};
    static const struct zone_watch watch = {0};
    struct retry r;
    struct err e;

    (void)state;
    retry_init(&r, &short_pauses, &watch, CLOCK_NEVER_MS);
    for (int i = 0; i < 20; i++) {
        err_set(&e, ERR_NETWORK, "lost");
        assert_int_equal(retry_again(&r, &e), 0);
    }
    r.further_ms -= 60000;
    err_set(&e, ERR_NETWORK, "lost");
    assert_int_equal(retry_again(&r, &e), -1);
    unit_equal("said", e.msg, "after 21 attempts: lost");
    retry_got_further(&r);
    err_set(&e, ERR_NETWORK, "lost");
    assert_int_equal(retry_again(&r, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses),
        cmocka_unit_test(a_lost_line_is_waited_for),
        cmocka_unit_test(no_pause_at_all),
        cmocka_unit_test(retry_after),
        cmocka_unit_test(the_senders_clock_counts),
        cmocka_unit_test(attempts_end),
        cmocka_unit_test(what_is_not_repeated),
        cmocka_unit_test(pauses_are_cancelled),
        cmocka_unit_test(intervals_can_be_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
