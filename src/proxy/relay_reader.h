/* Reading a file through a relay (relay.h), block by block. Never blocks: on_change comes when
 * there is something that was waited for. */
#ifndef PROXY_RELAY_READER_H
#define PROXY_RELAY_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "access/zone_files.h"
#include "base/str.h"
#include "loop/loop.h"
#include "proto/range_message.h"

struct relay;
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
    bool is_bound;   /* it has bytes of this root, and gets no others */
    bool is_waiting; /* for what it asked for last */
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

/* Starts reading the file of that SHA-1 (40 lower-case digits), which daemons of that zone share.
 * False without memory. */
bool relay_reader_start(struct relay *relay, struct relay_reader *reader, const struct zone *zone,
                        struct str sha1);

/* Takes back what it wants; safe to call when it was not started or was stopped. */
void relay_reader_stop(struct relay_reader *reader);

/* RELAY_READY: *info. RELAY_BUILDING: its sizes. */
enum relay_answer relay_reader_info(struct relay_reader *reader, struct relay_info *info);

/* RELAY_READY: *bytes of block i, which were checked; borrowed until the next call of the relay.
 * RELAY_ABSENT: the daemons do not have the file any more. */
enum relay_answer relay_reader_block(struct relay_reader *reader, uint32_t i, struct str *bytes);

/* Has block i fetched if it is not here, without waiting for it. */
void relay_reader_prefetch(struct relay_reader *reader, uint32_t i);

/* Takes back what it wants outside of the blocks from `first` to `last`. */
void relay_reader_keep(struct relay_reader *reader, uint32_t first, uint32_t last);

#endif
