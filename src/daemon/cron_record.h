/*
 * The last run of `share --cron`: where, when, and what it did. Kept in the lease's folder, for its
 * owner alone: the outcome may name files. File I/O, which may hang.
 */
#ifndef DAEMON_CRON_RECORD_H
#define DAEMON_CRON_RECORD_H

#include <stdint.h>

#include "base/err.h"

enum { CRON_RECORD_TEXT = 256 };

struct cron_record {
    char host[CRON_RECORD_TEXT];
    int64_t at_ms;                  /* wall clock; 0: no run is known */
    char outcome[ERR_MESSAGE_SIZE]; /* "left it to login2", "began to share", "failed: …" */
};

/* Writes FOLDER/cron: this host, now, that outcome. */
int cron_record_write(const char *folder, const char *outcome, struct err *e) ERR_CHECKED;

/* Reads it. ERR_NOT_FOUND when there is none. */
int cron_record_read(const char *folder, struct cron_record *out, struct err *e) ERR_CHECKED;

#endif
