#include "http/crew.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/crew_frame.h"
#include "http/crew_waiting.h"
#include "proc/child.h"
#include "proc/frame.h"

enum { FIRST_HANDED = 64, HAND_OVER_TRIES = 3 };

/* A worker that leaves ends its transfers within CREW_DRAIN_MS. */
enum { LEAVE_MS = 2 * CREW_DRAIN_MS };

struct crew_slot {
    struct crew *crew;
    uint64_t serial; /* differs for every process that ever had this place */
    struct child *child; /* NULL: the place is free */
    size_t connections; /* also those that wait */
    struct crew_waiting waiting; /* of a keyed crew */
    int64_t idle_since_ms;
    bool is_leaving;
};

/* A connection that a worker has, by its id. */
struct handed {
    struct crew_slot *worker; /* NULL: free */
    uint64_t tag;
    size_t next_free;
    size_t older, newer; /* ids, in the order of since_ms */
    int64_t since_ms;
    bool is_asked; /* for its end */
    bool waits;    /* the worker has not got it yet */
};

struct crew {
    struct crew_options options;
    struct crew_slot workers[CREW_MAX_WORKERS];
    struct loop_timer timer; /* looks for idle workers */
    struct handed *handed;
    size_t handed_count, first_free; /* ids start at 1; 0: none */
    size_t oldest, newest, asked;
    struct buf frame, ping;
    uint64_t last_serial;
    bool is_draining;
};

struct crew *crew_new(const struct crew_options *options, struct err *e)
{
    struct crew *crew = calloc(1, sizeof *crew);

    if (crew == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    crew->options = *options;
    crew_frame_put(&crew->ping, CREW_FRAME_PING, 0, STR(""));
    if (buf_check(&crew->ping, e) != 0) {
        crew_free(crew);
        return NULL;
    }
    if (crew->options.max_workers > CREW_MAX_WORKERS)
        crew->options.max_workers = CREW_MAX_WORKERS;
    return crew;
}

void crew_free(struct crew *crew)
{
    if (crew == NULL)
        return;
    loop_clear_timer(crew->options.loop, &crew->timer);
    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        child_free(crew->workers[i].child);
        crew_waiting_clear(&crew->workers[i].waiting);
    }
    buf_free(&crew->frame);
    buf_free(&crew->ping);
    free(crew->handed);
    free(crew);
}

size_t crew_workers(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++)
        count += crew->workers[i].child != NULL;
    return count;
}

size_t crew_stuck(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++)
        count += crew->workers[i].child != NULL && child_is_stuck(crew->workers[i].child);
    return count;
}

size_t crew_connections(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++)
        count += crew->workers[i].connections;
    return count - crew->asked;
}

/* ---- what is handed out ---- */

static void put_newest(struct crew *crew, size_t id)
{
    struct handed *handed = &crew->handed[id - 1];

    handed->since_ms = loop_now_ms(crew->options.loop);
    handed->older = crew->newest;
    handed->newer = 0;
    if (crew->newest != 0)
        crew->handed[crew->newest - 1].newer = id;
    else
        crew->oldest = id;
    crew->newest = id;
}

static void take_out_handed(struct crew *crew, size_t id)
{
    const struct handed *handed = &crew->handed[id - 1];

    if (handed->older != 0)
        crew->handed[handed->older - 1].newer = handed->newer;
    else
        crew->oldest = handed->newer;
    if (handed->newer != 0)
        crew->handed[handed->newer - 1].older = handed->older;
    else
        crew->newest = handed->older;
    crew->asked -= handed->is_asked;
}

static bool grow_handed(struct crew *crew)
{
    size_t count = crew->handed_count == 0 ? FIRST_HANDED : 2 * crew->handed_count;
    struct handed *handed = realloc(crew->handed, count * sizeof *handed);

    if (handed == NULL)
        return false;
    for (size_t i = crew->handed_count; i < count; i++)
        handed[i] = (struct handed){.next_free = i + 1 < count ? i + 2 : 0};
    crew->first_free = crew->handed_count + 1;
    crew->handed = handed;
    crew->handed_count = count;
    return true;
}

/* An id that was made sure to be there. */
static size_t take_handed_id(struct crew *crew, struct crew_slot *worker, uint64_t tag)
{
    size_t id = crew->first_free;
    struct handed *handed = &crew->handed[id - 1];

    crew->first_free = handed->next_free;
    *handed = (struct handed){.worker = worker, .tag = tag};
    put_newest(crew, id);
    worker->connections++;
    child_watch(worker->child, !worker->is_leaving);
    return id;
}

/* The id is free again. */
static uint64_t free_handed_id(struct crew *crew, uint64_t id)
{
    struct handed *handed = &crew->handed[id - 1];
    const uint64_t tag = handed->tag;

    take_out_handed(crew, (size_t)id);
    *handed = (struct handed){.next_free = crew->first_free};
    crew->first_free = (size_t)id;
    return tag;
}

/* False when this worker has no such connection. */
static bool give_handed_id(struct crew_slot *worker, uint64_t id, uint64_t *tag)
{
    struct crew *crew = worker->crew;

    if (id - 1 >= crew->handed_count || crew->handed[id - 1].worker != worker)
        return false;
    *tag = free_handed_id(crew, id);
    worker->connections--;
    child_watch(worker->child, worker->connections > 0 && !worker->is_leaving);
    worker->idle_since_ms = loop_now_ms(crew->options.loop);
    return true;
}

static void report_closed(struct crew *crew, uint64_t tag)
{
    if (crew->options.on_closed != NULL)
        crew->options.on_closed(crew->options.owner, tag);
}

/* ---- idle workers leave ---- */

static void set_idle_timer(struct crew *crew)
{
    struct loop *loop = crew->options.loop;

    if (loop_timer_at_ms(&crew->timer) == CLOCK_NEVER_MS)
        loop_set_timer(loop, &crew->timer, loop_now_ms(loop) + crew->options.idle_ms / 2);
}

static void on_crew_idle_time(void *owner)
{
    struct crew *crew = owner;
    int64_t now = loop_now_ms(crew->options.loop);

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        struct crew_slot *worker = &crew->workers[i];
        if (worker->child == NULL || worker->is_leaving || worker->connections > 0 ||
            child_owes_answer(worker->child) ||
            now - worker->idle_since_ms < crew->options.idle_ms)
            continue;
        worker->is_leaving = true;
        child_leave(worker->child, now + LEAVE_MS);
    }
    if (crew_workers(crew) > 0)
        set_idle_timer(crew);
}

/* ---- messages of workers ---- */

/* Puts a busy connection behind the others, which are asked for before it. */
static void keep_handed(struct crew_slot *worker, uint64_t id)
{
    struct crew *crew = worker->crew;

    if (id - 1 >= crew->handed_count || crew->handed[id - 1].worker != worker)
        return;
    take_out_handed(crew, (size_t)id);
    crew->handed[id - 1].is_asked = false;
    put_newest(crew, (size_t)id);
}

/* Logs the end of a worker; that of a killed one was logged when it was killed. */
static void report_worker_end(const struct crew_slot *worker, const char *words)
{
    bool is_expected = worker->is_leaving && child_ended_well(worker->child);

    if (!is_expected && !child_was_killed(worker->child))
        log_line(LOG_WARN, "%s process %s connections=%zu", worker->crew->options.name, words,
                 worker->connections);
}

static void on_crew_worker_ended(struct crew_slot *worker, const char *words);

static void on_crew_worker_event(void *owner, enum child_event event, const char *words)
{
    struct crew_slot *worker = owner;
    const char *name = worker->crew->options.name;

    switch (event) {
    case CHILD_STUCK:
        log_line(LOG_WARN, "%s process stuck: %s; does the data directory answer? connections=%zu",
                 name, words, worker->connections);
        break;
    case CHILD_ANSWERS: log_line(LOG_INFO, "%s process %s", name, words); break;
    case CHILD_KILLED:
        log_line(LOG_WARN, "%s process %s connections=%zu", name, words, worker->connections);
        break;
    case CHILD_ENDED: on_crew_worker_ended(worker, words);
    }
}

/* False when it is no message of a worker. Takes fd when it is a connection's. */
static bool handle_frame(struct crew_slot *worker, struct str frame, int *fd)
{
    struct crew *crew = worker->crew;
    enum crew_frame type;
    struct str bytes;
    uint64_t id, tag;

    if (!crew_frame_parse(frame, &type, &id, &bytes))
        return false;
    switch (type) {
    case CREW_FRAME_PONG: return true;
    case CREW_FRAME_KEPT: keep_handed(worker, id); return true;
    case CREW_FRAME_CHECK:
        if (crew->options.on_check != NULL)
            crew->options.on_check(crew->options.owner, worker->serial, id, bytes);
        return true;
    case CREW_FRAME_NOTE:
        if (crew->options.on_note != NULL)
            crew->options.on_note(crew->options.owner, worker->serial, id, bytes);
        return true;
    case CREW_FRAME_CONNECTION:
    case CREW_FRAME_CLOSED: break;
    default: return false;
    }
    if (!give_handed_id(worker, id, &tag))
        return true;
    if (type == CREW_FRAME_CLOSED || *fd < 0) {
        report_closed(crew, tag);
        return true;
    }
    crew->options.on_return(crew->options.owner, *fd, bytes, tag);
    *fd = -1;
    return true;
}

static bool on_crew_frame(void *owner, struct str frame, int fd)
{
    bool is_message = handle_frame(owner, frame, &fd);

    if (fd >= 0)
        close(fd);
    return is_message;
}

static int send_to(struct crew *crew, uint64_t serial, const struct buf *frame, int fd,
                   struct err *e)
{
    const struct crew_slot *worker = crew->workers;

    if (buf_check(frame, e) != 0)
        return -1;
    while (worker < crew->workers + CREW_MAX_WORKERS &&
           (worker->child == NULL || worker->serial != serial))
        worker++;
    if (worker == crew->workers + CREW_MAX_WORKERS)
        return err_set(e, ERR_NOT_FOUND, "the %s process is gone", crew->options.name);
    return child_send(worker->child, buf_str(frame), fd, e);
}

void crew_checked(struct crew *crew, uint64_t worker, uint64_t id)
{
    struct buf frame = {0};
    struct err e = {0};

    crew_frame_put(&frame, CREW_FRAME_CHECKED, id, STR(""));
    if (send_to(crew, worker, &frame, -1, &e) != 0 && e.code != ERR_NOT_FOUND)
        log_line(LOG_WARN, "%s: a check is not answered: %s", crew->options.name, e.msg);
    buf_free(&frame);
}

int crew_note(struct crew *crew, uint64_t worker, uint64_t id, struct str bytes, int fd,
              struct err *e)
{
    struct buf frame = {0};

    crew_frame_put(&frame, CREW_FRAME_NOTE, id, bytes);
    int result = send_to(crew, worker, &frame, fd, e);
    buf_free(&frame);
    return result;
}

void crew_note_all(struct crew *crew, struct str bytes)
{
    struct buf frame = {0};

    crew_frame_put(&frame, CREW_FRAME_NOTE, 0, bytes);
    for (size_t i = 0; i < CREW_MAX_WORKERS && !frame.failed; i++)
        if (crew->workers[i].child != NULL)
            child_send(crew->workers[i].child, buf_str(&frame), -1, ERR_IGNORED);
    buf_free(&frame);
}

/* ---- handing over ---- */

/* A connection that waited goes. */
static void turn_away(struct crew_slot *worker, struct crew_waiting_item *item)
{
    uint64_t tag;

    if (give_handed_id(worker, item->id, &tag))
        report_closed(worker->crew, tag);
    crew_waiting_free(item);
}

static void on_crew_worker_drained(void *owner)
{
    struct crew_slot *worker = owner;
    struct crew_waiting_item *item;

    while (child_takes_at_once(worker->child) &&
           (item = crew_waiting_take_newest(&worker->waiting)) != NULL) {
        struct str frame = {item->frame, item->len};
        worker->crew->handed[item->id - 1].waits = false;
        if (child_send(worker->child, frame, item->fd, ERR_IGNORED) == 0)
            crew_waiting_free(item);
        else
            turn_away(worker, item);
    }
}

/* Lets a connection wait for a worker that takes no frame now; the oldest makes room. */
static int add_waiting(struct crew_slot *worker, uint64_t id, int fd, struct err *e)
{
    const struct crew *crew = worker->crew;

    if (crew_waiting_add(&worker->waiting, id, fd, buf_str(&crew->frame), e) != 0)
        return -1;
    crew->handed[id - 1].waits = true;
    while (crew_waiting_is_over(&worker->waiting)) {
        log_line(LOG_WARN, "%s: a connection is closed, as %zu newer ones wait for the process",
                 crew->options.name, worker->waiting.count - 1);
        turn_away(worker, crew_waiting_take_oldest(&worker->waiting));
    }
    return 0;
}

/* Starts a worker at a free place. */
static struct crew_slot *start_worker_at(struct crew *crew, struct crew_slot *worker)
{
    const struct crew_options *options = &crew->options;
    struct err e = {0};

    struct child_options child = {.loop = options->loop,
                                  .process = {.name = options->name,
                                              .run = options->run,
                                              .niceness = options->niceness,
                                              .ctx = options->ctx},
                                  .policy = {.ping_ms = options->ping_ms,
                                             .stuck_ms = options->stuck_ms,
                                             .kill_ms = options->kill_ms},
                                  .ping = buf_str(&crew->ping),
                                  .on_frame = on_crew_frame,
                                  .on_event = on_crew_worker_event,
                                  .on_drained = on_crew_worker_drained,
                                  .owner = worker};
    *worker = (struct crew_slot){.crew = crew,
                                 .serial = ++crew->last_serial,
                                 .idle_since_ms = loop_now_ms(options->loop),
                                 .child = NULL};
    if (options->place != NULL)
        *options->place = (size_t)(worker - crew->workers);
    worker->child = child_start(&child, &e);
    if (worker->child == NULL) {
        log_line(LOG_WARN, "%s: %s", options->name, e.msg);
        return NULL;
    }
    crew->timer.call = on_crew_idle_time;
    crew->timer.owner = crew;
    set_idle_timer(crew);
    return worker;
}

/* Connections that wait have a new worker at the place of the one that ended. */
static void start_successor(struct crew_slot *worker, struct crew *crew,
                            struct crew_waiting *waiting)
{
    const size_t count = waiting->count;

    if (!crew->is_draining && start_worker_at(crew, worker) != NULL) {
        worker->waiting = *waiting;
        worker->connections = count;
        child_watch(worker->child, true);
        on_crew_worker_drained(worker);
        return;
    }
    while (waiting->count > 0) {
        struct crew_waiting_item *item = crew_waiting_take_newest(waiting);
        report_closed(crew, free_handed_id(crew, item->id));
        crew_waiting_free(item);
    }
}

static void on_crew_worker_ended(struct crew_slot *worker, const char *words)
{
    struct crew *crew = worker->crew;
    struct crew_waiting waiting = worker->waiting;
    uint64_t tag;

    report_worker_end(worker, words);
    for (size_t id = 1; id <= crew->handed_count && worker->connections > waiting.count; id++)
        if (!crew->handed[id - 1].waits && give_handed_id(worker, id, &tag))
            report_closed(crew, tag);
    *worker = (struct crew_slot){0};
    if (waiting.count > 0)
        start_successor(worker, crew, &waiting);
}

static struct crew_slot *start_free_worker(struct crew *crew)
{
    struct crew_slot *worker = crew->workers;

    while (worker->child != NULL)
        worker++;
    return start_worker_at(crew, worker);
}

/* Returns whether another worker may be started. Workers that take no more do not count, nor do
 * stuck ones, as long as they are not many. */
static bool may_start_worker(const struct crew *crew)
{
    size_t working = 0, stuck = crew_stuck(crew);

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        const struct child *child = crew->workers[i].child;
        working += child != NULL && child_takes_messages(child) && !child_is_stuck(child);
    }
    if (stuck > CREW_MAX_STUCK)
        working += stuck - CREW_MAX_STUCK;
    return working < crew->options.max_workers && crew_workers(crew) < CREW_MAX_WORKERS;
}

/* A worker that owes an answer may be about to be found stuck. */
static bool is_better_worker(const struct crew_slot *a, const struct crew_slot *b)
{
    if (child_owes_answer(a->child) != child_owes_answer(b->child))
        return child_owes_answer(b->child);
    return a->connections < b->connections;
}

/* The least busy; a new one rather than a busy one. */
static struct crew_slot *find_best_worker(struct crew *crew,
                                          bool (*takes)(const struct child *child))
{
    struct crew_slot *best = NULL;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        struct crew_slot *worker = &crew->workers[i];
        if (worker->child != NULL && takes(worker->child) && !child_is_stuck(worker->child) &&
            (best == NULL || is_better_worker(worker, best)))
            best = worker;
    }
    return best;
}

/* Chooses the worker for a connection. While many come at the same time, and none takes one at
 * once, the connection waits for a worker that works. */
static struct crew_slot *choose_crew_worker(struct crew *crew)
{
    struct crew_slot *best = find_best_worker(crew, child_takes_at_once);

    if ((best == NULL || best->connections > 0) && may_start_worker(crew)) {
        struct crew_slot *fresh = start_free_worker(crew);
        if (fresh != NULL)
            return fresh;
    }
    return best != NULL ? best : find_best_worker(crew, child_takes_messages);
}

/* `asker`: what goes before the bytes. */
static int send_connection(struct crew_slot *worker, int fd, const struct buf *asker,
                           const struct buf *bytes, uint64_t tag, struct err *e)
{
    struct crew *crew = worker->crew;
    size_t id = take_handed_id(crew, worker, tag);
    const bool waits = crew->options.is_keyed && !child_takes_at_once(worker->child);

    buf_clear(&crew->frame);
    crew_frame_put(&crew->frame, CREW_FRAME_CONNECTION, id, STR(""));
    buf_put_buf(&crew->frame, asker);
    buf_put_buf(&crew->frame, bytes);
    if (buf_check(&crew->frame, e) == 0 &&
        (waits ? add_waiting(worker, id, fd, e)
               : child_send(worker->child, buf_str(&crew->frame), fd, e)) == 0)
        return 0;
    give_handed_id(worker, id, &tag);
    return -1;
}

/* A worker may be found gone now: then another gets it, but of a keyed crew. */
static void hand_over(struct crew_slot *worker, struct http_conn *conn)
{
    struct crew *crew = worker->crew;
    uint64_t tag = http_conn_tag(conn);
    struct buf bytes = {0}, asker = {0};
    struct err e = {0};
    int fd, result = -1;

    if (crew->options.has_askers) {
        http_conn_put_asker(conn, &asker);
        buf_putc(&asker, '\n');
    }
    fd = http_conn_detach_fd(conn, &bytes);

    if (buf_check(&bytes, &e) == 0 && bytes.len <= CREW_MAX_HANDED_BYTES)
        for (int i = 0; i < HAND_OVER_TRIES && worker != NULL && result != 0; i++) {
            result = send_connection(worker, fd, &asker, &bytes, tag, &e);
            worker = result == 0 || crew->options.is_keyed ? NULL : choose_crew_worker(crew);
        }
    close(fd);
    buf_free(&bytes);
    buf_free(&asker);
    if (result == 0)
        return;
    log_line(LOG_WARN, "%s: a connection could not be handed over: %s", crew->options.name, e.msg);
    report_closed(crew, tag);
}

/* Says in advance that the connection is about to go, since the frame needs its descriptor. */
void crew_give(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct crew *crew = owner;
    struct crew_slot *worker = crew->is_draining ? NULL : choose_crew_worker(crew);

    (void)request;
    if (!http_conn_has_fd(conn))
        http_conn_answer_message(conn, 500, "this connection cannot go to another process");
    else if (worker == NULL || (crew->first_free == 0 && !grow_handed(crew)))
        http_conn_answer_message(conn, 503, "busy, try again later");
    else
        hand_over(worker, conn);
}

/* Without an answer: some clients take the text of an error for content. */
static void close_unserved(struct crew *crew, struct http_conn *conn)
{
    uint64_t tag = http_conn_tag(conn);
    struct buf bytes = {0};

    close(http_conn_detach_fd(conn, &bytes));
    buf_free(&bytes);
    report_closed(crew, tag);
}

void crew_give_keyed(struct crew *crew, struct http_conn *conn, uint32_t key)
{
    struct crew_slot *worker = &crew->workers[key % crew->options.max_workers];

    if (crew->is_draining)
        worker = NULL;
    else if (worker->child == NULL)
        worker = start_worker_at(crew, worker);
    else if (child_is_stuck(worker->child))
        worker = NULL;
    if (worker == NULL || (crew->first_free == 0 && !grow_handed(crew)))
        close_unserved(crew, conn);
    else
        hand_over(worker, conn); /* or lets it wait for the successor of one that leaves */
}

/* The one that is asked for next: 0 when there is none. */
static size_t find_oldest_handed(const struct crew *crew)
{
    size_t id = crew->oldest;

    while (id != 0 && crew->handed[id - 1].is_asked)
        id = crew->handed[id - 1].newer;
    return crew->asked < CREW_MAX_ASKED ? id : 0;
}

int64_t crew_oldest_ms(const struct crew *crew)
{
    size_t id = find_oldest_handed(crew);

    return id == 0 ? CLOCK_NEVER_MS : crew->handed[id - 1].since_ms;
}

/* Asks the worker to let the connection go: until it has, or refuses, the connection
 * does not count. False when the worker is stuck. */
static bool ask_for(struct crew *crew, size_t id, enum crew_frame type)
{
    struct handed *handed = &crew->handed[id - 1];
    struct buf frame = {0};
    bool is_sent = false;

    crew_frame_put(&frame, type, id, STR(""));
    is_sent = !frame.failed && child_takes_at_once(handed->worker->child) &&
              child_send(handed->worker->child, buf_str(&frame), -1, ERR_IGNORED) == 0;
    buf_free(&frame);
    if (is_sent) {
        handed->is_asked = true;
        crew->asked++;
    }
    return is_sent;
}

bool crew_ask_for_oldest(struct crew *crew)
{
    size_t id = find_oldest_handed(crew);

    if (id == 0)
        return false;
    if (ask_for(crew, id, CREW_FRAME_DROP))
        return true;
    take_out_handed(crew, id); /* its worker is stuck: others have their turn */
    put_newest(crew, id);
    return false;
}

bool crew_end_newest(struct crew *crew, bool (*matches)(void *ctx, uint64_t tag), void *ctx)
{
    size_t id = crew->asked < CREW_MAX_ASKED + CREW_MAX_ENDED ? crew->newest : 0;

    while (id != 0 && (crew->handed[id - 1].is_asked || !matches(ctx, crew->handed[id - 1].tag)))
        id = crew->handed[id - 1].older;
    return id != 0 && ask_for(crew, id, CREW_FRAME_END);
}

void crew_drain(struct crew *crew)
{
    crew->is_draining = true;
    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        struct crew_slot *worker = &crew->workers[i];
        if (worker->child == NULL || worker->is_leaving)
            continue;
        while (worker->waiting.count > 0)
            turn_away(worker, crew_waiting_take_newest(&worker->waiting));
        worker->is_leaving = true;
        child_leave(worker->child, CLOCK_NEVER_MS);
    }
}
