#include "hub/relays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "bucket/folder.h"
#include "hub/object_doubt.h"
#include "hub/signer_check.h"
#include "proxy/proxy.h"
#include "proxy/range_server.h"
#include "proxy/relay.h"

#define RELAYS_DIR ".hub/blocks"

enum {
    CACHE_PART = 10,            /* of the file system, without --cache-bytes */
    READERS_BYTES = 20 << 20    /* that readers together have not taken yet, in each process */
};

struct relays {
    struct relays_options options;
    struct crew *crew;
    struct ranges *ranges;
    size_t count, place; /* place: of the process that is being started */
    int64_t cache_bytes; /* of each */
    struct http_route routes[RANGE_SERVER_ROUTES];
};

/* ---- in a relay's process ---- */

/* It serves /f/, reads the zone's settings and objects, reads and writes its part of .hub/blocks,
 * takes lines that the hub hands to it, connects to nothing and forks hashers alone. */
struct relay_process {
    struct relays *relays;
    int hub; /* the socket */
    struct loop *loop;
    struct check_asker asker;
    struct bucket *bucket;
    struct relay *relay;
    struct range_server *server;
};

static int send_note_to_hub(void *owner, uint64_t id, struct str bytes)
{
    const struct relay_process *p = owner;

    return crew_worker_note(p->hub, id, bytes);
}

static void on_process_note(void *owner, uint64_t id, struct str bytes, int fd)
{
    struct relay_process *p = owner;

    relay_on_note(p->relay, id, bytes, fd);
}

/* Where a relay keeps what: its blocks, and two files beside them. */
struct relay_places {
    struct buf blocks, openings, verdicts;
};

static int find_places(const struct relay_process *p, struct relay_places *places, struct err *e)
{
    const struct relays *relays = p->relays;
    struct buf *path = &places->blocks;

    buf_printf(path, "%s/" RELAYS_DIR "/%zu", relays->options.dir->path, relays->place);
    buf_put_buf(&places->openings, path);
    buf_puts(&places->openings, ".openings");
    buf_put_buf(&places->verdicts, path);
    buf_puts(&places->verdicts, ".verdicts");
    return buf_check(path, e);
}

static int open_relay_process(struct relay_process *p, struct err *e)
{
    const struct relays *relays = p->relays;
    struct relay_places places = {.blocks = {0}};
    int result = -1;

    if ((p->loop = loop_new(NULL, e)) == NULL ||
        (p->bucket = folder_new(relays->options.dir, p->loop, &p->asker, e)) == NULL ||
        find_places(p, &places, e) != 0)
        goto out;
    const struct relay_options relay = {.loop = p->loop,
                                        .times = relays->options.times->relay,
                                        .cache_dir = buf_path(&places.blocks, e),
                                        .openings_path = buf_path(&places.openings, e),
                                        .verdicts_path = buf_path(&places.verdicts, e),
                                        .cache_bytes = relays->cache_bytes,
                                        .send_note = send_note_to_hub,
                                        .owner = p,
                                        .check_signer = signer_check,
                                        .cancel_check = signer_check_cancel,
                                        .doubt_object = object_doubt,
                                        .check_owner = p->bucket};
    if (relay.cache_dir == NULL || (p->relay = relay_new(&relay, e)) == NULL)
        goto out;
    const struct range_server_options server = {.loop = p->loop,
                                                .relay = p->relay,
                                                .wait_ms = relays->options.times->range_wait_ms,
                                                .bucket = p->bucket,
                                                .zone = zone_files_own(relays->options.zone),
                                                .pass_key = relays->options.dir->url_key,
                                                .keeps_whole_files =
                                                    relays->options.keeps_whole_files};
    p->server = range_server_new(&server, e);
    result = p->server == NULL ? -1 : 0;
out:
    buf_free(&places.blocks);
    buf_free(&places.openings);
    buf_free(&places.verdicts);
    return result;
}

static int run_relay_process(int fd, void *ctx)
{
    struct relays *relays = ctx;
    struct relay_process p = {.relays = relays, .hub = fd, .asker = {.fd = fd}};
    struct http_route routes[RANGE_SERVER_ROUTES];
    struct crew_worker_options options = {.routes = routes,
                                          .route_count = RANGE_SERVER_ROUTES,
                                          .times = relays->options.times->http,
                                          .extensions = relays->options.extensions,
                                          .on_note = on_process_note,
                                          .owner = &p,
                                          .max_held = READERS_BYTES,
                                          .has_askers = true,
                                          .returns_each = relays->options.returns_each};
    struct err e = {0};
    int status = 1;

    if (open_relay_process(&p, &e) == 0) {
        options.loop = p.loop;
        range_server_put_routes(p.server, routes);
        status = crew_worker_run(fd, &options);
    } else {
        log_line(LOG_ERROR, "relay: %s", e.msg);
    }
    range_server_free(p.server);
    relay_free(p.relay);
    bucket_free(p.bucket);
    if (p.loop != NULL)
        loop_free(p.loop);
    return status;
}

/* ---- in the hub ---- */

static int send_text_to_daemon(void *owner, void *session, struct str text)
{
    (void)owner;
    return proxy_send_to_daemon(session, text);
}

static int send_to_relay(void *owner, uint64_t relay, uint64_t id, struct str bytes, int fd)
{
    struct relays *relays = owner;
    struct err e = {0};

    return crew_note(relays->crew, relay, id, bytes, fd, &e);
}

static void pass_to_finder(void *owner, uint64_t worker, uint64_t id, struct str bytes)
{
    struct relays *relays = owner;

    relays->options.send_to_finder(relays->options.owner, worker, id, bytes);
}

static void send_to_relays(void *owner, struct str bytes)
{
    struct relays *relays = owner;

    crew_note_all(relays->crew, bytes);
}

/* Nothing in a relay waits for it. */
static void on_relay_check(void *owner, uint64_t worker, uint64_t id, struct str bytes)
{
    struct relays *relays = owner;

    relays->options.on_check(relays->options.owner, worker, id, bytes);
}

static void on_relay_note(void *owner, uint64_t worker, uint64_t id, struct str bytes)
{
    struct relays *relays = owner;

    ranges_on_note(relays->ranges, worker, id, bytes);
}

static void on_relay_connection_returned(void *owner, int fd, struct str bytes, uint64_t tag)
{
    struct relays *relays = owner;

    relays->options.on_return(relays->options.owner, fd, bytes, tag);
}

static void on_relay_connection_closed(void *owner, uint64_t tag)
{
    struct relays *relays = owner;

    relays->options.on_closed(relays->options.owner, tag);
}

static int64_t default_cache_bytes(const struct data_dir *dir)
{
    struct statvfs fs;

    return statvfs(dir->path, &fs) == 0 ? (int64_t)(fs.f_blocks / CACHE_PART * fs.f_frsize) : 0;
}

static size_t count_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 1 ? 1 : cores > RELAYS_MAX ? RELAYS_MAX : (size_t)cores;
}

struct relays *relays_new(const struct relays_options *options, struct err *e)
{
    struct relays *relays = calloc(1, sizeof *relays);

    if (relays == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    relays->options = *options;
    relays->count = count_cores();
    relays->cache_bytes =
        (options->cache_bytes < 0 ? default_cache_bytes(options->dir) : options->cache_bytes) /
        (int64_t)relays->count;
    const struct crew_options crew = {.loop = options->loop,
                                      .name = "relay",
                                      .max_workers = (unsigned)relays->count,
                                      .is_keyed = true,
                                      .place = &relays->place,
                                      .idle_ms = options->times->relay_idle_ms,
                                      .ping_ms = options->times->worker_ping_ms,
                                      .stuck_ms = options->times->worker_stuck_ms,
                                      .kill_ms = options->times->worker_kill_ms,
                                      .has_askers = true,
                                      .run = run_relay_process,
                                      .ctx = relays,
                                      .on_return = on_relay_connection_returned,
                                      .on_closed = on_relay_connection_closed,
                                      .on_check = on_relay_check,
                                      .on_note = on_relay_note,
                                      .owner = relays};
    const struct ranges_options ranges = {.loop = options->loop,
                                          .start_ms = options->times->range_start_ms,
                                          .send_to_daemon = send_text_to_daemon,
                                          .send_to_relay = send_to_relay,
                                          .send_to_finder = pass_to_finder,
                                          .send_to_relays = send_to_relays,
                                          .owner = relays};
    if ((relays->crew = crew_new(&crew, e)) == NULL ||
        (relays->ranges = ranges_new(&ranges, e)) == NULL) {
        relays_free(relays);
        return NULL;
    }
    return relays;
}

void relays_free(struct relays *relays)
{
    if (relays == NULL)
        return;
    crew_free(relays->crew);
    ranges_free(relays->ranges);
    free(relays);
}

struct ranges *relays_ranges(struct relays *relays)
{
    return relays->ranges;
}

struct crew *relays_crew(struct relays *relays)
{
    return relays->crew;
}

static void give_to_relay(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct relays *relays = owner;

    crew_give_keyed(relays->crew, conn, range_server_key(request->path));
}

void relays_put_routes(struct relays *relays, struct http_route *routes)
{
    range_server_put_routes(NULL, routes);
    for (size_t i = 0; i < RANGE_SERVER_ROUTES; i++)
        if (routes[i].on_head != NULL) {
            routes[i].on_head = give_to_relay;
            routes[i].takes_connection = true;
            routes[i].owner = relays;
        }
}
