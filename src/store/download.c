/* Files that arrive from elsewhere: a temporary file beside the final place, then the rename. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/store.h"

int store_open_download(const struct store *s, const char *hash, struct buf *temporary, int *fd,
                        struct err *e)
{
    struct buf final = {0};
    int status = -1;

    store_put_copy_path(s, hash, &final);
    const char *path = buf_cstr(&final);
    if (buf_check(&final, e) != 0)
        goto out;
    status = fs_open_temporary(path, 0666, temporary, fd, e);
    if (status != 0 && e->code == ERR_NOT_FOUND && fs_make_parents(path, e) == 0)
        status = fs_open_temporary(path, 0666, temporary, fd, e);
out:
    buf_free(&final);
    return status;
}

int store_adopt(const struct store *s, const char *hash, const char *temporary, struct err *e)
{
    struct buf final = {0};
    int status = -1;

    store_put_copy_path(s, hash, &final);
    const char *path = buf_cstr(&final);
    if (buf_check(&final, e) != 0 || fs_sync_file(temporary, e) != 0)
        goto out;
    if (rename(temporary, path) != 0) {
        err_errno(e, ERR_FAILED, errno, "cannot rename to %s", path);
        goto out;
    }
    status = fs_sync_parent(path, e);
out:
    buf_free(&final);
    return status;
}

int store_sync(const struct store *s, struct err *e)
{
    int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = 0;

    if (fd < 0)
        return err_errno(e, ERR_FAILED, errno, "cannot open %s", s->dir);
    if (syncfs(fd) != 0)
        status = err_errno(e, ERR_FAILED, errno, "cannot write %s to disk", s->dir);
    close(fd);
    return status;
}
