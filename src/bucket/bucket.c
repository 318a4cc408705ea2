#include "bucket/bucket.h"

#include "bucket/bucket_ops.h"

/* ---- the life of a call ---- */

static void on_call_completed(void *owner)
{
    struct bucket_call *call = owner;

    call->bucket = NULL;
    call->on_done(call->owner);
}

static void begin_bucket_call(struct bucket *bucket, struct bucket_call *call)
{
    call->bucket = bucket;
    call->result = 0;
    call->ready.call = on_call_completed;
    call->ready.owner = call;
    call->state = NULL;
}

void bucket_complete(struct bucket_call *call, int result)
{
    call->result = result;
    loop_defer(call->bucket->loop, &call->ready);
}

void bucket_cancel(struct bucket_call *call)
{
    struct bucket *bucket = call->bucket;

    if (bucket == NULL)
        return;
    if (call->ready.link != NULL)
        loop_undefer(bucket->loop, &call->ready);
    else
        bucket->ops->cancel(bucket, call);
    call->bucket = NULL;
}

void bucket_free(struct bucket *bucket)
{
    if (bucket != NULL)
        bucket->ops->free(bucket);
}

/* ---- objects ---- */

void bucket_head(struct bucket *bucket, struct bucket_head *head)
{
    begin_bucket_call(bucket, &head->call);
    head->is_damaged = false;
    bucket->ops->head(bucket, head);
}

void bucket_read(struct bucket *bucket, struct bucket_read *read)
{
    begin_bucket_call(bucket, &read->call);
    bucket->ops->read(bucket, read);
}

bool bucket_open_file(struct bucket *bucket, struct bucket_file *file)
{
    if (bucket->ops->open_file == NULL)
        return false;
    begin_bucket_call(bucket, &file->call);
    file->fd = -1;
    bucket->ops->open_file(bucket, file);
    return true;
}

void bucket_put_open(struct bucket *bucket, struct bucket_put *put)
{
    begin_bucket_call(bucket, &put->call);
    put->written = 0;
    put->home = bucket;
    put->upload = NULL;
    bucket->ops->put_open(bucket, put);
}

void bucket_put_write(struct bucket_put *put, struct str bytes)
{
    begin_bucket_call(put->home, &put->call);
    put->home->ops->put_write(put->home, put, bytes);
}

void bucket_put_close(struct bucket_put *put)
{
    begin_bucket_call(put->home, &put->call);
    put->home->ops->put_close(put->home, put);
}

void bucket_put_discard(struct bucket_put *put)
{
    bucket_cancel(&put->call);
    if (put->upload != NULL)
        put->home->ops->put_discard(put->home, put);
    put->upload = NULL;
}

void bucket_remove(struct bucket *bucket, struct bucket_remove *remove)
{
    begin_bucket_call(bucket, &remove->call);
    bucket->ops->remove(bucket, remove);
}

void bucket_list(struct bucket *bucket, struct bucket_list *list)
{
    begin_bucket_call(bucket, &list->call);
    list->is_last = false;
    bucket->ops->list(bucket, list);
}

bool bucket_list_next(const struct bucket_list *list, size_t *at, struct str *key)
{
    if (list->keys.failed || *at >= list->keys.len)
        return false;
    *key = str_of(list->keys.data + *at);
    *at += key->len + 1;
    return true;
}

/* ---- small files ---- */

void bucket_small_read(struct bucket *bucket, struct bucket_small *file)
{
    begin_bucket_call(bucket, &file->call);
    file->version[0] = '\0';
    bucket->ops->small_read(bucket, file);
}

void bucket_small_replace(struct bucket *bucket, struct bucket_small *file)
{
    begin_bucket_call(bucket, &file->call);
    bucket->ops->small_replace(bucket, file);
}

/* ---- what is computed ---- */

void bucket_put_url(const struct bucket *bucket, const struct bucket_url *url, struct buf *out)
{
    bucket->ops->put_url(bucket, url, out);
}

void bucket_put_uri(const struct bucket *bucket, struct str server, struct buf *out)
{
    bucket->ops->put_uri(bucket, server, out);
}

void bucket_put_public_error(const struct bucket *bucket, const struct err *e, struct buf *out)
{
    bucket->ops->put_public_error(bucket, e, out);
}
