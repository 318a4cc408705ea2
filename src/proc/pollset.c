#include "proc/pollset.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

/* poll's clock stops while the machine is suspended and ours does not: look again that often. */
enum { POLLSET_LONGEST_WAIT_MS = 60000, POLLSET_FIRST_CAP = 16, POLLSET_PART_WAIT_MS = 100 };

void pollset_clear(struct pollset *set)
{
    set->count = 0;
    set->has_deadline = false;
    set->failed = false;
}

void pollset_free(struct pollset *set)
{
    free(set->fds);
    *set = (struct pollset){0};
}

static bool grow(struct pollset *set)
{
    size_t cap = set->cap == 0 ? POLLSET_FIRST_CAP : set->cap * 2;
    struct pollfd *fds = realloc(set->fds, cap * sizeof *fds);

    if (fds == NULL)
        return false;
    set->fds = fds;
    set->cap = cap;
    return true;
}

void pollset_add(struct pollset *set, int fd, short events)
{
    if (fd < 0 || set->failed)
        return;
    if (set->count == set->cap && !grow(set)) {
        set->failed = true;
        return;
    }
    set->fds[set->count++] = (struct pollfd){.fd = fd, .events = events};
}

void pollset_wake_at(struct pollset *set, int64_t deadline_ms)
{
    if (deadline_ms == CLOCK_NEVER_MS)
        return;
    if (!set->has_deadline || deadline_ms < set->deadline_ms)
        set->deadline_ms = deadline_ms;
    set->has_deadline = true;
}

static int timeout_ms(const struct pollset *set)
{
    int64_t longest = set->failed ? POLLSET_PART_WAIT_MS : POLLSET_LONGEST_WAIT_MS;
    int64_t left = set->has_deadline ? set->deadline_ms - clock_now_ms() : longest;

    if (!set->has_deadline && !set->failed)
        return -1;
    if (left <= 0)
        return 0;
    return (int)(left < longest ? left : longest);
}

int pollset_wait(struct pollset *set, struct err *e)
{
    int n = poll(set->fds, set->count, timeout_ms(set));
    if (n >= 0)
        return n;
    int number = errno;
    for (size_t i = 0; i < set->count; i++)
        set->fds[i].revents = 0;
    return number == EINTR ? 0 : err_errno(e, ERR_FAILED, number, "cannot wait for events");
}

short pollset_events(const struct pollset *set, int fd)
{
    short events = 0;

    for (size_t i = 0; i < set->count; i++)
        if (set->fds[i].fd == fd)
            events = (short)(events | set->fds[i].revents);
    return events;
}
