#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hint.h"

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

/* Puts the formatted text and what follows it into e->msg, which may be what follows; what does not
 * fit is cut. */
static void format_message(struct err *e, const char *separator, const char *behind,
                           const char *format, va_list args)
{
    char msg[ERR_MESSAGE_SIZE];
    int n = vsnprintf(msg, sizeof msg, format, args);
    size_t len = strlen(msg);

    if (n < (int)sizeof msg)
        n += snprintf(msg + len, sizeof msg - len, "%s%s", separator, behind);
    if (n >= (int)sizeof msg)
        trim_partial_utf8(msg, strlen(msg));
    memcpy(e->msg, msg, sizeof msg);
}

int err_set(struct err *e, enum err_code code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    format_message(e, "", "", format, args);
    va_end(args);
    e->code = code;
    return -1;
}

/* Appends all of the hint or nothing: half a cure is none. */
static void append_hint(struct err *e, const char *hint)
{
    size_t len = strlen(e->msg);

    if (len + strlen(hint) < sizeof e->msg)
        memcpy(e->msg + len, hint, strlen(hint) + 1);
}

int err_errno(struct err *e, enum err_code code, int number, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    format_message(e, ": ", strerror(number), format, args);
    va_end(args);
    append_hint(e, hint_of(number));
    e->code = code;
    return -1;
}

int err_wrap(struct err *e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    format_message(e, ": ", e->msg, format, args);
    va_end(args);
    return -1;
}

int err_copy(struct err *e, const struct err *from)
{
    return err_from(e, from->code, from);
}

int err_from(struct err *e, enum err_code code, const struct err *cause)
{
    memmove(e->msg, cause->msg, strlen(cause->msg) + 1);
    e->code = code;
    return -1;
}
