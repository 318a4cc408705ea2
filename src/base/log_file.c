#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/newfile.h"
#include "base/place.h"

enum { LOOK_MS = 1000 };

/* --- opening --- */

static int open_log_appending(const struct log_file_options *options, struct err *e)
{
    const char *path = options->path;
    /* O_NONBLOCK: a FIFO without a reader is an error, not a wait. */
    int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, fd;
    mode_t mode = !options->is_private && newfile_is_in_group_folder(path) ? 0660 : 0600;

    if (place_open_file(path, flags, mode, &fd, e) == 0)
        return fd;
    return err_wrap(e, "cannot open log %s", path);
}

int log_file_open(struct log_file *file, const struct log_file_options *options, struct err *e)
{
    struct stat st;
    int fd = open_log_appending(options, e);

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0) {
        err_errno(e, ERR_FAILED, errno, "cannot look at log %s", options->path);
        close(fd);
        return -1;
    }
    log_file_close(file);
    *file = (struct log_file){.options = *options,
                              .fd = fd,
                              .is_regular = S_ISREG(st.st_mode),
                              .bytes = st.st_size,
                              .rotate_at = options->max_bytes,
                              .look_at_ms = clock_now_ms() + LOOK_MS};
    return 0;
}

void log_file_close(struct log_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

/* --- another file of that name --- */

/* Returns whether the path still leads to the file that is open, and learns how long that is by
 * now: other processes may append to it. */
static bool is_log_in_place(struct log_file *file)
{
    struct stat ours, there;

    if (fstat(file->fd, &ours) != 0)
        return false;
    file->bytes = ours.st_size;
    return stat(file->options.path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

static int reopen_log_file(struct log_file *file, struct err *e)
{
    const struct log_file_options options = file->options;

    return log_file_open(file, &options, e);
}

/* PATH.<number>, or PATH for 0; caller frees; NULL without memory. */
static char *numbered_log_path(const struct log_file *file, unsigned number)
{
    struct buf path = {0};

    buf_puts(&path, file->options.path);
    if (number > 0)
        buf_printf(&path, ".%u", number);
    return buf_take(&path);
}

/* Gives PATH.<number> the next number. A number that is not in use is no error. */
static int move_log_up(const struct log_file *file, unsigned number, struct err *e)
{
    char *from = numbered_log_path(file, number), *to = numbered_log_path(file, number + 1);
    int result = 0;

    if (from == NULL || to == NULL)
        result = err_set(e, ERR_FAILED, "out of memory");
    else if (rename(from, to) != 0 && errno != ENOENT)
        result = err_errno(e, ERR_FAILED, errno, "cannot rename log %s", from);
    free(from);
    free(to);
    return result;
}

static int rotate_log(struct log_file *file, struct err *e)
{
    const struct log_file_options *options = &file->options;

    if (options->kept == 0 && unlink(options->path) != 0 && errno != ENOENT)
        return err_errno(e, ERR_FAILED, errno, "cannot remove log %s", options->path);
    for (unsigned number = options->kept; number > 0; number--)
        if (move_log_up(file, number - 1, e) != 0)
            return -1;
    return reopen_log_file(file, e);
}

static bool is_log_too_long(const struct log_file *file, size_t coming)
{
    return file->rotate_at > 0 && file->bytes > 0 &&
           file->bytes + (int64_t)coming > file->rotate_at;
}

int log_file_keep(struct log_file *file, size_t coming, struct err *e)
{
    int64_t now_ms = clock_now_ms();

    if (!file->is_regular || (now_ms < file->look_at_ms && !is_log_too_long(file, coming)))
        return 0;
    file->look_at_ms = now_ms + LOOK_MS;
    if (!is_log_in_place(file) && reopen_log_file(file, e) != 0)
        return -1;
    if (!is_log_too_long(file, coming) || rotate_log(file, e) == 0)
        return 0;
    file->rotate_at = file->bytes + file->options.max_bytes / 10 + 1;
    return -1;
}

/* --- lines --- */

static ssize_t append_to_log(struct log_file *file, const char *bytes, size_t len)
{
    ssize_t n;

    do
        n = write(file->fd, bytes, len);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        file->bytes += n;
    return n;
}

bool log_file_write(struct log_file *file, const char *line, size_t len)
{
    ssize_t n;

    if (file->is_torn && append_to_log(file, "\n", 1) != 1)
        return false;
    file->is_torn = false;
    n = append_to_log(file, line, len);
    file->is_torn = n > 0 && n < (ssize_t)len;
    return n == (ssize_t)len;
}
