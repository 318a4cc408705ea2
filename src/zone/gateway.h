/* Calls of the zone gateway's API (PROTOCOL.md §3), blocking, signed. */
#ifndef ZONE_GATEWAY_H
#define ZONE_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "http/http_client.h"
#include "proto/gateway_message.h"
#include "zone/identity.h"
#include "zone/patience.h"

struct gateway {
    struct http_client *http; /* borrowed */
    char *url;                /* without trailing '/' */
    char *shown;              /* the URL without user and password, for messages */
    char *zone;
    struct identity identity; /* client_id "" : anonymous */
    int64_t clock_offset_ms;  /* added to our clock in timestamps; a day and 125 s at most */
    struct patience patience;
    bool has_answered; /* see gateway_has_answered */
    bool has_clock;    /* an answer of its own had a date: */
    int64_t ahead_ms;  /* this host's clock is ahead of that of the gateway, to half a second */
    struct buf extensions; /* the names that it announced */
    bool has_warned; /* that the gateway gives http:// URLs for its https:// */
    bool lacks_host; /* see hub_file_wait */
    bool was_away;   /* set when it answered only after it had been asked again */
};

/* Begins a gateway of KACHERY_GATEWAY_URL and KACHERY_ZONE (`zone` non-NULL overrides the
 * latter). */
int gateway_init(struct gateway *g, struct http_client *http, const char *zone, struct err *e)
    ERR_CHECKED;
void gateway_deinit(struct gateway *g);

/* Returns the URL as given in the environment, or the default; never NULL. */
const char *gateway_default_url(void);

/* Appends that URL as messages show it: without user, password and trailing '/'. ERR_USAGE when it
 * is none. */
int gateway_put_default_shown(struct buf *out, struct err *e) ERR_CHECKED;

/* Returns true when an answer of the gateway itself has come, not of a proxy or front before it. */
bool gateway_has_answered(const struct gateway *g);

/* Returns true when the gateway announced the extension (EXTENSIONS.md §1) with an answer: only
 * then may it be used. A gateway that has answered and announced nothing is a deployed one. */
bool gateway_has_announced(const struct gateway *g, const char *name);

/*
 * The calls. Their errors: ERR_REFUSED with the gateway's own reason ("Client not registered. …"),
 * ERR_NETWORK, ERR_TIMEOUT, ERR_PROTOCOL; each is wrapped with the gateway's URL. A call is
 * repeated for as long as `how` wants while its error may pass (ERR_NETWORK, ERR_TIMEOUT): every
 * call may be made again safely. A 500 that may come from our clock is repeated once, by the
 * gateway's clock.
 */
/* Finds a file of the zone by its SHA-1, 40 digits. Free *out with gateway_file_deinit. */
int gateway_find_file(struct gateway *g, const struct zone_call *how, const char *hash,
                      struct gateway_file *out, struct err *e) ERR_CHECKED;

/* Begins and ends an upload of `size` bytes: *out has the signed URL, unless the zone has the file.
 * Free it with gateway_upload_deinit. */
int gateway_initiate_upload(struct gateway *g, const struct zone_call *how, const char *hash,
                            int64_t size, struct gateway_upload *out, struct err *e) ERR_CHECKED;
int gateway_finalize_upload(struct gateway *g, const struct zone_call *how, const char *hash,
                            int64_t size, const char *object_key, struct err *e) ERR_CHECKED;

/* Gets the registration of a client. Free *out with gateway_client_deinit. */
int gateway_client_info(struct gateway *g, const struct zone_call *how, const char *client_id,
                        struct gateway_client *out, struct err *e) ERR_CHECKED;

/* Gets *proxy_url (caller frees), without trailing '/'. ERR_NOT_FOUND when the zone has no such
 * resource. */
int gateway_resource_url(struct gateway *g, const struct zone_call *how, const char *name,
                         char **proxy_url, struct err *e) ERR_CHECKED;

/* Makes a share link (EXTENSIONS.md §4) to a file until then: *url (caller frees) has its token.
 * Links are only asked of a gateway that announced EXTENSIONS_LINKS. */
int gateway_create_link(struct gateway *g, const struct zone_call *how, const char *hash,
                        const char *name, int64_t expires_ms, char **url,
                        struct err *e) ERR_CHECKED;

/* Gets the next page of this client's links, behind `after` (NULL: the first); of an administrator,
 * those of the zone: *answer (caller frees) is for gateway_message_read_links. */
int gateway_list_links(struct gateway *g, const struct zone_call *how, const char *after,
                       struct json **answer, struct err *e) ERR_CHECKED;

/* Revokes the link of that id, or (NULL) this client's links to the file; *count gets their
 * number. */
int gateway_revoke_link(struct gateway *g, const struct zone_call *how, const char *id,
                        const char *hash, int64_t *count, struct err *e) ERR_CHECKED;

/* Gets the URL of a file below /f/ (EXTENSIONS.md §3 "Passes"): *url (caller frees) is for this
 * client alone and for an hour where downloads are not public. Only asked of a gateway that
 * announced EXTENSIONS_PASSES. ERR_REFUSED when the client may not read. */
int gateway_read_url(struct gateway *g, const struct zone_call *how, const char *hash, char **url,
                     struct err *e) ERR_CHECKED;

/* Appends a sentence on how wrong this host's clock is; nothing while the gateway accepts it. */
void gateway_put_clock(const struct gateway *g, struct buf *out);

/* Appends the link that a user opens to register this client. */
int gateway_put_register_url(struct gateway *g, struct str label, struct buf *out, struct err *e)
    ERR_CHECKED;

/* Registers this client by that link; only with a gateway that announced EXTENSIONS_REGISTER. An
 * error has the words of its page; *status is its HTTP status, 0 without an answer. */
int gateway_register(struct gateway *g, const struct zone_call *how, struct str link, int *status,
                     struct err *e) ERR_CHECKED;

/* Checks that the gateway has the zone, as a call that finds nothing, or "not registered", may mean
 * that it has not. ERR_REFUSED if it has not; 0 if it has, or if that is not known. */
int gateway_check_zone(struct gateway *g, const struct zone_call *how, struct err *e) ERR_CHECKED;

#endif
