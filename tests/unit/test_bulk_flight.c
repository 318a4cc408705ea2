/* The bytes on their way fill a link, and queue up no longer than said in front of it, whatever its
 * rate and delay. */
#include "daemon/bulk_flight.h"
#include "unit.h"

enum { LEAF = 262144 };

/* A link takes `rate` bytes a ms; an acknowledgement is back delay_ms after that at the least. */
struct link {
    double rate;
    int64_t delay_ms;
    double queued;               /* bytes in front of it */
    double passed[4096];         /* bytes that are through, at the time of their acknowledgement */
    int64_t sent;
    double through, most_queued_ms;
};

static void run_link(struct bulk_flight *f, struct link *l, int64_t from_ms, int64_t until_ms,
                     bool is_short)
{
    l->most_queued_ms = 0;
    for (int64_t now = from_ms; now < until_ms; now++) {
        double pass = l->queued < l->rate ? l->queued : l->rate;
        l->queued -= pass;
        l->through += pass;
        l->passed[(now + l->delay_ms) % 4096] = l->through;
        int64_t delivered = (int64_t)l->passed[now % 4096];
        bulk_flight_note(f, delivered, l->delay_ms * 1000, now);
        while (l->sent - delivered + LEAF / 2 <=
               bulk_flight_bytes(f, l->delay_ms * 1000, is_short)) {
            l->sent += LEAF;
            l->queued += LEAF;
        }
        if (l->queued / l->rate > l->most_queued_ms)
            l->most_queued_ms = l->queued / l->rate;
    }
}

static const struct flight_case {
    const char *name;
    double rate;
    int64_t delay_ms;
} cases[] = {{"10 MB/s, 50 ms", 10000, 50},   {"20 MB/s, 50 ms", 20000, 50},
             {"1 MB/s, 200 ms", 1000, 200},   {"100 MB/s, 50 ms", 100000, 50},
             {"125 MB/s, 5 ms", 125000, 5},   {"10 MB/s, 3 ms", 10000, 3}};

static void test_a_link_is_filled_and_not_flooded(void **state)
{
    (void)state;
    for (size_t n = 0; n < 2 * UNIT_COUNT(cases); n++) {
        const struct flight_case *c = &cases[n / 2];
        static struct link l;
        struct bulk_flight f = {0};
        bool is_short = n % 2 == 1;
        l = (struct link){.rate = c->rate, .delay_ms = c->delay_ms};
        double leaf_ms = LEAF / c->rate, queue_ms = (is_short ? 0.25 : 0.6) * (double)c->delay_ms;
        run_link(&f, &l, 1000, 6000, is_short); /* the start */
        double before = l.through;
        run_link(&f, &l, 6000, 16000, is_short);
        unit_true(c->name, l.through - before > 0.9 * 10000 * c->rate);
        unit_true(c->name, l.most_queued_ms <= queue_ms + BULK_FLIGHT_QUEUE_MS + 1.5 * leaf_ms + 5);
    }
}

static void test_the_count_may_begin_anew(void **state)
{
    struct bulk_flight f = {0};
    int64_t before;

    (void)state;
    bulk_flight_note(&f, 0, 50000, 1000);
    bulk_flight_note(&f, 1000000, 50000, 1100);
    before = bulk_flight_bytes(&f, 50000, false);
    bulk_flight_skip(&f);
    bulk_flight_note(&f, 900000000, 50000, 1200);
    bulk_flight_note(&f, 100, 50000, 1300);
    assert_int_equal(bulk_flight_bytes(&f, 50000, false), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_link_is_filled_and_not_flooded),
        cmocka_unit_test(test_the_count_may_begin_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
