/*
 * The daemon's and the servers' log: one line per event on stderr or in a file,
 *     2026-11-22T09:15:02.123Z info upload sha1=… bytes=123 ms=45
 * Only daemon/ and server/ (and their commands) log. What strangers send cannot forge a line:
 * control bytes and what is not UTF-8 are written as \xHH, a line is at most 1000 bytes. Nor can
 * they fill a disk: of lines of one format only so many are written (log_limit.h), and the others
 * are counted, which is said.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below `level` are dropped (default LOG_INFO). */
void log_set_level(enum log_level level);

/* Appends to `path` instead of stderr; creates it 0600, in a setgid folder 0660: it names hashes.
 * Call again to reopen (SIGHUP). */
int log_open(const char *path, struct err *e) ERR_CHECKED;

/* Whether log_open could; creates the file when it is missing. */
int log_check(const char *path, struct err *e) ERR_CHECKED;

/* Sends finished lines (with '\n') to `sink` instead; NULL restores. For the keeper child and for
 * tests. */
void log_set_sink(void (*sink)(void *ctx, const char *line, size_t len), void *ctx);

/* Writes a finished line (with '\n'), whatever the level and the sink: for the process that writes
 * the lines of another. */
void log_finished(const char *line, size_t len);

/* printf style, without '\n'; keeps errno. Does not wait for a full pipe or a stopped terminal:
 * such lines are dropped and counted, and the count is logged when there is room again. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Processes that are forked from here on count their lines together with this one. */
void log_share_limits(void);

/* At the end of a program: says what was left out and not yet said. */
void log_end(void);

#endif
