/*
 * The directory that a gateway serves (--data), opened once before the hub serves:
 *     <dir>/sha1/…  clients/  resources/  users/  settings/     as in a deployed zone's bucket
 *     <dir>/registered-zones/<zone>   more zones, each in a folder below <dir>
 *     <dir>/.hub/url-key   0600: signs bucket URLs
 *     <dir>/.hub/uploads/  uploads that are not complete, each locked (flock) by who writes it
 *     <dir>/.hub/aside/    objects that are about to be removed
 *     <dir>/.hub/checked/, .hub/damaged/   what is known of objects (checked.h)
 *     <dir>/.hub/lock      held while a file of the zone is read and replaced
 */
#ifndef BUCKET_SITE_H
#define BUCKET_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "bucket/signed_url.h"
#include "proto/http_head.h"

struct json;
struct check_asker;

#define SITE_ASIDE   ".hub/aside"
#define SITE_CHECKED ".hub/checked"
#define SITE_DAMAGED ".hub/damaged"
struct roster;

struct site_options {
    const char *data_dir;
    const char *zone;       /* NULL: "default" */
    const char *public_url; /* NULL: the Host that a client used */
    bool is_open;           /* --open-registration */
};

struct site {
    char *dir; /* absolute */
    char *zone;
    char *public_url; /* without trailing '/'; NULL */
    char *listen_url; /* for requests without a usable Host; set by the hub */
    bool is_open;
    const struct roster *online; /* the daemons that are connected to this server; NULL: no proxy */
    unsigned char url_key[SIGNED_URL_KEY];
    struct check_asker *asker; /* in a worker process: how to have objects checked; else NULL */
};

/* Creates what is missing and removes what killed uploads left. */
int site_open(struct site *site, const struct site_options *options, struct err *e) ERR_CHECKED;
void site_close(struct site *site);

/* -1 when all of it is gone: a disk that is not mounted is no zone without files. */
int site_check(const struct site *site, struct err *e) ERR_CHECKED;

/* A zone that the site serves: zone_files.h finds it. */
struct site_zone {
    struct str name;
    struct str directory; /* before the object keys; empty for none */
    struct json *doc;     /* owns what the strings borrow, or NULL */
};

/* The zone that has all of <dir>. Its strings are the site's. */
struct site_zone site_own_zone(const struct site *site);

/* True when a zone may have this directory: parts that are neither empty nor begin with a dot. */
bool site_is_directory(struct str directory);

/* Appends <dir>/[<directory>/]<name>: the path of a file of the zone. */
void site_put_path(const struct site *site, const struct site_zone *zone, struct str name,
                   struct buf *out);

/* Appends the object key of a hash in that zone, and the path of an object key. */
void site_put_object_key(const struct site_zone *zone, const char *hash, struct buf *out);
void site_put_object_path(const struct site *site, struct str object_key, struct buf *out);

/* True when `key` is one that site_put_object_key makes; *hash is then its last part. */
bool site_is_object_key(struct str key, struct str *hash);

/* Appends the public URL, else http(s)://host:port as seen by the client that sent this head. */
void site_put_base_url(const struct site *site, const struct http_head *head, struct buf *out);

/* False when the http:// of that URL is only assumed: a front that speaks TLS may not say so. */
bool site_knows_scheme(const struct site *site, const struct http_head *head);

/* Appends an error's text without the data directory's path: fit for strangers. */
void site_put_public_error(const struct site *site, const struct err *e, struct buf *out);

/* Waits for the site's lock; close(2) on *fd gives it back. */
int site_lock(const struct site *site, int *fd, struct err *e) ERR_CHECKED;

#endif
