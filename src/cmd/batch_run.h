/*
 * The loop around a batch, in which a command blocks: feeds it, shows progress, stops on signals
 * without leaving anything half-done behind.
 */
#ifndef CMD_BATCH_RUN_H
#define CMD_BATCH_RUN_H

#include "cmd/progress.h"
#include "store/batch.h"

enum batch_run_step { BATCH_RUN_ITEM, BATCH_RUN_WAIT, BATCH_RUN_END };

struct batch_run {
    const char *what; /* for the progress line, e.g. "linking" */
    bool is_quiet;
    const struct store *store;
    enum batch_work work;
    bool makes_manifests; /* as in batch_options */
    unsigned jobs; /* 0: one per core */
    void *owner;
    /* Fills the next item; BATCH_RUN_WAIT: none until `wait_fd` is readable. */
    enum batch_run_step (*next)(void *owner, struct batch_item *item);
    int wait_fd;
    /* Looks ahead a little to learn the totals, of which an ETA is made: adds to files and bytes,
     * true when all were seen. Called only when progress is shown. NULL: cannot be told. */
    bool (*look_ahead)(void *owner, uint64_t *files, uint64_t *bytes);
    /* In the order of the input. The progress line is out of the way. */
    void (*on_result)(void *owner, struct batch_item *item);

    struct progress progress; /* the rest is batch_run's own */
};

/* Runs the batch to its end and returns 0; -1 and *e when it cannot go on; the number of the signal
 * that ended it: then everything is put away, and the caller flushes its output and calls
 * ending_die. */
int batch_run(struct batch_run *run, struct err *e);

#endif
