/* The share links of `url` (EXTENSIONS.md §4): making one, listing, revoking. */
#ifndef CMD_URL_LINKS_H
#define CMD_URL_LINKS_H

#include <stdbool.h>

#include "base/err.h"
#include "cmd/remote.h"

enum { URL_LINKS_DEFAULT_DAYS = 7 };

/* Makes a link of this client to the file: *url, a secret, is the caller's to wipe and free.
 * `expires_ms` is in ms since the epoch. ERR_REFUSED when the client may not read the file,
 * ERR_FAILED when the gateway has no links. */
int url_links_make(struct remote *remote, const char *hash, struct str name, int64_t expires_ms,
                   char **url, struct err *e) ERR_CHECKED;

/* Prints the links of this client; for an administrator those of all clients in the zone. */
int url_links_print(struct remote *remote, bool is_json, struct err *e) ERR_CHECKED;

/* Revokes the link of a URL with a token or of an id that the list has, else all of this client's
 * links to the URI. ERR_NOT_FOUND when there was none. */
int url_links_revoke(struct remote *remote, const char *text, bool is_json, struct err *e)
    ERR_CHECKED;

#endif
