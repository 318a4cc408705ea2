#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_file.h"
#include "base/log_limit.h"
#include "base/quote.h"
#include "base/ready.h"

enum { LOG_LINE_BYTES = 1000 };

struct log_line {
    char text[LOG_LINE_BYTES];
    size_t len;
};

static enum log_level lowest = LOG_INFO;
static struct log_file file = LOG_FILE_CLOSED; /* closed: stderr */
static unsigned long long dropped;
static void (*sink)(void *ctx, const char *line, size_t len);
static void *sink_ctx;

void log_set_level(enum log_level level)
{
    lowest = level;
}

int log_open(const struct log_file_options *options, struct err *e)
{
    return log_file_open(&file, options, e);
}

void log_set_sink(void (*function)(void *ctx, const char *line, size_t len), void *ctx)
{
    sink = function;
    sink_ctx = ctx;
}

/*
 * True when a line can be written without waiting. The mode of stderr is not ours to change: others
 * share it. They may also fill a pipe between this look and the write, so that some of it is kept
 * free.
 */
static bool has_room_for_line(int fd)
{
    int cap = fcntl(fd, F_GETPIPE_SZ), used = 0;

    if (ready_look(fd, READY_WRITE) != READY_WRITE)
        return false;
    return cap <= 0 || ioctl(fd, FIONREAD, &used) != 0 || used <= cap - cap / 4;
}

static bool write_line(const char *text, size_t len)
{
    ssize_t n;

    if (file.fd >= 0)
        return has_room_for_line(file.fd) && log_file_write(&file, text, len);
    if (!has_room_for_line(STDERR_FILENO))
        return false;
    do
        n = write(STDERR_FILENO, text, len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

static bool deliver_line(const struct log_line *line)
{
    if (sink == NULL)
        return write_line(line->text, line->len);
    sink(sink_ctx, line->text, line->len);
    return true;
}

/* Appends what fits of `text` before the line end, bytes that are not plain as \xHH. A
 * text that does not fit ends in "...". */
static void put_line_text(struct log_line *line, struct str text)
{
    const size_t end = sizeof line->text - (sizeof "...\n" - 1);
    char escaped[5];

    while (text.len > 0) {
        struct str piece = str_slice(text, 0, quote_plain_bytes(text));
        if (piece.len == 0) {
            snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned)(unsigned char)text.p[0]);
            piece = (struct str){escaped, 4};
            text = str_slice(text, 1, text.len);
        } else {
            text = str_slice(text, piece.len, text.len);
        }
        if (line->len + piece.len > end) {
            piece = STR("...");
            text.len = 0;
        }
        memcpy(line->text + line->len, piece.p, piece.len);
        line->len += piece.len;
    }
}

static void put_line_head(struct log_line *line, enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    int64_t now = clock_wall_ms();
    int ms = (int)((now % 1000 + 1000) % 1000); /* a clock may stand before 1970 */
    time_t seconds = (time_t)((now - ms) / 1000);
    struct tm t;

    gmtime_r(&seconds, &t);
    line->len = strftime(line->text, sizeof line->text, "%Y-%m-%dT%H:%M:%S", &t);
    line->len += (size_t)snprintf(line->text + line->len, sizeof line->text - line->len,
                                  ".%03dZ %s ", ms, names[level]);
}

/* Writes it, or counts it as dropped. */
static void finish_log_line(struct log_line *line)
{
    line->text[line->len++] = '\n';
    if (dropped > 0 || !deliver_line(line))
        dropped++;
}

/* Says that lines are missing, as soon as there is room again. */
static void report_dropped_lines(void)
{
    struct log_line line;
    char text[64];

    snprintf(text, sizeof text, "log lines dropped=%llu", dropped);
    put_line_head(&line, LOG_WARN);
    put_line_text(&line, str_of(text));
    line.text[line.len++] = '\n';
    if (deliver_line(&line))
        dropped = 0;
}

/* A format as one reads it: "refused … client=…". */
static void put_format_kind(struct log_line *line, const char *format)
{
    while (*format != '\0') {
        size_t plain = strcspn(format, "%");
        put_line_text(line, (struct str){format, plain});
        format += plain;
        if (*format == '\0')
            return;
        put_line_text(line, STR("…"));
        format += 1 + strcspn(format + 1, "diuxcsfg%");
        format += *format != '\0';
    }
}

static void report_left_out(int64_t now_ms, bool is_end)
{
    struct log_line line;
    const char *format;
    char text[64];
    uint64_t count;

    while (log_limit_report(now_ms, is_end, &format, &count)) {
        snprintf(text, sizeof text, "log lines left out=%llu: ", (unsigned long long)count);
        put_line_head(&line, LOG_WARN);
        put_line_text(&line, str_of(text));
        put_format_kind(&line, format);
        finish_log_line(&line);
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    int saved = errno;
    char text[LOG_LINE_BYTES + 1];
    struct log_line line;
    va_list args;

    if (level < lowest)
        return;
    int64_t now_ms = clock_now_ms();
    if (dropped > 0)
        report_dropped_lines();
    if (log_limit_admits(format, now_ms)) {
        va_start(args, format);
        int n = vsnprintf(text, sizeof text, format, args);
        va_end(args);
        put_line_head(&line, level);
        if (n > 0)
            put_line_text(&line, str_of(text));
        finish_log_line(&line);
    }
    report_left_out(now_ms, false);
    errno = saved;
}

void log_share_limits(void)
{
    log_limit_share();
}

void log_end(void)
{
    report_left_out(clock_now_ms(), true);
}

int log_finished(const char *line, size_t len, struct err *e)
{
    int result = file.fd >= 0 ? log_file_keep(&file, len, e) : 0;

    if (dropped > 0)
        report_dropped_lines();
    if (dropped > 0 || !write_line(line, len))
        dropped++;
    return result;
}
