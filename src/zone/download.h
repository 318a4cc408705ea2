/*
 * Downloads one object from the zone's bucket: hashed on the way, visible only when right. An
 * interrupted download stays beside its place as <hash>.part, for the next run.
 */
#ifndef ZONE_DOWNLOAD_H
#define ZONE_DOWNLOAD_H

#include "store/store.h"
#include "zone/gateway.h"
#include "zone/hub_manifest.h"

struct download_options {
    const char *hash;
    struct gateway_file *file; /* found answer: URL, size */
    struct hub_manifest *manifest; /* checks each block of it, or NULL */
    bool replaces_links;       /* a symbolic link at the path is replaced, not followed */
    int64_t max_bytes;         /* as in struct part_options */
    void (*on_progress)(void *ctx, int64_t bytes, int64_t size); /* may be NULL; size -1: unknown */
    /* Told the name of a file that no later run can use, then NULL: for signal handlers. May be
     * NULL. */
    void (*on_temporary)(void *ctx, const char *temporary);
    void *ctx;
};

/* Downloads into the local store; *path (caller frees) is the copy's. ERR_CHANGED when the bytes do
 * not have the hash; then, and when they cannot be written, nothing is left behind. */
int download_to_store(struct gateway *g, const struct zone_call *how, const struct store *s,
                      const struct download_options *options, char **path, struct err *e)
    ERR_CHECKED;

/* Downloads to `path`, written beside it and renamed; no store copy. Follows a symbolic link.
 * ERR_USAGE when `path` is there and no regular file. */
int download_to_file(struct gateway *g, const struct zone_call *how,
                     const struct download_options *options, const char *path,
                     struct err *e) ERR_CHECKED;

/* Checks that download_to_file can write `path`, as far as can be seen without trying. */
int download_check_file(const char *path, bool replaces_links, struct err *e) ERR_CHECKED;

/* Refuses a folder behind a link that a stranger may have made: see place.h. */
int download_check_folder(const char *folder, struct err *e) ERR_CHECKED;

/* Copies a file of the local store to `path` in the same way (options->file is NULL) and hashes it
 * on the way. */
int download_copy(const struct download_options *options, const char *from, const char *path,
                  struct err *e) ERR_CHECKED;

#endif
