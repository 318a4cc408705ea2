/*
 * Work on many files with all cores: files are hashed (and copied) by a pool of processes, the
 * results come back in the order of the input, and what is added to the store is made durable for
 * many files at once. A result is reported when it is durable and visible.
 */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "store/add.h"
#include "store/batch_options.h"
#include "store/store.h"

enum {
    BATCH_WINDOW = 4096,  /* files that may be in hand, and so the order's memory */
    BATCH_COMMIT_MS = 500 /* results wait at most so long for others to share a sync */
};

struct batch_item {
    /* From the caller: */
    char *path;              /* owned; absolute */
    struct follow follow;    /* how it is opened */
    int64_t size;            /* as far as it is known: tells small work from large. Then the real */
    size_t tree;                       /* for the caller's own use */
    struct store_entry about;          /* owned; likewise with BATCH_HASH */
    char wanted_hash[SHA1_HEX + 1];    /* likewise */
    /* The result: */
    char hash[SHA1_HEX + 1];
    double mtime; /* of the file that was read (0 for a copy) */
    struct file_id id; /* likewise */
    enum manifest_file_state manifest; /* with BATCH_HASH */
    enum err_code code; /* ERR_NONE, or: */
    char *error;        /* the cause, without the path; owned */

    enum { BATCH_WAITING, BATCH_GIVEN, BATCH_DONE } progress; /* the rest is the batch's own */
    bool is_alone; /* to be given to a worker with no other file in hand */
    struct add_staged staged;
};

struct batch;

/* Makes a batch without workers; the options are copied. NULL with ERR_FAILED without memory. */
struct batch *batch_new(const struct batch_options *options, struct err *e);

/* Gives up what is in hand: nothing of it becomes visible or is left behind. Runs the loop
 * meanwhile, so it is called outside of all callbacks, and wakes nobody. NULL-safe. */
void batch_free(struct batch *batch);

/* Returns true when batch_add may be called. */
bool batch_has_room(const struct batch *batch);

/* Appends a file; everything that the item owns is taken over. With item->error set there is
 * nothing to do, it is a result that waits for its turn. */
void batch_add(struct batch *batch, struct batch_item *item);

/* Returns true when every result was reported. */
bool batch_is_empty(const struct batch *batch);

/* Return the bytes read up to now, and the files done. */
uint64_t batch_bytes(const struct batch *batch);
uint64_t batch_files(const struct batch *batch);

/* Goes on: gives the added files to the workers, commits and reports results. `is_more_at_hand`:
 * the caller will add files at once, so that small ones are best given together and results best
 * reported together. Callbacks run inside. -1 when no process can be started. */
int batch_step(struct batch *batch, bool is_more_at_hand, struct err *e) ERR_CHECKED;

/* Sets an item's error. */
void batch_item_fail(struct batch_item *item, const struct err *e);

#endif
