#include "http/html.h"

void html_put(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        switch (text.p[i]) {
        case '<': buf_puts(out, "&lt;"); break;
        case '>': buf_puts(out, "&gt;"); break;
        case '&': buf_puts(out, "&amp;"); break;
        case '"': buf_puts(out, "&quot;"); break;
        default: buf_putc(out, text.p[i]);
        }
    }
}

void html_open(struct buf *out, struct str title)
{
    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>");
    html_put(out, title);
    buf_puts(out, "</title>\n</head>\n<body>\n<h1>");
    html_put(out, title);
    buf_puts(out, "</h1>\n");
}

void html_put_paragraph(struct buf *out, struct str text)
{
    buf_puts(out, "<p>");
    html_put(out, text);
    buf_puts(out, "</p>\n");
}

void html_put_lines(struct buf *out, struct str text)
{
    buf_puts(out, "<pre>");
    html_put(out, text);
    buf_puts(out, "</pre>\n");
}

void html_close(struct buf *out)
{
    buf_puts(out, "</body>\n</html>\n");
}

void html_put_page(struct buf *out, struct str title, struct str paragraph)
{
    html_open(out, title);
    html_put_paragraph(out, paragraph);
    html_close(out);
}
