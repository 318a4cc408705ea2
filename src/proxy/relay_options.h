/* The options of a relay. */
#ifndef PROXY_RELAY_OPTIONS_H
#define PROXY_RELAY_OPTIONS_H

#include <stdint.h>

#include "access/zone_files.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

/* Every interval of a relay, in milliseconds. */
struct relay_times {
    int64_t silent_ms;     /* no byte while leaves are wanted: the line is dead */
    int64_t overdue_ms;    /* after a later leaf came, one is asked for again */
    int64_t instead_ms;    /* without a line of its class a read takes one of the other class */
    int64_t ping_ms;       /* of a line */
    int64_t idle_ms;       /* a line that nothing is wanted of ends */
    int64_t keep_ms;       /* a file that is not read is forgotten */
    int64_t absent_ms;     /* an absence is remembered */
    int64_t doubt_ms;      /* a daemon that could not read a file is not asked for it */
    int64_t ask_again_ms;  /* between two questions for a file that readers wait for */
    int64_t line_again_ms; /* between two tries to have a line */
};

/* A question whether a client's word counts. */
struct relay_check {
    void (*on_done)(struct relay_check *check, int result, const struct err *e);
    void *owner;
    void *state; /* of the one that is asked; NULL: none is under way */
};

struct relay_options {
    struct loop *loop;
    struct relay_times times;
    const char *cache_dir;
    const char *openings_path; /* see openings.h; NULL: they are not kept */
    const char *verdicts_path; /* see verdicts.h; the same */
    int64_t cache_bytes;
    /* Sends a note to the hub's main process (relay_note.h); -1: it takes none now. */
    int (*send_note)(void *owner, uint64_t id, struct str bytes);
    /* Asks whether this client is registered now and may upload, so that its word on a root
     * counts:
     * check->on_done follows, later, unless check->state is NULL behind this call: then it cannot
     * be asked now. The second ends a check. NULL: all may. */
    void (*check_signer)(void *owner, const struct zone *zone, struct str client_id,
                         struct relay_check *check);
    void (*cancel_check)(void *owner, struct relay_check *check);
    /* Takes note that an object of the bucket, or its manifest, was found wrong. May be NULL. */
    void (*doubt_object)(void *owner, const struct zone *zone, struct str sha1);
    void *check_owner; /* of these three */
    void *owner;
};

#endif
