#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"

/* epoll's clock stops while the machine is suspended and ours does not: look again that often. */
enum { MAX_EVENTS = 256, LONGEST_WAIT_MS = 60000 };

struct loop {
    int epoll_fd;
    bool is_stopped;
    int64_t now_ms;
    struct epoll_event fetched[MAX_EVENTS]; /* data.ptr NULL: removed since */
    int fetched_count, fetched_next;
    struct loop_timer **heap; /* [1] to [timers]; the earliest first */
    size_t timers, heap_cap;
};

struct loop *loop_new(struct err *e)
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
    loop->now_ms = clock_now_ms();
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    close(loop->epoll_fd);
    free(loop->heap);
    free(loop);
}

static int control(struct loop *loop, int operation, struct loop_fd *source, unsigned events)
{
    struct epoll_event event = {.data.ptr = source};

    if ((events & LOOP_READ) != 0)
        event.events |= EPOLLIN;
    if ((events & LOOP_WRITE) != 0)
        event.events |= EPOLLOUT;
    if ((events & LOOP_HANGUP) != 0)
        event.events |= EPOLLRDHUP;
    return epoll_ctl(loop->epoll_fd, operation, source->fd, &event);
}

int loop_add(struct loop *loop, struct loop_fd *source, unsigned events, struct err *e)
{
    if (control(loop, EPOLL_CTL_ADD, source, events) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot watch descriptor %d", source->fd);
    source->events = events;
    source->is_added = true;
    return 0;
}

void loop_change(struct loop *loop, struct loop_fd *source, unsigned events)
{
    if (!source->is_added || source->events == events)
        return;
    control(loop, EPOLL_CTL_MOD, source, events);
    source->events = events;
}

void loop_remove(struct loop *loop, struct loop_fd *source)
{
    if (!source->is_added)
        return;
    control(loop, EPOLL_CTL_DEL, source, 0);
    source->is_added = false;
    for (int i = loop->fetched_next; i < loop->fetched_count; i++)
        if (loop->fetched[i].data.ptr == source)
            loop->fetched[i].data.ptr = NULL;
}

static void put_in_heap(struct loop *loop, struct loop_timer *timer, size_t i)
{
    loop->heap[i] = timer;
    timer->heap_index = i;
}

static void sift_up(struct loop *loop, struct loop_timer *timer, size_t i)
{
    for (; i > 1 && loop->heap[i / 2]->at_ms > timer->at_ms; i /= 2)
        put_in_heap(loop, loop->heap[i / 2], i);
    put_in_heap(loop, timer, i);
}

static void sift_down(struct loop *loop, struct loop_timer *timer, size_t i)
{
    for (;;) {
        size_t child = 2 * i;
        if (child < loop->timers && loop->heap[child + 1]->at_ms < loop->heap[child]->at_ms)
            child++;
        if (child > loop->timers || loop->heap[child]->at_ms >= timer->at_ms)
            break;
        put_in_heap(loop, loop->heap[child], i);
        i = child;
    }
    put_in_heap(loop, timer, i);
}

static bool reserve_timer(struct loop *loop)
{
    size_t cap = loop->heap_cap == 0 ? 64 : loop->heap_cap * 2;

    if (loop->timers + 1 < loop->heap_cap)
        return true;
    struct loop_timer **heap = realloc(loop->heap, cap * sizeof(struct loop_timer *));
    if (heap == NULL)
        return false;
    loop->heap = heap;
    loop->heap_cap = cap;
    return true;
}

int loop_set_timer(struct loop *loop, struct loop_timer *timer, int64_t at_ms)
{
    loop_clear_timer(loop, timer);
    if (at_ms == CLOCK_NEVER_MS)
        return 0;
    if (!reserve_timer(loop))
        return -1;
    timer->at_ms = at_ms;
    sift_up(loop, timer, ++loop->timers);
    return 0;
}

void loop_clear_timer(struct loop *loop, struct loop_timer *timer)
{
    size_t i = timer->heap_index;

    if (i == 0)
        return;
    timer->heap_index = 0;
    struct loop_timer *last = loop->heap[loop->timers--];
    if (last == timer)
        return;
    if (i > 1 && loop->heap[i / 2]->at_ms > last->at_ms)
        sift_up(loop, last, i);
    else
        sift_down(loop, last, i);
}

int64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

void loop_stop(struct loop *loop)
{
    loop->is_stopped = true;
}

static int timeout_ms(const struct loop *loop)
{
    if (loop->timers == 0)
        return -1;
    int64_t left = loop->heap[1]->at_ms - clock_now_ms();
    if (left <= 0)
        return 0;
    return left < LONGEST_WAIT_MS ? (int)left : LONGEST_WAIT_MS;
}

static void dispatch(struct loop *loop)
{
    loop->fetched_next = 0;
    while (loop->fetched_next < loop->fetched_count && !loop->is_stopped) {
        const struct epoll_event *event = &loop->fetched[loop->fetched_next++];
        struct loop_fd *source = event->data.ptr;
        unsigned events = 0;
        if (source == NULL)
            continue;
        if ((event->events & EPOLLIN) != 0)
            events |= LOOP_READ;
        if ((event->events & EPOLLOUT) != 0)
            events |= LOOP_WRITE;
        if ((event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
            events |= LOOP_HANGUP;
        source->on_ready(source, events);
    }
    loop->fetched_count = 0;
}

/* A timer that sets itself again for now has its turn in the next round. */
static void run_timers(struct loop *loop)
{
    for (size_t turns = loop->timers; turns > 0 && loop->timers > 0 && !loop->is_stopped; turns--) {
        struct loop_timer *timer = loop->heap[1];
        if (timer->at_ms > loop->now_ms)
            return;
        loop_clear_timer(loop, timer);
        timer->on_time(timer);
    }
}

int loop_run(struct loop *loop, struct err *e)
{
    while (!loop->is_stopped) {
        int n = epoll_wait(loop->epoll_fd, loop->fetched, MAX_EVENTS, timeout_ms(loop));
        if (n < 0 && errno != EINTR)
            return err_errno(e, ERR_FAILED, errno, "cannot wait for events");
        loop->now_ms = clock_now_ms();
        loop->fetched_count = n < 0 ? 0 : n;
        dispatch(loop);
        run_timers(loop);
    }
    loop->is_stopped = false;
    return 0;
}
