#include "store/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "store/hash_cache.h"

/* Large enough that system calls do not count beside the hashing, small enough for the CPU's
 * second cache. */
enum { CHUNK_SIZE = 512 << 10, TRIES = 2 };

static unsigned char chunk[CHUNK_SIZE];

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

static bool is_zero(const unsigned char *data, size_t len)
{
    return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

static int write_chunk(const struct hash_job *job, size_t len, struct err *e)
{
    if (job->to < 0)
        return 0;
    if (job->is_sparse && is_zero(chunk, len)) {
        if (lseek(job->to, (off_t)len, SEEK_CUR) >= 0)
            return 0;
        return err_errno(e, ERR_FAILED, errno, "cannot write the copy");
    }
    return fs_write_all(job->to, (struct str){(const char *)chunk, len}, "the copy", e);
}

int hash_run(struct hash_job *job, struct err *e)
{
    struct sha1 sha1;

    sha1_init(&sha1);
    job->size = 0;
    for (;;) {
        ssize_t n = read(job->from, chunk, sizeof chunk);
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
        if (write_chunk(job, (size_t)n, e) != 0)
            return -1;
        if (job->watch != NULL && !job->watch->go_on(job->watch->ctx, job->size))
            return err_set(e, ERR_FAILED, "interrupted");
    }
    if (job->to >= 0 && job->is_sparse && ftruncate(job->to, job->size) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot write the copy");
    sha1_final_hex(&sha1, job->hash);
    return 0;
}

/* One attempt; *is_good is false when the file was not the same before and after. */
static int hash_once(const struct store *s, const char *path, const struct hash_options *options,
                     struct hash_job *job, struct stat *st, bool *is_good, struct err *e)
{
    int64_t began_ms = clock_wall_ms();
    int status;

    if (hash_open(path, options->follow, &job->from, st, e) != 0)
        return -1;
    *is_good = options->flags & HASH_USE_CACHE && hash_cache_get(s, path, st, job->hash);
    if (*is_good) {
        close(job->from);
        return 0;
    }
    job->as_opened = st;
    status = hash_run(job, e);
    *is_good = status == 0 && job->size == st->st_size && hash_is_unchanged(job->from, st);
    close(job->from);
    if (*is_good && options->flags & HASH_USE_CACHE)
        hash_cache_put(s, path, st, job->hash, began_ms);
    return status;
}

int hash_file(const struct store *s, const char *path, const struct hash_options *options,
              struct hash_result *out, struct err *e)
{
    static const struct hash_options defaults = {0};
    struct hash_job job = {.to = -1};
    bool is_good = false;
    struct stat st = {0};

    if (options == NULL)
        options = &defaults;
    job.watch = options->watch;
    for (int i = 0; i < TRIES && !is_good; i++)
        if (hash_once(s, path, options, &job, &st, &is_good, e) != 0)
            return -1;
    if (!is_good)
        return err_set(e, ERR_CHANGED, "changed while it was being read");
    *out = (struct hash_result){
        .size = st.st_size, .mtime = fs_mtime(&st), .id = file_id_of(&st)};
    memcpy(out->hash, job.hash, sizeof out->hash);
    return 0;
}
