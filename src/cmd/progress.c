#include "cmd/progress.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/interval_table.h"
#include "base/ready.h"
#include "base/size_text.h"

enum { BAR_CELLS = 20, DEFAULT_COLUMNS = 80, PREFIX_SIZE = 80 };

static const struct interval_row rows[] = {
#define ROW(name, ms) {#name, offsetof(struct progress_times, name), ms}
    ROW(redraw_ms, 100),
    ROW(tick_ms, 500),
    ROW(line_ms, 60000),
#undef ROW
};

static const struct interval_table table = {rows, sizeof rows / sizeof rows[0]};

static char prefix[PREFIX_SIZE] = "kachery-resource";

/* How much of its history the rate remembers. */
static const double RATE_SECONDS = 5;

static size_t terminal_columns(void)
{
    struct winsize size = {0};

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return DEFAULT_COLUMNS;
    return size.ws_col;
}

/* Writes if the terminal takes it at once. */
static bool put_terminal(struct str text)
{
    return ready_look(STDERR_FILENO, READY_WRITE) == READY_WRITE &&
           write(STDERR_FILENO, text.p, text.len) >= 0;
}

void progress_set_prefix(const char *program, const char *command)
{
    snprintf(prefix, sizeof prefix, "%s%s", program, command);
}

void progress_init(struct progress *p, const char *what, bool is_quiet)
{
    const char *terminal = getenv("TERM");
    int64_t now_ms = clock_now_ms();

    *p = (struct progress){.what = what, .rate = -1, .began_ms = now_ms, .drawn_ms = now_ms};
    /* It keeps its defaults where the tests' variable is wrong. */
    (void)!interval_table_load(&table, &p->times, "KACHERY_RESOURCE_TEST_PROGRESS", ERR_IGNORED);
    if (is_quiet)
        p->mode = PROGRESS_SILENT;
    else if (isatty(STDERR_FILENO) && (terminal == NULL || strcmp(terminal, "dumb") != 0))
        p->mode = PROGRESS_BAR;
    else
        p->mode = PROGRESS_LINES;
}

void progress_begin_part(struct progress *p, const char *what)
{
    p->what = what;
    p->rate = -1;
    p->began_ms = clock_now_ms();
    p->files = p->files_total = p->bytes = p->bytes_total = p->drawn_bytes = 0;
}

static void put_amount(struct buf *b, double bytes, const struct size_unit *unit)
{
    double value = bytes / unit->bytes;

    buf_printf(b, "%.*f", unit->bytes > 1 && value < 100 ? 1 : 0, value);
}

static void put_bytes(struct buf *b, const struct progress *p)
{
    const struct size_unit *unit =
        size_text_unit((double)(p->bytes_total > 0 ? p->bytes_total : p->bytes));

    buf_puts(b, "  ");
    put_amount(b, (double)p->bytes, unit);
    if (p->bytes_total > 0) {
        buf_putc(b, '/');
        put_amount(b, (double)p->bytes_total, unit);
    }
    buf_printf(b, " %s", unit->name);
}

static void put_rate(struct buf *b, const struct progress *p)
{
    const struct size_unit *unit = size_text_unit(p->rate);

    if (p->rate < 0)
        return;
    buf_puts(b, "  ");
    put_amount(b, p->rate, unit);
    buf_printf(b, " %s/s", unit->name);
}

static void put_time(struct buf *b, unsigned seconds)
{
    if (seconds >= 3600)
        buf_printf(b, "%u:%02u:%02u", seconds / 3600, seconds / 60 % 60, seconds % 60);
    else
        buf_printf(b, "%u:%02u", seconds / 60, seconds % 60);
}

static void put_eta(struct buf *b, const struct progress *p)
{
    if (p->rate < 1 || p->bytes_total <= p->bytes)
        return;
    double seconds = (double)(p->bytes_total - p->bytes) / p->rate;
    if (seconds > 359999)
        return;
    buf_puts(b, p->mode == PROGRESS_LINES ? "  " : "  ETA ");
    put_time(b, (unsigned)(seconds + 0.5));
    if (p->mode == PROGRESS_LINES)
        buf_puts(b, " left");
}

/* Of what only waits. */
static void put_elapsed(struct buf *b, const struct progress *p, int64_t now_ms)
{
    if (p->bytes > 0 || p->files > 0)
        return;
    buf_puts(b, "  ");
    put_time(b, (unsigned)((now_ms - p->began_ms) / 1000));
}

/* Returns the part that is done, 0 to 1: by bytes when their sum is known, else by files; -1:
 * unknown. */
static double fraction_of(const struct progress *p)
{
    double done = (double)p->bytes, total = (double)p->bytes_total;

    if (p->bytes_total == 0) {
        done = (double)p->files;
        total = (double)p->files_total;
    }
    if (total <= 0)
        return -1;
    return done < total ? done / total : 1;
}

static void put_bar(struct buf *b, double fraction)
{
    int full = (int)(fraction * BAR_CELLS);

    buf_puts(b, " [");
    for (int i = 0; i < BAR_CELLS; i++)
        buf_putc(b, i < full ? '#' : '.');
    buf_puts(b, "]");
}

static void put_counts(struct buf *b, const struct progress *p)
{
    if (p->files_total > 0)
        buf_printf(b, "  %llu/%llu files", (unsigned long long)p->files,
                   (unsigned long long)p->files_total);
    else if (p->files > 0)
        buf_printf(b, "  %llu files", (unsigned long long)p->files);
}

static size_t count_columns(struct str text)
{
    size_t columns = 0;

    for (size_t i = 0; i < text.len; i++)
        columns += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return columns;
}

/* Cuts the text to so many columns (one a code point). */
static void cut_columns(struct buf *b, size_t columns)
{
    size_t at = 0;

    for (; at < b->len; at++)
        if (((unsigned char)b->data[at] & 0xc0) != 0x80 && columns-- == 0)
            break;
    b->len = at;
}

static void put_percent(struct buf *b, double fraction)
{
    if (fraction >= 0)
        buf_printf(b, " %3d%%", (int)(fraction * 100));
}

/* Counts, bytes, rate and times. Work of which nothing is known but that it waits has no bytes. */
static void put_facts(struct buf *b, const struct progress *p, int64_t now_ms)
{
    bool is_waiting = p->bytes == 0 && p->bytes_total == 0 && p->files_total == 0;

    put_counts(b, p);
    if (!is_waiting) {
        put_bytes(b, p);
        put_rate(b, p);
        put_eta(b, p);
    }
    put_elapsed(b, p, now_ms);
}

/* The line without control sequences; the bar only where it fits. */
static void put_progress_line(struct buf *b, struct progress *p, size_t columns, int64_t now_ms)
{
    double fraction = fraction_of(p);
    struct buf facts = {0};

    put_facts(&facts, p, now_ms);
    buf_putc(b, "|/-\\"[p->turns++ % 4]);
    buf_putc(b, ' ');
    fs_put_printable(b, str_of(p->what));
    put_percent(b, fraction);
    size_t bar = BAR_CELLS + sizeof " []" - 1;
    if (fraction >= 0 && count_columns(buf_str(b)) + bar + facts.len <= columns)
        put_bar(b, fraction);
    buf_put_buf(b, &facts);
    buf_free(&facts);
    cut_columns(b, columns);
}

static void draw_bar(struct progress *p, int64_t now_ms)
{
    struct buf line = {0}, text = {0};

    /* The last column stays free: terminals differ in when they wrap. */
    put_progress_line(&line, p, terminal_columns() - 1, now_ms);
    buf_puts(&text, "\r");
    buf_put_buf(&text, &line);
    buf_puts(&text, "\x1b[K");
    if (!text.failed && put_terminal(buf_str(&text)))
        p->is_drawn = true;
    buf_free(&line);
    buf_free(&text);
}

/* A line for a log: of the time since the last one. */
static void print_progress_line(const struct progress *p, int64_t now_ms)
{
    struct buf line = {0};

    buf_printf(&line, "%s: ", prefix);
    fs_put_printable(&line, str_of(p->what));
    put_percent(&line, fraction_of(p));
    put_facts(&line, p, now_ms);
    buf_putc(&line, '\n');
    if (!line.failed) /* where this cannot be written, no error can be */
        (void)!fs_write_all(STDERR_FILENO, buf_str(&line), "standard error", ERR_IGNORED);
    buf_free(&line);
}

/* On a terminal exponential smoothing: what lies RATE_SECONDS back counts for about a third. */
static void measure_rate(struct progress *p, int64_t now_ms)
{
    double seconds = (double)(now_ms - p->drawn_ms) / 1000;

    if (p->bytes < p->drawn_bytes || seconds <= 0)
        return;
    double rate = (double)(p->bytes - p->drawn_bytes) / seconds;
    double weight = p->mode == PROGRESS_LINES ? 1 : seconds / (RATE_SECONDS + seconds);
    p->rate = p->rate < 0 ? rate : p->rate + weight * (rate - p->rate);
}

void progress_update(struct progress *p, uint64_t files, uint64_t bytes)
{
    p->files = files;
    p->bytes = bytes;
    progress_tick(p);
}

void progress_tick(struct progress *p)
{
    int64_t now_ms;

    if (p->mode == PROGRESS_SILENT)
        return;
    now_ms = clock_now_ms();
    if (now_ms - p->drawn_ms < (p->mode == PROGRESS_BAR ? p->times.redraw_ms : p->times.line_ms))
        return;
    measure_rate(p, now_ms);
    p->drawn_ms = now_ms;
    p->drawn_bytes = p->bytes;
    if (p->mode == PROGRESS_BAR)
        draw_bar(p, now_ms);
    else
        print_progress_line(p, now_ms);
}

int64_t progress_due_ms(const struct progress *p)
{
    if (p->mode == PROGRESS_SILENT)
        return CLOCK_NEVER_MS;
    return p->drawn_ms + (p->mode == PROGRESS_BAR ? p->times.tick_ms : p->times.line_ms);
}

void progress_clear(struct progress *p)
{
    if (p->is_drawn && put_terminal(STR("\r\x1b[K")))
        p->is_drawn = false;
}
