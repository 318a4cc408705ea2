/*
 * The options of the transfer of one file. A command fills them in, and a pointer to them goes down
 * through fetch and download to the part; a layer keeps what it adds itself in a struct of its own.
 */
#ifndef ZONE_TRANSFER_H
#define ZONE_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/kachery_uri.h"

struct bucket_range;

enum transfer_phase {
    TRANSFER_ASKING_ZONE,
    TRANSFER_ASKING_RESOURCE,
    TRANSFER_QUEUED,
    TRANSFER_UPLOADING,
    TRANSFER_WAITING_FOR_HOST, /* it may have the file, and is away */
    TRANSFER_BUILDING, /* it is read from the host as it is, which prepares that */
    TRANSFER_CHECKING, /* a file that is there already; from here on the bytes are here */
    TRANSFER_COPYING,
    TRANSFER_DOWNLOADING
};

/* All zeros but for `uri`: the file comes into the local store, from wherever it is. Everything
 * that members point to is borrowed. */
struct transfer {
    struct kachery_uri uri; /* of the file: the bytes must have its hash */
    const char *resource;   /* URL or name; NULL: KACHERY_RESOURCE_URL */
    bool no_request;        /* do not ask any resource */
    int64_t max_bytes;      /* of a download; 0: any size that is known, else PART_MAX_BYTES */
    const char *to_file;    /* NULL: into the local store */
    /* The user named only the folder of to_file: a symbolic link there is replaced, not followed,
     * and a file that is the right one already is kept. */
    bool is_in_folder;
    const char *known_at; /* where the file was a moment ago, or NULL: looked at before the zone */
    bool has_size;        /* the caller knows the size: with is_in_folder, to_file is looked at */
    int64_t size;         /* before anything is asked */
    bool keeps_copy;      /* a download goes into the local store also with to_file */
    /* Only this part of the file is wanted, and nothing is stored; NULL: all. Where the file is
     * here or the part is all of it, the caller takes the part from the path of the result. */
    const struct bucket_range *range;
    bool *is_proven; /* set when `range` was checked by a manifest; may be NULL without range */
    bool is_quiet;   /* the command shows no bar and reports no repetition of a call */
    int64_t ask_every_ms; /* how often the host's progress is asked for */
    /* Told the phase in hand and its bytes so far; size -1: unknown. May be NULL. */
    void (*on_progress)(void *ctx, enum transfer_phase phase, int64_t bytes, int64_t size);
    /* Told the name of a file that no later run can use, then NULL: for signal handlers. May be
     * NULL. */
    void (*on_temporary)(void *ctx, const char *temporary);
    void *ctx; /* for both */
};

#endif
