/*
 * Worker processes that serve connections which the hub hands to them: whatever touches the disk.
 * A worker has its own http_server; a connection comes back when it asks for something else or is
 * idle. Frames either way (proc/frame.h), the connection's descriptor with them:
 *     {"type":"connection","id":N} LF and the bytes that were read of it      both directions
 *         (to a worker of a crew that has_askers: before them the client's address and LF)
 *     {"type":"closed","id":N}                                                worker to hub
 *     {"type":"ping","id":0}, {"type":"pong","id":0}                          to and fro
 *     {"type":"drop","id":N}, answered by "closed", or "kept" when it is busy  to and fro
 *     {"type":"check","id":N} LF and what is checked, {"type":"checked","id":N}   to and fro
 *     {"type":"note","id":N} LF and bytes that the owners understand          both directions
 * A worker that does not answer pings is stuck, as in a data directory that hangs: it gets no more
 * connections, and another may take its place.
 */
#ifndef HTTP_CREW_H
#define HTTP_CREW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "http/http_server.h"
#include "loop/loop.h"

enum {
    CREW_MAX_WORKERS = 64,
    CREW_MAX_STUCK = 16,           /* that others have replaced */
    CREW_MAX_HANDED_BYTES = 60000, /* read of a connection when it is handed over */
    CREW_KEEP_MS = 1000,           /* a worker keeps an idle connection so long */
    CREW_MAX_ASKED = 32,           /* connections that workers are to close, not answered yet */
    CREW_MAX_ENDED = 16,           /* beyond those, that workers are to end */
    CREW_DRAIN_MS = 10000          /* for transfers, when the hub ends */
};

struct crew;

struct crew_options {
    struct loop *loop;
    const char *name; /* shown by ps */
    unsigned max_workers;
    bool has_askers; /* workers learn the addresses of clients: also in crew_worker_options */
    bool is_keyed; /* a connection goes to the worker of its key: crew_give_keyed */
    size_t *place; /* gets the number of a worker's place before it is forked; NULL: it has none */
    int64_t idle_ms;  /* workers without a connection leave after so long */
    int64_t ping_ms;  /* a worker with one is asked for a sign of life that often */
    int64_t stuck_ms; /* without an answer for so long: stuck */
    int64_t kill_ms;  /* stuck for so long: killed, so that its clients know */
    int niceness;     /* of the workers, see process_options */
    /* The worker's life; usually sets up its routes and calls crew_worker_run. */
    int (*run)(int fd, void *ctx);
    void *ctx;
    /* A worker gave a connection back; the callee owns `fd`. `tag` is the connection's, as the
     * hub's http_server knew it. */
    void (*on_return)(void *owner, int fd, struct str bytes, uint64_t tag);
    void (*on_closed)(void *owner, uint64_t tag); /* a worker closed one, or ended; may be NULL */
    /* A worker wants an object checked; crew_checked answers unless `id` is 0. May be NULL. */
    void (*on_check)(void *owner, uint64_t worker, uint64_t id, struct str bytes);
    /* A worker sent a note. May be NULL. */
    void (*on_note)(void *owner, uint64_t worker, uint64_t id, struct str bytes);
    void *owner;
};

/* Makes a crew without workers; the options are copied. NULL with ERR_FAILED without memory. */
struct crew *crew_new(const struct crew_options *options, struct err *e);

/* Kills the workers that are left. NULL-safe. */
void crew_free(struct crew *crew);

/* Gives the connection of an on_head handler (takes_connection, `owner` is the crew) to the worker
 * with the fewest, or to a new one; 503 when none can take it. */
void crew_give(struct http_conn *conn, const struct http_request *request, void *owner);

/* Gives the connection to worker number key % max_workers of a keyed crew, which is started if it
 * does not run; it waits for the successor of one that ends, and is closed without an answer if
 * that one is stuck. For an on_head handler of a route with takes_connection. */
void crew_give_keyed(struct crew *crew, struct http_conn *conn, uint32_t key);

/* Sends a note to a worker, with a copy of `fd` (-1: none). -1 as child_send; ERR_NOT_FOUND when
 * that worker is gone. */
int crew_note(struct crew *crew, uint64_t worker, uint64_t id, struct str bytes, int fd,
              struct err *e) ERR_CHECKED;

/* Sends the note to all workers, as far as they take it. */
void crew_note_all(struct crew *crew, struct str bytes);

/* Tells the workers to finish what they have and to leave. */
void crew_drain(struct crew *crew);

/* Returns when the connection that a worker has had for longest was handed over, or last reported
 * as busy. CLOCK_NEVER_MS when there is none, or too many were already asked for. */
int64_t crew_oldest_ms(const struct crew *crew);

/* Asks for that one to be closed if nothing is owed to it. It does not count any more until the
 * worker has answered. */
bool crew_ask_for_oldest(struct crew *crew);

/* Closes the newest one whose tag matches, whatever it is doing. False when there is none, or too
 * many were already asked for. */
bool crew_end_newest(struct crew *crew, bool (*matches)(void *ctx, uint64_t tag), void *ctx);

/* Answers on_check. A worker that is gone, or takes nothing, gets no answer. */
void crew_checked(struct crew *crew, uint64_t worker, uint64_t id);

size_t crew_workers(const struct crew *crew); /* with those that are stuck */
size_t crew_stuck(const struct crew *crew);
size_t crew_connections(const struct crew *crew);

/* Sends, in the worker, a note to the hub, to which `fd` is the socket. -1 when the hub takes none
 * now, or is gone. */
int crew_worker_note(int fd, uint64_t id, struct str bytes);

/* In the worker: serves with these routes until the hub ends or drains; its exit status. `fd` is
 * the socket to the hub. */
struct crew_worker_options {
    struct loop *loop; /* the worker's, with which nothing else waits; NULL: one is made */
    const struct http_route *routes;
    size_t route_count;
    struct http_times times; /* but idle_ms, which is CREW_KEEP_MS */
    size_t read_bytes, max_held; /* see http_server_options */
    const char *extensions;  /* see http_server_options */
    /* The hub answered the check of that id. May be NULL. */
    void (*on_checked)(void *owner, uint64_t id);
    /* The hub sent a note; the callee owns `fd` (-1: none). May be NULL. */
    void (*on_note)(void *owner, uint64_t id, struct str bytes, int fd);
    void *owner;
    bool has_askers;         /* http_conn_put_asker is what it was in the hub */
    bool returns_each;       /* a connection goes back after each request: the next is another's */
};
int crew_worker_run(int fd, const struct crew_worker_options *options);

#endif
