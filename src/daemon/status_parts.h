/* The parts of a status file, each read by itself: one that is absent or bad leaves the others. */
#ifndef DAEMON_STATUS_PARTS_H
#define DAEMON_STATUS_PARTS_H

#include "base/json.h"

enum { STATUS_MAX_BYTES = 256 << 10 }; /* of a file that is read */

/* Borrowed from the document; NULL: absent, or of another type. */
struct status_parts {
    const struct json *proxy, *gateway, *refused_by, *totals, *processor;
    const struct json *ends, *lost;      /* disconnections, workersLost */
    const struct json *uploads, *absent; /* arrays; the latter is notHere */
};

/* Reads the object of a status file; of anything else, and of NULL, there are no parts. */
void status_parts_read(struct status_parts *out, const struct json *status);

#endif
