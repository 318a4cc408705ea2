/* What `gateway verify` and `gateway rm` share: the hub's folder that they work in, beside a hub
 * that may be running, and their lines. */
#ifndef CMD_GATEWAY_FOLDER_H
#define CMD_GATEWAY_FOLDER_H

#include "bucket/object.h"
#include "bucket/zone_files.h"
#include "cmd/cmd.h"

struct gateway_folder {
    const char *data, *zone_name; /* --data, --zone */
    struct site site;
    struct site_zone zone; /* the one of --zone, else the site's own */
};

/*
 * Opens the folder of a hub; makes none. As root it first becomes the user whose the folder is:
 * what is kept in it is for a hub that runs as that user. A --zone that is not registered in
 * the folder is the name that its own zone is served under.
 */
int gateway_folder_open(struct gateway_folder *folder, struct err *e);
void gateway_folder_close(struct gateway_folder *folder);

/* Appends the object key that a URI means. */
int gateway_folder_put_key(const struct gateway_folder *folder, const char *uri, struct buf *out,
                           struct err *e);

/* Prints `state<TAB>size<TAB>key`; "-" is the size of what is missing. */
void gateway_folder_print(enum object_state state, int64_t size_bytes, struct str key);

#endif
