/*
 * The text messages about ranges (EXTENSIONS.md §3). On a daemon's session with its hub:
 *     extensions {names}                         both ways: what the sender understands (§1)
 *     openLine {ticket, class}                   hub: dial a line and show the ticket there
 *     askFile {askId, sha1}                      hub: is this file there?
 *     fileIs {askId, status, size, root, done, text}   daemon: the answer
 * On a line, a WebSocket of a range worker, beside the binary messages of line.h:
 *     line {ticket}                              worker: the first message
 *     open {fileId, sha1, first, also, request, asker}  hub; leaves `first` and `also` are sent as
 *         data of requests request, request + 1, …, behind the pages that they are in
 *     opened {fileId, size, root, clientId, time, signature}   worker
 *     refused {fileId, reason, done, text}       worker
 *     close {fileId}, pages {fileId}, page {fileId, page}      hub
 * Sans-I/O.
 */
#ifndef PROTO_RANGE_MESSAGE_H
#define PROTO_RANGE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

/* The name by which both announce what stands here. */
#define RANGE_EXTENSION "ranges"

/* In the handshake of a line: the ticket; in the answer: that it was taken. */
#define RANGE_LINE_HEADER "Kachery-Line"

enum {
    RANGE_TICKET_DIGITS = 32,
    RANGE_ROOT_DIGITS = 64,
    RANGE_MAX_NAMES = 32,      /* of an `extensions` message */
    RANGE_MAX_NAME_BYTES = 64,
    RANGE_MAX_ALSO = 64,       /* leaves that an `open` asks for besides the first */
    RANGE_MAX_TEXT_BYTES = 512
};

enum range_message_type {
    RANGE_EXTENSIONS,
    RANGE_OPEN_LINE,
    RANGE_ASK_FILE,
    RANGE_FILE_IS,
    RANGE_LINE,
    RANGE_OPEN,
    RANGE_OPENED,
    RANGE_REFUSED,
    RANGE_CLOSE,
    RANGE_PAGES,
    RANGE_PAGE,
    RANGE_NONE /* a JSON object that is none of these */
};

/* The state of a file at a daemon: `status` of fileIs, `reason` of refused (but for FOUND). */
enum range_state {
    RANGE_FOUND,
    RANGE_NOT_FOUND,
    RANGE_BUILDING, /* its manifest is being made: `done` bytes of `size` */
    RANGE_CHANGED,
    RANGE_ERROR
};

enum range_class { RANGE_BULK, RANGE_SMALL };

/* Members that its type lacks are 0, empty, or -1 where 0 means something. Strings are borrowed
 * from `doc`, or from the writer. */
struct range_message {
    struct json *doc; /* of one that was parsed */
    enum range_message_type type;
    struct str ticket;
    enum range_class line_class;
    int64_t ask_id, file_id; /* file_id fits 32 bits */
    struct str sha1;         /* 40 digits */
    enum range_state state;
    int64_t size, done; /* bytes; -1: unknown */
    struct str root;    /* 64 digits; empty: the file is one block, or it is not known */
    struct str text;    /* for logs */
    int64_t first;      /* leaf; -1: none */
    int64_t request;    /* of the first leaf that an `open` names */
    const uint32_t *also;
    size_t also_count;
    struct str asker;   /* of an `open`: the address of the reader; empty: not known */
    uint32_t also_parsed[RANGE_MAX_ALSO]; /* `also` of one that was parsed */
    int64_t page;
    struct str client_id; /* 64 digits */
    int64_t time_ms;      /* since the epoch */
    struct str signature; /* 128 digits */
};

/* Returns a message of that type, whose other members are absent. */
struct range_message range_message(enum range_message_type type);

/*
 * Parses one message of the session or line. A type that is not known, and an object without
 * `type`, are RANGE_NONE. Members that are not known are passed over. ERR_PROTOCOL for what is no
 * JSON object, and for a known type whose member is absent or bad. Free with
 * range_message_deinit; the struct must not be moved in between.
 */
int range_message_parse(struct range_message *m, struct str text, struct err *e) ERR_CHECKED;
void range_message_deinit(struct range_message *m);

/* Returns whether an `extensions` message has the name. */
bool range_message_has(const struct range_message *m, const char *name);

/* Appends the message as JSON. Of RANGE_EXTENSIONS: with RANGE_EXTENSION as the only name. */
void range_message_put(struct buf *out, const struct range_message *m);

/* Appends the text that an `opened` signs: what the file is, for which zone and resource, at what
 * time. */
void range_message_put_signed(struct buf *out, const struct range_message *opened, struct str zone,
                              struct str resource_name, struct str sha1);

#endif
