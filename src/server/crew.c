#include "server/crew.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "proc/frame.h"
#include "proc/process.h"
#include "server/crew_frame.h"

struct worker {
    struct crew *crew;
    struct process process;
    struct loop_fd source;
    size_t connections;
    int64_t idle_since_ms;
    bool is_used, is_leaving;
};

struct crew {
    struct crew_options options;
    struct worker workers[CREW_MAX_WORKERS];
    struct loop_timer timer; /* looks for idle workers */
    struct buf frame;
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
    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        if (!crew->workers[i].is_used)
            continue;
        process_signal_kill(&crew->workers[i].process);
        dismiss(&crew->workers[i]);
    }
    buf_free(&crew->frame);
    free(crew);
}

size_t crew_workers(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++)
        count += crew->workers[i].is_used;
    return count;
}

size_t crew_connections(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++)
        count += crew->workers[i].connections;
    return count;
}

/* ---- idle workers leave ---- */

static void set_timer(struct crew *crew)
{
    struct loop *loop = crew->options.loop;

    if (crew->timer.heap_index == 0)
        loop_set_timer(loop, &crew->timer, loop_now_ms(loop) + crew->options.idle_ms / 2);
}

static void on_time(struct loop_timer *timer)
{
    struct crew *crew = timer->owner;
    int64_t now = loop_now_ms(crew->options.loop);

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        struct worker *worker = &crew->workers[i];
        if (worker->is_used && worker->connections == 0 &&
            now - worker->idle_since_ms >= crew->options.idle_ms)
            dismiss(worker);
    }
    if (crew_workers(crew) > 0)
        set_timer(crew);
}

/* ---- what workers say ---- */

static void one_less(struct worker *worker)
{
    if (worker->connections > 0)
        worker->connections--;
    worker->idle_since_ms = loop_now_ms(worker->crew->options.loop);
}

static void on_lost(struct worker *worker)
{
    struct crew *crew = worker->crew;

    if (worker->connections > 0)
        log_line(LOG_WARN, "%s process ended connections=%zu", crew->options.name,
                 worker->connections);
    dismiss(worker);
}

static void handle_frame(struct worker *worker, struct str frame, int fd)
{
    struct crew *crew = worker->crew;
    struct str bytes;

    one_less(worker);
    if (fd < 0)
        return;
    if (crew_frame_bytes(frame, &bytes))
        crew->options.on_return(crew->options.owner, fd, bytes);
    else
        close(fd);
}

static void on_ready(struct loop_fd *source, unsigned events)
{
    struct worker *worker = source->owner;
    struct crew *crew = worker->crew;
    struct buf frame = crew->frame;
    struct err e = {0};
    int fd = -1;

    (void)events;
    crew->frame = (struct buf){0}; /* a callback may hand over another connection */
    switch (frame_receive(source->fd, &frame, &fd, &e)) {
    case IO_DONE: handle_frame(worker, buf_str(&frame), fd); break;
    case IO_WANT_READ: break;
    default: on_lost(worker);
    }
    buf_free(&crew->frame);
    crew->frame = frame;
}

/* ---- handing over ---- */

static struct worker *start_worker(struct crew *crew)
{
    struct process_options options = {.name = crew->options.name,
                                      .run = crew->options.run,
                                      .forget = crew->options.forget,
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
    worker->is_used = true;
    worker->source =
        (struct loop_fd){.fd = worker->process.fd, .on_ready = on_ready, .owner = worker};
    crew->timer.on_time = on_time;
    crew->timer.owner = crew;
    if (loop_add(crew->options.loop, &worker->source, LOOP_READ, &e) != 0) {
        dismiss(worker);
        return NULL;
    }
    set_timer(crew);
    return worker;
}

/* The least busy; a new one rather than a busy one. */
static struct worker *choose(struct crew *crew)
{
    struct worker *best = NULL;

    for (size_t i = 0; i < CREW_MAX_WORKERS; i++) {
        struct worker *worker = &crew->workers[i];
        if (worker->is_used && !worker->is_leaving &&
            (best == NULL || worker->connections < best->connections))
            best = worker;
    }
    if ((best == NULL || best->connections > 0) && crew_workers(crew) < crew->options.max_workers) {
        struct worker *fresh = start_worker(crew);
        if (fresh != NULL)
            return fresh;
    }
    return best;
}

/* Says in advance that the connection is about to go, since the frame needs its descriptor. */
void crew_give(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct crew *crew = owner;
    struct worker *worker = crew->is_draining ? NULL : choose(crew);
    struct buf bytes = {0};
    struct err e = {0};
    enum io io = IO_ERR;
    int fd;

    (void)request;
    if (worker == NULL || !crew_frame_is_writable(worker->process.fd)) {
        http_conn_answer_message(conn, 503, "busy, try again later");
        return;
    }
    fd = http_conn_detach(conn, &bytes);
    buf_clear(&crew->frame);
    crew_frame_put(&crew->frame, buf_str(&bytes));
    if (bytes.len <= CREW_MAX_HANDED_BYTES && buf_check(&crew->frame, &e) == 0)
        io = frame_send(worker->process.fd, buf_str(&crew->frame), fd, &e);
    close(fd);
    buf_free(&bytes);
    if (io == IO_DONE)
        worker->connections++;
    else
        log_line(LOG_WARN, "%s: a connection could not be handed over: %s", crew->options.name,
                 e.msg);
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
