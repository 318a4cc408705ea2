/* Has the bucket read an object anew, of which a relay found a part wrong. */
#ifndef HUB_OBJECT_DOUBT_H
#define HUB_OBJECT_DOUBT_H

#include "access/zone_files.h"

/* Begins it, as relay_options.doubt_object; `owner` is the struct bucket. Best effort. */
void object_doubt(void *owner, const struct zone *zone, struct str sha1);

#endif
