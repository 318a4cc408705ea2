#include "store/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hex.h"
#include "store/hash_cache.h"

/* A chunk is large enough that system calls do not count beside the hashing, small enough for the
 * CPU's second cache. Where a manifest is made, a window of several chunks has a block for each
 * lane of the hashing. */
enum {
    CHUNK_SIZE = 512 << 10,
    WINDOW_SIZE = SHA256_LANES * MANIFEST_LEAF_BYTES,
    TRIES = 2
};

static unsigned char window[WINDOW_SIZE];

const char *hash_kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return NULL;
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

static int refuse_kind(const struct stat *st, struct err *e)
{
    const char *kind = hash_kind_of(st->st_mode);

    return kind == NULL ? 0 : err_set(e, ERR_FAILED, "is %s: want a regular file", kind);
}

/* Opens what has this name, and is a regular file, it is hoped. */
static int open_name(int dir, const char *name, int more_flags, int *fd, struct stat *st,
                     struct err *e)
{
    const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | more_flags;
    int opened = openat(dir, name, flags | O_NONBLOCK);

    if (opened < 0 && errno == EWOULDBLOCK) /* another program has a lease, and gives it up now */
        opened = openat(dir, name, flags);
    if (opened < 0)
        return err_errno(e, ERR_FAILED, errno, "cannot open");
    if (fstat(opened, st) != 0)
        err_errno(e, ERR_FAILED, errno, "cannot stat");
    else if (refuse_kind(st, e) == 0) {
        if (st->st_size > CHUNK_SIZE) /* else it is read at once */
            posix_fadvise(opened, 0, 0, POSIX_FADV_SEQUENTIAL);
        *fd = opened;
        return 0;
    }
    close(opened);
    return -1;
}

int hash_open(const char *path, const struct follow *follow, int *fd, struct stat *st,
              struct err *e)
{
    struct follow_place place;

    /* Asked first: merely opening some devices does something. */
    if (follow == NULL || follow->kind == FOLLOW_ALL) {
        if (stat(path, st) != 0)
            return err_errno(e, ERR_FAILED, errno, "cannot open");
        return refuse_kind(st, e) != 0 ? -1 : open_name(AT_FDCWD, path, 0, fd, st, e);
    }
    if (follow_find(follow, path, &place, e) != 0)
        return -1;
    int status = refuse_kind(&place.st, e);
    if (status == 0)
        status = open_name(place.dir, place.name, O_NOFOLLOW, fd, st, e);
    close(place.dir);
    return status;
}

bool hash_is_unchanged(int fd, const struct stat *before)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_size == before->st_size &&
           st.st_mtim.tv_sec == before->st_mtim.tv_sec &&
           st.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

static bool is_zero_window(struct str data)
{
    return data.p[0] == 0 && memcmp(data.p, data.p + 1, data.len - 1) == 0;
}

static int write_chunk(const struct hash_job *job, struct str data, struct err *e)
{
    if (job->to < 0)
        return 0;
    if (job->is_sparse && is_zero_window(data)) {
        if (lseek(job->to, (off_t)data.len, SEEK_CUR) >= 0)
            return 0;
        return err_errno(e, ERR_FAILED, errno, "cannot write the copy");
    }
    return fs_write_all(job->to, data, "the copy", e);
}

/* Returns the part of the window that is used: a multiple of both a chunk and a block. */
static size_t window_size(const struct hash_job *job)
{
    size_t blocks = job->manifest == NULL ? 0 : sha256_lanes() * MANIFEST_LEAF_BYTES;

    return blocks < CHUNK_SIZE ? CHUNK_SIZE : blocks;
}

/* The bytes in the window, all of a file's up to its end or as many as fit. */
static int give_window(const struct hash_job *job, size_t filled, struct err *e)
{
    if (job->manifest == NULL)
        return 0;
    return manifest_writer_add(job->manifest, (struct str){(const char *)window, filled}, e);
}

/* Ends the job when both hashes have all bytes. */
static int end_hash_job(struct hash_job *job, struct sha1 *sha1, struct err *e)
{
    unsigned char digest[SHA1_SIZE];

    if (job->to >= 0 && job->is_sparse && ftruncate(job->to, job->size) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot write the copy");
    sha1_final(sha1, digest);
    hex_encode(digest, SHA1_SIZE, job->hash);
    return job->manifest == NULL ? 0 : manifest_writer_end(job->manifest, digest, e);
}

int hash_run(struct hash_job *job, struct err *e)
{
    const size_t size = window_size(job);
    struct sha1 sha1;
    size_t filled = 0;

    sha1_init(&sha1);
    job->size = 0;
    for (;;) {
        unsigned char *const chunk = window + filled;
        ssize_t n = read(job->from, chunk, size - filled < CHUNK_SIZE ? size - filled : CHUNK_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, ERR_FAILED, errno, "cannot read");
        if (n == 0)
            break;
        sha1_update(&sha1, chunk, (size_t)n);
        job->size += n;
        if (job->as_opened != NULL && job->size > job->as_opened->st_size)
            break;
        if (write_chunk(job, (struct str){(const char *)chunk, (size_t)n}, e) != 0)
            return -1;
        filled += (size_t)n;
        if (filled == size || job->manifest == NULL) {
            if (give_window(job, filled, e) != 0)
                return -1;
            filled = 0;
        }
        if (job->watch != NULL && !job->watch->go_on(job->watch->ctx, job->size))
            return err_set(e, ERR_FAILED, "interrupted");
    }
    return give_window(job, filled, e) != 0 ? -1 : end_hash_job(job, &sha1, e);
}

/* An attempt to read a file that nobody changes meanwhile. */
struct attempt {
    const struct store *store;
    const char *path;
    const struct hash_options *options;
    struct hash_job job;
    struct stat st;
    struct manifest_writer manifest;
    bool is_read; /* the hash is not from the cache */
    bool is_good; /* the file was the same before and after */
};

/* Returns true when the file need not be read: its hash is known, and so is its manifest if one is
 * wanted. */
static bool is_file_known(struct attempt *a)
{
    const unsigned flags = a->options->flags;

    if ((flags & HASH_USE_CACHE) == 0 ||
        !hash_cache_get(a->store, a->path, &a->st, a->job.hash))
        return false;
    if ((flags & HASH_MAKE_MANIFEST) == 0 || !manifest_is_for(a->st.st_size))
        return true;
    return manifest_file_is_whole(a->store, a->job.hash, a->st.st_size);
}

static int try_once(struct attempt *a, struct err *e)
{
    const unsigned flags = a->options->flags;
    int64_t began_ms = clock_wall_ms();
    int status;

    if (hash_open(a->path, a->options->follow, &a->job.from, &a->st, e) != 0)
        return -1;
    a->is_good = is_file_known(a);
    if (a->is_good) {
        close(a->job.from);
        return 0;
    }
    a->is_read = true;
    a->job.as_opened = &a->st;
    a->job.manifest = NULL;
    if ((flags & (HASH_MAKE_MANIFEST | HASH_CHECK_MANIFEST)) != 0 &&
        manifest_is_for(a->st.st_size)) {
        a->job.manifest = &a->manifest;
        manifest_writer_begin(&a->manifest, a->st.st_size);
    }
    status = hash_run(&a->job, e);
    a->is_good =
        status == 0 && a->job.size == a->st.st_size && hash_is_unchanged(a->job.from, &a->st);
    close(a->job.from);
    if (a->is_good && (flags & HASH_USE_CACHE) != 0)
        hash_cache_put(a->store, a->path, &a->st, a->job.hash, began_ms);
    return status;
}

/* The file is as it was read. */
static int take_result(struct attempt *a, struct hash_result *out, struct err *e)
{
    const bool has_manifest = a->is_read && a->job.manifest != NULL;
    struct hash_result result = {
        .size = a->st.st_size, .mtime = fs_mtime(&a->st), .id = file_id_of(&a->st)};

    memcpy(result.hash, a->job.hash, sizeof result.hash);
    if (has_manifest && (a->options->flags & HASH_MAKE_MANIFEST) != 0 &&
        manifest_writer_stage(&a->manifest, result.manifest, e) != 0)
        return -1;
    if ((a->options->flags & HASH_CHECK_MANIFEST) != 0)
        result.manifest_state = manifest_file_check(a->store, result.hash, result.size,
                                                    has_manifest ? a->manifest.head.root : NULL);
    *out = result;
    return 0;
}

int hash_file(const struct store *s, const char *path, const struct hash_options *options,
              struct hash_result *out, struct err *e)
{
    static const struct hash_options defaults = {0};
    struct attempt a = {.store = s, .path = path, .job.to = -1};
    int status = 0;

    a.options = options == NULL ? &defaults : options;
    a.job.watch = a.options->watch;
    manifest_writer_init(&a.manifest, (a.options->flags & HASH_MAKE_MANIFEST) != 0 ? s : NULL);
    for (int i = 0; i < TRIES && status == 0 && !a.is_good; i++)
        status = try_once(&a, e);
    if (status == 0 && !a.is_good)
        status = err_set(e, ERR_CHANGED, "changed while it was being read");
    if (status == 0)
        status = take_result(&a, out, e);
    manifest_writer_discard(&a.manifest);
    return status;
}
