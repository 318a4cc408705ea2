/* A request to the gateway's API (PROTOCOL.md §3), taken apart and checked. Sans-I/O. */
#ifndef PROTO_GATEWAY_REQUEST_H
#define PROTO_GATEWAY_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum {
    GATEWAY_REQUEST_MAX_BYTES = 102400,
    GATEWAY_REQUEST_WINDOW_MS = 125000, /* of timestamps, around now and 24 h before and after */
    GATEWAY_REQUEST_DAY_MS = 24 * 3600 * 1000
};

enum gateway_call {
    GATEWAY_FIND_FILE,
    GATEWAY_INITIATE_UPLOAD,
    GATEWAY_FINALIZE_UPLOAD,
    GATEWAY_DELETE_FILE,
    GATEWAY_CLIENT_INFO,
    GATEWAY_RESOURCE_INFO,
    GATEWAY_ZONE_INFO,
    GATEWAY_CREATE_LINK, /* these three: EXTENSIONS.md §4 */
    GATEWAY_LIST_LINKS,
    GATEWAY_REVOKE_LINK,
    GATEWAY_READ_FILE, /* EXTENSIONS.md §3 */
    GATEWAY_CALLS /* how many there are */
};

/* Every str but `type` is borrowed from `doc`; those of other calls are empty. */
struct gateway_request {
    struct json *doc;
    const struct json *payload; /* the signed text */
    enum gateway_call call;
    int64_t timestamp_ms;
    struct str type, zone, hash, object_key, client_id, resource_name, zone_name;
    struct str name, id, after; /* of share links */
    int64_t size, expires_ms;
    struct str from_client_id, signature; /* empty: anonymous */
};

/*
 * Parses and checks: exactly the fields of the call, of their types. Returns 0, or -1 after
 * appending the text of the 400 to *refusal. Free with gateway_request_deinit.
 */
int gateway_request_parse(struct gateway_request *r, struct str text, struct buf *refusal);
void gateway_request_deinit(struct gateway_request *r);

/* Checks the timestamp and, if there is one, the signature, over either of the two texts in use
 * (raw UTF-8 or ASCII). Returns 0, or -1 with the words of the 500. */
int gateway_request_verify(const struct gateway_request *r, int64_t wall_ms, struct err *e)
    ERR_CHECKED;

#endif
