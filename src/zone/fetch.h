/* Gets a file's bytes from the first place that has them: local store → zone → a host, through a
 * hub that reads from it → ask the resource → download. */
#ifndef ZONE_FETCH_H
#define ZONE_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "store/store.h"
#include "zone/bucket_range.h"
#include "zone/gateway.h"

enum fetch_phase {
    FETCH_ASKING_ZONE,
    FETCH_ASKING_RESOURCE,
    FETCH_QUEUED,
    FETCH_UPLOADING,
    FETCH_BUILDING, /* it is read from the host as it is, which prepares that */
    FETCH_CHECKING, /* a file that is there already; from here on the bytes are here */
    FETCH_COPYING,
    FETCH_DOWNLOADING
};

struct fetch_options {
    const struct kachery_uri *uri;
    const char *resource; /* URL or name; NULL: KACHERY_RESOURCE_URL */
    bool no_request;      /* do not ask any resource */
    int64_t max_bytes;    /* of a download; as in struct part_options */
    const char *to_file;  /* NULL: into the local store */
    /* The user named only the folder of to_file: a symbolic link there is replaced, not followed,
     * and a file that is the right one already is kept. */
    bool is_in_folder;
    const char *known_at; /* where the file was a moment ago, or NULL: looked at before the zone */
    bool has_size;        /* the caller knows the size: with is_in_folder, to_file is looked at */
    int64_t size;         /* before anything is asked */
    bool keeps_copy;      /* a download goes into the local store also with to_file */
    /* Only this part of the file is wanted, and nothing is stored; NULL: all. Where the file is
     * here or the part is all of it, the caller takes the part from *path. */
    const struct bucket_range *range;
    bool *is_proven; /* set when `range` was checked by a manifest; may be NULL without range */
    int64_t ask_every_ms; /* how often the host's progress is asked for */
    void (*on_progress)(void *ctx, enum fetch_phase phase, int64_t bytes, int64_t size);
    void (*on_temporary)(void *ctx, const char *temporary); /* as in struct download_options */
    void *ctx;
};

/*
 * Sets *path (caller frees) to the copy, the linked file, or `to_file`; to NULL when options->range
 * took the bytes. ERR_NOT_FOUND names the places when the file is in none of them.
 */
int fetch_file(struct gateway *g, const struct zone_call *how, const struct store *s,
               const struct fetch_options *options, char **path, struct err *e) ERR_CHECKED;

#endif
