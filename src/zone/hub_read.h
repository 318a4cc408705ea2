/*
 * Reads files from a hub that reads them from hosts, and checks each block by the manifest before
 * a byte of it is passed on or kept (EXTENSIONS.md §3).
 */
#ifndef ZONE_HUB_READ_H
#define ZONE_HUB_READ_H

#include "zone/bucket_range.h"
#include "zone/hub_manifest.h"
#include "zone/part.h"

/*
 * Passes the range to its sink, as bucket_range_get does, block by block. A block that is wrong is
 * asked for again, a few times: then ERR_CHANGED names it.
 */
int hub_read_range(struct hub_manifest *m, const struct gateway_file *file,
                   const struct bucket_range *range, struct err *e) ERR_CHECKED;

/* For part_target.check_block, with a struct hub_manifest. */
int hub_read_check(void *manifest, uint64_t i, struct str block, struct err *e);

/* Adds what is missing to a part that was opened with hub_read_check. 0: all bytes are there and
 * have the hash. ERR_CHANGED: they have not (the part is then spoilt), or a block is wrong. */
int hub_read_part(struct hub_manifest *m, const struct gateway_file *file, struct part *part,
                  struct err *e) ERR_CHECKED;

#endif
