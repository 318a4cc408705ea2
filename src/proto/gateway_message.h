/*
 * Requests to the zone gateway and its answers (PROTOCOL.md §3), as bytes. Pure: no sockets, no
 * clock, no keys.
 */
#ifndef PROTO_GATEWAY_MESSAGE_H
#define PROTO_GATEWAY_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum {
    GATEWAY_MAX_ANSWER_BYTES = 102400,
    GATEWAY_MAX_KEY_BYTES = 1024,   /* of an object key: S3's own limit */
    GATEWAY_MAX_REASON_BYTES = 200, /* of what a refusal's text may add to a message */
    /* Past this the peer's clock is taken over (its own tolerance is 125 s). */
    GATEWAY_MAX_SKEW_MS = 60000,
    /* The largest correction: gateways accept a day more or less (PROTOCOL.md §3), and a gateway
     * that wants another date wants signatures that others may use then. */
    GATEWAY_MAX_CORRECTION_MS = 24 * 3600000 + 125000
};

/* The fields besides `timestamp`; NULL ones are absent, and `size` when negative, `expires_ms` when
 * 0. */
struct gateway_payload {
    const char *type, *zone;
    const char *client_id, *hash, *object_key, *resource_name;
    const char *name, *id, *after; /* of share links */
    int64_t size, expires_ms;
};

/* Appends the payload in canonical form: the text that is signed and sent. `hash` brings
 * `hashAlg` with it. */
void gateway_message_put_payload(struct buf *out, const struct gateway_payload *payload,
                                 int64_t timestamp_ms);

/* Appends the request's body; an empty client_id leaves out the signature too. */
void gateway_message_put_request(struct buf *out, struct str canonical, const char *client_id,
                                 const char *signature);

/* Parses a 200 answer to a request of that type. NULL and ERR_PROTOCOL otherwise; caller frees. */
struct json *gateway_message_parse(struct str text, const char *type, struct err *e);

/* The content of the answers; each is freed with its deinit. */
struct gateway_file {
    bool is_found;
    bool has_key; /* of an object: it is in the bucket, as far as a deployed gateway goes */
    int64_t size; /* -1: unknown */
    char *url;    /* signed for GET; NULL when absent */
    char *answer; /* the whole answer as JSON without `url`, members in order */
};
void gateway_file_deinit(struct gateway_file *file);

struct gateway_upload {
    bool already_exists, already_pending;
    char *object_key, *url; /* NULL when already_exists */
};
void gateway_upload_deinit(struct gateway_upload *upload);

struct gateway_client {
    bool is_found;
    char *owner_id, *label;
};
void gateway_client_deinit(struct gateway_client *client);

/* Read the answers. They pass over unknown fields: a newer gateway may add some. */
int gateway_message_read_file(const struct json *answer, struct gateway_file *out, struct err *e);
int gateway_message_read_upload(const struct json *answer, struct gateway_upload *out,
                                struct err *e);
int gateway_message_read_client(const struct json *answer, struct gateway_client *out,
                                struct err *e);
/* Reads *proxy_url (caller frees). ERR_NOT_FOUND when the zone has no such resource. */
int gateway_message_read_resource(const struct json *answer, char **proxy_url, struct err *e);
/* Reads *url (caller frees), which opens the link's file: it is shown to its maker alone. */
int gateway_message_read_link(const struct json *answer, char **url, struct err *e);
int gateway_message_read_revoked(const struct json *answer, int64_t *count, struct err *e);

/* Share links that a client may see; every str is borrowed from the answer. */
struct gateway_link {
    struct str id, hash, name, client_id;
    int64_t created_ms, expires_ms;
};
/* Reads *links, an array whose elements gateway_message_read_listed reads, and *next, which is
 * empty behind the last page. */
int gateway_message_read_links(const struct json *answer, const struct json **links,
                               struct str *next, struct err *e);
int gateway_message_read_listed(const struct json *item, struct gateway_link *out, struct err *e);

/*
 * Sets the error for an answer that is not 200: ERR_REFUSED with the reason after "Error: ", for
 * 400 and 500; ERR_NETWORK for troubles that may pass (408, 429, 5xx without a reason). Returns -1.
 */
int gateway_message_refusal(int status, struct str text, struct err *e);

/* Returns true when a gateway refuses in this way, not a server in front of it. */
bool gateway_message_is_refusal(int status, struct str text);

/* Returns true when a refusal's reason is about the client (its registration, rights or signature):
 * then the gateway has the zone. */
bool gateway_message_is_about_client(struct str reason);

/*
 * Recognizes a URL that a gateway made of the request's Host without knowing that TLS ends in front
 * of it (no --public-url): http:// to the host of an https:// gateway, at its port or none. Returns
 * true for such a URL and appends the intended one, with the gateway's own scheme and port.
 */
bool gateway_message_put_secure_url(struct str url, struct str gateway_url, struct buf *out);

/* Appends the advice that a gateway's deployed words leave out: this program's command, and the
 * variable. `is_elsewhere`: a resource's daemon passed the reason on, so its host has to act. */
void gateway_message_put_advice(struct buf *out, struct str reason, bool is_elsewhere);

/* Returns the clock difference to take over from a `Date` header (ms since the epoch, -1: none), or
 * 0 when it is within GATEWAY_MAX_SKEW_MS of `now_ms`. */
int64_t gateway_message_skew(int64_t date_ms, int64_t now_ms);

#endif
