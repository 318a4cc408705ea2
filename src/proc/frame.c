#include "proc/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor, aligned as the kernel wants it. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void put_descriptor(struct msghdr *m, union control *control, int fd)
{
    memset(control, 0, sizeof *control);
    m->msg_control = control->bytes;
    m->msg_controllen = sizeof control->bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
}

static enum io sort_send_error(int number, struct err *e)
{
    switch (number) {
    case EAGAIN:
    case ENOBUFS: return IO_WANT_WRITE;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN: return IO_EOF;
    default: err_errno(e, ERR_FAILED, number, "cannot send to another process"); return IO_ERR;
    }
}

enum io frame_send(int fd, struct str message, int pass_fd, struct err *e)
{
    struct iovec part = {(void *)(uintptr_t)message.p, message.len};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;

    /* An empty frame would read as the end of file. */
    if (message.len == 0 || message.len > FRAME_MAX_BYTES) {
        err_set(e, ERR_TOO_LARGE, "message of %zu bytes to another process: want 1-%d", message.len,
                FRAME_MAX_BYTES);
        return IO_ERR;
    }
    if (pass_fd >= 0)
        put_descriptor(&m, &control, pass_fd);
    for (;;) {
        if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
            return IO_DONE;
        if (errno != EINTR)
            return sort_send_error(errno, e);
    }
}

/* Alignment leaves room for a second descriptor, which is none of ours: only the first is kept and
 * the frame then counts as cut. */
static int take_passed_descriptor(struct msghdr *m)
{
    int kept = -1, fd;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; CMSG_LEN(at + sizeof fd) <= c->cmsg_len; at += sizeof fd) {
            memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
            if (kept < 0) {
                kept = fd;
                continue;
            }
            close(fd);
            m->msg_flags |= MSG_CTRUNC;
        }
    }
    return kept;
}

/* One recvmsg, whatever interrupts it. A peer that ended without reading all that we sent is
 * reported once as a reset, although its own last messages still wait: they come with the next. */
static ssize_t receive_message(int fd, struct msghdr *m)
{
    const size_t control_size = m->msg_controllen;
    bool was_reset = false;

    for (;;) {
        m->msg_controllen = control_size;
        ssize_t n = recvmsg(fd, m, MSG_CMSG_CLOEXEC);
        if (n >= 0 || (errno != EINTR && errno != ECONNRESET))
            return n;
        if (errno == ECONNRESET && was_reset)
            return 0;
        was_reset = was_reset || errno == ECONNRESET;
    }
}

/* A descriptor for which our table has no room is lost alone: the frame counts. */
static enum io judge_received(struct msghdr *m, ssize_t n, int taken, struct buf *out,
                              struct err *e)
{
    if (n < 0 && errno == EAGAIN)
        return IO_WANT_READ;
    if (n < 0) {
        bool is_waiting = errno == ENOMEM || errno == ENOBUFS;
        err_errno(e, ERR_FAILED, errno, "cannot receive from another process");
        return is_waiting ? IO_WANT_READ : IO_ERR;
    }
    if ((m->msg_flags & MSG_TRUNC) != 0) {
        err_set(e, ERR_TOO_LARGE, "message from another process is above %d bytes",
                FRAME_MAX_BYTES);
        return IO_ERR;
    }
    if ((m->msg_flags & MSG_CTRUNC) != 0 && taken >= 0) {
        err_set(e, ERR_FAILED, "descriptors from another process did not arrive as sent");
        return IO_ERR;
    }
    out->len = (size_t)n;
    return n == 0 ? IO_EOF : IO_DONE;
}

enum io frame_receive(int fd, struct buf *out, int *passed_fd, struct err *e)
{
    union control control;

    if (passed_fd != NULL)
        *passed_fd = -1;
    buf_clear(out);
    if (!buf_reserve(out, FRAME_MAX_BYTES))
        return buf_check(out, e) != 0 ? IO_ERR : IO_DONE;
    struct iovec part = {out->data, FRAME_MAX_BYTES};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t n = receive_message(fd, &m);
    int taken = n < 0 ? -1 : take_passed_descriptor(&m);
    enum io result = judge_received(&m, n, taken, out, e);
    if (result == IO_DONE && passed_fd != NULL)
        *passed_fd = taken;
    else if (taken >= 0)
        close(taken);
    return result;
}
