#include "zone/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/sha1.h"
#include "zone/bucket.h"

enum {
    COPY_CHUNK_BYTES = 262144,
    /* The disk is set to work after so many bytes each: little is left for the last fsync. */
    WRITE_OUT_BYTES = 8 << 20
};

/* A file being written under a temporary name: hashed on the way, renamed only when it is right. */
struct target {
    const struct download_options *options;
    const char *shown; /* for messages */
    struct buf temporary;
    int fd;
    struct sha1 sha1;
    int64_t bytes, size; /* size -1: not told */
    int64_t written_out; /* of the bytes, handed to the disk */
};

static void target_init(struct target *target, const struct download_options *options,
                        const char *shown, int64_t size)
{
    *target = (struct target){.options = options, .shown = shown, .fd = -1, .size = size};
    sha1_init(&target->sha1);
}

/* Right after the temporary file was opened. */
static void target_opened(struct target *target)
{
    if (target->options->on_temporary != NULL)
        target->options->on_temporary(target->options->ctx, buf_cstr(&target->temporary));
}

/* Removes what was written unless it got its final name. */
static void target_deinit(struct target *target)
{
    if (target->fd >= 0)
        close(target->fd);
    if (target->temporary.len > 0)
        unlink(buf_cstr(&target->temporary));
    if (target->options->on_temporary != NULL)
        target->options->on_temporary(target->options->ctx, NULL);
    buf_free(&target->temporary);
}

/* A full disk is told before the transfer where the file system can reserve the room. */
static int target_reserve(struct target *target, struct err *e)
{
    if (target->size <= 0 ||
        fallocate(target->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)target->size) == 0)
        return 0;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return err_errno(e, ERR_FAILED, errno, "no room for %lld bytes in %s",
                         (long long)target->size, target->shown);
    return 0;
}

/* Only a hint: what it cannot do, fsync does in the end. */
static void target_write_out(struct target *target)
{
    int64_t ready = target->bytes - target->written_out;

    if (ready < WRITE_OUT_BYTES)
        return;
    sync_file_range(target->fd, target->written_out, ready, SYNC_FILE_RANGE_WRITE);
    target->written_out = target->bytes;
}

static int target_add(struct target *target, struct str chunk, struct err *e)
{
    const struct download_options *options = target->options;

    if (fs_write_all(target->fd, chunk, target->shown, e) != 0)
        return -1;
    sha1_update(&target->sha1, chunk.p, chunk.len);
    target->bytes += (int64_t)chunk.len;
    target_write_out(target);
    if (target->size >= 0 && target->bytes > target->size)
        return err_set(e, ERR_CHANGED, "more than the %lld bytes that it should have",
                       (long long)target->size);
    if (options->on_progress != NULL)
        options->on_progress(options->ctx, target->bytes, target->size);
    return 0;
}

static int target_check(struct target *target, struct err *e)
{
    char hash[SHA1_HEX + 1];

    sha1_final_hex(&target->sha1, hash);
    if (strcmp(hash, target->options->hash) != 0)
        return err_set(e, ERR_CHANGED, "wrong content: %lld bytes with the SHA-1 %s",
                       (long long)target->bytes, hash);
    return 0;
}

static int take(void *ctx, const struct http_head *head, struct str chunk, struct err *e)
{
    if (head->status != 200)
        return err_set(e, ERR_PROTOCOL, "the bucket answered %d with a part", head->status);
    return target_add(ctx, chunk, e);
}

/* GETs the object into an open target and checks it. */
static int fetch(struct gateway *g, struct target *target, struct err *e)
{
    const struct gateway_file *file = target->options->file;
    struct http_call_options options = {
        .method = STR("GET"),
        .url = str_of(file->url),
        .max_answer_bytes = BUCKET_MAX_REFUSAL_BYTES,
        .deadline_ms = CLOCK_NEVER_MS,
        .sink = take,
        .ctx = target,
    };
    struct http_call *call;
    int status;

    target_opened(target);
    if (file->url == NULL)
        return err_set(e, ERR_PROTOCOL, "the zone gave no URL to download from");
    if (target_reserve(target, e) != 0)
        return -1;
    call = http_client_perform(g->http, &options, e);
    if (call == NULL)
        return -1;
    status = http_call_head(call)->status;
    if (status != 200)
        bucket_refusal(call, e);
    http_call_free(call);
    return status == 200 ? target_check(target, e) : -1;
}

int download_to_store(struct gateway *g, const struct store *s,
                      const struct download_options *options, char **path, struct err *e)
{
    struct buf final = {0};
    struct target target;
    int result = -1;

    store_put_copy_path(s, options->hash, &final);
    target_init(&target, options, s->dir, options->file->size);
    if (buf_check(&final, e) != 0 ||
        store_open_download(s, options->hash, &target.temporary, &target.fd, e) != 0 ||
        fetch(g, &target, e) != 0 ||
        store_adopt(s, options->hash, buf_cstr(&target.temporary), e) != 0)
        goto out;
    buf_clear(&target.temporary);
    *path = buf_take(&final);
    result = *path == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
out:
    target_deinit(&target);
    buf_free(&final);
    return result;
}

/* Where `path` is written in the end: behind symbolic links. NULL on error; caller frees. */
static char *final_path(const char *path, struct err *e)
{
    struct stat st;
    char *final;

    if (*path == '\0') {
        err_set(e, ERR_USAGE, "the name of the file to write is empty");
        return NULL;
    }
    if (stat(path, &st) != 0) {
        final = strdup(path);
    } else if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_USAGE, "%s: not a regular file%s", path,
                S_ISDIR(st.st_mode) ? " but a directory" : " (`cat` writes to standard output)");
        return NULL;
    } else {
        final = realpath(path, NULL);
    }
    if (final == NULL)
        err_errno(e, ERR_FAILED, errno, "%s", path);
    return final;
}

int download_check_file(const char *path, struct err *e)
{
    char *final = final_path(path, e);
    char *slash = final == NULL ? NULL : strrchr(final, '/');
    const char *folder = ".";
    int result = -1;

    if (final == NULL)
        return -1;
    if (slash != NULL) {
        slash[slash == final ? 1 : 0] = '\0';
        folder = final;
    }
    if (access(folder, W_OK | X_OK) != 0)
        err_errno(e, ERR_FAILED, errno, "%s: cannot write to the folder %s", path, folder);
    else
        result = 0;
    free(final);
    return result;
}

static int target_open_file(struct target *target, const char *final, struct err *e)
{
    struct err why;

    if (fs_open_temporary(final, 0666, &target->temporary, &target->fd, &why) == 0)
        return 0;
    /* A folder that is not there is not a file that nobody has. */
    return err_set(e, why.code == ERR_NOT_FOUND ? ERR_FAILED : why.code, "%s", why.msg);
}

static int target_publish(struct target *target, const char *final, struct err *e)
{
    if (fsync(target->fd) != 0 || rename(buf_cstr(&target->temporary), final) != 0)
        return err_errno(e, ERR_FAILED, errno, "%s", final);
    buf_clear(&target->temporary);
    return fs_sync_parent(final, e);
}

int download_to_file(struct gateway *g, const struct download_options *options, const char *path,
                     struct err *e)
{
    char *final = final_path(path, e);
    struct target target;
    int result = -1;

    target_init(&target, options, path, options->file->size);
    if (final != NULL && target_open_file(&target, final, e) == 0 && fetch(g, &target, e) == 0)
        result = target_publish(&target, final, e);
    target_deinit(&target);
    free(final);
    return result;
}

/* Reads all of fd into an open target. */
static int copy_bytes(int fd, const char *from, struct target *target, struct err *e)
{
    char *data = malloc(COPY_CHUNK_BYTES);
    ssize_t n = -1;

    target_opened(target);
    if (data == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    for (;;) {
        n = read(fd, data, COPY_CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (target_add(target, (struct str){data, (size_t)n}, e) != 0)
            break;
    }
    if (n < 0)
        err_errno(e, ERR_FAILED, errno, "%s", from);
    free(data);
    return n == 0 ? 0 : -1;
}

/* Replacing a file by its own copy would give it another owner, mode and time. */
static bool is_at(int fd, const char *path)
{
    struct stat there, here;

    return stat(path, &there) == 0 && fstat(fd, &here) == 0 && there.st_dev == here.st_dev &&
           there.st_ino == here.st_ino;
}

int download_copy(const struct download_options *options, const char *from, const char *path,
                  struct err *e)
{
    char *final = final_path(path, e);
    int fd = -1, result = -1;
    struct target target;

    target_init(&target, options, path, -1);
    if (final == NULL)
        goto out;
    fd = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        err_errno(e, ERR_FAILED, errno, "%s", from);
        goto out;
    }
    if (is_at(fd, final)) {
        err_set(e, ERR_FAILED, "%s: this is the file itself", path);
        goto out;
    }
    if (target_open_file(&target, final, e) != 0 || copy_bytes(fd, from, &target, e) != 0)
        goto out;
    if (target_check(&target, e) != 0)
        err_wrap(e, "%s", from);
    else
        result = target_publish(&target, final, e);
out:
    if (fd >= 0)
        close(fd);
    target_deinit(&target);
    free(final);
    return result;
}
