/*
 * The directory in which a folder keeps a bucket (--data), opened once before the hub serves:
 *     <dir>/sha1/…  clients/  resources/  users/  settings/     as in a deployed zone's bucket
 *     <dir>/registered-zones/<zone>   more zones, each in a folder below <dir>
 *     <dir>/.hub/url-key   0600: signs bucket URLs
 *     <dir>/.hub/uploads/  uploads that are not complete, each locked (flock) by who writes it
 *     <dir>/.hub/aside/    objects that are about to be removed
 *     <dir>/.hub/checked/, .hub/damaged/   what is known of objects (checked.h)
 *     <dir>/.hub/manifests/ab/<hash>.manifest   the object's manifest (object_manifest.h)
 *     <dir>/.hub/links/   share links (access/links.h)
 *     <dir>/.hub/lock      held while a small file is looked at and replaced
 */
#ifndef BUCKET_DATA_DIR_H
#define BUCKET_DATA_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "bucket/signed_url.h"

#define DATA_DIR_UPLOADS ".hub/uploads"
#define DATA_DIR_ASIDE   ".hub/aside"
#define DATA_DIR_CHECKED ".hub/checked"
#define DATA_DIR_DAMAGED ".hub/damaged"
#define DATA_DIR_MANIFESTS ".hub/manifests"
#define DATA_DIR_NEW_MANIFEST ".hub/manifests/new" /* temporary ones are beside it */

struct data_dir {
    char *path; /* absolute */
    unsigned char url_key[SIGNED_URL_KEY];
};

/* Opens the directory at `path` and creates what is missing in it; `path` is copied. Left-overs of
 * killed uploads stay: object_upload_clean. */
int data_dir_open(struct data_dir *dir, const char *path, struct err *e) ERR_CHECKED;

/* Frees the path and wipes the key. */
void data_dir_close(struct data_dir *dir);

/* Checks that the directory is still there. Returns -1 and *e when all of it is gone: a disk that
 * is not mounted is no zone without files. */
int data_dir_check(const struct data_dir *dir, struct err *e) ERR_CHECKED;

/* Appends the path of an object or a small file. */
void data_dir_put_path(const struct data_dir *dir, struct str key, struct buf *out);

/* Appends an error's text without the data directory's path: fit for strangers. */
void data_dir_put_public_error(const struct data_dir *dir, const struct err *e, struct buf *out);

/* Waits for the lock of the small files. close(2) on *fd, which is the caller's, releases it. */
int data_dir_lock(const struct data_dir *dir, int *fd, struct err *e) ERR_CHECKED;

#endif
