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

enum { RELAY_ASKER_BYTES = 63 };

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
    bool only_prefetches;
    char asker[RELAY_ASKER_BYTES + 1]; /* the address of who reads; "": not known */
    struct relay_file *file; /* the rest is the relay's */
    struct relay *relay;
    struct relay_reader *previous, *next; /* of the file */
    struct relay_reader *ring_previous, *ring_next;
    bool is_in_ring;
    bool is_bound;   /* it has bytes of this root, and gets no others */
    bool is_waiting; /* for what it asked for last */
    struct relay_want *first, *last;
    size_t want_count;
    bool wants_page; /* of leaf hashes, and of which number */
    uint32_t page;
    struct loop_call change;
};

/* The facts of a file. */
struct relay_info {
    int64_t size, done;
    bool has_root; /* false: at most BLOCK_BYTES, proven by the address alone */
    bool is_proven; /* that root and SHA-1 belong together */
    unsigned char root[32];
};

/* Starts reading the file of that SHA-1 (40 lower-case digits), which daemons of that zone share
 * and which is no object of the bucket. Returns false without memory. */
bool relay_reader_start(struct relay *relay, struct relay_reader *reader, const struct zone *zone,
                        struct str sha1);

/* An object of the bucket, open, and the manifest that the bucket made of it (-1: none). */
struct relay_object_file {
    int fd, manifest_fd;
};

/* Starts reading a file whose content is that object: its blocks are checked like those of hosts,
 * which are asked where one is wrong. RELAY_READY: the reader is started, and the descriptors
 * are taken over (-1 then). Else it is not: RELAY_BUILDING when its blocks cannot be checked,
 * for want of a manifest; RELAY_ABSENT when the object was found wrong; RELAY_NO_MEMORY. */
enum relay_answer relay_reader_start_object(struct relay *relay, struct relay_reader *reader,
                                            const struct zone *zone, struct str sha1,
                                            struct relay_object_file *object);

/* Ends the reading and all that the reader wants: on_change does not come any more. Safe on a
 * reader that was not started or was stopped. */
void relay_reader_stop(struct relay_reader *reader);

/* Returns what is known of the file: with RELAY_READY all of *info, with RELAY_BUILDING size and
 * done. */
enum relay_answer relay_reader_info(struct relay_reader *reader, struct relay_info *info);

/* Returns true when all daemons that are connected have said that they do not have the file, and
 * only those that may come back are waited for. */
bool relay_reader_is_denied(const struct relay_reader *reader);

/* Returns when the hosts were asked last that have the file and could not read it, while no other
 * has it, or 0 where that is not so. */
int64_t relay_reader_unreadable_ms(const struct relay_reader *reader);

/* Returns RELAY_READY and the *bytes of block i, which were checked, borrowed until the next call
 * of the relay; RELAY_ABSENT when the daemons do not have the file any more. Else the block is
 * wanted from now on, and comes together with what the file is if that is not known yet. */
enum relay_answer relay_reader_block(struct relay_reader *reader, uint32_t i, struct str *bytes);

/* Notes that the reader has taken all of block i: memory that it is in is the next to be used for
 * another, unless another one reads in one go, too. */
void relay_reader_pass(struct relay_reader *reader, uint32_t i);

/* Takes note whether all blocks of the reader's file, which were hashed in order, have its SHA-1.
 * If so, no other root is believed; if not, this one is not, and reading it is RELAY_ABSENT. */
void relay_reader_judge(struct relay_reader *reader, bool is_right);

/* Returns the hashes of all pages of a file that is RELAY_READY and has a root; empty when it is
 * not known any more. The reader gets no bytes of another root from then on. Borrowed until the
 * next call of the relay. */
struct str relay_reader_hashes(struct relay_reader *reader);

/* Returns RELAY_READY and *leaves, the hashes of the blocks of page j, which were checked, borrowed
 * until the next call of the relay; RELAY_ABSENT when the daemons do not have the file any more, or
 * it has no such page. Else the page is wanted from now on. */
enum relay_answer relay_reader_page(struct relay_reader *reader, uint32_t j, struct str *leaves);

/* Fetches block i, if size and root of the file are known and the block is not here. on_change
 * comes when it arrived. */
void relay_reader_prefetch(struct relay_reader *reader, uint32_t i);

/* Wants only the blocks from `first` to `last` from now on. */
void relay_reader_keep(struct relay_reader *reader, uint32_t first, uint32_t last);

#endif
