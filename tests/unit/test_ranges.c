/* The hub between daemons and relays: questions, answers, tickets, and who was here. */
#include "unit.h"

#include <stdlib.h>

#include "proxy/ranges.h"
#include "proxy/relay_note.h"

#define SHA1 "2c65000000000000000000000000000000000000"

static struct loop_clock test_clock = {.jumps = true, .now_ms = 1000};
static struct loop *loop;
static struct ranges *ranges;
static char sent[4096]; /* all messages and notes, a line each */
static char ticket[RANGE_TICKET_DIGITS + 1];

static void note_sent(const char *to, struct str text)
{
    size_t len = strlen(sent);

    snprintf(sent + len, sizeof sent - len, "%s %.*s\n", to, STR_ARG(text));
}

static int send_to_daemon(void *owner, void *session, struct str text)
{
    struct range_message m;
    struct err e = {0};

    (void)owner;
    assert_int_equal(range_message_parse(&m, text, &e), 0);
    if (m.type == RANGE_OPEN_LINE) {
        snprintf(ticket, sizeof ticket, "%.*s", STR_ARG(m.ticket));
        note_sent(session, m.line_class == RANGE_SMALL ? STR("small line") : STR("bulk line"));
    } else {
        note_sent(session, text);
    }
    range_message_deinit(&m);
    return strcmp(session, "deaf") == 0 ? -1 : 0;
}

static int send_to_relay(void *owner, uint64_t relay, uint64_t id, struct str bytes, int fd)
{
    char to[32];

    (void)owner;
    snprintf(to, sizeof to, "relay %u.%u%s", (unsigned)relay, (unsigned)id, fd >= 0 ? "+fd" : "");
    note_sent(to, bytes);
    return 0;
}

static void send_to_finder(void *owner, uint64_t worker, uint64_t id, struct str bytes)
{
    char to[32];

    (void)owner;
    snprintf(to, sizeof to, "finder %u.%u", (unsigned)worker, (unsigned)id);
    note_sent(to, bytes);
}

static void send_to_relays(void *owner, struct str bytes)
{
    (void)owner;
    note_sent("relays", bytes);
}

static int set_up(void **state)
{
    struct ranges_options options = {.start_ms = RANGES_START_MS,
                                     .send_to_daemon = send_to_daemon,
                                     .send_to_relay = send_to_relay,
                                     .send_to_finder = send_to_finder,
                                     .send_to_relays = send_to_relays};
    struct err e = {0};

    (void)state;
    test_clock.now_ms = 1000;
    loop = loop_new(&test_clock, &e);
    options.loop = loop;
    ranges = loop == NULL ? NULL : ranges_new(&options, &e);
    sent[0] = '\0';
    return ranges == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    ranges_free(ranges);
    loop_free(loop);
    return 0;
}

static void nothing(void *owner)
{
    *(bool *)owner = true;
}

static bool is_true(void *owner)
{
    return *(bool *)owner;
}

/* The loop's clock goes on. */
static void pass(int64_t ms)
{
    bool is_over = false;
    struct loop_timer timer = {.call = nothing, .owner = &is_over};
    struct err e = {0};

    loop_set_timer(loop, &timer, loop_now_ms(loop) + ms);
    assert_int_equal(loop_run_until(loop, is_true, &is_over, &e), 0);
}

static void ask(uint64_t relay, uint64_t id)
{
    ranges_on_note(ranges, relay, id,
                   STR("{\"type\":\"ask\",\"sha1\":\"" SHA1 "\",\"zone\":\"z\"}"));
}

static void check_sent(const char *name, const char *want)
{
    unit_equal(name, sent, want);
    sent[0] = '\0';
}

static bool answer(int64_t daemon, int64_t question, enum range_state state)
{
    struct range_message m = range_message(RANGE_FILE_IS);

    m.ask_id = question;
    m.state = state;
    m.size = state == RANGE_FOUND ? 5 : -1;
    return ranges_file_is(ranges, daemon, &m);
}

static void test_questions(void **state)
{
    int64_t a = ranges_joined(ranges, "a", "na", "z"), b = ranges_joined(ranges, "b", "nb", "z");

    (void)state;
    ranges_joined(ranges, "c", "nc", "other zone");
    ranges_joined(ranges, "deaf", "nd", "z");
    pass(RANGES_START_MS);
    ask(7, 70);
    check_sent("asked", "deaf {\"type\":\"askFile\",\"askId\":1,\"sha1\":\"" SHA1 "\"}\n"
                        "b {\"type\":\"askFile\",\"askId\":1,\"sha1\":\"" SHA1 "\"}\n"
                        "a {\"type\":\"askFile\",\"askId\":1,\"sha1\":\"" SHA1 "\"}\n"
                        "relay 7.70 {\"type\":\"asked\",\"asked\":2,\"away\":0}\n");
    assert_true(answer(b, 1, RANGE_FOUND));
    check_sent("found", "relay 7.70 {\"type\":\"is\",\"daemon\":2,\"state\":0,\"size\":5}\n");
    assert_false(answer(b, 1, RANGE_FOUND)); /* twice */
    assert_false(answer(a, 2, RANGE_FOUND)); /* never asked */
    check_sent("nothing", "");
    assert_true(answer(a, 1, RANGE_NOT_FOUND));
    check_sent("not found", "relay 7.70 {\"type\":\"is\",\"daemon\":1,\"state\":1}\n");
    assert_true(answer(a, 1, RANGE_NOT_FOUND)); /* late: the question is gone */
    check_sent("late", "");
}

static void test_leaving(void **state)
{
    int64_t a = ranges_joined(ranges, "a", "na", "z");

    (void)state;
    pass(RANGES_START_MS);
    ask(7, 70);
    sent[0] = '\0';
    ranges_left(ranges, a); /* its answer is an error */
    check_sent("left", "relay 7.70 {\"type\":\"is\",\"daemon\":1,\"state\":4}\n"
                       "relays {\"type\":\"gone\",\"daemon\":1}\n");
    ask(7, 71);
    check_sent("away", "relay 7.71 {\"type\":\"asked\",\"asked\":0,\"away\":1}\n");
    assert_true(ranges_joined(ranges, "a", "na", "z") > a);
    ask(7, 72);
    sent[0] = '\0';
    ranges_left(ranges, a + 1);
    pass(RANGES_AWAY_MS);
    sent[0] = '\0';
    ask(7, 73);
    check_sent("forgotten", "relay 7.73 {\"type\":\"asked\",\"asked\":0,\"away\":0}\n");
}

static void test_start(void **state)
{
    (void)state;
    ask(7, 70); /* daemons of before come back */
    check_sent("just started", "relay 7.70 {\"type\":\"asked\",\"asked\":0,\"away\":1}\n");
}

static void want_line(int64_t daemon, enum range_class line_class)
{
    char note[80];

    snprintf(note, sizeof note, "{\"type\":\"line\",\"daemon\":%d,\"class\":%d}", (int)daemon,
             (int)line_class);
    ranges_on_note(ranges, 7, 0, str_of(note));
}

static void test_lines(void **state)
{
    int64_t a = ranges_joined(ranges, "a", "na", "z");
    char stolen[RANGE_TICKET_DIGITS + 1];

    (void)state;
    want_line(a, RANGE_SMALL);
    check_sent("wanted", "a small line\n");
    assert_false(ranges_take_line(ranges, STR("00000000000000000000000000000000"), 5, STR("")));
    assert_true(ranges_take_line(ranges, str_of(ticket), 5, STR("early\nbytes")));
    check_sent("line", "relay 7.0+fd {\"type\":\"line\",\"daemon\":1,\"class\":1,\"name\":\"na\","
                       "\"zone\":\"z\"}\nearly\nbytes\n");
    assert_false(ranges_take_line(ranges, str_of(ticket), 5, STR(""))); /* once */
    want_line(a, RANGE_BULK);
    strcpy(stolen, ticket);
    pass(RANGES_TICKET_MS);
    assert_false(ranges_take_line(ranges, str_of(stolen), 5, STR(""))); /* too late */
    want_line(a, RANGE_BULK);
    strcpy(stolen, ticket);
    ranges_left(ranges, a);
    assert_false(ranges_take_line(ranges, str_of(stolen), 5, STR(""))); /* its session is over */
    sent[0] = '\0';
    want_line(a, RANGE_BULK);
    check_sent("gone", "relay 7.0 {\"type\":\"no-line\",\"daemon\":1,\"class\":0}\n");
    int64_t deaf = ranges_joined(ranges, "deaf", "nd", "z");
    want_line(deaf, RANGE_BULK);
    check_sent("deaf", "deaf bulk line\n"
                       "relay 7.0 {\"type\":\"no-line\",\"daemon\":2,\"class\":0}\n");
    assert_false(ranges_take_line(ranges, str_of(ticket), 5, STR("")));
}

static void test_many(void **state)
{
    int64_t a = ranges_joined(ranges, "a", "na", "z");

    (void)state;
    for (int i = 0; i < RANGES_MAX_TICKETS; i++) {
        want_line(a, RANGE_BULK);
        check_sent("ticket", "a bulk line\n");
    }
    want_line(a, RANGE_BULK);
    check_sent("no more", "relay 7.0 {\"type\":\"no-line\",\"daemon\":1,\"class\":0}\n");
    for (int i = 0; i < RANGES_MAX_QUESTIONS + 5; i++) {
        ask(7, 1);
        sent[0] = '\0';
    }
    assert_true(answer(a, 3, RANGE_FOUND)); /* pushed out */
    check_sent("pushed out", "");
    assert_true(answer(a, RANGES_MAX_QUESTIONS, RANGE_FOUND));
    assert_int_not_equal(sent[0], '\0');
}

#define ASKED_A "a {\"type\":\"askFile\",\"askId\":%d,\"sha1\":\"" SHA1 "\"}\n"

static void find(uint64_t id, const char *zone)
{
    char note[160];

    snprintf(note, sizeof note, "{\"type\":\"find\",\"sha1\":\"" SHA1 "\",\"zone\":\"%s\"}", zone);
    ranges_find(ranges, 3, id, str_of(note));
}

static void check_asked(const char *name, int question)
{
    char want[160];

    snprintf(want, sizeof want, ASKED_A, question);
    check_sent(name, want);
}

static const char no_file[] = "finder 3.1 {\"type\":\"found\"}\n";
static const char a_file[] = "finder 3.1 {\"type\":\"found\",\"size\":5}\n";

static void test_finding(void **state)
{
    int64_t a, b;

    (void)state;
    find(1, "z");
    check_sent("nobody is here", no_file);
    a = ranges_joined(ranges, "a", "na", "z");
    find(1, "other zone");
    check_sent("nobody of that zone is here", no_file);
    find(1, "z");
    check_asked("asked", 3);
    find(2, "z");
    check_sent("asked already", "");
    assert_true(answer(a, 3, RANGE_FOUND));
    check_sent("found", "finder 3.1 {\"type\":\"found\",\"size\":5}\n"
                        "finder 3.2 {\"type\":\"found\",\"size\":5}\n");
    pass(RANGES_PRESENT_MS - 1);
    find(1, "z");
    check_sent("remembered", a_file);
    pass(1);
    find(1, "z");
    check_asked("forgotten", 4);
    assert_true(answer(a, 4, RANGE_NOT_FOUND));
    check_sent("absent", no_file);
    pass(RANGES_ABSENT_MS - 1);
    find(1, "z");
    check_sent("absence is remembered", no_file);
    pass(1);
    find(1, "z");
    check_asked("for a while", 5);
    pass(RANGES_FIND_MS);
    check_sent("too slow", no_file);
    find(1, "z");
    check_sent("is still asked", "");
    pass(RANGES_FIND_MS);
    check_sent("and is not absent", no_file);
    assert_true(answer(a, 5, RANGE_FOUND));
    check_sent("late", "");
    find(1, "z");
    check_sent("late answers count", a_file);
    b = ranges_joined(ranges, "b", "nb", "z");
    ranges_left(ranges, a);
    sent[0] = '\0';
    find(1, "z");
    check_sent("it has left", "b {\"type\":\"askFile\",\"askId\":6,\"sha1\":\"" SHA1 "\"}\n");
    ranges_left(ranges, b);
    sent[0] = '\0';
    a = ranges_joined(ranges, "a", "na", "z");
    find(1, "z");
    check_asked("leaving is no absence", 7);
    assert_true(answer(a, 7, RANGE_BUILDING));
    check_sent("no manifest yet", no_file);
    find(1, "z");
    check_asked("nor is that", 8);
}

static void test_many_findings(void **state)
{
    int64_t a = ranges_joined(ranges, "a", "na", "z");

    (void)state;
    for (unsigned i = 0; i < RANGES_MAX_FINDINGS; i++)
        find(i, "z");
    sent[0] = '\0';
    find(1, "z");
    check_sent("full", no_file);
    assert_true(answer(a, 1, RANGE_NOT_FOUND));
    sent[0] = '\0';
    find(1, "z");
    check_sent("room again", no_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_questions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leaving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_finding, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_findings, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
