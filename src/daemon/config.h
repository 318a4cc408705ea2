/*
 * kachery-resource.yaml: the resource's name, zone, proxy and secret. Read whole and checked value
 * by value; rewritten line by line, so that unknown keys, comments and unchanged values stay as
 * they are. Nothing here asks or prints.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "daemon/rate_plan.h"
#include "store/voucher.h"

#define CONFIG_DEFAULT_PATH "kachery-resource.yaml"
#define CONFIG_DEFAULT_ZONE "default"

enum { CONFIG_MAX_UPLOADS = 64, CONFIG_DEFAULT_UPLOADS = 2,
       CONFIG_MAX_STREAMS = 1000, CONFIG_DEFAULT_STREAMS = 8, CONFIG_MAX_TEXT_BYTES = 1000,
       CONFIG_MAX_USERS = 1000, CONFIG_MAX_NICE = 19, CONFIG_MAX_PROCESSOR_S = 1000000,
       CONFIG_DEFAULT_PROCESSOR_S = 300 };

enum config_key {
    CONFIG_NAME,    /* resourceName */
    CONFIG_ZONE,    /* kacheryZone */
    CONFIG_UPLOADS, /* maxConcurrentUploads */
    CONFIG_PROXY,   /* proxyUrl */
    CONFIG_SECRET,  /* proxySecret */
    CONFIG_CA_FILE, /* caFile: certificates to trust; may be absent */
    CONFIG_STREAMS, /* maxConcurrentStreams: files that are read in parts; may be absent */
    CONFIG_NICE,    /* workerNice; may be absent, as the next ones */
    CONFIG_PROCESSOR, /* workerProcessorSeconds */
    CONFIG_RATE,      /* maxUploadRate */
    CONFIG_KEYS
};

/* All zeros is a valid empty config. */
struct config {
    char *values[CONFIG_KEYS]; /* checked texts; NULL: not given */
    int64_t max_uploads;       /* the number that values[CONFIG_UPLOADS] is, or the default */
    int64_t max_streams;       /* the same of CONFIG_STREAMS */
    int64_t processor_s;       /* the same of CONFIG_PROCESSOR */
    int64_t nice;              /* the same of CONFIG_NICE; counts if values[CONFIG_NICE] is there */
    struct rate_plan rates;    /* of CONFIG_RATE and maxUploadRateSchedule */
    /* recordsOf: users whose records count whatever they name; those of config_resolve_users. */
    char **users;
    uint32_t *user_ids;
    size_t user_count;
};

/* Wipes and frees the values. NULL-safe. */
void config_deinit(struct config *c);

/* Calls `report` with a warning for each key in a file's text that is read by no program, but looks
 * like one that is; for none if the text is no config. */
void config_report_typos(struct str text, const char *name,
                         void (*report)(void *ctx, const struct err *warning), void *ctx);

/* Returns "resourceName", … */
const char *config_key_name(enum config_key key);

/* Returns whether the values of the key are whole numbers. */
bool config_is_number(enum config_key key);

/*
 * Checks a value and takes a copy; the proxy's URL loses its trailing slashes. ERR_USAGE
 * `maxConcurrentUploads "two": want a whole number 1-64`; a secret is never quoted.
 */
int config_set(struct config *c, enum config_key key, struct str value, struct err *e) ERR_CHECKED;

/* Reads a file's text; `name` and the line start every error. A value that is absent or
 * null stays NULL. */
int config_parse(struct config *c, struct str text, const char *name, struct err *e) ERR_CHECKED;

/* Gives zone and maximum their defaults. ERR_FAILED naming the first other key that is missing, and
 * the command that writes it. */
int config_complete(struct config *c, const char *name, struct err *e) ERR_CHECKED;

/* Reads a file, complete or not (see config_complete). ERR_NOT_FOUND when there is none. */
int config_load(struct config *c, const char *path, struct err *e) ERR_CHECKED;

/* Returns the niceness of a kind of worker: workerNice, or `usual`. */
int config_nice(const struct config *c, int usual);

/* Finds the users of recordsOf. An error names one that this host does not know, or says that the
 * file could have been written by somebody who is to be kept from just that. */
int config_resolve_users(struct config *c, const char *path, struct err *e) ERR_CHECKED;

/* Returns the users whose records count when files leave the host; borrows from the config. */
struct vouchers config_vouchers(const struct config *c);

/* Checks the config's zone: ERR_FAILED, naming both, if KACHERY_ZONE is set to another one. */
int config_check_zone(const struct config *c, struct err *e) ERR_CHECKED;

/* Appends `text` with this config's values in place of its own; ones that it lacks come last. An
 * error when its layout (a flow mapping, say) cannot be edited by lines. */
int config_edit(const struct config *c, struct str text, const char *name, struct buf *out,
                struct err *e) ERR_CHECKED;

/* Writes the file (0600, atomic, durable), edited from what is there; follows symbolic links. */
int config_save(const struct config *c, const char *path, struct err *e) ERR_CHECKED;

/* Appends the absolute path of the config that `path` leads to, through symbolic links from file to
 * file: a config that is reached by a link has one lease, beside the file itself. Folders stay as
 * they are named. */
int config_put_real_path(const char *path, struct buf *out, struct err *e) ERR_CHECKED;

/* Appends the path of a file beside the config, of which `path` is the real path: the lease, the
 * status. */
void config_put_sibling(const char *path, const char *sibling, struct buf *out);

/* Appends the path of the config's caFile, which lies beside the config at `path` if it is
 * relative. Nothing without such a key. */
void config_put_ca_file(const struct config *c, const char *path, struct buf *out);

#endif
