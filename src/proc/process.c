#include "proc/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "base/secret.h"
#include "loop/loop.h"
#include "proc/descriptors.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SHADOW_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SHADOW_MEMORY 1
#endif
#endif
#ifndef HAS_SHADOW_MEMORY
#define HAS_SHADOW_MEMORY 0 /* AddressSanitizer reserves terabytes: no limit holds there */
#endif

enum { DEFAULT_ADDRESS_SPACE = 128 << 20, SOCKET_BUFFER = 256 << 10 };

/* The kernel's sum of processor time is behind the one by which it ends a process. */
enum { LIMIT_SLACK_MS = 250 };

/*
 * The children that were not reaped yet: a process number is ours only so long. A discarded child
 * (closed or killed) is nobody's concern any more and is reaped on the way.
 */
struct known {
    pid_t pid;
    bool is_discarded;
    void (*on_end)(void *owner, int wait_status); /* NULL: nobody asks */
    void *owner;
};

static struct {
    struct known *items;
    size_t count, cap;
} children;

static struct known *find_child(pid_t pid)
{
    for (size_t i = 0; pid > 0 && i < children.count; i++)
        if (children.items[i].pid == pid)
            return &children.items[i];
    return NULL;
}

static void remove_child(struct known *child)
{
    *child = children.items[--children.count];
}

/* Says of a child that ended whether its processor time was over: how much it may have, and has
 * had, is known until it is reaped. */
static bool has_used_up(int status, const struct rlimit *limit, const struct rusage *used)
{
    int64_t ms = (int64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000 +
                 (int64_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1000;

    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
           limit->rlim_max != RLIM_INFINITY &&
           (rlim_t)(ms + LIMIT_SLACK_MS) / 1000 >= limit->rlim_max;
}

/* As waitpid with WNOHANG; adds PROCESS_USED_UP to the status. */
static pid_t wait_for_end(pid_t pid, int *wait_status)
{
    siginfo_t info = {.si_pid = 0};
    struct rlimit limit = {.rlim_max = RLIM_INFINITY};
    struct rusage used = {0};
    pid_t got;
    int looked;

    do
        looked = waitid(pid < 0 ? P_ALL : P_PID, pid < 0 ? 0 : (id_t)pid, &info,
                        WEXITED | WNOHANG | WNOWAIT);
    while (looked != 0 && errno == EINTR);
    if (looked == 0 && info.si_pid == 0)
        return 0;
    if (looked == 0 && prlimit(info.si_pid, RLIMIT_CPU, NULL, &limit) != 0)
        limit.rlim_max = RLIM_INFINITY;
    do
        got = wait4(looked == 0 ? info.si_pid : pid, wait_status, WNOHANG, &used);
    while (got < 0 && errno == EINTR);
    if (got > 0 && has_used_up(*wait_status, &limit, &used))
        *wait_status |= PROCESS_USED_UP;
    return got;
}

/* True when the child is gone from the table: it ended, or somebody else waited for it. */
static bool reap_child(struct known *child)
{
    const struct known found = *child;
    int status;
    pid_t pid = wait_for_end(child->pid, &status);

    if (pid == 0)
        return false;
    remove_child(child);
    if (pid > 0 && found.on_end != NULL)
        found.on_end(found.owner, status);
    return true;
}

static void reap_discarded(void)
{
    for (size_t i = 0; i < children.count;)
        if (!children.items[i].is_discarded || !reap_child(&children.items[i]))
            i++;
}

static int reserve_child(struct err *e)
{
    if (children.count < children.cap)
        return 0;
    size_t cap = children.cap == 0 ? 16 : children.cap * 2;
    struct known *items = realloc(children.items, cap * sizeof *items);
    if (items == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    children.items = items;
    children.cap = cap;
    return 0;
}

/* Moves a descriptor above 2, should standard input or output be closed in this process. */
static int above_standard(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return moved;
}

static int open_frame_pair(int pair[2], struct err *e)
{
    int size = SOCKET_BUFFER;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot open a socket pair");
    for (int i = 0; i < 2; i++) {
        pair[i] = above_standard(pair[i]);
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    if (pair[0] >= 0 && pair[1] >= 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0)
        return 0;
    err_errno(e, ERR_FAILED, errno, "cannot open a socket pair");
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    return -1;
}

static void set_limit(int which, rlim_t bytes)
{
    struct rlimit limit;

    if (getrlimit(which, &limit) != 0)
        return;
    if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > bytes)
        limit.rlim_max = bytes;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(which, &limit);
}

static rlim_t mapped_bytes(void)
{
    char text[64] = {0};
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n <= 0 ? 0 : (rlim_t)strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void set_limits(const struct process_options *options)
{
    size_t bytes = options->address_space_bytes;

    set_limit(RLIMIT_CORE, 0);
    descriptors_raise_limit();
    if (bytes != SIZE_MAX && !HAS_SHADOW_MEMORY)
        set_limit(RLIMIT_AS, mapped_bytes() + (bytes == 0 ? DEFAULT_ADDRESS_SPACE : bytes));
}

void process_ignore_foreign_signals(void)
{
    static const int foreign[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR};

    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        signal(foreign[i], SIG_IGN);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        signal(number, SIG_IGN);
}

static void reset_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    process_ignore_foreign_signals();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_child(const struct process_options *options, int fd, pid_t parent)
{
    int kept[PROCESS_MAX_KEPT + 1];
    size_t count = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(0); /* it ended before the signal was set */
    children.count = 0;
    reset_signals();
    secret_wipe_all();
    if (options->asks_servers)
        env_wipe("PROXY_SECRET");
    else
        env_wipe_secrets();
    kept[count++] = fd;
    for (size_t i = 0; i < options->keep_count && i < PROCESS_MAX_KEPT; i++)
        kept[count++] = options->keep_fds[i];
    descriptors_close_others(kept, count);
    set_limits(options);
    if (options->niceness != 0)
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + options->niceness);
    if (options->name != NULL)
        prctl(PR_SET_NAME, options->name, 0, 0, 0);
    int status = options->run(fd, options->ctx);
    close(fd);
    _exit(status);
}

int process_start(struct process *p, const struct process_options *options, struct err *e)
{
    int pair[2];
    sigset_t all, before;
    pid_t parent = getpid();

    reap_discarded();
    if (reserve_child(e) != 0 || open_frame_pair(pair, e) != 0)
        return -1;
    /* No handler of ours may run in the child before it is reset. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    int number = errno;
    if (pid == 0) {
        loop_after_fork();
        become_child(options, pair[1], parent);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return err_errno(e, ERR_FAILED, number, "cannot start a process");
    }
    children.items[children.count++] = (struct known){.pid = pid};
    *p = (struct process){.pid = pid, .fd = pair[0]};
    return 0;
}

void process_close(struct process *p)
{
    struct known *child = find_child(p->pid);

    if (p->fd > 0)
        close(p->fd);
    p->fd = -1;
    if (child != NULL)
        child->is_discarded = true;
    reap_discarded();
}

void process_signal_kill(const struct process *p)
{
    if (find_child(p->pid) != NULL)
        kill(p->pid, SIGKILL);
}

void process_kill(struct process *p)
{
    process_signal_kill(p);
    process_close(p);
    p->pid = 0;
}

int process_stop_signal(const struct process *p)
{
    siginfo_t info = {.si_pid = 0};
    bool is_stopped = p->pid > 0 &&
                      waitid(P_PID, (id_t)p->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
                      info.si_pid == p->pid;

    return is_stopped ? info.si_status : 0;
}

void process_watch(const struct process *p, void (*on_end)(void *owner, int wait_status),
                   void *owner)
{
    struct known *child = find_child(p->pid);

    if (child == NULL)
        return;
    child->on_end = on_end;
    child->owner = owner;
}

bool process_get_status(const struct process *p, int *wait_status)
{
    struct known *child = find_child(p->pid);
    pid_t pid;

    if (child == NULL)
        return false;
    pid = wait_for_end(p->pid, wait_status);
    if (pid != 0)
        remove_child(child);
    return pid > 0;
}

int process_reap(void (*on_exit)(void *ctx, pid_t pid, int wait_status), void *ctx)
{
    int count = 0, status;
    pid_t pid;

    for (;;) {
        pid = wait_for_end(-1, &status);
        if (pid <= 0)
            return count;
        struct known *found = find_child(pid), child = {0};
        if (found != NULL) {
            child = *found;
            remove_child(found);
        }
        if (child.on_end != NULL)
            child.on_end(child.owner, status);
        if (on_exit != NULL)
            on_exit(ctx, pid, status);
        count++;
    }
}

int64_t process_children_cpu_ms(void)
{
    int64_t sum_ms = 0;
    struct timespec used;
    clockid_t clock;

    for (size_t i = 0; i < children.count; i++)
        if (clock_getcpuclockid(children.items[i].pid, &clock) == 0 &&
            clock_gettime(clock, &used) == 0)
            sum_ms += (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
    return sum_ms;
}

int process_signal_fd(const int *signals, size_t count, struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < count; i++)
        sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot block signals");
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd >= 0 ? fd : err_errno(e, ERR_FAILED, errno, "cannot open a signalfd");
}

int process_next_signal(int fd)
{
    struct signalfd_siginfo info;
    ssize_t n;

    do
        n = read(fd, &info, sizeof info);
    while (n < 0 && errno == EINTR);
    return n == sizeof info ? (int)info.ssi_signo : 0;
}
