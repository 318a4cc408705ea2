#include "proxy/proxy.h"

#include <stdlib.h>

#include "base/random.h"
#include "base/secret.h"
#include "proto/message.h"
#include "proxy/proxy_state.h"

struct proxy_times proxy_default_times(void)
{
    return (struct proxy_times){.initialize_ms = 20000,
                                .takeover_ms = 5000,
                                .rejoin_ms = 3000,
                                .ping_ms = 20000,
                                .dead_ms = 60000,
                                .wrong_ms = 1000};
}

struct proxy_limits proxy_default_limits(void)
{
    return (struct proxy_limits){.waiting = 20000, .per_resource = 10000, .resources = 10000};
}

struct proxy *proxy_new(const struct proxy_options *options, struct err *e)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);

    if (proxy == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    proxy->options = *options;
    random_bytes(&proxy->brake.seed, sizeof proxy->brake.seed);
    buf_put(&proxy->secret, options->secret);
    if (buf_check(&proxy->secret, e) != 0 ||
        secret_add(proxy->secret.data, proxy->secret.len, e) != 0) {
        buf_wipe(&proxy->secret);
        free(proxy);
        return NULL;
    }
    return proxy;
}

void proxy_free(struct proxy *proxy)
{
    if (proxy == NULL)
        return;
    while (proxy->daemons != NULL) {
        struct proxy_resource *resource = proxy->daemons->resource;
        struct proxy_daemon *daemon = proxy->daemons;
        if (resource != NULL && resource->challenger == daemon)
            resource->challenger = NULL;
        proxy_daemon_free(daemon);
        if (resource != NULL && resource->daemon == daemon)
            proxy_resource_lose_daemon(resource, false);
    }
    secret_remove(proxy->secret.data);
    buf_wipe(&proxy->secret);
    buf_free(&proxy->text);
    buf_free(&proxy->asker);
    free(proxy->slots);
    free(proxy->free_slots);
    shares_deinit(&proxy->shares);
    shares_deinit(&proxy->holders);
    free(proxy);
}

static void on_probe(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)request;
    (void)owner;
    http_conn_answer(conn, &(struct http_answer){.status = 200,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .body = STR("running.")});
}

/* A client in one zone and a daemon in another. Programs of generation 1 do not name their zone. */
static bool is_other_zone(const struct proxy_resource *resource, const struct message *m)
{
    return m->has_zone && resource->is_generation2 && !str_equal(m->zone, str_of(resource->zone));
}

/* The protocol's checks, in its order and words; then the client waits. */
static void check_client_request(struct proxy *proxy, struct http_conn *conn,
                                 const struct message *m)
{
    struct proxy_resource *resource = proxy_resource_find(proxy, m->resource_name);

    if (resource == NULL || resource->daemon == NULL)
        http_conn_answer_message(conn, 404, "resource not found: %.*s", STR_ARG(m->resource_name));
    else if (is_other_zone(resource, m))
        http_conn_answer_message(conn, 500, "Zone mismatch: %.*s <> %s", STR_ARG(m->zone),
                                 resource->zone);
    else if (m->has_request_id && m->request_id.len > 0)
        http_conn_answer_message(conn, 400, "requestId field not allowed");
    else if (proxy->is_draining)
        http_conn_answer_message(conn, 503, "the proxy is shutting down");
    else
        proxy_request_start(resource, conn, m);
}

/* A request of that generation; else it is answered. */
static bool parse_client_request(struct http_conn *conn, const struct http_request *request,
                                 bool is_generation2, struct message *m)
{
    struct err e = {0};

    if (!http_head_is_content_type(request->head, "application/json")) {
        http_conn_answer_message(conn, 400, "want Content-Type: application/json");
        return false;
    }
    if (message_parse(m, request->body, &e) == 0) {
        if (m->type == MESSAGE_REQUEST && m->has_zone == is_generation2 && !m->has_asker)
            return true;
        message_deinit(m);
    } else if (e.code == ERR_FAILED) { /* the request may well be right */
        http_conn_answer_message(conn, 500, "%s", e.msg);
        return false;
    }
    http_conn_answer_message(conn, 400, "invalid request");
    return false;
}

/* The last part of the path that is not empty: a resource URL may end with '/'. */
static struct str name_in_path(struct str path)
{
    struct str name;

    while (str_ends_with(path, STR("/")))
        path.len--;
    for (name = path; str_find(name, '/') < name.len;)
        name = str_slice(name, str_find(name, '/') + 1, name.len);
    return name;
}

static void on_client_request(struct http_conn *conn, const struct http_request *request,
                              void *owner)
{
    struct str name = name_in_path(str_slice(request->path, STR("/r/").len, request->path.len));
    struct message m;

    if (!parse_client_request(conn, request, true, &m))
        return;
    if (m.resource_name.len == 0) /* as the Python client sends for such a URL */
        m.resource_name = name;
    if (str_equal(m.resource_name, name))
        check_client_request(owner, conn, &m);
    else
        http_conn_answer_message(conn, 500, "Resource name mismatch: %.*s <> %.*s",
                                 STR_ARG(m.resource_name), STR_ARG(name));
    message_deinit(&m);
}

static void on_generation1_request(struct http_conn *conn, const struct http_request *request,
                                   void *owner)
{
    struct message m;

    if (!parse_client_request(conn, request, false, &m))
        return;
    check_client_request(owner, conn, &m);
    message_deinit(&m);
}

void proxy_put_routes(struct proxy *proxy, struct http_route routes[PROXY_ROUTES])
{
    routes[0] = (struct http_route){
        .method = "GET", .path = "/probe", .on_request = on_probe, .owner = proxy};
    routes[1] = (struct http_route){.method = "POST",
                                    .path = "/r/",
                                    .max_body_bytes = MESSAGE_MAX_BODY_BYTES,
                                    .on_request = on_client_request,
                                    .owner = proxy};
    routes[2] = (struct http_route){.method = "POST",
                                    .path = "/api",
                                    .max_body_bytes = MESSAGE_MAX_BODY_BYTES,
                                    .on_request = on_generation1_request,
                                    .owner = proxy};
    routes[3] = (struct http_route){.method = "UPGRADE",
                                    .path = "*",
                                    .on_head = proxy_daemon_upgrade,
                                    .takes_connection = true,
                                    .owner = proxy};
}

void proxy_drain(struct proxy *proxy)
{
    proxy->is_draining = true;
    if (proxy->waiting == 0)
        proxy_daemon_close_all(proxy);
}

void proxy_give_up(struct proxy *proxy)
{
    for (size_t i = 0; i < PROXY_NAME_SLOTS; i++)
        for (struct proxy_resource *r = proxy->names[i]; r != NULL; r = r->next)
            proxy_request_fail_all(r);
    proxy_daemon_close_all(proxy);
}

size_t proxy_daemons(const struct proxy *proxy)
{
    return proxy->daemon_count;
}

bool proxy_is_empty(const struct proxy *proxy)
{
    return proxy->daemon_count == 0 && proxy->waiting == 0;
}
