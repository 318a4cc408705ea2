/* The operations that make a bucket (bucket.h), for the modules that are one. */
#ifndef BUCKET_BUCKET_OPS_H
#define BUCKET_BUCKET_OPS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

struct bucket;
struct bucket_call;
struct bucket_head;
struct bucket_read;
struct bucket_file;
struct bucket_put;
struct bucket_remove;
struct bucket_list;
struct bucket_small;
struct bucket_url;

/*
 * The calls are those of bucket.h. Each begins the call and returns; it ends with bucket_complete,
 * also within the call. NULL: open_file alone, where there are no files.
 */
struct bucket_ops {
    void (*free)(struct bucket *bucket);
    void (*head)(struct bucket *bucket, struct bucket_head *head);
    void (*read)(struct bucket *bucket, struct bucket_read *read);
    void (*open_file)(struct bucket *bucket, struct bucket_file *file);
    void (*put_open)(struct bucket *bucket, struct bucket_put *put);
    void (*put_write)(struct bucket *bucket, struct bucket_put *put, struct str bytes);
    void (*put_close)(struct bucket *bucket, struct bucket_put *put);
    void (*put_discard)(struct bucket *bucket, struct bucket_put *put); /* of put->upload */
    void (*remove)(struct bucket *bucket, struct bucket_remove *remove);
    void (*list)(struct bucket *bucket, struct bucket_list *list);
    void (*small_read)(struct bucket *bucket, struct bucket_small *file);
    void (*small_replace)(struct bucket *bucket, struct bucket_small *file);
    /* The call is given up; not asked for one that bucket_complete has taken. */
    void (*cancel)(struct bucket *bucket, struct bucket_call *call);
    void (*put_url)(const struct bucket *bucket, const struct bucket_url *url, struct buf *out);
    void (*put_uri)(const struct bucket *bucket, struct str server, struct buf *out);
    void (*put_public_error)(const struct bucket *bucket, const struct err *e, struct buf *out);
};

/* The first member of what is one. */
struct bucket {
    const struct bucket_ops *ops;
    struct loop *loop; /* of the calls */
};

/* Ends a call with this result (0, or -1 and *call->e): its callback comes at the end of the loop's
 * round. */
void bucket_complete(struct bucket_call *call, int result);

#endif
