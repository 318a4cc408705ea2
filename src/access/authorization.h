/* A zone's settings/authorizationSettings.yaml (PROTOCOL.md §3): who may upload and download. */
#ifndef ACCESS_AUTHORIZATION_H
#define ACCESS_AUTHORIZATION_H

#include <stdbool.h>

#include "access/zone_files.h"
#include "base/err.h"
#include "base/str.h"
#include "base/yaml.h"

enum { AUTHORIZATION_MAX_BYTES = YAML_MAX_BYTES };

/* All zeros: nobody may upload, as without a file; but see authorization_none. */
struct authorization {
    struct yaml *doc; /* NULL: no file */
    bool allow_public_upload, allow_public_download;
};

/* The settings where there is no file: downloads only. */
struct authorization authorization_none(void);

/* Strict as the deployed readers: unknown keys and wrong types refuse the whole file, naming it
 * (`name`) and the line. Caller frees with authorization_deinit. */
int authorization_parse(struct authorization *a, struct str text, const char *name, struct err *e)
    ERR_CHECKED;
void authorization_deinit(struct authorization *a);

/* Asks the bucket for the settings of a zone; then says what they are (caller frees): without a
 * file, authorization_none holds. Settings that cannot be read are an error. */
int authorization_ask(struct bucket *bucket, const struct zone *zone,
                      struct zone_reading *reading, struct err *e) ERR_CHECKED;
int authorization_take(struct zone_reading *reading, struct authorization *a, struct err *e)
    ERR_CHECKED;

/* The settings that a zone had when they were last asked for: the same text is not parsed again.
 * Zeros before first use; freed with authorization_forget. */
struct authorization_memory {
    struct buf text;
    struct authorization settings;
    bool is_set;
};

/* As authorization_take, with a memory for one zone. *a is borrowed from it until the next call. */
int authorization_recall(struct zone_reading *reading, struct authorization_memory *memory,
                         const struct authorization **a, struct err *e) ERR_CHECKED;
void authorization_forget(struct authorization_memory *memory);

/* 0, or -1 and ERR_REFUSED in the deployed gateway's words. `user` NULL: nobody known. */
int authorization_may_upload(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;
int authorization_may_download(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;
int authorization_may_administer(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;

/* Writes settings by which every registered client may upload, if the zone has no settings: what
 * --open-registration means. For the start of a server: no request makes a zone public. The end
 * of the call is zone_files_take_written. */
int authorization_open_zone(struct bucket *bucket, const struct zone *zone,
                            struct zone_reading *reading, struct err *e) ERR_CHECKED;

#endif
