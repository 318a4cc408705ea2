#include "server/html.h"

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

void html_put_page(struct buf *out, struct str title, struct str paragraph)
{
    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>");
    html_put(out, title);
    buf_puts(out, "</title>\n</head>\n<body>\n<h1>");
    html_put(out, title);
    buf_puts(out, "</h1>\n<p>");
    html_put(out, paragraph);
    buf_puts(out, "</p>\n</body>\n</html>\n");
}
