/*
 * The small files of zones in a bucket (PROTOCOL.md §3): the zones themselves, registered clients,
 * resources. Files of a deployed gateway are read, and the reverse.
 *
 * Each is read in two steps: zone_files_ask_… makes the call, and when it is done zone_files_take_…
 * says what the file has. The first sets everything in the reading but call.on_done, owner and e.
 */
#ifndef ACCESS_ZONE_FILES_H
#define ACCESS_ZONE_FILES_H

#include "base/json.h"
#include "bucket/bucket.h"

enum {
    ZONE_FILES_MAX_BYTES = 65536,
    ZONE_FILES_MAX_DIRECTORY_BYTES = 512
};

/* A zone that the bucket has. */
struct zone {
    struct str name;
    struct str directory; /* before the object keys; empty for none */
    struct json *doc;     /* owns what the strings borrow, or NULL */
};

/* A file that is being read or written; zeros but for the callback before first use. */
struct zone_reading {
    struct bucket_small file;
    struct buf name, content;
};

/* Ends the call if it is under way. Texts that were taken of it stay. */
void zone_files_free_reading(struct zone_reading *reading);

/* ---- zones ---- */

/* The zone that has all of the bucket; `own` is its name, and borrowed. */
struct zone zone_files_own(const char *own);

/* Whether that name, or none, is the own zone's: nothing needs to be read. */
bool zone_files_is_own(const char *own, struct str name);

/*
 * Another zone is what registered-zones/<name> says ({"zone","ownerId","bucketName","directory"}):
 * its bucket must be this one, which is called `default` or as its own zone. ERR_NOT_FOUND "Zone
 * not found: Z", from either. Free with zone_files_free_zone; `name` is borrowed by the zone, too.
 */
int zone_files_ask_zone(struct bucket *bucket, struct str name, struct zone_reading *reading,
                        struct err *e) ERR_CHECKED;
int zone_files_take_zone(struct zone_reading *reading, const char *own, struct str name,
                         struct zone *out, struct err *e) ERR_CHECKED;
void zone_files_free_zone(struct zone *zone);

/* Appends the object key of a hash in that zone. */
void zone_files_put_object_key(const struct zone *zone, struct str hash, struct buf *out);

/* ---- records ---- */

/* A client or resource; every str is borrowed from `doc`. */
struct zone_record {
    struct json *doc;
    struct str name; /* clientId, resourceName */
    struct str owner;
    struct str text; /* label, proxyUrl */
    int64_t created_ms;
};

/* ERR_NOT_FOUND when there is none, from either. Keys that we do not know are ignored. Free with
 * zone_files_free_record. */
int zone_files_ask_client(struct bucket *bucket, const struct zone *zone, struct str client_id,
                          struct zone_reading *reading, struct err *e) ERR_CHECKED;
int zone_files_take_client(struct zone_reading *reading, struct zone_record *out, struct err *e)
    ERR_CHECKED;
int zone_files_ask_resource(struct bucket *bucket, const struct zone *zone, struct str name,
                            struct zone_reading *reading, struct err *e) ERR_CHECKED;
int zone_files_take_resource(struct zone_reading *reading, struct zone_record *out, struct err *e)
    ERR_CHECKED;
void zone_files_free_record(struct zone_record *record);

/* Registers a client; one that is registered stays as it is. Nothing else is written: clients/<id>
 * is all that the zone knows of it, so that there is no number of clients at which it ends. */
int zone_files_add_client(struct bucket *bucket, const struct zone *zone,
                          const struct zone_record *client, struct zone_reading *reading,
                          struct err *e) ERR_CHECKED;

/* ---- other files ---- */

/* A small text file of the zone ("settings/x.yaml"), which people may have edited: a byte order
 * mark and CR LF are taken off. *text is borrowed from the reading. */
int zone_files_ask_text(struct bucket *bucket, const struct zone *zone, const char *name,
                        size_t max_bytes, struct zone_reading *reading, struct err *e) ERR_CHECKED;
int zone_files_take_text(struct zone_reading *reading, struct str *text, struct err *e)
    ERR_CHECKED;

/* Writes one that is not there yet; zone_files_take_written: 0 also where it is. */
int zone_files_write_new(struct bucket *bucket, const struct zone *zone, const char *name,
                         struct str text, struct zone_reading *reading, struct err *e) ERR_CHECKED;
int zone_files_take_written(struct zone_reading *reading, struct err *e) ERR_CHECKED;

#endif
