#include "base/ready.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>

static short events_of(unsigned wanted)
{
    return (short)(((wanted & READY_READ) != 0 ? POLLIN : 0) |
                   ((wanted & READY_WRITE) != 0 ? POLLOUT : 0) |
                   ((wanted & READY_HANGUP) != 0 ? POLLRDHUP : 0));
}

static unsigned ready_of_poll(short events)
{
    return ((events & POLLIN) != 0 ? (unsigned)READY_READ : 0) |
           ((events & POLLOUT) != 0 ? (unsigned)READY_WRITE : 0) |
           ((events & POLLRDHUP) != 0 ? (unsigned)READY_HANGUP : 0) |
           ((events & (POLLHUP | POLLERR | POLLNVAL)) != 0 ? (unsigned)READY_FAILED : 0);
}

static int int_of(int64_t wait_ms)
{
    return wait_ms < 0 ? -1 : wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}

unsigned ready_look(int fd, unsigned wanted)
{
    struct pollfd p = {.fd = fd, .events = events_of(wanted)};

    return poll(&p, 1, 0) > 0 ? ready_of_poll(p.revents) : 0;
}

unsigned ready_wait(int fd, unsigned wanted, int64_t wait_ms)
{
    struct pollfd p = {.fd = fd, .events = events_of(wanted)};
    int n = poll(&p, 1, int_of(wait_ms));

    if (n < 0 && errno != EINTR)
        return READY_FAILED;
    return n > 0 ? ready_of_poll(p.revents) : 0;
}

void ready_sleep(int64_t pause_ms)
{
    if (pause_ms > 0)
        poll(NULL, 0, int_of(pause_ms));
}
