#include "bucket/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "base/log.h"
#include "base/place.h"
#include "base/random.h"

/* ---- opening ---- */

static int read_url_key(struct data_dir *dir, const char *path, struct err *e)
{
    struct buf key = {0};
    int result = fs_read_file(path, SIGNED_URL_KEY, &key, e);

    if (result == 0 && key.len != SIGNED_URL_KEY)
        result = err_set(e, ERR_FAILED, "%s: want %d bytes; remove it to have a new one made", path,
                         SIGNED_URL_KEY);
    if (result == 0)
        memcpy(dir->url_key, key.data, SIGNED_URL_KEY);
    buf_wipe(&key);
    return result;
}

static int make_url_key(struct data_dir *dir, const char *path, struct err *e)
{
    log_line(LOG_INFO, "new data directory %s", dir->path);
    random_bytes(dir->url_key, SIGNED_URL_KEY);
    return newfile_put(path, (struct str){(char *)dir->url_key, SIGNED_URL_KEY},
                         NEWFILE_DURABLE | NEWFILE_PRIVATE, e);
}

/* Two that start at once on a new directory are to have the same. */
static int open_url_key(struct data_dir *dir, struct err *e)
{
    struct buf path = {0};
    int lock, result;

    buf_printf(&path, "%s/.hub/url-key", dir->path);
    const char *name = buf_path(&path, e);
    newfile_clean(name);
    result = read_url_key(dir, name, e);
    if (result != 0 && e->code == ERR_NOT_FOUND && data_dir_lock(dir, &lock, e) == 0) {
        result = read_url_key(dir, name, e);
        if (result != 0 && e->code == ERR_NOT_FOUND)
            result = make_url_key(dir, name, e);
        close(lock);
    }
    buf_free(&path);
    return result;
}

/* It may have been there, or a link to it: made by us, by root, or by whose data it is. */
static int check_private_dir(const struct data_dir *dir, const char *path, struct err *e)
{
    struct stat link, st, data;

    if (lstat(path, &link) != 0 || stat(path, &st) != 0 || stat(dir->path, &data) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_FAILED, "%s is no directory", path);
    const uid_t owners[] = {link.st_uid, st.st_uid};
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++)
        if (owners[i] != geteuid() && owners[i] != 0 && owners[i] != data.st_uid)
            return err_set(e, ERR_FAILED,
                           "%s belongs to user %lu, who could read and change what the server "
                           "keeps there: remove it, or use another --data",
                           path, (unsigned long)owners[i]);
    return 0;
}

/* Private: what is in there is nobody's object. */
static int make_private_dir(const struct data_dir *dir, const char *name, struct err *e)
{
    struct buf path = {0};
    int result = 0;

    buf_printf(&path, "%s/%s", dir->path, name);
    const char *made = buf_path(&path, e);
    if (made == NULL)
        result = -1;
    else if (mkdir(made, 0700) != 0 && errno != EEXIST)
        result = err_errno(e, ERR_FAILED, errno, "cannot make %s", made);
    else
        result = check_private_dir(dir, made, e);
    buf_free(&path);
    return result;
}

/* Objects are named by their hashes, which are the keys to them. */
static int make_data_dir(const char *dir, struct err *e)
{
    if (place_check(dir, e) != 0)
        return -1;
    return newfile_make_root(dir, !newfile_is_in_group_folder(dir), e);
}

static int make_state_dirs(const struct data_dir *dir, struct err *e)
{
    struct buf path = {0};

    if (make_private_dir(dir, DATA_DIR_ASIDE, e) != 0 ||
        make_private_dir(dir, DATA_DIR_CHECKED, e) != 0 ||
        make_private_dir(dir, DATA_DIR_DAMAGED, e) != 0 ||
        make_private_dir(dir, DATA_DIR_MANIFESTS, e) != 0)
        return -1;
    buf_printf(&path, "%s/" DATA_DIR_ASIDE "/", dir->path);
    newfile_clean(buf_path(&path, ERR_IGNORED));
    buf_clear(&path);
    buf_printf(&path, "%s/" DATA_DIR_DAMAGED "/", dir->path);
    newfile_clean(buf_path(&path, ERR_IGNORED));
    buf_clear(&path);
    buf_printf(&path, "%s/" DATA_DIR_NEW_MANIFEST, dir->path);
    newfile_clean(buf_path(&path, ERR_IGNORED));
    buf_free(&path);
    return 0;
}

int data_dir_open(struct data_dir *dir, const char *path, struct err *e)
{
    struct buf absolute = {0};

    *dir = (struct data_dir){.path = NULL};
    if (fs_absolute_path(path, &absolute, e) != 0) {
        buf_free(&absolute);
        return -1;
    }
    dir->path = buf_take(&absolute);
    if (dir->path == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (make_data_dir(dir->path, e) == 0 && make_private_dir(dir, ".hub", e) == 0 &&
        make_private_dir(dir, DATA_DIR_UPLOADS, e) == 0 && make_state_dirs(dir, e) == 0 &&
        open_url_key(dir, e) == 0)
        return 0;
    data_dir_close(dir);
    return -1;
}

void data_dir_close(struct data_dir *dir)
{
    free(dir->path);
    explicit_bzero(dir, sizeof *dir);
}

int data_dir_check(const struct data_dir *dir, struct err *e)
{
    struct buf path = {0};
    int result = 0;

    buf_printf(&path, "%s/.hub", dir->path);
    const char *hub = buf_path(&path, e);
    if (hub == NULL)
        result = -1;
    else if (access(hub, F_OK) != 0)
        result = err_errno(e, ERR_FAILED, errno, "the data directory is not as it was: .hub");
    buf_free(&path);
    return result;
}

/* ---- paths ---- */

void data_dir_put_path(const struct data_dir *dir, struct str key, struct buf *out)
{
    buf_puts(out, dir->path);
    buf_putc(out, '/');
    buf_put(out, key);
}

void data_dir_put_public_error(const struct data_dir *dir, const struct err *e, struct buf *out)
{
    size_t len = strlen(dir->path);
    const char *text = e->msg, *found;

    while ((found = strstr(text, dir->path)) != NULL) {
        buf_append(out, text, (size_t)(found - text));
        text = found + len + (found[len] == '/');
        if (found[len] != '/')
            buf_puts(out, "the data directory");
    }
    buf_puts(out, text);
}

int data_dir_lock(const struct data_dir *dir, int *fd, struct err *e)
{
    struct buf path = {0};
    int result = 0;

    buf_printf(&path, "%s/.hub/lock", dir->path);
    const char *name = buf_path(&path, e);
    *fd = name == NULL ? -1 : open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (name == NULL) {
        result = -1;
    } else if (*fd < 0) {
        result = err_errno(e, ERR_FAILED, errno, "cannot open %s", name);
    } else {
        while (flock(*fd, LOCK_EX) != 0 && errno == EINTR)
            continue;
    }
    buf_free(&path);
    return result;
}
