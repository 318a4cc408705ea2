/* A zone's settings/authorizationSettings.yaml (PROTOCOL.md §3): who may upload and download. */
#ifndef SERVER_AUTHORIZATION_H
#define SERVER_AUTHORIZATION_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "base/yaml.h"

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

/* 0, or -1 and ERR_REFUSED in the deployed gateway's words. `user` NULL: nobody known. */
int authorization_may_upload(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;
int authorization_may_download(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;
int authorization_may_administer(const struct authorization *a, const char *user, struct err *e)
    ERR_CHECKED;

/* What --open-registration writes where there is no settings file. */
struct str authorization_open_settings(void);

#endif
