/*
 * The notes of a crew between the hub's main process and its relays (relay.h):
 *     ask {id, sha1, zone}              relay: which daemons of the zone have this file?
 *     is {id, daemon, status, size, root, done}   hub: one daemon's answer
 *     asked {id, asked, away, daemon}   hub: so many were asked (`daemon`: the only one); so many
 *                                       were here lately and may come back
 *     line {id, daemon, class}          relay: a line of that daemon
 *     line {id, daemon, class, name, zone, asker}   hub, with the connection, behind this note
 *     no-line {id, daemon, class}       hub: there is none
 *     gone {daemon}                     hub: it left
 *     find {id, sha1, zone}             a gateway's worker: can this file be read now?
 *     found {id, size}                  hub: it can; without `size`: not that it knows
 * `daemon` is the hub's number for the connection of a daemon; it is never used twice. Sans-I/O.
 */
#ifndef PROXY_RELAY_NOTE_H
#define PROXY_RELAY_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "proto/range_message.h"

enum relay_note_type {
    RELAY_ASK,
    RELAY_IS,
    RELAY_ASKED,
    RELAY_LINE,
    RELAY_NO_LINE,
    RELAY_GONE,
    RELAY_FIND,
    RELAY_FOUND
};

/* Strings are borrowed from `doc`, or from the writer. */
struct relay_note {
    struct json *doc; /* of one that was parsed */
    enum relay_note_type type;
    int64_t daemon;
    struct str sha1, root;
    enum range_state state;
    int64_t size, done; /* -1: not told */
    int64_t asked, away;
    enum range_class line_class;
    struct str name, zone; /* of the daemon that a line belongs to; zone: also of a file */
    bool has_asker;        /* of a line: its daemon knows the asker of an opening */
    struct str early;      /* bytes that were read of the line behind its first message */
};

/* Returns an empty note of that type. */
struct relay_note relay_note(enum relay_note_type type);

/* Parses a note, whose `early` bytes stand behind the JSON and a LF and are borrowed from `bytes`.
 * ERR_PROTOCOL if it is none. The caller frees with relay_note_deinit. */
int relay_note_parse(struct relay_note *note, struct str bytes, struct err *e) ERR_CHECKED;
void relay_note_deinit(struct relay_note *note);

/* Appends the bytes of a note. */
void relay_note_put(struct buf *out, const struct relay_note *note);

#endif
