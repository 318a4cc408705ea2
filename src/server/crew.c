#include "server/crew.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/frame.h"
#include "proc/process.h"
#include "server/crew_frame.h"

enum { FIRST_HANDED = 64 };

/*
 * READY ──(no pong for stuck_ms)──► STUCK ──(kill_ms)──► killed: gone when its socket hangs up,
 *   ▲                                 │                  which a dead file system may delay
 *   └─────────────(pong)──────────────┘
 */
struct worker {
    struct crew *crew;
    uint64_t serial; /* differs for every process that ever had this place */
    struct process process;
    struct loop_fd source;
    size_t connections;
    int64_t idle_since_ms;
    int64_t asked_ms; /* when the ping was sent that it has not answered; 0: none */
    bool is_used, is_leaving, is_stuck, is_killed;
};

/* A connection that a worker has, by its id. */
struct handed {
    struct worker *worker; /* NULL: free */
    uint64_t tag;
    size_t next_free;
    size_t older, newer; /* ids, in the order of since_ms */
    int64_t since_ms;
    bool is_asked; /* for its end */
};

struct crew {
    struct crew_options options;
    struct worker workers[CREW_MAX_WORKERS];
    struct loop_timer timer;      /* looks for idle workers */
    struct loop_timer ping_timer; /* and for stuck ones */
    struct handed *handed;
    size_t handed_count, first_free; /* ids start at 1; 0: none */
    size_t oldest, newest, asked;
    struct buf frame;
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
    if (crew->options.max_workers > CREW_MAX_WORKERS)
        crew->options.max_workers = CREW_MAX_WORKERS;
    return crew;
}

static void dismiss(struct worker *worker)
{
    if (worker->source.is_added)
        loop_remove(worker->crew->options.loop, &worker->source);
    process_close(&worker->process);
    *worker = (struct worker){0};
}

void crew_free(struct crew *crew)
{
    if (crew == NULL)
        return;
    loop_clear_timer(crew->options.loop, &crew->timer);
    loop_clear_timer(crew->options.loop, &crew->ping_timer);
    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        if (!crew->workers[i].is_used)
            continue;
        process_signal_kill(&crew->workers[i].process);
        dismiss(&crew->workers[i]);
    }
    buf_free(&crew->frame);
    free(crew->handed);
    free(crew);
}

size_t crew_workers(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++)
        count += crew->workers[i].is_used;
    return count;
}

size_t crew_stuck(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++)
        count += crew->workers[i].is_used && crew->workers[i].is_stuck;
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

static void take_out(struct crew *crew, size_t id)
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

static bool grow(struct crew *crew)
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
static size_t take_id(struct crew *crew, struct worker *worker, uint64_t tag)
{
    size_t id = crew->first_free;
    struct handed *handed = &crew->handed[id - 1];

    crew->first_free = handed->next_free;
    *handed = (struct handed){.worker = worker, .tag = tag};
    put_newest(crew, id);
    worker->connections++;
    return id;
}

/* False when this worker has no such connection. */
static bool give_id(struct worker *worker, uint64_t id, uint64_t *tag)
{
    struct crew *crew = worker->crew;
    struct handed *handed = id - 1 < crew->handed_count ? &crew->handed[id - 1] : NULL;

    if (handed == NULL || handed->worker != worker)
        return false;
    *tag = handed->tag;
    take_out(crew, (size_t)id);
    *handed = (struct handed){.next_free = crew->first_free};
    crew->first_free = (size_t)id;
    worker->connections--;
    worker->idle_since_ms = loop_now_ms(crew->options.loop);
    return true;
}

static void tell_closed(struct crew *crew, uint64_t tag)
{
    if (crew->options.on_closed != NULL)
        crew->options.on_closed(crew->options.owner, tag);
}

/* ---- idle workers leave ---- */

static void set_timer(struct crew *crew)
{
    struct loop *loop = crew->options.loop;

    if (loop_timer_at_ms(&crew->timer) == CLOCK_NEVER_MS)
        loop_set_timer(loop, &crew->timer, loop_now_ms(loop) + crew->options.idle_ms / 2);
}

static void on_time(void *owner)
{
    struct crew *crew = owner;
    int64_t now = loop_now_ms(crew->options.loop);

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        struct worker *worker = &crew->workers[i];
        if (worker->is_used && worker->connections == 0 && worker->asked_ms == 0 &&
            now - worker->idle_since_ms >= crew->options.idle_ms)
            dismiss(worker);
    }
    if (crew_workers(crew) > 0)
        set_timer(crew);
}

/* ---- stuck workers are replaced ---- */

static void set_ping_timer(struct crew *crew)
{
    struct loop *loop = crew->options.loop;

    if (loop_timer_at_ms(&crew->ping_timer) == CLOCK_NEVER_MS)
        loop_set_timer(loop, &crew->ping_timer, loop_now_ms(loop) + crew->options.ping_ms);
}

static void ping(struct worker *worker, int64_t now)
{
    struct buf frame = {0};

    crew_frame_put(&frame, CREW_FRAME_PING, 0, STR(""));
    if (!frame.failed && crew_frame_is_writable(worker->process.fd) &&
        frame_send(worker->process.fd, buf_str(&frame), -1, NULL) == IO_DONE)
        worker->asked_ms = now;
    buf_free(&frame);
}

static void check(struct worker *worker, int64_t now)
{
    const struct crew_options *options = &worker->crew->options;
    int64_t silent_ms = worker->asked_ms == 0 ? 0 : now - worker->asked_ms;

    if (worker->asked_ms == 0)
        ping(worker, now);
    if (silent_ms >= options->stuck_ms && !worker->is_stuck) {
        log_line(LOG_WARN, "%s process stuck: the data directory does not answer connections=%zu",
                 options->name, worker->connections);
        worker->is_stuck = true;
    }
    if (silent_ms >= options->stuck_ms + options->kill_ms && !worker->is_killed) {
        log_line(LOG_WARN, "%s process killed: stuck for %lld s connections=%zu", options->name,
                 (long long)(silent_ms / 1000), worker->connections);
        worker->is_killed = true;
        process_signal_kill(&worker->process);
    }
}

/* Workers without connections are left to sleep. */
static void on_ping_time(void *owner)
{
    struct crew *crew = owner;
    bool is_anybody_busy = false;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        struct worker *worker = &crew->workers[i];
        if (!worker->is_used || (worker->connections == 0 && worker->asked_ms == 0))
            continue;
        is_anybody_busy = true;
        check(worker, loop_now_ms(crew->options.loop));
    }
    if (is_anybody_busy)
        set_ping_timer(crew);
}

static void take_pong(struct worker *worker)
{
    worker->asked_ms = 0;
    if (worker->is_stuck && !worker->is_killed) {
        log_line(LOG_INFO, "%s process answers again", worker->crew->options.name);
        worker->is_stuck = false;
    }
}

/* ---- what workers say ---- */

/* It is busy: others have their turn before it is asked for again. */
static void keep(struct worker *worker, uint64_t id)
{
    struct crew *crew = worker->crew;

    if (id - 1 >= crew->handed_count || crew->handed[id - 1].worker != worker)
        return;
    take_out(crew, (size_t)id);
    crew->handed[id - 1].is_asked = false;
    put_newest(crew, (size_t)id);
}

static void on_lost(struct worker *worker)
{
    struct crew *crew = worker->crew;
    uint64_t tag;

    if (worker->connections > 0)
        log_line(LOG_WARN, "%s process ended connections=%zu", crew->options.name,
                 worker->connections);
    for (size_t id = 1; id <= crew->handed_count && worker->connections > 0; id++)
        if (give_id(worker, id, &tag))
            tell_closed(crew, tag);
    dismiss(worker);
}

static void handle_frame(struct worker *worker, struct str frame, int fd)
{
    struct crew *crew = worker->crew;
    enum crew_frame type;
    struct str bytes;
    uint64_t id, tag;

    if (crew_frame_parse(frame, &type, &id, &bytes)) {
        if (type == CREW_FRAME_PONG) {
            take_pong(worker);
        } else if (type == CREW_FRAME_KEPT) {
            keep(worker, id);
        } else if (type == CREW_FRAME_CHECK) {
            if (crew->options.on_check != NULL)
                crew->options.on_check(crew->options.owner, worker->serial, id, bytes);
        } else if (give_id(worker, id, &tag)) {
            if (type == CREW_FRAME_CONNECTION && fd >= 0) {
                crew->options.on_return(crew->options.owner, fd, bytes, tag);
                return;
            }
            tell_closed(crew, tag);
        }
    }
    if (fd >= 0)
        close(fd);
}

static void on_ready(void *owner)
{
    struct worker *worker = owner;
    struct crew *crew = worker->crew;
    struct buf frame = crew->frame;
    struct err e = {0};
    int fd = -1;

    crew->frame = (struct buf){0}; /* a callback may hand over another connection */
    switch (frame_receive(worker->source.fd, &frame, &fd, &e)) {
    case IO_DONE: handle_frame(worker, buf_str(&frame), fd); break;
    case IO_WANT_READ: break;
    default: on_lost(worker);
    }
    buf_free(&crew->frame);
    crew->frame = frame;
}

void crew_checked(struct crew *crew, uint64_t worker, uint64_t id)
{
    struct buf frame = {0};

    crew_frame_put(&frame, CREW_FRAME_CHECKED, id, STR(""));
    for (size_t i = 0; i < CREW_MAX_WORKERS && !frame.failed; i++)
        if (crew->workers[i].is_used && crew->workers[i].serial == worker)
            frame_send(crew->workers[i].process.fd, buf_str(&frame), -1, NULL);
    buf_free(&frame);
}

/* ---- handing over ---- */

static struct worker *start_worker(struct crew *crew)
{
    struct process_options options = {.name = crew->options.name,
                                      .run = crew->options.run,
                                      .niceness = crew->options.niceness,
                                      .ctx = crew->options.ctx};
    struct worker *worker = crew->workers;
    struct err e = {0};

    while (worker->is_used)
        worker++;
    if (process_start(&worker->process, &options, &e) != 0) {
        log_line(LOG_WARN, "%s: %s", crew->options.name, e.msg);
        return NULL;
    }
    worker->crew = crew;
    worker->serial = ++crew->last_serial;
    worker->is_used = true;
    worker->source =
        (struct loop_fd){.fd = worker->process.fd, .call = on_ready, .owner = worker};
    crew->timer.call = on_time;
    crew->ping_timer.call = on_ping_time;
    crew->timer.owner = crew->ping_timer.owner = crew;
    if (loop_add(crew->options.loop, &worker->source, LOOP_READ, &e) != 0) {
        dismiss(worker);
        return NULL;
    }
    set_timer(crew);
    return worker;
}

/* Whether another worker may be started: stuck ones do not count, as long as they are not many. */
static bool has_room(const struct crew *crew)
{
    size_t count = crew_workers(crew), stuck = crew_stuck(crew);

    if (stuck > CREW_MAX_STUCK)
        stuck = CREW_MAX_STUCK;
    return count - stuck < crew->options.max_workers && count < CREW_MAX_WORKERS;
}

/* One that owes an answer may be about to be found stuck. */
static bool is_better(const struct worker *a, const struct worker *b)
{
    if ((a->asked_ms == 0) != (b->asked_ms == 0))
        return a->asked_ms == 0;
    return a->connections < b->connections;
}

/* The least busy; a new one rather than a busy one. */
static struct worker *choose(struct crew *crew)
{
    struct worker *best = NULL;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        struct worker *worker = &crew->workers[i];
        if (worker->is_used && !worker->is_leaving && !worker->is_stuck &&
            (best == NULL || is_better(worker, best)))
            best = worker;
    }
    if ((best == NULL || best->connections > 0) && has_room(crew)) {
        struct worker *fresh = start_worker(crew);
        if (fresh != NULL)
            return fresh;
    }
    return best;
}

static void hand_over(struct worker *worker, struct http_conn *conn)
{
    struct crew *crew = worker->crew;
    uint64_t tag = http_conn_tag(conn);
    size_t id = take_id(crew, worker, tag);
    struct buf bytes = {0};
    struct err e = {0};
    enum io io = IO_ERR;
    int fd = http_conn_detach(conn, &bytes);

    buf_clear(&crew->frame);
    crew_frame_put(&crew->frame, CREW_FRAME_CONNECTION, id, buf_str(&bytes));
    if (buf_check(&bytes, &e) == 0 && bytes.len <= CREW_MAX_HANDED_BYTES &&
        buf_check(&crew->frame, &e) == 0)
        io = frame_send(worker->process.fd, buf_str(&crew->frame), fd, &e);
    close(fd);
    buf_free(&bytes);
    set_ping_timer(crew);
    if (io == IO_DONE)
        return;
    log_line(LOG_WARN, "%s: a connection could not be handed over: %s", crew->options.name, e.msg);
    if (give_id(worker, id, &tag))
        tell_closed(crew, tag);
}

/* Says in advance that the connection is about to go, since the frame needs its descriptor. */
void crew_give(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct crew *crew = owner;
    struct worker *worker = crew->is_draining ? NULL : choose(crew);

    (void)request;
    if (worker == NULL || !crew_frame_is_writable(worker->process.fd) ||
        (crew->first_free == 0 && !grow(crew)))
        http_conn_answer_message(conn, 503, "busy, try again later");
    else
        hand_over(worker, conn);
}

/* The one that is asked for next: 0 when there is none. */
static size_t find_oldest(const struct crew *crew)
{
    size_t id = crew->oldest;

    while (id != 0 && crew->handed[id - 1].is_asked)
        id = crew->handed[id - 1].newer;
    return crew->asked < CREW_MAX_ASKED ? id : 0;
}

int64_t crew_oldest_ms(const struct crew *crew)
{
    size_t id = find_oldest(crew);

    return id == 0 ? CLOCK_NEVER_MS : crew->handed[id - 1].since_ms;
}

bool crew_ask_for_oldest(struct crew *crew)
{
    size_t id = find_oldest(crew);
    struct handed *handed = id == 0 ? NULL : &crew->handed[id - 1];
    struct buf frame = {0};
    bool is_sent = false;

    if (handed == NULL)
        return false;
    crew_frame_put(&frame, CREW_FRAME_DROP, id, STR(""));
    if (!frame.failed && crew_frame_is_writable(handed->worker->process.fd))
        is_sent =
            frame_send(handed->worker->process.fd, buf_str(&frame), -1, NULL) == IO_DONE;
    buf_free(&frame);
    if (is_sent) {
        handed->is_asked = true;
        crew->asked++;
    } else {
        take_out(crew, id); /* its worker is stuck: others have their turn */
        put_newest(crew, id);
    }
    return is_sent;
}

void crew_drain(struct crew *crew)
{
    crew->is_draining = true;
    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        if (!crew->workers[i].is_used)
            continue;
        crew->workers[i].is_leaving = true;
        shutdown(crew->workers[i].process.fd, SHUT_WR);
    }
}
