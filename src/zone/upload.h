/*
 * Uploading one file to the zone exactly as DESIGN.md says: first chunk before any connection,
 * initiate, PUT with the last 64 KiB held back until the hash is right, finalize.
 */
#ifndef ZONE_UPLOAD_H
#define ZONE_UPLOAD_H

#include "zone/gateway.h"

enum {
    UPLOAD_HOLD_BACK_BYTES = 65536,
    UPLOAD_CHUNK_BYTES = 262144,
    UPLOAD_PROGRESS_MS = 100,
    UPLOAD_STALL_MS = 120000, /* longer than for others: at the end a bucket may sync to disk */
    /* An older gateway's alreadyPending: asked again that often, for so long. */
    UPLOAD_PENDING_EVERY_MS = 5000,
    UPLOAD_PENDING_TOTAL_MS = 60000
};

struct upload_options {
    const char *hash;
    const char *path; /* for opening; appears in no error text */
    int64_t size;     /* as linked: a file of another size is not uploaded */
    /* Bytes that the bucket's connection took so far, when that changed; at most every 100 ms. May
     * be NULL. */
    void (*on_progress)(void *ctx, int64_t bytes);
    /* Returns true to give up (asked between chunks). May be NULL. */
    bool (*is_cancelled)(void *ctx);
    void *ctx;
};

struct upload_result {
    int64_t size;
    bool already_existed; /* nothing was sent, and not all of the file was read */
    double mtime;         /* of the file that was hashed (fs_mtime): for store_refresh_link */
};

/*
 * ERR_CHANGED: the file is not (any more) what was linked; ERR_REFUSED: the zone said no, with its
 * reason; ERR_NETWORK; ERR_FAILED (unreadable). Messages are fit for a remote person: no path.
 */
int upload_file(struct gateway *g, const struct upload_options *options,
                struct upload_result *result, struct err *e);

#endif
