/* Paths of files below /f/ and /d/ (EXTENSIONS.md §3). Sans-I/O. */
#ifndef PROXY_RANGE_PATH_H
#define PROXY_RANGE_PATH_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

enum { RANGE_PATH_DIGITS = 8, RANGE_PATH_MAX_NAME_BYTES = 1024 };

struct range_path {
    struct str sha1;  /* 40 lower-case digits, borrowed; empty if there is a token */
    struct str token; /* of a share link, borrowed, unchecked; else empty */
    struct buf name;  /* percent-decoded; empty for none */
};

/* Takes the path of a request apart. False if it names no file: then it is a 404. Free with
 * range_path_deinit in any case. */
bool range_path_parse(struct range_path *out, struct str path);
void range_path_deinit(struct range_path *path);

/* The bytes behind the '~' (or %7E) with which the part of a path behind /f/ or /d/ begins if it is
 * a share link's; false for another. */
bool range_path_is_shared(struct str part, struct str *rest);

/* Takes /d/<sha1> and /d/<sha1>/<path> apart: `name` is the path in the folder, empty and *is_bare
 * of the first; /d/~<token>/<path> likewise. False if it cannot be such a path. */
bool range_path_parse_folder(struct range_path *out, struct str path, bool *is_bare);

/* Appends /f/<sha1>.<n8>/<name, percent-encoded>, or /f/<sha1> without a name. */
void range_path_put(struct buf *out, struct str sha1, struct str name);

/* The media type by the extension of the name; application/octet-stream for what is not known. */
const char *range_path_type(struct str name);

/* Whether a browser could run or render something in it: it is sent as an attachment. */
bool range_path_is_active(struct str name);

#endif
