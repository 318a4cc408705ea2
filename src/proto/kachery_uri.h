/* Kachery URIs and object keys (PROTOCOL.md §1). Sans-I/O. */
#ifndef PROTO_KACHERY_URI_H
#define PROTO_KACHERY_URI_H

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "base/str.h"

enum { KACHERY_URI_MAX_NAME_BYTES = 200, KACHERY_URI_LOCATIONS = 2 };

struct kachery_uri {
    char hash[SHA1_HEX + 1];
    struct str label; /* raw query value, still percent-encoded; empty when absent */
    /*
     * The readings of `location`: a raw path, never decoded, in which `&`, `?` and `=` may stand as
     * they do in the query. The first reading is the Python client's: up to the next `&` or `?`,
     * none with a further `=`. The second is for paths that the first cuts short: up to the end of
     * the text, where kachery_uri_put_location puts it. Empty: no such reading.
     */
    struct str locations[KACHERY_URI_LOCATIONS];
};

enum kachery_uri_form {
    /* Both also take sha1://<hash>/any/name, as the Python client does. */
    KACHERY_URI_USER,
    KACHERY_URI_DAEMON /* the query is ignored */
};

/* Parses a URI. ERR_FAILED quotes the text and names the accepted forms. label and locations borrow
 * from `text`; of repeated query items the last counts. KACHERY_URI_DAEMON leaves them empty. */
int kachery_uri_parse(struct kachery_uri *out, struct str text, enum kachery_uri_form form,
                      struct err *e) ERR_CHECKED;

/* Appends sha1://<hash>, and ?label=<encoded> when label (raw UTF-8) is not empty. */
void kachery_uri_put(struct buf *out, const char *hash, struct str label);

/* Appends the same for <base>/sha1/<hash>, where `store` put a file itself
 * (KACHERY_STORE_FILE_PREFIX). */
void kachery_uri_put_below(struct buf *out, struct str base, const char *hash, struct str label);

/* Appends the query item `location` to the URI, which *out must hold, with nothing before it. */
void kachery_uri_put_location(struct buf *out, struct str path);

/* Appends [<directory>/]sha1/ab/cd/ef/<hash>; directory may be empty. */
void kachery_uri_put_object_key(struct buf *out, struct str directory, const char *hash);

/* Returns whether a zone may have this directory before its object keys: parts that are neither
 * empty nor begin with a dot. */
bool kachery_uri_is_directory(struct str directory);

/* Returns whether that is an object key; *hash is then its last part. */
bool kachery_uri_is_object_key(struct str key, struct str *hash);

/* Returns whether this may name a resource or a zone: [A-Za-z0-9._~-]+, at most 200 bytes. "." and
 * ".." are none: they would mean something else in a URL or as a file name. */
bool kachery_uri_is_name(struct str name);

#endif
