/* The leaves on their way fill a line, and queue up no more than two deep in front of it, whatever
 * its rate and delay; also when these change. */
#include "unit.h"

#include "proxy/pace.h"

/* A line: each leaf takes half of `delay_ms` there, waits for the others, takes the time of its
 * bytes, and the other half back. */
struct line {
    double leaf_ms;
    int64_t delay_ms;
    double free_ms;              /* when the bottleneck is free */
    double asked[PACE_MAX], comes[PACE_MAX];
    size_t first, count;
    size_t most_waiting;
    size_t came;
};

static void ask(struct line *l, double now_ms)
{
    size_t at = (l->first + l->count) % PACE_MAX;
    double starts = now_ms + (double)l->delay_ms / 2;

    if (l->free_ms > starts) {
        size_t waiting = (size_t)((l->free_ms - starts) / l->leaf_ms + 0.5);
        l->most_waiting = waiting > l->most_waiting ? waiting : l->most_waiting;
        starts = l->free_ms;
    }
    l->free_ms = starts + l->leaf_ms;
    l->asked[at] = now_ms;
    l->comes[at] = l->free_ms + (double)l->delay_ms / 2;
    l->count++;
}

static void run(struct pace *p, struct line *l, int64_t from_ms, int64_t until_ms)
{
    l->came = l->most_waiting = 0;
    for (int64_t now = from_ms; now < until_ms; now++) {
        while (l->count > 0 && l->comes[l->first] <= (double)now) {
            bool is_full = l->count >= pace_window(p);
            double asked = l->asked[l->first];
            l->first = (l->first + 1) % PACE_MAX;
            l->count--;
            l->came++;
            pace_came(p, now, now - (int64_t)asked, is_full);
        }
        if (l->count == 0)
            pace_begin(p, now);
        while (l->count < pace_window(p))
            ask(l, (double)now);
    }
}

static const struct line_case {
    const char *name;
    double leaf_ms;
    int64_t delay_ms;
    size_t most_waiting;
} cases[] = {
    {"10 MB/s, 50 ms", 26, 50, 2},   {"20 MB/s, 50 ms", 13, 50, 5},
    {"1 MB/s, 200 ms", 262, 200, 2}, {"100 MB/s, 50 ms", 2.6, 50, 22},
    {"300 MB/s, 1 ms", 0.9, 1, 55},  {"10 MB/s, 1 ms", 26, 1, 3}};

static void test_a_line_is_filled_and_not_flooded(void **state)
{
    (void)state;
    for (size_t n = 0; n < UNIT_COUNT(cases); n++) {
        const struct line_case *c = &cases[n];
        struct line l = {.leaf_ms = c->leaf_ms, .delay_ms = c->delay_ms};
        struct pace p;
        pace_init(&p);
        run(&p, &l, 0, 5000); /* the start */
        run(&p, &l, 5000, 65000);
        unit_true(c->name, (double)l.came * c->leaf_ms > 0.9 * 60000);
        unit_true(c->name, l.most_waiting <= c->most_waiting);
    }
}

static void test_it_follows_changes(void **state)
{
    static const struct {
        const char *name;
        double leaf_ms;
        int64_t delay_ms;
    } later[] = {{"faster", 5, 50}, {"slower", 80, 50}, {"farther", 26, 150}, {"nearer", 26, 5}};

    (void)state;
    for (size_t n = 0; n < UNIT_COUNT(later); n++) {
        struct line l = {.leaf_ms = 26, .delay_ms = 50};
        struct pace p;
        pace_init(&p);
        run(&p, &l, 0, 30000);
        l.leaf_ms = later[n].leaf_ms;
        l.delay_ms = later[n].delay_ms;
        run(&p, &l, 30000, 75000);
        run(&p, &l, 75000, 105000);
        unit_true(later[n].name, (double)l.came * l.leaf_ms > 0.85 * 30000);
        unit_true(later[n].name, l.most_waiting <= 12);
    }
}

/* A reader that wants less than the line carries leaves the line as it was. */
static void test_few_wants_teach_no_low_rate(void **state)
{
    struct line l = {.leaf_ms = 13, .delay_ms = 50};
    struct pace p;
    size_t before;

    (void)state;
    pace_init(&p);
    run(&p, &l, 0, 9000);
    before = pace_window(&p);
    for (int64_t now = 10000; now < 13000; now += 500) {
        pace_begin(&p, now);
        pace_came(&p, now + 63, 63, false);
    }
    assert_true(pace_window(&p) + 2 >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_filled_and_not_flooded),
        cmocka_unit_test(test_it_follows_changes),
        cmocka_unit_test(test_few_wants_teach_no_low_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
