/*
 * The file of the audit, in the keeper: lines are appended one by one and reach the disk together.
 * Lines that cannot be written are counted, and the next line that can be says so.
 */
#ifndef DAEMON_AUDIT_FILE_H
#define DAEMON_AUDIT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log_file.h"
#include "base/str.h"

enum { AUDIT_FILE_SYNC_MS = 1000 }; /* a line is on the disk so long after it was written */

struct audit_file {
    struct log_file_options options; /* path NULL: there is none */
    struct log_file file;
    int64_t sync_at_ms;      /* CLOCK_NEVER_MS: all is on the disk */
    int64_t open_again_ms;   /* not before, when it cannot be opened */
};

/* Begins; opens it with the first line. The path is borrowed. */
void audit_file_init(struct audit_file *a, const char *path);
void audit_file_close(struct audit_file *a);

/* Opens it anew (SIGHUP). */
int audit_file_reopen(struct audit_file *a, struct err *e) ERR_CHECKED;

/* Appends whole lines, and before them, when `lost` is not 0, that so many were lost. Returns the
 * number of lines that are lost now, and in *e (its code ERR_NONE: no) what the trouble was. */
uint64_t audit_file_append(struct audit_file *a, struct str lines, uint64_t lost, struct err *e);

/* Brings what was written to the disk. */
int audit_file_sync(struct audit_file *a, struct err *e) ERR_CHECKED;

#endif
