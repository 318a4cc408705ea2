/* cat: write a file's bytes, or a range of them, to standard output. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/sha1.h"
#include "cmd/actions.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "store/hash.h"
#include "store/hash_cache.h"
#include "zone/bucket_range.h"

enum { CAT_CHUNK_BYTES = 262144 };

/* Copies the range to standard output, and hashes it. */
static int copy_range(int fd, const struct cat_range *range, struct sha1 *sha1,
                      struct remote_bar *bar, struct err *e)
{
    char *data = malloc(CAT_CHUNK_BYTES);
    int64_t at = range->start;
    int result = -1;

    if (data == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    while (at < range->end) {
        size_t want = range->end - at < CAT_CHUNK_BYTES ? (size_t)(range->end - at)
                                                        : (size_t)CAT_CHUNK_BYTES;
        ssize_t n = pread(fd, data, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_errno(e, ERR_FAILED, errno, "cannot read");
            goto out;
        }
        if (n == 0) {
            err_set(e, ERR_CHANGED, "became shorter while it was read");
            goto out;
        }
        sha1_update(sha1, data, (size_t)n);
        if (fs_write_all(STDOUT_FILENO, (struct str){data, (size_t)n}, "standard output", e) != 0)
            goto out;
        at += n;
        remote_bar_show(bar, "printing", at - range->start, range->end - range->start);
    }
    result = 0;
out:
    free(data);
    return result;
}

/* Prints the range of an open file; when that is all of it, its hash is checked too. */
static int print_range(int fd, const char *hash, struct cat_range range, bool is_quiet,
                       struct err *e)
{
    /* A bar would stand between the bytes, or in the pager that reads them. */
    struct remote_bar bar = {.is_quiet = is_quiet || isatty(STDERR_FILENO)};
    char found[SHA1_HEX + 1];
    struct sha1 sha1;
    struct stat st;
    bool is_all;

    if (fstat(fd, &st) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot read");
    if (range.start > st.st_size)
        return err_set(e, ERR_FAILED, "--start %lld: the file has %lld bytes",
                       (long long)range.start, (long long)st.st_size);
    if (range.end < 0 || range.end > st.st_size) /* as far as there is something, as with HTTP */
        range.end = st.st_size;
    is_all = range.start == 0 && range.end == st.st_size;
    sha1_init(&sha1);
    if (copy_range(fd, &range, &sha1, &bar, e) != 0)
        return -1;
    sha1_final_hex(&sha1, found);
    if (is_all && strcmp(found, hash) != 0)
        return err_set(e, ERR_CHANGED, "what was printed is wrong: its SHA-1 is %s", found);
    return 0;
}

static int write_to_stdout(void *ctx, struct str chunk, struct err *e)
{
    bool *is_written = ctx;

    *is_written = true;
    return fs_write_all(STDOUT_FILENO, chunk, "standard output", e);
}

/* The hash is of all bytes: who wants certainty gets them all. */
static void warn_unproven(const char *name, const char *hash)
{
    struct err warning;

    err_set(&warning, ERR_NONE,
            "sha1://%s: this part came from the zone and could not be checked: only a whole file "
            "can be (`load` gets it)",
            hash);
    cmd_warn(name, &warning);
}

/* Prints what is at `path`. */
static int print_file(const struct remote *remote, const char *path,
                      const struct transfer *transfer, struct cat_range range, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), result;

    if (fd < 0)
        return err_errno(e, ERR_FAILED, errno, "%s", path);
    result = print_range(fd, transfer->uri.hash, range, transfer->is_quiet, e);
    close(fd);
    if (result == 0)
        return 0;
    hash_cache_forget(&remote->store, path); /* linking again must not believe it */
    return err_wrap(e, "%s", path);
}

int cat_path(const char *path, struct err *e)
{
    struct remote_bar bar = {.is_quiet = isatty(STDERR_FILENO)};
    struct cat_range all = {.start = 0};
    int fd = -1, result = -1;
    struct sha1 sha1;
    struct stat st;

    if (stat(path, &st) != 0)
        return err_set(e, ERR_NOT_FOUND, "%s: not there", path);
    if (hash_open(path, NULL, &fd, &st, e) == 0) {
        all.end = st.st_size;
        sha1_init(&sha1);
        result = copy_range(fd, &all, &sha1, &bar, e);
        close(fd);
    }
    return result == 0 ? 0 : err_wrap(e, "%s", path);
}

int cat_run(const char *name, const struct transfer *wanted, struct cat_range range,
            struct err *e)
{
    bool is_part = range.start > 0 || range.end >= 0, is_written = false, is_proven = false;
    const struct bucket_range part = {
        .start = range.start, .end = range.end, .sink = write_to_stdout, .ctx = &is_written};
    struct transfer transfer = *wanted;
    struct remote remote;
    char *path = NULL;
    int result;

    if (remote_open(&remote, name, REMOTE_KEYS_IF_THERE, e) != 0)
        return -1;
    remote.has_no_bar = is_part && isatty(STDOUT_FILENO);
    transfer.range = is_part ? &part : NULL;
    transfer.is_proven = &is_proven;
    result = remote_fetch(&remote, &transfer, &path, e);
    if (result != 0)
        err_wrap(e, "sha1://%s", transfer.uri.hash);
    else if (path != NULL)
        result = print_file(&remote, path, &transfer, range, e);
    if (is_written && !is_proven && !transfer.is_quiet)
        warn_unproven(name, transfer.uri.hash);
    free(path);
    remote_close(&remote);
    return result;
}

int cmd_cat(int argc, char **argv)
{
    struct transfer transfer = {.resource = NULL};
    struct cat_range range = {.start = 0, .end = -1};
    const struct cmd_option options[] = {
        {.name = "start", .number = &range.start, .max = INT64_MAX},
        {.name = "end", .number = &range.end, .max = INT64_MAX},
        {.name = "resource", .value = &transfer.resource},
        {0},
    };
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = 1};
    int status = cmd_parse("cat", argc, argv, &args);
    struct err e;

    if (status >= 0)
        return status;
    transfer.is_quiet = args.is_quiet;
    if (kachery_uri_parse(&transfer.uri, str_of(args.operands[0]), KACHERY_URI_USER, &e) != 0)
        return cmd_fail("cat", &e);
    if (range.end >= 0 && range.end < range.start) {
        err_set(&e, ERR_USAGE, "--end %lld is before --start %lld", (long long)range.end,
                (long long)range.start);
        return cmd_fail("cat", &e);
    }
    if (cat_run("cat", &transfer, range, &e) != 0)
        return cmd_fail("cat", &e);
    return cmd_finish("cat", CMD_OK);
}
