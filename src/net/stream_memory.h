/*
 * Two streams in one process that are each other's peer: no socket, no descriptor. For tests and
 * fuzz targets of whatever runs over a stream, in either role. Readiness comes by deferred calls of
 * the loop; bytes, ends and resets reach the other end at once.
 */
#ifndef NET_STREAM_MEMORY_H
#define NET_STREAM_MEMORY_H

#include <stddef.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "proto/addr.h"

enum { STREAM_MEMORY_CAPACITY = 65536 };

/* Of one end; 0: no limit, for `capacity` STREAM_MEMORY_CAPACITY. */
struct stream_memory_limits {
    size_t read_bytes, write_bytes; /* most that one call takes */
    size_t capacity;                /* most that waits for this end to read it */
};

/* Makes a pair; ends[0] gets wakes[0]. As TCP has it, an end that is freed with something unread,
 * or after stream_drop_unsent, resets the connection. -1 without memory. */
int stream_memory_pair(struct stream *ends[2], const struct loop_wake wakes[2], struct err *e);

/* Sets an end's limits from now on; bytes that wait already stay. The limits and functions below
 * are of ends of such a pair alone. */
void stream_memory_limit(struct stream *end, const struct stream_memory_limits *limits);

/* Drops all bytes on their way; both ends get "Connection reset by peer". */
void stream_memory_reset(struct stream *end);

/* Sets the address that stream_peer gives for this end; NULL: not known. */
void stream_memory_set_peer(struct stream *end, const struct addr *peer);

#endif
