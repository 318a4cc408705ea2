/*
 * A file as a hub reads it to everybody below /f/ (EXTENSIONS.md §3): from its bucket, or block by
 * block from a connected host. Looks only; the bytes are read by bucket_get and bucket_range_get
 * from its URL.
 */
#ifndef ZONE_HUB_FILE_H
#define ZONE_HUB_FILE_H

#include "zone/gateway.h"

enum { HUB_FILE_LOOK_MS = 3000 };

enum hub_file_state {
    HUB_FILE_ABSENT,   /* or not for everybody to read: the two look the same */
    HUB_FILE_BUILDING, /* a host prepares it, and is at `done` of `size` bytes */
    HUB_FILE_READABLE
};

struct hub_file {
    enum hub_file_state state;
    int64_t size, done; /* -1: not told */
};

/* Returns true when the gateway announced that it is such a hub, with an answer that came
 * already. */
bool hub_file_is_served(const struct gateway *g);

/* Asks once. The hub answers late while a host that may have the file is away: ERR_TIMEOUT after
 * HUB_FILE_LOOK_MS, or after patience.waiting_ms if that is less. */
int hub_file_look(struct gateway *g, const char *hash, struct hub_file *out, struct err *e)
    ERR_CHECKED;

/* Appends the URL of the file for this client: with the gateway's user and password, if it has
 * them. */
void hub_file_put_url(const struct gateway *g, const char *hash, struct buf *out);

#endif
