/* A zone's settings/authorizationSettings.yaml (PROTOCOL.md §3): who may upload and download. */
#ifndef ACCESS_AUTHORIZATION_H
#define ACCESS_AUTHORIZATION_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "base/yaml.h"
#include "bucket/site.h"

enum { AUTHORIZATION_MAX_BYTES = YAML_MAX_BYTES };

/* All zeros: nobody may upload, as without a file; but see authorization_none. */
struct authorization {
    struct yaml *doc; /* NULL: no file */
    bool allow_public_upload, allow_public_download;
};

/* What holds without a settings file: downloads only. */
struct authorization authorization_none(void);

/* Strict as the deployed readers: unknown keys and wrong types refuse the whole file, naming it
 * (`name`) and the line. Caller frees with authorization_deinit. */
int authorization_parse(struct authorization *a, struct str text, const char *name, struct err *e)
    ERR_CHECKED;
void authorization_deinit(struct authorization *a);

/* Reads the settings of a zone; without a file, authorization_none holds. Settings that cannot be
 * read are an error. */
int authorization_read(struct authorization *a, const struct site *site,
                       const struct site_zone *zone, struct err *e) ERR_CHECKED;

/* 0, or -1 and ERR_REFUSED in the deployed gateway's words. `user` NULL: nobody known. */
int authorization_may_upload(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;
int authorization_may_download(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;
int authorization_may_administer(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;

/* Writes settings by which every registered client may upload, if the zone has no settings: what
 * --open-registration means. For the start of a server: no request makes a zone public. */
int authorization_open_zone(const struct site *site, const struct site_zone *zone, struct err *e)
    ERR_CHECKED;

#endif
