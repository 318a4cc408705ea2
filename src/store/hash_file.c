#include "store/hash_file.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "store/hash_cache.h"

enum { TRIES = 2 };

static void fail_file(struct hash_file *f, const struct err *e)
{
    f->progress = HASH_FAILED;
    f->error = *e;
}

/* Returns true when the file need not be read: its hash is known, and so is its manifest if one is
 * wanted. */
static bool is_file_known(struct hash_file *f)
{
    const unsigned flags = f->options.flags;

    if ((flags & HASH_USE_CACHE) == 0 ||
        !hash_cache_get(f->store, f->path, &f->st, f->job.hash))
        return false;
    if ((flags & HASH_MAKE_MANIFEST) == 0 || !manifest_is_for(f->st.st_size))
        return true;
    return manifest_file_is_whole(f->store, f->job.hash, f->st.st_size);
}

static void begin_hash_attempt(struct hash_file *f)
{
    const unsigned flags = f->options.flags;
    struct err e;

    f->tries++;
    f->began_ms = clock_wall_ms();
    if (hash_open(f->path, f->options.follow, &f->job.from, &f->st, &e) != 0) {
        fail_file(f, &e);
        return;
    }
    if (is_file_known(f)) {
        close(f->job.from);
        f->progress = HASH_ENDED;
        return;
    }
    f->is_read = true;
    f->job.as_opened = &f->st;
    f->job.manifest = NULL;
    if ((flags & (HASH_MAKE_MANIFEST | HASH_CHECK_MANIFEST)) != 0 &&
        manifest_is_for(f->st.st_size)) {
        f->job.manifest = &f->manifest;
        manifest_writer_begin(&f->manifest, f->st.st_size);
    }
    f->progress = HASH_READS;
    hash_begin(&f->job);
}

/* The file was read to its end, or its reading failed. If it was changed it is read again. */
static void end_attempt(struct hash_file *f)
{
    const bool is_good = f->job.progress == HASH_ENDED && f->job.size == f->st.st_size &&
                         hash_is_unchanged(f->job.from, &f->st);
    struct err e;

    close(f->job.from);
    if (is_good && (f->options.flags & HASH_USE_CACHE) != 0)
        hash_cache_put(f->store, f->path, &f->st, f->job.hash, f->began_ms);
    if (f->job.progress == HASH_FAILED) {
        fail_file(f, &f->job.error);
    } else if (is_good) {
        f->progress = HASH_ENDED;
    } else if (f->tries < TRIES) {
        begin_hash_attempt(f);
    } else {
        err_set(&e, ERR_CHANGED, "changed while it was being read");
        fail_file(f, &e);
    }
}

void hash_file_begin(struct hash_file *f, const struct store *s, const char *path,
                     const struct hash_options *options)
{
    static const struct hash_options none = {0};

    f->store = s;
    f->path = path;
    f->options = options == NULL ? none : *options;
    f->tries = 0;
    f->is_read = false;
    f->job = (struct hash_job){.to = -1, .watch = f->options.watch};
    manifest_writer_init(&f->manifest, (f->options.flags & HASH_MAKE_MANIFEST) != 0 ? s : NULL);
    begin_hash_attempt(f);
}

void hash_file_step(struct hash_file *const files[], size_t count)
{
    struct hash_job *jobs[HASH_JOBS] = {NULL};

    for (size_t i = 0; i < count; i++)
        jobs[i] = &files[i]->job;
    hash_step(jobs, count);
    for (size_t i = 0; i < count; i++)
        if (files[i]->job.progress != HASH_READS)
            end_attempt(files[i]);
}

/* The file is as it was read. */
static int take_result(struct hash_file *f, struct hash_result *out, struct err *e)
{
    const bool has_manifest = f->is_read && f->job.manifest != NULL;
    struct hash_result result = {
        .size = f->st.st_size, .mtime = fs_mtime(&f->st), .id = file_id_of(&f->st)};

    memcpy(result.hash, f->job.hash, sizeof result.hash);
    if (has_manifest && (f->options.flags & HASH_MAKE_MANIFEST) != 0 &&
        manifest_writer_stage(&f->manifest, result.manifest, e) != 0)
        return -1;
    if ((f->options.flags & HASH_CHECK_MANIFEST) != 0)
        result.manifest_state = manifest_file_check(f->store, result.hash, result.size,
                                                    has_manifest ? f->manifest.head.root : NULL);
    *out = result;
    return 0;
}

int hash_file_end(struct hash_file *f, struct hash_result *out, struct err *e)
{
    int status;

    if (f->progress == HASH_ENDED) {
        status = take_result(f, out, e);
    } else if (f->progress == HASH_FAILED) {
        status = err_copy(e, &f->error);
    } else {
        close(f->job.from);
        status = err_set(e, ERR_FAILED, "interrupted");
    }
    manifest_writer_discard(&f->manifest);
    return status;
}

int hash_file(const struct store *s, const char *path, const struct hash_options *options,
              struct hash_result *out, struct err *e)
{
    struct hash_file f, *file = &f;

    hash_file_begin(file, s, path, options);
    while (f.progress == HASH_READS)
        hash_file_step(&file, 1);
    return hash_file_end(file, out, e);
}
