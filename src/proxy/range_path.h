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

/* Parses the path of a request. Returns false if it names no file: then it is a 404. The caller
 * frees with range_path_deinit in any case. */
bool range_path_parse(struct range_path *out, struct str path);
void range_path_deinit(struct range_path *path);

/* Returns whether the part of a path behind /f/ or /d/ is that of a share link: it begins with '~'
 * (or %7E). *rest are the bytes behind that, borrowed from `part`. */
bool range_path_is_shared(struct str part, struct str *rest);

/* Parses /d/<sha1>/<path> and /d/~<token>/<path>; `name` is the path in the folder. *is_bare is
 * true for /d/<sha1> without the last '/'. Returns false for any other path; freed as above. */
bool range_path_parse_folder(struct range_path *out, struct str path, bool *is_bare);

/* Appends /f/<sha1>.<n8>/<name, percent-encoded>, or /f/<sha1> without a name. */
void range_path_put(struct buf *out, struct str sha1, struct str name);

/* Returns the media type by the extension of the name, static; application/octet-stream for an
 * unknown extension. */
const char *range_path_type(struct str name);

/* Returns whether a browser could run or render something in a file of that name: then it is sent
 * as an attachment. */
bool range_path_is_active(struct str name);

#endif
