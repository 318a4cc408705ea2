#include "store/file_id.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

struct file_id file_id_of(const struct stat *st)
{
    return (struct file_id){(uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint32_t)st->st_uid};
}

bool file_id_is(const struct file_id *id, const struct stat *st)
{
    return id->device == (uint64_t)st->st_dev && id->inode == (uint64_t)st->st_ino &&
           id->owner == (uint32_t)st->st_uid;
}

void file_id_put_resolved(int fd, struct buf *out)
{
    char link[sizeof "/proc/self/fd/" + 10], path[PATH_MAX];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    if (n > 0 && path[0] == '/' && (size_t)n < sizeof path)
        buf_append(out, path, (size_t)n);
}
