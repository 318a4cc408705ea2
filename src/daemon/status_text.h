/* How a daemon does, as text for its operator: from its lease, its status file and the last run of
 * cron. Pure: no file, no clock. */
#ifndef DAEMON_STATUS_TEXT_H
#define DAEMON_STATUS_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "daemon/cron_record.h"
#include "daemon/liveness.h"

struct status_text {
    const struct liveness *life;
    const struct json *status;  /* the status file's object; NULL: none that can be read */
    const char *status_trouble; /* why not, where there is one; "" */
    const struct cron_record *cron;
    int64_t now_ms;   /* wall clock */
    bool is_verbose; /* hashes in full, all that are kept */
};

/* Appends the text, lines of which each ends with a newline. Members of the status file that are
 * absent or bad (another version wrote it, or it is damaged) leave out their part. */
void status_text_put(struct buf *out, const struct status_text *t);

/* Returns whether the status file's object is of the process that the lease names. */
bool status_text_is_of_holder(const struct status_text *t);

#endif
