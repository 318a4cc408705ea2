#include "store/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proc/pool.h"
#include "store/batch_message.h"
#include "store/batch_worker.h"

/*
 *   head                     next                      tail
 *    │ done, given, waiting…  │ waiting                 │ free
 *    ▼                        ▼                         ▼
 *   [D][D][G][D][G][G][W]....[W][W][W]..................
 * Items go through WAITING, GIVEN (in a group that is one job of the pool) and DONE; those done at
 * the head are committed together and told. No item before `next` is waiting. A worker has several
 * groups, and hashes files of them side by side, in the lanes of SHA-1.
 */

enum {
    GROUP_FILES = BATCH_WORKER_PATHS,
    GROUP_BYTES = 1 << 20,         /* a group of small files takes about a millisecond */
    GROUP_MESSAGE_BYTES = 32 << 10, /* half a frame: the next path still fits */
    FSYNC_FILES = 8, /* up to so many are synced one by one: syncfs waits for everybody's data */
    STOPPED_MS = 120000 /* a worker that somebody stops for so long is replaced */
};

struct group {
    uint64_t id; /* of the pool's job; 0: free */
    uint64_t first, end; /* the items */
    uint64_t left; /* of them, without a result */
    int64_t bytes; /* read of these, as was reported last */
};

struct batch {
    struct batch_options options;
    struct pool *pool;
    struct batch_item *items; /* BATCH_WINDOW; item n is at n % BATCH_WINDOW */
    uint64_t head, next, tail;
    size_t lanes;         /* files that a worker has in hand at once, and groups */
    struct group *groups; /* options.jobs * lanes */
    uint64_t last_id;
    uint64_t bytes_done, files_done;
    uint64_t ready;         /* items before this are done and wait for their report */
    int64_t ready_since_ms; /* the oldest of them */
    struct loop_timer commit; /* of what is ready */
    bool has_published;
    struct buf message;
};

void batch_item_fail(struct batch_item *item, const struct err *e)
{
    free(item->error);
    item->code = e->code == ERR_NONE ? ERR_FAILED : e->code;
    item->error = strdup(e->msg);
}

static void deinit_item(struct batch_item *item)
{
    free(item->path);
    free(item->error);
    store_entry_deinit(&item->about);
    *item = (struct batch_item){0};
}

static struct batch_item *item_at(const struct batch *b, uint64_t n)
{
    return &b->items[n % BATCH_WINDOW];
}

static struct group *find_group(const struct batch *b, uint64_t id)
{
    struct group *const end = b->groups + b->options.jobs * b->lanes;
    struct group *g = b->groups;

    while (g < end && g->id != id)
        g++;
    return g < end ? g : NULL;
}

static void wake_owner(const struct batch *b)
{
    b->options.wake.call(b->options.wake.owner);
}

static void finish_item(struct batch *b, struct batch_item *item)
{
    item->progress = BATCH_DONE;
    if (item->code == ERR_NONE)
        b->bytes_done += (uint64_t)item->size;
    b->files_done++;
}

static void take_hashed(struct batch_item *item, const struct batch_message *m)
{
    memcpy(item->hash, m->hash.p, SHA1_HEX);
    item->size = m->size;
    item->mtime = m->mtime;
    item->id = (struct file_id){m->device, m->inode, (uint32_t)m->owner};
    item->staged.size = m->size;
    item->staged.mtime = m->mtime;
    item->staged.id = item->id;
    memcpy(item->staged.hash, item->hash, sizeof item->staged.hash);
    memcpy(item->staged.suffix, m->suffix.p, m->suffix.len);
    item->staged.suffix[m->suffix.len] = '\0';
    memcpy(item->staged.manifest, m->manifest.p, m->manifest.len);
    item->staged.manifest[m->manifest.len] = '\0';
    item->manifest = (enum manifest_file_state)m->manifest_state;
}

static void take_failure(struct batch_item *item, const struct batch_message *m)
{
    struct err e;

    err_set(&e, (enum err_code)m->code, "%.*s", STR_ARG(m->text));
    batch_item_fail(item, &e);
}

/* Finds the item of a message, which is in hand. NULL for nonsense. */
static struct batch_item *find_answered(const struct batch *b, const struct group *g,
                                        const struct batch_message *m)
{
    if ((uint64_t)m->index >= g->end - g->first)
        return NULL;
    struct batch_item *item = item_at(b, g->first + (uint64_t)m->index);
    return item->progress == BATCH_GIVEN ? item : NULL;
}

/* The result of an item of the group is there. */
static enum pool_said finish_answered(struct batch *b, struct group *g, struct batch_item *item)
{
    finish_item(b, item);
    wake_owner(b);
    g->bytes = g->bytes > item->size ? g->bytes - item->size : 0;
    if (--g->left > 0)
        return POOL_GOES_ON;
    *g = (struct group){0};
    return POOL_IS_LAST;
}

static enum pool_said on_group_message(void *owner, uint64_t id, const struct json *doc)
{
    struct batch *b = owner;
    struct group *g = find_group(b, id);
    struct batch_message m;

    if (batch_message_read(&m, doc, ERR_IGNORED) != 0 || m.type == BATCH_MESSAGE_WORK)
        return POOL_NONSENSE; /* no worker sends work */
    if (m.type == BATCH_MESSAGE_BYTES) {
        g->bytes = m.bytes;
        return POOL_GOES_ON;
    }
    struct batch_item *item = find_answered(b, g, &m);
    if (item == NULL)
        return POOL_NONSENSE;
    if (m.type == BATCH_MESSAGE_HASHED)
        take_hashed(item, &m);
    else
        take_failure(item, &m);
    return finish_answered(b, g, item);
}

/* The file that was in hand is to blame. Where there were several, each is given again, alone: the
 * one to blame shows. The files behind them are given again too. */
static void on_group_lost(void *owner, uint64_t id, const char *reason)
{
    struct batch *b = owner;
    struct group *g = find_group(b, id);
    size_t suspects = b->lanes < g->left ? b->lanes : g->left;
    const bool is_sure = suspects == 1 && pool_lost_together(b->pool) == 1;
    struct err e;

    err_set(&e, ERR_FAILED, "%s", reason);
    for (uint64_t n = g->first; n < g->end; n++) {
        struct batch_item *item = item_at(b, n);
        if (item->progress != BATCH_GIVEN)
            continue;
        if (is_sure && suspects > 0) {
            batch_item_fail(item, &e);
            finish_item(b, item);
        } else {
            item->progress = BATCH_WAITING;
            item->is_alone = item->is_alone || suspects > 0;
            b->next = n < b->next ? n : b->next;
        }
        suspects -= suspects > 0;
    }
    *g = (struct group){0};
    wake_owner(b);
}

static void on_pool_room(void *owner)
{
    wake_owner(owner);
}

struct batch *batch_new(const struct batch_options *options, struct err *e)
{
    struct batch *b = calloc(1, sizeof *b);

    if (b != NULL) {
        b->options = *options;
        b->items = calloc(BATCH_WINDOW, sizeof *b->items);
        b->lanes = batch_worker_lanes(options);
        b->groups = calloc(options->jobs * b->lanes, sizeof *b->groups);
    }
    if (b == NULL || b->items == NULL || b->groups == NULL) {
        batch_free(b);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    b->commit = (struct loop_timer){.call = options->wake.call, .owner = options->wake.owner};
    struct pool_options pool = {
        .loop = options->wake.loop,
        .process = {.name = "kachery-hash", .run = batch_worker_run, .ctx = &b->options},
        .max_workers = options->jobs,
        .depth = (unsigned)b->lanes,
        .has_workers_first = true,
        .stopped_ms = STOPPED_MS,
        .on_message = on_group_message,
        .on_lost = on_group_lost,
        .on_room = on_pool_room,
        .owner = b,
    };
    b->pool = pool_new(&pool, e);
    if (b->pool != NULL)
        return b;
    batch_free(b);
    return NULL;
}

void batch_free(struct batch *b)
{
    if (b == NULL)
        return;
    if (b->options.wake.loop != NULL)
        loop_clear_timer(b->options.wake.loop, &b->commit);
    pool_free(b->pool);
    for (; b->head < b->tail; b->head++) {
        struct batch_item *item = item_at(b, b->head);
        add_discard(b->options.store, &item->staged);
        deinit_item(item);
    }
    free(b->items);
    free(b->groups);
    buf_free(&b->message);
    free(b);
}

bool batch_has_room(const struct batch *b)
{
    return b->tail - b->head < BATCH_WINDOW;
}

bool batch_is_empty(const struct batch *b)
{
    return b->tail == b->head;
}

void batch_add(struct batch *b, struct batch_item *item)
{
    struct batch_item *place = item_at(b, b->tail++);

    *place = *item;
    *item = (struct batch_item){0};
    place->staged = (struct add_staged){
        .kind = b->options.work == BATCH_COPY ? STORE_COPY : STORE_LINK};
    place->progress = BATCH_WAITING;
    if (place->error != NULL)
        finish_item(b, place);
}

uint64_t batch_bytes(const struct batch *b)
{
    uint64_t bytes = b->bytes_done;

    for (size_t i = 0; i < b->options.jobs * b->lanes; i++)
        bytes += (uint64_t)b->groups[i].bytes;
    return bytes;
}

uint64_t batch_files(const struct batch *b)
{
    return b->files_done;
}

/* Fills the message with neighbours that wait, small ones together. */
static void form_group(struct batch *b, struct group *g)
{
    const struct batch_item *first = item_at(b, g->first);
    const struct follow *follow = &first->follow;
    int64_t bytes = 0;

    batch_message_put(&b->message, &(struct batch_message){.type = BATCH_MESSAGE_WORK,
                                                           .id = (int64_t)g->id,
                                                           .follow_kind = follow->kind,
                                                           .root_len = (int64_t)follow->root_len,
                                                           .root_device = follow->root_device,
                                                           .root_inode = follow->root_inode,
                                                           .is_alone = first->is_alone});
    while (g->end < b->tail && item_at(b, g->end)->progress == BATCH_WAITING) {
        struct batch_item *item = item_at(b, g->end);
        bool is_full = g->end - g->first == GROUP_FILES || bytes + item->size > GROUP_BYTES ||
                       b->message.len > GROUP_MESSAGE_BYTES || first->is_alone ||
                       item->is_alone || !follow_is_equal(&item->follow, follow);
        if (g->end > g->first && is_full)
            break;
        batch_message_put_path(&b->message, item->path);
        bytes += item->size;
        g->end++;
    }
    batch_message_end_paths(&b->message);
}

/* Gives the pool what waits; few files only when no more are at hand. -1 when nothing is in hand
 * and nothing can be. */
static int give_groups(struct batch *b, bool is_more_at_hand, struct err *e)
{
    for (;;) {
        while (b->next < b->tail && item_at(b, b->next)->progress != BATCH_WAITING)
            b->next++;
        struct group *g = find_group(b, 0);
        if (b->next == b->tail || g == NULL || !pool_has_room(b->pool) ||
            (is_more_at_hand && b->tail - b->next < GROUP_FILES))
            return 0;
        *g = (struct group){.id = ++b->last_id, .first = b->next, .end = b->next};
        form_group(b, g);
        g->left = g->end - g->first;
        if (pool_submit(b->pool, g->id, buf_str(&b->message), e) != 0) {
            *g = (struct group){0};
            return pool_jobs(b->pool) > 0 ? 0 : -1;
        }
        for (uint64_t n = g->first; n < g->end; n++)
            item_at(b, n)->progress = BATCH_GIVEN;
        b->next = g->end;
    }
}

static bool is_staged(const struct batch_item *item)
{
    return add_is_staged(&item->staged);
}

/* The staged files are published, or removed. */
static void forget_staged(struct batch_item *item)
{
    item->staged.suffix[0] = '\0';
    item->staged.manifest[0] = '\0';
}

static void fail_staged(struct batch *b, struct batch_item *item, const struct err *e)
{
    add_discard(b->options.store, &item->staged);
    forget_staged(item);
    batch_item_fail(item, e);
}

/* The step of a commit that makes durable: of few files each by itself, of many all at once. */
static void sync_items(struct batch *b, uint64_t end, size_t staged,
                       int (*sync_one)(const struct store *s, const struct add_staged *staged,
                                       struct err *e))
{
    const struct store *s = b->options.store;
    bool is_one_by_one = staged <= FSYNC_FILES;
    struct err e = {0};
    int status = is_one_by_one ? 0 : store_sync(s, &e);

    for (uint64_t n = b->head; n < end; n++) {
        struct batch_item *item = item_at(b, n);
        if (is_staged(item) && is_one_by_one)
            status = sync_one(s, &item->staged, &e);
        if (is_staged(item) && status != 0)
            fail_staged(b, item, &e);
    }
}

/* Gives one file its name. A link that was there already when it was staged may have been replaced
 * by one that was published since: the last of the input wins. */
static int publish_one(struct batch *b, struct batch_item *item, struct err *e)
{
    const struct store *s = b->options.store;

    if (item->staged.suffix[0] == '\0') {
        if (b->options.work != BATCH_LINK || item->code != ERR_NONE)
            return 0;
        if (b->has_published && (add_confirm_link(s, item->path, &item->staged, e) != 0 ||
                                 add_sync_staged(s, &item->staged, e) != 0))
            return -1;
    }
    b->has_published = b->has_published || is_staged(item);
    return add_publish(s, item->path, &item->staged, e);
}

/* Makes what was staged up to `end` durable, visible, and durably visible. */
static void publish_items(struct batch *b, uint64_t end)
{
    size_t count = 0;
    struct err e;

    for (uint64_t n = b->head; n < end; n++)
        count += is_staged(item_at(b, n));
    sync_items(b, end, count, add_sync_staged);
    for (uint64_t n = b->head; n < end; n++) {
        struct batch_item *item = item_at(b, n);
        if (publish_one(b, item, &e) != 0)
            fail_staged(b, item, &e);
    }
    sync_items(b, end, count, add_sync_published);
}

static void commit_items(struct batch *b, uint64_t end)
{
    publish_items(b, end);
    for (; b->head < end; b->head++) {
        struct batch_item *item = item_at(b, b->head);
        forget_staged(item);
        b->options.on_result(b->options.owner, item);
        deinit_item(item);
    }
}

int batch_step(struct batch *b, bool is_more_at_hand, struct err *e)
{
    uint64_t ready = b->ready;
    int64_t now_ms = loop_now_ms(b->options.wake.loop);

    is_more_at_hand = is_more_at_hand && batch_has_room(b);
    if (give_groups(b, is_more_at_hand, e) != 0)
        return -1;
    while (ready < b->tail && item_at(b, ready)->progress == BATCH_DONE)
        ready++;
    if (b->ready == b->head)
        b->ready_since_ms = now_ms;
    b->ready = ready;
    if (ready - b->head >= BATCH_WINDOW / 2 || (ready == b->tail && !is_more_at_hand) ||
        now_ms - b->ready_since_ms >= BATCH_COMMIT_MS)
        commit_items(b, ready);
    loop_set_timer(b->options.wake.loop, &b->commit,
                   b->ready > b->head ? b->ready_since_ms + BATCH_COMMIT_MS : CLOCK_NEVER_MS);
    return 0;
}
