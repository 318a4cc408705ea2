#include "daemon/lookups.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "daemon/child_log.h"
#include "daemon/reason.h"
#include "proc/child.h"
#include "proc/frame.h"

enum { PLACES = LOOKUPS_MAX_SLOW + 1, MAX_LOSSES = 2, START_AGAIN_MS = 1000 };

struct item {
    struct item *next;
    uint64_t id;
    int64_t since_ms;
    unsigned losses; /* workers that ended while they were at it */
    char hash[SHA1_HEX + 1];
};

struct items {
    struct item *first, *last;
    size_t count;
};

enum state { EMPTY, ACTIVE, SLOW, DYING };

struct worker {
    enum state state;
    struct process process;
    struct items items;     /* given to it and not answered, in order; one when SLOW */
    uint64_t first;         /* the sequence number of the first of them */
    struct item *unsent;    /* the first that it was not told yet */
    int64_t quiet_since_ms; /* it answered, or got something to do */
};

struct lookups {
    struct lookups_options options;
    struct worker workers[PLACES];
    struct items queue; /* given to nobody */
    int64_t start_again_ms;
    struct buf frame;
};

static void append(struct items *items, struct item *item)
{
    item->next = NULL;
    *(items->last == NULL ? &items->first : &items->last->next) = item;
    items->last = item;
    items->count++;
}

static struct item *shift(struct items *items)
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
static void prepend_all(struct items *to, struct items *from)
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

struct lookups *lookups_new(const struct lookups_options *options)
{
    struct lookups *l = calloc(1, sizeof *l);

    if (l != NULL)
        l->options = *options;
    return l;
}

static void free_items(struct items *items)
{
    struct item *item;

    while ((item = shift(items)) != NULL)
        free(item);
}

void lookups_free(struct lookups *l)
{
    if (l == NULL)
        return;
    for (struct worker *w = l->workers; w < l->workers + PLACES; w++) {
        if (w->state != EMPTY)
            child_log_end(&w->process);
        free_items(&w->items);
    }
    free_items(&l->queue);
    buf_free(&l->frame);
    free(l);
}

static struct worker *find_state(const struct lookups *l, enum state state)
{
    for (const struct worker *w = l->workers; w < l->workers + PLACES; w++)
        if (w->state == state)
            return (struct worker *)(uintptr_t)w;
    return NULL;
}

/* No worker can be had for what waits: all places are taken, the last one is slow as well. */
static bool is_stalled(const struct lookups *l, int64_t now_ms)
{
    const struct worker *active = find_state(l, ACTIVE);

    if (active == NULL)
        return find_state(l, EMPTY) == NULL || now_ms < l->start_again_ms;
    return active->items.count > 0 && now_ms - active->quiet_since_ms >= l->options.slow_ms;
}

static void fail(struct lookups *l, struct item *item, const char *reason)
{
    l->options.on_failed(l->options.owner, item->id, item->hash, reason);
    free(item);
}

int lookups_start(struct lookups *l, int64_t now_ms, struct err *e)
{
    struct worker *w = find_state(l, EMPTY);

    if (find_state(l, ACTIVE) != NULL || w == NULL || now_ms < l->start_again_ms)
        return 0;
    *w = (struct worker){.quiet_since_ms = now_ms};
    if (process_start(&w->process, &l->options.process, e) != 0) {
        l->start_again_ms = now_ms + START_AGAIN_MS;
        return -1;
    }
    child_log_watch(&w->process, l->options.process.name);
    w->state = ACTIVE;
    return 0;
}

int lookups_add(struct lookups *l, uint64_t id, const char hash[SHA1_HEX + 1], int64_t now_ms,
                struct err *e)
{
    struct item *item = malloc(sizeof *item);

    if (item == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    *item = (struct item){.id = id, .since_ms = now_ms};
    memcpy(item->hash, hash, sizeof item->hash);
    append(&l->queue, item);
    return 0;
}

/* Its place is free again when it has died: the kernel may hold it in a system call for ever. */
static void kill_worker(struct lookups *l, struct worker *w)
{
    prepend_all(&l->queue, &w->items);
    w->unsent = NULL;
    w->state = DYING;
    process_watch(&w->process, NULL, NULL);
    process_signal_kill(&w->process);
}

static void kill_silent(struct lookups *l, struct worker *w, int64_t silent_ms)
{
    char why[CHILD_MAX_WORDS_BYTES];

    child_put_silence(&w->process, silent_ms, why);
    child_log_kill(&w->process, l->options.process.name, why);
    kill_worker(l, w);
}

/* The worker ended by itself. What it was at is tried once more, in case it was not to blame. One
 * that never answered anything shall not be replaced as fast as this host can fork. */
static void lose_worker(struct lookups *l, struct worker *w, int64_t now_ms)
{
    struct item *head = w->items.first;

    if (w->first == 0 && w->state == ACTIVE)
        l->start_again_ms = now_ms + START_AGAIN_MS;
    if (head != NULL && ++head->losses >= MAX_LOSSES)
        fail(l, shift(&w->items), REASON_CRASHED);
    prepend_all(&l->queue, &w->items);
    child_log_let_go(&w->process);
    *w = (struct worker){0};
}

/* A C string of a text that is not too long. */
static bool take_text(const struct json *value, char text[ERR_MESSAGE_SIZE])
{
    struct str s;

    if (!json_str(value, &s) || s.len >= ERR_MESSAGE_SIZE)
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    return true;
}

/* Hands one answer to the owner. False when it is none. */
static bool take_value(struct lookups *l, struct item *item, const struct json *value)
{
    int64_t size;
    char text[ERR_MESSAGE_SIZE];

    if (json_type(value) == JSON_NULL) {
        l->options.on_absent(l->options.owner, item->id, item->hash, NULL);
    } else if (json_type(value) == JSON_ARRAY && take_text(json_first(value), text)) {
        l->options.on_absent(l->options.owner, item->id, item->hash, text);
    } else if (json_int(value, &size)) {
        l->options.on_found(l->options.owner, item->id, size);
    } else if (take_text(value, text)) {
        l->options.on_failed(l->options.owner, item->id, item->hash, text);
    } else {
        return false;
    }
    return true;
}

/* One frame of answers. False when the worker says what it cannot know. */
static bool take_answers(struct lookups *l, struct worker *w, const struct json *message)
{
    int64_t first;

    if (!json_int(json_get(message, "first"), &first) || (uint64_t)first != w->first)
        return false;
    for (const struct json *value = json_first(json_get(message, "found")); value != NULL;
         value = json_next(value)) {
        struct item *item = w->items.first;
        if (item == NULL || item == w->unsent)
            return w->state == SLOW; /* the others were taken away from it */
        if (!take_value(l, item, value))
            return false;
        w->first++;
        free(shift(&w->items));
    }
    return true;
}

static void receive(struct lookups *l, struct worker *w, int64_t now_ms)
{
    enum io got;

    while (w->state != EMPTY && (got = frame_receive(w->process.fd, &l->frame, NULL, NULL)) !=
                                    IO_WANT_READ) {
        if (w->state == DYING && got == IO_DONE)
            continue;
        struct json *message =
            got == IO_DONE ? json_parse(buf_str(&l->frame), JSON_STRICT, NULL) : NULL;
        bool is_good = message != NULL && take_answers(l, w, message);
        json_free(message);
        w->quiet_since_ms = now_ms;
        if (!is_good && got == IO_DONE)
            child_log_kill(&w->process, l->options.process.name, "sent what is no message");
        if (!is_good)
            lose_worker(l, w, now_ms);
        else if (w->state == SLOW && w->items.count == 0)
            kill_worker(l, w); /* it still has frames whose lookups others do */
    }
}

static void check_silence(struct lookups *l, struct worker *w, int64_t now_ms)
{
    int64_t silent_ms = now_ms - w->quiet_since_ms;

    if ((w->state != ACTIVE && w->state != SLOW) || w->items.count == 0)
        return;
    if (silent_ms >= l->options.lost_ms) {
        fail(l, shift(&w->items), REASON_SILENT);
        kill_silent(l, w, silent_ms);
    } else if (w->state == ACTIVE && silent_ms >= l->options.slow_ms &&
               find_state(l, EMPTY) != NULL) {
        struct items head = {0};
        append(&head, shift(&w->items));
        prepend_all(&l->queue, &w->items);
        w->items = head;
        w->unsent = NULL;
        w->state = SLOW;
    }
}

/* While nothing moves, what has waited for too long is told so. */
static void fail_old(struct lookups *l, int64_t now_ms)
{
    const char *reason = find_state(l, EMPTY) != NULL ? REASON_NO_WORKER : REASON_SILENT;

    while (l->queue.first != NULL && is_stalled(l, now_ms) &&
           now_ms - l->queue.first->since_ms >= l->options.lost_ms)
        fail(l, shift(&l->queue), reason);
}

static void give(struct lookups *l, struct worker *w, int64_t now_ms)
{
    while (l->queue.first != NULL && w->items.count < LOOKUPS_WINDOW) {
        struct item *item = shift(&l->queue);
        if (w->items.count == 0)
            w->quiet_since_ms = now_ms;
        append(&w->items, item);
        if (w->unsent == NULL)
            w->unsent = item;
    }
}

/* Sends what the worker was not told, in frames of LOOKUPS_BATCH, as far as its socket takes it. */
static void send_unsent(struct lookups *l, struct worker *w, int64_t now_ms)
{
    while (w->unsent != NULL) {
        struct item *item = w->items.first, *end = w->unsent;
        uint64_t sequence = w->first;
        for (; item != w->unsent; item = item->next)
            sequence++;
        buf_clear(&l->frame);
        json_open(&l->frame, '{');
        json_put_int(&l->frame, "first", (int64_t)sequence);
        json_open_member(&l->frame, "hashes", '[');
        for (int i = 0; i < LOOKUPS_BATCH && end != NULL; i++, end = end->next)
            json_put_str(&l->frame, NULL, str_of(end->hash));
        json_close(&l->frame, ']');
        json_close(&l->frame, '}');
        enum io sent = l->frame.failed ? IO_WANT_WRITE
                                       : frame_send(w->process.fd, buf_str(&l->frame), -1, NULL);
        if (sent == IO_WANT_WRITE)
            return;
        if (sent != IO_DONE) {
            lose_worker(l, w, now_ms);
            return;
        }
        w->unsent = end;
    }
}

void lookups_step(struct lookups *l, int64_t now_ms)
{
    for (struct worker *w = l->workers; w < l->workers + PLACES; w++)
        receive(l, w, now_ms);
    for (struct worker *w = l->workers; w < l->workers + PLACES; w++)
        check_silence(l, w, now_ms);
    fail_old(l, now_ms);
}

void lookups_send(struct lookups *l, int64_t now_ms)
{
    if (l->queue.first != NULL) /* if it fails, the next round tries again */
        (void)!lookups_start(l, now_ms, NULL);
    struct worker *active = find_state(l, ACTIVE);
    if (active == NULL)
        return;
    give(l, active, now_ms);
    send_unsent(l, active, now_ms);
}

static void poll_worker(const struct lookups *l, const struct worker *w, struct pollset *set)
{
    bool is_replaceable = w->state == ACTIVE && find_state(l, EMPTY) != NULL;

    if (w->state == EMPTY)
        return;
    pollset_add(set, w->process.fd, w->unsent != NULL ? POLLIN | POLLOUT : POLLIN);
    if (w->items.count > 0)
        pollset_wake_at(set, w->quiet_since_ms +
                                 (is_replaceable ? l->options.slow_ms : l->options.lost_ms));
}

/* When what waits in the queue has to be looked at, whatever the workers do. */
static int64_t queue_wakes_ms(const struct lookups *l)
{
    const struct worker *active = find_state(l, ACTIVE);
    bool has_place = find_state(l, EMPTY) != NULL;

    if (l->queue.first == NULL || (active != NULL && has_place))
        return CLOCK_NEVER_MS;
    int64_t due_ms = l->queue.first->since_ms + l->options.lost_ms;
    if (active == NULL)
        return has_place ? clock_earlier(due_ms, l->start_again_ms) : due_ms;
    int64_t stalled_ms = active->quiet_since_ms + l->options.slow_ms;
    return due_ms > stalled_ms ? due_ms : stalled_ms;
}

void lookups_poll(const struct lookups *l, struct pollset *set)
{
    for (const struct worker *w = l->workers; w < l->workers + PLACES; w++)
        poll_worker(l, w, set);
    pollset_wake_at(set, queue_wakes_ms(l));
}
