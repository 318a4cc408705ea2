#include "zone/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/env.h"
#include "proto/extensions.h"
#include "store/hash_cache.h"
#include "store/hash_file.h"
#include "zone/bucket_range.h"
#include "zone/download.h"
#include "zone/hub_file.h"
#include "zone/hub_read.h"
#include "zone/resource.h"

/* One file being looked for. */
struct fetch {
    struct gateway *gateway;
    struct zone_call how;
    const struct store *store;
    const struct transfer *transfer;
    enum transfer_phase phase;
    int64_t bytes; /* of the download in hand that are here */
    struct hub_manifest *manifest; /* of the file in hand, which a hub reads from a host, or NULL */
    bool is_shown;       /* the hub showed it to this client below /f/ */
    struct err unusable; /* why what the store has cannot be used */
    struct err unread;   /* why no host could be read from, if that is not that none has it */
};

/* The result of a step: FOUND ends the search, ABSENT goes on with the next place. */
enum fetch_result { FETCH_FOUND, FETCH_ABSENT, FETCH_FAILED };

static void report_fetch(struct fetch *fetch, int64_t bytes, int64_t size)
{
    if (fetch->transfer->on_progress != NULL)
        fetch->transfer->on_progress(fetch->transfer->ctx, fetch->phase, bytes, size);
}

static void on_fetch_bytes(void *ctx, int64_t bytes, int64_t size)
{
    struct fetch *fetch = ctx;

    fetch->bytes = bytes;
    report_fetch(fetch, bytes, size);
}

static void on_upload_status(void *ctx, const struct upload_status *status)
{
    struct fetch *fetch = ctx;

    fetch->phase = status->state == UPLOAD_QUEUED ? TRANSFER_QUEUED : TRANSFER_UPLOADING;
    report_fetch(fetch, status->bytes_uploaded < 0 ? 0 : status->bytes_uploaded, status->size);
}

static enum fetch_result copy_found_path(const char *from, char **path, struct err *e)
{
    *path = strdup(from);
    if (*path != NULL)
        return FETCH_FOUND;
    err_set(e, ERR_FAILED, "out of memory");
    return FETCH_FAILED;
}

static struct download_source source_of(struct fetch *fetch, struct gateway_file *file)
{
    return (struct download_source){.transfer = fetch->transfer,
                                    .file = file,
                                    .manifest = file == NULL ? NULL : fetch->manifest,
                                    .on_bytes = on_fetch_bytes,
                                    .ctx = fetch};
}

static bool is_fetch_cancelled(const struct fetch *fetch)
{
    const struct zone_watch *watch = &fetch->how.watch;

    return watch->is_cancelled != NULL && watch->is_cancelled(watch->ctx);
}

static bool on_fetch_checked(void *ctx, int64_t bytes)
{
    struct fetch *fetch = ctx;

    report_fetch(fetch, bytes, -1);
    return !is_fetch_cancelled(fetch);
}

/* Returns whether to_file is the file already; a file of another size (-1: not known) is not
 * read. */
static bool is_right_already(struct fetch *fetch, int64_t size)
{
    const struct transfer *transfer = fetch->transfer;
    const struct hash_watch watch = {on_fetch_checked, fetch};
    const struct hash_options how = {.watch = &watch};
    struct hash_result found;
    struct stat st;

    if (!transfer->is_in_folder || transfer->to_file == NULL ||
        lstat(transfer->to_file, &st) != 0 || !S_ISREG(st.st_mode) ||
        (size >= 0 && st.st_size != size))
        return false;
    fetch->phase = TRANSFER_CHECKING;
    return hash_file(fetch->store, transfer->to_file, &how, &found, ERR_IGNORED) == 0 &&
           strcmp(found.hash, transfer->uri.hash) == 0;
}

/* Takes the file at `from` as the answer, or copies it to `to_file`. */
static enum fetch_result hand_out(struct fetch *fetch, const char *from, char **path,
                                  struct err *e)
{
    const char *to_file = fetch->transfer->to_file;
    const struct download_source copy = source_of(fetch, NULL);
    struct stat st;

    if (to_file == NULL)
        return copy_found_path(from, path, e);
    if (stat(from, &st) == 0 && is_right_already(fetch, st.st_size))
        return copy_found_path(to_file, path, e);
    fetch->phase = TRANSFER_COPYING;
    if (download_copy(&copy, from, e) == 0)
        return copy_found_path(to_file, path, e);
    if (e->code != ERR_CHANGED)
        return FETCH_FAILED;
    /* Bytes that went bad here may be right elsewhere. */
    hash_cache_forget(fetch->store, from);
    return FETCH_ABSENT;
}

/* Keeps the reason why the store's copy or link cannot be used, for the error if the file is
 * nowhere else. */
static void remember_unusable(struct fetch *fetch, const struct store_entry *entry)
{
    struct err *why = &fetch->unusable;
    int fd;

    if (entry->path == NULL) {
        err_set(why, ERR_FAILED, "the link cannot be read");
        return;
    }
    if (entry->state == STORE_STALE) {
        err_set(why, ERR_CHANGED, "%s has changed since", entry->path);
        return;
    }
    fd = open(entry->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0) {
        err_set(why, ERR_FAILED, "%s cannot be used", entry->path);
        close(fd);
        return;
    }
    err_errno(why, ERR_FAILED, errno, "%s", entry->path);
    cause_explain(entry->path, why);
}

static enum fetch_result look_in_store(struct fetch *fetch, char **path, struct err *e)
{
    enum fetch_result result = FETCH_ABSENT;
    const struct hash_watch watch = {on_fetch_checked, fetch};
    struct store_entry entry = {0};

    fetch->phase = TRANSFER_CHECKING; /* of a link whose file was touched */
    if (store_find(fetch->store, &fetch->transfer->uri, &watch, &entry, e) != 0)
        return FETCH_FAILED;
    if (entry.state == STORE_OK)
        result = hand_out(fetch, entry.path, path, e);
    else if (entry.kind == STORE_LINK && entry.state != STORE_ABSENT)
        remember_unusable(fetch, &entry);
    store_entry_deinit(&entry);
    return result;
}

static bool covers_all(const struct bucket_range *range, int64_t size)
{
    return range->start == 0 && (range->end < 0 || (size >= 0 && range->end >= size));
}

static enum fetch_result give_range(struct fetch *fetch, const struct gateway_file *file,
                                    struct err *e)
{
    struct bucket_range range = *fetch->transfer->range;
    struct err why = {0};

    range.on_bytes = on_fetch_bytes;
    range.on_bytes_ctx = fetch;
    fetch->phase = TRANSFER_DOWNLOADING;
    int result = fetch->manifest != NULL
                     ? hub_read_range(fetch->manifest, file, &range, &why)
                     : bucket_range_get(fetch->gateway, &fetch->how, fetch->transfer->uri.hash,
                                        file, &range, &why);
    if (result == 0)
        return FETCH_FOUND;
    err_copy(e, &why);
    return why.code == ERR_NOT_FOUND ? FETCH_ABSENT : FETCH_FAILED;
}

static enum fetch_result download_file(struct fetch *fetch, struct gateway_file *file, char **path,
                                       struct err *e)
{
    const struct transfer *transfer = fetch->transfer;
    const struct download_source source = source_of(fetch, file);
    enum fetch_result result = FETCH_FAILED;
    char *stored = NULL;
    struct err why = {0};

    if (transfer->range != NULL && !covers_all(transfer->range, file->size)) {
        *path = NULL;
        return give_range(fetch, file, e);
    }
    if (is_right_already(fetch, file->size))
        return copy_found_path(transfer->to_file, path, e);
    fetch->phase = TRANSFER_DOWNLOADING;
    if (transfer->to_file == NULL || transfer->keeps_copy) {
        if (download_to_store(fetch->gateway, &fetch->how, fetch->store, &source, &stored,
                              &why) == 0)
            result = hand_out(fetch, stored, path, &why);
    } else if (download_to_file(fetch->gateway, &fetch->how, &source, &why) == 0) {
        result = copy_found_path(transfer->to_file, path, &why);
    }
    free(stored);
    if (result == FETCH_FOUND)
        return result;
    err_copy(e, &why);
    /* A gateway may answer "found" for a while after the object is gone (PROTOCOL.md §3). */
    return why.code == ERR_NOT_FOUND ? FETCH_ABSENT : FETCH_FAILED;
}

static void on_building(void *ctx, int64_t done, int64_t size)
{
    struct fetch *fetch = ctx;

    fetch->phase = TRANSFER_BUILDING;
    report_fetch(fetch, done, size);
}

static void on_host_away(void *ctx)
{
    struct fetch *fetch = ctx;

    fetch->phase = TRANSFER_WAITING_FOR_HOST;
    report_fetch(fetch, 0, -1);
}

/* Returns whether another source of the file may help. Bytes of a range that the caller has are not
 * given again. */
static bool may_be_elsewhere(const struct fetch *fetch, const struct err *why)
{
    return (fetch->transfer->range == NULL || fetch->bytes == 0) &&
           (why->code == ERR_CHANGED || why->code == ERR_NETWORK || why->code == ERR_TIMEOUT);
}

/* Downloads what the hub has, each block checked where that is possible. */
static enum fetch_result download_proven(struct fetch *fetch, struct gateway_file *file,
                                         const struct hub_file *found, char **path, struct err *e)
{
    const struct transfer *transfer = fetch->transfer;
    struct gateway *g = fetch->gateway;
    struct hub_manifest manifest = {.gateway = g};
    enum fetch_result result = FETCH_FAILED;

    if (!hub_file_is_provable(g, found))
        return download_file(fetch, file, path, e);
    if (hub_manifest_open(&manifest, g, &fetch->how, transfer->uri.hash, str_of(file->url), found,
                          transfer->range == NULL ? 0 : transfer->range->start, e) == 0) {
        fetch->manifest = &manifest;
        result = download_file(fetch, file, path, e);
        fetch->manifest = NULL;
        if (transfer->range != NULL)
            *transfer->is_proven = result == FETCH_FOUND || fetch->bytes > 0;
    } else if (e->code == ERR_NOT_FOUND) {
        result = FETCH_ABSENT;
    }
    hub_manifest_close(&manifest);
    return result;
}

static bool has_resource_to_ask(const struct transfer *transfer)
{
    return !transfer->no_request &&
           (transfer->resource != NULL || env_get("KACHERY_RESOURCE_URL") != NULL);
}

/* Reads the file from a host as it is: one that is away is waited for where no resource can be
 * asked, which may have the file now. Without it there, and without an answer, the resource may
 * still be of help. */
static enum fetch_result read_from_host(struct fetch *fetch, struct gateway_file *file,
                                        char **path, struct err *e)
{
    const struct transfer *transfer = fetch->transfer;
    const struct hub_file_wait wait = {.every_ms = transfer->ask_every_ms,
                                       .on_building = on_building,
                                       .on_away = has_resource_to_ask(transfer) ? NULL
                                                                                : on_host_away,
                                       .ctx = fetch};
    struct hub_file found;
    enum fetch_result result;
    struct err why = {0};

    if (hub_file_wait(fetch->gateway, &fetch->how.watch, str_of(file->url), &wait, &found,
                      &fetch->unread) != 0)
        return is_fetch_cancelled(fetch) ? err_set(e, ERR_FAILED, "cancelled"),
               FETCH_FAILED              : FETCH_ABSENT;
    if (found.state == HUB_FILE_ABSENT)
        return FETCH_ABSENT;
    file->size = found.size;
    fetch->is_shown = true;
    result = download_proven(fetch, file, &found, path, &why);
    if (result == FETCH_FAILED && !is_fetch_cancelled(fetch) && may_be_elsewhere(fetch, &why)) {
        fetch->unread = why;
        return FETCH_ABSENT;
    }
    if (result != FETCH_FOUND)
        err_copy(e, &why);
    return result;
}

/* Looks below /f/ of a hub that reads from hosts. */
static enum fetch_result look_below_hub(struct fetch *fetch, char **path, struct err *e)
{
    struct gateway_file file = {.is_found = true, .size = -1};
    struct buf url = {0};
    enum fetch_result result = FETCH_FAILED;

    if (!hub_file_is_served(fetch->gateway))
        return FETCH_ABSENT;
    hub_file_put_url(fetch->gateway, fetch->transfer->uri.hash, &url);
    if (buf_check(&url, e) == 0 && (file.url = buf_take(&url)) == NULL)
        err_set(e, ERR_FAILED, "out of memory");
    if (file.url != NULL)
        result = read_from_host(fetch, &file, path, e);
    buf_wipe(&url);
    gateway_file_deinit(&file);
    return result;
}

/* Looks at the address that the hub gives to those who may read, where not everybody may. */
static enum fetch_result look_with_pass(struct fetch *fetch, char **path, struct err *e)
{
    struct gateway_file file = {.is_found = true, .size = -1};
    enum fetch_result result = FETCH_ABSENT;

    if (gateway_has_announced(fetch->gateway, EXTENSIONS_PASSES) &&
        gateway_read_url(fetch->gateway, &fetch->how, fetch->transfer->uri.hash, &file.url,
                         ERR_IGNORED) == 0 &&
        hub_file_has_pass(str_of(file.url)))
        result = read_from_host(fetch, &file, path, e);
    gateway_file_deinit(&file);
    return result;
}

/* Prints a part of an object by the hub's manifest of it, where the hub has one; else as the bucket
 * has it. */
static enum fetch_result read_object_range(struct fetch *fetch, struct gateway_file *file,
                                           char **path, struct err *e)
{
    enum fetch_result result = FETCH_ABSENT;

    if (gateway_has_announced(fetch->gateway, EXTENSIONS_MANIFESTS))
        result = look_below_hub(fetch, path, e);
    if (result == FETCH_ABSENT && !fetch->is_shown && fetch->unread.code == ERR_NONE)
        result = look_with_pass(fetch, path, e);
    if (result != FETCH_ABSENT)
        return result;
    if (!fetch->is_shown && fetch->unread.code == ERR_NONE)
        return download_file(fetch, file, path, e);
    /* Bytes that are not proven are no better. */
    if (fetch->unread.code == ERR_NONE)
        err_set(e, ERR_CHANGED, "the hub does not have the bytes of this part any more");
    else
        err_copy(e, &fetch->unread);
    fetch->unread = (struct err){0};
    return FETCH_FAILED;
}

static enum fetch_result look_in_zone(struct fetch *fetch, char **path, struct err *e)
{
    enum fetch_result result = FETCH_ABSENT;
    struct gateway_file file = {0};

    fetch->phase = TRANSFER_ASKING_ZONE;
    report_fetch(fetch, 0, -1);
    if (gateway_find_file(fetch->gateway, &fetch->how, fetch->transfer->uri.hash, &file, e) != 0)
        return FETCH_FAILED;
    if (hub_file_is_at_host(fetch->gateway, &file))
        result = read_from_host(fetch, &file, path, e);
    else if (file.is_found && fetch->transfer->range != NULL)
        result = read_object_range(fetch, &file, path, e);
    else if (file.is_found)
        result = download_file(fetch, &file, path, e);
    gateway_file_deinit(&file);
    return result;
}

/* The daemon reported that the file is in the zone now. */
static enum fetch_result take_uploaded(struct fetch *fetch, const struct resource *resource,
                                       char **path, struct err *e)
{
    const enum zone_patience before = fetch->how.patience;
    enum fetch_result result;

    /* The host's work is not given up for a gateway that is away. */
    fetch->how.patience = ZONE_WORKING;
    result = look_in_zone(fetch, path, e);
    fetch->how.patience = before;
    if (result != FETCH_ABSENT)
        return result;
    err_set(e, ERR_FAILED,
            "resource \"%s\" says that it uploaded the file, but the zone \"%s\" does not have it",
            resource->name, fetch->gateway->zone);
    return FETCH_FAILED;
}

static enum fetch_result ask_resource_for_file(struct fetch *fetch, struct resource *resource,
                                               char **path, struct err *e)
{
    struct resource_wait wait = {.every_ms = fetch->transfer->ask_every_ms,
                                 .deadline_ms = CLOCK_NEVER_MS,
                                 .gateway = fetch->gateway,
                                 .watch = &fetch->how.watch,
                                 .on_status = on_upload_status,
                                 .ctx = fetch};
    enum fetch_result result = FETCH_FAILED;
    struct upload_status status;
    struct buf text = {0};
    struct err why = {0};

    if (resource_request_wait(resource, fetch->transfer->uri.hash, &wait, &status, &text, &why) !=
        0) {
        /* Not connected is not the same as not having the file. */
        err_from(e, why.code == ERR_NOT_FOUND ? ERR_REFUSED : why.code, &why);
    } else if (status.state == UPLOAD_NOT_FOUND) {
        result = FETCH_ABSENT;
    } else if (status.state == UPLOAD_ERROR) {
        err_set(e, ERR_REFUSED, "resource \"%s\": %.*s", resource->name, STR_ARG(status.error));
    } else {
        result = take_uploaded(fetch, resource, path, e);
    }
    buf_free(&text);
    return result;
}

static enum fetch_result look_at_resource(struct fetch *fetch, char **path, struct err *e)
{
    const struct transfer *transfer = fetch->transfer;
    const char *url = fetch->gateway->shown, *zone = fetch->gateway->zone;
    enum fetch_result result = FETCH_FAILED;
    struct resource resource = {0};
    struct err why = {0};

    if (!has_resource_to_ask(transfer)) {
        err_set(e, ERR_NOT_FOUND, "not in the local store, not in the zone \"%s\" of %s%s", zone,
                url,
                transfer->no_request ? "" : "; no resource to ask: see KACHERY_RESOURCE_URL");
        return FETCH_ABSENT;
    }
    fetch->phase = TRANSFER_ASKING_RESOURCE;
    report_fetch(fetch, 0, -1);
    if (resource_init(&resource, fetch->gateway, &fetch->how, transfer->resource, &why) != 0) {
        err_from(e, why.code == ERR_NOT_FOUND ? ERR_FAILED : why.code, &why);
        return FETCH_FAILED;
    }
    result = ask_resource_for_file(fetch, &resource, path, e);
    if (result == FETCH_ABSENT)
        err_set(e, ERR_NOT_FOUND,
                "not in the local store, not in the zone \"%s\", not at resource \"%s\"", zone,
                resource.name);
    resource_deinit(&resource);
    return result;
}

int fetch_file(struct gateway *g, const struct zone_call *how, const struct store *s,
               const struct transfer *transfer, char **path, struct err *e)
{
    struct fetch fetch = {.gateway = g, .how = *how, .store = s, .transfer = transfer};
    enum fetch_result result;
    struct err here = {0};

    /* Before anybody uploads or waits for anything. */
    if (transfer->to_file != NULL &&
        download_check_file(transfer->to_file, transfer->is_in_folder, e) != 0)
        return -1;
    if (transfer->has_size && is_right_already(&fetch, transfer->size))
        return copy_found_path(transfer->to_file, path, e) == FETCH_FOUND ? 0 : -1;
    result = look_in_store(&fetch, path, &here);
    if (result == FETCH_FAILED)
        err_copy(e, &here);
    if (result == FETCH_ABSENT && transfer->known_at != NULL &&
        hand_out(&fetch, transfer->known_at, path, &here) == FETCH_FOUND)
        return 0;
    if (result == FETCH_ABSENT)
        result = look_in_zone(&fetch, path, e);
    if (result == FETCH_ABSENT)
        result = look_below_hub(&fetch, path, e);
    if (result == FETCH_ABSENT)
        result = look_at_resource(&fetch, path, e);
    if (result == FETCH_ABSENT && here.code != ERR_NONE)
        err_copy(e, &here);
    if (result != FETCH_FOUND && fetch.unread.code != ERR_NONE) {
        const struct err told = *e;
        const bool is_there = told.code == ERR_NOT_FOUND && fetch.unread.code == ERR_CHANGED;
        err_set(e, is_there ? ERR_CHANGED : told.code, "%s; %s", told.msg, fetch.unread.msg);
    }
    if (result != FETCH_FOUND && fetch.unusable.code != ERR_NONE) {
        const struct err told = *e;
        err_set(e, told.code, "%s; it was linked here, but %s", told.msg, fetch.unusable.msg);
    }
    return result == FETCH_FOUND ? 0 : -1;
}
