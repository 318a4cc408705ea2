/*
 * A process of `load` that gets files: forked by a pool, reads numbered jobs, answers each with
 * its results. It writes files and asks the network; it prints nothing.
 */
#ifndef CMD_LOAD_WORKER_H
#define CMD_LOAD_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/kachery_uri.h"
#include "zone/transfer.h"

enum { LOAD_WORKER_REPORT_MS = 100 };

/* One URI of the call. */
struct load_entry {
    char *text;             /* as given */
    struct kachery_uri uri; /* borrows from text */
    char *to_file;          /* NULL: the local store */
    /* Of a file that a folder index names: the length of the folder's name in to_file, behind which
     * nothing may lead out of it; else 0. Its text is NULL, its size known. */
    size_t below;
    size_t twin;            /* an earlier entry whose result is this one's too, or LOAD_NONE */
    bool is_first;          /* of its hash */
    size_t next;            /* the next entry of the same hash, which the same job gets */
    bool is_done;
    enum err_code code;
    char *path; /* when it is done, and got */
    /* Of a hash's first: what its job was heard to be at. */
    bool is_begun;
    enum transfer_phase phase;
    int64_t bytes, size;
};

#define LOAD_NONE SIZE_MAX

/* The input of the workers, complete before the first is forked. A job is the index of the first
 * entry of a hash; the messages: load_message.h. */
struct load_job {
    const char *name;   /* of the command */
    const char *folder; /* as in struct load_list_options */
    struct load_entry *entries;
    const struct transfer *each; /* as in struct load_list_options */
};

/* Does jobs from the socket `fd` until its end, as the process.run of a pool; `ctx` is a struct
 * load_job. Returns the exit status. */
int load_worker_run(int fd, void *ctx);

#endif
