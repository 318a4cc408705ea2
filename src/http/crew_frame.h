/* The frames between the hub and its workers (crew.h). */
#ifndef HTTP_CREW_FRAME_H
#define HTTP_CREW_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum crew_frame {
    CREW_FRAME_CONNECTION,
    CREW_FRAME_CLOSED,
    CREW_FRAME_PING,
    CREW_FRAME_PONG,
    CREW_FRAME_DROP,
    CREW_FRAME_KEPT,
    CREW_FRAME_END,    /* hub to worker: as DROP, but also what is busy */
    CREW_FRAME_CHECK,  /* worker to hub */
    CREW_FRAME_CHECKED, /* and back */
    CREW_FRAME_NOTE     /* both ways; a descriptor may go with it to a worker */
};

/* Appends {"type":T,"id":N} and, of a connection, a check or a note, LF and the bytes. */
void crew_frame_put(struct buf *out, enum crew_frame type, uint64_t id, struct str bytes);

/* Takes a frame apart; *bytes is borrowed from it. Returns false when it is none. */
bool crew_frame_parse(struct str frame, enum crew_frame *type, uint64_t *id, struct str *bytes);

/* Returns true when the socket would take a frame at once. */
bool crew_frame_is_writable(int fd);

#endif
