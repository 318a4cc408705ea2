/* The worker's side of a crew. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/ready.h"
#include "http/crew.h"
#include "http/crew_frame.h"
#include "proc/frame.h"

enum { FIRST_ASKERS = 64, FRAMES_A_ROUND = 32 };

struct crew_worker {
    struct loop *loop;
    struct http_server *server;
    struct loop_fd hub;
    struct loop_timer drain_timer;
    struct buf frame;
    const struct crew_worker_options *options;
    bool is_draining;
    struct asker_text *askers; /* by the connection's id */
    size_t asker_count;
};

/* The address of a client. */
struct asker_text {
    char text[64];
};

static void leave_if_empty(struct crew_worker *worker)
{
    if (worker->is_draining && http_server_count(worker->server) == 0)
        loop_stop(worker->loop);
}

static enum io send_to_hub(struct crew_worker *worker, enum crew_frame type, uint64_t id)
{
    struct buf frame = {0};
    struct err e = {0};
    enum io io;

    crew_frame_put(&frame, type, id, STR(""));
    io = frame.failed ? IO_ERR : frame_send(worker->hub.fd, buf_str(&frame), -1, &e);
    buf_free(&frame);
    return io;
}

/* Back to the hub: it asked for what is not ours, or for nothing. */
static void give_connection_back(struct crew_worker *worker, struct http_conn *conn)
{
    uint64_t id = http_conn_tag(conn);
    struct buf bytes = {0};
    struct err e = {0};
    int fd = http_conn_detach_fd(conn, &bytes);

    buf_clear(&worker->frame);
    crew_frame_put(&worker->frame, CREW_FRAME_CONNECTION, id, buf_str(&bytes));
    if (bytes.failed || bytes.len > CREW_MAX_HANDED_BYTES || buf_check(&worker->frame, &e) != 0 ||
        frame_send(worker->hub.fd, buf_str(&worker->frame), fd, &e) != IO_DONE)
        send_to_hub(worker, CREW_FRAME_CLOSED, id);
    close(fd);
    buf_free(&bytes);
    leave_if_empty(worker);
}

static void on_other_request(struct http_conn *conn, const struct http_request *request,
                             void *owner)
{
    (void)request;
    give_connection_back(owner, conn);
}

static void on_connection_idle(struct http_conn *conn, void *owner)
{
    give_connection_back(owner, conn);
}

static void on_handed_answered(void *owner, struct http_conn *conn, uint64_t *id)
{
    (void)id;
    give_connection_back(owner, conn);
}

static void on_handed_closed(void *owner, uint64_t id)
{
    struct crew_worker *worker = owner;

    send_to_hub(worker, CREW_FRAME_CLOSED, id);
    leave_if_empty(worker);
}

static void on_crew_drain_time(void *owner)
{
    struct crew_worker *worker = owner;

    log_line(LOG_WARN, "giving up %zu unfinished transfers", http_server_count(worker->server));
    loop_stop(worker->loop);
}

/* The hub is gone or wants us gone: no more connections, and those that are here end. */
static void drain_connections(struct crew_worker *worker)
{
    worker->is_draining = true;
    loop_remove(worker->loop, &worker->hub);
    worker->drain_timer = (struct loop_timer){.call = on_crew_drain_time, .owner = worker};
    loop_set_timer(worker->loop, &worker->drain_timer, loop_now_ms(worker->loop) + CREW_DRAIN_MS);
    http_server_drain(worker->server);
    leave_if_empty(worker);
}

int crew_worker_note(int fd, uint64_t id, struct str bytes)
{
    struct buf frame = {0};
    struct err e = {0};
    int result = -1;

    crew_frame_put(&frame, CREW_FRAME_NOTE, id, bytes);
    if (buf_check(&frame, &e) == 0 && frame_send(fd, buf_str(&frame), -1, &e) == IO_DONE)
        result = 0;
    buf_free(&frame);
    return result;
}

/* Takes the address of a client off the front of the bytes. Without memory it is not known. */
static void take_asker(struct crew_worker *worker, uint64_t id, struct str *bytes)
{
    size_t end = str_find(*bytes, '\n'), count = worker->asker_count;

    if (id >= count) {
        struct asker_text *askers;
        for (count = count == 0 ? FIRST_ASKERS : count; id >= count;)
            count *= 2;
        askers = realloc(worker->askers, count * sizeof *askers);
        if (askers != NULL) {
            worker->askers = askers;
            worker->asker_count = count;
        }
    }
    if (id < worker->asker_count)
        snprintf(worker->askers[id].text, sizeof worker->askers[id].text, "%.*s",
                 STR_ARG(str_slice(*bytes, 0, end)));
    *bytes = str_slice(*bytes, end + 1, bytes->len);
}

static bool put_handed_peer(void *owner, uint64_t id, struct buf *out)
{
    const struct crew_worker *worker = owner;

    if (id >= worker->asker_count || worker->askers[id].text[0] == '\0')
        return false;
    buf_puts(out, worker->askers[id].text);
    return true;
}

static void adopt_connection(struct crew_worker *worker, int fd, struct str bytes, uint64_t id)
{
    struct err e = {0};

    if (worker->options->has_askers)
        take_asker(worker, id, &bytes);
    if (fd < 0 || http_server_adopt(worker->server, fd, bytes, id, &e) != 0)
        send_to_hub(worker, CREW_FRAME_CLOSED, id);
}

static void take_frame(struct crew_worker *worker, struct str frame, int fd)
{
    enum crew_frame type;
    struct str bytes;
    uint64_t id;

    if (!crew_frame_parse(frame, &type, &id, &bytes)) {
        if (fd >= 0)
            close(fd);
    } else if (type == CREW_FRAME_CONNECTION) {
        adopt_connection(worker, fd, bytes, id);
    } else if (type == CREW_FRAME_DROP) {
        if (!http_server_drop_tagged(worker->server, id))
            send_to_hub(worker, CREW_FRAME_KEPT, id);
    } else if (type == CREW_FRAME_END) {
        http_server_end_tagged(worker->server, id);
    } else if (type == CREW_FRAME_PING) {
        send_to_hub(worker, CREW_FRAME_PONG, 0);
    } else if (type == CREW_FRAME_CHECKED && worker->options->on_checked != NULL) {
        worker->options->on_checked(worker->options->owner, id);
    } else if (type == CREW_FRAME_NOTE && worker->options->on_note != NULL) {
        worker->options->on_note(worker->options->owner, id, bytes, fd);
    } else if (fd >= 0) {
        close(fd);
    }
}

/* Takes the next frame of the hub; false: there is none now, or never. */
static bool take_next_frame(struct crew_worker *worker)
{
    struct buf frame = worker->frame; /* giving a connection back uses the other one */
    struct err e = {0};
    int fd = -1;

    worker->frame = (struct buf){0};
    enum io io = frame_receive(worker->hub.fd, &frame, &fd, &e);
    if (io == IO_DONE)
        take_frame(worker, buf_str(&frame), fd);
    else if (io != IO_WANT_READ)
        drain_connections(worker);
    buf_free(&worker->frame);
    worker->frame = frame;
    return io == IO_DONE;
}

/* Several in a round: between two rounds, all connections have their turn. */
static void on_hub_ready(void *owner)
{
    struct crew_worker *worker = owner;
    int n = 0;

    do
        n++;
    while (take_next_frame(worker) && n < FRAMES_A_ROUND &&
           ready_look(worker->hub.fd, READY_READ) != 0); /* the socket blocks */
}

/* The worker's routes and, for everything else, the way back. */
static struct http_route *all_routes(struct crew_worker *worker,
                                     const struct crew_worker_options *options)
{
    struct http_route *routes = calloc(options->route_count + 1, sizeof *routes);

    if (routes == NULL)
        return NULL;
    for (size_t i = 0; i < options->route_count; i++)
        routes[i] = options->routes[i];
    routes[options->route_count] = (struct http_route){.method = "*",
                                                       .path = "*",
                                                       .on_head = on_other_request,
                                                       .takes_connection = true,
                                                       .owner = worker};
    return routes;
}

int crew_worker_run(int fd, const struct crew_worker_options *options)
{
    struct crew_worker worker = {.hub = {.fd = fd, .call = on_hub_ready, .owner = &worker},
                                 .options = options};
    struct http_route *routes = all_routes(&worker, options);
    struct http_server_options server_options = {
        .routes = routes,
        .route_count = options->route_count + 1,
        .times = options->times,
        .read_bytes = options->read_bytes,
        .max_held = options->max_held,
        .extensions = options->extensions,
        .on_idle = on_connection_idle,
        .on_answered = options->returns_each ? on_handed_answered : NULL,
        .put_peer = options->has_askers ? put_handed_peer : NULL,
        .on_closed = on_handed_closed,
        .owner = &worker};
    struct err e = {0};
    int status = 1;

    worker.loop = options->loop != NULL ? options->loop : loop_new(NULL, &e);
    if (routes == NULL || worker.loop == NULL)
        goto out;
    server_options.loop = worker.loop;
    server_options.times.idle_ms = CREW_KEEP_MS;
    worker.server = http_server_new(&server_options, &e);
    if (worker.server == NULL || loop_add(worker.loop, &worker.hub, LOOP_READ, &e) != 0)
        goto out;
    status = loop_run(worker.loop, &e) == 0 ? 0 : 1;
out:
    if (status != 0)
        log_line(LOG_ERROR, "worker process: %s", e.msg);
    worker.is_draining = false; /* connections that close from here on are not reported */
    http_server_free(worker.server);
    free(routes);
    free(worker.askers);
    buf_free(&worker.frame);
    if (worker.loop != NULL && worker.hub.is_added)
        loop_remove(worker.loop, &worker.hub);
    if (worker.loop != NULL)
        loop_clear_timer(worker.loop, &worker.drain_timer);
    if (options->loop == NULL)
        loop_free(worker.loop);
    return status;
}
