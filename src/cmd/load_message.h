/*
 * The messages between `load` and its worker processes, each with the job's id: the index of the
 * first entry of a hash.
 *
 *     to it:    get
 *     from it:  progress (phase, bytes, size: -1 unknown) now and then, note (text: for the user),
 *               got (entry, path) or failed (entry, code, text) for each entry, at last end
 */
#ifndef CMD_LOAD_MESSAGE_H
#define CMD_LOAD_MESSAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum load_message_type {
    LOAD_MESSAGE_GET,
    LOAD_MESSAGE_PROGRESS,
    LOAD_MESSAGE_NOTE,
    LOAD_MESSAGE_GOT,
    LOAD_MESSAGE_FAILED,
    LOAD_MESSAGE_END
};

/* Texts are borrowed. */
struct load_message {
    enum load_message_type type;
    int64_t id, entry, bytes, size;
    int64_t phase; /* enum transfer_phase */
    int64_t code;  /* enum err_code */
    struct str path, text;
};

/* Replaces *out by the message. */
void load_message_put(struct buf *out, const struct load_message *m);

/* Reads a message, whose texts are borrowed from the document. That was parsed with
 * JSON_SURROGATE_ESCAPE. ERR_PROTOCOL for any other document. */
int load_message_read(struct load_message *m, const struct json *doc, struct err *e) ERR_CHECKED;

#endif
