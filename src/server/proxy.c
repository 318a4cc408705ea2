#include "server/proxy.h"

#include <stdlib.h>

#include "proto/message.h"
#include "server/proxy_state.h"

struct proxy_times proxy_default_times(void)
{
    return (struct proxy_times){.initialize_ms = 20000,
                                .takeover_ms = 5000,
                                .rejoin_ms = 3000,
                                .ping_ms = 20000,
                                .dead_ms = 60000};
}

struct proxy *proxy_new(const struct proxy_options *options, struct err *e)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);

    if (proxy == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    proxy->options = *options;
    buf_put(&proxy->secret, options->secret);
    if (buf_check(&proxy->secret, e) != 0) {
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
    buf_wipe(&proxy->secret);
    buf_free(&proxy->text);
    free(proxy->slots);
    free(proxy->free_slots);
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

/* The protocol's checks, in its order and words; then the client waits. */
static void check(struct proxy *proxy, struct http_conn *conn, struct str name,
                  const struct message *m)
{
    struct proxy_resource *resource;

    if (m->type != MESSAGE_REQUEST || !m->has_zone || !m->has_request_timeout) {
        http_conn_answer_message(conn, 400, "invalid request");
        return;
    }
    if (!str_equal(m->resource_name, name)) {
        http_conn_answer_message(conn, 500, "Resource name mismatch: %.*s <> %.*s",
                                 STR_ARG(m->resource_name), STR_ARG(name));
        return;
    }
    resource = proxy_resource_find(proxy, name);
    if (resource == NULL || resource->daemon == NULL)
        http_conn_answer_message(conn, 404, "resource not found: %.*s", STR_ARG(name));
    else if (!str_equal(m->zone, str_of(resource->zone)))
        http_conn_answer_message(conn, 500, "Zone mismatch: %.*s <> %s", STR_ARG(m->zone),
                                 resource->zone);
    else if (m->has_request_id && m->request_id.len > 0)
        http_conn_answer_message(conn, 400, "requestId field not allowed");
    else if (proxy->is_draining)
        http_conn_answer_message(conn, 503, "the proxy is shutting down");
    else
        proxy_request_start(resource, conn, m);
}

static void on_request(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct str prefix = STR("/r/");
    struct message m;

    if (!http_head_is_content_type(request->head, "application/json")) {
        http_conn_answer_message(conn, 400, "want Content-Type: application/json");
        return;
    }
    if (message_parse(&m, request->body, NULL) != 0) {
        http_conn_answer_message(conn, 400, "invalid request");
        return;
    }
    check(owner, conn, str_slice(request->path, prefix.len, request->path.len), &m);
    message_deinit(&m);
}

void proxy_put_routes(struct proxy *proxy, struct http_route routes[PROXY_ROUTES])
{
    routes[0] = (struct http_route){
        .method = "GET", .path = "/probe", .on_request = on_probe, .owner = proxy};
    routes[1] = (struct http_route){.method = "POST",
                                    .path = "/r/",
                                    .max_body_bytes = MESSAGE_MAX_BODY_BYTES,
                                    .on_request = on_request,
                                    .owner = proxy};
    routes[2] = (struct http_route){.method = "UPGRADE",
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

bool proxy_is_empty(const struct proxy *proxy)
{
    return proxy->daemon_count == 0 && proxy->waiting == 0;
}

void proxy_forget(struct proxy *proxy)
{
    buf_wipe(&proxy->secret);
}
