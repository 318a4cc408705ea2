/*
 * Share links (EXTENSIONS.md §4): who has the token of one may read one file until it expires, as
 * long as its maker may. The hub keeps a small file for each below .hub/links/<folder>/, named by
 * the SHA-256 of its token: the token itself is stored nowhere. A link that is revoked has no file.
 *
 *     token    2 hex digits of the file's SHA-1 (which relay), 8 of the folder, 24 of chance
 *     folder   the first 8 hex digits of the SHA-256 of zone and maker: the links of one maker
 *     id       the 8 digits of the folder, the 64 of the token's hash: it opens nothing
 *
 * A pass is a token that the hub makes for an hour and keeps nowhere: it is signed.
 *     pass     40 digits of the file's SHA-1, 10 of when it ends (s), 64 of its maker (zeros: a
 *              stranger), 64 of an HMAC-SHA-256 over these and the zone, then the zone's name as
 *              hex digits; it opens <pass>/<SHA-1>
 */
#ifndef ACCESS_LINKS_H
#define ACCESS_LINKS_H

#include "access/authorization.h"
#include "access/zone_files.h"
#include "base/sha1.h"
#include "base/sha256.h"
#include "proto/signature.h"

enum {
    LINKS_FOLDER_DIGITS = 8,
    LINKS_RANDOM_BYTES = 18, /* 24 characters */
    LINKS_TOKEN_CHARS = 2 + LINKS_FOLDER_DIGITS + 24,
    LINKS_ID_DIGITS = LINKS_FOLDER_DIGITS + SHA256_HEX,
    LINKS_MAX_NAME_BYTES = 1024,
    LINKS_MAX_EACH = 1000,  /* of one maker */
    LINKS_PAGE_BYTES = 40000, /* a list is longer only by its last link */
    LINKS_PASS_KEY = 32,
    LINKS_PASS_MS = 60 * 60 * 1000,
    LINKS_PASS_MIN_CHARS = 178, /* and two for each byte of the zone's name */
    LINKS_PASS_MAX_ZONE = 255
};

#define LINKS_MAX_MS (INT64_C(36525) * 24 * 3600 * 1000) /* until one expires: a hundred years */

/* One link; every str is borrowed from `doc`. */
struct share_link {
    struct json *doc;
    struct str zone, hash, name, client_id;
    int64_t created_ms, expires_ms;
};

/* Writes the id of a token to id[LINKS_ID_DIGITS + 1]. Returns false for a text that is no
 * token. */
bool links_read_token(struct str token, char *id);

/* Checks a name for the path of a URL: parts of UTF-8 without control bytes, none of them empty,
 * "." or "..", at most LINKS_MAX_NAME_BYTES. A last '/' means a folder. */
int links_check_name(struct str name, struct err *e) ERR_CHECKED;

/* ---- making, listing, revoking ---- */

enum links_kind {
    LINKS_CREATE,
    LINKS_LIST,
    LINKS_REVOKE
};

/* A job on links; zeros but for what the owner sets, which is borrowed until it is done. Own links
 * that have expired are removed on the way. */
struct links_job {
    enum links_kind kind;
    struct bucket *bucket;
    struct str zone, client_id; /* whose links; create: the maker */
    bool is_admin;              /* lists and revokes by id: those of all makers in the zone */
    int64_t now_ms;
    struct str hash;    /* create; revoke: own links to this file */
    struct str id;      /* revoke: this one, if not empty */
    struct str name;    /* create */
    int64_t expires_ms; /* create */
    struct str after;   /* list: those behind this id */
    void (*on_done)(void *owner); /* once, not before the job was started */
    void *owner;
    struct err *e;
    /* Results. */
    int result;                            /* 0, or -1 and *e */
    char token[LINKS_TOKEN_CHARS + 1];     /* create */
    struct buf links;                      /* list: JSON objects with commas between them */
    char next[LINKS_ID_DIGITS + 1];        /* list: the `after` of the next page, or empty */
    int64_t count;                         /* revoke: how many */
    /* The rest is the job's. */
    struct bucket_list page;
    struct bucket_small file;
    struct bucket_remove removal;
    struct buf prefix, last, key, content;
    size_t at;
};

/* Starts a job; on_done comes later. Returns -1 and *e if it was not started (ERR_REFUSED for a
 * name or an expiry that no link may have). */
int links_start(struct links_job *job, struct err *e) ERR_CHECKED;

/* Ends the job if it is under way, and frees what it holds; called in any case. */
void links_free_job(struct links_job *job);

/* Appends a pass for the file of that SHA-1 (40 digits) in that zone, of at most
 * LINKS_PASS_MAX_ZONE bytes. `client_id` is empty, or 64 digits. */
void links_put_pass(struct buf *out, const unsigned char key[LINKS_PASS_KEY], struct str zone,
                    struct str hash, struct str client_id, int64_t now_ms);

/* ---- using ---- */

/* A use of a token. It costs the same steps whatever the token is. */
struct links_use {
    struct bucket *bucket; /* borrowed, as own_zone */
    const char *own_zone;
    const unsigned char *key; /* of passes, borrowed; NULL: they open nothing */
    int64_t now_ms;
    void (*on_done)(void *owner);
    void *owner;
    struct err *e;
    /* Results. */
    int result;   /* -1 and *e: it is not known */
    bool is_good; /* there is such a link, it has not expired, and its maker may read */
    struct share_link link; /* if it is good */
    struct zone zone;
    /* The rest is its own. */
    struct zone_reading file, zone_file, client_file, settings_file;
    struct zone_record client;
    bool is_pass;
    char hash[SHA1_HEX + 1], maker[SIGNATURE_CLIENT_ID_DIGITS + 1];
    char pass_zone[LINKS_PASS_MAX_ZONE + 1];
};

/* Looks up a token or a pass; on_done comes later. Returns -1 and *e if nothing was started:
 * ERR_NOT_FOUND for a text that is neither. */
int links_start_use(struct links_use *use, struct str token, struct err *e) ERR_CHECKED;

/* Ends the look-up if it is under way, and frees the results; called in any case. */
void links_end_use(struct links_use *use);

#endif
