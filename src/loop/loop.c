#include "loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"

/* epoll's clock stops while the machine is suspended and ours does not: look again that often. */
enum { MAX_EVENTS = 256, LONGEST_WAIT_MS = 60000, STALE_MS = 20 };

#if defined __SANITIZE_ADDRESS__
enum { IS_CHECKED = 1 };
#else
enum { IS_CHECKED = 0 };
#endif

struct calls {
    struct loop_call *first, **last;
};

struct loop {
    int epoll_fd;
    unsigned generation; /* of the process that made it */
    bool is_stopped, is_in_timers;
    struct loop_clock *clock;
    int64_t now_ms, limit_ms;
    struct epoll_event fetched[MAX_EVENTS]; /* data.ptr NULL: removed since */
    int fetched_count, fetched_next;
    struct loop_fd *files, *next_file; /* the next one whose turn it is in this round */
    struct loop_fd *stale;
    struct heap timers;
    struct calls calls, late; /* the latter have to wait for the next round */
    void (*guard)(void *owner); /* may be NULL */
    void *guard_owner;
    uint64_t round;
};

/* How many forks are between this process and the first, and how deep it is in callbacks. */
static unsigned process_generation, depth;

void loop_after_fork(void)
{
    process_generation++;
    depth = 0;
}

static int64_t read_clock(const struct loop *loop)
{
    return loop->clock != NULL && loop->clock->jumps ? loop->clock->now_ms : clock_now_ms();
}

struct loop *loop_new(struct loop_clock *clock, struct err *e)
{
    struct loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        err_errno(e, ERR_FAILED, errno, "cannot open an epoll descriptor");
        free(loop);
        return NULL;
    }
    loop->generation = process_generation;
    loop->clock = clock;
    loop->calls.last = &loop->calls.first;
    loop->late.last = &loop->late.first;
    loop->now_ms = read_clock(loop);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    close(loop->epoll_fd);
    free(loop);
}

/* --- descriptors --- */

static int control_epoll(struct loop *loop, int operation, struct loop_fd *source, unsigned wanted)
{
    struct epoll_event event = {.data.ptr = source};

    /* The descriptor of epoll is shared with the parent: so would be the change. */
    if (loop->generation != process_generation)
        return 0;
    if ((wanted & LOOP_READ) != 0)
        event.events |= EPOLLIN;
    if ((wanted & LOOP_WRITE) != 0)
        event.events |= EPOLLOUT;
    if ((wanted & LOOP_HANGUP) != 0)
        event.events |= EPOLLRDHUP;
    return epoll_ctl(loop->epoll_fd, operation, source->fd, &event);
}

int loop_add(struct loop *loop, struct loop_fd *source, unsigned wanted, struct err *e)
{
    if (control_epoll(loop, EPOLL_CTL_ADD, source, wanted) == 0) {
        source->is_file = false;
    } else if (errno == EPERM) {
        source->is_file = true;
        source->next_file = loop->files;
        loop->files = source;
    } else {
        return err_errno(e, ERR_FAILED, errno, "cannot watch descriptor %d", source->fd);
    }
    source->wanted = wanted;
    source->is_added = true;
    return 0;
}

void loop_change(struct loop *loop, struct loop_fd *source, unsigned wanted)
{
    if (!source->is_added || source->wanted == wanted)
        return;
    if (!source->is_file && control_epoll(loop, EPOLL_CTL_MOD, source, wanted) != 0 &&
        !source->is_stale) {
        source->is_stale = true;
        source->next_file = loop->stale;
        loop->stale = source;
    }
    source->wanted = wanted;
}

static void unlink_source(struct loop *loop, struct loop_fd *source)
{
    struct loop_fd **link = source->is_file ? &loop->files : &loop->stale;

    while (*link != source)
        link = &(*link)->next_file;
    *link = source->next_file;
    if (loop->next_file == source)
        loop->next_file = source->next_file;
}

void loop_remove(struct loop *loop, struct loop_fd *source)
{
    if (!source->is_added)
        return;
    source->is_added = false;
    if (source->is_file) {
        unlink_source(loop, source);
        return;
    }
    if (source->is_stale)
        unlink_source(loop, source);
    source->is_stale = false;
    control_epoll(loop, EPOLL_CTL_DEL, source, 0);
    for (int i = loop->fetched_next; i < loop->fetched_count; i++)
        if (loop->fetched[i].data.ptr == source)
            loop->fetched[i].data.ptr = NULL;
}

/* --- timers and deferred calls --- */

void loop_set_timer(struct loop *loop, struct loop_timer *timer, int64_t at_ms)
{
    heap_remove(&loop->timers, &timer->node);
    if (at_ms == CLOCK_NEVER_MS)
        return;
    if (loop->is_in_timers && at_ms <= loop->now_ms)
        at_ms = loop->now_ms + 1; /* not due in this round any more */
    heap_add(&loop->timers, &timer->node, at_ms);
}

void loop_clear_timer(struct loop *loop, struct loop_timer *timer)
{
    heap_remove(&loop->timers, &timer->node);
}

int64_t loop_timer_at_ms(const struct loop_timer *timer)
{
    return heap_has(&timer->node) ? timer->node.key : CLOCK_NEVER_MS;
}

void loop_defer(struct loop *loop, struct loop_call *call)
{
    bool had_its_turn = loop->is_in_timers && call->round == loop->round;
    struct calls *calls = had_its_turn ? &loop->late : &loop->calls;

    if (call->link != NULL)
        return;
    call->next = NULL;
    call->link = calls->last;
    *calls->last = call;
    calls->last = &call->next;
}

void loop_undefer(struct loop *loop, struct loop_call *call)
{
    if (call->link == NULL)
        return;
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    else if (loop->late.last == &call->next)
        loop->late.last = call->link;
    else
        loop->calls.last = call->link;
    call->link = NULL;
}

/* A call that had its turn in this round has its next one in the next round. */
static void append_late_calls(struct loop *loop)
{
    struct calls *calls = &loop->calls, *late = &loop->late;

    if (late->first == NULL)
        return;
    *calls->last = late->first;
    late->first->link = calls->last;
    calls->last = late->last;
    *late = (struct calls){NULL, &late->first};
}

/* --- rounds --- */

void loop_set_guard(struct loop *loop, void (*call)(void *owner), void *owner)
{
    loop->guard = call;
    loop->guard_owner = owner;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

void loop_limit_calls(struct loop *loop, int64_t limit_ms)
{
    loop->limit_ms = limit_ms;
}

static void run_call(const struct loop *loop, void (*call)(void *owner), void *owner)
{
    const int64_t limit_ms = IS_CHECKED ? loop->limit_ms : 0;
    int64_t begun_ms = limit_ms > 0 ? clock_now_ms() : 0;

    depth++;
    call(owner);
    depth--;
    if (limit_ms > 0 && clock_now_ms() - begun_ms > limit_ms)
        abort(); /* the sanitizer's stack shows which loop; the callback is in a register */
}

static int timeout_ms(const struct loop *loop)
{
    const struct heap_node *first = loop->timers.first;

    if (loop->calls.first != NULL || loop->files != NULL)
        return 0;
    if (first == NULL)
        return -1;
    int64_t left = first->key - read_clock(loop);
    if (left <= 0 || (loop->clock != NULL && loop->clock->jumps))
        return 0;
    return left < LONGEST_WAIT_MS ? (int)left : LONGEST_WAIT_MS;
}

static void read_time(struct loop *loop)
{
    const struct heap_node *first = loop->timers.first;

    if (loop->clock != NULL && loop->clock->jumps && loop->fetched_count == 0 &&
        loop->calls.first == NULL && loop->files == NULL && first != NULL &&
        first->key > loop->clock->now_ms)
        loop->clock->now_ms = first->key;
    loop->now_ms = read_clock(loop);
}

static unsigned ready_of_epoll(uint32_t events)
{
    unsigned ready = 0;

    if ((events & EPOLLIN) != 0)
        ready |= LOOP_READ;
    if ((events & EPOLLOUT) != 0)
        ready |= LOOP_WRITE;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        ready |= LOOP_HANGUP;
    return ready;
}

static void run_descriptors(struct loop *loop)
{
    while (loop->fetched_next < loop->fetched_count && !loop->is_stopped) {
        const struct epoll_event *event = &loop->fetched[loop->fetched_next++];
        struct loop_fd *source = event->data.ptr;
        if (source == NULL)
            continue;
        source->ready = ready_of_epoll(event->events);
        run_call(loop, source->call, source->owner);
    }
    loop->fetched_count = 0;
    loop->next_file = loop->files;
    while (loop->next_file != NULL && !loop->is_stopped) {
        struct loop_fd *source = loop->next_file;
        loop->next_file = source->next_file;
        source->ready = source->wanted & (LOOP_READ | LOOP_WRITE);
        if (source->ready != 0)
            run_call(loop, source->call, source->owner);
    }
}

static void run_timers(struct loop *loop)
{
    struct heap_node *first;

    loop->is_in_timers = true;
    while ((first = loop->timers.first) != NULL && first->key <= loop->now_ms &&
           !loop->is_stopped) {
        struct loop_timer *timer = (struct loop_timer *)first;
        heap_remove(&loop->timers, first);
        run_call(loop, timer->call, timer->owner);
    }
    while (loop->calls.first != NULL && !loop->is_stopped) {
        struct loop_call *call = loop->calls.first;
        loop_undefer(loop, call);
        call->round = loop->round;
        run_call(loop, call->call, call->owner);
    }
    append_late_calls(loop);
    loop->is_in_timers = false;
}

/* Tries the changes again that epoll refused. */
static void retry_changes(struct loop *loop)
{
    struct loop_fd *source = loop->stale, *next;

    for (; source != NULL; source = next) {
        next = source->next_file;
        if (control_epoll(loop, EPOLL_CTL_MOD, source, source->wanted) != 0)
            continue;
        unlink_source(loop, source);
        source->is_stale = false;
    }
}

static int run_round(struct loop *loop, struct err *e)
{
    int wait_ms = timeout_ms(loop);

    retry_changes(loop);
    if (loop->stale != NULL && (wait_ms < 0 || wait_ms > STALE_MS))
        wait_ms = STALE_MS;
    int n = epoll_wait(loop->epoll_fd, loop->fetched, MAX_EVENTS, wait_ms);

    if (n < 0 && errno != EINTR)
        return err_errno(e, ERR_FAILED, errno, "cannot wait for events");
    loop->fetched_count = n < 0 ? 0 : n;
    loop->fetched_next = 0; /* the guard, too, may remove a descriptor */
    loop->round++;
    read_time(loop);
    if (loop->guard != NULL)
        run_call(loop, loop->guard, loop->guard_owner);
    run_descriptors(loop);
    run_timers(loop);
    return 0;
}

int loop_run(struct loop *loop, struct err *e)
{
    int status = 0;

    while (status == 0 && !loop->is_stopped)
        status = run_round(loop, e);
    loop->is_stopped = false;
    return status;
}

void loop_stop(struct loop *loop)
{
    loop->is_stopped = true;
}

int loop_run_until(struct loop *loop, bool (*is_done)(void *owner), void *owner, struct err *e)
{
    if (depth > 0 && IS_CHECKED)
        abort();
    if (depth > 0)
        return err_set(e, ERR_FAILED, "a callback of an event loop must not wait");
    while (!is_done(owner)) {
        loop->is_stopped = false; /* whole rounds */
        if (run_round(loop, e) != 0)
            return -1;
    }
    return 0;
}
