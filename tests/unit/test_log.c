/* Log lines: their form, what cannot be forged, and that a full pipe does not stop the program. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/log_limit.h"

static void keep(void *ctx, const char *line, size_t len)
{
    buf_append(ctx, line, len);
}

/* The text behind "2026-11-22T09:15:02.123Z LEVEL ". */
static const char *body_of(const char *name, struct buf *lines)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
    const char *line = buf_cstr(lines);

    unit_true(name, strlen(line) > sizeof form);
    for (size_t i = 0; form[i] != '\0'; i++)
        unit_true(name, form[i] == 'd' ? line[i] >= '0' && line[i] <= '9' : line[i] == form[i]);
    return line + sizeof form - 1;
}

static const struct text_case {
    const char *name, *text, *want;
} text_cases[] = {
    {"plain", "upload sha1=abc bytes=5", "info upload sha1=abc bytes=5\n"},
    {"UTF-8", "naïve €𝄞", "info naïve €𝄞\n"},
    {"forged line", "a\n2026-01-01T00:00:00.000Z info b",
     "info a\\x0a2026-01-01T00:00:00.000Z info b\n"},
    {"carriage return, escape", "\r\x1b[2K\x7f", "info \\x0d\\x1b[2K\\x7f\n"},
    {"C1 as UTF-8", "\xc2\x9b", "info \\xc2\\x9b\n"},
    {"line separator", "a\xe2\x80\xa8" "b", "info a\\xe2\\x80\\xa8b\n"},
    {"dashes before it", "\xe2\x80\xa7", "info \xe2\x80\xa7\n"},
    {"not UTF-8", "caf\xe9 \xe2\x82", "info caf\\xe9 \\xe2\\x82\n"},
    {"empty", "", "info \n"},
};

static void test_text(void **state)
{
    struct buf lines = {0};

    (void)state;
    log_set_sink(keep, &lines);
    for (size_t i = 0; i < UNIT_COUNT(text_cases); i++) {
        buf_clear(&lines);
        log_line(LOG_INFO, "%s", text_cases[i].text);
        unit_equal(text_cases[i].name, body_of(text_cases[i].name, &lines), text_cases[i].want);
    }
    log_set_sink(NULL, NULL);
    buf_free(&lines);
}

/* Whatever is in it: at most 1000 bytes with the line end, whole sequences, a cut that shows. */
static void test_long(void **state)
{
    static const char *const units[] = {"x", "€", "\n", "\xff"};
    char text[5000];
    struct buf lines = {0};

    (void)state;
    log_set_sink(keep, &lines);
    for (size_t i = 0; i < UNIT_COUNT(units); i++) {
        text[0] = '\0';
        for (size_t len = 0; len + 8 < sizeof text; len += strlen(units[i]))
            memcpy(text + len, units[i], strlen(units[i]) + 1);
        buf_clear(&lines);
        log_line(LOG_INFO, "%s", text);
        unit_true(units[i], lines.len <= 1000 && lines.len > 990);
        unit_true(units[i], str_ends_with(buf_str(&lines), STR("...\n")));
        unit_true(units[i], str_is_utf8(buf_str(&lines)));
    }
    log_set_sink(NULL, NULL);
    buf_free(&lines);
}

static void test_levels(void **state)
{
    struct buf lines = {0};

    (void)state;
    log_set_sink(keep, &lines);
    log_line(LOG_DEBUG, "hidden");
    assert_int_equal(lines.len, 0);
    errno = ENOSPC;
    log_line(LOG_ERROR, "n=%d", 5);
    assert_int_equal(errno, ENOSPC);
    unit_equal("error", body_of("error", &lines), "error n=5\n");
    buf_clear(&lines);
    log_set_level(LOG_DEBUG);
    log_line(LOG_DEBUG, "shown");
    unit_equal("debug", body_of("debug", &lines), "debug shown\n");
    log_set_level(LOG_ERROR);
    buf_clear(&lines);
    log_line(LOG_WARN, "hidden");
    assert_int_equal(lines.len, 0);
    log_set_level(LOG_INFO);
    log_set_sink(NULL, NULL);
    buf_free(&lines);
}

/* How often `part` is in the lines, and the sum of the numbers behind it, if there are any. */
static size_t count_parts(struct buf *lines, const char *part, unsigned long long *sum)
{
    size_t count = 0;

    for (const char *at = buf_cstr(lines); (at = strstr(at, part)) != NULL; count++) {
        at += strlen(part);
        *sum += strtoull(at, NULL, 10);
    }
    return count;
}

/* More of one kind than anybody wants to read: the rest is counted, and said at once. */
static void test_too_many(void **state)
{
    enum { LINES = LOG_LIMIT_BURST + 500 };
    unsigned long long first = 0, sum = 0, none = 0;
    struct buf lines = {0};

    (void)state;
    log_set_sink(keep, &lines);
    for (int i = 0; i < LINES; i++)
        log_line(LOG_INFO, "refused %.*s (%05zu, %lld%%) by=%s", 3, "you", (size_t)i, 1LL, "me");
    assert_int_equal(count_parts(&lines, "warn log lines left out=", &first), 1);
    assert_int_equal(first, 1);
    assert_non_null(strstr(buf_cstr(&lines), "left out=1: refused … (…, ……) by=…\n"));
    log_line(LOG_INFO, "another kind");
    assert_non_null(strstr(buf_cstr(&lines), "info another kind\n"));
    log_end();
    log_end();
    assert_int_equal(count_parts(&lines, "warn log lines left out=", &sum), 2);
    size_t written = count_parts(&lines, "info refused you (", &none);
    assert_int_equal(written + sum, LINES);
    assert_in_range(written, LOG_LIMIT_BURST, LOG_LIMIT_BURST + 60); /* a busy minute at most */
    log_set_sink(NULL, NULL);
    buf_free(&lines);
}

/* stderr becomes a pipe that nobody reads until it is full. Returns the reading end. */
static int redirect(int *saved)
{
    int fds[2];

    *saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    close(fds[1]);
    return fds[0];
}

static void restore(int saved)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
}

static size_t drain(int fd, struct buf *out)
{
    char data[4096];
    ssize_t n;

    buf_clear(out);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while ((n = read(fd, data, sizeof data)) > 0)
        buf_append(out, data, (size_t)n);
    return out->len;
}

static void test_full_pipe(void **state)
{
    enum { LINES = 1000 };
    char filler[200];
    struct buf got = {0};
    int saved, from, whole = 0;
    unsigned long long missing;

    (void)state;
    memset(filler, '.', sizeof filler);
    filler[sizeof filler - 1] = '\0';
    from = redirect(&saved);
    for (int i = 0; i < LINES; i++)
        log_line(LOG_INFO, "line %d %s", i, filler);
    drain(from, &got);
    for (size_t i = 0; i < got.len; i++)
        whole += got.data[i] == '\n';
    bool is_whole = got.len > 0 && got.data[got.len - 1] == '\n';
    log_line(LOG_INFO, "after");
    drain(from, &got);
    restore(saved);
    close(from);
    assert_true(whole > 100 && whole < LINES && is_whole);
    const char *report = strstr(buf_cstr(&got), "warn log lines dropped=");
    assert_non_null(report);
    missing = strtoull(strchr(report, '=') + 1, NULL, 10);
    assert_int_equal(missing, LINES - whole);
    assert_non_null(strstr(report, "info after\n"));
    buf_free(&got);
}

/* Another process's lines go out as they are, past level and sink. */
static void test_finished(void **state)
{
    struct buf got = {0}, sunk = {0};
    struct err e = {0};
    int saved, from;

    (void)state;
    from = redirect(&saved);
    log_set_sink(keep, &sunk);
    assert_int_equal(log_finished("a line\n", 7, &e), 0);
    log_set_sink(NULL, NULL);
    drain(from, &got);
    restore(saved);
    close(from);
    unit_equal("as it is", buf_cstr(&got), "a line\n");
    assert_int_equal(sunk.len, 0);
    buf_free(&got);
    buf_free(&sunk);
}

/* The reader is gone: no SIGPIPE, no wait. */
static void test_broken_pipe(void **state)
{
    struct buf got = {0};
    int saved, from;

    (void)state;
    close(redirect(&saved));
    log_line(LOG_INFO, "nobody reads this");
    restore(saved);
    from = redirect(&saved);
    log_line(LOG_INFO, "again");
    drain(from, &got);
    restore(saved);
    close(from);
    assert_non_null(strstr(buf_cstr(&got), "dropped=1\n"));
    buf_free(&got);
}

static void test_file(void **state)
{
    char folder[] = "/tmp/test_log.XXXXXX", path[64], moved[64];
    struct buf content = {0};
    struct err e = {0};
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(moved, sizeof moved, "%s/log.1", folder);
    assert_int_equal(log_open(&(struct log_file_options){.path = path}, &e), 0);
    log_line(LOG_INFO, "one");
    assert_int_equal(rename(path, moved), 0);
    log_line(LOG_INFO, "two");
    assert_int_equal(log_open(&(struct log_file_options){.path = path}, &e), 0);
    log_line(LOG_INFO, "three");
    assert_int_equal(log_open(&(struct log_file_options){.path = folder}, &e), -1);
    assert_non_null(strstr(e.msg, folder));
    log_line(LOG_INFO, "four");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(fs_read_file(moved, 1000, &content, &e), 0);
    assert_non_null(strstr(buf_cstr(&content), "info two\n"));
    buf_clear(&content);
    assert_int_equal(fs_read_file(path, 1000, &content, &e), 0);
    unit_equal("first line", strchr(buf_cstr(&content), 'Z'),
               strstr(buf_cstr(&content), "Z info three\n"));
    assert_non_null(strstr(buf_cstr(&content), "info four\n"));
    unlink(path);
    unlink(moved);
    rmdir(folder);
    buf_free(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),        cmocka_unit_test(test_long),
        cmocka_unit_test(test_levels),      cmocka_unit_test(test_full_pipe),
        cmocka_unit_test(test_finished),    cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_broken_pipe), cmocka_unit_test(test_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
