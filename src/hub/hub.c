#include "hub/hub.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/authorization.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "bucket/bucket_routes.h"
#include "bucket/check_queue.h"
#include "bucket/folder.h"
#include "bucket/object_upload.h"
#include "gateway/gateway_api.h"
#include "http/crew.h"
#include "http/http_server.h"
#include "hub/host_finder.h"
#include "hub/origin.h"
#include "hub/relays.h"
#include "hub/roster.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "proc/descriptors.h"
#include "proc/process.h"
#include "proto/extensions.h"
#include "proto/kachery_uri.h"
#include "proto/url.h"
#include "proxy/proxy.h"
#include "proxy/range_server.h"
#include "site/front_page.h"

enum {
    HUB_ROUTES = RANGE_SERVER_ROUTES + GATEWAY_API_ROUTES + BUCKET_ROUTES + PROXY_ROUTES + 1,
    DRAIN_LOOK_MS = 20,
    CALL_LIMIT_MS = 5000 /* the main loop blocks nowhere; a busy machine may take its time */
};

struct hub {
    struct loop *loop;
    struct http_server *server;
    struct http_route routes[HUB_ROUTES];
    size_t route_count;
    struct front_page front;
    struct proxy *proxy;
    struct roster *roster; /* of the proxy's daemons, for the gateway; NULL without one of them */
    struct data_dir dir;
    struct own_url url;
    struct gateway_site site; /* its bucket is each worker's own */
    struct crew *gateway, *bucket;
    struct relays *relays; /* NULL without proxy or gateway */
    const char *extensions; /* the names that its gateway announces; NULL without one */
    struct check_queue *checks;
    struct trusted trusted;
    struct origins *origins;
    struct hub_times times;
    struct loop_fd signals;
    struct loop_timer drain_timer;
    bool is_draining, has_given_up;
    int64_t drain_until_ms;
};

/* ---- who has how many ---- */

static size_t count_elsewhere(void *owner)
{
    const struct hub *hub = owner;
    size_t count = hub->proxy == NULL ? 0 : proxy_daemons(hub->proxy);

    if (hub->gateway != NULL)
        count += crew_connections(hub->gateway) + crew_connections(hub->bucket);
    if (hub->relays != NULL)
        count += crew_connections(relays_crew(hub->relays));
    return count;
}

static bool on_accepted(void *owner, const struct addr *peer, uint64_t *tag)
{
    struct hub *hub = owner;

    return origins_accepted(hub->origins, peer, tag);
}

static bool on_request_head(void *owner, const struct http_conn *conn, const struct http_head *head,
                            uint64_t *tag)
{
    struct hub *hub = owner;

    return origins_head(hub->origins, conn, head, tag);
}

static void on_request_answered(void *owner, struct http_conn *conn, uint64_t *tag)
{
    struct hub *hub = owner;

    (void)conn;
    origins_answered(hub->origins, tag);
}

static bool put_peer(void *owner, uint64_t tag, struct buf *out)
{
    const struct hub *hub = owner;

    return origins_put_peer(hub->origins, tag, out);
}

/* Wherever a connection was closed: in the hub, in a worker, as a daemon's WebSocket. */
static void on_connection_closed(void *owner, uint64_t tag)
{
    struct hub *hub = owner;

    origins_closed(hub->origins, tag);
}

static void on_daemon_known(void *owner, uint64_t *tag)
{
    struct hub *hub = owner;

    origins_release(hub->origins, tag);
}

static void put_address(void *owner, uint64_t tag, struct buf *out)
{
    const struct hub *hub = owner;

    origins_put_address(hub->origins, tag, out);
}

/* ---- when it is full ---- */

static bool is_at_place(void *ctx, uint64_t tag)
{
    return origins_place(tag) == *(const uint64_t *)ctx;
}

static bool end_above_part(struct hub *hub, uint64_t tag)
{
    uint64_t place =
        origins_above_part(hub->origins, tag, http_server_max_connections(hub->server));

    if (place == 0)
        return false;
    return http_server_end_waiting(hub->server, is_at_place, &place,
                                   "too many connections from this address or client") ||
           (hub->bucket != NULL && crew_end_newest(hub->bucket, is_at_place, &place)) ||
           (hub->relays != NULL &&
            crew_end_newest(relays_crew(hub->relays), is_at_place, &place)) ||
           (hub->gateway != NULL && crew_end_newest(hub->gateway, is_at_place, &place));
}

static struct crew *older_crew(const struct hub *hub)
{
    struct crew *crews[] = {hub->gateway, hub->bucket,
                            hub->relays == NULL ? NULL : relays_crew(hub->relays)};
    struct crew *oldest = hub->gateway;

    if (hub->gateway == NULL || http_server_excess(hub->server) >= CREW_MAX_ASKED)
        return NULL;
    for (size_t i = 0; i < sizeof crews / sizeof crews[0]; i++)
        if (crews[i] != NULL && crew_oldest_ms(crews[i]) != CLOCK_NEVER_MS &&
            clock_earlier(crew_oldest_ms(crews[i]), crew_oldest_ms(oldest)) !=
                crew_oldest_ms(oldest))
            oldest = crews[i];
    return oldest;
}

/* The longest idle connection goes, wherever it is: in this process, as a WebSocket that has not
 * shown the secret, in a worker (which is asked). Only when there is none is it looked at whose
 * connections they are. */
static bool make_connection_room(void *owner, uint64_t tag)
{
    struct hub *hub = owner;
    struct crew *crew = older_crew(hub);
    int64_t here_ms = http_server_idle_since(hub->server);
    int64_t stranger_ms = hub->proxy == NULL ? CLOCK_NEVER_MS : proxy_stranger_since(hub->proxy);
    int64_t crew_ms = crew == NULL ? CLOCK_NEVER_MS : crew_oldest_ms(crew);
    int64_t first_ms = clock_earlier(clock_earlier(here_ms, stranger_ms), crew_ms);

    if (first_ms == CLOCK_NEVER_MS)
        return end_above_part(hub, tag);
    if (first_ms == crew_ms && crew_ask_for_oldest(crew))
        return true;
    if (stranger_ms != CLOCK_NEVER_MS && clock_earlier(here_ms, stranger_ms) == stranger_ms)
        proxy_drop_stranger(hub->proxy);
    else if (here_ms != CLOCK_NEVER_MS)
        http_server_drop_idle(hub->server);
    else
        return end_above_part(hub, tag);
    return true;
}

/* ---- the end ---- */

static bool is_finished(struct hub *hub)
{
    return http_server_count(hub->server) == 0 &&
           (hub->proxy == NULL || proxy_is_empty(hub->proxy)) &&
           (hub->gateway == NULL || crew_workers(hub->gateway) + crew_workers(hub->bucket) == 0) &&
           (hub->relays == NULL || crew_workers(relays_crew(hub->relays)) == 0);
}

static void on_hub_drain_time(void *owner)
{
    struct hub *hub = owner;
    int64_t now = loop_now_ms(hub->loop);

    if (is_finished(hub)) {
        loop_stop(hub->loop);
        return;
    }
    if (now >= hub->drain_until_ms && hub->has_given_up) {
        loop_stop(hub->loop);
        return;
    }
    if (now >= hub->drain_until_ms) {
        log_line(LOG_WARN, "giving up connections=%zu",
                 http_server_count(hub->server) + count_elsewhere(hub));
        hub->has_given_up = true;
        hub->drain_until_ms = now + HUB_GOODBYE_MS;
        if (hub->proxy != NULL)
            proxy_give_up(hub->proxy);
    }
    loop_set_timer(hub->loop, &hub->drain_timer, now + DRAIN_LOOK_MS);
}

static void drain_hub(struct hub *hub)
{
    if (hub->is_draining) {
        loop_stop(hub->loop);
        return;
    }
    log_line(LOG_INFO, "stopping connections=%zu", http_server_count(hub->server));
    hub->is_draining = true;
    hub->drain_until_ms = loop_now_ms(hub->loop) + HUB_DRAIN_MS;
    http_server_drain(hub->server);
    if (hub->proxy != NULL)
        proxy_drain(hub->proxy);
    if (hub->gateway != NULL) {
        crew_drain(hub->gateway);
        crew_drain(hub->bucket);
        if (hub->relays != NULL)
            crew_drain(relays_crew(hub->relays));
    }
    hub->drain_timer = (struct loop_timer){.call = on_hub_drain_time, .owner = hub};
    loop_set_timer(hub->loop, &hub->drain_timer, loop_now_ms(hub->loop));
}

static void on_hub_signal(void *owner)
{
    struct hub *hub = owner;
    int number;

    while ((number = process_next_signal(hub->signals.fd)) != 0) {
        if (number == SIGCHLD)
            process_reap(NULL, NULL);
        else
            drain_hub(hub);
    }
}

/* ---- worker processes ---- */

/* A worker's loop, and the bucket whose calls are made in it. */
struct hub_worker {
    struct loop *loop;
    struct check_asker asker;
    struct host_finder finder;
    struct bucket *bucket;
};

static int open_hub_worker(struct hub_worker *worker, const struct hub *hub, int fd)
{
    struct err e = {0};

    *worker = (struct hub_worker){
        .loop = loop_new(NULL, &e), .asker = {.fd = fd}, .finder = {.fd = fd}};
    if (worker->loop != NULL)
        worker->bucket = folder_new(&hub->dir, worker->loop, &worker->asker, &e);
    if (worker->bucket != NULL)
        return 0;
    log_line(LOG_ERROR, "worker process: %s", e.msg);
    return -1;
}

static void close_hub_worker(struct hub_worker *worker)
{
    bucket_free(worker->bucket);
    if (worker->loop != NULL)
        loop_free(worker->loop);
}

static void on_worker_checked(void *owner, uint64_t id)
{
    struct hub_worker *worker = owner;

    check_asker_answered(&worker->asker, id);
}

static void on_worker_note(void *owner, uint64_t id, struct str bytes, int fd)
{
    struct hub_worker *worker = owner;

    if (fd >= 0)
        close(fd);
    host_finder_on_note(&worker->finder, id, bytes);
}

static int run_gateway(int fd, void *ctx)
{
    struct hub *hub = ctx;
    struct http_route routes[GATEWAY_API_ROUTES];
    struct hub_worker worker;
    struct crew_worker_options options = {.routes = routes,
                                          .route_count = GATEWAY_API_ROUTES,
                                          .times = hub->times.http,
                                          .extensions = hub->extensions,
                                          .on_checked = on_worker_checked,
                                          .on_note = on_worker_note,
                                          .owner = &worker,
                                          .returns_each = hub->trusted.count > 0};
    int status = 1;

    if (open_hub_worker(&worker, hub, fd) == 0) {
        options.loop = worker.loop;
        hub->site.bucket = worker.bucket;
        hub->site.finder = &worker.finder;
        gateway_api_put_routes(&hub->site, routes);
        status = crew_worker_run(fd, &options);
    }
    close_hub_worker(&worker);
    return status;
}

static int run_bucket(int fd, void *ctx)
{
    struct hub *hub = ctx;
    struct http_route routes[BUCKET_ROUTES];
    struct bucket_routes served;
    struct hub_worker worker;
    struct crew_worker_options options = {.routes = routes,
                                          .route_count = BUCKET_ROUTES,
                                          .times = hub->times.http,
                                          .read_bytes = BUCKET_ROUTES_READ_BYTES,
                                          .extensions = hub->extensions,
                                          .on_checked = check_asker_answered,
                                          .owner = &worker.asker,
                                          .returns_each = hub->trusted.count > 0};
    int status = 1;

    object_upload_clean(hub->dir.path);
    if (open_hub_worker(&worker, hub, fd) == 0) {
        options.loop = worker.loop;
        served = (struct bucket_routes){worker.bucket, hub->dir.url_key};
        bucket_routes_put(&served, routes);
        status = crew_worker_run(fd, &options);
    }
    close_hub_worker(&worker);
    return status;
}

static void on_check(void *owner, uint64_t worker, uint64_t id, struct str bytes)
{
    struct hub *hub = owner;

    check_queue_ask(hub->checks, worker, id, bytes);
}

/* A worker of the gateway asks for a file that hosts may have. */
static void on_finder_note(void *owner, uint64_t worker, uint64_t id, struct str bytes)
{
    struct hub *hub = owner;

    if (hub->relays != NULL)
        ranges_find(relays_ranges(hub->relays), worker, id, bytes);
}

/* It waits no more if the note cannot be sent: then it is gone. */
static void send_to_finder(void *owner, uint64_t worker, uint64_t id, struct str bytes)
{
    struct hub *hub = owner;
    struct err e = {0};

    if (crew_note(hub->gateway, worker, id, bytes, -1, &e) != 0)
        log_line(LOG_WARN, "a gateway worker takes no answer: %s", e.msg);
}

/* The bucket's workers wait for no check. */
static void on_object_checked(void *owner, uint64_t worker, uint64_t id)
{
    struct hub *hub = owner;

    crew_checked(hub->gateway, worker, id);
}

/* A worker has done what was asked of it: the connection's next request may be for anybody. */
static void on_connection_returned(void *owner, int fd, struct str bytes, uint64_t tag)
{
    struct hub *hub = owner;
    struct err e = {0};

    if (bytes.len == 0)
        origins_answered(hub->origins, &tag);
    if (http_server_adopt(hub->server, fd, bytes, tag, &e) == 0)
        return;
    log_line(LOG_WARN, "a connection was lost: %s", e.msg);
    on_connection_closed(hub, tag);
}

static struct crew *open_crew(struct hub *hub, const char *name, unsigned max_workers, int niceness,
                              int (*run)(int fd, void *ctx), struct err *e)
{
    struct crew_options options = {.loop = hub->loop,
                                   .name = name,
                                   .max_workers = max_workers,
                                   .idle_ms = hub->times.worker_idle_ms,
                                   .ping_ms = hub->times.worker_ping_ms,
                                   .stuck_ms = hub->times.worker_stuck_ms,
                                   .kill_ms = hub->times.worker_kill_ms,
                                   .niceness = niceness,
                                   .run = run,
                                   .ctx = hub,
                                   .on_return = on_connection_returned,
                                   .on_closed = on_connection_closed,
                                   .on_check = on_check,
                                   .on_note = on_finder_note,
                                   .owner = hub};

    return crew_new(&options, e);
}

/* Hands over exactly what the crew's own routes serve: a connection that a worker did not know what
 * to do with would come back at once. Preflights, which know nothing of the site, stay here. */
static void put_crew_routes(struct hub *hub, const struct http_route *routes, size_t count,
                            void (*give)(struct http_conn *, const struct http_request *, void *),
                            void *owner)
{
    for (size_t i = 0; i < count; i++) {
        hub->routes[hub->route_count++] = (struct http_route){.method = routes[i].method,
                                                              .path = routes[i].path,
                                                              .on_head = give,
                                                              .takes_connection = true,
                                                              .is_public = routes[i].is_public,
                                                              .owner = owner};
        if (routes[i].owner == NULL)
            hub->routes[hub->route_count - 1] = routes[i];
    }
}

/* Only who has a signed URL starts a process or takes one's time. */
static void give_to_bucket(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct hub *hub = owner;
    struct buf client = {0};

    if (bucket_routes_admits(hub->dir.url_key, conn, request, &client)) {
        if (client.len > 0) {
            uint64_t tag = http_conn_tag(conn);
            origins_user(hub->origins, &tag, buf_str(&client));
            http_conn_set_tag(conn, tag);
        }
        crew_give(conn, request, hub->bucket);
    }
    buf_free(&client);
}

/* ---- the gateway ---- */

static int check_site(const struct hub_site_options *options, struct err *e)
{
    struct url url;

    if (options->zone != NULL && !kachery_uri_is_name(str_of(options->zone)))
        return err_set(e, ERR_USAGE, "--zone \"%s\": want letters, digits, . _ ~ -", options->zone);
    if (options->public_url != NULL && url_parse(&url, str_of(options->public_url), e) != 0)
        return err_wrap(e, "--public-url");
    if (options->public_url != NULL && (url_is_websocket(&url) || url.has_query))
        return err_set(e, ERR_USAGE, "--public-url \"%s\": want http:// or https:// and no query",
                       options->public_url);
    return 0;
}

static bool is_online(void *owner, struct str name, struct str zone, bool is_own,
                      int64_t *since_ms)
{
    const struct hub *hub = owner;

    return roster_find(hub->roster, name, zone, is_own, since_ms);
}

/* The page key is the URL key: what it signs tells the two apart (page_token.c). */
static int open_site(struct hub *hub, const struct hub_site_options *options, struct err *e)
{
    if (check_site(options, e) != 0 || data_dir_open(&hub->dir, options->data_dir, e) != 0)
        return -1;
    object_upload_clean(hub->dir.path);
    if (options->public_url != NULL) {
        struct str url = str_of(options->public_url);
        while (str_ends_with(url, STR("/")))
            url.len--;
        hub->url.public_url = strndup(url.p, url.len);
        if (hub->url.public_url == NULL)
            return err_set(e, ERR_FAILED, "out of memory");
    }
    hub->site = (struct gateway_site){.zone = options->zone == NULL ? "default" : options->zone,
                                      .is_open = options->is_open,
                                      .has_links = hub->roster != NULL,
                                      .url = &hub->url,
                                      .page_key = hub->dir.url_key,
                                      .is_online = hub->roster == NULL ? NULL : is_online,
                                      .pass_key = hub->dir.url_key,
                                      .owner = hub};
    if (options->finds_on_hosts) {
        hub->site.find_on_hosts = host_finder_start;
        hub->site.cancel_find = host_finder_cancel;
    }
    return 0;
}

static void on_settings_written(void *owner)
{
    *(bool *)owner = true;
}

static bool is_settings_written(void *owner)
{
    return *(bool *)owner;
}

/* Before the loop runs: nothing waits for it yet. */
static int open_registration(struct hub *hub, struct err *e)
{
    struct bucket *bucket = folder_new(&hub->dir, hub->loop, NULL, e);
    const struct zone own = zone_files_own(hub->site.zone);
    bool is_done = false;
    struct zone_reading reading = {.file = {.call = {on_settings_written, &is_done, .e = e}}};
    int result = -1;

    if (bucket != NULL && authorization_open_zone(bucket, &own, &reading, e) == 0 &&
        loop_run_until(hub->loop, is_settings_written, &is_done, e) == 0)
        result = zone_files_take_written(&reading, e);
    zone_files_free_reading(&reading);
    bucket_free(bucket);
    return result;
}

static int open_relays(struct hub *hub, const struct hub_options *options, struct err *e)
{
    const struct relays_options relays = {.loop = hub->loop,
                                          .dir = &hub->dir,
                                          .zone = hub->site.zone,
                                          .extensions = hub->extensions,
                                          .times = &hub->times,
                                          .cache_bytes = options->cache_bytes,
                                          .keeps_whole_files = options->site.finds_on_hosts,
                                          .returns_each = hub->trusted.count > 0,
                                          .on_return = on_connection_returned,
                                          .on_closed = on_connection_closed,
                                          .on_check = on_check,
                                          .send_to_finder = send_to_finder,
                                          .owner = hub};

    hub->relays = relays_new(&relays, e);
    if (hub->relays == NULL)
        return -1;
    relays_put_routes(hub->relays, hub->routes + hub->route_count);
    hub->route_count += RANGE_SERVER_ROUTES;
    return 0;
}

static int open_gateway(struct hub *hub, const struct hub_options *options, struct err *e)
{
    const struct check_queue_options checks = {.loop = hub->loop,
                                               .dir = &hub->dir,
                                               .wait_ms = hub->times.check_wait_ms,
                                               .stuck_ms = hub->times.check_stuck_ms,
                                               .on_checked = on_object_checked,
                                               .owner = hub};
    struct http_route gateway[GATEWAY_API_ROUTES], bucket[BUCKET_ROUTES];
    struct bucket_routes unserved = {.bucket = NULL};

    hub->extensions =
        options->has_proxy ? EXTENSIONS_REGISTER ", " RANGE_EXTENSION ", " EXTENSIONS_LINKS
                             ", " EXTENSIONS_MANIFESTS ", " EXTENSIONS_PASSES
                           : EXTENSIONS_REGISTER;
    if (options->has_proxy &&
        (hub->roster = roster_new(options->limits.proxy.resources, e)) == NULL)
        return -1;
    if (open_site(hub, &options->site, e) != 0 ||
        (hub->site.is_open && open_registration(hub, e) != 0))
        return -1;
    hub->gateway = open_crew(hub, "gateway", HUB_GATEWAY_WORKERS, 0, run_gateway, e);
    hub->bucket = open_crew(hub, "bucket", HUB_BUCKET_WORKERS, HUB_BUCKET_NICENESS, run_bucket, e);
    hub->checks = check_queue_new(&checks, e);
    if (hub->gateway == NULL || hub->bucket == NULL || hub->checks == NULL)
        return -1;
    gateway_api_put_routes(&hub->site, gateway);
    put_crew_routes(hub, gateway, GATEWAY_API_ROUTES, crew_give, hub->gateway);
    bucket_routes_put(&unserved, bucket);
    put_crew_routes(hub, bucket, BUCKET_ROUTES, give_to_bucket, hub);
    return options->has_proxy ? open_relays(hub, options, e) : 0;
}

/* ---- the start ---- */

static int open_hub_signals(struct hub *hub, struct err *e)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGCHLD};

    signal(SIGPIPE, SIG_IGN);
    process_ignore_foreign_signals();
    hub->signals = (struct loop_fd){
        .fd = process_signal_fd(numbers, 3, e), .call = on_hub_signal, .owner = hub};
    return hub->signals.fd < 0 ? -1 : loop_add(hub->loop, &hub->signals, LOOP_READ, e);
}

static void on_daemon_online(void *owner, const char *name, const char *zone)
{
    struct hub *hub = owner;

    if (hub->roster != NULL)
        roster_put(hub->roster, str_of(name), str_of(zone), clock_wall_ms());
}

static void on_daemon_offline(void *owner, const char *name)
{
    struct hub *hub = owner;

    if (hub->roster != NULL)
        roster_remove(hub->roster, str_of(name));
}

static int open_proxy(struct hub *hub, const struct hub_options *options, struct err *e)
{
    struct proxy_options proxy_options = {
        .loop = hub->loop,
        .secret = buf_str(options->proxy_secret),
        .times = hub->times.proxy,
        .limits = options->limits.proxy,
        .on_closed = on_connection_closed,
        .on_known = on_daemon_known,
        .put_address = put_address,
        .place_of = origins_place,
        .on_online = on_daemon_online,
        .on_offline = on_daemon_offline,
        .ranges = hub->relays == NULL ? NULL : relays_ranges(hub->relays),
        .owner = hub};

    hub->proxy = proxy_new(&proxy_options, e);
    buf_wipe(options->proxy_secret);
    if (hub->proxy == NULL)
        return -1;
    proxy_put_routes(hub->proxy, hub->routes + hub->route_count);
    hub->route_count += PROXY_ROUTES;
    return 0;
}

/* Prints the line that says where, and keeps it for URLs. */
static int print_ready(struct hub *hub, const struct addr *bound, struct err *e)
{
    struct buf url = {0};
    int result = 0;

    buf_puts(&url, "http://");
    addr_put(&url, bound);
    hub->url.listen_url = buf_take(&url);
    if (hub->url.listen_url == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (printf("listening %s\n", hub->url.listen_url) < 0 || fflush(stdout) != 0)
        result = err_set(e, ERR_FAILED, "cannot write to standard output");
    return result;
}

/* After the proxy's, so that a daemon may dial this path, too. */
static void open_front_page(struct hub *hub, const struct hub_options *options)
{
    hub->front = (struct front_page){.has_proxy = options->has_proxy,
                                     .has_gateway = options->has_gateway,
                                     .url = &hub->url,
                                     .zone = hub->site.zone,
                                     .is_open = hub->site.is_open};
    hub->routes[hub->route_count++] = front_page_route(&hub->front);
}

static int open_server(struct hub *hub, const struct hub_limits *limits, struct err *e)
{
    struct http_server_options options = {.loop = hub->loop,
                                          .routes = hub->routes,
                                          .route_count = hub->route_count,
                                          .times = hub->times.http,
                                          .max_connections = limits->connections,
                                          .extensions = hub->extensions,
                                          .on_accepted = on_accepted,
                                          .on_head = on_request_head,
                                          .on_answered = on_request_answered,
                                          .put_peer = put_peer,
                                          .on_closed = on_connection_closed,
                                          .count_elsewhere = count_elsewhere,
                                          .make_room = make_connection_room,
                                          .owner = hub};

    hub->origins = origins_new(limits->per_address, &hub->trusted, e);
    if (hub->origins == NULL)
        return -1;
    hub->server = http_server_new(&options, e);
    return hub->server == NULL ? -1 : 0;
}

static int start_hub(struct hub *hub, const struct hub_options *options, struct err *e)
{
    struct addr bound;
    int fd;

    if (hub_times_load(&hub->times, e) != 0)
        return -1;
    descriptors_raise_limit();
    log_share_limits();
    hub->loop = loop_new(NULL, e);
    if (hub->loop == NULL)
        return -1;
    loop_limit_calls(hub->loop, CALL_LIMIT_MS);
    if (open_hub_signals(hub, e) != 0 ||
        (options->has_gateway && open_gateway(hub, options, e) != 0) ||
        (options->has_proxy && open_proxy(hub, options, e) != 0))
        return -1;
    open_front_page(hub, options);
    if (open_server(hub, &options->limits, e) != 0 ||
        socket_listen(str_of(options->listen), &fd, &bound, e) != 0 ||
        http_server_listen(hub->server, fd, e) != 0)
        return -1;
    return print_ready(hub, &bound, e);
}

int hub_run(const struct hub_options *options, struct err *e)
{
    struct hub hub = {.signals = {.fd = -1}, .trusted = options->trusted};
    int result = start_hub(&hub, options, e);

    if (result == 0)
        result = loop_run(hub.loop, e);
    log_end();
    http_server_free(hub.server);
    proxy_free(hub.proxy);
    crew_free(hub.gateway);
    crew_free(hub.bucket);
    relays_free(hub.relays);
    check_queue_free(hub.checks);
    data_dir_close(&hub.dir);
    free(hub.url.public_url);
    free(hub.url.listen_url);
    roster_free(hub.roster);
    origins_free(hub.origins);
    if (hub.signals.fd >= 0)
        close(hub.signals.fd);
    if (hub.loop != NULL) {
        loop_free(hub.loop);
    }
    return result;
}
