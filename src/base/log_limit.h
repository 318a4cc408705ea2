/*
 * The number of lines of a kind that the log takes: strangers can cause some as often as they like,
 * and must not fill a disk by it. A kind is a format. Each may have LOG_LIMIT_BURST lines at once,
 * then one every LOG_LIMIT_EVERY_MS; the others are counted. For base/log.c alone.
 */
#ifndef BASE_LOG_LIMIT_H
#define BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOG_LIMIT_BURST = 1000,
    LOG_LIMIT_EVERY_MS = 1000,
    LOG_LIMIT_REPORT_MS = 60000, /* between two reports of what was left out of a kind */
    LOG_LIMIT_KINDS = 128        /* more formats than there are; beyond, all are one kind */
};

/* Lets processes that are forked from here on count together with this one. */
void log_limit_share(void);

/* Counts a line of that format, a literal. Returns false when there were too many to write it. */
bool log_limit_admits(const char *format, int64_t now_ms);

/* Finds the next kind whose report is due: lines of it were left out since the last one, and
 * LOG_LIMIT_REPORT_MS have passed (not for a first report, nor with `is_end`). Sets its format and
 * the number of these lines. Returns false when there is none. */
bool log_limit_report(int64_t now_ms, bool is_end, const char **format, uint64_t *count);

#endif
