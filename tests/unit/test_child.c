/* One supervised process: what it sends and is sent, and what is said of its end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "proc/child.h"
#include "proc/frame.h"
#include "unit.h"

enum { PATIENCE_MS = 60000, SOON_MS = 20, LARGE = 60000 };

struct world {
    struct loop *loop;
    struct loop_fd signals;
    struct loop_timer timer;
    struct child *child;
    struct buf frames; /* what came, each with '|' behind */
    struct buf events;
    size_t frame_count;
    unsigned stuck, answers, killed, ended;
    bool frees_in_frame, frees_in_event, kills_in_frame, is_late;
};

static bool has_no_memory;

/* In the place of the library's: in this process there may be no memory for what comes. */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    if (!has_no_memory)
        return syscall(SYS_recvmsg, fd, m, flags);
    errno = ENOMEM;
    return -1;
}

static void on_signal(void *owner)
{
    struct world *w = owner;

    while (process_next_signal(w->signals.fd) != 0)
        process_reap(NULL, NULL);
}

static bool on_frame(void *owner, struct str frame, int fd)
{
    struct world *w = owner;
    char byte = '!';

    if (fd >= 0) {
        assert_int_equal(write(fd, &byte, 1), 1);
        close(fd);
    }
    w->frame_count++;
    if (w->frames.len < 4096)
        buf_printf(&w->frames, "%.*s|", (int)(frame.len < 32 ? frame.len : 32), frame.p);
    if (w->kills_in_frame)
        child_kill(w->child, "not wanted any more");
    if (w->frees_in_frame) {
        child_free(w->child);
        w->child = NULL;
    }
    return !str_equal(frame, STR("nonsense"));
}

static void on_event(void *owner, enum child_event event, const char *words)
{
    struct world *w = owner;

    buf_printf(&w->events, "%s|", words);
    w->stuck += event == CHILD_STUCK;
    w->answers += event == CHILD_ANSWERS;
    w->killed += event == CHILD_KILLED;
    w->ended += event == CHILD_ENDED;
    if (w->frees_in_event)
        child_free(w->child);
    if (w->frees_in_event || event == CHILD_ENDED)
        w->child = NULL;
}

static void open_world(struct world *w)
{
    static const int numbers[] = {SIGCHLD};
    struct err e = {0};

    *w = (struct world){0};
    w->loop = loop_new(NULL, &e);
    assert_non_null(w->loop);
    w->signals = (struct loop_fd){
        .fd = process_signal_fd(numbers, 1, &e), .call = on_signal, .owner = w};
    assert_int_equal(loop_add(w->loop, &w->signals, LOOP_READ, &e), 0);
}

/* Every callback was made and every process is gone. */
static void close_world(struct world *w)
{
    child_free(w->child);
    loop_clear_timer(w->loop, &w->timer);
    loop_remove(w->loop, &w->signals);
    close(w->signals.fd);
    loop_free(w->loop);
    buf_free(&w->frames);
    buf_free(&w->events);
    assert_int_equal(unit_wait_for_children(NULL), 0);
}

static void start(struct world *w, int (*run)(int fd, void *ctx), struct child_policy policy)
{
    struct child_options options = {.loop = w->loop,
                                    .process = {.name = "test-child", .run = run},
                                    .policy = policy,
                                    .ping = STR("ping"),
                                    .on_frame = on_frame,
                                    .on_event = on_event,
                                    .owner = w};
    struct err e = {0};

    w->child = child_start(&options, &e);
    assert_non_null(w->child);
}

static void on_late(void *owner)
{
    struct world *w = owner;

    w->is_late = true;
}

static bool is_ended(void *owner)
{
    struct world *w = owner;

    return w->ended > 0 || w->is_late;
}

static bool has_frame(void *owner)
{
    struct world *w = owner;

    return w->frame_count > 0 || w->is_late;
}

static bool was_stuck(void *owner)
{
    struct world *w = owner;

    return w->stuck > 0 || w->is_late;
}

static bool is_gone(void *owner)
{
    struct world *w = owner;

    return w->child == NULL || w->is_late;
}

static bool is_later(void *owner)
{
    struct world *w = owner;

    return w->is_late;
}

static void run_for(struct world *w, int64_t ms, bool (*is_done)(void *owner))
{
    struct err e = {0};

    w->is_late = false;
    w->timer = (struct loop_timer){.call = on_late, .owner = w};
    loop_set_timer(w->loop, &w->timer, clock_now_ms() + ms);
    assert_int_equal(loop_run_until(w->loop, is_done, w, &e), 0);
    loop_clear_timer(w->loop, &w->timer);
}

static void run_until(struct world *w, bool (*is_done)(void *owner))
{
    run_for(w, PATIENCE_MS, is_done);
    assert_false(w->is_late);
}

static int send_text(int fd, struct str text)
{
    return frame_send(fd, text, -1, ERR_IGNORED) == IO_DONE ? 0 : 1;
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* ---- ends ---- */

static int run_return(int fd, void *ctx)
{
    (void)ctx;
    return send_text(fd, STR("last words")) + 3;
}

static int run_zero(int fd, void *ctx)
{
    (void)fd;
    (void)ctx;
    return 0;
}

static int run_segv(int fd, void *ctx)
{
    (void)ctx;
    send_text(fd, STR("a"));
    kill(getpid(), SIGSEGV);
    return 0;
}

static int run_sigkill(int fd, void *ctx)
{
    (void)fd;
    (void)ctx;
    kill(getpid(), SIGKILL);
    return 0;
}

static int run_sigquit(int fd, void *ctx)
{
    (void)fd;
    (void)ctx;
    signal(SIGQUIT, SIG_DFL);
    raise(SIGQUIT);
    return 0;
}

static int run_nameless_signal(int fd, void *ctx)
{
    (void)fd;
    (void)ctx;
    signal(40, SIG_DFL);
    kill(getpid(), 40);
    return 0;
}

static int run_cpu_limit(int fd, void *ctx)
{
    const struct rlimit limit = {1, 2};

    (void)fd;
    (void)ctx;
    setrlimit(RLIMIT_CPU, &limit);
    for (volatile unsigned i = 0; clock_now_ms() > 0; i++)
        continue;
    return 0;
}

static int run_hard_cpu_limit(int fd, void *ctx)
{
    const struct rlimit limit = {1, 1};

    (void)fd;
    (void)ctx;
    setrlimit(RLIMIT_CPU, &limit);
    for (volatile unsigned i = 0; clock_now_ms() > 0; i++)
        continue;
    return 0;
}

static int run_nonsense(int fd, void *ctx)
{
    (void)ctx;
    send_text(fd, STR("sense"));
    send_text(fd, STR("nonsense"));
    wait_for_ever();
    return 0;
}

static int run_oversized(int fd, void *ctx)
{
    static char large[FRAME_MAX_BYTES + 1];

    (void)ctx;
    if (send(fd, large, sizeof large, 0) < 0)
        return 9;
    wait_for_ever();
    return 0;
}

/* It is not there any more, but its socket is, in a process that nobody knows. */
static int run_double_fork(int fd, void *ctx)
{
    (void)ctx;
    send_text(fd, STR("first"));
    if (fork() == 0) {
        char byte;
        while (recv(fd, &byte, 1, 0) > 0) /* until it is given up */
            continue;
        _exit(0);
    }
    return 5;
}

static int run_closed_socket(int fd, void *ctx)
{
    (void)ctx;
    close(fd);
    wait_for_ever();
    return 0;
}

static int run_shut_down(int fd, void *ctx)
{
    (void)ctx;
    shutdown(fd, SHUT_WR);
    wait_for_ever();
    return 0;
}

static const struct end_case {
    const char *name;
    int (*run)(int fd, void *ctx);
    const char *frames, *events;
} end_cases[] = {
    {"exit status", run_return, "last words|", "ended with exit status 3|"},
    {"exit status 0", run_zero, "", "ended with exit status 0|"},
    {"crash", run_segv, "a|", "killed by SIGSEGV: a fault of this program|"},
    {"SIGKILL of others", run_sigkill, "",
     "killed by SIGKILL: out of memory, or a limit of this host?|"},
    {"another signal", run_sigquit, "", "killed by SIGQUIT|"},
    {"a signal without a name", run_nameless_signal, "", "killed by signal 40|"},
    {"processor time", run_cpu_limit, "",
     "killed by SIGXCPU: the limit of processor time of this host (ulimit -t)|"},
    {"all processor time", run_hard_cpu_limit, "",
     "killed by SIGKILL: the limit of processor time of this host (ulimit -t)|"},
    {"nonsense", run_nonsense, "sense|nonsense|",
     "killed: sent what is no message|killed: sent what is no message|"},
    {"a frame too large", run_oversized, "",
     "killed: message from another process is above 65536 bytes|"
     "killed: message from another process is above 65536 bytes|"},
    {"double fork", run_double_fork, "first|", "ended with exit status 5|"},
    {"closed socket", run_closed_socket, "", "closed its socket, and no exit status came|"},
    {"shut down", run_shut_down, "", "closed its socket, and no exit status came|"},
};

static void every_end_has_its_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(end_cases); i++) {
        const struct end_case *c = &end_cases[i];
        struct world w;
        open_world(&w);
        start(&w, c->run, (struct child_policy){0});
        run_until(&w, is_ended);
        unit_equal(c->name, buf_cstr(&w.frames), c->frames);
        unit_equal(c->name, buf_cstr(&w.events), c->events);
        unit_true(c->name, w.ended == 1 && w.child == NULL);
        close_world(&w);
    }
}

/* Where nobody handles SIGCHLD the end is known all the same, a second later. */
static void an_end_without_sigchld(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    loop_remove(w.loop, &w.signals);
    start(&w, run_segv, (struct child_policy){0});
    run_until(&w, is_ended);
    unit_equal("events", buf_cstr(&w.events), "killed by SIGSEGV: a fault of this program|");
    close_world(&w);
}

/* A status that others took is not made up. */
static void an_end_that_others_waited_for(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    loop_remove(w.loop, &w.signals);
    start(&w, run_segv, (struct child_policy){0});
    assert_int_equal(unit_wait_for_children(NULL), 0);
    run_until(&w, is_ended);
    unit_equal("events", buf_cstr(&w.events), "closed its socket, and no exit status came|");
    close_world(&w);
}

/* ---- silence ---- */

static int run_echo(int fd, void *ctx)
{
    struct buf frame = {0};

    (void)ctx;
    while (frame_receive(fd, &frame, NULL, ERR_IGNORED) == IO_DONE)
        if (send_text(fd, buf_str(&frame)) != 0)
            break;
    buf_free(&frame);
    return 0;
}

static int run_hang(int fd, void *ctx)
{
    (void)ctx;
    send_text(fd, STR("here"));
    wait_for_ever();
    return 0;
}

/* A frame waits for memory, but not for ever. */
static void no_memory_for_a_frame(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    start(&w, run_hang, (struct child_policy){0});
    has_no_memory = true;
    run_for(&w, 100, is_later);
    has_no_memory = false;
    run_until(&w, has_frame);
    assert_int_equal(w.killed, 0);
    close_world(&w);

    open_world(&w);
    start(&w, run_hang, (struct child_policy){0});
    has_no_memory = true;
    run_until(&w, is_ended);
    has_no_memory = false;
    unit_equal("events", buf_cstr(&w.events),
               "killed: cannot receive from another process: Cannot allocate memory|"
               "killed: cannot receive from another process: Cannot allocate memory|");
    close_world(&w);
}

static const struct child_policy pinged = {
    .ping_ms = 1, .stuck_ms = SOON_MS, .kill_ms = CLOCK_NEVER_MS};

static bool has_three_frames(void *owner)
{
    struct world *w = owner;

    return w->frame_count > 2 || w->is_late;
}

static void a_child_that_answers_is_not_stuck(void **state)
{
    const struct child_policy policy = {.ping_ms = 5, .stuck_ms = 20000, .kill_ms = 0};
    struct world w;

    (void)state;
    open_world(&w);
    start(&w, run_echo, policy);
    child_watch(w.child, true);
    run_until(&w, has_frame);
    run_until(&w, has_three_frames);
    assert_int_equal(w.stuck, 0);
    close_world(&w);
}

/* It may sleep: no ping wakes it, and nobody waits for it. */
static void an_unwatched_child_is_left_alone(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    start(&w, run_echo, pinged);
    run_for(&w, 100, is_later);
    assert_int_equal(w.frame_count, 0);
    child_watch(w.child, true);
    run_until(&w, has_frame);
    assert_false(child_was_killed(w.child));
    close_world(&w);
}

static void a_stuck_child_is_told_and_killed(void **state)
{
    const struct child_policy policies[] = {
        {.ping_ms = 1, .stuck_ms = SOON_MS, .kill_ms = SOON_MS},
        {.stuck_ms = SOON_MS, .kill_ms = SOON_MS},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(policies); i++) {
        struct world w;
        open_world(&w);
        start(&w, run_hang, policies[i]);
        run_until(&w, has_frame);
        child_watch(w.child, true);
        run_until(&w, is_ended);
        assert_int_equal(w.stuck, 1);
        assert_int_equal(w.killed, 1);
        assert_non_null(strstr(buf_cstr(&w.events), "|killed: did not answer for "));
        assert_null(strstr(buf_cstr(&w.events), "memory"));
        close_world(&w);
    }
}

/* On a busy machine it may have been silent before, and have answered again. */
static bool is_last_event(struct world *w, struct str event)
{
    struct str all = buf_str(&w->events);

    return w->is_late || (all.len >= event.len &&
                          str_equal(str_slice(all, all.len - event.len, all.len), event));
}

static bool is_told_stopped(void *owner)
{
    return is_last_event(owner, STR("stopped by SIGSTOP|"));
}

static bool is_told_to_answer(void *owner)
{
    return is_last_event(owner, STR("stopped by SIGSTOP|answers again|"));
}

static void a_stopped_child_comes_back(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    start(&w, run_echo, pinged);
    child_watch(w.child, true);
    run_until(&w, has_frame);
    kill(child_pid(w.child), SIGSTOP);
    run_until(&w, is_told_stopped);
    assert_true(child_is_stuck(w.child) && !child_was_killed(w.child));
    kill(child_pid(w.child), SIGCONT);
    run_until(&w, is_told_to_answer);
    assert_false(child_is_stuck(w.child));
    close_world(&w);
}

static void a_child_that_stays_stopped_is_killed(void **state)
{
    const struct child_policy policy = {.stopped_ms = 80};
    struct world w;

    (void)state;
    open_world(&w);
    start(&w, run_hang, policy);
    run_until(&w, has_frame);
    child_watch(w.child, true);
    kill(child_pid(w.child), SIGSTOP);
    run_until(&w, is_ended);
    unit_equal("events", buf_cstr(&w.events),
               "killed: stopped by SIGSTOP and not continued|"
               "killed: stopped by SIGSTOP and not continued|");
    close_world(&w);
}

/* ---- frames ---- */

/* Reads nothing until it is told to by a signal. */
static int run_late_reader(int fd, void *ctx)
{
    sigset_t set;
    int number;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    send_text(fd, STR("ready"));
    sigwait(&set, &number);
    return run_echo(fd, ctx);
}

static void what_is_not_read_waits_within_a_bound(void **state)
{
    static char large[LARGE];
    struct err e = {0};
    struct world w;
    size_t sent = 0;

    (void)state;
    open_world(&w);
    start(&w, run_late_reader, (struct child_policy){0});
    run_until(&w, has_frame);
    memset(large, 'x', sizeof large);
    while (child_takes_at_once(w.child)) {
        assert_int_equal(child_send(w.child, (struct str){large, LARGE}, -1, &e), 0);
        sent++;
    }
    for (int i = 1; i < CHILD_MAX_UNSENT; i++, sent++)
        assert_int_equal(child_send(w.child, (struct str){large, LARGE}, -1, &e), 0);
    assert_int_equal(child_send(w.child, STR("more"), -1, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    kill(child_pid(w.child), SIGUSR1);
    child_leave(w.child, CLOCK_NEVER_MS); /* what waits is sent before the end */
    run_until(&w, is_ended);
    assert_int_equal(w.frame_count, sent + 1);
    unit_equal("events", buf_cstr(&w.events), "ended with exit status 0|");
    close_world(&w);
}

/* It never reads: that its socket is full is no reason not to find it stuck. */
static void a_child_that_reads_nothing_is_stuck(void **state)
{
    static char large[LARGE];
    struct err e = {0};
    struct world w;

    (void)state;
    open_world(&w);
    start(&w, run_hang, pinged);
    run_until(&w, has_frame);
    memset(large, 'x', sizeof large);
    while (child_takes_at_once(w.child))
        assert_int_equal(child_send(w.child, (struct str){large, LARGE}, -1, &e), 0);
    child_watch(w.child, true);
    run_until(&w, was_stuck);
    close_world(&w);
}

static int run_flood(int fd, void *ctx)
{
    (void)ctx;
    while (send_text(fd, STR("more")) == 0)
        continue;
    return 0;
}

/* Timers have their turn, and its end can be had. */
static void a_flood_keeps_nobody_waiting(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    start(&w, run_flood, (struct child_policy){0});
    run_for(&w, 200, is_later);
    assert_true(w.frame_count > 100);
    child_kill(w.child, "not wanted any more");
    run_until(&w, is_ended);
    unit_equal("events", buf_cstr(&w.events),
               "killed: not wanted any more|killed: not wanted any more|");
    close_world(&w);
}

/* Sends back one byte through the descriptor that comes with each frame. */
static int run_descriptors(int fd, void *ctx)
{
    struct buf frame = {0};
    int passed;

    (void)ctx;
    while (frame_receive(fd, &frame, &passed, ERR_IGNORED) == IO_DONE)
        if (passed < 0 || frame_send(fd, buf_str(&frame), passed, ERR_IGNORED) != IO_DONE ||
            close(passed) != 0)
            return 9;
    buf_free(&frame);
    return 0;
}

static void descriptors_go_there_and_back(void **state)
{
    enum { MANY = 100 };
    static char large[LARGE];
    struct err e = {0};
    struct world w;
    int pair[2];
    char got[MANY];
    size_t sent = 0;

    (void)state;
    open_world(&w);
    start(&w, run_descriptors, (struct child_policy){0});
    assert_int_equal(pipe(pair), 0);
    kill(child_pid(w.child), SIGSTOP); /* so that some of them wait */
    while (sent < MANY && child_send(w.child, (struct str){large, LARGE}, pair[1], &e) == 0)
        sent++;
    assert_false(child_takes_at_once(w.child));
    close(pair[1]);
    kill(child_pid(w.child), SIGCONT);
    child_leave(w.child, CLOCK_NEVER_MS);
    run_until(&w, is_ended);
    unit_equal("events", buf_cstr(&w.events), "ended with exit status 0|");
    for (size_t n = 0; n < sent; n++)
        assert_int_equal(read(pair[0], got, 1), 1);
    assert_int_equal(read(pair[0], got, 1), 0); /* no copy stayed behind */
    close(pair[0]);
    close_world(&w);
}

/* ---- what its owner does inside of callbacks ---- */

static void freed_and_killed_inside(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        struct world w;
        open_world(&w);
        w.frees_in_frame = which == 0;
        w.frees_in_event = which == 1;
        w.kills_in_frame = which >= 2;
        start(&w, which == 3 ? run_flood : run_nonsense, (struct child_policy){0});
        run_until(&w, is_gone);
        assert_int_equal(w.frame_count, which == 1 ? 2 : 1);
        close_world(&w);
    }
}

static void told_to_leave(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    start(&w, run_echo, pinged);
    child_watch(w.child, true);
    child_leave(w.child, CLOCK_NEVER_MS);
    struct err e = {0};
    assert_int_equal(child_send(w.child, STR("late"), -1, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    run_until(&w, is_ended);
    unit_equal("events", buf_cstr(&w.events), "ended with exit status 0|");
    close_world(&w);

    open_world(&w);
    start(&w, run_hang, (struct child_policy){0});
    child_leave(w.child, clock_now_ms() + SOON_MS);
    run_until(&w, is_ended);
    assert_int_equal(w.killed, 1);
    assert_non_null(strstr(buf_cstr(&w.events), "killed: did not leave when it was told to|"));
    close_world(&w);
}

#define CASE(test) cmocka_unit_test_teardown(test, unit_wait_for_children)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_end_has_its_words),
        CASE(an_end_without_sigchld),
        CASE(an_end_that_others_waited_for),
        CASE(no_memory_for_a_frame),
        CASE(a_child_that_answers_is_not_stuck),
        CASE(an_unwatched_child_is_left_alone),
        CASE(a_stuck_child_is_told_and_killed),
        CASE(a_stopped_child_comes_back),
        CASE(a_child_that_stays_stopped_is_killed),
        CASE(what_is_not_read_waits_within_a_bound),
        CASE(a_child_that_reads_nothing_is_stuck),
        CASE(a_flood_keeps_nobody_waiting),
        CASE(descriptors_go_there_and_back),
        CASE(freed_and_killed_inside),
        CASE(told_to_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
