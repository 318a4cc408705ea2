/* Objects of the bucket, from which a relay's files are read block by block, each checked. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "proto/manifest.h"
#include "proxy/relay_state.h"

/* ---- files that were found wrong ---- */

static bool is_same_opened(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool is_wrong_file(const struct relay *relay, const struct stat *st)
{
    for (size_t n = 0; n < RELAY_MAX_WRONG; n++)
        if (relay->wrong[n].is_used && is_same_opened(&relay->wrong[n].opened, st))
            return true;
    return false;
}

/* Until the bucket has read all of the object, this file of it is not used again. */
static void report_wrong_file(struct relay_file *file, const struct stat *wrong, const char *why)
{
    struct relay *relay = file->relay;
    const struct zone zone = {.name = str_of(file->zone->name),
                              .directory = str_of(file->zone->directory)};

    log_line(LOG_WARN, "sha1://%s is not read from the bucket: %s", file->sha1, why);
    relay->wrong[relay->wrong_next] = (struct relay_wrong_file){true, *wrong};
    relay->wrong_next = (relay->wrong_next + 1) % RELAY_MAX_WRONG;
    if (relay->options.doubt_object != NULL)
        relay->options.doubt_object(relay->options.check_owner, &zone, str_of(file->sha1));
}

/* Lets the object go. */
static void doubt_object(struct relay_file *file, const struct stat *wrong, const char *why)
{
    report_wrong_file(file, wrong, why);
    relay_object_end(file);
    file->is_past = true; /* its readers go on with hosts */
    relay_file_wake(file);
}

/* ---- opening ---- */

static void free_object(struct relay_object *object)
{
    if (object->has_manifest)
        manifest_file_close(&object->manifest);
    if (object->fd >= 0)
        close(object->fd);
    free(object);
}

void relay_object_end(struct relay_file *file)
{
    if (file->object != NULL)
        free_object(file->object);
    file->object = NULL;
}

/* Opens the manifest of an object that needs one. */
static bool open_object_manifest(struct relay_file *file, struct relay_object *object, int *fd)
{
    struct err e = {0};

    if (*fd < 0 || fstat(*fd, &object->manifest_opened) != 0 ||
        is_wrong_file(file->relay, &object->manifest_opened))
        return false;
    if (manifest_file_open_fd(*fd, file->sha1, &object->manifest, &e) == 0) {
        object->has_manifest = true;
        *fd = -1;
        if (object->manifest.head.size == (int64_t)object->opened.st_size)
            return true;
        err_set(&e, ERR_PROTOCOL, "the manifest is of another size");
    }
    report_wrong_file(file, &object->manifest_opened, e.msg);
    return false;
}

/* The file that has the object's content, from now on read from the object. NULL when its blocks
 * cannot be checked. */
static struct relay_file *adopt_object(struct relay_file *file, const struct stat *st,
                                       struct relay_object_file *from)
{
    struct relay_object *object = calloc(1, sizeof *object);
    struct str hashes = STR("");
    struct relay_file *known = NULL;

    if (object == NULL)
        return NULL;
    object->fd = -1;
    object->opened = *st;
    if (!manifest_is_for((int64_t)st->st_size) ||
        open_object_manifest(file, object, &from->manifest_fd)) {
        if (object->has_manifest)
            hashes = buf_str(&object->manifest.page_hashes);
        known = relay_file_prove(file, (int64_t)st->st_size,
                                 object->has_manifest ? object->manifest.head.root : NULL, hashes);
    }
    if (known == NULL) {
        free_object(object);
        return NULL;
    }
    object->fd = from->fd;
    from->fd = -1;
    relay_object_end(known);
    known->object = object;
    return known;
}

static void close_object_file(struct relay_object_file *object)
{
    if (object->fd >= 0)
        close(object->fd);
    if (object->manifest_fd >= 0)
        close(object->manifest_fd);
    object->fd = object->manifest_fd = -1;
}

enum relay_answer relay_reader_start_object(struct relay *relay, struct relay_reader *reader,
                                            const struct zone *zone, struct str sha1,
                                            struct relay_object_file *object)
{
    struct relay_file *file = relay_file_find(relay, zone, sha1);
    struct stat st;

    if (file == NULL || fstat(object->fd, &st) != 0)
        return RELAY_NO_MEMORY;
    if (is_wrong_file(relay, &st))
        return RELAY_ABSENT;
    if (file->object == NULL || !is_same_opened(&file->object->opened, &st))
        file = adopt_object(file, &st, object);
    if (file == NULL)
        return RELAY_BUILDING;
    close_object_file(object);
    relay_reader_enter(relay, reader, file);
    return RELAY_READY;
}

/* ---- reading ---- */

void relay_object_load(struct relay_file *file, uint32_t i, const struct str *hashes, size_t count)
{
    if (block_cache_read(file->relay->cache, file->cached, file->object->fd, i, hashes, count) == 0)
        doubt_object(file, &file->object->opened, "a block does not have its hash");
}

bool relay_object_read_page(struct relay_file *file, uint32_t j, unsigned char *leaves)
{
    struct err e = {0};

    if (manifest_file_read_page(&file->object->manifest, j, leaves, &e) == 0)
        return true;
    doubt_object(file, &file->object->manifest_opened, e.msg);
    return false;
}
