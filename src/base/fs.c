#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/dirs.h"
#include "base/clock.h"
#include "base/ready.h"

/* musl's open makes a second system call for O_CLOEXEC, its openat does not. */
static int open_once(const char *path, int flags, mode_t mode)
{
    return openat(AT_FDCWD, path, flags | O_CLOEXEC | O_NOCTTY, mode);
}

/* Appends what is left to read, up to one byte more than max_bytes. `size` is that of fstat(2): a
 * read that brings all of it and had room for more has seen the end. */
static int read_rest_of_file(int fd, const char *path, size_t max_bytes, uintmax_t size,
                             struct buf *out, struct err *e)
{
    size_t start = out->len;

    for (;;) {
        if (!buf_reserve(out, 1))
            return buf_check(out, e);
        size_t room = out->cap - out->len;
        ssize_t n = read(fd, out->data + out->len, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, ERR_FAILED, errno, "cannot read %s", path);
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        if (out->len - start > max_bytes)
            return err_set(e, ERR_TOO_LARGE, "%s: more than %zu bytes", path, max_bytes);
        if (out->len - start == size && (size_t)n < room)
            return 0;
    }
}

static bool is_readable_kind(const struct stat *st, bool takes_pipes)
{
    bool is_null = S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3); /* /dev/null */

    return S_ISREG(st->st_mode) || (takes_pipes && (S_ISFIFO(st->st_mode) || is_null));
}

/* The files that read_whole_file takes beside a regular file at the very name. */
enum { TAKES_PIPES = 1, TAKES_LINKS = 2 };

static int read_whole_file(const char *path, unsigned takes, size_t max_bytes, struct buf *out,
                           struct stat *st_out, struct err *e)
{
    bool takes_pipes = (takes & TAKES_PIPES) != 0;
    size_t start = out->len;
    struct stat st;
    int status = -1;

    if (path == NULL)
        return buf_no_path(e);
    /* O_NONBLOCK: opening a FIFO must not wait for its writer, unless that is wanted. */
    int fd = open_once(path, O_RDONLY | (takes_pipes ? 0 : O_NONBLOCK) |
                                 (takes & TAKES_LINKS ? 0 : O_NOFOLLOW), 0);
    if (fd < 0) {
        int number = errno;
        bool is_absent = number == ENOENT || number == ENOTDIR;
        err_errno(e, is_absent ? ERR_NOT_FOUND : ERR_FAILED, number, "cannot open %s", path);
        if (number == EACCES)
            cause_explain(path, e);
        return -1;
    }
    if (fstat(fd, &st) != 0)
        err_errno(e, ERR_FAILED, errno, "cannot stat %s", path);
    else if (!is_readable_kind(&st, takes_pipes))
        err_set(e, ERR_FAILED, "%s: not a regular file", path);
    else {
        /* Room for what there seems to be, and one more byte to see the end in. */
        buf_reserve(out, 1 + ((uintmax_t)st.st_size < max_bytes ? (size_t)st.st_size : max_bytes));
        status = read_rest_of_file(fd, path, max_bytes, (uintmax_t)st.st_size, out, e);
    }
    close(fd);
    if (status != 0)
        out->len = start;
    else if (st_out != NULL)
        *st_out = st;
    return status;
}

int fs_read_file(const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    return read_whole_file(path, TAKES_LINKS, max_bytes, out, NULL, e);
}

int fs_read_pipe(const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    return read_whole_file(path, TAKES_LINKS | TAKES_PIPES, max_bytes, out, NULL, e);
}

int fs_read_stat(const char *path, bool follows, size_t max_bytes, struct buf *out,
                 struct stat *st, struct err *e)
{
    return read_whole_file(path, follows ? TAKES_LINKS : 0, max_bytes, out, st, e);
}

ssize_t fs_read_part(int fd, char *data, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = read(fd, data + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

int fs_stat_opened(int fd, struct stat *st)
{
    if (fd < 0 || fstat(fd, st) == 0)
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

int fs_write_all(int fd, struct str data, const char *path, struct err *e)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.p, data.len);
        if (n > 0) {
            data = str_slice(data, (size_t)n, data.len);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            ready_wait(fd, READY_WRITE, CLOCK_NEVER_MS);
            continue;
        }
        int number = n == 0 ? EIO : errno;
        err_errno(e, ERR_FAILED, number, "cannot write %s", path);
        errno = number;
        return -1;
    }
    return 0;
}

int64_t fs_mtime_ms(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

int fs_sync_file(const char *path, struct err *e)
{
    int fd, status = 0;

    if (path == NULL)
        return buf_no_path(e);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_errno(e, ERR_FAILED, errno, "cannot open %s", path);
    if (fsync(fd) != 0)
        status = err_errno(e, ERR_FAILED, errno, "cannot write %s to disk", path);
    close(fd);
    return status;
}

int fs_sync_parent(const char *path, struct err *e)
{
    struct buf name = {0};
    int fd = -1, status = 0;

    if (path == NULL)
        return buf_no_path(e);
    struct str directory = dirs_above(str_of(path));
    buf_put(&name, directory.len == 0 ? STR(".") : directory);
    const char *synced = buf_path(&name, e);
    if (synced == NULL)
        status = -1;
    else if ((fd = openat(AT_FDCWD, synced, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 &&
             errno != EACCES)
        status = err_errno(e, ERR_FAILED, errno, "cannot open directory %s", synced);
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = err_errno(e, ERR_FAILED, errno, "cannot write directory %s to disk", synced);
    if (fd >= 0)
        close(fd);
    buf_free(&name);
    return status;
}

/* Appends one component to an absolute path that starts at out->data[start]. */
static void join_component(struct buf *out, size_t start, struct str component)
{
    if (component.len == 0 || str_equal(component, STR(".")))
        return;
    if (!str_equal(component, STR(".."))) {
        buf_putc(out, '/');
        buf_put(out, component);
        return;
    }
    while (out->len > start && out->data[--out->len] != '/')
        ;
}

int fs_absolute_path(const char *path, struct buf *out, struct err *e)
{
    struct str rest, cwd;
    size_t start = out->len;

    if (path == NULL)
        return buf_no_path(e);
    rest = str_of(path);
    if (rest.len == 0)
        return err_set(e, ERR_FAILED, "empty path (is a variable of the shell not set?)");
    if (rest.p[0] == '/') {
        buf_put(out, rest);
        return buf_check(out, e);
    }
    char *directory = getcwd(NULL, 0);
    if (directory == NULL)
        return err_errno(e, ERR_FAILED, errno, "cannot tell the working directory");
    cwd = str_of(directory);
    buf_put(out, str_equal(cwd, STR("/")) ? STR("") : cwd);
    free(directory);
    while (rest.len > 0 && !out->failed) {
        size_t end = str_find(rest, '/');
        join_component(out, start, str_slice(rest, 0, end));
        rest = str_slice(rest, end + 1, rest.len);
    }
    if (out->len == start)
        buf_putc(out, '/');
    return buf_check(out, e);
}

double fs_mtime(const struct stat *st)
{
    return (double)st->st_mtim.tv_sec + 1e-9 * (double)st->st_mtim.tv_nsec;
}

static bool is_control_sequence(struct str sequence)
{
    unsigned char first = (unsigned char)sequence.p[0];

    if (sequence.len == 2 && first == 0xc2)
        return (unsigned char)sequence.p[1] < 0xa0;
    return first < 0x20 || first == 0x7f || (sequence.len == 1 && first >= 0x80 && first < 0xa0);
}

void fs_put_printable(struct buf *out, struct str path)
{
    while (path.len > 0) {
        size_t n = str_utf8_sequence(path);
        struct str sequence = str_slice(path, 0, n == 0 ? 1 : n);
        if (!is_control_sequence(sequence))
            buf_put(out, sequence);
        else
            for (size_t i = 0; i < sequence.len; i++)
                buf_printf(out, "\\x%02x", (unsigned)(unsigned char)sequence.p[i]);
        path = str_slice(path, sequence.len, path.len);
    }
}

void fs_put_open_path(int fd, struct buf *out)
{
    char link[sizeof "/proc/self/fd/" + 10], path[PATH_MAX];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    buf_put(out, n > 0 ? (struct str){path, (size_t)n} : STR("a file"));
}
