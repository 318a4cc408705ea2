#include "net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/socket.h"
#include "net/stream_transport.h"

enum { MAX_DROPPED_BYTES = 1 << 20, COPY_BYTES = 65536 };

/* Of Linux's struct tcp_info; glibc's is shorter. */
enum { TCP_MIN_RTT_AT = 148, TCP_INFO_BYTES = TCP_MIN_RTT_AT + 4 };

/* ---- what all transports share ---- */

void stream_init(struct stream *s, const struct stream_transport *transport,
                 const struct loop_wake *wake)
{
    *s = (struct stream){.transport = transport, .source.fd = -1};
    stream_set_wake(s, wake);
}

static void leave_stream_loop(struct stream *s)
{
    if (s->wake.loop == NULL)
        return;
    loop_undefer(s->wake.loop, &s->turn);
    s->transport->unwatch(s);
}

void stream_set_wake(struct stream *s, const struct loop_wake *wake)
{
    if (s->wake.loop == wake->loop)
        loop_undefer(wake->loop, &s->turn);
    else
        leave_stream_loop(s);
    s->wake = *wake;
    s->wanted = 0;
    s->expects_loss = false;
    s->turn = (struct loop_call){.call = wake->call, .owner = wake->owner};
    if (s->tls != NULL && tls_has_input(s->tls))
        stream_yield(s);
}

bool stream_wake_owner(struct stream *s, unsigned ready)
{
    if ((ready & LOOP_HANGUP) != 0) {
        ready |= LOOP_READ | LOOP_WRITE;
        s->is_lost = true;
    }
    if ((s->wanted & ready) == 0 && !(s->is_lost && s->expects_loss))
        return false;
    s->wanted &= ~ready;
    s->wake.call(s->wake.owner);
    return true;
}

enum io stream_wait(struct stream *s, enum io io, struct err *e)
{
    unsigned bit = io == IO_WANT_READ ? LOOP_READ : LOOP_WRITE;

    if ((s->wanted & bit) != 0)
        return io;
    s->wanted |= bit;
    return s->transport->watch(s, e) == 0 ? io : IO_ERR;
}

void stream_yield(struct stream *s)
{
    loop_defer(s->wake.loop, &s->turn);
}

int stream_expect(struct stream *s, struct err *e)
{
    if (s->tls != NULL && tls_has_input(s->tls))
        stream_yield(s);
    return stream_wait(s, IO_WANT_READ, e) == IO_ERR ? -1 : 0;
}

int stream_expect_loss(struct stream *s, struct err *e)
{
    s->expects_loss = true;
    return s->transport->watch(s, e);
}

bool stream_is_lost(const struct stream *s)
{
    return s->is_lost;
}

void stream_end(struct stream *s)
{
    struct err ignored;

    if (s->tls != NULL)
        tls_close(s->tls, &ignored);
    s->transport->end(s);
    s->is_ended = true;
}

void stream_drop_unsent(struct stream *s)
{
    s->transport->drop_unsent(s);
}

void stream_free(struct stream *s)
{
    struct err ignored;

    if (s == NULL)
        return;
    if (s->tls != NULL)
        tls_close(s->tls, &ignored);
    tls_free(s->tls);
    leave_stream_loop(s);
    s->transport->close(s);
}

bool stream_peer(const struct stream *s, struct addr *out)
{
    return s->transport->peer(s, out);
}

size_t stream_unacknowledged(const struct stream *s)
{
    return (s->tls == NULL ? 0 : tls_output_bytes(s->tls)) + s->transport->unacknowledged(s);
}

bool stream_has_input(const struct stream *s)
{
    return (s->tls != NULL && tls_has_input(s->tls)) || s->transport->look(s) == IO_DONE;
}

bool stream_is_stale(const struct stream *s)
{
    return (s->tls != NULL && tls_has_input(s->tls)) || s->transport->look(s) != IO_WANT_READ;
}

/* ---- sockets ---- */

/* Asks the loop for fewer events, as none of those that are ready is waited for. The step that
 * waits no more does not do it, since most steps soon wait for the same again. */
static void want_less(struct stream *s)
{
    if ((s->source.ready & LOOP_HANGUP) != 0)
        loop_remove(s->wake.loop, &s->source); /* would be reported for ever */
    else
        loop_change(s->wake.loop, &s->source, s->wanted);
}

static void on_stream_ready(void *owner)
{
    struct stream *s = owner;
    bool has_turn = s->turn.link != NULL;

    if (!stream_wake_owner(s, s->source.ready) && !has_turn)
        want_less(s);
}

static int watch_socket(struct stream *s, struct err *e)
{
    if (!s->source.is_added)
        return loop_add(s->wake.loop, &s->source, s->wanted, e);
    loop_change(s->wake.loop, &s->source, s->source.wanted | s->wanted);
    return 0;
}

static void unwatch_socket(struct stream *s)
{
    loop_remove(s->wake.loop, &s->source);
}

static enum io read_socket(struct stream *s, void *data, size_t size, size_t *n, struct err *e)
{
    ssize_t got;

    do
        got = recv(s->source.fd, data, size, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        *n = (size_t)got;
        return IO_DONE;
    }
    if (got == 0)
        return IO_EOF;
    if (errno == EAGAIN)
        return stream_wait(s, IO_WANT_READ, e);
    err_errno(e, ERR_NETWORK, errno, "cannot receive");
    return IO_ERR;
}

static enum io cannot_send(struct stream *s, struct err *e)
{
    if (errno == EAGAIN)
        return stream_wait(s, IO_WANT_WRITE, e);
    err_errno(e, ERR_NETWORK, errno, "cannot send");
    /* The peer will never get all of the request: its answer shall not be waited for. */
    shutdown(s->source.fd, SHUT_WR);
    return IO_ERR;
}

static enum io write_socket(struct stream *s, struct str first, struct str second, bool is_more,
                            size_t *n, struct err *e)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)first.p, first.len},
                             {(void *)(uintptr_t)second.p, second.len}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    int flags = MSG_NOSIGNAL | (is_more ? MSG_MORE : 0);
    ssize_t put;

    do
        put = second.len == 0 ? send(s->source.fd, first.p, first.len, flags)
                              : sendmsg(s->source.fd, &m, flags);
    while (put < 0 && errno == EINTR);
    if (put < 0)
        return cannot_send(s, e);
    *n = (size_t)put;
    return IO_DONE;
}

/* ---- files ---- */

static enum io cannot_read_file(ssize_t n, struct err *e)
{
    if (n == 0)
        return IO_EOF;
    err_set(e, ERR_FAILED, "%s", strerror(errno));
    return IO_ERR;
}

/* Copies a file where the transport or the file system has no sendfile(2). */
static enum io copy_file(struct stream *s, int file_fd, int64_t offset, size_t size, size_t *n,
                         struct err *e)
{
    char chunk[COPY_BYTES];
    ssize_t got;

    do
        got = pread(file_fd, chunk, size < sizeof chunk ? size : sizeof chunk, (off_t)offset);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return cannot_read_file(got, e);
    return stream_write(s, (struct str){chunk, (size_t)got}, n, e);
}

static bool is_file_error(int number)
{
    return number == EIO || number == ESTALE || number == EUCLEAN || number == EBADMSG;
}

static enum io send_file_to_socket(struct stream *s, int file_fd, int64_t offset, size_t size,
                                   size_t *n, struct err *e)
{
    off_t at = (off_t)offset;
    ssize_t sent;

    do
        sent = sendfile(s->source.fd, file_fd, &at, size);
    while (sent < 0 && errno == EINTR);
    if (sent > 0) {
        *n = (size_t)sent;
        return IO_DONE;
    }
    if (sent < 0 && (errno == EINVAL || errno == ENOSYS))
        return copy_file(s, file_fd, offset, size, n, e);
    if (sent == 0 || is_file_error(errno))
        return cannot_read_file(sent, e);
    return cannot_send(s, e);
}

enum io stream_send_file(struct stream *s, int file_fd, int64_t offset, size_t size, size_t *n,
                         struct err *e)
{
    if (s->tls == NULL && s->transport->send_file != NULL)
        return s->transport->send_file(s, file_fd, offset, size, n, e);
    return copy_file(s, file_fd, offset, size, n, e);
}

/* ---- sockets: the rest ---- */

static enum io look_at_socket(const struct stream *s)
{
    char byte;
    ssize_t n = recv(s->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN ? IO_WANT_READ : IO_ERR;
    return n == 0 ? IO_EOF : IO_DONE;
}

static bool peer_of_socket(const struct stream *s, struct addr *out)
{
    *out = (struct addr){.len = sizeof out->storage};
    return getpeername(s->source.fd, (struct sockaddr *)&out->storage, &out->len) == 0;
}

static size_t unacknowledged_of_socket(const struct stream *s)
{
    int queued = 0;

    return ioctl(s->source.fd, TIOCOUTQ, &queued) != 0 || queued < 0 ? 0 : (size_t)queued;
}

static void end_socket(struct stream *s)
{
    shutdown(s->source.fd, SHUT_WR);
}

static void drop_unsent_of_socket(struct stream *s)
{
    socket_drop_unsent(s->source.fd);
}

/* Drops unread input: with it, closing would send a reset, which may overtake the bytes that we
 * sent. */
static void drop_input(const struct stream *s)
{
    char data[4096];
    ssize_t n = 1;

    for (size_t dropped = 0; n > 0 && dropped < MAX_DROPPED_BYTES; dropped += (size_t)n)
        n = recv(s->source.fd, data, sizeof data, MSG_DONTWAIT);
}

static void close_socket(struct stream *s)
{
    if (s->is_ended)
        drop_input(s);
    close(s->source.fd);
    free(s);
}

static const struct stream_transport socket_transport = {.read = read_socket,
                                                         .write = write_socket,
                                                         .send_file = send_file_to_socket,
                                                         .watch = watch_socket,
                                                         .look = look_at_socket,
                                                         .peer = peer_of_socket,
                                                         .unacknowledged = unacknowledged_of_socket,
                                                         .end = end_socket,
                                                         .drop_unsent = drop_unsent_of_socket,
                                                         .unwatch = unwatch_socket,
                                                         .close = close_socket};

/* ---- sockets of a process whose sending is limited ---- */

/* The kernel takes no more than what may be sent soon: else the rate would not hold at the
 * receiver. */
static void bound_unsent(struct stream *s, const struct meter *meter)
{
    int bytes = meter->unsent_bytes;

    if (s->meter.has_lowat && s->meter.unsent_bytes == bytes)
        return;
    setsockopt(s->source.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
    s->meter.has_lowat = true;
    s->meter.unsent_bytes = bytes;
}

static enum io write_metered(struct stream *s, struct str first, struct str second, bool is_more,
                             size_t *n, struct err *e)
{
    struct meter *meter = meter_of_process();
    size_t allowed = meter_allow(meter, &s->meter, first.len + second.len);
    enum io io;

    if (allowed == 0)
        return IO_WANT_WRITE; /* stream_give_bytes wakes it */
    bound_unsent(s, meter);
    first = str_slice(first, 0, allowed);
    second = str_slice(second, 0, allowed - first.len);
    io = write_socket(s, first, second, is_more, n, e);
    if (io == IO_DONE)
        meter_spend(meter, &s->meter, *n);
    return io;
}

static void unwatch_metered(struct stream *s)
{
    meter_leave(meter_of_process(), &s->meter);
    unwatch_socket(s);
}

static const struct stream_transport metered_transport = {
    .read = read_socket,
    .write = write_metered,
    .watch = watch_socket,
    .look = look_at_socket,
    .peer = peer_of_socket,
    .unacknowledged = unacknowledged_of_socket,
    .end = end_socket,
    .drop_unsent = drop_unsent_of_socket,
    .unwatch = unwatch_metered,
    .close = close_socket};

static void wake_metered(struct meter_place *place)
{
    stream_yield((struct stream *)(uintptr_t)((char *)place - offsetof(struct stream, meter)));
}

void stream_give_bytes(int64_t bytes)
{
    meter_give(meter_of_process(), bytes, wake_metered);
}

struct stream *stream_new(int fd, const struct loop_wake *wake)
{
    struct stream *s = malloc(sizeof *s);

    if (s == NULL) {
        close(fd);
        return NULL;
    }
    stream_init(s, meter_of_process() == NULL ? &socket_transport : &metered_transport, wake);
    s->source = (struct loop_fd){.fd = fd, .call = on_stream_ready, .owner = s};
    return s;
}

struct stream *stream_new_accepted(int fd, int unsent_bytes, const struct loop_wake *wake)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes);
    return stream_new(fd, wake);
}

void stream_limit_unsent(struct stream *s, int unsent_bytes)
{
    if (s->source.fd >= 0 && meter_of_process() == NULL)
        setsockopt(s->source.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes,
                   sizeof unsent_bytes);
}

bool stream_trip(const struct stream *s, struct stream_trip *out)
{
    unsigned char info[TCP_INFO_BYTES] = {0};
    socklen_t len = sizeof info;
    uint32_t now_us, least_us;

    if (s->source.fd < 0 ||
        getsockopt(s->source.fd, IPPROTO_TCP, TCP_INFO, info, &len) != 0 || len < sizeof info)
        return false;
    memcpy(&now_us, info + offsetof(struct tcp_info, tcpi_rtt), sizeof now_us);
    memcpy(&least_us, info + TCP_MIN_RTT_AT, sizeof least_us);
    if (least_us == 0 || least_us > now_us)
        return false;
    *out = (struct stream_trip){.now_us = now_us, .least_us = least_us};
    return true;
}

bool stream_has_fd(const struct stream *s)
{
    return s->tls == NULL && s->source.fd >= 0;
}

int stream_take_fd(struct stream *s)
{
    int fd = s->source.fd;

    if (!stream_has_fd(s))
        return -1;
    leave_stream_loop(s);
    free(s);
    return fd;
}

/* ---- TLS ---- */

static enum io read_records(void *ctx, void *data, size_t size, size_t *n, struct err *e)
{
    struct stream *s = ctx;

    return s->transport->read(s, data, size, n, e);
}

static enum io write_records(void *ctx, struct str data, size_t *n, struct err *e)
{
    struct stream *s = ctx;

    return s->transport->write(s, data, STR(""), false, n, e);
}

int stream_start_tls(struct stream *s, struct tls_options options, struct err *e)
{
    options.transport = (struct tls_transport){s, read_records, write_records};
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

/* Stages both parts before anything is written: a head and its body go together. */
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

/* ---- reading and writing, whatever it runs over ---- */

enum io stream_read(struct stream *s, void *data, size_t size, size_t *n, struct err *e)
{
    return s->tls == NULL ? s->transport->read(s, data, size, n, e)
                          : tls_read(s->tls, data, size, n, e);
}

enum io stream_write(struct stream *s, struct str data, size_t *n, struct err *e)
{
    return stream_write2(s, data, STR(""), n, e);
}

enum io stream_write2(struct stream *s, struct str first, struct str second, size_t *n,
                      struct err *e)
{
    return s->tls == NULL ? s->transport->write(s, first, second, false, n, e)
                          : write_tls(s->tls, first, second, n, e);
}

enum io stream_write_more(struct stream *s, struct str data, size_t *n, struct err *e)
{
    return s->tls == NULL ? s->transport->write(s, data, STR(""), true, n, e)
                          : write_tls(s->tls, data, STR(""), n, e);
}
