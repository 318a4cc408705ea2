#include "proxy/range_keep.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/sha1.h"

/* begin ──► opening ──► ready ◄──► writing      ready ──► closing ──► freed
 * After a failure it is ready for good, and does nothing with what it gets. */
struct range_keep {
    struct range_keeps *all;
    struct range_keep *next;
    struct bucket_put put;
    struct err e;
    struct buf key;
    char sha1[SHA1_HEX + 1];
    void (*on_ready)(void *owner); /* NULL: its owner is gone */
    void *owner;
    bool is_busy, has_failed;
};

static void free_keep(struct range_keep *keep)
{
    struct range_keep **link = &keep->all->first;

    while (*link != keep)
        link = &(*link)->next;
    *link = keep->next;
    keep->all->count--;
    bucket_put_discard(&keep->put);
    buf_free(&keep->key);
    free(keep);
}

static void on_keep_call(void *owner)
{
    struct range_keep *keep = owner;

    keep->is_busy = false;
    if (keep->put.call.result != 0 && !keep->has_failed) {
        keep->has_failed = true;
        log_line(LOG_WARN, "sha1://%s is not kept in the bucket: %s", keep->sha1, keep->e.msg);
        bucket_put_discard(&keep->put);
    }
    keep->on_ready(keep->owner);
}

static void on_kept(void *owner)
{
    struct range_keep *keep = owner;

    if (keep->put.call.result == 0)
        log_line(LOG_INFO, "object stored sha1=%s bytes=%lld: it was read whole from a host",
                 keep->sha1, (long long)keep->put.size_bytes);
    else
        log_line(LOG_WARN, "sha1://%s is not kept in the bucket: %s", keep->sha1, keep->e.msg);
    free_keep(keep);
}

static bool is_kept_already(const struct range_keeps *all, struct str key)
{
    const struct range_keep *keep = all->first;

    while (keep != NULL && !str_equal(buf_str(&keep->key), key))
        keep = keep->next;
    return keep != NULL;
}

struct range_keep *range_keep_begin(struct range_keeps *all, const struct zone *zone,
                                    struct str sha1, int64_t size, void (*on_ready)(void *owner),
                                    void *owner)
{
    struct range_keep *keep = all->count < RANGE_KEEP_MAX ? calloc(1, sizeof *keep) : NULL;

    if (keep == NULL)
        return NULL;
    zone_files_put_object_key(zone, sha1, &keep->key);
    if (keep->key.failed || is_kept_already(all, buf_str(&keep->key))) {
        buf_free(&keep->key);
        free(keep);
        return NULL;
    }
    snprintf(keep->sha1, sizeof keep->sha1, "%.*s", STR_ARG(sha1));
    keep->all = all;
    keep->next = all->first;
    all->first = keep;
    all->count++;
    keep->on_ready = on_ready;
    keep->owner = owner;
    keep->is_busy = true;
    keep->put = (struct bucket_put){.call = {on_keep_call, keep, .e = &keep->e},
                                    .key = buf_str(&keep->key),
                                    .hash = str_of(keep->sha1),
                                    .size_bytes = size,
                                    .is_left_to_another = true};
    bucket_put_open(all->bucket, &keep->put);
    return keep;
}

bool range_keep_is_busy(const struct range_keep *keep)
{
    return keep != NULL && keep->is_busy;
}

void range_keep_add(struct range_keep *keep, struct str bytes)
{
    if (keep == NULL || keep->has_failed)
        return;
    keep->is_busy = true;
    bucket_put_write(&keep->put, bytes);
}

/* The last bytes may still be on their way into the bucket. */
static void close_kept(void *owner)
{
    struct range_keep *keep = owner;

    if (keep->has_failed) {
        free_keep(keep);
        return;
    }
    keep->put.call.on_done = on_kept;
    bucket_put_close(&keep->put);
}

void range_keep_end(struct range_keep *keep, bool is_whole)
{
    if (keep == NULL)
        return;
    if (!is_whole || keep->has_failed) {
        free_keep(keep);
        return;
    }
    keep->on_ready = close_kept;
    keep->owner = keep;
    if (!keep->is_busy)
        close_kept(keep);
}

void range_keeps_free(struct range_keeps *all)
{
    while (all->first != NULL)
        free_keep(all->first);
}
