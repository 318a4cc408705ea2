/*
 * A bucket in memory. Its calls take effect and complete when the test says, in the order that it
 * says, or after a time of the loop's clock; each may be made to fail. It keeps no descriptor and
 * has no files to open, as a bucket that is asked over the network.
 */
#ifndef UNIT_MEMORY_BUCKET_H
#define UNIT_MEMORY_BUCKET_H

#include <stdlib.h>

#include "base/sha1.h"
#include "bucket/bucket.h"
#include "bucket/bucket_ops.h"
#include "unit.h"

enum { MEMORY_ITEMS = 64, MEMORY_PENDING = 16, MEMORY_KEY = 128 };

enum memory_kind {
    MEMORY_HEAD,
    MEMORY_READ,
    MEMORY_PUT_OPEN,
    MEMORY_PUT_WRITE,
    MEMORY_PUT_CLOSE,
    MEMORY_REMOVE,
    MEMORY_LIST,
    MEMORY_SMALL_READ,
    MEMORY_SMALL_REPLACE
};

struct memory_item {
    char key[MEMORY_KEY];
    struct buf bytes;
    unsigned version;
    bool is_damaged;
};

struct memory_pending {
    enum memory_kind kind;
    struct bucket_call *call;
};

struct memory_bucket {
    struct bucket bucket;
    struct memory_item items[MEMORY_ITEMS]; /* in the order of their keys */
    size_t count;
    unsigned last_version;
    struct memory_pending pending[MEMORY_PENDING]; /* in the order of their coming */
    size_t pending_count;
    unsigned made, cancelled, uploads;
    unsigned fail_at;  /* the call of that number (from 1) fails */
    bool completes;    /* each call is done in the round in which it is made */
    int64_t delay_ms;  /* else, if it is not 0: after so long, the later the sooner */
    struct loop_timer timer;
};

static inline struct memory_bucket *memory_of(struct bucket *bucket)
{
    return (struct memory_bucket *)bucket;
}

/* ---- what it has ---- */

static inline struct memory_item *memory_find(struct memory_bucket *m, struct str key)
{
    for (size_t i = 0; i < m->count; i++)
        if (str_equal(str_of(m->items[i].key), key))
            return &m->items[i];
    return NULL;
}

static inline struct memory_item *memory_put(struct memory_bucket *m, struct str key,
                                             struct str bytes)
{
    struct memory_item *item = memory_find(m, key);

    if (item == NULL) {
        size_t at = m->count;
        assert_true(m->count < MEMORY_ITEMS && key.len < MEMORY_KEY);
        while (at > 0 && str_compare(str_of(m->items[at - 1].key), key) > 0) {
            m->items[at] = m->items[at - 1];
            at--;
        }
        item = &m->items[at];
        *item = (struct memory_item){.version = 0};
        memcpy(item->key, key.p, key.len);
        m->count++;
    }
    buf_clear(&item->bytes);
    buf_put(&item->bytes, bytes);
    item->version = ++m->last_version;
    item->is_damaged = false;
    return item;
}

static inline void memory_drop(struct memory_bucket *m, struct memory_item *item)
{
    size_t at = (size_t)(item - m->items);

    buf_free(&item->bytes);
    m->count--;
    for (; at < m->count; at++)
        m->items[at] = m->items[at + 1];
}

/* ---- its calls ---- */

static inline int memory_absent(struct bucket_call *call)
{
    return err_set(call->e, ERR_NOT_FOUND, "no such key");
}

static inline int memory_head(struct memory_bucket *m, struct bucket_head *head)
{
    const struct memory_item *item = memory_find(m, head->key);

    if (item == NULL)
        return memory_absent(&head->call);
    head->size_bytes = (int64_t)item->bytes.len;
    head->modified_ms = 1000;
    head->is_damaged = item->is_damaged;
    return 0;
}

static inline int memory_read(struct memory_bucket *m, struct bucket_read *read)
{
    const struct memory_item *item = memory_find(m, read->key);
    struct str all;

    if (item == NULL || item->is_damaged)
        return memory_absent(&read->call);
    all = buf_str(&item->bytes);
    all = str_slice(all, (size_t)read->start, all.len);
    if (read->length > BUCKET_MAX_READ_BYTES)
        read->length = BUCKET_MAX_READ_BYTES;
    buf_put(&read->bytes, str_slice(all, 0, (size_t)read->length));
    return 0;
}

static inline int memory_close(struct memory_bucket *m, struct bucket_put *put)
{
    const struct buf *got = put->upload;
    unsigned char digest[SHA1_SIZE];
    char digits[SHA1_HEX + 1];

    if ((int64_t)got->len != put->size_bytes)
        return err_set(put->call.e, ERR_PROTOCOL, "%zu bytes came", got->len);
    sha1_of(buf_str(got), digest);
    for (int i = 0; i < SHA1_SIZE; i++)
        snprintf(digits + 2 * i, 3, "%02x", digest[i]);
    if (!str_equal(str_of(digits), put->hash))
        return err_set(put->call.e, ERR_CHANGED, "the bytes have the SHA-1 %s", digits);
    memory_put(m, put->key, buf_str(got));
    return 0;
}

static inline int memory_remove(struct memory_bucket *m, struct bucket_remove *r)
{
    struct memory_item *item = memory_find(m, r->key);

    if (item == NULL)
        return memory_absent(&r->call);
    if (!r->only_damaged || item->is_damaged)
        memory_drop(m, item);
    return 0;
}

static inline int memory_list(struct memory_bucket *m, struct bucket_list *list)
{
    size_t count = 0;

    for (size_t i = 0; i < m->count; i++) {
        struct str key = str_of(m->items[i].key);
        if (!str_starts_with(key, list->prefix) || str_compare(key, list->after) <= 0)
            continue;
        if (count++ == list->max)
            return 0;
        buf_append(&list->keys, key.p, key.len + 1);
    }
    list->is_last = true;
    return 0;
}

static inline void memory_put_version(const struct memory_item *item, struct bucket_small *file)
{
    file->version[0] = '\0';
    if (item != NULL)
        snprintf(file->version, sizeof file->version, "v%u", item->version);
}

static inline int memory_small_read(struct memory_bucket *m, struct bucket_small *file)
{
    const struct memory_item *item = memory_find(m, file->name);

    if (item == NULL)
        return memory_absent(&file->call);
    if (item->bytes.len > file->max_bytes)
        return err_set(file->call.e, ERR_TOO_LARGE, "too large");
    buf_put(&file->text, buf_str(&item->bytes));
    memory_put_version(item, file);
    return 0;
}

static inline int memory_small_replace(struct memory_bucket *m, struct bucket_small *file)
{
    struct bucket_small is = {.version = ""};

    memory_put_version(memory_find(m, file->name), &is);
    if (strcmp(is.version, file->version) != 0)
        return err_set(file->call.e, ERR_TAKEN, "it is another one by now");
    memory_put_version(memory_put(m, file->name, file->new_text), file);
    return 0;
}

static inline int memory_do(struct memory_bucket *m, const struct memory_pending *p)
{
    switch (p->kind) {
    case MEMORY_HEAD: return memory_head(m, (struct bucket_head *)p->call);
    case MEMORY_READ: return memory_read(m, (struct bucket_read *)p->call);
    case MEMORY_PUT_OPEN:
    case MEMORY_PUT_WRITE: return 0;
    case MEMORY_PUT_CLOSE: return memory_close(m, (struct bucket_put *)p->call);
    case MEMORY_REMOVE: return memory_remove(m, (struct bucket_remove *)p->call);
    case MEMORY_LIST: return memory_list(m, (struct bucket_list *)p->call);
    case MEMORY_SMALL_READ: return memory_small_read(m, (struct bucket_small *)p->call);
    case MEMORY_SMALL_REPLACE: return memory_small_replace(m, (struct bucket_small *)p->call);
    }
    return -1;
}

static inline struct memory_pending memory_take(struct memory_bucket *m, size_t i)
{
    struct memory_pending p = m->pending[i];

    assert_true(i < m->pending_count);
    m->pending_count--;
    for (; i < m->pending_count; i++)
        m->pending[i] = m->pending[i + 1];
    return p;
}

/* The call takes effect now; its callback comes at the end of the round. */
static inline void memory_complete(struct memory_bucket *m, size_t i)
{
    struct memory_pending p = memory_take(m, i);

    bucket_complete(p.call, memory_do(m, &p));
}

static inline void memory_on_time(void *owner)
{
    struct memory_bucket *m = owner;

    memory_complete(m, m->pending_count - 1);
    if (m->pending_count > 0)
        loop_set_timer(m->bucket.loop, &m->timer, loop_now_ms(m->bucket.loop) + m->delay_ms);
}

static inline void memory_begin(struct bucket *bucket, enum memory_kind kind,
                                struct bucket_call *call)
{
    struct memory_bucket *m = memory_of(bucket);

    if (++m->made == m->fail_at) {
        bucket_complete(call, err_set(call->e, ERR_FAILED, "the bucket is broken"));
        return;
    }
    assert_true(m->pending_count < MEMORY_PENDING);
    m->pending[m->pending_count++] = (struct memory_pending){kind, call};
    if (m->completes)
        memory_complete(m, m->pending_count - 1);
    else if (m->delay_ms > 0)
        loop_set_timer(bucket->loop, &m->timer, loop_now_ms(bucket->loop) + m->delay_ms);
}

static inline void memory_cancel(struct bucket *bucket, struct bucket_call *call)
{
    struct memory_bucket *m = memory_of(bucket);

    for (size_t i = 0; i < m->pending_count; i++)
        if (m->pending[i].call == call) {
            memory_take(m, i);
            m->cancelled++;
            return;
        }
    fail_msg("a call is cancelled that is not under way");
}

static inline void memory_begin_head(struct bucket *b, struct bucket_head *head)
{
    memory_begin(b, MEMORY_HEAD, &head->call);
}

static inline void memory_begin_read(struct bucket *b, struct bucket_read *read)
{
    memory_begin(b, MEMORY_READ, &read->call);
}

static inline void memory_begin_put_open(struct bucket *b, struct bucket_put *put)
{
    put->upload = calloc(1, sizeof(struct buf));
    memory_of(b)->uploads++;
    memory_begin(b, MEMORY_PUT_OPEN, &put->call);
}

static inline void memory_begin_put_write(struct bucket *b, struct bucket_put *put,
                                          struct str bytes)
{
    buf_put(put->upload, bytes);
    put->written += (int64_t)bytes.len;
    memory_begin(b, MEMORY_PUT_WRITE, &put->call);
}

static inline void memory_begin_put_close(struct bucket *b, struct bucket_put *put)
{
    memory_begin(b, MEMORY_PUT_CLOSE, &put->call);
}

static inline void memory_put_discard(struct bucket *b, struct bucket_put *put)
{
    buf_free(put->upload);
    free(put->upload);
    memory_of(b)->uploads--;
}

static inline void memory_begin_remove(struct bucket *b, struct bucket_remove *r)
{
    memory_begin(b, MEMORY_REMOVE, &r->call);
}

static inline void memory_begin_list(struct bucket *b, struct bucket_list *list)
{
    memory_begin(b, MEMORY_LIST, &list->call);
}

static inline void memory_begin_small_read(struct bucket *b, struct bucket_small *file)
{
    memory_begin(b, MEMORY_SMALL_READ, &file->call);
}

static inline void memory_begin_small_replace(struct bucket *b, struct bucket_small *file)
{
    memory_begin(b, MEMORY_SMALL_REPLACE, &file->call);
}

/* ---- what it computes, and its life ---- */

static inline void memory_put_url(const struct bucket *b, const struct bucket_url *url,
                                  struct buf *out)
{
    (void)b;
    buf_printf(out, "memory://%s/%.*s", url->is_put ? "put" : "get", STR_ARG(url->key));
}

static inline void memory_put_uri(const struct bucket *b, struct str server, struct buf *out)
{
    (void)b;
    (void)server;
    buf_puts(out, "memory://");
}

static inline void memory_put_public_error(const struct bucket *b, const struct err *e,
                                           struct buf *out)
{
    (void)b;
    buf_puts(out, e->msg);
}

static inline void memory_free(struct bucket *bucket)
{
    struct memory_bucket *m = memory_of(bucket);

    assert_int_equal(m->pending_count, 0);
    assert_int_equal(m->uploads, 0);
    loop_clear_timer(bucket->loop, &m->timer);
    while (m->count > 0)
        memory_drop(m, &m->items[0]);
    free(m);
}

static inline struct memory_bucket *memory_bucket_new(struct loop *loop)
{
    static const struct bucket_ops ops = {.free = memory_free,
                                          .head = memory_begin_head,
                                          .read = memory_begin_read,
                                          .put_open = memory_begin_put_open,
                                          .put_write = memory_begin_put_write,
                                          .put_close = memory_begin_put_close,
                                          .put_discard = memory_put_discard,
                                          .remove = memory_begin_remove,
                                          .list = memory_begin_list,
                                          .small_read = memory_begin_small_read,
                                          .small_replace = memory_begin_small_replace,
                                          .cancel = memory_cancel,
                                          .put_url = memory_put_url,
                                          .put_uri = memory_put_uri,
                                          .put_public_error = memory_put_public_error};
    struct memory_bucket *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->bucket = (struct bucket){.ops = &ops, .loop = loop};
    m->timer = (struct loop_timer){.call = memory_on_time, .owner = m};
    return m;
}

#endif
