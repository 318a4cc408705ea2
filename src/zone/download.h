/*
 * Downloads one object from the zone's bucket: hashed on the way, visible only when right. An
 * interrupted download stays beside its place as <hash>.part, for the next run.
 */
#ifndef ZONE_DOWNLOAD_H
#define ZONE_DOWNLOAD_H

#include "store/store.h"
#include "zone/gateway.h"
#include "zone/hub_manifest.h"
#include "zone/transfer.h"

/* A transfer, and where its bytes come from. */
struct download_source {
    const struct transfer *transfer;
    struct gateway_file *file;     /* found answer: URL, size; NULL: a file that is here */
    struct hub_manifest *manifest; /* checks each block of it, or NULL */
    void (*on_bytes)(void *ctx, int64_t bytes, int64_t size); /* may be NULL; size -1: unknown */
    void *ctx;
};

/* Downloads into the local store; *path (caller frees) is the copy's. ERR_CHANGED when the bytes do
 * not have the hash; then, and when they cannot be written, nothing is left behind. */
int download_to_store(struct gateway *g, const struct zone_call *how, const struct store *s,
                      const struct download_source *source, char **path, struct err *e) ERR_CHECKED;

/* Downloads to the transfer's to_file, written beside it and renamed; no store copy. Follows a
 * symbolic link, unless the transfer is_in_folder. ERR_USAGE when it is there and no regular
 * file. */
int download_to_file(struct gateway *g, const struct zone_call *how,
                     const struct download_source *source, struct err *e) ERR_CHECKED;

/* Checks that download_to_file can write `path`, as far as can be seen without trying. */
int download_check_file(const char *path, bool replaces_links, struct err *e) ERR_CHECKED;

/* Refuses a folder behind a link that a stranger may have made: see place.h. */
int download_check_folder(const char *folder, struct err *e) ERR_CHECKED;

/* Copies the file at `from` to the transfer's to_file in the same way (source->file is NULL) and
 * hashes it on the way. */
int download_copy(const struct download_source *source, const char *from,
                  struct err *e) ERR_CHECKED;

#endif
