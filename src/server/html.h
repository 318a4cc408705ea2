/* The servers' small pages. */
#ifndef SERVER_HTML_H
#define SERVER_HTML_H

#include "base/buf.h"
#include "base/str.h"

/* Appends text with <, >, & and " escaped; also good for XML. */
void html_put(struct buf *out, struct str text);

/* Appends a whole page: a title, which is also its heading, and one paragraph (plain text). */
void html_put_page(struct buf *out, struct str title, struct str paragraph);

#endif
