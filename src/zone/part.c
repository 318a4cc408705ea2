#include "zone/part.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/newfile.h"
#include "base/ready.h"
#include "proc/hasher.h"
#include "proc/process.h"
#include "proto/manifest.h"

enum {
    READ_BYTES = 262144,
    /* The disk is set to work after so many bytes each: little is left for the last fsync. */
    WRITE_OUT_BYTES = 8 << 20,
    /* Others may remove or publish the file between our looks at it: then once more. */
    OPEN_TRIES = 3,
    SYNC_TOLD_MS = 100,
    SMALL_BYTES = 1 << 20 /* no child is worth its while for less */
};

static void report_part_temporary(const struct part *p, const char *temporary)
{
    if (p->transfer->on_temporary != NULL)
        p->transfer->on_temporary(p->transfer->ctx, temporary);
}

static void report_part_bytes(const struct part *p)
{
    if (p->target.on_bytes != NULL)
        p->target.on_bytes(p->target.ctx, p->bytes);
}

static void put_stable_name(const struct part *p, struct buf *out)
{
    const char *final = p->target.final, *slash = strrchr(final, '/');

    if (slash != NULL)
        buf_append(out, final, (size_t)(slash - final) + 1);
    buf_printf(out, "%s.part", p->transfer->uri.hash);
}

/* Returns whether the part is our own user's alone: in a shared folder a stranger could change it
 * behind our back. */
static bool is_own_part(int fd, bool is_new, struct stat *st)
{
    return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_nlink == 1 &&
           (is_new || st->st_uid == geteuid());
}

/* The name may have been given to another file before we had the lock. */
static bool is_still_there(const char *path, const struct stat *st)
{
    struct stat now;

    return lstat(path, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

/* 1: open and locked. 0: look again. -1: not for us. */
static int try_stable(const char *path, bool must_be_new, int *out)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, result = -1;
    bool is_new = must_be_new;
    struct stat st;
    int fd = must_be_new ? -1 : open(path, flags);

    if (fd < 0 && (must_be_new || errno == ENOENT)) {
        is_new = true;
        fd = open(path, flags | O_CREAT | O_EXCL, 0666);
        if (fd < 0)
            return errno == EEXIST && !must_be_new ? 0 : -1;
    }
    if (fd < 0)
        return -1;
    if (!is_own_part(fd, is_new, &st))
        result = -1;
    else if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        result = is_still_there(path, &st);
    else if (is_new && errno != EWOULDBLOCK)
        unlink(path); /* no locks in this file system (Lustre, NFS): nobody else has it either */
    if (result == 1)
        *out = fd;
    else
        close(fd);
    return result;
}

static bool open_stable(struct part *p, bool must_be_new)
{
    struct buf path = {0};
    int result = 0;

    put_stable_name(p, &path);
    const char *name = buf_path(&path, ERR_IGNORED);
    for (int tries = 0; name != NULL && tries < OPEN_TRIES && result == 0; tries++)
        result = try_stable(name, must_be_new, &p->fd);
    if (result == 1) {
        p->path = path;
        p->is_kept = true;
        return true;
    }
    buf_free(&path);
    return false;
}

static void drop_hasher(struct part *p)
{
    hasher_free(p->hasher);
    p->hasher = NULL;
}

static int open_new_part(struct part *p, bool must_be_new, struct err *e)
{
    struct newfile file = NEWFILE_NONE;
    struct err why = {0};

    p->bytes = p->written_out = 0;
    drop_hasher(p);
    p->is_tried = false;
    sha1_init(&p->sha1);
    if (!open_stable(p, must_be_new)) {
        /* A folder that is not there is not a file that nobody has. */
        if (newfile_open(&file, p->target.final, 0666, &why) != 0)
            return err_from(e, why.code == ERR_NOT_FOUND ? ERR_FAILED : why.code, &why);
        p->path = file.name;
        p->fd = file.fd;
    }
    newfile_adopt(p->target.root, p->fd);
    if (!p->is_kept)
        newfile_hold(p->fd);
    return 0;
}

/* Hashes what is there. False when it cannot be read. */
static bool hash_part(struct part *p)
{
    char *data = malloc(READ_BYTES);
    ssize_t n = -1;

    while (data != NULL) {
        n = read(p->fd, data, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        sha1_update(&p->sha1, data, (size_t)n);
        p->bytes += n;
        report_part_bytes(p);
    }
    free(data);
    p->written_out = p->bytes;
    return n == 0;
}

/* Checks and hashes the blocks that are there, and cuts off what is not right. 1 when that is done,
 * 0 when it cannot be read, -1 when a block cannot be checked. */
static int read_checked(struct part *p, struct err *e)
{
    char *data = malloc(MANIFEST_LEAF_BYTES);
    int verdict = data != NULL;
    ssize_t n = 0;

    for (uint64_t i = 0; verdict == 1; i++) {
        size_t want = manifest_block_bytes(p->target.size, i);
        n = want == 0 ? 0 : fs_read_part(p->fd, data, want);
        if (n <= 0 || (size_t)n < want)
            break;
        verdict = p->target.check_block(p->target.check_ctx, i, (struct str){data, want}, e);
        if (verdict != 1)
            break;
        sha1_update(&p->sha1, data, want);
        p->bytes += (int64_t)want;
        report_part_bytes(p);
    }
    free(data);
    p->written_out = p->bytes;
    if (verdict < 0)
        return -1;
    return n >= 0 && data != NULL && ftruncate(p->fd, p->bytes) == 0 &&
           lseek(p->fd, p->bytes, SEEK_SET) == p->bytes;
}

int part_announce(struct part *p, int64_t bytes, struct err *e)
{
    int64_t size = p->target.size >= 0 ? p->target.size : bytes;
    int64_t max = p->target.is_here ? INT64_MAX : p->transfer->max_bytes;

    p->expected = size;
    p->limit = size >= 0 ? size : max > 0 ? max : PART_MAX_BYTES;
    if (max == 0 || size <= max)
        return 0;
    return err_set(e, ERR_TOO_LARGE, "%lld bytes are more than the limit (--max-size) of %lld",
                   (long long)size, (long long)max);
}

int part_open(struct part *p, const struct transfer *transfer, const struct part_target *target,
              struct err *e)
{
    struct stat st;

    *p = (struct part){.transfer = transfer, .target = *target, .fd = -1};
    if (part_announce(p, -1, e) != 0)
        return -1;
    if (open_new_part(p, false, e) != 0)
        return -1;
    int there = fstat(p->fd, &st) != 0 || st.st_size > p->limit ? 0
                : p->target.check_block != NULL                 ? read_checked(p, e)
                                                                : hash_part(p);
    if (there < 0)
        return -1;
    if (there == 0)
        return part_restart(p, e);
    if (p->bytes == 0)
        report_part_temporary(p, p->path.data); /* it ends with a NUL since it was made */
    return 0;
}

/* Lets go of the file; the lock is held until it is removed. */
static void remove_part(struct part *p)
{
    if (p->path.len > 0)
        unlink(p->path.data);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    buf_free(&p->path);
}

int part_restart(struct part *p, struct err *e)
{
    remove_part(p);
    p->is_kept = false;
    if (open_new_part(p, true, e) != 0)
        return -1;
    report_part_temporary(p, p->path.data);
    report_part_bytes(p);
    return 0;
}

void part_note_resumed(const struct part *p, const struct zone_watch *watch)
{
    struct buf text = {0};

    if (watch->on_note == NULL || p->bytes == 0 || p->bytes == p->target.size)
        return;
    buf_printf(&text, "the download resumes: %lld ", (long long)p->bytes);
    if (p->target.size >= 0)
        buf_printf(&text, "of %lld ", (long long)p->target.size);
    buf_puts(&text, "bytes are here already");
    watch->on_note(watch->ctx, buf_cstr(&text));
    buf_free(&text);
}

int part_check_room(struct part *p, struct err *e)
{
    int64_t size = p->expected;
    int error = 0;

    if (size <= p->bytes)
        return 0;
    if (fallocate(p->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) != 0)
        error = errno;
    /* Given back: a download that is interrupted must not hold room for what it never got. */
    if (ftruncate(p->fd, (off_t)p->bytes) != 0)
        return err_errno(e, ERR_FAILED, errno, "%s", p->target.shown);
    if (error != ENOSPC && error != EDQUOT && error != EFBIG)
        return 0;
    return err_errno(e, ERR_FAILED, error, "no room for %lld bytes in %s", (long long)size,
                     p->target.shown);
}

/* Asks the kernel to write the bytes out. It is only a hint: fsync does the rest in the end. */
static void write_part_out(struct part *p)
{
    int64_t ready = p->bytes - p->written_out;

    if (ready < WRITE_OUT_BYTES)
        return;
    sync_file_range(p->fd, p->written_out, ready, SYNC_FILE_RANGE_WRITE);
    p->written_out = p->bytes;
}

static int refuse_more(struct part *p, struct err *e)
{
    if (p->target.size >= 0)
        return err_set(e, ERR_CHANGED, "more than the %lld bytes that it should have",
                       (long long)p->target.size);
    p->is_spoilt = true;
    return err_set(e, ERR_TOO_LARGE,
                   "more than %lld bytes, and nobody said how many there are (--max-size BYTES "
                   "allows more)",
                   (long long)p->limit);
}

/* The hasher is lost: hashes the file, from its start. Bytes that cannot be read have no hash that
 * anybody wants. */
static void hash_again(struct part *p)
{
    char *data = malloc(READ_BYTES);
    int64_t at = 0;

    drop_hasher(p);
    sha1_init(&p->sha1);
    while (data != NULL && at < p->bytes) {
        size_t want = p->bytes - at < READ_BYTES ? (size_t)(p->bytes - at) : READ_BYTES;
        ssize_t n = pread(p->fd, data, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        sha1_update(&p->sha1, data, (size_t)n);
        at += n;
    }
    free(data);
}

/* Hashes bytes that were written, and counted; of much, in a process beside this one. */
static void hash_added(struct part *p, struct str chunk)
{
    if (!p->is_tried && p->expected >= 0)
        p->hasher = hasher_new(&p->sha1, p->expected - p->bytes);
    p->is_tried = true;
    if (p->hasher == NULL)
        sha1_update(&p->sha1, chunk.p, chunk.len);
    else if (!hasher_add(p->hasher, chunk))
        hash_again(p);
}

int part_add(struct part *p, struct str chunk, struct err *e)
{
    if ((int64_t)chunk.len > p->limit - p->bytes)
        return refuse_more(p, e);
    if (fs_write_all(p->fd, chunk, p->target.shown, e) != 0) {
        p->is_spoilt = true;
        return -1;
    }
    if (p->is_kept && p->bytes == 0)
        report_part_temporary(p, NULL);
    p->bytes += (int64_t)chunk.len;
    hash_added(p, chunk);
    write_part_out(p);
    report_part_bytes(p);
    return 0;
}

bool part_is_right(struct part *p, char found[SHA1_HEX + 1])
{
    if (p->hasher != NULL && !hasher_state(p->hasher, &p->sha1))
        hash_again(p);
    struct sha1 sha1 = p->sha1;

    sha1_final_hex(&sha1, found);
    return strcmp(found, p->transfer->uri.hash) == 0;
}

static int run_sync(int fd, void *ctx)
{
    const struct part *p = ctx;

    (void)fd;
    return fsync(p->fd) == 0 ? 0 : errno;
}

/* fsync, which can take minutes on a disk that is busy and cannot be waited for with a limit: in a
 * child, so that the user sees meanwhile that something is done. -1 with errno. */
static int sync_and_report(struct part *p)
{
    const struct process_options options = {
        .name = "sync", .run = run_sync, .ctx = p, .keep_fds = &p->fd, .keep_count = 1};
    struct process child = {0};
    int status = SIGKILL; /* it is not known how it ended */
    bool has_ended = false;

    if (p->target.on_bytes == NULL || p->bytes <= SMALL_BYTES ||
        process_start(&child, &options, ERR_IGNORED) != 0)
        return fsync(p->fd);
    while (!has_ended) {
        bool is_ready = ready_wait(child.fd, READY_READ, SYNC_TOLD_MS) != 0;
        /* (Behind the hang-up the status is there a moment later.) */
        if (is_ready)
            ready_sleep(1);
        report_part_bytes(p);
        has_ended = process_get_status(&child, &status) || (is_ready && kill(child.pid, 0) != 0);
    }
    process_close(&child);
    if (!WIFEXITED(status))
        return fsync(p->fd);
    errno = WEXITSTATUS(status);
    return errno == 0 ? 0 : -1;
}

int part_publish(struct part *p, struct err *e)
{
    if (sync_and_report(p) != 0 || rename(p->path.data, p->target.final) != 0) {
        p->is_spoilt = true;
        return err_errno(e, ERR_FAILED, errno, "%s", p->target.shown);
    }
    buf_free(&p->path);
    return fs_sync_parent(p->target.final, e);
}

void part_close(struct part *p)
{
    drop_hasher(p);
    if (p->is_kept && !p->is_spoilt && p->bytes > 0)
        buf_free(&p->path);
    remove_part(p);
    report_part_temporary(p, NULL);
}
