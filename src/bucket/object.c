#include "bucket/object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "base/log.h"
#include "bucket/object_upload.h"


const char *object_state_name(enum object_state state)
{
    static const char *const names[] = {"ok", "damaged", "missing", "unknown"};

    return names[state];
}

/* ---- reading ---- */

static bool is_disk_error(int number)
{
    return number == EIO || number == EUCLEAN || number == EBADMSG;
}

static int open_regular_file(const char *path, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -1;
    int number = fstat(fd, st) != 0 ? errno : ENOENT;
    if (number == ENOENT && S_ISREG(st->st_mode))
        return fd;
    close(fd);
    errno = number;
    return -1;
}

static struct str hash_of_key(struct str key)
{
    return str_slice(key, key.len - SHA1_HEX, key.len);
}

static enum object_state hash_object_file(int fd, const struct stat *st, struct str hash,
                                          const struct hash_watch *watch,
                                          struct manifest_writer *manifest, struct err *e)
{
    struct hash_job job = {
        .from = fd, .to = -1, .as_opened = st, .manifest = manifest, .watch = watch};
    int status;

    errno = 0;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    status = hash_run(&job, e);
    if (status != 0)
        return is_disk_error(errno) ? OBJECT_DAMAGED : OBJECT_UNKNOWN;
    if (!hash_is_unchanged(fd, st)) {
        err_set(e, ERR_CHANGED, "changed while it was being read");
        return OBJECT_UNKNOWN;
    }
    return str_equal(str_of(job.hash), hash) ? OBJECT_OK : OBJECT_DAMAGED;
}

static enum object_state check_open(const struct data_dir *dir, struct str key, int fd,
                                    const struct stat *st, const struct hash_watch *watch,
                                    struct object_manifest *manifest, struct err *e)
{
    struct manifest_writer *writer =
        object_manifest_begin(manifest, dir, (int64_t)st->st_size) ? &manifest->writer : NULL;
    enum object_state state = hash_object_file(fd, st, hash_of_key(key), watch, writer, e);

    if (state == OBJECT_OK) {
        checked_put(dir, key, st, CHECKED_GOOD);
    } else if (state == OBJECT_DAMAGED) {
        checked_put(dir, key, st, CHECKED_DAMAGED);
        log_line(LOG_WARN, "damaged object key=%.*s bytes=%lld", STR_ARG(key),
                 (long long)st->st_size);
    }
    return state;
}

/* Reads the object, of which nothing is believed. */
static enum object_state read_whole_object(const struct data_dir *dir, struct str key, int fd,
                                           const struct stat *st, const struct hash_watch *watch,
                                           struct object_facts *facts, struct err *e)
{
    struct object_manifest *manifest = calloc(1, sizeof *manifest);
    enum object_state state = OBJECT_UNKNOWN;

    if (manifest == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return state;
    }
    state = check_open(dir, key, fd, st, watch, manifest, e);
    if (state == OBJECT_OK)
        facts->manifest = object_manifest_publish(manifest, key, e);
    object_manifest_discard(manifest);
    free(manifest);
    return state;
}

static bool is_known_good(const struct data_dir *dir, struct str key, const struct stat *st,
                          int64_t believed_s)
{
    int64_t checked_s;

    return believed_s >= 0 && checked_get(dir, key, st, &checked_s, ERR_IGNORED) == CHECKED_GOOD &&
           llabs(clock_wall_ms() / 1000 - checked_s) <= believed_s;
}

enum object_state object_check(const struct data_dir *dir, struct str key, int64_t believed_s,
                               const struct hash_watch *watch, struct object_facts *facts,
                               struct err *e)
{
    enum object_state state;
    struct buf path = {0};
    struct stat st;
    const char *name;
    int fd;

    *facts = (struct object_facts){.manifest = OBJECT_MANIFEST_KEPT};
    data_dir_put_path(dir, key, &path);
    name = buf_path(&path, e);
    fd = name == NULL ? -1 : open_regular_file(name, &st);
    if (name == NULL) {
        state = OBJECT_UNKNOWN;
    } else if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        state = OBJECT_MISSING;
    } else if (fd < 0) {
        err_errno(e, ERR_FAILED, errno, "cannot open %s", name);
        state = OBJECT_UNKNOWN;
    } else {
        facts->size_bytes = (int64_t)st.st_size;
        state = is_known_good(dir, key, &st, believed_s) &&
                        object_manifest_is_there(dir, key, facts->size_bytes)
                    ? OBJECT_OK
                    : read_whole_object(dir, key, fd, &st, watch, facts, e);
        close(fd);
    }
    buf_free(&path);
    return state;
}

/* ---- what another process received ---- */

/* Gives the object's name to the upload that is open as `fd`, which is closed. */
static int put_kept_in_place(const struct data_dir *dir, struct str key, const char *kept, int fd,
                             struct stat *published, struct err *e)
{
    struct object_upload upload = {.temporary = {.fd = fd}};
    struct buf path = {0};
    int result = -1;

    data_dir_put_path(dir, key, &path);
    buf_puts(&upload.temporary.name, kept);
    const char *name = buf_path(&path, e);
    if (name == NULL || buf_path(&upload.temporary.name, e) == NULL) {
        buf_free(&upload.temporary.name);
        close(fd);
    } else {
        result = object_upload_put_in_place(&upload, name, e);
        *published = upload.published;
    }
    buf_free(&path);
    return result;
}

static enum object_state publish_kept_file(const struct data_dir *dir, struct str key,
                                           const char *kept, const struct hash_watch *watch,
                                           struct object_manifest *manifest, struct err *e)
{
    struct stat st;
    int fd = open_regular_file(kept, &st);

    if (fd < 0)
        return OBJECT_MISSING;
    struct manifest_writer *writer =
        object_manifest_begin(manifest, dir, (int64_t)st.st_size) ? &manifest->writer : NULL;
    enum object_state state = hash_object_file(fd, &st, hash_of_key(key), watch, writer, e);
    if (state != OBJECT_OK) {
        if (state == OBJECT_DAMAGED)
            err_set(e, ERR_CHANGED, "the bytes that were kept do not have the hash");
        close(fd);
        return OBJECT_UNKNOWN;
    }
    if (put_kept_in_place(dir, key, kept, fd, &st, e) != 0)
        return OBJECT_UNKNOWN;
    checked_put(dir, key, &st, CHECKED_GOOD);
    (void)object_manifest_publish(manifest, key, ERR_IGNORED);
    return OBJECT_OK;
}

enum object_state object_publish_kept(const struct data_dir *dir, struct str key,
                                      const struct hash_watch *watch, struct err *e)
{
    struct object_manifest *manifest = calloc(1, sizeof *manifest);
    enum object_state state = OBJECT_UNKNOWN;
    struct buf path = {0};

    object_upload_put_kept_path(dir, key, &path);
    const char *kept = buf_path(&path, e);
    if (manifest == NULL)
        err_set(e, ERR_FAILED, "out of memory");
    else if (kept != NULL)
        state = publish_kept_file(dir, key, kept, watch, manifest, e);
    buf_free(&path);
    if (manifest != NULL)
        object_manifest_discard(manifest);
    free(manifest);
    return state;
}

/* ---- taking away ---- */

static bool is_same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* Judges the file that was moved aside: the damaged one, or one that came in between. The latter
 * goes back to its place if it is good and the place is free. */
static enum object_state judge_aside(const struct data_dir *dir, struct str key, const char *path,
                                     const char *aside, const struct stat *damaged, bool *is_kept)
{
    enum object_state state = OBJECT_DAMAGED;
    struct stat st;
    int fd = open_regular_file(aside, &st);

    if (fd < 0) { /* it is not known to be bad */
        *is_kept = link(aside, path) == 0 || errno == EEXIST;
        return OBJECT_OK;
    }
    if (!is_same_inode(&st, damaged)) {
        newfile_hold(fd);
        state = is_known_good(dir, key, &st, INT64_MAX)
                    ? OBJECT_OK
                    : hash_object_file(fd, &st, hash_of_key(key), NULL, NULL, ERR_IGNORED);
        if (state == OBJECT_UNKNOWN)
            state = OBJECT_OK; /* it is not known to be bad */
        if (state == OBJECT_OK && (link(aside, path) == 0 || errno == EEXIST))
            *is_kept = true;
    }
    close(fd);
    return state;
}

static enum object_state remove_damaged_file(const struct data_dir *dir, struct str key,
                                             const char *path, const struct stat *damaged,
                                             bool *is_kept, struct err *e)
{
    enum object_state state = OBJECT_MISSING;
    struct buf aside = {0}, beside = {0};

    /* A temporary name: data_dir_open removes the file if this process is killed. */
    buf_printf(&beside, "%s/" DATA_DIR_ASIDE "/%.*s", dir->path, STR_ARG(hash_of_key(key)));
    newfile_put_name(buf_str(&beside), &aside);
    const char *away = beside.failed ? buf_path(&beside, e) : buf_path(&aside, e);
    if (away == NULL) {
        state = OBJECT_UNKNOWN;
    } else if (rename(path, away) == 0) {
        state = judge_aside(dir, key, path, away, damaged, is_kept);
        if (state != OBJECT_OK || *is_kept) {
            unlink(away);
        } else {
            err_set(e, ERR_FAILED, "cannot put %s back: it is now %s", path, away);
            state = OBJECT_UNKNOWN;
        }
    } else if (errno != ENOENT) {
        err_errno(e, ERR_FAILED, errno, "cannot remove %s", path);
        state = OBJECT_UNKNOWN;
    }
    buf_free(&beside);
    buf_free(&aside);
    return state;
}

static enum object_state unlink_object_file(const char *path, struct err *e)
{
    if (unlink(path) == 0)
        return OBJECT_OK;
    if (errno == ENOENT)
        return OBJECT_MISSING;
    err_errno(e, ERR_FAILED, errno, "cannot remove %s", path);
    return OBJECT_UNKNOWN;
}

enum object_state object_remove(const struct data_dir *dir, struct str key, int64_t *size_bytes,
                                bool *is_kept, struct err *e)
{
    enum object_state state = OBJECT_MISSING;
    struct buf path = {0};
    struct stat st;

    *is_kept = false;
    *size_bytes = 0;
    data_dir_put_path(dir, key, &path);
    const char *name = buf_path(&path, e);
    if (name == NULL) {
        state = OBJECT_UNKNOWN;
    } else if (lstat(name, &st) == 0) {
        int is_damaged = checked_is_damaged(dir, key, &st, e);
        *size_bytes = (int64_t)st.st_size;
        state = is_damaged < 0   ? OBJECT_UNKNOWN
                : is_damaged > 0 ? remove_damaged_file(dir, key, name, &st, is_kept, e)
                                 : unlink_object_file(name, e);
    } else if (errno != ENOENT && errno != ENOTDIR) {
        err_errno(e, ERR_FAILED, errno, "cannot look at %s", name);
        state = OBJECT_UNKNOWN;
    }
    if ((state == OBJECT_OK || state == OBJECT_DAMAGED) && !*is_kept) {
        checked_forget(dir, key);
        object_manifest_remove(dir, key);
        if (fs_sync_parent(name, e) != 0)
            state = OBJECT_UNKNOWN;
    }
    buf_free(&path);
    return state;
}
