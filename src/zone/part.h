/*
 * The file of a download before it is complete: <hash>.part beside its final place (the Python
 * client ignores such names), locked by who writes it, kept when the download is interrupted, and
 * trusted only after the hash of all its bytes is right. While another process holds it, or
 * when it is not our user's, a temporary file of our own.
 */
#ifndef ZONE_PART_H
#define ZONE_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "base/str.h"
#include "zone/patience.h"
#include "zone/transfer.h"

struct hasher;

/* The limit for a file of unknown size: the limit of deployed zones (PROTOCOL.md §3). */
#define PART_MAX_BYTES INT64_C(5000000000)

/* The place of a part, and who hears of its bytes: the layer above adds it to the transfer. */
struct part_target {
    const char *final; /* the path in the end; its folder exists */
    const char *shown; /* for messages: what is written */
    const char *root;  /* of the store that it is for, or NULL: see newfile.h */
    int64_t size;      /* -1: not known */
    bool is_here;      /* the bytes are copied from a file here: no limit holds */
    void (*on_bytes)(void *ctx, int64_t bytes); /* bytes there and hashed; may be NULL */
    void *ctx;
    /* Returns 1 when block i (MANIFEST_LEAF_BYTES each, the last one shorter) of an earlier time
     * has these bytes, 0 when it has others, -1 when that cannot be told: what lies before the
     * first that is wrong or short is kept. NULL: all of it is kept. */
    int (*check_block)(void *ctx, uint64_t i, struct str block, struct err *e);
    void *check_ctx;
};

struct part {
    const struct transfer *transfer; /* for the hash, max_bytes and on_temporary */
    struct part_target target;
    struct buf path;
    int fd;
    bool is_kept;   /* has the stable name, and our lock */
    bool is_spoilt; /* not to be kept after all */
    struct sha1 sha1;      /* of all bytes, unless the hasher has it */
    struct hasher *hasher; /* hashes what is added; NULL: there is none (any more) */
    bool is_tried;         /* whether there may be a hasher */
    int64_t bytes;    /* in the file, all of them hashed */
    int64_t expected; /* the size, or that of part_announce; -1: unknown */
    int64_t limit;    /* no more than that */
    int64_t written_out;
};

/* Opens and hashes what is there of an earlier time. `transfer` and what `target` points to are
 * borrowed. Caller closes in any case. */
int part_open(struct part *p, const struct transfer *transfer, const struct part_target *target,
              struct err *e) ERR_CHECKED;

/* Begins from zero in a new file, so that a process that still has the old one open does not
 * disturb. */
int part_restart(struct part *p, struct err *e) ERR_CHECKED;

/* Reports to the watch that a download goes on with the bytes of an earlier time, if it does. */
void part_note_resumed(const struct part *p, const struct zone_watch *watch);

/* Reports a full disk before the transfer, if the file system knows. */
int part_check_room(struct part *p, struct err *e) ERR_CHECKED;

/* Takes over the size that the sender announces (-1: it does not), if none was known. ERR_TOO_LARGE
 * when the user does not want so many. */
int part_announce(struct part *p, int64_t bytes, struct err *e) ERR_CHECKED;

/* Adds bytes. ERR_CHANGED when there are more than there should be, ERR_TOO_LARGE when their number
 * is unknown and above the limit. */
int part_add(struct part *p, struct str chunk, struct err *e) ERR_CHECKED;

/* Returns true when the bytes have the hash; `found` is the hash that they have. */
bool part_is_right(struct part *p, char found[SHA1_HEX + 1]);

/* Syncs it and gives it its final name, with the folder synced. */
int part_publish(struct part *p, struct err *e) ERR_CHECKED;

/* Removes a part that was not published, unless a later run can go on with it. Safe on a part that
 * could not be opened. */
void part_close(struct part *p);

#endif
