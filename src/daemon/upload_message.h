/*
 * The messages between the supervisor and an upload worker, each with the job's id.
 *
 *     to it:    upload (hash), go (its turn is there: in answer to begun), credit (bytes that it
 *               may send, unsent: see meter.h; in answer to asks)
 *     from it:  begun (the first bytes are read), asks (it may send no more), progress (bytes: less
 *               than before when it begins anew; at most every 100 ms), note (hash, text: for the
 *               log), warning (text: of no file), and as the last one completed (hash, size,
 *               existed, ms) or failed (hash; reason: in words for a remote person; detail: for
 *               this host's log alone), both with isSpent: it should get no further job
 */
#ifndef DAEMON_UPLOAD_MESSAGE_H
#define DAEMON_UPLOAD_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum upload_message_type {
    UPLOAD_MESSAGE_UPLOAD,
    UPLOAD_MESSAGE_GO,
    UPLOAD_MESSAGE_BEGUN,
    UPLOAD_MESSAGE_PROGRESS,
    UPLOAD_MESSAGE_NOTE,
    UPLOAD_MESSAGE_WARNING,
    UPLOAD_MESSAGE_COMPLETED,
    UPLOAD_MESSAGE_FAILED,
    UPLOAD_MESSAGE_ASKS,
    UPLOAD_MESSAGE_CREDIT
};

/* Texts are borrowed. */
struct upload_message {
    enum upload_message_type type;
    int64_t id, bytes, unsent, size, ms;
    struct str hash, text, reason, detail;
    bool existed, is_spent;
};

/* Replaces *out. */
void upload_message_put(struct buf *out, const struct upload_message *m);

/* Reads a message; its texts are borrowed from the document. */
int upload_message_read(struct upload_message *m, const struct json *doc, struct err *e)
    ERR_CHECKED;

#endif
