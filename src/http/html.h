/* The servers' small pages. */
#ifndef HTTP_HTML_H
#define HTTP_HTML_H

#include "base/buf.h"
#include "base/str.h"

/* Appends text with <, >, & and " escaped; also good for XML. */
void html_put(struct buf *out, struct str text);

/* Appends a page's start, with a title that is also its heading, and its end. Between them come
 * paragraphs (plain text), preformatted text, and whatever the caller appends itself. */
void html_open(struct buf *out, struct str title);
void html_put_paragraph(struct buf *out, struct str text);
void html_put_lines(struct buf *out, struct str text);
void html_close(struct buf *out);

/* Appends a whole page: a title and one paragraph. */
void html_put_page(struct buf *out, struct str title, struct str paragraph);

#endif
