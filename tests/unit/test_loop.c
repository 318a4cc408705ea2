/* The event loop: what is told, removal in mid-round, the order of timers. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"
#include "unit.h"

enum { MANY = 500 };

struct end {
    struct loop *loop;
    struct loop_fd source;
    int peer;
    unsigned seen, calls;
    struct end *victim;       /* removed by our callback */
    struct loop_timer *timer; /* set by our callback */
};

static void open_end(struct end *end, struct loop *loop, unsigned events)
{
    int pair[2];
    struct err e = {0};

    *end = (struct end){.loop = loop};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    end->peer = pair[1];
    end->source = (struct loop_fd){.fd = pair[0], .owner = end};
    assert_int_equal(loop_add(loop, &end->source, events, &e), 0);
}

static void close_end(struct end *end)
{
    loop_remove(end->loop, &end->source);
    close(end->source.fd);
    if (end->peer >= 0)
        close(end->peer);
}

static void note_and_stop(struct loop_fd *source, unsigned events)
{
    struct end *end = source->owner;

    end->seen = events;
    end->calls++;
    loop_stop(end->loop);
}

static void on_stop(struct loop_timer *timer)
{
    loop_stop(timer->owner);
}

/* One round, or until the deadline when nothing happens. */
static void run_briefly(struct loop *loop)
{
    struct loop_timer timer = {.on_time = on_stop, .owner = loop};
    struct err e = {0};

    assert_int_equal(loop_set_timer(loop, &timer, clock_now_ms() + 20), 0);
    assert_int_equal(loop_run(loop, &e), 0);
    loop_clear_timer(loop, &timer);
}

static void what_is_told(void **state)
{
    static const struct {
        const char *name;
        unsigned asked;
        bool has_bytes, is_half_closed, is_closed;
        unsigned told;
    } cases[] = {
        {"nothing to read", LOOP_READ, false, false, false, 0},
        {"bytes", LOOP_READ, true, false, false, LOOP_READ},
        {"room", LOOP_WRITE, true, false, false, LOOP_WRITE},
        {"both", LOOP_READ | LOOP_WRITE, true, false, false, LOOP_READ | LOOP_WRITE},
        {"asked for nothing", 0, true, true, false, 0},
        {"half closed, not asked", LOOP_READ, false, true, false, LOOP_READ},
        {"half closed, asked", LOOP_HANGUP, false, true, false, LOOP_HANGUP},
        {"closed, asked for nothing", 0, false, false, true, LOOP_HANGUP},
    };
    struct loop *loop = loop_new(NULL);

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct end end;
        open_end(&end, loop, cases[i].asked);
        end.source.on_ready = note_and_stop;
        if (cases[i].has_bytes)
            assert_int_equal(write(end.peer, "x", 1), 1);
        if (cases[i].is_half_closed)
            shutdown(end.peer, SHUT_WR);
        if (cases[i].is_closed) {
            close(end.peer);
            end.peer = -1;
        }
        run_briefly(loop);
        unit_true(cases[i].name, end.seen == cases[i].told);
        close_end(&end);
    }
    loop_free(loop);
}

static void events_can_be_changed(void **state)
{
    struct loop *loop = loop_new(NULL);
    struct end end;

    (void)state;
    open_end(&end, loop, LOOP_READ | LOOP_WRITE);
    end.source.on_ready = note_and_stop;
    loop_change(loop, &end.source, 0);
    run_briefly(loop);
    assert_int_equal(end.calls, 0);
    loop_change(loop, &end.source, LOOP_WRITE);
    run_briefly(loop);
    assert_int_equal(end.seen, LOOP_WRITE);
    loop_remove(loop, &end.source);
    loop_remove(loop, &end.source);
    loop_change(loop, &end.source, LOOP_WRITE);
    run_briefly(loop);
    assert_int_equal(end.calls, 1);
    close_end(&end);
    loop_free(loop);
}

/* Frees another source whose event was fetched in the same round. */
static void remove_victim(struct loop_fd *source, unsigned events)
{
    struct end *end = source->owner, *victim = end->victim;

    (void)events;
    end->calls++;
    if (victim == NULL)
        return;
    end->victim = NULL;
    victim->victim = NULL;
    close_end(victim);
    memset(victim, 0x5a, sizeof *victim);
    free(victim);
    loop_remove(end->loop, source);
}

static void removed_in_mid_round(void **state)
{
    struct loop *loop = loop_new(NULL);
    struct end *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);

    (void)state;
    open_end(a, loop, LOOP_READ);
    open_end(b, loop, LOOP_READ);
    a->source.on_ready = b->source.on_ready = remove_victim;
    struct end *const ends[] = {a, b};
    for (int i = 0; i < 2; i++) {
        ends[i]->victim = ends[1 - i];
        assert_int_equal(write(ends[i]->peer, "x", 1), 1);
    }
    /* Whichever comes first frees the other, whose event is fetched already. */
    int a_peer = a->peer, b_peer = b->peer;
    run_briefly(loop);
    /* Exactly one of the two is closed. */
    bool a_lives = write(a_peer, "y", 1) == 1, b_lives = write(b_peer, "y", 1) == 1;
    assert_true(a_lives != b_lives);
    struct end *left = a_lives ? a : b;
    assert_int_equal(left->calls, 1);
    close_end(left);
    free(left);
    loop_free(loop);
}

static void a_descriptor_that_cannot_be_watched(void **state)
{
    struct loop *loop = loop_new(NULL);
    struct loop_fd source = {.fd = -1};
    struct err e = {0};

    (void)state;
    assert_int_equal(loop_add(loop, &source, LOOP_READ, &e), -1);
    assert_false(source.is_added);
    assert_true(e.msg[0] != '\0');
    loop_remove(loop, &source);
    loop_free(loop);
}

struct alarm {
    struct loop_timer timer;
    struct loop *loop;
    int64_t *last_ms;
    unsigned *count;
    bool is_cleared;
};

static void note_time(struct loop_timer *timer)
{
    struct alarm *alarm = timer->owner;

    assert_false(alarm->is_cleared);
    assert_int_equal(timer->heap_index, 0);
    assert_true(timer->at_ms >= *alarm->last_ms);
    *alarm->last_ms = timer->at_ms;
    if (--*alarm->count == 0)
        loop_stop(alarm->loop);
}

/* Set, moved and cleared in a scrambled order, timers run once each in the order of their times. */
static void timers_run_in_order(void **state)
{
    struct loop *loop = loop_new(NULL);
    struct alarm *alarms = calloc(MANY, sizeof *alarms);
    int64_t last = 0, base = clock_now_ms() - 10000;
    unsigned count = MANY, random = 12345;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        random = random * 1103515245 + 12345;
        alarms[i] = (struct alarm){.loop = loop, .last_ms = &last, .count = &count};
        alarms[i].timer = (struct loop_timer){.on_time = note_time, .owner = &alarms[i]};
        assert_int_equal(loop_set_timer(loop, &alarms[i].timer, base + (random >> 16) % 5000), 0);
    }
    for (int i = 0; i < MANY; i++) {
        random = random * 1103515245 + 12345;
        if (i % 3 == 0)
            loop_set_timer(loop, &alarms[i].timer, base + (random >> 16) % 5000);
        if (i % 7 == 0) {
            if (i % 2 == 0)
                loop_clear_timer(loop, &alarms[i].timer);
            else
                loop_set_timer(loop, &alarms[i].timer, CLOCK_NEVER_MS);
            alarms[i].is_cleared = true;
            count--;
        }
    }
    loop_clear_timer(loop, &alarms[0].timer);
    assert_int_equal(loop_run(loop, NULL), 0);
    assert_int_equal(count, 0);
    free(alarms);
    loop_free(loop);
}

static void set_end_of_round(struct loop_fd *source, unsigned events)
{
    struct end *end = source->owner;

    (void)events;
    end->calls++;
    loop_set_timer(end->loop, end->timer, loop_now_ms(end->loop));
}

static void end_of_round(struct loop_timer *timer)
{
    struct end *ends = timer->owner;

    /* Both descriptors were told before. */
    assert_int_equal(ends[0].calls, 1);
    assert_int_equal(ends[1].calls, 1);
    loop_stop(ends[0].loop);
}

static void timers_run_at_the_end_of_a_round(void **state)
{
    struct loop *loop = loop_new(NULL);
    struct end ends[2];
    struct loop_timer timer = {.on_time = end_of_round, .owner = ends};

    (void)state;
    for (int i = 0; i < 2; i++) {
        open_end(&ends[i], loop, LOOP_WRITE);
        ends[i].source.on_ready = set_end_of_round;
        ends[i].timer = &timer;
    }
    assert_int_equal(loop_run(loop, NULL), 0);
    for (int i = 0; i < 2; i++)
        close_end(&ends[i]);
    loop_free(loop);
}

struct again {
    struct loop *loop;
    unsigned turns;
};

static void set_again(struct loop_timer *timer)
{
    struct again *again = timer->owner;

    again->turns++;
    loop_set_timer(again->loop, timer, 0);
}

/* A timer that is always due does not keep the descriptors from their turn. */
static void an_eager_timer_starves_nobody(void **state)
{
    struct loop *loop = loop_new(NULL);
    struct again again = {.loop = loop};
    struct loop_timer timer = {.on_time = set_again, .owner = &again};
    struct end end;

    (void)state;
    open_end(&end, loop, LOOP_WRITE);
    end.source.on_ready = note_and_stop;
    loop_set_timer(loop, &timer, 0);
    assert_int_equal(loop_run(loop, NULL), 0);
    assert_int_equal(end.calls, 1);
    close_end(&end);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told),
        cmocka_unit_test(events_can_be_changed),
        cmocka_unit_test(removed_in_mid_round),
        cmocka_unit_test(a_descriptor_that_cannot_be_watched),
        cmocka_unit_test(timers_run_in_order),
        cmocka_unit_test(timers_run_at_the_end_of_a_round),
        cmocka_unit_test(an_eager_timer_starves_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
