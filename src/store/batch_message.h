/*
 * The messages between a batch and its worker processes, each with the job's id.
 *
 *     to it:    work (paths of files, how they are opened, whether beside other work)
 *     from it:  bytes (so many of the job's files in hand were read) now and then, and once at the
 *               beginning of a job that is begun beside others; for each file, by the index of its
 *               path, hashed or failed (code, text)
 */
#ifndef STORE_BATCH_MESSAGE_H
#define STORE_BATCH_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum batch_message_type {
    BATCH_MESSAGE_WORK,
    BATCH_MESSAGE_BYTES,
    BATCH_MESSAGE_HASHED,
    BATCH_MESSAGE_FAILED
};

/* Texts and values are borrowed. */
struct batch_message {
    enum batch_message_type type;
    int64_t id;
    /* WORK: struct follow, strings */
    int64_t follow_kind, root_len;
    uint64_t root_device, root_inode;
    bool is_alone; /* no other file is in hand meanwhile */
    const struct json *paths;
    int64_t bytes; /* BYTES */
    int64_t index; /* HASHED, FAILED */
    /* HASHED: struct add_staged */
    struct str hash, suffix, manifest;
    int64_t manifest_state; /* enum manifest_file_state */
    int64_t size;
    double mtime;
    uint64_t device, inode, owner;
    /* FAILED */
    int64_t code; /* enum err_code */
    struct str text;
};

/* Replaces *out. Of a WORK message the paths follow: batch_message_put_path for each, then
 * batch_message_end_paths. */
void batch_message_put(struct buf *out, const struct batch_message *m);
void batch_message_put_path(struct buf *out, const char *path);
void batch_message_end_paths(struct buf *out);

/* Reads a message; texts and values are borrowed from the document, which was parsed with
 * JSON_SURROGATE_ESCAPE. */
int batch_message_read(struct batch_message *m, const struct json *doc, struct err *e) ERR_CHECKED;

#endif
