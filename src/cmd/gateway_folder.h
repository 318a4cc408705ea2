/* The common part of `gateway verify` and `gateway rm`: the hub's folder in which they work, beside
 * a hub that may be running, and their lines. */
#ifndef CMD_GATEWAY_FOLDER_H
#define CMD_GATEWAY_FOLDER_H

#include "access/zone_files.h"
#include "bucket/folder.h"
#include "bucket/names.h"
#include "bucket/object.h"
#include "cmd/cmd.h"

struct gateway_folder {
    const char *data, *zone_name; /* --data, --zone */
    struct data_dir dir;
    struct loop *loop;
    struct bucket *bucket; /* in that folder */
    struct zone zone;      /* the one of --zone, else the folder's own */
};

/*
 * Opens the folder of a hub; makes none. As root the process first becomes the owner of the folder:
 * the files in it are for a hub that runs as that user. A --zone that is not registered in the
 * folder is the name under which its own zone is served.
 */
int gateway_folder_open(struct gateway_folder *folder, struct err *e);

/* Closes the folder; called if it was opened. */
void gateway_folder_close(struct gateway_folder *folder);

/* Adds the directories of all zones, "" of the own one among them. on_error receives the error of
 * each zone whose directory could not be read. */
int gateway_folder_find_directories(struct gateway_folder *folder, struct names *directories,
                                    void (*on_error)(void *ctx, const struct err *e), void *ctx,
                                    struct err *e);

/* Appends the object key that a URI means. */
int gateway_folder_put_key(const struct gateway_folder *folder, const char *uri, struct buf *out,
                           struct err *e);

/* Prints `state<TAB>size<TAB>key`; "-" is the size of what is missing. */
void gateway_folder_print(enum object_state state, int64_t size_bytes, struct str key);

#endif
