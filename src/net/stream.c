#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * Plain TCP. A TLS engine becomes a second member, made by a second constructor; then reading and
 * writing go through it, and what it wants of the socket goes into stream_poll.
 */
struct stream {
    int fd;
};

struct stream *stream_new(int fd)
{
    struct stream *s = calloc(1, sizeof *s);

    if (s == NULL)
        close(fd);
    else
        s->fd = fd;
    return s;
}

void stream_free(struct stream *s)
{
    if (s == NULL)
        return;
    close(s->fd);
    free(s);
}

enum io stream_read(struct stream *s, void *data, size_t size, size_t *n, struct err *e)
{
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

enum io stream_write(struct stream *s, struct str data, size_t *n, struct err *e)
{
    return stream_write2(s, data, STR(""), n, e);
}

enum io stream_write2(struct stream *s, struct str first, struct str second, size_t *n,
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
    return IO_ERR;
}

enum io stream_shutdown(struct stream *s, struct err *e)
{
    if (shutdown(s->fd, SHUT_WR) == 0)
        return IO_DONE;
    err_errno(e, ERR_NETWORK, errno, "cannot end the connection");
    return IO_ERR;
}

bool stream_is_stale(struct stream *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLRDHUP};

    return poll(&p, 1, 0) != 0;
}

int stream_fd(const struct stream *s)
{
    return s->fd;
}

void stream_poll(const struct stream *s, bool wants_read, bool wants_write, struct pollset *set)
{
    pollset_add(set, s->fd, (short)((wants_read ? POLLIN : 0) | (wants_write ? POLLOUT : 0)));
}
