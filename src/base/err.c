#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Removes a multi-byte sequence that the end of the buffer cut in two. */
static void trim_partial_utf8(char *text, size_t len)
{
    size_t start = len;

    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (want > 1 && len - start + 1 < want)
        text[start - 1] = '\0';
}

static void format_message(char *out, const char *format, va_list args)
{
    int n = vsnprintf(out, ERR_MESSAGE_SIZE, format, args);

    if (n >= ERR_MESSAGE_SIZE)
        trim_partial_utf8(out, strlen(out));
}

/* Appends in place; what does not fit is cut. */
static void append(char *msg, const char *separator, const char *text)
{
    size_t len = strlen(msg);

    int n = snprintf(msg + len, ERR_MESSAGE_SIZE - len, "%s%s", separator, text);
    if (n >= (int)(ERR_MESSAGE_SIZE - len))
        trim_partial_utf8(msg, strlen(msg));
}

int err_set(struct err *e, enum err_code code, const char *format, ...)
{
    char msg[ERR_MESSAGE_SIZE];
    va_list args;

    if (e == NULL)
        return -1;
    va_start(args, format);
    format_message(msg, format, args);
    va_end(args);
    e->code = code;
    memcpy(e->msg, msg, sizeof msg);
    return -1;
}

int err_errno(struct err *e, enum err_code code, int number, const char *format, ...)
{
    char msg[ERR_MESSAGE_SIZE];
    va_list args;

    if (e == NULL)
        return -1;
    va_start(args, format);
    format_message(msg, format, args);
    va_end(args);
    append(msg, ": ", strerror(number));
    e->code = code;
    memcpy(e->msg, msg, sizeof msg);
    return -1;
}

int err_wrap(struct err *e, const char *format, ...)
{
    char msg[ERR_MESSAGE_SIZE];
    va_list args;

    if (e == NULL)
        return -1;
    va_start(args, format);
    format_message(msg, format, args);
    va_end(args);
    append(msg, ": ", e->msg);
    memcpy(e->msg, msg, sizeof msg);
    return -1;
}
