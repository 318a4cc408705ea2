/* Frames between processes: whole or not at all, with a descriptor, to a peer that is gone. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/frame.h"
#include "unit.h"

struct pair {
    int a, b;
};

static struct pair open_pair(void)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
    return (struct pair){fds[0], fds[1]};
}

static void close_pair(struct pair p)
{
    close(p.a);
    close(p.b);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void sizes(void **state)
{
    static const struct {
        const char *name;
        size_t size;
        enum io want;
    } cases[] = {
        {"empty", 0, IO_ERR},
        {"one byte", 1, IO_DONE},
        {"largest", FRAME_MAX_BYTES, IO_DONE},
        {"one too many", FRAME_MAX_BYTES + 1, IO_ERR},
    };
    char *bytes = calloc(1, FRAME_MAX_BYTES + 1);
    struct buf got = {0};
    struct err e = {0};

    (void)state;
    memset(bytes, 'k', FRAME_MAX_BYTES + 1);
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct pair p = open_pair();
        struct str message = {bytes, cases[i].size};
        unit_true(cases[i].name, frame_send(p.a, message, -1, &e) == cases[i].want);
        if (cases[i].want == IO_DONE) {
            unit_true(cases[i].name, frame_receive(p.b, &got, NULL, &e) == IO_DONE);
            unit_equal_str(cases[i].name, buf_str(&got), message);
        }
        unit_true(cases[i].name, frame_receive(p.b, &got, NULL, &e) == IO_WANT_READ);
        close_pair(p);
    }
    buf_free(&got);
    free(bytes);
}

static void a_longer_one_is_an_error_not_a_part(void **state)
{
    struct pair p = open_pair();
    char *bytes = calloc(1, FRAME_MAX_BYTES + 1);
    struct buf got = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(send(p.a, bytes, FRAME_MAX_BYTES + 1, 0), FRAME_MAX_BYTES + 1);
    assert_int_equal(send(p.a, "next", 4, 0), 4);
    assert_int_equal(frame_receive(p.b, &got, NULL, &e), IO_ERR);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_int_equal(got.len, 0);
    assert_int_equal(frame_receive(p.b, &got, NULL, &e), IO_DONE);
    unit_equal_str("the next frame", buf_str(&got), STR("next"));
    buf_free(&got);
    free(bytes);
    close_pair(p);
}

static void a_full_socket_takes_nothing_and_goes_on(void **state)
{
    struct pair p = open_pair();
    char bytes[1000] = {0};
    struct buf got = {0};
    struct err e = {0};
    unsigned sent = 0, received = 0;
    enum io io;

    (void)state;
    while ((io = frame_send(p.a, (struct str){bytes, sizeof bytes}, -1, &e)) == IO_DONE)
        memset(bytes, (int)(++sent % 256), sizeof bytes);
    assert_int_equal(io, IO_WANT_WRITE);
    assert_true(sent > 0);
    while (frame_receive(p.b, &got, NULL, &e) == IO_DONE) {
        assert_int_equal(got.len, sizeof bytes);
        assert_int_equal((unsigned char)got.data[999], received % 256);
        received++;
    }
    assert_int_equal(received, sent);
    assert_int_equal(frame_send(p.a, STR("again"), -1, &e), IO_DONE);
    buf_free(&got);
    close_pair(p);
}

static void a_descriptor_goes_along(void **state)
{
    struct pair p = open_pair();
    struct buf got = {0};
    struct err e = {0};
    int pipe_fds[2], passed = 77, before;
    char c = 0;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    before = open_descriptors();
    assert_int_equal(frame_send(p.a, STR("{}"), pipe_fds[1], &e), IO_DONE);
    assert_int_equal(frame_receive(p.b, &got, &passed, &e), IO_DONE);
    assert_true(passed >= 0 && passed != pipe_fds[1]);
    assert_true((fcntl(passed, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(passed, "y", 1), 1);
    assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    close(passed);
    /* Nobody asked for it, or its frame is refused: it is closed. */
    assert_int_equal(frame_send(p.a, STR("{}"), pipe_fds[1], &e), IO_DONE);
    assert_int_equal(frame_receive(p.b, &got, NULL, &e), IO_DONE);
    assert_int_equal(frame_send(p.a, STR("{}"), -1, &e), IO_DONE);
    assert_int_equal(frame_receive(p.b, &got, &passed, &e), IO_DONE);
    assert_int_equal(passed, -1);
    assert_int_equal(open_descriptors(), before);
    buf_free(&got);
    close_pair(p);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* Two descriptors in one frame are no frame of ours; none may stay open. */
static void two_descriptors_are_refused(void **state)
{
    struct pair p = open_pair();
    int fds[2] = {p.a, p.b}, before = open_descriptors(), passed = 77;
    char space[CMSG_SPACE(sizeof fds)] __attribute__((aligned(8))) = {0};
    struct iovec part = {"{}", 2};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = space,
                       .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    struct buf got = {0};
    struct err e = {0};

    (void)state;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    assert_int_equal(sendmsg(p.a, &m, 0), 2);
    assert_int_equal(frame_receive(p.b, &got, &passed, &e), IO_ERR);
    assert_int_equal(passed, -1);
    assert_int_equal(open_descriptors(), before);
    buf_free(&got);
    close_pair(p);
}

/* The kernel tells first that the peer left something unread, then what it said. */
static void last_words_are_heard(void **state)
{
    struct pair p = open_pair();
    struct buf got = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(frame_send(p.b, STR("last words"), -1, &e), IO_DONE);
    assert_int_equal(frame_send(p.a, STR("never read"), -1, &e), IO_DONE);
    close(p.b);
    assert_int_equal(frame_receive(p.a, &got, NULL, &e), IO_DONE);
    unit_equal_str("what it said last", buf_str(&got), STR("last words"));
    assert_int_equal(frame_receive(p.a, &got, NULL, &e), IO_EOF);
    buf_free(&got);
    close(p.a);
}

static void the_other_side_is_gone(void **state)
{
    struct pair p = open_pair();
    struct buf got = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(frame_send(p.b, STR("last words"), -1, &e), IO_DONE);
    assert_int_equal(frame_send(p.a, STR("never read"), -1, &e), IO_DONE);
    close(p.b);
    assert_int_equal(frame_send(p.a, STR("too late"), -1, &e), IO_EOF);
    assert_int_equal(frame_receive(p.a, &got, NULL, &e), IO_DONE);
    unit_equal_str("what it said last", buf_str(&got), STR("last words"));
    assert_int_equal(frame_receive(p.a, &got, NULL, &e), IO_EOF);
    assert_int_equal(frame_receive(p.a, &got, NULL, &e), IO_EOF);
    close(p.a);
    assert_int_equal(frame_receive(p.a, &got, NULL, &e), IO_ERR);
    buf_free(&got);
}

/* Who has as many descriptors open as may be still hears the others out. */
static void a_full_table_costs_the_descriptor_alone(void **state)
{
    struct pair p = open_pair();
    struct rlimit before, none = {0};
    struct buf got = {0};
    struct err e = {0};
    int passed = 77;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(frame_send(p.a, STR("with one"), p.b, &e), IO_DONE);
    assert_int_equal(frame_send(p.a, STR("without"), -1, &e), IO_DONE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum io io = frame_receive(p.b, &got, &passed, &e);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(io, IO_DONE);
    unit_equal_str("the frame", buf_str(&got), STR("with one"));
    assert_int_equal(passed, -1);
    assert_int_equal(frame_receive(p.b, &got, &passed, &e), IO_DONE);
    unit_equal_str("the next", buf_str(&got), STR("without"));
    buf_free(&got);
    close_pair(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(a_longer_one_is_an_error_not_a_part),
        cmocka_unit_test(a_full_socket_takes_nothing_and_goes_on),
        cmocka_unit_test(a_descriptor_goes_along),
        cmocka_unit_test(two_descriptors_are_refused),
        cmocka_unit_test(a_full_table_costs_the_descriptor_alone),
        cmocka_unit_test(last_words_are_heard),
        cmocka_unit_test(the_other_side_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
