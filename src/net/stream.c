#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct stream {
    int fd;
    struct tls *tls; /* NULL: plain TCP */
    bool is_ended;   /* our side */
    struct loop_wake wake;
    struct loop_fd source; /* added with the first IO_WANT_… */
    unsigned wanted;       /* what is waited for; the loop may be asked for more */
    struct loop_call turn;
};

enum { MAX_DROPPED_BYTES = 1 << 20 };

/* Nobody waits for what is ready: the loop is asked for less. That is done here and not in the step
 * that waits no more, since most steps soon wait for the same again. */
static void ask_for_less(struct stream *s)
{
    if ((s->source.ready & LOOP_HANGUP) != 0)
        loop_remove(s->wake.loop, &s->source); /* would be reported for ever */
    else
        loop_change(s->wake.loop, &s->source, s->wanted);
}

static void on_ready(void *owner)
{
    struct stream *s = owner;
    bool is_hangup = (s->source.ready & LOOP_HANGUP) != 0;
    unsigned ready = is_hangup ? LOOP_READ | LOOP_WRITE : s->source.ready;

    if ((s->wanted & ready) != 0) {
        s->wanted &= ~ready;
        s->wake.call(s->wake.owner);
    } else if (s->turn.link == NULL) {
        ask_for_less(s);
    }
}

/* Returns `io`, or IO_ERR. */
static enum io wait_for(struct stream *s, enum io io, struct err *e)
{
    s->wanted |= io == IO_WANT_READ ? LOOP_READ : LOOP_WRITE;
    if (s->source.is_added)
        loop_change(s->wake.loop, &s->source, s->source.wanted | s->wanted);
    else if (loop_add(s->wake.loop, &s->source, s->wanted, e) != 0)
        return IO_ERR;
    return io;
}

struct stream *stream_new(int fd, const struct loop_wake *wake)
{
    struct stream *s = calloc(1, sizeof *s);

    if (s == NULL) {
        close(fd);
        return NULL;
    }
    s->fd = fd;
    s->source = (struct loop_fd){.fd = fd, .call = on_ready, .owner = s};
    stream_set_wake(s, wake);
    return s;
}

void stream_set_wake(struct stream *s, const struct loop_wake *wake)
{
    s->wake = *wake;
    s->wanted = 0;
    loop_undefer(wake->loop, &s->turn);
    s->turn = (struct loop_call){.call = wake->call, .owner = wake->owner};
    if (s->tls != NULL && tls_has_input(s->tls))
        stream_yield(s);
}

void stream_yield(struct stream *s)
{
    loop_defer(s->wake.loop, &s->turn);
}

int stream_expect(struct stream *s, struct err *e)
{
    if (s->tls != NULL && tls_has_input(s->tls))
        stream_yield(s);
    return wait_for(s, IO_WANT_READ, e) == IO_ERR ? -1 : 0;
}

/* With something unread, closing would send a reset, which may overtake what we sent. */
static void drop_input(const struct stream *s)
{
    char data[4096];
    ssize_t n = 1;

    for (size_t dropped = 0; n > 0 && dropped < MAX_DROPPED_BYTES; dropped += (size_t)n)
        n = recv(s->fd, data, sizeof data, MSG_DONTWAIT);
}

void stream_end(struct stream *s)
{
    struct err ignored;

    if (s->tls != NULL)
        tls_close(s->tls, &ignored);
    shutdown(s->fd, SHUT_WR);
    s->is_ended = true;
}

void stream_free(struct stream *s)
{
    struct err ignored;

    if (s == NULL)
        return;
    if (s->tls != NULL)
        tls_close(s->tls, &ignored);
    tls_free(s->tls);
    if (s->is_ended)
        drop_input(s);
    loop_undefer(s->wake.loop, &s->turn);
    loop_remove(s->wake.loop, &s->source);
    close(s->fd);
    free(s);
}

static enum io read_socket(void *ctx, void *data, size_t size, size_t *n, struct err *e)
{
    struct stream *s = ctx;
    ssize_t got;

    do
        got = recv(s->fd, data, size, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        *n = (size_t)got;
        return IO_DONE;
    }
    if (got == 0)
        return IO_EOF;
    if (errno == EAGAIN)
        return wait_for(s, IO_WANT_READ, e);
    err_errno(e, ERR_NETWORK, errno, "cannot receive");
    return IO_ERR;
}

static enum io write_socket(struct stream *s, struct str first, struct str second, size_t *n,
                            struct err *e)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)first.p, first.len},
                             {(void *)(uintptr_t)second.p, second.len}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t put;

    do
        put = sendmsg(s->fd, &m, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put >= 0) {
        *n = (size_t)put;
        return IO_DONE;
    }
    if (errno == EAGAIN)
        return wait_for(s, IO_WANT_WRITE, e);
    err_errno(e, ERR_NETWORK, errno, "cannot send");
    /* Who did not get all of a request, for whatever reason, shall not be waited for. */
    shutdown(s->fd, SHUT_WR);
    return IO_ERR;
}

static enum io write_one(void *ctx, struct str data, size_t *n, struct err *e)
{
    return write_socket(ctx, data, STR(""), n, e);
}

int stream_start_tls(struct stream *s, struct tls_options options, struct err *e)
{
    options.transport = (struct tls_transport){s, read_socket, write_one};
    s->tls = tls_new(&options, e);
    return s->tls == NULL ? -1 : 0;
}

enum io stream_handshake(struct stream *s, struct err *e)
{
    return s->tls == NULL ? IO_DONE : tls_handshake(s->tls, e);
}

const struct tls *stream_tls(const struct stream *s)
{
    return s->tls;
}

enum io stream_read(struct stream *s, void *data, size_t size, size_t *n, struct err *e)
{
    return s->tls == NULL ? read_socket(s, data, size, n, e) : tls_read(s->tls, data, size, n, e);
}

enum io stream_write(struct stream *s, struct str data, size_t *n, struct err *e)
{
    return stream_write2(s, data, STR(""), n, e);
}

/* Both parts are staged before anything is written: a head and its body go together. */
static enum io write_tls(struct tls *tls, struct str first, struct str second, size_t *n,
                         struct err *e)
{
    size_t more = 0;
    enum io r = IO_DONE;

    *n = 0;
    if (first.len > 0)
        r = tls_write(tls, first, n, e);
    if (r == IO_DONE && *n == first.len && second.len > 0)
        r = tls_write(tls, second, &more, e);
    if (r == IO_ERR || tls_flush(tls, e) == IO_ERR)
        return IO_ERR;
    *n += more;
    return *n > 0 ? IO_DONE : r;
}

enum io stream_write2(struct stream *s, struct str first, struct str second, size_t *n,
                      struct err *e)
{
    return s->tls == NULL ? write_socket(s, first, second, n, e)
                          : write_tls(s->tls, first, second, n, e);
}

bool stream_is_stale(struct stream *s)
{
    char byte;

    return (s->tls != NULL && tls_has_input(s->tls)) ||
           recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

size_t stream_unacknowledged(const struct stream *s)
{
    size_t staged = s->tls == NULL ? 0 : tls_output_bytes(s->tls);
    int queued = 0;

    if (ioctl(s->fd, TIOCOUTQ, &queued) != 0 || queued < 0)
        queued = 0;
    return staged + (size_t)queued;
}
