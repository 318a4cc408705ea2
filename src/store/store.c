#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/env.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "base/place.h"
#include "base/quote.h"
#include "base/setting.h"
#include "proto/kachery_uri.h"

static int find_normal_dir(char **out, struct err *e)
{
    struct buf path = {0};
    char *home;

    if (setting_path("KACHERY_CLOUD_DIR", out, e) != 0)
        return -1;
    if (*out != NULL)
        return 0;
    if (setting_path("HOME", &home, e) != 0)
        return -1;
    if (home == NULL)
        return err_set(e, ERR_FAILED,
                       "no place for the local store: set KACHERY_CLOUD_DIR or HOME");
    buf_printf(&path, "%s/.kachery-cloud", strcmp(home, "/") == 0 ? "" : home);
    free(home);
    *out = buf_take(&path);
    return *out == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
}

/* The Python client takes all but "1" for no. */
static int is_sandboxed(bool *out, struct err *e)
{
    static const char *const no[] = {"0", "false", "no", "off"};
    const char *value = env_get("KACHERY_CLOUD_USE_SANDBOX");
    char quoted[QUOTE_SIZE];

    *out = value != NULL && strcmp(value, "1") == 0;
    if (value == NULL || *out)
        return 0;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (str_equal_nocase(str_of(value), str_of(no[i])))
            return 0;
    return err_set(e, ERR_FAILED,
                   "KACHERY_CLOUD_USE_SANDBOX \"%s\": want 1 for KACHERY_CLOUD_SANDBOX_DIR, 0 for "
                   "the normal store (the Python client takes all but 1 for 0)",
                   quote_str(quoted, str_of(value)));
}

static int find_data_dir(const char *normal, char **out, struct err *e)
{
    bool has_sandbox;

    if (is_sandboxed(&has_sandbox, e) != 0)
        return -1;
    if (has_sandbox) {
        if (setting_path("KACHERY_CLOUD_SANDBOX_DIR", out, e) != 0)
            return -1;
        return *out != NULL ? 0 : err_set(e, ERR_FAILED, "KACHERY_CLOUD_USE_SANDBOX is 1, "
                                          "but KACHERY_CLOUD_SANDBOX_DIR is not set");
    }
    *out = strdup(normal);
    return *out == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
}

int store_init(struct store *s, struct err *e)
{
    *s = (struct store){0};
    if (find_normal_dir(&s->key_dir, e) == 0 && find_data_dir(s->key_dir, &s->dir, e) == 0)
        return 0;
    store_deinit(s);
    return -1;
}

void store_deinit(struct store *s)
{
    free(s->dir);
    free(s->key_dir);
    *s = (struct store){0};
}

/* The place that nobody chose: private, whoever's home it is in. */
static int is_default_place(const char *dir, bool *out, struct err *e)
{
    static const char name[] = "/.kachery-cloud";
    struct err odd = {0};
    char *home = NULL;

    *out = false;
    if (setting_path("HOME", &home, &odd) != 0 && env_get("KACHERY_CLOUD_DIR") == NULL)
        return err_copy(e, &odd);
    if (home != NULL) {
        size_t len = strcmp(home, "/") == 0 ? 0 : strlen(home);
        *out = strncmp(dir, home, len) == 0 && strcmp(dir + len, name) == 0;
    }
    free(home);
    return 0;
}

int store_make_folder(const char *dir, struct err *e)
{
    struct stat st;
    bool is_default;

    if (is_default_place(dir, &is_default, e) != 0 || place_check(dir, e) != 0)
        return -1;
    if (newfile_make_root(dir, is_default, e) == 0)
        return 0;
    if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode))
        cause_explain(dir, e);
    if (is_default && strstr(e->msg, "KACHERY_CLOUD_DIR") == NULL) {
        const struct err told = *e;
        err_set(e, told.code, "%s. For a store elsewhere set KACHERY_CLOUD_DIR", told.msg);
    }
    return -1;
}

/* Adds the owner's cure to an error: how to share the whole store, if that is its cause. */
static int explain_denied(const struct store *s, const char *path, struct err *e)
{
    struct stat st;

    if (path != NULL && stat(s->dir, &st) == 0 && cause_is_denied(path))
        cause_create(e, EACCES, path, s->dir);
    return -1;
}

/* The store's folder is looked at once in a process: a store of many files is written to often. */
static int make_folder_once(const struct store *s, struct err *e)
{
    static char made[PATH_MAX];

    if (strcmp(made, s->dir) == 0 && access(s->dir, F_OK) == 0)
        return 0;
    if (store_make_folder(s->dir, e) != 0)
        return -1;
    if (strlen(s->dir) < sizeof made)
        memcpy(made, s->dir, strlen(s->dir) + 1);
    return 0;
}

int store_make_parents(const struct store *s, const char *path, struct err *e)
{
    if (make_folder_once(s, e) != 0 || newfile_make_parents(s->dir, path, e) != 0)
        return explain_denied(s, path, e);
    return 0;
}

/* A temporary file with this mode at most. */
static int open_store_temporary(const struct store *s, const char *path, mode_t mode,
                                struct newfile *f, struct err *e)
{
    struct err why = {0};
    int status = newfile_open(f, path, mode, &why);

    if (status != 0 && why.code != ERR_NOT_FOUND) {
        err_copy(e, &why);
        return explain_denied(s, path, e);
    }
    if (status != 0 &&
        (store_make_parents(s, path, e) != 0 || newfile_open(f, path, mode, e) != 0))
        return -1;
    return 0;
}

int store_open_temporary(const struct store *s, const char *path, struct newfile *f, struct err *e)
{
    if (open_store_temporary(s, path, 0666, f, e) != 0)
        return -1;
    newfile_adopt(s->dir, f->fd);
    return 0;
}

int store_open_own_temporary(const struct store *s, const char *path, struct newfile *f,
                             struct err *e)
{
    if (open_store_temporary(s, path, 0644, f, e) != 0)
        return -1;
    newfile_adopt_own(s->dir, f->fd);
    return 0;
}

int store_write_file(const struct store *s, const char *path, struct str data, unsigned flags,
                     struct err *e)
{
    struct err why = {0};

    if (newfile_put_below(s->dir, path, data, flags, &why) == 0)
        return 0;
    if (why.code != ERR_NOT_FOUND) {
        err_copy(e, &why);
        return explain_denied(s, path, e);
    }
    return store_make_parents(s, path, e) == 0
               ? newfile_put_below(s->dir, path, data, flags, e)
               : -1;
}

void store_put_copy_path(const struct store *s, const char *hash, struct buf *out)
{
    kachery_uri_put_object_key(out, str_of(s->dir), hash);
}

void store_put_link_path(const struct store *s, const char *hash, struct buf *out)
{
    buf_puts(out, s->dir);
    kachery_uri_put_object_key(out, STR("/linked_files"), hash);
}

void store_put_staging_path(const struct store *s, enum store_kind kind, struct buf *out)
{
    buf_printf(out, "%s/%s", s->dir, kind == STORE_COPY ? "sha1/copy" : "linked_files/sha1/link");
}

void store_put_manifest_path(const struct store *s, const char *hash, struct buf *out)
{
    buf_puts(out, s->dir);
    kachery_uri_put_object_key(out, STR("/manifests"), hash);
}

void store_put_manifest_staging_path(const struct store *s, struct buf *out)
{
    buf_printf(out, "%s/manifests/sha1/manifest", s->dir);
}

void store_tidy(const struct store *s)
{
    struct buf paths[3] = {{0}};

    store_put_staging_path(s, STORE_COPY, &paths[0]);
    store_put_staging_path(s, STORE_LINK, &paths[1]);
    store_put_manifest_staging_path(s, &paths[2]);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        newfile_clean(buf_path(&paths[i], ERR_IGNORED));
        buf_free(&paths[i]);
    }
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
