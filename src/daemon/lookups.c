#include "daemon/lookups.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "daemon/child_log.h"
#include "daemon/lookup_worker.h"
#include "daemon/reason.h"
#include "proc/child.h"

enum { PLACES = LOOKUPS_MAX_SLOW + 1, MAX_LOSSES = 2, AGAIN_MS = 1000, LEAVE_MS = 10000 };

struct item {
    struct item *next;
    uint64_t id;
    int64_t since_ms;
    unsigned losses; /* workers that ended while they were at it */
    bool is_file;    /* it is to be read in parts */
    char hash[SHA1_HEX + 1];
};

struct items {
    struct item *first, *last;
    size_t count;
};

enum state { EMPTY, ACTIVE, SLOW, DYING };

struct lookup_process {
    enum state state;
    struct lookups *lookups;
    struct child *child;
    struct items items; /* sent to it and not answered, in order; one when SLOW */
    uint64_t first;     /* the sequence number of the first of them */
    bool is_silent;     /* for slow_ms or longer */
    bool is_spent;      /* it gets no more, and leaves when it has answered */
};

struct lookups {
    struct lookups_options options;
    struct lookup_process workers[PLACES];
    struct items queue; /* given to nobody */
    /* All that a round brought is answered by one look at what is to be done. */
    struct loop_call settling;
    struct loop_timer alarm;
    int64_t again_ms; /* no worker is started and nothing is sent before */
    struct buf frame;
};

static void append_item(struct items *items, struct item *item)
{
    item->next = NULL;
    *(items->last == NULL ? &items->first : &items->last->next) = item;
    items->last = item;
    items->count++;
}

static struct item *shift_item(struct items *items)
{
    struct item *item = items->first;

    if (item == NULL)
        return NULL;
    items->first = item->next;
    if (items->first == NULL)
        items->last = NULL;
    items->count--;
    return item;
}

/* Moves all of `from` before all of `to`. */
static void prepend_items(struct items *to, struct items *from)
{
    if (from->first == NULL)
        return;
    from->last->next = to->first;
    to->first = from->first;
    if (to->last == NULL)
        to->last = from->last;
    to->count += from->count;
    *from = (struct items){0};
}

static void settle_lookups(void *owner);

struct lookups *lookups_new(const struct lookups_options *options)
{
    struct lookups *l = calloc(1, sizeof *l);

    if (l == NULL)
        return NULL;
    l->options = *options;
    if (l->options.slow_ms > l->options.lost_ms)
        l->options.slow_ms = l->options.lost_ms;
    l->settling = (struct loop_call){.call = settle_lookups, .owner = l};
    l->alarm = (struct loop_timer){.call = settle_lookups, .owner = l};
    for (struct lookup_process *w = l->workers; w < l->workers + PLACES; w++)
        w->lookups = l;
    return l;
}

static void free_items(struct items *items)
{
    struct item *item;

    while ((item = shift_item(items)) != NULL)
        free(item);
}

void lookups_free(struct lookups *l)
{
    if (l == NULL)
        return;
    for (struct lookup_process *w = l->workers; w < l->workers + PLACES; w++) {
        child_free(w->child);
        free_items(&w->items);
    }
    free_items(&l->queue);
    loop_undefer(l->options.loop, &l->settling);
    loop_clear_timer(l->options.loop, &l->alarm);
    buf_free(&l->frame);
    free(l);
}

static struct lookup_process *find_state(const struct lookups *l, enum state state)
{
    for (const struct lookup_process *w = l->workers; w < l->workers + PLACES; w++)
        if (w->state == state)
            return (struct lookup_process *)(uintptr_t)w;
    return NULL;
}

/* No worker can be had for what waits: all places are taken, the last one is slow as well. */
static bool is_queue_stalled(const struct lookups *l, int64_t now_ms)
{
    const struct lookup_process *active = find_state(l, ACTIVE);

    if (now_ms < l->again_ms)
        return true;
    return active == NULL ? find_state(l, EMPTY) == NULL : active->is_silent;
}

static void fail_item(struct lookups *l, struct item *item, const char *reason)
{
    const struct lookup_result file = {
        .is_file = true, .state = RANGE_ERROR, .file_size = -1, .reason = reason};

    if (item->is_file)
        l->options.on_file(l->options.owner, item->id, item->hash, &file);
    else
        l->options.on_failed(l->options.owner, item->id, item->hash, reason);
    free(item);
}

static void settle_soon(struct lookups *l)
{
    loop_defer(l->options.loop, &l->settling);
}

static int add_item(struct lookups *l, uint64_t id, const char *hash, bool is_file, struct err *e)
{
    struct item *item = malloc(sizeof *item);

    if (item == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    *item =
        (struct item){.id = id, .since_ms = loop_now_ms(l->options.loop), .is_file = is_file};
    memcpy(item->hash, hash, sizeof item->hash);
    append_item(&l->queue, item);
    settle_soon(l);
    return 0;
}

int lookups_add(struct lookups *l, uint64_t id, const char hash[SHA1_HEX + 1], struct err *e)
{
    return add_item(l, id, hash, false, e);
}

int lookups_add_file(struct lookups *l, uint64_t id, const char hash[SHA1_HEX + 1], struct err *e)
{
    return add_item(l, id, hash, true, e);
}

/* --- answers --- */

/* Hands one answer to the owner. False when it is none. */
static bool take_value(struct lookups *l, struct item *item, const struct json *value)
{
    struct lookup_result result;

    if (!lookup_result_read(&result, value) || result.is_file != item->is_file)
        return false;
    if (result.is_file)
        l->options.on_file(l->options.owner, item->id, item->hash, &result);
    else if (result.reason != NULL)
        l->options.on_failed(l->options.owner, item->id, item->hash, result.reason);
    else if (!result.is_found)
        l->options.on_absent(l->options.owner, item->id, item->hash, result.note);
    else
        l->options.on_found(l->options.owner, item->id, result.size, result.path);
    return true;
}

/* False when the answer is malformed, or of items that the worker does not have. */
static bool take_lookup_answer(struct lookup_process *w, const struct lookup_message *answer)
{
    struct lookups *l = w->lookups;

    if ((uint64_t)answer->first != w->first)
        return false;
    for (const struct json *value = json_first(answer->values); value != NULL;
         value = json_next(value)) {
        if (w->items.first == NULL)
            return w->state == SLOW; /* the others were taken away from it */
        if (!take_value(l, w->items.first, value))
            return false;
        w->first++;
        free(shift_item(&w->items));
    }
    return true;
}

/* Lets a worker go that has used up its processor time; another one is there at once. */
static void replace_worker(struct lookup_process *w)
{
    w->state = DYING;
    child_leave(w->child, loop_now_ms(w->lookups->options.loop) + LEAVE_MS);
    (void)!lookups_start(w->lookups, ERR_IGNORED); /* else with the next lookup */
}

static bool on_lookup_frame(void *owner, struct str frame, int fd)
{
    struct lookup_process *w = owner;
    struct json *document = json_parse(frame, JSON_SURROGATE_ESCAPE, ERR_IGNORED);
    struct lookup_message answer = {.is_spent = false};
    bool is_good = fields_read(lookup_answer_fields, document, &answer, NULL, ERR_IGNORED) == 0 &&
                   take_lookup_answer(w, &answer);

    if (fd >= 0)
        close(fd);
    json_free(document);
    w->is_spent = w->is_spent || (is_good && answer.is_spent);
    if (w->items.count == 0)
        child_watch(w->child, false);
    if (is_good && w->state == ACTIVE && w->is_spent && w->items.count == 0)
        replace_worker(w);
    if (is_good && w->state == SLOW && w->items.count == 0) {
        w->state = DYING;
        child_kill(w->child, "others do its lookups"); /* it still has frames with them */
    }
    settle_soon(w->lookups);
    return is_good;
}

/* --- the ends of workers --- */

/* The lookup in hand is tried once more, in case it was not to blame. A worker that never answered
 * anything shall not be replaced as fast as this host can fork. */
static void blame_worker(struct lookup_process *w)
{
    struct lookups *l = w->lookups;
    struct item *head = w->items.first;

    if (w->first == 0 && w->state == ACTIVE)
        l->again_ms = loop_now_ms(l->options.loop) + AGAIN_MS;
    if (head != NULL && ++head->losses >= MAX_LOSSES)
        fail_item(l, shift_item(&w->items), REASON_CRASHED);
    prepend_items(&l->queue, &w->items);
}

/* Gives the items of a killed worker, but the one in hand, to others. Its place is free again when
 * it has died: the kernel may hold it in a system call for ever. */
static void on_lookup_worker_killed(struct lookup_process *w)
{
    struct lookups *l = w->lookups;

    if (w->is_silent && w->items.first != NULL)
        fail_item(l, shift_item(&w->items), REASON_SILENT);
    else
        blame_worker(w);
    prepend_items(&l->queue, &w->items);
    w->state = DYING;
}

static void on_lookup_worker_ended(struct lookup_process *w)
{
    if (w->state != DYING)
        blame_worker(w);
    *w = (struct lookup_process){.lookups = w->lookups};
}

static void on_lookup_worker_event(void *owner, enum child_event event, const char *words)
{
    struct lookup_process *w = owner;

    if (w->state != DYING)
        child_log_event(w->child, event, w->lookups->options.process.name, words);
    switch (event) {
    case CHILD_STUCK: w->is_silent = true; break;
    case CHILD_ANSWERS: w->is_silent = false; break;
    case CHILD_KILLED:
        if (w->state != DYING)
            on_lookup_worker_killed(w);
        break;
    case CHILD_ENDED: on_lookup_worker_ended(w); break;
    }
    settle_soon(w->lookups);
}

/* --- what is to be done --- */

/* The active worker is left alone with what it is at when another one can take over. */
static void leave_silent(struct lookups *l)
{
    struct lookup_process *w = find_state(l, ACTIVE);
    struct items head = {0};

    if (w == NULL || !w->is_silent || w->items.first == NULL || find_state(l, EMPTY) == NULL)
        return;
    append_item(&head, shift_item(&w->items));
    prepend_items(&l->queue, &w->items);
    w->items = head;
    w->state = SLOW;
}

/* Fails the items that have waited for too long while nothing moves. */
static void fail_old(struct lookups *l, int64_t now_ms)
{
    const char *reason = find_state(l, EMPTY) != NULL ? REASON_NO_WORKER : REASON_SILENT;

    while (l->queue.first != NULL && is_queue_stalled(l, now_ms) &&
           now_ms - l->queue.first->since_ms >= l->options.lost_ms)
        fail_item(l, shift_item(&l->queue), reason);
}

int lookups_start(struct lookups *l, struct err *e)
{
    struct lookup_process *w = find_state(l, EMPTY);

    if (find_state(l, ACTIVE) != NULL || w == NULL)
        return 0;
    w->child = child_start(
        &(struct child_options){.loop = l->options.loop,
                                .process = l->options.process,
                                .policy = {.stuck_ms = l->options.slow_ms,
                                           .kill_ms = l->options.lost_ms - l->options.slow_ms},
                                .on_frame = on_lookup_frame,
                                .on_event = on_lookup_worker_event,
                                .owner = w},
        e);
    if (w->child == NULL)
        return -1;
    w->state = ACTIVE;
    return 0;
}

/* One frame of at most LOOKUPS_BATCH hashes from the queue. False when it cannot be sent. */
static bool send_batch(struct lookups *l, struct lookup_process *w)
{
    const struct lookup_message question = {.first = (int64_t)(w->first + w->items.count)};
    const struct item *item = l->queue.first;
    size_t count;

    buf_clear(&l->frame);
    json_open(&l->frame, '{');
    fields_put_members(&l->frame, lookup_question_fields, &question);
    json_open_member(&l->frame, "hashes", '[');
    for (count = 0; count < LOOKUPS_BATCH && item != NULL; count++, item = item->next) {
        if (item->is_file)
            json_open_member(&l->frame, NULL, '[');
        json_put_str(&l->frame, NULL, str_of(item->hash));
        if (item->is_file)
            json_close(&l->frame, ']');
    }
    json_close(&l->frame, ']');
    json_close(&l->frame, '}');
    if (l->frame.failed || child_send(w->child, buf_str(&l->frame), -1, ERR_IGNORED) != 0)
        return false;
    child_watch(w->child, true);
    while (count-- > 0)
        append_item(&w->items, shift_item(&l->queue));
    return true;
}

/* Lookups that cannot be sent stay queued. A worker that is gone is replaced at its CHILD_ENDED. */
static void give_items_out(struct lookups *l, int64_t now_ms)
{
    struct lookup_process *w;
    bool is_good;

    if (l->queue.first == NULL || now_ms < l->again_ms)
        return;
    is_good = lookups_start(l, ERR_IGNORED) == 0;
    w = find_state(l, ACTIVE);
    while (is_good && w != NULL && !w->is_spent && child_takes_messages(w->child) &&
           l->queue.first != NULL && w->items.count + LOOKUPS_BATCH <= LOOKUPS_WINDOW)
        is_good = send_batch(l, w);
    if (!is_good && (w == NULL || child_takes_messages(w->child)))
        l->again_ms = now_ms + AGAIN_MS;
}

/* Returns when the queue has to be looked at, whatever the workers do. */
static int64_t queue_wakes_ms(const struct lookups *l, int64_t now_ms)
{
    if (l->queue.first == NULL)
        return CLOCK_NEVER_MS;
    int64_t due_ms = is_queue_stalled(l, now_ms) ? l->queue.first->since_ms + l->options.lost_ms
                                                 : CLOCK_NEVER_MS;
    return now_ms < l->again_ms ? clock_earlier(due_ms, l->again_ms) : due_ms;
}

static void settle_lookups(void *owner)
{
    struct lookups *l = owner;
    int64_t now_ms = loop_now_ms(l->options.loop);

    leave_silent(l);
    fail_old(l, now_ms);
    give_items_out(l, now_ms);
    loop_set_timer(l->options.loop, &l->alarm, queue_wakes_ms(l, now_ms));
}
