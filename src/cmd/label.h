/* Labels that are made from files' names. */
#ifndef CMD_LABEL_H
#define CMD_LABEL_H

#include "base/buf.h"

/* Appends the base name of a path. A label is UTF-8: other bytes of the name become U+FFFD, for a
 * label is for people to read, and no file is found by it. */
void label_put_base_name(struct buf *out, const char *path);

#endif
