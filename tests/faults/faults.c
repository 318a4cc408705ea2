/*
 * System calls and allocations that fail: linked into the program with --wrap (ci/faults.sh),
 * told what to do by fixtures/fault_board.py of the system tests, through a file that all its
 * processes share. A place is a call with the calls that led to it; at each place, each failure
 * that can happen there for real is possible: EAGAIN only where nothing blocks, short transfers
 * only on streams.
 * Failures happen once (at the nth pass of a place, at the nth call of all) or go on: at a place at
 * every pass, or at every nth allocation. What only asks for another try (EINTR, EAGAIN, a short
 * transfer) does not go on, for that would be no want but a program that never gets anywhere.
 */
#include <dirent.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <search.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PLACES = 8192, MAX_FRAMES = 14, SHORT = 10000 };

struct place {
    uint64_t hash;
    uint32_t calls;
    uint32_t kinds; /* bit i: the i-th failure of this function can happen here */
    char function[16];
    uint32_t frames[MAX_FRAMES]; /* return addresses, from the start of the program */
};

enum {
    MODE_NOTE,           /* only note the places */
    MODE_PLACE,          /* fail once at `hash` in way `kind`, the nth time that it is passed */
    MODE_CALL,           /* fail once at the nth call of all, in one of the ways possible there */
    MODE_PLACE_ALWAYS,   /* fail at `hash` in way `kind` at every pass */
    MODE_NTH_ALLOCATION, /* every nth allocation of all processes together fails */
};

/* The file. `fired` counts the failures. */
struct board {
    uint32_t mode, kind, nth, fired;
    uint64_t hash, fired_hash;
    uint32_t fired_kind, calls, allocations, unused;
    int64_t wall_ms, boot_ms; /* how far these clocks have jumped, in whole seconds */
    struct place places[MAX_PLACES];
};

extern char __executable_start[], etext[];
extern void *__libc_stack_end;

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
int __real_fcntl(int fd, int command, ...);
int __real_shutdown(int fd, int how);
int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);

static struct board *board;

static void open_board(void)
{
    static bool is_open;
    const char *path = getenv("FAULT_BOARD");

    if (is_open)
        return;
    is_open = true;
    int fd = path == NULL ? -1 : __real_open(path, O_RDWR | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED :
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    board = p == MAP_FAILED ? NULL : p;
    if (fd >= 0)
        __real_close(fd);
}

/* Goes up from `frame` by frame pointers as far as they lead through this program. */
static void walk(char **frame, uint32_t frames[MAX_FRAMES])
{
    char *base = __executable_start;
    unsigned count = 0;

    while (count < MAX_FRAMES && frame[1] >= base && frame[1] < etext) {
        frames[count++] = (uint32_t)(frame[1] - base);
        char **next = (char **)frame[0];
        if (next <= frame || (void *)next >= __libc_stack_end || ((uintptr_t)next & 7) != 0)
            break;
        frame = next;
    }
}

static struct place *find_place(const char *function, char **frame)
{
    uint32_t frames[MAX_FRAMES] = {0};
    uint64_t hash = 14695981039346656037u, none = 0;

    walk(frame, frames);
    for (size_t i = 0; i < MAX_FRAMES; i++)
        hash = (hash ^ frames[i]) * 1099511628211u;
    for (const char *p = function; *p != '\0'; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (uint64_t i = 0; i < MAX_PLACES; i++) {
        struct place *p = &board->places[(hash + i) % MAX_PLACES];
        if (p->hash == hash)
            return p;
        none = 0;
        if (p->hash == 0 &&
            __atomic_compare_exchange_n(&p->hash, &none, hash, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            strncpy(p->function, function, sizeof p->function - 1);
            memcpy(p->frames, frames, sizeof frames);
            return p;
        }
        if (none == hash)
            return p;
    }
    return NULL;
}

static bool is_possible(int failure, int fd, int flags)
{
    int type = SOCK_STREAM;
    socklen_t len = sizeof type;

    if (failure == EAGAIN && fd >= 0)
        return (flags & MSG_DONTWAIT) != 0 || (__real_fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
    if (failure == SHORT)
        return __real_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type == SOCK_STREAM;
    return true;
}

/* A connection of which that was said is gone for the other side too. */
static void cut(int fd)
{
    int family = 0;
    socklen_t len = sizeof family;

    if (__real_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 && family != AF_UNIX)
        __real_shutdown(fd, SHUT_RDWR);
}

static bool is_allocation(const struct place *p)
{
    static const char *const names[] = {"malloc", "calloc", "realloc", "strdup", "strndup",
                                        "vasprintf", "tsearch"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(p->function, names[i]) == 0)
            return true;
    return false;
}

static bool is_due(const struct place *p, uint32_t call, uint32_t pass)
{
    switch (board->mode) {
    case MODE_PLACE: return p->hash == board->hash && pass == board->nth;
    case MODE_CALL: return call == board->nth;
    case MODE_PLACE_ALWAYS: return p->hash == board->hash;
    case MODE_NTH_ALLOCATION:
        return is_allocation(p) && __atomic_add_fetch(&board->allocations, 1, __ATOMIC_SEQ_CST) %
                                           board->nth == 0;
    }
    return false;
}

/* True when this failure may happen: a mode that fails once lets one process win. What only asks
 * for another try is no failure that lasts. */
static bool fires(int failure)
{
    uint32_t none = 0;

    if (board->mode == MODE_PLACE_ALWAYS &&
        (failure == EINTR || failure == EAGAIN || failure == SHORT))
        return false;

    if (board->mode == MODE_PLACE || board->mode == MODE_CALL)
        return __atomic_compare_exchange_n(&board->fired, &none, 1, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&board->fired, 1, __ATOMIC_SEQ_CST);
    return true;
}

/* The failure that this call has, 0 for none. `failures` ends with 0. */
static __attribute__((noinline)) int fault(const char *function, const int *failures, int fd,
                                           int flags)
{
    int saved = errno, possible[16] = {0};
    uint32_t kinds = 0, count = 0;

    open_board();
    struct place *p = board == NULL ? NULL : find_place(function, __builtin_frame_address(0));
    if (p == NULL)
        goto none;
    for (uint32_t i = 0; failures[i] != 0; i++)
        if (is_possible(failures[i], fd, flags)) {
            kinds |= 1u << i;
            possible[count++] = (int)i;
        }
    p->kinds |= kinds;
    uint32_t call = __atomic_add_fetch(&board->calls, 1, __ATOMIC_SEQ_CST);
    uint32_t pass = __atomic_add_fetch(&p->calls, 1, __ATOMIC_SEQ_CST);
    if (count == 0 || !is_due(p, call, pass))
        goto none;
    bool is_chosen = board->mode == MODE_PLACE || board->mode == MODE_PLACE_ALWAYS;
    uint32_t kind = is_chosen ? board->kind : (uint32_t)possible[board->kind % count];
    if ((kinds & 1u << kind) == 0 || !fires(failures[kind]))
        goto none;
    board->fired_hash = p->hash;
    board->fired_kind = kind;
    if (failures[kind] == ECONNRESET || failures[kind] == EPIPE)
        cut(fd);
    errno = failures[kind];
    return failures[kind];
none:
    errno = saved;
    return 0;
}

#define FAILURES(...) ((const int[]){__VA_ARGS__, 0})

/* A function that fails with `value` and errno. */
#define WRAP_VALUE(type, value, name, params, args, fd, ...) \
    type __real_##name params; \
    type __wrap_##name params; \
    type __wrap_##name params \
    { \
        if (fault(#name, FAILURES(__VA_ARGS__), fd, 0) != 0) \
            return value; \
        return __real_##name args; \
    }
#define WRAP(name, params, args, fd, ...) \
    WRAP_VALUE(int, -1, name, params, args, fd, __VA_ARGS__)
#define WRAP_NULL(type, name, params, args, ...) \
    WRAP_VALUE(type, NULL, name, params, args, -1, __VA_ARGS__)

/* A transfer of up to `n` bytes, of which fewer may go. */
#define WRAP_TRANSFER(name, params, args, args_short, fd, n, flags, ...) \
    ssize_t __real_##name params; \
    ssize_t __wrap_##name params; \
    ssize_t __wrap_##name params \
    { \
        int number = fault(#name, FAILURES(__VA_ARGS__), fd, flags); \
        if (number == SHORT) \
            return (n) > 1 ? __real_##name args_short : __real_##name args; \
        return number != 0 ? -1 : __real_##name args; \
    }

WRAP_NULL(void *, malloc, (size_t n), (n), ENOMEM)
WRAP_NULL(void *, calloc, (size_t k, size_t n), (k, n), ENOMEM)
WRAP_NULL(void *, realloc, (void *p, size_t n), (p, n), ENOMEM)
WRAP_NULL(char *, strdup, (const char *s), (s), ENOMEM)
WRAP_NULL(char *, strndup, (const char *s, size_t n), (s, n), ENOMEM)
WRAP_NULL(char *, realpath, (const char *s, char *to), (s, to), ENOMEM, EIO, EACCES)
WRAP_NULL(char *, getcwd, (char *to, size_t n), (to, n), ENOMEM, EACCES)
WRAP_NULL(DIR *, opendir, (const char *s), (s), ENOMEM, EMFILE, EIO)
WRAP_NULL(DIR *, fdopendir, (int fd), (fd), ENOMEM)
WRAP_NULL(struct dirent *, readdir, (DIR *d), (d), EIO)
WRAP_NULL(struct group *, getgrgid, (gid_t id), (id), EIO)
WRAP_NULL(struct passwd *, getpwuid, (uid_t id), (id), EIO)
WRAP_NULL(struct passwd *, getpwnam, (const char *name), (name), EIO)
WRAP_NULL(void *, tsearch,
          (const void *key, void **root, int (*compare)(const void *, const void *)),
          (key, root, compare), ENOMEM)
WRAP(vasprintf, (char **to, const char *f, va_list a), (to, f, a), -1, ENOMEM)

WRAP_TRANSFER(read, (int fd, void *p, size_t n), (fd, p, n), (fd, p, 1), fd, n, 0, EINTR, EIO,
              EAGAIN, SHORT)
WRAP_TRANSFER(pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), (fd, p, 1, at), fd, n,
              0, EINTR, EIO, SHORT)
WRAP_TRANSFER(write, (int fd, const void *p, size_t n), (fd, p, n), (fd, p, n / 2), fd, n, 0,
              EINTR, ENOSPC, EIO, EAGAIN, SHORT)
WRAP_TRANSFER(pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at),
              (fd, p, n / 2, at), fd, n, 0, EINTR, EIO, ENOSPC)
WRAP_TRANSFER(recv, (int fd, void *p, size_t n, int f), (fd, p, n, f), (fd, p, 1, f), fd, n, f,
              EINTR, ECONNRESET, EAGAIN, SHORT)
WRAP_TRANSFER(send, (int fd, const void *p, size_t n, int f), (fd, p, n, f), (fd, p, n / 2, f), fd,
              n, f, EINTR, ECONNRESET, EPIPE, EAGAIN, ENOBUFS, SHORT)
WRAP_TRANSFER(sendfile, (int to, int from, off_t *at, size_t n), (to, from, at, n),
              (to, from, at, n / 2), to, n, 0, EINTR, EIO, ECONNRESET, EAGAIN, SHORT)
WRAP_TRANSFER(recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f), (fd, m, f), fd, 2, f, EINTR,
              ECONNRESET, ENOMEM, EAGAIN)
WRAP_TRANSFER(sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f), (fd, m, f), fd, 2, f,
              EINTR, ECONNRESET, ENOBUFS, EAGAIN)

WRAP(fsync, (int fd), (fd), -1, EIO, EINTR, ENOSPC)
WRAP(fdatasync, (int fd), (fd), -1, EIO, EINTR, ENOSPC)
WRAP(syncfs, (int fd), (fd), -1, EIO)
WRAP(rename, (const char *a, const char *b), (a, b), -1, EIO, ENOSPC)
WRAP(link, (const char *a, const char *b), (a, b), -1, EIO, EPERM, EMLINK)
WRAP(unlink, (const char *a), (a), -1, EIO)
WRAP(unlinkat, (int fd, const char *a, int f), (fd, a, f), -1, EIO)
WRAP(remove, (const char *a), (a), -1, EIO)
WRAP(rmdir, (const char *a), (a), -1, EBUSY)
WRAP(mkdir, (const char *a, mode_t m), (a, m), -1, ENOSPC, EIO, EACCES)
WRAP(mkdirat, (int fd, const char *a, mode_t m), (fd, a, m), -1, ENOSPC, EIO, EACCES)
WRAP_NULL(char *, mkdtemp, (char *a), (a), ENOSPC)
WRAP(stat, (const char *a, struct stat *s), (a, s), -1, EIO, EACCES)
WRAP(lstat, (const char *a, struct stat *s), (a, s), -1, EIO)
WRAP(fstat, (int fd, struct stat *s), (fd, s), -1, EIO, ESTALE)
WRAP(fstatat, (int fd, const char *a, struct stat *s, int f), (fd, a, s, f), -1, EIO)
WRAP(fstatvfs, (int fd, struct statvfs *s), (fd, s), -1, EIO)
WRAP(statvfs, (const char *path, struct statvfs *s), (path, s), -1, EIO)
WRAP(fstatfs, (int fd, struct statfs *s), (fd, s), -1, EIO, ESTALE)
WRAP(access, (const char *a, int m), (a, m), -1, EIO)
WRAP(flock, (int fd, int op), (fd, op), -1, EINTR, ENOLCK)
WRAP(ftruncate, (int fd, off_t n), (fd, n), -1, EIO, EINTR)
WRAP(fallocate, (int fd, int m, off_t a, off_t n), (fd, m, a, n), -1, EOPNOTSUPP, ENOSPC, EINTR)
WRAP(utimensat, (int fd, const char *a, const struct timespec *t, int f), (fd, a, t, f), -1, EPERM)
WRAP_VALUE(ssize_t, -1, readlink, (const char *a, char *p, size_t n), (a, p, n), -1, EIO)
WRAP_VALUE(ssize_t, -1, readlinkat, (int fd, const char *a, char *p, size_t n), (fd, a, p, n), -1,
           EIO)
WRAP_VALUE(ssize_t, -1, getxattr, (const char *a, const char *name, void *p, size_t n),
           (a, name, p, n), -1, EIO, ENOTSUP)
WRAP(setenv, (const char *a, const char *b, int f), (a, b, f), -1, ENOMEM)
WRAP(chdir, (const char *a), (a), -1, EACCES)
WRAP(dup2, (int a, int b), (a, b), -1, EMFILE, EINTR)
WRAP(fchmod, (int fd, mode_t m), (fd, m), -1, EPERM, EIO)
WRAP(fchown, (int fd, uid_t u, gid_t g), (fd, u, g), -1, EPERM, EIO)
WRAP(nftw, (const char *a, __nftw_func_t call, int n, int f), (a, call, n, f), -1, EIO, ENOMEM)
WRAP_VALUE(int, EIO, posix_fadvise, (int fd, off_t a, off_t n, int advice), (fd, a, n, advice), -1,
           EIO)
WRAP(sync_file_range, (int fd, off64_t a, off64_t n, unsigned f), (fd, a, n, f), -1, EIO, ENOSPC)
WRAP_VALUE(off_t, -1, lseek, (int fd, off_t n, int from), (fd, n, from), -1, EIO)
WRAP_VALUE(int, EOF, fflush, (FILE *f), (f), -1, ENOSPC)

WRAP(socket, (int d, int t, int p), (d, t, p), -1, EMFILE, ENOBUFS, EAFNOSUPPORT)
WRAP(socketpair, (int d, int t, int p, int *fds), (d, t, p, fds), -1, EMFILE)
WRAP(bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1, EADDRINUSE)
WRAP(listen, (int fd, int n), (fd, n), -1, EADDRINUSE)
WRAP(connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1, ECONNREFUSED,
     ENETUNREACH, EADDRNOTAVAIL, EAGAIN)
WRAP(accept4, (int fd, struct sockaddr *a, socklen_t *n, int f), (fd, a, n, f), fd, EINTR, EMFILE,
     ECONNABORTED, ENOBUFS, EAGAIN)
WRAP(shutdown, (int fd, int how), (fd, how), -1, ENOTCONN)
WRAP(getsockopt, (int fd, int l, int o, void *v, socklen_t *n), (fd, l, o, v, n), -1, ENOBUFS)
WRAP(setsockopt, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n), -1, ENOBUFS)
WRAP(getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), -1, ENOBUFS)
WRAP(getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), -1, ENOTCONN)
WRAP(poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), -1, EINTR, ENOMEM)
WRAP(epoll_create1, (int f), (f), -1, EMFILE)
WRAP(epoll_wait, (int e, struct epoll_event *v, int n, int ms), (e, v, n, ms), -1, EINTR)
WRAP_VALUE(int, EAI_MEMORY, getaddrinfo,
           (const char *h, const char *s, const struct addrinfo *a, struct addrinfo **to),
           (h, s, a, to), -1, ENOMEM)
WRAP_VALUE(pid_t, -1, fork, (void), (), -1, EAGAIN, ENOMEM)
WRAP_VALUE(pid_t, -1, waitpid, (pid_t p, int *s, int f), (p, s, f), -1, EINTR)
WRAP(waitid, (idtype_t w, id_t id, siginfo_t *i, int f), (w, id, i, f), -1, EINTR)
WRAP_VALUE(pid_t, -1, setsid, (void), (), -1, EPERM)
WRAP(signalfd, (int fd, const sigset_t *s, int f), (fd, s, f), -1, EMFILE)
WRAP(setrlimit, (int w, const struct rlimit *l), (w, l), -1, EPERM)
WRAP_VALUE(pid_t, -1, wait4, (pid_t p, int *s, int f, struct rusage *u), (p, s, f, u), -1, EINTR)
WRAP(prlimit, (pid_t p, int w, const struct rlimit *n, struct rlimit *o), (p, w, n, o), -1, EPERM)
WRAP(getrlimit, (int w, struct rlimit *l), (w, l), -1, EPERM)
WRAP(setgroups, (size_t n, const gid_t *list), (n, list), -1, EPERM)
WRAP(setgid, (gid_t id), (id), -1, EPERM)
WRAP(setuid, (uid_t id), (id), -1, EPERM, EAGAIN)
WRAP(gethostname, (char *to, size_t n), (to, n), -1, EPERM)

/* Clocks jump as the file says: the wall clock, which somebody sets, and the one that goes on
 * while the machine sleeps. */
static int64_t jump_of_clock_ms(clockid_t id)
{
    open_board();
    if (board == NULL)
        return 0;
    return id == CLOCK_REALTIME ? board->wall_ms : id == CLOCK_BOOTTIME ? board->boot_ms : 0;
}

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    int result = __real_clock_gettime(id, t);

    t->tv_sec += jump_of_clock_ms(id) / 1000;
    return result;
}

/* Only adding can fail for want of something. */
int __real_epoll_ctl(int e, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int e, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int e, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && fault("epoll_ctl", FAILURES(ENOMEM, ENOSPC), -1, 0) != 0)
        return -1;
    return __real_epoll_ctl(e, operation, fd, event);
}

/* A descriptor is closed whatever close(2) says about what was written. */
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int number = fault("close", FAILURES(EIO, EINTR), -1, 0), status = __real_close(fd);

    if (number == 0 || status != 0)
        return status;
    errno = number;
    return -1;
}

static mode_t mode_argument(int flags, va_list args)
{
    return (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = mode_argument(flags, args);
    va_end(args);
    if (fault("open", FAILURES(EMFILE, EINTR, EIO, ENOSPC, EACCES), -1, 0) != 0)
        return -1;
    return __real_open(path, flags, mode);
}

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = mode_argument(flags, args);
    va_end(args);
    if (fault("openat", FAILURES(EMFILE, EINTR, EIO, EACCES), -1, 0) != 0)
        return -1;
    return __real_openat(fd, path, flags, mode);
}

int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    long argument = va_arg(args, long);
    va_end(args);
    if (fault("fcntl", FAILURES(EMFILE, EINTR), -1, 0) != 0)
        return -1;
    return __real_fcntl(fd, command, argument);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;

    va_start(args, request);
    long argument = va_arg(args, long);
    va_end(args);
    if (fault("ioctl", FAILURES(ENOTTY, EIO), -1, 0) != 0)
        return -1;
    return __real_ioctl(fd, request, argument);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    va_list args;
    long a[6];

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (fault("syscall", FAILURES(ENOSYS, EINTR), -1, 0) != 0)
        return -1;
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
