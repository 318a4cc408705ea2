#include "base/text_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ready.h"
#include "base/text_file.h"

enum { CHUNK_BYTES = 65536, SHOWN_BYTES = 100, MARK_BYTES = 4 };

int text_lines_open(struct text_lines *l, const char *path, bool is_nul_separated,
                    size_t max_bytes, struct err *e)
{
    *l = (struct text_lines){.fd = STDIN_FILENO,
                             .is_nul_separated = is_nul_separated,
                             .max_bytes = max_bytes};
    if (strcmp(path, "-") != 0)
        l->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return l->fd >= 0 ? 0 : err_errno(e, ERR_FAILED, errno, "%s", path);
}

void text_lines_close(struct text_lines *l)
{
    if (l->fd > STDIN_FILENO)
        close(l->fd);
    l->fd = -1;
    l->is_ended = true;
    buf_free(&l->data);
}

void text_lines_wait(const struct text_lines *l)
{
    ready_wait(l->fd, READY_READ, CLOCK_NEVER_MS);
}

static enum text_lines_step end_list_badly(struct text_lines *l)
{
    l->is_ended = true;
    l->used = l->data.len;
    return TEXT_LINES_BAD;
}

/* The first bytes: what is no UTF-8 at all is not a list of ours. */
static enum text_lines_step begin_list(struct text_lines *l, struct str *entry, struct err *e)
{
    const char *foreign = l->is_nul_separated ? NULL : text_file_foreign(buf_str(&l->data));

    l->is_begun = true;
    if (foreign != NULL) {
        *entry = STR("");
        err_set(e, ERR_FAILED,
                "the list is %s: save it as UTF-8 (Windows' Notepad calls UTF-16 \"Unicode\")",
                foreign);
        return end_list_badly(l);
    }
    l->used += l->is_nul_separated ? 0 : text_file_mark(buf_str(&l->data));
    return TEXT_LINES_ENTRY;
}

/* Reads more, if that does not block. TEXT_LINES_ENTRY: something was read. */
static enum text_lines_step read_more(struct text_lines *l, struct str *entry, struct err *e)
{
    ssize_t n = -1;

    buf_consume(&l->data, l->used);
    l->used = 0;
    if (ready_look(l->fd, READY_READ) == 0)
        return TEXT_LINES_WAIT;
    if (buf_reserve(&l->data, CHUNK_BYTES)) {
        n = read(l->fd, l->data.data + l->data.len, CHUNK_BYTES);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return TEXT_LINES_WAIT;
    }
    if (n < 0) {
        err_errno(e, ERR_FAILED, l->data.failed ? ENOMEM : errno, "cannot read the list");
        *entry = STR("");
        return end_list_badly(l);
    }
    l->data.len += (size_t)n;
    l->is_ended = n == 0;
    return TEXT_LINES_ENTRY;
}

static enum text_lines_step refuse_entry(struct str *entry, struct str line)
{
    *entry = str_cut(str_slice(line, 0, str_find(line, '\0')), SHOWN_BYTES);
    return TEXT_LINES_BAD;
}

static enum text_lines_step refuse_overlong_entry(const struct text_lines *l, struct str *entry,
                                                  struct str line, struct err *e)
{
    err_set(e, ERR_FAILED, "more than %zu bytes in one entry of the list", l->max_bytes);
    return refuse_entry(entry, line);
}

/* Most likely the option for lists that are separated by NUL was left out. */
static enum text_lines_step refuse_nul(struct str *entry, struct str line, struct err *e)
{
    bool is_wide = line.p[0] == '\0' || (line.len > 1 && line.p[1] == '\0');

    err_set(e, ERR_FAILED, "a NUL byte in the list: want -0 if that separates the paths%s",
            is_wide ? ", or UTF-8 if this is UTF-16" : "");
    return refuse_entry(entry, line);
}

static enum text_lines_step refuse_list(struct text_lines *l, struct str *entry, struct err *e)
{
    err_set(e, ERR_FAILED, "no entry in %d bytes: this is no list", TEXT_LINES_MAX_SKIPPED);
    *entry = STR("");
    return end_list_badly(l);
}

/* A whole entry of `end` bytes at the front of `rest`; TEXT_LINES_WAIT: one to leave out. */
static enum text_lines_step take_entry_line(struct text_lines *l, struct str rest, size_t end,
                                            struct str *entry, struct err *e)
{
    struct str line = str_slice(rest, 0, end);
    bool is_tail = l->is_overlong;

    l->is_overlong = false;
    l->used += end + (end < rest.len);
    if (!l->is_nul_separated && str_ends_with(line, STR("\r")))
        line.len--;
    l->skipped += end + 1;
    if (line.len == 0 || is_tail)
        return TEXT_LINES_WAIT;
    l->skipped = 0;
    if (line.len > l->max_bytes)
        return refuse_overlong_entry(l, entry, line, e);
    if (!l->is_nul_separated && memchr(line.p, '\0', line.len) != NULL)
        return refuse_nul(entry, line, e);
    *entry = line;
    return TEXT_LINES_ENTRY;
}

enum text_lines_step text_lines_next(struct text_lines *l, struct str *entry, struct err *e)
{
    for (;;) {
        enum text_lines_step step = TEXT_LINES_WAIT;
        struct str rest = str_slice(buf_str(&l->data), l->used, l->data.len);
        size_t end = str_find(rest, l->is_nul_separated ? '\0' : '\n');
        bool is_known = l->is_begun || rest.len >= MARK_BYTES || end < rest.len || l->is_ended;
        if (is_known && !l->is_begun && rest.len > 0) {
            step = begin_list(l, entry, e);
            if (step == TEXT_LINES_BAD)
                return step;
            continue;
        }
        if (is_known && (end < rest.len || (l->is_ended && rest.len > 0))) {
            step = take_entry_line(l, rest, end, entry, e);
            if (step != TEXT_LINES_WAIT)
                return step;
            continue;
        }
        if (l->is_ended)
            return TEXT_LINES_END;
        if (rest.len > l->max_bytes + 2) { /* not whole yet, and too long already */
            bool was_overlong = l->is_overlong;
            l->is_overlong = true;
            l->used = l->data.len;
            l->skipped += rest.len;
            if (!was_overlong)
                return refuse_overlong_entry(l, entry, rest, e);
        }
        if (l->skipped > TEXT_LINES_MAX_SKIPPED)
            return refuse_list(l, entry, e);
        step = read_more(l, entry, e);
        if (step != TEXT_LINES_ENTRY)
            return step;
    }
}
