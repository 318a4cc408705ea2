#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_CAP = 256 };

void buf_free(struct buf *b)
{
    if (b == NULL)
        return;
    free(b->data);
    *b = (struct buf){0};
}

void buf_wipe(struct buf *b)
{
    if (b == NULL)
        return;
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_free(b);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

bool buf_reserve(struct buf *b, size_t extra)
{
    size_t cap = b->cap == 0 ? BUF_FIRST_CAP : b->cap;

    if (b->failed)
        return false;
    if (extra <= b->cap - b->len)
        return true;
    if (extra > SIZE_MAX / 4 - b->len) {
        b->failed = true;
        return false;
    }
    while (cap - b->len < extra)
        cap *= 2;
    char *data = realloc(b->data, cap);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

/* Copies, the usual few bytes by two steps that overlap: memcpy(3) of musl takes its time to
 * start. */
static void copy_piece(char *to, const char *from, size_t len)
{
    if (len > 32) {
        memcpy(to, from, len);
    } else if (len >= 16) {
        memcpy(to, from, 16);
        memcpy(to + len - 16, from + len - 16, 16);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else {
        for (size_t i = 0; i < len; i++)
            to[i] = from[i];
    }
}

void buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0 || !buf_reserve(b, len))
        return;
    copy_piece(b->data + b->len, data, len);
    b->len += len;
}

void buf_put(struct buf *b, struct str s)
{
    buf_append(b, s.p, s.len);
}

void buf_puts(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_put_buf(struct buf *b, const struct buf *other)
{
    b->failed |= other->failed;
    buf_put(b, buf_str(other));
}

void buf_putc(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;

    if (!buf_reserve(b, 1))
        return;
    size_t room = b->cap - b->len;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(b->data + b->len, room, format, args);
    if (n < 0)
        b->failed = true;
    else if ((size_t)n >= room && buf_reserve(b, (size_t)n + 1))
        vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
    if (!b->failed)
        b->len += (size_t)n;
    va_end(again);
    va_end(args);
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    if (n == 0)
        return;
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->data, b->len};
}

const char *buf_cstr(struct buf *b)
{
    if (!buf_reserve(b, 1))
        return "";
    b->data[b->len] = '\0';
    return b->data;
}

const char *buf_path(struct buf *b, struct err *e)
{
    const char *path = buf_cstr(b);

    if (buf_check(b, e) != 0)
        return NULL;
    if (b->len == 0)
        err_set(e, ERR_FAILED, "empty path");
    return b->len == 0 ? NULL : path;
}

int buf_no_path(struct err *e)
{
    return e->code != ERR_NONE ? -1 : err_set(e, ERR_FAILED, "out of memory");
}

char *buf_take(struct buf *b)
{
    if (!buf_reserve(b, 1)) {
        buf_free(b);
        return NULL;
    }
    b->data[b->len] = '\0';
    char *text = b->data;
    *b = (struct buf){0};
    return text;
}

int buf_check(const struct buf *b, struct err *e)
{
    return b->failed ? err_set(e, ERR_FAILED, "out of memory") : 0;
}
