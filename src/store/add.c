#include "store/add.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "store/hash_cache.h"
#include "store/link.h"
#include "store/record.h"

#ifndef FICLONE
#define FICLONE _IOW(0x94, 9, int) /* linux/fs.h, since 4.5; btrfs answered it before */
#endif

enum { TRIES = 2, SYNC_EACH_SIZE = 1 << 20 };

static void put_final_path(const struct store *s, const struct add_staged *staged,
                           struct buf *out)
{
    if (staged->kind == STORE_LINK)
        store_put_link_path(s, staged->hash, out);
    else
        store_put_copy_path(s, staged->hash, out);
}

/* A temporary file stands beside this: that of a record beside the record, so that several
 * processes do not wait for one directory; that of a copy, whose hash is not known yet, in a place
 * for all. */
static void put_staged_base(const struct store *s, const struct add_staged *staged,
                            struct buf *out)
{
    if (staged->kind == STORE_LINK)
        put_final_path(s, staged, out);
    else
        store_put_staging_path(s, staged->kind, out);
}

/* Creates the temporary file; the suffix of its name is put in staged. */
static int open_staged(const struct store *s, struct add_staged *staged, struct newfile *f,
                       struct err *e)
{
    struct buf base = {0};
    int status = -1;

    put_staged_base(s, staged, &base);
    const char *path = buf_path(&base, e);
    if (path == NULL)
        goto out;
    status = store_open_temporary(s, path, f, e);
    if (status == 0)
        snprintf(staged->suffix, sizeof staged->suffix, "%s", f->name.data + base.len);
out:
    buf_free(&base);
    return status;
}

/* Ends the writing of a temporary file, which stays if `status` is 0 and closing it succeeds. */
static int close_staged(struct newfile *f, bool is_durable, int status, struct err *e)
{
    if (status == 0)
        status = newfile_close(f, is_durable, f->name.data, e);
    if (status == 0)
        newfile_leave(f);
    else
        newfile_discard(f);
    return status;
}

/* Returns whether the user's own record is there: with another user's record it would be that
 * user's word that the file is shared. */
static bool is_recorded(const char *file, const struct record *r)
{
    struct record old = {0};
    struct stat st;
    bool is_same = record_read_stat(file, true, &old, &st, &(struct err){0}) == 0 &&
                   st.st_uid == geteuid() && strcmp(old.path, r->path) == 0 &&
                   old.size == r->size && old.mtime == r->mtime && strcmp(old.hash, r->hash) == 0;

    record_deinit(&old);
    return is_same;
}

/* Writes the record of staged->hash under a temporary name, unless it is there already. */
static int stage_link_record(const struct store *s, const char *path, struct add_staged *staged,
                             struct err *e)
{
    struct record r = {.path = (char *)path, .size = staged->size, .mtime = staged->mtime};
    struct newfile staging = NEWFILE_NONE;
    struct buf file = {0}, text = {0};
    int status = -1;

    memcpy(r.hash, staged->hash, sizeof r.hash);
    store_put_link_path(s, r.hash, &file);
    record_put(&text, &r);
    const char *recorded = buf_path(&file, e);
    if (recorded == NULL || buf_check(&text, e) != 0)
        goto out;
    if (is_recorded(recorded, &r)) {
        status = 0;
        goto out;
    }
    if (open_staged(s, staged, &staging, e) != 0)
        goto out;
    status = newfile_write(&staging, buf_str(&text), staging.name.data, e);
    status = close_staged(&staging, false, status, e);
out:
    buf_free(&file);
    buf_free(&text);
    return status;
}

int add_stage_hashed(const struct store *s, const char *path, const struct hash_result *hashed,
                     struct add_staged *out, struct err *e)
{
    struct add_staged staged = {.kind = STORE_LINK,
                                .size = hashed->size,
                                .mtime = hashed->mtime,
                                .id = hashed->id};

    memcpy(staged.hash, hashed->hash, sizeof staged.hash);
    memcpy(staged.manifest, hashed->manifest, sizeof staged.manifest);
    if (stage_link_record(s, path, &staged, e) != 0) {
        add_discard(s, &staged);
        return -1;
    }
    *out = staged;
    return 0;
}

static int stage_link(const struct store *s, const char *path, const struct hash_options *options,
                      struct add_staged *staged, struct err *e)
{
    struct hash_result hashed;

    if (hash_file(s, path, options, &hashed, e) != 0)
        return -1;
    return add_stage_hashed(s, path, &hashed, staged, e);
}

/* Fills the temporary file and job->hash: a clone shares the source's blocks and is then hashed
 * itself; otherwise the bytes that are hashed are the bytes that are written. */
static int copy_once(struct hash_job *job, int to, const struct stat *st, struct err *e)
{
    int from = job->from, status;

    if (ftruncate(to, 0) != 0 || lseek(to, 0, SEEK_SET) != 0 || lseek(from, 0, SEEK_SET) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot write the copy");
    if (ioctl(to, FICLONE, from) == 0) {
        job->from = to;
        job->to = -1;
    } else {
        job->to = to;
        job->is_sparse = st->st_blocks < st->st_size / 512;
    }
    job->as_opened = st;
    status = hash_run(job, e);
    job->from = from;
    return status;
}

/* `manifest` may be NULL; job->manifest is then NULL if the file has none. */
static int copy_steadily(const struct store *s, const char *path, struct hash_job *job, int to,
                         struct manifest_writer *manifest, struct err *e)
{
    for (int i = 0; i < TRIES; i++) {
        int64_t began_ms = clock_wall_ms();
        struct stat st;
        if (fstat(job->from, &st) != 0)
            return err_errno(e, ERR_FAILED, errno, "cannot stat");
        job->manifest = manifest_is_for(st.st_size) ? manifest : NULL;
        if (job->manifest != NULL)
            manifest_writer_begin(manifest, st.st_size);
        if (copy_once(job, to, &st, e) != 0)
            return -1;
        if (job->size == st.st_size && hash_is_unchanged(job->from, &st)) {
            hash_cache_put(s, path, &st, job->hash, began_ms);
            return 0;
        }
    }
    return err_set(e, ERR_CHANGED, "changed while it was being copied");
}

static int stage_copy(const struct store *s, const char *path, const struct hash_options *options,
                      struct add_staged *staged, struct err *e)
{
    const bool is_wanted = (options->flags & HASH_MAKE_MANIFEST) != 0;
    struct hash_job job = {.to = -1, .watch = options->watch};
    struct manifest_writer manifest;
    struct newfile to = NEWFILE_NONE;
    struct stat st;
    int status;

    if (hash_open(path, options->follow, &job.from, &st, e) != 0)
        return -1;
    manifest_writer_init(&manifest, s);
    status = open_staged(s, staged, &to, e);
    if (status == 0) {
        newfile_hold(to.fd);
        status = copy_steadily(s, path, &job, to.fd, is_wanted ? &manifest : NULL, e);
        if (status == 0 && job.manifest != NULL)
            status = manifest_writer_stage(&manifest, staged->manifest, e);
        /* A large copy is synced by the process that wrote it, beside the others' work. */
        status = close_staged(&to, job.size >= SYNC_EACH_SIZE, status, e);
        if (status != 0) {
            staged->suffix[0] = '\0'; /* close_staged has removed it */
            add_discard(s, staged);
        }
    }
    manifest_writer_discard(&manifest);
    close(job.from);
    memcpy(staged->hash, job.hash, sizeof staged->hash);
    staged->size = job.size;
    return status;
}

struct hash_options add_reading(const struct hash_options *options)
{
    struct hash_options reading = {0};

    if (options != NULL)
        reading = *options;
    reading.flags = HASH_USE_CACHE | (reading.flags & HASH_MAKE_MANIFEST);
    return reading;
}

int add_stage(const struct store *s, enum store_kind kind, const char *path,
              const struct hash_options *options, struct add_staged *out, struct err *e)
{
    const struct hash_options reading = add_reading(options);
    struct add_staged staged = {.kind = kind};
    int status = kind == STORE_LINK ? stage_link(s, path, &reading, &staged, e)
                                    : stage_copy(s, path, &reading, &staged, e);

    if (status == 0)
        *out = staged;
    return status;
}

/* rename, with the directories of the new name when they are missing. */
static int rename_into(const struct store *s, const char *from, const char *to, struct err *e)
{
    if (rename(from, to) == 0)
        return 0;
    if (errno == ENOENT && store_make_parents(s, to, e) != 0)
        return -1;
    return rename(from, to) == 0 ? 0 : err_errno(e, ERR_FAILED, errno, "cannot rename to %s", to);
}

static char *take_built_name(struct buf *name, struct err *e)
{
    char *text = buf_take(name);

    if (text == NULL)
        err_set(e, ERR_FAILED, "out of memory");
    return text;
}

/* These names are NULL without memory; caller frees. */
static char *temporary_name(const struct store *s, const struct add_staged *staged, struct err *e)
{
    struct buf name = {0};

    put_staged_base(s, staged, &name);
    buf_puts(&name, staged->suffix);
    return take_built_name(&name, e);
}

static char *final_name(const struct store *s, const struct add_staged *staged, struct err *e)
{
    struct buf name = {0};

    put_final_path(s, staged, &name);
    return take_built_name(&name, e);
}

static char *temporary_manifest(const struct store *s, const struct add_staged *staged,
                                struct err *e)
{
    struct buf name = {0};

    store_put_manifest_staging_path(s, &name);
    buf_puts(&name, staged->manifest);
    return take_built_name(&name, e);
}

static char *final_manifest(const struct store *s, const struct add_staged *staged, struct err *e)
{
    struct buf name = {0};

    store_put_manifest_path(s, staged->hash, &name);
    return take_built_name(&name, e);
}

static bool is_stored_already(const struct add_staged *staged)
{
    return staged->suffix[0] == '\0';
}

static bool has_manifest(const struct add_staged *staged)
{
    return staged->manifest[0] != '\0';
}

bool add_is_staged(const struct add_staged *staged)
{
    return !is_stored_already(staged) || has_manifest(staged);
}

/* Syncs, and frees, what was named; nothing without a name. */
static int sync_named(char *name, int (*sync)(const char *path, struct err *e), struct err *e)
{
    int status = name == NULL ? -1 : sync(name, e);

    free(name);
    return status;
}

int add_sync_staged(const struct store *s, const struct add_staged *staged, struct err *e)
{
    if (has_manifest(staged) &&
        sync_named(temporary_manifest(s, staged, e), fs_sync_file, e) != 0)
        return -1;
    return is_stored_already(staged) ? 0
                                     : sync_named(temporary_name(s, staged, e), fs_sync_file, e);
}

int add_sync_published(const struct store *s, const struct add_staged *staged, struct err *e)
{
    if (has_manifest(staged) && sync_named(final_manifest(s, staged, e), fs_sync_parent, e) != 0)
        return -1;
    if (is_stored_already(staged))
        return 0;
    if (staged->kind == STORE_LINK && link_sync(s, staged->hash, e) != 0)
        return -1;
    return sync_named(final_name(s, staged, e), fs_sync_parent, e);
}

static void remove_named(char *name)
{
    if (name != NULL)
        unlink(name);
    free(name);
}

void add_discard(const struct store *s, const struct add_staged *staged)
{
    if (has_manifest(staged))
        remove_named(temporary_manifest(s, staged, ERR_IGNORED));
    if (!is_stored_already(staged))
        remove_named(temporary_name(s, staged, ERR_IGNORED));
}

/* Renames, and frees both names. */
static int rename_named(const struct store *s, char *from, char *to, struct err *e)
{
    int status = from == NULL || to == NULL ? -1 : rename_into(s, from, to, e);

    free(from);
    free(to);
    return status;
}

static int publish_manifest(const struct store *s, const struct add_staged *staged, struct err *e)
{
    if (!has_manifest(staged))
        return 0;
    return rename_named(s, temporary_manifest(s, staged, e), final_manifest(s, staged, e), e);
}

static int publish_link(const struct store *s, const char *path, const struct add_staged *staged,
                        struct err *e)
{
    const struct link_made made = {path, staged->size, staged->mtime, staged->id};

    if (is_stored_already(staged))
        return link_publish(s, staged->hash, &made, NULL, e);
    char *temporary = temporary_name(s, staged, e);
    int status = temporary == NULL ? -1 : link_publish(s, staged->hash, &made, temporary, e);
    free(temporary);
    return status;
}

static int publish_copy(const struct store *s, const struct add_staged *staged, struct err *e)
{
    if (is_stored_already(staged))
        return 0;
    return rename_named(s, temporary_name(s, staged, e), final_name(s, staged, e), e);
}

int add_publish(const struct store *s, const char *path, const struct add_staged *staged,
                struct err *e)
{
    int status = publish_manifest(s, staged, e);

    if (status == 0)
        status = staged->kind == STORE_LINK ? publish_link(s, path, staged, e)
                                            : publish_copy(s, staged, e);
    if (status != 0)
        add_discard(s, staged);
    return status;
}

int add_confirm_link(const struct store *s, const char *path, struct add_staged *staged,
                     struct err *e)
{
    return is_stored_already(staged) ? stage_link_record(s, path, staged, e) : 0;
}

int add_file(const struct store *s, enum store_kind kind, const char *path,
             const struct hash_options *options, struct add_staged *out, struct err *e)
{
    struct add_staged staged;

    if (add_stage(s, kind, path, options, &staged, e) != 0)
        return -1;
    if (add_sync_staged(s, &staged, e) != 0) {
        add_discard(s, &staged);
        return -1;
    }
    if (add_publish(s, path, &staged, e) != 0 || add_sync_published(s, &staged, e) != 0)
        return -1;
    *out = staged;
    return 0;
}
