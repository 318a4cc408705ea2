/*
 * The hub's main process between daemons that announced ranges, relays and the gateway
 * (EXTENSIONS.md §3): which daemon has a file, tickets for lines, and which daemons were here
 * lately. Touches no disk and no socket.
 */
#ifndef PROXY_RANGES_H
#define PROXY_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "proto/range_message.h"

enum {
    RANGES_NAME_BYTES = 256,
    RANGES_MAX_TICKETS = 256,   /* not shown yet */
    RANGES_TICKET_MS = 10000,   /* until one is shown */
    RANGES_MAX_QUESTIONS = 1024, /* not answered by all yet */
    RANGES_AWAY_MS = 600000,    /* a daemon that left may come back */
    RANGES_MAX_AWAY = 128,
    RANGES_START_MS = 45000,
    RANGES_FIND_MS = 300,         /* a gateway's worker waits so long for daemons */
    RANGES_PRESENT_MS = 600000,   /* a daemon's word that it has a file is remembered */
    RANGES_ABSENT_MS = 10000,     /* the word of all that none has it */
    RANGES_MAX_FINDINGS = 1024,   /* that wait */
    RANGES_MAX_KNOWN = 4096       /* files that are remembered */
};

struct ranges;

/* A daemon that announced ranges. */
struct ranges_daemon {
    int64_t number; /* of its connection; never used twice */
    char name[RANGES_NAME_BYTES], zone[RANGES_NAME_BYTES];
    bool has_asker; /* it has announced that it knows the field of an opening */
    void *session;
};

struct ranges_options {
    struct loop *loop;
    int64_t start_ms; /* after the start of the hub daemons are expected: RANGES_START_MS */
    /* Sends a message on a daemon's session; -1: it takes none. */
    int (*send_to_daemon)(void *owner, void *session, struct str text);
    /* Sends a note to a relay, with a copy of `fd` (-1: none); -1: it takes none. */
    int (*send_to_relay)(void *owner, uint64_t relay, uint64_t id, struct str bytes, int fd);
    /* Sends a note to a worker of the gateway. */
    void (*send_to_finder)(void *owner, uint64_t worker, uint64_t id, struct str bytes);
    /* Sends a note to all relays. */
    void (*send_to_relays)(void *owner, struct str bytes);
    void *owner;
};

/* Returns the state of a hub to which no daemon announced ranges yet. NULL without memory. */
struct ranges *ranges_new(const struct ranges_options *options, struct err *e);
void ranges_free(struct ranges *ranges); /* NULL-safe */

/* Adds a daemon that announced ranges. Returns the number by which it is known from now on; 0
 * without memory, and for a name or zone of RANGES_NAME_BYTES or more. The strings are copied. */
int64_t ranges_joined(struct ranges *ranges, void *session, const char *name, const char *zone);

/* Notes that a daemon knows the address of a reader in an opening. */
void ranges_knows_asker(struct ranges *ranges, int64_t daemon);

/* Removes a daemon whose session is over: its open questions count as answered, its tickets are
 * good no more, and all relays are notified. */
void ranges_left(struct ranges *ranges, int64_t daemon);

/* Passes the answer of a daemon (fileIs) to the relay that asked. Returns false if the daemon was
 * not asked or has answered. */
bool ranges_file_is(struct ranges *ranges, int64_t daemon, const struct range_message *m);

/* Takes a note of a relay: asks daemons for a file, or orders a line of a daemon. A malformed note
 * is logged and ignored. */
void ranges_on_note(struct ranges *ranges, uint64_t relay, uint64_t id, struct str bytes);

/* Takes a note of a worker of the gateway, RELAY_FIND. RELAY_FOUND answers it at once or within
 * RANGES_FIND_MS; a later answer of a daemon counts for the next such note. */
void ranges_find(struct ranges *ranges, uint64_t worker, uint64_t id, struct str bytes);

/* Hands the connection `fd`, which showed this ticket in its first message, to the relay that
 * ordered the line, with the bytes that were read behind that message. A ticket is good once.
 * Returns false if it is not good. `fd` stays the caller's. */
bool ranges_take_line(struct ranges *ranges, struct str ticket, int fd, struct str early);

/* Returns how many daemons announced ranges and are connected. */
size_t ranges_daemons(const struct ranges *ranges);

#endif
