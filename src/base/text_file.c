#include "base/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/oddity.h"
#include "base/place.h"

static const struct mark {
    struct str bytes;
    const char *name; /* NULL: UTF-8 */
} marks[] = {
    {{"\xff\xfe\0\0", 4}, "UTF-32 text"},
    {{"\0\0\xfe\xff", 4}, "UTF-32 text"},
    {{"\xff\xfe", 2}, "UTF-16 text"},
    {{"\xfe\xff", 2}, "UTF-16 text"},
    {{"\xef\xbb\xbf", 3}, NULL},
};

static const struct mark *mark_of(struct str text)
{
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (str_starts_with(text, marks[i].bytes))
            return &marks[i];
    return NULL;
}

const char *text_file_foreign(struct str text)
{
    const struct mark *mark = mark_of(text);

    return mark == NULL ? NULL : mark->name;
}

/* UTF-16 without a mark: each letter of ours is a byte beside a zero. */
static bool looks_wide(struct str text)
{
    return text.len >= 4 && (text.p[0] == '\0') != (text.p[1] == '\0') &&
           (text.p[0] == '\0') == (text.p[2] == '\0') && (text.p[1] == '\0') == (text.p[3] == '\0');
}

size_t text_file_mark(struct str text)
{
    const struct mark *mark = mark_of(text);

    return mark == NULL || mark->name != NULL ? 0 : mark->bytes.len;
}

/* The number of the line that the byte is in. */
static size_t line_of(struct str text, size_t at)
{
    size_t line = 1;

    for (size_t i = 0; i < at; i++)
        line += text.p[i] == '\n';
    return line;
}

int text_file_tidy(struct buf *text, size_t start, struct err *e)
{
    struct str all = str_slice(buf_str(text), start, text->len);
    const char *foreign = looks_wide(all) ? "UTF-16 text" : text_file_foreign(all);
    size_t nul = str_find(all, '\0'), kept = start;

    if (foreign != NULL)
        return err_set(e, ERR_FAILED,
                       "is %s: save it as UTF-8 (Windows' Notepad calls UTF-16 \"Unicode\")",
                       foreign);
    if (nul < all.len)
        return err_set(e, ERR_FAILED, "line %zu has a NUL byte: want plain text",
                       line_of(all, nul));
    for (size_t i = start + text_file_mark(all); i < text->len; i++) {
        bool is_line_end = text->data[i] == '\r' && i + 1 < text->len && text->data[i + 1] == '\n';
        bool is_last = text->data[i] == '\r' && i + 1 == text->len;
        if (!is_line_end && !is_last)
            text->data[kept++] = text->data[i];
    }
    text->len = kept;
    return 0;
}

int text_file_read(const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    size_t start = out->len;
    struct err why = {0};

    if (fs_read_pipe(path, max_bytes, out, e) != 0)
        return -1;
    if (text_file_tidy(out, start, &why) == 0)
        return 0;
    out->len = start;
    return err_set(e, why.code, "%s %s", path, why.msg);
}

int text_file_check_secret(struct str secret, struct err *e)
{
    char odd[ODDITY_SIZE];

    if (secret.len == 0)
        return err_set(e, ERR_USAGE, "the secret is empty");
    if (secret.len > TEXT_SECRET_BYTES)
        return err_set(e, ERR_USAGE, "the secret has %zu bytes: want 1 to %d characters",
                       secret.len, TEXT_SECRET_BYTES);
    if (!str_is_utf8(secret))
        return err_set(e, ERR_USAGE, "the secret is not UTF-8 text");
    if (!oddity_find(secret, ODDITY_INSIDE, odd))
        return 0;
    return err_set(e, ERR_USAGE,
                   "the secret %s, which would be part of it here and perhaps not elsewhere: want "
                   "the secret alone",
                   odd);
}

int text_file_check_owner(const char *path, struct err *e)
{
    int fd = open(path, O_PATH | O_CLOEXEC), result;

    if (fd < 0)
        return err_errno(e, ERR_FAILED, errno, "cannot open %s", path);
    result = place_check_open(fd, path, e);
    close(fd);
    return result;
}

int text_file_read_secret(const char *path, struct buf *out, struct err *e)
{
    struct buf text = {0};
    struct err why = {0};
    int result = -1;

    if (text_file_read(path, TEXT_SECRET_FILE_BYTES, &text, e) != 0 ||
        text_file_check_owner(path, e) != 0)
        goto out;
    struct str line = str_slice(buf_str(&text), 0, str_find(buf_str(&text), '\n'));
    if (line.len == 0)
        err_set(e, ERR_FAILED, "%s: want the proxy secret in its first line", path);
    else if (text_file_check_secret(line, &why) != 0)
        err_set(e, ERR_FAILED, "%s: %s", path, why.msg);
    else {
        buf_put(out, line);
        result = buf_check(out, e);
    }
out:
    buf_wipe(&text);
    return result;
}
