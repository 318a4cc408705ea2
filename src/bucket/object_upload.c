#include "bucket/object_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hex.h"
#include "base/log.h"

void object_upload_name(struct str key, struct str client, char name[SHA1_HEX + 1])
{
    unsigned char digest[SHA1_SIZE];
    struct sha1 h;

    sha1_init(&h);
    sha1_update(&h, key.p, key.len);
    sha1_update(&h, "\n", 1);
    sha1_update(&h, client.p, client.len);
    sha1_final(&h, digest);
    hex_encode(digest, sizeof digest, name);
}

void object_upload_put_kept_path(const struct data_dir *dir, struct str key, struct buf *out)
{
    char name[SHA1_HEX + 1];

    object_upload_name(key, STR(OBJECT_UPLOAD_KEPT), name);
    buf_printf(out, "%s/" DATA_DIR_UPLOADS "/%s.0", dir->path, name);
}

static int set_upload_error(struct err *e, int number, const char *doing)
{
    bool is_full = number == ENOSPC || number == EDQUOT || number == EFBIG;

    /* Without a cure: whoever uploads reads this, and has another disk. */
    return err_set(e, is_full ? ERR_TOO_LARGE : ERR_FAILED, "%s: %s", doing, strerror(number));
}

/* The places of a name are numbered. */
static int open_place(struct object_upload *file, const struct data_dir *dir, const char *name,
                      struct err *e)
{
    struct buf path = {0};
    const char *place = "";
    int number = EEXIST;

    for (int i = 0; i < OBJECT_UPLOAD_MAX_SHARED && number == EEXIST && place != NULL; i++) {
        buf_clear(&path);
        buf_printf(&path, "%s/" DATA_DIR_UPLOADS "/%s.%d", dir->path, name, i);
        place = buf_path(&path, e);
        if (place != NULL)
            number = newfile_open_held(&file->temporary, place, 0666) == 0 ? 0 : errno;
    }
    buf_free(&path);
    if (place == NULL || number == 0)
        return place == NULL ? -1 : 0;
    if (number == EEXIST)
        return err_set(e, ERR_TAKEN, "it is being uploaded %d times at once already",
                       OBJECT_UPLOAD_MAX_SHARED);
    return set_upload_error(e, number, "cannot make a file for the upload");
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
    *file = (struct object_upload){.temporary = NEWFILE_NONE, .is_dry = true, .size = size};
    sha1_init(&file->sha1);
}

int object_upload_open(struct object_upload *file, const struct data_dir *dir, const char *name,
                       int64_t size, struct err *e)
{
    *file = (struct object_upload){.temporary = NEWFILE_NONE, .size = size};
    sha1_init(&file->sha1);
    if (open_place(file, dir, name, e) != 0)
        return -1;
    if (check_room(file->temporary.fd, size, e) == 0)
        return 0;
    object_upload_discard(file);
    return -1;
}

int object_upload_write(struct object_upload *file, struct str data, struct err *e)
{
    if ((int64_t)data.len > file->size - file->written)
        return err_set(e, ERR_PROTOCOL, "more than the %lld bytes that were announced",
                       (long long)file->size);
    if (!file->is_dry && newfile_write(&file->temporary, data, "the upload", ERR_IGNORED) != 0)
        return set_upload_error(e, errno, "cannot write the upload");
    sha1_update(&file->sha1, data.p, data.len);
    file->written += (int64_t)data.len;
    if (!file->is_dry && file->written - file->flushed >= OBJECT_UPLOAD_WRITEBACK_BYTES) {
        /* So that the fsync at the end has little left to do. */
        sync_file_range(file->temporary.fd, file->flushed, file->written - file->flushed,
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

int object_upload_check(struct object_upload *file, struct str hash, struct err *e)
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

int object_upload_put_in_place(struct object_upload *file, const char *path, struct err *e)
{
    size_t existing = find_existing(path);
    int result = -1;

    /* The folders come before the first fsync, so that one transaction of the file system holds
     * them all: the fsyncs of their parents then find nothing left to write. */
    if (for_new_folders(path, existing, make_object_folder, e) != 0)
        goto out;
    if (fsync(file->temporary.fd) != 0 || fstat(file->temporary.fd, &file->published) != 0) {
        set_upload_error(e, errno, "cannot sync the upload");
        goto out;
    }
    if (for_new_folders(path, existing, fs_sync_parent, e) != 0)
        goto out;
    if (newfile_rename(&file->temporary, path) != 0) {
        bool is_split = errno == EXDEV;
        set_upload_error(e, errno,
                         is_split ? "the data directory is not one file system"
                                  : "cannot rename the upload");
        goto out;
    }
    result = fs_sync_parent(path, e);
    newfile_leave(&file->temporary);
out:
    object_upload_discard(file);
    return result;
}

int object_upload_publish(struct object_upload *file, const char *path, struct str hash,
                          struct err *e)
{
    if (path != NULL && file->is_dry)
        return object_upload_check(file, hash, e);
    if (path != NULL && object_upload_check(file, hash, e) == 0)
        return object_upload_put_in_place(file, path, e);
    object_upload_discard(file);
    return -1;
}

void object_upload_discard(struct object_upload *file)
{
    if (file->temporary.name.len > 0)
        newfile_discard(&file->temporary);
}

static void report_removed_upload(const char *name)
{
    log_line(LOG_INFO, "removed an unfinished upload %s", name);
}

void object_upload_clean(const char *dir)
{
    struct buf folder = {0};

    buf_printf(&folder, "%s/" DATA_DIR_UPLOADS, dir);
    newfile_clean_held(buf_path(&folder, ERR_IGNORED), report_removed_upload);
    buf_free(&folder);
}
