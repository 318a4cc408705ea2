/*
 * Uploading one file to the zone: first chunk before any connection (tapes and slow disks are
 * waited for here), initiate, PUT with the last 64 KiB held back until the hash is right, finalize.
 * A file that may have changed since it was linked is first hashed as a whole. Troubles that may
 * pass are met by another attempt: each opens, reads and hashes the file anew, so that the bytes
 * sent are the bytes hashed.
 */
#ifndef ZONE_UPLOAD_H
#define ZONE_UPLOAD_H

#include <sys/stat.h>

#include "zone/gateway.h"

enum {
    UPLOAD_EXPECT_BYTES = 65536, /* from this size on the bucket is asked before it is sent */
    UPLOAD_PROGRESS_MS = 100
};

struct upload_options {
    const char *hash;
    const char *path; /* for opening; appears in no error text */
    int64_t size;     /* as linked: a file of another size is not uploaded */
    /* Called with each file that was opened, before a byte of it leaves: *must_prove makes all of
     * it be read and hashed before anybody is asked where to put it; -1 refuses it. NULL: nothing
     * is asked. */
    int (*on_opened)(void *ctx, int fd, const struct stat *st, bool *must_prove, struct err *e);
    /* Called once, when the first bytes are read and before anybody is asked where to put them:
     * returns when the upload may go on, or -1 to give it up. May be NULL. */
    int (*on_begun)(void *ctx, struct err *e);
    /* Bytes that the bucket's host has; at most every 100 ms. Less than before when the upload
     * begins anew. May be NULL. */
    void (*on_progress)(void *ctx, int64_t bytes);
    void *ctx;
};

struct upload_result {
    int64_t size;
    bool already_existed; /* nothing was sent, and not all of the file was read */
    struct stat file;     /* the file that was read: for store_refresh_link */
    bool was_proven;      /* all of it was read, also when nothing was sent */
};

/*
 * Uploads the file. ERR_CHANGED: it has changed since it was linked; ERR_REFUSED: the zone refused,
 * with its reason; ERR_NETWORK; ERR_FAILED (unreadable, cancelled). Messages are for the user of
 * this host: they may name the file's hash now.
 */
int upload_file(struct gateway *g, const struct zone_call *how,
                const struct upload_options *options, struct upload_result *result,
                struct err *e) ERR_CHECKED;

#endif
