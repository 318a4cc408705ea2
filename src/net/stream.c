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
};

enum { MAX_DROPPED_BYTES = 1 << 20 };

struct stream *stream_new(int fd)
{
    struct stream *s = calloc(1, sizeof *s);

    if (s == NULL)
        close(fd);
    else
        s->fd = fd;
    return s;
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
    close(s->fd);
    free(s);
}

static enum io read_socket(void *ctx, void *data, size_t size, size_t *n, struct err *e)
{
    const struct stream *s = ctx;
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
        return IO_WANT_READ;
    err_errno(e, ERR_NETWORK, errno, "cannot receive");
    return IO_ERR;
}

static enum io write_socket(const struct stream *s, struct str first, struct str second, size_t *n,
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
        return IO_WANT_WRITE;
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
    struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLRDHUP};

    return (s->tls != NULL && tls_has_input(s->tls)) || poll(&p, 1, 0) != 0;
}

size_t stream_unacknowledged(const struct stream *s)
{
    size_t staged = s->tls == NULL ? 0 : tls_output_bytes(s->tls);
    int queued = 0;

    if (ioctl(s->fd, TIOCOUTQ, &queued) != 0 || queued < 0)
        queued = 0;
    return staged + (size_t)queued;
}

void stream_poll(const struct stream *s, bool wants_read, bool wants_write, struct pollset *set)
{
    if (s->tls != NULL && tls_has_output(s->tls))
        wants_write = true;
    if (s->tls != NULL && wants_read && tls_has_input(s->tls))
        pollset_wake_at(set, 0);
    pollset_add(set, s->fd, (short)((wants_read ? POLLIN : 0) | (wants_write ? POLLOUT : 0)));
}
