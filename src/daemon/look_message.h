/* The messages between a command that looks at a daemon and the child that does it: the question
 * and the answer. */
#ifndef DAEMON_LOOK_MESSAGE_H
#define DAEMON_LOOK_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "daemon/cron_record.h"
#include "daemon/liveness.h"

struct status_question {
    int64_t pause_ms; /* before it looks */
    int64_t watch_ms; /* at most, where only the movement of the lease's counter can show that a
                         holder elsewhere is alive */
    bool is_stop;     /* the daemon is asked to end, if it may be alive */
};

/* The answer. Free with status_found_deinit. */
struct status_found {
    struct liveness life;
    const struct json *status;    /* the status file's object, borrowed from `document`; or NULL */
    char trouble[ERR_MESSAGE_SIZE]; /* why the status file cannot be read, if there is one; "" */
    struct cron_record cron;      /* at_ms 0: none; then its outcome is why it cannot be read */
    bool is_same_host;            /* the process is one of this host and PID namespace */
    struct json *document;
};
void status_found_deinit(struct status_found *found);

/* Sent while the answer is not there yet. */
#define LOOK_MESSAGE_WATCHING STR("{\"type\":\"watching\"}")

void look_message_put_question(struct buf *out, const struct status_question *question);
int look_message_read_question(struct status_question *out, struct str text,
                               struct err *e) ERR_CHECKED;

/* Replaces *out. A `failure` with words is the answer. */
void look_message_put_answer(struct buf *out, const struct status_found *found,
                             const struct err *failure);

/* Reads an answer to *out, whose document is then the caller's. The error may be that of the child:
 * ERR_NOT_FOUND or ERR_FAILED. */
int look_message_read_answer(struct status_found *out, struct str answer,
                             struct err *e) ERR_CHECKED;

#endif
