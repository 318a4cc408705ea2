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
    struct authorization_file *file; /* NULL: no file */
    bool allow_public_upload, allow_public_download;
};

/* Returns the settings that hold where there is no file: downloads only. */
struct authorization authorization_none(void);

/* Parses the settings, strict as the deployed readers: ERR_PROTOCOL, with the file (`name`) and the
 * line, for any unknown key or wrong type. The caller frees with authorization_deinit. */
int authorization_parse(struct authorization *a, struct str text, const char *name, struct err *e)
    ERR_CHECKED;

/* Frees the settings; those without a file hold then. */
void authorization_deinit(struct authorization *a);

/* Asks the bucket for the settings of a zone; authorization_take has them when the call is done, in
 * *a (the caller frees). Without a file authorization_none holds; settings that cannot be read are
 * an error. */
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

/* Takes the settings like authorization_take, with a memory for one zone. *a is borrowed from the
 * memory until the next call. */
int authorization_recall(struct zone_reading *reading, struct authorization_memory *memory,
                         const struct authorization **a, struct err *e) ERR_CHECKED;

/* Frees the memory. */
void authorization_forget(struct authorization_memory *memory);

/* Return 0 if the user may, else -1 and ERR_REFUSED in the deployed gateway's words. `user` NULL is
 * a client without a known user. */
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
