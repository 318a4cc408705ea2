#include "net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

int dial_start(struct dial *d, const struct loop_wake *wake, struct str host, uint16_t port,
               int64_t deadline_ms, struct err *e)
{
    memset(d, 0, sizeof *d);
    d->wake = *wake;
    d->alarm = (struct loop_timer){.call = wake->call, .owner = wake->owner};
    for (size_t i = 0; i < ADDR_MAX; i++)
        d->attempts[i] = (struct dial_attempt){.dial = d, .fd = -1};
    d->begun_ms = clock_now_ms();
    d->deadline_ms = deadline_ms == CLOCK_NEVER_MS ? d->begun_ms + DIAL_TIMEOUT_MS : deadline_ms;
    return resolve_start(&d->resolve, wake, host, port, d->deadline_ms, e);
}

/* The rank of an error by its use for the user: a server that refuses, then any other answer, then
 * that this host has no way to that kind of address. */
static int weight_of_error(int number)
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

/* Takes the attempt's descriptor, which is the caller's then. */
static int take_attempt_descriptor(struct dial_attempt *attempt)
{
    int fd = attempt->fd;

    loop_remove(attempt->dial->wake.loop, &attempt->source);
    attempt->fd = -1;
    return fd;
}

static void close_attempt(struct dial_attempt *attempt)
{
    if (attempt->fd >= 0)
        close(take_attempt_descriptor(attempt));
}

/* A failed attempt starts the next one at once. */
static void note_attempt_failure(struct dial *d, struct dial_attempt *attempt, int number,
                                 int64_t now_ms)
{
    close_attempt(attempt);
    d->next_start_ms = now_ms;
    if (weight_of_error(number) > weight_of_error(d->last_errno))
        d->last_errno = number;
}

static bool is_out_of_resources(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOMEM || number == ENOBUFS;
}

static void on_attempt(void *owner)
{
    struct dial_attempt *attempt = owner;
    const struct loop_wake *wake = &attempt->dial->wake;

    attempt->is_ready = true;
    wake->call(wake->owner);
}

/* -1 when it cannot be watched. */
static int connect_attempt(struct dial *d, struct dial_attempt *attempt, const struct addr *a,
                           int64_t now_ms, struct err *e)
{
    attempt->is_ready = connect(attempt->fd, (const struct sockaddr *)&a->storage, a->len) == 0;
    if (attempt->is_ready)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR) {
        note_attempt_failure(d, attempt, errno, now_ms);
        return 0;
    }
    attempt->source = (struct loop_fd){.fd = attempt->fd, .call = on_attempt, .owner = attempt};
    if (loop_add(d->wake.loop, &attempt->source, LOOP_WRITE, e) != 0)
        return err_wrap(e, "cannot connect to %s", d->resolve.endpoint);
    return 0;
}

/* Starts the next attempt. -1 when this host has no socket to give. */
static int start_attempt(struct dial *d, int64_t now_ms, struct err *e)
{
    struct dial_attempt *attempt = &d->attempts[d->started];
    const struct addr *a = &d->addrs.items[d->started++];
    int on = 1;

    d->next_start_ms = now_ms + DIAL_STAGGER_MS;
    attempt->fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->fd < 0 && is_out_of_resources(errno))
        return err_errno(e, ERR_FAILED, errno, "cannot connect to %s", d->resolve.endpoint);
    if (attempt->fd < 0) {
        note_attempt_failure(d, attempt, errno, now_ms);
        return 0;
    }
    setsockopt(attempt->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(attempt->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    return connect_attempt(d, attempt, a, now_ms, e);
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
static int outcome_of_connect(int fd)
{
    int number = 0;
    socklen_t len = sizeof number;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0)
        return errno;
    return number == 0 && is_connected_to_itself(fd) ? ECONNREFUSED : number;
}

/* Looks at every attempt that came to an end; returns the connected one or NULL. */
static struct dial_attempt *look_at_attempts(struct dial *d, int64_t now_ms)
{
    for (size_t i = 0; i < d->started; i++) {
        struct dial_attempt *attempt = &d->attempts[i];
        if (attempt->fd < 0 || !attempt->is_ready)
            continue;
        int number = outcome_of_connect(attempt->fd);
        if (number == 0)
            return attempt;
        note_attempt_failure(d, attempt, number, now_ms);
    }
    return NULL;
}

static bool has_attempt(const struct dial *d)
{
    for (size_t i = 0; i < d->started; i++)
        if (d->attempts[i].fd >= 0)
            return true;
    return false;
}

static enum io fail_dial(struct dial *d, struct err *e)
{
    const char *endpoint = d->resolve.endpoint;

    /* A refusal by one address is a better cause than the silence of another. */
    if (has_attempt(d) && weight_of_error(d->last_errno) < weight_of_error(ECONNREFUSED))
        err_set(e, ERR_NETWORK, "cannot connect to %s: no answer within %lld s", endpoint,
                (long long)(d->deadline_ms - d->begun_ms + 999) / 1000);
    else
        err_errno(e, ERR_NETWORK, d->last_errno, "cannot connect to %s", endpoint);
    dial_cancel(d);
    return IO_ERR;
}

static enum io race_attempts(struct dial *d, int64_t now_ms, int *fd, struct err *e)
{
    for (;;) {
        struct dial_attempt *winner = look_at_attempts(d, now_ms);
        if (winner != NULL) {
            *fd = take_attempt_descriptor(winner);
            dial_cancel(d);
            return IO_DONE;
        }
        if (now_ms >= d->deadline_ms && d->started > 0)
            return fail_dial(d, e);
        if (d->started == d->addrs.count)
            return has_attempt(d) ? IO_WANT_WRITE : fail_dial(d, e);
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
    enum io io = race_attempts(d, now_ms, fd, e);
    if (io == IO_WANT_WRITE)
        loop_set_timer(d->wake.loop, &d->alarm,
                       d->started < d->addrs.count ? clock_earlier(d->next_start_ms, d->deadline_ms)
                                                   : d->deadline_ms);
    return io;
}

void dial_cancel(struct dial *d)
{
    resolve_cancel(&d->resolve);
    if (d->wake.loop != NULL)
        loop_clear_timer(d->wake.loop, &d->alarm);
    for (size_t i = 0; i < d->started; i++)
        close_attempt(&d->attempts[i]);
}
