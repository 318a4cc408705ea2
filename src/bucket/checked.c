#include "bucket/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hex.h"

enum { SUM_BYTES = 4, AT_ONCE = 1024, MAX_TEXT_BYTES = 2048 };

/* On the disk as in memory: state below .hub/ is the machine's own. */
struct checked_record {
    unsigned char id[SHA1_SIZE];
    unsigned char sum[SUM_BYTES]; /* of the rest: a torn record is none */
    uint64_t inode;
    int64_t size, mtime_ns, checked_s, unused;
};

enum { A_RECORD_DIVIDES_A_PAGE = 1 / (sizeof(struct checked_record) == 64) };

void checked_id(struct str key, char id[SHA1_HEX + 1])
{
    unsigned char digest[SHA1_SIZE];

    sha1_of(key, digest);
    hex_encode(digest, sizeof digest, id);
}

static int64_t mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + (int64_t)st->st_mtim.tv_nsec;
}

static bool is_file_of(const struct checked_record *r, const struct stat *st)
{
    return r->inode == (uint64_t)st->st_ino && r->size == (int64_t)st->st_size &&
           r->mtime_ns == mtime_ns(st);
}

static void sum_record(const struct checked_record *r, unsigned char sum[SUM_BYTES])
{
    struct checked_record copy = *r;
    unsigned char digest[SHA1_SIZE];

    memset(copy.sum, 0, SUM_BYTES);
    sha1_of((struct str){(const char *)&copy, sizeof copy}, digest);
    memcpy(sum, digest, SUM_BYTES);
}

static bool is_whole(const struct checked_record *r)
{
    unsigned char sum[SUM_BYTES];

    sum_record(r, sum);
    return memcmp(sum, r->sum, SUM_BYTES) == 0;
}

static void put_state_path(const struct data_dir *dir, const char *folder, const char *name,
                           struct buf *out)
{
    buf_printf(out, "%s/%s/%s", dir->path, folder, name);
}

/* ---- good ones ---- */

/* Opens the file of the key's records; -1 when there is none. */
static int open_records(const struct data_dir *dir, const char *id, int flags)
{
    char name[4] = {id[0], id[1], id[2], '\0'};
    struct buf path = {0};
    const char *file;
    int fd;

    put_state_path(dir, DATA_DIR_CHECKED, name, &path);
    file = buf_path(&path, ERR_IGNORED);
    fd = file == NULL ? -1 : open(file, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    buf_free(&path);
    return fd;
}

/* The key's record and where it stands; *free_at is where a new one may be written, -1 where it
 * cannot be seen. */
static bool find_record(int fd, struct str key, struct checked_record *found, off_t *at,
                        off_t *free_at)
{
    struct checked_record records[AT_ONCE];
    unsigned char id[SHA1_SIZE], none[SHA1_SIZE] = {0};
    off_t offset = 0;
    ssize_t n;

    sha1_of(key, id);
    *free_at = -1;
    while ((n = pread(fd, records, sizeof records, offset)) >= (ssize_t)sizeof *records) {
        size_t count = (size_t)n / sizeof *records;
        for (size_t i = 0; i < count; i++) {
            *at = offset + (off_t)(i * sizeof *records);
            if (memcmp(records[i].id, id, sizeof id) == 0) {
                *found = records[i];
                return true;
            }
            if (*free_at < 0 && memcmp(records[i].id, none, sizeof none) == 0)
                *free_at = *at;
        }
        offset += (off_t)(count * sizeof *records);
    }
    if (*free_at < 0 && n >= 0)
        *free_at = offset;
    return false;
}

/* Replaces the key's record, or adds one; NULL: takes it away (if it is the file of `only`, when
 * that is not NULL). Locked, for two that add at once; without locks, one of them is lost. */
static void write_record(const struct data_dir *dir, struct str key,
                         const struct checked_record *record, const struct stat *only)
{
    char id[SHA1_HEX + 1];
    struct checked_record old, empty = {.inode = 0};
    off_t at, free_at;
    bool is_found;
    int fd;

    checked_id(key, id);
    fd = open_records(dir, id, record == NULL ? O_RDWR : O_RDWR | O_CREAT);
    if (fd < 0)
        return;
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
        continue;
    is_found = find_record(fd, key, &old, &at, &free_at);
    if (record != NULL && (is_found || free_at >= 0))
        (void)!pwrite(fd, record, sizeof *record, is_found ? at : free_at);
    else if (record == NULL && is_found && (only == NULL || is_file_of(&old, only)))
        (void)!pwrite(fd, &empty, sizeof empty, at);
    close(fd);
}

bool checked_is_good(const struct data_dir *dir, struct str key, const struct stat *st,
                     int64_t *checked_s)
{
    char id[SHA1_HEX + 1];
    struct checked_record found;
    off_t at, free_at;
    bool is_known;
    int fd;

    checked_id(key, id);
    fd = open_records(dir, id, O_RDONLY);
    if (fd < 0)
        return false;
    is_known = find_record(fd, key, &found, &at, &free_at) && is_whole(&found) &&
               is_file_of(&found, st);
    close(fd);
    if (is_known && checked_s != NULL)
        *checked_s = found.checked_s;
    return is_known;
}

static void put_good(const struct data_dir *dir, struct str key, const struct stat *st)
{
    struct checked_record r = {.inode = (uint64_t)st->st_ino,
                               .size = (int64_t)st->st_size,
                               .mtime_ns = mtime_ns(st),
                               .checked_s = clock_wall_ms() / 1000};

    sha1_of(key, r.id);
    sum_record(&r, r.sum);
    write_record(dir, key, &r, NULL);
}

/* ---- damaged ones ---- */

static void put_mark(struct buf *out, struct str key, const struct stat *st)
{
    buf_printf(out, "%llu %lld %lld %.*s\n", (unsigned long long)st->st_ino,
               (long long)st->st_size, (long long)mtime_ns(st), STR_ARG(key));
}

static void put_mark_path(const struct data_dir *dir, struct str key, struct buf *out)
{
    char id[SHA1_HEX + 1];

    checked_id(key, id);
    put_state_path(dir, DATA_DIR_DAMAGED, id, out);
}

int checked_is_damaged(const struct data_dir *dir, struct str key, const struct stat *st,
                       struct err *e)
{
    struct buf path = {0}, text = {0}, want = {0};
    struct err why = {0};
    int is_damaged = 0;

    put_mark_path(dir, key, &path);
    put_mark(&want, key, st);
    if (buf_check(&want, &why) != 0 ||
        fs_read_file(buf_path(&path, &why), MAX_TEXT_BYTES, &text, &why) != 0)
        is_damaged = why.code == ERR_NOT_FOUND ? 0 : err_copy(e, &why);
    else
        is_damaged = str_equal(buf_str(&text), buf_str(&want));
    buf_free(&path);
    buf_free(&text);
    buf_free(&want);
    return is_damaged;
}

static void mark_damaged(const struct data_dir *dir, struct str key, const struct stat *st)
{
    struct buf path = {0}, text = {0};

    put_mark_path(dir, key, &path);
    put_mark(&text, key, st);
    /* Without the mark it is found again by the next who reads it. */
    if (!text.failed)
        (void)!fs_write_file(buf_path(&path, ERR_IGNORED), buf_str(&text), FS_DURABLE | FS_PRIVATE,
                             ERR_IGNORED);
    buf_free(&path);
    buf_free(&text);
}

static void unmark_damaged(const struct data_dir *dir, struct str key)
{
    struct buf path = {0};

    put_mark_path(dir, key, &path);
    const char *mark = buf_path(&path, ERR_IGNORED);
    if (mark != NULL)
        unlink(mark);
    buf_free(&path);
}

/* ---- both ---- */

enum checked checked_get(const struct data_dir *dir, struct str key, const struct stat *st,
                         int64_t *checked_s, struct err *e)
{
    int is_damaged = checked_is_damaged(dir, key, st, e);

    if (is_damaged != 0)
        return is_damaged > 0 ? CHECKED_DAMAGED : CHECKED_FAILED;
    return checked_is_good(dir, key, st, checked_s) ? CHECKED_GOOD : CHECKED_UNKNOWN;
}

void checked_put(const struct data_dir *dir, struct str key, const struct stat *st,
                 enum checked state)
{
    if (state == CHECKED_GOOD) {
        put_good(dir, key, st);
        unmark_damaged(dir, key);
    } else if (state == CHECKED_DAMAGED) {
        mark_damaged(dir, key, st);
        write_record(dir, key, NULL, st);
    }
}

void checked_forget(const struct data_dir *dir, struct str key)
{
    write_record(dir, key, NULL, NULL);
    unmark_damaged(dir, key);
}
