#include "net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

int dial_start(struct dial *d, struct str host, uint16_t port, int64_t deadline_ms, struct err *e)
{
    memset(d, 0, sizeof *d);
    for (size_t i = 0; i < ADDR_MAX; i++)
        d->fds[i] = -1;
    d->begun_ms = clock_now_ms();
    d->deadline_ms = deadline_ms == CLOCK_NEVER_MS ? d->begun_ms + DIAL_TIMEOUT_MS : deadline_ms;
    return resolve_start(&d->resolve, host, port, d->deadline_ms, e);
}

/* What tells the user most: that somebody is there and refuses, then any other answer, then that
 * this host has no way to that kind of address. */
static int weight(int number)
{
    switch (number) {
    case 0: return 0;
    case EAFNOSUPPORT:
    case EADDRNOTAVAIL:
    case ENETUNREACH: return 1;
    case EHOSTUNREACH:
    case ETIMEDOUT: return 2;
    case ECONNREFUSED: return 4;
    default: return 3;
    }
}

/* A failed attempt starts the next one at once. */
static void note_failure(struct dial *d, size_t i, int number, int64_t now_ms)
{
    if (d->fds[i] >= 0)
        close(d->fds[i]);
    d->fds[i] = -1;
    d->next_start_ms = now_ms;
    if (weight(number) > weight(d->last_errno))
        d->last_errno = number;
}

static bool is_out_of_resources(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOMEM || number == ENOBUFS;
}

/* Starts the next attempt. -1 when this host has no socket to give. */
static int start_attempt(struct dial *d, int64_t now_ms, struct err *e)
{
    size_t i = d->started++;
    const struct addr *a = &d->addrs.items[i];
    int on = 1;

    d->next_start_ms = now_ms + DIAL_STAGGER_MS;
    d->fds[i] = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fds[i] < 0 && is_out_of_resources(errno))
        return err_errno(e, ERR_FAILED, errno, "cannot connect to %s", d->resolve.endpoint);
    if (d->fds[i] < 0) {
        note_failure(d, i, errno, now_ms);
        return 0;
    }
    setsockopt(d->fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(d->fds[i], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(d->fds[i], (const struct sockaddr *)&a->storage, a->len) != 0 &&
        errno != EINPROGRESS && errno != EINTR)
        note_failure(d, i, errno, now_ms);
    return 0;
}

/* A port of our own range without a listener can connect to itself (simultaneous open). */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage own, peer;
    socklen_t own_len = sizeof own, peer_len = sizeof peer;

    memset(&own, 0, sizeof own);
    memset(&peer, 0, sizeof peer);
    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           memcmp(&own, &peer, own_len) == 0;
}

/* 0 when connected, else the errno of the failure. */
static int outcome(int fd)
{
    int number = 0;
    socklen_t len = sizeof number;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0)
        return errno;
    return number == 0 && is_connected_to_itself(fd) ? ECONNREFUSED : number;
}

/* Looks at every attempt that is under way; returns the connected one's index or -1. */
static int look_at_attempts(struct dial *d, int64_t now_ms)
{
    struct pollfd fds[ADDR_MAX];

    for (size_t i = 0; i < d->started; i++)
        fds[i] = (struct pollfd){.fd = d->fds[i], .events = POLLOUT};
    if (poll(fds, d->started, 0) <= 0)
        return -1;
    for (size_t i = 0; i < d->started; i++) {
        if (d->fds[i] < 0 || fds[i].revents == 0)
            continue;
        int number = outcome(d->fds[i]);
        if (number == 0)
            return (int)i;
        note_failure(d, i, number, now_ms);
    }
    return -1;
}

static bool has_attempt(const struct dial *d)
{
    for (size_t i = 0; i < d->started; i++)
        if (d->fds[i] >= 0)
            return true;
    return false;
}

static enum io fail(struct dial *d, struct err *e)
{
    const char *endpoint = d->resolve.endpoint;

    /* A refusal by one address tells more than the silence of another. */
    if (has_attempt(d) && weight(d->last_errno) < weight(ECONNREFUSED))
        err_set(e, ERR_NETWORK, "cannot connect to %s: no answer within %lld s", endpoint,
                (long long)(d->deadline_ms - d->begun_ms + 999) / 1000);
    else
        err_errno(e, ERR_NETWORK, d->last_errno, "cannot connect to %s", endpoint);
    dial_cancel(d);
    return IO_ERR;
}

static enum io race(struct dial *d, int64_t now_ms, int *fd, struct err *e)
{
    for (;;) {
        int winner = look_at_attempts(d, now_ms);
        if (winner >= 0) {
            *fd = d->fds[winner];
            d->fds[winner] = -1;
            dial_cancel(d);
            return IO_DONE;
        }
        if (now_ms >= d->deadline_ms && d->started > 0)
            return fail(d, e);
        if (d->started == d->addrs.count)
            return has_attempt(d) ? IO_WANT_WRITE : fail(d, e);
        if (d->started > 0 && now_ms < d->next_start_ms)
            return IO_WANT_WRITE;
        if (start_attempt(d, now_ms, e) != 0) {
            dial_cancel(d);
            return IO_ERR;
        }
    }
}

enum io dial_step(struct dial *d, int64_t now_ms, int *fd, struct err *e)
{
    if (!d->is_racing) {
        enum io io = resolve_step(&d->resolve, now_ms, &d->addrs, e);
        if (io != IO_DONE)
            return io;
        addr_interleave(&d->addrs);
        d->is_racing = true;
    }
    return race(d, now_ms, fd, e);
}

void dial_poll(const struct dial *d, struct pollset *set)
{
    if (!d->is_racing) {
        resolve_poll(&d->resolve, set);
        return;
    }
    for (size_t i = 0; i < d->started; i++)
        pollset_add(set, d->fds[i], POLLOUT);
    if (d->started < d->addrs.count)
        pollset_wake_at(set, d->next_start_ms);
    pollset_wake_at(set, d->deadline_ms);
}

void dial_cancel(struct dial *d)
{
    resolve_cancel(&d->resolve);
    for (size_t i = 0; i < d->started; i++) {
        if (d->fds[i] >= 0)
            close(d->fds[i]);
        d->fds[i] = -1;
    }
}
