/*
 * The file of an upload as the body of a PUT: read(2) only, hashed as it is read, and its last
 * UPLOAD_HOLD_BACK_BYTES given out only when the hash is right. No sockets.
 */
#ifndef ZONE_UPLOAD_SOURCE_H
#define ZONE_UPLOAD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/io.h"
#include "base/sha1.h"
#include "base/str.h"

enum { UPLOAD_HOLD_BACK_BYTES = 65536, UPLOAD_CHUNK_BYTES = 262144 };

struct hasher;

/*
 *     data: │ given out │ ready │ held back │ free │
 *           0          out    ready        len
 */
struct upload_source {
    int fd;
    const char *hash; /* borrowed */
    int64_t size;
    struct stat before;
    struct sha1 sha1;      /* of what was read, unless the hasher has it */
    struct hasher *hasher; /* hashes what is read, in a process beside this one; or NULL */
    int64_t bytes_read, bytes_given; /* with the chunk that was given last */
    char *data;
    size_t out, ready, len;
    struct str piece; /* with a hasher: what is not given out of the one read last, in its ring */
    struct str held;  /* ... and of the one before: held back */
    bool has_begun; /* more than the first bytes were asked for */
    bool is_right;  /* all was read, and the hash is right */
};

/* Opens `path` and reads the first chunk of it. ERR_CHANGED when it is no regular file of `size`
 * bytes (any more), or already known to have another hash; ERR_FAILED when it cannot be read. No
 * message names the path. Caller deinits in any case. */
int upload_source_open(struct upload_source *source, const char *path, const char *hash,
                       int64_t size, struct err *e) ERR_CHECKED;

/* Reads and hashes the whole open file; the bytes that were read before stay to be sent.
 * ERR_CHANGED when it has another hash. `on_chunk` is called now and then, and ends the reading
 * with -1. */
int upload_source_prove(struct upload_source *source, int (*on_chunk)(void *ctx, struct err *e),
                        void *ctx, struct err *e) ERR_CHECKED;

/* Gives the next chunk: the `source` of a struct http_call_options. ERR_CHANGED when the hash is
 * wrong in the end. */
enum io upload_source_next(struct upload_source *source, struct str *chunk, struct err *e);

/* Returns true when all bytes were sent. */
bool upload_source_is_at_end(const struct upload_source *source);

/* Closes the file and frees the buffer. Safe on zeros. */
void upload_source_deinit(struct upload_source *source);

#endif
