/* HTTP/1.1 heads out. */
#include <stdio.h>
#include <string.h>

#include "proto/http_head.h"

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {511, "Network Authentication Required"},
};

const char *http_head_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    /* Else what its first digit means (RFC 9110 §15); statuses above 599 count as 5xx. */
    return status >= 500   ? "Server Error"
           : status >= 400 ? "Client Error"
           : status >= 300 ? "Redirection"
                           : "";
}

/* A value that is put into a head stays within its line. */
static void put_checked(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
            out->failed = true;
    buf_put(out, s);
}

/* A method or target: moreover without a space. */
static void put_line_word(struct buf *out, struct str s)
{
    if (s.len == 0 || str_find(s, ' ') < s.len)
        out->failed = true;
    put_checked(out, s);
}

void http_head_put_request(struct buf *out, struct str method, struct str target)
{
    put_line_word(out, method);
    buf_putc(out, ' ');
    put_line_word(out, target);
    buf_puts(out, " HTTP/1.1\r\n");
}

void http_head_put_status(struct buf *out, int status)
{
    char code[] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                   (char)('0' + status % 10), ' '};

    buf_puts(out, "HTTP/1.1 ");
    buf_append(out, code, sizeof code);
    buf_puts(out, http_head_reason(status));
    buf_puts(out, "\r\n");
}

void http_head_put_header(struct buf *out, const char *name, struct str value)
{
    put_line_word(out, str_of(name));
    buf_puts(out, ": ");
    put_checked(out, value);
    buf_puts(out, "\r\n");
}

void http_head_put_length(struct buf *out, uint64_t content_length)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + content_length % 10);
        content_length /= 10;
    } while (content_length > 0);
    http_head_put_header(out, "Content-Length", (struct str){digits + at, sizeof digits - at});
}

void http_head_put_end(struct buf *out)
{
    buf_puts(out, "\r\n");
}
