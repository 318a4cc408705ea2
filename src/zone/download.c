#include "zone/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/place.h"
#include "zone/hub_read.h"
#include "zone/object_get.h"
#include "zone/part.h"

enum { COPY_CHUNK_BYTES = 262144 };

static int64_t size_of_file(const struct download_source *source)
{
    return source->file == NULL ? -1 : source->file->size;
}

static void on_part_bytes(void *ctx, int64_t bytes)
{
    const struct download_source *source = ctx;

    if (source->on_bytes != NULL)
        source->on_bytes(source->ctx, bytes, size_of_file(source));
}

static struct part_target target_of(const struct download_source *source, const char *final,
                                    const char *shown)
{
    return (struct part_target){.final = final,
                                .shown = shown,
                                .size = size_of_file(source),
                                .is_here = source->file == NULL,
                                .on_bytes = on_part_bytes,
                                .ctx = (void *)(uintptr_t)source};
}

/* GETs the object to its final place, whose folder exists. */
static int fetch_object(struct gateway *g, const struct zone_call *how,
                        const struct download_source *source, struct part_target target,
                        struct err *e)
{
    struct hub_manifest *manifest = source->manifest;
    struct part part;
    int result = -1;

    target.check_block = manifest == NULL ? NULL : hub_read_check;
    target.check_ctx = manifest;
    if (part_open(&part, source->transfer, &target, e) == 0 && part_check_room(&part, e) == 0 &&
        (manifest != NULL ? hub_read_part(manifest, source->file, &part, e)
                          : object_get(g, how, source->file, &part, e)) == 0)
        result = part_publish(&part, e);
    part_close(&part);
    return result;
}

int download_to_store(struct gateway *g, const struct zone_call *how, const struct store *s,
                      const struct download_source *source, char **path, struct err *e)
{
    struct buf final = {0};
    int result = -1;

    store_put_copy_path(s, source->transfer->uri.hash, &final);
    const char *name = buf_path(&final, e);
    struct part_target target = target_of(source, name, s->dir);
    target.root = s->dir;
    if (name != NULL && store_make_parents(s, name, e) == 0)
        result = fetch_object(g, how, source, target, e);
    if (result == 0) {
        *path = buf_take(&final);
        result = *path == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
    }
    buf_free(&final);
    return result;
}

/* Finds where `path` is written in the end: behind symbolic links, unless those are replaced, or
 * lead nowhere. Caller closes. */
static int find_final(const char *path, bool replaces_links, struct place *out, struct err *e)
{
    struct err why = {0};

    *out = (struct place){.dir = -1};
    if (path == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (*path == '\0')
        return err_set(e, ERR_USAGE, "the name of the file to write is empty");
    int status = place_find(path, !replaces_links, out, &why);
    if (status == 0 ? out->was_link && !out->is_there : why.code == ERR_NOT_FOUND) {
        place_close(out);
        status = place_find(path, false, out, &why);
    }
    if (status != 0 && why.code == ERR_NOT_FOUND)
        return err_errno(e, ERR_FAILED, ENOENT, "%s: cannot write to the folder %.*s", path,
                         (int)(strrchr(path, '/') == NULL ? 0 : strrchr(path, '/') - path), path);
    if (status != 0)
        return err_set(e, ERR_FAILED, "%s", why.msg);
    if (!out->is_there || S_ISREG(out->st.st_mode) || S_ISLNK(out->st.st_mode))
        return 0;
    err_set(e, ERR_USAGE, "%s: not a regular file%s", path,
            S_ISDIR(out->st.st_mode) ? " but a directory" : " (`cat` writes to standard output)");
    place_close(out);
    return -1;
}

int download_check_file(const char *path, bool replaces_links, struct err *e)
{
    struct place place;
    struct buf folder = {0};
    int result = -1;

    if (find_final(path, replaces_links, &place, e) != 0)
        return -1;
    char *slash = strrchr(place.path.data, '/');
    if (slash != NULL)
        slash[1] = '\0';
    if (access(slash == NULL ? "." : place.path.data, W_OK | X_OK) == 0) {
        result = 0;
    } else {
        int number = errno;
        fs_put_open_path(place.dir, &folder);
        err_errno(e, ERR_FAILED, number, "%s: cannot write to the folder %s", path,
                  buf_cstr(&folder));
    }
    buf_free(&folder);
    place_close(&place);
    return result;
}

int download_check_folder(const char *folder, struct err *e)
{
    return place_check(folder, e);
}

int download_to_file(struct gateway *g, const struct zone_call *how,
                     const struct download_source *source, struct err *e)
{
    const char *path = source->transfer->to_file;
    struct place place;
    int result = -1;

    if (find_final(path, source->transfer->is_in_folder, &place, e) == 0) {
        const struct part_target target = target_of(source, place.path.data, path);
        result = place_name_given(&place, path, fetch_object(g, how, source, target, e), e);
    }
    place_close(&place);
    return result;
}

/* Reads what is missing from fd into an open part. */
static int copy_bytes(int fd, const char *from, struct part *part, struct err *e)
{
    char *data = malloc(COPY_CHUNK_BYTES);
    ssize_t n = -1;

    if (data == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    for (;;) {
        n = pread(fd, data, COPY_CHUNK_BYTES, (off_t)part->bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err_errno(e, ERR_FAILED, errno, "%s", from);
        if (n <= 0)
            break;
        if (part_add(part, (struct str){data, (size_t)n}, e) != 0)
            break;
    }
    free(data);
    return n == 0 ? 0 : -1;
}

/* Copies what is open to its final place, if it has the hash. Goes on with the bytes of an earlier
 * run, unless they turn out to be wrong. */
static int copy_open_file(const struct transfer *transfer, const struct part_target *target,
                          int fd, const char *from, struct err *e)
{
    char hash[SHA1_HEX + 1];
    bool is_continued;
    struct part part;
    int result = part_open(&part, transfer, target, e);

    while (result == 0) {
        is_continued = part.bytes > 0;
        result = copy_bytes(fd, from, &part, e);
        if (result != 0 || part_is_right(&part, hash))
            break;
        result = is_continued
                     ? part_restart(&part, e)
                     : err_set(e, ERR_CHANGED, "%s: wrong content: %lld bytes with the SHA-1 %s",
                               from, (long long)part.bytes, hash);
        part.is_spoilt = result != 0;
    }
    if (result == 0)
        result = part_publish(&part, e);
    part_close(&part);
    return result;
}

/* Replacing a file by its own copy would give it another owner, mode and time. */
static bool is_own_copy(int fd, const char *path)
{
    struct stat there, here;

    return stat(path, &there) == 0 && fstat(fd, &here) == 0 && there.st_dev == here.st_dev &&
           there.st_ino == here.st_ino;
}

int download_copy(const struct download_source *source, const char *from, struct err *e)
{
    const struct transfer *transfer = source->transfer;
    const char *path = transfer->to_file;
    int fd = -1, result = -1;
    struct place place;

    if (find_final(path, transfer->is_in_folder, &place, e) != 0)
        return -1;
    const struct part_target target = target_of(source, place.path.data, path);
    fd = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        err_errno(e, ERR_FAILED, errno, "%s", from);
    else if (is_own_copy(fd, place.path.data))
        err_set(e, ERR_FAILED, "%s: this is the file itself", path);
    else
        result = place_name_given(&place, path, copy_open_file(transfer, &target, fd, from, e), e);
    if (fd >= 0)
        close(fd);
    place_close(&place);
    return result;
}
