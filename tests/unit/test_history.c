/* The daemon's memory: weeks that turn, tables that are full, and files that are damaged, foreign
 * or of another version. */
#include "unit.h"

#include "daemon/history.h"

static const int64_t DAY_MS = INT64_C(86400000), NOW_MS = INT64_C(1793693520000);

static void hash_of(char hash[SHA1_HEX + 1], int n)
{
    snprintf(hash, SHA1_HEX + 1, "%040x", (unsigned)n);
}

static void test_week(void **state)
{
    struct week w = {.day = 0};

    (void)state;
    assert_int_equal(week_sum(&w, NOW_MS), 0);
    week_add(&w, NOW_MS);
    week_add(&w, NOW_MS + DAY_MS);
    week_add(&w, NOW_MS + DAY_MS);
    assert_int_equal(week_sum(&w, NOW_MS + DAY_MS), 3);
    assert_int_equal(week_sum(&w, NOW_MS + 6 * DAY_MS), 3);
    assert_int_equal(week_sum(&w, NOW_MS + 7 * DAY_MS), 2);
    assert_int_equal(week_sum(&w, NOW_MS + 8 * DAY_MS), 0);
    week_add(&w, NOW_MS + 400 * DAY_MS);
    assert_int_equal(week_sum(&w, NOW_MS + 400 * DAY_MS), 1);
}

/* Else what was counted in a wrong year would count as of this week until then. */
static void test_a_clock_that_was_in_the_future(void **state)
{
    struct week w = {.day = 0};

    (void)state;
    week_add(&w, NOW_MS + 4000 * DAY_MS);
    week_add(&w, NOW_MS);
    assert_int_equal(week_sum(&w, NOW_MS), 2);
    assert_int_equal(week_sum(&w, NOW_MS + 7 * DAY_MS), 0);
}

static void test_absent(void **state)
{
    struct history h = {.date = 0};
    char hash[SHA1_HEX + 1];

    (void)state;
    for (int n = 0; n < HISTORY_ABSENT; n++) {
        hash_of(hash, n);
        history_add_absent(&h, hash, STR(""), NOW_MS + n);
        if (n != 7)
            history_add_absent(&h, hash, STR("10.0.0.1"), NOW_MS + n);
    }
    assert_int_equal(h.absent[3].count, 2);
    assert_string_equal(h.absent[3].asker, "10.0.0.1");
    hash_of(hash, 1000);
    history_add_absent(&h, hash, STR(""), NOW_MS + DAY_MS);
    assert_int_equal(h.absent_count, HISTORY_ABSENT);
    assert_string_equal(h.absent[7].hash, hash); /* in the place of the least wanted */
    assert_int_equal(h.totals.not_here, 2 * HISTORY_ABSENT);
    assert_string_equal(h.absent[7].asker, "");
    /* The old ones go first, however often they were asked for. */
    hash_of(hash, 1001);
    history_add_absent(&h, hash, STR(""), NOW_MS + (HISTORY_ABSENT_DAYS + 1) * DAY_MS);
    assert_string_equal(h.absent[0].hash, hash);
}

static void test_causes(void **state)
{
    struct history_causes c = {.count = 0};
    char text[300];

    (void)state;
    for (int n = 0; n < HISTORY_CAUSES + 1; n++) {
        snprintf(text, sizeof text, "cause %d", n);
        history_add_cause(&c, text, NOW_MS + n);
    }
    history_add_cause(&c, "cause 3", NOW_MS + DAY_MS);
    assert_int_equal(c.count, HISTORY_CAUSES);
    assert_string_equal(history_last_cause(&c)->text, "cause 3");
    assert_int_equal(week_sum(&history_last_cause(&c)->week, NOW_MS + DAY_MS), 2);
    assert_string_equal(c.items[0].text, "cause 6"); /* in the place of the oldest */
    assert_int_equal(week_sum(&c.all, NOW_MS + DAY_MS), HISTORY_CAUSES + 2);
    memset(text, 'x', sizeof text);
    memcpy(text + HISTORY_CAUSE_BYTES - 2, "\xc3\xa4", 3); /* a character across the limit */
    history_add_cause(&c, text, NOW_MS + 2 * DAY_MS);
    history_add_cause(&c, text, NOW_MS + 2 * DAY_MS);
    assert_int_equal(strlen(history_last_cause(&c)->text), HISTORY_CAUSE_BYTES - 2);
    assert_int_equal(week_sum(&history_last_cause(&c)->week, NOW_MS + 2 * DAY_MS), 2);
}

static void put_file(struct buf *out, const struct history *h)
{
    json_open(out, '{');
    history_put_totals(out, &h->totals);
    history_put_members(out, h);
    json_open_member(out, "processor", '{');
    json_put_int(out, "date", h->date);
    json_put_int(out, "todayMs", h->date_cpu_ms);
    json_close(out, '}');
    json_close(out, '}');
}

static void read_file(struct history *h, const char *text)
{
    struct json *root = json_parse(str_of(text), JSON_STRICT, ERR_IGNORED);

    *h = (struct history){.date = 0};
    history_read(h, root);
    json_free(root);
}

static void test_it_reads_what_it_wrote(void **state)
{
    struct history h = {.totals = {.since_ms = 1, .requests = 2, .completed = 3, .failed = 4,
                                   .changed = 5, .bytes_uploaded = 6, .range_bytes = 7},
                        .date = 20261103,
                        .date_cpu_ms = 8},
                   again;
    struct buf text = {0}, second = {0};
    char hash[SHA1_HEX + 1];

    (void)state;
    hash_of(hash, 5);
    for (int n = 0; n < 9; n++)
        history_add_absent(&h, hash, STR("2001:db8::1"), NOW_MS);
    history_add_cause(&h.ends, "the \"other\" end", NOW_MS);
    history_add_cause(&h.lost, "kachery-upload: killed", NOW_MS);
    put_file(&text, &h);
    read_file(&again, buf_cstr(&text));
    put_file(&second, &again);
    unit_equal("again", buf_cstr(&second), buf_cstr(&text));
    assert_int_equal(again.date_cpu_ms, 8);
    assert_int_equal(again.totals.not_here, 9);
    buf_free(&text);
    buf_free(&second);
}

/* Each leaves out what is bad, and takes the rest. */
static void test_other_files(void **state)
{
    static const struct {
        const char *name, *text;
        int64_t requests;
        size_t absent, ends;
    } files[] = {
        {"no object", "[1]", 0, 0, 0},
        {"empty", "{}", 0, 0, 0},
        {"release 0.1", "{\"totals\":{\"requests\":3,\"completed\":1,\"failed\":0,"
                        "\"bytesUploaded\":7,\"rangeBytes\":0}}", 3, 0, 0},
        {"of a later version", "{\"totals\":{\"requests\":3,\"new\":[]},\"more\":1}", 3, 0, 0},
        {"totals of another type", "{\"totals\":[],\"notHere\":[{\"sha1\":"
         "\"0123456789012345678901234567890123456789\",\"count\":1,\"lastMs\":1}]}", 0, 1, 0},
        {"a count of another type", "{\"totals\":{\"requests\":\"3\"}}", 0, 0, 0},
        {"a negative count", "{\"totals\":{\"requests\":-3}}", 0, 0, 0},
        {"a hash that is none", "{\"notHere\":[{\"sha1\":"
         "\"\\u001b[31m8901234567890123456789012345678901\",\"count\":1,\"lastMs\":1}]}", 0, 0, 0},
        {"a week that is short", "{\"disconnections\":{\"causes\":[{\"cause\":\"x\",\"lastMs\":1,"
         "\"week\":{\"day\":1,\"counts\":[1]}}]}}", 0, 0, 0},
        {"a good week", "{\"disconnections\":{\"causes\":[{\"cause\":\"x\",\"lastMs\":1,"
         "\"week\":{\"day\":1,\"counts\":[1,0,0,0,0,0,0]}}]}}", 0, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(files); i++) {
        struct history h;
        read_file(&h, files[i].text);
        unit_true(files[i].name, h.totals.requests == files[i].requests);
        unit_true(files[i].name, h.absent_count == files[i].absent);
        unit_true(files[i].name, h.ends.count == files[i].ends);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_week),   cmocka_unit_test(test_a_clock_that_was_in_the_future),
        cmocka_unit_test(test_absent), cmocka_unit_test(test_causes),
        cmocka_unit_test(test_it_reads_what_it_wrote), cmocka_unit_test(test_other_files)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
