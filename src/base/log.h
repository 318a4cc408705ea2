/*
 * The daemon's and the servers' log: one line per event on stderr or in a file,
 *     2026-11-22T09:15:02.123Z info upload sha1=… bytes=123 ms=45
 * Only http/, daemon/, bucket/, gateway/, proxy/ and hub/ log. Strangers cannot forge a line with
 * the bytes that they send: control bytes and bytes that are not UTF-8 are written as \xHH, a line
 * is at most 1000 bytes. Nor can they fill a disk: log_limit.h bounds the lines of one format, and
 * the log reports how many were left out.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>

#include "base/err.h"
#include "base/log_file.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Drops the lines below `level` from now on. The default is LOG_INFO. */
void log_set_level(enum log_level level);

/* Appends to a file instead of stderr. Call again to reopen (SIGHUP). */
int log_open(const struct log_file_options *options, struct err *e) ERR_CHECKED;

/* Sends finished lines (with '\n') to `sink` instead; NULL restores. For the keeper child and for
 * tests. */
void log_set_sink(void (*sink)(void *ctx, const char *line, size_t len), void *ctx);

/* Writes a finished line (with '\n'), whatever the level and the sink: for the process that writes
 * the lines of another. Returns -1 if the log's file could not be rotated or opened again where it
 * belongs; the line is then in the one that is open. */
int log_finished(const char *line, size_t len, struct err *e) ERR_CHECKED;

/* Logs one line, printf style, without '\n'; keeps errno. Does not wait for a full pipe or a
 * stopped terminal: such lines are dropped and counted, and the count is logged when there is room
 * again. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lets processes that are forked from here on count their lines together with this one. */
void log_share_limits(void);

/* Reports, at the end of a program, the lines that were left out since the last report. */
void log_end(void);

#endif
