#include "bucket/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/newfile.h"

enum { SUM_BYTES = 4, PAGE_BYTES = 4096, MAX_TEXT_BYTES = 2048 };
enum { PAGE_DIGITS = 3 }; /* of an id: its page of the table, its file when that is full */

/* On the disk as in memory: state below .hub/ is the machine's own. */
struct checked_record {
    unsigned char id[SHA1_SIZE];
    unsigned char sum[SUM_BYTES]; /* of the rest: a torn record is none */
    uint64_t inode;
    int64_t size, mtime_ns, checked_s, unused;
};

enum { A_RECORD_DIVIDES_A_PAGE = 1 / (sizeof(struct checked_record) == 64) };
enum { PAGE_RECORDS = PAGE_BYTES / 64 };

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

/* Where the record of a key may be: a page of the table, or the file of those that found it full.
 * `key_at` is where it is, -1: not here; `free_at` is where it may be written, -1: nowhere. */
struct records {
    int fd;
    off_t start, end;
    off_t key_at, free_at;
    struct checked_record record;
};

static int open_records(const struct data_dir *dir, const char *name, int flags)
{
    struct buf path = {0};
    const char *file;
    int fd;

    put_state_path(dir, DATA_DIR_CHECKED, name, &path);
    file = buf_path(&path, ERR_IGNORED);
    fd = file == NULL ? -1 : openat(AT_FDCWD, file, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    buf_free(&path);
    return fd;
}

static void find_record(struct records *r, const unsigned char id[SHA1_SIZE])
{
    struct checked_record page[PAGE_RECORDS];
    static const unsigned char none[SHA1_SIZE];
    off_t at = r->start;
    ssize_t n = 0;

    r->key_at = r->free_at = -1;
    while (at < r->end && (n = pread(r->fd, page, sizeof page, at)) >= (ssize_t)sizeof *page)
        for (size_t i = 0; i < (size_t)n / sizeof *page; i++, at += (off_t)sizeof *page) {
            if (memcmp(page[i].id, id, SHA1_SIZE) == 0) {
                r->record = page[i];
                r->key_at = at;
                return;
            }
            if (r->free_at < 0 && memcmp(page[i].id, none, sizeof none) == 0)
                r->free_at = at;
        }
    if (r->free_at < 0 && n >= 0 && at < r->end)
        r->free_at = at;
}

/* False when it cannot be opened. Locked unless it is only read, for two that add at once; without
 * locks, one of them is lost. */
static bool open_and_find(const struct data_dir *dir, const char *name, int flags,
                          const unsigned char id[SHA1_SIZE], struct records *r)
{
    r->fd = open_records(dir, name, flags);
    if (r->fd < 0)
        return false;
    while (flags != O_RDONLY && flock(r->fd, LOCK_EX) != 0 && errno == EINTR)
        continue;
    find_record(r, id);
    return true;
}

/* Opens what has the record of the key or, when key_at is -1, where it may be written. False when
 * there is neither. */
static bool find_place(const struct data_dir *dir, struct str key, int flags, struct records *r)
{
    char name[SHA1_HEX + 1];
    unsigned char id[SHA1_SIZE];

    sha1_of(key, id);
    hex_encode(id, sizeof id, name);
    name[PAGE_DIGITS] = '\0';
    r->start = (off_t)strtoul(name, NULL, 16) * PAGE_BYTES;
    r->end = r->start + PAGE_BYTES;
    if (!open_and_find(dir, "table", flags, id, r))
        return false;
    if (r->key_at >= 0 || r->free_at >= 0)
        return true;
    close(r->fd);
    r->start = 0;
    r->end = INT64_MAX;
    return open_and_find(dir, name, flags, id, r);
}

/* Replaces the key's record, or adds one; NULL: takes it away (if it is the file of `only`, when
 * that is not NULL). */
static void write_record(const struct data_dir *dir, struct str key,
                         const struct checked_record *record, const struct stat *only)
{
    static const struct checked_record empty;
    struct records r;

    if (!find_place(dir, key, record == NULL ? O_RDWR : O_RDWR | O_CREAT, &r))
        return;
    off_t at = r.key_at >= 0 ? r.key_at : r.free_at;
    if (record != NULL && at >= 0)
        (void)!pwrite(r.fd, record, sizeof *record, at);
    else if (record == NULL && r.key_at >= 0 && (only == NULL || is_file_of(&r.record, only)))
        (void)!pwrite(r.fd, &empty, sizeof empty, r.key_at);
    close(r.fd);
}

bool checked_is_good(const struct data_dir *dir, struct str key, const struct stat *st,
                     int64_t *checked_s)
{
    struct records r;

    if (!find_place(dir, key, O_RDONLY, &r))
        return false;
    close(r.fd);
    if (r.key_at < 0 || !is_whole(&r.record) || !is_file_of(&r.record, st))
        return false;
    if (checked_s != NULL)
        *checked_s = r.record.checked_s;
    return true;
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
        (void)!newfile_put(buf_path(&path, ERR_IGNORED), buf_str(&text),
                           NEWFILE_DURABLE | NEWFILE_PRIVATE, ERR_IGNORED);
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
