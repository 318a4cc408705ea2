/* The progress line on a pseudo-terminal: what it says, how wide it is, when it is silent. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "cmd/progress.h"

static int terminal, slave, saved_stderr;

/* Failures are reported on stderr: it is the terminal only while a statement runs. */
#define ON_TERMINAL(statement)                                                                     \
    do {                                                                                           \
        dup2(slave, STDERR_FILENO);                                                                \
        statement;                                                                                 \
        dup2(saved_stderr, STDERR_FILENO);                                                         \
    } while (0)

static int open_terminal(void **state)
{
    (void)state;
    setenv("TERM", "xterm", 1);
    saved_stderr = dup(STDERR_FILENO);
    terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
        return -1;
    slave = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    return slave < 0 ? -1 : fcntl(terminal, F_SETFL, O_NONBLOCK);
}

static int close_terminal(void **state)
{
    (void)state;
    close(saved_stderr);
    close(slave);
    return close(terminal);
}

static void set_columns(unsigned short columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};

    assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
}

/* All that arrived at the terminal since. */
static const char *shown(struct buf *out)
{
    char data[4096];
    ssize_t n;

    buf_clear(out);
    while ((n = read(terminal, data, sizeof data)) > 0)
        buf_append(out, data, (size_t)n);
    return buf_cstr(out);
}

/* As if the last drawing was so long ago. */
static void update_after(struct progress *p, int ms, uint64_t files, uint64_t bytes)
{
    p->drawn_ms -= ms;
    ON_TERMINAL(progress_update(p, files, bytes));
}

static const struct line_case {
    const char *name, *what;
    unsigned short columns;
    int after_ms;
    uint64_t files, files_total, bytes, bytes_total;
    const char *want; /* up to the rate, which depends on the clock */
} line_cases[] = {
    {"one file", "loading", 120, 1000000, 0, 0, 450, 900,
     " loading  50% [##########..........]  450/900 B"},
    {"one file, units", "loading", 120, 1000000, 0, 0, 1250000000, 5000000000,
     " loading  25% [#####...............]  1.2/5.0 GB"},
    {"many files", "linking", 120, 1000000, 3, 10, 123456789, 0,
     " linking  30% [######..............]  3/10 files  123 MB"},
    {"no sums", "linking", 120, 1000000, 3, 0, 4200, 0, " linking  3 files  4.2 kB"},
    {"nothing yet", "loading", 120, 1000000, 0, 0, 0, 0, " loading  0:00"},
    {"more than all", "loading", 120, 1000000, 0, 0, 2000, 1000,
     " loading 100% [####################]  2.0/1.0 kB"},
    {"no room for the bar", "loading", 40, 1000000, 0, 0, 450, 900, " loading  50%  450/900 B"},
    {"name from elsewhere", "a\nb", 120, 1000000, 0, 0, 1, 0, " a\\x0ab  1 B"},
};

static void test_lines(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(line_cases); i++) {
        const struct line_case *c = &line_cases[i];
        struct progress p;
        set_columns(c->columns);
        ON_TERMINAL(progress_init(&p, c->what, false));
        p.files_total = c->files_total;
        p.bytes_total = c->bytes_total;
        update_after(&p, c->after_ms, c->files, c->bytes);
        shown(&out);
        unit_true(c->name, str_ends_with(buf_str(&out), STR("\x1b[K")));
        unit_true(c->name, out.len > 3 && out.data[0] == '\r' && strchr("|/-\\", out.data[1]));
        unit_equal_str(c->name, str_slice(buf_str(&out), 2, 2 + strlen(c->want)), str_of(c->want));
        ON_TERMINAL(progress_clear(&p));
        unit_equal(c->name, shown(&out), "\r\x1b[K");
        ON_TERMINAL(progress_clear(&p));
        unit_equal(c->name, shown(&out), "");
    }
    buf_free(&out);
}

/* 100 MB in about 100 s, 100 MB to go; then nothing for 10 s: slower, but not 0. */
static void test_rate(void **state)
{
    struct buf out = {0};
    struct progress p;

    (void)state;
    set_columns(120);
    ON_TERMINAL(progress_init(&p, "x", false));
    p.bytes_total = 200000000;
    update_after(&p, 99500, 0, 100000000);
    assert_non_null(strstr(shown(&out), " 100/200 MB  1.0 MB/s  ETA 1:"));
    p.rate = 900000;
    update_after(&p, 10000, 0, 100000000);
    assert_non_null(strstr(shown(&out), "  300 kB/s  ETA 5:3"));
    p.rate = 5000;
    update_after(&p, 200, 0, 100001000);
    assert_non_null(strstr(shown(&out), "  ETA 5:"));
    buf_free(&out);
}

/* Not on a terminal: whole lines, a minute apart, with the rate of that minute. */
static void test_log_lines(void **state)
{
    int pipes[2], was = slave;
    struct buf out = {0};
    struct progress p;
    char data[512];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    slave = pipes[1];
    progress_set_prefix("kachery-resource ", "load");
    ON_TERMINAL(progress_init(&p, "downloading", false));
    p.bytes_total = 400000000;
    update_after(&p, 59000, 0, 60000000);
    update_after(&p, 1000, 0, 120000000);
    assert_true(progress_due_ms(&p) >= p.drawn_ms + 60000);
    ON_TERMINAL(progress_begin_part(&p, "queued at the host"));
    update_after(&p, 30000, 0, 0);
    p.began_ms -= 61000;
    update_after(&p, 30000, 0, 0);
    ON_TERMINAL(progress_clear(&p));
    close(pipes[1]);
    slave = was;
    for (ssize_t n; (n = read(pipes[0], data, sizeof data)) > 0;)
        buf_append(&out, data, (size_t)n);
    close(pipes[0]);
    unit_equal("lines", buf_cstr(&out),
               "kachery-resource load: downloading  30%  120/400 MB  2.0 MB/s  2:20 left\n"
               "kachery-resource load: queued at the host  1:01\n");
    buf_free(&out);
}

/* Something moves each time, though nothing else does; and it is asked for often enough. */
static void test_moves(void **state)
{
    struct buf out = {0}, before = {0};
    struct progress p;

    (void)state;
    set_columns(80);
    ON_TERMINAL(progress_init(&p, "x", false));
    for (int i = 0; i < 5; i++) {
        assert_true(progress_due_ms(&p) <= p.drawn_ms + 1000);
        p.drawn_ms -= 100;
        ON_TERMINAL(progress_tick(&p));
        shown(&out);
        assert_true(out.len > 0 && !str_equal(buf_str(&out), buf_str(&before)));
        buf_clear(&before);
        buf_put(&before, buf_str(&out));
    }
    ON_TERMINAL(progress_init(&p, "x", true));
    assert_int_equal(progress_due_ms(&p), -1);
    buf_free(&out);
    buf_free(&before);
}

/* Never as wide as the terminal, whatever the name and the width. */
static void test_width(void **state)
{
    struct buf out = {0};

    (void)state;
    for (unsigned short columns = 1; columns < 90; columns++) {
        struct progress p;
        size_t width = 0;
        set_columns(columns);
        ON_TERMINAL(progress_init(&p, "naïve €uro 𝄞 name of a file", false));
        p.bytes_total = 2000000;
        update_after(&p, 100000, 5, 1000000);
        shown(&out);
        assert_true(str_is_utf8(buf_str(&out)));
        for (size_t i = 1; i + 3 < out.len; i++)
            width += ((unsigned char)out.data[i] & 0xc0) != 0x80;
        assert_true(width == (size_t)columns - 1 || (columns > 60 && width < columns));
    }
    buf_free(&out);
}

static void test_seldom(void **state)
{
    struct buf out = {0};
    struct progress p;
    size_t drawings = 0;

    (void)state;
    set_columns(80);
    ON_TERMINAL(progress_init(&p, "x", false));
    for (uint64_t i = 0; i < 10; i++) {
        p.drawn_ms += 1000000; /* drawn in the future: not due again, however slow the machine */
        ON_TERMINAL(progress_update(&p, 0, i));
        p.drawn_ms -= 1000000;
    }
    for (const char *at = shown(&out); (at = strchr(at, '\r')) != NULL; at++)
        drawings++;
    assert_int_equal(drawings, 0);
    ON_TERMINAL(progress_clear(&p));
    unit_equal("nothing to clear", shown(&out), "");
    buf_free(&out);
}

static void test_silent(void **state)
{
    struct buf out = {0};
    struct progress p;

    (void)state;
    set_columns(80);
    ON_TERMINAL(progress_init(&p, "x", true));
    update_after(&p, 1000, 1, 1);
    unit_equal("quiet", shown(&out), "");
    setenv("TERM", "dumb", 1);
    ON_TERMINAL(progress_init(&p, "x", false));
    update_after(&p, 1000, 1, 1);
    unit_equal("dumb terminal", shown(&out), "");
    setenv("TERM", "xterm", 1);
    int was = slave;
    slave = open("/dev/null", O_WRONLY);
    ON_TERMINAL(progress_init(&p, "x", false));
    close(slave);
    slave = was;
    update_after(&p, 1000, 1, 1);
    unit_equal("no terminal", shown(&out), "");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, open_terminal, close_terminal),
        cmocka_unit_test_setup_teardown(test_rate, open_terminal, close_terminal),
        cmocka_unit_test_setup_teardown(test_log_lines, open_terminal, close_terminal),
        cmocka_unit_test_setup_teardown(test_moves, open_terminal, close_terminal),
        cmocka_unit_test_setup_teardown(test_width, open_terminal, close_terminal),
        cmocka_unit_test_setup_teardown(test_seldom, open_terminal, close_terminal),
        cmocka_unit_test_setup_teardown(test_silent, open_terminal, close_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
