/*
 * Writes log lines, the status file and the lease for the supervisor. A child does the writing,
 * since any of it may lie on storage that hangs; what the child does not take at once is
 * dropped. It is started again when it ends, or was stopped by a signal for too long. This is the
 * supervisor's side; keeper_worker.h is the child's.
 */
#ifndef DAEMON_KEEPER_H
#define DAEMON_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "daemon/keeper_options.h"

#define KEEPER_STATUS_FILE "kachery-resource.status.json"

struct keeper;

/* Starts the child. From here on log_line reaches it. */
struct keeper *keeper_new(const struct keeper_options *options, struct err *e);

/* Closes the log (SIGHUP) and opens it again. */
void keeper_reopen_log(struct keeper *k);

/* Appends a line (with '\n') to the audit, which there is: however busy the child is. */
void keeper_audit(struct keeper *k, const struct buf *line);

/* Replaces the status file by this JSON text. False when the child is busy: offer it again. */
bool keeper_write_status(struct keeper *k, struct str text);

/* Replaces it for the last time, also by a child that is busy. */
void keeper_write_last_status(struct keeper *k, struct str text);

/* Lets the child write what it has and give the lease back: runs the loop until it has ended, at
 * most for `wait_ms`. NULL-safe. */
void keeper_free(struct keeper *k, int64_t wait_ms);

#endif
