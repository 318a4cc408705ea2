#include "base/dirs.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/str.h"

static bool is_existing_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* mkdir that is content with a directory that is there already: a read-only or automounted parent
 * answers with other errors than EEXIST. */
static int make_dir(const char *path)
{
    if (mkdir(path, 0777) == 0)
        return 0;
    int number = errno;
    if (is_existing_dir(path))
        return 0;
    errno = number == EEXIST ? ENOTDIR : number;
    return -1;
}

struct str dirs_above(struct str path)
{
    while (path.len > 0 && path.p[path.len - 1] != '/')
        path.len--;
    return path;
}

/* make_dir of the first `len` bytes of `path`, which is changed for a moment. */
static int make_prefix(char *path, size_t len)
{
    char after = path[len];

    path[len] = '\0';
    int status = make_dir(path);
    path[len] = after;
    return status;
}

/* The length of `path` without its last component and the slashes before it. */
static size_t parent_length(const char *path, size_t len)
{
    while (len > 0 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    return len;
}

/* Most often only the last directories are missing: goes up to one that is there, then down. */
static int make_dirs(struct str path, struct err *e)
{
    struct buf copy = {0};
    size_t len = path.len;
    int status = 0;

    buf_put(&copy, path);
    buf_putc(&copy, '\0');
    if (path.len == 0 || buf_check(&copy, e) != 0)
        goto out;
    while ((status = make_prefix(copy.data, len)) != 0 && (errno == ENOENT || errno == ENOTDIR) &&
           parent_length(copy.data, len) > 0)
        len = parent_length(copy.data, len);
    while (status == 0 && len < path.len) {
        while (len < path.len && path.p[len] == '/')
            len++;
        while (len < path.len && path.p[len] != '/')
            len++;
        status = make_prefix(copy.data, len);
    }
    if (status != 0 && (errno == EACCES || errno == EPERM)) {
        copy.data[len] = '\0';
        cause_create(e, errno, copy.data, NULL);
    } else if (status != 0) {
        err_errno(e, ERR_FAILED, errno, "cannot create directory %.*s", (int)len, path.p);
    }
out:
    status = copy.failed ? -1 : status;
    buf_free(&copy);
    return status;
}

int dirs_make(const char *path, struct err *e)
{
    return path == NULL ? buf_no_path(e) : make_dirs(str_of(path), e);
}

int dirs_make_parents(const char *path, struct err *e)
{
    return path == NULL ? buf_no_path(e) : make_dirs(dirs_above(str_of(path)), e);
}
