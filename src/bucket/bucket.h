/*
 * A bucket: objects, named by their keys, and small files, wherever it keeps them. Its user knows
 * neither where that is nor how long a call takes; nothing here needs a descriptor, but one call
 * that a bucket may lack. folder.h opens the one that is a folder of this machine.
 *
 * Each call has a struct in its owner's memory, zero before first use, whose first member is a
 * struct bucket_call with the callback and where to put an error. The call completes by that
 * callback: once, never before the call has returned, in any order among the calls of a bucket.
 * The arguments are borrowed until then; the results are in its struct; the buffers there are
 * the owner's to free. After bucket_cancel no callback comes, and the struct may be freed. A struct
 * may be used again when its call is done.
 *
 * Errors: ERR_NOT_FOUND: the bucket looked, and it is not there. Any other: it is not known.
 */
#ifndef BUCKET_BUCKET_H
#define BUCKET_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

enum {
    BUCKET_MAX_READ_BYTES = 1 << 20, /* of one bucket_read */
    BUCKET_MAX_LIST = 1000,          /* keys in a page */
    BUCKET_MAX_CLIENT_BYTES = 64,
    BUCKET_VERSION_BYTES = 80,
    BUCKET_NEVER_S = -1
};

struct bucket;

struct bucket_call {
    void (*on_done)(void *owner);
    void *owner;
    struct err *e; /* the owner's, who may share it among calls: says why */
    int result;    /* 0, or -1 and *e */
    /* The rest is the bucket's. */
    struct bucket *bucket; /* NULL: not under way */
    struct loop_call ready;
    void *state;
};

/* Frees the bucket, which has no call under way. NULL-safe. */
void bucket_free(struct bucket *bucket);

/* Ends a call that is under way: its callback does not come. Does nothing for another. The
 * bucket may have changed or not. */
void bucket_cancel(struct bucket_call *call);

/* ---- objects ---- */

/* Looks at an object. */
struct bucket_head {
    struct bucket_call call;
    struct str key;
    /* If nobody has compared the object with its hash since it was written, it is compared before
     * the call completes; one that takes long to read counts as good and is compared meanwhile. */
    bool wants_proof;
    struct str client; /* for whom; no blank: comparing takes turns among clients */
    int64_t size_bytes, modified_ms;
    bool is_damaged; /* known not to have the hash of its key: reading it is ERR_NOT_FOUND */
};
void bucket_head(struct bucket *bucket, struct bucket_head *head);

/* Reads at most BUCKET_MAX_READ_BYTES from `start` on: `length`, or less where the object ends. */
struct bucket_read {
    struct bucket_call call;
    struct str key;
    int64_t start, length;
    struct buf bytes; /* appended to */
};
void bucket_read(struct bucket *bucket, struct bucket_read *read);

/*
 * Opens an object as a descriptor of a regular file, for sendfile(2): false, and nothing is called,
 * where the bucket's objects are no files here. The object is compared with its hash meanwhile if
 * that was not done for `believed_s` seconds (BUCKET_NEVER_S: it is not), or if its reader doubts
 * it: then what was known of it is forgotten.
 */
struct bucket_file {
    struct bucket_call call;
    struct str key;
    int64_t believed_s;
    bool wants_manifest, is_doubted;
    int fd; /* -1 until it is open; then the owner's to close, after bucket_cancel too */
    /* As fd, if it is wanted: of the manifest that the bucket made of the object (not checked:
     * manifest_file_open_fd). Where there is none yet it is made meanwhile. */
    int manifest_fd;
    int64_t size_bytes, modified_ms;
};
bool bucket_open_file(struct bucket *bucket, struct bucket_file *file);

/*
 * Puts an object that is not visible before its size and its SHA-1 are right and all of it is
 * durable: bucket_put_open, bucket_put_write for each part as it comes, bucket_put_close; each when
 * the one before is done. bucket_put_discard ends it at any time and frees what it holds; it is
 * called in any case. Errors: ERR_TOO_LARGE no room; ERR_TAKEN too many at once, or the object went
 * meanwhile: again later; ERR_PROTOCOL not the size that was announced; ERR_CHANGED not the hash.
 */
struct bucket_put {
    struct bucket_call call;
    struct str key, hash; /* both borrowed until bucket_put_discard, as is client */
    struct str client;    /* empty: not known */
    int64_t size_bytes;   /* as announced */
    /* The part of bucket_put_close that takes long is left to another process, if there is one: for
     * a process that has other readers. ERR_TAKEN if another such put of the key is open. */
    bool is_left_to_another;
    int64_t written;      /* until now */
    struct bucket *home;  /* the rest is the bucket's */
    void *upload;
};
void bucket_put_open(struct bucket *bucket, struct bucket_put *put);
/* Takes the bytes before it returns; the call is done when the bucket wants more. */
void bucket_put_write(struct bucket_put *put, struct str bytes);
void bucket_put_close(struct bucket_put *put);
void bucket_put_discard(struct bucket_put *put);

/* Removes an object for good; ERR_NOT_FOUND when there is none. */
struct bucket_remove {
    struct bucket_call call;
    struct str key;
    bool only_damaged; /* a good object that comes in its place at that moment stays */
};
void bucket_remove(struct bucket *bucket, struct bucket_remove *remove);

/* Lists the keys that begin with `prefix` and come after `after` (empty: all), in the order of
 * their bytes, at most `max` and BUCKET_MAX_LIST. */
struct bucket_list {
    struct bucket_call call;
    struct str prefix, after;
    size_t max;
    struct buf keys; /* appended to: each key and a NUL */
    bool is_last;    /* no key follows these */
};
void bucket_list(struct bucket *bucket, struct bucket_list *list);

/* Sets *key to the key of the page at *at (0 at first), borrowed from list->keys, and moves *at on.
 * Returns false at the end of the page. */
bool bucket_list_next(const struct bucket_list *list, size_t *at, struct str *key);

/* ---- small files ---- */

/* Reads a small file; or replaces it by `new_text` if it is still as `version` says, and sets
 * `version` to what is there now. ERR_TAKEN if it was changed meanwhile. */
struct bucket_small {
    struct bucket_call call;
    struct str name;
    size_t max_bytes;                   /* read: ERR_TOO_LARGE beyond */
    struct buf text;                    /* read: appended to */
    struct str new_text;                /* replace */
    char version[BUCKET_VERSION_BYTES]; /* read: what was read; replace: "" for no file yet */
};
void bucket_small_read(struct bucket *bucket, struct bucket_small *file);
void bucket_small_replace(struct bucket *bucket, struct bucket_small *file);

/* ---- what is computed, and asks nobody ---- */

/* A URL that permits its holder to get an object, or to put one of a size. */
struct bucket_url {
    bool is_put;
    struct str key;
    int64_t size_bytes; /* put */
    struct str client;  /* put: for whom, if not empty */
    int64_t wall_ms;    /* now */
    struct str server;  /* our own http://host:port as the client sees it, without a final '/' */
};

/* Appends the URL, or makes `out` fail. */
void bucket_put_url(const struct bucket *bucket, const struct bucket_url *url, struct buf *out);

/* Appends a URI that says where the bucket is, and permits nothing. `server` is as in struct
 * bucket_url. */
void bucket_put_uri(const struct bucket *bucket, struct str server, struct buf *out);

/* Appends the text of an error of this bucket without paths of this machine, fit for strangers. */
void bucket_put_public_error(const struct bucket *bucket, const struct err *e, struct buf *out);

#endif
