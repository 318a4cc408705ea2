/*
 * The manifest of a file that a hub reads from a host (EXTENSIONS.md §3 "Manifests for readers"):
 * proves the file's blocks, one by one. Keeps the page hashes and the leaves of one page in memory.
 * A file of one block has none: its SHA-1 is its address.
 */
#ifndef ZONE_HUB_MANIFEST_H
#define ZONE_HUB_MANIFEST_H

#include "proto/manifest.h"
#include "zone/gateway.h"
#include "zone/hub_file.h"

struct hub_manifest {
    struct gateway *gateway;
    const struct zone_call *how;
    char hash[SHA1_HEX + 1];
    int64_t size;
    struct buf url; /* of the manifest; empty for a file of one block */
    struct buf page_hashes;
    struct buf leaves; /* of page `page` */
    uint64_t page;
};

/*
 * Gets the page hashes of a file that the hub has, and checks them against the root that it named;
 * also the leaves of the block at `offset`. ERR_CHANGED when what the hub sends does not have that
 * root, also when it is asked again; else the errors of bucket_range_get. Caller closes in any
 * case.
 */
int hub_manifest_open(struct hub_manifest *m, struct gateway *g, const struct zone_call *how,
                      const char *hash, struct str url, const struct hub_file *file, int64_t offset,
                      struct err *e) ERR_CHECKED;
void hub_manifest_close(struct hub_manifest *m);

/* Gets the leaves of the page in which block i is, unless they are in memory. Errors as above. */
int hub_manifest_seek(struct hub_manifest *m, uint64_t i, struct err *e) ERR_CHECKED;

/* Returns whether those are the bytes of block i, whose page must be in memory. */
bool hub_manifest_proves(const struct hub_manifest *m, uint64_t i, struct str block);

/* Returns how many of the `count` (at most SHA256_LANES) blocks from i on are right, before the
 * first that is not. `bytes` has them one behind the other; their page must be in memory. */
size_t hub_manifest_count_right(const struct hub_manifest *m, uint64_t i, struct str bytes,
                                size_t count);

#endif
