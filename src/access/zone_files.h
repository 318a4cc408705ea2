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

/* Ends the call if it is under way, and frees what the reading holds. Zones and records that were
 * taken of it stay. */
void zone_files_free_reading(struct zone_reading *reading);

/* ---- zones ---- */

/* Returns the zone that has all of the bucket; `own` is its name, and borrowed. */
struct zone zone_files_own(const char *own);

/* Returns whether the name is that of the own zone, or empty: then nothing needs to be read. */
bool zone_files_is_own(const char *own, struct str name);

/*
 * Asks for another zone, which registered-zones/<name> describes ({"zone","ownerId","bucketName",
 * "directory"}); the second function takes it when the call is done. Its bucket must be this one,
 * which is called `default` or as its own zone. ERR_NOT_FOUND "Zone not found: Z", from either.
 * zone_files_free_zone frees *out, which also borrows `name`.
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

/* Ask for a client or a resource, and take its record when the call is done; the caller frees it
 * with zone_files_free_record. ERR_NOT_FOUND when there is none, from either of the two. Unknown
 * keys are ignored. */
int zone_files_ask_client(struct bucket *bucket, const struct zone *zone, struct str client_id,
                          struct zone_reading *reading, struct err *e) ERR_CHECKED;
int zone_files_take_client(struct zone_reading *reading, struct zone_record *out, struct err *e)
    ERR_CHECKED;
int zone_files_ask_resource(struct bucket *bucket, const struct zone *zone, struct str name,
                            struct zone_reading *reading, struct err *e) ERR_CHECKED;
int zone_files_take_resource(struct zone_reading *reading, struct zone_record *out, struct err *e)
    ERR_CHECKED;
void zone_files_free_record(struct zone_record *record);

/* Registers a client; a registered client stays as it is. zone_files_take_written ends the call.
 * The file clients/<id> is all that is written, so that a zone has no largest number of clients. */
int zone_files_add_client(struct bucket *bucket, const struct zone *zone,
                          const struct zone_record *client, struct zone_reading *reading,
                          struct err *e) ERR_CHECKED;

/* ---- other files ---- */

/* Asks for a small text file of the zone ("settings/x.yaml"), and takes its text when the call is
 * done. People may have edited it: a byte order mark and CR LF are taken off. *text is borrowed
 * from the reading. ERR_NOT_FOUND without the file, ERR_TOO_LARGE beyond `max_bytes`. */
int zone_files_ask_text(struct bucket *bucket, const struct zone *zone, const char *name,
                        size_t max_bytes, struct zone_reading *reading, struct err *e) ERR_CHECKED;
int zone_files_take_text(struct zone_reading *reading, struct str *text, struct err *e)
    ERR_CHECKED;

/* Writes a file that is not there yet. When the call is done, zone_files_take_written returns 0 if
 * the file was written or was there. */
int zone_files_write_new(struct bucket *bucket, const struct zone *zone, const char *name,
                         struct str text, struct zone_reading *reading, struct err *e) ERR_CHECKED;
int zone_files_take_written(struct zone_reading *reading, struct err *e) ERR_CHECKED;

#endif
