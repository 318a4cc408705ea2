/*
 * Downloads an object from a bucket into a part, however often the connection breaks: goes on from
 * there if the server can, else from zero; with a new URL when the old one has expired. The hash of
 * all bytes decides.
 */
#ifndef ZONE_OBJECT_GET_H
#define ZONE_OBJECT_GET_H

#include "zone/gateway.h"
#include "zone/part.h"

/* Redirections are followed to https:// alone, so many in a row; nothing but Range goes with them.
 */
enum { OBJECT_GET_MAX_REDIRECTS = 5 };

/*
 * Downloads an object. `part` is open, perhaps with bytes of an earlier time; `file` is the
 * gateway's answer. Returns 0 when all bytes are there and right. ERR_NOT_FOUND: the object is
 * gone. ERR_CHANGED: it is not what it should be, also when it is got anew in one piece; the part
 * is then spoilt.
 */
int object_get(struct gateway *g, const struct zone_call *how, const struct gateway_file *file,
               struct part *part, struct err *e) ERR_CHECKED;

#endif
