/* What a forked child has and has not, and how its end is seen. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"
#include "proc/descriptors.h"
#include "proc/frame.h"
#include "proc/process.h"
#include "unit.h"

enum { WAIT_MS = 20000, NICENESS = 3, NICEST = 19 };

static void receive_text(int fd, struct buf *out)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct err e = {0};

    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_int_equal(frame_receive(fd, out, NULL, &e), IO_DONE);
}

/* Until the child's end of the socket is closed, whoever closes it. */
static void wait_for_hangup(int fd)
{
    struct pollfd p = {.fd = fd};

    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_true((p.revents & POLLHUP) != 0);
}

/* Reaps exactly `pid`, waiting for it. */
static int wait_status(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool is_default(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_DFL;
}

static bool is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* What the child finds about itself. */
static int describe(int fd, void *ctx)
{
    const int *open_fds = ctx;
    struct buf b = {0};
    struct rlimit core, files;
    char name[16] = {0};
    sigset_t mask;
    int death = 0, nice = getpriority(PRIO_PROCESS, (id_t)getppid()) + NICENESS;

    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_NOFILE, &files);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    prctl(PR_GET_NAME, name);
    prctl(PR_GET_PDEATHSIG, &death);
    buf_printf(&b, "kept=%d foreign=%d stdin=%d core=%d files=%d chld=%d usr1=%d blocked=%d", //
               is_open(open_fds[0]), is_open(open_fds[1]), is_open(0), core.rlim_max == 0,
               files.rlim_cur == files.rlim_max, is_default(SIGCHLD),
               is_ignored(SIGUSR1) && is_ignored(SIGTERM) && is_ignored(SIGRTMAX),
               sigismember(&mask, SIGCHLD));
    buf_printf(&b, " death=%d name=%s secret=%d nice=%d", death, name, open_fds[2],
               getpriority(PRIO_PROCESS, 0) == (nice < NICEST ? nice : NICEST));
    frame_send(fd, buf_str(&b), -1, ERR_IGNORED);
    buf_free(&b);
    return 7;
}

static void on_signal(int number)
{
    (void)number;
}

static void child_is_clean(void **state)
{
    int high = fcntl(0, F_DUPFD, 200), fds[3] = {dup(0), high, 42};
    struct process_options options = {.name = "kachery-test",
                                      .run = describe,
                                      .ctx = fds,
                                      .keep_fds = fds,
                                      .keep_count = 1,
                                      .niceness = NICENESS};
    struct process p = {0};
    struct buf got = {0};
    struct err e = {0};
    sigset_t chld;

    (void)state;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    signal(SIGCHLD, on_signal);
    assert_int_equal(secret_add(&fds[2], sizeof fds[2], &e), 0);
    assert_int_equal(process_start(&p, &options, &e), 0);
    receive_text(p.fd, &got);
    unit_equal("child", buf_cstr(&got),
               "kept=1 foreign=0 stdin=1 core=1 files=1 chld=1 usr1=1 blocked=0 death=9"
               " name=kachery-test secret=0 nice=1");
    assert_int_equal(fds[2], 42);
    secret_remove(&fds[2]);
    assert_true((fcntl(p.fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(p.fd, F_GETFL) & O_NONBLOCK) != 0);
    wait_for_hangup(p.fd);
    int status = wait_status(p.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    process_close(&p);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &chld, NULL);
    buf_free(&got);
    close(fds[0]);
    close(high);
}

static int until_eof(int fd, void *ctx)
{
    struct buf b = {0};
    struct err e;

    (void)ctx;
    while (frame_receive(fd, &b, NULL, &e) == IO_DONE)
        frame_send(fd, buf_str(&b), -1, &e);
    buf_free(&b);
    return 0;
}

static const struct process_options echo = {.name = "echo", .run = until_eof};

/* The child ignores what a terminal sends to the whole group, and ends by itself at end of file. */
static void ends_at_end_of_file(void **state)
{
    struct process p = {0};
    struct buf got = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(process_start(&p, &echo, &e), 0);
    assert_int_equal(frame_send(p.fd, STR("ready"), -1, &e), IO_DONE);
    receive_text(p.fd, &got);
    kill(p.pid, SIGINT);
    kill(p.pid, SIGTERM);
    assert_int_equal(frame_send(p.fd, STR("alive"), -1, &e), IO_DONE);
    receive_text(p.fd, &got);
    unit_equal_str("answer", buf_str(&got), STR("alive"));
    assert_int_equal(shutdown(p.fd, SHUT_WR), 0);
    wait_for_hangup(p.fd);
    int status = wait_status(p.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    process_close(&p);
    buf_free(&got);
}

struct exits {
    pid_t pid;
    int status, count;
};

static void note_exit(void *ctx, pid_t pid, int status)
{
    struct exits *exits = ctx;

    if (pid == exits->pid)
        exits->status = status;
    exits->count++;
}

/* Also a stopped child dies; its number is then not used again. */
static void kill_reaches_a_stopped_child(void **state)
{
    struct process p = {0};
    struct exits exits = {0};
    struct err e = {0};
    int status;

    (void)state;
    assert_int_equal(process_start(&p, &echo, &e), 0);
    kill(p.pid, SIGSTOP);
    assert_int_equal(waitpid(p.pid, &status, WUNTRACED), p.pid);
    assert_true(WIFSTOPPED(status));
    exits.pid = p.pid;
    int end = dup(p.fd);
    kill(p.pid, SIGKILL);
    wait_for_hangup(end);
    /* The zombie comes a moment after its descriptors are gone. */
    siginfo_t info;
    waitid(P_PID, (id_t)p.pid, &info, WEXITED | WNOWAIT);
    assert_int_equal(process_reap(note_exit, &exits), 1);
    assert_int_equal(exits.count, 1);
    assert_true(WIFSIGNALED(exits.status));
    assert_int_equal(WTERMSIG(exits.status), SIGKILL);
    process_kill(&p);
    assert_int_equal(p.pid, 0);
    process_kill(&p);
    close(end);
}

/* A fork whose child gets the reaped number again is not what this can provoke; but a killed child
 * must not stay a zombie for ever without anybody calling process_reap. */
static void discarded_children_are_reaped_by_the_next_start(void **state)
{
    struct process p = {0}, q = {0};
    struct err e = {0};
    siginfo_t info;

    (void)state;
    assert_int_equal(process_start(&p, &echo, &e), 0);
    pid_t pid = p.pid;
    process_kill(&p);
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT); /* fails if it was reaped already */
    assert_int_equal(process_start(&q, &echo, &e), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    pid = q.pid;
    process_kill(&q);
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    process_reap(NULL, NULL);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static int start_a_child_and_say_its_pid(int fd, void *ctx)
{
    struct process p = {0};
    struct buf b = {0};

    (void)ctx;
    /* Its answer shows that it has begun: before that there is nothing to die of. */
    if (process_start(&p, &echo, ERR_IGNORED) != 0 ||
        frame_send(p.fd, STR("ready"), -1, ERR_IGNORED) != IO_DONE)
        return 1;
    receive_text(p.fd, &b);
    buf_clear(&b);
    buf_printf(&b, "%ld", (long)p.pid);
    frame_send(fd, buf_str(&b), -1, ERR_IGNORED);
    buf_free(&b);
    for (;;)
        pause();
}

/* kill -9 of the parent ends its children too, although they never look at their socket's end. */
static void children_die_with_their_parent(void **state)
{
    struct process_options options = {.name = "middle", .run = start_a_child_and_say_its_pid};
    struct process p = {0};
    struct buf got = {0};
    struct err e = {0};

    (void)state;
    unit_needs_a_kernel("PR_SET_CHILD_SUBREAPER");
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    assert_int_equal(process_start(&p, &options, &e), 0);
    receive_text(p.fd, &got);
    pid_t middle = p.pid, grandchild = (pid_t)atol(buf_cstr(&got));
    /* Stopped, it cannot read the end of file: only PDEATHSIG is left. */
    kill(grandchild, SIGSTOP);
    kill(middle, SIGKILL);
    int status = wait_status(middle);
    assert_true(WIFSIGNALED(status));
    status = wait_status(grandchild);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    process_close(&p);
    buf_free(&got);
}

static int count_descriptors(int fd, void *ctx)
{
    int kept[] = {fd, 120}, which = *(int *)ctx, count = 0;
    char text[16];

    dup2(0, 100);
    dup2(0, 110);
    dup2(0, 120);
    dup2(0, 130);
    if (which == 0)
        descriptors_close_others(kept, 2);
    else if (which == 1)
        descriptors_close_listed(kept, 2);
    else
        descriptors_close_counted(kept, 2);
    for (int i = 3; i < 1024; i++)
        count += is_open(i);
    int len = snprintf(text, sizeof text, "%d %d", count, is_open(120) && is_open(fd));
    frame_send(fd, (struct str){text, (size_t)len}, -1, ERR_IGNORED);
    return 0;
}

static void every_way_to_close_closes_the_same(void **state)
{
    static const char *const names[] = {"close_range", "/proc/self/fd", "counting"};
    struct err e = {0};

    (void)state;
    for (int which = 0; which < 3; which++) {
        struct process_options options = {.run = count_descriptors, .ctx = &which};
        struct process p = {0};
        struct buf got = {0};
        assert_int_equal(process_start(&p, &options, &e), 0);
        receive_text(p.fd, &got);
        unit_equal(names[which], buf_cstr(&got), "2 1");
        wait_for_hangup(p.fd);
        wait_status(p.pid);
        process_close(&p);
        buf_free(&got);
    }
}

static void signals_come_through_a_descriptor(void **state)
{
    const int signals[] = {SIGUSR1, SIGUSR2};
    struct err e = {0};
    sigset_t set;

    (void)state;
    int fd = process_signal_fd(signals, 2, &e);
    assert_true(fd >= 0);
    assert_int_equal(process_next_signal(fd), 0);
    raise(SIGUSR2);
    raise(SIGUSR1);
    int first = process_next_signal(fd), second = process_next_signal(fd);
    assert_int_equal(first + second, SIGUSR1 + SIGUSR2);
    assert_int_equal(process_next_signal(fd), 0);
    close(fd);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

static void no_descriptor_left_is_an_error(void **state)
{
    struct rlimit before, none;
    struct process p = {0};
    struct err e = {0};

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    int result = process_start(&p, &echo, &e);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(result, -1);
    unit_true("names the cause", strstr(e.msg, "Too many open files") != NULL);
    assert_int_equal(p.pid, 0);
}

#define CASE(test) cmocka_unit_test_teardown(test, unit_wait_for_children)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(child_is_clean),
        CASE(ends_at_end_of_file),
        CASE(kill_reaches_a_stopped_child),
        CASE(discarded_children_are_reaped_by_the_next_start),
        CASE(children_die_with_their_parent),
        CASE(every_way_to_close_closes_the_same),
        CASE(signals_come_through_a_descriptor),
        CASE(no_descriptor_left_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
