/*
 * A relay: a process of the hub that reads files which were never uploaded from the daemons that
 * have them, block by block, and keeps what it read (EXTENSIONS.md §3). It connects to nothing:
 * daemons' lines come to it through the hub; it writes below its cache folder. Its readers know
 * nothing of lines, and it knows nothing of HTTP.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "proto/range_message.h"

struct relay;

/* Every interval of a relay, in milliseconds. */
struct relay_times {
    int64_t silent_ms;     /* no byte while leaves are wanted: the line is dead */
    int64_t ping_ms;       /* of a line */
    int64_t idle_ms;       /* a line that nothing is wanted of ends */
    int64_t keep_ms;       /* a file that is not read is forgotten */
    int64_t absent_ms;     /* an absence is remembered */
    int64_t ask_again_ms;  /* between two questions for a file that readers wait for */
    int64_t line_again_ms; /* between two tries to have a line */
};

struct relay_times relay_default_times(void);

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
    int64_t cache_bytes;
    struct str zone;
    /* Sends a note to the hub's main process (relay_note.h); -1: it takes none now. */
    int (*send_note)(void *owner, uint64_t id, struct str bytes);
    /* Asks whether this client is registered now and may upload, so that its word on a root counts:
     * check->on_done follows, later, unless check->state is NULL behind this call: then it cannot
     * be asked now. The second ends a check. NULL: all may. */
    void (*check_signer)(void *owner, struct str client_id, struct relay_check *check);
    void (*cancel_check)(void *owner, struct relay_check *check);
    void *check_owner;
    void *owner;
};

/* The options are copied, `cache_dir` and `zone` too. NULL on error. */
struct relay *relay_new(const struct relay_options *options, struct err *e);
void relay_free(struct relay *relay); /* NULL-safe; no reader may be left */

/* The hub sent a note; `fd` is the relay's (-1: none). */
void relay_on_note(struct relay *relay, uint64_t id, struct str bytes, int fd);

/* Bytes of blocks that came over lines. */
int64_t relay_bytes_fetched(const struct relay *relay);

/* ---- readers ---- */

enum relay_answer {
    RELAY_READY,
    RELAY_WAIT,     /* on_change comes */
    RELAY_ABSENT,   /* no connected daemon has the file, and none is expected back */
    RELAY_BUILDING, /* a daemon makes its manifest: `done` of `size` bytes */
    RELAY_NO_MEMORY
};

struct relay_file;
struct relay_want;

/* One reader of one file, in the memory of its owner: not moved while it is started. */
struct relay_reader {
    /* Something that was waited for may be there, or the file's state changed. */
    void (*on_change)(void *owner);
    void *owner;
    enum range_class read_class;
    struct relay_file *file; /* the rest is the relay's */
    struct relay *relay;
    struct relay_reader *previous, *next; /* of the file */
    struct relay_reader *ring_previous, *ring_next;
    bool is_in_ring;
    struct relay_want *first, *last;
    size_t want_count;
    struct loop_call change;
};

/* The facts of a file. */
struct relay_info {
    int64_t size, done;
    bool has_root; /* false: at most BLOCK_BYTES, proven by the address alone */
    unsigned char root[32];
};

/* Starts reading the file of that SHA-1 (40 lower-case digits). False without memory. */
bool relay_reader_start(struct relay *relay, struct relay_reader *reader, struct str sha1);

/* Takes back what it wants; safe to call when it was not started or was stopped. */
void relay_reader_stop(struct relay_reader *reader);

/* RELAY_READY: *info. RELAY_BUILDING: its sizes. */
enum relay_answer relay_reader_info(struct relay_reader *reader, struct relay_info *info);

/* RELAY_READY: *bytes of block i, which were checked; borrowed until the next call of the relay. */
enum relay_answer relay_reader_block(struct relay_reader *reader, uint32_t i, struct str *bytes);

/* Has block i fetched if it is not here, without waiting for it. */
void relay_reader_prefetch(struct relay_reader *reader, uint32_t i);

/* Takes back what it wants outside of the blocks from `first` to `last`. */
void relay_reader_keep(struct relay_reader *reader, uint32_t first, uint32_t last);

#endif
