/* The event loop: what is told, removal in mid-round, the order of timers. */
#include <fcntl.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/loop.h"
#include "rounds.h"
#include "unit.h"

enum { MANY = 500 };

static int failing_changes; /* that the kernel has no memory for */

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    static int (*next)(int, int, int, struct epoll_event *);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "epoll_ctl");
    if (operation != EPOLL_CTL_MOD || failing_changes == 0)
        return next(epoll_fd, operation, fd, event);
    failing_changes--;
    errno = ENOMEM;
    return -1;
}

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

static void note_and_stop(void *owner)
{
    struct end *end = owner;

    end->seen = end->source.ready;
    end->calls++;
    loop_stop(end->loop);
}

static void on_stop(void *owner)
{
    loop_stop(owner);
}

/* One round, or until the deadline when nothing happens. */
static void run_briefly(struct loop *loop)
{
    struct loop_timer timer = {.call = on_stop, .owner = loop};
    struct err e = {0};

    loop_set_timer(loop, &timer, clock_now_ms() + 20);
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
    struct loop *loop = loop_new(NULL, ERR_IGNORED);

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct end end;
        open_end(&end, loop, cases[i].asked);
        end.source.call = note_and_stop;
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
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct end end;

    (void)state;
    open_end(&end, loop, LOOP_READ | LOOP_WRITE);
    end.source.call = note_and_stop;
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
static void remove_victim(void *owner)
{
    struct end *end = owner, *victim = end->victim;

    end->calls++;
    if (victim == NULL)
        return;
    end->victim = NULL;
    victim->victim = NULL;
    close_end(victim);
    memset(victim, 0x5a, sizeof *victim);
    free(victim);
    loop_remove(end->loop, &end->source);
}

/* What the kernel has no memory for is asked for again: nothing waits for good. */
static void a_change_that_fails_is_made_later(void **state)
{
    struct err e = {0};
    struct loop *loop = loop_new(NULL, &e);
    struct end end, other;

    (void)state;
    assert_non_null(loop);
    open_end(&end, loop, 0);
    open_end(&other, loop, 0);
    end.source.call = other.source.call = note_and_stop;
    failing_changes = 5;
    loop_change(loop, &end.source, LOOP_READ);
    loop_change(loop, &other.source, LOOP_READ);
    loop_change(loop, &end.source, LOOP_WRITE);
    close_end(&other); /* it is waited for no more */
    assert_int_equal(loop_run(loop, &e), 0);
    assert_int_equal(end.seen, LOOP_WRITE);
    assert_int_equal(failing_changes, 0);
    close_end(&end);
    loop_free(loop);
}

static void removed_in_mid_round(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct end *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);

    (void)state;
    open_end(a, loop, LOOP_READ);
    open_end(b, loop, LOOP_READ);
    a->source.call = b->source.call = remove_victim;
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
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
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
    int64_t at_ms, *last_ms;
    unsigned *count;
    bool is_cleared;
};

static void note_time(void *owner)
{
    struct alarm *alarm = owner;

    assert_false(alarm->is_cleared);
    assert_int_equal(loop_timer_at_ms(&alarm->timer), CLOCK_NEVER_MS);
    assert_true(alarm->at_ms >= *alarm->last_ms);
    *alarm->last_ms = alarm->at_ms;
    if (--*alarm->count == 0)
        loop_stop(alarm->loop);
}

/* Set, moved and cleared in a scrambled order, timers run once each in the order of their times. */
static void timers_run_in_order(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct alarm *alarms = calloc(MANY, sizeof *alarms);
    int64_t last = 0, base = clock_now_ms() - 10000;
    unsigned count = MANY, random = 12345;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        random = random * 1103515245 + 12345;
        alarms[i] = (struct alarm){.loop = loop, .last_ms = &last, .count = &count};
        alarms[i].timer = (struct loop_timer){.call = note_time, .owner = &alarms[i]};
        alarms[i].at_ms = base + (random >> 16) % 5000;
        loop_set_timer(loop, &alarms[i].timer, alarms[i].at_ms);
        assert_int_equal(loop_timer_at_ms(&alarms[i].timer), alarms[i].at_ms);
    }
    for (int i = 0; i < MANY; i++) {
        random = random * 1103515245 + 12345;
        if (i % 3 == 0) {
            alarms[i].at_ms = base + (random >> 16) % 5000;
            loop_set_timer(loop, &alarms[i].timer, alarms[i].at_ms);
        }
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
    assert_int_equal(loop_run(loop, ERR_IGNORED), 0);
    assert_int_equal(count, 0);
    free(alarms);
    loop_free(loop);
}

static void set_end_of_round(void *owner)
{
    struct end *end = owner;

    end->calls++;
    loop_set_timer(end->loop, end->timer, loop_now_ms(end->loop));
}

static void end_of_round(void *owner)
{
    struct end *ends = owner;

    /* Both descriptors were told before. */
    assert_int_equal(ends[0].calls, 1);
    assert_int_equal(ends[1].calls, 1);
    loop_stop(ends[0].loop);
}

static void timers_run_at_the_end_of_a_round(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct end ends[2];
    struct loop_timer timer = {.call = end_of_round, .owner = ends};

    (void)state;
    for (int i = 0; i < 2; i++) {
        open_end(&ends[i], loop, LOOP_WRITE);
        ends[i].source.call = set_end_of_round;
        ends[i].timer = &timer;
    }
    assert_int_equal(loop_run(loop, ERR_IGNORED), 0);
    for (int i = 0; i < 2; i++)
        close_end(&ends[i]);
    loop_free(loop);
}

struct again {
    struct loop *loop;
    struct loop_timer timer;
    unsigned turns;
};

static void set_again(void *owner)
{
    struct again *again = owner;

    again->turns++;
    loop_set_timer(again->loop, &again->timer, 0);
}

/* A timer that is always due does not keep the descriptors from their turn. */
static void an_eager_timer_starves_nobody(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct again again = {.loop = loop};
    struct end end;

    (void)state;
    open_end(&end, loop, LOOP_WRITE);
    end.source.call = note_and_stop;
    again.timer = (struct loop_timer){.call = set_again, .owner = &again};
    loop_set_timer(loop, &again.timer, 0);
    assert_int_equal(loop_run(loop, ERR_IGNORED), 0);
    assert_int_equal(end.calls, 1);
    close_end(&end);
    loop_free(loop);
}

/* ---- deferred calls ---- */

struct note {
    struct loop *loop;
    struct loop_call call, *then; /* deferred by our call */
    struct loop_timer *timer;     /* set by our call, to now */
    char *text;
    char letter;
};

static void write_note(void *owner)
{
    struct note *note = owner;

    note->text[strlen(note->text)] = note->letter;
    if (note->then != NULL)
        loop_defer(note->loop, note->then);
    if (note->timer != NULL)
        loop_set_timer(note->loop, note->timer, loop_now_ms(note->loop));
    note->timer = NULL;
    if (note->letter == 'Z')
        loop_stop(note->loop);
}

/* In order of registration, each once; one that is deferred by another runs in the same round, a
 * timer that is set by one runs in the next. */
static void deferred_calls(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    char text[32] = "";
    struct note notes[5];
    const char letters[] = "ABCDZ";

    (void)state;
    for (int i = 0; i < 5; i++) {
        notes[i] = (struct note){.loop = loop, .text = text, .letter = letters[i]};
        notes[i].call = (struct loop_call){.call = write_note, .owner = &notes[i]};
    }
    struct loop_timer timer = {.call = write_note, .owner = &notes[4]};
    for (int i = 0; i < 3; i++)
        loop_defer(loop, &notes[i].call);
    loop_defer(loop, &notes[0].call);
    loop_undefer(loop, &notes[1].call);
    loop_undefer(loop, &notes[1].call);
    notes[0].then = &notes[3].call;
    notes[0].timer = &timer;
    assert_int_equal(loop_run(loop, ERR_IGNORED), 0);
    assert_string_equal(text, "ACDZ");
    loop_free(loop);
}

/* Taken out by one that runs before it, first and last of the list. */
static void undefer_within(void *owner)
{
    struct note *note = owner;

    note->text[strlen(note->text)] = note->letter;
    loop_undefer(note->loop, note->then);
    loop_stop(note->loop);
}

static void a_deferred_call_is_taken_out_by_another(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    char text[32] = "";
    struct note first = {.loop = loop, .text = text, .letter = 'a'};
    struct note second = {.loop = loop, .text = text, .letter = 'b'};

    (void)state;
    first.call = (struct loop_call){.call = undefer_within, .owner = &first};
    second.call = (struct loop_call){.call = write_note, .owner = &second};
    first.then = &second.call;
    loop_defer(loop, &first.call);
    loop_defer(loop, &second.call);
    assert_int_equal(loop_run(loop, ERR_IGNORED), 0);
    assert_string_equal(text, "a");
    loop_free(loop);
}

static void count_call(void *owner)
{
    ((struct end *)owner)->calls++;
}

struct repeater {
    struct loop *loop;
    struct loop_call call, other;
    char text[16];
};

static void repeat(void *owner)
{
    struct repeater *r = owner;

    r->text[strlen(r->text)] = 'r';
    loop_defer(r->loop, &r->call);
    loop_defer(r->loop, &r->other);
}

static void note_other(void *owner)
{
    struct repeater *r = owner;

    r->text[strlen(r->text)] = 'o';
}

/* A call that defers itself has its next turn in the next round, and can be taken out of it. */
static void a_deferred_call_runs_once_in_a_round(void **state)
{
    struct loop_clock clock = {.jumps = false};
    struct loop *loop = loop_new(&clock, ERR_IGNORED);
    struct repeater r = {.loop = loop};

    (void)state;
    r.call = (struct loop_call){.call = repeat, .owner = &r};
    r.other = (struct loop_call){.call = note_other, .owner = &r};
    loop_defer(loop, &r.call);
    rounds_run(loop, 1);
    assert_string_equal(r.text, "ro");
    rounds_run(loop, 1);
    assert_string_equal(r.text, "roro");
    loop_undefer(loop, &r.call);
    assert_true(rounds_nothing_is_left(loop, &clock));
    assert_string_equal(r.text, "roro");
    loop_defer(loop, &r.other); /* the list is whole */
    rounds_run(loop, 1);
    assert_string_equal(r.text, "roroo");
    loop_free(loop);
}

/* ---- what epoll refuses, the clock, waiting inside, forks ---- */

static bool has_calls(void *owner)
{
    return ((struct end *)owner)->calls >= 3;
}

static void files_are_always_ready(void **state)
{
    static const char *const paths[] = {"/dev/null", "/proc/self/exe"};
    struct loop *loop = loop_new(NULL, ERR_IGNORED);

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(paths); i++) {
        struct end end = {.loop = loop}, idle = {.loop = loop};
        end.source = (struct loop_fd){
            .fd = open(paths[i], O_RDONLY), .call = count_call, .owner = &end};
        idle.source = (struct loop_fd){
            .fd = open(paths[i], O_RDONLY), .call = count_call, .owner = &idle};
        unit_true(paths[i], loop_add(loop, &end.source, LOOP_READ, ERR_IGNORED) == 0);
        unit_true(paths[i], loop_add(loop, &idle.source, 0, ERR_IGNORED) == 0);
        unit_true(paths[i], loop_run_until(loop, has_calls, &end, ERR_IGNORED) == 0);
        unit_true(paths[i], end.source.ready == LOOP_READ);
        unit_true(paths[i], idle.calls == 0);
        loop_remove(loop, &end.source);
        loop_remove(loop, &idle.source);
        close(end.source.fd);
        close(idle.source.fd);
    }
    loop_free(loop);
}

static bool has_three_calls(void *owner)
{
    return ((const struct end *)owner)->calls >= 3;
}

/* A stop that comes too late, of what is being freed, say, does not make it spin. */
static void a_stop_does_not_end_waiting_for_something_else(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct end end;

    (void)state;
    open_end(&end, loop, LOOP_READ);
    end.source.call = note_and_stop;
    assert_int_equal(write(end.peer, "x", 1), 1);
    loop_stop(loop);
    assert_int_equal(loop_run_until(loop, has_three_calls, &end, ERR_IGNORED), 0);
    assert_int_equal(end.calls, 3);
    close_end(&end);
    loop_free(loop);
}

static void a_clock_that_jumps(void **state)
{
    struct loop_clock clock = {.jumps = true, .now_ms = 1000};
    struct loop *loop = loop_new(&clock, ERR_IGNORED);
    struct loop_timer timer = {.call = on_stop, .owner = loop};

    (void)state;
    assert_int_equal(loop_now_ms(loop), 1000);
    loop_set_timer(loop, &timer, 1000 + 86400000);
    assert_int_equal(loop_run(loop, ERR_IGNORED), 0);
    assert_int_equal(loop_now_ms(loop), 1000 + 86400000);
    loop_free(loop);
}

/* A child that removes what it inherited changes nothing for its parent. */
static void a_child_leaves_its_parents_loop_alone(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct end end;
    int status;

    (void)state;
    open_end(&end, loop, LOOP_WRITE);
    end.source.call = note_and_stop;
    pid_t child = fork();
    if (child == 0) {
        loop_after_fork();
        loop_remove(loop, &end.source);
        struct loop *own = loop_new(NULL, ERR_IGNORED);
        _exit(own != NULL && loop_add(own, &end.source, LOOP_WRITE, ERR_IGNORED) == 0 &&
                      loop_run_until(own, has_calls, &(struct end){.calls = 3}, ERR_IGNORED) == 0
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    run_briefly(loop);
    assert_int_equal(end.seen, LOOP_WRITE);
    close_end(&end);
    loop_free(loop);
}

/* Sanitized builds abort; the exit status of the child tells. */
static void wait_inside(void *owner)
{
    struct err e = {0};

    _exit(loop_run_until(owner, has_calls, &(struct end){0}, &e) == -1 && e.msg[0] != '\0' ? 7 : 8);
}

static int status_of_child(void (*call)(void *owner), int64_t limit_ms)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct loop *loop = loop_new(NULL, ERR_IGNORED);
        struct loop_call deferred = {.call = call, .owner = loop};
        signal(SIGABRT, SIG_DFL);
        loop_limit_calls(loop, limit_ms);
        loop_defer(loop, &deferred);
        loop_run(loop, ERR_IGNORED);
        _exit(9);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_callback_must_not_wait(void **state)
{
    int status = status_of_child(wait_inside, 0);

    (void)state;
#if defined __SANITIZE_ADDRESS__
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#else
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
#endif
}

static void note_guard(void *owner)
{
    struct end *ends = owner;

    /* Before both descriptors in the first round. */
    if (ends[0].seen++ == 0)
        assert_true(ends[0].calls == 0 && ends[1].calls == 0);
}

static void a_guard_comes_first(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct end ends[2];
    struct loop_timer timer = {.call = end_of_round, .owner = ends};

    (void)state;
    assert_non_null(loop);
    for (size_t i = 0; i < 2; i++) {
        open_end(&ends[i], loop, LOOP_READ);
        ends[i].timer = &timer;
        ends[i].source.call = set_end_of_round;
        assert_int_equal(write(ends[i].peer, "x", 1), 1);
    }
    loop_set_guard(loop, note_guard, ends);
    assert_int_equal(loop_run(loop, ERR_IGNORED), 0);
    assert_int_equal(ends[0].seen, 1);
    for (size_t i = 0; i < 2; i++)
        close_end(&ends[i]);
    loop_free(loop);
}

static void count_end_call(void *owner)
{
    struct end *end = owner;

    end->calls++;
}

static void count_two_calls(void *owner)
{
    struct end *end = owner;

    if (++end->calls == 2)
        loop_stop(end->loop);
}

static void close_first_end(void *owner)
{
    struct end *ends = owner;

    if (ends[0].seen++ == 1) /* in the second round, when both are ready again */
        close_end(&ends[0]);
}

static void a_guard_removes_a_descriptor(void **state)
{
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct end ends[2];

    (void)state;
    assert_non_null(loop);
    for (size_t i = 0; i < 2; i++) {
        open_end(&ends[i], loop, LOOP_READ);
        ends[i].source.call = i == 0 ? count_end_call : count_two_calls;
        assert_int_equal(write(ends[i].peer, "x", 1), 1);
    }
    loop_set_guard(loop, close_first_end, ends);
    assert_int_equal(loop_run(loop, ERR_IGNORED), 0);
    assert_int_equal(ends[0].calls, 1);
    assert_int_equal(ends[1].calls, 2);
    close_end(&ends[1]);
    loop_free(loop);
}

static void nap(void *owner)
{
    usleep(50000);
    loop_stop(owner);
}

/* In sanitized builds alone. */
static void a_callback_must_not_take_long(void **state)
{
    int within = status_of_child(nap, 60000), above = status_of_child(nap, 10);

    (void)state;
    assert_true(WIFEXITED(within) && WEXITSTATUS(within) == 9);
#if defined __SANITIZE_ADDRESS__
    assert_true(WIFSIGNALED(above) && WTERMSIG(above) == SIGABRT);
#else
    assert_true(WIFEXITED(above) && WEXITSTATUS(above) == 9);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told),
        cmocka_unit_test(events_can_be_changed),
        cmocka_unit_test(a_change_that_fails_is_made_later),
        cmocka_unit_test(removed_in_mid_round),
        cmocka_unit_test(a_descriptor_that_cannot_be_watched),
        cmocka_unit_test(timers_run_in_order),
        cmocka_unit_test(a_guard_comes_first),
        cmocka_unit_test(a_guard_removes_a_descriptor),
        cmocka_unit_test(timers_run_at_the_end_of_a_round),
        cmocka_unit_test(an_eager_timer_starves_nobody),
        cmocka_unit_test(deferred_calls),
        cmocka_unit_test(a_deferred_call_is_taken_out_by_another),
        cmocka_unit_test(a_deferred_call_runs_once_in_a_round),
        cmocka_unit_test(files_are_always_ready),
        cmocka_unit_test(a_stop_does_not_end_waiting_for_something_else),
        cmocka_unit_test(a_clock_that_jumps),
        cmocka_unit_test(a_child_leaves_its_parents_loop_alone),
        cmocka_unit_test(a_callback_must_not_wait),
        cmocka_unit_test(a_callback_must_not_take_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
