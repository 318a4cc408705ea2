/* The small files of zones: the zones themselves, registered clients, resources, settings
 * (PROTOCOL.md §3). What a deployed gateway wrote is read, and the reverse. */
#ifndef BUCKET_ZONE_FILES_H
#define BUCKET_ZONE_FILES_H

#include "base/json.h"
#include "bucket/site.h"

enum {
    ZONE_FILES_MAX_BYTES = 65536,
    ZONE_FILES_MAX_DIRECTORY_BYTES = 512
};

/*
 * The zone of that name; empty: the site's own. Another one is what registered-zones/<name> says
 * ({"zone","ownerId","bucketName","directory"}): its bucket must be the site's, which is called
 * `default` or as its own zone. ERR_NOT_FOUND "Zone not found: Z". Free with
 * zone_files_zone_deinit; `name` is borrowed, too.
 */
int zone_files_zone(const struct site *site, struct str name, struct site_zone *out,
                    struct err *e) ERR_CHECKED;
void zone_files_zone_deinit(struct site_zone *zone);

/* A client or resource; every str is borrowed from `doc`. */
struct zone_record {
    struct json *doc;
    struct str name; /* clientId, resourceName */
    struct str owner;
    struct str text; /* label, proxyUrl */
    int64_t created_ms;
};

/* ERR_NOT_FOUND when there is none. Keys that we do not know are ignored. Free with
 * zone_files_record_deinit. */
int zone_files_client(const struct site *site, const struct site_zone *zone, struct str client_id,
                      struct zone_record *out, struct err *e) ERR_CHECKED;
int zone_files_resource(const struct site *site, const struct site_zone *zone, struct str name,
                        struct zone_record *out, struct err *e) ERR_CHECKED;
void zone_files_record_deinit(struct zone_record *record);

/* Reads a small text file of the zone ("settings/x.yaml"), which people may have edited: a byte
 * order mark and CR LF are taken off. ERR_NOT_FOUND if it is not there. */
int zone_files_read(const struct site *site, const struct site_zone *zone, const char *name,
                    size_t max_bytes, struct buf *text, struct err *e) ERR_CHECKED;

/* Registers a client; one that is registered stays as it is. Nothing else is written: clients/<id>
 * is all that the zone knows of it, so that there is no number of clients at which it ends. */
int zone_files_add_client(const struct site *site, const struct site_zone *zone,
                          const struct zone_record *client, struct err *e) ERR_CHECKED;

#endif
