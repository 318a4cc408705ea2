/* URLs (RFC 3986) of the schemes http, https, ws and wss; percent-encoding. Sans-I/O. */
#ifndef PROTO_URL_H
#define PROTO_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { URL_MAX_BYTES = 8192, URL_MAX_LABEL_BYTES = 120 };

/* Borrowed from the text that was parsed. */
struct url {
    struct str text;     /* all of it, without fragment */
    struct str scheme;   /* as given; compare with url_is_tls/url_is_websocket */
    struct str userinfo; /* without '@', percent-encoded; empty when absent */
    struct str host;     /* without brackets for IPv6; never empty */
    bool is_ipv6;        /* host was [..] */
    uint16_t port;       /* the scheme's default when absent */
    bool has_port;
    struct str path;   /* begins with '/', or empty */
    struct str query;  /* without '?' */
    bool has_query;
    struct str target; /* path?query as it stands in the text; empty when both are */
};

/* Parses a URL. ERR_USAGE quotes the text and names the accepted form, on other schemes, an empty
 * or malformed host, port 0 or above 65535, control bytes or spaces, and above URL_MAX_BYTES. */
int url_parse(struct url *out, struct str text, struct err *e) ERR_CHECKED;

bool url_is_tls(const struct url *u);       /* https, wss */
bool url_is_websocket(const struct url *u); /* ws, wss */

/* Appends the text with the scheme of HTTP: ws→http, wss→https. */
void url_put_http(struct buf *out, const struct url *u);

/* Appends "host", "[v6]" and ":port" when not the scheme's default: the Host header's value. */
void url_put_host(struct buf *out, const struct url *u);

/* Appends the request target in origin form: path or "/", "?query" if present. */
void url_put_target(struct buf *out, const struct url *u);

/* Appends for messages: scheme, host, port and path; a query (it may be signed) as "?…". */
void url_put_redacted(struct buf *out, const struct url *u);

/* Appends at most URL_MAX_LABEL_BYTES of the same, so that there is room for a message's cause. */
void url_put_label(struct buf *out, const struct url *u);

/* Appends the URL of a reference (a Location header) relative to a base: RFC 3986 §5.2. The base's
 * user and password are not carried over, fragments are dropped. The caller parses the result. */
void url_resolve(struct buf *out, const struct url *base, struct str reference);

/* Percent-encodes all but unreserved characters and the bytes of `keep`; upper-case hex. */
void url_put_encoded(struct buf *out, struct str raw, const char *keep);

/* Percent-decodes; '+' stays. Returns false on a bad escape, with nothing appended. */
bool url_put_decoded(struct buf *out, struct str encoded);

/* Finds the raw (still encoded) value of `name` in a query string. Returns false when it is
 * absent. */
bool url_query_get(struct str query, struct str name, struct str *value);

#endif
