#include "bucket/object_upload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/random.h"

#define UPLOADS ".hub/uploads"

enum { NAME_DIGITS = 32, ATTEMPTS = 16 };

static int set_upload_error(struct err *e, int number, const char *doing)
{
    bool is_full = number == ENOSPC || number == EDQUOT || number == EFBIG;

    /* Without a cure: whoever uploads reads this, and has another disk. */
    return err_set(e, is_full ? ERR_TOO_LARGE : ERR_FAILED, "%s: %s", doing, strerror(number));
}

/* Some file systems have no locks (NFS without lockd, Lustre mounted without them). */
enum lock { LOCK_TAKEN, LOCK_OF_ANOTHER, LOCK_UNKNOWN };

static enum lock try_lock(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return LOCK_TAKEN;
    return errno == EWOULDBLOCK ? LOCK_OF_ANOTHER : LOCK_UNKNOWN;
}

/* False when object_upload_clean of another process took it for a left-over in between. */
static bool is_upload_ours(int fd)
{
    struct stat st;

    return try_lock(fd) != LOCK_OF_ANOTHER && fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* 1: made and ours; 0: taken (or taken away at once); -1: not possible. */
static int create_named(struct object_upload *file, const struct data_dir *dir, const char *name,
                        struct err *e)
{
    buf_clear(&file->temporary);
    buf_printf(&file->temporary, "%s/%s/%s", dir->path, UPLOADS, name);
    const char *path = buf_path(&file->temporary, e);
    if (path == NULL)
        return -1;
    file->fd = openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd < 0)
        return errno == EEXIST ? 0
                               : set_upload_error(e, errno, "cannot make a file for the upload");
    if (is_upload_ours(file->fd))
        return 1;
    close(file->fd);
    unlink(path);
    return 0;
}

static int create_upload_file(struct object_upload *file, const struct data_dir *dir, struct err *e)
{
    char name[NAME_DIGITS + 1];
    int made = 0;

    for (int i = 0; i < ATTEMPTS && made == 0; i++) {
        random_hex(name, NAME_DIGITS);
        made = create_named(file, dir, name, e);
    }
    if (made == 0)
        return err_set(e, ERR_FAILED, "cannot lock a file for the upload");
    return made > 0 ? 0 : -1;
}

/* The places of a name are numbered. */
static int create_shared(struct object_upload *file, const struct data_dir *dir, const char *name,
                         struct err *e)
{
    struct buf numbered = {0};
    int made = 0;

    for (int i = 0; i < OBJECT_UPLOAD_MAX_SHARED && made == 0; i++) {
        buf_clear(&numbered);
        buf_printf(&numbered, "%s.%d", name, i);
        const char *place = buf_path(&numbered, e);
        made = place == NULL ? -1 : create_named(file, dir, place, e);
    }
    buf_free(&numbered);
    if (made == 0)
        return err_set(e, ERR_TAKEN, "it is being uploaded %d times at once already",
                       OBJECT_UPLOAD_MAX_SHARED);
    return made > 0 ? 0 : -1;
}

/* Refuses before the first byte what cannot fit; what fills the disk meanwhile fails later. A file
 * system that does not know its size (many in user space) says 0 blocks. */
static int check_room(int fd, int64_t size, struct err *e)
{
    struct statvfs fs;

    if (fstatvfs(fd, &fs) == 0 && fs.f_blocks > 0 && fs.f_frsize > 0 &&
        (uint64_t)size / fs.f_frsize > fs.f_bavail)
        return set_upload_error(e, ENOSPC, "cannot take the upload");
    return 0;
}

void object_upload_open_dry(struct object_upload *file, int64_t size)
{
    *file = (struct object_upload){.fd = -1, .is_dry = true, .size = size};
    sha1_init(&file->sha1);
}

/* `name` is NULL for one of its own. */
static int open_upload_file(struct object_upload *file, const struct data_dir *dir,
                            const char *name, int64_t size, struct err *e)
{
    *file = (struct object_upload){.fd = -1, .size = size};
    sha1_init(&file->sha1);
    if ((name == NULL ? create_upload_file(file, dir, e) : create_shared(file, dir, name, e)) !=
        0) {
        buf_free(&file->temporary);
        return -1;
    }
    if (check_room(file->fd, size, e) == 0)
        return 0;
    object_upload_discard(file);
    return -1;
}

int object_upload_open(struct object_upload *file, const struct data_dir *dir, int64_t size,
                       struct err *e)
{
    return open_upload_file(file, dir, NULL, size, e);
}

int object_upload_open_shared(struct object_upload *file, const struct data_dir *dir,
                              const char *name, int64_t size, struct err *e)
{
    return open_upload_file(file, dir, name, size, e);
}

static int write_all(int fd, struct str data, struct err *e)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.p, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return set_upload_error(e, errno, "cannot write the upload");
        data = str_slice(data, (size_t)n, data.len);
    }
    return 0;
}

int object_upload_write(struct object_upload *file, struct str data, struct err *e)
{
    if ((int64_t)data.len > file->size - file->written)
        return err_set(e, ERR_PROTOCOL, "more than the %lld bytes that were announced",
                       (long long)file->size);
    if (!file->is_dry && write_all(file->fd, data, e) != 0)
        return -1;
    sha1_update(&file->sha1, data.p, data.len);
    file->written += (int64_t)data.len;
    if (!file->is_dry && file->written - file->flushed >= OBJECT_UPLOAD_WRITEBACK_BYTES) {
        /* So that the fsync at the end has little left to do. */
        sync_file_range(file->fd, file->flushed, file->written - file->flushed,
                        SYNC_FILE_RANGE_WRITE);
        file->flushed = file->written;
    }
    return 0;
}

/* How much of `path` is there: the length of the longest part that is a folder. */
static size_t find_existing(const char *path)
{
    struct buf folder = {0};
    size_t i = strlen(path);
    bool is_there = false;

    while (i > 1 && !is_there) {
        i--;
        if (path[i] != '/')
            continue;
        buf_clear(&folder);
        buf_append(&folder, path, i);
        const char *above = buf_path(&folder, ERR_IGNORED);
        is_there = above != NULL && access(above, F_OK) == 0;
    }
    buf_free(&folder);
    return i;
}

/* Acts on each folder of `path` beyond its first `existing` bytes, the outermost first. */
static int for_new_folders(const char *path, size_t existing,
                           int (*act)(const char *folder, struct err *e), struct err *e)
{
    struct buf folder = {0};
    size_t length = strlen(path);
    int result = 0;

    for (size_t i = existing + 1; i < length && result == 0; i++) {
        if (path[i] != '/')
            continue;
        buf_clear(&folder);
        buf_append(&folder, path, i);
        const char *name = buf_path(&folder, e);
        result = name == NULL ? -1 : act(name, e);
    }
    buf_free(&folder);
    return result;
}

static int make_object_folder(const char *folder, struct err *e)
{
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return set_upload_error(e, errno, "cannot make a folder for the object");
    return 0;
}

static int check_upload(struct object_upload *file, struct str hash, struct err *e)
{
    char digits[SHA1_HEX + 1];

    if (file->written != file->size)
        return err_set(e, ERR_PROTOCOL, "%lld bytes came, %lld were announced",
                       (long long)file->written, (long long)file->size);
    sha1_final_hex(&file->sha1, digits);
    if (!str_equal(str_of(digits), hash))
        return err_set(e, ERR_CHANGED, "the bytes have the SHA-1 %s", digits);
    return 0;
}

int object_upload_publish(struct object_upload *file, const char *path, struct str hash,
                          struct err *e)
{
    size_t existing;
    int result = -1;

    if (path == NULL)
        goto out;
    if (file->is_dry)
        return check_upload(file, hash, e);
    existing = find_existing(path);

    /* The folders come before the first fsync, so that one transaction of the file system holds
     * them all: the fsyncs of their parents then find nothing left to write. */
    if (check_upload(file, hash, e) != 0 ||
        for_new_folders(path, existing, make_object_folder, e) != 0)
        goto out;
    if (fsync(file->fd) != 0 || fstat(file->fd, &file->published) != 0) {
        set_upload_error(e, errno, "cannot sync the upload");
        goto out;
    }
    if (for_new_folders(path, existing, fs_sync_parent, e) != 0)
        goto out;
    if (rename(file->temporary.data, path) != 0) { /* create_named left its NUL */
        bool is_split = errno == EXDEV;
        set_upload_error(e, errno,
                         is_split ? "the data directory is not one file system"
                                  : "cannot rename the upload");
        goto out;
    }
    buf_clear(&file->temporary);
    result = fs_sync_parent(path, e);
out:
    object_upload_discard(file);
    return result;
}

void object_upload_discard(struct object_upload *file)
{
    const char *left = buf_path(&file->temporary, ERR_IGNORED);
    if (left != NULL)
        unlink(left);
    if (file->temporary.cap > 0 && file->fd >= 0)
        close(file->fd);
    buf_free(&file->temporary);
    file->fd = -1;
}

/* An upload is abandoned if its lock is free or, on file systems without locks, if it was not
 * written for a day. */
static bool is_left_over(int fd)
{
    enum lock lock = try_lock(fd);
    struct stat st;

    return lock == LOCK_TAKEN ||
           (lock == LOCK_UNKNOWN && fstat(fd, &st) == 0 &&
            clock_wall_ms() / 1000 - (int64_t)st.st_mtim.tv_sec > OBJECT_UPLOAD_LEFT_OVER_S);
}

static void remove_left_over(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return;
    if (is_left_over(fd) && unlinkat(dir, name, 0) == 0)
        log_line(LOG_INFO, "removed an unfinished upload %s", name);
    close(fd);
}

void object_upload_clean(const char *dir)
{
    struct buf path = {0};
    struct dirent *entry;
    DIR *folder;

    buf_printf(&path, "%s/%s", dir, UPLOADS);
    const char *name = buf_path(&path, ERR_IGNORED);
    folder = name == NULL ? NULL : opendir(name);
    buf_free(&path);
    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            remove_left_over(dirfd(folder), entry->d_name);
    closedir(folder);
}
