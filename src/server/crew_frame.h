/* The frames between the hub and its workers (crew.h). */
#ifndef SERVER_CREW_FRAME_H
#define SERVER_CREW_FRAME_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

/* Appends a connection's frame: the type, then the bytes that were read of it. */
void crew_frame_put(struct buf *out, struct str bytes);

/* The bytes of such a frame, borrowed from it; false when it is another. */
bool crew_frame_bytes(struct str frame, struct str *bytes);

struct str crew_frame_closed(void);

/* True when a frame would be taken at once. */
bool crew_frame_is_writable(int fd);

#endif
