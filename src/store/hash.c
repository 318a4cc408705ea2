#include "store/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hex.h"

/* A chunk is large enough that system calls do not count beside the hashing, small enough for the
 * CPU's second cache; jobs that are read side by side share one. The window has a block of a
 * manifest for each lane of the hashing; they share it too. */
enum {
    CHUNK_SIZE = 512 << 10,
    WINDOW_BLOCKS = SHA256_LANES,
    WINDOW_SIZE = WINDOW_BLOCKS * MANIFEST_LEAF_BYTES,
    CHUNK_UNIT = 4096
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

static void fail_hash_job(struct hash_job *job, const struct err *e)
{
    job->progress = HASH_FAILED;
    job->error = *e;
}

static bool makes_manifest(struct hash_job *const jobs[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (jobs[i]->manifest != NULL)
            return true;
    return false;
}

/* Returns the bytes of a chunk, or of the window, that each of `count` jobs has. */
static size_t chunk_share(size_t count)
{
    return CHUNK_SIZE / count / CHUNK_UNIT * CHUNK_UNIT;
}

static size_t window_share(struct hash_job *const jobs[], size_t count)
{
    size_t blocks = makes_manifest(jobs, count) ? (sha256_lanes() + count - 1) / count : 0;
    size_t most = WINDOW_BLOCKS / count * MANIFEST_LEAF_BYTES;

    if (blocks * MANIFEST_LEAF_BYTES > most)
        return most;
    if (blocks * MANIFEST_LEAF_BYTES >= chunk_share(count))
        return blocks * MANIFEST_LEAF_BYTES;
    return blocks > 0 ? CHUNK_SIZE : chunk_share(count);
}

/* Counts what was read, and copies it. */
static int take_bytes(struct hash_job *job, struct str data, struct err *e)
{
    job->size += (int64_t)data.len;
    job->filled += data.len;
    if (job->as_opened != NULL && job->size > job->as_opened->st_size) {
        job->is_at_end = true;
        return 0;
    }
    if (write_chunk(job, data, e) != 0)
        return -1;
    if (job->watch != NULL && !job->watch->go_on(job->watch->ctx, job->size))
        return err_set(e, ERR_FAILED, "interrupted");
    return 0;
}

/* Reads up to `most` bytes; empty at the end of the file, and when the job fails. */
static struct str read_job(struct hash_job *job, size_t most)
{
    unsigned char *const to = job->window + job->filled;
    struct err e;
    ssize_t n;

    do
        n = read(job->from, to, most);
    while (n < 0 && errno == EINTR);
    const struct str data = {(const char *)to, n < 0 ? 0 : (size_t)n};
    job->is_at_end = n == 0;
    if (n < 0)
        err_errno(&e, ERR_FAILED, errno, "cannot read");
    if (n < 0 || (n > 0 && take_bytes(job, data, &e) != 0)) {
        fail_hash_job(job, &e);
        return STR("");
    }
    return data;
}

/* Reads a chunk of each job that has room for it, and hashes them. False when there was none. */
static bool read_chunks(struct hash_job *const jobs[], size_t count, size_t share)
{
    const size_t chunk = chunk_share(count);
    struct sha1 *hashes[HASH_JOBS] = {NULL};
    struct str data[HASH_JOBS] = {{NULL, 0}};
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        struct hash_job *job = jobs[i];
        size_t room = share - job->filled;
        if (job->progress != HASH_READS || job->is_at_end || room == 0)
            continue;
        data[n] = read_job(job, room < chunk ? room : chunk);
        hashes[n] = &job->sha1;
        n += data[n].len > 0;
    }
    sha1_update_many(hashes, data, n);
    return n > 0;
}

static bool has_leaves(const struct hash_job *job)
{
    return job->progress == HASH_READS && job->manifest != NULL && job->filled > 0;
}

/* Hashes the blocks in the window: of each file whole ones, and its last. */
static void give_leaves(struct hash_job *const jobs[], size_t count)
{
    unsigned char leaves[WINDOW_BLOCKS][SHA256_SIZE];
    struct str blocks[WINDOW_BLOCKS] = {{NULL, 0}};
    size_t n = 0;
    struct err e;

    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; has_leaves(jobs[i]) && at < jobs[i]->filled; at += MANIFEST_LEAF_BYTES)
            blocks[n++] = str_slice((struct str){(const char *)jobs[i]->window, jobs[i]->filled},
                                    at, at + MANIFEST_LEAF_BYTES);
    manifest_hash_blocks(blocks, n, leaves);
    n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!has_leaves(jobs[i]))
            continue;
        const int64_t bytes = (int64_t)jobs[i]->filled;
        if (manifest_writer_take(jobs[i]->manifest,
                                 (const unsigned char(*)[SHA256_SIZE])leaves + n, bytes, &e) != 0)
            fail_hash_job(jobs[i], &e);
        n += (size_t)manifest_leaf_count(bytes);
    }
}

/* Ends the job when both hashes have all bytes. */
static int end_hash_job(struct hash_job *job, struct err *e)
{
    unsigned char digest[SHA1_SIZE];

    if (job->to >= 0 && job->is_sparse && ftruncate(job->to, job->size) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot write the copy");
    sha1_final(&job->sha1, digest);
    hex_encode(digest, SHA1_SIZE, job->hash);
    return job->manifest == NULL ? 0 : manifest_writer_end(job->manifest, digest, e);
}

void hash_begin(struct hash_job *job)
{
    sha1_init(&job->sha1);
    job->size = 0;
    job->is_at_end = false;
    job->progress = HASH_READS;
}

void hash_step(struct hash_job *const jobs[], size_t count)
{
    const size_t share = window_share(jobs, count);
    struct err e;

    for (size_t i = 0; i < count; i++) {
        jobs[i]->window = window + i * share;
        jobs[i]->filled = 0;
    }
    while (read_chunks(jobs, count, share))
        continue;
    give_leaves(jobs, count);
    for (size_t i = 0; i < count; i++) {
        struct hash_job *job = jobs[i];
        if (job->progress != HASH_READS || !job->is_at_end)
            continue;
        if (end_hash_job(job, &e) == 0)
            job->progress = HASH_ENDED;
        else
            fail_hash_job(job, &e);
    }
}

int hash_run(struct hash_job *job, struct err *e)
{
    hash_begin(job);
    while (job->progress == HASH_READS)
        hash_step(&job, 1);
    return job->progress == HASH_ENDED ? 0 : err_copy(e, &job->error);
}
