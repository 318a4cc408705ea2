#include "base/progress.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"

enum { REDRAW_MS = 100, BAR_CELLS = 20, DEFAULT_COLUMNS = 80 };

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
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&p, 1, 0) == 1 && p.revents == POLLOUT &&
           write(STDERR_FILENO, text.p, text.len) >= 0;
}

void progress_init(struct progress *p, const char *what, bool is_quiet)
{
    const char *terminal = getenv("TERM");

    *p = (struct progress){.what = what, .rate = -1, .drawn_ms = clock_now_ms()};
    p->is_shown = !is_quiet && isatty(STDERR_FILENO) &&
                  (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

struct unit {
    const char *name;
    double bytes;
};

static const struct unit *unit_for(double bytes)
{
    static const struct unit units[] = {
        {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
    };
    const struct unit *unit = units;

    while (bytes < unit->bytes && unit->bytes > 1)
        unit++;
    return unit;
}

static void put_amount(struct buf *b, double bytes, const struct unit *unit)
{
    double value = bytes / unit->bytes;

    buf_printf(b, "%.*f", unit->bytes > 1 && value < 100 ? 1 : 0, value);
}

static void put_bytes(struct buf *b, const struct progress *p)
{
    const struct unit *unit = unit_for((double)(p->bytes_total > 0 ? p->bytes_total : p->bytes));

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
    const struct unit *unit = unit_for(p->rate);

    if (p->rate < 0)
        return;
    buf_puts(b, "  ");
    put_amount(b, p->rate, unit);
    buf_printf(b, " %s/s", unit->name);
}

static void put_eta(struct buf *b, const struct progress *p)
{
    if (p->rate < 1 || p->bytes_total <= p->bytes)
        return;
    double seconds = (double)(p->bytes_total - p->bytes) / p->rate;
    if (seconds > 359999)
        return;
    unsigned left = (unsigned)(seconds + 0.5);
    if (left >= 3600)
        buf_printf(b, "  ETA %u:%02u:%02u", left / 3600, left / 60 % 60, left % 60);
    else
        buf_printf(b, "  ETA %u:%02u", left / 60, left % 60);
}

/* What part is done, in 0 to 1: by bytes when their sum is known, else by files; -1: unknown. */
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
static void cut(struct buf *b, size_t columns)
{
    size_t at = 0;

    for (; at < b->len; at++)
        if (((unsigned char)b->data[at] & 0xc0) != 0x80 && columns-- == 0)
            break;
    b->len = at;
}

/* The line without control sequences; the bar only where it fits. */
static void put_line(struct buf *b, const struct progress *p, size_t columns)
{
    double fraction = fraction_of(p);
    struct buf facts = {0};

    put_counts(&facts, p);
    put_bytes(&facts, p);
    put_rate(&facts, p);
    put_eta(&facts, p);
    fs_put_printable(b, str_of(p->what));
    if (fraction >= 0)
        buf_printf(b, " %3d%%", (int)(fraction * 100));
    size_t bar = BAR_CELLS + sizeof " []" - 1;
    if (fraction >= 0 && count_columns(buf_str(b)) + bar + facts.len <= columns)
        put_bar(b, fraction);
    buf_put(b, buf_str(&facts));
    buf_free(&facts);
    cut(b, columns);
}

static void draw(struct progress *p)
{
    struct buf line = {0}, text = {0};

    /* The last column stays free: terminals differ in when they wrap. */
    put_line(&line, p, terminal_columns() - 1);
    buf_puts(&text, "\r");
    buf_put(&text, buf_str(&line));
    buf_puts(&text, "\x1b[K");
    if (!text.failed && put_terminal(buf_str(&text)))
        p->is_drawn = true;
    buf_free(&line);
    buf_free(&text);
}

/* Exponential smoothing: what lies RATE_SECONDS back counts for about a third. */
static void measure_rate(struct progress *p, int64_t now_ms)
{
    double seconds = (double)(now_ms - p->drawn_ms) / 1000;

    if (p->bytes < p->drawn_bytes || seconds <= 0)
        return;
    double rate = (double)(p->bytes - p->drawn_bytes) / seconds;
    double weight = p->rate < 0 ? 1 : seconds / (RATE_SECONDS + seconds);
    p->rate = p->rate < 0 ? rate : p->rate + weight * (rate - p->rate);
}

void progress_update(struct progress *p, uint64_t files, uint64_t bytes)
{
    p->files = files;
    p->bytes = bytes;
    if (!p->is_shown)
        return;
    int64_t now_ms = clock_now_ms();
    if (now_ms - p->drawn_ms < REDRAW_MS)
        return;
    measure_rate(p, now_ms);
    p->drawn_ms = now_ms;
    p->drawn_bytes = bytes;
    draw(p);
}

void progress_clear(struct progress *p)
{
    if (p->is_drawn && put_terminal(STR("\r\x1b[K")))
        p->is_drawn = false;
}
