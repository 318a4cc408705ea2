/* Kachery URIs and object keys (PROTOCOL.md §1). Sans-I/O. */
#ifndef PROTO_KACHERY_URI_H
#define PROTO_KACHERY_URI_H

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "base/str.h"

enum { KACHERY_URI_MAX_NAME_BYTES = 200 };

struct kachery_uri {
    char hash[SHA1_HEX + 1];
    struct str label;    /* raw query value, still percent-encoded; empty when absent */
    struct str location; /* raw, never decoded; empty when absent */
};

enum kachery_uri_form {
    KACHERY_URI_USER,  /* also sha1://<hash>/any/name and any query items */
    KACHERY_URI_DAEMON /* exactly sha1://<hash> with an optional query, which is ignored */
};

/* ERR_USAGE quoting the text and naming what is accepted. label and location borrow from `text`; of
 * repeated query items the last counts. KACHERY_URI_DAEMON leaves both empty. */
int kachery_uri_parse(struct kachery_uri *out, struct str text, enum kachery_uri_form form,
                      struct err *e);

/* Appends sha1://<hash>, and ?label=<encoded> when label (raw UTF-8) is not empty. */
void kachery_uri_put(struct buf *out, const char *hash, struct str label);

/* Appends [<directory>/]sha1/ab/cd/ef/<hash>; directory may be empty. */
void kachery_uri_put_object_key(struct buf *out, struct str directory, const char *hash);

/* Resource names are [A-Za-z0-9._~-]+, at most 200 bytes; zones likewise. "." and ".." are none:
 * they would mean something else in a URL or as a file name. */
bool kachery_uri_is_name(struct str name);

#endif
